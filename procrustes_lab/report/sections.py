"""What the page shows of a study, beside words: tables and pictures, numbers as measured.

Of what is given as text, all is escaped.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from procrustes_lab.core import bounds, tables
from procrustes_lab.core.sampling import learning_curve
from procrustes_lab.core.tables import Html
from procrustes_lab.lab.plotting import COLOURS
from procrustes_lab.search.retrieval import bootstrap_interval

from .asked import NEW, OLD, again, aligned
from .study import NATIVE, Study, sides_named
from .words import paragraphs, sentence, template, words

REPORT_MIME = "application/vnd.procrustes-lab.report+json"


@dataclass(frozen=True)
class Facts:
    """The study's numbers for programs; a notebook keeps them as JSON, and shows the verdict."""

    found: dict[str, Any]

    def _repr_mimebundle_(self, **options: object) -> dict[str, Any]:
        return {REPORT_MIME: self.found, "text/plain": repr(self.found["verdict"])}


def facts(study: Study) -> Facts:
    """Return all that the verdict rests on, as JSON has it."""
    evidence, verdict, certificate = study.evidence, study.verdict, study.certificate
    found = {
        "verdict": verdict.decision.code,
        "decision": str(verdict.decision),
        "reason": verdict.reason,
        "advice": verdict.decision.advice,
        "basis": verdict.basis,
        "map": study.chosen,
        "pairs": study.pairs.n,
        "by": study.pairs.by,
        "error": certificate.error,
        "energy": certificate.energy,
        "found": evidence.found,
        "overlap": evidence.overlap,
        "overlap_of_old": evidence.native,
        "maps": {
            name: {
                "chosen_by": score,
                "found": float(study.first[name].mean()),
                "overlap": float(study.shared[name].mean()),
            }
            for name, score in study.chosen_by.items()
        },
        "findings": [
            {"kind": f.kind, "severity": f.severity, "sentence": sides_named(f.sentence)}
            for f in study.diagnosis
        ],
        "seed": study.seed,
    }
    if answers := study.answers:
        rescored = [one._asdict() for one in answers.outcome.rescored]
        found["search"] = vars(answers.outcome) | {"rescored": rescored, "worse": answers.worst}
    return Facts(found)


def verdict_card(study: Study, names: tuple[str, str]) -> Html:
    """Show the verdict on the new and the old file, by these names: why, the lens, main numbers."""
    verdict, cautions = study.verdict, paragraphs("cautions", study)
    tiles = [entry.split(": ", 1) for entry in paragraphs("tiles", study)]
    drawing = bounds.svg(*study.certificate.lens_point)
    html = template("card.html.j2").render(
        new=names[0], old=names[1], verdict=verdict, cautions=cautions, lens=drawing, tiles=tiles
    )
    said = [f"{verdict.decision}. {verdict.reason}", verdict.decision.advice]
    said += [f"Rests on {verdict.basis}.", *cautions, *map("  ".join, tiles)]
    return Html(html, "\n".join(said))


def certificate_table(study: Study) -> Html:
    """Show the certificate's numbers that matter here."""
    c = study.certificate
    rows = [
        ("energy", c.energy, "squared lengths of both vectors of a pair together"),
        ("error", c.error, "left by the best turn, on all pairs"),
        ("lower", c.lower, "no turn can leave less (T2)"),
        ("upper", c.best_upper, "the best turn cannot leave more (T2, T3)"),
        ("theorem", c.theorem, "the bound by Maystre and others (T1)"),
        ("delta", c.delta, "disagreement of a dot product, root mean square"),
    ]
    shown = [(name, float(f"{value:.4g}"), meaning) for name, value, meaning in rows]
    return table("Squared distances per object", ["name", "value", "what it says"], shown)


