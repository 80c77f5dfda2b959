"""How much whitening two views ask for, by the theory of recognising one object in both."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import align
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import as_pairs


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
