"""The report's example: API descriptions by a model of counts and by a network, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from procrustes_lab.data import beir, datasets, text_models

ABOUT = "API descriptions in the docstrings of the installed libraries"


def write(folder: Path, old: str, queries: int, seed: int) -> tuple[str, ...]:
    """Write both models' vectors of documents and of that many queries at most, and judgements.

    The old model, of "word", "character" or "bigram", knows neither the queries nor the documents
    that answer them. Returned are the files: old, new, old queries, new queries, judgements.
    """
    data = datasets.api_descriptions()
    *minilm, kept = text_models.network("minilm", data)
    collection = beir.from_descriptions(data, kept.tolist())
    known, asked = collection.split(min(queries, len(kept) // 2), seed)
    ids, names = np.array(collection.document_ids), np.array(collection.query_ids)[asked]
    fitted_on = [collection.documents[i] for i in known]
    sides = text_models.counted(old, data, fitted_on=fitted_on, seed=seed)
    counts = [side[kept].astype(np.float32) for side in sides]  # as the network's are
    vectors = {
        f"{old} LSA": (counts[1], ids),
        "MiniLM": (minilm[1], ids),
        f"{old} LSA, queries": (counts[0][asked], names),
        "MiniLM, queries": (minilm[0][asked], names),
    }
    for name, (side, labels) in vectors.items():
        np.savez(folder / f"{name}.npz", vectors=side, ids=labels)
    qrels = folder / "qrels.tsv"
    qrels.write_text("".join(f"{name}\t{name}\t1\n" for name in names), encoding="utf-8")
    return (*(str(folder / f"{name}.npz") for name in vectors), str(qrels))
