"""Rivals: each is what its name says, and none looks at what it is judged by."""

import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.linear_model import LinearRegression, Ridge

import procrustes_lab as pl
from procrustes_lab.search import retrieval, rivals


def some_pairs(n=200, d_x=6, d_y=6, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x)) @ np.diag(1 / (1 + np.arange(d_x))) + 0.3
    return X, X @ rng.standard_normal((d_x, d_y)) + noise * rng.standard_normal((n, d_y)) - 0.5


@pytest.mark.parametrize("name", rivals.RIVALS)
@pytest.mark.parametrize("d_y", [4, 6, 9])
def test_every_rival_gives_comparable_vectors(name, d_y):
    X, Y = some_pairs(d_y=d_y)
    X, Y, new, index = X[:150], Y[:150], X[150:], Y[150:]
    rival = rivals.RIVALS[name]().fit(X, Y)
    moved, kept = rival.transform(new), rival.transform_target(index)
    assert moved.shape == kept.shape
    assert np.isfinite(moved).all()
    again = rivals.RIVALS[name]().fit(X, Y).transform(new)
    np.testing.assert_array_equal(moved, again)


def test_least_squares_and_ridge_are_scikit_learns():
    X, Y = some_pairs()
    expected = LinearRegression(fit_intercept=False).fit(X, Y).coef_.T
    np.testing.assert_allclose(rivals.least_squares(X, Y), expected, atol=1e-10)
    penalty = 0.1 * np.mean(np.linalg.eigvalsh(X.T @ X))
    expected = Ridge(alpha=penalty, fit_intercept=False).fit(X, Y).coef_.T
    np.testing.assert_allclose(rivals.ridge(0.1)(X, Y), expected, atol=1e-10)


def test_orthogonal_rivals_are_align():
    X, Y = some_pairs()
    for name, options in {
        "orthogonal": {},
        "centred orthogonal": {"center": True},
        "orthogonal with scale": {"scale": True},
    }.items():
        rival, alignment = rivals.RIVALS[name]().fit(X, Y), pl.align(X, Y, **options)
        moved = rival.transform(X) + (alignment.target_mean if name.startswith("cen") else 0)
        np.testing.assert_allclose(moved, alignment.apply(X), atol=1e-10)


def test_rotation_has_determinant_one_and_is_the_best_of_them():
    X = some_pairs(d_x=3)[0]
    mirrored = X @ np.diag([1.0, 1.0, -1.0]) @ ortho_group.rvs(3, random_state=1)
    R = rivals.rotation(X, mirrored)
    assert np.linalg.det(R) == pytest.approx(1)
    least = np.sum((X @ R - mirrored) ** 2)
    rng = np.random.default_rng(0)
    for _ in range(300):
        Q = ortho_group.rvs(3, random_state=rng)
        Q[:, 0] *= np.sign(np.linalg.det(Q))
        assert np.sum((X @ Q - mirrored) ** 2) >= least - 1e-9


def test_choice_is_made_by_held_out_pairs():
    X, Y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in some_pairs(noise=0.01))

    def scrambled(x, y):
        return -rivals.least_squares(x, y)

    assert rivals.pair_retrieval(rivals.least_squares, X, Y) > 0.5
    assert rivals.pair_retrieval(scrambled, X, Y) < 0.1
    chosen = rivals.chosen([scrambled, rivals.least_squares])(X, Y)
    np.testing.assert_array_equal(chosen, rivals.least_squares(X, Y))


def test_whiten_auto_is_the_whitening_that_held_out_pairs_choose():
    X, Y = some_pairs()
    expected = pl.align(X, Y, whiten=chosen_whitening(X, Y)).map
    np.testing.assert_array_equal(rivals.RIVALS["whiten auto"]().fit(X, Y).map, expected)


def test_a_single_pair_chooses_the_first():
    X, Y = some_pairs(n=1)
    assert rivals.best([rivals.least_squares, rivals.orthogonal], X, Y) == 0


def test_relative_representations_ignore_rotation_and_length():
    X, _ = some_pairs()
    turned = 7.0 * X @ ortho_group.rvs(6, random_state=0)
    rival = rivals.RelativeRepresentations(50).fit(X, turned)
    np.testing.assert_allclose(rival.transform(X), rival.transform_target(turned), atol=1e-12)
    assert rival.transform(X).shape == (200, 50)


def test_bootstrap_interval_covers_the_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        low, high = rivals.bootstrap_interval(rng.exponential(size=200), rng, draws=300)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / 400 <= 0.98


def chosen_whitening(X, Y, center=False):
    candidates = [rivals.whitened(beta) for beta in rivals.WHITENINGS]
    return rivals.WHITENINGS[rivals.best(candidates, X, Y, center=center)]


def pairs_with_a_private_part(spread, seed, n=2500):
    """Six shared directions of variance near 1, a hundred private ones of the given spread."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 6))
    X, Y = (
        np.hstack(
            [shared + 0.3 * rng.standard_normal((n, 6)), spread * rng.standard_normal((n, 100))]
        )
        for _ in range(2)
    )
    return X, Y[:, ::-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("center", [False, True])
def test_held_out_pairs_choose_the_whitening(center, seed):
    """Strong directions that are not shared drown the others; weak ones should stay weak."""
    X, Y = pairs_with_a_private_part(3.0, seed)
    assert chosen_whitening(X, Y, center) > 0
    X, Y = pairs_with_a_private_part(0.3, seed)
    assert chosen_whitening(X, Y, center) == 0


def test_the_smaller_of_whitenings_that_tie_is_chosen():
    X, Y = some_pairs(d_x=1, d_y=1)  # one direction leaves nothing to reweight
    assert chosen_whitening(X, Y) == 0


def test_a_chosen_whitening_sees_neither_turn_nor_unit():
    X, Y = pairs_with_a_private_part(3.0, 0, n=600)
    turned = X @ ortho_group.rvs(106, random_state=1)
    assert chosen_whitening(1e150 * turned, 1e-150 * Y) == chosen_whitening(X, Y) > 0


def test_only_so_many_pairs_choose(monkeypatch):
    monkeypatch.setattr(rivals, "TRIAL", 300)
    searched = []
    monkeypatch.setattr(
        rivals, "ranks", lambda Q, D, own: searched.append(D.shape) or retrieval.ranks(Q, D, own)
    )
    chosen_whitening(*pairs_with_a_private_part(3.0, 0))
    assert set(searched) == {(300, 106)}
