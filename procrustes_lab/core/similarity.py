"""How similar two spaces are, by the measures that others use: all of them from the moments.

No measure here sees a rotation or a change of scale of either side. Proofs are in the notebook
"Compare with CKA".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .moments import Moments, as_moments
from .sums import Matrix
from .validate import SOURCE, TARGET, require


def cka(X: ArrayLike | Moments, Y: ArrayLike | None = None, *, center: bool = True) -> float:
    """Linear centred kernel alignment, the cosine of the Gram matrices: ‖XᵀY‖_F²/(‖XᵀX‖_F ‖YᵀY‖_F).

    From 0, no direction in common, to 1, equal up to a rotation and a scale. With centring it is
    the RV coefficient. If both Gram matrices are scaled to Frobenius norm 1, their discrepancy is
    ε² = 2(1 − CKA). X, Y and errors are those of `align`, but that means are subtracted by default;
    and ValueError if nothing is left of a side: all its rows are equal, or zero if not centred.

    Kornblith et al. (2019), arXiv:1905.00414; Robert & Escoufier (1976), doi:10.2307/2347233.
    """
    xx, xy, yy = _products(X, Y, center)
    return min(float(np.vdot(xy, xy) / (np.linalg.norm(xx) * np.linalg.norm(yy))), 1.0)


def bures_similarity(
    X: ArrayLike | Moments, Y: ArrayLike | None = None, *, center: bool = True
) -> float:
    """Normalised Bures similarity, ‖XᵀY‖_* / (‖X‖_F ‖Y‖_F): fidelity of Gram matrices of trace 1.

    It is the mean cosine, weighted by length, between matched rows after the best orthogonal
    map, and the cosine of the Riemannian shape distance; for sides of equal energy, 1 − p²/t. The
    Procrustes distance of both sets, each scaled to Frobenius norm 1, is √(2 − 2F).
    Parameters and errors are those of `cka`. Harvey, Larsen & Williams (2023),
    arXiv:2311.11436; Bhatia, Jain & Lim (2019), doi:10.1016/j.exmath.2018.01.002.
    """
    _, xy, _ = _products(X, Y, center)
    return min(float(np.linalg.norm(xy, "nuc")), 1.0)


class Range(NamedTuple):
    """The least and the greatest value that a measure can have."""

    least: float
    most: float


def cka_range(bures: float, dimension: int) -> Range:
    """Where CKA can be, given the normalised Bures similarity F and the larger dimension (T7).

    The greatest value is attained, the least in dimensions 1 and 2, and at F = 0 and 1. Any bound
    on the ranks of both sides will do for the dimension. ValueError for what is out of range.
    """
    require(0.0 <= bures <= 1.0, f"bures is {bures}; expected a similarity from 0 to 1")
    require(dimension >= 1, f"dimension is {dimension}; expected at least 1")
    F2 = bures**2
    least = F2 / (dimension - (dimension - 1) * F2)
    if bures * dimension <= 1.0 or dimension == 1:
        return Range(least, dimension * F2)
    return Range(least, F2 / (F2 + (1.0 - bures) ** 2 / (dimension - 1)))


def bures_range(cka: float, participation: float) -> Range:
    """Where the normalised Bures similarity can be, given CKA and the participation ratio r (T7).

    r is the geometric mean of the two `participation_ratios`. Both ends are attained: the least by
    sides that share one direction, the greatest by two axes that swap their lengths. ValueError for
    what is out of range.
    """
    slack = 1e-9  # rounding of 1
    require(participation >= 1 - slack, f"participation is {participation}; expected at least 1")
    require(0.0 <= cka <= 1.0, f"cka is {cka}; expected a similarity from 0 to 1")
    participation = max(participation, 1.0)
    return Range(float(np.sqrt(cka / participation)), float(np.sqrt(1 - (1 - cka) / participation)))


def procrustes_floor(cka: float) -> float:
    """Least squared Procrustes distance that a CKA leaves, in any dimension (T10).

    2√(1 + c) − 2√(2c), for sides scaled so that their Gram matrices have Frobenius norm 1; centred
    or not, as the CKA is. It is at least (1 − c)/√2, and is attained at every c by two axes that
    swap their lengths. ValueError if `cka` is out of range.
    """
    require(0.0 <= cka <= 1.0, f"cka is {cka}; expected a similarity from 0 to 1")
    return float(2 * (1 - cka) / (np.sqrt(1 + cka) + np.sqrt(2 * cka)))


def participation_ratios(
    X: ArrayLike | Moments, Y: ArrayLike | None = None, *, center: bool = True
) -> tuple[float, float]:
    """Effective dimension of each side, from 1 to d: (tr C)² / tr C² for its second moment C."""
    xx, _, yy = _products(X, Y, center)
    return float(1.0 / np.vdot(xx, xx)), float(1.0 / np.vdot(yy, yy))


def _products(
    X: ArrayLike | Moments, Y: ArrayLike | None, center: bool
) -> tuple[Matrix, Matrix, Matrix]:
    """XᵀX, XᵀY and YᵀY, of sides scaled to Frobenius norm 1."""
    moments = as_moments(X, Y)
    xx, xy, yy = (moments.centred() if center else moments).products()
    wholes = moments.products()
    for name, part, whole in ((SOURCE, xx, wholes[0]), (TARGET, yy, wholes[2])):
        found = "rows that are all equal" if center and whole.any() else "no row but zeros"
        message = f"{name} has {found}; expected rows that differ, to compare them"
        require(np.trace(part) > 1e-28 * np.trace(whole), message)
    source, target = np.sqrt(np.trace(xx)), np.sqrt(np.trace(yy))
    return xx / source / source, xy / source / target, yy / target / target
