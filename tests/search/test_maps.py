"""Maps: each is what its name says, by an independent computation."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power
from sklearn.linear_model import LinearRegression, Ridge

import procrustes_lab as pl
from procrustes_lab.search.maps import DEFAULT, MAPS, RANK, Spectra, indexed


def some_pairs(n=300, d_x=7, d_y=5, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x)) / (1 + np.arange(d_x)) + 0.3
    return X, X @ rng.standard_normal((d_x, d_y)) + noise * rng.standard_normal((n, d_y)) - 0.5


def ranking(scores):
    return np.argsort(-scores, axis=1, kind="stable")


@pytest.mark.filterwarnings("ignore:.*optimization hasn't converged")
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("d_y", [4, 7, 9])
def test_every_map_makes_queries_for_its_index_and_is_the_same_twice(name, d_y):
    X, Y = some_pairs(d_y=d_y)
    fitted = MAPS[name](X[:200], Y[:200])
    sources, index = fitted.query(X[200:]), indexed(fitted, Y[200:])
    assert sources.shape == index.shape
    assert np.isfinite(sources).all()
    np.testing.assert_array_equal(sources, MAPS[name](X[:200], Y[:200]).query(X[200:]))


@pytest.mark.parametrize("name", DEFAULT)
def test_maps_that_choose_tries_leave_the_index_alone_and_need_moments_only(name):
    X, Y = some_pairs()
    fitted = MAPS[name](pl.Moments.from_arrays(X, Y))
    assert isinstance(fitted, pl.Alignment)
    np.testing.assert_array_equal(indexed(fitted, Y), Y)
    np.testing.assert_allclose(fitted.query(X), MAPS[name](X, Y).query(X), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("turn", {}),
        ("centred", {"center": True}),
        ("whitened 0.3", {"whiten": 0.3}),
        ("centred, whitened 0.2", {"center": True, "whiten": 0.2}),
    ],
)
def test_some_are_aligns(name, options):
    X, Y = some_pairs()
    ours, expected = MAPS[name](X, 1e3 * Y), pl.align(X, 1e3 * Y, **options)
    np.testing.assert_allclose(ours.query(X), expected.query(X), atol=1e-9)
    np.testing.assert_allclose(ours.apply(X), expected.apply(X), atol=1e-9)
    assert ours.error == pytest.approx(expected.error)
    assert ours.error_back == pytest.approx(expected.error_back)


def test_whitening_the_target_alone_is_procrustes_to_the_whitened_target_and_back():
    X, Y = some_pairs(d_x=5)
    flat = fractional_matrix_power(Y.T @ Y / np.trace(Y.T @ Y) * 5, -0.3)
    expected = X @ pl.align(X, Y @ flat).map @ flat
    np.testing.assert_allclose(MAPS["target whitened 0.3"](X, Y).query(X), expected, atol=1e-10)


def test_a_query_that_keeps_its_mean_is_placed_where_the_other_is():
    X, Y = some_pairs()
    keeps = MAPS["target centred, whitened 0.1"](X, Y)
    zero = np.zeros((1, X.shape[1]))
    assert not keeps.query(zero).any()
    # The mean source lands on the mean target.
    np.testing.assert_allclose(keeps.apply(X).mean(axis=0), Y.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e170])
def test_least_squares_is_numpys_at_every_size_of_numbers(scale):
    X, Y = some_pairs()
    expected = X @ np.linalg.lstsq(X, Y, rcond=None)[0]
    np.testing.assert_allclose(
        MAPS["least squares"](scale * X, Y).query(scale * X), expected, atol=1e-8
    )


def test_ridge_on_documents_ranks_as_the_carried_documents_do():
    X, Y = some_pairs()
    strength = 1e-3 * np.trace(np.cov(Y.T, ddof=0)) * len(Y) / Y.shape[1]
    expected = Ridge(alpha=strength).fit(Y, X).predict(Y)
    queries = X[:50]
    fitted = MAPS["ridge on documents"](X, Y)
    scores, carried = fitted.query(queries) @ Y.T, queries @ expected.T
    offset = (scores - carried)[:, :1]
    np.testing.assert_allclose(scores - offset, carried, atol=1e-9)
    rest = expected - X.mean(axis=0)
    expected = X.mean(axis=0) + rest * np.vdot(rest, X) / np.vdot(rest, rest)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    moved = MAPS["ridge on documents, carried"](X, Y)
    np.testing.assert_allclose(moved.index(Y), unit, atol=1e-9)
    np.testing.assert_array_equal(moved.query(queries), queries)


def test_low_rank_affine_is_the_best_of_its_rank(monkeypatch):
    monkeypatch.setattr("procrustes_lab.search.maps.RANK", 2)
    X, Y = some_pairs()
    fitted = MAPS["low-rank affine"](X, Y)
    assert np.linalg.matrix_rank(fitted.map) == 2
    least = np.sum((fitted.apply(X) - Y) ** 2)
    full = LinearRegression().fit(X, Y)
    predicted = full.predict(X)
    values = np.linalg.svd(predicted - predicted.mean(axis=0), compute_uv=False)
    # Eckart and Young: what the residual of the full solution and the rank leave.
    assert least == pytest.approx(np.sum((predicted - Y) ** 2) + np.sum(values[2:] ** 2))
    assert RANK > 2


def test_a_side_that_is_missing_is_told():
    with pytest.raises(TypeError, match="missing"):
        Spectra.of(some_pairs()[0])


def test_carried_documents_have_unit_length_around_the_mean_of_the_source():
    X, Y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in some_pairs(noise=0.1))
    moved = MAPS["ridge on documents, mean kept"](X, Y).index(Y)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1)
    strength = 1e-3 * np.trace(np.cov(Y.T, ddof=0)) * len(Y) / Y.shape[1]
    rest = Ridge(alpha=strength).fit(Y, X).predict(Y) - X.mean(axis=0)
    angles = np.vecdot(moved - X.mean(axis=0), rest) / np.linalg.norm(rest, axis=1)
    # No turn of the deviation, only a stretch.
    np.testing.assert_allclose(
        angles / np.linalg.norm(moved - X.mean(axis=0), axis=1), 1, atol=1e-9
    )
    long = MAPS["ridge on documents, mean kept"](X + 2, Y).index(Y)  # about no mean of unit vectors
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), 1)


def test_in_a_cone_stretching_the_whole_lifts_every_score_and_the_deviation_none():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((3000, 12))
    cone = np.concatenate([np.full((3000, 1), 8.0), Z], axis=1)
    X = cone / np.linalg.norm(cone, axis=1, keepdims=True)
    Y = Z + 1.5 * rng.standard_normal(Z.shape)
    native = X @ X[:200].T
    excess = {
        name: (MAPS[f"ridge on documents, {name}"](X, Y).index(Y) @ X[:200].T).mean()
        - native.mean()
        for name in ("carried", "mean kept")
    }
    assert excess["carried"] > native.std() / 3
    assert abs(excess["mean kept"]) < excess["carried"] / 4
