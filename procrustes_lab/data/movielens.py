"""MovieLens: the films that people liked, in the order of the clock."""

from __future__ import annotations

import csv
import itertools
import re
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .cache import Folder, data_folder
from .recommenders import Interactions

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
    if len(kept) == 0:
        raise ValueError(f"minimum is {minimum}; no film has so many ratings of {LIKED} or more")
    if unknown := set(kept.tolist()).difference(films):
        raise ValueError(
            f"{folder / 'movies.csv'} lacks film {min(unknown)}, which {folder / 'ratings.csv'} "
            "rates: take both files from one copy of MovieLens"
        )
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
        raise OSError(
            f"MovieLens {name} is not in {home} and could not be downloaded ({reason}): put the "
            f"folder {name}, with ratings.csv and movies.csv, into {home}, or name the folder "
            "that holds it as data_home or in PROCRUSTES_LAB_DATA"
        ) from error
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
    if not parts:
        raise ValueError(f"{path} holds no ratings: take it from MovieLens again")
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
    return ValueError(
        f"{path}, line {number}: found {shown!r}, expected {expected}: mend the line, or take the "
        "file from MovieLens again"
    )
