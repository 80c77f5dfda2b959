"""The lens: where a pair can be, given how far its Gram matrices disagree.

In coordinates without units, x = Δ/t (nuclear norm of the Gram discrepancy over energy) and
y = p²/t (squared Procrustes distance over energy), theorem T2 reads 1 − √(1 − x²) ≤ y ≤ x: a lens
between a straight line and a quarter of the unit circle around (0, 1). Every point is attained.
"""

import numpy as np
from numpy.typing import ArrayLike

from .polar import polar
from .sums import Matrix as Array
from .validate import require


def lower(nuclear: ArrayLike, energy: ArrayLike) -> Array:
    """Bound p² from below: t − √(t² − Δ²), computed without cancellation or overflow.

    It is Δ²/(t + √((t − Δ)(t + Δ))), here divided through by t; near Δ = t the difference is exact.
    Δ and t, `nuclear` and `energy`, have the same units (totals, or both per object), and
    broadcast. A Δ that exceeds t by rounding counts as t, and where t is 0 the bound is.
    """
    t = np.asarray(energy, float)
    delta = np.minimum(np.asarray(nuclear, float), t)
    divisor = np.where(t > 0.0, t, 1.0)
    x = delta / divisor
    return np.asarray(delta * (x / (1.0 + np.sqrt((t - delta) / divisor * (1.0 + x)))))


def upper(nuclear: ArrayLike, energy: ArrayLike) -> Array:
    """Bound p² from above: Δ itself, which only rounding can make larger than t."""
    return np.asarray(np.minimum(np.asarray(nuclear, float), np.asarray(energy, float)))


def lower_side(points: int = 91) -> tuple[Array, Array]:
    """Trace the lower side: x = sin θ, y = 1 − cos θ for `points` even steps of θ up to π/2."""
    theta = np.linspace(0.0, np.pi / 2.0, points)
    return np.sin(theta), 2.0 * np.sin(theta / 2.0) ** 2


def tilts(source: ArrayLike, cross: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Return by which angles two aligned sets are tilted, and the share of energy at each (T9).

    After aligning, XᵀY is symmetric and positive semidefinite. With B = XᵀX + YᵀY, the cosines are
    the eigenvalues of the tilt matrix B^(−½)·2XᵀY·B^(−½), and an eigenvector v has the share
    vᵀBv / t. Then p²/t = 1 − E cos θ exactly, and where XᵀX = YᵀY the cosines are the canonical
    correlations. Takes XᵀX, XᵀY and YᵀY in one unit, and returns arrays of shape (k,) for the k
    directions that B reaches: angles between 0 and π/2, largest first, and shares that sum to 1.
    """
    xx, xy, yy = (np.asarray(matrix, float) for matrix in (source, cross, target))
    d = max(xy.shape)
    xx, xy, yy = (np.pad(m, [(0, d - size) for size in m.shape]) for m in (xx, xy, yy))
    turn, _ = polar(xy)
    both, common = turn.T @ xx @ turn + yy, turn.T @ xy
    energies, axes = np.linalg.eigh(both)
    kept = energies > d * np.finfo(float).eps * energies[-1]
    energies, axes = energies[kept], axes[:, kept] / np.sqrt(energies[kept])
    cosines, directions = np.linalg.eigh(axes.T @ (common + common.T) @ axes)
    shares = energies @ directions**2
    return np.arccos(np.clip(cosines, 0.0, 1.0)), shares / max(shares.sum(), np.finfo(float).tiny)


def svg(x: float, y: float) -> str:
    """Draw the lens with a point at Δ/t and p²/t, as one SVG element in the page's text colour.

    Many can share a page: it has no identifiers. ValueError if x or y is not in [0, 1].
    """
    rule = "expected a number in [0, 1]: divide by the energy t"
    for name, value in (("x", x), ("y", y)):
        require(0.0 <= value <= 1.0, f"{name} is {value}, {rule}")
    bottom, top = float(lower(x, 1.0)), float(upper(x, 1.0))
    words = (
        f"Lens of bounds: Gram discrepancy Δ/t = {x:.3g}; alignment error p²/t = {y:.3g}, "
        f"between {bottom:.3g} and {top:.3g}"
    )
    # The unit square is drawn 180 wide, its corner (0, 0) at (26, 190).
    px, py, low, high = (
        f"{v:.5g}" for v in (26 + 180 * x, *(190 - 180 * np.array([y, bottom, top])))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 220 220" width="220" height="220" '
        f'role="img" aria-label="{words}" fill="none" stroke="currentColor" '
        f'font-family="sans-serif" font-size="12"><title>{words}</title>'
        '<path d="M26 10V190H206" stroke-opacity=".5"/>'
        '<path d="M26 190L206 10A180 180 0 0 1 26 190Z" fill="currentColor" fill-opacity=".12"/>'
        f'<path d="M{px} {low}V{high}" stroke-dasharray="3 2"/>'
        f'<circle cx="{px}" cy="{py}" r="5" fill="#D55E00" stroke-width="1.5"/>'
        '<g fill="currentColor" stroke="none" text-anchor="middle">'
        '<text x="116" y="212">Gram discrepancy Δ/t</text>'
        '<text transform="translate(14 100) rotate(-90)">error p²/t</text>'
        '<text x="26" y="205">0</text><text x="206" y="205">1</text><text x="18" y="15">1</text>'
        "</g></svg>"
    )
