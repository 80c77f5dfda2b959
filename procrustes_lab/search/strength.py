"""How strongly to shrink towards a map, as held-out pairs prefer; and to whiten, as theory says."""

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


class Predicted(NamedTuple):
    """β, and what held-out pairs have along the target's principal directions, strongest first."""

    beta: float  # NaN if fewer than two directions correlate
    variances: Matrix  # geometric means of both sides', after the centred turn
    correlations: Matrix


def predicted_whitening(X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Predicted:
    """Predict β from how the correlation of both views falls with the variance.

    If both views of an object are jointly Gaussian, the log-likelihood ratio of "the same object"
    against "any two" is, up to terms of one side alone, a bilinear form that weighs the i-th
    canonical direction, of correlation ρ_i and variance λ_i, by ρ_i/(1 − ρ_i²)/λ_i: probabilistic
    linear discriminant analysis (Ioffe, 2006, doi:10.1007/11744085_41). Whitening's weight is
    λ_i^(−2β). So where ρ/(1 − ρ²) grows as λ^s, β is (1 − s)/2: 0 or less, the turn, under noise of
    one size in all directions; ½, CCA, under noise that is everywhere the same share of the signal.

    Turn and directions are fitted on seven tenths of the pairs, which the seed draws, correlations
    read from the others; s is the slope of log ρ/(1 − ρ²) on log λ, each direction weighed by the
    information −½ log(1 − ρ²) that it gives. X and Y are as in `align`.
    """
    x, y = as_pairs(X, Y)
    order = np.random.default_rng(seed).permutation(len(x))
    fitted, held_out = np.split(order, [7 * len(x) // 10])
    turn = align(x[fitted], y[fitted], center=True)
    rest = y[fitted] - turn.target_mean
    _, directions = np.linalg.eigh(rest.T @ rest)
    a = turn.query(x[held_out]) @ directions[:, ::-1]
    b = (y[held_out] - turn.target_mean) @ directions[:, ::-1]
    variances = np.sqrt(np.mean(a**2, axis=0) * np.mean(b**2, axis=0))
    tiny = np.finfo(float).tiny
    correlations = np.clip(np.mean(a * b, axis=0) / np.maximum(variances, tiny), -1.0, 1 - 1e-9)
    # Of a lower correlation chance says as much.
    used = (correlations > 0.05) & (variances > 1e-12 * variances.max())
    if np.count_nonzero(used) < 2:
        return Predicted(np.nan, variances, correlations)
    rho, log = correlations[used], np.log(variances[used])
    slope = np.polyfit(log, np.log(rho / (1 - rho**2)), 1, w=np.sqrt(-np.log(1 - rho**2) / 2))[0]
    return Predicted(float(1 - slope) / 2, variances, correlations)
