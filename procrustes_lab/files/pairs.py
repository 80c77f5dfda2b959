"""Embedding files: vectors with or without ids, and the pairs that two files make.

Vectors are memory-mapped: those of .npy where they are, those of other files after they have been
read, block by block, into a temporary file. Nothing is ever unpickled. What each format holds, and
how vectors and ids are found in it, is on the site's page of file formats (docs/formats.md).
"""

from __future__ import annotations

import errno
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import StrPath, check_regular
from procrustes_lab.core.sums import let_go
from procrustes_lab.core.validate import Embeddings, as_embeddings, suspect

from . import formats
from .formats import BY_NAME, TEXT, Block, By, FileError, Wanted, require

BLOCK_ROWS = 8192

CONVERSIONS = {
    (".pt", ".pth", ".bin"): "in PyTorch, numpy.save('vectors.npy', tensor.float().cpu().numpy())",
    (".pkl", ".pickle", ".joblib"): "where it was made, numpy.save('vectors.npy', array)",
    (".json",): "jq -c '.[]' vectors.json > vectors.jsonl",
    (".h5", ".hdf5"): "in h5py, numpy.save('vectors.npy', file['vectors'][:])",
    (".mat",): "in SciPy, numpy.save('vectors.npy', scipy.io.loadmat(path)['vectors'])",
    (".fvecs", ".bvecs", ".ivecs"): "drop the count before each row, and numpy.save the rest",
    (".index", ".faiss"): "in FAISS, numpy.save('vectors.npy', index.reconstruct_n())",
    (".lance",): "in Lance, pyarrow.parquet.write_table(dataset.to_table(), 'vectors.parquet')",
    (".orc", ".avro", ".xlsx", ".msgpack"): "in pandas, frame.to_parquet('vectors.parquet')",
    (".db", ".sqlite", ".duckdb", ".sql"): "export the table as CSV or Parquet",
    (".zip", ".zst", ".bz2", ".xz", ".gz", ".tar"): "unpack it first",
}
"""Endings that are not read, and what makes a file of them that is."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """What one file holds: rows, shape (n, d), memory-mapped as floats; and their ids as text."""

    rows: Embeddings
    ids: NDArray[Any] | None
    path: Path
    id_name: str | None = None  # in the file

    def fetch(self, index: slice | NDArray[np.intp]) -> Embeddings:
        """Return some rows, in memory; NaN and infinity are a FileError that counts all of them."""
        rows: Embeddings = np.array(self.rows[index])
        let_go(self.rows)
        if not np.isfinite(rows).all():
            raise _bad_rows(self.path, formats.in_blocks(self.rows, self.ids, BLOCK_ROWS))
        return rows

    @property
    def suspicion(self) -> str:
        """What the numbers seem to be if they are no coordinates, in a sentence; else nothing."""
        kind = suspect(self.rows[:: max(1, len(self.rows) // 2000)][:2000])
        return f"{self.path} seems to hold {kind}; {_UNCODED[kind]}." if kind else ""


_UNCODED = {
    "packed bits": "unpack them first, by numpy.unpackbits(rows.astype('uint8'), axis=1)",
    "wrapped codes": "what was out of range came in at the other end: clip before the conversion",
    "codes of a byte": "if each coordinate has its own range, give back its step and lowest value",
}


@dataclass(frozen=True, eq=False)
class Pairs:
    """The objects that two files have in common, by "id" or by "position".

    Row ``new_rows[i]`` of new, the source, and row ``old_rows[i]`` of old, the target, are the same
    object; None means all rows, in order.
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

    @property
    def matching(self) -> str:
        """A sentence on what was joined by what, with a caution where that is a risk."""
        new, old, only = self.new, self.old, ""
        if self.by == "id":
            if self.only_old or self.only_new:
                only = f"; {self.only_old:,} only in {old.path}, {self.only_new:,} in {new.path}"
            names = f"{old.id_name} in {old.path}, {new.id_name} in {new.path}"
            return f"{self.n:,} pairs by id ({names}){only}."
        said = f"{self.n:,} pairs by position: row i of both must be the same object."
        if (old.ids is None) == (new.ids is None):
            return said
        side = new if old.ids is None else old
        return (
            f"{said} Caution: {side.path} has ids ({side.id_name}), the other file has none, so "
            "nothing shows that the rows are in the same order."
        )

    def take(self, rows: ArrayLike | slice) -> tuple[Embeddings, Embeddings]:
        """Return the new and the old vectors of some pairs, by number; errors as of `fetch`."""
        index = rows if isinstance(rows, slice) else np.asarray(rows, dtype=np.intp)
        new = index if self.new_rows is None else self.new_rows[index]
        old = index if self.old_rows is None else self.old_rows[index]
        return self.new.fetch(new), self.old.fetch(old)

    def reject_zeros(self, new: bool, old: bool) -> None:
        """Raise FileError if one of them is false: whether the paired rows hold more than zeros."""
        for side, nonzero in ((self.new, new), (self.old, old)):
            what = "nothing but zeros in the rows that are paired"
            require(nonzero, f"{side.path} has {what}; expected embeddings: export it again")

    def batches(self, rows: int = BLOCK_ROWS) -> Iterator[tuple[Embeddings, Embeddings]]:
        """Yield the new and the old vectors of all pairs, so many at a time; see `take`."""
        for start in range(0, self.n, rows):
            yield self.take(slice(start, start + rows))


