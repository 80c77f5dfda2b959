"""Recommenders that are retrained as time goes on: interactions, rolling windows, item vectors.

A version is a matrix factorisation of a window of the interactions. The next window overlaps with
it, and training starts afresh: its item vectors say nearly the same, in other coordinates.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from procrustes_lab.core.validate import require

from . import datasets
from .cache import Folder, cached_arrays

COMMON = 0.1  # a term in a larger share of the documents says little about any of them
LEARNING_RATE = 0.03

Matrix = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Interactions:
    """Who took what, oldest first: user `users[i]` took item `items[i]`, of m.

    Each item has a name, and a label: what it is, to be predicted from its vector.
    """

    users: Indices
    items: Indices
    names: tuple[str, ...]
    labels: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Interactions({len(self.users):,} of {len(np.unique(self.users)):,} users "
            f"with {len(self.names):,} items)"
        )


class Factors(NamedTuple):
    """A factorisation: scores are `users @ items.T`. The last column is the items' bias."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


def api_terms(minimum: int = 30, *, seed: int = 0, data_home: Folder | None = None) -> Interactions:
    """Read the API descriptions as interactions: a document takes each term that it holds.

    Documents have no dates: a seeded shuffle puts them in order. A term, three letters or more,
    occurs in at least `minimum` documents, and in `COMMON` of all at most; its label is the library
    that most of its documents are from.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    data = datasets.api_descriptions(data_home)
    order = np.random.default_rng(seed).permutation(len(data))
    terms = CountVectorizer(
        binary=True, min_df=minimum, max_df=COMMON, token_pattern=r"\b[a-z]{3,}\b"
    )
    held = terms.fit_transform([data.documents[i] for i in order])
    documents, items = held.nonzero()
    libraries = np.array(data.libraries)[order]
    kinds = np.unique(libraries)
    of_kind = (items[libraries[documents] == kind] for kind in kinds)
    counts = np.stack([np.bincount(of, minlength=held.shape[1]) for of in of_kind])
    return Interactions(
        documents.astype(np.int64),
        items.astype(np.int64),
        tuple(map(str, terms.get_feature_names_out())),
        tuple(map(str, kinds[counts.argmax(axis=0)])),
    )


def rolling_windows(
    interactions: Interactions, versions: int = 4, share: float = 0.7
) -> tuple[list[sparse.csr_matrix], Indices]:
    """Cut the interactions into overlapping windows, one for each version, each a share of all.

    The first window starts with the oldest interaction, the last ends with the newest. Returned are
    the windows, sparse, shape (users, k), 1 where a user took an item, and the k items that occur
    in every window: the others have no vector in some version. Raises ValueError if either number
    is out of range, or no item is in every window.
    """
    require(versions >= 2, f"versions is {versions}; expected at least 2")
    require(0 < share < 1, f"share is {share}; expected a number between 0 and 1")
    m = len(interactions.users)
    length = round(share * m)
    shape = int(interactions.users.max()) + 1, len(interactions.names)
    starts = np.linspace(0, m - length, versions).astype(int)
    parts = [slice(start, start + length) for start in starts]
    taken = [(interactions.users[part], interactions.items[part]) for part in parts]
    windows = [sparse.csr_matrix((np.ones(length, np.float32), at), shape) for at in taken]
    counts = np.stack([np.bincount(window.indices, minlength=shape[1]) for window in windows])
    kept = np.flatnonzero(counts.min(axis=0))
    message = "no item is in every window; expected more interactions or a larger share"
    require(len(kept) > 0, message)
    return [window[:, kept] for window in windows], kept.astype(np.int64)


def fit(
    window: sparse.csr_matrix,
    *,
    factors: int = 32,
    iterations: int = 60,
    seed: int = 0,
    start: Factors | None = None,
) -> Factors:
    """Factorise a window by Bayesian personalised ranking (Rendle et al., 2009, arXiv:1205.2618).

    Stochastic gradients make a user's score of an item taken larger than that of another item.
    They run in one thread, since several would race and never give the same vectors twice; from
    the previous version, if `start` is one, in place of random numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm misses ipywidgets, which nothing here needs
        from implicit.cpu.bpr import BayesianPersonalizedRanking

    settings = {"factors": factors, "iterations": iterations, "learning_rate": LEARNING_RATE}
    model = BayesianPersonalizedRanking(**settings, num_threads=1, random_state=seed)
    if start is not None:
        # Training goes on in place: the previous version must stay what it was.
        model.user_factors, model.item_factors = start.users.copy(), start.items.copy()
    with threadpool_limits(1):
        model.fit(window, show_progress=False)
    return Factors(model.user_factors, model.item_factors)


def item_vectors(
    windows: Sequence[sparse.csr_matrix],
    *,
    factors: int = 32,
    iterations: int = 60,
    seed: int = 0,
    warm: bool = False,
    data_home: Folder | None = None,
) -> Matrix:
    """Train one version on each window by `fit`, kept on disk between calls.

    Returned are unit rows, shape (versions, items, factors), without the bias, which makes items
    popular and not similar. A version starts from the one before it if `warm`; else each has a seed
    of its own: starting all from the same random numbers would be half a warm start.
    """

    def make() -> list[NDArray[np.float32]]:
        made: list[Factors] = []
        for window, state in zip(windows, states.tolist(), strict=True):
            start = made[-1] if warm and made else None
            one = fit(window, factors=factors, iterations=iterations, seed=state, start=start)
            made.append(one)
        return [version.items[:, :-1] for version in made]

    states = np.random.SeedSequence(seed).generate_state(len(windows))
    made_by = importlib.metadata.version("implicit"), np.__version__, Path(__file__).read_bytes()
    data = [(window.shape, window.indptr, window.indices) for window in windows]
    recipe = made_by, data, factors, iterations, seed, warm
    vectors = np.stack(cached_arrays("item-vectors", recipe, make, data_home)).astype(float)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
