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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import replacing
from procrustes_lab.core.validate import as_embeddings, reject_nonfinite

from . import beir, datasets, pretrained

FILES = ("documents.npz", "queries.npz")


@dataclass(frozen=True)
class Found:
    """What a file of vectors has for the texts that were asked for.

    Attributes
    ----------
    rows : ndarray of int64, shape (k,)
        Which of the texts have a vector, in order.
    vectors : ndarray of float64, shape (k, d)
        Their vectors, of length 1 (or 0, where the model gave nothing).
    changed : tuple of str
        Names that the file has with another text. Their vectors are not given.
    unknown : tuple of str
        Names that the file has not.
    """

    rows: NDArray[np.int64]
    vectors: NDArray[np.float64]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]


def save_vectors(
    path: str | os.PathLike[str], names: Sequence[str], texts: Sequence[str], vectors: ArrayLike
) -> None:
    """Write the directions of vectors to an npz file, one byte a coordinate.

    Parameters
    ----------
    path : path
    names : sequence of str, no two the same
    texts : sequence of str
        What was encoded. The file keeps eight bytes of the SHA-256 of each, and no text.
    vectors : array_like, shape (n, d)
        Lengths are not kept.

    Raises
    ------
    ValueError
        If names, texts and vectors are not equally many, or a name occurs twice.

    Notes
    -----
    Each row is divided by its largest coordinate and rounded to 127 steps on either side of zero.
    A unit vector of 384 coordinates then moves by about 0.01, so that its cosine with itself is
    0.9999 or more.
    """
    v = as_embeddings(vectors, "vectors")
    reject_nonfinite(v, "vectors")
    if not len(names) == len(texts) == len(v):
        raise ValueError(
            f"there are {len(names)} names, {len(texts)} texts and {len(v)} vectors; "
            "expected equally many"
        )
    if len(set(names)) < len(names):
        raise ValueError("names hold duplicates; expected a name of its own for every text")
    largest = np.abs(v).max(axis=1, keepdims=True)
    steps = np.rint(127 * (v / np.where(largest > 0, largest, 1))).astype(np.int8)
    with replacing(path) as file:
        np.savez_compressed(file, names=np.array(names), digests=_digests(texts), steps=steps)


def find_vectors(path: str | os.PathLike[str], names: Sequence[str], texts: Sequence[str]) -> Found:
    """Look up the vectors of named texts in a file that `save_vectors` wrote.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is damaged or of another kind.
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
    same = (place >= 0) & (digests[place] == _digests(texts))
    rows = np.flatnonzero(same)
    vectors = steps[place[rows]].astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Found(
        rows,
        vectors / np.where(lengths > 0, lengths, 1),
        tuple(names[i] for i in np.flatnonzero(~same & (place >= 0)).tolist()),
        tuple(names[i] for i in np.flatnonzero(place < 0).tolist()),
    )


def collection_vectors(
    folder: str | os.PathLike[str], collection: beir.Collection
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the vectors of all queries and of all documents of a collection.

    Parameters
    ----------
    folder : path
        Where ``python -m procrustes_lab.data.encode`` wrote its two files.
    collection : Collection

    Returns
    -------
    queries, documents : ndarray of float64, one unit row per text

    Raises
    ------
    OSError
        If a file is missing.
    ValueError
        If a file is damaged, or has no vector for some text.
    """
    documents, queries = (
        find_vectors(Path(folder, file), names, texts)
        for file, names, texts in zip(
            FILES,
            (collection.document_ids, collection.query_ids),
            (collection.documents, collection.queries),
            strict=True,
        )
    )
    for file, found in zip(FILES, (documents, queries), strict=True):
        if missing := len(found.changed) + len(found.unknown):
            raise ValueError(
                f"{Path(folder, file)} has no vector for {missing} texts of the collection, among "
                f"them {(found.changed + found.unknown)[0]!r}: encode the collection again"
            )
    return queries.vectors, documents.vectors


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
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
        encode_collection(pretrained.load(options.model), options.folder, _corpus(options.corpus))
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


def _corpus(folder: str | None) -> beir.Collection:
    return beir.load(folder) if folder else beir.from_descriptions(datasets.api_descriptions())


if __name__ == "__main__":
    main()
