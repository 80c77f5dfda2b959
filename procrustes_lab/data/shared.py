"""Real vectors that are not part of the project, read from the data folder where they are at hand.

Each function raises FileNotFoundError, in one sentence, where they are not; `data_home` is the
folder that holds theirs, see `procrustes_lab.data.cache.data_folder`. All rows are made directions:
what is kept in half precision is not quite of length 1.
"""

from pathlib import Path

import numpy as np

from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings
from procrustes_lab.search.maps import unit_rows

from . import beir
from .cache import Folder, data_folder, name_it
from .encode import NETWORKS

NEEDED = {
    "scifact": (*beir.FILES, *(f"vectors/{name}.npz" for name in NETWORKS)),
    "flickr8k-clip": ("images.npy", "captions.npy"),
    "shop-clip": ("images.npy", "texts.npy"),
}  # the files that each folder has


def scifact(
    data_home: Folder | None = None,
) -> tuple[beir.Collection, dict[str, tuple[Embeddings, Embeddings]]]:
    """Read SciFact, scientific claims and the abstracts that are evidence, by four networks.

    Returns the collection and, for each of `NETWORKS`, the vectors of all queries and of all
    documents, unit rows. ValueError if a file is damaged, or there are not as many vectors as
    texts. D. Wadden et al. (2020), "Fact or fiction", arXiv:2004.14974.
    """
    home = _folder("scifact", data_home)
    collection = beir.load(home)
    vectors = {}
    for name in NETWORKS:
        path = home / "vectors" / f"{name}.npz"
        with np.load(path, allow_pickle=False) as file:
            kept = file["queries"], file["documents"]
        queries, documents = (unit_rows(side.astype(np.float32)) for side in kept)
        sizes = len(collection.queries), len(collection.documents)
        if (len(queries), len(documents)) != sizes:
            found = f"{path} has vectors of {len(queries)} queries and {len(documents)} documents"
            raise ValueError(f"{found}; expected {sizes[0]} and {sizes[1]}, as {home} has")
        vectors[name] = queries, documents
    return collection, vectors


def flickr8k(data_home: Folder | None = None) -> tuple[Matrix, Matrix]:
    """Read CLIP's unit vectors of 100 pictures, (100, 512), and of their captions, (100, 5, 512).

    The model is openai/clip-vit-base-patch32 (Radford et al., 2021, arXiv:2103.00020), the pictures
    are of Hodosh, Young and Hockenmaier (2013), doi:10.1613/jair.3994.
    """
    return _pair("flickr8k-clip", data_home)


def shop(data_home: Folder | None = None) -> tuple[Matrix, Matrix]:
    """Read CLIP's unit vectors of 563 pictures of clothes and of their texts, both (563, 512)."""
    return _pair("shop-clip", data_home)


def _pair(name: str, data_home: Folder | None) -> tuple[Matrix, Matrix]:
    home = _folder(name, data_home)
    kept = (np.load(home / file, allow_pickle=False) for file in NEEDED[name])
    first, second = (unit_rows(side.astype(float)) for side in kept)
    return first, second


def _folder(name: str, data_home: Folder | None) -> Path:
    home = data_folder(data_home) / name
    for file in NEEDED[name]:
        if not (home / file).is_file():
            raise FileNotFoundError(f"{home / file} is not there: {name_it(name)}")
    return home
