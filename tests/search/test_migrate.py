"""Re-scoring, half-migrated indexes and recalibration, against plain computations."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import procrustes_lab as pl
from procrustes_lab.search.migrate import Recalibration, half_migrated, most_retrieved, rescore
from procrustes_lab.search.retrieval import search


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def models(n=300, d=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d))
    new, old = (unit(Z + noise * rng.standard_normal((n, d))) for _ in range(2))
    return new, old @ ortho_group.rvs(d, random_state=1)


def test_rescoring_everything_is_the_new_models_search():
    new, old = models()
    found, _ = search(old[:20], old, 300)
    result = rescore(found, new[:20], new)
    expected, scores = search(new[:20], new, 300)
    np.testing.assert_array_equal(result.found, expected)
    np.testing.assert_allclose(result.scores, scores)
    assert result.distinct == 300


def test_rescoring_asks_for_each_document_once_and_only_for_what_was_found():
    new, old = models()
    found, _ = search(old[:20], old, 5)
    asked = []

    def encoder(rows):
        asked.append(rows)
        return new[rows]

    result = rescore(found, new[:20], encoder)
    assert [list(rows) for rows in asked] == [sorted(set(found.ravel()))]
    assert result.distinct == len(asked[0]) <= 100
    np.testing.assert_array_equal(np.sort(result.found), np.sort(found))
    assert (np.diff(result.scores) <= 0).all()


@pytest.mark.parametrize(
    ("found", "documents", "message"),
    [
        (np.zeros((3, 2)), np.ones((9, 8)), "float64 values"),
        (np.zeros((2, 2), int), np.ones((9, 8)), "one line for each query"),
        (np.zeros((3, 2), int), np.ones((9, 7)), "as wide as the queries"),
        (np.zeros((3, 2), int), np.full((9, 8), np.nan), "NaN"),
    ],
)
def test_what_cannot_be_rescored_is_told(found, documents, message):
    with pytest.raises(ValueError, match=message):
        rescore(found, np.ones((3, 8)), documents)


def test_a_half_migrated_index_begins_carried_and_ends_embedded():
    new, old = models()
    carried = pl.align(new, old).inverse().apply(old)
    np.testing.assert_allclose(half_migrated(carried, new, np.zeros(300, bool)), unit(carried))
    np.testing.assert_allclose(half_migrated(3 * carried, 5 * new, np.ones(300, bool)), new)
    mixed = half_migrated(carried, new, np.arange(300) < 100)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1)
    np.testing.assert_allclose(mixed[:100], new[:100])
    with pytest.raises(ValueError, match="n truth values"):
        half_migrated(carried, new, np.arange(300))


def test_most_retrieved_come_first_and_the_never_found_last():
    order = most_retrieved([[2, 4], [4, 1], [4, 2]], 6)
    assert order.tolist() == [4, 2, 1, 0, 3, 5]


def test_recalibrated_scores_rise_with_the_scores_and_are_right_on_the_mean():
    rng = np.random.default_rng(0)
    native = rng.uniform(0, 1, 5000)
    aligned = 0.7 * native**2 + 0.05 * rng.standard_normal(5000)
    fitted = Recalibration.fit(aligned[:2500], native[:2500])
    again = Recalibration(fitted.knots.copy())
    restored = again.apply(aligned[2500:])
    assert abs(restored.mean() - native[2500:].mean()) < 0.02
    assert abs(aligned[2500:].mean() - native[2500:].mean()) > 0.2
    order = np.argsort(aligned[2500:])
    assert (np.diff(restored[order]) >= 0).all()
    # As many pass a threshold as before, where without it hardly any does.
    assert abs((restored > 0.6).mean() - (native[2500:] > 0.6).mean()) < 0.03
    assert (aligned[2500:] > 0.6).mean() < 0.15


def test_recalibration_needs_two_finite_columns():
    with pytest.raises(ValueError, match="equally many"):
        Recalibration.fit([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="finite"):
        Recalibration.fit([1.0, np.nan], [1.0, 2.0])
