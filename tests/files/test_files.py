"""Embedding files: every format gives the same vectors, and pairs are the same objects."""

import contextlib
import errno
import hashlib
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_files import WRITE, write_npz

from procrustes_lab import files
from procrustes_lab.files import FileError, outputs
from procrustes_lab.files.formats import TEXT


def vectors(n=20, d=3, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)


def id_type(path):
    return next(files.blocks(path)).ids.dtype


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("ending", WRITE)
def test_vectors_come_back_bit_for_bit(tmp_path, ending, dtype):
    rows = vectors(dtype=dtype)
    WRITE[ending](tmp_path / f"a{ending}", rows, [str(i) for i in range(20)])
    read = files.read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(read.rows, rows)
    assert read.rows.dtype == (np.float64 if ending == ".jsonl" else dtype)
    if ending == ".npy":
        assert read.ids is None
    else:
        assert read.ids.tolist() == [str(i) for i in range(20)]
        assert (id_type(tmp_path / f"a{ending}") == TEXT) == (ending != ".safetensors")


@pytest.mark.parametrize("ending", WRITE)
def test_blocks_are_the_whole_in_parts(tmp_path, ending):
    rows = vectors()
    WRITE[ending](tmp_path / f"a{ending}", rows, list(range(20)))
    blocks = list(files.blocks(tmp_path / f"a{ending}", 7))
    assert [len(block.rows) for block in blocks] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate([block.rows for block in blocks]), rows)
    if ending != ".npy":
        assert np.concatenate([block.ids for block in blocks]).tolist() == list(range(20))


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".jsonl", ".safetensors"])
def test_ids_are_optional(tmp_path, ending):
    WRITE[ending](tmp_path / f"a{ending}", vectors(), None)
    assert files.read(tmp_path / f"a{ending}").ids is None


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_columns_first_is_the_same_array(tmp_path, ending):
    WRITE[ending](tmp_path / f"a{ending}", np.asfortranarray(vectors()), None)
    np.testing.assert_array_equal(files.read(tmp_path / f"a{ending}").rows, vectors())


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet", ".jsonl"])
def test_whole_numbers_become_float64(tmp_path, ending):
    rows = np.arange(12, dtype=np.int8).reshape(4, 3)
    WRITE[ending](tmp_path / f"a{ending}", rows, None)
    read = files.read(tmp_path / f"a{ending}").rows
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, rows)


@pytest.mark.parametrize(
    "lists",
    [
        lambda flat: pa.FixedSizeListArray.from_arrays(flat, 3),
        lambda flat: pa.LargeListArray.from_arrays(pa.array(range(0, 61, 3), pa.int64()), flat),
        lambda flat: pa.FixedShapeTensorArray.from_numpy_ndarray(np.asarray(flat).reshape(20, 3)),
    ],
)
def test_lists_of_arrow_come_in_kinds(tmp_path, lists):
    ids = pa.array([f"d{i}" for i in range(20)]).dictionary_encode()
    table = pa.table({"key": ids, "v": lists(pa.array(vectors().ravel())), "score": [0.5] * 20})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=9)
    read = files.read(tmp_path / "a.parquet")
    np.testing.assert_array_equal(read.rows, vectors())
    assert (read.ids[19], read.id_name) == ("d19", "key")


def test_blank_lines_and_a_byte_order_mark_are_no_vectors(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"v": [1, 2]}\r\n\r\n{"v": [3, 4.5]}\n\n')
    np.testing.assert_array_equal(files.read(tmp_path / "a.jsonl").rows, [[1, 2], [3, 4.5]])


def paired(tmp_path, new_ids, old_ids):
    write_npz(tmp_path / "new.npz", vectors(len(new_ids)), new_ids)
    write_npz(tmp_path / "old.npz", vectors(len(old_ids), 5, seed=1), old_ids)
    return files.join(files.read(tmp_path / "new.npz"), files.read(tmp_path / "old.npz"))


def test_rows_of_one_id_are_paired_and_the_others_counted(tmp_path):
    rng = np.random.default_rng(0)
    new_ids = [f"d{i}" for i in rng.permutation(100)[:70]]
    old_ids = [f"d{i}" for i in rng.permutation(100)[:80]]
    pairs = paired(tmp_path, new_ids, old_ids)
    common = set(new_ids) & set(old_ids)
    assert (pairs.by, pairs.n) == ("id", len(common))
    assert (pairs.only_new, pairs.only_old) == (70 - pairs.n, 80 - pairs.n)
    x, y = (np.concatenate(side) for side in zip(*pairs.batches(9), strict=True))
    new, old = pairs.new.rows, pairs.old.rows
    expected = [(new[i], old[old_ids.index(id_)]) for i, id_ in enumerate(new_ids) if id_ in common]
    for side, rows in zip((x, y), zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(side, rows)
    np.testing.assert_array_equal(pairs.take([3, 0])[0], x[[3, 0]])


def test_the_same_ids_in_the_same_order_need_no_index(tmp_path):
    pairs = paired(tmp_path, ["a", "b"], ["a", "b"])
    assert (pairs.by, pairs.n, pairs.new_rows, pairs.old_rows) == ("id", 2, None, None)


def test_ids_are_compared_as_text(tmp_path):
    assert paired(tmp_path, [7, 8], ["8", "7"]).old_rows.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("new_ids", "old_ids", "said"),
    [
        (["a", "b", "a"], ["a", "b"], r"new.npz has the ids 'a' in rows 0 and 2"),
        (["a", "b"], [5, 6, 6], r"old.npz has the ids '6' in rows 1 and 2"),
        (
            ["a"],
            ["b"],
            r"no id of .*new.npz \(ids, such as 'a'\) is in .*old.npz \(ids, such as 'b'\);",
        ),
        (["a"], [1], r"no id of .* such as 'a'\) is in .* such as '1'\);"),
    ],
)
def test_ids_that_pair_nothing_or_too_much_are_refused(tmp_path, new_ids, old_ids, said):
    with pytest.raises(FileError, match=said):
        paired(tmp_path, new_ids, old_ids)


