"""Held-out vectors that search: what they should find, what they find, and with what confidence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings

from .maps import indexed
from .retrieval import BLOCK, largest, score_blocks, search
from .spectra import Fitted

Indices = NDArray[np.int64]

NEIGHBOURS = 10
"""How many neighbours are looked for."""

DRAWS = 1000
"""How many samples an interval is read from."""


class Share(NamedTuple):
    """A share, and its 95 % interval; NaN where nothing was held out."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "unknown"
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


UNKNOWN = Share(np.nan, np.nan, np.nan)


class Found(NamedTuple):
    """What held-out vectors found: 1/rank of their own, and shares of ten neighbours."""

    own: Matrix
    neighbours: Matrix

    def score(self, draws: Indices | None = None) -> Matrix:
        """Geometric mean of both means, of all or of every draw of items."""
        own, near = (v if draws is None else v[draws] for v in self)
        return np.asarray(np.sqrt(own.mean(axis=-1) * near.mean(axis=-1)))


class Trial:
    """Held-out source vectors with what they should find among the pairs of one trial.

    All pairs are searched; `asked`, shape (k,), are the rows that search, and no map that is tried
    may have been fitted on them.
    """

    def __init__(self, x: Embeddings, y: Embeddings, asked: Indices) -> None:
        self.x, self.y, self.asked = x, y, asked
        self.k = min(NEIGHBOURS, len(x) - 1)
        self.near = self._others(search(x[asked], x, self.k + 1)[0])

    def run(self, fitted: Fitted) -> Found:
        """Search with a fitted map."""
        return self._search(fitted.query(self.x[self.asked]), indexed(fitted, self.y))

    def by_target(self) -> Found:
        """Search with the target's own vectors: what an old model's queries find."""
        return self._search(self.y[self.asked], self.y)

    def _search(self, sources: ArrayLike, index: ArrayLike) -> Found:
        own, found = [], []
        for rows, scores in score_blocks(np.asarray(sources), np.asarray(index), BLOCK):
            score = np.take_along_axis(scores, self.asked[rows, np.newaxis], axis=1)
            own.append(1 / np.count_nonzero(scores >= score, axis=1))
            found.append(largest(scores, self.k + 1))
        return Found(np.concatenate(own), shared(self._others(np.concatenate(found)), self.near))

    def _others(self, found: Indices) -> Indices:
        """Leave each row itself out of what it found, or the last of them."""
        other = found != self.asked[:, np.newaxis]
        other[other.all(axis=1), -1] = False
        return np.asarray(found[other].reshape(len(found), self.k))


def shared(found: Indices, wanted: Indices) -> Matrix:
    """Return, for each query, the share of the wanted rows that was found."""
    equal = wanted[:, :, np.newaxis] == found[:, np.newaxis, :]
    return np.asarray(equal.any(axis=2).mean(axis=1))


def share_of(values: Matrix, draws: Indices, whole: Matrix | None = None) -> Share:
    """Return the mean, or the ratio of means to that of the whole, with its interval over draws."""
    parts, value = values[draws].mean(axis=1), values.mean()
    if whole is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            parts, value = parts / whole[draws].mean(axis=1), value / whole.mean()
    return Share(float(value), *ends(parts))


def ends(means: Matrix) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles."""
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
