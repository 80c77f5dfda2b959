"""Sums over the blocks of Dask arrays: a task for each block of rows, and a tree that adds."""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed

from .validate import SOURCE, TARGET, as_embeddings, as_pairs, require

IN_MEMORY = "expected a dask array: Moments.from_arrays takes arrays in memory"
FAN_IN = 8  # how many terms one task adds, and holds in memory for it


def sum_over_blocks(term: Callable[..., Any], X: da.Array, Y: da.Array) -> Any:
    """Add what a function makes of each block of paired rows, computed where the blocks are.

    Groups of `FAN_IN` are added until one is left, always the same groups in the same order. Of b
    blocks about b terms move between workers at most.

    The term is called with a block of X, the block of Y of the same rows, and the number of the
    first of them, an array of shape (1, 1); it gives what `sum` can add. Blocks of no rows are left
    out. X and Y are as in `procrustes_lab.core.moments.Moments.from_dask`.
    """
    for array, name in ((X, SOURCE), (Y, TARGET)):
        if not isinstance(array, da.Array):
            raise TypeError(f"{name} is a {type(array).__name__}; {IN_MEMORY}")
        message = f"{name} has blocks of unknown size: call its compute_chunk_sizes() first"
        require(not np.isnan(array.shape).any(), message)
        as_embeddings(array._meta, name, allow_empty=True)  # its type and number of dimensions
    # Shapes are judged by the same rules as in memory; one zero, repeated, stands for all rows.
    as_pairs(np.broadcast_to(0.0, X.shape), np.broadcast_to(0.0, Y.shape))
    X = X.rechunk({1: -1})
    Y = Y.rechunk({0: X.chunks[0], 1: -1})

    # Blockwise, because Dask then makes one task of loading both sides and taking their term.
    # Each array has one block of columns, so that all have the same blocks, if not their sizes.
    starts = da.from_array(np.cumsum([0, *X.chunks[0][:-1]])[:, np.newaxis], chunks=1)
    arrays = (X, "ij", Y, "ij", starts, "ij")
    meta = np.empty((0, 0), object)
    blocks = da.blockwise(term, "ij", *arrays, align_arrays=False, meta=meta)
    total = delayed(sum)
    level = [block for block, n in zip(blocks.to_delayed()[:, 0], X.chunks[0], strict=True) if n]
    while len(level) > 1:
        level = [total(level[i : i + FAN_IN]) for i in range(0, len(level), FAN_IN)]
    return level[0].compute()
