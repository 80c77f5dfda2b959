"""Orthogonal maps from one embedding space to another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import archive
from .moments import BLOCK_BYTES, Cross, Matrix, Moments, cross_of, moments_of, product_type
from .validate import SOURCE, TARGET, Embeddings, as_embeddings, as_pairs, reject_nonfinite

FORMAT = 1
"""Version of the file that `Alignment.save` writes."""


def polar(cross: Matrix) -> tuple[Matrix, float]:
    """Polar factor W = UVᵀ of XᵀY = USVᵀ, and the nuclear norm, the sum of S.

    Among all maps with orthonormal rows (d_x <= d_y) or columns (d_x >= d_y), W
    maximises tr(WᵀXᵀY), and the maximum is the nuclear norm (Schönemann, 1966,
    doi:10.1007/BF02289451).

    Parameters
    ----------
    cross : ndarray, shape (d_x, d_y)

    Returns
    -------
    W : ndarray, shape (d_x, d_y)
    nuclear : float
    """
    U, S, Vt = np.linalg.svd(cross, full_matrices=False)
    return U @ Vt, float(S.sum())


def orthogonal_procrustes(
    A: ArrayLike, B: ArrayLike, check_finite: bool = True
) -> tuple[Matrix, float]:
    """Orthogonal R that brings A @ R closest to B in the Frobenius norm.

    A drop-in for `scipy.linalg.orthogonal_procrustes` on real matrices that does not copy
    its inputs; see `align` for unequal dimensions, centring, scaling and the error.

    Parameters
    ----------
    A, B : array_like, shape (n, d)
        Row i of both is the same object.
    check_finite : bool, optional
        Has no effect, NaN and infinity always raise: seeing them costs nothing here.

    Returns
    -------
    R : ndarray, shape (d, d)
        The orthogonal factor of the polar decomposition of AᵀB.
    scale : float
        Sum of the singular values of AᵀB. The least error is
        ‖A‖² + ‖B‖² − 2·scale.

    Raises
    ------
    TypeError, ValueError
        If A and B are not two finite matrices of real numbers of the same shape.

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
    >>> R.round()
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


