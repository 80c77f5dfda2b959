"""What is wanted of a file's columns, errors, and readers of arrays and words, block by block."""

from __future__ import annotations

import gzip
import re
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from math import prod
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core import validate
from procrustes_lab.core.sums import let_go

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


require = partial(validate.require, error=FileError)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say in one sentence that names the file whatever NumPy and three other libraries say of it.

    What begins with the name is such a sentence; a missing file, or permission, raises as it is.
    """
    try:
        yield
    except (FileError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        why = [*str(error).splitlines(), type(error).__name__][0]
        said = f"{path} is truncated or damaged: {why}; mend, copy or write it again"
        if str(error).startswith(str(path)):
            said = str(error)
        elif isinstance(error, ModuleNotFoundError):
            package = str(error.name).split(".")[0]
            said = f"{path} needs the package {package}: pip install 'procrustes-lab[files]'"
        elif isinstance(error, UnicodeEncodeError):
            said = f"{path} has a name that is not UTF-8; rename it"
        elif isinstance(error, MemoryError):
            said = (
                f"{path} asks for more memory than there is: it is damaged, or has huge row groups"
            )
        elif "Python objects" in why:
            said = f"{path} holds pickled Python objects, which are never loaded; save numbers"
        raise FileError(said) from error


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
            "whole numbers, text, uuid or bytes: name ids by --id, or pair rows by --by position"
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


def map_npy(path: Path) -> np.memmap[Any, Any]:
    """Map the two-dimensional array of a .npy file."""
    with reading(path):
        mapped = cast("np.memmap[Any, Any]", np.load(path, mmap_mode="r", allow_pickle=False))
        left = path.stat().st_size - mapped.offset - mapped.nbytes
        found = f"{path} has {left:,} bytes after its array of shape {mapped.shape}: another array?"
        require(not left, f"{found} Save each to a file of its own, or all to an .npz")
        as_floats = np.dtype(float) if mapped.dtype.kind in "biuf" else mapped.dtype
        validate.as_embeddings(
            np.broadcast_to(np.zeros((), as_floats), mapped.shape), str(path)
        )  # no copy
    return mapped


def in_blocks(array: NDArray[Any], ids: NDArray[Any] | None, rows: int) -> Iterator[Block]:
    """Yield the rows of an array, so many at a time, with their ids."""
    for start in range(0, len(array), rows):
        part = slice(start, start + rows)
        yield Block(None if ids is None else ids[part], np.array(array[part]), None)
        let_go(array)


def npy(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of a .npy file, which has no ids."""
    return in_blocks(map_npy(path), None, rows)


USES: dict[int, dict[str, Any]] = {
    1: {"i": "ids", "u": "ids", "S": "ids", "V": "ids", "U": "text"},
    2: dict.fromkeys("biuf", "vectors"),
}
"""What arrays of so many dimensions can be, by NumPy's letter for their kind."""


def _column(kind: str, words: object, shape: tuple[int, ...]) -> Column:
    use = USES.get(len(shape), {}).get(kind, "")
    return Column(use, f"{words}, shape {shape}", *shape[:1])


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type of the array that begins here, and go to its first number."""
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def npz(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of one array of an .npz file, and the ids that another holds."""
    columns = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                columns[name] = Column("", "no array")
                continue
            with archive.open(info) as stream:
                shape, _, dtype = _header(stream)
                size = stream.tell() + prod(shape) * dtype.itemsize
            said = f"{path} is damaged: {name} says that it takes {size:,} bytes, and takes"
            sound = dtype.hasobject or size == info.file_size
            require(sound, f"{said} {info.file_size:,}; write it again")
            words = "pickled objects" if dtype.hasobject else dtype
            columns[name] = _column("" if dtype.names else dtype.kind, words, shape)
        vectors, id_name = wanted.pick(path, columns)
        ids = None
        if id_name is not None:
            with archive.open(f"{id_name}.npy") as stream:
                ids = np.lib.format.read_array(stream, allow_pickle=False)
            if ids.dtype.kind in "USV":
                ids = as_text(ids.tolist(), uuids=ids.dtype.kind == "V")
        with archive.open(f"{vectors}.npy") as stream:
            (n, d), fortran, dtype = _header(stream)
            step = max(n, 1) if fortran else rows
            for start in range(0, n, step):
                k = min(step, n - start)
                numbers = np.frombuffer(stream.read(k * d * dtype.itemsize), dtype)
                block = numbers.reshape((k, d), order="F" if fortran else "C")
                yield Block(None if ids is None else ids[start : start + k], block, id_name)


def safetensors(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of one tensor, and the ids that another holds."""
    from safetensors import safe_open

    columns = {}
    with safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            tensor = file.get_slice(name)
            kind, shape = tensor.get_dtype(), tuple(tensor.get_shape())
            known = re.fullmatch(r"B?F16|F32|F64|[IU](8|16|32|64)", kind)
            columns[name] = _column(kind[0].lower() if known else "", kind, shape)
        vectors, id_name = wanted.pick(path, columns)
        ids = None if id_name is None else file.get_tensor(id_name)
    _, words, n = columns[vectors]
    if words.startswith("BF16"):
        import ml_dtypes  # noqa: F401 (from then on NumPy knows bfloat16)
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        with safe_open(path, framework="numpy") as file:  # anew: it keeps what it has read
            yield Block(None if ids is None else ids[part], file.get_slice(vectors)[part], id_name)


def words(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield word vectors as word2vec, GloVe and fastText write them; or rows of bare numbers.

    A word may hold spaces: the numbers are the last on the line, as many as on the first.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        texts = (line.decode(errors="backslashreplace").strip("\ufeff\r\n\t ") for line in file)
        lines = ((at, re.split(r"[ \t]", text)) for at, text in enumerate(texts, 1) if text)
        first = next(lines, (1, [""]))
        headed = len(first[1]) == 2 and all(field.isdecimal() for field in first[1])
        bare = not headed and is_number(first[1][0])
        width = int(first[1][1]) if headed else len(first[1]) - (not bare)
        rest = lines if headed else chain([first], lines)
        name = None if bare or wanted.by == "position" else "word"
        while block := list(islice(rest, rows)):
            vectors = [_numbers(fields, width, bare, path, at) for at, fields in block]
            words = [" ".join(fields[:-width]) for _, fields in block]
            yield Block(np.array(words, TEXT) if name else None, np.array(vectors), name)


def _numbers(fields: list[str], width: int, bare: bool, path: Path, line: int) -> NDArray[Any]:
    with suppress(ValueError):
        if len(fields) >= width + (not bare):
            return np.array(fields[-width:], float)
    raise FileError(f"{path} has no {width} numbers after a word in line {line}; mend or drop it")
