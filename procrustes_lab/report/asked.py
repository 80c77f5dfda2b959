"""What queries show: three systems, every map and re-scoring, graded query by query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from procrustes_lab import files
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import Embeddings, require
from procrustes_lab.data import beir
from procrustes_lab.data.beir import at_chance, read_judgements
from procrustes_lab.files.pairs import Pairs
from procrustes_lab.search.maps import Fitted
from procrustes_lab.search.migrate import rescore
from procrustes_lab.search.retrieval import Indices, bootstrap_interval, search

from .verdict import FEWEST, Interval, Rescored, Search

DEPTHS = (50, 200)  # how many answers of the old index are re-scored
OLD, NEW = "old queries, old index", "new queries, new index"
aligned = "new queries, {}, old index".format  # by the name of a map
again = "old queries, first {} re-scored by new".format  # by how many


@dataclass(frozen=True)
class Questions:
    """Queries by both models, the documents they are asked among, and what answers them."""

    collection: beir.Collection  # no texts: ids, as far as they say something, and judgements
    new: tuple[Matrix, Embeddings]  # vectors of queries and documents
    old: tuple[Matrix, Embeddings]
    answers: Indices  # pairs of the document files that answer a query
    judged: bool
    unknown: int  # judgements of what has no vectors
    available: int  # how many queries there were


def read_questions(
    paths: tuple[str, str], qrels: str, pairs: Pairs, most: int, index: int, seed: int
) -> Questions:
    """Read the files of queries by the old and the new model, and draw what is asked at random.

    At most `most` queries are asked, among at most `index` documents. Without qrels, the new
    model's own first answers count as right. Raises ValueError if queries are of other dimensions
    than documents, or the old ones find their answers no better than another's.
    """
    rng = np.random.default_rng([seed, 2])
    queries = files.read_pairs(*paths)
    for asked, there in ((queries.new, pairs.new), (queries.old, pairs.old)):
        d, other = asked.rows.shape[1], there.rows.shape[1]
        sizes = f"{asked.path} has {d} dimensions, {there.path} has {other}"
        require(d == other, f"{sizes}: expected queries and documents by the same model")
    names, ids = _names(queries), _names(pairs)
    grades: Mapping[int, Mapping[int, int]] = {}
    unknown = 0
    if qrels:
        places = [{name: i for i, name in enumerate(side)} for side in (names, ids)]
        grades, unknown = read_judgements(Path(qrels), *places)
    chosen = np.sort(rng.permutation(sorted(grades) or queries.n)[:most]).tolist()
    relevant = {row for j in chosen for row, mark in grades.get(j, {}).items() if mark > 0}
    answers = np.array(sorted(relevant), dtype=np.int64)
    others = rng.permutation(np.setdiff1d(np.arange(pairs.n), answers))
    corpus = np.union1d(answers, others[: max(0, index - len(answers))])
    asked_new, asked_old = (np.asarray(rows, float) for rows in queries.take(chosen))
    new, old = pairs.take(corpus)
    if qrels:
        place = {row: i for i, row in enumerate(corpus.tolist())}
        judged = [{place[r]: mark for r, mark in grades[j].items() if r in place} for j in chosen]
    else:
        first = search(asked_new, new, 1)[0][:, 0]
        judged = [{row: 1} for row in first.tolist()]
        answers = np.unique(corpus[first])
    if len(chosen) >= FEWEST and at_chance(search(asked_old, old, min(10, len(old)))[0], judged):
        found = f"the queries of {paths[0]} find their answers no better than any other would"
        doubt = "are they in the order of the new ones, and by the old model?"
        raise ValueError(f"{found}: {doubt} Give both files the same ids")
    # Only by id can a query be told to be a document itself.
    by_id = queries.by == pairs.by == "id"
    collection = beir.Collection(
        document_ids=tuple(ids[row] if by_id else "" for row in corpus),
        documents=("",) * len(corpus),
        query_ids=tuple(names[j] for j in chosen),
        queries=("",) * len(chosen),
        judgements=tuple(judged),
    )
    vectors = (asked_new, new), (asked_old, old)
    return Questions(collection, *vectors, answers, bool(qrels), unknown, queries.n)


def _names(pairs: Pairs) -> list[str]:
    """Return every pair's id by the new file, or its row there."""
    ids, rows = pairs.new.ids, pairs.new_rows
    own = np.arange(pairs.n) if rows is None else rows
    return [str(name) for name in (own if ids is None else ids[own])]


class Answers(NamedTuple):
    """Scores of every system on the queries that grade."""

    questions: Questions
    graded: dict[str, Matrix]  # shape (k, 3), by the system's name
    before: Matrix  # the first column, nDCG@10, of what there is today
    after: Matrix  # and of the new queries through the chosen map
    rows: Indices  # which queries grade: all, or those that did not choose
    chosen: str  # the map
    chose: int  # how many queries chose it; 0 if pairs did
    outcome: Search

    @property
    def worst(self) -> list[dict[str, Any]]:
        """The queries, ten at most, that lose most by aligning, with scores before and after."""
        names, before, after = self.questions.collection.query_ids, self.before, self.after
        most = np.argsort(after - before, kind="stable")[:10]
        return [
            {"query": names[self.rows[j]], "old": float(before[j]), "aligned": float(after[j])}
            for j in most
            if after[j] < before[j]
        ]


def ask(questions: Questions, maps: Mapping[str, Fitted], chosen: str, seed: int) -> Answers:
    """Grade old queries, every map, re-scoring and the new model alone.

    If people judged enough queries, a random half of them chooses the map and the other grades all;
    else it is the one that pairs chose. Maps are fitted without the documents that answer.
    """
    (new_queries, new), (old_queries, old) = questions.new, questions.old
    n = len(new_queries)
    grade = partial(beir.grade, questions.collection, np.arange(n))
    cut = np.eye(new.shape[1], old.shape[1])
    scores = {OLD: grade(old_queries, old), aligned("no map"): grade(new_queries @ cut, old)}
    scores |= {aligned(name): grade(f.query(new_queries), old) for name, f in maps.items()}
    found, _ = search(old_queries, old, min(max(DEPTHS), len(old)))
    tops = {k: found[:, :k] for k in DEPTHS if k < len(old)}
    for k, top in tops.items():
        ranked = rescore(top, new_queries, new).found
        scores[again(k)] = beir.evaluate(questions.collection, np.arange(n), ranked)
    scores[NEW] = grade(new_queries, new)

    chose = n // 2 if questions.judged and n >= 4 * FEWEST else 0
    order = np.random.default_rng([seed, 3]).permutation(n)
    choosing, rows = order[:chose], np.sort(order[chose:])
    if chose:
        chosen = max(maps, key=lambda name: float(scores[aligned(name)][choosing, 0].mean()))
    graded = {name: values[rows] for name, values in scores.items()}
    before, after = graded[OLD][:, 0], graded[aligned(chosen)][:, 0]

    def scored(name: str) -> tuple[float, Interval]:
        values = graded[name][:, 0]
        return float(values.mean()), bootstrap_interval(values - before, seed)

    (through, gain), (native, promise) = scored(aligned(chosen)), scored(NEW)
    outcome = Search(
        *(float(before.mean()), through, native, gain, promise),
        judged=questions.judged,
        queries=len(rows),
        rescored=tuple(
            Rescored(k, *scored(again(k)), len(np.unique(top[rows]))) for k, top in tops.items()
        ),
    )
    return Answers(questions, graded, before, after, rows, chosen, chose, outcome)
