"""Moments: sums of outer products, which add."""

import mmap
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import procrustes_lab as pl
from procrustes_lab.core.sums import let_go


def some_pairs(n=200, d_x=5, d_y=3, seed=0, mean=1.0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d_x)) + mean, rng.standard_normal((n, d_y)) - mean


def assert_same(a, b, rtol=1e-13):
    assert a.n == b.n
    for name in ("xx", "xy", "yy", "source_mean", "target_mean"):
        left, right = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol * (1 + np.abs(right).max()))


def test_they_are_the_products():
    X, Y = some_pairs()
    moments = pl.Moments.from_arrays(X, Y)
    np.testing.assert_allclose(moments.xx, X.T @ X, rtol=1e-12)
    np.testing.assert_allclose(moments.xy, X.T @ Y, rtol=1e-12)
    np.testing.assert_allclose(moments.yy, Y.T @ Y, rtol=1e-12)
    np.testing.assert_allclose(moments.source_mean, X.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.target_mean, Y.mean(0), rtol=1e-12)
    energy = (np.sum(X**2) + np.sum(Y**2)) / len(X)
    assert moments.energy == pytest.approx(energy, rel=1e-13)


@pytest.mark.parametrize("sizes", [(100, 100), (1, 199), (7, 50, 143)])
def test_they_add(sizes):
    X, Y = some_pairs()
    cuts = np.cumsum(sizes)[:-1]
    parts = [
        pl.Moments.from_arrays(*p) for p in zip(np.split(X, cuts), np.split(Y, cuts), strict=True)
    ]
    whole = pl.Moments.from_arrays(X, Y)
    forwards, backwards = parts[0], parts[-1]
    for part in parts[1:]:
        forwards = forwards + part
    for part in parts[-2::-1]:
        backwards = backwards + part
    assert_same(forwards, whole)
    assert_same(backwards, whole)


def test_batches_are_summed_and_empty_ones_skipped():
    X, Y = some_pairs()
    batches = [(X[:80], Y[:80]), (X[80:80], Y[80:80]), (X[80:], Y[80:])]
    assert_same(pl.Moments.from_batches(iter(batches)), pl.Moments.from_arrays(X, Y))


def test_no_batches():
    with pytest.raises(ValueError, match="pairs has no rows"):
        pl.Moments.from_batches([])


def test_a_batch_with_one_empty_side():
    X, Y = some_pairs()
    with pytest.raises(ValueError, match="empty"):
        pl.Moments.from_batches([(X, Y[:0])])


def test_batches_of_different_dimension():
    X, Y = some_pairs()
    with pytest.raises(ValueError, match="same columns"):
        pl.Moments.from_batches([(X, Y), (X[:, :2], Y)])


def test_centring_equals_subtracting_the_means():
    X, Y = some_pairs()
    centred = pl.Moments.from_arrays(X, Y).centred()
    assert_same(centred, pl.Moments.from_arrays(X - X.mean(0), Y - Y.mean(0)), rtol=1e-12)


def test_a_large_mean_does_not_drown_a_tiny_spread():
    # Against exact rational arithmetic: spread 1e-6 on a mean of 1, squares 1e-12 beside 1.
    # Rounding the batches' means to float64 would cost six digits when they are merged.
    rng = np.random.default_rng(3)
    X, Y = 1.0 + 1e-6 * rng.standard_normal((2, 60, 2))
    exact = []
    for a, b in ((X[:, 0], X[:, 1]), (X[:, 0], Y[:, 0]), (Y[:, 0], Y[:, 1])):
        u, v = ([Fraction(float(x)) for x in column] for column in (a, b))
        mean_u, mean_v = sum(u) / 60, sum(v) / 60
        exact.append(float(sum((p - mean_u) * (q - mean_v) for p, q in zip(u, v, strict=True))))
    one = pl.Moments.from_arrays(X, Y)
    two = pl.Moments.from_arrays(X[:25], Y[:25]) + pl.Moments.from_arrays(X[25:], Y[25:])
    ten = pl.Moments.from_batches(batches_of(X, Y, rows=6))
    for moments in (one, two, ten):
        found = (
            moments.source_scatter[0, 1],
            moments.cross_scatter[0, 0],
            moments.target_scatter[0, 1],
        )
        np.testing.assert_allclose(found, exact, rtol=1e-13)


