"""Products of paired rows, block by block: in which type, in what units, and from where."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .validate import SOURCE, TARGET, Embeddings, Names, reject_nonfinite

Matrix = NDArray[np.float64]
Real = type[np.floating[Any]]
Scales = tuple[float, float]

BLOCK_BYTES = 2**25  # of a block of rows of one side, as float64


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


# Overflow while summing is no error: `scales` sees it in the sums and mends it.
@np.errstate(all="ignore")
def cross_of(
    X: Embeddings, Y: Embeddings, dtype: Real = np.float64, names: Names = (SOURCE, TARGET)
) -> Cross:
    """Cross product and energies of checked arrays; ValueError, by `names`, for NaN or infinity."""
    cross = sum_cross(X, Y, dtype, (1.0, 1.0))
    units = scales(X, Y, cross, dtype, names)
    return cross if units == (1.0, 1.0) else sum_cross(X, Y, dtype, units)


def sum_cross(X: Embeddings, Y: Embeddings, dtype: Real, units: Scales) -> Cross:
    """Cross product and energies of rows divided by the given scales."""
    xy, source, target = np.zeros((X.shape[1], Y.shape[1])), 0.0, 0.0
    for x, y in blocks(X, Y, dtype, units):
        xy += x.T @ y
        source += float(np.vecdot(x, x).sum(dtype=np.float64))
        target += float(np.vecdot(y, y).sum(dtype=np.float64))
    return Cross(len(X), xy, source, target, *units)


def product_type(X: Embeddings, Y: Embeddings) -> Real:
    """Type in which to multiply first: float32 if the data is, and many blocks average its error.

    Its relative error is then near 4e-9: where little is left of a difference, use float64.
    """
    narrow = max(X.dtype.itemsize, Y.dtype.itemsize) <= 4
    return np.float32 if narrow and len(X) >= 20_000 else np.float64


def blocks(
    X: Embeddings, Y: Embeddings, dtype: Real, units: Scales, whole: bool = True
) -> Iterator[tuple[Embeddings, Embeddings]]:
    """Yield blocks of rows as `dtype`, over the units; those in memory, as they are, if `whole`."""
    rows = 512  # sums inside a float32 product are kept short; float64 then adds the blocks
    if dtype is not np.float32:
        rows = max(rows, BLOCK_BYTES // (8 * max(X.shape[1], Y.shape[1])))
    if whole and dtype is np.float64 and units == (1.0, 1.0) and _is_plain(X) and _is_plain(Y):
        rows = len(X)
    for start in range(0, len(X), rows):
        x = X[start : start + rows].astype(dtype, copy=False)
        y = Y[start : start + rows].astype(dtype, copy=False)
        yield (
            x if units[0] == 1.0 else x / dtype(units[0]),
            y if units[1] == 1.0 else y / dtype(units[1]),
        )
        let_go(X)
        let_go(Y)


def _owners(array: Any) -> Iterator[Any]:
    """Yield an array, the arrays that it is a view of, and what owns their memory."""
    while isinstance(array, np.ndarray):
        yield array
        array = array.base
    yield array


def _is_plain(array: Embeddings) -> bool:
    """Whether BLAS can read the array where it is, and that is no file."""
    *_, owner = _owners(array)
    in_memory = owner is None or isinstance(owner, bytes | bytearray | memoryview)
    return bool(array.dtype == np.float64 and array.flags.c_contiguous and in_memory)


def let_go(array: Embeddings) -> None:
    """Give back the memory of a mapped file's pages; they are read again when they are needed.

    Only of a regular file's `numpy.memmap`, not private: other pages live nowhere else.
    """
    *views, owner = _owners(array)
    maps = [view for view in views if isinstance(view, np.memmap) and view.mode != "c"]
    of_file = maps and maps[-1].filename and os.path.isfile(maps[-1].filename)
    if of_file and isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def two_sum(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    """Return a + b, rounded, and what rounding left out (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def scales(X: Embeddings, Y: Embeddings, cross: Cross, dtype: Real, names: Names) -> Scales:
    """Return the powers of two that bring the squares of each side into range; 1 if they are."""
    low, high = (1e-16, 1e32) if dtype is np.float32 else (1e-200, 1e200)

    def scale(array: Embeddings, energy: float, name: str) -> float:
        if low < energy < high:
            return 1.0
        reject_nonfinite(array, name)
        largest = max(float(array.max()), -float(array.min()))
        return 2.0 ** (np.frexp(largest)[1] - 1) if largest else 1.0

    return scale(X, cross.source_energy, names[0]), scale(Y, cross.target_energy, names[1])
