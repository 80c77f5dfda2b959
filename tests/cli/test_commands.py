"""The commands on a user's own files: the library's numbers, and nothing lost on bad input."""

import io
import json
import os
import pickle
import re
import resource
import signal
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_files import WRITE
from safetensors.numpy import save_file

import procrustes_lab as pl
from procrustes_lab import files
from procrustes_lab.cli import commands
from procrustes_lab.cli import main as cli
from procrustes_lab.files.outputs import Adapter
from procrustes_lab.search.choose import choose

N = 60


def rotated_pair(n=N, d_new=8, d_old=8, noise=0.0, seed=0):
    """Return new vectors, the same carried into another space, and what carries them."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(max(d_new, d_old),) * 2))[0][:d_new, :d_old]
    new = rng.normal(size=(n, d_new))
    return new, new @ turn + noise * rng.normal(size=(n, d_old)), turn


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["procrustes-lab", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code or 0


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run commands in a folder of their own, and return what they print."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = command(monkeypatch, *arguments)
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, "")
        return printed.out

    return run


# What comes of good files


@pytest.mark.parametrize("ending", WRITE)
def test_every_format_gives_the_librarys_numbers(run, tmp_path, ending):
    x, y, _ = rotated_pair(d_new=8, d_old=6, noise=0.1)
    x, y = x.astype(np.float32), y.astype(np.float32)
    ids = [str(i) for i in range(N)]
    WRITE[ending](tmp_path / f"new{ending}", x, ids)
    WRITE[ending](tmp_path / f"old{ending}", y, ids)

    said = json.loads(run("certify", f"old{ending}", f"new{ending}", "--json"))
    for name, value in vars(pl.certify(x, y)).items():
        expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-12)
        assert said["certificate"][name] == expected
    by = "position" if ending == ".npy" else "id"
    assert (said["by"], said["pairs"], said["only_old"], said["only_new"]) == (by, N, 0, 0)
    assert f"{pl.certify(x, y)}\n" in run("certify", f"old{ending}", f"new{ending}")

    out = run("fit", f"old{ending}", f"new{ending}", "-o", "adapter.npz", "--map", "turn")
    assert out.endswith("Wrote adapter.npz (new → old).\n")
    expected = pl.align(x, y)
    np.testing.assert_allclose(pl.Alignment.load("adapter.npz").map, expected.map, atol=1e-12)
    adapter = Adapter.load("adapter.npz")
    assert adapter.source_sha256 == files.sha256(f"new{ending}")
    assert adapter.target_sha256 == files.sha256(f"old{ending}")
    assert adapter.certificate.error == pytest.approx(pl.certify(x, y).error)

    moved = expected.apply(x).astype(np.float64 if ending == ".jsonl" else np.float32)
    for out in (".npy", ".npz", ".parquet", ".jsonl"):
        assert "Wrote 60 vectors of 6 dimensions" in run(
            "apply", "adapter.npz", f"new{ending}", f"moved{out}"
        )
        read = files.read(f"moved{out}")
        np.testing.assert_allclose(read.rows, moved, rtol=1e-6, atol=1e-6)
        kept = ending != ".npy" and out != ".npy"
        assert (None if read.ids is None else read.ids.tolist()) == (ids if kept else None)


@pytest.mark.parametrize("in_memory", [0, commands.IN_MEMORY])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_planted_rotation_is_recovered(run, monkeypatch, dtype, in_memory):
    monkeypatch.setattr(commands, "IN_MEMORY", in_memory)
    x, y, turn = rotated_pair(n=500)
    np.save("new.npy", x.astype(dtype))
    np.save("old.npy", y.astype(dtype))
    run("fit", "old.npy", "new.npy", "-o", "adapter.npz", "--map", "turn")
    # The rounding of the inputs is all that stands between the two.
    precision = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(pl.Alignment.load("adapter.npz").map, turn, atol=4 * precision)
    run("apply", "adapter.npz", "new.npy", "moved.npy")
    moved = np.load("moved.npy")
    assert moved.dtype == dtype
    np.testing.assert_allclose(moved, y, atol=8 * precision * np.abs(y).max())
    said = json.loads(run("certify", "old.npy", "moved.npy", "--json"))["certificate"]
    left = np.mean(np.sum((moved.astype(float) - np.load("old.npy")) ** 2, axis=1))
    assert said["error"] <= left + 1e-14 * said["energy"]  # the best map is no worse than none


def test_rows_are_joined_by_id_and_the_rest_is_counted(run, tmp_path):
    x, y, turn = rotated_pair()
    order = np.random.default_rng(1).permutation(N)[:50]
    WRITE[".parquet"](tmp_path / "new.parquet", x[order], [f"d{i}" for i in order])
    WRITE[".jsonl"](tmp_path / "old.jsonl", y[5:], [f"d{i}" for i in range(5, N)])
    both = len(set(order) & set(range(5, N)))
    said = json.loads(run("certify", "old.jsonl", "new.parquet", "--json"))
    assert (said["pairs"], said["only_new"], said["only_old"]) == (both, 50 - both, 55 - both)
    out = run("fit", "old.jsonl", "new.parquet", "-o", "adapter.npz", "--map", "turn")
    assert out.startswith(
        f"{both} pairs by id (_id in old.jsonl, doc_id in new.parquet); "
        f"{55 - both} only in old.jsonl, {50 - both} in new.parquet.\n"
    )
    np.testing.assert_allclose(pl.Alignment.load("adapter.npz").map, turn, atol=1e-12)


def test_ids_in_one_file_alone_are_said_to_be_of_no_use(run, tmp_path):
    x, y, _ = rotated_pair()
    np.save("new.npy", x)
    WRITE[".npz"](tmp_path / "old.npz", y, list(range(N)))
    assert run("certify", "old.npz", "new.npy").startswith(
        "60 pairs by position: row i of both must be the same object. Caution: old.npz has ids "
        "(ids), the other file has none, so nothing shows that the rows are in the same order.\n"
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("turn", {}),
        ("centred", {"center": True}),
        ("whitened 0.25", {"whiten": 0.25}),
        ("centred, whitened 0.1", {"center": True, "whiten": 0.1}),
    ],
)
def test_a_map_by_name_is_the_librarys(run, name, options):
    x, y, _ = rotated_pair(noise=0.3)
    np.save("new.npy", x + 3)
    np.save("old.npy", y - 1)
    out = run("fit", "old.npy", "new.npy", "-o", "adapter.npz", "--map", name)
    assert f"\nThe map is {name!r}, as asked for.\nIts ten best scores are " in out
    adapter = Adapter.load("adapter.npz")
    assert (adapter.name, adapter.for_queries) == (name, True)
    assert np.isnan(adapter.kept).all()
    expected = pl.align(x + 3, y - 1, **options)
    np.testing.assert_allclose(adapter.alignment.map, expected.map, atol=1e-9)
    for method, place in (("query", []), ("apply", ["--place"])):
        run("apply", "adapter.npz", "new.npy", "moved.npy", *place)
        moved = getattr(expected, method)(x + 3)
        np.testing.assert_allclose(np.load("moved.npy"), moved, atol=1e-8)


def test_the_map_is_chosen_by_held_out_pairs_and_says_what_it_keeps(run, monkeypatch):
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    x = rng.normal(size=(600, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = x @ turn + 0.01 * rng.normal(size=x.shape)
    np.save("old.npy", y)
    for shift in (0, rng.normal(size=16)):
        np.save("new.npy", x + shift)
        expected = choose(x + shift, y, seed=3)
        for in_memory in (2**28, 0):  # from arrays, and from moments and a sample
            monkeypatch.setattr(commands, "IN_MEMORY", in_memory)
            out = run("fit", "old.npy", "new.npy", "-o", "adapter.npz", "--seed", 3)
            adapter = Adapter.load("adapter.npz")
            assert (adapter.name, adapter.for_queries) == (expected.name, True)
            np.testing.assert_allclose(adapter.kept, expected.kept, atol=1e-9)
            np.testing.assert_allclose(adapter.alignment.map, expected.best.map, atol=1e-6)
            assert f"\nThe map is {expected.name!r}, {expected.basis}. It keeps " in out


def test_scores_are_brought_back_to_those_of_the_old_model(run):
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    y = rng.normal(size=(4000, 16))
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    np.save("old.npy", y)
    np.save("new.npy", 0.6 * y @ turn + 0.05 * rng.normal(size=y.shape))
    out = run("fit", "old.npy", "new.npy", "-o", "adapter.npz", "--map", "turn")
    adapter = Adapter.load("adapter.npz")
    unseen = rng.normal(size=(200, 16))
    unseen /= np.linalg.norm(unseen, axis=1, keepdims=True)
    aligned = adapter.carry(0.6 * unseen @ turn + 0.05 * rng.normal(size=unseen.shape)) @ y.T
    best = np.argsort(-aligned, axis=1)[:, :10]
    scores, native = (np.take_along_axis(s, best, axis=1) for s in (aligned, unseen @ y.T))
    before, after = np.abs(scores - native), np.abs(adapter.recalibrated(scores) - native)
    assert before.mean() > 0.2
    assert after.mean() < before.mean() / 4
    said = re.search(r"they differ by (.*), and recalibrated, .*, by (.*) \(on 400 held-out", out)
    assert abs(float(said[1]) - before.mean()) < 0.02
    assert abs(float(said[2]) - after.mean()) < 0.02
    np.testing.assert_array_equal(np.diff(adapter.knots, axis=1) >= 0, True)


def test_fewer_pairs_than_dimensions_are_cautioned_of(run):
    x, y, _ = rotated_pair(n=5)
    np.save("new.npy", x)
    np.save("old.npy", y)
    assert "5 pairs show at most 5 of 8 directions" in run(
        "fit", "old.npy", "new.npy", "-o", "a.npz"
    )


def test_an_output_that_is_there_is_replaced_and_nothing_else_is_left(run, tmp_path):
    x, y, _ = rotated_pair()
    np.save("new.npy", x)
    np.save("old.npy", y)
    (tmp_path / "adapter.npz").write_text("before")
    run("fit", "old.npy", "new.npy", "-o", "adapter.npz")
    assert sorted(os.listdir()) == ["adapter.npz", "new.npy", "old.npy"]
    assert Adapter.load("adapter.npz").alignment.n == N


def test_an_output_keeps_its_mode_and_a_link_its_end(run, tmp_path):
    x, y, _ = rotated_pair()
    np.save("new.npy", x)
    np.save("old.npy", y)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "adapter.npz").write_text("before")
    (tmp_path / "kept" / "adapter.npz").chmod(0o640)
    os.symlink("kept/adapter.npz", "link.npz")
    run("fit", "old.npy", "new.npy", "-o", "link.npz")
    assert os.path.islink("link.npz")
    assert stat.S_IMODE((tmp_path / "kept" / "adapter.npz").stat().st_mode) == 0o640
    assert Adapter.load("kept/adapter.npz").alignment.n == N


def test_no_name_moves_the_cursor(run):
    x, y, _ = rotated_pair()
    np.savez("new.npz", v=x, **{"\x1b[2J_id": np.arange(N)})
    np.savez("old\u202e.npz", v=y, id=np.arange(N))
    for command in (["certify"], ["fit", "-o", "\x9b.npz"]):
        out = run(*command, "old\u202e.npz", "new.npz", *["--id", "id", "--id", "\x1b[2J_id"])
        assert out.startswith(r"60 pairs by id (id in old\u202e.npz, \x1b[2J_id in new.npz).")
        assert all(c.isprintable() or c == "\n" for c in out)


def test_the_columns_of_either_side_may_be_named(run):
    x, y, turn = rotated_pair()
    order = np.random.default_rng(1).permutation(N)
    np.savez("new.npz", a=x[order], b=-x[order], row=order)
    np.savez("old.npz", v=y, number=np.arange(N))
    names = ["--id", "number", "--id", "row", "--vector", "v", "--vector", "b"]
    out = run("fit", "old.npz", "new.npz", *names, "-o", "a.npz", "--map", "turn")
    assert out.startswith("60 pairs by id (number in old.npz, row in new.npz).\n")
    np.testing.assert_allclose(Adapter.load("a.npz").alignment.map, -turn, atol=1e-12)
    run("apply", "a.npz", "new.npz", "moved.npz", "--vector", "b", "--id", "row")
    with np.load("moved.npz") as moved:
        np.testing.assert_allclose(moved["vectors"], y[order], atol=1e-12)
        np.testing.assert_array_equal(moved["row"], order)


def test_bytes_that_are_no_coordinates_are_cautioned_of(run):
    x, y, _ = rotated_pair(n=500, d_new=64, d_old=64)
    np.save("new.npy", np.packbits(x + 0.5 > 0, axis=1))
    np.save("old.npy", y)
    assert "\nCaution: new.npy seems to hold packed bits; unpack" in run(
        "certify", "old.npy", "new.npy"
    )
    said = json.loads(run("certify", "old.npy", "new.npy", "--json"))
    assert [caution.split(";")[0][:30] for caution in said["cautions"]] == [
        "Caution: new.npy seems to hold"
    ]


def test_infinity_is_null_in_json(run):
    np.save("new.npy", np.ones((4, 2)))
    np.save("old.npy", np.ones((4, 2)))
    assert pl.certify(np.ones((4, 2)), np.ones((4, 2))).lipschitz == np.inf
    said = json.loads(run("certify", "old.npy", "new.npy", "--json"), parse_constant=pytest.fail)
    assert said["certificate"]["lipschitz"] is None


# What comes of bad ones: CASES are (what it is, arguments, what the sentence says)


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    x, y, _ = rotated_pair(d_new=8, d_old=6, noise=0.1)
    np.save(folder / "new.npy", x)
    np.save(folder / "old.npy", y)
    WRITE[".jsonl"](folder / "old.jsonl", y, [f"d{i}" for i in range(N)])
    certificate = pl.certify(x, y)
    hashes = files.sha256(folder / "new.npy"), files.sha256(folder / "old.npy")
    Adapter(pl.align(x, y), certificate, *hashes).save(folder / "adapter.npz")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def array(name, rows, **options):
    return lambda: np.save(name, rows, **options)


def cut(name, bytes_, source=None):
    def make():
        with open(source or name, "rb") as file:
            whole = file.read()
        with open(name, "wb") as file:
            file.write(whole[:bytes_])

    return make


def text(name, content):
    def make():
        with open(name, "wb") as file:
            file.write(content)

    return make


def table(**columns):
    return lambda: pq.write_table(pa.table(columns), "bad.parquet")


def lines(*entries):
    return text("bad.jsonl", b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))


def npz(name="bad.npz", **arrays):
    return lambda: np.savez(name, **arrays)


def adapter_with(**changes):
    def make():
        with np.load("adapter.npz") as file:
            fields = {**file, **changes}
        np.savez("bad.npz", **{name: field for name, field in fields.items() if field is not None})

    return make


def linked(name, target):
    return lambda: os.symlink(target, name)


def ones(*shape):
    return np.ones(shape)


def spoiled(value, row=17, column=3):
    rows = np.array(ones(N, 8))
    rows[row, column] = value
    return rows


def nothing():
    pass


def two_arrays():
    with open("bad.npy", "wb") as file:
        np.save(file, X)
        np.save(file, X)


def bomb():
    """64 MB of zeros in 64 kB, where ten vectors are said to be."""
    with zipfile.ZipFile("bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        whole = io.BytesIO()
        np.save(whole, ones(10, 6))
        archive.writestr("vectors.npy", whole.getvalue() + bytes(2**26))


def not_only_arrays():
    with zipfile.ZipFile("bad.npz", "w") as archive:
        archive.writestr("README.txt", "vectors")


X = rotated_pair()[0]
ODD = "bad\udcff.parquet"
LISTS = pa.array([[1.0, 2.0], [3.0, 4.0]])
CERTIFY = ["certify", "old.npy", "bad.npy"]
IDS = ["certify", "old.jsonl", "bad.npz"]
PARQUET = ["certify", "old.npy", "bad.parquet"]
JSONL = ["certify", "old.npy", "bad.jsonl"]
NPZ = ["certify", "old.npy", "bad.npz"]
FIT = ["fit", "old.npy", "new.npy", "-o"]
APPLY = ["apply", "bad.npz", "new.npy", "out.npy"]

CASES = {
    "missing old": (nothing, ["certify", "no.npy", "new.npy"], "no.npy does not exist: check"),
    "missing new": (nothing, ["fit", "old.npy", "no.npz", "-o", "a.npz"], "no.npz does not exist"),
    "missing adapter": (nothing, ["apply", "no.npz", "new.npy", "o.npy"], "no.npz does not exist"),
    "missing in": (nothing, ["apply", "adapter.npz", "no.jsonl", "o.npy"], "no.jsonl does not"),
    "missing in a file": (nothing, ["certify", "old.npy/no.npy", "new.npy"], "Not a directory"),
    "missing argument": (nothing, ["certify", "old.npy"], "Missing argument 'NEW'"),
    "missing option": (nothing, ["fit", "old.npy", "new.npy"], "Missing option '-o'"),
    "unknown option": (nothing, [*FIT, "a.npz", "--mapp", "turn"], "No such option"),
    "a map of no name": (nothing, [*FIT, "a.npz", "--map", "tilt"], "'tilt' is not one of 'auto'"),
    "empty npy": (text("bad.npy", b""), CERTIFY, "bad.npy is empty, 0 bytes; write it again"),
    "empty jsonl": (text("bad.jsonl", b""), JSONL, "bad.jsonl is empty"),
    "blank jsonl": (text("bad.jsonl", b"\n\n"), JSONL, "bad.jsonl has no JSON object in its first"),
    "empty npz": (npz(), NPZ, "bad.npz has no vectors, it holds nothing; expected numbers (n, d)"),
    "truncated npy": (
        cut("bad.npy", 999, "new.npy"),
        CERTIFY,
        "bad.npy is truncated or damaged",
    ),
    "truncated header": (cut("bad.npy", 60, "new.npy"), CERTIFY, "bad.npy is truncated or damaged"),
    "truncated npz": (cut("bad.npz", 999, "adapter.npz"), NPZ, "bad.npz is truncated or damaged"),
    "truncated jsonl": (cut("bad.jsonl", 999, "old.jsonl"), JSONL, "in row 6; mend, copy or write"),
    "truncated parquet": (
        text("bad.parquet", b"PAR1abc"),
        PARQUET,
        "is truncated or damaged: Parquet file size is 7 bytes",
    ),
    "truncated safetensors": (
        text("bad.safetensors", b"\x90\0\0\0\0\0\0\0{"),
        ["certify", "old.npy", "bad.safetensors"],
        "bad.safetensors is truncated or damaged",
    ),
    "a folder": (lambda: os.mkdir("bad.npy"), CERTIFY, "bad.npy is a folder; expected a file"),
    "a device": (nothing, ["certify", "old.npy", "/dev/zero"], "/dev/zero is no regular file"),
    "a pipe": (lambda: os.mkfifo("bad.npy"), CERTIFY, "bad.npy is no regular file; expected one"),
    "a pipe to be moved": (
        lambda: os.mkfifo("bad.npy"),
        ["apply", "adapter.npz", "bad.npy", "out.npy"],
        "bad.npy is no regular file; expected one",
    ),
    "a pipe as adapter": (lambda: os.mkfifo("bad.npz"), APPLY, "bad.npz is no regular file"),
    "a pipe in the report": (
        lambda: os.mkfifo("bad.npy"),
        ["report", "old.npy", "bad.npy"],
        "bad.npy is no regular file; expected one",
    ),
    "two arrays in a file": (
        two_arrays,
        CERTIFY,
        "bad.npy has 3,968 bytes after its array of shape (60, 8): another array?",
    ),
    "a bomb": (bomb, NPZ, "bad.npz is damaged: vectors says that it takes 608 bytes, and takes 67"),
    "a bomb as adapter": (
        lambda: np.savez_compressed("bad.npz", map=np.zeros((2000, 2000))),
        APPLY,
        "bad.npz is not an adapter",
    ),
    "no array in npz": (not_only_arrays, NPZ, "no vectors, it holds README.txt (no array)"),
    "many NaN": (
        npz(v=spoiled(np.nan, row=slice(3, 40, 3)), id=[f"d{i}" for i in range(N)]),
        IDS,
        "has NaN or infinity in 13 of 60 rows, 3, 6, 9, … (id d3, d6, d9, …); expected finite num",
    ),
    "many NaN in npy": (
        array("bad.npy", spoiled(np.nan, row=slice(3, 5))),
        CERTIFY,
        "bad.npy has NaN or infinity in 2 of 60 rows, 3, 4; expected finite numbers: drop such",
    ),
    "a name that is not UTF-8": (
        lambda: WRITE[".parquet"]("good.parquet", X, None) or os.rename("good.parquet", ODD),
        ["certify", "old.npy", ODD],
        r"bad\udcff.parquet has a name that is not UTF-8; rename it",
    ),
    "a pipe of judgements": (
        lambda: os.mkfifo("bad.tsv"),
        ["report", "old.npy", "new.npy", "--queries", "old.npy", "new.npy", "--qrels", "bad.tsv"],
        "bad.tsv is no regular file; expected one",
    ),
    "a seed below zero": (
        nothing,
        ["report", "old.npy", "new.npy", "--seed", "-1"],
        "Invalid value for '--seed'",
    ),
    "a column three times": (
        nothing,
        ["certify", "old.npy", "new.npy", *3 * ["--id", "x"]],
        "--id is given 3 times; expected two at most",
    ),
    "a column that is not there": (
        nothing,
        ["certify", "old.jsonl", "old.jsonl", "--id", "key"],
        "old.jsonl has no key; it holds vector (list of numbers), title (NoneType), _id (text)",
    ),
    "a column of a file without names": (
        nothing,
        ["certify", "old.jsonl", "new.npy", "--id", "_id"],
        "new.npy has no names in it, so no ids '_id'; leave out --id",
    ),
    "pairs by no id": (
        nothing,
        ["certify", "old.jsonl", "new.npy", "--by", "id"],
        "there are no ids in new.npy; name them by --id, or add them",
    ),
    "wrong ending": (
        text("v.pt", b"1,2"),
        ["certify", "v.pt", "new.npy"],
        "numpy.save('vectors.npy', tensor.float().cpu().numpy())",
    ),
    "no ending": (
        text("vectors", b"1"),
        ["certify", "old.npy", "vectors"],
        "the ending ''; expected",
    ),
    "npz named npy": (cut("bad.npy", None, "adapter.npz"), CERTIFY, "it begins like .npz: rename"),
    "npy named npz": (cut("bad.npz", None, "old.npy"), NPZ, "it begins like .npy: rename it"),
    "jsonl named parquet": (cut("bad.parquet", None, "old.jsonl"), PARQUET, "like .jsonl: rename"),
    "text named npy": (text("bad.npy", b"0.1 0.2"), CERTIFY, "it begins like none of .npy, .npz"),
    "a pickle": (
        text("bad.npy", pickle.dumps([1])),
        CERTIFY,
        "bad.npy is not what its ending says",
    ),
    "pickled objects": (
        array("bad.npy", np.array([[{}]]), allow_pickle=True),
        CERTIFY,
        "bad.npy holds pickled Python objects, which are never loaded",
    ),
    "pickled in npz": (npz(vectors=np.array([[{}]])), NPZ, "has pickled objects, shape (1, 1) as"),
    "complex": (
        array("bad.npy", X + 1j),
        CERTIFY,
        "bad.npy holds complex128 values; expected real",
    ),
    "words": (array("bad.npy", X.astype(str)), CERTIFY, "values; expected real numbers"),
    "records": (array("bad.npy", np.zeros(3, "f4,f4")), CERTIFY, "expected real numbers"),
    "NaN": (array("bad.npy", spoiled(np.nan)), CERTIFY, "bad.npy has NaN in row 17, column 3;"),
    "infinity": (array("bad.npy", spoiled(-np.inf)), CERTIFY, "bad.npy has an infinity in row 17"),
    "NaN in old": (
        array("bad.npy", spoiled(np.nan)),
        ["fit", "bad.npy", "new.npy", "-o", "a.npz"],
        "bad.npy has NaN in row 17, column 3",
    ),
    "NaN in npz": (npz(v=spoiled(np.nan)), NPZ, "bad.npz has NaN in row 17, column 3"),
    "NaN in jsonl": (
        lines(*({"v": row.tolist()} for row in spoiled(np.nan))),
        JSONL,
        "bad.jsonl has NaN in row 17, column 3",
    ),
    "NaN to be moved": (
        array("bad.npy", spoiled(np.nan)),
        ["apply", "adapter.npz", "bad.npy", "out.npy"],
        "bad.npy has NaN in row 17, column 3",
    ),
    "zero rows": (array("bad.npy", ones(0, 8)), CERTIFY, "bad.npy is empty, shape (0, 8)"),
    "zero dimensions": (array("bad.npy", ones(N, 0)), CERTIFY, "bad.npy is empty, shape (60, 0)"),
    "zero rows in npz": (npz(v=ones(0, 8)), NPZ, "bad.npz has no rows"),
    "three dimensions": (
        array("bad.npy", ones(2, 3, 4)),
        CERTIFY,
        "has 3 dimension(s), shape (2, 3",
    ),
    "one dimension": (array("bad.npy", ones(9)), CERTIFY, "has 1 dimension(s), shape (9,)"),
    "no dimension": (array("bad.npy", np.float64(1)), CERTIFY, "has 0 dimension(s)"),
    "one row": (
        lambda: (np.save("bad.npy", ones(1, 8)), np.save("one.npy", ones(1, 8))),
        ["certify", "one.npy", "bad.npy"],
        "have 1 object in common; expected at least 2",
    ),
    "all zero": (array("bad.npy", 0 * X), CERTIFY, "bad.npy has nothing but zeros in the rows"),
    "fewer rows": (
        array("bad.npy", X[:-1]),
        CERTIFY,
        "bad.npy has 59 rows and old.npy 60, with no",
    ),
    "duplicate ids": (
        npz(v=X[:2], id=["d1", "d1"]),
        IDS,
        "has the id 'd1' in rows 0 and 1; expected",
    ),
    "disjoint ids": (npz(v=X[:1], id=["e"]), IDS, "no id of bad.npz (id, such as 'e') is in old"),
    "other ids": (
        npz(v=X[:2], id=[1, 2]),
        IDS,
        "such as '1') is in old.jsonl (_id, such as 'd0'); give the same",
    ),
    "ids too few": (
        npz(v=X, id=["d1"]),
        IDS,
        "bad.npz has 60 v and 1 id; expected one id a vector",
    ),
    "ids with fractions": (
        npz(v=X, id=X[:, 0]),
        IDS,
        "has float64, shape (60,) as id; expected whole",
    ),
    "texts are no ids": (npz(v=X[:2], t=["a", "b"]), IDS, "with no ids in bad.npz; give both"),
    "two arrays": (
        npz(a=X, b=X),
        NPZ,
        "several that could be its vectors, a, b; it holds a (float64",
    ),
    "two id columns": (
        table(v=LISTS, doc_id=["a", "b"], chunk_id=["c", "d"]),
        PARQUET,
        "several that could be its ids, doc_id, chunk_id; it holds v (list<element: double>), doc",
    ),
    "no vectors": (
        table(id=["a"], n=[1.5]),
        PARQUET,
        "has no vectors, it holds id (string), n (double)",
    ),
    "vectors of words": (table(vector=[["a"]]), PARQUET, "as vector; expected numbers (n, d)"),
    "no vector": (
        table(v=[[1.0], None]),
        PARQUET,
        "bad.parquet has no v in row 1; fill it in, or drop",
    ),
    "no number": (table(v=[[1.0, 2.0], [3.0, None]]), PARQUET, "has NaN in row 1, column 1"),
    "no id": (
        table(v=LISTS, id=["a", None]),
        PARQUET,
        "bad.parquet has no id in row 1; fill it in",
    ),
    "ragged parquet": (
        table(v=[[1.0, 2.0], [3.0]]),
        PARQUET,
        "has 1 numbers in row 1, and 2 before",
    ),
    "ragged jsonl": (
        lines({"v": [1, 2]}, {"v": [3]}),
        JSONL,
        "has 1 numbers in row 1, and 2 before",
    ),
    "broken utf-8": (
        text("bad.jsonl", b'{"v": [1], "id": "\xff"}\n'),
        JSONL,
        "has no JSON object in its first line",
    ),
    "no JSON": (
        text("bad.jsonl", b'{"v": [1]}\n{v: [1]}\n'),
        JSONL,
        "JSON parse error: Missing a name",
    ),
    "deep JSON": (text("bad.jsonl", b"[" * 100_000), JSONL, "has no JSON object in its first line"),
    "no object": (
        lines([1, 2]),
        JSONL,
        "has no JSON object in its first line; expected one a line, such as",
    ),
    "key missing": (lines({"v": [1]}, {"w": [1]}), JSONL, "has no v in row 1; fill it in"),
    "a word in it": (
        lines({"v": [1]}, {"v": ["1"]}),
        JSONL,
        "Column(/v/[]) changed from number to string in row 1",
    ),
    "id missing": (
        lines({"v": [1], "id": 1}, {"v": [1]}),
        JSONL,
        "has no id in row 1; fill it in",
    ),
    "id of two types": (
        lines({"v": [1], "id": 1}, {"v": [1], "id": "a"}),
        JSONL,
        "The string 'a' is not a valid",
    ),
    "two tensors": (
        lambda: save_file({"a": X, "b": X}, "bad.safetensors"),
        ["certify", "old.npy", "bad.safetensors"],
        "several that could be its vectors, a, b",
    ),
    "odd names": (
        text("bad\n\x1b[31m\udcff.npy", b""),
        ["certify", "old.npy", "bad\n\x1b[31m\udcff.npy"],
        r"bad\n\x1b[31m\udcff.npy is empty",
    ),
    "odd ids": (npz(v=X[:2], id=["a\nb", "a\nb"]), IDS, r"the id 'a\nb' in rows 0 and 1"),
    "adapter not npz": (
        nothing,
        [*FIT, "a.npy"],
        "a.npy is to be an adapter; expected a name that",
    ),
    "fit over an input": (
        npz("in.npz", v=X),
        ["fit", "old.npy", "in.npz", "-o", "in.npz"],
        "in.npz would replace the input in.npz; choose another output",
    ),
    "fit over a link to an input": (
        linked("link.npz", "new.npy"),
        [*FIT, "link.npz"],
        "link.npz would replace the input new.npy",
    ),
    "output folder missing": (nothing, [*FIT, "no/a.npz"], "into; make it first"),
    "output below a file": (nothing, [*FIT, "old.npy/a.npz"], "there is no folder"),
    "output read-only": (nothing, [*FIT, "/proc/a.npz"], "/proc/a.npz"),
    "output is a folder": (lambda: os.mkdir("a.npz"), [*FIT, "a.npz"], "a.npz is no regular file"),
    "output is a device": (
        linked("a.npz", "/dev/full"),
        [*FIT, "a.npz"],
        "a.npz is no regular file",
    ),
    "output name too long": (nothing, [*FIT, "a" * 250 + ".npz"], "File name too long"),
    "apply over in": (
        nothing,
        ["apply", "adapter.npz", "new.npy", "./new.npy"],
        "replace the input",
    ),
    "apply over the adapter": (
        nothing,
        ["apply", "adapter.npz", "new.npy", "adapter.npz"],
        "adapter.npz would replace the input adapter.npz",
    ),
    "apply to csv": (
        nothing,
        ["apply", "adapter.npz", "new.npy", "o.csv"],
        "the ending '.csv'; expected",
    ),
    "report over an input": (
        nothing,
        ["report", "old.npy", "new.npy", "--output", "new.npy"],
        "new.npy would replace the input new.npy",
    ),
    "report without new": (
        nothing,
        ["report", "old.npy"],
        "one file of vectors was given; expected",
    ),
    "report on a missing file": (nothing, ["report", "no.npy", "new.npy"], "no.npy does not exist"),
    "report on missing queries": (
        nothing,
        ["report", "old.npy", "new.npy", "--queries", "no.npy", "new.npy"],
        "no.npy does not exist",
    ),
    "adapter damaged": (
        cut("bad.npz", 3000, "adapter.npz"),
        APPLY,
        "bad.npz is not an adapter that",
    ),
    "adapter empty": (text("bad.npz", b""), APPLY, "or it is damaged: make it again with"),
    "adapter is vectors": (
        nothing,
        ["apply", "old.npy", "new.npy", "o.npy"],
        "old.npy is not an adapter",
    ),
    "adapter is a folder": (lambda: os.mkdir("bad.npz"), APPLY, "bad.npz: Is a directory"),
    "adapter of version 9": (
        adapter_with(format=9),
        APPLY,
        "bad.npz is not an adapter that this version can read",
    ),
    "a plain map": (
        lambda: pl.align(X, X).save("bad.npz"),
        APPLY,
        "bad.npz has the direction 'unknown', not 'new → old'",
    ),
    "direction": (adapter_with(direction="old → new"), APPLY, "'old → new', not 'new → old'"),
    "adapter with a pickle": (adapter_with(map=np.array([{}])), APPLY, "bad.npz is not an adapter"),
    "adapter of NaN": (
        adapter_with(map=np.full((8, 6), np.nan)),
        APPLY,
        "bad.npz is not an adapter",
    ),
    "adapter's scale": (adapter_with(scale="wide"), APPLY, "bad.npz is not an adapter"),
    "adapter's dimensions": (adapter_with(source_dim=9), APPLY, "bad.npz is not an adapter"),
    "adapter's hash": (adapter_with(target_sha256="none"), APPLY, "bad.npz is not an adapter"),
    "adapter's knots": (adapter_with(knots=np.zeros(3)), APPLY, "bad.npz is not an adapter"),
    "adapter's certificate": (adapter_with(certificate_error=None), APPLY, "is not an adapter"),
    "wrong dimension": (
        array("bad.npy", ones(3, 5)),
        ["apply", "adapter.npz", "bad.npy", "out.npy"],
        "bad.npy has vectors of 5 dimensions; adapter.npz takes 8 and gives 6",
    ),
    "old dimension": (
        array("bad.npy", ones(3, 6)),
        ["apply", "adapter.npz", "bad.npy", "out.npy"],
        "bad.npy has vectors of 6 dimensions (they may be old ones already)",
    ),
    "the old vectors": (
        cut("copy.npy", None, "old.npy"),
        ["apply", "adapter.npz", "copy.npy", "out.npy"],
        "copy.npy is the file of old vectors that adapter.npz was fitted to",
    ),
    "out of range": (
        array("bad.npy", np.float16(60000) * np.sign(X).astype(np.float16)),
        ["apply", "adapter.npz", "bad.npy", "out.npy"],
        "bad.npy has so long a vector in row 0 that it leaves the range of float16",
    ),
}


def snapshot(folder):
    return {
        path: None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_dir() or path.is_file()
    }


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_sentence_and_nothing_is_lost(
    tmp_path, monkeypatch, capsys, good_files, case
):
    make, arguments, said = CASES[case]
    monkeypatch.chdir(tmp_path)
    for name, content in good_files.items():
        (tmp_path / name).write_bytes(content)
    make()
    (tmp_path / "out.npy").write_text("complete")
    before = snapshot(tmp_path)
    assert command(monkeypatch, *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"procrustes-lab: [^\n]+\n", printed.err)
    assert said in printed.err
    assert snapshot(tmp_path) == before


def test_a_terminal_without_an_arrow_is_no_obstacle(tmp_path, good_files):
    for name, content in good_files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [*PROGRAM, *FIT, "a.npz"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        encoding="latin-1",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Wrote a.npz (new ? old).\n")


def test_a_full_standard_output_is_one_sentence(tmp_path, good_files):
    for name, content in good_files.items():
        (tmp_path / name).write_bytes(content)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "certify", "old.npy", "new.npy"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "procrustes-lab: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("name", ["pyarrow", "safetensors"])
def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, monkeypatch, capsys, name):
    ending = {"pyarrow": ".parquet", "safetensors": ".safetensors"}[name]
    WRITE[ending](tmp_path / f"v{ending}", X, None)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "procrustes_lab.files.tables", raising=False)
    path = tmp_path / f"v{ending}"
    assert command(monkeypatch, "certify", path, path) == 2
    assert capsys.readouterr().err == (
        f"procrustes-lab: {path} needs the package {name}: pip install 'procrustes-lab[files]'\n"
    )


def test_what_does_not_fit_in_memory_is_said(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(files, "read_pairs", fail)
    np.save(tmp_path / "v.npy", X)
    assert command(monkeypatch, "certify", tmp_path / "v.npy", tmp_path / "v.npy") == 2
    assert "does not fit in memory" in capsys.readouterr().err


@pytest.mark.parametrize("out", [".npy", ".npz", ".parquet", ".jsonl"])
def test_a_full_disk_is_one_sentence(tmp_path, good_files, out):
    """A limit on the size of files stands in for the end of the disk: the same write fails."""
    for name, content in good_files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "long.npy", np.random.default_rng(0).normal(size=(20_000, 8)))
    (tmp_path / f"out{out}").write_text("complete")
    before = snapshot(tmp_path)
    done = subprocess.run(
        [*PROGRAM, "apply", "adapter.npz", "long.npy", f"out{out}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"procrustes-lab: out{out}: File too large\n"
    assert snapshot(tmp_path) == before


PROGRAM = [sys.executable, "-c", "from procrustes_lab.cli.main import main; main()"]


def hear_signals():
    """Answer to the terminal and to its end, as a command does that is started from one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


