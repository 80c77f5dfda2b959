"""Tables, by pyarrow: Parquet, Arrow and Feather, CSV and JSON, one file or a folder of shards."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from io import BufferedReader, TextIOWrapper
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from .formats import Block, Column, FileError, Wanted, as_text, ending, is_number, natural, reading

Opened = tuple[dict[str, Column], Callable[[list[str]], Iterator[Any]]]
"""The columns of a file, and what yields record batches of those named: vectors, and ids if any."""

LINE_BYTES = 2**23  # of CSV and JSON read at a time; no line may be longer
BATCH_BYTES = 2**28  # the same of OpenAI's batches, where a line may hold 2,048 vectors
NUMBER, NUMBERS = pa.float64(), pa.list_(pa.float64())


def read_shards(shards: list[Path], rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of files of the same columns, one file after the other.

    Each is opened by itself: pyarrow's scanner of datasets holds a whole row group in memory.
    """
    for shard in shards:
        with reading(shard):
            columns, batches = OPENERS[ending(shard).removesuffix(".gz")](shard, rows)
            vectors, ids = wanted.pick(shard, columns)
            wanted = Wanted(vectors, ids, "auto" if ids else "position")  # of the next ones too
            row = 0
            for batch in batches([vectors] if ids is None else [vectors, ids]):
                for start in range(0, len(batch), rows):
                    yield from _blocks(batch.slice(start, rows), vectors, ids, shard, row + start)
                row += len(batch)


def _parquet(path: Path, rows: int) -> Opened:
    # Else a column chunk, which may be the whole file, is read at once.
    file = pa.parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    return _columns(file.schema_arrow), lambda names: file.iter_batches(rows, columns=names)


def _arrow(path: Path, rows: int) -> Opened:
    mapped = pa.memory_map(str(path))
    in_file = mapped.read(6) == b"ARROW1"
    mapped.seek(0)
    file = pa.ipc.open_file(mapped) if in_file else pa.ipc.open_stream(mapped)
    found = map(file.get_batch, range(file.num_record_batches)) if in_file else file

    def batches(_: list[str]) -> Iterator[Any]:
        for batch in found:
            batch.validate(full=True)  # pyarrow trusts the lengths in a file, and may crash
            yield batch

    return _columns(file.schema), batches


USES = {
    r"(large_|fixed_size_)?list<[^<]*: (u?int\d+|halffloat|float|double)\b[^<]*": "vectors",
    r"(large_)?string(_view)?": "text",
    r"u?int\d+|(large_)?binary(_view)?|fixed_size_binary.*": "ids",
}
"""What a column of Arrow can be, by its type, written out."""


def _columns(schema: Any) -> dict[str, Column]:
    """Return what the columns of Arrow can be."""

    def use(kind: Any) -> Any:
        stored = str(getattr(kind, "storage_type", kind))
        stored = str(kind.value_type) if stored.startswith("dictionary") else stored
        return next((use for types, use in USES.items() if re.fullmatch(types, stored)), "")

    return {field.name: Column(use(field.type), str(field.type)) for field in schema}


def _csv(path: Path, rows: int) -> Opened:
    """Open a table whose vectors are one column of lists, or many columns of numbers.

    Columns of numbers that are called alike and counted, such as dim_0 to dim_767, are a vector;
    so are all of them, where the table has no heading.
    """
    with TextIOWrapper(pa.input_stream(path), "utf-8-sig", "replace") as lines:
        heading = next(lines, "")
        delimiter = max(",;\t", key=heading.count)
        records = csv.reader(chain([heading], lines), delimiter=delimiter)
        names, sample = next(records, []), next(records, [])
    headed = not all(map(is_number, names)) or names == list(map(str, range(len(names))))
    if not headed:
        names, sample = [f"column_{i}" for i in range(len(names))], names
    values = dict(zip(names, sample, strict=False))
    families = _families(values)
    columns = {name: Column("vectors", f"{len(of)} columns") for name, of in families.items()}
    for name, value in values.items():
        if name not in chain(*families.values()):
            lists = value.lstrip().startswith(("[", "{", "("))
            columns[name] = Column("vectors" if lists else "text", "text")

    def batches(of: list[str]) -> Any:
        types: dict[str, Any] = {}
        for name in of:
            types |= dict.fromkeys(families.get(name, ()), NUMBER) or {name: pa.string()}
        chosen = {"include_columns": list(types), "column_types": types}
        return pa.csv.open_csv(
            path,
            pa.csv.ReadOptions(block_size=LINE_BYTES, column_names=names, skip_rows=int(headed)),
            pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(**chosen, null_values=[""], strings_can_be_null=True),
        )

    return columns, batches


def _families(values: dict[str, str]) -> dict[str, list[str]]:
    """Return the columns of numbers that are called alike and counted from 0 or 1, by name."""
    found: dict[str, dict[int, str]] = {}
    for name, value in values.items():
        match = re.fullmatch(r"(.*?)(\d+)", name)
        if match and is_number(value):
            found.setdefault(match[1].rstrip("_-. ") or "columns", {})[int(match[2])] = name
    return {
        stem: [family[number] for number in sorted(family)]
        for stem, family in found.items()
        if len(family) > 1 and max(family) - min(family) == len(family) - 1 and min(family) < 2
    }


