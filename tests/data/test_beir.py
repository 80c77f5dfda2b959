import json
import math

import numpy as np
import pytest

from procrustes_lab.data import beir, datasets
from procrustes_lab.search import retrieval

CORPUS = [
    {"_id": "d1", "title": "Turning", "text": "A rotation turns."},
    {"_id": "d2", "title": "", "text": "A reflection mirrors."},
    {"_id": "d3", "text": "A projection drops."},
]
QUERIES = [
    {"_id": "q1", "text": "what turns"},
    {"_id": "q2", "text": "what mirrors"},
    {"_id": "q3", "text": "asked, never judged"},
    {"_id": "q4", "text": "judged, never answered"},
]
QRELS = "query-id\tcorpus-id\tscore\nq2\td2\t2\nq2\td1\t1\nq1\td1\t1\nq4\td3\t0\n"


@pytest.fixture
def folder(tmp_path):
    for name, entries in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = "".join(f"{json.dumps(entry)}\n" for entry in entries)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    return tmp_path


def test_a_folder_is_read_as_it_is_written(folder):
    read = beir.load(str(folder))
    assert read.document_ids == ("d1", "d2", "d3")
    assert read.documents == (
        "Turning A rotation turns.",
        "A reflection mirrors.",
        "A projection drops.",
    )
    assert read.query_ids == ("q1", "q2")
    assert read.queries == ("what turns", "what mirrors")
    assert read.judgements == ({0: 1}, {1: 2, 0: 1})
    assert repr(read) == "Collection(3 documents, 2 queries, 3 judgements)"


def test_blank_lines_byte_order_mark_and_windows_line_ends_change_nothing(folder):
    expected = beir.load(folder)
    for path in (*folder.glob("*.jsonl"), folder / "qrels" / "test.tsv"):
        lines = path.read_text().splitlines()
        path.write_bytes("\r\n\r\n".join(lines).encode("utf-8-sig"))
    assert beir.load(folder) == expected


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing; a BEIR folder has corpus"):
        beir.load(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "x", "text": ', r"is not JSON \(Expecting value at column 22\)"),
        ('["x", "y"]', "is a JSON list; expected an object"),
        ('{"text": "y"}', "has _id None; expected a string"),
        ('{"_id": 7, "text": "y"}', "has _id 7; expected a string"),
        ('{"_id": "x", "text": null}', "has text None; expected a string"),
        ('{"_id": "x", "text": "caf\xe9"}', r"is not UTF-8 \(byte 26\)"),
    ],
)
def test_a_broken_text_is_named_by_file_and_line(folder, name, line, message):
    with (folder / name).open("ab") as file:
        file.write(b"\n" + line.encode("latin-1") + b"\n")
    number = len((folder / name).read_bytes().splitlines())
    with pytest.raises(ValueError, match=rf"{name}, line {number}, {message}"):
        beir.load(folder)


@pytest.mark.parametrize(("name", "first"), [("corpus.jsonl", "d1"), ("queries.jsonl", "q1")])
def test_an_identifier_occurs_once(folder, name, first):
    lines = (folder / name).read_text().splitlines()
    (folder / name).write_text("\n".join([*lines, lines[0]]))
    message = rf"{name}, line {len(lines) + 1}, has _id '{first}', as an earlier line does"
    with pytest.raises(ValueError, match=message):
        beir.load(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_an_empty_file_is_named(folder, name):
    (folder / name).write_text("\n")
    with pytest.raises(ValueError, match=rf"{name} is empty; expected one JSON object a line"):
        beir.load(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td2", "has 2 columns; expected query, document and score"),
        ("q9\td2\t1", "judges the query 'q9', which is not there"),
        ("q1\td9\t1", "judges the document 'd9', which is not there"),
        ("q1\td1\t0", "gives 'd1' the grade 0 for 'q1', and an earlier line 1"),
        ("q1\td2\tgood", "has the score 'good'; expected a whole number"),
        ("q1\td2\t0.5", "has the score '0.5'; expected a whole number"),
    ],
)
def test_a_broken_judgement_is_named_by_file_and_line(folder, line, message):
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=rf"test\.tsv, line 6, {message}"):
        beir.load(folder)


def test_something_must_be_relevant(folder):
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t0\n")
    with pytest.raises(ValueError, match=r"test\.tsv calls no document relevant"):
        beir.load(folder)


