"""Maps that are more than one matrix: several, a network, or an index that is written anew.

Each is a class that fits itself to the pairs when it is made.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.core.sums import Matrix

from .retrieval import search
from .spectra import Spectra

CLUSTERS = 8
"""How many maps `Clustered` fits; each needs more pairs than dimensions."""


class Carried:
    """Documents carried to the source space, of unit length; queries stay as they are.

    They are carried by the way back of a linear fit: the map's transpose about the means, stretched
    to come nearest to the sources. The scores are the same but for the documents' lengths: an index
    of vectors that were carried and normalised ranks by the angle.

    A carried vector gets unit length by a stretch of its deviation from the source's mean if
    `keep_mean` (`on_the_sphere`), else of the whole. The whole is too long a stretch where the
    source is a cone: all scores rise together, and beside documents of the new model's own the
    carried ones win every race.
    """

    def __init__(
        self, pairs: Spectra, fit: Callable[[Spectra], Alignment], *, keep_mean: bool = True
    ) -> None:
        moments, (_, xy, yy) = pairs.moments, pairs.centred.products
        W = fit(pairs).map
        spread = float(np.vdot(W, W @ yy))
        stretch = float(np.vdot(W, xy)) / spread if spread else 0.0
        self.map = W.T * (stretch * (moments.source_scale / moments.target_scale))
        self.source_mean = moments.source_mean * moments.source_scale
        self.target_mean = moments.target_mean * moments.target_scale
        self.keep_mean = keep_mean

    def query(self, Z: ArrayLike) -> Matrix:
        """Leave the source's vectors as they are."""
        return np.asarray(Z, float)

    def index(self, Y: ArrayLike) -> Matrix:
        """Carry documents, shape (n, d_y): (Y − target mean) M + source mean, to unit length."""
        rest = (np.asarray(Y, float) - self.target_mean) @ self.map
        if self.keep_mean:
            return on_the_sphere(rest, self.source_mean)
        return unit_rows(rest + self.source_mean)


class Clustered:
    """A turn for each of `CLUSTERS` parts of the source's space, divided by k-means.

    A cluster of fewer pairs than dimensions takes the common turn.
    """

    def __init__(self, pairs: Spectra) -> None:
        from sklearn.cluster import KMeans

        x, y = pairs.pairs()
        common = align(pairs.moments)
        means = KMeans(min(CLUSTERS, len(x)), n_init=1, random_state=0).fit(x)
        self.centres, self.maps = means.cluster_centers_, []
        for cluster in range(means.n_clusters):
            rows = means.labels_ == cluster
            few = np.count_nonzero(rows) < max(x.shape[1], y.shape[1])
            self.maps.append(common if few else align(x[rows], y[rows]))

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry each vector by the map of the nearest centre."""
        z = np.asarray(Z, float)
        nearest = np.argmin(np.vecdot(self.centres, self.centres) - 2 * z @ self.centres.T, axis=1)
        moved = np.empty((len(z), self.maps[0].map.shape[1]))
        for cluster, fitted in enumerate(self.maps):
            moved[nearest == cluster] = fitted.query(z[nearest == cluster])
        return moved


class Residual:
    """The centred turn, and what a network of one hidden layer makes of the rest.

    The residual adapter of Drift-Adapter (Vejendla, 2025, arXiv:2509.23471), trained by
    scikit-learn with early stopping on a tenth of the pairs.
    """

    def __init__(self, pairs: Spectra) -> None:
        from sklearn.neural_network import MLPRegressor

        x, y = pairs.pairs()
        self.base = align(pairs.moments, center=True)
        rest = y - self.base.apply(x)
        self.unit = float(rest.std()) or 1.0
        self.network = MLPRegressor(
            hidden_layer_sizes=(256,), early_stopping=len(x) >= 100, random_state=0, max_iter=100
        ).fit(x, rest / self.unit)

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry vectors by both."""
        z = np.asarray(Z, float)
        return np.asarray(self.base.query(z) + self.unit * self.network.predict(z))


class Csls:
    """The turn, with a column more in the index: minus half of what a document gets from anyone.

    Cross-domain similarity local scaling (Lample et al., 2018, arXiv:1710.04087): 2⟨z, y⟩ less the
    mean of y's ten highest scores from the fitted sources, so that hubs count for less. What that
    formula takes from the query ranks nothing.
    """

    def __init__(self, pairs: Spectra) -> None:
        x, _ = pairs.pairs()
        self.base = align(pairs.moments)
        self.sources = self.base.query(x)

    def query(self, Z: ArrayLike) -> Matrix:
        """Carry vectors and append 1."""
        moved = self.base.query(Z)
        return np.hstack([moved, np.ones((len(moved), 1))])

    def index(self, Y: ArrayLike) -> Matrix:
        """Append to each document minus half the mean of its ten highest scores."""
        y = np.asarray(Y, float)
        _, scores = search(y, self.sources, min(10, len(self.sources)))
        return np.hstack([y, -scores.mean(axis=1, keepdims=True) / 2])


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
