"""One finding, and all words that `diagnose` has for what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from .pairing import Indices

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

NONE = np.empty(0, dtype=np.int64)

WORDS = {
    "mispaired rows": "About {share:.1%} of the rows have a partner that is no nearer than a "
    "random row. Suspect are {suspects:,} rows, the worst first: {listed}. "
    "→ Look these rows up on both sides; join by an identifier, or leave them out and refit.",
    "mispaired rows: all": "Rows paired at random align as well as these (z = {z:.1f}, p = "
    "{p:.2f}): the sides are in different orders, or the models have nothing in common. "
    "→ Join both sides by an identifier, and check a few rows by eye.",
    "shifted rows": "{count:,} rows of X ({share:.0%}), from about row {first:,.0f} to row "
    "{last:,.0f}, belong to the row of Y that is {further}.{also} "
    "→ One side gained or lost rows before the first of them: join both sides by an identifier.",
    "too few pairs": "Paired at random, these {n:,} rows agree {chance:.0%} as well as any pairing "
    "could: a map learns them by heart, and little about other objects. "
    "→ Fit on at least {needed:,.0f} pairs ({each:.1f} a dimension), or reduce the dimension "
    "first.",
    "two models": "{side}: {rows:,} rows look as if another model had made them than the other "
    "{rest:,}: {listed}. A map fitted on either kind keeps {own:.0%} of the agreement on it and "
    "{other:.0%} on the other. "
    "→ Embed these rows again with the model of the rest, or fit a map for each kind.",
    "zero rows": "{side}: {rows:,} row{s} of zeros ({listed}), which have no direction: every "
    "search with them is a tie. "
    "→ Find out why the model had nothing to say there; leave them out.",
    "zero rows: all": "{side}: all {rows:,} rows of zeros ({listed}), which have no direction: "
    "every search with them is a tie. "
    "→ Export this side again: it holds nothing.",
    "quantised numbers": "{side}: all numbers are whole and fill a byte: they look like {code}, "
    "{meaning}. "
    "→ Turn the codes back into coordinates with the scale they were made by.",
    "duplicated rows": "{side}: {rows:,} rows ({share:.1%}) repeat an earlier one. No search can "
    "tell copies apart, and one that was fitted on helps its copy that was held out. "
    "→ Remove the copies from both sides before fitting and before measuring.",
    "unnormalised vectors": "{side}: lengths vary by {spread:.1%}. Long vectors win searches by "
    "dot product and weigh more in the fit: in it these rows count like {effective:,.0f} equal "
    "ones. "
    "→ Divide each row by its length on both sides, unless the lengths mean something.",
    "different scales": "Rows of Y are {ratio:.3g} times as long as those of X, which alone makes "
    "{share:.0%} of the alignment error. "
    "→ Divide each row by its length on both sides, or fit a factor: align(scale=True).",
    "cone": "{side}: all vectors point into one cone, the mean of unit vectors has length "
    "{length:.2f}, so two rows at random have a cosine of {cosine:.2f}. Errors look small even "
    "where rows cannot be told apart, and a turn aligns little but the means. "
    "→ Search with query() of a map that is centred, or whitened a little, which adds no mean "
    "back; choose(X, Y) tells which.",
    "collapsed dimensions": "{side}: only {rank:,} of {d:,} dimensions vary, with an effective "
    "rank of {effective:.0f}. The others cost storage, and raise no bound and no error. "
    "→ Check the export. If it is right, reduce by PCA: nothing is lost, and less is stored.",
    "collapsed dimensions: to one": "{side}: one direction of {d:,} holds {first:.0%} of the "
    "variance (effective rank {effective:.0f}), and decides most of every fit and search. "
    "→ Look what varies along it (length of text? language?) and project it out if it is of no "
    "use; or whiten in part: align(whiten=0.25).",
    "duplicated dimensions": "{side}: {columns:,} columns repeat an earlier one up to sign and "
    "scale, such as {second:.0f} and {first:.0f}. What they say counts more than once in every dot "
    "product. "
    "→ Check the export; drop the repeated columns, and align again.",
    "information loss": "From {d_x} to {d_y} dimensions the map drops {lost:.0%} of the energy of "
    "X, more than it keeps. Any projection to {d_y} dimensions drops at least {least:.0%}. "
    "→ Align in the other direction, in which nothing is lost, or embed again.",
    "hubness": "{never:.0%} of the rows of Y are among the {k} nearest of no aligned row of X: "
    "most of the {missed:.0%} that miss their partner. The greatest hub is among those of "
    "{largest:,.0f} (skewness {skewness:.1f}). "
    "→ Normalise and centre both sides; if hubs remain, correct the scores (CSLS).",
}
"""Sentence → remedy by kind; after a colon, a case of the kind that has words of its own."""

KINDS = tuple(name for name in WORDS if ":" not in name)  # all that `diagnose` looks for


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Its kind is one of `KINDS`. Severity is "error": an alignment means nothing until it is mended;
    "warning": it changes the results; or "note": good to know. `sentence` and `remedy` are what was
    found, and what to do; `evidence` holds the numbers behind that, and `rows` the single rows that
    it is about, if any: suspects with the worst first.
    """

    kind: str
    severity: Severity
    sentence: str
    remedy: str
    evidence: Mapping[str, float]
    rows: Indices = field(default_factory=lambda: NONE, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Finding):
            return NotImplemented
        mine, theirs = ({**vars(one), "rows": one.rows.tolist()} for one in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.kind, self.sentence))


def found(
    name: str, severity: Severity, evidence: dict[str, float], rows: Indices = NONE, **words: object
) -> Finding:
    """Make a finding by its name in `WORDS`, filled with the evidence, the rows and other words."""
    listed = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
    sentence, remedy = WORDS[name].format(**evidence, **words, listed=listed).split(" → ")
    return Finding(name.partition(":")[0], severity, sentence, remedy, evidence, rows)
