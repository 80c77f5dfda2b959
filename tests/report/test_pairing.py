"""Tests of pairing, against explicit loops and known distributions."""

import numpy as np
import pytest
from scipy import stats

import procrustes_lab as pl
from procrustes_lab.report.pairing import (
    OFFSETS,
    Pairing,
    PermutationTest,
    any_at_random,
    share_at_random,
    shifts,
    suspects,
)


def unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


def noisy_rotation(n, d, noise, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return unit(X), unit(X @ Q + noise * rng.standard_normal((n, d)))


def shuffled_in_part(Y, share, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(Y), round(share * len(Y)), replace=False)
    wrong, mixed = np.zeros(len(Y), dtype=bool), Y.copy()
    mixed[rows], wrong[rows] = Y[rng.permutation(rows)], True
    return mixed, wrong


# The permutation test


def test_z_and_p_are_their_definitions():
    test = PermutationTest(2.0, np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert test.p == 3 / 6
    assert test.z == pytest.approx(1 / np.sqrt(2.5))


def test_the_error_of_few_rows_is_the_centred_alignment_error():
    X, Y = noisy_rotation(40, 5, 0.3)
    expected = pl.align(X, Y, center=True).error
    assert Pairing(X, Y).permutation_test(3).error == pytest.approx(expected, rel=1e-12)


def test_p_is_uniform_if_nothing_is_paired():
    """P(p <= 1/20) is exactly 1/20 where all pairings are equally likely."""
    rng = np.random.default_rng(0)
    trials = 400
    pairs = ((rng.standard_normal((45, 3)), rng.standard_normal((45, 4))) for _ in range(trials))
    rejected = sum(
        Pairing(X, Y, seed=seed).permutation_test(19).p <= 0.05 for seed, (X, Y) in enumerate(pairs)
    )
    low, high = stats.binom.ppf([1e-5, 1 - 1e-5], trials, 0.05)
    assert low <= rejected <= high


def test_rows_are_shuffled_among_neighbours_only():
    """Runs of equal rows: no shuffle within them changes anything, and none within 50 rows does."""
    rng = np.random.default_rng(0)
    X, Y = (np.repeat(rng.standard_normal((8, 3)), 50, axis=0) for _ in range(2))
    test = Pairing(X, Y).permutation_test(5)
    np.testing.assert_allclose(test.shuffled, test.error, rtol=1e-12)


def test_agreement_by_chance_is_complete_where_every_pairing_is_as_good():
    assert Pairing(np.eye(20), np.eye(20)).agreement_by_chance() == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1500, 20_000])
def test_agreement_by_chance_of_gaussian_sets(n):
    """Nuclear norm of a d × d Gaussian matrix: 8/(3π) d^1.5 (quarter-circle law)."""
    rng = np.random.default_rng(0)
    d = 40
    X, Y = rng.standard_normal((2, n, d))
    expected = 8 / (3 * np.pi) * np.sqrt(d / n)
    assert Pairing(X, Y).agreement_by_chance() == pytest.approx(expected, rel=0.05)


# Offsets


@pytest.mark.parametrize("n", [400, 3000])
@pytest.mark.parametrize("k", [-7, 0, 4])
def test_a_shift_is_found_by_its_error(n, k):
    X, Y = noisy_rotation(n, 6, 0.2)
    pairs = Pairing(X, np.roll(Y, k, axis=0))
    errors = pairs.errors_by_offset()
    assert list(errors) == list(OFFSETS)
    assert min(errors, key=errors.get) == k
    assert pairs.offset(pairs.permutation_test()) == k


def test_unrelated_sides_have_no_offset():
    rng = np.random.default_rng(0)
    found = [Pairing(*rng.standard_normal((2, 200, 4)), seed=seed) for seed in range(100)]
    assert sum(p.offset(p.permutation_test()) != 0 for p in found) <= 1


def test_too_few_rows_leave_the_offset_alone():
    X, Y = noisy_rotation(69, 3, 0.1)
    assert list(Pairing(X, np.roll(Y, 1, axis=0)).errors_by_offset()) == [0]


def test_runs_are_found_where_they_were_planted():
    X, Y = noisy_rotation(1000, 8, 0.3)
    moved = np.vstack([Y[:300], Y[301:700], Y[702:], Y[:3]])  # rows 300, 700 and 701 are lost
    offsets = shifts(Pairing(X, moved).by_row(0)[1])
    changes = np.flatnonzero(np.diff(offsets)) + 1
    assert [offsets[0], *offsets[changes]] == [0, -1, -3]
    np.testing.assert_allclose(changes, [300, 700], atol=50)


