"""The study of two files: what chooses the map, what grades it, and all that is measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from procrustes_lab.core.alignment import align
from procrustes_lab.core.certificate import Certificate, certify
from procrustes_lab.core.moments import Moments
from procrustes_lab.core.polar import svd
from procrustes_lab.core.sampling import empirical_bernstein
from procrustes_lab.core.sums import Matrix
from procrustes_lab.core.validate import require
from procrustes_lab.files.pairs import Pairs
from procrustes_lab.search.choose import Trial
from procrustes_lab.search.maps import MAPS, Fitted, Spectra, unit_rows
from procrustes_lab.search.retrieval import Indices, bootstrap_interval, ranks

from .asked import Answers, ask, read_questions
from .diagnosis import Diagnosis, diagnose
from .verdict import CHANCE, Evidence, Verdict, decide

FEWEST_PAIRS = 20
DIAGNOSED = 10_000  # pairs that are looked at for the diagnosis, at most: runs of successive ones
NATIVE = "(old model by itself)"

COMPETING = (
    *("turn", "centred"),
    *(f"whitened {beta:g}" for beta in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)),
    *(f"target whitened {beta:g}" for beta in (0.1, 0.2, 0.3, 0.5)),
    *(f"centred, whitened {beta:g}" for beta in (0.1, 0.2)),
    *("least squares", "ridge on documents"),
)
"""Maps of `procrustes_lab.search.maps` that a report tries: those of `choose`, in coarser steps."""

# Share of what two halves of one file differ by, below which two files' spectra are those of the
# same vectors. Among independent samples of one distribution it is near 1.
COPIES = 0.1

# Part of the way from noise to 1 that neighbours come closer in any embedding of real objects: 0.3
# to 0.7 of it in MiniLM, word counts and images of digits, at most 0.08 in random numbers.
CROWDED = 0.1


@dataclass(frozen=True)
class Study:
    """All that was measured. Maps are known by name, and are fitted on all that is not held out.

    For each held-out object, `first` says whether a map finds its own, and `shared` the share of
    the new model's ten neighbours that it finds; that has the old model by itself too.
    """

    pairs: Pairs
    certificate: Certificate
    diagnosis: Diagnosis
    diagnosed: Indices  # pairs that it looked at
    chosen_by: dict[str, float]  # score of each map on the pairs that choose, as `choose` has it
    by_pairs: str  # the best map by that
    chosen: str  # the map that the verdict rests on: that one, or the best by judged queries
    counts: dict[str, int]  # of pairs; spared are those that answer queries
    distance: tuple[float, float, float]  # mean squared, of turned held-out vectors; interval
    first: dict[str, NDArray[np.bool_]]
    shared: dict[str, Matrix]
    answers: Answers | None
    evidence: Evidence
    verdict: Verdict
    seed: int


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
    """Measure the pairs of two files, with files of queries by the old and the new model; decide.

    No map sees `held_out` pairs, and as many others choose one; a fifth and a tenth of all at most.
    Neighbours are looked for among these and `sample` further objects. At most `judged` queries are
    asked, among at most `index` documents. Raises ValueError or FileError, one sentence, if the
    files cannot be studied, as fewer than 20 pairs.
    """
    rng = np.random.default_rng([seed, 1])  # not the stream that drew anybody's queries
    n = pairs.n
    common = f"{pairs.new.path} and {pairs.old.path} have {n} objects in common"
    require(n >= FEWEST_PAIRS, f"{common}; expected at least {FEWEST_PAIRS} to judge by")
    sizes = min(held_out, n // 5), min(held_out, n // 10)
    held, choosing, others = map(np.sort, np.split(rng.permutation(n), np.cumsum(sizes)))
    apart = np.concatenate([held, choosing])
    among = np.sort(np.concatenate([apart, rng.permutation(others)[:sample]]))
    questions = read_questions(queries, qrels, pairs, judged, index, seed) if queries else None
    answers = questions.answers if questions else np.array([], dtype=np.int64)
    spared = rng.permutation(np.setdiff1d(answers, apart))[: n // 4]
    # What answers a query may choose no map either, unless nothing else is left.
    chooses = np.setdiff1d(choosing, answers)
    chooses = chooses if len(chooses) else choosing
    unseen = np.setdiff1d(np.concatenate([apart, spared]), chooses)
    gathered = gather(pairs, chooses, unseen)
    pairs.reject_zeros(*(longest > 0 for longest in gathered.longest))

    X, Y = (np.asarray(rows, float) for rows in pairs.take(among))
    trial, grading = (Trial(X, Y, np.searchsorted(among, rows)) for rows in (chooses, held))
    tried, maps = fit_maps(gathered.tried), fit_maps(gathered.fitted)
    chosen_by = {name: float(trial.run(fitted).score()) for name, fitted in tried.items()}
    by_pairs = max(chosen_by, key=lambda name: chosen_by[name])
    answered = ask(questions, maps, by_pairs, seed) if questions else None
    chosen = answered.chosen if answered else by_pairs

    own = grading.asked
    left = align(gathered.fitted).apply(X[own]) - Y[own]
    distances, farthest = np.vecdot(left, left), sum(gathered.longest) ** 2
    ends = empirical_bernstein(distances.clip(0, farthest), low=0, high=farthest)
    directions = unit_rows(Y).astype(np.float32)  # or a longer vector would outbid its own
    first = {name: ranks(f.query(X[own]), directions, own) == 1 for name, f in maps.items()}
    shared = {name: grading.run(f).neighbours for name, f in maps.items()}
    shared[NATIVE] = grading.by_target().neighbours

    diagnosed = np.arange(n)
    if n > DIAGNOSED:  # successive rows, as a shift shows between neighbours only
        starts = 200 * np.sort(rng.permutation(n // 200)[: DIAGNOSED // 200])
        diagnosed = (starts[:, np.newaxis] + np.arange(200)).ravel()
    diagnosis = diagnose(*pairs.take(diagnosed), seed=seed)

    told = {finding.kind: sides_named(finding.sentence) for finding in diagnosis}
    numbers = {finding.kind: finding.evidence for finding in diagnosis}
    mispaired = numbers.get("mispaired rows", {})
    p, needed = mispaired.get("p", 0.0), numbers.get("too few pairs", {}).get("needed", 0)
    noise = []
    if p > CHANCE and not needed:
        sides = {"new": X, "old": Y}
        noise = [side for side, rows in sides.items() if is_featureless(rows[:2000], rng)]
    evidence = Evidence(
        pairs=n,
        by_id=pairs.by == "id",
        p=p,
        mispaired=mispaired.get("share", 0.0),
        shifted=told.get("shifted rows", ""),
        mixed=told.get("two models", ""),
        needed=round(needed),
        same_vectors=same_vectors(gathered),
        featureless=" and ".join(noise),
        found=float(first[chosen].mean()),
        overlap=float(shared[chosen].mean()),
        native=float(shared[NATIVE].mean()),
        ahead=bootstrap_interval(shared[chosen] - shared[NATIVE], seed),
        search=answered.outcome if answered else None,
    )
    counted = {"choosing": chooses, "held out": held, "spared": spared, "among": among}
    counts = {"fitted on": gathered.fitted.n, **{name: len(rows) for name, rows in counted.items()}}
    counts["answers seen"] = len(np.setdiff1d(answers, unseen))
    return Study(
        pairs=pairs,
        certificate=certify(gathered.everything),
        diagnosis=diagnosis,
        diagnosed=diagnosed,
        chosen_by=chosen_by,
        by_pairs=by_pairs,
        chosen=chosen,
        counts=counts,
        distance=(float(distances.mean()), *ends),
        first=first,
        shared=shared,
        answers=answered,
        evidence=evidence,
        verdict=decide(evidence),
        seed=seed,
    )


def sides_named(sentence: str) -> str:
    """Say "new" and "old" where diagnosis says X and Y."""
    for name, side in ((r"X( \(source\))?", "new"), (r"Y( \(target\))?", "old")):
        sentence = re.sub(rf"of {name}(?=[ .,:])", f"of the {side} file", sentence)
        sentence = re.sub(f"{name}:", f"The {side} file:", sentence)
    return sentence


class Gathered(NamedTuple):
    """Moments of the rows of both files, in one pass, and the longest new and old length."""

    halves: list[Moments]  # every second row of those tried
    tried: Moments  # rows that the maps to choose from are fitted on
    fitted: Moments  # those that choose a map, too: all that are not held out
    everything: Moments
    longest: list[float]


def gather(pairs: Pairs, choosing: Indices, held_out: Indices) -> Gathered:
    """Read all pairs once, block by block; there is a row of each kind, and two of the rest."""
    kind = np.zeros(pairs.n, dtype=np.int8)
    kind[choosing], kind[held_out] = 2, 3
    kind[np.flatnonzero(kind == 0)[1::2]] = 1
    parts: list[Any] = [0] * 4  # to which moments can be added
    longest, start = np.zeros(2), 0
    for x, y in pairs.batches():
        kinds = kind[start : start + len(x)]
        for k in np.unique(kinds):
            parts[k] += Moments.from_arrays(x[kinds == k], y[kinds == k])
        squares = [np.vecdot(z, z, dtype=np.float64).max() for z in (x, y)]
        longest = np.maximum(longest, np.sqrt(squares))
        start += len(x)
    even, odd, chooses, unseen = parts
    tried = even + odd
    fitted = tried + chooses
    return Gathered([even, odd], tried, fitted, fitted + unseen, longest.tolist())


def fit_maps(moments: Moments) -> dict[str, Fitted]:
    """Fit what competes to carry new queries into the old index, by name; the simplest first."""
    spectra = Spectra.of(moments)
    return {name: MAPS[name](spectra) for name in COMPETING}


def same_vectors(gathered: Gathered) -> bool:
    """Tell whether both sides are the same vectors up to a turn, whatever the order of the rows.

    Then their covariances have one spectrum. Of two samples of one distribution the spectra differ
    by chance, and by how much is seen from two halves of a file.
    """
    files = [(m.source_scatter, m.target_scatter) for m in (gathered.everything, *gathered.halves)]
    between = _spectral_distance(*files[0])
    within = min(map(_spectral_distance, *files[1:]))
    # Spectra of the same numbers, read in another order, differ by rounding.
    return between <= max(COPIES * within, 1e-14)


def _spectral_distance(a: Matrix, b: Matrix) -> float:
    """1 − Σ σ_i τ_i / (‖σ‖ ‖τ‖): the least relative error in any order (von Neumann, 1937)."""
    size = max(len(a), len(b))
    roots = [np.sqrt(np.maximum(np.linalg.eigvalsh(m)[::-1], 0.0)) for m in (a, b)]
    s, t = (np.pad(root, (0, size - len(root))) for root in roots)
    norm = float(np.linalg.norm(s) * np.linalg.norm(t))
    return 1 - float(s @ t) / norm if norm else 0.0


def is_featureless(rows: ArrayLike, rng: np.random.Generator) -> bool:
    """Tell whether rows have hardly closer neighbours than normal noise of the same covariance.

    Embeddings of real objects crowd: some are about the same thing. Measured is the mean cosine
    with the nearest other row, after centring and in the leading 64 directions, and how much of the
    way from noise to 1 it has come. Two thousand rows are plenty.
    """
    x = np.asarray(rows, float)
    x = x - x.mean(axis=0)
    _, s, directions = svd(x)
    leading, spread = x @ directions[:64].T, s[:64] / np.sqrt(len(x))
    noise = np.mean([_crowding(rng.standard_normal(leading.shape) * spread) for _ in range(3)])
    return bool(_crowding(leading) - noise < CROWDED * (1 - noise))


def _crowding(x: Matrix) -> float:
    unit = unit_rows(x).astype(np.float32)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(axis=1).mean())
