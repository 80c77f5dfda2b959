"""The data of the page to play with: a few hundred descriptions under two models, and a map."""

from __future__ import annotations

import base64
import json

import numpy as np
from numpy.typing import ArrayLike

import procrustes_lab as pl
from procrustes_lab.data import datasets, text_models
from procrustes_lab.search.maps import MAPS

SHOWN = 240
CHOOSING = 1500
TRIED = ("turn", "centred", "whitened 0.1", "whitened 0.2", "target whitened 0.2")
SEED = 0


def play_data() -> str:
    """Return the script that gives the page its texts and vectors.

    `SHOWN` objects are drawn at random. The map is fitted on the documents of all others, so that
    nothing the page shows has been fitted on; `CHOOSING` of them choose it, among `TRIED`.
    """
    data = datasets.api_descriptions()
    old_queries, old_documents, kept = text_models.network("use", data)
    new_queries, new_documents, _ = text_models.network("minilm", data)
    fitted, shown = datasets.split(len(kept), SHOWN, SEED)
    few = np.random.default_rng(SEED).permutation(fitted)[:CHOOSING]
    name = pl.choose(new_documents[few], old_documents[few], maps=TRIED, seed=SEED).name
    chosen = MAPS[name](new_documents[fitted], old_documents[fitted])
    certificate = pl.certify(new_documents[fitted], old_documents[fitted])
    vectors = {
        "old documents": old_documents[shown],
        "old queries": old_queries[shown],
        "new documents": new_documents[shown],
        "new queries": new_queries[shown],
        "mapped queries": chosen.query(new_queries[shown]),
    }
    page = {
        "about": (
            f"{SHOWN} functions and classes of NumPy, SciPy, Matplotlib, SymPy and scikit-learn. A "
            "query is the first line of a docstring, and its answer is the rest of it. The index "
            "was made by an old network, Google's Universal Sentence Encoder "
            f"({old_queries.shape[1]} numbers); the new one is MiniLM ({new_queries.shape[1]} "
            "numbers). A browser cannot run them, so their vectors come with the page, one byte a "
            "number, and the box offers the queries that have any. The map is the one of "
            f"{len(TRIED)} that choose took, {name}, fitted on the documents of {len(fitted):,} "
            "other objects."
        ),
        "queries": [data.queries[kept[i]] for i in shown],
        "names": [_short(data.names[kept[i]]) for i in shown],
        "vectors": {name: [rows.shape[1], _bytes(rows)] for name, rows in vectors.items()},
        "ways": [
            _way("before: the old model", "by the old model", "old queries", "old documents"),
            _way("after: mapped queries", "with the map", "mapped queries", "old documents"),
            _way("the new model, new index", "by the new model", "new queries", "new documents"),
        ],
        "lens": certificate.lens_point,
    }
    return f"const PLAY = {json.dumps(page, ensure_ascii=False)};\n"


def _way(title: str, short: str, queries: str, documents: str) -> dict[str, str]:
    return {"title": title, "short": short, "queries": queries, "documents": documents}


def _bytes(rows: ArrayLike) -> str:
    """Round every row to 127 steps on either side of zero, one byte a coordinate."""
    values = np.asarray(rows)
    largest = np.abs(values).max(axis=1, keepdims=True)
    steps = np.rint(127 * values / np.where(largest > 0, largest, 1)).astype(np.int8)
    return base64.b64encode(steps.tobytes()).decode()


def _short(name: str) -> str:
    """Return a qualified name without its private modules."""
    return ".".join(part for part in name.split(".") if not part.startswith("_"))
