"""From a sample of pairs to the population: what theory says of a fitted map, and what is measured.

The error of a map is the mean squared distance over the population, the narrower side padded with
zeros, and its *excess* is that error less the least one. M is the mean of xᵀy over the population,
M̂ over a sample of m pairs, no vector longer than 1. Proofs: "From a sample to the population".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .alignment import Alignment, align
from .moments import Moments, as_moments
from .polar import polar, svd
from .sums import BLOCK_BYTES, Cross, Matrix, cross_of, sum_cross
from .validate import SOURCE, TARGET, Embeddings, as_pairs, reject_nonfinite, require

Seed = int | np.random.Generator

LONGEST = 1.001  # what passes for a length of 1: half precision rounds


def effective_dimension(X: ArrayLike | Moments, Y: ArrayLike | None = None) -> float:
    """Count the directions the vectors fill: (tr √C)² / tr C, of the side where it is less.

    C is a side's second moment. Equal eigenvalues give d, a single one gives 1, and a side without
    energy 0. X and Y are as in `align`.
    """
    xx, _, yy = as_moments(X, Y).products()
    filled = []
    for second_moment in (xx, yy):
        values = np.maximum(np.linalg.eigvalsh(second_moment), 0.0)
        filled.append(np.sqrt(values).sum() ** 2 / values.sum() if values.any() else 0.0)
    return float(min(filled))


def excess_from_deviation(nuclear: float) -> float:
    """Bound the excess by how far the sample is off: 4‖M̂ − M‖_* (T5, step 1; 4 is optimal)."""
    return 4 * nuclear


def excess_from_squares(frobenius: float, least: float) -> float:
    """Bound it the fast way, 4‖M̂ − M‖_F²/σ, with σ the least singular value of M (T5′, step 1)."""
    return 4 * frobenius**2 / least


def deviation_bound(dimension: float, pairs: int, *, risk: float | None = None) -> float:
    """Bound ‖M̂ − M‖_*: √(d/m) in expectation, √(d/m) + √(2 log(1/η)/m) but for a chance of η.

    d is the population's `effective_dimension` (the number of coordinates will do), m the pairs,
    η the risk; ValueError out of range. McDiarmid (1989), doi:10.1017/CBO9781107359949.008.
    """
    message = f"dimension is {dimension}; expected a finite number of at least 0"
    require(0 <= dimension < math.inf, message)
    require(pairs >= 1, f"pairs is {pairs}; expected at least 1")
    require(risk is None or 0 < risk < 1, f"risk is {risk}; expected a number between 0 and 1")
    tail = 0.0 if risk is None else math.sqrt(-2 * math.log(risk))
    return (math.sqrt(dimension) + tail) / math.sqrt(pairs)


def excess_bound(dimension: float, pairs: int, *, confidence: float | None = None) -> float:
    """Bound the excess of a map fitted on independent pairs, by `deviation_bound` (T5).

    That is 4√(d/m) in expectation, and (4/√m)(√d + √(2 log(1/η))) with confidence 1 − η.
    """
    risk = None if confidence is None else risk_of(confidence)
    return excess_from_deviation(deviation_bound(dimension, pairs, risk=risk))


def excess_rate(X: ArrayLike, Y: ArrayLike) -> float:
    """Return κ, where κ/m is the expected excess of a map fitted on many pairs, m (T5′).

    With a = xU and b = yV, from the SVD of the mean of xᵀy, and its singular values σ,

        κ = Σ_{i<j} mean (a_i b_j − a_j b_i)² / (σ_i + σ_j),

    the narrower side and σ padded with zeros. It is the limit of m times the expected excess if no
    singular value vanishes, the pairs given, of any lengths, being the population.
    """
    x, y = as_pairs(X, Y)
    n, wide = len(x), max(x.shape[1], y.shape[1])
    cross = np.zeros((wide, wide))
    cross[: x.shape[1], : y.shape[1]] = Moments.from_arrays(x, y).xy / n
    U, sigma, Vt = svd(cross)
    squares, products = np.zeros((wide, wide)), np.zeros((wide, wide))
    rows = max(1, BLOCK_BYTES // (8 * wide))
    for start in range(0, n, rows):
        a = x[start : start + rows] @ U[: x.shape[1]]
        b = y[start : start + rows] @ Vt.T[: y.shape[1]]
        squares += (a**2).T @ b**2
        products += (a * b).T @ (a * b)
    sums = np.add.outer(sigma, sigma)
    spread = np.maximum(squares + squares.T - 2 * products, 0.0) / n
    # Turning two directions that say nothing into each other costs nothing.
    known = np.triu(sums > wide * np.finfo(float).eps * sums.max(), 1)
    return float(np.sum(spread[known] / sums[known]))


def expected_share(source_dim: int, target_dim: int, pairs: int) -> float:
    """Return the rule of thumb: excess over the least error, (d − 1)/(2m) if d_x = d_y = d.

    It is the number of free parameters of a map, d_x(d_x − 1)/2 + d_x(d_y − d_x) for d_x <= d_y,
    over d_y·m, and the same the other way round: exact in the limit if the target is the turned
    source plus isotropic noise, whatever the spectrum, and then no unbiased estimator does better.
    On fewer pairs than several times the lesser dimension the excess does not fall as 1/m.
    """
    few, many = sorted((source_dim, target_dim))
    return few * ((few - 1) / 2 + many - few) / (many * pairs)


def risk_of(confidence: float) -> float:
    """1 − confidence; ValueError if the confidence is out of range."""
    require(0 < confidence < 1, f"confidence is {confidence}; expected a number between 0 and 1")
    return 1 - confidence


@dataclass(frozen=True, repr=False)
class HeldOutError:
    """Mean squared distance over pairs held out, and an interval for its population value."""

    mean: float
    low: float
    high: float
    n_fit: int
    n_held_out: int
    confidence: float

    def __repr__(self) -> str:
        interval = f"{100 * self.confidence:g} % interval [{self.low:.4g}, {self.high:.4g}]"
        pairs = f"fitted on {self.n_fit:,} pairs, {self.n_held_out:,} held out"
        return f"held-out error {self.mean:.4g}, {interval} ({pairs})"


def held_out_error(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    held_out: int,
    seed: Seed = 0,
    confidence: float = 0.95,
    **options: Any,
) -> HeldOutError:
    """Fit a map on some of the pairs and measure it on the others, drawn at random.

    X, Y, options and errors are those of `align`; and ValueError if a row is longer than 1. At
    least 2 pairs are held out. The interval is that of `empirical_bernstein`, for the one map that
    was fitted, on new pairs from the same source. It supposes that the pairs held out are
    independent of each other and of the rest: keep copies of an object on one side of the split.
    """
    x, y = _unit_pairs(X, Y)
    chosen, rest = _split(len(x), held_out, 1, np.random.default_rng(seed))
    alignment = align(x[rest], y[rest], **options)
    losses, highest = _losses(alignment, x[chosen], y[chosen])
    low, high = empirical_bernstein(losses, low=0.0, high=highest, confidence=confidence)
    return HeldOutError(float(losses.mean()), low, high, len(rest), held_out, float(confidence))


def empirical_bernstein(
    values: ArrayLike, *, low: float, high: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for the mean of which `values` are independent draws, valid at any sample size.

    With the sample variance V of n > 1 values, δ = 1 − confidence, L = log(3/δ), r = high − low,
    it is mean ± (√(2VL/n) + 7rL / (3(n − 1))), cut to the range from `low` to `high`, which is
    known beforehand and is not the sample's own extremes. Both ends hold with the given confidence,
    either by itself with 1 − 2δ/3: to quote one end alone at 0.95, ask for 0.925. ValueError if a
    value is out of range.

    Maurer & Pontil (2009), arXiv:0907.3740, Theorems 3, 4 and 10. Their Theorem 4 is one end, with
    log(2/δ); both share the bound on the variance, which makes it three events in place of four.
    """
    z = np.asarray(values, dtype=np.float64)
    message = f"values have shape {z.shape}; expected (n,) with n at least 2"
    require(z.ndim == 1 and len(z) >= 2, message)
    message = f"the range is [{low}, {high}]; expected finite numbers, low below high"
    require(-math.inf < low < high < math.inf, message)
    seen, rule = f"{z.min():.6g} to {z.max():.6g}", f"[{low:.6g}, {high:.6g}]"
    message = f"values run from {seen}; expected them within {rule}, as low and high promise"
    require(low <= z.min() and z.max() <= high, message)
    n, penalty = len(z), math.log(3 / risk_of(confidence))
    reach = math.sqrt(2 * z.var(ddof=1) * penalty / n) + 7 * (high - low) * penalty / (3 * (n - 1))
    mean = float(z.mean())
    return max(mean - reach, float(low)), min(mean + reach, float(high))


