"""From an executed notebook to one page of HTML that asks nobody for anything.

Cells tagged `lab` and all code stay in the notebook. What a notebook shows by `table`, `words`,
`picture` and `card` is HTML in which every given text is escaped, whatever is in it.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from procrustes_lab.core import lens
from procrustes_lab.lab import tables
from procrustes_lab.lab.claims import CLAIM_MIME

from .verdict import Decision, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nbformat import NotebookNode

_STATE = {
    Decision.LEAVE: "wait",
    Decision.OPTIONAL: "wait",
    Decision.RESCORE: "go",
    Decision.KEEP: "go",
    Decision.LATER: "go",
    Decision.EMBED: "stop",
    Decision.MIXED: "stop",
    Decision.UNPAIRED: "stop",
}


@dataclass(frozen=True)
class Html:
    """Something to show: as HTML where that can be shown, else as plain text."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def words(*paragraphs: str) -> Html:
    """Show paragraphs of plain text."""
    html = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return Html(html, "\n\n".join(paragraphs))


def items(entries: Iterable[tuple[str, str]]) -> Html:
    """Show a list of entries, each a few words in bold and what is to be said of them."""
    entries = list(entries)
    rows = "".join(f"<li><b>{escape(lead)}</b> {escape(rest)}</li>" for lead, rest in entries)
    return Html(f"<ul>{rows}</ul>", "\n".join(f"- {lead} {rest}" for lead, rest in entries))


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    digits: int | Mapping[str, int] = 3,
) -> Html:
    """Show a table, in a frame of its own that scrolls; cells as `lab.tables.table` takes them."""
    shown = tables.table(columns, rows, digits=digits, caption=caption)
    opening = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return Html(f"{opening}{shown._repr_html_()}</div>", str(shown))


def picture(fig: Figure, description: str) -> Html:
    """Show a figure as inline SVG in the page's own text colour.

    Black becomes the colour of the text and white nothing, so that the figure suits light and dark
    pages. Coordinates are rounded to a tenth of a point: the same picture has the same bytes.

    Parameters
    ----------
    fig : Figure
    description : str
        What a screen reader says in its place.
    """
    import matplotlib as mpl

    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "procrustes-lab"}):
        fig.savefig(
            file,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
        )
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = svg.replace("#000000", "currentColor")
    # Elements that nothing refers to need no name, and no name may come twice on a page.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda name: name[0] if name[1] in used else "", svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\1f{own}-", svg)
    svg = re.sub(r">\s+<", "><", svg)
    opening = f'<svg role="img" aria-label="{escape(description)}" fill="currentColor"'
    svg = svg.replace("<svg", opening, 1).strip()
    return Html(f'<figure class="picture">{svg}</figure>', description)


def card(
    verdict: Verdict,
    pair: tuple[str, str],
    point: tuple[float, float],
    explanation: str,
    facts: Iterable[tuple[str, str]],
    cautions: Iterable[str],
) -> Html:
    """Show a verdict with its reason, the lens with the pair's point, and the main numbers.

    Parameters
    ----------
    verdict : Verdict
    pair : (str, str)
        What the new and the old vectors are called.
    point : (float, float)
        Δ/t and p²/t, as `Certificate.lens_point` has them.
    explanation : str
        The point in words.
    facts : iterable of (str, str)
        A value, and what it is.
    cautions : iterable of str
        What else has to be known before acting on the verdict.
    """
    facts, cautions, (new, old) = list(facts), list(cautions), pair
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for value, name in facts
    )
    notes = "".join(f"<li>{escape(caution)}</li>" for caution in cautions)
    html = (
        f'<section class="card {_STATE[verdict.decision]}" aria-labelledby="verdict"><div>'
        f"<p>From the old vectors <b>{escape(old)}</b> to the new <b>{escape(new)}</b></p>"
        f'<h1 id="verdict">{escape(verdict.decision)}</h1>'
        f'<p class="reason">{escape(verdict.reason)}</p>'
        f"<p>{escape(verdict.decision.advice)}</p>"
        f"<p>Rests on {escape(verdict.basis)}.</p>"
        + (f"<ul>{notes}</ul>" if notes else "")
        + f"</div><figure>{lens.svg(*point)}<figcaption>{escape(explanation)}</figcaption></figure>"
        f"</section><dl>{tiles}</dl>"
    )
    lines = [f"{verdict.decision}. {verdict.reason}", verdict.decision.advice]
    text = [*lines, f"Rests on {verdict.basis}.", *cautions]
    return Html(html, "\n".join([*text, *(f"{value}  {name}" for value, name in facts)]))