@dataclass(frozen=True, eq=False, repr=False)
class Alignment:
    """A fitted map from the source space to the target space.

    Attributes
    ----------
    map : ndarray, shape (d_x, d_y)
        Orthonormal rows where d_x <= d_y, orthonormal columns where d_x >= d_y; no
        isometry if ``whiten > 0``.
    error : float
        Mean squared distance, per pair, of an aligned source vector from its target.
        Where d_x > d_y the target is padded with zeros, so that what the projection
        drops counts as error: without centring, scaling and whitening this is p²/n. With
        whitening there is no such projection, and the distance is taken in d_y dimensions.
        Differences below about 1e-15 of the energy are rounding.
    n : int
        Number of pairs it was fitted on.
    scale : float
        Factor by which aligned vectors are stretched; 1 unless fitted.
    source_mean, target_mean : ndarray, shapes (d_x,) and (d_y,)
        Zeros unless centred.
    whiten : float
        The β of `align`.
    """

    map: Matrix
    error: float
    n: int
    scale: float
    source_mean: Matrix
    target_mean: Matrix
    whiten: float = 0.0

    def apply(self, Z: ArrayLike) -> Matrix:
        """Carry source vectors into the target space: (Z - source_mean) map scale + target_mean.

        Parameters
        ----------
        Z : array_like, shape (k, d_x)

        Returns
        -------
        ndarray, shape (k, d_y), float64

        Raises
        ------
        TypeError, ValueError
            If Z is not a finite matrix of real numbers with d_x columns.
        """
        z = as_embeddings(Z, "Z", allow_empty=True)
        d_x, d_y = self.map.shape
        if z.shape[1] != d_x:
            raise ValueError(f"Z has {z.shape[1]} columns; this map takes {d_x} (and gives {d_y})")
        out = np.empty((len(z), d_y))
        rows = max(1, BLOCK_BYTES // (8 * d_x))
        stretched = self.map * self.scale
        with np.errstate(all="ignore"):
            for start in range(0, len(z), rows):
                block = z[start : start + rows].astype(np.float64, copy=False)
                if self.source_mean.any():
                    block = block - self.source_mean
                np.matmul(block, stretched, out=out[start : start + rows])
                if self.target_mean.any():
                    out[start : start + rows] += self.target_mean
        if not np.isfinite(out.sum()):
            reject_nonfinite(z, "Z")
        return out

    def save(self, path: str | os.PathLike[str], **about: str | float) -> None:
        """Write the map to an npz file, complete or not at all.

        Parameters
        ----------
        path : path-like
        **about : str or float
            Further entries of the file; `load` passes over them.
        """
        archive.write(path, format=FORMAT, **about, **vars(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Alignment:
        """Read a map that `save` wrote.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If the file is damaged, or is no map of this format.
        """
        with archive.reading(path, "an alignment", "write it again with Alignment.save") as fields:
            return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Alignment:
        """Make a map of the entries of its file, others aside; what is wrong with them raises."""
        own = {name: fields[name] for name in cls.__dataclass_fields__}
        loaded = cls(**own)
        if fields["format"] != FORMAT or not all(np.isfinite(own[name]).all() for name in own):
            raise ValueError("unknown format, or not finite")
        if loaded.map.shape != (len(loaded.source_mean), len(loaded.target_mean)):
            raise ValueError("sizes disagree")
        return loaded

    def _summary(self) -> list[tuple[str, str, str]]:
        d_x, d_y = self.map.shape
        rows = [
            ("pairs", f"{self.n:,}", "fitted on"),
            ("map", f"{d_x} → {d_y}", "orthogonal" if self.whiten == 0 else "not an isometry"),
            ("error", f"{self.error:.4g}", "mean squared distance after aligning"),
        ]
        if self.scale != 1.0:
            rows.append(("scale", f"{self.scale:.4g}", "aligned vectors are stretched by"))
        if self.whiten:
            rows.append(("whiten", f"{self.whiten:.4g}", "0 is Procrustes, ½ is CCA"))
        return rows

    def __repr__(self) -> str:
        lines = (f"  {name:<8}{value:>12}   {meaning}" for name, value, meaning in self._summary())
        return "\n".join(["Alignment, all values per pair", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td>{value}</td><td style='text-align:left'>{meaning}</td></tr>"
            for name, value, meaning in self._summary()
        )
        return f"<table><caption>Alignment, all values per pair</caption>{rows}</table>"


def align(
    X: ArrayLike | Moments,
    Y: ArrayLike | None = None,
    *,
    center: bool = False,
    scale: bool = False,
    whiten: float | Literal["auto"] = 0.0,
) -> Alignment:
    """Fit the orthogonal map that carries X closest to Y.

    W = UVᵀ, with XᵀY = USVᵀ, minimises ‖XW − Y‖_F, the narrower side padded with zeros.

    Parameters
    ----------
    X : array_like, shape (n, d_x), or Moments
        Source embeddings, one row per object; or the moments of the pairs, without Y.
    Y : array_like, shape (n, d_y)
        Target embeddings; row i is the same object as row i of X.
    center : bool, optional
        Whether to subtract each side's mean first (and add the target's back).
    scale : bool, optional
        Whether to fit one factor, ‖XᵀY‖_* / ‖X‖_F², by which the aligned vectors are stretched.
    whiten : float in [0, 0.5] or "auto", optional
        β, how far to go from Procrustes (0) to CCA (0.5, with `center`): the map is
        C_x^{-β} U Vᵀ C_y^{-β}, with U and V from the SVD of C_x^{-β} XᵀY C_y^{-β}, and C each
        side's second moment, scaled to a mean eigenvalue of 1. That scale gives the mapped
        vectors their length, which without `center` ranks nothing. C is inverted on its range, and
        the mean is taken there: eigenvalues below d·2⁻⁵² of the largest are rounding, and their
        directions are dropped.
        With β > 0 the map is no isometry, and it aims at Y C_y^{-2β}, not at Y: search by it, but
        do not read the error as a quality. Near β = 0.5 it needs many more pairs than dimensions.
        With "auto", pairs that are held out choose among a few β from 0 to 0.5: the one by which
        most sources find their own target; of β that tie the smaller, of a single pair 0. At most
        5,000 pairs take part. Where sources will be queries, pairs of documents are a natural judge
        but a biased one: notebook 06 finds that they ask for more whitening than queries bear.

    Returns
    -------
    Alignment

    Raises
    ------
    TypeError, ValueError
        If the inputs are not two finite matrices of real numbers with equally many
        rows, or `whiten` is out of range, or is "auto" where X is moments.

    References
    ----------
    Schönemann (1966), doi:10.1007/BF02289451; Maystre et al. (2025), arXiv:2510.13406;
    Hotelling (1936), doi:10.1093/biomet/28.3-4.321, for CCA; Vinod (1976),
    doi:10.1016/0304-4076(76)90010-5, for the canonical ridge, another path between the two.

    Examples
    --------
    >>> import numpy as np, procrustes_lab as pl
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> quarter_turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> pl.align(X, X @ quarter_turn).map.round(12)
    array([[ 0.,  1.],
           [-1.,  0.]])
    """
    if whiten != "auto" and not (isinstance(whiten, int | float) and 0.0 <= whiten <= 0.5):
        raise ValueError(
            f'whiten is {whiten!r}; expected "auto", or a number from 0 (Procrustes) to 0.5 (CCA)'
        )
    if isinstance(X, Moments):
        if Y is not None:
            raise TypeError("X is the moments of both sides; expected no Y beside it")
        if whiten == "auto":
            raise ValueError(
                'whiten is "auto", but moments cannot hold out pairs; '
                "expected a number from 0 to 0.5, or the arrays in their place"
            )
        return _fit(X, center, scale, whiten)
    if Y is None:
        raise TypeError("Y (target) is missing; expected an array of shape (n, d_y)")
    x, y = as_pairs(X, Y)
    if whiten == "auto":
        whiten = _chosen_whitening(x, y, center)
    if center or whiten:
        return _fit(moments_of(x, y), center, scale, whiten)
    dtype = product_type(x, y)
    cross = cross_of(x, y, dtype)
    fitted = _finish(cross, *polar(cross.xy), scale=scale)
    if dtype is np.float32 and fitted.error < 0.05 * cross.energy:
        cross = cross_of(x, y)
        fitted = _finish(cross, *polar(cross.xy), scale=scale)
    return fitted


def _chosen_whitening(x: Embeddings, y: Embeddings, center: bool) -> float:
    """Let held-out pairs choose β."""
    from procrustes_lab.search.rivals import (  # a search, of which the theory has no need
        WHITENINGS,
        best,
        whitened,
    )

    reject_nonfinite(x, SOURCE)
    reject_nonfinite(y, TARGET)
    return WHITENINGS[best([whitened(beta) for beta in WHITENINGS], x, y, center=center)]


def _fit(moments: Moments, center: bool, scale: bool, whiten: float) -> Alignment:
    centred = moments.centred() if center else moments
    cross = centred.cross()
    W, agreement = polar(cross.xy)
    if whiten:
        xx, xy, yy = centred.products()
        left, right = _negative_power(xx, whiten), _negative_power(yy, whiten)
        W = left @ polar(left @ xy @ right)[0] @ right
        agreement = float(np.vdot(W, xy))
        cross = cross._replace(source_energy=float(np.vdot(W, xx @ W)))
    fitted = _finish(cross, W, agreement, scale=scale)
    return replace(
        fitted,
        source_mean=moments.source_mean * moments.source_scale * center,
        target_mean=moments.target_mean * moments.target_scale * center,
        whiten=float(whiten),
    )


def _finish(cross: Cross, W: Matrix, agreement: float, *, scale: bool) -> Alignment:
    """Fit the stretch and measure the error of a map W, given tr(WᵀXᵀY)."""
    source, target = cross.source_energy, cross.target_energy
    if scale and source > 0:
        factor = agreement / source * (cross.target_scale / cross.source_scale)
        unit, error = cross.target_scale, target - agreement * (agreement / source)
    else:
        unit = max(cross.source_scale, cross.target_scale)
        x, y = cross.source_scale / unit, cross.target_scale / unit
        factor, error = 1.0, source * x * x + target * y * y - 2 * agreement * x * y
    error = max(error, 0.0) / cross.n * unit**2
    return Alignment(W, error, cross.n, factor, np.zeros(len(W)), np.zeros(W.shape[1]))


def _negative_power(second_moment: Matrix, power: float) -> Matrix:
    """C^(-power) on the range of C, for C scaled to a mean eigenvalue of 1 there."""
    values, vectors = np.linalg.eigh(second_moment)
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    values = values / (values.sum() / max(len(values), 1))
    return np.asarray((vectors * values**-power) @ vectors.T)