def test_graded_metrics_follow_their_definitions(folder):
    # q2 ranks d3, d1 (grade 1), d2 (grade 2); ideal is d2, d1. q1 ranks d1 first.
    values = beir.evaluate(beir.load(folder), [1, 0], [[2, 0, 1], [0, 1, 2]])
    gain = (1 / math.log2(3) + 2 / math.log2(4)) / (2 / math.log2(2) + 1 / math.log2(3))
    np.testing.assert_allclose(values, [[gain, 1, 1 / 2], [1, 1, 1]], rtol=0, atol=1e-12)


def test_what_is_not_found_counts_for_nothing(folder):
    values = beir.evaluate(beir.load(folder), [0], [[2, 1]])
    assert (values == 0).all()


def test_evaluate_wants_a_row_for_each_query(folder):
    with pytest.raises(ValueError, match=r"found has shape \(1, 2\), queries have shape \(2,\)"):
        beir.evaluate(beir.load(folder), [0, 1], [[2, 1]])


def known_items(n):
    names = tuple(f"name {i}" for i in range(n))
    texts = tuple(f"text {i}" for i in range(n))
    data = datasets.ApiDescriptions(names, texts, texts, ("x",) * n, {})
    return beir.from_descriptions(data)


def test_trec_eval_agrees_with_the_known_item_metrics():
    rng = np.random.default_rng(0)
    n, d = 400, 6
    documents = rng.normal(size=(n, d))
    queries = documents + 1.5 * rng.normal(size=(n, d))
    collection, everyone = known_items(n), np.arange(n)
    found, _ = retrieval.search(queries, documents, n)
    ndcg, recall, reciprocal = beir.evaluate(collection, everyone, found).T
    ranks = retrieval.ranks(queries, documents, everyone)
    assert ranks.max() > 100  # so that recall and nDCG have something to cut off
    np.testing.assert_allclose(ndcg.mean(), retrieval.gains(ranks).mean(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(recall.mean(), np.mean(ranks <= 100), rtol=0, atol=1e-12)
    np.testing.assert_allclose(reciprocal.mean(), np.mean(1 / ranks), rtol=0, atol=1e-12)


def test_grades_of_known_items_are_those_of_trec_eval():
    rng = np.random.default_rng(1)
    documents = rng.normal(size=(300, 5))
    asked = np.arange(0, 300, 3)
    queries = documents[asked] + 1.5 * rng.normal(size=(100, 5))
    collection = known_items(300)
    found, _ = retrieval.search(queries, documents, 300)
    expected = beir.evaluate(collection, asked, found)
    assert (expected[:, 1] == 0).any()
    values = beir.grade(collection, asked, queries, documents)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_grades_of_several_answers_count_them_all(folder):
    collection = beir.load(folder)
    values = beir.grade(collection, [1], [[1.0, 0.5]], [[0, 1], [1, 0], [-1, 0]])
    assert values.tolist() == [[1, 1, 1]]  # d2 (grade 2), then d1 (grade 1): the ideal


def test_nothing_is_fitted_on_that_answers_an_evaluated_query(folder):
    collection = beir.load(folder)
    for seed in range(5):
        fitted, evaluated = collection.split(1, seed)
        answers = set(collection.judgements[evaluated[0]])
        assert set(fitted) == {0, 1, 2} - answers
    fitted, evaluated = collection.split(10, 0)
    assert (fitted.tolist(), evaluated.tolist()) == ([2], [0, 1])


def test_a_split_needs_queries_and_leaves_documents(folder):
    with pytest.raises(ValueError, match="held_out is 0; expected at least 1"):
        beir.load(folder).split(0, 0)
    with pytest.raises(ValueError, match="held_out is 3, and every document answers one"):
        known_items(3).split(3, 0)


def test_descriptions_become_known_items():
    collection = known_items(3)
    assert collection.document_ids == collection.query_ids == ("name 0", "name 1", "name 2")
    assert collection.judgements == ({0: 1}, {1: 1}, {2: 1})
    data = datasets.ApiDescriptions(("a", "b"), ("p", "q"), ("r", "s"), ("x", "x"), {})
    second = beir.from_descriptions(data, [1])
    assert (second.documents, second.queries, second.judgements) == (("s",), ("q",), ({0: 1},))