def render(notebook: NotebookNode, made: str) -> tuple[str, str]:
    """Turn an executed notebook into a page: Markdown and outputs, without code.

    Parameters
    ----------
    notebook : NotebookNode
        The first that it shows is a `card`.
    made : str
        When and by what the page was made; stands alone in a line.

    Returns
    -------
    page : str
    title : str
        The verdict, and on what; plain text.
    """
    from nbconvert import HTMLExporter
    from nbformat import NotebookNode

    quiet = logging.getLogger("procrustes_lab.nbconvert")
    quiet.setLevel(logging.ERROR)
    shown = [cell for cell in notebook.cells if "lab" not in cell.metadata.get("tags", [])]
    for cell in shown:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if (data := output.get("data", {})).get("text/html") and CLAIM_MIME not in data
            ]
    exporter = HTMLExporter(
        raw_template=_TEMPLATE,
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        log=quiet,
    )
    body, _ = exporter.from_notebook_node(NotebookNode({**notebook, "cells": shown}))
    headings: list[str] = re.findall(r"<h2>(.*?)</h2>", body)
    for number, text in enumerate(headings):
        body = body.replace(f"<h2>{text}", f'<h2 id="part-{number}">{text}', 1)
    links = "".join(f'<li><a href="#part-{k}">{text}</a></li>' for k, text in enumerate(headings))
    verdict, rest = body.split("</dl>", 1)
    old, new = re.findall(r"<b>(.*?)</b>", verdict, flags=re.DOTALL)[:2]
    title = re.sub(r".*<h1[^>]*>(.*?)</h1>.*", r"\1", verdict, flags=re.DOTALL)
    title = f"{title}: {old} to {new}"
    page = (
        _HEAD.replace("{{ title }}", title)
        + f'{verdict}</dl><nav aria-label="On this page"><ul>{links}</ul></nav>{rest}'
        + f'</main>\n<footer>\n<p id="made">{escape(made)}</p>\n</footer>\n</body>\n</html>\n'
    )
    return page, unescape(title)


_TEMPLATE = """{% extends 'base/display_priority.j2' %}
{% block markdowncell %}{{ cell.source | markdown2html }}{% endblock %}
{% block data_html %}<div class="output">{{ output.data['text/html'] }}</div>{% endblock %}
{% block execute_result %}{{ self.data_priority() }}{% endblock %}
{% block display_data %}{{ self.data_priority() }}{% endblock %}"""

# Nothing may be loaded from anywhere, whatever is in the vectors' names.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --text: #1d2127; --quiet: #59616c; --page: #fff;
  --raised: #f5f7f9; --line: #dfe3e8; --link: #00609b;
  --go: #007a59; --stop: #b84a00; --wait: #6b4fa0; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --quiet: #a3acb7; --page: #15181c;
  --raised: #1d2228; --line: #343b43; --link: #6cc0f5; --go: #3ccfa2; --stop: #ff9a5c;
  --wait: #bda4f2; } }
@media print { :root { color-scheme: light; --text: #000; --quiet: #333; --page: #fff;
  --raised: #fff; --line: #bbb; --link: #000; --go: #007a59; --stop: #b84a00; --wait: #6b4fa0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 58rem; background: var(--page);
  color: var(--text); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; padding: .3rem .7rem; background: var(--page); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
a { color: var(--link); }
h1 { margin: .2rem 0 .6rem; font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; }
h2 { margin: 2.8rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line);
  font-size: 1.3rem; line-height: 1.3; }
p, ul { margin: .7rem 0; max-width: 46rem; }
li { margin: .35rem 0; }
code { overflow-wrap: anywhere; font-size: .92em; }
pre { overflow-x: auto; padding: .7rem 1rem; background: var(--raised); border-radius: .4rem; }
.card { display: grid; grid-template-columns: 1fr auto; gap: .5rem 2rem; align-items: center;
  padding: 1.2rem 1.5rem; background: var(--raised); border-radius: .6rem;
  border-left: .5rem solid var(--wait); }
.card.go { border-color: var(--go); } .card.stop { border-color: var(--stop); }
.card.go h1 { color: var(--go); } .card.stop h1 { color: var(--stop); }
.card.wait h1 { color: var(--wait); }
.card p { margin: .4rem 0; color: var(--quiet); }
.card .reason { font-size: 1.12rem; color: var(--text); }
.card figure { margin: 0; width: 15.5rem; }
.card figure svg { display: block; width: 100%; height: auto; }
figcaption { margin-top: .3rem; color: var(--quiet); font-size: .88rem; line-height: 1.4; }
dl { display: grid; gap: .8rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(max(9.5rem, 30%), 1fr)); }
dl div { display: flex; flex-direction: column-reverse; justify-content: flex-end;
  padding: .7rem .9rem; border: 1px solid var(--line); border-radius: .5rem; }
dt { color: var(--quiet); font-size: .88rem; line-height: 1.35; }
dd { margin: 0; font-size: 1.2rem; font-weight: 600; white-space: nowrap; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none;
  max-width: none; }
.output, .scroll { overflow-x: auto; }
.output .scroll { margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem;
  overflow-wrap: normal; }
caption { padding: .2rem 0 .4rem; color: var(--quiet); text-align: left; font-size: .92rem; }
th, td { padding: .4rem 1.1rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-weight: 400; }
td:first-child { min-width: 8rem; }
td { min-width: 4rem; }
thead th { color: var(--quiet); font-size: .9rem; vertical-align: bottom; }
.picture { margin: 1rem 0; overflow-x: auto; }
.picture svg { display: block; width: 100%; max-width: 42rem; min-width: 21rem; height: auto;
  font-family: inherit; }
footer { margin-top: 3rem; color: var(--quiet); font-size: .9rem; }
@media (max-width: 44rem) { .card { grid-template-columns: 1fr; padding: 1rem 1.1rem; }
  .card figure { width: 100%; max-width: 15.5rem; } body { padding: 1rem .9rem 3rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .skip, nav { display: none; }
  .output, .scroll, .picture { overflow: visible; }
  section, figure, tr, dl, li { break-inside: avoid; }
  h2 { break-after: avoid; } table { font-size: 9pt; } }
</style>
</head>
<body>
<a class="skip" href="#verdict">Skip to the verdict</a>
<header><p>Procrustes Lab · compatibility report: must everything be embedded again?</p></header>
<main>
"""
