"""Collections in the format of BEIR (Thakur et al., 2021, arXiv:2104.08663).

They are documents, queries, and judgements of which answers which.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.validate import require
from procrustes_lab.search import retrieval

from .cache import Folder
from .datasets import ApiDescriptions
from .judgements import numbered_lines, own_documents, read_judgements

FILES = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")

METRICS = ("ndcg_cut_10", "recall_100", "recip_rank")  # by trec_eval's names


@dataclass(frozen=True, repr=False)
class Collection:
    """Texts to search, texts to search for, and what counts as found.

    A document's text opens with its title, if it has one. Of query j, ``judgements[j]`` has the
    grade of each judged document by its row, 0 and below for an irrelevant one; every query has a
    relevant document.
    """

    document_ids: tuple[str, ...]
    documents: tuple[str, ...]
    query_ids: tuple[str, ...]
    queries: tuple[str, ...]
    judgements: tuple[dict[int, int], ...]

    def __repr__(self) -> str:
        texts = f"{len(self.documents)} documents, {len(self.queries)} queries"
        return f"Collection({texts}, {sum(map(len, self.judgements))} judgements)"

    @property
    def own(self) -> NDArray[np.int64]:
        """The document that each query is itself, which no search counts; see `own_documents`."""
        return own_documents(self.query_ids, self.document_ids, dict(enumerate(self.judgements)))

    def split(self, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows of documents to fit on, and of at most `held_out` queries to evaluate.

        Queries are drawn at random; the documents answer none of them. Both are sorted. Raises
        ValueError if `held_out` is not positive, or leaves no document to fit on.
        """
        require(held_out > 0, f"held_out is {held_out}; expected at least 1 query to evaluate")
        order = np.random.default_rng(seed).permutation(len(self.queries))
        evaluated = np.sort(order[:held_out])
        answers = {row for j in evaluated for row, grade in self.judgements[j].items() if grade > 0}
        fitted = np.setdiff1d(np.arange(len(self.documents)), list(answers))
        message = (
            f"held_out is {held_out}, and every document answers one of these queries; expected "
            "some to be left to fit on: evaluate fewer"
        )
        require(len(fitted) > 0, message)
        return fitted, evaluated


def from_descriptions(data: ApiDescriptions, rows: Sequence[int] | None = None) -> Collection:
    """Make a collection of descriptions, or of some rows: each summary is answered by its body."""
    kept = range(len(data)) if rows is None else rows
    names, documents, queries = (
        tuple(texts[i] for i in kept) for texts in (data.names, data.documents, data.queries)
    )
    return Collection(names, documents, names, queries, tuple({i: 1} for i in range(len(names))))


def load(folder: Folder) -> Collection:
    """Read ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv`` from a folder.

    A line of ``corpus.jsonl`` is a JSON object with the strings ``_id``, ``text`` and perhaps
    ``title``; of ``queries.jsonl``, with ``_id`` and ``text``; for judgements see
    `read_judgements`. Queries without a relevant document are left out: they have no metric.

    Raises FileNotFoundError if a file is missing, and ValueError, which names file and line, if a
    line is malformed, an identifier occurs twice or is unknown, or nothing is relevant.
    """
    paths = [Path(folder).expanduser() / name for name in FILES]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; "
                "a BEIR folder has corpus.jsonl, queries.jsonl and qrels/test.tsv"
            )
    documents, queries = map(_read_texts, paths[:2])
    rows = ({name: row for row, name in enumerate(texts)} for texts in (queries, documents))
    judged, _ = read_judgements(paths[2], *rows, all_known=True)
    asked = [(*query, judged[row]) for row, query in enumerate(queries.items()) if row in judged]
    return Collection(
        tuple(documents), tuple(documents.values()), *map(tuple, zip(*asked, strict=True))
    )


def evaluate(collection: Collection, queries: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """Grade a search with trec_eval's own code, a query's own document left out as in BEIR.

    `queries`, shape (q,), says which were searched for; `found`, shape (q, k), has rows of
    documents, best first: their order is all that counts. Returns one column for each of `METRICS`,
    shape (q, 3); the reciprocal rank is 0 beyond the first k. Raises ValueError if `found` has not
    one row per query. Pytrec_eval: Van Gysel and de Rijke (2018), doi:10.1145/3209978.3210065.
    """
    from pytrec_eval import RelevanceEvaluator

    asked, rows = np.asarray(queries), np.asarray(found)
    message = (
        f"found has shape {rows.shape}, queries have shape {asked.shape}; expected one row of "
        "documents for each query"
    )
    require(rows.ndim == 2 and asked.shape == rows.shape[:1], message)
    judged = {
        str(j): {str(row): mark for row, mark in collection.judgements[j].items()} for j in asked
    }
    scores = np.arange(rows.shape[1], 0, -1).astype(float).tolist()
    names = {row: str(row) for row in np.unique(rows).tolist()}
    run = {
        str(j): dict(zip(map(names.__getitem__, ranked), scores, strict=True))
        for j, ranked in zip(asked, rows.tolist(), strict=True)
    }
    for j, row in enumerate(collection.own):
        run.get(str(j), {}).pop(str(row), None)
    graded = RelevanceEvaluator(judged, set(METRICS)).evaluate(run)
    return np.array([[graded[str(j)][metric] for metric in METRICS] for j in asked])


def grade(
    collection: Collection, evaluated: ArrayLike, queries: ArrayLike, documents: ArrayLike
) -> NDArray[np.float64]:
    """Search by dot product, and grade every query as `evaluate` does; errors as `search`'s.

    `evaluated`, shape (q,), says which queries are asked; `queries` and `documents` are the vectors
    of these, (q, d), and of all documents, (n, d). Where every query has one relevant document, its
    exact rank gives the grades; else `evaluate` does, from the first 1,000 that are found.
    """
    asked = np.asarray(evaluated)
    answers = [[row for row, mark in collection.judgements[j].items() if mark > 0] for j in asked]
    if any(len(rows) > 1 for rows in answers) or (collection.own[asked] >= 0).any():
        found, _ = retrieval.search(queries, documents, min(1001, len(collection.documents)))
        return evaluate(collection, asked, found)
    rank = retrieval.ranks(queries, documents, np.ravel(answers))
    gain = np.where(rank <= 10, 1 / np.log2(1 + rank), 0)
    return np.stack([gain, rank <= 100, 1 / rank], axis=1)


def _read_texts(path: Path) -> dict[str, str]:
    """Return text by identifier, in the order of lines."""
    texts: dict[str, str] = {}
    for place, line in numbered_lines(path):
        try:
            entry: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{place} is not JSON ({error.msg} at column {error.colno})") from None
        kind = type(entry).__name__
        require(isinstance(entry, dict), f"{place} is a JSON {kind}; expected an object")
        for key in ("_id", "text"):
            found = entry.get(key)
            require(isinstance(found, str), f"{place} has {key} {found!r}; expected a string")
        name = entry["_id"]
        require(name not in texts, f"{place} has _id {name!r}, as an earlier line does")
        texts[name] = f"{entry.get('title') or ''} {entry['text']}".strip()
    require(bool(texts), f"{path} is empty; expected one JSON object a line")
    return texts
