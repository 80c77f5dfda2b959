"""Formats of embedding files: what reads each, block by block. Nothing is ever unpickled."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.archive import check_regular
from procrustes_lab.core.sums import let_go
from procrustes_lab.core.validate import as_embeddings

from .columns import (
    BY_NAME,
    TEXT,
    Block,
    Column,
    FileError,
    Wanted,
    as_text,
    ending,
    is_number,
    natural,
    reading,
    require,
)

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


def check_file(path: Path, wanted: Wanted = BY_NAME) -> str:
    """Return the ending of a file or folder, after a look at its kind, size and first bytes."""
    known, kind = ", ".join(FORMATS), ending(path)
    if path.is_dir():
        found = {ending(shard) for shard in shards(path)}
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
    nameless = wanted.ids is not None and FORMATS[kind][0] in (_npy, _words)
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
    return sorted(found, key=lambda file: natural(str(file)))


def map_npy(path: Path) -> np.memmap[Any, Any]:
    """Map the two-dimensional array of a .npy file."""
    with reading(path):
        mapped = cast("np.memmap[Any, Any]", np.load(path, mmap_mode="r", allow_pickle=False))
        left = path.stat().st_size - mapped.offset - mapped.nbytes
        found = f"{path} has {left:,} bytes after its array of shape {mapped.shape}: another array?"
        require(not left, f"{found} Save each to a file of its own, or all to an .npz")
        as_floats = np.dtype(float) if mapped.dtype.kind in "biuf" else mapped.dtype
        as_embeddings(np.broadcast_to(np.zeros((), as_floats), mapped.shape), str(path))  # no copy
    return mapped


def in_blocks(
    array: NDArray[Any], ids: NDArray[Any] | None, id_name: str | None, rows: int
) -> Iterator[Block]:
    """Yield the rows of an array, so many at a time, with their ids."""
    for start in range(0, len(array), rows):
        part = slice(start, start + rows)
        yield Block(None if ids is None else ids[part], np.array(array[part]), id_name)
        let_go(array)


def _npy(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    return in_blocks(map_npy(path), None, None, rows)


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


def _npz(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
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
            if ids.dtype.kind == "U":
                ids = ids.astype(TEXT)
            elif ids.dtype.kind in "SV":
                ids = as_text(ids.tolist(), uuids=ids.dtype.kind == "V")
        with archive.open(f"{vectors}.npy") as stream:
            (n, d), fortran, dtype = _header(stream)
            step = max(n, 1) if fortran else rows
            for start in range(0, n, step):
                k = min(step, n - start)
                numbers = np.frombuffer(stream.read(k * d * dtype.itemsize), dtype)
                block = numbers.reshape((k, d), order="F" if fortran else "C")
                yield Block(None if ids is None else ids[start : start + k], block, id_name)


def _safetensors(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
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


def _tables(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    from .tables import read_shards  # here, as it needs pyarrow

    yield from read_shards(shards(path), rows, wanted)


def _words(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
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


PLAIN = rb"(?!\x80|PAR1)[^\0]*\Z"  # no pickle, nor anything else that is no text
JSON = rb"(\xef\xbb\xbf)?\s*([{[]|\Z)"
GZIP = rb"\x1f\x8b"

FORMATS: dict[str, tuple[Callable[[Path, int, Wanted], Iterator[Block]], bytes]] = {
    ".npy": (_npy, rb"\x93NUMPY"),
    ".npz": (_npz, rb"PK(\x03\x04|\x05\x06)"),
    ".safetensors": (_safetensors, rb".{7}\0\{"),  # the header, after its length
    ".parquet": (_tables, rb"PAR1"),
    **dict.fromkeys((".arrow", ".feather"), (_tables, rb"ARROW1|\xff{4}")),
    **dict.fromkeys((".jsonl", ".ndjson"), (_tables, JSON)),
    **dict.fromkeys((".jsonl.gz", ".ndjson.gz", ".csv.gz", ".tsv.gz"), (_tables, GZIP)),
    **dict.fromkeys((".vec.gz", ".txt.gz"), (_words, GZIP)),
    **dict.fromkeys((".csv", ".tsv"), (_tables, PLAIN)),
    **dict.fromkeys((".vec", ".txt"), (_words, PLAIN)),
}
"""For each ending, what yields the file's blocks of so many rows, and how such a file begins."""
