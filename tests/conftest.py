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


def pytest_collection_modifyitems(items):
    """Let either of two workers begin with half of what is slow, so that none waits at the end.

    Each gets a half of the list, from front to back, and steals from the end of the other's. While
    one checks types the other fills the caches that both need.
    """
    style = [item for item in items if item.path.name == "test_style.py"]
    notebooks = [item for item in items if item.path.name == "test_notebooks.py"]
    quick = [item for item in items if item.path.name not in ("test_style.py", "test_notebooks.py")]
    middle = len(items) // 2 - len(notebooks[::2])
    items[:] = [*notebooks[::2], *quick[:middle], *style, *notebooks[1::2], *quick[middle:]]


@pytest.fixture(scope="session")
def chromium():
    """A browser that reaches no host; what needs it is skipped where there is none."""
    if EXECUTABLE is None:
        pytest.skip("no Chromium is installed")
    with Browser() as browser:
        yield browser
