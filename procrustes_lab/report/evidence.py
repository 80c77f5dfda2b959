"""What two embedding files are measured by: moments, maps and spectra.

New vectors are the source and old ones the target, so that a map carries new queries to an old
index.
"""

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

COPIES = 0.1
"""Two files with spectra closer than this share of what two halves of one file differ by hold the
same vectors. Among independent samples of one distribution the share is near 1."""

CROWDED = 0.1
"""Part of the way from noise to 1 that neighbours come closer in any embedding of real objects: 0.3
to 0.7 of it in MiniLM, word counts and images of digits, at most 0.08 in random numbers."""


class Gathered(NamedTuple):
    """Moments of everything in one pass, apart for rows that choose a map and rows that grade it.

    The other rows are in two halves, every second one in each. `longest` has the lengths of the
    longest new and of the longest old vector.
    """

    halves: tuple[Moments, Moments]
    choosing: Moments
    held_out: Moments
    longest: tuple[float, float]

    @property
    def tried(self) -> Moments:
        """Moments that the maps to choose from are fitted on."""
        return self.halves[0] + self.halves[1]

    @property
    def fitted(self) -> Moments:
        """Moments of all rows that are not held out."""
        return self.tried + self.choosing

    @property
    def everything(self) -> Moments:
        """Moments of all rows."""
        return self.fitted + self.held_out


def gather(pairs: Pairs, choosing: Indices, held_out: Indices) -> Gathered:
    """Read all pairs once, block by block.

    Set apart are the rows on which a map is chosen, and those which none may see: at least one
    each, and two are left.
    """
    kind = np.zeros(pairs.n, dtype=np.int8)
    kind[choosing], kind[held_out] = 2, 3
    kind[np.flatnonzero(kind == 0)[1::2]] = 1
    parts: list[Any] = [0] * 4  # to which moments can be added
    longest, start = np.zeros(2), 0
    for x, y in pairs.batches():
        for number in range(4):
            chosen = kind[start : start + len(x)] == number
            if chosen.any():
                parts[number] += Moments.from_arrays(x[chosen], y[chosen])
        lengths = (np.vecdot(z, z, dtype=np.float64).max() for z in (x, y))
        longest = np.maximum(longest, np.sqrt(list(lengths)))
        start += len(x)
    even, odd, chooses, unseen = parts
    return Gathered((even, odd), chooses, unseen, (float(longest[0]), float(longest[1])))


def fit_maps(moments: Moments) -> dict[str, Fitted]:
    """Fit what competes to carry new queries into the old index, by name; the simplest first.

    All are closed forms of the moments, so that what chooses among them is all that is chosen.
    """
    spectra = Spectra.of(moments)
    return {name: MAPS[name](spectra) for name in COMPETING}


def same_vectors(gathered: Gathered) -> bool:
    """Tell whether both sides are the same vectors up to a turn, whatever the order of the rows.

    Then their covariances have one spectrum. Of two samples of one distribution the spectra differ
    by chance, and by how much is seen from two halves of a file.
    """
    everything, (first, second) = gathered.everything, gathered.halves
    between = _spectral_distance(everything.source_scatter, everything.target_scatter)
    within = min(
        _spectral_distance(first.source_scatter, second.source_scatter),
        _spectral_distance(first.target_scatter, second.target_scatter),
    )
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
