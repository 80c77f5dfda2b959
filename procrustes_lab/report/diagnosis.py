"""What is wrong with a pair of embedding sets, in words, before anybody trusts its alignment.

Three rules decide what is worth a finding; nothing else is tuned.

- *Chance.* A test accuses a healthy pair at most once in a thousand, or is a permutation test,
  which needs no model of the data (see `procrustes_lab.report.pairing`).
- *Dominance.* A cause is large where it makes up more than half of what is observed: more than
  everything else together.
- *Resolution.* A share of n rows is noticeable above 1/(2√n), the largest standard error of a share
  measured on n rows; a difference of numbers, above what storing them in half precision changes.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from procrustes_lab.core.alignment import align
from procrustes_lab.search.retrieval import search

from .pairing import (
    ALPHA,
    RUN,
    Indices,
    Pairing,
    Run,
    Side,
    any_at_random,
    share_at_random,
    shifted_runs,
    suspects,
)

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

KINDS = (
    "mispaired rows",
    "shifted rows",
    "too few pairs",
    "zero rows",
    "duplicated rows",
    "unnormalised vectors",
    "different scales",
    "dominant mean",
    "collapsed dimensions",
    "duplicated dimensions",
    "information loss",
    "hubness",
)
"""All that `diagnose` looks for."""

HALF = 2.0**-11
"""Relative rounding error of half precision, the coarsest in which vectors are usually kept."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    severity : {"error", "warning", "note"}
        Error: an alignment means nothing until it is mended. Warning: it changes the
        results. Note: good to know.
    sentence, remedy : str
        What was found, and what to do.
    evidence : dict of float
        The numbers behind the sentence.
    rows : ndarray of int
        The rows concerned, where it is about single rows: suspects with the worst first.
    """

    kind: str
    severity: Severity
    sentence: str
    remedy: str
    evidence: Mapping[str, float]
    rows: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int64), repr=False)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The findings on a pair, the gravest first; iterates over them.

    Attributes
    ----------
    n, source_dim, target_dim : int
    sampled : int
        Number of rows on which shuffles and hubs were tried.
    findings : tuple of Finding
    """

    n: int
    source_dim: int
    target_dim: int
    sampled: int
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds found."""
        return tuple(dict.fromkeys(finding.kind for finding in self))

    @property
    def summary(self) -> str:
        """The outcome in a line."""
        found = f"{len(self)} finding{'s' * (len(self) > 1)}" if self.findings else "nothing found"
        return (
            f"Diagnosis of {self.n:,} pairs, {self.source_dim} → {self.target_dim} dimensions: "
            f"{found}"
        )

    def _looked_for(self) -> str:
        sampled = f" (some of it on {self.sampled:,} rows)" if self.sampled < self.n else ""
        return f"Looked for {', '.join(KINDS)}{sampled}."

    def __repr__(self) -> str:
        lines = [self.summary]
        for finding in self:
            text = f"{finding.severity}: {finding.kind}. {finding.sentence} → {finding.remedy}"
            lines += textwrap.wrap(text, 96, initial_indent="  ", subsequent_indent="    ")
        return "\n".join([*lines, *textwrap.wrap(self._looked_for(), 96)])

    def _repr_html_(self) -> str:
        left = "style='text-align:left'"
        rows = "".join(
            f"<tr><td {left}>{finding.severity}</td><th {left}>{finding.kind}</th>"
            f"<td {left}>{html.escape(finding.sentence)}</td>"
            f"<td {left}>{html.escape(finding.remedy)}</td></tr>"
            for finding in self
        )
        head = f"<tr><th></th><th></th><th {left}>found</th><th {left}>what to do</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else ""
        return f"<p><b>{self.summary}.</b></p>{table}<p><small>{self._looked_for()}</small></p>"


def diagnose(X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Diagnosis:
    """Look for all that makes an alignment mean less than it seems to.

    O(n d²) time; what is quadratic in the rows is done on a sample of 2,000.

    Parameters
    ----------
    X : array_like, shape (n, d_x)
        Source embeddings, one row per object; at least two.
    Y : array_like, shape (n, d_y)
        Target embeddings; row i should be the same object as row i of X.
    seed : int, optional
        Of the sample and the shuffles.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError, ValueError
        If the inputs are not two finite matrices of real numbers with equally many rows.

    Examples
    --------
    >>> import numpy as np
    >>> from procrustes_lab.diagnosis import diagnose
    >>> X = np.random.default_rng(0).standard_normal((1000, 8))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> diagnose(X, -X).kinds
    ()
    >>> diagnose(X, -np.roll(X, 3, axis=0)).kinds
    ('shifted rows',)
    """
    pairs = Pairing(X, Y, seed=seed)
    findings = [
        *_pairing(pairs),
        *_one_side(pairs.source),
        *_one_side(pairs.target),
        *_scales(pairs),
        *_loss(pairs),
        *_hubs(pairs),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    d_x, d_y = len(pairs.source.mean), len(pairs.target.mean)
    return Diagnosis(pairs.n, d_x, d_y, len(pairs.sample), tuple(findings))


def _pairing(pairs: Pairing) -> Iterator[Finding]:
    n = pairs.n
    chance = pairs.agreement_by_chance()
    if chance == 0:
        return
    if chance > 0.5:
        needed = n * (2 * chance) ** 2
        yield Finding(
            "too few pairs",
            "warning",
            f"Paired at random, these {n:,} rows agree {chance:.0%} as well as any pairing could: "
            "a map learns them by heart, and little about other objects.",
            f"Fit on at least {needed:,.0f} pairs, or reduce the dimension first.",
            {"chance": chance, "needed": needed},
        )
        return
    test = pairs.permutation_test()
    offset = pairs.offset(test)
    if test.p > 1 / 100 and not offset:
        yield Finding(
            "mispaired rows",
            "error",
            f"Rows paired at random align as well as these (z = {test.z:.1f}, p = {test.p:.2f}): "
            "the sides are in different orders, or the models have nothing in common.",
            "Join both sides by an identifier, and check a few rows by eye.",
            {"share": 1.0, "z": test.z, "p": test.p},
            np.arange(n),
        )
        return
    ranks, agreement = pairs.by_row(offset)
    runs = shifted_runs(agreement) if n >= RUN else []
    if runs:
        yield _shifted(runs, n)
    rest = np.ones(n, dtype=bool)  # all but the runs and their surroundings
    for start, stop, _ in runs:
        rest[max(0, start - RUN) : stop + RUN] = False
    (others,) = np.nonzero(rest)
    if any_at_random(ranks[others]):
        share = share_at_random(ranks[others]) * len(others) / n
        named = others[suspects(ranks[others])]
        yield Finding(
            "mispaired rows",
            "error" if share > 0.5 else "warning",
            f"About {share:.1%} of the rows have a partner that is no nearer than a random row. "
            f"Suspect are {len(named):,} rows, the worst first: {_listed(named)}.",
            "Look these rows up on both sides; join by an identifier, or leave them out and refit.",
            {"share": share, "suspects": len(named), "z": test.z, "p": test.p},
            named,
        )


def _shifted(runs: list[Run], n: int) -> Finding:
    rows = {
        k: np.concatenate([np.arange(start, stop) for start, stop, offset in runs if offset == k])
        for *_, k in runs
    }
    k = max(rows, key=lambda k: len(rows[k]))
    count, first, last = len(rows[k]), rows[k][0], rows[k][-1]
    further = f"{abs(k)} row{'s' * (abs(k) > 1)} {'further down' if k > 0 else 'further up'}"
    others = ", ".join(str(other) for other in sorted(rows) if other != k)
    return Finding(
        "shifted rows",
        "error",
        f"{count:,} rows of X ({count / n:.0%}), from about row {first:,} to row {last:,}, belong "
        f"to the row of Y that is {further}." + (f" Others are off by {others}." if others else ""),
        "One side gained or lost rows before the first of them: join both sides by an identifier.",
        {"share": count / n, "offset": k, "first": float(first), "last": float(last)},
        np.sort(np.concatenate(list(rows.values()))),
    )


def _one_side(side: Side) -> Iterator[Finding]:
    n, d = side.rows.shape
    noticeable = np.sqrt(n) / 2
    (zero,) = np.nonzero(side.lengths == 0)
    if len(zero):
        yield Finding(
            "zero rows",
            "warning" if len(zero) > noticeable else "note",
            f"{side.name}: {len(zero):,} row{'s' * (len(zero) > 1)} of zeros ({_listed(zero)}), "
            "which have no direction: every search with them is a tie.",
            "Find out why the model had nothing to say there; leave them out.",
            {"rows": len(zero), "share": len(zero) / n},
            zero,
        )
    if len(zero) == n:
        return

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

    common = float(side.mean @ side.mean) / side.energy
    if common > 0.5:
        yield Finding(
            "dominant mean",
            "warning",
            f"{side.name}: the mean vector holds {common:.0%} of the energy, so two rows at random "
            "are that similar. Errors look small even where rows cannot be told apart.",
            "Judge by centred vectors: align(center=True).",
            {"share": common},
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
    (varying,) = np.nonzero(variance > nothing)
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


def _scales(pairs: Pairing) -> Iterator[Finding]:
    a, b = (float(np.sqrt(side.energy)) for side in (pairs.source, pairs.target))
    difference = pairs.source.lengths**2 - pairs.target.lengths**2
    by_chance = ndtri(1 - ALPHA / 2) * difference.std() / np.sqrt(pairs.n)
    if a * b == 0 or abs(difference.mean()) <= by_chance + 4 * HALF * a * b:
        return
    # ‖XW − Y‖ ≥ |‖X‖ − ‖Y‖| for every W: this much of the error is due to lengths alone.
    share = (a - b) ** 2 / max(align(pairs.moments).error, (a - b) ** 2)
    yield Finding(
        "different scales",
        "warning" if share > 0.5 else "note",
        f"Rows of Y are {b / a:.3g} times as long as those of X, which alone makes {share:.0%} of "
        "the alignment error.",
        "Divide each row by its length on both sides, or fit a factor: align(scale=True).",
        {"ratio": b / a, "share": share},
    )


def _loss(pairs: Pairing) -> Iterator[Finding]:
    d_x, d_y = len(pairs.source.mean), len(pairs.target.mean)
    second = pairs.moments.products()[0]
    total = float(np.trace(second))
    if d_x <= d_y or not total:
        return
    W = align(pairs.moments).map
    lost = 1 - float(np.vdot(W, second @ W)) / total
    if lost > 0.5:
        least = 1 - float(np.linalg.eigvalsh(second)[-d_y:].sum()) / total
        yield Finding(
            "information loss",
            "warning",
            f"From {d_x} to {d_y} dimensions the map drops {lost:.0%} of the energy of X, more "
            f"than it keeps. Any projection to {d_y} dimensions drops at least {least:.0%}.",
            "Align in the other direction, in which nothing is lost, or embed again.",
            {"lost": lost, "least": least},
        )


def _hubs(pairs: Pairing) -> Iterator[Finding]:
    m, k = len(pairs.sample), min(10, len(pairs.sample))
    queries = pairs.source.rows[pairs.sample] @ align(pairs.moments).map
    if not queries.any():
        return
    found, _ = search(queries, pairs.target.rows[pairs.sample], k)
    times = np.bincount(found.ravel(), minlength=m)
    never = float(np.mean(times == 0))
    missed = 1 - float(np.mean((found == np.arange(m)[:, np.newaxis]).any(axis=1)))
    if never > 1 / (2 * np.sqrt(m)) and never > missed / 2:
        skewness = float(np.mean((times - k) ** 3) / np.mean((times - k) ** 2.0) ** 1.5)
        yield Finding(
            "hubness",
            "warning",
            f"{never:.0%} of the rows of Y are among the {k} nearest of no aligned row of X: most "
            f"of the {missed:.0%} that miss their partner. The greatest hub is among those of "
            f"{times.max():,} (skewness {skewness:.1f}).",
            "Normalise and centre both sides; if hubs remain, correct the scores (CSLS).",
            {"never": never, "missed": missed, "skewness": skewness, "largest": float(times.max())},
        )


def _listed(rows: Indices, most: int = 8) -> str:
    return ", ".join(map(str, rows[:most])) + (", …" if len(rows) > most else "")
