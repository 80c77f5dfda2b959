"""Which map carries these queries into this index? Chosen on some pairs, graded on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.tables import table
from procrustes_lab.core.validate import Embeddings, as_pairs, finite, reject_nonfinite, require

from .maps import DEFAULT, MAPS, Fitted, Mapper, Spectra, indexed, unit_rows
from .retrieval import Indices, Rows, largest, ndcg, score_blocks, search

TRIAL = 10_000  # pairs that take part at the most, drawn at random
HELD_OUT = 1000  # pairs that choose, and others that grade, at the most: a fifth of the pairs each
INDEX = 4000  # of the pairs that were fitted, how many are searched beside the held-out ones
FOLDS = 5  # parts that choose in turn, among what the others fitted, where few pairs are left
FEWEST = 10  # pairs below which nothing is held out, and the first map is taken
DRAWS = 1000  # samples that an interval is read from
NEIGHBOURS = 10  # that are looked for

Judgements = Sequence[Mapping[int, int]]


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


Exam = tuple[Rows, list[Callable[[Fitted], Found]]]  # pairs to fit on, and what judges the fits
Exams = tuple[list[Exam], Found, Callable[[Found], Matrix]]  # what there was before, and the score


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

    def _search(self, sources: Matrix, index: NDArray[np.float32]) -> Found:
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


class Row(NamedTuple):
    """How one map did: on what chose, and, with a 95 % interval, on what graded."""

    name: str
    chosen_on: float
    score: float
    low: float
    high: float
    graded_on: str


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """The map that was chosen, by its name in `MAPS`, and how all of them did.

    Attributes
    ----------
    best : Alignment or other fitted map
        Fitted on all pairs; search with ``best.query(Z)``.
    kept : Share
        With labels, nDCG@10 of the new queries through the map over that in an index of their own.
        Without, the mean of 1/rank at which held-out vectors find their own target, over that of
        the targets themselves, which is 1 where vectors are of one length.
    neighbours, neighbours_by_target : Share
        Of the ten neighbours by the new model, how many the map and the target's own vectors find.
    table : tuple of Row
        One row a map, by what chose, the best first.
    pairs, basis : int, str
        How many the map was fitted on; what chose and what graded.
    """

    name: str
    best: Fitted
    kept: Share
    neighbours: Share
    neighbours_by_target: Share
    table: tuple[Row, ...]
    pairs: int
    basis: str

    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("map", f"{self.name}, fitted on {self.pairs:,} pairs; {self.basis}"),
            ("kept", f"{self.kept} of the new model's search, by {self.table[0].graded_on}"),
            ("neighbours", f"{self.neighbours}; by the target itself {self.neighbours_by_target}"),
        ]

    def __repr__(self) -> str:
        width = max(len(row.name) for row in self.table)
        lines = [f"{name:<11} {fact}" for name, fact in self._facts()]
        lines.append(f"{'':<{width}} {'chosen on':>10} {'graded':>8}  95 % interval")
        for name, chosen_on, score, low, high, _ in self.table:
            graded = f"{score:>8.3f}  [{low:.3f}, {high:.3f}]"
            lines.append(f"{name:<{width}} {chosen_on:>10.3f} {graded}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        facts = " ".join(f"{name.capitalize()}: {fact}." for name, fact in self._facts())
        rows = [(row.name, row.chosen_on, (row.score, row.low, row.high)) for row in self.table]
        return table(["map", "chosen on", "graded, 95 % interval"], rows, caption=facts).html


def choose(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    maps: Iterable[str] | Mapping[str, Mapper] | None = None,
    queries: tuple[ArrayLike, ArrayLike] | None = None,
    judgements: Judgements | None = None,
    seed: int = 0,
) -> Choice:
    """Choose the map by which source vectors search the target's index.

    Parameters
    ----------
    X, Y : array_like, shapes (n, d_x) and (n, d_y)
        Source embeddings, the new model's, and target embeddings, the index; row i of both is the
        same object.
    maps : names out of `MAPS`, or a dict of such fits, optional
        What competes, of two that tie the first; by default closed forms that leave the index be.
    queries : (old, new), optional
        The same queries by the target's model and by the source's, shapes (q, d_y) and (q, d_x).
    judgements : sequence of dict, optional
        For each query, the grade of the relevant documents by row of Y.
    seed : int, optional
        Draws what fits, what chooses and what grades.

    Notes
    -----
    TypeError or ValueError is raised as by `align`, and if a map has no such name, or queries and
    judgements do not fit.

    By pairs, the score is a geometric mean: of 1/rank at which a held-out source vector finds its
    own target, and of the share of its ten neighbours by the new model that it finds. The first
    alone asks for more whitening than queries bear, the second for the shrunk maps of regression.
    With judgements all pairs are fitted, half of the queries choose, and the score is nDCG@10.

    Nothing grades that has chosen. Of at most `TRIAL` pairs a fifth grade and another fifth choose,
    at most `HELD_OUT` each; where fewer are left, each chooses once, in `FOLDS` parts. The grades
    are those of maps fitted on fewer pairs than `best`. Intervals are percentile bootstraps (Efron,
    1979, doi:10.1214/aos/1176344552) over what grades; they do not know of other draws.

    Examples
    --------
    >>> import numpy as np, procrustes_lab as pl
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.standard_normal((200, 8))
    >>> Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    >>> turned = Y @ np.linalg.qr(rng.standard_normal((8, 8)))[0]
    >>> choice = pl.choose(turned, Y)
    >>> choice.name, str(choice.kept)
    ('turn', '100.0% [100.0%, 100.0%]')
    """
    x, y = as_pairs(X, Y)
    reject_nonfinite(x, "X")
    reject_nonfinite(y, "Y")
    fits = _named(DEFAULT if maps is None else maps)
    if (queries is None) != (judgements is None):
        raise TypeError("queries and judgements go together; only one of them was given")
    rng = np.random.default_rng(seed)
    if queries is not None and judgements is not None:
        exams, before, score = _by_labels(x, y, queries, judgements, rng)
        asked, graded_on = "queries", f"{len(before.own):,} other queries"
    elif len(x) >= FEWEST:
        exams, before, score = _by_pairs(x, y, rng)
        asked, graded_on = "held-out pairs", f"{len(before.own):,} other pairs"
    else:
        name, fit = next(iter(fits.items()))
        basis = f"the first of the maps, as of fewer than {FEWEST} pairs none can be held out"
        row = Row(name, np.nan, *UNKNOWN, "nothing")
        return Choice(name, fit(x, y), UNKNOWN, UNKNOWN, UNKNOWN, (row,), len(x), basis)

    found: dict[str, list[Found]] = {name: [] for name in fits}
    for rows, judges in exams:
        pairs = Spectra.of(x[rows], y[rows])
        for name, fit in fits.items():
            one = fit(pairs)
            found[name] += [judge(one) for judge in judges]
    n = len(before.own)
    draws = rng.integers(0, n, (DRAWS, n))
    table, grades = [], {}
    for name, parts in found.items():
        every = Found(*map(np.concatenate, zip(*parts, strict=True)))
        judged, grades[name] = every.at(slice(-n)), every.at(slice(-n, None))
        graded = with_interval(score(grades[name]), score(grades[name].at(draws)))
        table.append(Row(name, float(score(judged)), *graded, graded_on))
    table.sort(key=lambda row: -row.chosen_on)
    best = table[0].name
    return Choice(
        best,
        fits[best](x, y),
        share_of(grades[best].own, draws, before.own),
        share_of(grades[best].neighbours, draws),
        share_of(before.neighbours, draws),
        tuple(table),
        len(x),
        f"chosen on {len(judged.own):,} {asked}, graded on {graded_on}",
    )


def _by_pairs(x: Embeddings, y: Embeddings, rng: np.random.Generator) -> Exams:
    """Let held-out pairs choose: once of many, in turn of few."""

    def trial(asked: Indices, others: Indices) -> Trial:
        rows = np.concatenate([asked, others[:INDEX]])
        return Trial(x[rows], y[rows], np.arange(len(asked)))

    drawn = rng.permutation(len(x))[:TRIAL]
    graded, rest = np.split(drawn, [min(len(drawn) // 5, HELD_OUT)])
    grading = trial(graded, rest)
    if len(rest) >= HELD_OUT:
        held_out, fitted = np.split(rest, [len(graded)])
        exams: list[Exam] = [(fitted, [trial(held_out, fitted).run, grading.run])]
    else:
        parts = [(part, np.setdiff1d(rest, part)) for part in np.array_split(rest, FOLDS)]
        exams = [(fitted, [trial(held_out, fitted).run]) for held_out, fitted in parts]
        exams.append((rest, [grading.run]))
    return exams, grading.by_target(), Found.score


def _by_labels(
    x: Embeddings,
    y: Embeddings,
    queries: tuple[ArrayLike, ArrayLike],
    judgements: Judgements,
    rng: np.random.Generator,
) -> Exams:
    """Fit on all pairs, which are documents; of queries with an answer the first half chooses."""
    try:
        old, new = queries
    except (TypeError, ValueError):
        raise TypeError("queries is no pair; expected (old, new), by either model") from None
    sides = []
    for name, side, index in (("old queries", old, y), ("new queries", new, x)):
        vectors, expected = finite(side, name), (len(judgements), index.shape[1])
        message = f"{name} have shape {vectors.shape}; expected {expected}: a row a judged query"
        require(vectors.shape == expected, message)
        sides.append(vectors)
    for query, grades in enumerate(judgements):
        if wrong := [row for row in grades if not 0 <= row < len(y)]:
            message = f"judgements of query {query} name document {wrong[0]}"
            raise ValueError(f"{message}; expected rows 0 to {len(y) - 1}")
    kept = [j for j, grades in enumerate(judgements) if any(g > 0 for g in grades.values())]
    message = f"{len(kept)} queries have a relevant document; expected at least 2"
    require(len(kept) >= 2, f"{message}, one to choose and one to grade")
    order = rng.permutation(kept)
    before, after = (side[order] for side in sides)
    answers, k = [judgements[j] for j in order], min(NEIGHBOURS, len(y))
    near, _ = search(after, x, k)

    def found(asked: ArrayLike, among: ArrayLike) -> Found:
        rows, _ = search(asked, among, k)
        return Found(ndcg(rows, answers), shared(rows, near))

    def run(fitted: Fitted) -> Found:
        return found(fitted.query(after), indexed(fitted, y))

    whole = Found(ndcg(near, answers), found(before, y).neighbours)
    graded = whole.at(slice(len(order) // 2, None))
    return [(slice(None), [run])], graded, lambda found: np.asarray(found.own.mean(axis=-1))


def _named(maps: Iterable[str] | Mapping[str, Mapper]) -> dict[str, Mapper]:
    names = [maps] if isinstance(maps, str) else list(maps)
    known = maps if isinstance(maps, Mapping) else MAPS
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"maps holds {unknown[0]!r}; expected names out of {', '.join(MAPS)}")
    require(bool(names), "maps is empty; expected at least one to choose")
    return {name: known[name] for name in names}


def _single(index: Embeddings) -> NDArray[np.float32]:
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