def maps_table(study: Study) -> Html:
    """Show every map, by what chose and by what grades."""
    rows = []
    for name, shared in study.shared.items():
        first = None if name == NATIVE else with_interval(study, study.first[name])
        mark = " (chosen)" if name == study.chosen else ""
        score = study.chosen_by.get(name)
        rows.append([f"{name}{mark}", score, first, with_interval(study, shared)])
    title = "All maps on held-out objects, with 95 % intervals (bootstrap)"
    heads = [
        "map",
        "score on pairs that choose",
        "finds its own first",
        "neighbours shared with new",
    ]
    return table(title, heads, rows)


def search_table(study: Study) -> Html:
    """Show every system's scores; a rule of thumb without queries."""
    if (answers := study.answers) is None:
        return words("rule_of_thumb", study.evidence.overlap)
    rows = []
    for name, values in answers.graded.items():
        gain = None if name == OLD else with_interval(study, values[:, 0] - answers.before)
        mark = " (chosen)" if name == aligned(study.chosen) else ""
        rows.append([f"{name}{mark}", *values.mean(axis=0), gain])
    heads = ["queries and index", "nDCG@10", "recall@100", "MRR", "gain in nDCG@10"]
    return table("Search, and the gain over what you have with its 95 % interval", heads, rows)


def search_picture(study: Study) -> Html:
    """Draw the systems that there is a choice between."""
    if (answers := study.answers) is None:
        return Html("", "")
    rescored = dict.fromkeys((again(one.k) for one in answers.outcome.rescored), "purple")
    colours = {OLD: "orange", aligned(study.chosen): "blue", **rescored, NEW: "green"}
    scores = [with_interval(study, answers.graded[name][:, 0]) for name in colours]
    means, *ends = zip(*scores, strict=True)
    fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.42 * len(colours)))
    errors, shown = np.abs(np.subtract(ends, means)), [COLOURS[name] for name in colours.values()]
    ax.barh(list(colours), means, xerr=errors, color=shown, ecolor="black", height=0.6)
    ax.axvline(means[0], color="k", ls=":", lw=1.2)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlabel="nDCG@10, with 95 % interval", xlim=(0, None))
    spoken = "; ".join(f"{name} {mean:.3f}" for name, mean in zip(colours, means, strict=True))
    return picture(fig, f"Bars of nDCG@10: {spoken}")


def costs(study: Study, speed: float, price: float) -> Html:
    """Show what each decision costs in vectors of the new model, hours, and money.

    Of these, `speed` is how many a second and `price` that of a million; 0 if not known.
    """
    counts = {
        "fit a map on these pairs": 0,
        "embed all documents of the old file again": len(study.pairs.old.rows),
    }
    if outcome := study.evidence.search:
        each = f"vectors a query; for these {outcome.queries:,} queries, each document once"
        for one in outcome.rescored:
            counts[f"re-score the first {one.k}: {one.k} {each}"] = one.vectors
    rows = [
        (to, k, k / speed / 3600 if speed else None, k * price / 1e6 if price else None)
        for to, k in counts.items()
    ]
    title = "What it costs, with the speed and the price given (--speed, --price)"
    return table(title, ["to", "new vectors", "hours", "money"], rows)


