"""Measure what notebook 09 shows of large sets: streaming, workers, and cost against n.

    python benchmarks/scale.py [--pairs 2000000] [--dimension 768] [--folder /tmp] [--output FILE]

1. A mapped pair of files (float16) becomes moments; its rate against that of the bare products of
   the same blocks, already in memory as float64, section by section in turn; and the most memory
   that the process ever held. The files stay in the page cache as far as it reaches: what is
   measured is the arithmetic and not the disk.
2. The same files by one and by two Dask workers of one thread each, and the bytes they exchanged.
3. Seconds and memory of `certify` and of the n × n way, for growing n.

Writes JSON. Takes about ten minutes and 6 GB of disk.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from arithmetic import gram_way, machine, pairs, peak_megabytes, seconds

import procrustes_lab as pl
from procrustes_lab.core.sums import BLOCK_BYTES

Array = np.ndarray
SECTIONS = 40
LARGEST_NAIVE = 8000
DASK_ROWS, DASK_BLOCKS = 300_000, 15


def write_pair(folder: Path, n: int, d: int) -> tuple[Path, Path]:
    """Two files of n rows; a few thousand different ones, again and again with other lengths."""
    paths = folder / "source.npy", folder / "target.npy"
    for path, side in zip(paths, pairs(8192, d, d), strict=True):
        rows = np.lib.format.open_memmap(path, "w+", np.float16, (n, d))
        for start in range(0, n, len(side)):
            some = side[: n - start] * (1 + start / n)
            rows[start : start + len(some)] = some
        rows.flush()
    return paths


def mapped(paths: tuple[Path, Path]) -> tuple[Array, Array]:
    source, target = (np.load(path, mmap_mode="r") for path in paths)
    return source, target


def sections(paths: tuple[Path, Path], rows: int) -> Iterator[tuple[Array, Array]]:
    X, Y = mapped(paths)
    for start in range(0, len(X), rows):
        yield X[start : start + rows], Y[start : start + rows]


def most_megabytes() -> float:
    """Most memory that this process ever held, mapped files included (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    [line] = (row for row in status if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def streamed_memory(paths: tuple[Path, Path], queue: Any) -> None:
    took = seconds(lambda: pl.Moments.from_arrays(*mapped(paths)))
    queue.put({"seconds": took, "peak_mb": most_megabytes()})


def bare_products(x: Array, y: Array) -> float:
    """Seconds of XᵀX, XᵀY and YᵀY in blocks of rows that are float64 already."""
    total = 0.0
    rows = BLOCK_BYTES // (8 * x.shape[1])
    for start in range(0, len(x), rows):
        a = x[start : start + rows].astype(np.float64)
        b = y[start : start + rows].astype(np.float64)
        begin = perf_counter()
        _ = a.T @ a, a.T @ b, b.T @ b
        total += perf_counter() - begin
    return total


def streaming(paths: tuple[Path, Path], n: int, d: int) -> dict[str, Any]:
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    child = spawn.Process(target=streamed_memory, args=(paths, queue))
    child.start()
    result = queue.get()
    child.join()
    ratios = []
    for number, (x, y) in enumerate(sections(paths, n // SECTIONS)):
        if number % 4 == 0:
            ours = seconds(lambda x=x, y=y: pl.Moments.from_arrays(x, y))
            ratios.append(bare_products(x, y) / ours)
    return result | {
        "pairs": n,
        "dimension": d,
        "gigabytes": sum(path.stat().st_size for path in paths) / 1e9,
        "rate_over_bare": float(np.median(ratios)),
    }


def received(dask_worker: Any) -> int:
    """Bytes that a worker had from others."""
    return sum(transfer["total"] for transfer in dask_worker.transfer_incoming_log)


def by_workers(paths: tuple[Path, Path], n: int, d: int, rounds: int) -> dict[str, Any]:
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    rows = min(DASK_ROWS, n) // DASK_BLOCKS

    def array(path: Path) -> da.Array:
        def block(block_id: tuple[int, int]) -> Array:
            start = block_id[0] * rows
            return np.load(path, mmap_mode="r")[start : start + rows]

        chunks = ((rows,) * DASK_BLOCKS, (d,))
        return da.map_blocks(block, chunks=chunks, meta=np.empty((0, 0), np.float16))

    runs = []
    for workers in (1, 2) * rounds:
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                local_directory=str(paths[0].parent),
            ) as cluster,
            Client(cluster) as client,
        ):
            client.run(lambda: __import__("procrustes_lab").Moments)
            took = seconds(lambda: pl.Moments.from_dask(array(paths[0]), array(paths[1])))
            moved = sum(client.run(received).values())
        runs.append({"workers": workers, "seconds": took, "bytes_moved": moved})
    return {"pairs": rows * DASK_BLOCKS, "dimension": d, "block": rows, "runs": runs}


def cost(n: int, d: int) -> dict[str, float]:
    X, Y = pairs(n, d, d)
    found = {
        "n": n,
        "certify_seconds": float(np.median([seconds(lambda: pl.certify(X, Y)) for _ in range(3)])),
        "certify_mb": peak_megabytes(lambda: pl.certify(X, Y)),
    }
    if n <= LARGEST_NAIVE:
        found |= {"naive_seconds": seconds(lambda: gram_way(X, Y)), "naive_mb": 8 * n * n / 1e6}
    print(found, flush=True)
    return found


def growth(d: int, largest: int) -> dict[str, Any]:
    sizes = (500, 1000, 2000, 4000, 8000, 16_000, 64_000, 256_000)
    return {"dimension": d, "rows": [cost(n, d) for n in sizes if n <= largest]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--largest", type=int, default=256_000)
    parser.add_argument("--rounds", type=int, default=3, help="with one and with two workers")
    parser.add_argument("--folder", type=Path, default=None)
    default = Path(__file__).parents[1] / "notebooks" / "scale.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    n, d = options.pairs, options.dimension
    result: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = write_pair(Path(folder), n, d)
        result["streaming"] = streaming(paths, n, d)
        print(result["streaming"], flush=True)
        result["dask"] = by_workers(paths, n, d, options.rounds)
        print(result["dask"], flush=True)
    result["growth"] = growth(384, options.largest)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
