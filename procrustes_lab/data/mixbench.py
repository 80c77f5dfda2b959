"""Search over texts, pictures and documents that have both, and its files in MixBench's style.

MixBench (Li et al., 2025, arXiv:2507.19054) is a benchmark of such searches: a third of a corpus
as text, a third as images, a third as both. It comes as texts and images; a folder here holds
their embeddings as well, by whatever pair of encoders.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.validate import as_embeddings, reject_nonfinite
from procrustes_lab.search.retrieval import search
from procrustes_lab.search.rivals import Rival

from .cache import Folder
from .judgements import numbered_lines, read_judgements

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Items:
    """Queries or documents, each with a text, an image, or both; row i of every field is item i.

    Attributes
    ----------
    text : ndarray, shape (n, d_text)
    image : ndarray, shape (n, d_image)
        Rows of items without one are not looked at.
    has_text, has_image : ndarray of bool, shape (n,)
    """

    text: Matrix
    image: Matrix
    has_text: Flags
    has_image: Flags

    @property
    def kinds(self) -> NDArray[np.str_]:
        """Of each item "text", "image" or "both", shape (n,)."""
        return np.where(self.has_text & self.has_image, "both", self._single)

    @property
    def _single(self) -> NDArray[np.str_]:
        return np.where(self.has_text, "text", "image")

    def vectors(self, rival: Rival, *, image_weight: float = 0.5) -> Matrix:
        """Return one unit row per item, in the space where the rival compares.

        An item with both sides becomes (1 − w) text + w image, of unit vectors, divided by its
        length; w is the `image_weight`.

        Parameters
        ----------
        rival : Rival
            Fitted from images to texts.
        image_weight : float
            From 0 to 1.
        """
        weight = np.where(self.has_text, np.where(self.has_image, image_weight, 0.0), 1.0)
        text = _unit(rival.transform_target(self.text)) * (1 - weight)[:, np.newaxis]
        image = _unit(rival.transform(self.image)) * weight[:, np.newaxis]
        return _unit(text + image)


@dataclass(frozen=True)
class MixedSearch:
    """Queries, a corpus of mixed kinds, what is relevant, and pairs to fit a map on.

    Attributes
    ----------
    queries, corpus : Items
    relevance : sequence of dict
        For each query, the rows of the relevant documents with their grades, at least 1.
    pair_images, pair_texts : ndarray, shapes (m, d_image) and (m, d_text)
        Row i of both is one object. None of them should be in the corpus.
    """

    queries: Items
    corpus: Items
    relevance: Sequence[dict[int, int]]
    pair_images: Matrix
    pair_texts: Matrix

    @property
    def answer_kinds(self) -> NDArray[np.str_]:
        """Of each query, the kind of its most relevant document, shape (q,)."""
        best = [max(grades, key=lambda row: grades[row]) for grades in self.relevance]
        return self.corpus.kinds[best]

    def ndcg(self, rival: Rival, *, k: int = 10, image_weight: float = 0.5) -> Matrix:
        """Return each query's normalised discounted cumulative gain at k, shape (q,).

        Parameters
        ----------
        rival : Rival
            Fitted from images to texts.
        k : int
            How many documents are looked at.
        image_weight : float
            See `Items.vectors`.

        References
        ----------
        K. Järvelin and J. Kekäläinen (2002), doi:10.1145/582415.582418.
        """
        queries = self.queries.vectors(rival, image_weight=image_weight)
        corpus = self.corpus.vectors(rival, image_weight=image_weight)
        found, _ = search(queries, corpus, min(k, len(corpus)))
        discounts = 1 / np.log2(np.arange(2, k + 2))
        gains = np.zeros(len(queries))
        for query, grades in enumerate(self.relevance):
            gained = [grades.get(int(row), 0) for row in found[query]]
            ideal = sorted(grades.values(), reverse=True)[:k]
            gains[query] = gained @ discounts[: len(gained)] / (ideal @ discounts[: len(ideal)])
        return gains


def read(folder: Folder) -> MixedSearch:
    """Read a folder of MixBench-style files with embeddings beside them.

    ===================== ========================================================================
    ``queries.jsonl``     one JSON object a line: ``query_id``, and ``text``, ``image`` or both
    ``mixed_corpus.jsonl`` the same with ``corpus_id``; a side that is missing, null or empty is
                          one that the document does not have
    ``qrels/qrels.tsv``   ``query_id``, ``corpus_id``, ``score``; see `read_judgements`
    ``query_text.npy``    row i embeds the text of line i of ``queries.jsonl``
    ``corpus_text.npy``   row i embeds the text of line i of ``mixed_corpus.jsonl``
    ``corpus_image.npy``  row i embeds its image
    ``query_image.npy``   likewise; as the three above, needed only where a line has that side
    ``pair_text.npy``     pairs to fit a map on, not from the corpus:
    ``pair_image.npy``    row i of both is one object
    ===================== ========================================================================

    Parameters
    ----------
    folder : path

    Returns
    -------
    MixedSearch

    Raises
    ------
    FileNotFoundError
        If a file is missing that is needed.
    ValueError
        If one is broken: the message names the file, and the line or row.
    """
    root = Path(folder)
    pair_texts, pair_images = (_array(root / f"pair_{side}.npy") for side in ("text", "image"))
    if len(pair_texts) != len(pair_images):
        raise ValueError(
            f"{root / 'pair_image.npy'} has {len(pair_images)} rows, pair_text.npy has "
            f"{len(pair_texts)}: row i of each must be the same object"
        )
    widths = {"text": pair_texts.shape[1], "image": pair_images.shape[1]}
    query_rows, queries = _items(root / "queries.jsonl", "query", widths)
    corpus_rows, corpus = _items(root / "mixed_corpus.jsonl", "corpus", widths)
    qrels = root / "qrels" / "qrels.tsv"
    _require(qrels)
    judged, _ = read_judgements(qrels, query_rows, corpus_rows, all_known=True)
    for query, row in query_rows.items():
        if row not in judged:
            raise ValueError(f"{qrels} has no relevant document for query_id {query!r}")
    relevance = [
        {document: grade for document, grade in judged[row].items() if grade > 0}
        for row in query_rows.values()
    ]
    return MixedSearch(queries, corpus, relevance, pair_images, pair_texts)


def _items(path: Path, stem: str, widths: dict[str, int]) -> tuple[dict[str, int], Items]:
    """Return the row of each id, and the items."""
    rows: dict[str, int] = {}
    sides: dict[str, list[bool]] = {"text": [], "image": []}
    for place, line in _lines(path):
        record = _record(place, line)
        name = record.get(f"{stem}_id")
        if not isinstance(name, str | int) or name == "":
            raise ValueError(f"{place} has {stem}_id {name!r}; expected a name")
        if str(name) in rows:
            raise ValueError(f"{place} has {stem}_id {name!r} again; expected each once")
        if not (record.get("text") or record.get("image")):
            raise ValueError(f"{place} has neither text nor image; expected one of them or both")
        rows[str(name)] = len(rows)
        for side, present in sides.items():
            present.append(bool(record.get(side)))
    flags = {side: np.array(present) for side, present in sides.items()}
    arrays = {
        side: _side(path.with_name(f"{stem}_{side}.npy"), path.name, flags[side], widths[side])
        for side in sides
    }
    return rows, Items(arrays["text"], arrays["image"], flags["text"], flags["image"])


def _side(path: Path, lines: str, present: Flags, width: int) -> Matrix:
    """Read the embeddings of one side; zeros where no item has it."""
    if not present.any():
        return np.zeros((len(present), width))
    array = _array(path, present)
    if array.shape != (len(present), width):
        raise ValueError(
            f"{path} has shape {array.shape}; expected {(len(present), width)}: a row for each "
            f"line of {lines}, as wide as the pairs"
        )
    return array


def _array(path: Path, present: Flags | None = None) -> Matrix:
    """Read an array, finite in the rows that are present; the others become zero."""
    _require(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path} is no array that NumPy can read: write it with np.save"
        ) from error
    values = as_embeddings(array, str(path)).astype(np.float64)
    if present is not None and len(present) == len(values):
        values[~present] = 0.0
    reject_nonfinite(values, str(path))
    return values


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return the numbered lines of a file that must be there and hold some."""
    _require(path)
    lines = list(numbered_lines(path))
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _record(place: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is no JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{place} is a JSON {type(record).__name__}; expected an object")
    return record


def _require(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; `mixbench.read` says which files it expects")


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1.0)
