"""Aligned queries over real indexes: FAISS, exact and by HNSW, and a vector database, Qdrant."""

from importlib.resources import files as resources

import numpy as np
import pytest

import procrustes_lab as pl
from procrustes_lab.cli.commands import fit_command
from procrustes_lab.search import retrieval

faiss = pytest.importorskip("faiss")
K, ASKED, SEARCHED = 10, 200, 3000


def network_vectors(name):
    with resources("procrustes_lab").joinpath(f"data/networks/minilm/{name}.npz").open("rb") as f:
        steps = np.load(f)["steps"].astype(np.float32)
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Vectors of documents and queries by MiniLM, and by a model that turned and blurred them.

    The adapter is fitted by the command line, on files of half of the documents.
    """
    folder = tmp_path_factory.mktemp("indexes")
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((384, 384)))[0]

    def successor(rows):
        blurred = rows @ turn + 0.03 * rng.standard_normal(rows.shape)
        blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
        return blurred.astype(np.float32)

    documents = network_vectors("documents")[:SEARCHED]
    queries = network_vectors("queries")[:ASKED]
    new_queries = successor(queries)
    order = rng.permutation(len(documents))[: len(documents) // 2]
    np.savez(folder / "old.npz", vectors=documents, id=np.arange(len(documents)))
    np.savez(folder / "new.npz", vectors=successor(documents[order]), id=order)
    paths = [str(folder / f"{name}.npz") for name in ("old", "new", "adapter")]
    fit_command.main([*paths[:2], "-o", paths[2], "--map", "turn"], standalone_mode=False)
    adapter = pl.Alignment.load(folder / "adapter.npz")
    aligned = adapter.query(new_queries).astype(np.float32)
    return documents, {"old": queries, "aligned": aligned, "raw": new_queries}


def recall(found, wanted):
    """Return the share of the wanted that was found."""
    both = [{*a} & {*b} for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]
    return np.mean([len(rows) / K for rows in both])


def test_a_flat_index_finds_what_exact_search_finds(models):
    documents, queries = models
    index = faiss.IndexFlatIP(384)
    index.add(documents)
    for asked in queries.values():
        scores, rows = index.search(asked, K)
        exact, exact_scores = retrieval.search(asked, documents, K)
        np.testing.assert_allclose(scores, exact_scores, atol=1e-5)
        assert recall(rows, exact) > 0.99  # but for ties


def test_an_approximate_index_is_as_good_for_aligned_queries_as_for_its_own(models):
    documents, queries = models
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(384, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(documents)
    index.hnsw.efSearch = 64
    exact = {name: retrieval.search(asked, documents, K)[0] for name, asked in queries.items()}
    found = {name: index.search(asked, K)[1] for name, asked in queries.items()}
    kept = {name: recall(rows, exact[name]) for name, rows in found.items()}
    assert kept["old"] > 0.9
    assert kept["aligned"] > kept["old"] - 0.02
    own = {name: np.mean([i in row for i, row in enumerate(rows)]) for name, rows in found.items()}
    assert own["aligned"] > 0.9 * own["old"]
    assert own["raw"] < 0.02  # chance is K in SEARCHED


def test_a_vector_database_takes_aligned_queries(models):
    qdrant = pytest.importorskip("qdrant_client")
    pytest.importorskip("qdrant_client.models")
    documents, queries = models
    client = qdrant.QdrantClient(":memory:")
    space = qdrant.models.VectorParams(size=384, distance=qdrant.models.Distance.DOT)
    client.create_collection("texts", vectors_config=space)
    client.upload_collection("texts", documents, payload=[{"n": i} for i in range(SEARCHED)])
    for name in ("old", "aligned"):
        asked = queries[name][:50]
        exact, scores = retrieval.search(asked, documents, K)
        requests = [
            qdrant.models.QueryRequest(query=query.tolist(), limit=K, with_payload=True)
            for query in asked
        ]
        answers = client.query_batch_points("texts", requests)
        rows = np.array([[point.payload["n"] for point in answer.points] for answer in answers])
        assert recall(rows, exact) > 0.99
        found = [[point.score for point in answer.points] for answer in answers]
        np.testing.assert_allclose(found, scores, atol=1e-5)
