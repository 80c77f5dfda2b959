"""How strongly to shrink towards a map one already has: as held-out pairs prefer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import Alignment, align, checked_prior
from procrustes_lab.core.moments import Moments
from procrustes_lab.core.polar import polar
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings, as_pairs

SHARES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the largest singular value of XᵀY: λ to try


class Shrunk(NamedTuple):
    """The map fitted on all pairs, the share that was chosen, and each share's held-out error."""

    best: Alignment
    share: float
    errors: dict[float, float]


def shrink(
    X: ArrayLike,
    Y: ArrayLike,
    toward: ArrayLike | Alignment,
    *,
    shares: Sequence[float] = SHARES,
    center: bool = True,
    folds: int = 5,
    seed: int = 0,
) -> Shrunk:
    """Fit ``align(X, Y, toward=(toward, share))`` with the share that cross-validation prefers.

    `toward`, of shape (d_x, d_y), is the map one has: the identity for two towers that share a
    frame, the last version's map in a chain of upgrades. X, Y and center are as in `align`. The
    judge is the mean squared distance of pairs, smooth enough for fifty in five hundred dimensions,
    each held out once, in `folds` parts, n at the most, which the seed draws. Of shares that tie,
    and for a single pair, the largest is taken.
    """
    x, y = as_pairs(X, Y)
    whole = Moments.from_arrays(x, y)
    strengths = sorted(shares, reverse=True)
    for share in strengths:
        W0, _ = checked_prior((toward, share), (x.shape[1], y.shape[1]))
    x, y, W0 = _in_their_span(x, y, np.asarray(W0))
    order = np.random.default_rng(seed).permutation(len(x))
    rows = np.array_split(order, min(folds, len(x)))
    parts = [Moments.from_arrays(x[part], y[part]) for part in rows]
    errors = dict.fromkeys(strengths, 0.0 if len(parts) > 1 else np.nan)
    for i, held_out in enumerate(rows if len(parts) > 1 else []):
        others = [*parts[:i], *parts[i + 1 :]]
        fitted, source, target = sum(others[1:], others[0]), x[held_out], y[held_out]
        if center:
            source = source - fitted.source_mean * fitted.source_scale
            target = target - fitted.target_mean * fitted.target_scale
            fitted = fitted.centred()
        cross = fitted.cross().xy  # divided by the scales, which no map depends on
        largest = np.linalg.norm(cross, 2)  # once, and not for every share
        for share in strengths:
            W, _ = polar(cross + share * largest * W0)
            errors[share] += float(np.sum((source @ W - target) ** 2)) / len(x)
    best = min(strengths, key=lambda share: errors[share])  # of what is not known the first
    return Shrunk(align(whole, center=center, toward=(toward, best)), best, errors)


def _in_their_span(
    x: Embeddings, y: Embeddings, W0: Matrix
) -> tuple[Embeddings, Embeddings, Matrix]:
    """Write few pairs, the source after W₀, by coordinates of their span: the same errors for less.

    The map to shrink to is then I. Outside the span, where no pair is, so is the fitted map.
    """
    n, d = y.shape
    if x.shape[1] != d or 2 * n >= d:
        return x, y, W0
    carried = x @ W0
    basis, _ = np.linalg.qr(np.concatenate([carried, y]).T)
    return carried @ basis, y @ basis, np.eye(2 * n)
