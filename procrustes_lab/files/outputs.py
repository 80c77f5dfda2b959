"""What is written: embedding files, block by block; and the adapter, a fitted map in a file."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core import archive
from procrustes_lab.core.alignment import Alignment
from procrustes_lab.core.archive import StrPath, replacing
from procrustes_lab.core.certificate import Certificate
from procrustes_lab.search.migrate import Recalibration

from .formats import TEXT, Block, reading, require

DIRECTION = "new → old"
"""New vectors are carried into the old space, so that new queries search the old index."""

_REMEDY = "make it again with procrustes-lab fit"
_FACTS = ("source_sha256", "target_sha256", "name", "for_queries", "kept", "knots")


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


@dataclass(frozen=True, eq=False)
class Adapter:
    """An alignment of new vectors (source) with old ones (target), and where it comes from.

    Its file is a plain npz: what `Alignment.save` writes, so that `Alignment.load` reads it too,
    and beside that `direction`, both dimensions, the certificate's fields, and what else is here.
    """

    alignment: Alignment
    certificate: Certificate  # of the pairs that it was fitted on
    source_sha256: str  # of the bytes of the file of new vectors
    target_sha256: str  # and of old ones
    name: str = "turn"  # of the map, as in `procrustes_lab.search.maps.MAPS`
    for_queries: bool = True  # whether it makes queries, by `Alignment.query`, unless one says no
    # What it keeps of the new model's search, and the 95 % interval; NaN if nobody measured.
    kept: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    # Aligned scores and what the new model's own would be, (2, k), linear in between; k may be 0.
    knots: NDArray[np.float64] = field(default_factory=lambda: np.empty((2, 0)))

    def carry(self, rows: ArrayLike, *, place: bool = False) -> NDArray[np.float64]:
        """Return new vectors as queries for the old index, or placed among the old vectors."""
        alignment = self.alignment
        return alignment.query(rows) if self.for_queries and not place else alignment.apply(rows)

    def recalibrated(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return what aligned scores would be by the old model, for thresholds set on those."""
        known = Recalibration(self.knots)
        return known.apply(scores) if self.knots.size else np.asarray(scores, float)

    def save(self, path: StrPath) -> None:
        """Write the adapter to an npz file, complete or not at all."""
        facts = {name: vars(self)[name] for name in _FACTS}
        facts |= {f"certificate_{name}": value for name, value in vars(self.certificate).items()}
        dims = dict(zip(("source_dim", "target_dim"), self.alignment.map.shape, strict=True))
        self.alignment.save(path, direction=DIRECTION, **dims, **facts)

    @classmethod
    def load(cls, path: StrPath) -> Adapter:
        """Read an adapter that `save` wrote.

        Raises OSError if there is no such file, and ValueError if it is damaged, of another
        version, or does not carry new vectors to old ones.
        """
        with archive.reading(path, "an adapter", _REMEDY) as fields:
            direction = fields.get("direction", "unknown")
            if direction == DIRECTION:
                known = Certificate.__dataclass_fields__
                certificate = Certificate(**{name: fields[f"certificate_{name}"] for name in known})
                facts = {name: fields[name] for name in _FACTS}
                facts |= {"name": str(facts["name"]), "for_queries": bool(facts["for_queries"])}
                facts["kept"] = tuple(facts["kept"].tolist())
                read = cls(Alignment.from_fields(fields), certificate, **facts)
                dims = fields["source_dim"], fields["target_dim"]
                hashes = bytes.fromhex(read.source_sha256), bytes.fromhex(read.target_sha256)
                sizes = dims, set(map(len, hashes)), len(read.kept), read.knots.shape[:-1]
                require(sizes == (read.alignment.map.shape, {32}, 3, (2,)), "sizes disagree")
                return read
        found = f"{path} has the direction {direction!r}, not {DIRECTION!r}"
        raise ValueError(f"{found}: {_REMEDY}")
