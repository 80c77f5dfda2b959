import json

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from procrustes_lab.data import mixbench
from procrustes_lab.data.mixbench import Items, MixedSearch
from procrustes_lab.search.rivals import RIVALS

QUERIES = [
    {"query_id": "q1", "text": "a red cat", "image": None},
    {"query_id": "q2", "text": "a dog", "image": ""},
]
CORPUS = [
    {"corpus_id": "d1", "text": "a cat that is red", "image": None},
    {"corpus_id": "d2", "text": "", "image": "d2.jpg"},
    {"corpus_id": "d3", "text": "a dog", "image": "d3.jpg"},
    {"corpus_id": 4, "image": "d4.jpg"},
]
QRELS = ["query_id\tcorpus_id\tscore", "q1\td1\t2", "q1\td2\t1", "q1\td3\t0", "q2\t4\t1"]
NAN = np.nan
ARRAYS = {
    "query_text": [[1.0, 0.0], [0.0, 1.0]],
    "corpus_text": [[3.0, 0.0], [NAN, NAN], [0.0, 2.0], [NAN, NAN]],
    "corpus_image": [[NAN, NAN, NAN], [1.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 1.0, 1.0]],
    "pair_text": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
    "pair_image": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.5]],
}


@pytest.fixture
def folder(tmp_path):
    def lines(name, records):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{record}\n" for record in records), "utf-8")

    lines("queries.jsonl", map(json.dumps, QUERIES))
    lines("mixed_corpus.jsonl", map(json.dumps, CORPUS))
    lines("qrels/qrels.tsv", QRELS)
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", np.array(array, np.float32))
    return tmp_path


def test_a_folder_is_read(folder):
    read = mixbench.read(folder)
    assert read.queries.kinds.tolist() == ["text", "text"]
    assert read.corpus.kinds.tolist() == ["text", "image", "both", "image"]
    assert list(read.relevance) == [{0: 2, 1: 1}, {3: 1}]
    assert read.answer_kinds.tolist() == ["text", "image"]
    np.testing.assert_array_equal(read.queries.text, ARRAYS["query_text"])
    np.testing.assert_array_equal(read.corpus.text[[0, 2]], [[3, 0], [0, 2]])
    np.testing.assert_array_equal(read.corpus.image[1:], ARRAYS["corpus_image"][1:])
    np.testing.assert_array_equal(read.pair_images, ARRAYS["pair_image"])
    np.testing.assert_array_equal(read.pair_texts, ARRAYS["pair_text"])
    assert read.corpus.text.dtype == np.float64


def test_blank_lines_and_a_byte_order_mark_do_no_harm(folder):
    expected = mixbench.read(folder)
    for name in ("queries.jsonl", "mixed_corpus.jsonl", "qrels/qrels.tsv"):
        path = folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    again = mixbench.read(folder)
    assert again.relevance == expected.relevance
    np.testing.assert_array_equal(again.corpus.image, expected.corpus.image)


def test_vectors_mix_unit_vectors_by_weight():
    rival = RIVALS["identity"]().fit(np.eye(2), np.eye(2))
    items = Items(
        text=np.array([[3.0, 0.0], [9.0, 9.0], [5.0, 0.0]]),
        image=np.array([[8.0, 8.0], [0.0, 0.5], [0.0, 7.0]]),
        has_text=np.array([True, False, True]),
        has_image=np.array([False, True, True]),
    )
    for weight in (0.0, 0.2, 0.5, 1.0):
        both = np.array([1 - weight, weight]) / np.hypot(1 - weight, weight)
        vectors = items.vectors(rival, image_weight=weight)
        np.testing.assert_allclose(vectors, [[1, 0], [0, 1], both], rtol=0, atol=1e-15)


def test_images_go_through_the_map_and_texts_do_not():
    quarter_turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    texts = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    images = texts @ quarter_turn
    yes, no = np.full(3, True), np.full(3, False)
    rival = RIVALS["orthogonal"]().fit(images, texts)
    for has_text, has_image in ((yes, no), (no, yes), (yes, yes)):
        vectors = Items(texts, images, has_text, has_image).vectors(rival)
        np.testing.assert_allclose(vectors, texts, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 10, 99])
def test_gain_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    q, n, d = 30, 25, 5
    grades = rng.choice([0, 0, 0, 1, 2, 3], size=(q, n))
    grades[:, 0] = 1
    sides = [rng.normal(size=(n, d)) for _ in "ti"]
    flags = rng.integers(3, size=n)
    corpus = Items(*sides, flags != 0, flags != 1)
    asked = rng.normal(size=(q, d))
    queries = Items(asked, np.zeros((q, d)), np.full(q, True), np.full(q, False))
    relevance = [{row: int(g) for row, g in enumerate(line) if g} for line in grades]
    search = MixedSearch(queries, corpus, relevance, sides[1], sides[0])
    rival = RIVALS["orthogonal"]().fit(search.pair_images, search.pair_texts)
    scores = queries.vectors(rival) @ corpus.vectors(rival).T
    expected = [ndcg_score([g], [s], k=k) for g, s in zip(grades, scores, strict=True)]
    np.testing.assert_allclose(search.ndcg(rival, k=k), expected, rtol=0, atol=1e-12)