def _tables(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    from .tables import read_shards  # here, as it needs pyarrow

    yield from read_shards(shards(path), rows, wanted)


PLAIN = rb"(?!\x80|PAR1)[^\0]*\Z"  # no pickle, nor anything else that is no text
JSON = rb"(\xef\xbb\xbf)?\s*([{[]|\Z)"
GZIP = rb"\x1f\x8b"

FORMATS: dict[str, tuple[Callable[[Path, int, Wanted], Iterator[Block]], bytes]] = {
    ".npy": (formats.npy, rb"\x93NUMPY"),
    ".npz": (formats.npz, rb"PK(\x03\x04|\x05\x06)"),
    ".safetensors": (formats.safetensors, rb".{7}\0\{"),  # the header, after its length
    ".parquet": (_tables, rb"PAR1"),
    **dict.fromkeys((".arrow", ".feather"), (_tables, rb"ARROW1|\xff{4}")),
    **dict.fromkeys((".jsonl", ".ndjson"), (_tables, JSON)),
    **dict.fromkeys((".jsonl.gz", ".ndjson.gz", ".csv.gz", ".tsv.gz"), (_tables, GZIP)),
    **dict.fromkeys((".vec.gz", ".txt.gz"), (formats.words, GZIP)),
    **dict.fromkeys((".csv", ".tsv"), (_tables, PLAIN)),
    **dict.fromkeys((".vec", ".txt"), (formats.words, PLAIN)),
}
"""For each ending, what yields the file's blocks of so many rows, and how such a file begins."""


def check_file(path: Path, wanted: Wanted = BY_NAME) -> str:
    """Return the ending of a file or folder, after a look at its kind, size and first bytes."""
    known, kind = ", ".join(FORMATS), formats.ending(path)
    if path.is_dir():
        found = {formats.ending(shard) for shard in shards(path)}
        tables = {kind for kind, (reader, _) in FORMATS.items() if reader is _tables}
        remedy = f"expected a file, one of {known}, or a folder of tables, all of one kind"
        require(len(found) == 1 and found <= tables, f"{path} is a folder; {remedy}")
        return found.pop()
    check_regular(path)  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        head = file.read(64)
    ways = [f": {way}" for kinds, way in CONVERSIONS.items() if path.suffix.lower() in kinds]
    remedy = f"expected one of {known}{''.join(ways)}"
    require(kind in FORMATS, f"{path} has the ending {path.suffix!r}; {remedy}")
    nameless = wanted.ids is not None and FORMATS[kind][0] in (formats.npy, formats.words)
    require(not nameless, f"{path} has no names in it, so no ids {wanted.ids!r}; leave out --id")
    require(head != b"", f"{path} is empty, 0 bytes; write it again")
    like = [kind for kind, (_, mark) in FORMATS.items() if re.match(mark, head, re.DOTALL)]
    marked = like and FORMATS[like[0]][1] != PLAIN  # bare text may be anything
    said = f"{like[0]}: rename it" if marked else f"none of {known}"
    require(kind in like, f"{path} is not what its ending says; it begins like {said}")
    return kind


def shards(path: Path) -> list[Path]:
    """Return the files of a folder, part 2 before part 10; or a file alone."""
    if not path.is_dir():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file() and file.name[0] not in "._")
    return sorted(found, key=lambda file: formats.natural(str(file)))


def read(
    path: StrPath, seen: Callable[[int], object] = lambda rows: None, wanted: Wanted = BY_NAME
) -> Vectors:
    """Read the vectors of a file, or of a folder of tables, and their ids if it has any.

    NaN and infinity in .npy are found when rows are fetched, in other files at once. `seen` is
    called with the number of rows of each block that was read; `wanted` says which columns to take.

    Raises OSError if there is no such file, or it may not be read; FileError, a ValueError, if it
    holds no vectors that can be read.
    """
    path = Path(path)
    if check_file(path, wanted) == ".npy":
        mapped = formats.map_npy(path)
        if mapped.dtype.type in (np.float16, np.float32, np.float64):
            return Vectors(mapped, None, path)
    ids: list[NDArray[Any]] = []
    n = 0
    try:
        with tempfile.TemporaryFile() as file:  # gone when nothing maps it any more
            for block in blocks(path, wanted=wanted):
                file.write(np.ascontiguousarray(block.rows).data)
                n += len(block.rows)
                seen(len(block.rows))
                if block.ids is not None:
                    ids.append(block.ids.astype(TEXT))
            file.flush()
            rows = np.memmap(file, block.rows.dtype, "r", shape=(n, block.rows.shape[1]))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        found = f"{path} does not fit in {tempfile.gettempdir()}, where it is kept while needed"
        remedy = "set TMPDIR to a folder with more room, or save it as .npy"
        raise FileError(f"{found}; {remedy}") from error
    return Vectors(rows, np.concatenate(ids) if ids else None, path, block.id_name)


