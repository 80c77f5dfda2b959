"""Formats of embedding files: what reads each, block by block. Nothing is ever unpickled."""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.sums import let_go

from .columns import (
    BY_NAME,
    TEXT,
    Block,
    Column,
    FileError,
    Wanted,
    as_rows,
    bytes_as_text,
    check_length,
    import_package,
    natural,
)
from .tables import OPENERS, ending, read_shards, read_words

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

NAMELESS = (".npy", ".vec", ".txt", ".vec.gz", ".txt.gz")
"""Endings of files whose columns have no names."""

PLAIN = (".csv", ".tsv", ".vec", ".txt")
"""Endings of text that has no mark of its own."""


def check_file(path: Path, wanted: Wanted = BY_NAME) -> str:
    """Return the ending of a file or folder, after a look at its kind, size and first bytes."""
    known = ", ".join(READERS)
    if path.is_dir():
        found = {ending(shard) for shard in shards(path)}
        if len(found) != 1 or not found <= set(OPENERS):
            raise FileError(
                f"{path} is a folder; expected a file, one of {known}, or a folder with nothing "
                f"but {', '.join(OPENERS)}, all of one kind"
            )
        return found.pop()
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise FileError(f"{path} is no regular file; expected one of {known}")
    with open(path, "rb") as file:
        head = file.read(64)
    kind = ending(path)
    if kind not in READERS:
        ways = [way for endings, way in CONVERSIONS.items() if path.suffix.lower() in endings]
        raise FileError(
            f"{path} has the ending {path.suffix!r}; expected one of {known}"
            + "".join(f": {way}" for way in ways)
        )
    if wanted.ids is not None and kind in NAMELESS:
        raise FileError(f"{path} has no names in it, so no ids {wanted.ids!r}; leave out --id")
    if not head:
        raise FileError(f"{path} is empty, 0 bytes; write it again")
    kinds = _kinds(head)
    if kind not in kinds:
        marked = kinds and kinds[0] != PLAIN[0]  # bare text may be anything
        like = f"like {kinds[0]}: rename it" if marked else f"like none of {known}"
        raise FileError(f"{path} is not what its ending says; it begins {like}")
    return kind


def shards(path: Path) -> list[Path]:
    """Return the files of a folder, part 2 before part 10; or a file alone."""
    if not path.is_dir():
        return [path]
    found = (file for file in path.rglob("*") if file.is_file() and file.name[0] not in "._")
    return sorted(found, key=lambda file: natural(str(file)))


def _kinds(head: bytes) -> list[str]:
    """Return the endings that a file with these first bytes may have."""
    marks = {
        (b"\x93NUMPY",): [".npy"],
        (b"PK\x03\x04", b"PK\x05\x06"): [".npz"],
        (b"PAR1",): [".parquet"],
        (b"ARROW1", b"\xff\xff\xff\xff"): [".arrow", ".feather"],
        (b"\x1f\x8b",): [kind for kind in READERS if kind.endswith(".gz")],
    }
    for beginnings, kinds in marks.items():
        if head.startswith(beginnings):
            return kinds
    if head[7:9] == b"\0{":  # the header, after its length
        return [".safetensors"]
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"{", b"["):
        return [".jsonl", ".ndjson", *PLAIN]
    plain = b"\0" not in text and not text.startswith(b"\x80")
    return [*PLAIN, *([] if text else [".jsonl", ".ndjson"])] if plain else []


def map_npy(path: Path) -> np.memmap[Any, Any]:
    """Map the two-dimensional array of a .npy file."""
    try:
        mapped = cast(Any, np.load(path, mmap_mode="r", allow_pickle=False))
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # the header is Python: it can be wrong in many ways
        what = "is truncated or damaged; copy or write it again"
        if "Python objects" in str(error):
            what = "holds pickled Python objects, which are never loaded; save an array of numbers"
        raise FileError(f"{path} {what}") from error
    left = path.stat().st_size - mapped.offset - mapped.nbytes
    if left:
        raise FileError(
            f"{path} has {left:,} bytes after its array of shape {mapped.shape}: another array? "
            "Save each to a file of its own, or all to an .npz"
        )
    as_floats = np.dtype(float) if mapped.dtype.kind in "biuf" else mapped.dtype
    as_rows(np.broadcast_to(np.zeros((), as_floats), mapped.shape), path)  # in no memory
    return cast("np.memmap[Any, Any]", mapped)