def test_without_ids_position_pairs(tmp_path):
    np.save(tmp_path / "new.npy", vectors())
    write_npz(tmp_path / "old.npz", vectors(), list(range(20)))
    new, old = files.read(tmp_path / "new.npy"), files.read(tmp_path / "old.npz")
    pairs = files.join(new, old)
    assert (pairs.by, pairs.n, pairs.only_new, pairs.only_old) == ("position", 20, 0, 0)
    np.save(tmp_path / "short.npy", vectors(19))
    with pytest.raises(FileError, match=r"19 rows and .*old.npz 20, with no ids in .*short.npy;"):
        files.join(files.read(tmp_path / "short.npy"), old)


def test_half_a_million_ids_are_joined_in_seconds(tmp_path):
    n = 500_000
    ids = np.char.add("document-", np.arange(n).astype(str))
    order = np.random.default_rng(0).permutation(n)
    new = files.Vectors(np.zeros((n, 1)), ids[order], tmp_path)
    pairs = files.join(new, files.Vectors(np.zeros((n, 1)), ids, tmp_path))
    np.testing.assert_array_equal(pairs.old_rows, order)


@pytest.mark.parametrize("ending", WRITE)
def test_a_bad_number_is_found_by_its_row_in_the_file(tmp_path, ending):
    rows = vectors(9000)
    rows[8500, 1] = np.nan
    WRITE[ending](tmp_path / f"a{ending}", rows, None)
    with pytest.raises(FileError, match=r"a\.\w+ has NaN in row 8500, column 1; expected finite"):
        list(files.blocks(tmp_path / f"a{ending}"))
    np.save(tmp_path / "old.npy", vectors(9000))
    with pytest.raises(FileError, match=r"a\.\w+ has NaN in row 8500, column 1"):
        list(
            files.join(
                files.read(tmp_path / f"a{ending}"), files.read(tmp_path / "old.npy")
            ).batches()
        )


def test_a_bad_number_is_found_by_its_row_when_joined_by_id(tmp_path):
    write_npz(tmp_path / "new.npz", vectors(), list(range(20)))
    new = files.read(tmp_path / "new.npz")
    rows = vectors()
    rows[4, 2] = np.inf
    old = files.Vectors(rows, new.ids[::-1], tmp_path / "old.npz")
    with pytest.raises(FileError, match=r"old.npz has an infinity in row 4, column 2"):
        list(files.join(old, new).batches(3))


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet", ".safetensors"])
def test_no_flipped_or_missing_byte_is_a_raw_error(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    WRITE[ending](path, vectors(4), list(range(4)))
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 150)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        for content in (damaged, whole[:position]):
            path.write_bytes(content)
            with contextlib.suppress(FileError):  # a flip in a number makes another number
                files.read(path)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"vectors")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"vectors").hexdigest()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("ids", [None, list(range(20)), [f"ü{i}" for i in range(20)]])
@pytest.mark.parametrize("ending", outputs.WRITERS)
def test_what_is_written_is_read_back(tmp_path, ending, ids, dtype):
    write_npz(tmp_path / "in.npz", vectors(dtype=dtype), ids)
    outputs.write(tmp_path / f"out{ending}", files.blocks(tmp_path / "in.npz", 7))
    read = files.read(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(read.rows, vectors(dtype=dtype))
    if ids is not None and ending != ".npy":
        assert read.ids.tolist() == [str(id_) for id_ in ids]
        written = id_type(tmp_path / f"out{ending}")
        assert written == TEXT if isinstance(ids[0], str) else written.kind in "iu"
    if ending == ".npy":
        assert np.load(tmp_path / "out.npy").dtype == dtype


@pytest.mark.parametrize("ending", outputs.WRITERS)
def test_big_endian_numbers_are_numbers(tmp_path, ending):
    np.savez(tmp_path / "in.npz", v=vectors().astype(">f4"), id=np.arange(20, dtype=">i8"))
    outputs.write(tmp_path / f"out{ending}", files.blocks(tmp_path / "in.npz", 7))
    read = files.read(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(read.rows, vectors())
    assert ending == ".npy" or read.ids.tolist() == [str(i) for i in range(20)]


def test_ids_that_numpy_would_cut_are_not_written_as_its_arrays(tmp_path):
    blocks = [files.Block(np.array(["a\0", "b"], TEXT), vectors(2), "id")]
    with pytest.raises(FileError, match="cannot hold ids that end in NUL"):
        outputs.write(tmp_path / "out.npz", iter(blocks))
    outputs.write(tmp_path / "out.parquet", iter(blocks))
    assert files.read(tmp_path / "out.parquet").ids.tolist() == ["a\0", "b"]


def test_a_full_temporary_folder_is_what_is_named(tmp_path, monkeypatch):
    write_npz(tmp_path / "in.npz", vectors(), None)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(FileError, match=r"in\.npz does not fit in .*; set TMPDIR to a folder"):
        files.read(tmp_path / "in.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "out.npy").write_text("old")

    def failing():
        yield files.Block(None, vectors(), None)
        raise FileError("row 17")

    with pytest.raises(FileError, match="row 17"):
        outputs.write(tmp_path / "out.npy", failing())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
