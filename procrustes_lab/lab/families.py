"""Pairs of embedding sets whose place in the theory is known, and random pairs that fill the rest.

Write G = XXᵀ, H = YYᵀ, ε = ‖G − H‖_F, Δ = ‖G − H‖_* (nuclear norm), t = ‖X‖_F² + ‖Y‖_F² and p for
the Procrustes distance. Every function returns ``(X, Y)``, float64, one object a row. Bounds
attained here: T1, p² ≤ √(2d)·ε with d the larger dimension; T1′, p² ≤ √min(n, d_x + d_y)·ε; T8, the
largest p² of given singular values and ε; and the lens T2, t − √(t² − Δ²) ≤ p² ≤ Δ.
"""

from collections.abc import Callable
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hadamard

Array = NDArray[np.float64]
Pair = tuple[Array, Array]
Family = Callable[[int, int, int, np.random.Generator], Pair]


def extremal(n: int, source_dim: int, target_dim: int, epsilon: float = 1.0) -> Pair:
    """Attain T1′ at any size, and T1 where the dimensions agree and n ≥ 2d.

    The sources live on the first min(d_x, n) objects, the targets on the next, all of one length.
    So G − H is diagonal with r = min(n, d_x + d_y) entries ±c, c = ε/√r, and XᵀY = 0 leaves nothing
    to align: p² = t = rc = √r·ε. Up to rotations, and but for G = H, no other pair attains T1.
    """
    length = np.sqrt(epsilon) / min(n, source_dim + target_dim) ** 0.25
    return length * np.eye(n, source_dim), length * np.eye(n, target_dim, k=-min(n, source_dim))


def spectral(source: ArrayLike, target: ArrayLike, epsilon: float) -> Pair:
    """Attain T8: of all pairs with these singular values and this ε, one with the largest p².

    Axis i of X has length x_i and axis i of Y length y_i, both sorted, in d orthogonal planes; X
    and Y are (2d, d). The axes with the smallest products turn by a right angle, the next by part
    of one, the rest not. ValueError unless ε² is from Σ(x_i² − y_i²)² to Σ(x_i⁴ + y_i⁴).
    """
    x, y = np.sort(np.asarray(source, float)), np.sort(np.asarray(target, float))
    least, most = np.sum((x**2 - y**2) ** 2), np.sum(x**4 + y**4)
    if not least <= epsilon**2 * (1 + 1e-12) <= most * (1 + 2e-12):
        allowed = f"expected {np.sqrt(least):.6g} to {np.sqrt(most):.6g} of such singular values"
        raise ValueError(f"epsilon is {epsilon}; {allowed}")
    squares = (x * y) ** 2
    before = np.cumsum(squares) - squares
    spent = np.clip((epsilon**2 - least) / 2 - before, 0.0, squares)
    sine = np.sqrt(spent / np.where(squares > 0.0, squares, 1.0))
    return _in_planes(x, y * np.sqrt(1.0 - sine**2), y * sine)


