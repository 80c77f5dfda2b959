"""From a sample to the population: bounds, limits and intervals against exact populations."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import procrustes_lab as pl
from procrustes_lab.core import sampling
from procrustes_lab.core.polar import polar


def unit_pairs(n=400, d_x=6, d_y=6, noise=0.4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x)) / np.arange(1, d_x + 1)
    Y = X @ rng.standard_normal((d_x, d_y)) + noise * rng.standard_normal((n, d_y))
    return tuple(a / np.linalg.norm(a, axis=1, keepdims=True) for a in (X, Y))


def sign_population(p, rho, d_y, seed=0):
    """All pairs of signed coordinates with their probabilities, and M, exactly.

    x = s√p and y = (f s√p) Q, where f flips coordinate i with probability (1 − ρᵢ)/2.
    """
    p, rho, d = np.asarray(p), np.asarray(rho), len(p)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d_y, d_y)))[0][:d]
    states = list(itertools.product(itertools.product((-1, 1), repeat=d), repeat=2))
    signs, flips = np.moveaxis(np.array(states), 1, 0)
    weights = np.prod((1 + flips * rho) / 2, axis=1) / 2**d
    X = signs * np.sqrt(p)
    return X, X * flips @ Q, weights, (p * rho)[:, np.newaxis] * Q


def excess(W, M):
    return 2 * (np.linalg.norm(M, "nuc") - np.sum(W * M))


def samples(X, Y, weights, m, draws, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        counts = rng.multinomial(m, weights)
        yield (X * counts[:, np.newaxis]).T @ Y / m


# T5


def test_effective_dimension_is_between_one_direction_and_all():
    every = np.vstack([np.eye(5), -np.eye(5)])
    assert sampling.effective_dimension(every, every) == pytest.approx(5)
    assert sampling.effective_dimension(every, every[:, :1] ** 0) == pytest.approx(1)
    assert sampling.effective_dimension(every, 0 * every) == 0


def test_effective_dimension_by_hand_and_at_any_length():
    X = np.diag([3.0, 4.0])  # roots of the eigenvalues: 3 and 4, up to a factor
    assert sampling.effective_dimension(X, np.eye(2)) == pytest.approx(49 / 25)
    assert sampling.effective_dimension(1e-3 * X, np.eye(2)) == pytest.approx(49 / 25)
    assert sampling.effective_dimension(np.eye(2), X) == pytest.approx(49 / 25)
    moments = pl.Moments.from_arrays(1e150 * X, np.eye(2))
    assert sampling.effective_dimension(moments) == pytest.approx(49 / 25)


def test_excess_bound_is_the_formula():
    assert sampling.excess_bound(9, 36) == pytest.approx(2)
    tail = sampling.excess_bound(9, 36, confidence=1 - math.exp(-8))
    assert tail == pytest.approx(4 / 6 * (3 + 4))


@pytest.mark.parametrize(("p", "d_y"), [((0.6, 0.3, 0.1), 3), ((0.5, 0.3, 0.2), 5)])
def test_no_sample_violates_either_bound_and_the_mean_obeys_its_own(p, d_y):
    X, Y, weights, M = sign_population(p, (0.9, 0.5, 0.2), d_y)
    np.testing.assert_allclose((X * weights[:, np.newaxis]).T @ Y, M, atol=1e-15)
    d_eff = np.sqrt(p).sum() ** 2
    for m in (1, 3, 30, 300):
        norms = []
        for transpose in (False, True):
            truth, least = (M.T if transpose else M), min(np.multiply(p, (0.9, 0.5, 0.2)))
            for M_hat in samples(X, Y, weights, m, 150):
                N = M_hat - M
                found = excess(polar(M_hat.T if transpose else M_hat)[0], truth)
                norms.append(np.linalg.norm(N, "nuc"))
                assert -1e-12 <= found <= 4 * norms[-1] + 1e-12
                assert found <= 4 * np.sum(N**2) / least + 1e-12
        assert np.mean(norms) <= np.sqrt(d_eff / m)
        tail = sampling.excess_bound(d_eff, m, confidence=0.5)
        assert np.mean(4 * np.array(norms) <= tail) >= 0.5


def test_the_constant_four_is_attained_in_the_limit():
    M, M_hat = np.array([[1.0]]), np.array([[-1e-9]])
    assert excess(polar(M_hat)[0], M) == pytest.approx(4 * np.linalg.norm(M_hat - M, "nuc"))


# T5′


def test_excess_rate_of_signs_is_their_closed_form():
    p, rho = np.array([0.6, 0.3, 0.1]), np.array([0.9, 0.5, 0.25])
    X, Y, weights, _ = sign_population(p, rho, 3)
    copies = np.rint(weights * 2**3 * 20 * 4 * 8).astype(int)  # integers: the weights are rational
    np.testing.assert_allclose(copies / copies.sum(), weights)
    X, Y = np.repeat(X, copies, axis=0), np.repeat(Y, copies, axis=0)
    i, j = np.triu_indices(3, 1)
    closed = 2 * p[i] * p[j] * (1 - rho[i] * rho[j]) / (p[i] * rho[i] + p[j] * rho[j])
    assert sampling.excess_rate(X, Y) == pytest.approx(closed.sum())
    assert sampling.excess_rate(Y, X) == pytest.approx(closed.sum())
    assert sampling.excess_rate(10 * X, 10 * Y) == pytest.approx(100 * closed.sum())


@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5), (5, 3)])
def test_the_excess_of_many_samples_tends_to_the_rate(d_x, d_y):
    X, Y = unit_pairs(500, d_x, d_y)
    uniform = np.full(len(X), 1 / len(X))
    M, m = X.T @ Y / len(X), 4000
    lost = [excess(polar(M_hat)[0], M) for M_hat in samples(X, Y, uniform, m, 600)]
    error = 3 * stats.sem(lost) + 0.03 * np.mean(lost)
    assert np.mean(lost) == pytest.approx(sampling.excess_rate(X, Y) / m, abs=error)


def test_the_share_counts_the_free_numbers_of_a_map():
    assert sampling.expected_share(5, 5, 100) == pytest.approx(4 / 200)
    # orthonormal 3-frames in 7 dimensions: 3·7 numbers, 6 conditions
    assert sampling.expected_share(3, 7, 10) == pytest.approx((21 - 6) / 70)
    assert sampling.expected_share(7, 3, 10) == sampling.expected_share(3, 7, 10)


@pytest.mark.parametrize("d_y", [4, 6])
def test_isotropic_noise_costs_its_variance_a_free_number_whatever_the_spectrum(d_y):
    """N5: every sign of signal and noise with equal weight, so that all moments are exact."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=4 + d_y)))
    lengths, tau = np.array([1.0, 0.5, 0.1, 0.01]), 0.3
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((d_y, d_y)))[0]
    X = signs[:, :4] * lengths
    Y = X @ Q[:4] + tau * signs[:, 4:]
    floor = d_y * tau**2
    assert sampling.excess_rate(X, Y) == pytest.approx(floor * sampling.expected_share(4, d_y, 1))


# Bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X, Y: sampling.effective_dimension(X), "Y .target. is missing"),
        (lambda X, Y: sampling.effective_dimension(X, Y[1:]), "has 399 rows"),
        (
            lambda X, Y: sampling.effective_dimension(pl.Moments.from_arrays(X, Y), Y),
            "no Y beside it",
        ),
        (lambda X, Y: sampling.excess_bound(-1, 10), "dimension is -1"),
        (lambda X, Y: sampling.excess_bound(math.nan, 10), "dimension is nan"),
        (lambda X, Y: sampling.excess_bound(3, 0), "pairs is 0"),
        (lambda X, Y: sampling.excess_bound(3, 10, confidence=1), "confidence is 1"),
        (lambda X, Y: sampling.excess_rate(X * np.nan, Y), "NaN in row 0"),
    ],
)
def test_bad_input_is_named_in_one_sentence(call, message):
    with (
        np.errstate(invalid="ignore"),
        pytest.raises((TypeError, ValueError), match=message) as caught,
    ):
        call(*unit_pairs())
    assert "\n" not in str(caught.value)
