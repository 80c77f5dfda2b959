"""Moments of Dask arrays: the same as in memory, whatever the blocks and whoever computes them."""

import os
import signal
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster
from dask.sizeof import sizeof

import procrustes_lab as pl
from procrustes_lab.core import moments as module

FIELDS = ("source_mean", "target_mean", "source_scatter", "cross_scatter", "target_scatter")


def some_pairs(n=900, d_x=7, d_y=4):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d_x)) + 1.0, rng.standard_normal((n, d_y)) - 1.0


def assert_same(found, expected, rtol=1e-12):
    assert found.n == expected.n
    for name in FIELDS:
        left, right = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol * np.abs(right).max())


def assert_same_bits(found, expected):
    assert found.n == expected.n
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.fixture
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "10s"}),  # to a worker that is gone
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path_factory.mktemp("workers")),
        ) as two,
        Client(two) as client,
    ):
        yield client


# On two processes


def test_worker_processes_give_the_moments_of_memory(workers):
    X, Y = some_pairs()
    found = pl.Moments.from_dask(da.from_array(X, chunks=(100, 7)), da.from_array(Y, (100, 4)))
    assert_same(found, pl.Moments.from_arrays(X, Y))
    in_memory, certificate = pl.certify(X, Y), pl.certify(found)
    for name in ("energy", "delta", "nuclear", "error", "lower", "upper"):
        expected = getattr(in_memory, name)
        assert getattr(certificate, name) == pytest.approx(expected, rel=1e-12), name


def test_moments_travel_and_rows_do_not(workers):
    def received():
        def of(dask_worker):
            return sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log)

        return sum(workers.run(of).values())

    def made(d):
        def rows(block_id):
            return np.random.default_rng(block_id).random((2000, d))

        return da.map_blocks(rows, chunks=((2000,) * 40, (d,)), meta=np.empty((0, 0)))

    X, Y = made(7), made(4)
    before = received()
    assert pl.Moments.from_dask(X, Y).n == 80_000
    moments = 8 * (7 + 4 + 7 * 7 + 7 * 4 + 4 * 4 + 3)
    assert received() - before <= (40 + 5) * moments  # blocks, and their sums
    assert 45 * moments < 2000 * 4 * 8  # which is less than a single block of rows


def test_a_worker_killed_half_way_changes_no_bit(workers, tmp_path):
    X, Y = some_pairs()
    struck = tmp_path / "struck"

    def strike(block, block_info):
        # The worker that comes to this block first dies, with all that it has computed.
        if block_info[None]["chunk-location"][0] == 15 and not struck.exists():
            struck.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    calm = da.from_array(X, chunks=(30, 7))
    target = da.from_array(Y, chunks=(30, 4))
    undisturbed = pl.Moments.from_dask(calm, target)
    found = pl.Moments.from_dask(calm.map_blocks(strike, dtype=X.dtype, meta=X[:0]), target)

    killed = int(struck.read_text())
    assert killed != os.getpid()
    assert killed not in workers.run(os.getpid).values()
    assert_same_bits(found, undisturbed)


def test_an_error_on_a_worker_names_the_row_of_the_whole_array(workers):
    X, Y = some_pairs()
    Y[617, 2] = np.nan
    with pytest.raises(ValueError, match=r"Y \(target\) has NaN in row 617, column 2"):
        pl.Moments.from_dask(da.from_array(X, chunks=(100, 7)), da.from_array(Y, chunks=(100, 4)))


def test_the_last_bits_do_not_depend_on_where_a_block_lies_in_memory():
    X, Y = some_pairs(n=50)
    rows = np.empty(X.nbytes + 3, np.uint8)[3:].view(X.dtype).reshape(X.shape)
    columns = np.empty((7, 100)).T[::2]
    rows[:], columns[:] = X, X
    with dask.config.set(scheduler="synchronous"):
        expected, *found = (
            pl.Moments.from_dask(da.from_array(x, asarray=False), da.from_array(Y))
            for x in (X, rows, columns)
        )
    for moments in found:
        assert_same_bits(moments, expected)


def test_every_scheduler_gives_the_same_bits(workers):
    X, Y = some_pairs()
    arrays = da.from_array(X, chunks=(40, 7)), da.from_array(Y, chunks=(40, 4))
    on_workers = pl.Moments.from_dask(*arrays)
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            assert_same_bits(pl.Moments.from_dask(*arrays), on_workers)


# Blocks of every kind


@pytest.mark.usefixtures("synchronous")
@pytest.mark.parametrize(
    ("rows_x", "rows_y"),
    [
        ((900,), (900,)),
        ((1, 899), (1, 899)),
        ((0, 500, 0, 0, 399, 1, 0), (0, 500, 0, 0, 399, 1, 0)),
        ((300, 300, 300), (450, 450)),
        ((450, 450), (0, 17, 883)),
        ((10,) * 90, (9,) * 100),
    ],
)
def test_rows_may_be_cut_anyhow(rows_x, rows_y):
    X, Y = some_pairs()
    arrays = da.from_array(X, chunks=(rows_x, 7)), da.from_array(Y, chunks=(rows_y, 4))
    assert_same(pl.Moments.from_dask(*arrays), pl.Moments.from_arrays(X, Y))