@pytest.mark.parametrize("exponent", [-150, -120, 120, 150])
def test_extreme_scales_are_only_scales(exponent):
    X, Y = some_pairs()
    tiny, huge = 10.0**-exponent, 10.0**exponent
    plain = pl.Moments.from_arrays(X, Y)
    scaled = pl.Moments.from_arrays(X * huge, Y * tiny)
    np.testing.assert_allclose(scaled.xy, plain.xy, rtol=1e-12)
    np.testing.assert_allclose(scaled.xx / huge / huge, plain.xx, rtol=1e-12)
    np.testing.assert_allclose(scaled.yy / tiny / tiny, plain.yy, rtol=1e-12)
    both = scaled + pl.Moments.from_arrays(X * huge, Y * tiny)
    np.testing.assert_allclose(both.xy, 2 * plain.xy, rtol=1e-12)
    mixed = scaled + plain  # one side a dwarf beside the other: nothing overflows
    assert np.isfinite(mixed.xx).all()
    assert np.isfinite(mixed.yy).all()
    assert mixed.n == 400


def test_a_column_of_large_mean_keeps_its_spread_beside_a_wide_one():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2)) * [1e4, 1e-3] + [0, 1e4]
    moments = pl.Moments.from_arrays(X, X)
    assert moments.source_scatter[1, 1] / 60 == pytest.approx(X[:, 1].var(), rel=1e-9)


def test_sum_adds_them():
    X, Y = some_pairs()
    parts = [pl.Moments.from_arrays(X[i::3], Y[i::3]) for i in range(3)]
    assert_same(sum(parts), pl.Moments.from_arrays(X, Y))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((np.ones((2, 2)),), r"batch 1: expected a pair \(X, Y\)"),
        ((np.ones((2, 2)), None), r"batch 1: Y \(target\) is None"),
        ((np.full((2, 5), np.nan), np.ones((2, 3))), r"batch 1: X \(source\) has NaN in row 0"),
    ],
)
def test_a_bad_batch_is_named(batch, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pl.Moments.from_batches([some_pairs(), batch])


def batches_of(X, Y, rows=7):
    return [(X[i : i + rows], Y[i : i + rows]) for i in range(0, len(X), rows)]


def assert_same_bits(a, b):
    for name, value in vars(a).items():
        assert np.array_equal(value, getattr(b, name)), name


@pytest.mark.parametrize("exponent", [0, -150])
def test_they_are_kept_in_a_file(tmp_path, exponent):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)) * 10.0**exponent, rng.standard_normal((50, 3))
    moments = pl.Moments.from_arrays(X, Y)
    moments.save(tmp_path / "moments.npz")
    assert_same_bits(pl.Moments.load(tmp_path / "moments.npz"), moments)
    assert [file.name for file in tmp_path.iterdir()] == ["moments.npz"]


def test_a_file_of_another_kind_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 3))
    path = tmp_path / "file.npz"
    pl.Moments.from_arrays(X, Y).save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"no npz", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"file\.npz is not moments"):
            pl.Moments.load(path)
    pl.align(X, Y).save(path)
    with pytest.raises(ValueError, match=r"file\.npz is not moments"):
        pl.Moments.load(path)
    fields = vars(pl.Moments.from_arrays(X, Y))
    np.savez(path, format=1, **{**fields, "cross_scatter": np.zeros((3, 4))})
    with pytest.raises(ValueError, match=r"file\.npz is not moments"):
        pl.Moments.load(path)
    with pytest.raises(FileNotFoundError):
        pl.Moments.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_stopped_pass_goes_on_from_its_last_batch(tmp_path, stop, after):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)) + 100, rng.standard_normal((50, 3))
    batches, path = [(X[:0], Y[:0]), *batches_of(X, Y)], tmp_path / "pass.npz"
    whole = pl.Moments.from_batches(batches)

    def stopping():
        yield from batches[:after]
        raise stop("stopped")

    with pytest.raises(stop, match="stopped"):
        pl.Moments.from_batches(stopping(), checkpoint=path)
    assert path.exists() == (after > 1)  # the first batch has no rows
    assert_same_bits(pl.Moments.from_batches(batches, checkpoint=path), whole)
    assert not list(tmp_path.iterdir())


def test_a_killed_pass_has_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("procrustes_lab.core.moments.CHECKPOINT_SECONDS", 0.0)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 3))
    path, kept = tmp_path / "pass.npz", b""

    def batches():
        nonlocal kept
        for number, batch in enumerate(batches_of(X, Y)):
            if number == 5:
                kept = path.read_bytes()
            yield batch

    whole = pl.Moments.from_batches(batches(), checkpoint=path)
    path.write_bytes(kept)
    seen = []
    again = (seen.append(i) or batch for i, batch in enumerate(batches_of(X, Y)))
    assert_same_bits(pl.Moments.from_batches(again, checkpoint=path), whole)
    assert len(seen) == 8


