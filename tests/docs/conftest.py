"""The site, built once for all of its tests."""

import fcntl
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
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers, the first to need the site builds it
    with (folder / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = folder / "site.txt"
        if not said.exists():
            built = subprocess.run(
                [sys.executable, ROOT / "docs" / "build.py", folder / "site" / "docs"],
                capture_output=True,
                text=True,
                env=os.environ | {"REPOSITORY_URL": repository},
            )
            said.write_text(f"{built.returncode}\n{built.stdout}{built.stderr}", encoding="utf-8")
    assert said.read_text(encoding="utf-8").startswith("0\n"), said.read_text(encoding="utf-8")
    return folder / "site" / "docs"  # a warning has made the code another than 0