@dataclass(frozen=True)
class LearningCurve:
    """Mean errors of maps fitted on m pairs, on those and on others, at each of the sizes m.

    The excess follows the law scale · m^(−exponent), a straight line through its logarithms.
    """

    sizes: tuple[int, ...]
    fitted: tuple[float, ...]
    held_out: tuple[float, ...]
    scale: float
    exponent: float

    @property
    def excess(self) -> Matrix:
        """Half the gap between the two errors, at each size: the expected excess, to 1/m (T5′)."""
        return _half_gap(self.fitted, self.held_out)

    @property
    def floor(self) -> float:
        """Error of the best map: halfway between the two errors at the largest size."""
        return (self.fitted[-1] + self.held_out[-1]) / 2

    def law(self, pairs: ArrayLike) -> Matrix:
        """Excess of maps fitted on so many pairs, by the law."""
        return np.asarray(self.scale * np.asarray(pairs, float) ** -self.exponent)

    def pairs(self, excess: float) -> float:
        """How many pairs bring the excess down to this, by the law; at least the first size."""
        return max(float(self.sizes[0]), math.pow(self.scale / excess, 1 / self.exponent))


def learning_curve(
    X: ArrayLike, Y: ArrayLike, *, held_out: int, draws: int = 5, seed: Seed = 0
) -> LearningCurve:
    """Measure held-out error at sizes that grow by √2, from twice the lesser dimension to all.

    In each of the `draws` the pairs are divided and ordered anew. Parameters and errors are those
    of `held_out_error`, but rows may have any lengths, and enough of them must be left to fit on
    for four sizes: on fewer pairs than dimensions a map guesses whole directions, and no power law
    holds. The law is fitted to half the gap between the errors, as a floor fitted with it would
    trade against its exponent: fitted error is as far below it as held-out error above, to 1/m.
    """
    x, y = as_pairs(X, Y)
    require(draws >= 1, f"draws is {draws}; expected at least 1")
    first = 2 * min(x.shape[1], y.shape[1])
    rng = np.random.default_rng(seed)
    _, rest = _split(len(x), held_out, math.ceil(first * 2**1.5), rng)
    steps = int(2 * math.log2(len(rest) / first) + 1e-9)
    sizes = np.rint(len(rest) * 2.0 ** (-np.arange(steps, -1, -1) / 2)).astype(int)
    everything = cross_of(x, y)
    W_all, _ = polar(everything.xy)
    errors = np.full((2, len(sizes)), draws * _error(W_all, everything))
    for _ in range(draws):
        chosen, rest = _split(len(x), held_out, 1, rng)
        unseen, *batches = (
            sum_cross(x[rows], y[rows], np.float64, everything[4:])
            for rows in (chosen, *np.split(rest, sizes)[:-1])
        )
        for k, seen in enumerate(accumulate(batches, _both)):
            W, _ = polar(seen.xy)
            # The map of all pairs has the same expected error on any random part of them:
            # counting from it takes out the luck of the draw and nothing else.
            for side, cross in enumerate((seen, unseen)):
                errors[side, k] += _error(W, cross) - _error(W_all, cross)
    errors /= draws
    slope, height = np.polyfit(np.log(sizes), np.log(_half_gap(*errors)), 1)
    law = math.exp(height), -float(slope)
    fitted, unknown = map(tuple, errors.tolist())
    return LearningCurve(tuple(sizes.tolist()), fitted, unknown, *law)


