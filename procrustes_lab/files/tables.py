"""Tables, by pyarrow: Parquet, Arrow and Feather, CSV and JSON, one file or a folder of shards."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .columns import (
    TEXT,
    Block,
    Column,
    FileError,
    Wanted,
    bytes_as_text,
    import_package,
    natural,
    opened,
    ragged,
    vectors_from_text,
)

Batches = Callable[[str, str | None], Iterator[Any]]
"""Given the names of vectors and ids, yields record batches that have them."""

LINE_BYTES = 2**23
"""Of CSV and JSON read at a time; no line may be longer."""

BATCH_BYTES = 2**28
"""The same of OpenAI's batches, where one line may hold the vectors of 2,048 texts."""


def read_shards(shards: list[Path], path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield the rows of files of the same columns, one file after the other.

    Each is opened by itself: pyarrow's scanner of datasets holds a whole row group in memory.
    """
    arrow = import_package("pyarrow", path)
    names: tuple[str, str | None] | None = None
    row = 0
    for shard in shards:
        try:
            columns, batches = OPENERS[ending(shard)](shard, rows)
            names = names or wanted.pick(path, columns)
            if missing := [name for name in names if name is not None and name not in columns]:
                raise FileError(f"{shard} has no {missing[0]}, which {shards[0].name} has; add it")
            for batch in batches(*names):
                for start in range(0, len(batch), rows):
                    part = batch.slice(start, rows)
                    yield _block(part, *names, shard, row)
                    row += len(part)
        except MemoryError as error:
            raise FileError(
                f"{shard} asks for more memory than there is: it is damaged, or has too large "
                "groups of rows; write it again"
            ) from error
        except arrow.ArrowInvalid as error:
            if OPENERS[ending(shard)] in (_parquet, _arrow):
                raise
            why = str(error).splitlines()[0]
            raise FileError(f"{shard} cannot be read: {why}; mend it, or write it again") from error


def ending(path: Path) -> str:
    """Return the ending of a name, with the one before it where the file is compressed."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return "".join(suffixes if suffixes[-1:] == [".gz"] else suffixes[-1:])


def _parquet(path: Path, rows: int) -> tuple[dict[str, Column], Batches]:
    parquet = import_package("pyarrow.parquet", path)
    # Else a column chunk, which may be the whole file, is read at once.
    file = parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    return _columns(file.schema_arrow), lambda *names: file.iter_batches(
        rows, columns=[name for name in names if name is not None]
    )


def _arrow(path: Path, rows: int) -> tuple[dict[str, Column], Batches]:
    arrow = import_package("pyarrow", path)
    mapped = arrow.memory_map(str(path))
    if mapped.read(6) == b"ARROW1":
        file = arrow.ipc.open_file(mapped)
        schema, found = file.schema, map(file.get_batch, range(file.num_record_batches))
    else:
        mapped.seek(0)
        file = arrow.ipc.open_stream(mapped)
        schema, found = file.schema, file

    def batches(*names: str | None) -> Iterator[Any]:
        for batch in found:
            batch.validate(full=True)  # pyarrow trusts the lengths in a file, and may crash
            yield batch

    return _columns(schema), batches


def _csv(path: Path, rows: int) -> tuple[dict[str, Column], Batches]:
    """Open a table whose vectors are one column of lists, or many columns of numbers.

    Columns of numbers that are called alike and counted, such as dim_0 to dim_767, are a vector;
    so are all of them, where the table has no heading.
    """
    arrow, reader = import_package("pyarrow", path), import_package("pyarrow.csv", path)
    with opened(path) as file:
        lines = (line.decode("utf-8-sig", "replace") for line in file)
        heading = next(lines, "")
        delimiter = max(",;\t", key=heading.count)
        records = csv.reader(chain([heading], lines), delimiter=delimiter)
        names, sample = next(records, []), next(records, [])
    headed = not all(map(is_number, names)) or names == list(map(str, range(len(names))))
    if not headed:
        names, sample = [f"column_{i}" for i in range(len(names))], names
    values = dict(zip(names, sample, strict=False))
    families = _families(values)
    inside = {name for family in families.values() for name in family}
    columns = {name: Column("vectors", f"{len(of)} columns") for name, of in families.items()}
    for name, value in values.items():
        if name not in inside:
            lists = value.lstrip().startswith(("[", "{", "("))
            columns[name] = Column("vectors" if lists else "text", "text")

    def batches(vectors: str, ids: str | None) -> Iterator[Any]:
        numbers, text = arrow.float64(), arrow.string()
        types = dict.fromkeys(families.get(vectors, ()), numbers) or {vectors: text}
        types |= {} if ids is None else {ids: text}
        chosen = {"include_columns": list(types), "column_types": types}
        yield from reader.open_csv(
            path,
            reader.ReadOptions(block_size=LINE_BYTES, column_names=names, skip_rows=int(headed)),
            reader.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            reader.ConvertOptions(**chosen, null_values=[""], strings_can_be_null=True),
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


def is_number(text: str) -> bool:
    """Tell whether a text is a number."""
    with suppress(ValueError):
        return float(text) is not None
    return False


def _json(path: Path, rows: int) -> tuple[dict[str, Column], Batches]:
    """Open a file of one JSON object a line, whose types are those of the first."""
    arrow, reader = import_package("pyarrow", path), import_package("pyarrow.json", path)
    with opened(path) as file:
        line = next((line for line in file if line.strip()), None)
    if line is None:
        raise FileError(f"{path} has no rows; expected at least one vector")
    try:
        first = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not JSON in its first line; mend or drop that line") from error
    if not isinstance(first, dict):
        raise FileError(
            f"{path} has no JSON object in its first line; expected one a line, such as "
            '{"id": "a", "vector": [0.6, 0.8]}'
        )
    number, text = arrow.float64(), arrow.string()
    types = {"text": text, "vectors": arrow.list_(number), "ids": arrow.decimal128(38)}

    def read(schema: Any, bytes_: int = LINE_BYTES) -> Any:
        return reader.open_json(
            arrow.input_stream(path, compression="detect"),
            reader.ReadOptions(use_threads=False, block_size=bytes_),
            reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )

    if {"custom_id", "response"} <= first.keys():
        item = arrow.struct({"index": arrow.int64(), "embedding": arrow.list_(number)})
        body = arrow.struct({"body": arrow.struct({"data": arrow.list_(item)})})
        answers = read(arrow.schema({"custom_id": text, "response": body}), BATCH_BYTES)
        words = {"embedding": Column("vectors", "answers"), "custom_id": Column("text", "text")}
        return words, lambda *names: iter(_by_request(path, answers, arrow))
    columns = {key: _describe(value) for key, value in first.items()}
    return columns, lambda *names: read(
        arrow.schema({name: types[columns[name].use] for name in names if name is not None})
    )


def _describe(value: Any) -> Column:
    """Return what a value of JSON can be."""
    if isinstance(value, list) and value and {type(v) for v in value} <= {int, float}:
        return Column("vectors", "list of numbers")
    known = {str: Column("text", "text"), int: Column("ids", "whole number")}
    return known.get(type(value), Column("", type(value).__name__))


def _by_request(path: Path, answers: Any, arrow: Any) -> list[Any]:
    """Return the vectors of an answered batch of OpenAI's, whose lines come in any order.

    Each goes by its request's custom_id, and by its index in it where a request has several.
    """
    found = []
    for answer in chain.from_iterable(batch.to_pylist() for batch in answers):
        id_ = answer["custom_id"]
        items = ((answer["response"] or {}).get("body") or {}).get("data")
        if not items:
            raise FileError(
                f"{path} has no vectors for the request {id_!r}, which failed; send it again, or "
                "drop that line"
            )
        for item in items:
            name = id_ if len(items) == 1 else f"{id_}/{item['index']}"
            found.append({"custom_id": name, "embedding": item["embedding"]})
    found.sort(key=lambda entry: natural(entry["custom_id"]))
    vectors = arrow.list_(arrow.float64())
    schema = arrow.schema({"custom_id": arrow.string(), "embedding": vectors})
    return list(arrow.Table.from_pylist(found, schema).to_batches())


def _columns(schema: Any) -> dict[str, Column]:
    """Return what the columns of Arrow can be."""
    types = import_package("pyarrow", Path()).types

    def use(kind: Any) -> Any:
        kind = getattr(kind, "storage_type", kind)
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            number = types.is_floating(kind.value_type) or types.is_integer(kind.value_type)
            return "vectors" if number else ""
        kind = kind.value_type if types.is_dictionary(kind) else kind
        if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
            return "text"
        return "ids" if types.is_integer(kind) or _is_binary(kind, types) else ""

    return {field.name: Column(use(field.type), str(field.type)) for field in schema}


def _is_binary(kind: Any, types: Any) -> bool:
    tests = types.is_fixed_size_binary, types.is_binary, types.is_large_binary, types.is_binary_view
    return any(test(kind) for test in tests)


def _block(batch: Any, vectors: str, name: str | None, path: Path, row: int) -> Block:
    """Return a batch of Arrow's as vectors and ids."""
    ids = None
    if name is not None:
        ids = _ids(_column(batch, name, path, row), import_package("pyarrow", path).types)
    if vectors not in batch.schema.names:  # but many columns of numbers
        wide = [batch.column(i) for i, c in enumerate(batch.schema.names) if c != name]
        return Block(ids, np.stack([c.to_numpy(zero_copy_only=False) for c in wide], 1), name)
    column = _column(batch, vectors, path, row)
    if not hasattr(column, "value_lengths"):
        return Block(ids, vectors_from_text(column.to_pylist(), path, row), name)
    lengths = np.asarray(column.value_lengths())
    odd = np.flatnonzero(lengths != lengths[:1])
    if len(odd):
        raise ragged(path, f"row {row + odd[0]}", lengths[odd[0]], lengths[0])
    numbers, width = column.flatten(), int(lengths[0])
    if numbers.null_count:
        at = int(np.argmax(np.asarray(numbers.is_null())))
        raise FileError(
            f"{path} has no number in row {row + at // width}, column {at % width}; expected "
            "finite numbers: drop that row from both sides"
        )
    return Block(ids, numbers.to_numpy(zero_copy_only=False).reshape(len(column), width), name)


def _column(batch: Any, name: str, path: Path, row: int) -> Any:
    """Return a column, without a gap in it, as Arrow stores it."""
    column = batch.column(batch.schema.get_field_index(name))
    if column.null_count:
        at = row + int(np.argmax(np.asarray(column.is_null())))
        raise FileError(f"{path} has no {name} in row {at}; fill it in, or drop that row")
    return getattr(column, "storage", column)


def _ids(column: Any, types: Any) -> NDArray[Any]:
    column = column.dictionary_decode() if types.is_dictionary(column.type) else column
    if _is_binary(column.type, types):
        uuids = types.is_fixed_size_binary(column.type)
        return bytes_as_text(column.to_pylist(), uuids)
    if types.is_decimal(column.type):
        ids = np.array(list(map(int, column.to_pylist())))
        return ids if ids.dtype.kind in "iu" else ids.astype(str).astype(TEXT)
    if types.is_integer(column.type):
        return np.asarray(column)
    return np.array(column.to_pylist(), TEXT)


def read_words(path: Path, rows: int, wanted: Wanted) -> Iterator[Block]:
    """Yield word vectors as word2vec, GloVe and fastText write them; or rows of bare numbers.

    A word may hold spaces: the numbers are the last on the line, as many as on the first.
    """
    with opened(path) as file:
        lines = _numbered(file)
        first = next(lines, (1, [""]))
        headed = len(first[1]) == 2 and all(field.isdecimal() for field in first[1])
        bare = not headed and is_number(first[1][0])
        width = int(first[1][1]) if headed else len(first[1]) - (not bare)
        lines = lines if headed else chain([first], lines)
        name = None if bare or wanted.by == "position" else "word"
        while block := list(islice(lines, rows)):
            try:
                matrix = np.array([fields[-width:] for _, fields in block], float)
            except ValueError:
                matrix = np.empty((0, 0))
            short = [n for n, fields in block if len(fields) < width + (not bare)]
            if short or matrix.shape[1] != width:
                where = f"line {short[0]}" if short else f"lines {block[0][0]} to {block[-1][0]}"
                raise FileError(
                    f"{path} has no {width} numbers after each word in {where}; mend or drop it"
                )
            words = [" ".join(fields[:-width]) for _, fields in block]
            yield Block(np.array(words, TEXT) if name else None, matrix, name)


def _numbered(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of lines that are not blank, after their numbers."""
    for number, line in enumerate(file, start=1):
        text = line.decode(errors="backslashreplace").strip("\ufeff\r\n\t ")
        if text:
            yield number, re.split(r"[ \t]", text)


OPENERS: dict[str, Callable[[Path, int], tuple[dict[str, Column], Batches]]] = {
    ".parquet": _parquet,
    **dict.fromkeys((".arrow", ".feather"), _arrow),
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"), _json),
    **dict.fromkeys((".csv", ".tsv", ".csv.gz", ".tsv.gz"), _csv),
}
"""For each ending, what gives the columns of a file, and what yields its batches."""
