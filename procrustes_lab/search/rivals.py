"""Maps from a source space to a target space: the orthogonal one, and what it competes with.

All are closed-form and fitted on the same pairs: row i of X and of Y is one object. A fitted rival
carries source vectors with `transform` and the target's own with `transform_target`, so that a
dot product of the two is the similarity a search would use.

What a rival must choose, a ridge strength or a whitening exponent, it chooses inside the pairs it
is given, by `pair_retrieval`: nothing is ever chosen on what it is judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import align
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings, as_pairs

from .retrieval import bootstrap_interval as bootstrap_interval
from .retrieval import mean_reciprocal_rank, ranks

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths that ridge regression chooses from, in units of the mean eigenvalue of XᵀX."""

WHITENINGS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Exponents β that "whiten auto" chooses from, the smaller of two that tie."""

TRIAL = 5000
"""How many pairs, at the most, a choice is made on."""

Solver = Callable[[Matrix, Matrix], Matrix]


class Rival:
    """A linear map between spaces: z becomes (z − source mean) M, v becomes v − target mean.

    Parameters
    ----------
    solve : callable
        Takes X, shape (n, d_x), and Y, shape (n, d_y), and returns M, shape (d_x, d_y).
    center : bool
        Whether the means are subtracted first; if not they count as zero. For one query the
        target's mean changes no ranking; it does where both kinds of vectors share an index.
    """

    def __init__(self, solve: Solver, *, center: bool = False) -> None:
        self.solve = solve
        self.center = center

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Fit on pairs of shapes (n, d_x) and (n, d_y)."""
        x, y = (np.asarray(side, float) for side in as_pairs(X, Y))
        self.source_mean = x.mean(axis=0) * self.center
        self.target_mean = y.mean(axis=0) * self.center
        self.map = self.solve(x - self.source_mean, y - self.target_mean)
        return self

    def transform(self, Z: ArrayLike) -> Matrix:
        """Carry source vectors, shape (k, d_x), to where they are compared."""
        return np.asarray((np.asarray(Z, float) - self.source_mean) @ self.map)

    def transform_target(self, V: ArrayLike) -> Matrix:
        """Carry target vectors, shape (k, d_y), to where they are compared."""
        return np.asarray(np.asarray(V, float) - self.target_mean)


