"""Maps that are more than one matrix: several, a network, or an index that is written anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.core.sums import Matrix

from .retrieval import search
from .spectra import Spectra

CLUSTERS = 8
"""How many maps "one map a cluster" fits; each needs more pairs than dimensions."""


@dataclass(frozen=True, eq=False)
class Carried:
    """Documents carried to the source space, of unit length; queries stay as they are.

    Attributes
    ----------
    matrix : ndarray, shape (d_y, d_x)
    target_mean, source_mean : ndarray, shapes (d_y,) and (d_x,)
    keep_mean : bool
        How a carried vector gets unit length: by a stretch of its deviation from the source's mean
        (`on_the_sphere`), or of the whole. The whole is too long a stretch where the source is a
        cone: all scores rise together, and beside documents of the new model's own the carried ones
        win every race.
    """

    matrix: Matrix
    target_mean: Matrix
    source_mean: Matrix
    keep_mean: bool = True

    def query(self, Z: ArrayLike) -> Matrix:
        """Leave the source's vectors as they are."""
        return np.asarray(Z, float)

    def index(self, Y: ArrayLike) -> Matrix:
        """Carry documents, shape (n, d_y): (Y − target mean) M + source mean, to unit length."""
        rest = (np.asarray(Y, float) - self.target_mean) @ self.matrix
        if self.keep_mean:
            return on_the_sphere(rest, self.source_mean)
        return unit_rows(rest + self.source_mean)


@dataclass(frozen=True, eq=False)
class Clustered:
    """A map for each cluster of the source space."""

    centres: Matrix
    maps: tuple[Alignment, ...]

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry each vector by the map of the nearest centre."""
        z = np.asarray(Z, float)
        nearest = np.argmin(np.vecdot(self.centres, self.centres) - 2 * z @ self.centres.T, axis=1)
        moved = np.empty((len(z), self.maps[0].map.shape[1]))
        for cluster, fitted in enumerate(self.maps):
            moved[nearest == cluster] = fitted.query(z[nearest == cluster])
        return moved


@dataclass(frozen=True, eq=False)
class Residual:
    """A centred turn and what a network adds to it."""

    base: Alignment
    network: Any
    unit: float

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry vectors by both."""
        z = np.asarray(Z, float)
        return np.asarray(self.base.query(z) + self.unit * self.network.predict(z))


@dataclass(frozen=True, eq=False)
class Csls:
    """A turn whose index has one column more: minus half of what a document gets from anyone."""

    base: Alignment
    sources: Matrix

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry vectors and append 1."""
        moved = self.base.query(Z)
        return np.hstack([moved, np.ones((len(moved), 1))])

    def index(self, Y: ArrayLike) -> Matrix:
        """Append to each document minus half the mean of its ten highest scores."""
        y = np.asarray(Y, float)
        _, scores = search(y, self.sources, min(10, len(self.sources)))
        return np.hstack([y, -scores.mean(axis=1, keepdims=True) / 2])


def carried(
    fit: Callable[[Spectra], Alignment], *, keep_mean: bool = True
) -> Callable[[Spectra], Carried]:
    """Carry the documents by the way back, to unit length, and leave the queries alone.

    The way back is the map's transpose about the means, stretched to come nearest to the sources.
    The scores are the same but for the documents' lengths: an index of vectors that were carried
    and normalised ranks by the angle. For `keep_mean` see `Carried`.
    """

    def carry(pairs: Spectra) -> Carried:
        forth = fit(pairs)
        moments = pairs.moments
        mean_x = moments.source_mean * moments.source_scale
        mean_y = moments.target_mean * moments.target_scale
        _, xy, yy = pairs.centred.products
        W = forth.map
        spread = float(np.vdot(W, W @ yy))
        stretch = float(np.vdot(W, xy)) / spread if spread else 0.0
        ratio = moments.source_scale / moments.target_scale
        return Carried(W.T * (stretch * ratio), mean_y, mean_x, keep_mean)

    return carry


def one_map_a_cluster(pairs: Spectra) -> Clustered:
    """Divide the source's space in `CLUSTERS` by k-means, and turn each by a map of its own.

    A cluster of fewer pairs than dimensions takes the common turn.
    """
    from sklearn.cluster import KMeans

    x, y = pairs.pairs()
    common = align(pairs.moments)
    means = KMeans(min(CLUSTERS, len(x)), n_init=1, random_state=0).fit(x)
    maps = []
    for cluster in range(means.n_clusters):
        rows = means.labels_ == cluster
        few = np.count_nonzero(rows) < max(x.shape[1], y.shape[1])
        maps.append(common if few else align(x[rows], y[rows]))
    return Clustered(means.cluster_centers_, tuple(maps))


def residual_network(pairs: Spectra) -> Residual:
    """Add to the centred turn what a network of one hidden layer makes of the rest.

    The residual adapter of Drift-Adapter (Vejendla, 2025, arXiv:2509.23471), trained by
    scikit-learn with early stopping on a tenth of the pairs.
    """
    from sklearn.neural_network import MLPRegressor

    x, y = pairs.pairs()
    base = align(pairs.moments, center=True)
    rest = y - base.apply(x)
    unit = float(rest.std()) or 1.0
    network = MLPRegressor(
        hidden_layer_sizes=(256,), early_stopping=len(x) >= 100, random_state=0, max_iter=100
    )
    return Residual(base, network.fit(x, rest / unit), unit)


def csls(pairs: Spectra) -> Csls:
    """Turn, and take from a document's score half of what every source vector gives it.

    Cross-domain similarity local scaling (Lample et al., 2018, arXiv:1710.04087): 2⟨z, y⟩ less the
    mean of y's ten highest scores from the fitted sources, so that hubs count for less. What that
    formula takes from the query ranks nothing.
    """
    x, _ = pairs.pairs()
    fitted = align(pairs.moments)
    return Csls(fitted, fitted.query(x))


def on_the_sphere(rest: Matrix, mean: Matrix) -> Matrix:
    """Return mean + t·rest, row by row, with the t ≥ 0 that makes the length 1.

    So a carried document lies where documents of the source lie: at unit length, around their mean.
    Of a row of zeros the mean remains. The mean, shape (d,), is one of vectors of unit length, so
    shorter than 1; else whole rows get unit length.
    """
    free = 1 - float(mean @ mean)
    if free <= 0:
        return unit_rows(rest + mean)
    directions = unit_rows(rest)
    along = directions @ mean
    lengths = np.sqrt(along**2 + free) - along
    return np.asarray(mean + lengths[:, np.newaxis] * directions)


def unit_rows(rows: Matrix) -> Matrix:
    """Divide rows by their lengths; zeros stay."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))
