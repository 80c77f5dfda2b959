"""Whether row i of both sides is one object, and all by one model: tests without answer keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import eigsh
from scipy.special import bdtrc, ndtri, stdtrit

from procrustes_lab.core.moments import Moments, moments_of
from procrustes_lab.core.polar import partial_isometry
from procrustes_lab.core.sums import Matrix, product_type
from procrustes_lab.core.validate import SOURCE, TARGET, Embeddings, as_pairs, reject_nonfinite
from procrustes_lab.search.maps import unit_rows
from procrustes_lab.search.retrieval import Indices

from .words import Finding, found

Mask = NDArray[np.bool_]

ALPHA = 1e-3  # how often a test may accuse a healthy pair
SAMPLE = 2000  # rows on which shuffles and offsets are tried
DIRECTIONS = 64  # leading principal directions in which they are: many shuffles are cheap in so few
REFERENCES = 500  # random rows that every row's partner is ranked among
LARGEST_OFFSET = 10  # tried in either direction: a header, a few lost rows
OFFSETS = range(-LARGEST_OFFSET, LARGEST_OFFSET + 1)
RUN = 50  # rows that decide on their offset together: enough for the t-test to be a good one
PURITY = 0.8  # share of the suspect rows that should be wrong
BLOCK_ROWS = 512  # at most at a time: they fit in a cache, few have neighbours in the next block
FEWEST = 200  # pairs from which two models are told: on fewer, topics look like models
SPLITS = 3  # directions of the kernel that split a file; the first may be a topic, not a model
LOST = 1 / 4  # rank beyond which a partner is lost: a map of the other model does not find it


class PermutationTest(NamedTuple):
    """Alignment error of the pairs as given, and of the same vectors in each random pairing."""

    error: float
    shuffled: Matrix

    @property
    def z(self) -> float:
        """By how many standard deviations the error is below the mean of the shuffles."""
        spread = float(self.shuffled.std(ddof=1))
        return (float(self.shuffled.mean()) - self.error) / spread if spread else 0.0

    @property
    def p(self) -> float:
        """Share of pairings, the given one included, that align at least as well: an exact test."""
        return float(1 + np.sum(self.shuffled <= self.error)) / (1 + len(self.shuffled))


class Side:
    """One embedding set, `rows` (n, d) in `blocks` of them, and their `lengths` (n,).

    `mean` (d,) is that of the rows, `direction` (d,) that of the rows divided by their lengths.
    `values` (d,), descending, and `directions`, as columns, belong to the `covariance`.
    """

    def __init__(self, name: str, rows: Embeddings, mean: Matrix, scatter: Matrix) -> None:
        self.name, self.rows, self.mean = name, rows, mean
        self.blocks = np.split(rows, range(BLOCK_ROWS, len(rows), BLOCK_ROWS))
        lengths = [np.linalg.norm(block.astype(np.float64), axis=1) for block in self.blocks]
        self.lengths, directions = np.concatenate(lengths), np.zeros_like(mean)
        for block, length in zip(self.blocks, lengths, strict=True):
            directions += (1 / np.where(length > 0, length, np.inf)) @ block
        self.direction = directions / max(1, int(np.count_nonzero(self.lengths)))
        self.energy = float(np.mean(self.lengths**2))
        self.covariance = scatter / len(rows)
        values, vectors = np.linalg.eigh(self.covariance)
        self.values, self.directions = np.maximum(values[::-1], 0.0), vectors[:, ::-1]

    def centred(self, rows: Indices) -> Matrix:
        """Return some rows, about the mean."""
        return self.rows[rows] - self.mean

    def leading(self, rows: Indices) -> Matrix:
        """Return some rows' coordinates in the leading principal directions."""
        return np.asarray(self.centred(rows) @ self.directions[:, :DIRECTIONS])


