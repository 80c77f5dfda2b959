"""Write embedding files block by block, complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.archive import StrPath, replacing

from .formats import TEXT, Block, reading, require


def check_output(path: Path, *inputs: Path, endings: Iterable[str] = ()) -> None:
    """Refuse, before any work is done, an output that is an input or cannot be made."""
    allowed, known = not endings or path.suffix.lower() in endings, ", ".join(endings)
    require(allowed, f"{path} has the ending {path.suffix!r}; expected one of {known}")
    for given in inputs:
        same = given.exists() and path.exists() and path.samefile(given)
        require(not same, f"{path} would replace the input {given}; choose another output")
    folder, name = path.absolute().parent, path.name
    require(folder.is_dir(), f"there is no folder {folder} to write {name} into; make it first")
    usual = path.is_file() or not path.exists()
    require(usual, f"{path} is no regular file; expected the name of a file to write")
    writable = os.access(folder, os.W_OK)
    require(writable, f"{folder} is read-only; choose another place for {name}")


def write(path: StrPath, blocks: Iterable[Block]) -> None:
    """Write blocks of vectors, at least one and all of one width and type, and their ids.

    The ending of `path` says which format: .npy (which has no place for ids), .npz, .parquet or
    .jsonl. A file that is there is replaced once the new one is complete. Raises FileError or
    OSError if it cannot be written.
    """
    path = Path(path)
    check_output(path, endings=WRITERS)
    with replacing(path) as file:
        WRITERS[path.suffix.lower()](file, blocks, path)


def _write_npy(file: IO[bytes], blocks: Iterable[Block], path: Path) -> None:
    n = 0
    for _, rows, _ in blocks:
        if not n:
            _write_header(file, rows.dtype, *rows.shape)
        file.write(np.ascontiguousarray(rows).data)
        n += len(rows)
    file.seek(0)
    _write_header(file, rows.dtype, n, rows.shape[1])


def _write_header(file: IO[bytes], dtype: np.dtype[Any], *shape: int) -> None:
    """Write how an array begins; NumPy leaves room in it for the number of rows to grow."""
    fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)


def _write_npz(file: IO[bytes], blocks: Iterable[Block], path: Path) -> None:
    ids: dict[str, list[NDArray[Any]]] = {}

    def noted(block: Block) -> Block:
        if block.ids is not None:
            ids.setdefault(block.id_name or "ids", []).append(block.ids)
        return block

    with (
        tempfile.TemporaryFile(dir=path.parent) as vectors,  # the header needs all rows counted
        zipfile.ZipFile(file, "w") as archive,
    ):
        _write_npy(vectors, map(noted, blocks), path)
        vectors.seek(0)
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            shutil.copyfileobj(vectors, member, 2**20)
        archive.compression = zipfile.ZIP_DEFLATED  # all ids take as much room as the longest
        for name, parts in ids.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_ids(member, parts, path)


def _write_ids(file: IO[bytes], ids: list[NDArray[Any]], path: Path) -> None:
    if any(part.dtype == TEXT for part in ids):
        longest = max(int(np.strings.str_len(part.astype(TEXT)).max()) for part in ids)
        dtype = np.dtype(f"<U{max(longest, 1)}")
    else:
        dtype = np.result_type(*ids)
    _write_header(file, dtype, sum(map(len, ids)))
    for part in ids:
        plain = part.astype(dtype)
        same = np.array_equal(plain.astype(part.dtype), part)
        require(same, f"{path} cannot hold ids that end in NUL; write .parquet or .jsonl")
        file.write(plain.data)


def _write_parquet(file: IO[bytes], blocks: Iterable[Block], path: Path) -> None:
    with reading(path):
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

    def table(block: Block) -> Any:
        ids = {} if block.ids is None else {block.id_name or "id": block.ids.tolist()}
        flat = pa.array(np.ascontiguousarray(block.rows).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(flat, block.rows.shape[1])
        return pa.table({**ids, "vector": lists})

    tables = map(table, blocks)
    first = next(tables)
    with ParquetWriter(file, first.schema) as writer:
        for each in chain([first], tables):
            writer.write_table(each)


def _write_jsonl(file: IO[bytes], blocks: Iterable[Block], path: Path) -> None:
    for ids, rows, id_name in blocks:
        named = [{}] * len(rows) if ids is None else [{id_name or "id": i} for i in ids.tolist()]
        entries = zip(named, rows.tolist(), strict=True)
        lines = (json.dumps({**name, "vector": vector}) for name, vector in entries)
        file.writelines(line.encode() + b"\n" for line in lines)


WRITERS: dict[str, Callable[[IO[bytes], Iterable[Block], Path], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
"""For each ending, what writes a file of it."""
