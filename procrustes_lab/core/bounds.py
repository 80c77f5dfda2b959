"""One-sided bounds on the squared Procrustes distance p², each as its theorem states it.

Norms and squared distances are totals: divide by n for values per object. T2 is in `lens`.
"""

import numpy as np
from numpy.typing import ArrayLike


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
    x, y = (np.pad(np.sort(s), (d - np.size(s), 0)) for s in (source, target))  # weakest first
    overlap = x * y
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
