"""A scikit-learn estimator around `align`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .alignment import Alignment, align
from .sums import Matrix
from .validate import as_pairs, reject_nonfinite, reject_other_index, require


class ProcrustesAligner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Carry source embeddings into a target space by the best orthogonal map.

    Where other estimators take labels, y is the target embedding set. The parameters are those of
    `procrustes_lab.align`; the fitted map is `alignment_`.

    Examples
    --------
    >>> import numpy as np
    >>> from procrustes_lab import ProcrustesAligner
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> Y = X[:, ::-1]
    >>> bool(np.allclose(ProcrustesAligner().fit(X, Y).transform(X), Y))
    True
    """

    def __init__(
        self,
        center: bool = False,
        scale: bool = False,
        whiten: float = 0.0,
        toward: tuple[ArrayLike | Alignment, float] | None = None,
    ) -> None:
        self.center, self.scale, self.whiten, self.toward = center, scale, whiten, toward

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the map on pairs, of shapes (n, d_x) and (n, d_y) or (n,); raises as `align` does."""
        reject_other_index(X, y, ("X", "y"))
        X, y = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=[np.float64, np.float32]
        )
        self.alignment_ = align(X, _columns(y), **self.get_params(deep=False))
        return self

    def transform(self, X: ArrayLike) -> Matrix:
        """Place X, shape (k, d_x), in the target space, as `Alignment.apply`; search by `query`."""
        return self.alignment_.apply(self._checked(X))

    def query(self, X: ArrayLike) -> Matrix:
        """Make queries for the target's index of X, as `Alignment.query` does: no mean is added."""
        return self.alignment_.query(self._checked(X))

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return minus the mean squared distance of aligned X from y: higher is better."""
        aligned = self.transform(X)
        _, target = as_pairs(aligned, _columns(np.asarray(y)), ("X", "y"))
        d, d_y = target.shape[1], aligned.shape[1]
        require(d == d_y, f"y has {d} columns; this map gives {d_y} dimensions")
        reject_nonfinite(target, "y")
        residual = aligned - target
        return -float(np.vdot(residual, residual)) / len(residual)

    def _checked(self, X: ArrayLike) -> Matrix:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    @property
    def _n_features_out(self) -> int:
        return int(self.alignment_.map.shape[1])

    def __sklearn_tags__(self) -> Tags:
        tags: Any = super().__sklearn_tags__()
        tags.target_tags.required = tags.target_tags.multi_output = True
        return tags


def _columns(y: Any) -> Any:
    return y[:, np.newaxis] if y.ndim == 1 else y