def test_unequal_widths_are_compared_where_the_texts_are(folder):
    read = mixbench.read(folder)
    rival = RIVALS["orthogonal"]().fit(read.pair_images, read.pair_texts)
    assert read.corpus.vectors(rival).shape == (4, 2)
    # q1 lies along the first axis, as d1 and d2 do; of q2's, d3 and d4 are the nearest two.
    gains = read.ndcg(rival, k=2)
    assert gains[0] == pytest.approx(1, abs=1e-12)
    assert 0 < gains[1] <= 1


def write_line(path, number, line):
    lines = path.read_text("utf-8").splitlines()
    lines[number - 1 : number] = [line]
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize(
    ("name", "number", "line", "message"),
    [
        ("queries.jsonl", 2, "{", r"queries\.jsonl, line 2, is no JSON: .* at column 2"),
        ("queries.jsonl", 1, "[1]", r"queries\.jsonl, line 1, is a JSON list; expected an object"),
        ("queries.jsonl", 2, '{"text": "a"}', r"line 2, has query_id None; expected a name"),
        (
            "mixed_corpus.jsonl",
            3,
            '{"corpus_id": "d1", "text": "a"}',
            r"mixed_corpus\.jsonl, line 3, has corpus_id 'd1' again",
        ),
        (
            "mixed_corpus.jsonl",
            4,
            '{"corpus_id": "4", "text": "", "image": null}',
            r"mixed_corpus\.jsonl, line 4, has neither text nor image",
        ),
        ("qrels/qrels.tsv", 3, "q1 d2", r"qrels\.tsv, line 3, has 2 columns; expected query"),
        ("qrels/qrels.tsv", 2, "q9\td1\t1", r"line 2, judges the query 'q9', which is not there"),
        ("qrels/qrels.tsv", 2, "q1\td9\t1", r"line 2, judges the document 'd9', which is not ther"),
        ("qrels/qrels.tsv", 2, "q1\td1\tyes", r"line 2, has the score 'yes'; expected a whole num"),
        ("qrels/qrels.tsv", 3, "q1\td1\t1", r"line 3, gives 'd1' the grade 1 for 'q1', and an ear"),
        ("qrels/qrels.tsv", 5, "q2\t4\t0", r"qrels\.tsv has no relevant document for .*'q2'"),
    ],
)
def test_a_broken_line_is_named(folder, name, number, line, message):
    write_line(folder / name, number, line)
    with pytest.raises(ValueError, match=message) as caught:
        mixbench.read(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_a_line_that_is_not_utf8_is_named(folder):
    path = folder / "mixed_corpus.jsonl"
    path.write_bytes(path.read_bytes().replace(b"that is red", b"that is r\xe9d"))
    with pytest.raises(ValueError, match=r"mixed_corpus\.jsonl, line 1, is not UTF-8"):
        mixbench.read(folder)


@pytest.mark.parametrize("name", ["queries.jsonl", "mixed_corpus.jsonl"])
def test_an_empty_file_is_named(folder, name):
    (folder / name).write_text("\n")
    with pytest.raises(ValueError, match=rf"{name} is empty"):
        mixbench.read(folder)


@pytest.mark.parametrize(
    "name",
    ["queries.jsonl", "mixed_corpus.jsonl", "qrels/qrels.tsv", *(f"{a}.npy" for a in ARRAYS)],
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing"):
        mixbench.read(folder)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("corpus_text", np.ones((3, 2)), r"corpus_text\.npy has shape \(3, 2\); expected \(4, 2\)"),
        (
            "corpus_image",
            np.ones((4, 2)),
            r"corpus_image\.npy has shape \(4, 2\); expected \(4, 3\)",
        ),
        ("query_text", np.ones((2, 3)), r"query_text\.npy has shape \(2, 3\); expected \(2, 2\)"),
        ("query_text", np.ones(2), r"query_text\.npy has 1 dimension"),
        ("pair_text", np.ones((2, 2)), r"pair_image\.npy has 3 rows, pair_text\.npy has 2"),
        ("corpus_image", np.full((4, 3), NAN), r"corpus_image\.npy has NaN in row 1, column 0"),
    ],
)
def test_a_broken_array_is_named(folder, name, array, message):
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(ValueError, match=message):
        mixbench.read(folder)


def test_a_damaged_array_and_one_of_objects_are_refused(folder):
    path = folder / "corpus_text.npy"
    for content in (b"not numpy", path.read_bytes()[:90]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"corpus_text\.npy is no array that NumPy can read"):
            mixbench.read(folder)
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"corpus_text\.npy is no array that NumPy can read"):
        mixbench.read(folder)
