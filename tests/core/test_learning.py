"""What a map is worth on pairs it never saw: learning curves and intervals, by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import procrustes_lab as pl
from procrustes_lab.core import sampling


def unit_pairs(n=400, d_x=6, d_y=6, noise=0.4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x)) / np.arange(1, d_x + 1)
    Y = X @ rng.standard_normal((d_x, d_y)) + noise * rng.standard_normal((n, d_y))
    return tuple(a / np.linalg.norm(a, axis=1, keepdims=True) for a in (X, Y))


def test_an_exact_copy_has_nothing_to_learn():
    X, _ = unit_pairs()
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    assert sampling.excess_rate(X, X @ Q) == pytest.approx(0, abs=1e-12)
    need = sampling.pairs_needed(X, X @ Q, 1e-6, held_out=100)
    assert need.extrapolated == need.curve.sizes[0]
    assert need.asymptotic == 1


# Learning curves


def test_the_best_map_is_halfway_between_fitted_and_held_out_error():
    X, Y = unit_pairs(20_000)
    corpora = [slice(start, start + 1000) for start in range(0, len(X), 1000)]
    curves = [sampling.learning_curve(X[c], Y[c], held_out=250) for c in corpora]
    floors = [curve.floor for curve in curves]
    assert np.mean(floors) == pytest.approx(pl.align(X, Y).error, abs=4 * stats.sem(floors))
    rates = [curve.excess[-1] * curve.sizes[-1] for curve in curves]
    rate = sampling.excess_rate(X, Y)
    assert 4 * stats.sem(rates) < 0.25 * rate
    assert np.mean(rates) == pytest.approx(rate, abs=4 * stats.sem(rates))
    assert curves[0].pairs(float(curves[0].law(5000))) == pytest.approx(5000)


def test_sizes_end_with_all_that_is_not_held_out_and_grow_by_root_two():
    X, Y = unit_pairs(500, 4, 7)
    sizes = sampling.learning_curve(X, Y, held_out=116).sizes
    assert sizes[-1] == 384
    assert 8 <= sizes[0] < 8 * math.sqrt(2)
    np.testing.assert_allclose(np.diff(np.log2(sizes)), 0.5, atol=0.1)


def test_learning_curve_does_not_depend_on_the_bases():
    X, Y = unit_pairs()
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    a, b = (sampling.learning_curve(*pair, held_out=50) for pair in ((X, Y), (X @ Q, Y)))
    np.testing.assert_allclose(a.held_out, b.held_out, atol=1e-12)
    np.testing.assert_allclose(a.fitted, b.fitted, atol=1e-12)


def test_pairs_needed_collects_three_accounts():
    X, Y = unit_pairs()
    need = sampling.pairs_needed(X, Y, 0.01, held_out=80)
    assert need.guaranteed == math.ceil(16e4 * sampling.effective_dimension(X, Y))
    assert sampling.excess_bound(sampling.effective_dimension(X, Y), need.guaranteed) <= 0.01
    assert need.asymptotic == math.ceil(100 * sampling.excess_rate(X, Y))
    assert float(need.curve.law(need.extrapolated)) <= 0.01
    assert need.gap == need.guaranteed / need.extrapolated > 10
    assert repr(need).startswith(f"excess 0.01 takes {need.extrapolated:,} pairs by the learning")
    assert "\n" not in repr(need)


# What to quote


def test_empirical_bernstein_by_hand():
    low, high = sampling.empirical_bernstein([1.0] * 50 + [3.0] * 50, low=0, high=4)
    L = math.log(60)
    reach = math.sqrt(2 * 100 / 99 * L / 100) + 7 * 4 * L / (3 * 99)
    assert (low, high) == pytest.approx((2 - reach, 2 + reach))


def test_empirical_bernstein_moves_and_stretches_with_its_values():
    values = np.random.default_rng(0).uniform(size=1000)
    low, high = sampling.empirical_bernstein(values, low=0, high=1)
    moved = sampling.empirical_bernstein(5 * values - 2, low=-2, high=3)
    assert moved == pytest.approx((5 * low - 2, 5 * high - 2))
    mirrored = sampling.empirical_bernstein(1 - values, low=0, high=1)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_one_end_is_the_bound_of_maurer_and_pontil():
    values, n, delta = np.random.default_rng(1).uniform(size=200), 200, 0.05
    _, high = sampling.empirical_bernstein(values, low=0, high=1, confidence=1 - 1.5 * delta)
    pairwise = sum((a - b) ** 2 for a, b in itertools.combinations(values, 2)) / (n * (n - 1))
    L = math.log(2 / delta)
    theirs = math.sqrt(2 * pairwise * L / n) + 7 * L / (3 * (n - 1))
    assert high - values.mean() == pytest.approx(theirs)


@pytest.mark.parametrize("n", [2, 10, 100, 1000])
@pytest.mark.parametrize("chance", [0.5, 0.02])
def test_empirical_bernstein_covers_where_the_normal_interval_need_not(n, chance):
    rng = np.random.default_rng(n)
    draws = (rng.random((500, n)) < chance).astype(float)
    ends = np.array([sampling.empirical_bernstein(row, low=0, high=1) for row in draws])
    assert np.mean((ends[:, 0] <= chance) & (chance <= ends[:, 1])) >= 0.95


@pytest.mark.parametrize(("d_x", "d_y"), [(6, 6), (4, 6), (6, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"center": True}, {"scale": True, "center": True}, {"whiten": 0.25}]
)
def test_held_out_error_counts_as_the_fitted_error_does(d_x, d_y, options):
    X, Y = unit_pairs(300, d_x, d_y)
    twice = np.vstack([X, X]), np.vstack([Y, Y])
    alignment = pl.align(X, Y, **options)
    losses, highest = sampling._losses(alignment, X, Y)
    assert losses.mean() == pytest.approx(alignment.error)
    assert losses.max() <= highest
    found = sampling.held_out_error(*twice, held_out=300, seed=3, **options)
    assert 0 <= found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(alignment.error, rel=0.2)


def test_held_out_error_is_measured_on_the_other_rows():
    X, Y = unit_pairs(40)
    rows = np.random.default_rng(5).permutation(40)
    fitted = pl.align(X[rows[10:]], Y[rows[10:]])
    losses = np.sum((fitted.apply(X[rows[:10]]) - Y[rows[:10]]) ** 2, axis=1)
    found = sampling.held_out_error(X, Y, held_out=10, seed=5)
    assert found.mean == pytest.approx(losses.mean())
    ends = sampling.empirical_bernstein(losses, low=0, high=4)
    assert (found.low, found.high) == pytest.approx(ends)
    assert (found.n_fit, found.n_held_out) == (30, 10)


def test_held_out_error_prints_itself_in_a_line():
    text = repr(sampling.held_out_error(*unit_pairs(1500), held_out=1000, confidence=0.9))
    assert text.startswith("held-out error 0.")
    assert "90 % interval [" in text
    assert text.endswith("(fitted on 500 pairs, 1,000 held out)")
    assert "\n" not in text


def test_half_precision_unit_vectors_are_unit_vectors():
    X, Y = (a.astype(np.float16) for a in unit_pairs())
    assert sampling.held_out_error(X, -X, held_out=50).high <= 4.0
    assert sampling.held_out_error(X, Y, held_out=50).mean > 0


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, Y: sampling.pairs_needed(X, Y, 0, held_out=50), "excess is 0"),
        (lambda X, Y: sampling.pairs_needed(X, Y, 0.1, held_out=400), "held_out is 400 of 400"),
        (lambda X, Y: sampling.learning_curve(X, Y, held_out=390), "at least 34 to fit on"),
        (lambda X, Y: sampling.learning_curve(X, Y, held_out=50, draws=0), "draws is 0"),
        (lambda X, Y: sampling.held_out_error(X, Y, held_out=1), "held_out is 1 of 400"),
        (lambda X, Y: sampling.held_out_error(X, 2 * Y, held_out=9), "Y .target. has length 2"),
        (lambda X, Y: sampling.held_out_error(X * np.inf, Y, held_out=9), "row 0"),
        (
            lambda X, Y: sampling.held_out_error(X, Y, held_out=9, confidence=95),
            "confidence is 95",
        ),
        (lambda X, Y: sampling.empirical_bernstein([1.0], low=0, high=4), r"shape \(1,\)"),
        (lambda X, Y: sampling.empirical_bernstein([1.0, 5.0], low=0, high=4), "run from 1 to 5"),
        (lambda X, Y: sampling.empirical_bernstein([0.0, math.nan], low=0, high=4), "nan"),
        (lambda X, Y: sampling.empirical_bernstein([1.0, 1.0], low=1, high=1), r"range is \[1, 1"),
    ],
)
def test_bad_input_is_named_in_one_sentence(call, message):
    with (
        np.errstate(invalid="ignore"),
        pytest.raises((TypeError, ValueError), match=message) as caught,
    ):
        call(*unit_pairs())
    assert "\n" not in str(caught.value)
