"""Try to break every inequality of the laboratory: random pairs by the million, and optimisers.

    python benchmarks/break_the_bounds.py [--instances 1000000] [--seconds 600] [--seed 0]

At most half of the time draws random pairs of every kind. The rest climbs: optimisers of four
kinds push the ratio of one inequality, its left side over its right side, as high as it will go,
from random pairs and from the best pair that another of them left; every pair that they visit is
held against every inequality.
A ratio above 1 by more than rounding ends everything: the pair is saved, the exit code is 1.

Sizes are n <= 12 and d <= 6. All arithmetic here is from the definitions, with n × n matrices;
nothing is taken from the package but its families of pairs.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import scipy
from scipy.optimize import differential_evolution, minimize

from procrustes_lab.lab import families

Array = np.ndarray
Size = tuple[int, int, int]

LARGEST_N, LARGEST_D = 12, 6
BATCH = 1000

NEGLIGIBLE = 1e-6
"""In units of the energy: a right side below this is not compared, as rounding would decide."""

ROUNDING = 1e-9
"""By how much rounding may push a ratio above 1."""

STATEMENTS = {
    "T1": "p² ≤ √(2d) ε",
    "T1-rank": "p² ≤ √min(n, d_x + d_y) ε",
    "T2-lower": "Δ² ≤ p² (2t − p²)",
    "T2-upper": "p² ≤ Δ",
    "T3": "σ_min(XW + Y)² p² ≤ 2ε²",
    "T3-exact": "s⁴ ψ(p²/s²) ≤ 2ε²,  s² = σ_d(X)² + σ_d(Y)²",
    "T3-Tu": "2(√2 − 1) σ_d(X)² p² ≤ ε²",
    "T4": "ε² ≤ (‖X‖₂ + ‖Y‖₂)² p²",
    "T8": "p² ≤ the largest p² of these singular values and this ε",
    "T5": "excess error ≤ 4‖M̂ − M‖_*",
    "T6": "margin of an answer that is lost ≤ ‖x_q W − y_q‖ ‖y_a − y_b‖",
    "T7-CKA-least": "(1 − c)(d − (d − 1)F²) ≤ d (1 − F²)",
    "T7-CKA-most": "1 − Φ_d(F) ≤ 1 − c",
    "T7-spread-least": "c ≤ R F²",
    "T7-spread-most": "(1 − c) / R ≤ 1 − F²",
    "T7-T1": "p̂² ≤ 2 √(d (1 − c))",
    "T10": "2√(1 + c) − 2√(2c) ≤ p̂²",
}
"""Every inequality, left side ≤ right side; c is CKA, F the normalised Bures similarity, R the
geometric mean of the participation ratios, p̂ the distance once both Gram matrices have norm 1."""


class BrokenError(Exception):
    """An inequality that does not hold, and the pair that shows it."""

    def __init__(self, name: str, ratio: float, X: Array, Y: Array):
        super().__init__(f"{name} is broken: {STATEMENTS[name]} fails with ratio {ratio!r}")
        self.X, self.Y = X, Y


# The inequalities, for stacks of pairs at once


def dot(A: Array, B: Array) -> Array:
    """Sum of the products of entries, for each matrix of a stack."""
    return np.einsum("kij,kij->k", A, B)


def t(A: Array) -> Array:
    """Transpose each matrix of a stack."""
    return A.swapaxes(-1, -2)


def sides(X: Array, Y: Array) -> dict[str, tuple[Array, Array]]:
    """Left and right side of every inequality, for k pairs of one size.

    Parameters
    ----------
    X, Y : arrays (k, n, d_x) and (k, n, d_y)

    Returns
    -------
    dict of (left, right), arrays (k,), in units where every pair has energy 1; both are 0 where an
    inequality says nothing of a pair.
    """
    k, n, d_x = X.shape
    d_y = Y.shape[2]
    d = max(d_x, d_y)
    unit = np.sqrt(dot(X, X) + dot(Y, Y))[:, None, None]
    unit[unit == 0] = 1.0
    X = np.concatenate([X, np.zeros((k, n, d - d_x))], axis=2) / unit
    Y = np.concatenate([Y, np.zeros((k, n, d - d_y))], axis=2) / unit

    cross = t(X) @ Y
    U, sigma, Vt = np.linalg.svd(cross)
    W = U @ Vt
    A = X @ W
    nuclear = sigma.sum(1)
    p2 = dot(A - Y, A - Y)
    G, H = X @ t(X), Y @ t(Y)
    eigenvalues = np.linalg.eigvalsh(G - H)
    epsilon2, Delta = np.sum(eigenvalues**2, axis=1), np.abs(eigenvalues).sum(1)
    epsilon = np.sqrt(epsilon2)
    x_spectrum, y_spectrum, s_spectrum = (
        np.maximum(np.linalg.eigvalsh(t(Z) @ Z), 0.0) for Z in (X, Y, A + Y)
    )

    found = {
        "T1": (p2, np.sqrt(2 * d) * epsilon),
        "T1-rank": (p2, np.sqrt(min(n, d_x + d_y)) * epsilon),
        "T2-lower": (Delta**2, p2 * (2 - p2)),
        "T2-upper": (p2, Delta),
        "T3": (s_spectrum[:, 0] * p2, 2 * epsilon2),
        "T3-exact": (least_discrepancy(p2, x_spectrum[:, 0] + y_spectrum[:, 0], d), 2 * epsilon2),
        "T3-Tu": (2 * (np.sqrt(2) - 1) * x_spectrum[:, 0] * p2, epsilon2),
        "T4": (epsilon2, p2 * (np.sqrt(x_spectrum[:, -1]) + np.sqrt(y_spectrum[:, -1])) ** 2),
        "T8": (p2, most_of_spectra(x_spectrum, y_spectrum, epsilon2)),
        "T5": excess_error(X, Y, cross, nuclear),
        "T6": lost_answer(A, Y),
    }
    return found | similarities(A, Y, G, H, sigma)


def least_discrepancy(p2: Array, s2: Array, d: int) -> Array:
    """Least 2ε² of a pair with that p² and XᵀX + YᵀY ⪰ s²: s⁴ψ(p²/s²) of T3-exact."""
    whole = np.minimum(np.floor(p2 / np.maximum(s2, 1e-300)), d)
    rest = p2 - whole * s2
    return np.where(whole < d, whole * s2**2 + rest * (2 * s2 - rest), p2**2 / d)


def most_of_spectra(x: Array, y: Array, epsilon2: Array) -> Array:
    """Largest p² of pairs with these squared singular values, weakest first, and this ε (T8).

    Rounding of ε² grows to its square root where a direction is weak, so ε² is taken larger by it.
    """
    products = x * y
    budget = np.maximum(epsilon2 + 1e-13 - np.sum((x - y) ** 2, axis=1), 0.0)[:, None] / 2
    spent = np.clip(budget - (np.cumsum(products, axis=1) - products), 0.0, products)
    lost = np.sqrt(products) - np.sqrt(products - spent)
    return np.sum((np.sqrt(x) - np.sqrt(y)) ** 2, axis=1) + 2 * lost.sum(1)


def excess_error(X: Array, Y: Array, cross: Array, nuclear: Array) -> tuple[Array, Array]:
    """T5: the population is all rows, the sample the first half of them."""
    n, half = X.shape[1], max(1, X.shape[1] // 2)
    sample = t(X[:, :half]) @ Y[:, :half] / half
    U, _, Vt = np.linalg.svd(sample)
    apart = np.linalg.svd(sample - cross / n, compute_uv=False).sum(1)
    return 2 * (nuclear - dot(U @ Vt, cross)) / n, 4 * apart


def lost_answer(A: Array, Y: Array) -> tuple[Array, Array]:
    """T6: row 0 asks, the other rows answer; where the winner b is new, the margin it overcame.

    The margin condition is that left > right for every rival of the old winner a. Left > right for
    b is therefore what would refute it. Where the winner stays, left is minus its new margin.
    """
    k, n, _ = Y.shape
    if n < 3:
        return np.zeros(k), np.zeros(k)
    every = np.arange(k)
    query, aligned, answers = Y[:, 0], A[:, 0], Y[:, 1:]
    native = np.einsum("kd,kid->ki", query, answers)
    served = np.einsum("kd,kid->ki", aligned, answers)
    winner = native.argmax(1)
    rivals = served.copy()
    rivals[every, winner] = -np.inf
    rival = rivals.argmax(1)
    lost = served[every, rival] > served[every, winner]
    margin, kept = (m[every, winner] - m[every, rival] for m in (native, served))
    apart = np.linalg.norm(answers[every, winner] - answers[every, rival], axis=1)
    right = np.linalg.norm(aligned - query, axis=1) * apart
    return np.where(lost, margin, -kept), right


def similarities(A: Array, Y: Array, G: Array, H: Array, sigma: Array) -> dict:
    """T7, where both sides have energy; every 1 − c and 1 − F is found without cancellation."""
    d = A.shape[2]
    energies = [np.trace(K, axis1=1, axis2=2) for K in (G, H)]
    norms = [np.sqrt(dot(K, K)) for K in (G, H)]
    proper = (energies[0] > NEGLIGIBLE) & (energies[1] > NEGLIGIBLE)
    (e_x, e_y), (g, h) = ([np.where(proper, v, 1.0) for v in vs] for vs in (energies, norms))

    def distance2(a: Array, b: Array) -> Array:
        difference = A / np.sqrt(a)[:, None, None] - Y / np.sqrt(b)[:, None, None]
        return dot(difference, difference)

    off = G / g[:, None, None] - H / h[:, None, None]
    lacking_c, c = dot(off, off) / 2, np.sum(sigma**2, axis=1) / (g * h)
    lacking, F = distance2(e_x, e_y) / 2, sigma.sum(1) / np.sqrt(e_x * e_y)
    lacking_F2 = lacking * (2 - lacking)
    R, p2 = e_x * e_y / (g * h), distance2(g, h)
    rest = lacking**2 / max(d - 1, 1)
    most = (
        lacking_F2
        if d == 1
        else np.where(F * d <= 1, 1 - d * F**2, rest / np.maximum(F**2 + rest, 1e-300))
    )
    found = {
        "T7-CKA-least": (lacking_c * (d - (d - 1) * F**2), d * lacking_F2),
        "T7-CKA-most": (most, lacking_c),
        "T7-spread-least": (c, R * F**2),
        "T7-spread-most": (lacking_c / R, lacking_F2),
        "T7-T1": (p2, 2 * np.sqrt(d * lacking_c)),
        "T10": (2 * lacking_c / (np.sqrt(1 + c) + np.sqrt(2 * c)), p2),
    }
    return {name: (left * proper, right * proper) for name, (left, right) in found.items()}


# The record


@dataclass
class Best:
    """The largest ratio of an inequality in one dimension, and where it was found."""

    ratio: float = 0.0
    found_by: str = ""
    pair: tuple[Array, Array] | None = None


class Record:
    """The largest ratio of every inequality over all pairs looked at, and how many these were."""

    def __init__(self) -> None:
        self.pairs = 0
        self.compared = dict.fromkeys(STATEMENTS, 0)
        self.best = {name: [Best() for _ in range(LARGEST_D)] for name in STATEMENTS}

    def look(self, X: Array, Y: Array, found_by: str) -> dict[str, Array]:
        """Compare both sides of everything for a stack of pairs and return the ratios.

        Raises
        ------
        BrokenError
            If any ratio is above 1 by more than rounding, or is no number.
        """
        self.pairs += len(X)
        d = max(X.shape[2], Y.shape[2])
        ratios = {}
        for name, (left, right) in sides(X, Y).items():
            proper = ~(right <= NEGLIGIBLE)  # a NaN is looked at too
            ratio = np.where(proper, left / np.where(proper, right, 1.0), 0.0)
            ratios[name] = ratio
            self.compared[name] += int(proper.sum())
            top = int(ratio.argmax())
            if not ratio[top] <= 1 + ROUNDING:
                raise BrokenError(name, float(ratio[top]), X[top], Y[top])
            if ratio[top] > self.best[name][d - 1].ratio:
                pair = X[top].copy(), Y[top].copy()
                self.best[name][d - 1] = Best(float(ratio[top]), found_by, pair)
        return ratios

    def largest(self, name: str) -> Best:
        """Return the largest ratio of an inequality in any dimension."""
        return max(self.best[name], key=lambda best: best.ratio)

    def summary(self, name: str) -> dict[str, object]:
        """Everything worth keeping about an inequality, ready for JSON."""
        best = self.largest(name)
        return {
            "compared": self.compared[name],
            "largest": float(f"{best.ratio:.9g}"),
            "found_by": best.found_by,
            "largest_by_dimension": [float(f"{b.ratio:.6g}") for b in self.best[name]],
        }


# Random pairs


def gaussian(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    n, d_x, d_y = size
    return rng.standard_normal((k, n, d_x)), rng.standard_normal((k, n, d_y))


def noisy_copies(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """One latent set seen from both sides, and noise of 10⁻³ to 10 times the signal."""
    n, d_x, d_y = size
    latent = rng.standard_normal((k, n, max(d_x, d_y)))
    noise = 10 ** rng.uniform(-3, 1, (k, 1, 1)) * rng.standard_normal((k, n, d_y))
    return latent[..., :d_x], latent[..., :d_y] + noise


def few_factors(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Rank-deficient pairs: both are linear images of the same few factors."""
    n, d_x, d_y = size
    rank = int(rng.integers(1, min(size) + 1))
    factors = rng.standard_normal((k, n, rank))
    loadings = (rng.standard_normal((k, rank, d)) for d in (d_x, d_y))
    X, Y = (factors @ loading for loading in loadings)
    return X, Y