class RelativeRepresentations(Rival):
    """Describe a vector by its cosines with the anchors, which are pairs (Moschella et al., 2023).

    Each side is compared with its own view of the same anchors, and no map is fitted at all;
    the index has to be computed again, from the vectors in it. arXiv:2209.15430.

    Parameters
    ----------
    anchors : int
        How many of the pairs serve as anchors, taken at even distances.
    """

    def __init__(self, anchors: int = 300) -> None:
        self.anchors = anchors

    def fit(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Pick the anchors among pairs of shapes (n, d_x) and (n, d_y)."""
        x, y = as_pairs(X, Y)
        rows = np.linspace(0, len(x) - 1, min(self.anchors, len(x))).astype(int)
        self.source_anchors, self.target_anchors = _unit(x[rows]), _unit(y[rows])
        return self

    def transform(self, Z: ArrayLike) -> Matrix:
        """Return the unit vectors of cosines with the anchors, shape (k, anchors)."""
        return _unit(_unit(np.asarray(Z, float)) @ self.source_anchors.T)

    def transform_target(self, V: ArrayLike) -> Matrix:
        """Return the unit vectors of cosines with the anchors, shape (k, anchors)."""
        return _unit(_unit(np.asarray(V, float)) @ self.target_anchors.T)


def identity(X: Matrix, Y: Matrix) -> Matrix:
    """Leave vectors as they are: drop the last coordinates, or append zeros."""
    return np.eye(X.shape[1], Y.shape[1])


def orthogonal(X: Matrix, Y: Matrix) -> Matrix:
    """Orthogonal Procrustes, `procrustes_lab.align`."""
    return align(X, Y).map


def scaled(X: Matrix, Y: Matrix) -> Matrix:
    """Orthogonal Procrustes with one factor: no ranking changes, distances do."""
    fitted = align(X, Y, scale=True)
    return fitted.map * fitted.scale


def rotation(X: Matrix, Y: Matrix) -> Matrix:
    """Forbid mirroring: the best map of determinant 1 (Kabsch, 1976, 10.1107/S0567739476001873)."""
    U, _, Vt = np.linalg.svd(X.T @ Y, full_matrices=False)
    if X.shape[1] == Y.shape[1] and np.linalg.det(U @ Vt) < 0:
        U[:, -1] *= -1
    return np.asarray(U @ Vt)


def least_squares(X: Matrix, Y: Matrix) -> Matrix:
    """Any linear map: M minimises ‖XM − Y‖_F, and of all that do has the least norm."""
    return np.asarray(np.linalg.lstsq(X, Y, rcond=None)[0])


def ridge(strength: float) -> Solver:
    """M minimises ‖XM − Y‖_F² + λ‖M‖_F², λ in units of the mean eigenvalue of XᵀX."""

    def solve(X: Matrix, Y: Matrix) -> Matrix:
        xx = X.T @ X
        penalty = strength * np.trace(xx) / len(xx)
        return np.linalg.solve(xx + penalty * np.eye(len(xx)), X.T @ Y)

    return solve


def whitened(beta: float) -> Solver:
    """Go the way from Procrustes (β = 0) towards CCA (β = ½)."""

    def solve(X: Matrix, Y: Matrix) -> Matrix:
        return align(X, Y, whiten=beta).map

    return solve


def best(solvers: Sequence[Solver], X: ArrayLike, Y: ArrayLike, *, center: bool = False) -> int:
    """Return which solver `pair_retrieval` prefers, the first of any that tie."""
    if len(as_pairs(X, Y)[0]) < 2:
        return 0  # nothing can be held out
    return int(np.argmax([pair_retrieval(solve, X, Y, center=center) for solve in solvers]))


def chosen(solvers: Sequence[Solver]) -> Solver:
    """Let held-out pairs among the given ones choose the solver."""

    def solve(X: Matrix, Y: Matrix) -> Matrix:
        return solvers[best(solvers, X, Y)](X, Y)

    return solve


def pair_retrieval(
    solve: Solver, X: ArrayLike, Y: ArrayLike, *, center: bool = False, seed: int = 0
) -> float:
    """Grade a map without labels, by whether a held-out source finds its own target.

    The map is fitted on four fifths of the pairs. Each row of the other fifth (1,000 rows at the
    most) then searches all targets, those fitted on among them. Of more than `TRIAL` pairs, that
    many are drawn first. With `center`, the fitted pairs' means are subtracted.

    Returns
    -------
    float
        Mean reciprocal rank, between 0 and 1.
    """
    x, y = as_pairs(X, Y)
    drawn = np.random.default_rng(seed).permutation(len(x))[:TRIAL]
    held_out, fitted = np.split(drawn, [max(1, min(len(drawn) // 5, 1000))])
    rows = np.concatenate([np.sort(held_out), np.sort(fitted)])
    x, y = _in_range(x[rows]), _in_range(y[rows])
    asked = len(held_out)
    if center:
        x, y = x - x[asked:].mean(axis=0), y - y[asked:].mean(axis=0)
    moved = x[:asked] @ solve(x[asked:], y[asked:])
    return mean_reciprocal_rank(ranks(moved, y, np.arange(asked)))


RIVALS: dict[str, Callable[[], Rival]] = {
    "identity": lambda: Rival(identity),
    "centring": lambda: Rival(identity, center=True),
    "orthogonal": lambda: Rival(orthogonal),
    "centred orthogonal": lambda: Rival(orthogonal, center=True),
    "orthogonal with scale": lambda: Rival(scaled),
    "rotation only": lambda: Rival(rotation),
    "least squares": lambda: Rival(least_squares),
    "ridge": lambda: Rival(chosen([ridge(strength) for strength in RIDGES])),
    "CCA": lambda: Rival(whitened(0.5), center=True),
    "partly whitened": lambda: Rival(whitened(0.1)),
    "whiten auto": lambda: Rival(chosen([whitened(beta) for beta in WHITENINGS])),
    "relative representations": RelativeRepresentations,
}
"""Every rival by name, each called without arguments to make one that is yet to be fitted."""


def _in_range(rows: Embeddings) -> Matrix:
    """Divide by a power of two, which is exact, so that no dot product can overflow."""
    values = rows.astype(np.float64)
    return np.asarray(np.ldexp(values, -np.frexp(np.abs(values).max())[1]))


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
