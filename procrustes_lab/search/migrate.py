"""On the way from one model's index to another's: re-scoring, a half-migrated index, thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import finite, require

from .maps import unit_rows
from .retrieval import Indices

Vectors = ArrayLike | Callable[[Indices], ArrayLike]


class Rescored(NamedTuple):
    """Candidates in their new order, the best first, and what that cost."""

    found: Indices  # shape (q, K)
    scores: Matrix  # likewise
    distinct: int  # documents that the new model embedded, each once: without a cache it is q·K


def rescore(found: ArrayLike, queries: ArrayLike, documents: Vectors) -> Rescored:
    """Re-order what the old index found by the new model's scores; no map is needed.

    `found`, shape (q, K), are rows of documents, the K best of old queries in the old index, as
    `retrieval.search` gives them. By the new model are the queries, shape (q, d), and the
    documents, shape (n, d), or what makes vectors of distinct rows, sorted, such as a cache in
    front of an encoder. All are finite numbers, or TypeError or ValueError is raised.
    """
    rows, asked = np.asarray(found), finite(queries, "queries")
    holds = f"found holds {rows.dtype} values, shape {rows.shape}"
    expected = f"expected rows of documents, shape ({len(asked)}, K): one line for each query"
    agree = rows.ndim == 2 and rows.dtype.kind in "iu" and len(rows) == len(asked)
    require(agree, f"{holds}; {expected}")
    needed, place = np.unique(rows, return_inverse=True)
    made = documents(needed) if callable(documents) else np.asarray(documents)[needed]
    vectors, shape = finite(made, "documents"), (len(needed), asked.shape[1])
    message = f"documents have shape {vectors.shape}; expected {shape}, as wide as the queries"
    require(vectors.shape == shape, message)
    scores = np.stack([vectors[line] @ q for line, q in zip(place, asked, strict=True)])
    order = np.argsort(-scores, axis=1, kind="stable")
    rows, scores = (np.take_along_axis(values, order, axis=1) for values in (rows, scores))
    return Rescored(rows.astype(np.int64), scores, len(needed))


def half_migrated(carried: ArrayLike, embedded: ArrayLike, done: ArrayLike) -> Matrix:
    """Mix an index of documents that were embedded again and documents that were carried over.

    Carry with ``MAPS["ridge on documents, mean kept"](X, Y).index(Y)``: vectors stretched as a
    whole, or as the map leaves them, win or lose every race where the new model is a cone. Of
    `embedded` only the rows that are done are looked at. All have shape (n, d), or ValueError is
    raised; search with the new model's queries as they are.
    """
    old, new, mask = np.asarray(carried, float), np.asarray(embedded, float), np.asarray(done)
    shapes = f"carried has shape {old.shape}, embedded {new.shape}, done {mask.shape}, {mask.dtype}"
    agree = old.shape == new.shape and mask.shape == old.shape[:1] and mask.dtype == bool
    require(agree, f"{shapes}; expected (n, d) twice and n truth values")
    return unit_rows(np.where(mask[:, np.newaxis], new, old))


def most_retrieved(found: ArrayLike, n: int) -> Indices:
    """Order n documents by how often past searches found their rows, those never found last."""
    return np.argsort(-np.bincount(np.ravel(np.asarray(found)), minlength=n), kind="stable")


@dataclass(frozen=True, eq=False)
class Recalibration:
    """A rising, piecewise linear function from aligned scores to the scores they stand for.

    Thresholds ("no answer below 0.6") were set on scores of the old model with itself; those of
    aligned queries are lower. A monotone function brings them back and changes no ranking.
    """

    knots: Matrix  # shape (2, k): aligned scores, rising, over the native scores that they become

    @classmethod
    def fit(cls, aligned: ArrayLike, native: ArrayLike) -> Recalibration:
        """Fit by scikit-learn's isotonic regression, on pairs that the map has not seen.

        Both are scores of the same query and document, x·W·y′ and y·y′. ValueError if they are not
        equally many finite numbers.
        """
        from sklearn.isotonic import IsotonicRegression

        a, b = np.ravel(np.asarray(aligned, float)), np.ravel(np.asarray(native, float))
        sound = a.shape == b.shape and len(a) > 0 and np.isfinite(a.sum() + b.sum())
        sizes = f"aligned has {a.size} scores, native has {b.size}"
        require(sound, f"{sizes}; expected equally many finite numbers, at least one")
        fitted = IsotonicRegression(out_of_bounds="clip").fit(a, b)
        return cls(np.stack([fitted.X_thresholds_, fitted.y_thresholds_]))

    def apply(self, scores: ArrayLike) -> Matrix:
        """Return what the scores stand for; beyond the knots, the last one's value."""
        return np.asarray(np.interp(np.asarray(scores, float), *self.knots))