@pytest.mark.usefixtures("synchronous")
def test_blocks_of_columns_are_merged():
    X, Y = some_pairs()
    arrays = da.from_array(X, chunks=(200, 3)), da.from_array(Y, chunks=(200, (1, 3)))
    assert_same(pl.Moments.from_dask(*arrays), pl.Moments.from_arrays(X, Y))


@pytest.mark.usefixtures("synchronous")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_other_types_are_multiplied_in_float64(dtype):
    X, Y = (np.round(8 * side).astype(dtype) for side in some_pairs())
    arrays = da.from_array(X, chunks=(70, 7)), da.from_array(Y, chunks=(70, 4))
    assert_same(pl.Moments.from_dask(*arrays), pl.Moments.from_arrays(X, Y))


@pytest.mark.usefixtures("synchronous")
def test_a_large_mean_is_no_loss():
    X, Y = some_pairs()
    expected = pl.Moments.from_arrays(X, Y)
    arrays = da.from_array(X + 2.0**20, chunks=(70, 7)), da.from_array(Y - 2.0**20, chunks=(70, 4))
    found = pl.Moments.from_dask(*arrays)
    # Adding 2²⁰ rounds each number at 2⁻³², the fourth digit of nothing here.
    for name in FIELDS[2:]:
        scatter = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), scatter, atol=1e-6, rtol=1e-9)


def test_at_most_so_many_moments_are_added_by_a_task(monkeypatch):
    sizes = []

    def total(parts):
        sizes.append(len(parts))
        return sum(parts)

    monkeypatch.setattr(module, "sum", total, raising=False)
    X, Y = some_pairs()
    with dask.config.set(scheduler="synchronous"):
        pl.Moments.from_dask(da.from_array(X, chunks=(9, 7)), da.from_array(Y, chunks=(9, 4)))
    assert sorted(sizes, reverse=True) == [8] * 13 + [5, 4, 2]  # 100 blocks, 13 sums, 2, 1


def test_workers_know_the_size_of_moments():
    X, Y = some_pairs()
    matrices, vectors = 8 * (7 * 7 + 7 * 4 + 4 * 4), 8 * (7 + 4)
    assert matrices + vectors <= sizeof(pl.Moments.from_arrays(X, Y)) <= matrices + 3 * vectors


# What is refused


@pytest.mark.usefixtures("synchronous")
@pytest.mark.parametrize("side", ["X (source)", "Y (target)"])
@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (np.inf, "an infinity")])
def test_what_is_not_finite_is_named_by_its_global_row(side, value, found):
    X, Y = some_pairs()
    (X if side[0] == "X" else Y)[433, 1] = value
    arrays = da.from_array(X, chunks=((100, 0, 800), 7)), da.from_array(Y, chunks=(50, 4))
    with pytest.raises(ValueError) as error:
        pl.Moments.from_dask(*arrays)
    assert f"{side} has {found} in row 433, column 1" in str(error.value)


def test_unequal_numbers_of_rows():
    X, Y = some_pairs()
    with pytest.raises(ValueError, match=r"Y \(target\) has 899 rows, X \(source\) has 900"):
        pl.Moments.from_dask(da.from_array(X), da.from_array(Y[:899]))


def test_arrays_in_memory_are_sent_to_their_own_door():
    X, Y = some_pairs()
    with pytest.raises(TypeError, match=r"X \(source\) is a ndarray.*Moments\.from_arrays"):
        pl.Moments.from_dask(X, Y)
    with pytest.raises(TypeError, match=r"Y \(target\) is a ndarray.*Moments\.from_arrays"):
        pl.Moments.from_dask(da.from_array(X), Y)


def test_blocks_of_unknown_size():
    X, Y = some_pairs()
    filtered = da.from_array(X)[da.from_array(X[:, 0] > 0)]
    with pytest.raises(ValueError, match=r"unknown size.*compute_chunk_sizes"):
        pl.Moments.from_dask(filtered, da.from_array(Y))


def test_no_rows():
    X, Y = some_pairs()
    with pytest.raises(ValueError, match=r"X \(source\) is empty, shape \(0, 7\)"):
        pl.Moments.from_dask(da.from_array(X[:0]), da.from_array(Y[:0]))


def test_one_dimension():
    X, Y = some_pairs()
    with pytest.raises(ValueError, match=r"X \(source\) has 1 dimension"):
        pl.Moments.from_dask(da.from_array(X[:, 0]), da.from_array(Y))


def test_complex_numbers():
    X, Y = some_pairs()
    with pytest.raises(TypeError, match=r"Y \(target\) holds complex128"):
        pl.Moments.from_dask(da.from_array(X), da.from_array(Y + 1j))


def test_the_core_does_not_import_dask():
    code = "import sys, procrustes_lab; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
