"""Settings of all tests."""

import gc
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


# What either half begins with: a test reads what all notebooks need; one worker runs notebooks as
# committed and one with other parameters, so not both fill one cache; and what is made once for a
# file is made by one of them.
HALVES = (
    (
        "test_installed_libraries_give_thousands_of_clean_pairs",
        "test_it_gives_the_committed_outputs_and_figures",
        "test_report.py",
        "test_indexes.py",
    ),
    ("test_notebooks.py", "test_runner.py", "test_style.py"),  # backwards
)


def pytest_collection_modifyitems(items):
    """Let either of two workers begin with half of what is slow, so that none waits at the end.

    Each gets a half of the list, from front to back, and steals from the end of the other's.
    """
    rest, halves = list(items), []
    for names in HALVES:
        found = [i for name in names for i in rest if name in (i.originalname, i.path.name)]
        halves.append(list(dict.fromkeys(found)))
        rest = [item for item in rest if item not in halves[-1]]
    middle = len(items) // 2 - len(halves[0])
    items[:] = [*halves[0], *rest[:middle], *reversed(halves[1]), *rest[middle:]]


def pytest_collection_finish():
    """Leave what has been imported out of every later search for garbage."""
    gc.freeze()


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