def sparse(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Supports that overlap in part; zero rows, and sides that are zero altogether."""
    X, Y = gaussian(rng, k, size)
    density = rng.uniform(0, 0.6, (k, 1, 1))
    return X * (rng.random(X.shape) < density), Y * (rng.random(Y.shape) < density)


def disjoint(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Every object belongs to one side alone, but for a share that both see alike."""
    X, Y = noisy_copies(rng, k, size)
    whose = rng.random((k, size[0], 1)) * rng.uniform(1, 3, (k, 1, 1))
    return X * (whose > 0.5), Y * ((whose <= 0.5) | (whose > 1))


def small_integers(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Entries −1, 0 and 1: exact ties, repeated singular values, exactly singular matrices."""
    n, d_x, d_y = size
    return (rng.integers(-1, 2, (k, n, d)).astype(float) for d in (d_x, d_y))  # type: ignore[return-value]


def badly_scaled(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Columns of 10⁻² to 10² times their length, and sides of unequal energy."""
    X, Y = noisy_copies(rng, k, size)
    columns = (10 ** rng.uniform(-2, 2, (k, 1, Z.shape[2])) for Z in (X, Y))
    X, Y = (Z * scale for Z, scale in zip((X, Y), columns, strict=True))
    return X, Y


def laboratory(rng: np.random.Generator, k: int, size: Size) -> tuple[Array, Array]:
    """Draw from the random families of the package, each as often as the others."""
    makers = list(families.FAMILIES.values())
    pairs = [makers[i % len(makers)](*size, rng) for i in range(k)]
    X, Y = (np.stack(side) for side in zip(*pairs, strict=True))
    return X, Y


GENERATORS = (
    gaussian,
    noisy_copies,
    few_factors,
    sparse,
    disjoint,
    small_integers,
    badly_scaled,
    laboratory,
)


def random_size(rng: np.random.Generator) -> Size:
    n, d_x, d_y = (int(rng.integers(1, most + 1)) for most in (LARGEST_N, LARGEST_D, LARGEST_D))
    return n, d_x, d_y if rng.random() < 0.5 else d_x


def draw(record: Record, seed: int, instances: int, until: float) -> None:
    """Look at random pairs, a batch of one size and one kind at a time."""
    batch = 0
    while record.pairs < instances and process_time() < until:
        rng = np.random.default_rng((seed, 0, batch))
        generator = GENERATORS[batch % len(GENERATORS)]
        k = min(BATCH, instances - record.pairs)
        X, Y = generator(rng, k, random_size(rng))
        record.look(X, Y, generator.__name__)
        batch += 1


# Optimisers: each lowers `cost`, a function of a stack of points (k, m), from one point


Cost = Callable[[Array], Array]


def quasi_newton(cost: Cost, start: Array, rng: np.random.Generator) -> None:
    """L-BFGS on central differences, all of them from one stack of pairs."""
    steps = 1e-6 * np.eye(len(start))

    def value_and_gradient(z: Array) -> tuple[float, Array]:
        values = cost(np.vstack([z, z + steps, z - steps]))
        ahead, behind = values[1:].reshape(2, -1)
        return values[0], (ahead - behind) / 2e-6

    minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 80})


