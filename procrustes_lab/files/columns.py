"""The columns of a file: which hold the vectors and which the ids, and both of them as arrays."""

from __future__ import annotations

import gzip
import importlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.validate import Embeddings, as_embeddings

By = Literal["auto", "id", "position"]

TEXT = np.dtypes.StringDType()
"""Each id takes the room it needs, and may hold NUL."""

VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings")

ID_NAME = re.compile(
    r"(?i:_?ids?|_?key|pk|docids?|docno|[pqu]id|uuid|guid|.*[^a-z](id|ids|uuid|guid))"
    r"|.*[a-z](I[dD]|UUID|Uuid)"
)
"""Names of ids: id, key, pk, docid, docno, pid, qid, uid, uuid, guid, doc_id, docId and such."""


class FileError(ValueError):
    """What is wrong with a file, in one sentence that names it."""


class Block(NamedTuple):
    """Some rows of a file, (k, d); their ids, of int or `TEXT`; and what the file calls these."""

    ids: NDArray[Any] | None
    rows: NDArray[Any]
    id_name: str | None


class Column(NamedTuple):
    """What a column can be: vectors; ids; text, which is ids or vectors written out; or nothing."""

    use: Literal["vectors", "ids", "text", ""]
    words: str


@dataclass(frozen=True)
class Wanted:
    """Which columns a user asks for; None leaves it to their names. By position no ids are read."""

    vectors: str | None = None
    ids: str | None = None
    by: By = "auto"

    def pick(self, path: Path, columns: Mapping[str, Column]) -> tuple[str, str | None]:
        """Return the names of the vectors and of the ids, None without ids.

        Vectors are asked for, or have one of `VECTOR_NAMES`, or are all that can be vectors. Ids
        are asked for, or have the name of ids: what a column holds never makes it one. Raises
        FileError if that is no column, more than one, or one that cannot be read as such.
        """
        listing = ", ".join(f"{name} ({words})" for name, (_, words) in islice(columns.items(), 12))
        listing = (listing or "nothing") + (", …" if len(columns) > 12 else "")

        def only(what: str, option: str, found: Sequence[str], expected: str) -> str:
            if len(found) > 1:
                raise FileError(
                    f"{path} has several that could be its {what}, {', '.join(found[:12])}; it "
                    f"holds {listing}: name one of them by {option}"
                )
            use, words = columns[found[0]]
            if use not in (what, "text"):
                raise FileError(f"{path} has {words} as {found[0]}; expected {expected}")
            return found[0]

        for name in (self.vectors, self.ids):
            if name is not None and name not in columns:
                raise FileError(f"{path} has no {name}; it holds {listing}")
        named = [name for name in columns if name.lower() in VECTOR_NAMES]
        fitting = [name for name, column in columns.items() if column.use == "vectors"]
        found = [self.vectors] if self.vectors is not None else named or fitting
        if not found:
            raise FileError(
                f"{path} has no vectors, it holds {listing}; expected numbers (n, d), called "
                f"{VECTOR_NAMES[0]}"
            )
        remedy = "numbers (n, d): write it again, or name the vectors by --vector"
        vectors = only("vectors", "--vector", found, remedy)
        if self.by == "position":
            return vectors, None
        named = [name for name in columns if name != vectors and ID_NAME.fullmatch(name)]
        found = [self.ids] if self.ids is not None else named
        if not found:
            return vectors, None
        remedy = (
            "whole numbers, text, uuid or bytes: write it as one of these, name the ids by --id, "
            "or pair rows by --by position"
        )
        return vectors, only("ids", "--id", found, remedy)


BY_NAME = Wanted()
"""All is left to the names of columns."""


def wanted_of(
    id_names: Sequence[str], vector_names: Sequence[str], by: By
) -> tuple[Wanted, Wanted]:
    """Return what is wanted of the old file and of the new: one name is of both, two of each."""
    for option, names in (("--id", id_names), ("--vector", vector_names)):
        if len(names) > 2:
            raise FileError(f"{option} is given {len(names)} times; expected two at most")
    vectors: Sequence[str | None] = vector_names or [None]
    ids: Sequence[str | None] = id_names or [None]
    return Wanted(vectors[0], ids[0], by), Wanted(vectors[-1], ids[-1], by)


def import_package(name: str, path: Path) -> Any:
    """Return an optional package that a file needs, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise FileError(
            f"{path} needs the package {name.split('.')[0]}: pip install 'procrustes-lab[files]'"
        ) from error


def opened(path: Path) -> IO[bytes]:
    """Open a text file, which may be compressed by gzip."""
    return cast("IO[bytes]", gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb"))


def natural(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts the numbers in names as numbers: 2 before 10."""
    return [(rest, int(digits or 0)) for rest, digits in re.findall(r"(\D*)(\d*)", name)]


