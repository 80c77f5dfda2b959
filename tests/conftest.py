"""Settings of all tests."""

import os
import sys

import pytest
from browser import EXECUTABLE, Browser
from hypothesis import settings

# As in `procrustes_lab.cli.main`: a grammar that takes two seconds, and that no notebook needs.
sys.modules.setdefault("rfc3987_syntax", None)

# `ci` tries the same examples every time, so that a failure is a failure everywhere.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# Files that begin either half: what is made once for a file is made by one worker.
FIRST = {"test_report.py": 0, "test_indexes.py": 0, "test_style.py": 1, "test_runner.py": 1}
READS = "test_installed_libraries_give_thousands_of_clean_pairs"  # and keeps what all others need


def pytest_collection_modifyitems(items):
    """Let either of two workers begin with half of what is slow, so that none waits at the end.

    Each gets a half of the list, from front to back, and steals from the end of the other's. One
    runs the notebooks as committed first, one with other parameters: not both fill one cache.
    """
    notebooks = [item for item in items if item.path.name == "test_notebooks.py"]
    halves = [[*(item for item in items if item.name == READS), *notebooks[::2]], []]
    for item in items:
        if item.path.name in FIRST:
            halves[FIRST[item.path.name]].append(item)
    halves[1] += reversed(notebooks[1::2])
    placed = set().union(*halves)
    quick = [item for item in items if item not in placed]
    middle = len(items) // 2 - len(halves[0])
    items[:] = [*halves[0], *quick[:middle], *halves[1], *quick[middle:]]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """End a worker, all of whose results are sent; it would free its memory for seconds first."""
    if hasattr(config, "workerinput"):
        os._exit(0)


@pytest.fixture(scope="session")
def chromium():
    """A browser that reaches no host; what needs it is skipped where there is none."""
    if EXECUTABLE is None:
        pytest.skip("no Chromium is installed")
    with Browser() as browser:
        yield browser
