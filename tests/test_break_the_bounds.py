"""The search for a pair that breaks a bound: it finds none, and it would find one."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import procrustes_lab as pl
from procrustes_lab.core.similarity import bures_similarity, cka, participation_ratios
from procrustes_lab.lab import families

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "break_the_bounds.py"
COMMITTED = SCRIPT.with_suffix(".json")


@pytest.fixture
def search():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


@pytest.mark.long
def test_no_bound_breaks_in_seconds(search, tmp_path):
    output = tmp_path / "result.json"
    command = ["--seconds", "8", "--instances", "12000", "--output", str(output)]
    assert search.main(command) == 0
    result = json.loads(output.read_text())
    assert result["random_pairs"] > 10_000
    assert result["searches"] > 3
    for name, row in result["inequalities"].items():
        assert row["random"]["compared"] > 0, name
        assert 0 < row["random"]["largest"] <= 1 + 1e-9, name
        assert 0 < row["searched"]["largest"] <= 1 + 1e-9, name


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("T1", 1.1),
        ("T2-lower", 1.001),
        ("T2-upper", 1.01),
        ("T3-exact", 1.01),
        ("T4", 1.001),
        ("T8", 1.01),
    ],
)
def test_a_sharper_claim_breaks(search, monkeypatch, tmp_path, capsys, name, factor):
    """No constant can be improved: with a right side that much smaller, a pair refutes it."""
    honest = search.sides

    def too_sharp(X, Y):
        left, right = (found := honest(X, Y))[name]
        return found | {name: (left * factor, right)}

    monkeypatch.setattr(search, "sides", too_sharp)
    output = tmp_path / "result.json"
    assert search.main(["--seconds", "20", "--output", str(output)]) == 1
    assert f"{name} is broken" in capsys.readouterr().err
    assert not output.exists()
    with np.load(tmp_path / "broken_bound.npz") as saved:
        left, right = honest(saved["X"][None], saved["Y"][None])[name]
    assert left[0] <= right[0] * (1 + 1e-9) < left[0] * factor * (1 + 1e-8)


def test_its_sides_are_those_of_the_package(search):
    rng = np.random.default_rng(0)
    for _ in range(200):
        _, X, Y = families.random_pair(rng, 6)
        if not (X.any() and Y.any()):
            continue
        X, Y = X / np.linalg.norm(X), Y / np.linalg.norm(Y)
        d = max(X.shape[1], Y.shape[1])
        found = {
            name: (left[0], right[0])
            for name, (left, right) in search.sides(X[None], Y[None]).items()
        }
        c = pl.certify(X, Y)
        t = c.energy
        expected = {
            "T1": (c.error, c.theorem),
            "T1-rank": (c.error, c.rank_aware),
            "T2-upper": (c.error, c.nuclear),
            "T8": (c.error, c.spectrum_aware),
            "T2-lower": (c.nuclear**2 / t, c.error * (2 * t - c.error) / t),
        }
        for name, (left, right) in expected.items():
            assert found[name] == pytest.approx((left / t, right / t), rel=1e-6, abs=1e-9), name
        assert found["T4"][0] == pytest.approx((c.delta / t) ** 2, rel=1e-6, abs=1e-9)
        alike, F = cka(X, Y, center=False), bures_similarity(X, Y, center=False)
        R = np.sqrt(np.prod(participation_ratios(X, Y, center=False)))
        assert found["T7-spread-least"] == pytest.approx((alike, R * F**2), abs=1e-9)
        assert found["T7-spread-most"] == pytest.approx(((1 - alike) / R, 1 - F**2), abs=1e-9)
        least = (1 - alike) * (d - (d - 1) * F**2)
        assert found["T7-CKA-least"] == pytest.approx((least, d * (1 - F**2)), abs=1e-8)


def test_the_margin_of_a_lost_answer(search):
    """Two answers; the map of the pairs turns the query from one to the other."""
    Y = np.array([[1.0, 0.1], [1.0, 0.0], [0.8, 1.0]])  # the query likes them by 1.0 and 0.9
    A = Y.copy()
    A[0] = [0.1, 1.0]
    left, right = search.lost_answer(A[None], Y[None])
    assert left[0] == pytest.approx(0.1)
    assert right[0] == pytest.approx(np.hypot(0.9, 0.9) * np.hypot(0.2, 1.0))
    kept, _ = search.lost_answer(Y[None], Y[None])
    assert kept[0] == pytest.approx(-0.1)


def test_the_committed_result_is_of_this_script(search):
    result = json.loads(COMMITTED.read_text())
    assert result["random_pairs"] >= 1_000_000
    assert {name: row["statement"] for name, row in result["inequalities"].items()} == (
        search.STATEMENTS
    )
    for name, row in result["inequalities"].items():
        for part in ("random", "searched"):
            assert max(row[part]["largest_by_dimension"]) == pytest.approx(row[part]["largest"])
            assert row[part]["largest"] <= 1 + 1e-9, name