def bytes_as_text(values: Iterable[bytes], uuids: bool) -> NDArray[Any]:
    """Return ids that are bytes as text: uuids, or UTF-8, or else in hexadecimal."""

    def text(value: bytes) -> str:
        if uuids and len(value) == 16:
            return str(uuid.UUID(bytes=bytes(value)))
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()

    return np.array([text(value) for value in values], TEXT)


def vectors_from_text(texts: Iterable[str], path: Path, row: int) -> NDArray[np.float64]:
    """Return vectors that are written out, as in "[0.1, 0.2]", shape (k, d)."""
    rows: list[NDArray[np.float64]] = []
    for at, text in enumerate(texts, row):
        try:
            rows.append(np.array(text.strip("[](){} \n").replace(",", " ").split(), float))
        except ValueError:
            remedy = "mend or drop that row"
            if "..." in text:
                remedy = "printing shortened it: write it again as a list, by .tolist()"
            raise FileError(
                f"{path} has no list of numbers in row {at}, it begins {text[:24]!r}; {remedy}"
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise ragged(path, f"row {at}", len(rows[-1]), len(rows[0]))
    return np.stack(rows)


def ragged(path: Path, place: str, found: int, expected: int) -> FileError:
    """Return what to say of a vector of another length."""
    return FileError(
        f"{path} has {found} numbers in {place}, and {expected} before; expected as many in every "
        "vector: mend or drop that one"
    )


def check_length(path: Path, vectors: str, n: int, name: str, ids: int) -> None:
    """Make sure that there is one id a vector."""
    if ids != n:
        raise FileError(f"{path} has {n:,} {vectors} and {ids:,} {name}; expected one id a vector")


def as_rows(array: NDArray[Any], path: Path) -> Embeddings:
    """Return an array as embeddings, see `as_embeddings`; the message names the file."""
    try:
        return as_embeddings(array, str(path))
    except (TypeError, ValueError) as error:
        raise FileError(str(error)) from error


class NonFinite:
    """The rows of a file that hold NaN or infinity, counted to its end, to be named at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.first = path, ""
        self.rows: list[int] = []
        self.names: list[str] = []

    def note(self, block: Embeddings, row: int, ids: NDArray[Any] | None) -> None:
        """Look for them in a block whose first row is the file's row number `row`."""
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad) and not self.rows:
            values = block[bad[0]]
            column = int(np.argmin(np.isfinite(values)))
            kind = "NaN" if np.isnan(values[column]) else "an infinity"
            self.first = f"{kind} in row {row + bad[0]}, column {column}"
        self.rows += (row + bad).tolist()
        if ids is not None:
            self.names += [str(id_) for id_ in ids[bad[: max(0, 4 - len(self.names))]]]

    def error(self, n: int) -> FileError:
        """Return what to say of them, of a file of n rows."""
        found, these, more = self.first, "that row", ", …" if len(self.rows) > 3 else ""
        if len(self.rows) > 1:
            some = ", ".join(map(str, self.rows[:3]))
            found = f"NaN or infinity in {len(self.rows):,} of {n:,} rows, {some}{more}"
            these = "these rows"
        if self.names:
            found += f" (id {', '.join(self.names[:3])}{more})"
        return FileError(
            f"{self.path} has {found}; expected finite numbers: drop {these} from both sides"
        )


def checked(blocks: Iterator[Block], path: Path) -> Iterator[Block]:
    """Yield blocks as embeddings of one width and type, all finite, or say what is wrong."""
    row, width, bad = 0, None, NonFinite(path)
    dtype: np.dtype[Any] = np.dtype(float)
    try:
        for ids, vectors, id_name in blocks:
            rows = as_rows(vectors, path)
            if width is None:
                width, dtype = rows.shape[1], rows.dtype.newbyteorder("=")
            if rows.shape[1] != width:
                raise ragged(path, f"row {row}", rows.shape[1], width)
            bad.note(rows, row, ids)
            row += len(rows)
            if not bad.rows:
                yield Block(ids, rows.astype(dtype, copy=False), id_name)
    except (FileError, FileNotFoundError, PermissionError, MemoryError):
        raise
    except UnicodeEncodeError as error:
        raise FileError(f"{path} has a name that is not UTF-8; rename it") from error
    except Exception as error:  # whatever four libraries say of a damaged file
        raise FileError(f"{path} is truncated or damaged; copy or write it again") from error
    if bad.rows:
        raise bad.error(row)
    if not row:
        raise FileError(f"{path} has no rows; expected at least one vector")
