"""Exact search by dot product, what it finds and what it survives, a block of queries at a time."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.sums import Matrix, Real
from procrustes_lab.core.validate import Embeddings, as_finite, finite, require

Indices = NDArray[np.int64]
F = TypeVar("F", np.float32, np.float64)
Rows = Indices | slice

BLOCK = 2**22  # scores to hold at once, at least one query's: 32 MB of them


def search(queries: ArrayLike, documents: ArrayLike, k: int) -> tuple[Indices, Matrix]:
    """Find the k documents that have the largest dot products with each query.

    Returned are rows of documents and their scores, shapes (q, k), the best first, and of equal
    scores the lower row. Queries, shape (q, d), and documents, shape (n, d), are finite real
    numbers, and k is from 1 to n, or TypeError or ValueError is raised. Documents of float32 are
    searched in it, as most indexes are.
    """
    Q, D = _in_one_type(*_sides(queries, documents, k))
    indices, scores = np.empty((len(Q), k), dtype=np.int64), np.empty((len(Q), k))
    for rows, found in score_blocks(Q, D):
        indices[rows] = largest(found, k)
        scores[rows] = np.take_along_axis(found, indices[rows], axis=1)
    return indices, scores


def ranks(queries: ArrayLike, documents: ArrayLike, relevant: ArrayLike) -> Indices:
    """Return the rank of each query's one relevant document among all, shape (q,).

    That is how many documents score at least as high, itself included: ties count against the
    query. `relevant`, shape (q,), holds its row of `documents`, or ValueError is raised; the rest
    is as in `search`.
    """
    Q, D = _in_one_type(*_sides(queries, documents))
    answers = np.asarray(relevant)
    found = f"relevant holds {answers.dtype} values, shape {answers.shape}"
    expected = f"expected integers, shape ({len(Q)},): one document row for each query"
    require(answers.dtype.kind in "iu" and answers.shape == (len(Q),), f"{found}; {expected}")
    least, most = answers.min(), answers.max()
    expected = f"expected rows of documents, 0 to {len(D) - 1}"
    require(least >= 0 and most < len(D), f"relevant runs from {least} to {most}; {expected}")
    result = np.empty(len(Q), dtype=np.int64)
    for rows, scores in score_blocks(Q, D):
        own = np.take_along_axis(scores, answers[rows, np.newaxis], axis=1)
        result[rows] = np.count_nonzero(scores >= own, axis=1)
    return result


def margins(queries: ArrayLike, documents: ArrayLike, k: int = 1) -> Matrix:
    """Return how far each query can move, in any direction, and keep its top k as a set.

    A query at z keeps the set as long as ⟨z, y_a − y_b⟩ > 0 for every a inside and every b
    outside. The margin of q is its distance from the nearest of these walls,
    min ⟨q, y_a − y_b⟩ / ‖y_a − y_b‖: no shorter move changes the set, and a longer one through that
    wall does (Moosavi-Dezfooli, Fawzi and Frossard, 2016, arXiv:1511.04599, section 3.1).

    The result, shape (q,), is 0 where the k-th place is tied, infinity where k is n, and rounded
    down, so that near duplicates certify nothing by accident. The rest is as in `search`; it takes
    O(q n d) time, and k dot products more for each document that scores close to the k-th.
    """
    Q, D = (side.astype(float, copy=False) for side in _sides(queries, documents, k))
    energies, lengths = np.vecdot(D, D), np.linalg.norm(Q, axis=1)
    longest, tiny = energies.max(), np.finfo(float).tiny
    rounding = 2 * D.shape[1] * np.finfo(float).eps  # of a dot product of two unit vectors
    widest = 2.001 * np.sqrt(longest + tiny)  # no two documents lie farther apart

    def nearest_wall(inside: Matrix, tops: Indices, outside: Matrix, others: Rows) -> float:
        squares = energies[tops, np.newaxis] + energies[others] - 2 * (D[tops] @ D[others].T)
        widths = np.sqrt(np.maximum(squares, tiny) + 2 * rounding * longest)
        return max(0.0, float(((inside[:, np.newaxis] - outside[others]) / widths).min()))

    margin = np.full(len(Q), np.inf)
    if k == len(D):
        return margin
    for rows, scores in score_blocks(Q, D):
        tops = largest(scores, k)
        inside = np.take_along_axis(scores, tops, axis=1)
        outside = scores + rounding * np.sqrt(longest) * lengths[rows, np.newaxis]
        np.put_along_axis(outside, tops, -np.inf, axis=1)
        for row, query in enumerate(zip(inside, tops, outside, strict=True), start=rows.start):
            first = np.argmax(query[2], keepdims=True)
            reach = widest * nearest_wall(*query, first)  # of a nearer wall, the gap is less
            near = np.flatnonzero(query[0].min() - query[2] <= reach)
            # To copy most of the documents takes longer than to look at all where they are.
            others = near if 8 * len(near) < len(D) else slice(None)
            margin[row] = nearest_wall(*query, others) if len(near) else 0.0
    return margin


def certified_top(
    moved: ArrayLike, queries: ArrayLike, documents: ArrayLike, k: int = 1
) -> NDArray[np.bool_]:
    """Tell which queries provably keep their top k documents, as a set, when they are moved.

    Those nearer to the ray through their moved self than their margin: the length of a query ranks
    nothing. `moved` holds another model's queries, aligned, in the shape and order of the native
    ones; the rest is as in `search`. The mean of the result, shape (q,), is the certified share.
    """
    return margins(queries, documents, k) > distances_from_rays(queries, moved)


def distances_from_rays(queries: ArrayLike, moved: ArrayLike) -> Matrix:
    """Return how far each query lies from the nearest non-negative multiple of its moved self.

    It is the query's length times the sine of the angle between the two, or its whole length from a
    right angle on. The result has shape (q,); TypeError or ValueError is raised if both are not
    matrices of finite numbers of one shape.
    """
    Q, Z = finite(queries, "queries"), finite(moved, "moved")
    found = f"moved has shape {Z.shape}, queries have shape {Q.shape}"
    require(Z.shape == Q.shape, f"{found}; expected the same: row i of each is one query")
    energies = np.vecdot(Z, Z)
    factors = np.maximum(np.vecdot(Z, Q), 0.0) / np.where(energies > 0, energies, 1.0)
    return np.asarray(np.linalg.norm(Q - factors[:, np.newaxis] * Z, axis=1))


def forecast(margins: ArrayLike, distances: ArrayLike, *, confidence: float = 0.95) -> float:
    """Bound from below the share of queries that keep their top k, before they are moved.

    The share is at least P(margin > radius) − P(distance > radius) for every radius. The best is
    sought on samples of the `margins` of independent queries of the old system, and of
    `distances_from_rays` of these or others like them. A `band` for each, which holds for all radii
    at once, pays for that: the bound has the given confidence. It is 0 where nothing is promised.
    """
    m, r = np.sort(np.asarray(margins, float)), np.sort(np.asarray(distances, float))
    kept = 1 - np.searchsorted(m, r, side="right") / len(m)
    moved_on = 1 - np.searchsorted(r, r, side="right") / len(r)
    paid = sum(band(len(sample), (1 - confidence) / 2) for sample in (m, r))
    return max(0.0, float(np.max(kept - moved_on)) - paid)


def band(n: int, risk: float) -> float:
    """How far the share of n draws below any value can be above its chance: √(ln(1/risk)/2n).

    At every value at once, but for a chance of `risk`, more than 0 to 1/2: the inequality of
    Dvoretzky, Kiefer and Wolfowitz (Massart, 1990, doi:10.1214/aop/1176990746).
    """
    message = f"n is {n}, risk is {risk}; expected at least 1, and more than 0 to 0.5"
    require(n >= 1 and 0 < risk <= 0.5, message)
    return float(np.sqrt(np.log(1 / risk) / (2 * n)))


def gains(ranks: ArrayLike, k: int = 10) -> Matrix:
    """Return 1/log₂(1 + rank), and 0 for ranks beyond k: nDCG of queries with one right answer.

    That is the normalised discounted cumulative gain of Järvelin and Kekäläinen (2002,
    doi:10.1145/582415.582418), whose ideal is then 1.
    """
    require(operator.index(k) >= 1, f"k is {k}; expected at least 1")
    r = np.asarray(ranks)
    require(
        r.dtype.kind in "iu" and r.ndim == 1 and len(r) > 0 and r.min() >= 1,
        f"ranks hold {r.dtype} values, shape {r.shape}; expected one positive integer per query",
    )
    return np.where(r <= k, 1 / np.log2(1 + r.astype(np.int64)), 0.0)


def ndcg(found: ArrayLike, judgements: Sequence[Mapping[int, int]], k: int = 10) -> Matrix:
    """Return each query's nDCG, as of `gains` but with grades, as trec_eval computes it.

    Found are rows of documents, best first, shape (q, k) or wider; judgements have, for each query,
    grades by row, 0 and below irrelevant. A query that nothing answers has 0.
    """
    discounts = gains(np.arange(1, k + 1), k)
    result = np.zeros(len(judgements))
    for query, (rows, grades) in enumerate(zip(np.asarray(found), judgements, strict=True)):
        positive = {row: grade for row, grade in grades.items() if grade > 0}
        if positive:
            gained = [positive.get(row, 0) for row in rows[:k].tolist()]
            ideal = sorted(positive.values(), reverse=True)[:k]
            result[query] = gained @ discounts[: len(gained)] / (ideal @ discounts[: len(ideal)])
    return result


def bootstrap_interval(
    values: ArrayLike, seed: int, *, draws: int = 1000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of independent values, one per query or item.

    Of means of so many samples with replacement that share is inside (Efron, 1979,
    doi:10.1214/aos/1176344552). Equally many values are sampled alike with one seed.
    """
    v = np.asarray(values, float)
    means = _samples(len(v), draws, seed) @ v / len(v)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@lru_cache(maxsize=1)
