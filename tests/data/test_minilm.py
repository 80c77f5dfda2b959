import numpy as np
import pytest

from procrustes_lab.data import text_models
from procrustes_lab.data.beir import from_descriptions
from procrustes_lab.data.datasets import ApiDescriptions, api_descriptions
from procrustes_lab.data.encode import collection_vectors, find_vectors, save_vectors
from procrustes_lab.search.retrieval import ndcg_at, ranks

NAMES = ("first", "second", "third")
TEXTS = ("a text", "another text", "unicode: 𝑥 → ñ")


@pytest.fixture
def vectors():
    rows = np.random.default_rng(0).normal(size=(3, 384))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vectors_come_back_by_name_in_the_order_asked_for(tmp_path, vectors):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, vectors)
    found = find_vectors(tmp_path / "v.npz", NAMES[::-1], TEXTS[::-1])
    assert (found.rows.tolist(), found.changed, found.unknown) == ([0, 1, 2], (), ())
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=0, atol=1e-15)
    assert np.sum(found.vectors * vectors[::-1], axis=1).min() > 0.9999


def test_changed_texts_and_unknown_names_are_told_apart_and_dropped(tmp_path, vectors):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, vectors)
    asked = ("new", "third", "second", "first"), ("a text", TEXTS[2], "another text.", "a text")
    found = find_vectors(tmp_path / "v.npz", *asked)
    assert (found.rows.tolist(), found.changed, found.unknown) == ([1, 3], ("second",), ("new",))
    assert np.sum(found.vectors * vectors[[2, 0]], axis=1).min() > 0.9999


def test_nothing_asked_for_or_nothing_found_is_no_error(tmp_path, vectors):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, vectors)
    assert find_vectors(tmp_path / "v.npz", (), ()).vectors.shape == (0, 384)
    assert find_vectors(tmp_path / "v.npz", ["new"], ["text"]).vectors.shape == (0, 384)


def test_a_zero_row_stays_zero_and_lengths_are_not_kept(tmp_path):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, [[0, 0], [3, 0], [0, -5]])
    found = find_vectors(tmp_path / "v.npz", NAMES, TEXTS)
    assert found.vectors.tolist() == [[0, 0], [1, 0], [0, -1]]


def test_the_same_vectors_give_the_same_bytes(tmp_path, vectors):
    for name in "ab":
        save_vectors(tmp_path / name, NAMES, TEXTS, vectors)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_cannot_be_written_is_refused(tmp_path, vectors):
    path = tmp_path / "v.npz"
    with pytest.raises(ValueError, match="2 names, 3 texts and 3 vectors; expected equally many"):
        save_vectors(path, NAMES[:2], TEXTS, vectors)
    with pytest.raises(ValueError, match="names hold duplicates"):
        save_vectors(path, ("first", "second", "first"), TEXTS, vectors)
    with pytest.raises(ValueError, match="vectors has NaN in row 1"):
        save_vectors(path, NAMES, TEXTS, [[1.0], [np.nan], [1.0]])
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn off", b"no archive at all"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "v.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.npz holds no vectors that this version can read"):
        find_vectors(tmp_path / "v.npz", NAMES, TEXTS)


def test_an_archive_of_something_else_is_named(tmp_path):
    np.savez(tmp_path / "v.npz", names=np.array(NAMES))
    with pytest.raises(ValueError, match=r"v\.npz holds no vectors that this version can read"):
        find_vectors(tmp_path / "v.npz", NAMES, TEXTS)


def test_a_collection_has_all_its_vectors_or_says_which_not(tmp_path, vectors):
    collection = from_descriptions(described(NAMES, TEXTS, TEXTS))
    save_vectors(tmp_path / "documents.npz", NAMES, TEXTS, vectors)
    save_vectors(tmp_path / "queries.npz", NAMES[::-1], TEXTS[::-1], -vectors[::-1])
    queries, documents = collection_vectors(tmp_path, collection)
    assert np.sum(documents * vectors, axis=1).min() > 0.9999
    assert np.sum(queries * vectors, axis=1).max() < -0.9999
    save_vectors(tmp_path / "queries.npz", NAMES[:2], TEXTS[:2], vectors[:2])
    with pytest.raises(ValueError, match=r"queries\.npz has no vector for 1 texts .* 'third'"):
        collection_vectors(tmp_path, collection)


def described(names, queries, documents):
    return ApiDescriptions(tuple(names), tuple(queries), tuple(documents), ("x",) * len(names), {})


def test_an_object_is_kept_if_both_its_texts_are_unchanged(tmp_path, vectors):
    save_vectors(tmp_path / "queries.npz", NAMES, TEXTS, vectors)
    save_vectors(tmp_path / "documents.npz", NAMES, TEXTS, -vectors)
    data = described(NAMES, (TEXTS[0], "edited", TEXTS[2]), TEXTS)
    queries, documents, kept = text_models.minilm(data, tmp_path)
    assert kept.tolist() == [0, 2]
    assert np.sum(queries * vectors[[0, 2]], axis=1).min() > 0.9999
    assert np.sum(documents * vectors[[0, 2]], axis=1).max() < -0.9999


def test_the_shipped_vectors_search_what_is_installed():
    data = api_descriptions()
    queries, documents, kept = text_models.minilm(data)
    assert queries.shape == documents.shape == (len(kept), 384)
    # Versions may differ from those that were encoded, but not by most of the texts.
    assert len(kept) > len(data) / 2
    # No other model of the laboratory reaches 0.5: these vectors are of these texts.
    assert ndcg_at(ranks(queries, documents, np.arange(len(kept))), 10) > 0.5


def test_shipped_vectors_are_small():
    assert 0 < sum(file.stat().st_size for file in text_models.MINILM.glob("*.npz")) < 6e6