def test_a_checkpoint_of_other_batches_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((50, 4)), rng.standard_normal((50, 3))
    path = tmp_path / "pass.npz"
    with pytest.raises(ValueError, match="batch 2"):
        pl.Moments.from_batches([*batches_of(X, Y)[:2], (X, Y[:1])], checkpoint=path)
    before = path.read_bytes()
    for others in (batches_of(X, Y, rows=8), batches_of(X, Y)[:1]):
        with pytest.raises(ValueError, match="remove it to begin again"):
            pl.Moments.from_batches(others, checkpoint=path)
    assert path.read_bytes() == before
    path.write_bytes(before[:100])
    with pytest.raises(ValueError, match="is not a checkpoint"):
        pl.Moments.from_batches(batches_of(X, Y), checkpoint=path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_mapped_file_is_as_good_as_an_array_and_is_let_go(tmp_path, dtype):
    rng = np.random.default_rng(0)
    rows, columns = 40_000, 160
    sides = [rng.standard_normal((rows, columns)).astype(dtype) for _ in "XY"]
    for name, side in zip("XY", sides, strict=True):
        np.save(tmp_path / name, side)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "XY"]
    whole = pl.Moments.from_arrays(*(side.astype(np.float64) for side in sides))
    before = mapped_kilobytes()
    moments = pl.Moments.from_arrays(*mapped)
    if before is not None:
        assert mapped_kilobytes() - before < 0.2 * mapped[0].nbytes / 1024
    assert_same(moments, whole, rtol=1e-12)


def test_changes_of_a_private_map_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((3000, 8)), rng.standard_normal((3000, 8))
    np.save(tmp_path / "X.npy", np.zeros_like(X))
    private = np.load(tmp_path / "X.npy", mmap_mode="c")
    private[:] = X
    pl.Moments.from_arrays(private, Y)
    assert np.array_equal(private, X)


@pytest.mark.parametrize("kind", ["anonymous", "private", "mode c", "/dev/zero"])
def test_a_map_that_is_no_file_is_never_erased(tmp_path, kind):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((3000, 8)), rng.standard_normal((3000, 8))
    path = tmp_path / "X.bin"
    path.write_bytes(bytes(X.nbytes))
    if kind == "mode c":
        side = np.memmap(path, X.dtype, "c", shape=X.shape)
    elif kind == "/dev/zero":
        with open("/dev/zero", "r+b", buffering=0) as zero:
            pages = mmap.mmap(zero.fileno(), X.nbytes, mmap.MAP_PRIVATE)
        side = np.frombuffer(pages, X.dtype).reshape(X.shape)
    elif kind == "private":
        with open(path, "r+b") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        side = np.frombuffer(pages, X.dtype).reshape(X.shape)
    else:
        side = np.ndarray(X.shape, X.dtype, mmap.mmap(-1, X.nbytes))
    side[:] = X
    expected = pl.align(X, Y).map
    for _ in range(2):
        for view in (side, side[:], side[::2], np.asarray(side)):
            pl.align(view, Y[: len(view)], center=True)
            pl.certify(view.astype(np.float32), Y[: len(view)])
            pl.certify(view, Y[: len(view)])
        np.testing.assert_allclose(pl.align(side, Y).map, expected, atol=1e-12)
        np.testing.assert_array_equal(side, X)


@pytest.mark.parametrize("mode", ["r", "r+", "w+"])
def test_maps_of_a_file_are_let_go_with_what_was_written(tmp_path, mode):
    path = tmp_path / "rows.bin"
    rows = np.random.default_rng(0).standard_normal((4000, 64))
    rows.tofile(path)
    mapped = np.memmap(path, rows.dtype, mode, shape=rows.shape)
    if mode != "r":
        mapped[:] = rows = 2 * rows
    before = mapped_kilobytes()
    let_go(np.asarray(mapped[10:]))
    if before is not None:
        assert before - mapped_kilobytes() > (0.9 * rows.nbytes / 1024 if mode != "r" else -100)
    np.testing.assert_array_equal(mapped, rows)


def test_they_print_in_a_line():
    assert repr(pl.Moments.from_arrays(*some_pairs())) == "Moments of 200 pairs, 5 → 3 dimensions"


def mapped_kilobytes():
    """Resident memory of this process that is pages of files; None where there is no such count."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) for line in status.open() if line.startswith("RssFile"))