def learning(study: Study) -> tuple[Html, Html]:
    """Draw the error against the number of pairs, and say how many are enough."""
    c, n, seed = study.certificate, study.pairs.n, study.seed
    dimension = min(c.source_dim, c.target_dim)
    some = np.sort(np.random.default_rng(seed).permutation(n)[:8000])
    unseen = max(2, min(1000, len(some) // 5))
    if len(some) - unseen < 6 * dimension:
        return words("no_curve", n, dimension), Html("", "")
    curve = learning_curve(*study.pairs.take(some), held_out=unseen, draws=3, seed=seed)
    if max(curve.held_out) < 1e-9 * c.energy:
        return words("exact", curve), Html("", "")
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    ax.plot(curve.sizes, curve.held_out, "o-", label="on pairs it has not seen")
    ax.plot(curve.sizes, curve.fitted, "s--", label="on the pairs fitted on")
    ax.axhline(curve.floor, color="k", ls=":", lw=1.2, label="the best turn there is")
    ax.set(xscale="log", xlabel="pairs fitted on", ylabel="mean squared distance")
    ax.set_ylim(0, 1.06 * max(curve.held_out))
    ax.set_xticks(curve.sizes, [f"{m:,}" if k % 2 == 0 else "" for k, m in enumerate(curve.sizes)])
    ax.minorticks_off()
    ax.legend(loc="lower right")
    drawn = picture(fig, sentence("drawn_curve", curve))
    return drawn, words("enough", n, curve, 0.01 * c.energy)


def diagnosis_items(study: Study) -> tuple[Html, Html]:
    """Show the findings, and name the rows they are about."""
    diagnosis, diagnosed, pairs = study.diagnosis, study.diagnosed, study.pairs
    scope = words("diagnosed", study)
    if not diagnosis.findings:
        return scope, Html("", "")
    some = len(diagnosed) < pairs.n
    by = "by row of the old file, from 0" if pairs.old.ids is None else "by id"
    note = " Row numbers in the sentences above count within the rows looked at." if some else ""
    found, named = [], []
    for finding in diagnosis:
        kind, said = finding.kind.capitalize(), sides_named(finding.sentence)
        found.append((f"{kind} ({finding.severity}).", f"{said} What to do: {finding.remedy}"))
        if 0 < len(finding.rows) < len(diagnosed):
            rows = diagnosed[finding.rows[:10]]
            rows = rows if pairs.old_rows is None else pairs.old_rows[rows]
            first = ", ".join(map(str, rows if pairs.old.ids is None else pairs.old.ids[rows]))
            side = said.startswith("The ") * f" of t{said[1:].partition(':')[0]}"
            named.append((f"{kind}{side}, {by}, the first of them:", f"{first}.{note}"))
    return items(found), items(named) if named else scope


def made_from(study: Study, command: str, about: Mapping[str, str]) -> Html:
    """Show what the page can be made from again."""
    measured = [entry.split(": ", 1) for entry in paragraphs("made_from", study)]
    rows = [("command", command), *measured, *about.items()]
    return table("What this page was made from", ["what", "value"], rows)


def with_interval(study: Study, values: NDArray[Any]) -> tuple[float, float, float]:
    """Return a mean with its 95 % interval, as tables show it."""
    return float(np.mean(values)), *bootstrap_interval(values, study.seed)


def items(entries: Iterable[tuple[str, str]]) -> Html:
    """Show a list of entries, each a few words in bold and what is to be said of them."""
    entries = list(entries)
    rows = "".join(f"<li><b>{escape(lead)}</b> {escape(rest)}</li>" for lead, rest in entries)
    return Html(f"<ul>{rows}</ul>", "\n".join(f"- {lead} {rest}" for lead, rest in entries))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """Show a table, in a frame of its own that scrolls; cells as `core.tables.table` takes them."""
    shown = tables.table(columns, rows, caption=caption)
    opening = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return Html(f"{opening}{shown.html}</div>", shown.text)


def picture(fig: Figure, description: str) -> Html:
    """Close a figure and show it as inline SVG, with what a screen reader says in its place.

    Black becomes the colour of the text and white nothing, so that the figure suits light and dark
    pages. Coordinates are rounded to a tenth of a point: the same picture has the same bytes.
    """
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        fig.savefig(file, format="svg", transparent=True, metadata=nothing)
    plt.close(fig)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = svg.replace("#000000", "currentColor")
    # Elements that nothing refers to need no name, and no name may come twice on a page.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda name: name[0] if name[1] in used else "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    opening = f'<svg role="img" aria-label="{escape(description)}" fill="currentColor"'
    svg = svg.replace("<svg", opening, 1).strip()
    return Html(f'<figure class="picture">{svg}</figure>', description)
