"""Maps from a source space to a target's index: the orthogonal one, and what it competes with.

All are fitted on pairs (X, Y) or their `Spectra`: twenty whitenings cost one pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.core.moments import Moments, moments_of, pairs_or_moments
from procrustes_lab.core.polar import spectrum, svd
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings

from .retrieval import F

WHITENINGS = tuple(round(0.05 * i, 2) for i in range(1, 11))  # from nearly Procrustes to CCA
RIDGE = 1e-3  # strength, in units of the mean eigenvalue of YᵀY
RANK = 64  # of the low-rank affine map, of the narrower side's dimensions at the most

Center = Literal["both", "target"] | None  # a fit about the means is one about both


class Fitted(Protocol):
    """What every fit returns: something that makes queries for the target's index."""

    @property
    def query(self) -> Callable[[ArrayLike], Matrix]:
        """Turns source vectors, shape (k, d_x), into queries."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Moments of pairs, what linear fits share of them, and the pairs, if known, for other fits."""

    moments: Moments
    x: Embeddings | None = None
    y: Embeddings | None = None

    @classmethod
    def of(cls, X: ArrayLike | Moments | Spectra, Y: ArrayLike | None = None) -> Spectra:
        """Take pairs of shapes (n, d_x) and (n, d_y), or their moments."""
        if isinstance(X, Spectra):
            return X
        given = pairs_or_moments(X, Y)
        return cls(given) if isinstance(given, Moments) else cls(moments_of(*given), *given)

    @cached_property
    def centred(self) -> Spectra:
        """The same about the means; keeps no pairs."""
        return Spectra(self.moments.centred())

    @cached_property
    def eigen(self) -> tuple[Matrix, Matrix, Matrix, Matrix, Matrix]:
        """Eigenvalues and eigenvectors of XᵀX and of YᵀY, as of `spectrum`, and XᵀY in them."""
        xx, xy, yy = self.moments.products()
        (values_x, vectors_x), (values_y, vectors_y) = spectrum(xx), spectrum(yy)
        return values_x, vectors_x, values_y, vectors_y, vectors_x.T @ xy @ vectors_y

    def alignment(self, W: Matrix, *, center: Center = None, whiten: float = 0.0) -> Alignment:
        """Make an `Alignment` of any matrix of shape (d_x, d_y), with its errors on the pairs.

        Centred on "both" sides, a query loses the source's mean; on the "target" alone, it keeps
        it. `apply` places both at the same point; `inverse` of the latter places nothing.
        """
        moments, n = self.moments, self.moments.n
        x, y = float(moments.source_scale), float(moments.target_scale)
        xx, xy, yy = (self.centred if center else self).moments.products()
        with np.errstate(all="ignore"):  # squares of what is too large for them are infinite
            forth, back = W * (x / y), W * (y / x)
            error = float(np.vdot(forth, xx @ forth - 2 * xy) + np.trace(yy))
            error_back = float(np.vdot(back, back @ yy - 2 * xy) + np.trace(xx))
        errors = max(error, 0.0) / n * y * y, max(error_back, 0.0) / n * x * x
        means = moments.source_mean * x, moments.target_mean * y
        if center == "target":
            means = np.zeros_like(means[0]), means[1] - means[0] @ W
        elif center is None:
            means = np.zeros_like(means[0]), np.zeros_like(means[1])
        return Alignment(W, *errors, n, 1.0, *means, center is not None, whiten)


Mapper = Callable[..., Fitted]
"""A fit on pairs (X, Y), row i of both the same object; or on their moments, or `Spectra`."""


def whitened(source: float, target: float, center: Center = None) -> Callable[[Spectra], Alignment]:
    """W = C_x^{-a} UVᵀ C_y^{-b}, with U and V from the SVD of C_x^{-a} XᵀY C_y^{-b}.

    The exponents a and b, `source` and `target`, are from 0 to 0.5; with a = b it is
    ``align(X, Y, whiten=a)``. With a = 0 queries, which no fit has seen, are turned and not
    weighed, while the target's strong directions, its mean among them, count for less. For `center`
    see `Spectra.alignment`.
    """

    def fit(pairs: Spectra) -> Alignment:
        values_x, vectors_x, values_y, vectors_y, cross = (pairs.centred if center else pairs).eigen
        left, right = values_x[:, np.newaxis] ** -source, values_y**-target
        U, _, Vt = svd(left * cross * right)
        W = vectors_x @ (left * (U @ Vt) * right) @ vectors_y.T
        return pairs.alignment(W, center=center, whiten=source if source == target else 0.0)

    return fit


def least_squares(pairs: Spectra) -> Alignment:
    """Any linear map from source to target: M minimises ‖XM − Y‖_F with the least norm."""
    values, vectors, *_ = pairs.eigen
    xx, xy, _ = pairs.moments.products()
    kept = vectors / (values * (np.trace(xx) / len(values)))
    ratio = pairs.moments.target_scale / pairs.moments.source_scale
    return pairs.alignment(np.asarray(kept @ (vectors.T @ xy) * ratio))