class Pairing:
    """Paired embeddings, and the questions that can be asked about their pairing.

    Takes and raises what `procrustes_lab.diagnose` does. Both sides are centred in all that
    follows: a mean that all rows share says nothing about which belong together. `moments` are
    those of all `n` pairs; the `sample` is of at most `SAMPLE` rows, ascending.
    """

    def __init__(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> None:
        x, y = as_pairs(X, Y)
        if len(x) < 2:
            raise ValueError(f"{SOURCE} has 1 row; expected at least 2: one pair says nothing")
        reject_nonfinite(x, SOURCE)  # or the message would count rows from a block's first
        reject_nonfinite(y, TARGET)
        self.n, self._seed = len(x), seed
        self._block = min(BLOCK_ROWS, -(-self.n // 8))
        self._halves = _halves(x, y, self._block)
        unit = max(scale for m in self._halves for scale in (m.source_scale, m.target_scale))
        if unit != 1.0:  # or squares would leave the range of float64
            x, y = x / unit, y / unit
            self._halves = _halves(x, y, self._block)
        self.moments = m = self._halves[0] + self._halves[1]
        a, b = m.source_scale, m.target_scale
        self.source = Side(SOURCE, x, m.source_mean * a, m.source_scatter * a**2)
        self.target = Side(TARGET, y, m.target_mean * b, m.target_scatter * b**2)
        self._order = np.random.default_rng(seed).permutation(self.n)
        self.sample = np.sort(self._order[:SAMPLE])
        self._by_row: dict[int, tuple[Matrix, Matrix]] = {}

    def permutation_test(self, permutations: int = 99) -> PermutationTest:
        """Test whether the pairing says anything: shuffle the rows of one side, align again.

        Rows change places within runs of `RUN` only: in a sorted file neighbours are alike, and a
        pairing right to within a thousand rows would beat every shuffle of the whole. At most
        `SAMPLE` rows take part, in random runs and the leading principal directions. So the test is
        exact, if unpaired rows of a run are exchangeable (Jackson, 1995, PROTEST, Écoscience 2,
        297–303; Phipson and Smyth, 2010, doi:10.2202/1544-6115.1585).
        """
        rng = np.random.default_rng(self._seed)
        width = min(RUN, self.n)
        starts = width * rng.permutation(self.n // width)[: SAMPLE // RUN]
        runs = starts[:, np.newaxis] + np.arange(width)
        a, b = self.source.leading(runs.ravel()), self.target.leading(runs.ravel())
        places = np.arange(runs.size).reshape(runs.shape)
        shuffles = (rng.permuted(places, axis=1).ravel() for _ in range(permutations))
        return PermutationTest(_error(a, b), np.array([_error(a, b[order]) for order in shuffles]))

    def agreement_by_chance(self) -> float:
        """Return how well a random pairing agrees, as a share of the best that any pairing could.

        Agreement is ‖XᵀY‖_*/n, which lowers the error; it cannot exceed the summed products of
        singular values (von Neumann). At random it falls like 1/√n. Near 1, a map can be fitted to
        any pairing; 0 means that there is nothing to agree on.
        """
        order = np.random.default_rng(self._seed).permutation(self.sample)
        cross = self.source.centred(self.sample).T @ self.target.centred(order)
        values = zip(self.source.values, self.target.values, strict=False)
        most = sum(float(np.sqrt(a * b)) for a, b in values)
        agreement = float(np.linalg.norm(cross, "nuc")) / np.sqrt(len(order) * self.n)
        return agreement / most if most else 0.0

    def errors_by_offset(self) -> dict[int, float]:
        """Return the alignment error if row i of X is paired with row i + k of Y, by offset k.

        On equally many of the first `SAMPLE` rows; fewer than `RUN` leave only the offset 0.
        """
        first = np.arange(min(SAMPLE, self.n))
        a, b = self.source.leading(first), self.target.leading(first)
        start, stop = LARGEST_OFFSET, len(first) - LARGEST_OFFSET
        if stop - start < RUN:
            return {0: _error(a, b)}
        return {k: _error(a[start:stop], b[start + k : stop + k]) for k in OFFSETS}

    def offset(self, test: PermutationTest) -> int:
        """Return the offset with the least error; 0 unless another is better than by chance.

        In a sorted file the error changes slowly with the offset: only a valley counts, not an end.
        """
        errors = self.errors_by_offset()
        best = min(errors, key=lambda k: errors[k])
        # What two random pairings differ by, in one of so many offsets, once in 1/ALPHA.
        by_chance = ndtri(1 - ALPHA / len(errors)) * (np.sqrt(2) * test.shuffled.std(ddof=1))
        valley = min(errors) < best < max(errors)
        return best if valley and errors[0] - errors[best] > by_chance else 0

    def partner_ranks(self) -> Matrix:
        """Return, for each row of X, the share of random rows of Y that are as near as its partner.

        Uniform on (0, 1] for a row paired at random, near 0 for right pairs; the partner counts.
        """
        return self.by_row(0)[0]

    def by_row(self, offset: int) -> tuple[Matrix, Matrix]:
        """Return `partner_ranks`, and each row's agreement with the row k further on, by offset k.

        A map is fitted on the other half of the rows, blocks of them in turn, so that a wrong pair
        cannot excuse itself, nor its neighbours in a sorted file; and at the offset that is given.
        Agreements, shape (n, number of `OFFSETS`), are dot products; NaN where there is no row.
        """
        if offset in self._by_row:
            return self._by_row[offset]
        n, halves = self.n, self._halves
        if offset:
            up, down = max(0, -offset), max(0, offset)
            x, y = self.source.rows[up : n - down], self.target.rows[down : n - up]
            halves = _halves(x, y, self._block)
        maps = [partial_isometry(half.cross_scatter) for half in halves]
        references = self._order[:REFERENCES]
        others = self.target.centred(references).T
        ranks, agreement = np.empty(n), np.empty((n, len(OFFSETS)))
        for block, start in enumerate(range(0, n, self._block)):
            rows = np.arange(start, min(start + self._block, n))
            aligned = self.source.centred(rows) @ maps[1 - block % 2]
            for column, k in enumerate(OFFSETS):
                agreement[rows, column] = np.vecdot(aligned, self.target.centred((rows + k) % n))
            scores = aligned @ others
            scores[rows[:, np.newaxis] == references] = -np.inf
            as_near = scores >= agreement[rows, LARGEST_OFFSET, np.newaxis]
            ranks[rows] = (1 + np.count_nonzero(as_near, axis=1)) / (1 + len(references))
        further_on = np.arange(n)[:, np.newaxis] + np.array(OFFSETS)
        agreement[(further_on < 0) | (further_on >= n)] = np.nan
        self._by_row[offset] = ranks, agreement
        return ranks, agreement


def shifts(agreement: Matrix) -> Indices:
    """Return each row's offset by `Pairing.by_row`: 0, or k in runs of about `RUN` that are off."""
    n = len(agreement)
    offsets, edges = np.zeros(n, dtype=np.int64), np.linspace(0, n, n // RUN + 1).astype(int)
    for start, stop in pairwise(edges.tolist()):
        block = agreement[start:stop]
        # In a sorted file neighbours are alike: the best must beat the next best too, not only 0.
        rival, best = np.argsort(np.nanmean(block, axis=0))[-2:]
        gain = block[:, best] - block[:, rival]
        gain = gain[~np.isnan(gain)]
        critical = stdtrit(len(gain) - 1, 1 - ALPHA / (len(edges) - 1))
        if gain.mean() > critical * gain.std(ddof=1) / np.sqrt(len(gain)):
            offsets[start:stop] = OFFSETS[best]
    return offsets


def any_at_random(ranks: Matrix) -> bool:
    """Whether the tail of `Pairing.partner_ranks` is too flat to come from right pairs alone.

    Of random partners above a rank τ, half are above (1 + τ)/2. The density of right ones falls
    towards 1; if at least as fast as a straight line that ends at 0, a quarter are. Tested is a
    quarter, binomially, at four places.
    """
    levels = np.array([[1 / 16], [1 / 8], [1 / 4], [1 / 2]])
    tail, upper = (np.count_nonzero(ranks > u, axis=1) for u in (levels, (1 + levels) / 2))
    return bool(np.any(bdtrc(upper - 1, tail, 1 / 4) < ALPHA / 4))


def share_at_random(ranks: Matrix) -> float:
    """Estimate the share of rows whose partner is random, from the height of the ranks' tail.

    Above a rank λ, (1 − λ) of the random partners are found, and right ones that make the estimate
    too large: fewer for a larger λ, which leaves fewer rows to count, too. The λ is taken with the
    least mean squared error, the lowest estimate standing for the truth (Storey, 2002,
    doi:10.1111/1467-9868.00346; and others, 2004, doi:10.1111/j.1467-9868.2004.00439.x).
    """
    levels = np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4])
    above = np.mean(ranks > levels[:, np.newaxis], axis=1)
    estimates = above / (1 - levels)
    variances = above * (1 - above) / (len(ranks) * (1 - levels) ** 2)
    best = np.argmin((estimates - estimates.min()) ** 2 + variances)
    return min(1.0, float(estimates[best]))


def suspects(ranks: Matrix) -> Indices:
    """Name the rows whose partner looks random, the worst first.

    With a share π at random, π(1 − τ) of all rows are above the rank τ for that reason. The rows
    above the least τ are named for which that makes `PURITY` of them.
    """
    levels = np.unique(ranks)
    above = len(ranks) - np.searchsorted(np.sort(ranks), levels, side="right")
    at_random = share_at_random(ranks) * (1 - levels) * len(ranks)
    worst_first = np.argsort(-ranks, kind="stable")
    return worst_first[: above[np.argmax(at_random >= PURITY * above)]]


def _halves(x: Embeddings, y: Embeddings, step: int) -> list[Moments]:
    """Moments of the even blocks of rows, and of the odd ones: each half judges the other."""
    halves: list[Any] = [0, 0]  # to which moments can be added
    for block, start in enumerate(range(0, len(x), step)):
        rows = slice(start, start + step)
        halves[block % 2] += moments_of(x[rows], y[rows], product_type(x, y))
    return halves


def _error(a: Embeddings, b: Embeddings) -> float:
    return float(np.vdot(a, a) + np.vdot(b, b) - 2 * np.linalg.norm(a.T @ b, "nuc")) / len(a)


def two_models(pairs: Pairing, side: Side) -> Iterator[Finding]:
    """Find two models in the rows of one side, if there are two; name the rarer one's rows.

    Rows are split by the kernel (x·x')², whose feature is the outer product xxᵀ: the two kinds
    differ in their second moments, with or without a mean of their own. Two large kinds show in its
    leading eigenvectors; of a small one, the map of all rows loses the partners. A split may as
    well be one of topics. So a map is fitted on half of each kind: it carries another topic, but
    not another model. There are two where either map keeps more than half of its agreement on its
    own kind, and less than half of that on the other.
    """
    if pairs.n < FEWEST:
        return
    unit = unit_rows(side.rows[pairs.sample].astype(float))
    lost = pairs.partner_ranks()[pairs.sample] > LOST
    splits = (kind for kind in _splits(unit, lost) if 8 <= kind.sum() <= len(kind) - 8)
    x, y = (each.leading(pairs.sample) for each in (pairs.source, pairs.target))
    kinds = [(*_agreements(x, y, kind), kind) for kind in splits]
    kinds = [(own, other, kind) for own, other, kind in kinds if own > 0.5 and other < own / 2]
    if not kinds:
        return
    own, other, kind = min(kinds, key=lambda agreements: agreements[1])
    # Of the kinds' second moments A and B, xᵀ(A − B)x tells to which a row is nearer.
    a, b = (unit[rows].T @ unit[rows] / rows.sum() for rows in (kind, ~kind))
    difference, threshold = a - b, float(np.vdot(a, a) - np.vdot(b, b)) / 2
    blocks = (unit_rows(block.astype(float)) for block in side.blocks)
    first = np.concatenate([np.vecdot(x @ difference, x) for x in blocks]) > threshold
    first = first == first[0]  # of two halves the first row's is named, whatever a vector's sign
    rows = np.flatnonzero(first == (2 * first.sum() <= pairs.n))
    counts = {"rows": len(rows), "rest": pairs.n - len(rows), "share": len(rows) / pairs.n}
    yield found("two models", "error", rows, **counts, own=own, other=other, side=side.name)


def _splits(unit: Matrix, lost: Mask) -> Iterator[Mask]:
    """Split by 2-means in the kernel's feature space, from eigenvectors and from lost rows."""
    single = unit.astype(np.float32)
    kernel = (single @ single.T) ** 2
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1, keepdims=True)
    if not kernel.any():
        return
    start = np.random.default_rng(0).standard_normal(len(kernel), np.float32)
    for direction in eigsh(kernel, SPLITS, which="LA", v0=start, tol=1e-3)[1].T[::-1]:
        kind = direction > 0
        for _ in range(20):
            before, kind = kind, _nearer(kernel, kind)
            if np.array_equal(before, kind):
                break
        yield kind
    np.fill_diagonal(kernel, 0.0)  # a row is not to be found near the lost ones for being one
    yield (kind := _nearer(kernel, lost))
    yield _nearer(kernel, kind)


def _nearer(kernel: NDArray[np.float32], kind: Mask) -> Mask:
    """Tell which rows are nearer to the mean of a kind than to that of the others."""
    if not 1 < kind.sum() < len(kind) - 1:
        return kind
    score = kernel @ np.where(kind, 1 / kind.sum(), -1 / (~kind).sum()).astype(np.float32)
    return np.asarray(score > (score[kind].mean() + score[~kind].mean()) / 2)


def _agreements(x: Matrix, y: Matrix, kind: Mask) -> tuple[float, float]:
    """Return the lesser agreement of a map with its own kind, and the mean with the other.

    Agreement is 1 − 2 × mean rank of the partner, of rows that the map has not seen: 1 is perfect
    and 0 chance. In the leading principal directions, as the permutation test.
    """
    agreements = np.empty((2, 2))
    for i, mine in enumerate((kind, ~kind)):
        fitted, unseen = np.flatnonzero(mine)[::2], np.flatnonzero(mine)[1::2]
        W = partial_isometry(_centred(x[fitted]).T @ _centred(y[fitted]))
        for j, rows in enumerate((unseen, np.flatnonzero(~mine))):
            a, b = _centred(x[rows] @ W), _centred(y[rows])
            agreements[i, j] = 1 - 2 * np.mean(a @ b.T >= np.vecdot(a, b)[:, np.newaxis])
    return float(agreements[:, 0].min()), float(agreements[:, 1].mean())


def _centred(rows: Matrix) -> Matrix:
    return np.asarray(rows - rows.mean(axis=0))
