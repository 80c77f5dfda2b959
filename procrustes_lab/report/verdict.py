"""Must everything be embedded again? From what was measured on two files to one decision.

`decide` is a pure function of an `Evidence`, a few numbers; `report.evidence` measures them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

Interval = tuple[float, float]

KEPT = 0.95
"""Share of what the new model can do from which an alignment counts as all of it.

A twentieth is about what seven hundred queries cannot tell from nothing. Among four networks on
SciFact, on which these thresholds were argued (12 upgrades, 693 queries), the 95 % interval of
nDCG@10 reaches a fortieth to a twentieth of the score to either side."""

HALF = 0.5
"""Share of unseen objects that have to find their own old vector, without queries."""

RISK = 0.1
"""Share of the old system's score that the lower end of an interval may be below it.

An interval that reaches lower comes from too few queries, or objects, to decide by: in those
upgrades all intervals are narrower by half."""

FEWEST = 20
"""Queries from which measured search decides: a bootstrap interval of fewer is much too short."""

CHANCE = 0.01
"""The p-value of the permutation test up to which a pairing says something (notebook 07)."""


class Decision(StrEnum):
    """What to do, the least work first."""

    LEAVE = "Leave things alone"
    OPTIONAL = "Aligning is optional"
    KEEP = "Align and keep the index"
    LATER = "Align now, re-embed later"
    RESCORE = "Search as before, re-score with the new model"
    EMBED = "Re-embed"
    MIXED = "Two models share a file"
    UNPAIRED = "These rows are not paired"

    @property
    def advice(self) -> str:
        """What that means for whoever runs the system."""
        return _ADVICE[self]

    @property
    def code(self) -> str:
        """One word for programs: ``procrustes-lab report --fail-on re-embed,unpaired``."""
        words = ("leave", "optional", "keep", "later", "re-score", "re-embed", "mixed", "unpaired")
        return words[list(Decision).index(self)]


_ALIGN = "Fit the map once (procrustes-lab fit), send every new query through it, and"

_ADVICE = {
    Decision.LEAVE: "Stay with the old model and its index, as long as there is an old model.",
    Decision.OPTIONAL: (
        "Align if the old model has to go: searches stay as good as they are. It is no reason to "
        "act by itself; what there is to be gained comes with an index of the new model."
    ),
    Decision.KEEP: (
        f"{_ALIGN} go on searching the old index. No document has to be embedded again."
    ),
    Decision.LATER: (
        f"{_ALIGN} search the old index today; embed the documents with the new model when there "
        "is time."
    ),
    Decision.RESCORE: (
        "Let old queries search the old index, and order its first answers by the new model: its "
        "vectors of those documents, made when first asked for and kept. No map is needed; the old "
        "model still is, for the queries."
    ),
    Decision.EMBED: (
        "Embed all documents with the new model before its queries go into service. Until then, "
        "stay with the old model and its index."
    ),
    Decision.MIXED: (
        "Embed the rows that the diagnosis names with the model of the rest, or leave them out, "
        "and ask again."
    ),
    Decision.UNPAIRED: (
        "Give both files the same ids for the same objects, or bring them into the same order, "
        "and ask again."
    ),
}


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
    def rescoring(self) -> Rescored | None:
        """The best re-scoring that is shown to be better than the old system."""
        better = [one for one in self.rescored if one.gain[0] > 0]
        return max(better, key=lambda one: one.score, default=None)

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
    map: str  # that all this is about, chosen on other pairs
    search: Search | None = None


def decide(evidence: Evidence) -> Verdict:
    """Return what to do about two embedding files, and why.

    Whether the rows belong together comes first: nothing else means anything before that. Then
    measured search decides, where there are queries; else what is kept of the neighbourhoods.
    """
    if reason := _unpaired(evidence):
        return Verdict(Decision.UNPAIRED, reason, "pairing tests")
    if evidence.mixed:
        return Verdict(Decision.MIXED, evidence.mixed, "a map for each kind of rows")
    if evidence.p > CHANCE:
        what = (
            f"the {evidence.featureless} vectors cannot be told from noise"
            if evidence.featureless
            else "the rows were joined by identifier, so the models have nothing in common"
        )
        reason = f"{_as_well(evidence)}, and {what}: there is nothing that a map could carry over."
        return Verdict(Decision.EMBED, reason, "pairing tests")
    if evidence.search is None or evidence.search.queries < FEWEST:
        return _by_neighbours(evidence)
    return _by_search(evidence.search)


def _as_well(evidence: Evidence) -> str:
    return f"Rows paired at random align as well as these (p = {evidence.p:.2f})"


def _unpaired(evidence: Evidence) -> str:
    """Return why the rows do not belong together; nothing if they may."""
    if evidence.shifted:
        return evidence.shifted
    if evidence.p > CHANCE:
        if evidence.same_vectors:
            return (
                f"{_as_well(evidence)}, yet both files hold the same vectors up to a turn: one of "
                "them is in another order."
            )
        if evidence.by_id or evidence.featureless:
            return ""
        return (
            f"{_as_well(evidence)}: row by row, one file says nothing about the other, so one of "
            "them is in another order or of other objects."
        )
    # A strong pair of which a part was shuffled, or a weak pair whose right rows look random?
    right = 1 - evidence.mispaired
    if evidence.mispaired > HALF and evidence.found > HALF * right:
        return (
            f"About {evidence.mispaired:.0%} of the rows have a partner that is no nearer than a "
            "random row, while most of the others find theirs at once: the files agree on a part "
            "of their rows only."
        )
    return ""


def _by_search(search: Search) -> Verdict:
    low, high = search.gain
    basis = f"measured search, {search.queries:,} queries"
    if not search.judged:
        basis = (
            f"search as the new model judges it, {search.queries:,} queries: whether it is the "
            "better one, only judgements by people can tell"
        )
    change = f"{search.aligned - search.old:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
    over = f"new queries over the old index score {search.aligned:.3f} where old ones score"
    scores = f"After aligning, {over} {search.old:.3f} ({change})"
    again = ""
    if rescoring := search.rescoring:
        again = (
            f"Re-scoring the first {rescoring.k} answers of the old index by the new model's "
            f"vectors gives {rescoring.score:.3f}, without any map."
        )
    if high < 0 or low < -RISK * search.old:
        if high >= 0:
            scores = f"After aligning, the change may be a loss of more than a tenth ({change})"
        if rescoring:
            return Verdict(Decision.RESCORE, f"{again} {scores}.", basis)
        if search.promise[0] > 0:
            reason = f"{scores}, and only the new model's own index gives its {search.new:.3f}."
            return Verdict(Decision.EMBED, reason, basis)
        reason = (
            f"{scores}, and with an index of its own the new model is not shown to be better "
            f"either ({search.new:.3f})."
        )
        return Verdict(Decision.LEAVE, reason, basis)
    if search.kept >= KEPT:
        reason = (
            f"After aligning, {over} {search.old:.3f}, and to embed everything again would give "
            f"{search.new:.3f}: next to nothing more."
        )
        return Verdict(Decision.KEEP, reason, basis)
    full = f"embedding everything again gives {search.new:.3f}."
    if low <= 0:
        reason = f"{scores}, which is no call to act: aligning is optional, and {full}"
        decision = Decision.RESCORE if rescoring else Decision.OPTIONAL
        return Verdict(decision, f"{again} {reason}".strip(), basis)
    more = f" {again}" if rescoring and rescoring.score > search.aligned else ""
    return Verdict(Decision.LATER, f"{scores}, better already; {full}{more}", basis)


def _by_neighbours(evidence: Evidence) -> Verdict:
    queries = "no queries" if evidence.search is None else f"fewer than {FEWEST} queries"
    basis = f"neighbours of documents, with {queries}: weaker evidence"
    numbers = (
        f"After aligning, {evidence.found:.0%} of unseen new vectors find their own old vector "
        f"first, and the old index returns {evidence.overlap:.0%} of the neighbours the new model "
        f"sees; the old model by itself, {evidence.native:.0%}"
    )
    decision, so = Decision.EMBED, "More is lost than kept."
    if min(evidence.found, evidence.overlap) >= KEPT:
        decision, so = Decision.KEEP, "Nearly all of it is kept."
    elif evidence.needed:
        so = (
            f"But {evidence.pairs:,} pairs are too few to learn a map or to judge one: bring "
            f"{evidence.needed:,}, or embed again."
        )
    elif evidence.found >= HALF and evidence.ahead[0] >= -RISK * evidence.native:
        decision = Decision.LATER
        so = (
            "Aligned queries see what the new model sees at least as well as the old model does; "
            "how much that is worth to your users only queries can tell."
        )
    return Verdict(decision, f"{numbers}. {so}", basis)
