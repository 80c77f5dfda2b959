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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.search.retrieval import search

from .findings import HALF, SEVERITIES, Finding, listed, one_side
from .mixture import find_mixture
from .pairing import ALPHA, RUN, Pairing, any_at_random, share_at_random, shifted_runs, suspects

KINDS = (
    *("mispaired rows", "shifted rows", "too few pairs", "two models", "zero rows"),
    *("quantised numbers", "duplicated rows", "unnormalised vectors", "different scales", "cone"),
    *("collapsed dimensions", "duplicated dimensions", "information loss", "hubness"),
)
"""All that `diagnose` looks for."""


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The findings on a pair, the gravest first; iterates over them."""

    n: int
    source_dim: int
    target_dim: int
    sampled: int  # rows on which shuffles and hubs were tried
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
        sizes = f"{self.n:,} pairs, {self.source_dim} → {self.target_dim} dimensions"
        return f"Diagnosis of {sizes}: {found}"

    @property
    def looked_for(self) -> str:
        """What was looked for, in a sentence."""
        sampled = f" (some of it on {self.sampled:,} rows)" if self.sampled < self.n else ""
        return f"Looked for {', '.join(KINDS)}{sampled}."

    def __repr__(self) -> str:
        lines = [self.summary]
        for finding in self:
            text = f"{finding.severity}: {finding.kind}. {finding.sentence} → {finding.remedy}"
            lines += textwrap.wrap(text, 96, initial_indent="  ", subsequent_indent="    ")
        return "\n".join([*lines, *textwrap.wrap(self.looked_for, 96)])

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
        return f"<p><b>{self.summary}.</b></p>{table}<p><small>{self.looked_for}</small></p>"


WHITE = (16 / (3 * np.pi)) ** 2
"""Pairs a dimension at which white noise agrees by chance half as well as any pairing could: the
nuclear norm of a d × d matrix of normal numbers is 8/(3π) d^1.5 (quarter-circle law)."""


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
    >>> from procrustes_lab import diagnose
    >>> X = np.random.default_rng(0).standard_normal((1000, 8))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> diagnose(X, -X).kinds
    ()
    >>> diagnose(X, -np.roll(X, 3, axis=0)).kinds
    ('shifted rows',)
    """
    pairs = Pairing(X, Y, seed=seed)
    aligned = align(pairs.moments)
    findings = _rows(pairs)
    findings += [*one_side(pairs.source), *one_side(pairs.target)]
    findings += [*_scales(pairs, aligned), *_loss(pairs, aligned), *_hubs(pairs, aligned)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    d_x, d_y = aligned.map.shape
    return Diagnosis(pairs.n, d_x, d_y, len(pairs.sample), tuple(findings))


def _rows(pairs: Pairing) -> list[Finding]:
    """Return what is wrong with single rows: a partner that is none, or another model's vector."""
    pairing = [*_pairing(pairs)]
    if any(finding.kind == "shifted rows" for finding in pairing):
        return pairing  # no partner is there to tell two models apart
    models = [*_two_models(pairs)]
    rows = np.unique([row for finding in models for row in finding.rows])

    def stands(finding: Finding) -> bool:
        """Whether not most of its rows are another model's, which look as if paired at random."""
        return bool(2 * np.isin(finding.rows, rows).sum() <= len(finding.rows))

    return [f for f in pairing if f.kind != "mispaired rows" or stands(f)] + models


def _pairing(pairs: Pairing) -> Iterator[Finding]:
    n = pairs.n
    chance = pairs.agreement_by_chance()
    if chance == 0:
        return
    if chance > 0.5:
        d = min(len(pairs.source.mean), len(pairs.target.mean))
        # Below two pairs a dimension the agreement saturates; at most it is that of white noise.
        needed = n * (2 * chance) ** 2 if n > 2 * d else max(WHITE * d, 2 * n)
        yield Finding(
            "too few pairs",
            "warning",
            f"Paired at random, these {n:,} rows agree {chance:.0%} as well as any pairing could: "
            "a map learns them by heart, and little about other objects.",
            f"Fit on at least {needed:,.0f} pairs ({needed / d:.1f} a dimension), or reduce the "
            "dimension first.",
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
    others = np.flatnonzero(rest)
    if any_at_random(ranks[others]):
        share = share_at_random(ranks[others]) * len(others) / n
        named = others[suspects(ranks[others])]
        yield Finding(
            "mispaired rows",
            "error" if share > 0.5 else "warning",
            f"About {share:.1%} of the rows have a partner that is no nearer than a random row. "
            f"Suspect are {len(named):,} rows, the worst first: {listed(named)}.",
            "Look these rows up on both sides; join by an identifier, or leave them out and refit.",
            {"share": share, "suspects": len(named), "z": test.z, "p": test.p},
            named,
        )


def _two_models(pairs: Pairing) -> Iterator[Finding]:
    for side in (pairs.source, pairs.target):
        if found := find_mixture(pairs, side):
            count = len(found.rows)
            yield Finding(
                "two models",
                "error",
                f"{side.name}: {count:,} rows look as if another model had made them than the "
                f"other {pairs.n - count:,}: {listed(found.rows)}. A map fitted on either kind "
                f"keeps {found.own:.0%} of the agreement on it and {found.other:.0%} on the other.",
                "Embed these rows again with the model of the rest, or fit a map for each kind.",
                {"rows": count, "share": count / pairs.n, "own": found.own, "other": found.other},
                found.rows,
            )


def _shifted(runs: list[tuple[int, int, int]], n: int) -> Finding:
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


def _scales(pairs: Pairing, aligned: Alignment) -> Iterator[Finding]:
    a, b = (float(np.sqrt(side.energy)) for side in (pairs.source, pairs.target))
    difference = pairs.source.lengths**2 - pairs.target.lengths**2
    by_chance = ndtri(1 - ALPHA / 2) * difference.std() / np.sqrt(pairs.n)
    if a * b == 0 or abs(difference.mean()) <= by_chance + 4 * HALF * a * b:
        return
    # ‖XW − Y‖ ≥ |‖X‖ − ‖Y‖| for every W: this much of the error is due to lengths alone.
    share = (a - b) ** 2 / max(aligned.error, (a - b) ** 2)
    yield Finding(
        "different scales",
        "warning" if share > 0.5 else "note",
        f"Rows of Y are {b / a:.3g} times as long as those of X, which alone makes {share:.0%} of "
        "the alignment error.",
        "Divide each row by its length on both sides, or fit a factor: align(scale=True).",
        {"ratio": b / a, "share": share},
    )


def _loss(pairs: Pairing, aligned: Alignment) -> Iterator[Finding]:
    W = aligned.map
    d_x, d_y = W.shape
    second = pairs.moments.products()[0]
    total = float(np.trace(second))
    if d_x <= d_y or not total:
        return
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


def _hubs(pairs: Pairing, aligned: Alignment) -> Iterator[Finding]:
    m, k = len(pairs.sample), min(10, len(pairs.sample))
    queries = pairs.source.rows[pairs.sample] @ aligned.map
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
