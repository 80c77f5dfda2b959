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

A twentieth is what a thousand queries cannot tell from nothing: in notebook 06 the 95 % interval of
nDCG@10 is about that wide to either side."""

HALF = 0.5
"""Share of it below which, without queries, the answer is to embed again.

An upgrade pays if the new model is better than the old by more than 1 over the share that the
alignment keeps. In notebook 06 the network is 1.5 to 2.2 times as good as the models of counted
features; without queries nobody knows by how much yours is, and twice as good is not to be had
by hoping."""

RISK = 0.1
"""Share of the old system's score that the lower end of an interval may be below it.

In notebook 06 no upgrade whose interval includes no change could lose more than a tenth, with a
thousand queries. An interval that reaches lower comes from too few queries to decide by."""

FEWEST = 20
"""Queries from which measured search decides: a bootstrap interval of fewer is much too short."""

CHANCE = 0.01
"""The p-value of the permutation test up to which a pairing says something (notebook 08)."""


class Decision(StrEnum):
    """What to do, the least work first."""

    LEAVE = "Leave things alone"
    KEEP = "Align and keep the index"
    LATER = "Align now, re-embed later"
    EMBED = "Re-embed"
    UNPAIRED = "These rows are not paired"

    @property
    def advice(self) -> str:
        """What that means for whoever runs the system."""
        return _ADVICE[self]


_ADVICE = {
    Decision.LEAVE: "Stay with the old model and its index, as long as there is an old model.",
    Decision.KEEP: (
        "Fit the map once (procrustes-lab fit), send every new query through it, and go on "
        "searching the old index. No document has to be embedded again."
    ),
    Decision.LATER: (
        "Fit the map once (procrustes-lab fit), send every new query through it, and search the "
        "old index today; embed the documents with the new model when there is time."
    ),
    Decision.EMBED: (
        "Embed all documents with the new model before its queries go into service. Until then, "
        "stay with the old model and its index."
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


@dataclass(frozen=True)
class Search:
    """Mean scores of the same queries three ways, and 95 % intervals of their differences.

    Attributes
    ----------
    old : float
        Old queries over the old index: what there is today.
    aligned : float
        New queries, aligned, over the old index.
    new : float
        New queries over the new index: what embedding everything again would give.
    gain : (float, float)
        Interval of aligned − old.
    promise : (float, float)
        Interval of new − old.
    judged : bool
        Whether people judged what is relevant; if not, the new model did.
    queries : int
    """

    old: float
    aligned: float
    new: float
    gain: Interval
    promise: Interval
    judged: bool
    queries: int

    @property
    def kept(self) -> float:
        """Share of the new model's score that is left after aligning, k in notebook 06."""
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
    """What the verdict follows from.

    Attributes
    ----------
    pairs : int
    by_id : bool
        Whether rows were joined by identifier.
    p : float
        Of the permutation test: share of random pairings that align as well. 0 if not tested.
    mispaired : float
        Share of rows that look paired at random.
    shifted : str
        What diagnosis says of rows that belong to a row further on; empty if none do.
    needed : int
        Pairs without which a map learns only by heart; 0 if there are enough.
    same_vectors : bool
        Whether both files hold the same vectors, up to a turn, in some order.
    featureless : str
        Name of a side whose vectors look like noise; empty if neither does, or it was not asked.
    found : float
        Share of held-out new vectors that, aligned, find their own old vector first.
    overlap : float
        Share of the ten neighbours by the new model that the aligned vector finds in the old index.
    interval : (float, float)
        Of `overlap`, 95 %.
    search : Search or None
        None without queries.
    """

    pairs: int
    by_id: bool
    p: float
    mispaired: float
    shifted: str
    needed: int
    same_vectors: bool
    featureless: str
    found: float
    overlap: float
    interval: Interval
    search: Search | None = None


