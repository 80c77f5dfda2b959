"""Embedding files: vectors with or without ids, and the pairs that two files make.

Vectors are memory-mapped: those of .npy where they are, those of other files after they have been
read, block by block, into a temporary file. So what does not fit in memory can be measured and
moved all the same. Nothing is ever unpickled.

| ending | what it holds |
| --- | --- |
| .npy | one array (n, d); no ids |
| .npz | an array (n, d), and an array (n,) of ids if there is one |
| .parquet | a column of lists of numbers, and a column of ids if there is one |
| .jsonl | on each line an object with a list of numbers, and an id if there is one |
| .safetensors | a tensor (n, d), and a tensor (n,) of whole-number ids if there is one |

Vectors are called vector, vectors, embedding or embeddings, and ids id, ids, _id or doc_id; or
they are the only array, column, key or tensor that could be what is looked for.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.sums import let_go
from procrustes_lab.core.validate import Embeddings

from .formats import (
    READERS,
    Block,
    FileError,
    check_file,
    checked,
    map_npy,
    reject_bad_row,
)

__all__ = ["Block", "FileError", "Pairs", "Vectors", "blocks", "join", "read", "sha256"]

BLOCK_ROWS = 8192

FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Vectors:
    """What one file holds.

    Attributes
    ----------
    rows : ndarray, shape (n, d)
        Memory-mapped; float16, float32 or float64 as in the file; whole numbers have become
        float64.
    ids : ndarray of str, shape (n,), or None
    path : Path
    kind : str
        The ending of the file, such as ".npy".
    id_name, id_type : str or None
        What the file calls the ids, and whether they are "whole numbers" or "text" there.
    """

    rows: Embeddings
    ids: NDArray[np.str_] | None
    path: Path
    kind: str
    id_name: str | None = None
    id_type: str | None = None

    def fetch(self, index: slice | NDArray[np.intp]) -> Embeddings:
        """Return some rows, in memory, after making sure that they are finite.

        Raises
        ------
        FileError
            If one of them holds NaN or infinity: the message has its number in the file.
        """
        rows: Embeddings = np.array(self.rows[index])
        let_go(self.rows)
        reject_bad_row(rows, self.path, np.arange(len(self.rows))[index])
        return rows


@dataclass(frozen=True, eq=False)
class Pairs:
    """The objects that two files have in common.

    Attributes
    ----------
    new, old : Vectors
        Source and target: the map carries new vectors into the old space.
    new_rows, old_rows : ndarray of int, shape (n,), or None
        Row ``new_rows[i]`` of new and row ``old_rows[i]`` of old are the same object; None means
        all rows, in order.
    by : str
        "id"; or "position": row i of both is the same object.
    """

    new: Vectors
    old: Vectors
    new_rows: NDArray[np.intp] | None
    old_rows: NDArray[np.intp] | None
    by: str

    @property
    def n(self) -> int:
        """The number of pairs."""
        return len(self.new.rows if self.new_rows is None else self.new_rows)

    @property
    def only_new(self) -> int:
        """The number of new vectors without an old one."""
        return len(self.new.rows) - self.n

    @property
    def only_old(self) -> int:
        """The number of old vectors without a new one."""
        return len(self.old.rows) - self.n

    def take(self, rows: ArrayLike) -> tuple[Embeddings, Embeddings]:
        """Return the new and the old vectors of some pairs, given the pairs' numbers.

        Raises
        ------
        FileError
            If one of them holds NaN or infinity.
        """
        return self._fetch(np.asarray(rows, dtype=np.intp))

    def batches(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[Embeddings, Embeddings]]:
        """Yield the new and the old vectors of all pairs, so many at a time.

        Raises
        ------
        FileError
            If one of them holds NaN or infinity.
        """
        for start in range(0, self.n, rows):
            yield self._fetch(slice(start, start + rows))

    def _fetch(self, index: slice | NDArray[np.intp]) -> tuple[Embeddings, Embeddings]:
        new = index if self.new_rows is None else self.new_rows[index]
        old = index if self.old_rows is None else self.old_rows[index]
        return self.new.fetch(new), self.old.fetch(old)


def read(
    path: str | os.PathLike[str], seen: Callable[[int], object] = lambda rows: None
) -> Vectors:
    """Read the vectors of a file, and their ids if it has any.

    Parameters
    ----------
    path : path-like
        A file in one of the formats above; its ending says which.
    seen : callable, optional
        Called with the number of rows of each block that was read, for a progress bar.

    Returns
    -------
    Vectors
        NaN and infinity in .npy are found when rows are fetched, in other files at once.

    Raises
    ------
    OSError
        If there is no such file, or it may not be read.
    FileError
        If it holds no vectors that can be read. A ValueError.
    """
    path = Path(path)
    kind = check_file(path)
    if kind == ".npy" and (mapped := map_npy(path)).dtype.type in FLOATS:
        return Vectors(mapped, None, path, kind)
    ids: list[NDArray[Any]] = []
    n = 0
    with _temporary_file(path) as file:
        for block in blocks(path):
            file.write(np.ascontiguousarray(block.rows).data)
            n += len(block.rows)
            seen(len(block.rows))
            if block.ids is not None:
                ids.append(block.ids)
        file.flush()
        rows = np.memmap(file, block.rows.dtype, "r", shape=(n, block.rows.shape[1]))
    if not ids:
        return Vectors(rows, None, path, kind)
    id_type = "text" if ids[0].dtype.kind == "U" else "whole numbers"
    return Vectors(rows, np.concatenate(ids).astype(str), path, kind, block.id_name, id_type)


@contextmanager
def _temporary_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file without a name, which is gone when nothing maps it any more."""
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise FileError(
                f"{path} does not fit in {tempfile.gettempdir()}, where its vectors are kept while "
                "they are needed; set TMPDIR to a folder with more room, or save them as .npy"
            ) from error
        raise


