"""Formats of embedding files: what reads each, block by block. Nothing is ever unpickled."""

from __future__ import annotations

import codecs
import importlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.sums import let_go
from procrustes_lab.core.validate import Embeddings, as_embeddings, reject_nonfinite

VECTOR_NAMES = ("vector", "vectors", "embedding", "embeddings")
ID_NAMES = ("id", "ids", "_id", "doc_id")

LONGEST_ID = 1000
"""Characters beyond which an id is taken to be something else, such as a text."""


class FileError(ValueError):
    """What is wrong with a file, in one sentence that names it."""


class Block(NamedTuple):
    """Some successive rows of a file.

    Attributes
    ----------
    ids : ndarray of int or str, shape (k,), or None
    rows : ndarray, shape (k, d)
    id_name : str or None
        What the file calls the ids.
    """

    ids: NDArray[Any] | None
    rows: NDArray[Any]
    id_name: str | None


def check_file(path: Path) -> str:
    """Return the ending of a file, after a look at its kind, size and first bytes."""
    known = ", ".join(READERS)
    if path.is_dir():
        raise FileError(f"{path} is a folder; expected a file, one of {known}")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise FileError(f"{path} is no regular file; expected one of {known}")
    with open(path, "rb") as file:
        head = file.read(64)
    ending = path.suffix.lower()
    if ending not in READERS:
        raise FileError(f"{path} has the ending {path.suffix!r}; expected one of {known}")
    if not head:
        raise FileError(f"{path} is empty, 0 bytes; write it again")
    kind = _kind(head)
    if kind != ending:
        found = f"it begins like {kind}: rename it" if kind else f"it begins like none of {known}"
        raise FileError(f"{path} is not what its ending says; {found}")
    return ending


def _kind(head: bytes) -> str | None:
    """Return the ending that a file with these first bytes should have."""
    marks = {
        b"\x93NUMPY": ".npy",
        b"PK\x03\x04": ".npz",
        b"PK\x05\x06": ".npz",
        b"PAR1": ".parquet",
    }
    for mark, kind in marks.items():
        if head.startswith(mark):
            return kind
    if head[7:9] == b"\0{":  # the header, after its length
        return ".safetensors"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return ".jsonl" if text[:1] in (b"{", b"[", b"") else None