def _npy(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    mapped = map_npy(path)
    for start in range(0, len(mapped), rows):
        yield Block(None, np.array(mapped[start : start + rows]), None)
        let_go(mapped)


Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def _member(stream: IO[bytes]) -> Header:
    """Return shape, order and type of the array that begins here, and go to its first number."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _npz(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    uses: dict[str, Any] = dict.fromkeys("iu", "ids") | {"U": "text", "S": "ids", "V": "ids"}
    columns: dict[str, Column] = {}
    headers: dict[str, Header] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                columns[name] = Column("", "no array")
                continue
            with archive.open(info) as stream:
                shape, _, dtype = headers[name] = _member(stream)
                size = stream.tell() + prod(shape) * dtype.itemsize
            if not dtype.hasobject and size != info.file_size:
                raise FileError(
                    f"{path} is damaged: {name} says that it takes {size:,} bytes, and takes "
                    f"{info.file_size:,}; write it again"
                )
            use: Any = uses.get(dtype.kind, "") if len(shape) == 1 and not dtype.names else ""
            use = "vectors" if len(shape) == 2 and dtype.kind in "biuf" else use
            words = "pickled objects" if dtype.hasobject else str(dtype)
            columns[name] = Column(use, f"{words}, shape {shape}")
        vectors, ids_name = wanted.pick(path, columns)
        (n, d), fortran, dtype = headers[vectors]
        ids = None
        if ids_name is not None:
            check_length(path, vectors, n, ids_name, headers[ids_name][0][0])
            with archive.open(f"{ids_name}.npy") as stream:
                ids = _plain_ids(np.lib.format.read_array(stream, allow_pickle=False))
        with archive.open(f"{vectors}.npy") as stream:
            _member(stream)
            step = max(n, 1) if fortran else rows
            for start in range(0, n, step):
                k = min(step, n - start)
                numbers = np.frombuffer(stream.read(k * d * dtype.itemsize), dtype)
                block = numbers.reshape((k, d), order="F" if fortran else "C")
                yield Block(None if ids is None else ids[start : start + k], block, ids_name)


def _plain_ids(ids: NDArray[Any]) -> NDArray[Any]:
    if ids.dtype.kind in "SV":
        return bytes_as_text(ids.tolist(), uuids=ids.dtype.kind == "V")
    return ids.astype(TEXT) if ids.dtype.kind == "U" else ids


def _safetensors(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    safe_open = import_package("safetensors", path).safe_open
    whole = {"I32", "U32", "I64", "U64"}
    numbers = {"BF16", "F16", "F32", "F64", "I8", "U8", "I16", "U16"} | whole
    with safe_open(path, framework="numpy") as file:
        columns, lengths = {}, {}
        for name in file.keys():  # noqa: SIM118 (it is no mapping)
            tensor = file.get_slice(name)
            shape, kind = tuple(tensor.get_shape()), tensor.get_dtype()
            use: Any = "vectors" if len(shape) == 2 and kind in numbers else ""
            use = "ids" if len(shape) == 1 and kind in whole else use
            columns[name] = Column(use, f"{kind}, shape {shape}")
            lengths[name] = shape[0] if shape else 0
        vectors, name = wanted.pick(path, columns)
        n = lengths[vectors]
        ids = None
        if name is not None:
            check_length(path, vectors, n, name, lengths[name])
            ids = file.get_tensor(name)
    brain = columns[vectors].words.startswith("BF16")
    if brain:
        import_package("ml_dtypes", path)  # from then on NumPy knows bfloat16
    for start in range(0, n, rows):
        part = slice(start, min(start + rows, n))
        with safe_open(path, framework="numpy") as file:  # anew: it keeps what it has read
            block = file.get_slice(vectors)[part]
        block = block.astype(np.float32) if brain else block
        yield Block(None if ids is None else ids[part], block, name)


READERS: dict[str, Callable[[Path, int, Wanted], Iterator[Block]]] = {
    ".npy": _npy,
    ".npz": _npz,
    **dict.fromkeys(OPENERS, lambda path, *how: read_shards(shards(path), path, *how)),
    **dict.fromkeys((".vec", ".txt", ".vec.gz", ".txt.gz"), read_words),
    ".safetensors": _safetensors,
}
"""For each ending, what yields the file's blocks of so many rows."""
