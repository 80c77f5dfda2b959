"""Bounds on the squared Procrustes distance p², each as its theorem states it; and the lens of two.

Norms and squared distances are totals: divide by n for values per object. In coordinates without
units, x = Δ/t (nuclear norm of the Gram discrepancy over energy) and y = p²/t, T2 reads
1 − √(1 − x²) ≤ y ≤ x: a lens between a straight line and a quarter of the unit circle around
(0, 1). Every point is attained.
"""

import numpy as np
from numpy.typing import ArrayLike

from .polar import polar
from .sums import Matrix
from .validate import require


def theorem(epsilon: float, source_dim: int, target_dim: int) -> float:
    """T1: p² ≤ √(2 max(d_x, d_y)) ε. Maystre et al. (2025), arXiv:2510.13406."""
    return float(np.sqrt(2 * max(source_dim, target_dim)) * epsilon)


def rank_aware(epsilon: float, n: int, source_dim: int, target_dim: int) -> float:
    """T1′: p² ≤ √min(n, d_x + d_y) ε, since D has no more nonzero eigenvalues than that."""
    return float(np.sqrt(min(n, source_dim + target_dim)) * epsilon)


def spectrum_aware(source: ArrayLike, target: ArrayLike, epsilon: float) -> float:
    """T8: the largest p² of all pairs with these singular values and this ε.

    Let x_i and y_i be the singular values of X and Y, largest first, and ρ_i = x_i y_i. Then
    p² ≤ Σ(x_i − y_i)² + 2 Σ(ρ_i − ω_i), where the weakest ω_i are 0, one is between 0 and ρ_i, and
    the others are ρ_i, such that Σ(ρ_i² − ω_i²) is the budget ½[ε² − Σ(x_i² − y_i²)²]. For
    p² = t − 2‖XᵀY‖_* and ε² = ‖G‖² + ‖H‖² − 2‖XᵀY‖_F², and no sum of the k largest singular
    values of XᵀY exceeds that of the ρ_i (Horn, 1950, doi:10.1073/pnas.36.7.374). Attained by
    orthogonal directions, the weakest turned by a right angle and the next by part of one.

    The singular values, shapes (d_x,) and (d_y,), come in any order. An ε = ‖XXᵀ − YYᵀ‖_F below
    what the spectra allow counts as the least that they do. The bound is at most t, and T1.
    """
    d = max(np.size(source), np.size(target))
    x, y = (np.concatenate([np.zeros(d - np.size(s)), np.sort(s)]) for s in (source, target))
    overlap = x * y  # weakest first
    budget = max(float(epsilon**2 - np.sum((x**2 - y**2) ** 2)) / 2, 0.0)
    spent = np.concatenate([[0.0], np.cumsum(overlap**2)])
    turned = int(np.searchsorted(spent, budget, side="right")) - 1
    lost = float(overlap[:turned].sum())
    if turned < d:
        rest, whole = budget - spent[turned], overlap[turned]
        lost += rest / (whole + np.sqrt(max(whole**2 - rest, 0.0)))
    return float(np.sum((x - y) ** 2)) + 2 * lost


def lipschitz(epsilon: float, least: float) -> float:
    """T3: p² ≤ 2ε²/σ², σ the least singular value of XW + Y padded; infinite where σ is 0.

    W is the best map, the narrower side padded with zeros. Follows from
    ε² = ½ tr(PᵀP SᵀS) + ½‖XᵀX − YᵀY‖_F² after aligning, P = X − Y and S = X + Y. Attained by
    directions of one length, all turned by one angle.
    """
    return 2 * epsilon**2 / least**2 if least > 0 else float("inf")


def floor(epsilon: float, source_norm: float, target_norm: float) -> float:
    """T4: p² ≥ ε²/(‖X‖₂ + ‖Y‖₂)²; 0 where both sides are zero."""
    norms = source_norm + target_norm
    return epsilon**2 / norms**2 if norms > 0 else 0.0


def lower(nuclear: ArrayLike, energy: ArrayLike) -> Matrix:
    """T2, from below: p² ≥ t − √(t² − Δ²), computed without cancellation or overflow.

    It is Δ²/(t + √((t − Δ)(t + Δ))), here divided through by t; near Δ = t the difference is exact.
    Δ and t, `nuclear` and `energy`, have the same units (totals, or both per object), and
    broadcast. A Δ that exceeds t by rounding counts as t, and where t is 0 the bound is.
    Fuchs & van de Graaf (1999), doi:10.1109/18.761271, for states; Powers & Størmer (1970),
    doi:10.1007/BF01645492.
    """
    t = np.asarray(energy, float)
    delta = np.minimum(np.asarray(nuclear, float), t)
    divisor = np.where(t > 0.0, t, 1.0)
    x = delta / divisor
    return np.asarray(delta * (x / (1.0 + np.sqrt((t - delta) / divisor * (1.0 + x)))))


def upper(nuclear: ArrayLike, energy: ArrayLike) -> Matrix:
    """T2, from above: p² ≤ Δ, which only rounding can make larger than t."""
    return np.asarray(np.minimum(np.asarray(nuclear, float), np.asarray(energy, float)))


def lower_side(points: int = 91) -> tuple[Matrix, Matrix]:
    """Trace the lower side: x = sin θ, y = 1 − cos θ for `points` even steps of θ up to π/2."""
    theta = np.linspace(0.0, np.pi / 2.0, points)
    return np.sin(theta), 2.0 * np.sin(theta / 2.0) ** 2


def tilts(source: ArrayLike, cross: ArrayLike, target: ArrayLike) -> tuple[Matrix, Matrix]:
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