def checked(blocks: Iterator[Block], path: Path) -> Iterator[Block]:
    """Yield blocks as embeddings of one width and type, all finite, or say what is wrong."""
    row, width, dtype = 0, None, None
    try:
        for ids, vectors, id_name in blocks:
            rows = as_rows(vectors, path)
            if width is None:
                width, dtype = rows.shape[1], rows.dtype
            if rows.shape[1] != width:
                raise _ragged(path, f"row {row}", rows.shape[1], width)
            reject_bad_row(rows, path, np.arange(row, row + len(rows)))
            if ids is not None:
                _check_ids(ids, path, row)
            yield Block(ids, rows.astype(dtype, copy=False), id_name)
            row += len(rows)
    except (FileError, FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # whatever four libraries say of a damaged file
        raise FileError(f"{path} is truncated or damaged; copy or write it again") from error
    if not row:
        raise FileError(f"{path} has no rows; expected at least one vector")


def as_rows(array: NDArray[Any], path: Path) -> Embeddings:
    """Return an array as embeddings, see `as_embeddings`; the message names the file."""
    try:
        return as_embeddings(array, str(path))
    except (TypeError, ValueError) as error:
        raise FileError(str(error)) from error


def reject_bad_row(rows: Embeddings, path: Path, numbers: NDArray[np.intp]) -> None:
    """Raise FileError if a row holds NaN or infinity; `numbers` are the rows' in the file."""
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        at = int(bad.argmax())
        try:
            reject_nonfinite(rows[at : at + 1], str(path), int(numbers[at]))
        except ValueError as error:
            raise FileError(str(error)) from error


def _check_ids(ids: NDArray[Any], path: Path, row: int) -> None:
    if ids.dtype.kind == "U" and ids.dtype.itemsize > 4 * LONGEST_ID:
        lengths = np.strings.str_len(ids)
        at = int(lengths.argmax())
        raise FileError(
            f"{path} has an id of {lengths[at]:,} characters in row {row + at}; expected at most "
            f"{LONGEST_ID:,}: call the ids {ID_NAMES[0]}, and texts something else"
        )


def _ragged(path: Path, place: str, found: int, expected: int) -> FileError:
    return FileError(
        f"{path} has {found} numbers in {place}, and {expected} before; expected as many in every "
        "vector: mend or drop that one"
    )


def _choose(path: Path, columns: Mapping[str, tuple[str, str]]) -> tuple[str, str | None]:
    """Return the names of the vectors and of the ids, None without ids.

    `columns` gives for each name what it can be, "vectors", "ids" or "", and its type in words.
    """
    listing = ", ".join(f"{name} ({words})" for name, (_, words) in islice(columns.items(), 12))
    listing = (listing or "nothing") + (", …" if len(columns) > 12 else "")
    chosen: list[str | None] = []
    for use, names in (("vectors", VECTOR_NAMES), ("ids", ID_NAMES)):
        fitting = [name for name, (can_be, _) in columns.items() if can_be == use]
        named = [name for name in columns if name in names]
        found = named or fitting
        if len(found) > 1:
            raise FileError(
                f"{path} has several that could be its {use}, {', '.join(found[:12])}; it holds "
                f"{listing}: call one of them {names[0]}, or drop the others"
            )
        if named and named[0] not in fitting:
            wanted = "numbers (n, d)" if use == "vectors" else "whole numbers or text (n,)"
            raise FileError(
                f"{path} has {columns[named[0]][1]} as {named[0]}; expected {wanted}: write it "
                "again, or call it something else"
            )
        chosen.append(found[0] if found else None)
    vectors, ids = chosen
    if vectors is None:
        raise FileError(
            f"{path} has no vectors, it holds {listing}; expected numbers (n, d), called "
            f"{VECTOR_NAMES[0]}"
        )
    return vectors, ids


def _check_length(path: Path, vectors: str, n: int, name: str, ids: NDArray[Any]) -> None:
    if len(ids) != n:
        raise FileError(
            f"{path} has {n:,} {vectors} and {len(ids):,} {name}; expected one id a vector: write "
            "it again"
        )


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type of the array that begins here, and go to its first number."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def map_npy(path: Path) -> np.memmap[Any, Any]:
    """Map the two-dimensional array of a .npy file."""
    with open(path, "rb") as file:
        try:
            shape, fortran, dtype = _header(file)
        except Exception as error:  # the header is Python: it can be wrong in many ways
            raise FileError(f"{path} is truncated or damaged; copy or write it again") from error
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.hasobject:
        raise FileError(
            f"{path} holds pickled Python objects, which are never loaded; save an array of numbers"
        )
    expected = start + prod(shape) * dtype.itemsize
    if size < expected:
        raise FileError(
            f"{path} is truncated: {size:,} of {expected:,} bytes; copy or write it again"
        )
    as_floats = np.dtype(float) if dtype.kind in "biuf" else dtype
    as_rows(np.broadcast_to(np.zeros((), as_floats), shape), path)  # its shape, in no memory
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _npy(path: Path, rows: int) -> Iterator[Block]:
    mapped = map_npy(path)
    for start in range(0, len(mapped), rows):
        yield Block(None, np.array(mapped[start : start + rows]), None)
        let_go(mapped)


def _npz(path: Path, rows: int) -> Iterator[Block]:
    with zipfile.ZipFile(path) as archive:
        columns = {}
        for member in archive.namelist():
            with archive.open(member) as stream:
                shape, _, dtype = _header(stream)
            use = "vectors" if len(shape) == 2 and dtype.kind in "biuf" else ""
            use = "ids" if len(shape) == 1 and dtype.kind in "iuU" else use
            words = "pickled objects" if dtype.hasobject else str(dtype)
            columns[member.removesuffix(".npy")] = use, f"{words}, shape {shape}"
        vectors, name = _choose(path, columns)
        ids = None
        if name is not None:
            with archive.open(f"{name}.npy") as stream:
                ids = np.lib.format.read_array(stream, allow_pickle=False)
        with archive.open(f"{vectors}.npy") as stream:
            (n, d), fortran, dtype = _header(stream)
            if name is not None and ids is not None:
                _check_length(path, vectors, n, name, ids)
            step = max(n, 1) if fortran else rows
            for start in range(0, n, step):
                k = min(step, n - start)
                numbers = np.frombuffer(stream.read(k * d * dtype.itemsize), dtype)
                block = numbers.reshape((k, d), order="F" if fortran else "C")
                yield Block(None if ids is None else ids[start : start + k], block, name)


def _safetensors(path: Path, rows: int) -> Iterator[Block]:
    safe_open = import_package("safetensors", path).safe_open
    whole = {"I32", "U32", "I64", "U64"}
    numbers = {"F16", "F32", "F64", "I8", "U8", "I16", "U16"} | whole
    with safe_open(path, framework="numpy") as file:
        columns, lengths = {}, {}
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            tensor = file.get_slice(name)
            shape, kind = tuple(tensor.get_shape()), tensor.get_dtype()
            use = "vectors" if len(shape) == 2 and kind in numbers else ""
            use = "ids" if len(shape) == 1 and kind in whole else use
            columns[name] = use, f"{kind}, shape {shape}"
            lengths[name] = shape[0] if shape else 0
        vectors, name = _choose(path, columns)
        n = lengths[vectors]
        ids = None if name is None else file.get_tensor(name)
        if name is not None and ids is not None:
            _check_length(path, vectors, n, name, ids)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        with safe_open(path, framework="numpy") as file:  # anew: it keeps what it has read
            block = file.get_slice(vectors)[start:stop]
        yield Block(None if ids is None else ids[start:stop], block, name)


def _parquet(path: Path, rows: int) -> Iterator[Block]:
    arrow, parquet = import_package("pyarrow", path), import_package("pyarrow.parquet", path)
    # Else a column chunk, which may be the whole file, is read at once.
    with parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
        schema = file.schema_arrow
        columns = {field.name: (_use(field.type, arrow.types), str(field.type)) for field in schema}
        vectors, name = _choose(path, columns)
        row = 0
        for batch in file.iter_batches(rows, columns=[c for c in (vectors, name) if c is not None]):
            ids = None
            if name is not None:
                column = batch.column(name)
                _reject_null(column, name, path, row)
                if not arrow.types.is_integer(column.type):
                    column = column.cast(arrow.string())
                ids = np.asarray(column.to_pylist())
            column = batch.column(vectors)
            _reject_null(column, vectors, path, row)
            yield Block(ids, _matrix(getattr(column, "storage", column), path, row), name)
            row += len(batch)


def _use(kind: Any, types: Any) -> str:
    """Return what a column of this Arrow type can be, as `_choose` wants it."""
    kind = getattr(kind, "storage_type", kind)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        number = types.is_floating(kind.value_type) or types.is_integer(kind.value_type)
        return "vectors" if number else ""
    kind = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return "ids" if text or types.is_integer(kind) else ""


def _matrix(column: Any, path: Path, row: int) -> NDArray[Any]:
    """Return an Arrow array of lists as a matrix."""
    lengths = np.asarray(column.value_lengths())
    odd = np.flatnonzero(lengths != lengths[:1])
    if len(odd):
        raise _ragged(path, f"row {row + odd[0]}", lengths[odd[0]], lengths[0])
    values, width = column.flatten(), int(lengths[0])
    if values.null_count:
        at = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
        raise FileError(
            f"{path} has no number in row {row + at // width}, column {at % width}; expected "
            "finite numbers: drop that row from both sides"
        )
    matrix: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(column), width)
    return matrix


