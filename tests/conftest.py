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
    """Begin with the notebooks, so that no worker waits for another's at the end."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")


@pytest.fixture(scope="session")
def chromium():
    """A browser that reaches no host; what needs it is skipped where there is none."""
    if EXECUTABLE is None:
        pytest.skip("no Chromium is installed")
    with Browser() as browser:
        yield browser
