"""What the readers of files share: columns and which are wanted, ids as text, and errors."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

By = Literal["auto", "id", "position"]

TEXT = np.dtypes.StringDType()  # each id takes the room it needs, and may hold NUL

VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings")

ID_NAME = re.compile(
    r"(?i:_?ids?|_?key|pk|docids?|docno|[pqu]id|uuid|guid|.*[^a-z](id|ids|uuid|guid))"
    r"|.*[a-z](I[dD]|UUID|Uuid)"
)
"""Names of ids: id, key, pk, docid, docno, pid, qid, uid, uuid, guid, doc_id, docId and such."""


class FileError(ValueError):
    """What is wrong with a file, in one sentence that names it."""


def require(holds: bool, message: str) -> None:
    """Raise FileError with this message unless the condition holds."""
    if not holds:
        raise FileError(message)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one sentence that names the file whatever NumPy and three other libraries say of it.

    What begins with the name is such a sentence; a missing file, or permission, raises as it is.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        why = [*str(error).splitlines(), type(error).__name__][0]
        said = f"is truncated or damaged: {why}; mend, copy or write it again"
        if isinstance(error, ModuleNotFoundError):
            package = str(error.name).split(".")[0]
            said = f"needs the package {package}: pip install 'procrustes-lab[files]'"
        elif isinstance(error, UnicodeEncodeError):
            said = "has a name that is not UTF-8; rename it"
        elif isinstance(error, MemoryError):
            said = "needs more memory than there is: it is damaged, or has too large groups of rows"
        elif "Python objects" in why:
            said = "holds pickled Python objects, which are never loaded; save an array of numbers"
        raise FileError(why if why.startswith(str(path)) else f"{path} {said}") from error


class Block(NamedTuple):
    """Some rows of a file, (k, d); their ids, of int or `TEXT`; and what the file calls these."""

    ids: NDArray[Any] | None
    rows: NDArray[Any]
    id_name: str | None


class Column(NamedTuple):
    """What a column can be: vectors; ids; text, which is ids or vectors written out; or nothing."""

    use: Literal["vectors", "ids", "text", ""]
    words: str
    length: int = 0  # of an array, which may be another than its neighbour's


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
        listing = ", ".join(f"{name} ({columns[name].words})" for name in islice(columns, 12))
        listing = (listing or "nothing") + (", …" if len(columns) > 12 else "")

        def only(what: str, asked: str | None, found: list[str], expected: str) -> str | None:
            require(asked is None or asked in columns, f"{path} has no {asked}; it holds {listing}")
            found = found if asked is None else [asked]
            several = f"{path} has several that could be its {what}, {', '.join(found[:12])}"
            remedy = f"name one of them by --{what.removesuffix('s')}"
            require(len(found) < 2, f"{several}; it holds {listing}: {remedy}")
            if not found:
                return None
            use, words, _ = columns[found[0]]
            require(use in (what, "text"), f"{path} has {words} as {found[0]}; expected {expected}")
            return found[0]

        named = [name for name in columns if name.lower() in VECTOR_NAMES]
        fitting = [name for name, column in columns.items() if column.use == "vectors"]
        remedy = "numbers (n, d): write it again, or name the vectors by --vector"
        vectors = only("vectors", self.vectors, named or fitting, remedy)
        if vectors is None:
            raise FileError(f"{path} has no vectors, it holds {listing}; expected numbers (n, d)")
        if self.by == "position":
            return vectors, None
        named = [name for name in columns if name != vectors and ID_NAME.fullmatch(name)]
        remedy = (
            "whole numbers, text, uuid or bytes: write it as one of these, name the ids by --id, "
            "or pair rows by --by position"
        )
        ids = only("ids", self.ids, named, remedy)
        n, of_ids = columns[vectors].length, columns[ids or vectors].length
        found = f"{path} has {n:,} {vectors} and {of_ids:,} {ids}"
        require(n == of_ids, f"{found}; expected one id a vector")
        return vectors, ids


BY_NAME = Wanted()  # all is left to the names of columns


def wanted_of(
    id_names: Sequence[str], vector_names: Sequence[str], by: By
) -> tuple[Wanted, Wanted]:
    """Return what is wanted of the old file and of the new: one name is of both, two of each."""
    for option, names in (("--id", id_names), ("--vector", vector_names)):
        require(len(names) < 3, f"{option} is given {len(names)} times; expected two at most")
    vectors: Sequence[str | None] = vector_names or [None]
    ids: Sequence[str | None] = id_names or [None]
    return Wanted(vectors[0], ids[0], by), Wanted(vectors[-1], ids[-1], by)


def ending(path: Path) -> str:
    """Return the ending of a name, with the one before it where the file is compressed."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(suffixes if suffixes[-1:] == [".gz"] else suffixes[-1:])


def natural(name: str) -> list[tuple[str, int]]:
    """Return a key that sorts the numbers in names as numbers: 2 before 10."""
    return [(rest, int(digits or 0)) for rest, digits in re.findall(r"(\D*)(\d*)", name)]


def is_number(text: str) -> bool:
    """Tell whether a text is a number."""
    with suppress(ValueError):
        return float(text) is not None
    return False


def as_text(ids: Iterable[Any], uuids: bool) -> NDArray[Any]:
    """Return ids as text; those that are bytes as uuids, or UTF-8, or else in hexadecimal."""

    def text(value: Any) -> str:
        if not isinstance(value, bytes):
            return str(value)
        if uuids and len(value) == 16:
            return str(uuid.UUID(bytes=value))
        with suppress(UnicodeDecodeError):
            return value.decode()
        return value.hex()

    return np.array([text(value) for value in ids], TEXT)
