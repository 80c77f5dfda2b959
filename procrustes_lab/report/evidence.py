"""What two embedding files are measured by: moments, maps, neighbours, spectra and judgements.

New vectors are the source and old ones the target, so that a map carries new queries to an old
index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.moments import Moments
from procrustes_lab.core.sums import Matrix
from procrustes_lab.search.maps import MAPS
from procrustes_lab.search.retrieval import search
from procrustes_lab.search.spectra import Fitted, Spectra

if TYPE_CHECKING:
    from procrustes_lab.files.pairs import Pairs

Indices = NDArray[np.int64]

COMPETING = (
    "turn",
    "centred",
    *(f"whitened {beta:g}" for beta in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)),
    *(f"target whitened {beta:g}" for beta in (0.1, 0.2, 0.3, 0.5)),
    *(f"centred, whitened {beta:g}" for beta in (0.1, 0.2)),
    "least squares",
    "ridge on documents",
)
"""Maps of `procrustes_lab.search.maps` that a report tries: those of `choose`, in coarser steps."""

COPIES = 0.1
"""Two files with spectra closer than this share of what two halves of one file differ by hold the
same vectors. Among independent samples of one distribution the share is near 1."""

CROWDED = 0.1
"""Part of the way from noise to 1 that neighbours come closer in any embedding of real objects: 0.3
to 0.7 of it in MiniLM, word counts and images of digits, at most 0.08 in random numbers."""

NEIGHBOURS = 10
"""How many neighbours are compared."""


class Gathered(NamedTuple):
    """Moments of everything in one pass, apart for rows that choose a map and rows that grade it.

    Attributes
    ----------
    halves : (Moments, Moments)
        Of the other rows, every second one in each.
    choosing, held_out : Moments
    longest : (float, float)
        Length of the longest new and of the longest old vector.
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

    Parameters
    ----------
    pairs : Pairs
        At least two more than are set apart.
    choosing, held_out : ndarray of int
        Rows apart, at least one each: on which a map is chosen, and which none may see.
    """
    kind = np.zeros(pairs.n, dtype=np.int8)
    kind[choosing], kind[held_out] = 2, 3
    rest = np.flatnonzero(kind == 0)
    kind[rest[1::2]] = 1
    parts: list[list[Moments]] = [[], [], [], []]
    longest, start = np.zeros(2), 0
    for x, y in pairs.batches():
        for number, part in enumerate(parts):
            chosen = kind[start : start + len(x)] == number
            if chosen.any():
                part.append(Moments.from_arrays(x[chosen], y[chosen]))
                part[:] = [sum(part[1:], part[0])]
        lengths = (np.vecdot(z, z, dtype=np.float64).max() for z in (x, y))
        longest = np.maximum(longest, np.sqrt(list(lengths)))
        start += len(x)
    even, odd, chooses, unseen = (part[0] for part in parts)
    return Gathered((even, odd), chooses, unseen, (float(longest[0]), float(longest[1])))


def fit_maps(moments: Moments) -> dict[str, Fitted]:
    """Fit what competes to carry new queries into the old index, by name; the simplest first.

    All are closed forms of the moments, so that what chooses among them is all that is chosen.
    """
    spectra = Spectra.of(moments)
    return {name: MAPS[name](spectra) for name in COMPETING}


def neighbours(queries: ArrayLike, documents: ArrayLike, own: Indices) -> Indices:
    """Return the rows of the ten documents nearest to each query, other than its own.

    Parameters
    ----------
    queries : array_like, shape (q, d)
    documents : array_like, shape (n, d)
        At least two; with fewer than eleven all others are neighbours.
    own : ndarray of int, shape (q,)
        Row of `documents` that is the same object.
    """
    k = min(NEIGHBOURS, len(np.asarray(documents)) - 1)
    found, _ = search(queries, documents, k + 1)
    others = found != own[:, np.newaxis]
    others[others.all(axis=1), -1] = False  # its own was not among them
    near: Indices = found[others].reshape(len(found), k)
    return near


def overlaps(found: Indices, wanted: Indices) -> Matrix:
    """Return, row by row, the share of the wanted that was found."""
    both = found[:, :, np.newaxis] == wanted[:, np.newaxis, :]
    return np.asarray(both.any(axis=1).mean(axis=1))


def same_vectors(gathered: Gathered) -> bool:
    """Tell whether both sides are the same vectors up to a turn, whatever the order of the rows.

    Then their covariances have one spectrum. Of two samples of one distribution the spectra differ
    by chance, and by how much is seen from two halves of a file.
    """
    everything = gathered.everything
    between = _spectral_distance(everything.source_scatter, everything.target_scatter)
    first, second = gathered.halves
    within = (
        _spectral_distance(first.source_scatter, second.source_scatter),
        _spectral_distance(first.target_scatter, second.target_scatter),
    )
    # Spectra of the same numbers, read in another order, differ by rounding.
    return between <= max(COPIES * min(within), 1e-14)


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
    way from noise to 1 it has come.

    Parameters
    ----------
    rows : array_like, shape (n, d)
        At least two; two thousand are plenty.
    rng : Generator
        Of the noise.
    """
    x = np.asarray(rows, float)
    _, s, directions = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    leading, spread = (x - x.mean(axis=0)) @ directions[:64].T, s[:64] / np.sqrt(len(x))
    noise = np.mean([_crowding(rng.standard_normal(leading.shape) * spread) for _ in range(3)])
    return bool(_crowding(leading) - noise < CROWDED * (1 - noise))


def _crowding(x: Matrix) -> float:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit = (x / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean())