def ridge_on_documents(pairs: Spectra) -> Alignment:
    """Regress the source on the target about the means, and search with the adjoint.

    M minimises ‖Y M − X‖² + λ‖M‖², and would carry a document y to (y − ȳ) M + x̄. A query z scores
    that by (z Mᵀ)·y + what no document changes: so z Mᵀ ranks the index as it is in the same way,
    but not one of carried vectors of unit length.
    """
    _, xy, yy = pairs.centred.moments.products()
    penalty = RIDGE * float(np.trace(yy)) / len(yy) or 1.0
    M = np.linalg.solve(yy + penalty * np.eye(len(yy)), xy.T)
    return pairs.alignment(np.asarray(M.T, float), center="target")


def low_rank_affine(pairs: Spectra) -> Alignment:
    """Least squares about the means among the maps of rank `RANK` at the most.

    Reduced-rank regression (Izenman, 1975, doi:10.1016/0047-259X(75)90042-1): the full solution,
    projected on the strongest directions of what it predicts; Drift-Adapter trains such a map.
    """
    W = least_squares(pairs.centred).map
    xx, _, _ = pairs.centred.moments.products()
    ratio = pairs.moments.target_scale / pairs.moments.source_scale
    _, strongest = np.linalg.eigh(W.T @ xx @ W / ratio**2)
    kept = strongest[:, -min(RANK, *W.shape) :]
    return pairs.alignment(W @ kept @ kept.T, center="both")


@dataclass(frozen=True)
class Rival:
    """A fit that changes documents: what makes queries, and what makes the index."""

    query: Callable[[ArrayLike], Matrix]
    index: Callable[[ArrayLike], Matrix]


def carried(pairs: Spectra, *, keep_mean: bool = False) -> Rival:
    """Carry documents to the source space, to unit length; queries stay as they are.

    They go by `ridge_on_documents`, transposed, and stretched to come nearest to the sources: the
    scores are the same but for the documents' lengths. With `keep_mean` the deviation
    from the source's mean is stretched until the length is 1, unless the mean itself is that long.
    Otherwise the whole is stretched, which is too much where the source is a cone: all scores rise
    together, and beside documents of the new model's own the carried win every race.
    """
    moments, W = pairs.moments, ridge_on_documents(pairs).map
    _, xy, yy = pairs.centred.moments.products()
    spread = float(np.vdot(W, W @ yy))
    stretch = float(np.vdot(W, xy)) / spread if spread else 0.0
    back = W.T * (stretch * (moments.source_scale / moments.target_scale))
    mean = moments.source_mean * moments.source_scale
    target_mean = moments.target_mean * moments.target_scale
    free = 1 - float(mean @ mean)

    def index(Y: ArrayLike) -> Matrix:
        rest = (np.asarray(Y, float) - target_mean) @ back
        if not keep_mean or free <= 0:
            return unit_rows(rest + mean)
        directions = unit_rows(rest)
        along = directions @ mean
        lengths = np.sqrt(along**2 + free) - along  # of which the sum with the mean has length 1
        return np.asarray(mean + lengths[:, np.newaxis] * directions)

    return Rival(lambda Z: np.asarray(Z, float), index)


def indexed(fitted: Fitted, Y: ArrayLike) -> Embeddings:
    """Return what the queries of a fitted map search, of documents Y: nearly always Y itself."""
    rewrite = getattr(fitted, "index", None)
    return np.asarray(Y if rewrite is None else rewrite(Y))


def unit_rows(rows: NDArray[F]) -> NDArray[F]:
    """Divide rows by their lengths; zeros stay."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), rows.dtype)


_FITS: dict[str, Callable[[Spectra], Fitted]] = {
    "turn": lambda pairs: align(pairs.moments),
    "centred": lambda pairs: align(pairs.moments, center=True),
    **{f"whitened {b:g}": whitened(b, b) for b in WHITENINGS},
    **{f"target whitened {b:g}": whitened(0.0, b) for b in WHITENINGS},
    **{f"centred, whitened {b:g}": whitened(b, b, "both") for b in WHITENINGS[1::2]},
    **{f"target centred, whitened {b:g}": whitened(0.0, b, "target") for b in WHITENINGS[1::2]},
    "least squares": least_squares,
    "ridge on documents": ridge_on_documents,
    "ridge on documents, carried": carried,
    "ridge on documents, mean kept": partial(carried, keep_mean=True),
    "low-rank affine": low_rank_affine,
}


def of_pairs(fit: Callable[[Spectra], Fitted]) -> Mapper:
    """Let a fit of `Spectra` take pairs or their moments as well."""
    return lambda X, Y=None: fit(Spectra.of(X, Y))


MAPS = {name: of_pairs(fit) for name, fit in _FITS.items()}

# What `choose` tries unless told otherwise: closed forms that leave the index as it is.
DEFAULT = tuple(list(MAPS)[: list(MAPS).index("ridge on documents") + 1])
