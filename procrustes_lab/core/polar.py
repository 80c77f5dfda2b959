"""The polar factor: the orthogonal map a cross-moment asks for, and how to shrink it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .sums import Matrix, cross_of
from .validate import as_pairs, require


def polar(cross: Matrix) -> tuple[Matrix, float]:
    """Polar factor W = UVᵀ of XᵀY = USVᵀ, shape (d_x, d_y), and the nuclear norm, the sum of S.

    Among all maps with orthonormal rows (d_x <= d_y) or columns (d_x >= d_y), W maximises
    tr(WᵀXᵀY), and the maximum is the nuclear norm (Schönemann, 1966, doi:10.1007/BF02289451).
    """
    U, S, Vt = svd(cross)
    return U @ Vt, float(S.sum())


def partial_isometry(cross: Matrix) -> Matrix:
    """Polar factor where XᵀY determines it, and 0 elsewhere, where rounding chooses an isometry."""
    U, S, Vt = svd(cross)
    rank = np.count_nonzero(max(cross.shape) * np.finfo(float).eps * S[0] < S)
    return U[:, :rank] @ Vt[:rank]


def svd(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Thin SVD by divide and conquer, and by QR where that fails, on many zero singular values."""
    try:
        return np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        import scipy.linalg  # 0.2 s, and next to never needed

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

    W is the most probable map if y = xW + isotropic Gaussian noise of variance τ² and W has the
    matrix Langevin prior, of density proportional to exp(κ tr(W₀ᵀW)), with κτ² = λ and d_x <= d_y
    (Downs, 1972, doi:10.1093/biomet/59.3.665). As λ grows the error on the pairs never falls and
    the distance from W₀ never rises. As λ → ∞, W → W₀; as λ → 0, W tends to the map of least error
    nearest to W₀. Proofs are in the notebook "Search text and images together", N6.
    """
    if prior is None or share == 0.0:
        return polar(cross)
    W, _ = polar(cross + share * np.linalg.norm(cross, 2) * prior)
    return W, float(np.vdot(W, cross))


def orthogonal_procrustes(
    A: ArrayLike, B: ArrayLike, check_finite: bool = True
) -> tuple[Matrix, float]:
    """Orthogonal R that brings A @ R closest to B in the Frobenius norm.

    A drop-in for `scipy.linalg.orthogonal_procrustes` on real matrices that does not copy its
    inputs, by Schönemann (1966), doi:10.1007/BF02289451; see `align` for unequal dimensions,
    centring, scaling and the error. A and B have shape (n, d), row i of both the same object;
    TypeError or ValueError if they are not finite matrices of real numbers of the same shape.
    `check_finite` has no effect: NaN and infinity always raise. Returns R, shape (d, d), the polar
    factor of AᵀB, and the sum of AᵀB's singular values, s: the least error is ‖A‖² + ‖B‖² − 2s.

    Examples
    --------
    >>> import numpy as np, procrustes_lab as pl
    >>> A = np.array([[2, 0, 1], [-2, 0, 0]])
    >>> R, scale = pl.orthogonal_procrustes(A, np.fliplr(A))
    >>> bool(np.allclose(A @ R, np.fliplr(A))), round(scale, 6)
    (True, 9.0)
    """
    a, b = as_pairs(A, B, ("A", "B"), allow_empty=True)
    found = f"A has shape {a.shape}, B has shape {b.shape}"
    require(a.shape == b.shape, f"{found}; expected the same: align(A, B) takes unequal dimensions")
    if a.size == 0:
        return np.eye(a.shape[1]), 0.0
    cross = cross_of(a, b, names=("A", "B"))
    R, scale = polar(cross.xy)
    return R, scale * cross.source_scale * cross.target_scale
