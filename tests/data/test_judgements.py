"""Judgements are read from every format, and nothing is counted that should not be."""

import os

import numpy as np
import pytest

from procrustes_lab.data import beir
from procrustes_lab.data.beir import at_chance, read_judgements


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


QUERIES, DOCUMENTS = {"q1": 0, "q2": 1, "#3": 2}, {"d1": 0, "d2": 1, "d 3": 2}


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td 3\t0\nq2\td2\t0\nq9\td2\t1\n",
        "q1\tQ0\td2\t2\r\nq1\t0\td 3\t0\r\n\r\nq2\tQ0\td2\t0\r\nq9\tQ0\td2\t1\r\n",
        "\ufeff# by hand\nq1\td2\t2.0\nq1\td 3\t0\n# q2 d2 ?\nq2\td2\t0\nq9\td2\t1\nq1\td2\t2\n",
    ],
)
def test_judgements_are_read_in_every_format(tmp_path, text):
    read = read_judgements(write(tmp_path / "qrels", text), QUERIES, DOCUMENTS)
    assert read.grades == {0: {1: 2, 2: 0}}  # q2 has no relevant document
    assert read.unknown == 1


def test_an_id_may_begin_like_a_comment(tmp_path):
    read = read_judgements(write(tmp_path / "qrels", "#3 d1 1\n#3 0 d2 0"), QUERIES, DOCUMENTS)
    assert read.grades == {2: {0: 1, 1: 0}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("q1\td1\n", "qrels, line 1, has 2 columns"),
        ("q1\td1\t1\nq1\td2\thigh\n", "qrels, line 2, has the score 'high'"),
        (b"q1\t\xff\t1\n", "qrels, line 1, is not UTF-8"),
        ("q9\td1\t1\n", "qrels calls no document relevant"),
        ("", "qrels calls no document relevant"),
        ("q1 d1 1\nq1 d2 1\nq1 d1 0\n", "line 3, gives 'd1' the grade 0 for 'q1', and an earlier"),
    ],
)
def test_bad_judgements_are_named_with_their_line(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_judgements(write(tmp_path / "qrels", text), QUERIES, DOCUMENTS)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "qrels")
    with pytest.raises(ValueError, match="qrels is no regular file"):
        read_judgements(tmp_path / "qrels", QUERIES, DOCUMENTS)


def argued(n=60, d=16, seed=0):
    """Return documents that are queries too, each with a counter-argument close by."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((n, d))
    vectors = np.concatenate([first, first + 0.8 * rng.standard_normal((n, d))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"argument-{i}" for i in range(2 * n))
    answers = tuple({n + j: 1} for j in range(n))
    return vectors, beir.Collection(names, names, names[:n], names[:n], answers)


def test_a_query_that_is_a_document_does_not_find_itself():
    vectors, collection = argued()
    n = len(collection.queries)
    grades = beir.grade(collection, np.arange(n), vectors[:n], vectors)
    scores = vectors[:n] @ vectors.T
    scores[np.arange(n), np.arange(n)] = -np.inf
    rank = 1 + (scores > scores[np.arange(n), n + np.arange(n)][:, np.newaxis]).sum(axis=1)
    np.testing.assert_allclose(grades[:, 0], np.where(rank <= 10, 1 / np.log2(1 + rank), 0))
    np.testing.assert_allclose(grades[:, 2], 1 / rank)
    counted = np.argsort(-(vectors[:n] @ vectors.T), axis=1)[:, :11]
    np.testing.assert_array_equal(counted[:, 0], np.arange(n))
    np.testing.assert_array_equal(counted[:, 0], collection.own)


def test_an_answer_of_the_same_id_is_an_answer():
    queries, documents, judged = ("a", "b", "", "c"), ("b", "a", ""), ({1: 1}, {}, {}, {})
    collection = beir.Collection(documents, documents, queries, queries, judged)
    assert collection.own.tolist() == [-1, 0, -1, -1]


def test_queries_in_another_order_are_at_chance():
    vectors, collection = argued()
    n = len(collection.queries)
    order = np.random.default_rng(1).permutation(n)
    for rows, chance in ((np.arange(n), False), (order, True)):
        found = np.argsort(-(vectors[rows] @ vectors.T), axis=1)[:, 1:11]  # the first is itself
        assert at_chance(found, collection.judgements) is chance
