"""Format, lint and types of the whole project."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", ["mypy", "ruff format --check .", "ruff check ."])
def test_nothing_is_found_by(command):
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
