"""Bytes that are no coordinates give themselves away, and those that are raise no suspicion."""

from importlib.resources import files as resources
from pathlib import Path

import numpy as np
import pytest

from procrustes_lab.files import Vectors
from procrustes_lab.files.quantised import cautions

with resources("procrustes_lab").joinpath("data/networks/minilm/documents.npz").open("rb") as file:
    ROWS = np.load(file)["steps"][:2000].astype(float)
ROWS = ROWS[:, ROWS.any(axis=0)] / np.linalg.norm(ROWS, axis=1, keepdims=True)
RANGE = ROWS.min(axis=0), np.ptp(ROWS, axis=0)
STEPS = np.round(ROWS / np.quantile(np.abs(ROWS), 0.999) * 127)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (ROWS, None),
        (np.sign(ROWS), None),
        (np.round(ROWS / np.abs(ROWS).max() * 127), None),
        (np.clip(STEPS, -128, 127).astype(np.int8), None),
        (STEPS.astype(np.int64).astype(np.int8), "they wrapped round"),
        (STEPS.astype(np.int64).astype(np.uint8) ^ np.uint8(128), "they wrapped round"),
        (np.floor((ROWS - RANGE[0]) / RANGE[1] * 255), "its step and its lowest value"),
        (np.floor((ROWS - RANGE[0]) / RANGE[1] * 255) - 128, "its step and its lowest value"),
        (np.packbits(ROWS > 0, axis=1), "they are packed bits"),
        (np.packbits(ROWS > 0, axis=1).view(np.int8), "they are packed bits"),
        (ROWS[:1], None),
    ],
)
def test_bytes_are_told_apart(rows, found):
    said = cautions(Vectors(rows, None, Path("vectors.npy"), ".npy"))
    assert len(said) == (found is not None)
    assert all(found in sentence and "vectors.npy" in sentence for sentence in said)
