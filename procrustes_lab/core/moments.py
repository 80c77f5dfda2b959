"""Second moments of paired embeddings: all that the maps and certificates need, and they add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import archive
from .archive import StrPath
from .sums import Cross, Matrix, Real, Scales, blocks, scales, two_sum
from .validate import SOURCE, TARGET, Embeddings, as_embeddings, as_pairs, reject_nonfinite, require

Batch = tuple[ArrayLike, ArrayLike]

FORMAT = 1  # of the file that `Moments.save` writes
CHECKPOINT_SECONDS = 10.0  # after which `Moments.from_batches` writes its checkpoint again
FAN_IN = 8  # how many moments one task of Dask's adds, and holds in memory for it


@dataclass(frozen=True, eq=False, repr=False)
class Moments:
    """Count, means and scatter of n paired rows.

    Moments of a union of disjoint batches are the sum of the batches' moments, so one pass over
    the pairs suffices, in any order, on any number of machines: O(n d²) time and O(d²) memory.
    Merged as by Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    Attributes
    ----------
    source_mean, target_mean, source_rest, target_rest : ndarray, shapes (d_x,) and (d_y,)
        The means, and what float64 leaves out of them, where batches may differ by so little.
    source_scatter, cross_scatter, target_scatter : ndarray
        Sums of outer products *about the means*, shapes (d_x, d_x), (d_x, d_y) and (d_y, d_y):
        putting the means back loses nothing, taking them out would.
    source_scale, target_scale : float
        Powers of two that the rows were divided by; 1 unless squares would leave float64's range.
    """

    n: int
    source_mean: Matrix
    target_mean: Matrix
    source_rest: Matrix
    target_rest: Matrix
    source_scatter: Matrix
    cross_scatter: Matrix
    target_scatter: Matrix
    source_scale: float = 1.0
    target_scale: float = 1.0

    @classmethod
    def from_arrays(cls, X: ArrayLike, Y: ArrayLike) -> Moments:
        """Moments of the pairs (X[i], Y[i]), shapes (n, d_x) and (n, d_y), summed in float64.

        TypeError or ValueError if they are not finite real matrices with equally many rows.
        """
        return moments_of(*as_pairs(X, Y))

    @classmethod
    def from_batches(cls, pairs: Iterable[Batch], *, checkpoint: StrPath | None = None) -> Moments:
        """Moments of the union of batches, each a pair (X, Y) of shapes (k, d_x) and (k, d_y).

        One batch is held at a time; those of no rows are skipped. Errors are those of
        `from_arrays`, with the batch's number; and ValueError if there is no row at all, if the
        batches differ in dimension, or if the checkpoint is of other batches.

        A checkpoint is a file in which to keep the sum so far: about every ten seconds, and when
        anything stops the pass. Given the same batches again, the pass goes on where it stopped,
        and ends with the same bits as without a stop; then the file is removed.
        """
        batches = iter(pairs)
        total, done, written = None, 0, monotonic()
        if checkpoint is not None and Path(checkpoint).exists():
            total, done = _resume(checkpoint, batches)

        def keep() -> None:
            if checkpoint is not None and total is not None:
                archive.write(checkpoint, format=FORMAT, batches=done, **vars(total))

        try:
            for number, batch in enumerate(batches, start=done):
                try:
                    x, y = _batch(batch)
                    if len(x) or len(y):
                        part = moments_of(*as_pairs(x, y))
                        total = part if total is None else total + part
                except (TypeError, ValueError) as error:
                    raise type(error)(f"batch {number}: {error}") from error
                done = number + 1
                if monotonic() - written > CHECKPOINT_SECONDS:
                    keep()
                    written = monotonic()
        except BaseException:
            keep()
            raise
        if total is None:
            raise ValueError("pairs has no rows; expected at least one batch (X, Y) with a row")
        if checkpoint is not None:
            Path(checkpoint).unlink(missing_ok=True)
        return total

    @classmethod
    def from_dask(cls, X: Any, Y: Any) -> Moments:
        """Moments of the pairs of two Dask arrays, computed where their blocks are.

        They are added in a tree, always in the same order, so that neither the scheduler nor a lost
        worker changes a bit. No rows move between workers if both arrays are made block by block
        (`dask.array.map_blocks`, `from_array`, `from_zarr`) and are cut alike; else Y's rows are
        cut as X's are, and blocks of columns are merged. Workers need this package too, with the
        extra ``scale``; the cluster is the current one, see `dask.distributed.Client`.

        Shapes and errors are those of `from_arrays`, rows numbered by the whole array; TypeError
        for what is no Dask array, ValueError for blocks whose sizes Dask does not know.
        """
        import dask.array as da
        from dask.delayed import delayed

        for array, name in ((X, SOURCE), (Y, TARGET)):
            if not isinstance(array, da.Array):
                rule = "expected a dask array: Moments.from_arrays takes arrays in memory"
                raise TypeError(f"{name} is a {type(array).__name__}; {rule}")
            message = f"{name} has blocks of unknown size: call its compute_chunk_sizes() first"
            require(not np.isnan(array.shape).any(), message)
            as_embeddings(array._meta, name, allow_empty=True)  # its type and number of dimensions
        # Shapes are judged by the same rules as in memory; one zero, repeated, stands for all rows.
        as_pairs(np.broadcast_to(0.0, X.shape), np.broadcast_to(0.0, Y.shape))
        X = X.rechunk({1: -1})
        Y = Y.rechunk({0: X.chunks[0], 1: -1})

        # Blockwise, because Dask then makes one task of loading both sides and summing them. Each
        # array has one block of columns, so that all have the same blocks, if not their sizes.
        starts = da.from_array(np.cumsum([0, *X.chunks[0][:-1]])[:, np.newaxis], chunks=1)
        arrays = (X, "ij", Y, "ij", starts, "ij")
        meta = np.empty((0, 0), object)
        parts = da.blockwise(_moments_of_block, "ij", *arrays, align_arrays=False, meta=meta)
        filled = zip(parts.to_delayed()[:, 0], X.chunks[0], strict=True)
        level, total = [part for part, n in filled if n], delayed(sum)
        while len(level) > 1:
            level = [total(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
        added: Moments = level[0].compute()
        return added

    def save(self, path: StrPath) -> None:
        """Write the moments to an npz file, complete or not at all."""
        archive.write(path, format=FORMAT, **vars(self))

    @classmethod
    def load(cls, path: StrPath) -> Moments:
        """Read what `save` wrote; OSError if there is no file, ValueError if it is damaged."""
        with archive.reading(path, "moments", "write them again with Moments.save") as fields:
            return _from_fields(fields)

    def __repr__(self) -> str:
        d_x, d_y = self.cross_scatter.shape
        return f"Moments of {self.n:,} pairs, {d_x} → {d_y} dimensions"

    def __sizeof__(self) -> int:
        # By it Dask's workers decide what to send, to whom, and when they are full.
        return object.__sizeof__(self) + sum(np.asarray(x).nbytes for x in vars(self).values())

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        dims, others = self.cross_scatter.shape, other.cross_scatter.shape
        message = (
            f"moments of dimensions {others} cannot be added to {dims}: expected the same columns"
        )
        require(dims == others, message)
        source = max(self.source_scale, other.source_scale)
        scales = source, max(self.target_scale, other.target_scale)
        a, b = self._in_units(scales), other._in_units(scales)
        n = a.n + b.n
        x = (b.source_mean - a.source_mean) + (b.source_rest - a.source_rest)
        y = (b.target_mean - a.target_mean) + (b.target_rest - a.target_rest)
        share, weight = b.n / n, a.n * (b.n / n)
        mean_x, rest_x = two_sum(a.source_mean, a.source_rest + share * x)
        mean_y, rest_y = two_sum(a.target_mean, a.target_rest + share * y)
        return Moments(
            n,
            *(mean_x, mean_y, rest_x, rest_y),
            a.source_scatter + b.source_scatter + weight * np.outer(x, x),
            a.cross_scatter + b.cross_scatter + weight * np.outer(x, y),
            a.target_scatter + b.target_scatter + weight * np.outer(y, y),
            *scales,
        )

    def __radd__(self, other: object) -> Moments:
        return self if other == 0 else NotImplemented  # sum() starts from 0

    def _in_units(self, scales: Scales) -> Moments:
        x, y = self.source_scale / scales[0], self.target_scale / scales[1]
        means = self.source_mean * x, self.target_mean * y
        rests = self.source_rest * x, self.target_rest * y
        xx, xy, yy = self.source_scatter, self.cross_scatter, self.target_scatter
        return Moments(self.n, *means, *rests, xx * x * x, xy * x * y, yy * y * y, *scales)

    def centred(self) -> Moments:
        """Moments of the pairs with each side's mean subtracted."""
        x, y = np.zeros_like(self.source_mean), np.zeros_like(self.target_mean)
        return replace(self, source_mean=x, target_mean=y, source_rest=x, target_rest=y)

    def products(self) -> tuple[Matrix, Matrix, Matrix]:
        """XᵀX, XᵀY and YᵀY, of the rows divided by the scales."""
        x, y = self.source_mean, self.target_mean
        if not (x.any() or y.any()):
            return self.source_scatter, self.cross_scatter, self.target_scatter
        return (
            self.source_scatter + self.n * np.outer(x, x),
            self.cross_scatter + self.n * np.outer(x, y),
            self.target_scatter + self.n * np.outer(y, y),
        )

    def cross(self) -> Cross:
        """Return the part of the moments that an orthogonal map is made of."""
        xx, xy, yy = self.products()
        energies = float(np.trace(xx)), float(np.trace(yy))
        return Cross(self.n, xy, *energies, self.source_scale, self.target_scale)

    @property
    def energy(self) -> float:
        """Mean squared length of a source row plus that of a target row."""
        return self.cross().energy

    @property
    def xx(self) -> Matrix:
        """XᵀX, shape (d_x, d_x)."""
        return self.products()[0] * self.source_scale**2

    @property
    def xy(self) -> Matrix:
        """XᵀY, shape (d_x, d_y)."""
        return self.products()[1] * self.source_scale * self.target_scale

    @property
    def yy(self) -> Matrix:
        """YᵀY, shape (d_y, d_y)."""
        return self.products()[2] * self.target_scale**2


