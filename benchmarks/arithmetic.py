"""Compare `align`, `certify` and `apply` with their floors and their peers, as ratios in one run.

    python benchmarks/arithmetic.py [--shapes 100000x384x384 ...] [--rounds 3] [--gram 10000x768]

The floor of `align` is the bare product XᵀY and one SVD of it. That of `certify` is what its answer
needs: the bare products XᵀX, XᵀY and YᵀY, one SVD of XᵀY, and the eigenvalues of three symmetric
matrices, of order d_x + d_y for the discrepancy and of d_x and d_y for both spectra. Every round
times everything once, in turn, and a ratio is the median over the rounds: it holds although the
machine's speed drifts. Prints Markdown. Some minutes on two cores that do nothing else; shapes such
as 8192x4096x4096 take more than ten minutes each round, and most of them are qc-procrustes's.
"""

import argparse
import os
import platform
import tracemalloc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import scipy.linalg

import procrustes_lab as pl

Array = np.ndarray
Work = Callable[[], Any]

SHAPES = ["10000x768x768", "100000x384x384", "50000x384x768", "30000x1536x768", "20000x1024x1024"]


def seconds(work: Work) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def interleaved(works: dict[str, Work], rounds: int) -> dict[str, Array]:
    """Seconds of every work in every round."""
    times = [[seconds(work) for work in works.values()] for _ in range(rounds)]
    return dict(zip(works, np.array(times).T, strict=True))


