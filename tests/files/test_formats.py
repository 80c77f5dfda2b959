"""Every format that embeddings come in gives the right pairs, and ids are what is called so."""

import contextlib
import csv
import datetime
import decimal
import gzip
import json
import tracemalloc
import uuid

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import procrustes_lab as pl
from procrustes_lab import files
from procrustes_lab.files import FileError, Wanted

N, D = 40, 6
ROWS = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
IDS = [f"d{i}" for i in range(N)]


def lists(rows):
    return pa.array([row.tolist() for row in rows], pa.list_(pa.float32()))


def parquet_shards(path, rows, ids):
    path.mkdir()
    for part, at in enumerate(np.array_split(np.arange(len(rows)), 11)):
        table = pa.table({"doc_id": [ids[i] for i in at], "embedding": lists(rows[at])})
        pq.write_table(table, path / f"part-{part}.parquet")  # part 10 comes after part 2
    (path / "_SUCCESS").touch()


def feather(path, rows, ids):
    pa.feather.write_feather(pa.table({"id": ids, "v": lists(rows)}), path, chunksize=7)


def arrow_stream(path, rows, ids):
    table = pa.table({"id": ids, "v": lists(rows)})
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table, max_chunksize=9)


def csv_table(path, heading, records, delimiter=","):
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([heading, *records] if heading else records)


def csv_lists(path, rows, ids):
    written = zip(ids, rows, strict=True)
    csv_table(path, ["title", "id", "vector"], [["a, b", i, str(r.tolist())] for i, r in written])


def csv_columns(path, rows, ids):
    heading = ["", *(f"dim_{i}" for i in range(D)), "doc_id", "n_tokens"]
    written = enumerate(zip(ids, rows, strict=True))
    csv_table(path, heading, [[n, *r.tolist(), i, 7] for n, (i, r) in written])


def tsv_numpy(path, rows, ids):
    """Rows as NumPy prints them, broken over lines, as pandas writes arrays in cells."""
    written = zip(ids, rows, strict=True)
    csv_table(path, ["embedding", "uuid"], [[str(r.astype(float)), i] for i, r in written], "\t")


def jsonl_text(path, rows, ids):
    written = zip(ids, rows, strict=True)
    lines = [json.dumps({"id": i, "embedding": str(r.tolist())}) + "\n" for i, r in written]
    path.write_bytes(gzip.compress("".join(lines).encode()))


def ndjson(path, rows, ids):
    written = zip(ids, rows, strict=True)
    path.write_text("".join(json.dumps({"_id": i, "v": r.tolist()}) + "\n" for i, r in written))


def pgvector(path, rows, ids):
    pq.write_table(pa.table({"id": ids, "embedding": [str(r.tolist()) for r in rows]}), path)


def batch_of_requests(path, rows, ids):
    order = np.random.default_rng(1).permutation(N)
    lines = []
    for i in order:
        data = [{"object": "embedding", "index": 0, "embedding": rows[i].tolist()}]
        response = {"status_code": 200, "body": {"object": "list", "data": data, "model": "m"}}
        answer = {"id": f"batch_req_{i}", "custom_id": ids[i], "response": response, "error": None}
        lines.append(json.dumps(answer) + "\n")
    path.write_text("".join(lines))


def word2vec(path, rows, ids):
    lines = [f"{i} {' '.join(map(str, r.tolist()))} \n" for i, r in zip(ids, rows, strict=True)]
    path.write_text(f"{N} {D}\n" + "".join(lines))


def glove(path, rows, ids):
    lines = [f"{i} {' '.join(map(str, r.tolist()))}\n" for i, r in zip(ids, rows, strict=True)]
    path.write_text("".join(lines))


FORMATS = {
    "shards": parquet_shards,
    "v.feather": feather,
    "v.arrow": arrow_stream,
    "lists.csv": csv_lists,
    "columns.csv": csv_columns,
    "v.tsv": tsv_numpy,
    "v.jsonl.gz": jsonl_text,
    "v.ndjson": ndjson,
    "pgvector.parquet": pgvector,
    "batch.jsonl": batch_of_requests,
    "v.vec": word2vec,
    "glove.txt": glove,
}


@pytest.mark.parametrize("name", FORMATS)
def test_two_files_of_any_format_give_the_right_pairs(tmp_path, name):
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0].astype(np.float32)
    order = np.random.default_rng(3).permutation(N)
    for side, rows, at in (("old", ROWS, np.arange(N)), ("new", ROWS @ turn.T, order)):
        (tmp_path / side).mkdir()
        FORMATS[name](tmp_path / side / name, rows[at], [IDS[i] for i in at])
    new, old = (files.read(tmp_path / side / name) for side in ("new", "old"))
    pairs = files.join(new, old)
    assert (pairs.by, pairs.n, pairs.only_new, pairs.only_old) == ("id", N, 0, 0)
    assert pl.certify(*pairs.take(range(N))).error < 1e-11
    np.testing.assert_allclose(old.rows, ROWS, atol=1e-7)  # in the order of shards and requests
    assert pairs.matching.startswith(f"{N} pairs by id ({old.id_name} in {old.path}, ")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "shards"])