@pytest.mark.parametrize("seed", range(5))
def test_right_rows_are_not_shifted(seed):
    X, Y = noisy_rotation(2000, 8, 1.0, seed)
    assert not shifts(Pairing(X, Y).by_row(0)[1]).any()


# Rows


def test_ranks_and_agreements_by_explicit_loops():
    X, Y = noisy_rotation(75, 5, 0.8)
    Y = Y[:, :4]
    ranks, agreement = Pairing(X, Y).by_row(0)
    a, b = X - X.mean(axis=0), Y - Y.mean(axis=0)
    odd = np.arange(75) // 10 % 2 == 1  # an eighth of the rows a block
    for i in range(75):
        others = odd if not odd[i] else ~odd
        mine_x, mine_y = X[others] - X[others].mean(axis=0), Y[others] - Y[others].mean(axis=0)
        U, _, Vt = np.linalg.svd(mine_x.T @ mine_y, full_matrices=False)
        scores = b @ (a[i] @ U @ Vt)
        assert ranks[i] == pytest.approx(np.sum(scores >= scores[i] - 1e-12) / 76)
        for column, k in enumerate(OFFSETS):
            expected = scores[i + k] if 0 <= i + k < 75 else np.nan
            np.testing.assert_allclose(agreement[i, column], expected, atol=1e-12)


def test_ranks_of_an_exact_rotation_are_the_least():
    X, Y = noisy_rotation(1200, 6, 0.0)
    np.testing.assert_allclose(Pairing(X, Y).partner_ranks(), 1 / 501)


def test_ranks_of_random_partners_are_uniform():
    X, Y = noisy_rotation(3000, 6, 0.1)
    rng = np.random.default_rng(1)
    for order in (rng.permutation(3000), rng.permutation(3000)):
        ranks = Pairing(X, Y[order]).partner_ranks()
        assert stats.kstest(ranks, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("d", [6, 80])  # 80: more than the pairs of a half
def test_rows_may_be_moved_and_turned_together(d):
    """Nothing depends on either side's basis."""
    X, Y = noisy_rotation(600 if d == 6 else 120, d, 1.5)
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((d, d)))[0]
    turned = Pairing(X @ Q, Y @ Q[::-1]).partner_ranks()
    np.testing.assert_allclose(turned, Pairing(X, Y).partner_ranks(), atol=2 / 501)


def test_ranks_that_thin_out_evenly_are_not_accused():
    """The worst that right pairs are supposed to do, a density 2(1 − u), is accused at most
    once in a thousand; checked on 4,000 draws."""
    rng = np.random.default_rng(0)
    draws = 1 - np.sqrt(rng.uniform(size=(4000, 300)))
    accused = sum(map(any_at_random, draws))
    assert accused <= stats.binom.ppf(0.9999, 4000, 1e-3)


def test_a_flat_floor_is_accused_and_measured():
    rng = np.random.default_rng(0)
    right, wrong = np.full(2700, 1 / 501), rng.uniform(size=300)
    ranks = np.concatenate([right, wrong])
    assert not any_at_random(right)
    assert any_at_random(ranks)
    assert share_at_random(ranks) == pytest.approx(0.1, abs=0.03)
    named = suspects(ranks)
    assert set(named) <= set(range(2700, 3000))
    assert len(named) >= 200
    assert (np.diff(ranks[named]) <= 0).all()


def test_nobody_is_suspect_without_a_floor():
    assert len(suspects(np.full(100, 1 / 101))) == 0
    assert share_at_random(np.full(100, 1 / 101)) == 0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_suspects_are_the_culprits(share):
    X, Y = noisy_rotation(3000, 12, 0.3)
    mixed, wrong = shuffled_in_part(Y, share)
    ranks = Pairing(X, mixed).partner_ranks()
    named = suspects(ranks)
    assert share_at_random(ranks) == pytest.approx(share, abs=10 / np.sqrt(3000))
    assert wrong[named].mean() >= 0.7
    assert np.isin(np.flatnonzero(wrong), named).mean() >= 0.7


# Input


def test_one_pair_is_refused():
    with pytest.raises(ValueError, match="1 row; expected at least 2"):
        Pairing(np.ones((1, 3)), np.ones((1, 3)))


def test_numbers_at_the_ends_of_the_range():
    X, Y = noisy_rotation(300, 4, 0.5)
    expected = Pairing(X, Y).partner_ranks()
    for scale in (1e-170, 1e170):
        np.testing.assert_allclose(Pairing(X * scale, Y * scale).partner_ranks(), expected)


def test_inputs_are_left_alone():
    X, Y = noisy_rotation(300, 4, 0.5)
    kept = X.copy(), Y.copy()
    pairs = Pairing(X, Y)
    pairs.permutation_test()
    pairs.by_row(2)
    np.testing.assert_array_equal((X, Y), kept)