def peak_megabytes(work: Work) -> float:
    """Peak of what NumPy and Python allocate during `work`, which is all that scales with n."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def machine() -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}"
    )


def pairs(n: int, d_x: int, d_y: int, seed: int = 0) -> tuple[Array, Array]:
    """Return unit vectors with a decaying spectrum, and a noisy rotation of them."""
    rng = np.random.default_rng(seed)
    most = max(d_x, d_y)
    X = rng.standard_normal((n, d_x)) / np.sqrt(1 + np.arange(d_x))
    Q = np.linalg.qr(rng.standard_normal((most, most)))[0][:d_x, :d_y]
    Y = X @ Q + 0.1 * rng.standard_normal((n, d_y))
    for side in (X, Y):
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    return X, Y


# What others do


def padded(X: Array, Y: Array) -> tuple[Array, Array]:
    """Both with as many columns as the wider has, for those who need it."""
    width = max(X.shape[1], Y.shape[1])
    X, Y = (
        side if side.shape[1] == width else np.pad(side, ((0, 0), (0, width - side.shape[1])))
        for side in (X, Y)
    )
    return X, Y


def netrep_way(X: Array, Y: Array) -> tuple[Array, Array]:
    """Return what `LinearMetric(alpha=1).fit` of netrep (github.com/ahwillia/netrep) computes."""
    X, Y = padded(X, Y)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    U, _, Vt = np.linalg.svd(X.T @ Y)
    return np.eye(len(U)) @ U, np.eye(len(U)) @ Vt.T


def qc_procrustes(X: Array, Y: Array) -> Any:
    import procrustes

    return procrustes.orthogonal(*padded(X, Y), pad=False)


def gram_way(X: Array, Y: Array) -> float:
    """Nuclear norm of the Gram discrepancy the naive way: an n × n matrix and its eigenvalues."""
    D = X @ X.T
    D -= Y @ Y.T
    return float(np.abs(np.linalg.eigvalsh(D)).sum())


# Tables


def compare(n: int, d_x: int, d_y: int, rounds: int) -> str:
    """Row of the table of one shape."""
    X, Y = pairs(n, d_x, d_y)
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    some = slice(2 * (d_x + d_y))
    few = X[some], Y[some]
    symmetric = [np.cov(side, rowvar=False) for side in (np.hstack(few), *few)]
    times = interleaved(
        {
            "floor": lambda: np.linalg.svd(X.T @ Y, full_matrices=False),
            "align": lambda: pl.align(X, Y),
            "align32": lambda: pl.align(X32, Y32),
            "scipy": lambda: scipy.linalg.orthogonal_procrustes(*padded(X, Y)),
            "netrep": lambda: netrep_way(X, Y),
            "qc": lambda: qc_procrustes(X, Y),
            "certify floor": lambda: (
                (X.T @ X, Y.T @ Y, np.linalg.svd(X.T @ Y, full_matrices=False)),
                [np.linalg.eigvalsh(matrix) for matrix in symmetric],
            ),
            "certify": lambda: pl.certify(X, Y),
            "certify32": lambda: pl.certify(X32, Y32),
        },
        rounds,
    )

    def ratio(name: str, to: str) -> str:
        return f"{np.median(times[name] / times[to]):.2f}"

    return " | ".join(
        [
            f"| {n:,}, {d_x:,} → {d_y:,}",
            f"{np.median(times['floor']):.2f} s",
            *(ratio(name, "floor") for name in ("align", "scipy", "netrep", "qc")),
            ratio("align32", "align"),
            f"{np.median(times['certify floor']):.2f} s",
            ratio("certify", "certify floor"),
            f"{ratio('certify32', 'certify')} |",
        ]
    )


def memory(n: int, d: int) -> str:
    """Rows of the table of memory: the peak beyond the inputs."""
    X, Y = pairs(n, d, d)
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    works: dict[str, Work] = {
        "`align`": lambda: pl.align(X, Y),
        "`align`, float32": lambda: pl.align(X32, Y32),
        "`certify`": lambda: pl.certify(X, Y),
        "`scipy.linalg.orthogonal_procrustes`": lambda: scipy.linalg.orthogonal_procrustes(X, Y),
        "netrep": lambda: netrep_way(X, Y),
        "qc-procrustes": lambda: qc_procrustes(X, Y),
    }
    return "\n".join(f"| {name} | {peak_megabytes(work):,.0f} MB |" for name, work in works.items())


def gram(n: int, d: int) -> str:
    """Row of the table of the n × n way: seconds and memory, and those of `certify`."""
    X, Y = pairs(n, d, d)
    ours = float(np.median([seconds(lambda: pl.certify(X, Y)) for _ in range(3)]))
    naive = seconds(lambda: gram_way(X, Y))
    peak = peak_megabytes(lambda: pl.certify(X, Y))
    return (
        f"| {n:,}, {d} | {ours:.2f} s | {naive:.1f} s | {naive / ours:.0f} | "
        f"{peak:,.0f} MB | {8 * n * n / 1e6:,.0f} MB |"
    )


def apply_speed(n: int, d: int, rounds: int) -> str:
    """Row of the table of `apply`: against the bare product, and against a copy of the rows."""
    X, Y = pairs(n, d, d)
    X32 = X.astype(np.float32)
    alignment = pl.align(X, Y)
    times = interleaved(
        {
            "product": lambda: X @ alignment.map,
            "copy": X.copy,
            "apply": lambda: alignment.apply(X),
            "apply32": lambda: alignment.apply(X32),
        },
        rounds,
    )
    against = [("apply", "product"), ("apply32", "product"), ("product", "copy")]
    ratios = (f"{np.median(times[a] / times[b]):.2f}" for a, b in against)
    rate = n / np.median(times["apply"])
    return f"| {n:,}, {d} | " + " | ".join(ratios) + f" | {rate:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="*", default=SHAPES, metavar="NxDXxDY")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gram", default="5000x768", metavar="NxD", help="10000x768: 5 minutes")
    parser.add_argument("--small", action="store_true", help="sizes that only show that it runs")
    options = parser.parse_args()
    scale = 100 if options.small else 1
    if options.small:
        options.shapes, options.gram = ["2000x24x16"], "400x16"
    print(f"{machine()}; medians of {options.rounds} rounds\n")

    headings = (
        "n, d_x → d_y | floor | `align` | scipy | netrep | qc-procrustes | `align` f32/f64 | "
        "certify's floor | `certify` | `certify` f32/f64"
    )
    print(f"| {headings} |\n|" + " --- |" + " ---: |" * 9)
    for shape in options.shapes:
        print(compare(*map(int, shape.split("x")), options.rounds), flush=True)
    print(f"\n| n = {100_000 // scale:,}, d = 384 | memory beyond the inputs |\n| --- | ---: |")
    print(memory(100_000 // scale, 384), flush=True)
    print("\n| n, d | `apply` / product | f32 / product | product / copy | rows a second |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for n, d in ((200_000, 384), (100_000, 768)):
        print(apply_speed(n // scale, d, options.rounds), flush=True)
    print("\n| n, d | `certify` | n × n | times | `certify`'s memory | n × n matrix |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    n, d = map(int, options.gram.split("x"))
    for part in (n // 4, n // 2, n):
        print(gram(part, d), flush=True)


if __name__ == "__main__":
    main()
