"""Numbers that are codes and no coordinates: quantised vectors that were not turned back."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EDGE = 8  # how many values at either end of a byte's range are at an end
FEWEST = 40  # bytes at the ends from which their share at the wrong one is judged
# Share of those that the other coordinates expect at the other end. In five networks' vectors at
# most 0.023 with clipping; where 0.1 % wrapped round, of one network 1 %, from 0.13 to 0.43.
MISPLACED = 0.05


def suspect(rows: ArrayLike) -> str:
    """Say what kind of code the numbers of some rows look like; nothing if they look like vectors.

    ``"packed bits"``: a byte's last bit is noise, as often one as zero; that of packed bits is a
    coordinate, and lopsided. In five networks' vectors most columns are (p < 10⁻⁶ each, 2,000
    rows), and at most one in nine of quantised coordinates.
    ``"wrapped codes"``: a coordinate that was out of range and not clipped comes in at the other
    end, where a linear regression on the others, by half of the rows, does not expect it.
    ``"codes of a byte"``: where nearly every column fills all 256 values, each had a range of its
    own, and zero stands for another number in each. Two thousand rows, shape (k, d), are plenty.
    """
    q = np.asarray(rows, float)
    lowest, highest = q.min(), q.max()
    if len(q) < 2 or lowest < -128 or highest > 255 or highest - lowest < 3 or (q % 1).any():
        return ""
    lopsided = np.abs((q % 2).mean(axis=0) - 0.5) * 2 * np.sqrt(len(q)) > 5
    if q.std() > EDGE and lopsided.mean() > 0.5:
        return "packed bits"
    if _misplaced(q - (128 if lowest >= 0 else 0)) > MISPLACED:
        return "wrapped codes"
    return "codes of a byte" if (np.ptp(q, axis=0) >= 250).mean() > 0.9 else ""


def _misplaced(q: NDArray[np.float64]) -> float:
    fitted, tried = q[::2], q[1::2]
    at_end = np.abs(tried + 0.5) > 128 - EDGE
    if at_end.sum() < FEWEST:
        return 0.0
    covariance = np.atleast_2d(np.cov(fitted.T))
    covariance += np.eye(len(covariance)) * (0.1 * np.trace(covariance) / len(covariance) + 1e-9)
    precision = np.linalg.inv(covariance)
    centred = tried - fitted.mean(axis=0)
    expected = tried - (centred @ precision) / np.diag(precision)  # each by all the others
    return float((np.sign(expected) != np.sign(tried))[at_end].mean())