def simplex(cost: Cost, start: Array, rng: np.random.Generator) -> None:
    """Nelder–Mead, which needs no slopes and so minds no kinks."""
    options = {"maxfev": 1500, "adaptive": True, "xatol": 1e-10, "fatol": 1e-14}
    minimize(lambda z: cost(z[None])[0], start, method="Nelder-Mead", options=options)


def evolution(cost: Cost, start: Array, rng: np.random.Generator) -> None:
    """Differential evolution, a generation at a time."""
    differential_evolution(
        lambda points: cost(points.T),
        [(-2.0, 2.0)] * len(start),
        x0=np.clip(start / np.abs(start).max(), -2.0, 2.0),
        popsize=4,
        maxiter=60,
        tol=0.0,
        polish=False,
        vectorized=True,
        updating="deferred",
        rng=rng,
    )


def local_search(cost: Cost, start: Array, rng: np.random.Generator) -> None:
    """Evolution strategy: random steps, some along few coordinates; their length adapts."""
    best, value, length = start, cost(start[None])[0], 0.3
    for _ in range(300):
        steps = length * 10 ** rng.uniform(-2, 0.5, (40, 1)) * rng.standard_normal((40, len(best)))
        steps[::2] *= rng.random((20, len(best))) < 2 / len(best)
        values = cost(best + steps)
        top = values.argmin()
        length = np.clip(length * (1.3 if values[top] < value else 0.85), 1e-8, 1.0)
        if values[top] < value:
            best, value = best + steps[top], values[top]


