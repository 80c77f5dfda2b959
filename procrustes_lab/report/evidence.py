"""What two files are measured by: moments, maps and spectra; new vectors are the source."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from procrustes_lab.core.moments import Moments
from procrustes_lab.core.polar import svd
from procrustes_lab.core.sums import Matrix
from procrustes_lab.files.pairs import Pairs
from procrustes_lab.search.maps import MAPS, unit_rows
from procrustes_lab.search.retrieval import Indices
from procrustes_lab.search.spectra import Fitted, Spectra

COMPETING = (
    *("turn", "centred"),
    *(f"whitened {beta:g}" for beta in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)),
    *(f"target whitened {beta:g}" for beta in (0.1, 0.2, 0.3, 0.5)),
    *(f"centred, whitened {beta:g}" for beta in (0.1, 0.2)),
    *("least squares", "ridge on documents"),
)
"""Maps of `procrustes_lab.search.maps` that a report tries: those of `choose`, in coarser steps."""

# Share of what two halves of one file differ by, below which two files' spectra are those of the
# same vectors. Among independent samples of one distribution it is near 1.
COPIES = 0.1

# Part of the way from noise to 1 that neighbours come closer in any embedding of real objects: 0.3
# to 0.7 of it in MiniLM, word counts and images of digits, at most 0.08 in random numbers.
CROWDED = 0.1


class Gathered(NamedTuple):
    """Moments of the rows of both files, in one pass, and the longest new and old length."""

    halves: list[Moments]  # every second row of those tried
    tried: Moments  # rows that the maps to choose from are fitted on
    fitted: Moments  # those that choose a map, too: all that are not held out
    everything: Moments
    longest: list[float]


def gather(pairs: Pairs, choosing: Indices, held_out: Indices) -> Gathered:
    """Read all pairs once, block by block; there is a row of each kind, and two of the rest."""
    kind = np.zeros(pairs.n, dtype=np.int8)
    kind[choosing], kind[held_out] = 2, 3
    kind[np.flatnonzero(kind == 0)[1::2]] = 1
    parts: list[Any] = [0] * 4  # to which moments can be added
    longest, start = np.zeros(2), 0
    for x, y in pairs.batches():
        kinds = kind[start : start + len(x)]
        for k in np.unique(kinds):
            parts[k] += Moments.from_arrays(x[kinds == k], y[kinds == k])
        squares = [np.vecdot(z, z, dtype=np.float64).max() for z in (x, y)]
        longest = np.maximum(longest, np.sqrt(squares))
        start += len(x)
    even, odd, chooses, unseen = parts
    tried = even + odd
    fitted = tried + chooses
    return Gathered([even, odd], tried, fitted, fitted + unseen, longest.tolist())


def fit_maps(moments: Moments) -> dict[str, Fitted]:
    """Fit what competes to carry new queries into the old index, by name; the simplest first."""
    spectra = Spectra.of(moments)
    return {name: MAPS[name](spectra) for name in COMPETING}


def same_vectors(gathered: Gathered) -> bool:
    """Tell whether both sides are the same vectors up to a turn, whatever the order of the rows.

    Then their covariances have one spectrum. Of two samples of one distribution the spectra differ
    by chance, and by how much is seen from two halves of a file.
    """
    files = [(m.source_scatter, m.target_scatter) for m in (gathered.everything, *gathered.halves)]
    between = _spectral_distance(*files[0])
    within = min(map(_spectral_distance, *files[1:]))
    # Spectra of the same numbers, read in another order, differ by rounding.
    return between <= max(COPIES * within, 1e-14)


def _spectral_distance(a: Matrix, b: Matrix) -> float:
    """1 − Σ σ_i τ_i / (‖σ‖ ‖τ‖): the least relative error in any order (von Neumann, 1937)."""
    size = max(len(a), len(b))
    roots = [np.sqrt(np.maximum(np.linalg.eigvalsh(m)[::-1], 0.0)) for m in (a, b)]
    s, t = (np.pad(root, (0, size - len(root))) for root in roots)
    norm = float(np.linalg.norm(s) * np.linalg.norm(t))
    return 1 - float(s @ t) / norm if norm else 0.0


def is_featureless(rows: ArrayLike, rng: np.random.Generator) -> bool:
    """Tell whether rows have hardly closer neighbours than normal noise of the same covariance.

    Embeddings of real objects crowd: some are about the same thing. Measured is the mean cosine
    with the nearest other row, after centring and in the leading 64 directions, and how much of the
    way from noise to 1 it has come. Two thousand rows are plenty.
    """
    x = np.asarray(rows, float)
    x = x - x.mean(axis=0)
    _, s, directions = svd(x)
    leading, spread = x @ directions[:64].T, s[:64] / np.sqrt(len(x))
    noise = np.mean([_crowding(rng.standard_normal(leading.shape) * spread) for _ in range(3)])
    return bool(_crowding(leading) - noise < CROWDED * (1 - noise))


def _crowding(x: Matrix) -> float:
    unit = unit_rows(x).astype(np.float32)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean())
