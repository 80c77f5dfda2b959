"""What is wrong with a pair of embedding sets, in words, before anybody trusts its alignment.

Three rules decide what is worth a finding. *Chance*: a test accuses a healthy pair at most once in
a thousand, or is a permutation test. *Dominance*: a cause is large where it makes up more than
everything else together. *Resolution*: a share of n rows is noticeable above 1/(2√n), the largest
standard error of a share; a difference of numbers, above what half precision changes.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import binary_dilation
from scipy.special import ndtri

from procrustes_lab.core.alignment import Alignment, align
from procrustes_lab.core.tables import table
from procrustes_lab.core.validate import suspect
from procrustes_lab.search.retrieval import search

from . import pairing
from .pairing import Pairing, Side
from .words import KINDS, SEVERITIES, WORDS, Finding, Severity, found

HALF = 2.0**-11  # relative rounding error of half precision, the coarsest that vectors are kept in
CONE = 0.7  # length of the mean of unit vectors from which half of every cosine is the mean's alone
# Pairs a dimension at which white noise agrees by chance half as well as any pairing could: the
# nuclear norm of a d × d matrix of normal numbers is 8/(3π) d^1.5 (quarter-circle law).
WHITE = (16 / (3 * np.pi)) ** 2


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
        outcome = f"{len(self)} finding{'s' * (len(self) > 1)}" if len(self) else "nothing found"
        sizes = f"{self.n:,} pairs, {self.source_dim} → {self.target_dim} dimensions"
        return f"Diagnosis of {sizes}: {outcome}"

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
        rows = [(f.severity, f.kind, f.sentence, f.remedy) for f in self]
        shown = table(["", "", "found", "what to do"], rows).html if rows else ""
        return f"<p><b>{self.summary}.</b></p>{shown}<p><small>{self.looked_for}</small></p>"


def diagnose(X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Diagnosis:
    """Look for all that makes an alignment mean less than it seems to.

    X and Y, shapes (n, d_x) and (n, d_y), hold the same object in row i, for at least two rows;
    TypeError or ValueError is raised if they are not two finite matrices of real numbers with
    equally many. The seed is of the sample and the shuffles. O(n d²) time; what is quadratic in the
    rows is done on a sample of 2,000.

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
    findings = [*_pairing(pairs)]
    if all(finding.kind != "shifted rows" for finding in findings):  # or no row has its partner
        sides = pairs.source, pairs.target
        models = [one for side in sides for one in pairing.two_models(pairs, side)]
        foreign = [row for finding in models for row in finding.rows]
        # Rows of another model look as if paired at random, too; they are named once.
        findings = [f for f in findings if 2 * np.isin(f.rows, foreign).sum() <= len(f.rows)]
        findings += models
    aligned = align(pairs.moments)
    findings += [*_one_side(pairs.source), *_one_side(pairs.target), *_both_sides(pairs, aligned)]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    d_x, d_y = aligned.map.shape
    return Diagnosis(pairs.n, d_x, d_y, len(pairs.sample), tuple(findings))


def _pairing(pairs: Pairing) -> Iterator[Finding]:
    """Look for rows that have the partner of another, and whether there are enough to tell."""
    n, chance = pairs.n, pairs.agreement_by_chance()
    if chance == 0:
        return
    if chance > 0.5:
        d = min(len(pairs.source.mean), len(pairs.target.mean))
        # Below two pairs a dimension the agreement saturates; at most it is that of white noise.
        needed = n * (2 * chance) ** 2 if n > 2 * d else max(WHITE * d, 2 * n)
        numbers = {"chance": chance, "needed": needed, "n": n, "each": needed / d}
        yield found("too few pairs", "warning", **numbers)
        return
    test = pairs.permutation_test()
    offset = pairs.offset(test)
    if test.p > 1 / 100 and not offset:
        yield found("mispaired rows: all", "error", np.arange(n), share=1.0, z=test.z, p=test.p)
        return
    ranks, agreement = pairs.by_row(offset)
    offsets = pairing.shifts(agreement)
    if offsets.any():
        shifted = Counter(offsets[offsets != 0].tolist())
        (k, count), *_ = shifted.most_common()
        first, last = np.flatnonzero(offsets == k)[[0, -1]].tolist()
        others = ", ".join(str(other) for other in sorted(shifted) if other != k)
        also = f" Others are off by {others}." if others else ""
        further = f"{abs(k)} row{'s' * (abs(k) > 1)} further {'down' if k > 0 else 'up'}"
        numbers = {"share": count / n, "offset": k, "first": first, "last": last, "count": count}
        rows = np.flatnonzero(offsets)
        yield found("shifted rows", "error", rows, **numbers, further=further, also=also)
    rest = np.flatnonzero(~binary_dilation(offsets, iterations=pairing.RUN))  # far from those
    if pairing.any_at_random(ranks[rest]):
        share = pairing.share_at_random(ranks[rest]) * len(rest) / n
        named = rest[pairing.suspects(ranks[rest])]
        numbers = {"share": share, "suspects": len(named), "z": test.z, "p": test.p}
        yield found("mispaired rows", "error" if share > 0.5 else "warning", named, **numbers)


