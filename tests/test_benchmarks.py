"""The benchmarks: what they compare computes the same thing, and their tables come out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import procrustes_lab as pl

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def arithmetic(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import arithmetic

    return arithmetic


def test_the_naive_way_measures_the_same_discrepancy(arithmetic):
    X, Y = arithmetic.pairs(60, 5, 3)
    assert arithmetic.gram_way(X, Y) / 60 == pytest.approx(pl.certify(X, Y).nuclear, rel=1e-9)


def test_peers_fit_the_same_map(arithmetic):
    X, Y = arithmetic.pairs(200, 6, 6)
    Wx, Wy = arithmetic.netrep_way(X, Y)
    np.testing.assert_allclose(Wx @ Wy.T, pl.align(X, Y, center=True).map, atol=1e-9)
    np.testing.assert_allclose(arithmetic.qc_procrustes(X, Y).t, pl.align(X, Y).map, atol=1e-9)


def test_peers_that_need_equal_dimensions_get_zeros(arithmetic):
    X, Y = arithmetic.padded(*arithmetic.pairs(30, 5, 3))
    assert X.shape == Y.shape == (30, 5)
    assert not Y[:, 3:].any()


@pytest.mark.long
def test_the_tables_come_out():
    command = [sys.executable, FOLDER / "arithmetic.py", "--rounds", "1", "--small"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line for line in table.splitlines() if line.startswith("|")]
    headings = [i for i, row in enumerate(rows) if set(row) <= set("|-: ")]
    assert len(headings) == 4
    assert all(row.count("|") >= 3 and "nan" not in row for row in rows)


@pytest.mark.long
def test_the_measured_scale_is_what_the_script_writes(tmp_path):
    output = tmp_path / "scale.json"
    command = [sys.executable, FOLDER / "scale.py", "--pairs", "4000", "--dimension", "16"]
    command += ["--largest", "1000", "--rounds", "1", "--folder", tmp_path, "--output", output]
    subprocess.run(command, capture_output=True, check=True)
    found = json.loads(output.read_text())
    committed = json.loads((FOLDER.parent / "notebooks" / "scale.json").read_text())
    assert found.keys() == committed.keys()
    for part in ("streaming", "dask", "growth"):
        assert found[part].keys() == committed[part].keys()
    assert found["streaming"]["pairs"] == 4000
    assert all(run["bytes_moved"] == 0 for run in found["dask"]["runs"] if run["workers"] == 1)
