"""Vectors that are not part of the project: read where they are, told apart where they are not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from procrustes_lab.data import beir, shared
from procrustes_lab.data.cache import data_folder
from procrustes_lab.data.encode import NETWORKS

BESIDE = Path(__file__).parents[3] / "shared" / "data"
HOME = BESIDE if BESIDE.is_dir() else data_folder()


def where_at_hand(name):
    return pytest.mark.skipif(not (HOME / name).is_dir(), reason=f"{name} is not at hand")


@pytest.fixture
def home(tmp_path):
    """A data folder with two claims, three abstracts, and vectors of one picture."""
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    (folder / "vectors").mkdir()
    for file, names in (("corpus.jsonl", ("d1", "d2", "d3")), ("queries.jsonl", ("q1", "q2"))):
        lines = [json.dumps({"_id": name, "text": f"text of {name}"}) for name in names]
        (folder / file).write_text("\n".join(lines))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td3\t1\nq2\td1\t1\n")
    for name in NETWORKS:
        np.savez(
            folder / "vectors" / f"{name}.npz",
            documents=np.float16([[3, 4], [0, 1], [2, 0]]),
            queries=np.float16([[1, 0], [0, 2]]),
        )
    for name, second, shape in (
        ("flickr8k-clip", "captions", (1, 5, 4)),
        ("shop-clip", "texts", (1, 4)),
    ):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "images.npy", np.ones((1, 4), np.float32))
        np.save(tmp_path / name / f"{second}.npy", np.ones(shape, np.float32))
    return tmp_path


def test_scifact_is_texts_judgements_and_unit_vectors(home):
    collection, vectors = shared.scifact(home)
    assert collection.query_ids == ("q1", "q2")
    assert list(vectors) == list(NETWORKS)
    for queries, documents in vectors.values():
        assert documents.tolist() == pytest.approx(np.array([[0.6, 0.8], [0, 1], [1, 0]]))
        assert queries.tolist() == [[1, 0], [0, 1]]
    queries, documents = vectors["use"]
    assert beir.grade(collection, [0, 1], queries, documents)[:, 2].tolist() == [1, 1 / 2]


def test_pictures_and_texts_are_unit_vectors(home):
    images, captions = shared.flickr8k(home)
    assert (images.tolist(), captions.shape) == ([[0.5] * 4], (1, 5, 4))
    images, texts = shared.shop(home)
    assert images.tolist() == texts.tolist() == [[0.5] * 4]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("scifact", shared.scifact),
        ("flickr8k-clip", shared.flickr8k),
        ("shop-clip", shared.shop),
    ],
)
def test_what_is_not_at_hand_is_told_in_a_sentence(home, name, read, monkeypatch):
    read(home)
    shutil.rmtree(home / name)
    monkeypatch.setenv("PROCRUSTES_LAB_DATA", str(home))
    with pytest.raises(FileNotFoundError, match=f"name the folder that holds {name} as data_home"):
        read()


def test_vectors_that_are_not_as_many_as_the_texts_are_refused(home):
    path = home / "scifact" / "vectors" / "use.npz"
    np.savez(path, documents=np.ones((2, 2)), queries=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"2 queries and 2 documents; expected 2 and 3, as .* has"):
        shared.scifact(home)


@where_at_hand("scifact")
def test_every_network_finds_the_evidence_of_half_of_the_claims():
    collection, vectors = shared.scifact(HOME)
    everyone = np.arange(len(collection.queries))
    assert (len(collection.queries), len(collection.documents)) == (693, 2000)
    for name, (queries, documents) in vectors.items():
        assert documents.shape[1] == NETWORKS[name].dimension
        assert np.mean(beir.grade(collection, everyone, queries, documents)[:, 2]) > 0.5


@where_at_hand("flickr8k-clip")
def test_a_caption_finds_its_picture_among_a_hundred():
    images, captions = shared.flickr8k(HOME)
    assert np.mean(np.argmax(captions[:, 0] @ images.T, axis=1) == np.arange(100)) > 0.5


@where_at_hand("shop-clip")
def test_a_picture_of_clothes_is_nearer_to_its_own_text_than_to_others():
    images, texts = shared.shop(HOME)
    scores = images @ texts.T
    assert np.mean(np.diag(scores)) > 2 * np.mean(scores)
