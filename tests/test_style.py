"""Format, lint and types of the whole project."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["pyrefly check", "ruff format --check .", "ruff check ."])
def test_nothing_is_found_by(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"VIRTUAL_ENV": sys.prefix},  # where types of other packages are
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
