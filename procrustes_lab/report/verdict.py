"""Must everything be embedded again? From a few numbers, measured on two files, to one decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

import numpy as np

Interval = tuple[float, float]

# Argued on four networks on SciFact (12 upgrades, 693 queries), where 95 % intervals of nDCG@10
# reach a fortieth to a twentieth of the score to either side: so many queries cannot tell a
# twentieth from nothing, and an interval that reaches a tenth below is one of too few.
KEPT = 0.95  # share of what the new model can do from which an alignment counts as all of it
RISK = 0.1  # share of the old system's score that the lower end of an interval may be below it

HALF = 0.5  # share of unseen objects that have to find their own old vector, without queries
FEWEST = 20  # queries from which search decides: a bootstrap interval of fewer is much too short
CHANCE = 0.01  # p of the permutation test up to which a pairing says something (notebook 07)

_ALIGN = "Fit the map once (procrustes-lab fit), send every new query through it, and"


class Decision(StrEnum):
    """What to do, the least work first; and the advice to whoever runs the system."""

    advice: str

    def __new__(cls, title: str, advice: str) -> Self:
        """Make a string of the title."""
        decision = str.__new__(cls, title)
        decision._value_, decision.advice = title, advice
        return decision

    LEAVE = (
        "Leave things alone",
        "Stay with the old model and its index, as long as there is an old model.",
    )
    OPTIONAL = (
        "Aligning is optional",
        "Align if the old model has to go: searches stay as good as they are. It is no reason to "
        "act by itself; what there is to be gained comes with an index of the new model.",
    )
    KEEP = (
        "Align and keep the index",
        f"{_ALIGN} go on searching the old index. No document has to be embedded again.",
    )
    LATER = (
        "Align now, re-embed later",
        f"{_ALIGN} search the old index today; embed the documents with the new model when there "
        "is time.",
    )
    RE_SCORE = (
        "Search as before, re-score with the new model",
        "Let old queries search the old index, and order its first answers by the new model: its "
        "vectors of those documents, made when first asked for and kept. No map is needed; the old "
        "model still is, for the queries.",
    )
    RE_EMBED = (
        "Re-embed",
        "Embed all documents with the new model before its queries go into service. Until then, "
        "stay with the old model and its index.",
    )
    MIXED = (
        "Two models share a file",
        "Embed the rows that the diagnosis names with the model of the rest, or leave them out, "
        "and ask again.",
    )
    UNPAIRED = (
        "These rows are not paired",
        "Give both files the same ids for the same objects, or bring them into the same order, "
        "and ask again.",
    )

    @property
    def code(self) -> str:
        """One word for programs: ``procrustes-lab report --fail-on re-embed,unpaired``."""
        return self.name.lower().replace("_", "-")


class Verdict(NamedTuple):
    """A decision, the reason in one sentence, and what kind of evidence it rests on."""

    decision: Decision
    reason: str
    basis: str


class Rescored(NamedTuple):
    """The old index's first k answers, ordered by the new model's vectors of those documents."""

    k: int
    score: float
    gain: Interval  # of the difference to old queries over the old index, 95 %
    vectors: int  # documents that were, all queries together: each is embedded once and kept


@dataclass(frozen=True)
class Search:
    """Mean scores of the same queries three ways, and 95 % intervals of their differences."""

    old: float  # old queries over the old index: what there is today
    aligned: float  # new queries, aligned, over the old index
    new: float  # new queries over the new index: what embedding everything again would give
    gain: Interval  # of aligned − old
    promise: Interval  # of new − old
    judged: bool  # by people; if not, the new model said what is relevant
    queries: int
    rescored: tuple[Rescored, ...] = ()  # what needs no map

    @property
    def kept(self) -> float:
        """Share of the new model's score that is left after aligning, called k below."""
        return self.aligned / self.new if self.new > 0 else 0.0

    @property
    def needed(self) -> float:
        """How many times as good as the old model the new one must be, to break even: 1/k."""
        return 1 / self.kept if self.kept > 0 else np.inf

    @property
    def better(self) -> float:
        """How many times as good as the old model the new one is."""
        return self.new / self.old if self.old > 0 else np.inf


@dataclass(frozen=True)
class Evidence:
    """What the verdict follows from; sentences are empty, and numbers 0, where nothing is found."""

    pairs: int
    by_id: bool  # whether rows were joined by identifier
    p: float  # of the permutation test: share of random pairings that align as well
    mispaired: float  # share of rows that look paired at random
    shifted: str  # what diagnosis says of rows that belong to a row further on
    mixed: str  # and of rows of two models in one file
    needed: int  # pairs without which a map learns only by heart; 0 if there are enough
    same_vectors: bool  # whether both files hold them, up to a turn, in some order
    featureless: str  # the side, or sides, whose vectors look like noise, if that was asked
    found: float  # share of held-out new vectors that, aligned, find their own old vector first
    overlap: float  # share of the new model's ten neighbours that they find in the old index
    native: float  # the same share for the old model by itself, without any map
    ahead: Interval  # of overlap − native, 95 %
    search: Search | None = None


