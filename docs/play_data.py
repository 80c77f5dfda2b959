"""The data of the page to play with: a few hundred descriptions under two models, and a map."""

from __future__ import annotations

import base64
import json

import numpy as np
from numpy.typing import ArrayLike

import procrustes_lab as pl
from procrustes_lab.data import datasets, text_models

SHOWN = 240
SEED = 0


def play_data() -> str:
    """Return the script that gives the page its texts and vectors.

    `SHOWN` objects are drawn at random. The map is fitted on the documents of all others, so that
    nothing the page shows has been fitted on.
    """
    data = datasets.api_descriptions()
    (new_queries, new_documents, *_), kept = _minilm(data)
    fitted, shown = datasets.split(len(kept), SHOWN, SEED)
    texts = [data.documents[i] for i in kept]
    asked = [data.queries[i] for i in kept]
    old = text_models.embed("word", [*texts, *asked], fitted_on=[texts[i] for i in fitted])
    old_documents, old_queries = old[: len(texts)], old[len(texts) :]
    alignment = pl.align(new_documents[fitted], old_documents[fitted])
    certificate = pl.certify(new_documents[fitted], old_documents[fitted])
    vectors = {
        "old documents": old_documents[shown],
        "old queries": old_queries[shown],
        "new documents": new_documents[shown],
        "new queries": new_queries[shown],
        "mapped queries": alignment.apply(new_queries[shown]),
    }
    page = {
        "about": (
            f"{SHOWN} functions and classes of NumPy, SciPy, Matplotlib, SymPy and scikit-learn. A "
            "query is the first line of a docstring, and the answer is the rest of it."
        ),
        "queries": [asked[i] for i in shown],
        "names": [_short(data.names[kept[i]]) for i in shown],
        "vectors": {name: [rows.shape[1], _bytes(rows)] for name, rows in vectors.items()},
        "ways": [
            _way(
                "the old model over its index", "by the old model", "old queries", "old documents"
            ),
            _way("new queries over the old index", "without a map", "new queries", "old documents"),
            _way("new queries, mapped", "with the map", "mapped queries", "old documents"),
            _way("the new model over its own", "by the new model", "new queries", "new documents"),
        ],
        "lens": certificate.lens_point,
        "first": 0,
    }
    return f"const PLAY = {json.dumps(page, ensure_ascii=False)};\n"


def _minilm(data):
    *sides, kept = text_models.minilm(data)
    return sides, kept


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
