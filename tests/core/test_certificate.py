"""Certificates, against an independent n × n computation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

import procrustes_lab as pl
from procrustes_lab.lab import families

CHAIN = ["lower", "error", "upper", "rank_aware", "theorem"]


def by_gram_matrices(X, Y):
    """The certificate's values from n × n matrices, and the error by a fidelity of their roots."""
    n, d = len(X), max(X.shape[1], Y.shape[1])
    G, H = X @ X.T, Y @ Y.T
    D = G - H
    t, epsilon = np.trace(G) + np.trace(H), np.linalg.norm(D)
    nuclear = np.abs(np.linalg.eigvalsh(D)).sum()
    error = max(t - 2 * np.linalg.svd(X.T @ Y, compute_uv=False).sum(), 0.0)
    norms = np.linalg.norm(X, 2) + np.linalg.norm(Y, 2)
    root = np.sqrt(max(t * t - nuclear**2, 0.0))
    values = {
        "energy": t,
        "delta": epsilon,
        "nuclear": nuclear,
        "error": error,
        "lower": t - root,
        "upper": nuclear,
        "theorem": np.sqrt(2 * d) * epsilon,
        "rank_aware": np.sqrt(min(n, sum((X.shape[1], Y.shape[1])))) * epsilon,
        "floor": epsilon**2 / norms**2 if norms else 0.0,
    }
    return {name: value / n for name, value in values.items()}


def assert_ordered(c):
    values = [getattr(c, name) for name in CHAIN]
    assert all(a <= b for a, b in pairwise(values)), c
    assert c.floor <= c.error <= c.lipschitz, c
    assert c.error <= c.spectrum_aware <= c.theorem, c
    assert c.spectrum_aware <= c.energy * (1 + 1e-12), c


