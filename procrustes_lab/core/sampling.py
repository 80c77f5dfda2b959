"""From a sample of pairs to the population: what theory says of the map that is fitted.

The error of a map is the mean squared distance over the population, the narrower side padded with
zeros, and its *excess* is that error less the least one. M is the mean of xᵀy over the population,
M̂ over a sample of m pairs, no vector longer than 1. Proofs: "From a sample to the population".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .moments import Moments, as_moments
from .polar import svd
from .sums import BLOCK_BYTES
from .validate import as_pairs, require


def effective_dimension(X: ArrayLike | Moments, Y: ArrayLike | None = None) -> float:
    """Count the directions the vectors fill: (tr √C)² / tr C, of the side where it is less.

    C is a side's second moment. Equal eigenvalues give d, a single one gives 1, and a side without
    energy 0. X and Y are as in `align`.
    """
    xx, _, yy = as_moments(X, Y).products()
    filled = []
    for second_moment in (xx, yy):
        values = np.maximum(np.linalg.eigvalsh(second_moment), 0.0)
        filled.append(np.sqrt(values).sum() ** 2 / values.sum() if values.any() else 0.0)
    return float(min(filled))


def excess_from_deviation(nuclear: float) -> float:
    """Bound the excess by how far the sample is off: 4‖M̂ − M‖_* (T5, step 1; 4 is optimal)."""
    return 4 * nuclear


def excess_from_squares(frobenius: float, least: float) -> float:
    """Bound it the fast way, 4‖M̂ − M‖_F²/σ, with σ the least singular value of M (T5′, step 1)."""
    return 4 * frobenius**2 / least


def deviation_bound(dimension: float, pairs: int, *, risk: float | None = None) -> float:
    """Bound ‖M̂ − M‖_*: √(d/m) in expectation, √(d/m) + √(2 log(1/η)/m) but for a chance of η.

    d is the population's `effective_dimension` (the number of coordinates will do), m the pairs,
    η the risk; ValueError out of range. McDiarmid (1989), doi:10.1017/CBO9781107359949.008.
    """
    message = f"dimension is {dimension}; expected a finite number of at least 0"
    require(0 <= dimension < math.inf, message)
    require(pairs >= 1, f"pairs is {pairs}; expected at least 1")
    require(risk is None or 0 < risk < 1, f"risk is {risk}; expected a number between 0 and 1")
    tail = 0.0 if risk is None else math.sqrt(-2 * math.log(risk))
    return (math.sqrt(dimension) + tail) / math.sqrt(pairs)


def excess_bound(dimension: float, pairs: int, *, confidence: float | None = None) -> float:
    """Bound the excess of a map fitted on independent pairs, by `deviation_bound` (T5).

    That is 4√(d/m) in expectation, and (4/√m)(√d + √(2 log(1/η))) with confidence 1 − η.
    """
    risk = None if confidence is None else risk_of(confidence)
    return excess_from_deviation(deviation_bound(dimension, pairs, risk=risk))


def excess_rate(X: ArrayLike, Y: ArrayLike) -> float:
    """Return κ, where κ/m is the expected excess of a map fitted on many pairs, m (T5′).

    With a = xU and b = yV, from the SVD of the mean of xᵀy, and its singular values σ,

        κ = Σ_{i<j} mean (a_i b_j − a_j b_i)² / (σ_i + σ_j),

    the narrower side and σ padded with zeros. It is the limit of m times the expected excess if no
    singular value vanishes, the pairs given, of any lengths, being the population.
    """
    x, y = as_pairs(X, Y)
    n, wide = len(x), max(x.shape[1], y.shape[1])
    cross = np.zeros((wide, wide))
    cross[: x.shape[1], : y.shape[1]] = Moments.from_arrays(x, y).xy / n
    U, sigma, Vt = svd(cross)
    squares, products = np.zeros((wide, wide)), np.zeros((wide, wide))
    rows = max(1, BLOCK_BYTES // (8 * wide))
    for start in range(0, n, rows):
        a = x[start : start + rows] @ U[: x.shape[1]]
        b = y[start : start + rows] @ Vt.T[: y.shape[1]]
        squares += (a**2).T @ b**2
        products += (a * b).T @ (a * b)
    sums = np.add.outer(sigma, sigma)
    spread = np.maximum(squares + squares.T - 2 * products, 0.0) / n
    # Turning two directions that say nothing into each other costs nothing.
    known = np.triu(sums > wide * np.finfo(float).eps * sums.max(), 1)
    return float(np.sum(spread[known] / sums[known]))


def expected_share(source_dim: int, target_dim: int, pairs: int) -> float:
    """Return the rule of thumb: excess over the least error, (d − 1)/(2m) if d_x = d_y = d.

    It is the number of free parameters of a map, d_x(d_x − 1)/2 + d_x(d_y − d_x) for d_x <= d_y,
    over d_y·m, and the same the other way round: exact in the limit if the target is the turned
    source plus isotropic noise, whatever the spectrum, and then no unbiased estimator does better.
    On fewer pairs than several times the lesser dimension the excess does not fall as 1/m.
    """
    few, many = sorted((source_dim, target_dim))
    return few * ((few - 1) / 2 + many - few) / (many * pairs)


def risk_of(confidence: float) -> float:
    """1 − confidence; ValueError if the confidence is out of range."""
    require(0 < confidence < 1, f"confidence is {confidence}; expected a number between 0 and 1")
    return 1 - confidence
