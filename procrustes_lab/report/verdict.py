"""Must everything be embedded again? From a few numbers, measured on two files, to one decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from .words import sentence

Interval = tuple[float, float]

# Argued on four networks on SciFact (12 upgrades, 693 queries), where 95 % intervals of nDCG@10
# reach a fortieth to a twentieth of the score to either side: so many queries cannot tell a
# twentieth from nothing, and an interval that reaches a tenth below is one of too few.
KEPT = 0.95  # share of what the new model can do from which an alignment counts as all of it
RISK = 0.1  # share of the old system's score that the lower end of an interval may be below it

HALF = 0.5  # share of unseen objects that have to find their own old vector, without queries
FEWEST = 20  # queries from which search decides: a bootstrap interval of fewer is much too short
CHANCE = 0.01  # p of the permutation test up to which a pairing says something (notebook 07)


class Decision(StrEnum):
    """What to do, the least work first."""

    LEAVE = "Leave things alone"
    OPTIONAL = "Aligning is optional"
    KEEP = "Align and keep the index"
    LATER = "Align now, re-embed later"
    RE_SCORE = "Search as before, re-score with the new model"
    RE_EMBED = "Re-embed"
    MIXED = "Two models share a file"
    UNPAIRED = "These rows are not paired"

    @property
    def code(self) -> str:
        """One word for programs: ``procrustes-lab report --fail-on re-embed,unpaired``."""
        return self.name.lower().replace("_", "-")

    @property
    def advice(self) -> str:
        """What that means, to whoever runs the system."""
        return sentence(f"do_{self.name.lower()}")


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
    if at_random:
        unpaired = e.same_vectors or not (e.by_id or e.featureless)
    else:
        # A strong pair of which a part was shuffled, or a weak pair whose right rows look random?
        unpaired = e.mispaired > HALF and e.found > HALF * (1 - e.mispaired)
    if e.shifted or unpaired:
        return Verdict(Decision.UNPAIRED, sentence("unpaired", e, at_random), "pairing tests")
    if e.mixed:
        return Verdict(Decision.MIXED, e.mixed, "a map for each kind of rows")
    if at_random:
        return Verdict(Decision.RE_EMBED, sentence("nothing_in_common", e), "pairing tests")
    if e.search and e.search.queries >= FEWEST:
        return _by_search(e.search)
    return _by_neighbours(e)


def _by_search(search: Search) -> Verdict:
    low, high = search.gain
    better = [one for one in search.rescored if one.gain[0] > 0]
    best = max(better, key=lambda one: one.score, default=None)
    if high < 0 or low < -RISK * search.old:
        why, otherwise = "loss", Decision.RE_EMBED if search.promise[0] > 0 else Decision.LEAVE
        decision = Decision.RE_SCORE if best else otherwise
    elif search.kept >= KEPT:
        why, decision = "all_kept", Decision.KEEP
    elif low <= 0:
        why, decision = "even", Decision.RE_SCORE if best else Decision.OPTIONAL
    else:
        why, decision = "gain", Decision.LATER
    return Verdict(decision, sentence(why, search, best), sentence("measured", search))


def _by_neighbours(e: Evidence) -> Verdict:
    if min(e.found, e.overlap) >= KEPT:
        why, decision = "kept", Decision.KEEP
    elif e.needed:
        why, decision = "too few", Decision.RE_EMBED
    elif e.found >= HALF and e.ahead[0] >= -RISK * e.native:
        why, decision = "ahead", Decision.LATER
    else:
        why, decision = "lost", Decision.RE_EMBED
    queries = f"fewer than {FEWEST} queries" if e.search else "no queries"
    basis = f"neighbours of documents, with {queries}: weaker evidence"
    return Verdict(decision, sentence("by_neighbours", e, why), basis)