def pairs_or_moments(
    X: ArrayLike | Moments, Y: ArrayLike | None
) -> tuple[Embeddings, Embeddings] | Moments:
    """Return X if it is the moments of the pairs, or both sides checked by `as_pairs`."""
    if isinstance(X, Moments):
        if Y is not None:
            raise TypeError("X is the moments of both sides; expected no Y beside it")
        return X
    if Y is None:
        raise TypeError("Y (target) is missing; expected an array of shape (n, d_y)")
    return as_pairs(X, Y)


def as_moments(X: ArrayLike | Moments, Y: ArrayLike | None) -> Moments:
    """Return the moments of the pairs, given as such or as both sides."""
    given = pairs_or_moments(X, Y)
    return given if isinstance(given, Moments) else moments_of(*given)


def _batch(batch: Batch) -> tuple[Embeddings, Embeddings]:
    try:
        X, Y = batch
    except (TypeError, ValueError):
        raise ValueError("expected a pair (X, Y) of arrays") from None
    return as_embeddings(X, SOURCE, allow_empty=True), as_embeddings(Y, TARGET, allow_empty=True)


def _resume(path: StrPath, batches: Iterator[Batch]) -> tuple[Moments, int]:
    """Return the sum of a stopped pass and its number of batches, and skip those."""
    with archive.reading(path, "a checkpoint", "remove it to begin again") as fields:
        done = int(fields.pop("batches"))
        total = _from_fields(fields)
    rows = sum(len(_batch(batch)[0]) for batch in islice(batches, done))
    found = f"{path} holds {total.n:,} rows of {done:,} batches, of which these have {rows:,}"
    require(rows == total.n, f"{found}: it is of other batches; remove it to begin again")
    return total, done


