"""Vectors of texts by a pretrained model: computed once, kept in a small file, found by name.

``python -m procrustes_lab.data.encode MODEL FOLDER`` encodes the API descriptions with one of the
four networks of `procrustes_lab.data.pretrained`, or with any sentence-transformers model, by name
or by folder; ``--corpus`` takes a BEIR folder in their place. It says which packages it needs;
reading the files needs NumPy only.
"""

import argparse
import hashlib
import os
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import replacing
from procrustes_lab.core.validate import as_embeddings, reject_nonfinite, require

from . import beir, datasets, pretrained
from .cache import Folder

FILES = ("documents.npz", "queries.npz")


class Found(NamedTuple):
    """Which of the texts that were asked for have a vector, in order; and their unit vectors."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.float64]


def save_vectors(
    path: Folder, names: Sequence[str], texts: Sequence[str], vectors: ArrayLike
) -> None:
    """Write the directions of vectors to an npz file, one byte a coordinate.

    Each row is divided by its largest coordinate and rounded to 127 steps on either side of zero:
    a unit vector of 384 coordinates moves by about 0.01, to a cosine of 0.9999 or more with itself.
    Of each text that was encoded the file keeps eight bytes of the SHA-256, and no text. Raises
    ValueError if names, texts and vectors are not equally many, or a name occurs twice.
    """
    v = as_embeddings(vectors, "vectors")
    reject_nonfinite(v, "vectors")
    counts = f"{len(names)} names, {len(texts)} texts and {len(v)} vectors"
    equal = len(names) == len(texts) == len(v)
    require(equal, f"there are {counts}; expected equally many")
    message = "names hold duplicates; expected a name of its own for every text"
    require(len(set(names)) == len(names), message)
    largest = np.abs(v).max(axis=1, keepdims=True)
    steps = np.rint(127 * (v / np.where(largest > 0, largest, 1))).astype(np.int8)
    with replacing(path) as file:
        np.savez_compressed(
            file, names=np.array(names), digests=_digests(tuple(texts)), steps=steps
        )


def find_vectors(path: Folder, names: Sequence[str], texts: Sequence[str]) -> Found:
    """Look up the vectors of named texts in a file that `save_vectors` wrote.

    A name that the file has with another text is not found. A vector has length 0 where the model
    gave nothing. Raises OSError without such a file, ValueError if it is damaged or another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            known, digests, steps = (file[key] for key in ("names", "digests", "steps"))
        places = {name: row for row, name in enumerate(known.tolist())}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{os.fspath(path)} holds no vectors that this version can read, or is damaged: "
            "write it again with python -m procrustes_lab.data.encode"
        ) from error
    place = np.array([places.get(name, -1) for name in names], dtype=np.int64)
    rows = np.flatnonzero((place >= 0) & (digests[place] == _digests(tuple(texts))))
    vectors = steps[place[rows]].astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Found(rows, vectors / np.where(lengths > 0, lengths, 1))


@lru_cache(maxsize=2)  # several networks are asked for the same texts
def _digests(texts: tuple[str, ...]) -> NDArray[np.uint64]:
    hashes = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Encode a corpus, write both files, and say what rounding to a byte costs retrieval."""
    parser = argparse.ArgumentParser(
        prog="python -m procrustes_lab.data.encode", description=__doc__
    )
    named = ", ".join(pretrained.NETWORKS)
    parser.add_argument("model", help=f"{named}, or a sentence-transformers model, name or folder")
    parser.add_argument("folder", type=Path, help="where to write " + " and ".join(FILES))
    parser.add_argument("--corpus", help="a BEIR folder, instead of the API descriptions")
    options = parser.parse_args(arguments)
    try:
        network = pretrained.load(options.model)
        corpus = beir.load(options.corpus) if options.corpus else None
        collection = corpus or beir.from_descriptions(datasets.api_descriptions())
        encode_collection(network, options.folder, collection)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))


def encode_collection(
    encode: pretrained.Encoder, folder: Path, collection: beir.Collection
) -> None:
    """Write the vectors of a collection's texts, and print what a search finds before and after."""
    folder.mkdir(parents=True, exist_ok=True)
    exact, rounded = [], []
    for file, ids, texts, is_query in (
        (FILES[0], collection.document_ids, collection.documents, False),
        (FILES[1], collection.query_ids, collection.queries, True),
    ):
        vectors = encode(texts, is_query)
        save_vectors(folder / file, ids, texts, vectors)
        exact.append(vectors)
        rounded.append(find_vectors(folder / file, ids, texts).vectors)
    everyone = np.arange(len(collection.queries))
    for label, (documents, queries) in (("as encoded", exact), ("as written", rounded)):
        values = beir.grade(collection, everyone, queries, documents).mean(axis=0)
        shown = ", ".join(f"{m} {v:.4f}" for m, v in zip(beir.METRICS, values, strict=True))
        print(f"{label}: {shown}")


if __name__ == "__main__":
    main()
