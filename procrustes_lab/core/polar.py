"""The polar factor: the orthogonal map a cross-moment asks for, and how to shrink it."""

from __future__ import annotations

import sys

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from .sums import Matrix, cross_of
from .validate import as_embeddings, as_pairs, in_range, reject_nonfinite


def polar(cross: Matrix) -> tuple[Matrix, float]:
    """Polar factor W = UVᵀ of XᵀY = USVᵀ, shape (d_x, d_y), and the nuclear norm, the sum of S.

    Among all maps with orthonormal rows (d_x <= d_y) or columns (d_x >= d_y), W maximises
    tr(WᵀXᵀY), and the maximum is the nuclear norm (Schönemann, 1966, doi:10.1007/BF02289451).
    """
    U, S, Vt = svd(cross)
    return U @ Vt, float(S.sum())


def svd(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Thin SVD by divide and conquer, and by QR iteration where that gives up.

    It does at times: on the cross-moment of 50 pairs in 512 dimensions, which is finite and
    harmless, and of which most singular values are zero.
    """
    try:
        return np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        return scipy.linalg.svd(matrix, full_matrices=False, lapack_driver="gesvd")


def spectrum(second_moment: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues, scaled to a mean of 1, and eigenvectors; those of rounding are left out."""
    values, vectors = np.linalg.eigh(second_moment)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    return values / (values.sum() / max(len(values), 1)), vectors


def shrunk(cross: Matrix, prior: Matrix | None, share: float) -> tuple[Matrix, float]:
    """Polar factor W of C + λW₀, where C = XᵀY, and tr(WᵀC); W₀ is an isometry, or None.

    The share is λ/σ_1(C), so that neither the number of pairs nor their length matters.

    Notes
    -----
    *As data.* λ pseudo-pairs (I, W₀), the rows of √λ·I and √λ·W₀, add just λW₀ to C.

    *As belief.* Let y = xW + noise, Gaussian, isotropic, of variance τ², and let W have the matrix
    Langevin prior, of density proportional to exp(κ tr(W₀ᵀW)) and of mode W₀ (Downs, 1972). Where
    ‖XW‖ is the same for all W (d_x ≤ d_y), the logarithm of the posterior is
    tr((C/τ² + κW₀)ᵀW) and a constant: the most probable map is this one, with λ = κτ².

    *Monotone.* Write f(W) = tr(WᵀC), g(W) = tr(WᵀW₀), and W_λ for the maximiser of f + λg. Let
    λ < μ. Adding f(W_λ) + λg(W_λ) ≥ f(W_μ) + λg(W_μ) to f(W_μ) + μg(W_μ) ≥ f(W_λ) + μg(W_λ) gives
    (μ − λ)(g(W_μ) − g(W_λ)) ≥ 0, so g(W_μ) ≥ g(W_λ), and then by the first f(W_μ) ≤ f(W_λ): the
    error on the pairs, t − 2f, never falls as λ grows, and the distance from W₀ never rises.

    *Limits.* g alone is greatest at W₀ and nowhere else, so W_λ → W₀ as λ → ∞. As λ → 0, f(W_λ)
    tends to its maximum, and as f(W_λ) ≤ f(V) for every V of least error, g(W_λ) ≥ g(V): W_λ comes
    as close to W₀ as such a V can. If C has full rank there is one V only, the plain fit; if not,
    directions that no pair has shown go as near to where W₀ sends them as they can.

    References
    ----------
    Thomas D. Downs (1972), Orientation statistics, Biometrika 59(3), doi:10.1093/biomet/59.3.665.
    """
    if prior is None or share == 0.0:
        return polar(cross)
    W, _ = polar(cross + share * np.linalg.norm(cross, 2) * prior)
    return W, float(np.vdot(W, cross))


def checked_prior(given: ArrayLike, share: float, shape: tuple[int, ...]) -> tuple[Matrix, float]:
    """Return W₀ and the share as `shrunk` takes them, or raise TypeError or ValueError."""
    if not in_range(share, 0.0, sys.float_info.max):
        raise ValueError(
            f"toward has the share {share!r}; expected a number, 0 or more: "
            "of the largest singular value of XᵀY"
        )
    name = "toward's map"
    W = as_embeddings(given, name).astype(np.float64)
    if W.shape != shape:
        raise ValueError(f"{name} has shape {W.shape}; expected (d_x, d_y), here {shape}")
    reject_nonfinite(W, name)
    gram = W @ W.T if shape[0] <= shape[1] else W.T @ W
    if np.abs(gram - np.eye(len(gram))).max() > 1e-4:
        raise ValueError(
            f"{name} is no isometry; expected orthonormal rows, or columns where it goes down: "
            "procrustes_lab.core.polar.polar(W0)[0] is the nearest map that has them"
        )
    return W, float(share)


def orthogonal_procrustes(
    A: ArrayLike, B: ArrayLike, check_finite: bool = True
) -> tuple[Matrix, float]:
    """Orthogonal R that brings A @ R closest to B in the Frobenius norm.

    A drop-in for `scipy.linalg.orthogonal_procrustes` on real matrices that does not copy
    its inputs; see `align` for unequal dimensions, centring, scaling and the error.

    Parameters
    ----------
    A, B : array_like, shape (n, d)
        Row i of both is the same object. TypeError or ValueError is raised if they are not finite
        matrices of real numbers of the same shape.
    check_finite : bool, optional
        Has no effect, NaN and infinity always raise: seeing them costs nothing here.

    Returns
    -------
    R : ndarray, shape (d, d)
        The orthogonal factor of the polar decomposition of AᵀB.
    scale : float
        Sum of the singular values of AᵀB. The least error is ‖A‖² + ‖B‖² − 2·scale.

    References
    ----------
    Peter H. Schönemann (1966), A generalized solution of the orthogonal Procrustes
    problem, Psychometrika 31(1), doi:10.1007/BF02289451.

    Examples
    --------
    >>> import numpy as np
    >>> from procrustes_lab import orthogonal_procrustes
    >>> A = np.array([[2, 0, 1], [-2, 0, 0]])
    >>> R, scale = orthogonal_procrustes(A, np.fliplr(A))
    >>> R.round() + 0.0
    array([[0., 0., 1.],
           [0., 1., 0.],
           [1., 0., 0.]])
    >>> round(scale, 6)
    9.0
    """
    a, b = as_pairs(A, B, "A", "B", allow_empty=True)
    if a.shape != b.shape:
        raise ValueError(
            f"A has shape {a.shape}, B has shape {b.shape}; expected the same shape: "
            "align(A, B) takes unequal dimensions"
        )
    if a.size == 0:
        return np.eye(a.shape[1]), 0.0
    cross = cross_of(a, b, names=("A", "B"))
    R, scale = polar(cross.xy)
    return R, scale * cross.source_scale * cross.target_scale
