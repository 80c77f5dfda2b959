import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from procrustes_lab.search import retrieval
from procrustes_lab.search.retrieval import (
    bootstrap_interval,
    gains,
    ranks,
    search,
)


@st.composite
def integer_sides(draw):
    """Small integer queries and documents: exact scores, and many ties."""
    d = draw(st.integers(1, 3))
    shape = st.tuples(st.integers(1, 6), st.just(d))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return tuple(rng.integers(-2, 3, size=draw(shape)) for _ in range(2))


@given(sides=integer_sides(), data=st.data())
@settings(deadline=None)
def test_search_sorts_by_score_then_by_row(sides, data):
    queries, documents = sides
    k = data.draw(st.integers(1, len(documents)))
    with patch.object(retrieval, "BLOCK", data.draw(st.integers(1, 40))):
        indices, scores = search(queries, documents, k)
    for i, query in enumerate(queries.tolist()):
        dots = [sum(a * b for a, b in zip(query, row, strict=True)) for row in documents.tolist()]
        expected = sorted(range(len(dots)), key=lambda j: (-dots[j], j))[:k]
        assert indices[i].tolist() == expected
        assert scores[i].tolist() == [dots[j] for j in expected]


def test_an_index_of_float32_is_searched_in_it_where_its_range_has_room():
    rng = np.random.default_rng(4)
    queries = rng.standard_normal((20, 16))
    documents = rng.standard_normal((300, 16)).astype(np.float32)
    rows, expected = search(queries, documents.astype(float), 5)
    found, scores = search(queries, documents, 5)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_array_equal(scores, scores.astype(np.float32))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    for scale in (2.0**100, 2.0**-100):  # whose squares float32 has not
        found, scores = search(scale * queries, np.float32(scale) * documents, 5)
        np.testing.assert_array_equal(found, rows)
        np.testing.assert_allclose(scores, scale**2 * expected, rtol=1e-12)


@given(sides=integer_sides(), data=st.data())
@settings(deadline=None)
def test_rank_counts_the_documents_that_score_no_worse(sides, data):
    queries, documents = sides
    answer = st.integers(0, len(documents) - 1)
    relevant = data.draw(st.lists(answer, min_size=len(queries), max_size=len(queries)))
    with patch.object(retrieval, "BLOCK", data.draw(st.integers(1, 40))):
        found = ranks(queries, documents, relevant)
    dots = [[int(q @ d) for d in documents] for q in queries]
    expected = [sum(dot >= row[j] for dot in row) for row, j in zip(dots, relevant, strict=True)]
    assert found.tolist() == expected


def test_search_agrees_with_sorting_everything(monkeypatch):
    monkeypatch.setattr(retrieval, "BLOCK", 5_000)
    rng = np.random.default_rng(0)
    queries, documents = rng.standard_normal((40, 16)), rng.standard_normal((900, 16))
    indices, scores = search(queries, documents, 25)
    everything = np.sum(queries[:, None, :] * documents[None, :, :], axis=2)
    assert (indices == np.argsort(-everything, axis=1)[:, :25]).all()
    np.testing.assert_allclose(scores, -np.sort(-everything, axis=1)[:, :25], rtol=0, atol=1e-13)


def test_a_query_that_says_nothing_ranks_last():
    documents = np.eye(5)
    assert ranks(np.zeros((1, 5)), documents, [0]).tolist() == [5]
    assert ranks(documents, documents, range(5)).tolist() == [1] * 5


def test_rotating_both_sides_changes_no_rank():
    rng = np.random.default_rng(1)
    queries, documents = rng.standard_normal((30, 8)), rng.standard_normal((200, 8))
    rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    relevant = rng.integers(200, size=30)
    rotated = ranks(queries @ rotation, documents @ rotation, relevant)
    assert (rotated == ranks(queries, documents, relevant)).all()