def decide(evidence: Evidence) -> Verdict:
    """Return what to do about two embedding files, and why.

    Whether the rows belong together comes first: nothing else means anything before that. Then
    measured search decides, where there are queries; else what is kept of the neighbourhoods.
    """
    if reason := _unpaired(evidence):
        return Verdict(Decision.UNPAIRED, reason, "pairing tests")
    if evidence.p > CHANCE:
        what = (
            f"the {evidence.featureless} vectors cannot be told from noise"
            if evidence.featureless
            else "the rows were joined by identifier, so the models have nothing in common"
        )
        reason = (
            f"Rows paired at random align as well as these (p = {evidence.p:.2f}), and {what}: "
            "there is nothing that a map could carry over."
        )
        return Verdict(Decision.EMBED, reason, "pairing tests")
    if evidence.search is None or evidence.search.queries < FEWEST:
        return _by_neighbours(evidence)
    return _by_search(evidence.search)


def _unpaired(evidence: Evidence) -> str:
    """Return why the rows do not belong together; nothing if they may."""
    if evidence.shifted:
        return evidence.shifted
    if evidence.p > CHANCE:
        if evidence.same_vectors:
            return (
                f"Rows paired at random align as well as these (p = {evidence.p:.2f}), yet both "
                "files hold the same vectors up to a turn: one of them is in another order."
            )
        if evidence.by_id or evidence.featureless:
            return ""
        return (
            f"Rows paired at random align as well as these (p = {evidence.p:.2f}): row by row, one "
            "file says nothing about the other, so one of them is in another order or of other "
            "objects."
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
    judge = "measured search" if search.judged else "search as the new model judges it"
    basis = f"{judge}, {search.queries:,} queries"
    change = f"{search.aligned - search.old:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
    over = f"new queries over the old index score {search.aligned:.3f} where old ones score"
    if high < 0 or low < -RISK * search.old:
        cost = (
            f"After aligning, {over} {search.old:.3f} ({change})"
            if high < 0
            else f"After aligning, the change may be a loss of more than a tenth ({change})"
        )
        if search.promise[0] > 0:
            reason = f"{cost}, and only the new model's own index gives its {search.new:.3f}."
            return Verdict(Decision.EMBED, reason, basis)
        reason = (
            f"{cost}, and with an index of its own the new model is not shown to be better either "
            f"({search.new:.3f})."
        )
        return Verdict(Decision.LEAVE, reason, basis)
    if search.kept >= KEPT:
        reason = (
            f"After aligning, {over} {search.old:.3f}, and to embed everything again would give "
            f"{search.new:.3f}: next to nothing more."
        )
        return Verdict(Decision.KEEP, reason, basis)
    gain = "better already" if low > 0 else "no worse, as far as the queries can tell"
    reason = (
        f"After aligning, {over} {search.old:.3f} ({change}), {gain}; embedding everything "
        f"again gives {search.new:.3f}."
    )
    return Verdict(Decision.LATER, reason, basis)


def _by_neighbours(evidence: Evidence) -> Verdict:
    queries = "no queries" if evidence.search is None else f"fewer than {FEWEST} queries"
    basis = f"neighbours of documents, with {queries}: weaker evidence"
    numbers = (
        f"After aligning, {evidence.found:.0%} of unseen new vectors find their own old vector "
        f"first, and the old index returns {evidence.overlap:.0%} of the neighbours the new model "
        "sees"
    )
    least = min(evidence.found, evidence.overlap)
    if evidence.needed and least < KEPT:
        reason = (
            f"{numbers}, but {evidence.pairs:,} pairs are too few to learn a map or to judge one: "
            f"bring {evidence.needed:,}, or embed again."
        )
        return Verdict(Decision.EMBED, reason, basis)
    if least >= KEPT:
        return Verdict(Decision.KEEP, f"{numbers}: nearly all of it is kept.", basis)
    if least >= HALF:
        reason = f"{numbers}: more is kept than lost, but embedding again gives the rest."
        return Verdict(Decision.LATER, reason, basis)
    return Verdict(Decision.EMBED, f"{numbers}: more is lost than kept.", basis)
