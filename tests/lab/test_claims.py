import json
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import sympy

from procrustes_lab.lab import claims
from procrustes_lab.lab.claims import CLAIM_MIME, ClaimError, claim, claims_table


@pytest.fixture(autouse=True)
def _empty_ledger(monkeypatch):
    monkeypatch.setattr(claims, "_ledger", {})


def checked():
    return next(reversed(claims._ledger.values()))[0]


n, x = sympy.symbols("n x")


@pytest.mark.parametrize(
    ("observed", "relation", "margin"),
    [
        (0.827, {"at_most": 1.491}, 0.664),
        (2, {"at_most": 2}, 0),
        (3, {"at_least": 1}, 2),
        (1.0, {"equals": 1}, 0),
        (1.02, {"equals": 1, "tolerance": 0.05}, 0.03),
        (1.02, {"at_most": 1, "tolerance": 0.05}, 0.03),
        (np.float32(0.5), {"at_most": np.int64(1)}, 0.5),
        (np.array([0.5]), {"at_most": 1}, 0.5),
        (Fraction(1, 4), {"at_most": 1}, 0.75),
        (float("inf"), {"equals": float("inf")}, 0),
        (sympy.sqrt(2), {"at_most": 1.5}, 0.08579),
        (sympy.expand((x + 1) ** 2 - x**2 - 2 * x - 1), {"equals": 0}, 0),
        (sympy.Rational(1, 3), {"equals": sympy.Rational(2, 6)}, 0),
    ],
)
def test_a_number_holds_by_its_margin(observed, relation, margin):
    claim("T", "a sentence", observed, **relation)
    assert checked().holds is True
    assert checked().margin == pytest.approx(margin, rel=1e-9)


@pytest.mark.parametrize(
    ("observed", "bound"),
    [(True, True), (np.bool_(True), True), (sympy.true, sympy.true), (2 * n, n + n), ("a", "a")],
)
def test_what_is_no_number_is_compared_as_it_is(observed, bound):
    claim("T", "a sentence", observed, equals=bound)
    assert checked().margin is None


@pytest.mark.parametrize(
    ("observed", "relation"),
    [
        (1 + 1e-15, {"at_most": 1}),
        (np.nextafter(1.0, 0.0), {"at_least": 1}),
        (1.2, {"equals": 1, "tolerance": 0.1}),
        (False, {"equals": True}),
        (x**2 + x, {"equals": 0}),
        (float("nan"), {"at_most": 1}),
        (float("nan"), {"at_least": 1}),
        (float("nan"), {"equals": float("nan")}),
        (sympy.nan, {"equals": sympy.nan}),
        (1.0, {"at_most": float("nan")}),
        (float("inf"), {"at_most": 1e308}),
    ],
)
def test_a_claim_that_does_not_hold_is_shown_kept_and_raised(observed, relation, capsys):
    with pytest.raises(ClaimError, match="T1 does not hold: the sentence"):
        claim("T1", "the sentence", observed, **relation)
    assert capsys.readouterr().out.startswith("✗ T1  the sentence: ")
    assert checked().holds is False


@pytest.mark.parametrize("relation", [{}, {"at_most": 1, "equals": 1}])
def test_exactly_one_relation_is_asked_for(relation):
    with pytest.raises(TypeError, match="exactly one of at_most, at_least and equals"):
        claim("T", "a sentence", 1, **relation)


@pytest.mark.parametrize(
    ("observed", "relation", "found"),
    [
        (np.ones((2, 3)), {"at_most": 1}, r"an array of shape \(2, 3\) as observed"),
        ([1], {"at_most": 1}, "list as observed"),
        (1, {"at_most": 1j}, "complex as at_most"),
        (x, {"at_most": 1}, "at_most needs two numbers"),
        (True, {"at_least": 0}, "at_least needs two numbers"),
    ],
)
def test_what_cannot_be_compared_is_named(observed, relation, found):
    with pytest.raises(TypeError, match=f"'T'.*{found}"):
        claim("T", "a sentence", observed, **relation)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_the_tolerance_is_a_number_of_at_least_zero(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        claim("T", "a sentence", 1, equals=1, tolerance=tolerance)


def test_an_id_is_used_once_but_a_cell_may_run_again(monkeypatch):
    claim("T", "a sentence", 1, equals=1)
    with pytest.raises(ValueError, match="'T' was already checked"):
        claim("T", "another", 1, equals=1)

    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(execution_count=7))
    claim("T", "the same cell, changed", 2, equals=2)
    assert [one.sentence for one, _ in claims._ledger.values()] == ["the same cell, changed"]


def test_numbers_are_shown_to_four_digits_and_rounding_noise_not_at_all(capsys):
    claim("A", "digits", 0.123456789, at_most=1234.5678)
    claim("B", "noise", 3e-16, at_most=1e-13)
    claim("C", "a count", 123_456, at_least=7)
    claim("D", "noise below a tight bound", 1 - 2e-16, at_most=1)
    assert capsys.readouterr().out.splitlines() == [
        "✓ A  digits: 0.1235 ≤ 1235",
        "✓ B  noise: 0 ≤ 1e-13",
        "✓ C  a count: 123456 ≥ 7",
        "✓ D  noise below a tight bound: 1 ≤ 1",
    ]
    assert str(checked().margin) == "0.0"


def test_the_mime_bundle_holds_the_claim_as_strict_json():
    claim("T<1", "a & b", float("-inf"), at_most=2, tolerance=0.5)
    bundle = checked()._repr_mimebundle_()
    assert json.loads(json.dumps(bundle[CLAIM_MIME], allow_nan=False)) == {
        "id": "T<1",
        "sentence": "a & b",
        "observed": "-inf",
        "relation": "at_most",
        "bound": 2,
        "tolerance": 0.5,
        "holds": True,
        "margin": "inf",
    }
    assert bundle["text/plain"] == "✓ T<1  a & b: -inf ≤ 2 ± 0.5"
    assert "T&lt;1" in bundle["text/html"]
    assert "a &amp; b" in bundle["text/html"]


def test_the_table_lists_every_claim_in_order():
    claim("A", "one", 1, at_most=2)
    with pytest.raises(ClaimError):
        claim("B", "<two>", 1, equals=2)
    table = claims_table()
    assert repr(table).splitlines()[0] == "1 of 2 claims hold."
    assert repr(table).splitlines()[-2:] == [
        "| ✓ | A | one | 1 ≤ 2 | 1 |",
        "| ✗ | B | <two> | 1 = 2 | -1 |",
    ]
    assert "<two>" not in table._repr_html_()
    assert table._repr_html_().count("<tr>") == 3


def test_importing_it_imports_neither_ipython_nor_sympy():
    code = "import sys, procrustes_lab.lab.claims; print({'IPython', 'sympy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
