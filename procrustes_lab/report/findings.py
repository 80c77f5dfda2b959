"""One finding, and what can be found on one side of a pair by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from procrustes_lab.core.quantised import suspect

from .pairing import Indices, Side

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

HALF = 2.0**-11
"""Relative rounding error of half precision, the coarsest in which vectors are usually kept."""

CONE = 0.7
"""Length of the mean of unit vectors from which half of every cosine is the mean's alone."""

_CODES = {
    "packed bits": "eight signs in each: their dot products mean nothing",
    "wrapped codes": "of which those too large came back at the other end of the range",
    "codes of a byte": "and zero stands for another number in each column",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Its kind is one of `KINDS`. Severity is "error": an alignment means nothing until it is mended;
    "warning": it changes the results; or "note": good to know. `sentence` and `remedy` are what was
    found, and what to do; `evidence` holds the numbers behind that. Where it is about single
    `rows`, these are the rows concerned: suspects with the worst first.
    """

    kind: str
    severity: Severity
    sentence: str
    remedy: str
    evidence: Mapping[str, float]
    rows: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64), repr=False)

    def __eq__(self, other: object) -> bool:
        """Compare all that was found, number by number."""
        if not isinstance(other, Finding):
            return NotImplemented
        mine, theirs = ({**vars(one), "rows": one.rows.tolist()} for one in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.kind, self.sentence))


def one_side(side: Side) -> Iterator[Finding]:
    """Look at one side: zeros, copies, lengths, mean, and dimensions."""
    n, d = side.rows.shape
    noticeable = np.sqrt(n) / 2
    zero = np.flatnonzero(side.lengths == 0)
    if len(zero):
        everything = len(zero) == n
        yield Finding(
            "zero rows",
            "error" if everything else "warning" if len(zero) > noticeable else "note",
            f"{side.name}: {'all ' * everything}{len(zero):,} row{'s' * (len(zero) > 1)} of zeros "
            f"({listed(zero)}), which have no direction: every search with them is a tie.",
            "Export this side again: it holds nothing."
            if everything
            else "Find out why the model had nothing to say there; leave them out.",
            {"rows": len(zero), "share": len(zero) / n},
            zero,
        )
        if everything:
            return
    if code := suspect(side.rows[:: max(1, n // 2000)][:2000]):
        yield Finding(
            "quantised numbers",
            "warning",
            f"{side.name}: all numbers are whole and fill a byte: they look like {code}, "
            f"{_CODES[code]}.",
            "Turn the codes back into coordinates with the scale they were made by.",
            {"least": float(side.rows.min()), "largest": float(side.rows.max())},
        )

    copies = _copies(side)
    if len(copies) > noticeable:
        share = len(copies) / n
        yield Finding(
            "duplicated rows",
            "warning" if share > 0.5 else "note",
            f"{side.name}: {len(copies):,} rows ({share:.1%}) repeat an earlier one. No search "
            "can tell copies apart, and one that was fitted on helps its copy that was held out.",
            "Remove the copies from both sides before fitting and before measuring.",
            {"rows": len(copies), "share": share},
            copies,
        )

    lengths = side.lengths[side.lengths > 0]
    lengths = lengths / lengths.max()  # so that no fourth power leaves the range
    spread = float(lengths.std() / lengths.mean())
    if spread > 4 * HALF:
        effective = float(np.sum(lengths**2)) ** 2 / float(np.sum(lengths**4))
        yield Finding(
            "unnormalised vectors",
            "warning" if effective < len(lengths) / 2 else "note",
            f"{side.name}: lengths vary by {spread:.1%}. Long vectors win searches by dot product "
            f"and weigh more in the fit: in it these rows count like {effective:,.0f} equal ones.",
            "Divide each row by its length on both sides, unless the lengths mean something.",
            {"spread": spread, "effective": effective},
        )

    common = float(np.linalg.norm(side.direction))
    if common > CONE:
        yield Finding(
            "cone",
            "warning",
            f"{side.name}: all vectors point into one cone, the mean of unit vectors has length "
            f"{common:.2f}, so two rows at random have a cosine of {common**2:.2f}. Errors look "
            "small even where rows cannot be told apart, and a turn aligns little but the means.",
            "Search with query() of a map that is centred, or whitened a little, which adds no "
            "mean back; choose(X, Y) tells which.",
            {"length": common},
        )
    if n > d:
        yield from _dimensions(side)


def _copies(side: Side) -> Indices:
    """Rows, not zero, that an earlier row equals exactly."""
    seen, copies = set(), []
    for i in np.flatnonzero(side.lengths):
        digest = hash((side.rows[i] + 0.0).tobytes())  # −0 becomes 0; whole rows would not fit
        if digest in seen:
            copies.append(i)
        seen.add(digest)
    return np.array(copies, dtype=np.int64)


def _dimensions(side: Side) -> Iterator[Finding]:
    """Directions that carry nothing, or nearly everything, and columns that say the same."""
    d = len(side.mean)
    # Rounding to half precision adds noise to every direction: HALF² of the mean square of a
    # coordinate, times (1 + √(d/n))² <= 4 in the worst direction.
    nothing = 4 * HALF**2 * side.energy / d
    total = float(side.values.sum())
    if total <= d * nothing:
        return
    rank = int(np.count_nonzero(side.values > nothing))
    shares = side.values / total
    effective = float(np.exp(-np.sum(shares * np.log(shares, where=shares > 0, out=0 * shares))))
    evidence = {"rank": rank, "effective": effective, "first": float(shares[0])}
    if rank < d:
        yield Finding(
            "collapsed dimensions",
            "warning" if rank < d / 2 else "note",
            f"{side.name}: only {rank:,} of {d:,} dimensions vary, with an effective rank of "
            f"{effective:.0f}. The others cost storage, and raise no bound and no error.",
            "Check the export. If it is right, reduce by PCA: nothing is lost, and less is stored.",
            evidence,
        )
    elif shares[0] > 0.5 and d > 3:  # one of three holds half by chance alone
        yield Finding(
            "collapsed dimensions",
            "warning",
            f"{side.name}: one direction of {d:,} holds {shares[0]:.0%} of the variance (effective "
            f"rank {effective:.0f}), and decides most of every fit and search.",
            "Look what varies along it (length of text? language?) and project it out if it is "
            "of no use; or whiten in part: align(whiten=0.25).",
            evidence,
        )
    variance = np.diagonal(side.covariance)
    varying = np.flatnonzero(variance > nothing)
    unit = side.covariance[np.ix_(varying, varying)]
    unit = unit / np.sqrt(np.outer(variance[varying], variance[varying]))
    twins = varying[np.argwhere(np.triu(unit**2 > 1 - 4 * HALF**2, 1))]
    if len(twins):
        again = len(np.unique(twins[:, 1]))
        first, second = twins[0]
        yield Finding(
            "duplicated dimensions",
            "warning" if again > d / 2 else "note",
            f"{side.name}: {again:,} columns repeat an earlier one up to sign and scale, such as "
            f"{second} and {first}. What they say counts more than once in every dot product.",
            "Check the export; drop the repeated columns, and align again.",
            {"columns": again, "first": float(first), "second": float(second)},
        )


def listed(rows: Indices, most: int = 8) -> str:
    """Name the first of some rows."""
    return ", ".join(map(str, rows[:most])) + (", …" if len(rows) > most else "")