def decide(evidence: Evidence) -> Verdict:
    """Return what to do about two embedding files, and why.

    Whether the rows belong together comes first: nothing else means anything before that. Then
    measured search decides, where there are queries; else what is kept of the neighbourhoods.
    """
    e, at_random = evidence, evidence.p > CHANCE
    as_well = f"Rows paired at random align as well as these (p = {e.p:.2f})"
    decision = Decision.UNPAIRED
    if e.shifted:
        reason = e.shifted
    elif at_random and e.same_vectors:
        reason = (
            f"{as_well}, yet both files hold the same vectors up to a turn: one of them is in "
            "another order."
        )
    elif at_random and not (e.by_id or e.featureless):
        reason = (
            f"{as_well}: row by row, one file says nothing about the other, so one of them is in "
            "another order or of other objects."
        )
    # A strong pair of which a part was shuffled, or a weak pair whose right rows look random?
    elif not at_random and e.mispaired > HALF and e.found > HALF * (1 - e.mispaired):
        reason = (
            f"About {e.mispaired:.0%} of the rows have a partner that is no nearer than a random "
            "row, while most of the others find theirs at once: the files agree on a part of their "
            "rows only."
        )
    elif e.mixed:
        return Verdict(Decision.MIXED, e.mixed, "a map for each kind of rows")
    elif at_random:
        decision = Decision.RE_EMBED
        what = "the rows were joined by identifier, so the models have nothing in common"
        if e.featureless:
            what = f"the {e.featureless} vectors cannot be told from noise"
        reason = f"{as_well}, and {what}: there is nothing that a map could carry over."
    elif e.search and e.search.queries >= FEWEST:
        return _by_search(e.search)
    else:
        return _by_neighbours(e)
    return Verdict(decision, reason, "pairing tests")


def _by_search(search: Search) -> Verdict:
    old, aligned, (low, high) = search.old, search.aligned, search.gain
    basis = f"measured search, {search.queries:,} queries"
    if not search.judged:
        basis = (
            f"search as the new model judges it, {search.queries:,} queries: whether it is the "
            "better one, only judgements by people can tell"
        )
    change = f"{aligned - old:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
    over = f"new queries over the old index score {aligned:.3f}"
    scores = f"After aligning, {over} where old ones score {old:.3f}"
    new, again = f"{search.new:.3f}", ""
    better = [one for one in search.rescored if one.gain[0] > 0]
    if best := max(better, key=lambda one: one.score, default=None):
        again = (
            f"Re-scoring the first {best.k} answers of the old index by the new model's vectors "
            f"gives {best.score:.3f}, without any map."
        )
    if high < 0 or low < -RISK * old:
        changed = f"{scores} ({change})"
        if high >= 0:
            changed = f"After aligning, the change may be a loss of more than a tenth ({change})"
        if best:
            decision, reason = Decision.RE_SCORE, f"{again} {changed}."
        elif search.promise[0] > 0:
            decision = Decision.RE_EMBED
            reason = f"{changed}, and only the new model's own index gives its {new}."
        else:
            decision = Decision.LEAVE
            reason = (
                f"{changed}, and with an index of its own the new model is not shown to be better "
                f"either ({new})."
            )
    elif search.kept >= KEPT:
        decision = Decision.KEEP
        reason = f"{scores}, and to embed everything again would give {new}: next to nothing more."
    elif low <= 0:
        decision = Decision.RE_SCORE if best else Decision.OPTIONAL
        reason = (
            f"{again} {scores} ({change}), which is no call to act: aligning is optional, and "
            f"embedding everything again gives {new}."
        ).lstrip()
    else:
        decision = Decision.LATER
        reason = f"{scores} ({change}), better already; embedding everything again gives {new}."
        if best and best.score > aligned:
            reason += f" {again}"
    return Verdict(decision, reason, basis)


def _by_neighbours(e: Evidence) -> Verdict:
    decision, so = Decision.RE_EMBED, "More is lost than kept."
    if min(e.found, e.overlap) >= KEPT:
        decision, so = Decision.KEEP, "Nearly all of it is kept."
    elif e.needed:
        so = (
            f"But {e.pairs:,} pairs are too few to learn a map or to judge one: bring "
            f"{e.needed:,}, or embed again."
        )
    elif e.found >= HALF and e.ahead[0] >= -RISK * e.native:
        decision = Decision.LATER
        so = (
            "Aligned queries see what the new model sees at least as well as the old model does; "
            "how much that is worth to your users only queries can tell."
        )
    reason = (
        f"After aligning, {e.found:.0%} of unseen new vectors find their own old vector first, and "
        f"the old index returns {e.overlap:.0%} of the neighbours the new model sees; the old "
        f"model by itself, {e.native:.0%}. {so}"
    )
    queries = f"fewer than {FEWEST} queries" if e.search else "no queries"
    return Verdict(decision, reason, f"neighbours of documents, with {queries}: weaker evidence")
