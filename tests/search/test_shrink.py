"""Shrinking: cross-validation finds how strongly, from few pairs."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import procrustes_lab as pl
from procrustes_lab.search.strength import SHARES, shrink


def towers(n, d=40, gap=0.3, seed=0):
    """Two towers that share a frame, up to a small turn and a constant gap."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d))
    small = np.linalg.qr(np.eye(d) + 0.02 * rng.standard_normal((d, d)))[0]
    small *= np.sign(np.diag(small))
    X = Z + 0.5 * rng.standard_normal((n, d))
    return X, Z @ small + 0.5 * rng.standard_normal((n, d)) + gap


def test_few_pairs_shrink_much_and_many_hardly():
    few, many = (shrink(*towers(n), np.eye(40)) for n in (20, 4000))
    assert few.share > many.share
    assert few.best.n == 20
    assert set(few.errors) == set(SHARES)


def test_the_chosen_share_is_nearly_the_best_on_unseen_pairs():
    X, Y = towers(3000)
    for n in (15, 40, 150):
        chosen = shrink(X[:n], Y[:n], np.eye(40))

        def unseen(share, n=n):
            moved = pl.align(X[:n], Y[:n], center=True, toward=(np.eye(40), share)).apply(X[500:])
            return np.mean(np.sum((moved - Y[500:]) ** 2, axis=1))

        assert unseen(chosen.share) <= 1.03 * min(map(unseen, SHARES))


@pytest.mark.parametrize("n", [12, 30])  # they span a part of the space, or all of it
def test_errors_are_of_held_out_pairs(n):
    X, Y = towers(n)
    W0 = ortho_group.rvs(40, random_state=1)
    X = X @ W0.T
    result = shrink(X, Y, W0, shares=(0.1, 3.0), folds=n)
    rows = range(n)
    for share, error in result.errors.items():
        errors = []
        for i in rows:
            others = [j for j in rows if j != i]
            fitted = pl.align(X[others], Y[others], center=True, toward=(W0, share))
            errors.append(np.sum((fitted.apply(X[i]) - Y[i]) ** 2))
        assert error == pytest.approx(np.mean(errors), rel=1e-9)
    expected = pl.align(X, Y, center=True, toward=(W0, result.share))
    np.testing.assert_array_equal(result.best.map, expected.map)


def test_one_pair_stays_with_the_map_one_has():
    X, Y = towers(1)
    result = shrink(X, Y, ortho_group.rvs(40, random_state=0))
    assert result.share == max(SHARES)
    assert np.isnan(list(result.errors.values())).all()


@pytest.mark.parametrize("center", [False, True])
def test_products_may_leave_the_range_of_numbers(center):
    rng = np.random.default_rng(0)
    x, y = 1e200 * rng.standard_normal((30, 4)), 1e150 * rng.standard_normal((30, 4))
    with np.errstate(over="ignore"):
        fitted = shrink(x, y, np.eye(4), shares=iter([0.1]), center=center)
    expected = shrink(x / 1e200, y / 1e150, np.eye(4), shares=[0.1], center=center)
    np.testing.assert_allclose(fitted.best.map, expected.best.map, rtol=1e-9)
