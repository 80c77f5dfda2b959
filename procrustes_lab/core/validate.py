"""Checks on embedding sets: one clear sentence each, before any arithmetic is done."""

from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

Embeddings = NDArray[np.floating[Any]]

SOURCE = "X (source)"
TARGET = "Y (target)"


def as_embeddings(array: ArrayLike, name: str, *, allow_empty: bool = False) -> Embeddings:
    """Return `array` as a two-dimensional array of floats, without copying floats.

    Parameters
    ----------
    array : array_like, shape (n, d)
        One row per object. Integers and booleans become float64; float16,
        float32 and float64 are kept as they are.
    name : str
        What error messages call it.
    allow_empty : bool
        Whether no rows, or no columns, will do.

    Returns
    -------
    ndarray, shape (n, d)

    Raises
    ------
    TypeError
        If it does not hold real numbers: None, a generator, a sparse or masked
        array, complex numbers, strings, objects.
    ValueError
        If it is ragged, not two-dimensional, or has no rows or no columns.

    Notes
    -----
    NaN and infinity are found by the arithmetic that reads every number anyway,
    see `reject_nonfinite`.
    """
    if array is None or hasattr(array, "__next__"):
        kind = "None" if array is None else f"a {type(array).__name__}"
        raise TypeError(f"{name} is {kind}; expected an array of shape (n, d)")
    if hasattr(array, "toarray"):
        raise TypeError(
            f"{name} is a sparse {type(array).__name__}; expected a dense array: call .toarray()"
        )
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected plain numbers: drop the masked rows")
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; expected (n, d)") from error
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {values.dtype} values; expected real numbers")
    if values.ndim != 2:
        raise ValueError(
            f"{name} has {values.ndim} dimension(s), shape {values.shape}; "
            "expected 2: one row per object, one column per coordinate"
        )
    if 0 in values.shape and not allow_empty:
        raise ValueError(f"{name} is empty, shape {values.shape}; expected at least (1, 1)")
    if values.dtype.type not in (np.float16, np.float32, np.float64):
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
    return values


def as_pairs(
    X: ArrayLike,
    Y: ArrayLike,
    source: str = SOURCE,
    target: str = TARGET,
    *,
    allow_empty: bool = False,
) -> tuple[Embeddings, Embeddings]:
    """Return both embedding sets checked by `as_embeddings`, with equally many rows.

    Raises
    ------
    TypeError, ValueError
        As `as_embeddings`, and ValueError if the numbers of rows differ.
    """
    x = as_embeddings(X, source, allow_empty=allow_empty)
    y = as_embeddings(Y, target, allow_empty=allow_empty)
    if len(x) != len(y):
        hint = ""
        if x.shape[1] == y.shape[1]:
            hint = "; did one side gain or lose objects?"
        elif x.shape[1] == len(y) or y.shape[1] == len(x):
            hint = "; is one of them transposed?"
        raise ValueError(
            f"{target} has {len(y)} rows, {source} has {len(x)}: "
            f"row i of each must be the same object{hint}"
        )
    return x, y


def reject_nonfinite(array: Embeddings, name: str, first_row: int = 0) -> None:
    """Raise ValueError naming the first NaN or infinity in `array`, if it has one.

    Parameters
    ----------
    array : ndarray, shape (n, d)
    name : str
        What the message calls it.
    first_row : int
        The number of the first row, where `array` is a block of a larger set.
    """
    for start in range(0, len(array), 8192):
        bad = np.argwhere(~np.isfinite(array[start : start + 8192]))
        if len(bad):
            _raise_nonfinite(array, name, start + int(bad[0, 0]), int(bad[0, 1]), first_row)


def _raise_nonfinite(
    array: Embeddings, name: str, row: int, column: int, first_row: int
) -> NoReturn:
    found = "NaN" if np.isnan(array[row, column]) else "an infinity"
    raise ValueError(
        f"{name} has {found} in row {first_row + row}, column {column}; "
        "expected finite numbers: drop that row from both sides"
    )