def test_half_precision_scores_in_double():
    documents = np.array([[0.1, 3.0], [3.0, 0.1]], dtype=np.float16)
    _, scores = search(documents, documents, 1)
    assert scores.dtype == np.float64
    assert scores[0, 0] == float(documents[0, 0]) ** 2 + 9


def test_ndcg_agrees_with_scikit_learn():
    rng = np.random.default_rng(2)
    queries, documents = rng.standard_normal((50, 4)), rng.standard_normal((30, 4))
    relevant = rng.integers(30, size=50)
    scores = queries @ documents.T
    graded = np.eye(30)[relevant]
    found = ranks(queries, documents, relevant)
    for k in (1, 3, 10, 30):
        assert gains(found, k).mean() == pytest.approx(ndcg_score(graded, scores, k=k), abs=1e-14)


def test_metrics_by_hand():
    found = [1, 2, 4, 100]
    assert np.mean(gains(found, 1) > 0) == 0.25
    assert np.mean(gains(found, 4) > 0) == 0.75
    assert np.mean(gains(found, 99) > 0) == 0.75
    assert np.mean(gains(found, 100) > 0) == 1
    assert gains(found, 3).mean() == pytest.approx((1 + 1 / math.log2(3)) / 4, abs=1e-15)


def test_recall_is_what_search_finds():
    rng = np.random.default_rng(3)
    queries, documents = rng.standard_normal((60, 5)), rng.standard_normal((40, 5))
    relevant = rng.integers(40, size=60)
    found = ranks(queries, documents, relevant)
    for k in (1, 7, 40):
        hits = (search(queries, documents, k)[0] == relevant[:, None]).any(axis=1)
        assert np.mean(gains(found, k) > 0) == hits.mean()


SIDE = np.eye(3)
NAN = np.array([[0.0, np.nan, 0.0]])
BAD_SEARCHES = {
    "k too small": (SIDE, SIDE, 0, r"k is 0; expected 1 to 3"),
    "k too large": (SIDE, SIDE, 4, r"k is 4; expected 1 to 3"),
    "vector": (SIDE[0], SIDE, 1, r"queries has 1 dimension"),
    "empty": (SIDE, SIDE[:0], 1, r"documents is empty"),
    "NaN query": (NAN, SIDE, 1, r"queries has NaN in row 0, column 1"),
    "NaN document": (SIDE, NAN, 1, r"documents has NaN in row 0, column 1"),
    "another space": (SIDE, np.eye(4), 1, r"queries have 3 columns, documents have 4"),
}


@pytest.mark.parametrize(
    ("queries", "documents", "k", "message"), BAD_SEARCHES.values(), ids=BAD_SEARCHES
)
def test_bad_searches_are_refused(queries, documents, k, message):
    with pytest.raises(ValueError, match=message):
        search(queries, documents, k)


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ([0, 1], r"relevant holds int64 values, shape \(2,\); expected integers, shape \(3,\)"),
        ([0.0, 1.0, 2.0], r"relevant holds float64 values"),
        ([[0], [1], [2]], r"shape \(3, 1\)"),
        ([0, 1, 3], r"relevant runs from 0 to 3; expected rows of documents, 0 to 2"),
        ([-1, 1, 2], r"relevant runs from -1 to 2"),
    ],
)
def test_bad_answers_are_refused(relevant, message):
    with pytest.raises(ValueError, match=message):
        ranks(SIDE, SIDE, relevant)


@pytest.mark.parametrize("bad", [[0, 1], [], [1.0, 2.0], [[1, 2]]])
def test_bad_ranks_are_refused(bad):
    with pytest.raises(ValueError, match="expected one positive integer per query"):
        gains(bad)


def test_bad_cutoffs_are_refused():
    with pytest.raises(ValueError, match="k is 0; expected at least 1"):
        gains([1, 2], 0)
    with pytest.raises(TypeError):
        gains([1, 2], 2.5)


def test_bootstrap_interval_covers_the_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(400):
        values = rng.exponential(size=200)
        low, high = bootstrap_interval(values, seed, draws=300)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / 400 <= 0.98