@st.composite
def pairs(draw):
    n, d_x, d_y = (draw(st.integers(1, m)) for m in (12, 6, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X, Y = rng.standard_normal((n, d_x)), rng.standard_normal((n, d_y))
    kind = draw(st.sampled_from(["full", "low rank", "sparse", "rank one", "disjoint", "near"]))
    if kind == "low rank":
        X = rng.standard_normal((n, 1)) @ rng.standard_normal((1, d_x)) + 0 * X
        X[:, : d_x // 2] = 0
    elif kind == "sparse":
        X, Y = X * (rng.random(X.shape) < 0.3), Y * (rng.random(Y.shape) < 0.3)
    elif kind == "rank one":
        X, Y = np.outer(X[:, 0], X[0]), np.outer(Y[:, 0], Y[0])
    elif kind == "disjoint":
        X[: n // 2], Y[n // 2 :] = 0, 0
    elif kind == "near":
        Y = (
            X[:, :d_y] @ ortho_group.rvs(min(d_x, d_y), random_state=rng)
            if min(d_x, d_y) > 1
            else X
        )
        Y = Y + 10.0 ** draw(st.integers(-6, 0)) * rng.standard_normal(Y.shape)
    return X * 10.0 ** draw(st.integers(-2, 2)), Y * 10.0 ** draw(st.integers(-2, 2))


@settings(max_examples=1000, deadline=None)
@given(pairs())
def test_chain_and_values_against_gram_matrices(pair):
    X, Y = pair
    expected = by_gram_matrices(X, Y)
    unit = expected["energy"]
    from_arrays, from_moments = pl.certify(X, Y), pl.certify(pl.Moments.from_arrays(X, Y))
    assert_ordered(from_arrays)
    assert_ordered(from_moments)
    for name, value in expected.items():
        # t − √(t² − Δ²) itself has lost half its digits where Δ is close to t
        tolerance = 1e-7 if name == "lower" else 1e-12
        assert getattr(from_arrays, name) == pytest.approx(value, rel=1e-9, abs=tolerance * unit)
        # moments: the root of rounding, once for each eigenvalue
        assert getattr(from_moments, name) == pytest.approx(value, rel=1e-6, abs=1e-6 * unit)


@settings(max_examples=300, deadline=None)
@given(pairs(), st.integers(0, 1000))
def test_symmetries(pair, seed):
    """Exchanging the sides, turning them, permuting the objects: nothing changes."""
    X, Y = pair
    c = pl.certify(X, Y)
    rng = np.random.default_rng(seed)
    P = ortho_group.rvs(X.shape[1], random_state=rng) if X.shape[1] > 1 else -np.eye(1)
    order = rng.permutation(len(X))
    for other in (pl.certify(Y, X), pl.certify((X @ P)[order], Y[order])):
        for name in [
            "energy",
            "delta",
            "nuclear",
            "error",
            "upper",
            "theorem",
            "rank_aware",
            "floor",
        ]:
            assert getattr(other, name) == pytest.approx(
                getattr(c, name), rel=1e-7, abs=1e-11 * c.energy
            )


@pytest.mark.parametrize("n", [2_000, 20_000])
def test_an_exact_rotation_leaves_nothing(n):
    X = np.random.default_rng(0).standard_normal((n, 64))
    c = pl.certify(X, X @ ortho_group.rvs(64, random_state=0))
    assert c.delta <= 1e-12 * c.energy
    assert c.error <= 1e-12 * c.energy
    assert_ordered(c)


@pytest.mark.parametrize("noise", [1e-9, 1e-6, 1e-3])
def test_near_copies_keep_their_digits(noise):
    """δ and error of a slightly disturbed rotation, against long doubles and n × n matrices."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 8))
    Q = ortho_group.rvs(8, random_state=1)
    Y = X @ Q + noise * rng.standard_normal(X.shape)
    wide_x, wide_y = X.astype(np.longdouble), Y.astype(np.longdouble)
    D = wide_x @ wide_x.T - wide_y @ wide_y.T
    delta = float(np.sqrt((D * D).sum()) / len(X))
    W = pl.align(X, Y).map
    error = float(np.sum((X @ W - Y) ** 2) / len(X))
    c = pl.certify(X, Y)
    assert c.delta == pytest.approx(delta, rel=max(1e-9, 1e-14 / noise))
    assert c.error == pytest.approx(error, rel=max(1e-9, 1e-13 / noise))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 2), (2, 5, 4), (5, 2, 3), (300, 4, 9)])
@pytest.mark.parametrize("zero", ["X", "Y", "both", "neither"])
def test_degenerate_pairs(shape, zero):
    n, d_x, d_y = shape
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d_x)) * (zero not in ("X", "both"))
    Y = rng.standard_normal((n, d_y)) * (zero not in ("Y", "both"))
    for c in (pl.certify(X, Y), pl.certify(pl.Moments.from_arrays(X, Y))):
        assert_ordered(c)
        if zero != "neither":
            assert c.error == pytest.approx(np.sum(X**2) / n + np.sum(Y**2) / n)
            assert c.nuclear == pytest.approx(c.energy)
        assert "nan" not in repr(c)


def test_duplicated_rows_change_nothing_per_object():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 3))
    once, thrice = pl.certify(X, Y), pl.certify(np.tile(X, (3, 1)), np.tile(Y, (3, 1)))
    for name in ("energy", "delta", "nuclear", "error", "lower", "floor"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name), rel=1e-10)


@pytest.mark.parametrize("factor", [1e-150, 1e-75, 1e75, 1e150])
def test_every_value_is_homogeneous_of_degree_two(factor):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((500, 4)), rng.standard_normal((500, 3))
    for certify in (pl.certify, lambda *a: pl.certify(pl.Moments.from_arrays(*a))):
        plain, scaled = certify(X, Y), certify(factor * X, factor * Y)
        for name in [*CHAIN, "energy", "delta", "nuclear", "floor", "lipschitz", "spectrum_aware"]:
            value = getattr(scaled, name) / factor / factor
            assert value == pytest.approx(getattr(plain, name), rel=1e-9)


def test_lipschitz_is_infinite_without_full_rank():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3))
    X[:, 2] = 0
    assert pl.certify(X, X[:, ::-1] * 2).lipschitz == np.inf
    assert pl.certify(X[:, :2], X[:, 1::-1] * 2).lipschitz < np.inf


def test_float32_keeps_seven_digits():
    rng = np.random.default_rng(2)
    n, d = 40_000, 16
    latent = rng.standard_normal((n, d)) / (1 + np.arange(d)) + 0.2
    for noise in (1e-3, 0.03, 0.3, 1.0):
        X = latent.astype(np.float32)
        Y = (
            latent @ ortho_group.rvs(d, random_state=3) + noise * rng.standard_normal((n, d))
        ).astype(np.float32)
        narrow, wide = pl.certify(X, Y), pl.certify(X.astype(float), Y.astype(float))
        for name in [*CHAIN, "energy", "delta", "nuclear", "floor"]:
            assert getattr(narrow, name) == pytest.approx(getattr(wide, name), rel=1e-7)


def test_the_moments_path_is_taken_for_tall_arrays_and_agrees():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60_000, 30)), rng.standard_normal((60_000, 20))
    tall, moments = pl.certify(X, Y), pl.certify(pl.Moments.from_arrays(X, Y))
    assert tall.method == moments.method == "moments"
    for name in set(vars(tall)) - {"method"}:
        assert getattr(tall, name) == pytest.approx(getattr(moments, name), rel=1e-12)
    half = pl.Moments.from_arrays(X[:30_000], Y[:30_000])
    rest = pl.Moments.from_arrays(X[30_000:], Y[30_000:])
    added = pl.certify(half + rest)
    for name in set(vars(tall)) - {"method"}:
        assert getattr(added, name) == pytest.approx(getattr(tall, name), rel=1e-9)


@pytest.mark.parametrize("noise", [0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize(("n", "d"), [(50, 3), (3000, 8), (60_000, 30)])
def test_delta_is_known_to_within_its_resolution(n, d, noise):
    """ε² = ⟨G − H, G − H⟩ with G − H = ½(PSᵀ + SPᵀ), where P = X − Y is known exactly."""
    rng = np.random.default_rng(n + d)
    X = rng.integers(-(2**15), 2**15, (n, d)) / 2.0**15 + 0.5
    P = noise * rng.integers(-8, 9, (n, d)) if noise < 1e-4 else noise * rng.standard_normal((n, d))
    Y = X - P
    P = X - Y
    S = X + Y
    pp, ps, ss = P.T @ P, P.T @ S, S.T @ S
    delta = np.sqrt((np.vdot(pp, ss) + np.vdot(ps, ps.T)) / 2) / n
    scale = np.hypot(np.linalg.norm(X.T @ X), np.linalg.norm(Y.T @ Y)) / n
    arrays, moments = pl.certify(X, Y), pl.certify(pl.Moments.from_arrays(X, Y))
    for certificate in (arrays, moments):
        assert abs(certificate.delta - delta) <= certificate.resolution
        assert ("<" in repr(certificate)) == (certificate.delta < certificate.resolution)
    assert moments.resolution <= 1e-7 * scale
    assert arrays.resolution <= max(1e-12 * scale, 1e-10 * delta)
    assert arrays.method == ("moments" if n == 60_000 and noise == 1e-2 else "QR")


def test_float32_products_know_less():
    rng = np.random.default_rng(0)
    X, Y = (rng.standard_normal((40_000, 40)).astype(np.float32) for _ in "XY")
    narrow, wide = pl.certify(X, Y), pl.certify(X.astype(float), Y.astype(float))
    assert 0 < abs(narrow.delta - wide.delta) <= narrow.resolution < 1e-5 * narrow.delta
    assert wide.resolution < 1e-12


def test_certificates_print_themselves():
    rng = np.random.default_rng(0)
    c = pl.certify(rng.standard_normal((50, 4)), rng.standard_normal((50, 3)))
    for text in (repr(c), c._repr_html_()):
        for value in (c.energy, c.delta, c.error, c.lower, c.upper, c.theorem, c.rank_aware):
            assert f"{value:.4g}" in text
    assert "<svg" in c._repr_html_()
    assert "<table" in pl.certify(np.zeros((2, 1)), np.zeros((2, 1)))._repr_html_()


@settings(max_examples=300, deadline=None)
@given(pairs())
def test_best_upper_is_the_least_of_all_upper_bounds(pair):
    c = pl.certify(*pair)
    assert c.best_upper == min(c.upper, c.spectrum_aware, c.theorem, c.lipschitz)
    assert c.error <= c.best_upper


def test_best_upper_is_either_bound():
    """Axes all turned by one angle attain T3; disjoint supports attain the lens's upper side."""
    turned = pl.certify(*families.tilted([0.3] * 4, [1.0] * 4))
    assert turned.best_upper == turned.lipschitz < turned.upper
    assert turned.best_upper == pytest.approx(turned.error)
    apart = pl.certify(*families.extremal(9, 3, 4))
    assert apart.best_upper == apart.upper < apart.lipschitz
    assert apart.best_upper == pytest.approx(apart.error)


@pytest.mark.parametrize("exponent", [-150, -100, -90, -78, 78, 90, 100, 150])
def test_no_scale_falls_between_the_safe_ranges(exponent):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20_000, 40)), rng.standard_normal((20_000, 40))
    factor = 10.0**exponent
    plain, scaled = pl.certify(X, Y), pl.certify(factor * X, factor * Y)
    for name in [*CHAIN, "energy", "delta", "nuclear", "floor", "lipschitz", "spectrum_aware"]:
        value = getattr(scaled, name) / factor / factor
        assert value == pytest.approx(getattr(plain, name), rel=1e-9)


def test_a_side_that_is_next_to_nothing_stands_at_the_corner_of_the_lens():
    rng = np.random.default_rng(0)
    for d in range(2, 30):
        c = pl.certify(rng.standard_normal((100, d)), 1e-200 * rng.standard_normal((100, d)))
        assert c.lens_point == (pytest.approx(1), pytest.approx(1))
        assert max(c.lens_point) <= 1
        assert "<svg" in c._repr_html_()