def _reject_null(column: Any, name: str, path: Path, row: int) -> None:
    if column.null_count:
        at = row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise FileError(f"{path} has no {name} in row {at}; fill it in, or drop that row")


def _jsonl(path: Path, rows: int) -> Iterator[Block]:
    vectors = name = None
    width, id_type = 0, ""
    block: list[NDArray[Any]] = []
    ids: list[str | int] = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"line {number}"
            entry = _entry(line, path, place)
            if entry is None:
                continue
            if vectors is None:
                vectors, name = _choose(path, {key: _describe(entry[key]) for key in entry})
                width = len(entry[vectors])
                id_type = "" if name is None else _describe(entry[name])[1]
            row = _as_row(entry.get(vectors))
            if row is None:
                raise FileError(
                    f"{path} has no list of numbers {vectors!r} in {place}; mend or drop that line"
                )
            if len(row) != width:
                raise _ragged(path, place, len(row), width)
            block.append(row)
            if name is not None:
                if _describe(entry.get(name)) != ("ids", id_type):
                    raise FileError(
                        f"{path} has no {id_type} as {name!r} in {place}, as in the lines before; "
                        "mend or drop that line"
                    )
                ids.append(entry[name])
            if len(block) == rows:
                yield Block(np.asarray(ids) if ids else None, np.stack(block), name)
                block, ids = [], []
    if block:
        yield Block(np.asarray(ids) if ids else None, np.stack(block), name)


def _entry(line: bytes, path: Path, place: str) -> dict[str, Any] | None:
    """Return the object on a line, None if the line is blank."""
    if not line.strip():
        return None
    try:
        entry = json.loads(line.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 in {place}; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON in {place}; mend or drop that line") from error
    if not isinstance(entry, dict):
        raise FileError(
            f"{path} has no JSON object in {place}; expected "
            'one a line, such as {"id": "a", "vector": [0.6, 0.8]}'
        )
    return entry


def _describe(value: Any) -> tuple[str, str]:
    """Return what a value of JSON can be, as `_choose` wants it, and its type in words."""
    if isinstance(value, list):
        return ("", "list") if _as_row(value) is None else ("vectors", "list of numbers")
    if isinstance(value, str):
        return "ids", "text"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return "ids", "whole number"
    return "", "nothing" if value is None else type(value).__name__


def _as_row(value: Any) -> NDArray[Any] | None:
    """Return a list of numbers as an array, None if it is something else."""
    try:
        row = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    return row.astype(float) if row.ndim == 1 and row.dtype.kind in "iuf" else None


def import_package(name: str, path: Path) -> Any:
    """Return an optional package that a file needs, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise FileError(
            f"{path} needs the package {name.split('.')[0]}: pip install 'procrustes-lab[files]'"
        ) from error


READERS: dict[str, Callable[[Path, int], Iterator[Block]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
    ".safetensors": _safetensors,
}
"""For each ending, what yields the file's blocks of so many rows."""
