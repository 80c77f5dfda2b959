"""Two-sided certificates: how close two spaces can be brought, and between which bounds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, get_args, get_type_hints

import numpy as np
from numpy.typing import ArrayLike

from . import bounds
from .moments import Moments, moments_of, pairs_or_moments
from .polar import polar
from .sums import Matrix, product_type
from .tables import table
from .validate import SOURCE, TARGET, Embeddings, reject_nonfinite

EPSILON = float(np.finfo(float).eps)

# X, near, far and farᵀfar. Turned by an orthogonal matrix, which no value of a certificate sees,
# [X Y] is [X near] above [0 far], where X and far are upper triangular.
Blocks = tuple[Matrix, Matrix, Matrix, Matrix]
SMALL = 1e8  # arithmetic, n (d_x + d_y)², below which a QR factorisation costs next to nothing


@dataclass(frozen=True, repr=False)
class Certificate:
    """How close an orthogonal map brings two spaces, and what D = XXᵀ − YYᵀ says about it.

    Every value is per object: norms and squared distances of the sets, divided by n.

    Attributes
    ----------
    method : str
        How it was computed: from "moments", or by "QR" of [X Y], which resolves more.
    energy, delta, nuclear : float
        t/n, which is 2 for unit vectors; δ = ‖D‖_F / n; and Δ/n, with Δ = ‖D‖_*.
    error, lower, upper : float
        p²/n after the best map, the narrower side padded with zeros; and the lens about it (T2).
    floor, rank_aware, theorem, spectrum_aware, lipschitz : float
        Its bounds T4, T1′, T1, T8 and T3, over n, as in `procrustes_lab.core.bounds`.
    resolution : float
        By how much rounding may have changed `delta`: one that is less is anything from 0 to that.
    """

    n: int
    source_dim: int
    target_dim: int
    method: str
    energy: Annotated[float, "squared length of both vectors of a pair together"]
    delta: Annotated[float, "root mean square disagreement of a dot product"]
    nuclear: Annotated[float, "nuclear norm of all those disagreements"]
    error: Annotated[float, "squared distance left by the best orthogonal map"]
    lower: Annotated[float, "it cannot be less (T2)"]
    upper: Annotated[float, "it cannot be more (T2)"]
    floor: Annotated[float, "nor less than this (T4)"]
    rank_aware: Annotated[float, "nor more than this (T1′, from delta alone)"]
    theorem: Annotated[float, "nor this (T1, the paper's bound)"]
    spectrum_aware: Annotated[float, "nor this (T8, delta and spectra)"]
    lipschitz: Annotated[float, "nor this (T3, if well conditioned)"]
    resolution: float

    def __repr__(self) -> str:
        lines = (f"  {name:<14}{value:>11}   {meaning}" for name, value, meaning in self._summary())
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        facts = table(["", "", ""], self._summary(), caption=self._title()).html
        picture = bounds.svg(*self.lens_point) if self.energy > 0 else ""
        style = "display:flex;flex-wrap:wrap;align-items:center;gap:1.5em"
        return f"<div style='{style}'>{facts}{picture}</div>"

    @property
    def lens_point(self) -> tuple[float, float]:
        """Δ/t and p²/t, both in [0, 1]: where the pair stands in the lens."""
        energy = self.energy or 1.0
        return min(self.nuclear / energy, 1.0), min(self.error / energy, 1.0)

    @property
    def best_upper(self) -> float:
        """The least upper bound on `error`: `rank_aware` is at least `upper` by Cauchy–Schwarz."""
        return min(self.upper, self.spectrum_aware, self.lipschitz)

    def _title(self) -> str:
        sizes = f"{self.n:,} pairs, {self.source_dim} → {self.target_dim} dimensions"
        return f"Certificate of {sizes} (per object)"

    def _summary(self) -> list[tuple[str, str, str]]:
        hints = get_type_hints(type(self), include_extras=True)
        meanings = {name: hint.__metadata__[0] for name, hint in hints.items() if get_args(hint)}
        values = {name: f"{getattr(self, name):.4g}" for name in meanings}
        if self.delta < self.resolution:
            values["delta"] = f"< {self.resolution:.1g}"
        return [(name, values[name], meaning) for name, meaning in meanings.items()]


def certify(X: ArrayLike | Moments, Y: ArrayLike | None = None) -> Certificate:
    """Measure how closely two spaces can be aligned, and bound it from both sides.

    X and Y have shapes (n, d_x) and (n, d_y), row i of both the same object; or X is their Moments.
    Errors are those of `align`. O(n d²) time and O(d²) memory beyond the inputs.

    From moments alone, δ is known to about 1e-8 of ‖G‖ and no better. Given the arrays, so small a
    value is taken from a QR factorisation of [X Y], which costs more and is good to about 1e-14.

    Examples
    --------
    >>> import numpy as np, procrustes_lab as pl
    >>> certificate = pl.certify(np.eye(4)[:, :2], np.eye(4)[:, 2:])
    >>> round(certificate.error, 9), round(certificate.theorem, 9)
    (1.0, 1.0)
    """
    given = pairs_or_moments(X, Y)
    if isinstance(given, Moments):
        return _from_moments(given)[0]
    x, y = given
    if len(x) * (x.shape[1] + y.shape[1]) ** 2 < SMALL:
        return _from_qr(x, y)[0]
    dtype = product_type(x, y)
    moments = moments_of(x, y, dtype)
    certificate, left = _from_moments(moments, float(np.finfo(dtype).eps))
    if dtype is np.float32 and left < 0.05:
        certificate, left = _from_moments(moments_of(x, y))
    return certificate if left > 1e-6 else _from_qr(x, y)[0]


def _from_moments(moments: Moments, epsilon: float = EPSILON) -> tuple[Certificate, float]:
    """Certificate of moments whose products carry a relative error of a few `epsilon`."""
    unit = max(moments.source_scale, moments.target_scale)
    x, y = moments.source_scale / unit, moments.target_scale / unit
    xx, xy, yy = moments.products()
    dims = xy.shape
    if len(xx) > len(yy):
        x, y, xx, xy, yy = y, x, yy, xy.T, xx
    # Squares of the squares must stay in range too.
    largest = max(xx.diagonal().max() * x * x, yy.diagonal().max() * y * y)
    root = 2.0 ** (np.frexp(largest)[1] // 2)
    x, y = x / root, y / root
    products = xx * (x * x), xy * (x * y), yy * (y * y)
    parts = (*products, *_cholesky(*products, moments.n))
    return _measure(parts, moments.n, dims, unit * root, "moments", 16 * epsilon)


def _cholesky(xx: Matrix, xy: Matrix, yy: Matrix, n: int) -> Blocks:
    """Return the blocks of R, with RᵀR = [X Y]ᵀ[X Y] up to rounding; that must not add rows."""
    largest = max(xx.diagonal().max(), yy.diagonal().max())
    # By NumPy throughout: SciPy brings a BLAS of its own, whose threads wait for the same cores.
    with suppress(np.linalg.LinAlgError), np.errstate(all="ignore"):
        X = np.asarray(np.linalg.cholesky(xx), np.float64).T
        near = np.asarray(np.linalg.solve(X.T, xy), np.float64)
        rest = yy - near.T @ near
        far = np.asarray(np.linalg.cholesky(rest), np.float64).T
        if min(X.diagonal().min(), far.diagonal().min()) ** 2 > 1e-10 * largest:
            return X, near, far, rest
    from scipy.linalg.lapack import dpstrf  # 0.2 s, and seldom needed

    joint = np.block([[xx, xy], [xy.T, yy]])
    U, pivots, rank, _ = dpstrf(joint, tol=EPSILON * largest)
    rank = min(max(rank, 1), n)
    R = np.zeros((rank, len(joint)))
    R[:, pivots - 1] = np.triu(U)[:rank]
    return _blocks(np.asarray(np.linalg.qr(R, mode="r")), len(xx))


def _blocks(R: Matrix, d: int) -> Blocks:
    far = R[d:, d:]
    return R[:d, :d], R[:d, d:], far, far.T @ far


def _from_qr(X: Embeddings, Y: Embeddings) -> tuple[Certificate, float]:
    """Certificate of the factor R of a QR factorisation of [X Y], taken block by block."""
    dims = X.shape[1], Y.shape[1]
    narrow, wide = (X, Y) if dims[0] <= dims[1] else (Y, X)
    d, width = min(dims), sum(dims)
    R = np.empty((0, width))
    with np.errstate(all="ignore"):
        for start in range(0, len(X), 4 * width):
            rows = slice(start, start + 4 * width)
            block = np.hstack([narrow[rows], wide[rows]], dtype=np.float64)
            R = np.asarray(np.linalg.qr(np.vstack([R, block]), mode="r"))
    if not np.isfinite(R).all():
        reject_nonfinite(X, SOURCE)
        reject_nonfinite(Y, TARGET)
    largest = np.abs(R).max()
    unit = 2.0 ** np.frexp(largest)[1] if largest else 1.0
    R = R / unit
    joint = R.T @ R
    parts = joint[:d, :d], joint[:d, d:], joint[d:, d:], *_blocks(R, d)
    rounding = 16 * EPSILON * float(np.sqrt(1 + len(X) // (4 * width)))
    return _measure(parts, len(X), dims, unit, "QR", rounding)


def _measure(
    parts: tuple[Matrix, ...],
    n: int,
    dims: tuple[int, ...],
    unit: float,
    method: str,
    rounding: float,
) -> tuple[Certificate, float]:
    """Certificate of n pairs with these second moments and blocks, in units of `unit`².

    `rounding` is how far ε² is off at most, as a share of ‖XXᵀ‖² + ‖YYᵀ‖²; by QR how far ε is, as
    one of its root. Also returns the lesser share that p² and ε² are of what they are left of.
    """
    xx, xy, yy, X, near, far, rest = parts  # the narrower side first
    d_x, d_y = dims
    moved = X @ polar(xy)[0]
    P, S = moved - near, moved + near  # and below them −far and far

    rows = len(X)
    D = np.empty((rows + len(far), rows + len(far)))  # 2D = PSᵀ + SPᵀ, its lower half
    PS = P @ S.T
    np.add(PS, PS.T, out=D[:rows, :rows])
    np.multiply(far @ near.T, -2, out=D[rows:, :rows])
    np.multiply(far @ far.T, -2, out=D[rows:, rows:])
    eigenvalues = np.linalg.eigvalsh(D, UPLO="L") / 2

    squared, nuclear = float(np.vdot(eigenvalues, eigenvalues)), float(np.abs(eigenvalues).sum())
    beyond = float(np.vdot(far, far))
    energy = float(np.vdot(X, X) + np.vdot(near, near)) + beyond
    error = float(np.vdot(P, P)) + beyond
    ss = S.T @ S + rest
    source, target, both = (
        np.sqrt(np.maximum(np.linalg.eigvalsh(moment), 0.0)) for moment in (xx, yy, ss)
    )
    least = 0.0 if both[0] ** 2 <= len(ss) * EPSILON * both[-1] ** 2 else both[0]
    delta = float(np.sqrt(squared))

    # Rounding must not print a bound on the wrong side of the error; a real violation may.
    # The lower side of the lens is vertical at its tip, so there it takes on more of it.
    slack = 64 * (d_x + d_y) * EPSILON * energy
    root = np.sqrt(max((energy - nuclear) * (energy + nuclear), 0.0))
    steep = min(np.sqrt(2 * energy * slack), energy * slack / root if root else np.inf)
    lower = _mended(float(bounds.lower(nuclear, energy)), min, error, slack + steep)
    floor = _mended(bounds.floor(delta, source[-1], target[-1]), min, error, slack)
    upper = _mended(nuclear, max, error, slack)
    rank_aware = _mended(bounds.rank_aware(delta, n, d_x, d_y), max, upper, slack)
    theorem = _mended(bounds.theorem(delta, d_x, d_y), max, rank_aware, slack)
    spectrum_aware, next_one = (
        bounds.spectrum_aware(source, target, float(np.sqrt(squared + more)))
        for more in (0.0, slack * energy)
    )
    more_slack = slack + (next_one - spectrum_aware)
    spectrum_aware = min(_mended(spectrum_aware, max, error, more_slack), theorem)
    lipschitz = _mended(bounds.lipschitz(delta, least), max, error, slack)

    grams = float(np.vdot(xx, xx) + np.vdot(yy, yy))
    resolution = rounding * np.sqrt(grams)
    if method == "moments" and grams:
        root_square = np.sqrt(rounding * grams)
        resolution = root_square * (root_square / max(delta, root_square))

    values = (
        *(energy, delta, nuclear, error, lower, upper),
        *(floor, rank_aware, theorem, spectrum_aware, lipschitz, resolution),
    )
    certificate = Certificate(n, d_x, d_y, method, *(float(v / n * unit**2) for v in values))
    return certificate, min(error / energy, squared / grams) if grams else 1.0


def _mended(value: float, side: Callable[..., float], limit: float, slack: float) -> float:
    """Return a bound that only rounding puts on the wrong side of its limit on the right one."""
    return side(value, limit) if abs(value - limit) <= slack else value