def blocks(path: str | os.PathLike[str], rows: int = BLOCK_ROWS) -> Iterator[Block]:
    """Yield the vectors of a file, so many rows at a time and never all of them at once.

    Raises
    ------
    OSError, FileError
        As `read`; and FileError if a block holds NaN or infinity.
    """
    path = Path(path)
    return checked(READERS[check_file(path)](path, rows), path)


def join(new: Vectors, old: Vectors) -> Pairs:
    """Pair the rows of two files: by id if both have ids, else by position.

    Ids are compared as text: 7 is "7". If only one file has ids, they say nothing of the rows of
    the other, and position is all that is left: `Pairs.by` says so, and who calls this should.

    Raises
    ------
    FileError
        If a file has an id twice, if no id is in both, or, where rows are matched by position, if
        the files differ in length.
    """
    if new.ids is None or old.ids is None:
        if len(new.rows) != len(old.rows):
            without = " and ".join(str(side.path) for side in (new, old) if side.ids is None)
            raise FileError(
                f"{new.path} has {len(new.rows):,} rows and {old.path} {len(old.rows):,}, with no "
                f"ids in {without}; give both the same objects in the same order, or ids"
            )
        return Pairs(new, old, None, None, "position")
    _sorted_by_id(new)
    order = _sorted_by_id(old)
    ordered = old.ids[order]
    place = np.minimum(np.searchsorted(ordered, new.ids), len(order) - 1)
    new_rows = np.flatnonzero(ordered[place] == new.ids)
    old_rows = order[place[new_rows]]
    if not len(new_rows):
        types = (
            f", {new.id_type} there and {old.id_type} here" if new.id_type != old.id_type else ""
        )
        raise FileError(
            f"no id of {new.path} (such as {str(new.ids[0])!r}) is in {old.path} (such as "
            f"{str(old.ids[0])!r}){types}; give the same objects the same ids"
        )
    if len(new_rows) == len(new.ids) == len(old.ids) and np.array_equal(new_rows, old_rows):
        return Pairs(new, old, None, None, "id")
    return Pairs(new, old, new_rows, old_rows, "id")


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sorted_by_id(vectors: Vectors) -> NDArray[np.intp]:
    """Return the order that sorts the ids, after making sure that none comes twice."""
    assert vectors.ids is not None
    order = np.argsort(vectors.ids, kind="stable")
    ordered = vectors.ids[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(again):
        first, second = order[again[0]], order[again[0] + 1]
        raise FileError(
            f"{vectors.path} has the {vectors.id_name} {str(vectors.ids[first])!r} in rows {first} "
            f"and {second}; expected every id once: drop one of the two"
        )
    return order
