"""The study of two files: what chooses the map, what grades it, and all that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from procrustes_lab import files
from procrustes_lab.core.alignment import align
from procrustes_lab.core.certificate import Certificate, certify
from procrustes_lab.core.learning import empirical_bernstein
from procrustes_lab.core.sums import Matrix
from procrustes_lab.files.columns import wanted_of
from procrustes_lab.files.pairs import Pairs
from procrustes_lab.search.retrieval import bootstrap_interval, ranks
from procrustes_lab.search.spectra import Fitted
from procrustes_lab.search.trial import Trial

from . import evidence as e
from .asked import Answers, Questions, ask, read_questions
from .diagnosis import Diagnosis, diagnose
from .verdict import CHANCE, Evidence, Interval, Verdict, decide

Indices = NDArray[np.int64]

FEWEST_PAIRS = 20

DIAGNOSED = 10_000
"""Pairs that are looked at for the diagnosis, at most: runs of successive ones."""


def read(
    old: str,
    new: str,
    id_names: Sequence[str] = (),
    vector_names: Sequence[str] = (),
    by: files.By = "auto",
) -> Pairs:
    """Join the files of both models; for names and `by` see `files.columns.wanted_of`.

    Raises
    ------
    ValueError
        If fewer than 20 objects are in both, or if no report can be made of them.
    """
    of_old, of_new = wanted_of(id_names, vector_names, by)
    pairs = files.join(files.read(new, wanted=of_new), files.read(old, wanted=of_old), by)
    if pairs.n < FEWEST_PAIRS:
        raise ValueError(
            f"{new} and {old} have {pairs.n} objects in common; expected at least {FEWEST_PAIRS} "
            "to judge by"
        )
    return pairs


@dataclass(frozen=True)
class Study:
    """All that was measured.

    Attributes
    ----------
    pairs : Pairs
    certificate : Certificate
    diagnosis : Diagnosis
    diagnosed : ndarray of int
        Pairs that it looked at.
    maps : dict of fitted maps
        Fitted on all pairs that are not held out.
    chosen_by : dict of float
        For each, its score on the pairs that choose, as `choose` has it.
    chosen : str
        Name of the map that the verdict rests on: the best by that, or by judged queries.
    counts : dict of int
        Pairs fitted on, choosing, held out, spared (for they answer queries), and among which
        neighbours were looked for.
    distances : ndarray, and their interval
        Squared, between held-out vectors that were turned and their partners.
    first, shared : dict of ndarray
        For each map and held-out object: whether it finds its own; the share of the new model's
        ten neighbours that it finds. `shared` has the old model by itself too.
    questions, answers
        None without queries.
    evidence : Evidence
    verdict : Verdict
    seed : int
    """

    pairs: Pairs
    certificate: Certificate
    diagnosis: Diagnosis
    diagnosed: Indices
    maps: dict[str, Fitted]
    chosen_by: dict[str, float]
    chosen: str
    counts: dict[str, int]
    distances: Matrix
    distance_interval: Interval
    first: dict[str, NDArray[np.bool_]]
    shared: dict[str, Matrix]
    questions: Questions | None
    answers: Answers | None
    evidence: Evidence
    verdict: Verdict
    seed: int

    def interval(self, values: Matrix) -> Interval:
        """Return the 95 % bootstrap interval of a mean."""
        return bootstrap_interval(values, np.random.default_rng(self.seed))


NATIVE = "(old model by itself)"


def study(
    pairs: Pairs,
    queries: tuple[str, str] | None = None,
    qrels: str = "",
    *,
    held_out: int,
    sample: int,
    judged: int,
    index: int,
    seed: int,
) -> Study:
    """Measure two files of vectors, and decide.

    Parameters
    ----------
    pairs : Pairs
        From `read`.
    queries : (str, str), optional
        Files of query vectors by the old and by the new model.
    qrels : str
        File of judgements, or nothing.
    held_out : int
        Pairs that no map sees, and as many others that choose one; a fifth and a tenth at most.
    sample : int
        Objects among which neighbours are looked for.
    judged, index : int
        Queries, and documents to search for them, at most.
    seed : int

    Raises
    ------
    ValueError, FileError
        If the files cannot be studied: one sentence.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that drew anybody's queries
    n = pairs.n
    order = rng.permutation(n)
    first_of = min(held_out, n // 5)
    held = np.sort(order[:first_of])
    choosing = np.sort(order[first_of : first_of + min(held_out, n // 10)])
    others = np.setdiff1d(np.arange(n), np.union1d(held, choosing))
    among = np.sort(np.concatenate([held, choosing, rng.permutation(others)[:sample]]))
    questions = None
    if queries:
        limits = {"most": judged, "index": index, "seed": seed}
        questions = read_questions(queries, qrels, pairs, **limits)
    answers = questions.answers if questions else np.array([], dtype=np.int64)
    spared = rng.permutation(np.setdiff1d(answers, np.union1d(held, choosing)))[: n // 4]
    # What answers a query may choose no map either.
    chooses = np.setdiff1d(choosing, answers) if len(np.setdiff1d(choosing, answers)) else choosing
    unseen = np.union1d(np.union1d(held, np.setdiff1d(choosing, chooses)), spared).astype(np.int64)
    gathered = e.gather(pairs, chooses, unseen)
    for side, longest in zip((pairs.new, pairs.old), gathered.longest, strict=True):
        if not longest:
            raise ValueError(
                f"{side.path} has nothing but zeros in the rows that are paired: export it again"
            )
    X, Y = (np.asarray(rows, float) for rows in pairs.take(among))
    lengths = np.linalg.norm(Y, axis=1, keepdims=True)
    directions = Y / np.where(lengths > 0, lengths, 1.0)  # or a longer vector would outbid its own

    def place(rows: Indices) -> Indices:
        return np.searchsorted(among, rows).astype(np.int64)

    trial = Trial(X, Y, place(chooses))
    tried = e.fit_maps(gathered.tried)
    chosen_by = {name: float(trial.run(fitted).score()) for name, fitted in tried.items()}
    chosen = max(chosen_by, key=lambda name: chosen_by[name])
    maps = e.fit_maps(gathered.fitted)
    answered = ask(questions, maps, chosen, seed) if questions else None
    if answered:
        chosen = answered.chosen

    own = place(held)
    x, y = X[own], Y[own]
    turned = align(gathered.fitted).apply(x)
    distances = np.vecdot(turned - y, turned - y)
    farthest = sum(gathered.longest) ** 2
    by_new = e.neighbours(x, X, own)
    shared = {NATIVE: e.overlaps(e.neighbours(y, Y, own), by_new)}
    first = {}
    for name, fitted in maps.items():
        moved = fitted.query(x)
        first[name] = ranks(moved, directions, own) == 1
        shared[name] = e.overlaps(e.neighbours(moved, Y, own), by_new)

    diagnosed = np.arange(n)
    if n > DIAGNOSED:  # successive rows, as a shift shows between neighbours only
        starts = 200 * np.sort(rng.permutation(n // 200)[: DIAGNOSED // 200])
        diagnosed = (starts[:, np.newaxis] + np.arange(200)).ravel()
    diagnosis = diagnose(*pairs.take(diagnosed), seed=seed)

    found = {finding.kind: finding for finding in diagnosis}
    kinds = ("mispaired rows", "shifted rows", "two models", "too few pairs")
    mispaired, shifted, mixed, few = map(found.get, kinds)
    p = mispaired.evidence.get("p", 0.0) if mispaired else 0.0
    noise = ""
    if p > CHANCE and not few:
        sides = {"new": X, "old": Y}
        noise = " and ".join(s for s, rows in sides.items() if e.is_featureless(rows[:2000], rng))
    ahead = shared[chosen] - shared[NATIVE]
    evidence = Evidence(
        pairs=n,
        by_id=pairs.by == "id",
        p=p,
        mispaired=mispaired.evidence["share"] if mispaired else 0.0,
        shifted=sides_named(shifted.sentence) if shifted else "",
        mixed=sides_named(mixed.sentence) if mixed else "",
        needed=round(few.evidence["needed"]) if few else 0,
        same_vectors=e.same_vectors(gathered),
        featureless=noise,
        found=float(first[chosen].mean()),
        overlap=float(shared[chosen].mean()),
        native=float(shared[NATIVE].mean()),
        ahead=bootstrap_interval(ahead, np.random.default_rng(seed)),
        map=chosen,
        search=answered.outcome if answered else None,
    )
    counts = {
        "fitted on": gathered.fitted.n,
        "choosing": len(chooses),
        "held out": len(held),
        "spared": len(spared),
        "answers seen": len(np.setdiff1d(answers, unseen)),
        "among": len(among),
    }
    return Study(
        pairs=pairs,
        certificate=certify(gathered.everything),
        diagnosis=diagnosis,
        diagnosed=diagnosed,
        maps=maps,
        chosen_by=chosen_by,
        chosen=chosen,
        counts=counts,
        distances=distances,
        distance_interval=empirical_bernstein(distances.clip(0, farthest), low=0, high=farthest),
        first=first,
        shared=shared,
        questions=questions,
        answers=answered,
        evidence=evidence,
        verdict=decide(evidence),
        seed=seed,
    )


def sides_named(sentence: str) -> str:
    """Say "new" and "old" where diagnosis says X and Y."""
    for letter, side in (("X (source)", "new"), ("Y (target)", "old"), ("X", "new"), ("Y", "old")):
        for mark in " .,":
            sentence = sentence.replace(f"of {letter}{mark}", f"of the {side} file{mark}")
        sentence = sentence.replace(f"{letter}:", f"The {side} file:")
    return sentence
