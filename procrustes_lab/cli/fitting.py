"""Fit the map of two files: chosen on held-out pairs, with what brings its scores back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from procrustes_lab.core.certificate import certify
from procrustes_lab.core.moments import Moments
from procrustes_lab.core.validate import Embeddings
from procrustes_lab.files import Pairs, sha256
from procrustes_lab.files.adapter import Adapter
from procrustes_lab.search.choose import TRIAL, choose
from procrustes_lab.search.maps import MAPS, Mapper
from procrustes_lab.search.migrate import Recalibration
from procrustes_lab.search.retrieval import search
from procrustes_lab.search.trial import UNKNOWN

IN_MEMORY = 2**28
"""Bytes, as float64, up to which pairs are measured whole: more exact where they nearly agree."""

SCORED = 1000
"""Pairs whose scores are recalibrated by, and as many by which that is shown, at the most."""


def measure(pairs: Pairs) -> tuple[Any, ...]:
    """Read all pairs, once, and return what certificates and maps are made of: both sides, or sums.

    FileError if one of them is zero.
    """
    width = pairs.new.rows.shape[1] + pairs.old.rows.shape[1]
    given: tuple[Any, ...]
    if 8 * pairs.n * width <= IN_MEMORY:
        given = x, y = pairs.take(np.arange(pairs.n))
        nonzero = bool(x.any()), bool(y.any())
    else:
        blocks = progress("measuring", pairs.batches(), unit=" blocks")
        given = (Moments.from_batches(blocks),)
        cross = given[0].cross()
        nonzero = cross.source_energy > 0, cross.target_energy > 0
    pairs.reject_zeros(*nonzero)
    return given


def fit(pairs: Pairs, name: str, seed: int) -> tuple[Adapter, list[str]]:
    """Return the map of that name, fitted to all pairs, and sentences on what it does.

    "auto" leaves the name to `choose`.
    """
    given = measure(pairs)
    if len(given) == 2:
        x, y = given
    else:
        rng = np.random.default_rng(seed)
        x, y = pairs.take(np.sort(rng.choice(pairs.n, min(pairs.n, TRIAL), replace=False)))
    kept, how = UNKNOWN, f"The map is {name!r}, as asked for."
    if name == "auto":
        choice = choose(x, y, seed=seed)
        name, kept = choice.name, choice.kept
        how = (
            f"The map is {name!r}, {choice.basis}. It keeps {kept} of the new model's search with "
            "documents for queries: real queries may keep less."
        )
    knots, scores = recalibrate(MAPS[name], x, y, seed)
    hashes = sha256(pairs.new.path), sha256(pairs.old.path)
    best: Any = MAPS[name](*given)
    adapter = Adapter(best, certify(*given), *hashes, name=name, kept=kept, knots=knots)
    return adapter, [how, *scores]


def recalibrate(
    mapper: Mapper, x: Embeddings, y: Embeddings, seed: int
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the knots from aligned scores to the old model's, and what they do, in a sentence.

    A fifth of the pairs are held out from a map; the scores of their ten best documents through it,
    and by their own old vectors, give the knots by one half, and by the other half the sentence.
    """
    order = np.random.default_rng(seed).permutation(len(x))[:TRIAL]
    held, rest = np.split(order, [min(len(order) // 5, 2 * SCORED)])
    if len(held) < 4:
        return np.empty((2, 0)), []
    found, aligned = search(mapper(x[rest], y[rest]).query(x[held]), y, min(10, len(y)))
    native = np.einsum("ikd,id->ik", y[found].astype(float), y[held].astype(float))
    half = Recalibration.fit(aligned[::2], native[::2])
    shown = aligned[1::2], half.apply(aligned[1::2])
    before, after = (np.abs(scores - native[1::2]).mean() for scores in shown)
    return half.knots, [
        f"Its ten best scores are {aligned[1::2].mean():.3f} on average where the old model's own "
        f"are {native[1::2].mean():.3f}; they differ by {before:.3f}, and recalibrated, which is "
        f"saved with the map, by {after:.3f} (on {len(held) // 2:,} held-out pairs)."
    ]


def progress(verb: str, of: Iterable[Any] | None = None, unit: str = " rows") -> Any:
    """Return a bar, of rows or of what it goes through, which is shown on a terminal."""
    return tqdm(of, verb, unit=unit, unit_scale=True, leave=False, disable=None)
