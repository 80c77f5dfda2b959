"""The scikit-learn estimator."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import procrustes_lab as pl


def some_pairs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4))
    return X, X @ rng.standard_normal((4, 3)) + 5.0


# Every check applies: a one-dimensional y is a target space of dimension one.
@parametrize_with_checks(
    [
        pl.ProcrustesAligner(),
        pl.ProcrustesAligner(True, True, 0.2),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_it_is_align():
    X, Y = some_pairs()
    fitted = pl.ProcrustesAligner(center=True, scale=True, whiten=0.1).fit(X, Y)
    expected = pl.align(X, Y, center=True, scale=True, whiten=0.1)
    np.testing.assert_array_equal(fitted.transform(X), expected.apply(X))
    assert fitted.score(X, Y) == pytest.approx(-expected_error(expected, X, Y))


def test_shrinking_and_queries_are_aligns_too():
    X, Y = some_pairs()
    W0 = np.eye(4, 3)
    fitted = pl.ProcrustesAligner(center=True, toward=(W0, 0.3)).fit(X, Y)
    expected = pl.align(X, Y, center=True, toward=(W0, 0.3))
    np.testing.assert_array_equal(fitted.query(X), expected.query(X))
    assert not np.allclose(fitted.query(X), fitted.transform(X))
    assert clone(fitted).get_params()["toward"][1] == 0.3


def test_any_real_number_in_a_grid():
    X, Y = some_pairs()
    grid = {"whiten": np.linspace(0, 0.5, 3, dtype=np.float32), "center": np.array([False, True])}
    search = GridSearchCV(pl.ProcrustesAligner(), grid, error_score="raise").fit(X, Y)
    assert search.best_estimator_.alignment_.center


def expected_error(alignment, X, Y):
    return np.mean(np.sum((alignment.apply(X) - Y) ** 2, axis=1))


def test_clone_and_pickle():
    X, Y = some_pairs()
    fitted = pl.ProcrustesAligner(center=True).fit(X, Y)
    assert clone(fitted).get_params() == {
        "center": True,
        "scale": False,
        "whiten": 0.0,
        "toward": None,
    }
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


def test_in_a_pipeline_under_grid_search():
    X, Y = some_pairs()
    pipeline = make_pipeline(StandardScaler(), pl.ProcrustesAligner())
    grid = {"procrustesaligner__center": [False, True], "procrustesaligner__scale": [False, True]}
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, Y)
    # the target's mean is far away, so centring must win
    assert search.best_params_["procrustesaligner__center"] is True
    assert search.transform(X).shape == (80, 3)
    assert list(search.best_estimator_.get_feature_names_out()) == [
        f"procrustesaligner{i}" for i in range(3)
    ]


def test_score_refuses_what_does_not_fit():
    X, Y = some_pairs()
    fitted = pl.ProcrustesAligner().fit(X, Y)
    Y[2, 1] = np.nan
    for y, message in ((Y.T, "y has 3 rows"), (Y[:, :2], "y has 2 columns"), (Y, "y has NaN")):
        with pytest.raises(ValueError, match=message):
            fitted.score(X, y)


def test_a_sparse_target_is_refused():
    X, Y = some_pairs()
    with pytest.raises(TypeError, match="sparse"):
        pl.ProcrustesAligner().fit(X, scipy.sparse.csr_array(Y))