OPTIMISERS = (quasi_newton, simplex, evolution, local_search)


def climb(record: Record, seed: int, until: float) -> int:
    """Search for the largest ratio of each inequality in turn; return how many searches began."""
    names = list(STATEMENTS)
    searches = 0
    while process_time() < until:
        turn, index = divmod(searches, len(names))
        optimiser = OPTIMISERS[(turn + index) % len(OPTIMISERS)]
        search(record, names[index], optimiser, (seed, 1, searches), until)
        searches += 1
    return searches


class OutOfTimeError(Exception):
    """The search has used up its seconds."""


def search(
    record: Record,
    name: str,
    optimiser: Callable[[Cost, Array, np.random.Generator], None],
    seed: tuple[int, ...],
    until: float,
) -> None:
    """Raise the ratio of one inequality, from a random pair or from the best one of a dimension."""
    rng = np.random.default_rng(seed)
    size = random_size(rng)
    X, Y = GENERATORS[int(rng.integers(len(GENERATORS)))](rng, 1, size)
    known = record.best[name][max(size[1:]) - 1].pair
    if known is not None and rng.random() < 0.7:
        X, Y = (side[None] for side in known)
    (_, n, d_x), d_y = X.shape, Y.shape[2]
    start = np.concatenate([X.ravel(), Y.ravel()])
    noise = 10 ** rng.uniform(-6, -1) * rng.standard_normal(len(start))
    start = start / max(np.abs(start).max(), 1e-12) + noise

    def cost(points: Array) -> Array:
        if process_time() > until:
            raise OutOfTimeError
        X, Y = points[:, : n * d_x].reshape(-1, n, d_x), points[:, n * d_x :].reshape(-1, n, d_y)
        return -record.look(X, Y, optimiser.__name__)[name]

    try:
        optimiser(cost, start, rng)
    except OutOfTimeError:
        return