@dataclass(frozen=True, repr=False)
class PairsNeeded:
    """How many pairs bring the expected excess down to a given value, by three accounts.

    `guaranteed` by T5, m = 16 d_eff / excess²: enough whatever the population, if d_eff is its own;
    `extrapolated` by the curve's law; `asymptotic`, in the limit of many, by T5′, m = κ / excess.
    """

    excess: float
    guaranteed: int
    extrapolated: int
    rate: float
    curve: LearningCurve

    @property
    def asymptotic(self) -> int:
        """Pairs by the limit law: κ, which is the `rate`, over the excess."""
        return math.ceil(self.rate / self.excess)

    def __repr__(self) -> str:
        return (
            f"excess {self.excess:g} takes {self.extrapolated:,} pairs by the learning curve, "
            f"{self.asymptotic:,} by its limit law, {self.guaranteed:,} by the bound (T5)"
        )

    @property
    def gap(self) -> float:
        """How many times more pairs the guarantee asks for than the learning curve."""
        return self.guaranteed / self.extrapolated


def pairs_needed(
    X: ArrayLike, Y: ArrayLike, excess: float, *, held_out: int, draws: int = 5, seed: Seed = 0
) -> PairsNeeded:
    """Estimate how many pairs a map needs to come within `excess`, below 4, of the best one.

    Other parameters and errors are those of `learning_curve`; no row may be longer than 1.
    """
    x, y = _unit_pairs(X, Y)
    require(0 < excess < 4, f"excess is {excess}; expected a number between 0 and 4")
    curve = learning_curve(x, y, held_out=held_out, draws=draws, seed=seed)
    return PairsNeeded(
        float(excess),
        guaranteed=math.ceil((excess_bound(effective_dimension(x, y), 1) / excess) ** 2),
        extrapolated=math.ceil(curve.pairs(excess)),
        rate=excess_rate(x, y),
        curve=curve,
    )


