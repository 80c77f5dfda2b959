"""Similarity measures, against n × n definitions, and the region they share."""

import numpy as np
import pytest
import scipy.linalg
from scipy.stats import ortho_group

import procrustes_lab as pl
from procrustes_lab.core.similarity import (
    bures_range,
    bures_similarity,
    cka,
    cka_range,
    participation_ratios,
    procrustes_floor,
)
from procrustes_lab.lab import families

MEASURES = (cka, bures_similarity)


def random_pair(seed, n=40, d_x=5, d_y=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x)) + 2 * rng.standard_normal(d_x)
    return X, X[:, :d_y] + rng.uniform(0.1, 2) * rng.standard_normal((n, d_y))


def gram_matrices(X, Y, center):
    centring = np.eye(len(X)) - np.full((len(X), len(X)), 1 / len(X)) * center
    return centring @ X @ X.T @ centring, centring @ Y @ Y.T @ centring


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_against_gram_matrices(seed, center):
    X, Y = random_pair(seed)
    G, H = gram_matrices(X, Y, center)
    alignment = np.trace(G @ H) / np.sqrt(np.trace(G @ G) * np.trace(H @ H))
    root = scipy.linalg.sqrtm(G / np.trace(G)).real
    fidelity = np.trace(scipy.linalg.sqrtm(root @ (H / np.trace(H)) @ root)).real
    ratios = [np.trace(K) ** 2 / np.trace(K @ K) for K in (G, H)]
    for pair in ((X, Y), (pl.Moments.from_arrays(X, Y),)):
        assert cka(*pair, center=center) == pytest.approx(alignment, rel=1e-10)
        assert bures_similarity(*pair, center=center) == pytest.approx(fidelity, rel=1e-6)
        assert participation_ratios(*pair, center=center) == pytest.approx(ratios, rel=1e-10)


def test_cka_is_the_rv_coefficient():
    """Robert and Escoufier's definition, from covariance matrices."""
    X, Y = random_pair(7)
    joint = np.cov(np.hstack([X, Y]), rowvar=False)
    S_xx, S_xy, S_yy = joint[:5, :5], joint[:5, 5:], joint[5:, 5:]
    rv = np.trace(S_xy @ S_xy.T) / np.sqrt(np.trace(S_xx @ S_xx) * np.trace(S_yy @ S_yy))
    assert cka(X, Y) == pytest.approx(rv, rel=1e-12)


def test_the_distance_is_that_of_the_alignment_of_unit_sets():
    X, Y = random_pair(8)
    X, Y = X - X.mean(0), Y - Y.mean(0)
    X, Y = X / np.linalg.norm(X), Y / np.linalg.norm(Y)
    squared = pl.align(X, Y).error * len(X)
    assert 2 - 2 * bures_similarity(X, Y) == pytest.approx(squared, rel=1e-12)
    c = pl.certify(X, Y)
    assert c.error / c.energy == pytest.approx(1 - bures_similarity(X, Y), rel=1e-12)


def test_discrepancy_of_unit_gram_matrices():
    X, Y = random_pair(9)
    X, Y = (Z / np.linalg.norm(Z.T @ Z) ** 0.5 for Z in (X, Y))
    epsilon = pl.certify(X, Y).delta * len(X)
    assert epsilon**2 == pytest.approx(2 - 2 * cka(X, Y, center=False), rel=1e-10)


@pytest.mark.parametrize("measure", MEASURES)
def test_invariances(measure):
    X, Y = random_pair(10)
    Q = ortho_group.rvs(5, random_state=0)
    changed = measure(1e80 * X @ Q + 1e80, Y[:, ::-1] / 1e80 - 3e-80)
    assert changed == pytest.approx(measure(X, Y), rel=1e-6)
    assert measure(Y, X) == pytest.approx(measure(X, Y), rel=1e-12)
    assert measure(X, Y, center=False) != pytest.approx(measure(X, Y), rel=1e-3)


def test_ends_of_the_scale():
    X, _ = random_pair(11)
    Y = 3 * X @ ortho_group.rvs(5, random_state=0) + 1
    assert cka(X, Y) == pytest.approx(1, abs=1e-12)
    assert bures_similarity(X, Y) == pytest.approx(1, abs=1e-12)
    apart = families.extremal(6, 3, 3)
    assert cka(*apart, center=False) == bures_similarity(*apart, center=False) == 0


def test_moments_of_batches_add():
    X, Y = random_pair(12)
    batches = pl.Moments.from_batches([(X[:7], Y[:7]), (X[7:], Y[7:])])
    for measure in MEASURES:
        assert measure(batches) == pytest.approx(measure(X, Y), rel=1e-10)


