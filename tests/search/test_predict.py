"""The prediction is right where the theory's model holds."""

import numpy as np
import pytest

from procrustes_lab.search.strength import predicted_whitening


def views(noise, n=40_000, d=20, seed=0):
    rng = np.random.default_rng(seed)
    scale = np.geomspace(1, 0.1, d)
    Z = rng.standard_normal((n, d)) * scale
    return [Z + noise(scale) * rng.standard_normal((n, d)) for _ in range(2)]


def test_noise_in_proportion_asks_for_cca():
    assert predicted_whitening(*views(lambda scale: 0.5 * scale)).beta == pytest.approx(
        0.5, abs=0.03
    )


def test_small_noise_of_one_size_asks_for_the_turn():
    assert predicted_whitening(*views(lambda scale: 0.02)).beta == pytest.approx(0.0, abs=0.05)


def test_large_noise_of_one_size_asks_for_no_whitening_either():
    assert predicted_whitening(*views(lambda scale: 0.5)).beta < 0.05


def test_in_between_lies_in_between():
    # Noise variance as the root of the signal's: ρ/(1 − ρ²) grows nearly as √λ, and β is near ¼.
    result = predicted_whitening(*views(lambda scale: 0.05 * np.sqrt(scale)))
    assert result.beta == pytest.approx(0.25, abs=0.04)
    assert (np.diff(result.variances) < 0).all()


def test_views_that_share_nothing_predict_nothing():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 20_000, 3))
    assert np.isnan(predicted_whitening(X, Y).beta)