def test_vectors_by_position_come_in_the_files_order_without_ids(tmp_path, name):
    FORMATS[name](tmp_path / name, ROWS, IDS)
    read = files.read(tmp_path / name, wanted=Wanted(by="position"))
    assert read.ids is None
    np.testing.assert_allclose(read.rows, ROWS, atol=1e-7)


def test_brain_floats_are_read_as_they_are(tmp_path):
    rows = ROWS.astype(ml_dtypes.bfloat16)
    save_file({"v": rows}, tmp_path / "v.safetensors")
    read = files.read(tmp_path / "v.safetensors").rows
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rows.astype(np.float32))


def test_rows_of_bare_numbers_have_no_words(tmp_path):
    np.savetxt(tmp_path / "v.txt", ROWS)
    np.savetxt(tmp_path / "v.csv", ROWS, delimiter=",")
    for name in ("v.txt", "v.csv"):
        read = files.read(tmp_path / name)
        assert read.ids is None
        np.testing.assert_allclose(read.rows, ROWS, rtol=1e-7)


def test_columns_of_a_frame_are_called_by_their_numbers(tmp_path):
    csv_table(tmp_path / "v.csv", ["", *map(str, range(D))], [[i, *r] for i, r in enumerate(ROWS)])
    np.testing.assert_allclose(files.read(tmp_path / "v.csv").rows, ROWS, rtol=1e-6)


def test_words_may_hold_spaces(tmp_path):
    (tmp_path / "v.vec").write_text("3 2\nnew york 1 2\n. . . 3 4\n0.5 5 6\n")
    read = files.read(tmp_path / "v.vec")
    assert read.ids.tolist() == ["new york", ". . .", "0.5"]
    np.testing.assert_array_equal(read.rows, [[1, 2], [3, 4], [5, 6]])


def test_a_request_with_several_texts_keeps_their_order(tmp_path):
    data = [{"index": i, "embedding": [i, 1.5]} for i in (1, 0)]
    lines = [{"custom_id": f"r-{k}", "response": {"body": {"data": data}}} for k in (10, 9)]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, lines)))
    read = files.read(tmp_path / "v.jsonl")
    assert read.ids.tolist() == ["r-9/0", "r-9/1", "r-10/0", "r-10/1"]
    assert read.rows[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "shards"])
def test_no_flipped_or_missing_byte_is_more_than_a_sentence(tmp_path, name):
    path = tmp_path / name
    FORMATS[name](path, ROWS, IDS)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        for content in (damaged, whole[:position]):
            path.write_bytes(content)
            with contextlib.suppress(FileError):  # a flip in a number makes another number
                files.read(path)


# Ids

UUIDS = [uuid.UUID(int=(i + 1) << 80) for i in range(4)]


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pa.array([u.bytes for u in UUIDS], pa.binary(16)), list(map(str, UUIDS))),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([u.bytes for u in UUIDS], pa.binary(16))
            ),
            list(map(str, UUIDS)),
        ),
        (pa.array([b"a", b"\xff\x00", b"c", b"d"]), ["a", "ff00", "c", "d"]),
        (pa.array([2**64 - 1, 2**63, 1, 0], pa.uint64()), [str(2**64 - 1), str(2**63), "1", "0"]),
        (pa.array(["a", "b"] * 2).dictionary_encode(), ["a", "b", "a", "b"]),
        (pa.array(["a\0", "a", "\0a", ""]), ["a\0", "a", "\0a", ""]),
    ],
)
@pytest.mark.parametrize("name", ["id", "doc_uuid", "docId", "pk"])
def test_ids_of_many_types_are_read(tmp_path, name, column, read):
    pq.write_table(pa.table({"v": lists(ROWS[:4]), name: column}), tmp_path / "v.parquet")
    assert files.read(tmp_path / "v.parquet").ids.tolist() == read


def test_ids_in_json_may_be_any_whole_number(tmp_path):
    (tmp_path / "v.jsonl").write_text(
        "".join(f'{{"id": {2**63 + i * 10**20}, "v": [1, {i}]}}\n' for i in range(3))
    )
    assert files.read(tmp_path / "v.jsonl").ids.tolist() == [
        str(2**63 + i * 10**20) for i in range(3)
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0.5, 1.5]),
        pa.array([decimal.Decimal("1.0"), decimal.Decimal("2.0")]),
        pa.array([datetime.date(2020, 1, 1)] * 2),
        pa.array([True, False]),
    ],
)
def test_what_cannot_be_an_id_is_refused_only_where_it_is_called_one(tmp_path, column):
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"v": lists(ROWS[:2]), "doc_uuid": column}), path)
    said = r"as doc_uuid; expected whole numbers, text, uuid or bytes: .* or pair rows by --by posi"
    with pytest.raises(FileError, match=said):
        files.read(path)
    assert files.read(path, wanted=Wanted(by="position")).ids is None
    pq.write_table(pa.table({"v": lists(ROWS[:2]), "score": column}), path)
    assert files.read(path).ids is None
    with pytest.raises(FileError, match="as score; expected whole numbers"):
        files.read(path, wanted=Wanted(ids="score"))


