"""Relevance judgements: which documents answer which queries, as BEIR and trec_eval write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.archive import check_regular
from procrustes_lab.core.validate import require

Rows = NDArray[np.int64]
Grades = Mapping[int, Mapping[int, int]]
"""For the row of each judged query, the grade of each judged document by its row."""


class Judgements(NamedTuple):
    """`Grades` of queries that have a relevant document; and how many judgements are of others."""

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
    for place, text in numbered_lines(path):
        fields = [field.strip() for field in text.split("\t" if "\t" in text else None)]
        if fields[-1].lower() == "score" and place.endswith(" line 1,"):
            continue
        if text.startswith("#") and not _is_whole(fields[-1]):
            continue
        message = (
            f"{place} has {len(fields)} columns; expected query, document and score, or the four "
            "columns of trec_eval"
        )
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
        message = (
            f"{place} gives {document!r} the grade {grade} for {query!r}, and an earlier line "
            f"{given}; expected one grade: drop the other"
        )
        require(given == grade, message)
    relevant = {query: judged for query, judged in grades.items() if max(judged.values()) > 0}
    ids = ", ".join(repr(next(iter(names), "")) for names in (queries, documents))
    message = (
        f"{path} calls no document relevant for any query that is there; expected the ids of "
        f"queries and documents (which begin with {ids}), or row numbers from 0 without ids"
    )
    require(bool(relevant), message)
    return Judgements(relevant, unknown)


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except ValueError:
        return False


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
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


def own_documents(queries: Sequence[str], documents: Sequence[str], grades: Grades) -> Rows:
    """Return the row of the document that each query is itself by its id, -1 where there is none.

    In some collections (ArguAna, Quora) queries are documents, by the same id. Such a query finds
    itself first, which BEIR does not count; but where a document of the same id is relevant, as a
    summary's own text is, ids are those of pairs and it is an answer. An empty id is none.
    """
    rows = {name: row for row, name in enumerate(documents) if name}
    own = np.array([rows.get(name, -1) for name in queries], dtype=np.int64)
    answers = [grades.get(query, {}).get(int(row), 0) > 0 for query, row in enumerate(own)]
    own[np.array(answers, dtype=bool)] = -1
    return own


def at_chance(found: ArrayLike, grades: Sequence[Mapping[int, int]], *, seed: int = 0) -> bool:
    """Tell whether results would be as good if every query had another one's.

    Then they do not belong together: the queries are in another order, by another model, or of
    another corpus. It is so if in more than 1 of 100 permutations of the queries as many relevant
    documents are found: by that test of independence nothing is related. `found` has rows of
    documents, shape (q, k); `grades`, for each query, the grade of each judged document by its row.
    """
    rows, rng = np.asarray(found).tolist(), np.random.default_rng(seed)
    relevant = [{row for row, grade in judged.items() if grade > 0} for judged in grades]

    def hits(order: Rows) -> int:
        pairs = zip(relevant, order, strict=True)
        return sum(len(answers.intersection(rows[i])) for answers, i in pairs)

    observed = hits(np.arange(len(rows)))
    return any(hits(rng.permutation(len(rows))) >= observed for _ in range(99))
