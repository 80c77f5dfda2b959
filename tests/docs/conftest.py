"""The site, built once for all of its tests."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "mathjax")


@pytest.fixture(scope="session")
def repository():
    """Where the site under test says that its project is published."""
    return "https://github.com/someone/procrustes-lab"


@pytest.fixture(scope="session")
def site(tmp_path_factory, repository):
    if any(find_spec(name) is None for name in NEEDED):
        pytest.skip("the packages that build the site are not installed")
    folder = tmp_path_factory.mktemp("site") / "docs"
    built = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", folder],
        capture_output=True,
        text=True,
        env=os.environ | {"REPOSITORY_URL": repository},
    )
    assert built.returncode == 0, built.stdout + built.stderr  # a warning is a failure
    return folder