@pytest.mark.parametrize("name", ["n_tokens", "created", "year", "labels", "valid", "grid", "bid"])
def test_a_column_of_unique_numbers_is_no_id(tmp_path, name):
    pq.write_table(pa.table({name: range(N), "v": lists(ROWS)}), tmp_path / "v.parquet")
    np.savez(tmp_path / "v.npz", v=ROWS, **{name: np.arange(N)})
    for ending in (".parquet", ".npz"):
        assert files.read(tmp_path / f"v{ending}").ids is None
        asked = files.read(tmp_path / f"v{ending}", wanted=Wanted(ids=name))
        assert (asked.ids.tolist(), asked.id_name) == (list(map(str, range(N))), name)


def test_columns_that_are_asked_for_are_taken_or_said_to_be_missing(tmp_path):
    np.savez(tmp_path / "v.npz", a=ROWS, b=-ROWS, doc_id=IDS, chunk_id=IDS[::-1])
    wanted = Wanted(vectors="b", ids="chunk_id")
    read = files.read(tmp_path / "v.npz", wanted=wanted)
    np.testing.assert_array_equal(read.rows, -ROWS)
    assert read.ids.tolist() == IDS[::-1]
    with pytest.raises(FileError, match=r"v\.npz has no c; it holds a \(float32, shape"):
        files.read(tmp_path / "v.npz", wanted=Wanted(vectors="c"))
    with pytest.raises(FileError, match=r"its vectors, a, b; .* name one of them by --vector"):
        files.read(tmp_path / "v.npz")
    with pytest.raises(FileError, match=r"its ids, doc_id, chunk_id; .* name one of them by --id"):
        files.read(tmp_path / "v.npz", wanted=Wanted(vectors="a"))


def test_pairs_by_id_need_ids_in_both(tmp_path):
    np.savez(tmp_path / "old.npz", v=ROWS, id=IDS)
    np.save(tmp_path / "new.npy", ROWS)
    new, old = files.read(tmp_path / "new.npy"), files.read(tmp_path / "old.npz")
    with pytest.raises(FileError, match=r"there are no ids in .*new\.npy; name them by --id"):
        files.join(new, old, "id")
    assert "Caution" in files.join(new, old).matching
    assert files.join(old, old, "position").by == "position"


def test_one_long_id_does_not_make_room_for_all(tmp_path):
    n = 300_000
    ids = pa.array(["x" * 1000, *(f"document {i}" for i in range(1, n))])
    ones = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(n, np.float32)), 1)
    pq.write_table(pa.table({"id": ids, "v": ones}), tmp_path / "v.parquet")
    del ids, ones
    tracemalloc.start()
    read = files.read(tmp_path / "v.parquet")
    pairs = files.join(read, read)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairs.n == n
    assert peak < 1e8  # padded, they took 1.2 GB a copy


# Refused, in one sentence


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: (p / "v.pt").write_bytes(b"PK"), "tensor.float"),
        (lambda p: (p / "v.json").write_text("[]"), "jq -c"),
        (lambda p: (p / "v.faiss").write_text("x"), "reconstruct_n"),
        (lambda p: (p / "v.zst").write_text("x"), "unpack it first"),
        (lambda p: (p / "v").mkdir(), "is a folder; expected a file"),
        (lambda p: ((p / "v").mkdir(), np.save(p / "v/a.npy", ROWS)), "is a folder; expected"),
        (lambda p: (p / "v.csv").write_text("id,title\n1,a\n"), "has no vectors, it holds id"),
        (lambda p: (p / "v.csv").write_text("v\n[1 2 ... 3]\n"), "printing shortened it"),
        (lambda p: (p / "v.csv").write_text("d0,d1\n1,2\n3\n"), "Expected 2 columns, got 1"),
        (lambda p: (p / "v.csv").write_text("d0,d1\n1,2\n,3\n"), "NaN in row 1, column 0"),
        (lambda p: (p / "v.csv").write_text("d0,d1\n1,2\nx,3\n"), "damaged: In CSV column"),
        (lambda p: (p / "v.txt").write_text("a 1 2\nb 1\n"), "no 2 numbers after a word in line 2"),
        (
            lambda p: (p / "v.txt").write_text("a 1 2\nb 1 c\n"),
            "no 2 numbers after a word in line 2",
        ),
        (lambda p: (p / "v.csv.gz").write_text("a,b\n"), "begins like none of"),
        (
            lambda p: (p / "v.jsonl").write_text('{"custom_id": "r", "response": null}\n'),
            "no vectors for the request 'r', which failed; send it again",
        ),
    ],
)
def test_what_is_not_read_names_the_way(tmp_path, make, said):
    make(tmp_path)
    (path,) = tmp_path.iterdir()
    with pytest.raises(FileError) as error:
        files.read(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
