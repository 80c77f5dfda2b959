"""What linear maps of the same pairs share: their moments, and the eigenvalues of both sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.alignment import Alignment
from procrustes_lab.core.moments import Moments, moments_of, pairs_or_moments
from procrustes_lab.core.polar import spectrum
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings

Center = Literal["both", "target"] | None  # a fit about the means is one about both


class Fitted(Protocol):
    """What every fit returns: something that makes queries for the target's index."""

    def query(self, Z: ArrayLike, /) -> Matrix:
        """Turn source vectors, shape (k, d_x), into queries."""


@dataclass(frozen=True, eq=False)
class Spectra:
    """Moments of pairs, what linear fits share of them, and the pairs themselves for other fits."""

    moments: Moments
    x: Embeddings | None = None
    y: Embeddings | None = None

    @classmethod
    def of(cls, X: ArrayLike | Moments | Spectra, Y: ArrayLike | None = None) -> Spectra:
        """Take pairs of shapes (n, d_x) and (n, d_y), or their moments."""
        if isinstance(X, Spectra):
            return X
        given = pairs_or_moments(X, Y)
        return cls(given) if isinstance(given, Moments) else cls(moments_of(*given), *given)

    @cached_property
    def centred(self) -> Spectra:
        """The same about the means; keeps no pairs."""
        return Spectra(self.moments.centred())

    @cached_property
    def eigen(self) -> tuple[Matrix, Matrix, Matrix, Matrix, Matrix]:
        """Eigenvalues and eigenvectors of XᵀX and of YᵀY, as of `spectrum`, and XᵀY in them."""
        xx, xy, yy = self.moments.products()
        (values_x, vectors_x), (values_y, vectors_y) = spectrum(xx), spectrum(yy)
        return values_x, vectors_x, values_y, vectors_y, vectors_x.T @ xy @ vectors_y

    def pairs(self) -> tuple[Matrix, Matrix]:
        """Return the rows, for a fit that cannot do with moments; TypeError if there are none."""
        if self.x is None or self.y is None:
            raise TypeError("this map is fitted on the pairs themselves; expected X and Y")
        return np.asarray(self.x, float), np.asarray(self.y, float)

    def alignment(self, W: Matrix, *, center: Center = None, whiten: float = 0.0) -> Alignment:
        """Make an `Alignment` of any matrix of shape (d_x, d_y), with its errors on the pairs.

        Centred on "both" sides, a query loses the source's mean; on the "target" alone, it keeps
        it. `apply` places both at the same point; `inverse` of the latter places nothing.
        """
        moments, n = self.moments, self.moments.n
        x, y = float(moments.source_scale), float(moments.target_scale)
        xx, xy, yy = (self.centred if center else self).moments.products()
        with np.errstate(all="ignore"):  # squares of what is too large for them are infinite
            forth, back = W * (x / y), W * (y / x)
            error = float(np.vdot(forth, xx @ forth - 2 * xy) + np.trace(yy))
            error_back = float(np.vdot(back, back @ yy - 2 * xy) + np.trace(xx))
        errors = max(error, 0.0) / n * y * y, max(error_back, 0.0) / n * x * x
        means = moments.source_mean * x, moments.target_mean * y
        if center == "target":
            means = np.zeros_like(means[0]), means[1] - means[0] @ W
        elif center is None:
            means = np.zeros_like(means[0]), np.zeros_like(means[1])
        return Alignment(W, *errors, n, 1.0, *means, center is not None, whiten)