def _json(path: Path, rows: int) -> Opened:
    """Open a file of one JSON object a line, whose types are those of the first."""
    try:
        with BufferedReader(pa.input_stream(path)) as lines:
            line = next(filter(bytes.strip, lines), b"")
        first = dict(json.loads(line.decode("utf-8-sig")).items())
    except (ValueError, AttributeError, RecursionError) as error:
        remedy = 'expected one a line, such as {"id": "a", "vector": [0.6, 0.8]}'
        raise FileError(f"{path} has no JSON object in its first line; {remedy}") from error

    def read(types: dict[str, Any], bytes_: int = LINE_BYTES) -> Any:
        only = pa.json.ParseOptions(pa.schema(types), unexpected_field_behavior="ignore")
        options = pa.json.ReadOptions(use_threads=False, block_size=bytes_)
        return pa.json.open_json(pa.input_stream(path), options, only)

    if {"custom_id", "response"} <= first.keys():
        item = pa.struct({"index": pa.int64(), "embedding": NUMBERS})
        response = pa.struct({"body": pa.struct({"data": pa.list_(item)})})
        answers = read({"custom_id": pa.string(), "response": response}, BATCH_BYTES)
        columns = {"embedding": Column("vectors", "answers"), "custom_id": Column("text", "text")}
        return columns, lambda _: _by_request(path, answers)
    types = {"text": pa.string(), "vectors": NUMBERS, "ids": pa.decimal128(38)}
    known = {str: Column("text", "text"), int: Column("ids", "whole number")}
    columns = {}
    for key, value in first.items():
        columns[key] = known.get(type(value), Column("", type(value).__name__))
        if isinstance(value, list) and value and {type(v) for v in value} <= {int, float}:
            columns[key] = Column("vectors", "list of numbers")
    return columns, lambda names: read({name: types[columns[name].use] for name in names})


def _by_request(path: Path, answers: Any) -> Iterator[Any]:
    """Yield the vectors of an answered batch of OpenAI's, whose lines come in any order.

    Each goes by its request's custom_id, and by its index in it where a request has several.
    """
    found = []
    for answer in chain.from_iterable(batch.to_pylist() for batch in answers):
        id_ = answer["custom_id"]
        items = ((answer["response"] or {}).get("body") or {}).get("data")
        if not items:
            failed = f"{path} has no vectors for the request {id_!r}, which failed"
            raise FileError(f"{failed}; send it again, or drop that line")
        for item in items:
            name = id_ if len(items) == 1 else f"{id_}/{item['index']}"
            found.append({"custom_id": name, "embedding": item["embedding"]})
    found.sort(key=lambda entry: natural(entry["custom_id"]))
    schema = pa.schema({"custom_id": pa.string(), "embedding": NUMBERS})
    yield from pa.Table.from_pylist(found, schema).to_batches()


def _blocks(batch: Any, vectors: str, id_name: str | None, path: Path, row: int) -> Iterator[Block]:
    """Yield a batch of Arrow's, which begins at `row` of the file; each block is of one width."""

    def column(name: str) -> Any:
        found = batch[name]
        if found.null_count:
            at = row + int(np.argmax(np.asarray(found.is_null())))
            raise FileError(f"{path} has no {name} in row {at}; fill it in, or drop that row")
        return getattr(found, "storage", found)

    ids = None if id_name is None else _ids(column(id_name))
    if vectors not in batch.schema.names:  # but many columns of numbers
        wide = [batch[name] for name in batch.schema.names if name != id_name]
        rows = np.stack([number.to_numpy(zero_copy_only=False) for number in wide], 1)
        yield Block(ids, rows, id_name)
        return
    lists = column(vectors)
    if not hasattr(lists, "value_lengths"):
        texts = enumerate(lists.to_pylist(), row)
        lists = pa.array([_numbers(text, path, at) for at, text in texts])
    lengths = np.asarray(lists.value_lengths())
    changes = np.flatnonzero(np.diff(lengths)) + 1
    for start, end in pairwise([0, *changes, len(lists)]):
        numbers = lists[start:end].flatten().to_numpy(zero_copy_only=False)
        of = None if ids is None else ids[start:end]
        yield Block(of, numbers.reshape(end - start, lengths[start]), id_name)


def _numbers(text: str, path: Path, row: int) -> Any:
    """Return a vector that is written out, as in "[0.1, 0.2]"."""
    try:
        return np.array(text.strip("[](){} \n").replace(",", " ").split(), float)
    except ValueError:
        shortened = "printing shortened it: write it again as a list, by .tolist()"
        remedy = shortened if "..." in text else "mend or drop that row"
        found = f"{path} has no list of numbers in row {row}, it begins {text[:24]!r}"
        raise FileError(f"{found}; {remedy}") from None


def _ids(column: Any) -> Any:
    column = column.dictionary_decode() if hasattr(column, "dictionary_decode") else column
    kind, values = str(column.type), column.to_pylist()
    if re.fullmatch(r"u?int\d+", kind):
        return np.asarray(column)
    if kind.startswith("decimal"):
        ids = np.array(list(map(int, values)))
        return ids if ids.dtype.kind in "iu" else as_text(values, uuids=False)
    return as_text(values, uuids=kind.startswith("fixed_size_binary"))


OPENERS: dict[str, Callable[[Path, int], Opened]] = {
    ".parquet": _parquet,
    **dict.fromkeys((".arrow", ".feather"), _arrow),
    **dict.fromkeys((".jsonl", ".ndjson"), _json),
    **dict.fromkeys((".csv", ".tsv"), _csv),
}
"""For each ending, what gives the columns of a file, and what yields its batches."""
