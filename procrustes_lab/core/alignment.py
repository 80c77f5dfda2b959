"""Orthogonal maps from one embedding space to another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import archive
from .archive import StrPath
from .moments import Moments, moments_of, pairs_or_moments
from .polar import shrunk, spectrum
from .sums import BLOCK_BYTES, Cross, Matrix, cross_of, product_type
from .tables import table
from .validate import as_embeddings, as_numbers, finite, in_range, reject_nonfinite, require

FORMAT = 2  # of the file that `Alignment.save` writes


@dataclass(frozen=True, eq=False, repr=False)
class Alignment:
    """A fitted map from the source space to the target space.

    Attributes
    ----------
    map : ndarray, shape (d_x, d_y)
        Of `align`: orthonormal rows where d_x <= d_y, orthonormal columns where d_x >= d_y, unless
        ``whiten > 0``. Of a rival in `procrustes_lab.search.maps`: any matrix.
    error, error_back : float
        Mean squared distance, per pair, of an aligned source vector from its target, and that of
        `inverse`, in the units of the source; below about 1e-15 of the energy it is rounding. Where
        d_x > d_y what the projection drops counts too, but not with `whiten`: p²/n without options.
    scale : float
        Factor by which aligned vectors are stretched; 1 unless fitted.
    source_mean, target_mean : ndarray, shapes (d_x,) and (d_y,)
        Zeros unless centred.
    n, center, whiten, toward
        What it was fitted on and with: `n` pairs; of `toward`, the share of the given map.
    """

    map: Matrix
    error: float
    error_back: float
    n: int
    scale: float
    source_mean: Matrix
    target_mean: Matrix
    center: bool = False
    whiten: float = 0.0
    toward: float = 0.0

    def apply(self, Z: ArrayLike) -> Matrix:
        """Place source vectors among the target's: (Z - source_mean) map scale + target_mean.

        For what is to lie where its target would: a document in the target's index, a point in a
        plot, input to a model. To search, use `query`. Z has shape (k, d_x) or (d_x,), the result
        (k, d_y) or (d_y,). TypeError or ValueError for another shape, or no finite real numbers.
        """
        placed = self.query(Z)
        placed += self.target_mean
        return placed

    def query(self, Z: ArrayLike) -> Matrix:
        """Make queries for the target's index of source vectors: (Z - source_mean) map scale.

        As `apply`, but the target's mean, of ``center=True``, is not added back: from it every
        query would have the same scores, beside which those that tell queries apart are small where
        the source is a cone, with a mean nearly as long as its vectors.
        """
        z = as_numbers(Z, "Z")
        rows = as_embeddings(z[np.newaxis] if z.ndim == 1 else z, "Z", allow_empty=True)
        d_x, d_y = self.map.shape
        message = f"Z has {rows.shape[1]} columns; this map takes {d_x} (and gives {d_y})"
        require(rows.shape[1] == d_x, message)
        out = np.empty((len(rows), d_y))
        step = max(1, BLOCK_BYTES // (8 * d_x))
        stretched = self.map * self.scale
        with np.errstate(all="ignore"):
            for start in range(0, len(rows), step):
                block = rows[start : start + step] - self.source_mean  # in double precision
                np.matmul(block, stretched, out=out[start : start + step])
        if not np.isfinite(out.sum()):
            reject_nonfinite(rows, "Z")
        return out[0] if z.ndim == 1 else out

    def inverse(self) -> Alignment:
        """Return the map that carries the target's vectors to the source's.

        With it documents go to the new model, instead of queries to the old. It undoes an
        orthogonal map (as far as the narrower space holds), not a whitened one; without centring,
        ``V @ query(Z).T`` and ``inverse().query(V) @ Z.T`` are the same scores but for a factor,
        and another ranking where an index normalises the carried vectors.
        """
        return replace(
            self,
            map=self.map.T,
            error=self.error_back,
            error_back=self.error,
            scale=1 / self.scale if self.scale else 0.0,
            source_mean=self.target_mean,
            target_mean=self.source_mean,
        )

    def save(self, path: StrPath, **about: Any) -> None:
        """Write the map, and what is known `about` it as further entries, to an npz file."""
        archive.write(path, format=FORMAT, **about, **vars(self))

    @classmethod
    def load(cls, path: StrPath) -> Alignment:
        """Read what `save` wrote; OSError if there is no file, ValueError if it is damaged."""
        with archive.reading(path, "an alignment", "write it again with Alignment.save") as fields:
            return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Alignment:
        """Make a map of the entries of its file, others aside; what is wrong with them raises."""
        loaded = cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        sound = all(np.isfinite(value).all() for value in vars(loaded).values())
        require(fields["format"] == FORMAT and sound, "unknown format, or not finite")
        sizes = len(loaded.source_mean), len(loaded.target_mean)
        require(loaded.map.shape == sizes, "sizes disagree")
        return loaded

    def _summary(self) -> list[tuple[str, str, str]]:
        d_x, d_y = self.map.shape
        narrow = self.map if d_x <= d_y else self.map.T
        orthogonal = np.allclose(narrow @ narrow.T, np.eye(len(narrow)), atol=1e-6)
        rows = [
            (True, "pairs", f"{self.n:,}", "fitted on"),
            (True, "map", f"{d_x} → {d_y}", "orthogonal" if orthogonal else "not an isometry"),
            (True, "error", f"{self.error:.4g}", "mean squared distance after aligning"),
            (self.scale != 1.0, "scale", f"{self.scale:.4g}", "aligned vectors are stretched by"),
            (self.center, "center", "yes", "search with query, place with apply"),
            (self.whiten, "whiten", f"{self.whiten:.4g}", "0 is Procrustes, ½ is CCA"),
            (self.toward, "toward", f"{self.toward:.4g}", "shrunk by this share to a given map"),
        ]
        return [(name, value, meaning) for shown, name, value, meaning in rows if shown]

    def __repr__(self) -> str:
        lines = (f"  {name:<8}{value:>12}   {meaning}" for name, value, meaning in self._summary())
        return "\n".join(["Alignment, all values per pair", *lines])

    def _repr_html_(self) -> str:
        return table(["", "", ""], self._summary(), caption="Alignment, all values per pair").html


def align(
    X: ArrayLike | Moments,
    Y: ArrayLike | None = None,
    *,
    center: bool = False,
    scale: bool = False,
    whiten: float = 0.0,
    toward: tuple[ArrayLike | Alignment, float] | None = None,
) -> Alignment:
    """Fit the orthogonal map that carries X closest to Y.

    W = UVᵀ, with XᵀY = USVᵀ, minimises ‖XW − Y‖_F, the narrower side padded with zeros. TypeError
    or ValueError if the inputs are not two finite matrices of real numbers with equally many rows,
    or an option is out of range.

    Parameters
    ----------
    X, Y : array_like, shapes (n, d_x) and (n, d_y)
        Source and target embeddings, row i of both the same object; or X the Moments of the pairs.
    center : bool, optional
        Whether to subtract each side's mean; `Alignment.apply` adds the target's, `query` does not.
    scale : bool, optional
        Whether to fit one factor, tr(WᵀXᵀY) / ‖X‖_F², by which the aligned vectors are stretched.
    whiten : float in [0, 0.5], optional
        β, how far to go from Procrustes (0) to CCA (0.5, with `center`): W = C_x^{-β} UVᵀ C_y^{-β},
        with C_x^{-β} XᵀY C_y^{-β} = USVᵀ, and C a side's second moment, scaled to a mean eigenvalue
        of 1 and inverted where its eigenvalues exceed d·2⁻⁵² of the largest. With β > 0 the map is
        no isometry, and it aims at Y C_y^{-2β}, not at Y: search by it, but do not read the error
        as a quality. Near β = 0.5 it needs many more pairs than dimensions.
        `procrustes_lab.choose` lets held-out pairs choose β.
    toward : (W₀, share), optional
        A map to shrink towards, an Alignment or an array of shape (d_x, d_y) with orthonormal rows
        or columns, and how strongly: W is the polar factor of XᵀY + λW₀, λ the share (0 or more) of
        the largest singular value of XᵀY; with `whiten`, of the whitened one. See
        `procrustes_lab.core.polar.shrunk`.

    References
    ----------
    Schönemann (1966), doi:10.1007/BF02289451; Maystre et al. (2025), arXiv:2510.13406; for CCA
    Hotelling (1936), doi:10.1093/biomet/28.3-4.321; for another path to it, the canonical ridge,
    Vinod (1976), doi:10.1016/0304-4076(76)90010-5.

    Examples
    --------
    >>> import numpy as np, procrustes_lab as pl
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> quarter_turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> pl.align(X, X @ quarter_turn).map.round(12) + 0.0
    array([[ 0.,  1.],
           [-1.,  0.]])
    """
    for name, flag in (("center", center), ("scale", scale)):
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(f"{name} is {flag!r}; expected True or False")
    message = f"whiten is {whiten!r}; expected a number from 0 (Procrustes) to 0.5 (CCA)"
    require(in_range(whiten, 0.0, 0.5), message)
    given = pairs_or_moments(X, Y)
    if isinstance(given, Moments):
        prior = checked_prior(toward, given.cross_scatter.shape)
        return _fit(given, bool(center), bool(scale), float(whiten), *prior)
    x, y = given
    prior = checked_prior(toward, (x.shape[1], y.shape[1]))
    if center or whiten:
        return _fit(moments_of(x, y), bool(center), bool(scale), float(whiten), *prior)
    for dtype in (product_type(x, y), np.float64):
        cross = cross_of(x, y, dtype)
        fitted = _finish(cross, *shrunk(cross.xy, *prior), bool(scale))
        if dtype is np.float64 or fitted.error >= 0.05 * cross.energy:
            break
    return replace(fitted, toward=prior[1])


def checked_prior(
    toward: tuple[ArrayLike | Alignment, float] | None, shape: tuple[int, ...]
) -> tuple[Matrix | None, float]:
    """Return W₀ and the share as `shrunk` takes them, or raise TypeError or ValueError."""
    if toward is None:
        return None, 0.0
    try:
        given, share = toward
    except (TypeError, ValueError):
        raise TypeError("toward is no pair; expected (W0, share), a map and a number") from None
    rule = "expected a number, 0 or more: of the largest singular value of XᵀY"
    require(in_range(share, 0.0, sys.float_info.max), f"toward has the share {share!r}; {rule}")
    name = "toward's map"
    W = finite(given.map if isinstance(given, Alignment) else given, name)
    require(W.shape == shape, f"{name} has shape {W.shape}; expected {shape}: (d_x, d_y)")
    gram = W @ W.T if shape[0] <= shape[1] else W.T @ W
    rule = "expected orthonormal rows, or columns where it goes down: core.polar.polar mends it"
    require(np.abs(gram - np.eye(len(gram))).max() <= 1e-4, f"{name} is no isometry; {rule}")
    return W, float(share)


def _fit(
    moments: Moments, center: bool, scale: bool, whiten: float, prior: Matrix | None, share: float
) -> Alignment:
    centred = moments.centred() if center else moments
    cross = centred.cross()
    lengths: tuple[float, ...] = ()
    if whiten:
        xx, xy, yy = centred.products()
        left, right = (  # C^−β on the range of C
            (vectors * values**-whiten) @ vectors.T for values, vectors in map(spectrum, (xx, yy))
        )
        W = left @ shrunk(left @ xy @ right, prior, share)[0] @ right
        agreement = float(np.vdot(W, xy))
        lengths = float(np.vdot(W, xx @ W)), float(np.vdot(W, W @ yy))
    else:
        W, agreement = shrunk(cross.xy, prior, share)
    return replace(
        _finish(cross, W, agreement, scale, lengths),
        source_mean=moments.source_mean * moments.source_scale * center,
        target_mean=moments.target_mean * moments.target_scale * center,
        center=center,
        whiten=whiten,
        toward=share,
    )


def _finish(
    cross: Cross, W: Matrix, agreement: float, scale: bool, lengths: tuple[float, ...] = ()
) -> Alignment:
    """Fit the stretch and measure the errors of W, given tr(WᵀXᵀY).

    `lengths` are ‖XW‖² and ‖YWᵀ‖², of which an isometry changes nothing that is not padded.
    """
    source, target = cross.source_energy, cross.target_energy
    moved, moved_back = lengths or (source, target)
    if scale and moved > 0:
        stretch = agreement / moved
        back = 1 / stretch if stretch else 0.0
        factor = stretch * (cross.target_scale / cross.source_scale)
        units = cross.target_scale, cross.source_scale
        error = target - agreement * stretch
        error_back = source - 2 * agreement * back + moved_back * back * back
    else:
        unit = max(cross.source_scale, cross.target_scale)
        x, y = cross.source_scale / unit, cross.target_scale / unit
        factor, units = 1.0, (unit, unit)
        error = moved * x * x + target * y * y - 2 * agreement * x * y
        error_back = source * x * x + moved_back * y * y - 2 * agreement * x * y
    error = max(error, 0.0) / cross.n * units[0] ** 2
    error_back = max(error_back, 0.0) / cross.n * units[1] ** 2
    means = np.zeros(len(W)), np.zeros(W.shape[1])
    return Alignment(W, error, error_back, cross.n, factor, *means)