# The run


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=1_000_000, help="random pairs, at most")
    parser.add_argument("--seconds", type=float, default=600.0, help="of processor time, about")
    parser.add_argument("--seed", type=int, default=0)
    output = Path(__file__).with_suffix(".json")
    parser.add_argument("--output", type=Path, default=output)
    options = parser.parse_args(arguments)

    start = process_time()
    drawn, climbed = Record(), Record()
    try:
        draw(drawn, options.seed, options.instances, start + options.seconds / 2)
        between = process_time()
        searches = climb(climbed, options.seed, start + options.seconds)
    except BrokenError as broken:
        saved = options.output.with_name("broken_bound.npz")
        np.savez(saved, X=broken.X, Y=broken.Y)
        print(f"{broken}\nthe pair is in {saved}", file=sys.stderr)
        return 1
    seconds = {"random": between - start, "searched": process_time() - between}
    result = {
        "seed": options.seed,
        "random_pairs": drawn.pairs,
        "searches": searches,
        "searched_pairs": climbed.pairs,
        "seconds": {name: round(value) for name, value in seconds.items()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "inequalities": {
            name: {
                "statement": statement,
                "random": drawn.summary(name),
                "searched": climbed.summary(name),
            }
            for name, statement in STATEMENTS.items()
        },
    }
    options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(f"{'':<18}{'random':>12}{'searched':>12}   largest ratio of left side to right side")
    for name, statement in STATEMENTS.items():
        largest = (record.largest(name).ratio for record in (drawn, climbed))
        print(f"{name:<18}" + "".join(f"{ratio:>12.7f}" for ratio in largest) + f"   {statement}")
    print(
        f"{drawn.pairs:,} random pairs in {seconds['random']:.0f} s; {climbed.pairs:,} pairs on "
        f"{searches} climbs in {seconds['searched']:.0f} s; none breaks an inequality"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
