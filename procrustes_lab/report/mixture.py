"""Two models in one file: rows of the one among rows of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import eigsh

from procrustes_lab.core.polar import polar
from procrustes_lab.core.sums import Matrix
from procrustes_lab.search.maps import unit_rows

from .pairing import Pairing, Side
from .words import Finding, found

FEWEST = 200  # pairs; on fewer, topics look like models: a map learnt on 25 is one of their topic
SPLITS = 3  # directions of the kernel that split a file; the first may be a topic, not a model
LOST = 1 / 4  # rank beyond which a partner is lost: a map of the other model does not find it

Mask = NDArray[np.bool_]


def two_models(pairs: Pairing, side: Side) -> Iterator[Finding]:
    """Find two models in the rows of one side, if there are two; name the rarer one's rows.

    Rows are split by the kernel (x·x')², whose feature is the outer product xxᵀ: the two kinds
    differ in their second moments, with or without a mean of their own. Two large kinds show in its
    leading eigenvectors; of a small one, the map of all rows loses the partners. A split may as
    well be one of topics. So a map is fitted on half of each kind: it carries another topic, but
    not another model. There are two where either map keeps more than half of its agreement on its
    own kind, and less than half of that on the other.
    """
    if pairs.n < FEWEST:
        return
    unit = unit_rows(side.rows[pairs.sample].astype(float))
    lost = pairs.partner_ranks()[pairs.sample] > LOST
    splits = (kind for kind in _splits(unit, lost) if 8 <= kind.sum() <= len(kind) - 8)
    kinds = [(*_agreements(pairs, kind), kind) for kind in splits]
    kinds = [(own, other, kind) for own, other, kind in kinds if own > 0.5 and other < own / 2]
    if not kinds:
        return
    own, other, kind = min(kinds, key=lambda agreements: agreements[1])
    # Of the kinds' second moments A and B, xᵀ(A − B)x tells to which a row is nearer.
    a, b = (unit[rows].T @ unit[rows] / rows.sum() for rows in (kind, ~kind))
    difference, threshold = a - b, float(np.vdot(a, a) - np.vdot(b, b)) / 2
    blocks = (unit_rows(block.astype(float)) for block in side.blocks)
    first = np.concatenate([np.vecdot(x @ difference, x) for x in blocks]) > threshold
    first = first == first[0]  # of two halves the first row's is named, whatever a vector's sign
    rows = np.flatnonzero(first == (2 * first.sum() <= pairs.n))
    counts = {"rows": len(rows), "rest": pairs.n - len(rows), "share": len(rows) / pairs.n}
    yield found("two models", "error", rows, **counts, own=own, other=other, side=side.name)


def _splits(unit: Matrix, lost: Mask) -> Iterator[Mask]:
    """Split by 2-means in the kernel's feature space, from eigenvectors and from lost rows."""
    kernel = (unit @ unit.T) ** 2
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    if not kernel.any():
        return
    start = np.random.default_rng(0).standard_normal(len(kernel))
    for direction in eigsh(kernel, SPLITS, which="LA", v0=start, tol=1e-3)[1].T[::-1]:
        kind = direction > 0
        for _ in range(20):
            before, kind = kind, _nearer(kernel, kind)
            if np.array_equal(before, kind):
                break
        yield kind
    np.fill_diagonal(kernel, 0.0)  # a row is not to be found near the lost ones for being one
    yield (kind := _nearer(kernel, lost))
    yield _nearer(kernel, kind)


def _nearer(kernel: Matrix, kind: Mask) -> Mask:
    """Tell which rows are nearer to the mean of a kind than to that of the others."""
    if not 1 < kind.sum() < len(kind) - 1:
        return kind
    score = kernel @ np.where(kind, 1 / kind.sum(), -1 / (~kind).sum())
    return np.asarray(score > (score[kind].mean() + score[~kind].mean()) / 2)


def _agreements(pairs: Pairing, kind: Mask) -> tuple[float, float]:
    """Return the lesser agreement of a map with its own kind, and the mean with the other.

    Agreement is 1 − 2 × mean rank of the partner, of rows that the map has not seen: 1 is perfect
    and 0 chance. In the leading principal directions, as the permutation test.
    """
    x, y = (side.leading(pairs.sample) for side in (pairs.source, pairs.target))
    agreements = np.empty((2, 2))
    for i, mine in enumerate((kind, ~kind)):
        fitted, unseen = np.flatnonzero(mine)[::2], np.flatnonzero(mine)[1::2]
        W = polar(_centred(x[fitted]).T @ _centred(y[fitted]))[0]
        for j, rows in enumerate((unseen, np.flatnonzero(~mine))):
            a, b = _centred(x[rows] @ W), _centred(y[rows])
            agreements[i, j] = 1 - 2 * np.mean(a @ b.T >= np.vecdot(a, b)[:, np.newaxis])
    return float(agreements[:, 0].min()), float(agreements[:, 1].mean())


def _centred(rows: Matrix) -> Matrix:
    return np.asarray(rows - rows.mean(axis=0))
