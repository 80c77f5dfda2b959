"""Compare `align` and `certify` with their floors and their peers, as ratios in one run.

    python benchmarks/arithmetic.py [--pairs 100000] [--dimension 384] [--repeats 5]

The floor of `align` is one product XᵀY and one SVD of it; that of `certify` is two such
products and one symmetric eigendecomposition of size 2d. Every round times everything once, in
turn, and a ratio is the median over the rounds: it holds although the machine's speed drifts.
"""

import argparse
import tracemalloc
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import scipy.linalg

import procrustes_lab as pl


def seconds(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def peak_megabytes(work: Callable[[], Any]) -> float:
    """Peak of what NumPy and Python allocate during `work`, which is all that scales with n."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def pairs(n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors with a decaying spectrum, and a noisy rotation of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) / np.sqrt(1 + np.arange(d))
    Y = X @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 0.1 * rng.standard_normal((n, d))
    for side in (X, Y):
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    return X, Y


def gram_way(X: np.ndarray, Y: np.ndarray) -> float:
    """Nuclear norm of the Gram discrepancy the naive way: an n × n matrix and its eigenvalues."""
    D = X @ X.T
    D -= Y @ Y.T
    return float(np.abs(np.linalg.eigvalsh(D)).sum())


def qc_procrustes(X: np.ndarray, Y: np.ndarray) -> Any:
    import procrustes

    return procrustes.orthogonal(X, Y)


def compare(
    title: str, floor: Callable[[], Any], rivals: dict[str, Callable[[], Any]], repeats: int
) -> None:
    times: dict[str, list[float]] = {name: [] for name in ("floor", *rivals)}
    for _ in range(repeats):
        for name, work in {"floor": floor, **rivals}.items():
            times[name].append(seconds(work))
    print(f"\n{title}\n{'':<32}{'seconds':>9}{'x floor':>9}{'extra MB':>10}")
    for name, work in {"floor": floor, **rivals}.items():
        ratio = float(np.median(np.divide(times[name], times["floor"])))
        print(f"{name:<32}{np.median(times[name]):>9.3f}{ratio:>9.2f}{peak_megabytes(work):>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--gram-pairs", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    n, d = options.pairs, options.dimension
    X, Y = pairs(n, d, seed=0)
    symmetric = np.cov(np.hstack([X[: 4 * d], Y[: 4 * d]]), rowvar=False)

    compare(
        f"align, n = {n:,}, d = {d}, float64",
        lambda: scipy.linalg.svd(X.T @ Y),
        {
            "procrustes_lab.align": lambda: pl.align(X, Y),
            "scipy.orthogonal_procrustes": lambda: scipy.linalg.orthogonal_procrustes(X, Y),
            "qc-procrustes": lambda: qc_procrustes(X, Y),
        },
        options.repeats,
    )
    compare(
        f"certify, n = {n:,}, d = {d}, float64",
        lambda: (X.T @ Y, Y.T @ X, np.linalg.eigvalsh(symmetric)),
        {"procrustes_lab.certify": lambda: pl.certify(X, Y)},
        options.repeats,
    )
    X32, Y32 = X.astype(np.float32), Y.astype(np.float32)
    compare(
        f"float32 input against float64, n = {n:,}, d = {d} (floor: align in float64)",
        lambda: pl.align(X, Y),
        {
            "align, float32": lambda: pl.align(X32, Y32),
            "certify, float32": lambda: pl.certify(X32, Y32),
        },
        options.repeats,
    )
    small = X[: options.gram_pairs], Y[: options.gram_pairs]
    compare(
        f"the n × n way, n = {options.gram_pairs:,}, d = {d} (floor: certify)",
        lambda: pl.certify(*small),
        {"eigenvalues of XXᵀ − YYᵀ": lambda: gram_way(*small)},
        1,
    )


if __name__ == "__main__":
    main()
