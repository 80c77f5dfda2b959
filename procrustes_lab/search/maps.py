"""Maps from a source space to a target's index: the orthogonal one, and what it competes with.

Every fit in `MAPS` takes pairs (X, Y), row i of both the same object, and nothing else: no query,
no judgement. What is fitted makes queries with `query`; nearly all of it leaves the target's index
as it is, and what does not says what it searches (`indexed`).

All that is linear is a function of `Spectra`: twenty exponents of whitening cost twenty small
decompositions and one pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.core.moments import Moments
from procrustes_lab.core.polar import svd
from procrustes_lab.core.sums import Matrix

from .beyond import CLUSTERS, Carried, Clustered, Csls, Residual
from .spectra import Center, Fitted, Spectra

WHITENINGS = tuple(round(0.05 * i, 2) for i in range(1, 11))
"""The exponents β that are tried, from nearly Procrustes to CCA."""

RIDGE = 1e-3
"""Ridge strength on documents, in units of the mean eigenvalue of YᵀY."""

RANK = 64
"""Rank of the low-rank affine map, of the narrower side's dimensions at the most."""

Fit = Callable[[Spectra], Fitted]
Linear = Callable[[Spectra], Alignment]


@dataclass(frozen=True)
class Mapper:
    """A fit, and what it does in a phrase; its pairs are (X, Y), moments, or shared `Spectra`."""

    fit: Fit
    meaning: str

    def __call__(self, X: ArrayLike | Moments | Spectra, Y: ArrayLike | None = None) -> Fitted:
        """Fit on pairs, row i of X and of Y the same object."""
        return self.fit(Spectra.of(X, Y))


def whitened(source: float, target: float, *, center: Center = None) -> Linear:
    """W = C_x^{-a} UVᵀ C_y^{-b}, with U and V from the SVD of C_x^{-a} XᵀY C_y^{-b}.

    The exponents a and b, `source` and `target`, are from 0 to 0.5. With a = b it is
    ``align(X, Y, whiten=a)``: Procrustes at 0, CCA at ½. With a = 0 only the index's side is
    whitened: queries, which no fit has seen, are turned and not weighed, while the target's strong
    directions, its mean among them, count for less. For `center` see `Spectra.alignment`.
    """

    def fit(pairs: Spectra) -> Alignment:
        about = pairs.centred if center else pairs
        (values_x, vectors_x), (values_y, vectors_y) = about.source, about.target
        left, right = values_x[:, np.newaxis] ** -source, values_y**-target
        U, _, Vt = svd(left * about.cross * right)
        W = vectors_x @ (left * (U @ Vt) * right) @ vectors_y.T
        return pairs.alignment(W, center=center, whiten=source if source == target else 0.0)

    return fit


def least_squares(pairs: Spectra) -> Alignment:
    """Any linear map from source to target: M minimises ‖XM − Y‖_F with the least norm."""
    values, vectors = pairs.source
    xx, xy, _ = pairs.products
    kept = vectors / (values * (np.trace(xx) / len(values)))
    ratio = pairs.moments.target_scale / pairs.moments.source_scale
    return pairs.alignment(np.asarray(kept @ (vectors.T @ xy) * ratio))


def ridge_on_documents(pairs: Spectra) -> Alignment:
    """Regress the source on the target about the means, and search with the adjoint.

    M minimises ‖Y M − X‖² + λ‖M‖²; it would carry a document y to (y − ȳ) M + x̄, the source vector
    to be expected, mean and all. A query z scores that by (z Mᵀ)·y + what no document changes: so
    z Mᵀ ranks the index as it is in the same way. Where carried documents are divided by their
    lengths the ranking is another one: "ridge on documents, carried".
    """
    _, xy, yy = pairs.centred.products
    penalty = RIDGE * float(np.trace(yy)) / len(yy) or 1.0
    M = np.linalg.solve(yy + penalty * np.eye(len(yy)), xy.T)
    return pairs.alignment(np.asarray(M.T), center="target")


def low_rank_affine(pairs: Spectra) -> Alignment:
    """Least squares about the means among the maps of rank `RANK` at the most.

    Reduced-rank regression (Izenman, 1975, doi:10.1016/0047-259X(75)90042-1): the full solution,
    projected on the strongest directions of what it predicts. Drift-Adapter (see `beyond.Residual`)
    trains its low-rank affine adapter by gradient steps on the same loss.
    """
    about = pairs.centred
    W = least_squares(about).map
    xx, ratio = about.products[0], pairs.moments.target_scale / pairs.moments.source_scale
    _, strongest = np.linalg.eigh(W.T @ xx @ W / ratio**2)
    kept = strongest[:, -min(RANK, *W.shape) :]
    return pairs.alignment(W @ kept @ kept.T, center="both")


def indexed(fitted: Fitted, Y: ArrayLike) -> Matrix:
    """Return what the queries of a fitted map search, of documents Y: nearly always Y itself."""
    rewrite = getattr(fitted, "index", None)
    return np.asarray(Y, float) if rewrite is None else np.asarray(rewrite(Y))


MAPS: dict[str, Mapper] = {
    "turn": Mapper(lambda pairs: align(pairs.moments), "orthogonal Procrustes"),
    "centred": Mapper(
        lambda pairs: align(pairs.moments, center=True), "Procrustes about the means"
    ),
    **{
        f"whitened {beta:g}": Mapper(whitened(beta, beta), "both sides' spectra flattened")
        for beta in WHITENINGS
    },
    **{
        f"target whitened {beta:g}": Mapper(whitened(0.0, beta), "the index's spectrum flattened")
        for beta in WHITENINGS
    },
    **{
        f"centred, whitened {beta:g}": Mapper(
            whitened(beta, beta, center="both"), "both sides' spectra flattened, about the means"
        )
        for beta in WHITENINGS[1::2]
    },
    **{
        f"target centred, whitened {beta:g}": Mapper(
            whitened(0.0, beta, center="target"), "the index's spectrum flattened about its mean"
        )
        for beta in WHITENINGS[1::2]
    },
    "least squares": Mapper(least_squares, "any linear map to the target"),
    "ridge on documents": Mapper(ridge_on_documents, "documents regressed on, by its adjoint"),
    "ridge on documents, carried": Mapper(
        partial(Carried, fit=ridge_on_documents, keep_mean=False),
        "documents regressed on, of unit length",
    ),
    "ridge on documents, mean kept": Mapper(
        partial(Carried, fit=ridge_on_documents),
        "the same, their deviations stretched to unit length",
    ),
    **{
        f"target centred, whitened {beta:g}, carried": Mapper(
            partial(Carried, fit=whitened(0.0, beta, center="target"), keep_mean=False),
            "carried back, of unit length",
        )
        for beta in WHITENINGS[1::2]
    },
    "low-rank affine": Mapper(low_rank_affine, f"least squares of rank {RANK}"),
    "one map a cluster": Mapper(Clustered, f"a turn for each of {CLUSTERS} clusters"),
    "CSLS": Mapper(Csls, "the turn, hubs held back; a column more in the index"),
    "residual network": Mapper(Residual, "the centred turn and a small network"),
}
"""Every map by name, each called with (X, Y)."""

DEFAULT = tuple(list(MAPS)[: list(MAPS).index("ridge on documents") + 1])
"""What `choose` tries unless told otherwise: closed forms that leave the index as it is."""
