"""The lens formulas against 400-digit arithmetic, and the picture as a browser would take it."""

import xml.etree.ElementTree as ET
from decimal import Decimal, localcontext

import numpy as np
import pytest

from procrustes_lab.core import bounds
from procrustes_lab.lab import families


def exact_lower(nuclear, energy):
    with localcontext(prec=400):
        t, delta = Decimal(energy), Decimal(nuclear)
        return float(t - (t * t - delta * delta).sqrt())


@pytest.mark.parametrize("energy", [2.0, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize("ratio", [1e-100, 1e-12, 1e-8, 0.3, 0.999999, 1 - 2**-53, 1.0])
def test_lower_side_keeps_its_digits_at_every_scale(ratio, energy):
    expected = exact_lower(ratio * energy, energy)
    assert float(bounds.lower(ratio * energy, energy)) == pytest.approx(expected, rel=1e-14, abs=0)


def test_lower_side_broadcasts():
    got = bounds.lower([[0.0], [1.0]], [1.0, 2.0, 4.0])
    expected = [[exact_lower(delta, t) for t in (1.0, 2.0, 4.0)] for delta in (0.0, 1.0)]
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_no_energy_means_no_error():
    assert bounds.lower(0.0, 0.0) == 0.0
    assert bounds.upper(0.0, 0.0) == 0.0


def test_a_discrepancy_above_the_energy_by_rounding_counts_as_equal():
    assert bounds.lower(np.nextafter(2.0, 3.0), 2.0) == 2.0
    assert bounds.upper(np.nextafter(2.0, 3.0), 2.0) == 2.0


def test_the_sides_meet_only_at_the_ends():
    delta = np.linspace(0, 1, 101)
    gap = bounds.upper(delta, 1.0) - bounds.lower(delta, 1.0)
    assert gap[0] == gap[-1] == 0.0
    assert (gap[1:-1] > 0).all()


def test_the_traced_side_is_the_formula():
    x, y = bounds.lower_side(50)
    np.testing.assert_allclose(y, bounds.lower(x, 1.0), rtol=1e-12, atol=1e-15)
    assert (x[0], y[0]) == (0.0, 0.0)
    assert (x[-1], y[-1]) == pytest.approx((1.0, 1.0))


def circle_of(picture):
    circle = next(e for e in ET.fromstring(picture).iter() if e.tag.endswith("circle"))
    return float(circle.get("cx")), float(circle.get("cy"))


def test_the_picture_puts_the_point_where_it_belongs():
    x0, y0 = circle_of(bounds.svg(0.0, 0.0))
    x1, y1 = circle_of(bounds.svg(1.0, 1.0))
    x, y = circle_of(bounds.svg(0.6, 0.25))
    assert x == pytest.approx(x0 + 0.6 * (x1 - x0))
    assert y == pytest.approx(y0 + 0.25 * (y1 - y0))
    assert x1 > x0
    assert y1 < y0  # pictures count downwards


def test_the_picture_speaks_to_a_screen_reader():
    root = ET.fromstring(bounds.svg(0.6, 0.3))
    title = next(e for e in root.iter() if e.tag.endswith("title"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == title.text
    for number in ("0.6", "0.3", "0.2"):  # Δ/t, p²/t and 1 − √(1 − 0.36)
        assert f"{number}" in title.text


def test_the_picture_suits_any_page():
    picture = bounds.svg(0.6, 0.3)
    assert 'stroke="currentColor"' in picture
    assert " id=" not in picture
    assert len(picture) < 2500


@pytest.mark.parametrize("point", [(-0.1, 0.0), (0.5, 1.1), (np.nan, 0.5), (0.5, np.inf)])
def test_points_without_a_place_are_refused(point):
    with pytest.raises(ValueError, match=r"expected a number in \[0, 1\]"):
        bounds.svg(*point)


def tilts_of(X, Y):
    return bounds.tilts(X.T @ X, X.T @ Y, Y.T @ Y)


@pytest.mark.parametrize("seed", range(40))
def test_tilts_average_to_the_error(seed):
    rng = np.random.default_rng(seed)
    _, X, Y = families.random_pair(rng, 9)
    angles, shares = tilts_of(X, Y)
    energy = np.sum(X**2) + np.sum(Y**2)
    error = energy - 2 * np.linalg.svd(X.T @ Y, compute_uv=False).sum()
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    assert shares @ (1 - np.cos(angles)) * energy == pytest.approx(error, abs=1e-9 * energy)


def test_planted_tilts_are_found_with_their_energies():
    """Behind random turns of the objects and of both spaces, one side in more dimensions."""
    rng = np.random.default_rng(0)
    angles, energies = np.array([0.2, 0.7, 1.2, 1.5]), np.array([4.0, 3.0, 2.0, 1.0])
    X, Y = families.tilted(angles, energies)
    Y = np.hstack([Y, np.zeros((8, 2))])
    turn, Q, V = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (8, 4, 6))
    found, shares = tilts_of(turn @ X @ Q, turn @ Y @ V)
    shares = shares[shares > 1e-9]
    found = found[: len(shares)]
    assert found == pytest.approx(angles[::-1], abs=1e-6)
    assert shares == pytest.approx(energies[::-1] / 10)


def test_canonical_correlations_are_the_cosines_of_whitened_sets():
    rng = np.random.default_rng(1)
    latent = rng.standard_normal((60, 3))
    X, Y = (np.linalg.qr(latent + rng.standard_normal((60, 3)))[0] for _ in "XY")
    angles, _ = tilts_of(X, Y)
    assert np.cos(angles) == pytest.approx(np.linalg.svd(X.T @ Y, compute_uv=False)[::-1])


def test_no_energy_has_no_tilts():
    angles, shares = bounds.tilts(np.zeros((2, 2)), np.zeros((2, 3)), np.zeros((3, 3)))
    assert angles.shape == shares.shape == (0,)