def blocks(path: StrPath, rows: int = BLOCK_ROWS, wanted: Wanted = BY_NAME) -> Iterator[Block]:
    """Yield the vectors of a file, so many rows at a time and never all of them at once.

    All are of the width and the type of the first. Raises what `read` does, and FileError if a
    block holds NaN or infinity.
    """
    path = Path(path)
    reader, _ = FORMATS[check_file(path, wanted)]
    found = reader(path, rows, wanted)
    row = 0
    with formats.reading(path):
        for ids, vectors, id_name in found:
            block = as_embeddings(vectors, str(path))
            if not row:
                width, dtype = block.shape[1], block.dtype.newbyteorder("=")
            said = f"{path} has {block.shape[1]} numbers in row {row}, and {width} before"
            require(block.shape[1] == width, f"{said}; expected as many in each: mend or drop it")
            if not np.isfinite(block).all():
                raise _bad_rows(path, chain([Block(ids, block, id_name)], found), row)
            row += len(block)
            yield Block(ids, block.astype(dtype, copy=False), id_name)
    require(row > 0, f"{path} has no rows; expected at least one vector")


def _bad_rows(path: Path, found: Iterable[Block], row: int = 0) -> FileError:
    """Return what to say of the rows with NaN or infinity in blocks that begin at `row`."""
    bad: list[int] = []
    names: list[str] = []
    for ids, rows, _ in found:
        at = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(at) and not bad:
            column = int(np.argmin(np.isfinite(rows[at[0]])))
            kind = "NaN" if np.isnan(rows[at[0], column]) else "an infinity"
        bad += (row + at).tolist()
        names += [] if ids is None else ids[at].tolist()
        row += len(rows)
    some, called = (", ".join(map(str, each[:3])) for each in (bad, names))
    said, more = f"{kind} in row {some}, column {column}", ", …" if len(bad) > 3 else ""
    if len(bad) > 1:
        said = f"NaN or infinity in {len(bad):,} of {row:,} rows, {some}{more}"
    said += f" (id {called}{more})" if names else ""
    return FileError(f"{path} has {said}; expected finite numbers: drop such rows from both sides")


def join(new: Vectors, old: Vectors, by: By = "auto") -> Pairs:
    """Pair the rows of two files: by id if both have ids, else by position; or as `by` says.

    Ids are compared as text: 7 is "7". If only one file has ids, they say nothing of the rows of
    the other, and position is all that is left: `Pairs.matching` says so.

    Raises FileError if a file has an id twice, if no id is in both, if ids are asked for that are
    not there, or, where rows are matched by position, if the files differ in length.
    """
    if by == "position" or new.ids is None or old.ids is None:
        without = " and ".join(str(side.path) for side in (new, old) if side.ids is None)
        require(by != "id", f"there are no ids in {without}; name them by --id, or add them")
        found = f"{new.path} has {len(new.rows):,} rows and {old.path} {len(old.rows):,}"
        found += f", with no ids in {without}" if without else ""
        remedy = "give both the same objects in the same order, or ids"
        require(len(new.rows) == len(old.rows), f"{found}; {remedy}")
        return Pairs(new, old, None, None, "position")
    sides = (new, new.ids), (old, old.ids)
    for side, ids in sides:
        order = np.argsort(ids, kind="stable")
        for at in np.flatnonzero(ids[order[1:]] == ids[order[:-1]])[:1]:
            found = f"{side.path} has the {side.id_name} {ids[order[at]]!r}"
            remedy = "expected every id once: drop one of the two, or name other ids by --id"
            raise FileError(f"{found} in rows {order[at]} and {order[at + 1]}; {remedy}")
    if np.array_equal(new.ids, old.ids):
        return Pairs(new, old, None, None, "id")
    _, new_rows, old_rows = np.intersect1d(new.ids, old.ids, True, return_indices=True)
    order = np.argsort(new_rows)
    new_rows, old_rows = new_rows[order], old_rows[order]
    of_new, of_old = (f"{side.path} ({side.id_name}, such as {i[0]!r})" for side, i in sides)
    remedy = "give the same objects the same ids, or name them by --id"
    require(len(new_rows) > 0, f"no id of {of_new} is in {of_old}; {remedy}")
    return Pairs(new, old, new_rows, old_rows, "id")


def read_pairs(
    old: StrPath,
    new: StrPath,
    id_names: Sequence[str] = (),
    vector_names: Sequence[str] = (),
    by: By = "auto",
    seen: Callable[[int], object] = lambda rows: None,
) -> Pairs:
    """Read two files and pair their rows: `read`, with the names of `wanted_of`, and `join`."""
    of_old, of_new = formats.wanted_of(id_names, vector_names, by)
    return join(read(new, seen, of_new), read(old, seen, of_old), by)


def sha256(path: StrPath) -> str:
    """Return the SHA-256, in hexadecimal, of a file or a folder's files; ValueError for a pipe."""
    check_regular(path)
    digest = hashlib.sha256()
    for shard in shards(Path(path)):
        with open(shard, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
