"""Checks on embedding sets: one clear sentence each, before any arithmetic is done."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Embeddings = NDArray[np.floating[Any]]
Names = tuple[str, str]

SOURCE = "X (source)"
TARGET = "Y (target)"

EDGE = 8  # how many values at either end of a byte's range are at an end
AT_ENDS = 40  # bytes at the ends from which their share at the wrong one is judged
# Share of those that the other coordinates expect at the other end. In five networks' vectors at
# most 0.023 with clipping; where 0.1 % wrapped round, of one network 1 %, from 0.13 to 0.43.
MISPLACED = 0.05


def as_embeddings(array: ArrayLike, name: str, *, allow_empty: bool = False) -> Embeddings:
    """Return `array` as `as_numbers` does, of shape (n, d); NaN and infinity are found later.

    ValueError if it is not two-dimensional or, unless `allow_empty`, has no rows or no columns.
    """
    values = as_numbers(array, name)
    found, rule = f"shape {values.shape}", "one row per object, one column per coordinate"
    require(values.ndim == 2, f"{name} has {values.ndim} dimension(s), {found}; expected 2: {rule}")
    filled = allow_empty or 0 not in values.shape
    require(filled, f"{name} is empty, {found}; expected at least (1, 1)")
    return values


def finite(array: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `array` as `as_embeddings` does, in double precision; ValueError if not finite."""
    return as_finite(array, name).astype(np.float64, copy=False)


def as_finite(array: ArrayLike, name: str) -> Embeddings:
    """Return `array` as `as_embeddings` does; ValueError if not finite."""
    vectors = as_embeddings(array, name)
    reject_nonfinite(vectors, name)
    return vectors


