"""Bytes that are no coordinates give themselves away, and those that are raise no suspicion."""

from importlib.resources import files as resources

import numpy as np
import pytest

from procrustes_lab.core.validate import suspect

with resources("procrustes_lab").joinpath("data/networks/minilm/documents.npz").open("rb") as file:
    ROWS = np.load(file)["steps"][:2000].astype(float)
ROWS = ROWS[:, ROWS.any(axis=0)] / np.linalg.norm(ROWS, axis=1, keepdims=True)
RANGE = ROWS.min(axis=0), np.ptp(ROWS, axis=0)
STEPS = np.round(ROWS / np.quantile(np.abs(ROWS), 0.999) * 127)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (ROWS, ""),
        (np.sign(ROWS), ""),
        (np.round(ROWS / np.abs(ROWS).max() * 127), ""),
        (np.clip(STEPS, -128, 127).astype(np.int8), ""),
        (STEPS.astype(np.int64).astype(np.int8), "wrapped codes"),
        (STEPS.astype(np.int64).astype(np.uint8) ^ np.uint8(128), "wrapped codes"),
        (np.floor((ROWS - RANGE[0]) / RANGE[1] * 255), "codes of a byte"),
        (np.floor((ROWS - RANGE[0]) / RANGE[1] * 255) - 128, "codes of a byte"),
        (np.packbits(ROWS > 0, axis=1), "packed bits"),
        (np.packbits(ROWS > 0, axis=1).view(np.int8), "packed bits"),
        (ROWS[:1], ""),
    ],
)
def test_bytes_are_told_apart(rows, found):
    assert suspect(rows) == found