def _error(W: Matrix, cross: Cross) -> float:
    """Mean squared distance after W, the narrower side padded with zeros."""
    gained = float(np.vdot(W, cross.xy)) * cross.source_scale * cross.target_scale
    return cross.energy - 2 * gained / cross.n


def _both(a: Cross, b: Cross) -> Cross:
    """Return the same of both sets of rows, which were divided by the same scales."""
    energies = a.source_energy + b.source_energy, a.target_energy + b.target_energy
    return Cross(a.n + b.n, a.xy + b.xy, *energies, *a[4:])


def _half_gap(fitted: ArrayLike, held_out: ArrayLike) -> Matrix:
    # Where both errors are rounding there is no gap, and no logarithm of it either.
    return np.maximum(np.subtract(held_out, fitted) / 2, np.finfo(float).eps)


def _losses(alignment: Alignment, X: Embeddings, Y: Embeddings) -> tuple[Matrix, float]:
    """Squared distances as `Alignment.error` counts them, and what none of them can exceed."""
    moved = alignment.apply(X) - alignment.target_mean
    source, target = X - alignment.source_mean, Y - alignment.target_mean
    losses = np.vecdot(moved - target, moved - target)
    if not alignment.whiten:  # going down, the padded target misses what the projection drops
        losses += alignment.scale**2 * np.vecdot(source, source) - np.vecdot(moved, moved)
    means = alignment.source_mean, alignment.target_mean
    farthest_source, farthest_target = (1 + float(np.linalg.norm(mean)) for mean in means)
    stretch = alignment.scale * float(np.linalg.norm(alignment.map, 2))
    highest = (stretch * farthest_source + farthest_target) ** 2
    return np.clip(losses, 0.0, highest), highest


def _split(
    n: int, held_out: int, least: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide n rows at random into those held out and the rest, in random order."""
    rule = f"expected at least 2, and to leave at least {least} to fit on"
    require(2 <= held_out <= n - least, f"held_out is {held_out} of {n} pairs; {rule}")
    order = rng.permutation(n)
    return order[:held_out], order[held_out:]


def _unit_pairs(X: ArrayLike, Y: ArrayLike) -> tuple[Embeddings, Embeddings]:
    """Return both sides, checked by `as_pairs`, with no row longer than 1."""
    x, y = as_pairs(X, Y)
    remedy = "normalise the rows, or divide both sides by one length that none exceeds"
    for side, name in ((x, SOURCE), (y, TARGET)):
        reject_nonfinite(side, name)
        lengths = np.linalg.norm(side.astype(np.float64, copy=False), axis=1)
        row = int(lengths.argmax())
        found = f"{name} has length {lengths[row]:.4g} in row {row}"
        require(lengths[row] <= LONGEST, f"{found}; expected at most 1: {remedy}")
    return x, y
