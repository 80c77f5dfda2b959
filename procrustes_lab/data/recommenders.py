"""Recommenders that are retrained as time goes on: interactions, rolling windows, item vectors.

A version is a matrix factorisation of a window of the interactions. The next window overlaps with
it, and training starts afresh: its item vectors say nearly the same, in other coordinates.
"""

from __future__ import annotations

import csv
import importlib.metadata
import itertools
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import require
from procrustes_lab.search.maps import unit_rows
from procrustes_lab.search.retrieval import Indices

from . import datasets
from .cache import Folder, cached_arrays, data_folder, name_it

COMMON = 0.1  # a term in a larger share of the documents says little about any of them
LEARNING_RATE = 0.08

MOVIELENS_URL = "https://files.grouplens.org/datasets/movielens/"

MOVIELENS_HASHES = {
    "ml-latest-small": "sha256:696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    "ml-25m": "md5:6b51fb2759a8657d3bfcbfc42b592ada",
}
"""The data sets that can be read, each with the hash of its zip file."""

LIKED = 3.5  # the least rating that counts as an interaction

_COLUMNS = [("userId", np.int64), ("movieId", np.int64), ("rating", float), ("timestamp", np.int64)]
_RATING = re.compile(r"\d{1,18},\d{1,18},(0\.5|[1-4](\.[05])?|5(\.0)?),\d{1,18}\r?\n?")
_LINES = 100_000  # parsed together

Place = Path | zipfile.Path


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


def movielens(
    name: str = "ml-latest-small", minimum: int = 10, *, data_home: Folder | None = None
) -> Interactions:
    """Read MovieLens (Harper and Konstan, 2015, doi:10.1145/2827872); for names see the hashes.

    A user takes each film that the user rates `LIKED` or more; kept are films that so many users
    took at the least. The label of a film is, among its genres, the one that most films have.

    `data_home` (see `procrustes_lab.data.cache.data_folder`) holds the folder `name`, with
    ratings.csv and movies.csv, or the file `name`.zip; with neither, that is downloaded to it.
    Raises ValueError if the name is unknown or a line is damaged, OSError if the data are not there
    and cannot be had.
    """
    folder = movielens_folder(name, data_home)
    ratings = read_ratings(folder / "ratings.csv")
    films = read_movies(folder / "movies.csv")

    liked = ratings[ratings["rating"] >= LIKED]
    ids, counts = np.unique(liked["movieId"], return_counts=True)
    kept = ids[counts >= minimum]
    require(len(kept) > 0, f"minimum is {minimum}; no film has so many ratings of {LIKED} or more")
    if unknown := set(kept.tolist()).difference(films):
        found = f"{folder / 'movies.csv'} lacks film {min(unknown)}, which ratings.csv rates"
        raise ValueError(f"{found}: take both files from one copy of MovieLens")
    liked = liked[np.isin(liked["movieId"], kept)]
    liked = liked[np.argsort(liked["timestamp"], kind="stable")]

    spread = Counter(genre for _, genres in films.values() for genre in genres)
    chosen = [films[film] for film in kept.tolist()]
    return Interactions(
        np.unique(liked["userId"], return_inverse=True)[1].astype(np.int64),
        np.searchsorted(kept, liked["movieId"]).astype(np.int64),
        tuple(title for title, _ in chosen),
        tuple(max(genres, key=lambda genre: spread[genre]) for _, genres in chosen),
    )


def movielens_folder(name: str, data_home: Folder | None = None) -> Place:
    """Return where a data set's files are: a folder, or the inside of a zip file, hash checked."""
    if name not in MOVIELENS_HASHES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(MOVIELENS_HASHES)}")
    home = data_folder(data_home)
    if all((home / name / file).is_file() for file in ("ratings.csv", "movies.csv")):
        return home / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm misses ipywidgets, which nothing here needs
        import pooch
    pooch.get_logger().setLevel("ERROR")
    try:
        fetched = pooch.retrieve(
            f"{MOVIELENS_URL}{name}.zip", MOVIELENS_HASHES[name], f"{name}.zip", home
        )
    except (OSError, ValueError) as error:  # no network, no room; another hash
        reason = str(error).partition("\n")[0]
        found = f"MovieLens {name} is not in {home} and could not be downloaded ({reason})"
        remedy = f"put the folder {name}, with ratings.csv and movies.csv, into {home}"
        raise OSError(f"{found}: {remedy}, or {name_it('it')}") from error
    return zipfile.Path(fetched, f"{name}/")


def read_ratings(path: Place) -> NDArray[np.void]:
    """Read a ratings file of MovieLens, with the fields userId, movieId, rating and timestamp.

    Raises ValueError, which names file and line, where a line is not three whole numbers and,
    third, a rating from 0.5 to 5.
    """
    header = ",".join(name for name, _ in _COLUMNS)
    parts, first = [], 2
    # Damaged bytes become characters that no number has, and so lines that are no rating.
    with path.open(encoding="utf-8", errors="replace") as file:
        if (found := file.readline().rstrip("\r\n")) != header:
            raise _damaged(path, 1, found, header)
        while lines := list(itertools.islice(file, _LINES)):
            for number, line in enumerate(lines, first):
                if not _RATING.fullmatch(line):
                    raise _damaged(path, number, line, header)
            parts.append(np.loadtxt(lines, dtype=_COLUMNS, delimiter=",", ndmin=1))
            first += len(lines)
    require(len(parts) > 0, f"{path} holds no ratings: take it from MovieLens again")
    return np.concatenate(parts)


def read_movies(path: Place) -> dict[int, tuple[str, list[str]]]:
    """Read a film file of MovieLens: id to title and genres; errors are as of `read_ratings`."""
    films, expected = {}, "movieId,title,genres"
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            try:
                film, title, genres = row
                films[int(film)] = title, genres.split("|")
            except ValueError as error:
                raise _damaged(path, rows.line_num, ",".join(row), expected) from error
    return films


def _damaged(path: Place, number: int, line: str, expected: str) -> ValueError:
    found = line.rstrip("\r\n")
    shown = found if len(found) <= 60 else f"{found[:57]}..."
    remedy = "mend the line, or take the file from MovieLens again"
    return ValueError(f"{path}, line {number}: found {shown!r}, expected {expected}: {remedy}")


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
    iterations: int = 30,
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
    iterations: int = 30,
    seed: int = 0,
    warm: bool = False,
    data_home: Folder | None = None,
) -> Matrix:
    """Train one version on each window by `fit`, each kept on disk between calls.

    Returned are unit rows, shape (versions, items, factors), without the bias, which makes items
    popular and not similar. A version starts from the one before it if `warm`; else each has a seed
    of its own: starting all from the same random numbers would be half a warm start.
    """
    made_by = importlib.metadata.version("implicit"), np.__version__, Path(__file__).read_bytes()
    versions: list[Factors] = []
    states = np.random.SeedSequence(seed).generate_state(len(windows)).tolist()
    for window, state in zip(windows, states, strict=True):
        start = versions[-1] if warm and versions else None
        settings = {"factors": factors, "iterations": iterations, "seed": state}
        recipe = made_by, window.shape, window.indptr, window.indices, settings, start
        train = partial(fit, window, start=start, **settings)
        versions.append(Factors(*cached_arrays("item-vectors", recipe, train, data_home)))
    return unit_rows(np.stack([version.items[:, :-1] for version in versions]).astype(float))
