"""The package as a whole: what importing it costs, and what it exposes."""

import subprocess
import sys
from pathlib import Path

import pytest

import procrustes_lab as pl

HEAVY = {"scipy", "matplotlib", "sympy", "sklearn", "IPython", "papermill", "click", "joblib"}


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_brings_nothing_heavy():
    loaded = run(
        "import sys, procrustes_lab; print(*{m.split('.')[0] for m in sys.modules})"
    ).split()
    assert not HEAVY & set(loaded)
    assert {"numpy", "procrustes_lab"} <= set(loaded)


def test_import_adds_few_modules_to_numpy():
    # Seconds are noisy, modules are not: ours, and a few of the standard library.
    added = run(
        "import sys, numpy; before = set(sys.modules); import procrustes_lab;"
        "print(*(set(sys.modules) - before))"
    ).split()
    assert len(added) < 60, added
    foreign = {m.split(".")[0] for m in added} - {"procrustes_lab"} - set(sys.stdlib_module_names)
    assert foreign <= {"numpy"}


def test_arrows_between_and_inside_the_rooms_run_down_only():
    root = Path(__file__).parents[1]
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_public_names():
    assert set(pl.__all__) <= set(dir(pl)) | set(pl._LATER)
    for name in pl.__all__:
        assert getattr(pl, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pl.nothing