def _one_side(side: Side) -> Iterator[Finding]:
    """Look at one side: zeros, codes, copies, lengths, mean, and dimensions."""
    here, (n, d) = partial(found, side=side.name), side.rows.shape
    noticeable = np.sqrt(n) / 2
    zero = np.flatnonzero(side.lengths == 0)
    numbers: dict[str, float] = {"rows": len(zero), "share": len(zero) / n}
    if len(zero) == n:
        yield here("zero rows: all", "error", zero, **numbers)
        return
    if len(zero):
        severity: Severity = "warning" if len(zero) > noticeable else "note"
        yield here("zero rows", severity, zero, **numbers, s="s" * (len(zero) > 1))
    if code := suspect(side.rows[:: max(1, n // 2000)][:2000]):
        ends = {"least": float(side.rows.min()), "largest": float(side.rows.max())}
        meaning = WORDS["quantised numbers"][code]
        yield here("quantised numbers", "warning", **ends, code=code, meaning=meaning)
    # Whole rows would not fit in memory, their hashes do; + 0.0 makes −0 into 0.
    hashes = [hash((row + 0.0).tobytes()) for row in side.rows]
    copies = np.setdiff1d(np.flatnonzero(side.lengths), np.unique(hashes, return_index=True)[1])
    if len(copies) > noticeable:
        severity = "warning" if len(copies) > n / 2 else "note"
        numbers = {"rows": len(copies), "share": len(copies) / n}
        yield here("duplicated rows", severity, copies, **numbers)
    lengths = side.lengths[side.lengths > 0]
    lengths = lengths / lengths.max()  # or fourth powers would leave the range
    spread = float(lengths.std() / lengths.mean())
    if spread > 4 * HALF:
        effective = float(np.sum(lengths**2)) ** 2 / float(np.sum(lengths**4))
        severity = "warning" if effective < len(lengths) / 2 else "note"
        yield here("unnormalised vectors", severity, spread=spread, effective=effective)
    if (length := float(np.linalg.norm(side.direction))) > CONE:
        yield here("cone", "warning", length=length, cosine=length**2)
    if n > d:
        yield from _dimensions(side)


def _dimensions(side: Side) -> Iterator[Finding]:
    """Directions that carry nothing, or nearly everything, and columns that say the same."""
    here, d = partial(found, side=side.name), len(side.mean)
    # Rounding to half precision adds noise to every direction: HALF² of the mean square of a
    # coordinate, times (1 + √(d/n))² <= 4 in the worst direction.
    nothing = 4 * HALF**2 * side.energy / d
    total = float(side.values.sum())
    if total <= d * nothing:
        return
    rank = int(np.count_nonzero(side.values > nothing))
    shares = side.values / total
    effective = float(np.exp(-np.sum(shares * np.log(shares, where=shares > 0, out=0 * shares))))
    numbers = {"rank": rank, "effective": effective, "first": float(shares[0]), "d": d}
    if rank < d:
        yield here("collapsed dimensions", "warning" if rank < d / 2 else "note", **numbers)
    elif shares[0] > 0.5 and d > 3:  # one of three holds half by chance alone
        yield here("collapsed dimensions: to one", "warning", **numbers)
    variance = np.diagonal(side.covariance)
    varying = np.flatnonzero(variance > nothing)
    unit = side.covariance[np.ix_(varying, varying)]
    unit = unit / np.sqrt(np.outer(variance[varying], variance[varying]))
    twins = varying[np.argwhere(np.triu(unit**2 > 1 - 4 * HALF**2, 1))]
    if len(twins):
        again, (first, second) = len(np.unique(twins[:, 1])), twins[0].tolist()
        numbers = {"columns": again, "first": first, "second": second}
        yield here("duplicated dimensions", "warning" if again > d / 2 else "note", **numbers)


def _both_sides(pairs: Pairing, aligned: Alignment) -> Iterator[Finding]:
    """Look at the alignment: at lengths that differ, at what the map drops, and at hubs."""
    a, b = (float(np.sqrt(side.energy)) for side in (pairs.source, pairs.target))
    difference = pairs.source.lengths**2 - pairs.target.lengths**2
    by_chance = ndtri(1 - pairing.ALPHA / 2) * difference.std() / np.sqrt(pairs.n)
    if a * b and abs(difference.mean()) > by_chance + 4 * HALF * a * b:
        # ‖XW − Y‖ ≥ |‖X‖ − ‖Y‖| for every W: this much of the error is due to lengths alone.
        share = (a - b) ** 2 / max(aligned.error, (a - b) ** 2)
        severity: Severity = "warning" if share > 0.5 else "note"
        yield found("different scales", severity, ratio=b / a, share=share)

    W, second = aligned.map, pairs.moments.products()[0]
    (d_x, d_y), total = W.shape, float(np.trace(second))
    lost = 1 - float(np.vdot(W, second @ W)) / total if total else 0.0
    if lost > 0.5:
        least = 1 - float(np.linalg.eigvalsh(second)[-d_y:].sum()) / total
        yield found("information loss", "warning", lost=lost, least=least, d_x=d_x, d_y=d_y)

    m, k = len(pairs.sample), min(10, len(pairs.sample))
    queries = pairs.source.rows[pairs.sample] @ W
    hits, _ = search(queries, pairs.target.rows[pairs.sample], k)
    times = np.bincount(hits.ravel(), minlength=m)
    never = float(np.mean(times == 0))
    missed = 1 - float(np.mean((hits == np.arange(m)[:, np.newaxis]).any(axis=1)))
    if queries.any() and never > 1 / (2 * np.sqrt(m)) and never > missed / 2:
        skewness = float(np.mean((times - k) ** 3) / np.mean((times - k) ** 2.0) ** 1.5)
        numbers = {"never": never, "missed": missed, "skewness": skewness, "k": k}
        yield found("hubness", "warning", **numbers, largest=int(times.max()))
