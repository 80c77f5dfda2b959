"""Bounds from spectra: against independent arithmetic, random pairs and pairs that attain them."""

import numpy as np
import pytest

from procrustes_lab.core import bounds
from procrustes_lab.lab import families

GRADED = [1.0, 0.3, 0.1, 0.03, 0.0]


def measured(X, Y):
    """Singular values padded to d, ε, t and p², all from definitions."""
    d = max(X.shape[1], Y.shape[1])
    spectra = []
    for Z in (X, Y):
        s = np.linalg.svd(Z, compute_uv=False)
        spectra.append(np.pad(s, (0, d - len(s))))
    t = np.sum(X**2) + np.sum(Y**2)
    p2 = t - 2 * np.linalg.svd(X.T @ Y, compute_uv=False).sum()
    return *spectra, np.linalg.norm(X @ X.T - Y @ Y.T), t, p2


def least_nuclear_norm(products, square):
    """Least Σω with Σω² = square and partial sums below those of the products, by bisection.

    For each total, the largest Σω² takes the largest products whole until the total is used up.
    """
    products = np.sort(products)[::-1]
    low, high = 0.0, products.sum()
    for _ in range(200):
        total = (low + high) / 2
        left, most = total, 0.0
        for product in products:
            most += min(product, left) ** 2
            left -= min(product, left)
        low, high = (total, high) if most < square else (low, total)
    return high


def random_pairs(seed, count):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        _, X, Y = families.random_pair(rng, 9)
        if X.any() or Y.any():
            yield X, Y


def test_no_pair_is_above_and_none_of_its_relations_breaks():
    """Rounding of ε² is worth √rounding where directions are weak."""
    for X, Y in random_pairs(0, 4000):
        x, y, epsilon, t, p2 = measured(X, Y)
        bound = bounds.spectrum_aware(x, y, np.sqrt(epsilon**2 + 1e-13 * t * t))
        assert p2 <= bound + 1e-12 * t
        assert bounds.spectrum_aware(x, y, epsilon) <= t * (1 + 1e-12)
        assert bounds.spectrum_aware(x, y, epsilon) <= bounds.theorem(epsilon, len(x), 1) + 1e-7 * t


def test_against_a_bisection():
    for X, Y in random_pairs(1, 300):
        x, y, epsilon, t, _ = measured(X, Y)
        square = max((np.sum(x**4 + y**4) - epsilon**2) / 2, 0.0)
        expected = t - 2 * least_nuclear_norm(x * y, square)
        assert bounds.spectrum_aware(x, y, epsilon) == pytest.approx(expected, abs=1e-6 * t)


@pytest.mark.parametrize("share", [0.0, 1e-6, 0.01, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("other", [GRADED, [1.0] * 5, [2.0, 0.0, 0.0, 0.0, 0.0]])
def test_it_is_attained_at_every_discrepancy(share, other):
    x, y = np.array(GRADED), np.array(other)
    least, most = np.sum((x**2 - y**2) ** 2), np.sum(x**4 + y**4)
    epsilon = np.sqrt(least + share * (most - least))
    found_x, found_y, found, t, p2 = measured(*families.spectral(x, y, epsilon))
    assert found == pytest.approx(epsilon, rel=1e-12)
    assert bounds.spectrum_aware(found_x, found_y, epsilon) == pytest.approx(p2, abs=1e-7 * t)


def test_spectra_in_single_precision_are_squared_in_double():
    x, y = np.linspace(0.1, 1, 384, dtype=np.float32), np.linspace(0.11, 0.9, 384, dtype=np.float32)
    least = np.sqrt(np.sum((x.astype(float) ** 2 - y.astype(float) ** 2) ** 2))
    for epsilon in (least * 1.0001, 1.0, 5.0):
        wide = bounds.spectrum_aware(x.astype(float), y.astype(float), epsilon)
        assert bounds.spectrum_aware(x, y, epsilon) == wide


@pytest.mark.parametrize("order", [1, -1])
def test_order_and_padding_do_not_matter(order):
    spectra = np.array([2.0, 1.0, 0.5])[::order], np.array([1.5, 1.0])[::order]
    padded = np.array([2.0, 1.0, 0.5]), np.array([1.5, 1.0, 0.0])
    assert bounds.spectrum_aware(*spectra, 3.0) == bounds.spectrum_aware(*padded, 3.0)


def test_flat_spectra_give_one_turn_after_another():
    """d equal directions, √k at right angles: k whole turns cost ε² = 2k and leave 2k."""
    ones = np.ones(4)
    for k in range(5):
        assert bounds.spectrum_aware(ones, ones, np.sqrt(2 * k)) == pytest.approx(2 * k)
    assert bounds.spectrum_aware(ones, ones, 100.0) == pytest.approx(8)


def test_the_others_are_their_formulas():
    assert bounds.theorem(3.0, 2, 8) == 12.0
    assert bounds.rank_aware(3.0, 9, 10, 8) == 9.0
    assert bounds.lipschitz(3.0, 2.0) == 4.5
    assert bounds.lipschitz(3.0, 0.0) == np.inf
    assert bounds.floor(6.0, 1.0, 2.0) == 4.0
    assert bounds.floor(0.0, 0.0, 0.0) == 0.0