def _from_fields(fields: dict[str, Any]) -> Moments:
    require(fields.pop("format") == FORMAT, "unknown format")
    moments = Moments(**fields)
    (d_x,), (d_y,) = moments.source_mean.shape, moments.target_mean.shape
    shapes = (d_x, d_x), (d_x, d_y), (d_y, d_y)
    scatters = moments.source_scatter, moments.cross_scatter, moments.target_scatter
    agree = tuple(scatter.shape for scatter in scatters) == shapes
    require(agree and moments.n >= 1, "sizes disagree")
    return moments


# Overflow while summing is no error: `scales` sees it in the sums and mends it.
@np.errstate(all="ignore")
def moments_of(X: Embeddings, Y: Embeddings, dtype: Real = np.float64) -> Moments:
    """Moments of checked arrays: block products in `dtype`, summed in float64.

    ValueError if a side holds NaN or infinity.
    """
    moments = _summed(X, Y, dtype, (1.0, 1.0))
    units = scales(X, Y, moments.cross(), dtype, (SOURCE, TARGET))
    return moments if units == (1.0, 1.0) else _summed(X, Y, dtype, units)


def _summed(X: Embeddings, Y: Embeddings, dtype: Real, units: Scales) -> Moments:
    """Moments of rows divided by the given scales."""
    n, d_x, d_y = len(X), X.shape[1], Y.shape[1]
    xx, xy, yy = np.zeros((d_x, d_x)), np.zeros((d_x, d_y)), np.zeros((d_y, d_y))
    sum_x, sum_y = np.zeros(d_x), np.zeros(d_y)
    shift_x, shift_y = map(_dominant_mean, next(blocks(X[:4096], Y[:4096], dtype, units)))
    whole = not (shift_x.any() or shift_y.any())
    for x, y in blocks(X, Y, dtype, units, whole):
        x = x - shift_x if shift_x.any() else x
        y = y - shift_y if shift_y.any() else y
        sum_x += x.sum(axis=0, dtype=np.float64)
        sum_y += y.sum(axis=0, dtype=np.float64)
        xx += x.T @ x
        xy += x.T @ y
        yy += y.T @ y
    mean_x, mean_y = sum_x / n, sum_y / n
    xx -= n * np.outer(mean_x, mean_x)
    xy -= n * np.outer(mean_x, mean_y)
    yy -= n * np.outer(mean_y, mean_y)
    whole_x, rest_x = two_sum(shift_x.astype(np.float64), mean_x)
    whole_y, rest_y = two_sum(shift_y.astype(np.float64), mean_y)
    return Moments(n, whole_x, whole_y, rest_x, rest_y, xx, xy, yy, *units)


def _dominant_mean(block: Embeddings) -> Embeddings:
    """Return the mean of the columns that are nearly constant, zeros for the others: the shift."""
    mean: Embeddings = block.mean(axis=0)
    dominates = len(block) * mean**2 > 0.99 * np.einsum("ij,ij->j", block, block)
    return np.where(dominates, mean, mean.dtype.type(0))


def _moments_of_block(x: Embeddings, y: Embeddings, start: NDArray[np.int64]) -> Moments:
    """Moments of a block of rows, the first of which is row `start` of the whole arrays."""
    # What came over the network may lie across words in memory: BLAS would give other last bits.
    x, y = (np.require(side, requirements=["C", "A"]) for side in as_pairs(x, y))
    try:
        return moments_of(x, y)
    except ValueError:
        reject_nonfinite(x, SOURCE, int(start.item()))
        reject_nonfinite(y, TARGET, int(start.item()))
        raise
