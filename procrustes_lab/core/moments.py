"""Second moments of paired embeddings: all that the maps and certificates need, and they add."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import archive
from .validate import SOURCE, TARGET, Embeddings, as_embeddings, as_pairs, reject_nonfinite

Matrix = NDArray[np.float64]
Real = type[np.floating[Any]]
Scales = tuple[float, float]

BLOCK_BYTES = 2**25
"""Size of a block of rows of one side, as float64."""

FORMAT = 1
"""Version of the file that `Moments.save` writes."""

CHECKPOINT_SECONDS = 10.0
"""Time after which `Moments.from_batches` writes its checkpoint again."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, means and scatter of n paired rows.

    Moments of a union of disjoint batches are the sum of the batches' moments, so
    one pass over the pairs suffices, in any order, on any number of machines:
    O(n d²) time and O(d²) memory.

    Attributes
    ----------
    n : int
        Number of pairs.
    source_mean, target_mean : ndarray, shapes (d_x,) and (d_y,)
    source_rest, target_rest : ndarray, shapes (d_x,) and (d_y,)
        What float64 leaves out of the means: batches with a large mean in common differ by so
        little.
    source_scatter, cross_scatter, target_scatter : ndarray
        Sums of outer products *about the means*, shapes (d_x, d_x), (d_x, d_y) and
        (d_y, d_y): putting the means back loses nothing, taking them out would.
    source_scale, target_scale : float
        Powers of two by which the rows were divided before anything was summed; 1
        unless the squares would leave the range of float64.

    Notes
    -----
    Sums are merged by the update of Chan, Golub & LeVeque (1983),
    doi:10.1080/00031305.1983.10483115.
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
        """Moments of the pairs (X[i], Y[i]), multiplied and summed in float64.

        Parameters
        ----------
        X : array_like, shape (n, d_x)
            Source embeddings, one row per object.
        Y : array_like, shape (n, d_y)
            Target embeddings; row i is the same object as row i of X.

        Raises
        ------
        TypeError, ValueError
            If either is not a finite two-dimensional array of real numbers, or
            the numbers of rows differ.
        """
        return moments_of(*as_pairs(X, Y))

    @classmethod
    def from_batches(
        cls,
        pairs: Iterable[tuple[ArrayLike, ArrayLike]],
        *,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Moments:
        """Moments of the union of batches, each a pair (X, Y); batches of no rows are skipped.

        Parameters
        ----------
        pairs : iterable of (array_like, array_like)
            Batches of shapes (k, d_x) and (k, d_y), k as it comes. One is held at a time.
        checkpoint : path, optional
            A file in which to keep the sum so far: about every ten seconds, and when anything
            stops the pass. Given the same batches again, the pass goes on where it stopped, and
            ends with the same bits as without a stop; then the file is removed.

        Raises
        ------
        TypeError, ValueError
            As `from_arrays`; and ValueError if there is no row at all, if the batches differ
            in dimension, or if the checkpoint is of other batches.
        """
        batches = iter(pairs)
        total, done = None, 0
        if checkpoint is not None and Path(checkpoint).exists():
            total, done = _resume(checkpoint, batches)
        saved, written = done, monotonic()
        try:
            for number, batch in enumerate(batches, start=done):
                part = _moments_of_batch(batch, number)
                if part is not None:
                    total = part if total is None else total + part
                done = number + 1
                if checkpoint is not None and monotonic() - written > CHECKPOINT_SECONDS:
                    _write_checkpoint(checkpoint, total, done)
                    saved, written = done, monotonic()
        except BaseException:
            if checkpoint is not None and done > saved:
                _write_checkpoint(checkpoint, total, done)
            raise
        if total is None:
            raise ValueError("pairs has no rows; expected at least one batch (X, Y) with a row")
        if checkpoint is not None:
            Path(checkpoint).unlink(missing_ok=True)
        return total

    @classmethod
    def from_dask(cls, X: Any, Y: Any) -> Moments:
        """Moments of the pairs of two Dask arrays, computed on the current Dask cluster.

        See `procrustes_lab.core.cluster.moments_of_dask`; needs the extra ``scale``.
        """
        from .cluster import moments_of_dask

        return moments_of_dask(X, Y)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the moments to an npz file, complete or not at all."""
        archive.write(path, format=FORMAT, **vars(self))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Moments:
        """Read moments that `save` wrote; they come back bit for bit.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If the file is damaged, or holds no moments of this format.
        """
        with archive.reading(path, "moments", "write them again with Moments.save") as fields:
            return _from_fields(fields)

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        if self.cross_scatter.shape != other.cross_scatter.shape:
            raise ValueError(
                f"moments of dimensions {other.cross_scatter.shape} cannot be added to moments of "
                f"dimensions {self.cross_scatter.shape}: every batch must have the same columns"
            )
        scales = (
            max(self.source_scale, other.source_scale),
            max(self.target_scale, other.target_scale),
        )
        a, b = self._in_units(scales), other._in_units(scales)
        n = a.n + b.n
        x = (b.source_mean - a.source_mean) + (b.source_rest - a.source_rest)
        y = (b.target_mean - a.target_mean) + (b.target_rest - a.target_rest)
        share, weight = b.n / n, a.n * (b.n / n)
        mean_x, rest_x = _two_sum(a.source_mean, a.source_rest + share * x)
        mean_y, rest_y = _two_sum(a.target_mean, a.target_rest + share * y)
        return Moments(
            n,
            mean_x,
            mean_y,
            rest_x,
            rest_y,
            a.source_scatter + b.source_scatter + weight * np.outer(x, x),
            a.cross_scatter + b.cross_scatter + weight * np.outer(x, y),
            a.target_scatter + b.target_scatter + weight * np.outer(y, y),
            *scales,
        )

    def __radd__(self, other: object) -> Moments:
        # sum() starts from 0
        return self if other == 0 else NotImplemented

    def _in_units(self, scales: Scales) -> Moments:
        x, y = self.source_scale / scales[0], self.target_scale / scales[1]
        return Moments(
            self.n,
            self.source_mean * x,
            self.target_mean * y,
            self.source_rest * x,
            self.target_rest * y,
            self.source_scatter * x * x,
            self.cross_scatter * x * y,
            self.target_scatter * y * y,
            *scales,
        )

    def centred(self) -> Moments:
        """Moments of the pairs with each side's mean subtracted."""
        return replace(
            self,
            source_mean=np.zeros_like(self.source_mean),
            target_mean=np.zeros_like(self.target_mean),
            source_rest=np.zeros_like(self.source_rest),
            target_rest=np.zeros_like(self.target_rest),
        )

    def products(self) -> tuple[Matrix, Matrix, Matrix]:
        """XᵀX, XᵀY and YᵀY, of the rows divided by the scales."""
        x, y = self.source_mean, self.target_mean
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


def _moments_of_batch(batch: tuple[ArrayLike, ArrayLike], number: int) -> Moments | None:
    """Moments of one batch, None if it has no rows."""
    try:
        x, y = _batch(batch)
        return moments_of(*as_pairs(x, y)) if len(x) or len(y) else None
    except (TypeError, ValueError) as error:
        raise type(error)(f"batch {number}: {error}") from error


def _batch(batch: tuple[ArrayLike, ArrayLike]) -> tuple[Embeddings, Embeddings]:
    try:
        X, Y = batch
    except (TypeError, ValueError):
        raise ValueError("expected a pair (X, Y) of arrays") from None
    return as_embeddings(X, SOURCE, allow_empty=True), as_embeddings(Y, TARGET, allow_empty=True)


def _write_checkpoint(path: str | PathLike[str], total: Moments | None, done: int) -> None:
    if total is not None:
        archive.write(path, format=FORMAT, batches=done, **vars(total))


def _resume(
    path: str | PathLike[str], batches: Iterator[tuple[ArrayLike, ArrayLike]]
) -> tuple[Moments, int]:
    """Return the sum of a stopped pass and its number of batches, and skip those."""
    with archive.reading(path, "a checkpoint", "remove it to begin again") as fields:
        done = int(fields.pop("batches"))
        total = _from_fields(fields)
    rows = sum(len(_batch(batch)[0]) for batch in islice(batches, done))
    if rows != total.n:
        raise ValueError(
            f"{path} holds {total.n:,} rows of {done:,} batches, of which these have {rows:,}: "
            "it is the checkpoint of other batches; remove it to begin again"
        )
    return total, done


def _from_fields(fields: dict[str, Any]) -> Moments:
    if fields.pop("format") != FORMAT:
        raise ValueError("unknown format")
    moments = Moments(**fields)
    (d_x,), (d_y,) = moments.source_mean.shape, moments.target_mean.shape
    shapes = (d_x, d_x), (d_x, d_y), (d_y, d_y)
    scatters = moments.source_scatter, moments.cross_scatter, moments.target_scatter
    if tuple(scatter.shape for scatter in scatters) != shapes or moments.n < 1:
        raise ValueError("sizes disagree")
    return moments


class Cross(NamedTuple):
    """XᵀY and both energies, of n rows divided by the scales."""

    n: int
    xy: Matrix
    source_energy: float
    target_energy: float
    source_scale: float = 1.0
    target_scale: float = 1.0

    @property
    def energy(self) -> float:
        """Mean squared length of a source row plus that of a target row."""
        source, target = self.source_energy / self.n, self.target_energy / self.n
        return source * self.source_scale**2 + target * self.target_scale**2


# Overflow while summing is no error: `_scales` sees it in the sums and mends it.
@np.errstate(all="ignore")
def moments_of(
    X: Embeddings, Y: Embeddings, dtype: Real = np.float64, *, about_mean: bool = True
) -> Moments:
    """Moments of checked arrays: block products in `dtype`, summed in float64.

    With `about_mean` false the scatter is about the origin and the means are given as zeros,
    which is all that uncentred maps and certificates need, and saves a pass over the rows.

    Raises
    ------
    ValueError
        If either side holds NaN or infinity.
    """
    moments = _sum_moments(X, Y, dtype, (1.0, 1.0), about_mean)
    scales = _scales(X, Y, moments.cross(), dtype, (SOURCE, TARGET))
    return moments if scales == (1.0, 1.0) else _sum_moments(X, Y, dtype, scales, about_mean)


@np.errstate(all="ignore")
def cross_of(
    X: Embeddings,
    Y: Embeddings,
    dtype: Real = np.float64,
    names: tuple[str, str] = (SOURCE, TARGET),
) -> Cross:
    """Cross product and energies of checked arrays: a third of the work of all moments.

    Raises
    ------
    ValueError
        If either side holds NaN or infinity; the message calls them by `names`.
    """
    cross = _sum_cross(X, Y, dtype, (1.0, 1.0))
    scales = _scales(X, Y, cross, dtype, names)
    return cross if scales == (1.0, 1.0) else _sum_cross(X, Y, dtype, scales)


def product_type(X: Embeddings, Y: Embeddings) -> Real:
    """Type in which to multiply first: float32 if the data is, and many blocks average its error.

    The relative error of the summed products is then near 4e-9; who subtracts them must
    check that enough is left, and multiply in float64 if not.
    """
    narrow = max(X.dtype.itemsize, Y.dtype.itemsize) <= 4
    return np.float32 if narrow and len(X) >= 20_000 else np.float64


def _blocks(
    X: Embeddings, Y: Embeddings, dtype: Real, scales: Scales, whole: bool = True
) -> Iterator[tuple[Embeddings, Embeddings]]:
    """Yield blocks of rows of both sides as `dtype`, divided by the scales.

    Rows in memory that need no conversion come as they are, and in one block if `whole`:
    products of whole arrays are a little faster.
    """
    # Sums inside a float32 product are kept short; float64 then adds the blocks.
    rows = (
        512 if dtype is np.float32 else max(512, BLOCK_BYTES // (8 * max(X.shape[1], Y.shape[1])))
    )
    if whole and dtype is np.float64 and scales == (1.0, 1.0) and _is_plain(X) and _is_plain(Y):
        rows = len(X)
    for start in range(0, len(X), rows):
        x = X[start : start + rows].astype(dtype, copy=False)
        y = Y[start : start + rows].astype(dtype, copy=False)
        yield (
            x if scales[0] == 1.0 else x / dtype(scales[0]),
            y if scales[1] == 1.0 else y / dtype(scales[1]),
        )
        let_go(X)
        let_go(Y)


def _owner(array: Embeddings) -> Any:
    """Return what holds the memory of an array: None (itself), a buffer, a mapped file."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and owner.mode == "c":
            return owner  # changes of its pages live nowhere else
        owner = owner.base
    return owner


def _is_plain(array: Embeddings) -> bool:
    """Whether BLAS can read the array where it is, and that is no file."""
    owner = _owner(array)
    in_memory = owner is None or isinstance(owner, bytes | bytearray | memoryview)
    return bool(array.dtype == np.float64 and array.flags.c_contiguous and in_memory)


def let_go(array: Embeddings) -> None:
    """Give back the memory of a mapped file's pages; they are read again when they are needed."""
    owner = _owner(array)
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _sum_cross(X: Embeddings, Y: Embeddings, dtype: Real, scales: Scales) -> Cross:
    xy, source, target = np.zeros((X.shape[1], Y.shape[1])), 0.0, 0.0
    for x, y in _blocks(X, Y, dtype, scales):
        xy += x.T @ y
        source += float(np.vecdot(x, x).sum(dtype=np.float64))
        target += float(np.vecdot(y, y).sum(dtype=np.float64))
    return Cross(len(X), xy, source, target, *scales)


def _sum_moments(
    X: Embeddings, Y: Embeddings, dtype: Real, scales: Scales, about_mean: bool
) -> Moments:
    n, d_x, d_y = len(X), X.shape[1], Y.shape[1]
    xx, xy, yy = np.zeros((d_x, d_x)), np.zeros((d_x, d_y)), np.zeros((d_y, d_y))
    sum_x, sum_y = np.zeros(d_x), np.zeros(d_y)
    shift_x, shift_y = np.zeros(d_x, dtype), np.zeros(d_y, dtype)
    if about_mean:
        first_x, first_y = next(_blocks(X[:4096], Y[:4096], dtype, scales))
        shift_x, shift_y = _dominant_mean(first_x), _dominant_mean(first_y)
    shifted = bool(shift_x.any() or shift_y.any())
    for x, y in _blocks(X, Y, dtype, scales, whole=not shifted):
        if about_mean:
            x = x - shift_x if shift_x.any() else x
            y = y - shift_y if shift_y.any() else y
            sum_x += x.sum(axis=0, dtype=np.float64)
            sum_y += y.sum(axis=0, dtype=np.float64)
        xx += x.T @ x
        xy += x.T @ y
        yy += y.T @ y
    mean_x, mean_y = sum_x / n, sum_y / n
    whole_x, rest_x = _two_sum(np.asarray(shift_x, np.float64), mean_x)
    whole_y, rest_y = _two_sum(np.asarray(shift_y, np.float64), mean_y)
    return Moments(
        n,
        whole_x,
        whole_y,
        rest_x,
        rest_y,
        xx - n * np.outer(mean_x, mean_x),
        xy - n * np.outer(mean_x, mean_y),
        yy - n * np.outer(mean_y, mean_y),
        *scales,
    )


def _two_sum(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Return a + b, rounded, and what rounding left out (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _dominant_mean(block: Embeddings) -> Embeddings:
    """Return the mean of the columns that are nearly constant, zeros for the others: the shift."""
    mean: Embeddings = block.mean(axis=0)
    dominates = len(block) * mean**2 > 0.99 * np.einsum("ij,ij->j", block, block)
    return np.where(dominates, mean, mean.dtype.type(0))


def _scales(
    X: Embeddings, Y: Embeddings, cross: Cross, dtype: Real, names: tuple[str, str]
) -> Scales:
    """Return the powers of two that bring the squares of each side into range; 1 if they are."""
    low, high = (1e-16, 1e32) if dtype is np.float32 else (1e-200, 1e200)
    scales = [1.0, 1.0]
    energies = cross.source_energy, cross.target_energy
    for side, (array, energy, name) in enumerate(zip((X, Y), energies, names, strict=True)):
        if not low < energy < high:
            reject_nonfinite(array, name)
            largest = max(float(array.max()), -float(array.min()))
            scales[side] = 2.0 ** (np.frexp(largest)[1] - 1) if largest else 1.0
    return scales[0], scales[1]
