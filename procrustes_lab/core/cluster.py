"""Moments of Dask arrays: a task for each block of rows, and a tree that adds the results."""

from __future__ import annotations

import dask.array as da
import numpy as np
from dask.delayed import delayed
from dask.sizeof import sizeof
from numpy.typing import NDArray

from .moments import Moments, moments_of
from .validate import SOURCE, TARGET, Embeddings, as_embeddings, as_pairs, reject_nonfinite

FAN_IN = 8
"""How many moments one task adds, and holds in memory for it."""


def moments_of_dask(X: da.Array, Y: da.Array) -> Moments:
    """Moments of the pairs of two Dask arrays, computed where the blocks are.

    Each block of rows becomes its moments on the worker that holds it, and groups of `FAN_IN`
    are added until one is left, always the same groups in the same order: the scheduler has no
    influence on the result, nor has a worker that is lost and whose tasks are run again. With b
    blocks about 8 b (d_x² + d_x d_y + d_y² + d_x + d_y) bytes at most move between workers. No rows
    do, if the arrays are made block by block (`dask.array.map_blocks`, `from_array`, `from_zarr`)
    and are cut alike. Workers need this package too.

    Parameters
    ----------
    X : dask Array, shape (n, d_x)
        Source embeddings, one row per object; the cluster is the current one, see
        `dask.distributed.Client`.
    Y : dask Array, shape (n, d_y)
        Target embeddings. Blocks of columns are merged, and rows are cut as X's are, which
        moves Y's rows if its own cuts differ.

    Raises
    ------
    TypeError, ValueError
        As `Moments.from_arrays`, naming the row of the whole array; TypeError for what is no Dask
        array, ValueError for blocks whose sizes Dask does not know.
    """
    for array, name in ((X, SOURCE), (Y, TARGET)):
        _reject_unless_dask_matrix(array, name)
    # Shapes are judged by the same rules as in memory; one zero, repeated, stands for all rows.
    as_pairs(np.broadcast_to(0.0, X.shape), np.broadcast_to(0.0, Y.shape))
    X = X.rechunk({1: -1})
    Y = Y.rechunk({0: X.chunks[0], 1: -1})

    # Blockwise, because Dask then makes one task of loading both sides and taking their moments.
    # Each array has one block of columns, so that all have the same blocks, if not their sizes.
    starts = da.from_array(np.cumsum([0, *X.chunks[0][:-1]])[:, np.newaxis], chunks=1)
    arrays = (X, "ij", Y, "ij", starts, "ij")
    meta = np.empty((0, 0), object)
    blocks = da.blockwise(_moments_of_block, "ij", *arrays, align_arrays=False, meta=meta)
    total = delayed(_total)
    level = [block for block, n in zip(blocks.to_delayed()[:, 0], X.chunks[0], strict=True) if n]
    while len(level) > 1:
        level = [total(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
    moments: Moments = level[0].compute()
    return moments


def _reject_unless_dask_matrix(array: object, name: str) -> None:
    if not isinstance(array, da.Array):
        raise TypeError(
            f"{name} is a {type(array).__name__}; expected a dask array: "
            "Moments.from_arrays takes arrays in memory"
        )
    if np.isnan(array.shape).any():
        raise ValueError(
            f"{name} has blocks of unknown size; expected known ones: "
            "call its compute_chunk_sizes() first"
        )
    as_embeddings(array._meta, name, allow_empty=True)  # its type and number of dimensions


def _moments_of_block(x: Embeddings, y: Embeddings, start: NDArray[np.int64]) -> Moments:
    x, y = as_pairs(x, y)
    # What came over the network may lie across words in memory, and then BLAS is called another
    # way, whose last bits differ.
    x, y = (np.require(side, requirements=["C", "A"]) for side in (x, y))
    try:
        return moments_of(x, y)
    except ValueError:
        reject_nonfinite(x, SOURCE, int(start.item()))
        reject_nonfinite(y, TARGET, int(start.item()))
        raise


def _total(parts: list[Moments]) -> Moments:
    return sum(parts[1:], start=parts[0])


def _bytes(moments: Moments) -> int:
    return sum(np.asarray(field).nbytes for field in vars(moments).values())


# By its size workers decide what to send, to whom, and when they are full.
sizeof.register(Moments, _bytes)
