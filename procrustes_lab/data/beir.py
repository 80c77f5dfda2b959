"""Documents, queries and which answers which, as BEIR and trec_eval write them.

BEIR: Thakur et al. (2021), arXiv:2104.08663.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import check_regular
from procrustes_lab.core.validate import require
from procrustes_lab.search import retrieval

from .cache import Folder
from .datasets import ApiDescriptions

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
    def own(self) -> retrieval.Indices:
        """The row of the document that each query is itself by its id, -1 where there is none.

        In some collections (ArguAna, Quora) queries are documents, by the same id. Such a query
        finds itself first, which BEIR does not count; but where a document of the same id is
        relevant, as a summary's own text is, ids are those of pairs and it is an answer. An empty
        id is none.
        """
        rows = {name: row for row, name in enumerate(self.document_ids) if name}
        found = (rows.get(name, -1) for name in self.query_ids)
        own = [
            -1 if judged.get(row, 0) > 0 else row
            for row, judged in zip(found, self.judgements, strict=True)
        ]
        return np.array(own, dtype=np.int64)

    def split(self, held_out: int, seed: int) -> tuple[retrieval.Indices, retrieval.Indices]:
        """Return rows of documents to fit on, and of at most `held_out` queries to evaluate.

        Queries are drawn at random; the documents answer none of them. Both are sorted. Raises
        ValueError if `held_out` is not positive, or leaves no document to fit on.
        """
        require(held_out > 0, f"held_out is {held_out}; expected at least 1 query to evaluate")
        order = np.random.default_rng(seed).permutation(len(self.queries))
        evaluated = np.sort(order[:held_out])
        answers = {row for j in evaluated for row, grade in self.judgements[j].items() if grade > 0}
        fitted = np.setdiff1d(np.arange(len(self.documents)), list(answers))
        found = f"held_out is {held_out}, and every document answers one of these queries"
        require(len(fitted) > 0, f"{found}; expected some to be left to fit on: evaluate fewer")
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
            raise FileNotFoundError(f"{path} is missing; a BEIR folder has {', '.join(FILES)}")
    documents, queries = map(_read_texts, paths[:2])
    rows = ({name: row for row, name in enumerate(texts)} for texts in (queries, documents))
    judged, _ = read_judgements(paths[2], *rows, all_known=True)
    asked = [(*query, judged[row]) for row, query in enumerate(queries.items()) if row in judged]
    return Collection(
        tuple(documents), tuple(documents.values()), *map(tuple, zip(*asked, strict=True))
    )


def _read_texts(path: Path) -> dict[str, str]:
    """Return text by identifier, in the order of lines."""
    texts: dict[str, str] = {}
    for place, line in _numbered(path):
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


def _numbered(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every line that is not blank, after its place: the file and the line's number."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}, line {number},"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(f"{place} is not UTF-8 (byte {error.start + 1})") from None
            if text.strip():
                yield place, text


class Judgements(NamedTuple):
    """Grades by row of the query, if something is relevant to it, and then by row of the document.

    `unknown` is how many judgements are of what is not there.
    """

    grades: dict[int, dict[int, int]]
    unknown: int


def read_judgements(
    path: Path, queries: Mapping[str, int], documents: Mapping[str, int], *, all_known: bool = False
) -> Judgements:
    """Read ``query-id  document-id  score``, or trec_eval's ``query-id  0  document-id  score``.

    The file is text in UTF-8, columns separated by tabs or spaces. A heading that ends in ``score``
    may come first; blank lines, and those that begin with ``#`` and judge nothing, are passed over.
    A judgement may be repeated, not contradicted. `queries` and `documents` are rows by id;
    `all_known` says whether an id that is not among them is an error.

    Raises OSError or ValueError if the file cannot be read or is a pipe, a line is wrong (the
    message names it), or no query has a relevant document among those known.
    """
    check_regular(path)
    grades: dict[int, dict[int, int]] = {}
    unknown = 0
    for place, text in _numbered(path):
        fields = [field.strip() for field in text.split("\t" if "\t" in text else None)]
        heading = fields[-1].lower() == "score" and place.endswith(" line 1,")
        if heading or (text.startswith("#") and not _is_whole(fields[-1])):
            continue
        found = f"{place} has {len(fields)} columns"
        message = f"{found}; expected query, document and score, or trec_eval's four"
        require(len(fields) in (3, 4), message)
        query, *_, document, score = fields
        require(_is_whole(score), f"{place} has the score {score!r}; expected a whole number last")
        for kind, name, known in (("query", query, queries), ("document", document, documents)):
            message = f"{place} judges the {kind} {name!r}, which is not there"
            require(not all_known or name in known, message)
        if query not in queries or document not in documents:
            unknown += 1
            continue
        grade = int(float(score))
        given = grades.setdefault(queries[query], {}).setdefault(documents[document], grade)
        message = f"{place} gives {document!r} the grade {grade} for {query!r}, and an earlier line"
        require(given == grade, f"{message} {given}; expected one grade: drop the other")
    relevant = {query: judged for query, judged in grades.items() if max(judged.values()) > 0}
    ids = ", ".join(repr(next(iter(names), "")) for names in (queries, documents))
    rule = f"expected ids (of queries and documents the first are {ids}), or row numbers from 0"
    require(bool(relevant), f"{path} calls no document relevant for any query there is; {rule}")
    return Judgements(relevant, unknown)


def _is_whole(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.0*)?", text) is not None


def evaluate(collection: Collection, queries: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """Grade a search with trec_eval's own code, a query's own document left out as in BEIR.

    `queries`, shape (q,), says which were searched for; `found`, shape (q, k), has rows of
    documents, best first: their order is all that counts. Returns one column for each of `METRICS`,
    shape (q, 3); the reciprocal rank is 0 beyond the first k. Raises ValueError if `found` has not
    one row per query. Pytrec_eval: Van Gysel and de Rijke (2018), doi:10.1145/3209978.3210065.
    """
    from pytrec_eval import RelevanceEvaluator

    asked, rows = np.asarray(queries), np.asarray(found)
    shapes = f"found has shape {rows.shape}, queries have shape {asked.shape}"
    fits = rows.ndim == 2 and asked.shape == rows.shape[:1]
    require(fits, f"{shapes}; expected one row of documents for each query")
    judged = {str(j): {str(row): g for row, g in collection.judgements[j].items()} for j in asked}
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
    return np.stack([retrieval.gains(rank), (rank <= 100).astype(float), 1 / rank], axis=1)


def at_chance(found: ArrayLike, grades: Sequence[Mapping[int, int]], *, seed: int = 0) -> bool:
    """Tell whether results would be as good if every query had another one's.

    Then they do not belong together: the queries are in another order, by another model, or of
    another corpus. It is so if in more than 1 of 100 permutations of the queries as many relevant
    documents are found: by that test of independence nothing is related. `found` has rows of
    documents, shape (q, k); `grades`, for each query, the grade of each judged document by its row.
    """
    rows, rng = np.asarray(found).tolist(), np.random.default_rng(seed)
    relevant = [{row for row, grade in judged.items() if grade > 0} for judged in grades]

    def hits(order: retrieval.Indices) -> int:
        pairs = zip(relevant, order, strict=True)
        return sum(len(answers.intersection(rows[i])) for answers, i in pairs)

    observed = hits(np.arange(len(rows)))
    return any(hits(rng.permutation(len(rows))) >= observed for _ in range(99))