@pytest.mark.parametrize("d", [1, 2, 3, 10])
def test_the_greatest_cka_is_attained(d):
    """One direction shared, the others apart; below F = 1/d, one direction shared in part."""
    n = 2 * d + 1
    for F in np.linspace(0.01, 1, 12):
        shared = max(F, 1 / d)
        own = np.sqrt((1 - shared) / max(d - 1, 1))
        X, Y = np.zeros((n, d)), np.zeros((n, d))
        X[0, 0] = np.sqrt(shared)
        Y[0, 0] = F / np.sqrt(shared)
        Y[-1, 0] = np.sqrt(max(shared - Y[0, 0] ** 2, 0))
        X[range(1, d), range(1, d)] = own
        Y[range(d, 2 * d - 1), range(1, d)] = own
        assert bures_similarity(X, Y, center=False) == pytest.approx(F)
        assert cka(X, Y, center=False) == pytest.approx(cka_range(F, d).most)


def test_the_least_cka_is_attained_in_two_dimensions():
    for F in np.linspace(0.01, 1, 12):
        more, less = (1 + np.sqrt(1 - F**2)) / 2, (1 - np.sqrt(1 - F**2)) / 2
        X, Y = np.diag(np.sqrt([more, less])), np.diag(np.sqrt([less, more]))
        assert bures_similarity(X, Y, center=False) == pytest.approx(F)
        assert cka(X, Y, center=False) == pytest.approx(cka_range(F, 2).least)


def test_random_pairs_are_in_range():
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(2000):
        _, X, Y = families.random_pair(rng, 8)
        if not (X.any() and Y.any()):
            continue
        c, F = cka(X, Y, center=False), bures_similarity(X, Y, center=False)
        least, most = cka_range(F, max(X.shape[1], Y.shape[1]))
        R = np.sqrt(np.prod(participation_ratios(X, Y, center=False)))
        assert least - 1e-12 <= c <= most + 1e-12
        assert c / R - 1e-12 <= F**2 <= 1 - (1 - c) / R + 1e-12
        seen += 1
    assert seen > 1800


def unit_gram_distance(X, Y):
    """CKA and the squared distance, both uncentred, from the Gram matrices' square roots."""
    X, Y = (Z / np.linalg.norm(Z.T @ Z) ** 0.5 for Z in (X, Y))
    overlap = np.linalg.norm(X.T @ Y, "nuc")
    return min(np.sum((X.T @ Y) ** 2), 1.0), np.sum(X**2) + np.sum(Y**2) - 2 * overlap


def test_no_pair_is_nearer_than_the_floor():
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(3000):
        _, X, Y = families.random_pair(rng, 8)
        if X.any() and Y.any():
            c, squared = unit_gram_distance(X, Y)
            assert squared >= procrustes_floor(c) - 1e-9
            assert procrustes_floor(c) >= (1 - c) / np.sqrt(2) - 1e-15
            seen += 1
    assert seen > 2700


@pytest.mark.parametrize("angle", [1e-3, 0.1, 0.3, 0.6, np.pi / 4])
def test_the_floor_is_reached_where_two_axes_swap_their_lengths(angle):
    lengths = np.sqrt([np.cos(np.pi / 4 - angle), np.sin(np.pi / 4 - angle)])
    c, squared = unit_gram_distance(np.diag(lengths), np.diag(lengths[::-1]))
    assert c == pytest.approx(np.cos(2 * angle), abs=1e-12)
    assert squared == pytest.approx(procrustes_floor(c), rel=1e-6)
    assert procrustes_floor(c) == pytest.approx(2 * np.sqrt(1 + c) - 2 * np.sqrt(2 * c), rel=1e-6)


def test_both_ends_of_the_bures_range_are_attained():
    more, less = 0.8, 0.2
    X, Y = np.diag(np.sqrt([more, less])), np.diag(np.sqrt([less, more]))
    r = np.sqrt(np.prod(participation_ratios(X, Y, center=False)))
    found = bures_similarity(X, Y, center=False)
    assert found == pytest.approx(bures_range(cka(X, Y, center=False), r).most)
    X, Y = np.eye(5)[:, :3], np.eye(5)[:, 2:]
    found = bures_similarity(X, Y, center=False)
    assert found == pytest.approx(bures_range(cka(X, Y, center=False), 3.0).least)


def test_bad_input():
    X, Y = random_pair(0)
    with pytest.raises(TypeError, match="Y \\(target\\) is missing"):
        cka(X)
    with pytest.raises(TypeError, match="expected no Y"):
        cka(pl.Moments.from_arrays(X, Y), Y)
    with pytest.raises(ValueError, match="X \\(source\\) has rows that are all equal"):
        cka(np.ones((4, 2)) / 3, np.eye(4))
    with pytest.raises(ValueError, match="Y \\(target\\) has no row but zeros"):
        bures_similarity(np.eye(4), np.zeros((4, 2)), center=False)
    with pytest.raises(ValueError, match="row i of each must be the same object"):
        bures_similarity(X, Y[1:])
    for bures, dimension in ((1.2, 3), (np.nan, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="expected"):
            cka_range(bures, dimension)
    for c in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="cka is"):
            procrustes_floor(c)
        with pytest.raises(ValueError, match="cka is"):
            bures_range(c, 2.0)
    with pytest.raises(ValueError, match=r"participation is 0\.5"):
        bures_range(0.5, 0.5)
