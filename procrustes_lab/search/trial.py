"""Held-out vectors that search: what they should find, what they find, and with what confidence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings

from .maps import Fitted, indexed, unit_rows
from .retrieval import Indices, Rows, largest, score_blocks, search

NEIGHBOURS = 10  # that are looked for

Single = NDArray[np.float32]


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
    """What each held-out vector found: 1/rank of its own, and its share of ten neighbours."""

    own: Matrix
    neighbours: Matrix

    def score(self) -> Matrix:
        """Geometric mean of both means: of all items, or of every draw of them."""
        return np.asarray(np.sqrt(self.own.mean(axis=-1) * self.neighbours.mean(axis=-1)))

    def at(self, items: Rows) -> Found:
        """Return what some of them found."""
        return Found(*(values[items] for values in self))


class Trial:
    """Held-out source vectors, `asked`, rows of shape (k,), that search all pairs of one trial.

    No map that is tried may have been fitted on them.
    """

    def __init__(self, x: Embeddings, y: Embeddings, asked: Indices) -> None:
        self.x, self.y, self.asked = x, np.asarray(y, float), asked
        self.index = _single(self.y)
        self.k = min(NEIGHBOURS, len(x) - 1)
        self.near = self._others(search(x[asked], x, self.k + 1)[0])

    def run(self, fitted: Fitted) -> Found:
        """Search with a fitted map."""
        index = indexed(fitted, self.y)
        single = self.index if index is self.y else _single(index)
        return self._search(fitted.query(self.x[self.asked]), single)

    def by_target(self) -> Found:
        """Search with the target's own vectors: what an old model's queries find."""
        return self._search(self.y[self.asked], self.index)

    def _search(self, sources: Matrix, index: Single) -> Found:
        own, found = [], []
        for rows, scores in score_blocks(unit_rows(sources).astype(np.float32), index):
            score = np.take_along_axis(scores, self.asked[rows, np.newaxis], axis=1)
            own.append(1 / np.count_nonzero(scores >= score, axis=1))
            found.append(largest(scores, self.k + 1))
        return Found(np.concatenate(own), shared(self._others(np.concatenate(found)), self.near))

    def _others(self, found: Indices) -> Indices:
        """Leave each row itself out of what it found, or the last of them."""
        other = found != self.asked[:, np.newaxis]
        other[other.all(axis=1), -1] = False
        return np.asarray(found[other].reshape(len(found), self.k))


def _single(index: Matrix) -> Single:
    """Return an index in single precision, about its mean: that moves all of a query's scores."""
    rest = index - index.mean(axis=0)
    return np.asarray(rest / (np.abs(rest).max() or 1.0), np.float32)


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
    return with_interval(value, parts)


def with_interval(value: Matrix, samples: Matrix) -> Share:
    """Return a value between the 2.5 % and 97.5 % quantiles of samples of it."""
    return Share(float(value), *map(float, np.quantile(samples, [0.025, 0.975])))