def unit_extremal(n: int, dim: int) -> Pair:
    """Attain T1 with unit rows: the real Fourier basis of n points, split between the sides.

    The cosine and the sine of a frequency have squares that sum to 1 at every point; the constant
    and, for even n, the alternating column have constant squares. So each side is a tight frame
    of unit vectors: G = (n/d)P, H = (n/d)P′ with orthogonal projections P and P′, PP′ = 0.
    ValueError unless n ≥ 2d, and n is even or d is.
    """
    if n < 2 * dim or (n % 2 and dim % 2):
        raise ValueError(f"n = {n} points for d = {dim}: choose n ≥ 2d, and even unless d is")
    at = np.arange(n)
    phase = 2 * np.pi * np.outer(at, np.arange(1, (n + 1) // 2)) / n
    waves = np.sqrt(2) * np.stack([np.cos(phase), np.sin(phase)], axis=2).reshape(n, -1)
    flat = iter([np.ones((n, 1)), np.where(at % 2, -1.0, 1.0)[:, None]])
    even = dim - dim % 2
    X, Y = (
        np.hstack([*islice(flat, dim - side.shape[1]), side]) / np.sqrt(dim)
        for side in (waves[:, :even], waves[:, even : 2 * even])
    )
    return X, Y


def tilted(angles: ArrayLike, energies: ArrayLike) -> Pair:
    """Turn each source axis by its own angle, in its own plane: the lens's building block.

    Axis i of X has squared length wᵢ and axis i of Y the same length at angle θᵢ ∈ [0, π/2] from
    it; the k planes are orthogonal, X and Y (2k, k). Each contributes eigenvalues ±wᵢ sin θᵢ to
    G − H and wᵢ cos θᵢ to ‖XᵀY‖_*, so that t = 2 Σ wᵢ, Δ = 2 Σ wᵢ sin θᵢ, ε² = 2 Σ wᵢ² sin² θᵢ and
    p² = 2 Σ wᵢ (1 − cos θᵢ). In the lens, (Δ/t, p²/t) is the average, by wᵢ, of the points
    (sin θᵢ, 1 − cos θᵢ) of its lower side, of which it is the convex hull: on that side for one
    common angle, on the upper side for angles 0 and π/2.
    """
    theta, lengths = np.asarray(angles, float), np.sqrt(np.asarray(energies, float))
    return _in_planes(lengths, lengths * np.cos(theta), lengths * np.sin(theta))


def at(x: float, y: float) -> Pair:
    """Place a pair, (4, 2), at a point (Δ/t, p²/t) of the lens, with unit total energy t = 1.

    The ray from the origin through the point meets the lower side at the angle θ = 2 arctan(y/x),
    since (1 − cos θ)/sin θ = tan(θ/2). One plane at that angle carries the fraction x/sin θ of the
    energy, and a plane that both sets share the rest. ValueError outside the lens.
    """
    theta, turned = _chord(x, y)
    return tilted([theta, 0.0], [turned / 2.0, (1.0 - turned) / 2.0])


def unit_at(x: float, y: float) -> Pair:
    """Place a pair of unit rows, (8, 3), at a point (Δ/t, p²/t) of the lens; see `at`.

    The columns are Walsh functions, ±1 everywhere, times lengths: a row's squared length is the sum
    of the columns' weights. One column is shared and two turn by θ, in planes (1, 2) and (4, 7), to
    opposite sides: as 1·2 = 4·7, what one adds to a row's length the other takes.
    """
    theta, turned = _chord(x, y)
    walsh = hadamard(8).astype(float)
    lengths = np.sqrt([1.0 - turned, turned / 2.0, turned / 2.0])
    X, fresh = walsh[:, [0, 1, 4]] * lengths, walsh[:, [0, 2, 7]] * lengths
    angles = theta * np.array([0.0, 1.0, -1.0])
    return X, X * np.cos(angles) + fresh * np.sin(angles)


def rank_one(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Attain the lens's lower side: every pair of rank-one sets X = uaᵀ, Y = vbᵀ does.

    With unit a and b, Δ² = t² − 4⟨u, v⟩² and p² = t − 2|⟨u, v⟩|: eliminate ⟨u, v⟩.
    """
    a, b = rng.standard_normal(source_dim), rng.standard_normal(target_dim)
    u, v = rng.standard_normal(n), rng.standard_normal(n)
    mixture = rng.uniform()
    v = mixture * u + (1.0 - mixture) * v
    return np.outer(u, a / np.linalg.norm(a)), np.outer(v, b / np.linalg.norm(b))


def shared_or_disjoint(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Attain the lens's upper side: what the two sets do not share, they have on separate supports.

    G = K + A and H = K + B with K, A and B on mutually orthogonal subspaces of object space, here
    random, so Δ = tr A + tr B and t = Δ + 2 tr K; √G and √H share √K alone, so p² = t − 2 tr K = Δ.
    These are all the equality cases.
    """
    basis = _orthonormal(n, n, rng)
    shared = int(rng.integers(0, min(n, source_dim, target_dim) + 1))
    scaled = basis * rng.lognormal(sigma=1.0, size=n)
    own = scaled[:, source_dim : source_dim + target_dim - shared]  # of the target: what is left
    Y = np.hstack([scaled[:, :shared], own])
    return _turned(scaled[:, :source_dim], source_dim, rng), _turned(Y, target_dim, rng)


def independent(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Draw two Gaussian sets that have nothing to do with each other."""
    return rng.standard_normal((n, source_dim)), rng.standard_normal((n, target_dim))


def noisy_rotation(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Rotate a Gaussian set into the target space; add noise of 10⁻⁴ to 10 times the signal."""
    X = rng.standard_normal((n, source_dim))
    noise = 10.0 ** rng.uniform(-4.0, 1.0) * rng.standard_normal((n, target_dim))
    larger = max(source_dim, target_dim)
    return X, X @ _orthonormal(larger, larger, rng)[:source_dim, :target_dim] + noise


def shared_factors(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """View a few common factors through two unrelated linear maps: correlated, rank-deficient."""
    rank = int(rng.integers(1, min(n, source_dim, target_dim) + 1))
    factors = rng.standard_normal((n, rank))
    X = factors @ rng.standard_normal((rank, source_dim))
    return X, factors @ rng.standard_normal((rank, target_dim))


def sparse(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Keep one entry in four of two Gaussian sets: supports that overlap in part, zero rows too."""
    X, Y = independent(n, source_dim, target_dim, rng)
    return X * (rng.uniform(size=X.shape) < 0.25), Y * (rng.uniform(size=Y.shape) < 0.25)


def badly_scaled(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Scale the columns of a noisy rotation by 10⁻² to 10²: ill-conditioned, of unequal energy."""
    X, Y = noisy_rotation(n, source_dim, target_dim, rng)
    return X * 10.0 ** rng.uniform(-2, 2, source_dim), Y * 10.0 ** rng.uniform(-2, 2, target_dim)


def mixed_tilts(n: int, source_dim: int, target_dim: int, rng: np.random.Generator) -> Pair:
    """Average a few random tilts, seen through random bases: fills the lens from side to side.

    Angles near 0 and π/2 are as likely as those between, so that sides and corners are visited too.
    """
    planes = max(1, min(n // 2, source_dim, target_dim))
    angles = np.pi / 2.0 * rng.beta(0.3, 0.3, planes)
    X, Y = tilted(angles, rng.lognormal(sigma=1.0, size=planes))
    basis = _orthonormal(max(n, 2 * planes), 2 * planes, rng)[:n]
    return _turned(basis @ X, source_dim, rng), _turned(basis @ Y, target_dim, rng)


_FILLING = (independent, noisy_rotation, shared_factors, sparse, badly_scaled, mixed_tilts)
FAMILIES: dict[str, Family] = {f.__name__: f for f in (*_FILLING, rank_one, shared_or_disjoint)}
"""The random families by name, each called as ``family(n, source_dim, target_dim, rng)``."""


def random_pair(rng: np.random.Generator, largest: int = 12) -> tuple[str, Array, Array]:
    """Draw the name of a family, three sizes n, d_x, d_y from 1 to `largest`, and such a pair."""
    name = str(rng.choice(list(FAMILIES)))
    n, source_dim, target_dim = (int(size) for size in rng.integers(1, largest + 1, 3))
    return name, *FAMILIES[name](n, source_dim, target_dim, rng)


def _in_planes(source: Array, along: Array, across: Array) -> Pair:
    """Give each axis of X a plane of its own, and axis i of Y two coordinates in plane i."""
    X = np.vstack([np.diag(source), np.zeros((source.size, source.size))])
    return X, np.vstack([np.diag(along), np.diag(across)])


def _chord(x: float, y: float) -> tuple[float, float]:
    """Where the ray through (x, y) leaves the lens: the angle, and the share of it to the point."""
    if not 0.0 <= y <= x <= 1.0 or x**2 + (1.0 - y) ** 2 > 1.0 + 1e-12:
        raise ValueError(f"({x}, {y}) is outside the lens: choose 1 − √(1 − x²) ≤ y ≤ x ≤ 1")
    theta = float(2.0 * np.arctan2(y, x))
    return theta, min(1.0, x / np.sin(theta)) if theta > 0.0 else 0.0


def _orthonormal(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """Draw a uniformly random matrix with orthonormal columns."""
    Q, R = np.linalg.qr(rng.standard_normal((rows, columns)))
    return np.asarray(Q * np.copysign(1.0, np.diag(R)))  # the sign makes the distribution uniform


def _turned(Z: Array, dim: int, rng: np.random.Generator) -> Array:
    """Show (n, k) vectors in dim ≥ k dimensions and a random basis: every dot product is kept."""
    return Z @ _orthonormal(dim, Z.shape[1], rng).T