def _samples(n: int, draws: int, seed: int) -> Indices:
    """How often each of n values is in each sample: drawn once for all maps of a table."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)


def score_blocks(Q: NDArray[F], D: NDArray[F]) -> Iterator[tuple[slice, NDArray[F]]]:
    """Yield consecutive rows of Q with their scores, shape (rows, n)."""
    step = max(1, BLOCK // len(D))
    for start in range(0, len(Q), step):
        rows = slice(start, start + step)
        yield rows, np.asarray(Q[rows] @ D.T, Q.dtype)


def largest(scores: Embeddings, k: int) -> Indices:
    """Return the columns of each row's k largest scores, ordered by score and then by column."""
    if k == 1:
        return np.asarray(np.argmax(scores, axis=1, keepdims=True))
    least = np.partition(scores, -k, axis=1)[:, -k, np.newaxis]
    wanted = scores >= least
    excess = np.count_nonzero(wanted, axis=1) - k
    for row in np.flatnonzero(excess):  # of the tied columns the lowest are wanted
        wanted[row, np.flatnonzero(scores[row] == least[row])[-excess[row] :]] = False
    columns = np.flatnonzero(wanted).reshape(-1, k) % wanted.shape[1]
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _sides(queries: ArrayLike, documents: ArrayLike, k: int = 1) -> tuple[Embeddings, Embeddings]:
    Q, D = as_finite(queries, "queries"), as_finite(documents, "documents")
    found = f"queries have {Q.shape[1]} columns, documents have {D.shape[1]}"
    require(Q.shape[1] == D.shape[1], f"{found}; expected one space: align the queries first")
    require(1 <= k <= len(D), f"k is {k}; expected 1 to {len(D)}, the number of documents")
    return Q, D


def _in_one_type(Q: Embeddings, D: Embeddings) -> tuple[Any, Any]:
    """Return both sides in float32, if the documents are in it and scores have room, or float64."""
    dtype: Real = np.float64
    if D.dtype == np.float32:
        largest = [max(float(side.max()), -float(side.min())) for side in (Q, D)]
        dtype = np.float32 if 1e-20 < D.shape[1] * largest[0] * largest[1] < 1e30 else dtype
    return Q.astype(dtype, copy=False), D.astype(dtype, copy=False)