HALF_WAY = """
import sys, time
from procrustes_lab import files
from procrustes_lab.cli import main as cli
whole = files.blocks
def blocks(path, **options):
    for number, block in enumerate(whole(path, **options)):
        if number:
            print("half", file=sys.stderr, flush=True)
            time.sleep(60)
        yield block
files.blocks = blocks
sys.argv[1:] = ["apply", "adapter.npz", "long.npy", sys.argv[1]]
cli.main()
"""


INTERRUPTED = "procrustes-lab: interrupted: nothing is left running, and no file was changed"


@pytest.mark.parametrize(
    ("sent", "code", "said", "out"),
    [
        (signal.SIGINT, 130, INTERRUPTED, "out.npy"),
        (signal.SIGINT, 130, INTERRUPTED, "out.npz"),
        (signal.SIGTERM, 143, "", "out.npy"),
        (signal.SIGHUP, 129, "", "out.npz"),
    ],
)
def test_stopped_half_way_nothing_is_left(tmp_path, good_files, sent, code, said, out):
    for name, content in good_files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "long.npy", np.ones((9_000, 8)))
    (tmp_path / out).write_text("complete")
    before = snapshot(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, out],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,  # whatever started the tests may have them ignored
    ) as process:
        assert process.stderr.readline() == "half\n"
        assert len(snapshot(tmp_path)) > len(before)
        process.send_signal(sent)
        assert process.stderr.read().strip() == said
    assert process.returncode == code
    assert snapshot(tmp_path) == before