def as_numbers(array: ArrayLike, name: str) -> Embeddings:
    """Return `array` as an array of floats of any shape, without copying floats.

    Integers and booleans become float64, bfloat16 float32. A column of vectors, such as a data
    frame's or a list array of Arrow's, becomes a matrix; tensors of torch are taken from wherever
    they are. TypeError if it does not hold real numbers (None, a generator, a sparse or masked
    array, complex numbers, strings, objects), ValueError if ragged.
    """
    given: Any = array
    if given is None or hasattr(given, "__next__"):
        kind = "None" if given is None else f"a {type(given).__name__}"
        raise TypeError(f"{name} is {kind}; expected an array of shape (n, d)")
    if hasattr(given, "toarray"):
        raise TypeError(f"{name} is a sparse {type(given).__name__}: call its .toarray()")
    if isinstance(given, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected plain numbers: drop the masked rows")
    if hasattr(given, "detach"):  # a tensor of torch, which may ask for gradients or be on a GPU
        given = given.detach().cpu()
        given = given.float() if str(given.dtype).endswith("bfloat16") else given
    try:
        values = np.asarray(given)
        if values.dtype == object and values.size and values.shape[1:] in ((), (1,)):
            values = _stacked(values.ravel(), name)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; expected (n, d)") from error
    if values.dtype.name == "bfloat16":  # as JAX has it
        values = values.astype(np.float32)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {values.dtype} values; expected real numbers")
    if values.dtype.type not in (np.float16, np.float32, np.float64):
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
    return values


def _stacked(column: NDArray[np.object_], name: str) -> NDArray[Any]:
    """Return a column of vectors as a matrix, and any other column as it is."""
    if isinstance(column[0], (str, bytes, dict)) or not hasattr(column[0], "__len__"):
        return column
    missing = [row for row, vector in enumerate(column) if not hasattr(vector, "__len__")]
    if missing:
        found = f"{name} has {column[missing[0]]!r} for a vector in row {missing[0]}"
        raise TypeError(f"{found}, and {len(missing):,} such rows: drop them from both sides")
    return np.stack([np.asarray(vector) for vector in column])


def as_pairs(
    X: ArrayLike, Y: ArrayLike, names: Names = (SOURCE, TARGET), *, allow_empty: bool = False
) -> tuple[Embeddings, Embeddings]:
    """Return both sides, checked by `as_embeddings`; ValueError if their rows do not match."""
    x = as_embeddings(X, names[0], allow_empty=allow_empty)
    y = as_embeddings(Y, names[1], allow_empty=allow_empty)
    hint = ""
    if x.shape[1] == y.shape[1]:
        hint = "; did one side gain or lose objects?"
    elif x.shape[1] == len(y) or y.shape[1] == len(x):
        hint = "; is one of them transposed?"
    found = f"{names[1]} has {len(y)} rows, {names[0]} has {len(x)}"
    require(len(x) == len(y), f"{found}: row i of each must be the same object{hint}")
    reject_other_index(X, Y, names)
    return x, y


def require(holds: bool | np.bool_, message: str, error: type[ValueError] = ValueError) -> None:
    """Raise an error with this message unless the condition holds."""
    if not holds:
        raise error(message)


def in_range(value: object, low: float, high: float) -> bool:
    """Whether `value` is a real number, of Python's or NumPy's, from `low` to `high`."""
    return isinstance(value, Real) and low <= float(value) <= high


def reject_other_index(X: object, Y: object, names: Names) -> None:
    """Raise ValueError if both sides carry labels of rows, as pandas' do, that are not the same."""
    labels: Any
    others: Any
    labels, others = (getattr(side, "index", None) for side in (X, Y))
    if hasattr(labels, "equals") and hasattr(others, "equals") and not labels.equals(others):
        remedy = "Y.loc[X.index] joins by label, .to_numpy() on both pairs by position"
        raise ValueError(f"{' and '.join(names)} have different indices; expected equal: {remedy}")


def reject_nonfinite(array: Embeddings, name: str, first_row: int = 0) -> None:
    """Raise ValueError naming the first NaN or infinity, in rows numbered from `first_row`."""
    for start in range(0, len(array), 8192):
        block = array[start : start + 8192]
        for row, column in np.argwhere(~np.isfinite(block))[:1]:
            found = "NaN" if np.isnan(block[row, column]) else "an infinity"
            place = f"row {first_row + start + row}, column {column}"
            rule = "expected finite numbers: drop that row from both sides"
            raise ValueError(f"{name} has {found} in {place}; {rule}")


def suspect(rows: ArrayLike) -> str:
    """Say what kind of code the numbers of some rows look like; nothing if they look like vectors.

    ``"packed bits"``: a byte's last bit is noise, as often one as zero; that of packed bits is a
    coordinate, and lopsided. In five networks' vectors most columns are (p < 10⁻⁶ each, 2,000
    rows), and at most one in nine of quantised coordinates.
    ``"wrapped codes"``: a coordinate that was out of range and not clipped comes in at the other
    end, where a linear regression on the others, by half of the rows, does not expect it.
    ``"codes of a byte"``: where nearly every column fills all 256 values, each had a range of its
    own, and zero stands for another number in each. Two thousand rows, shape (k, d), are plenty.
    """
    q = np.asarray(rows, float)
    lowest, highest = q.min(), q.max()
    if len(q) < 2 or lowest < -128 or highest > 255 or highest - lowest < 3 or (q % 1).any():
        return ""
    lopsided = np.abs((q % 2).mean(axis=0) - 0.5) * 2 * np.sqrt(len(q)) > 5
    if q.std() > EDGE and lopsided.mean() > 0.5:
        return "packed bits"
    if _misplaced(q - (128 if lowest >= 0 else 0)) > MISPLACED:
        return "wrapped codes"
    return "codes of a byte" if (np.ptp(q, axis=0) >= 250).mean() > 0.9 else ""


def _misplaced(q: NDArray[np.float64]) -> float:
    fitted, tried = q[::2], q[1::2]
    at_end = np.abs(tried + 0.5) > 128 - EDGE
    if at_end.sum() < AT_ENDS:
        return 0.0
    covariance = np.atleast_2d(np.cov(fitted.T))
    covariance += np.eye(len(covariance)) * (0.1 * np.trace(covariance) / len(covariance) + 1e-9)
    precision = np.linalg.inv(covariance)
    centred = tried - fitted.mean(axis=0)
    expected = tried - (centred @ precision) / np.diag(precision)  # each by all the others
    return float((np.sign(expected) != np.sign(tried))[at_end].mean())
