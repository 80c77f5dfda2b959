"""From an executed notebook to one page of HTML that asks nobody for anything.

Cells tagged `lab` and all code stay in the notebook. What a notebook shows by `table`, `words`,
`picture` and `card` is HTML in which every given text is escaped, whatever is in it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from itertools import count
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from procrustes_lab.core import lens
from procrustes_lab.lab import tables
from procrustes_lab.lab.tables import Html

from .verdict import Decision, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nbformat import NotebookNode

_STATE = {
    **dict.fromkeys((Decision.LEAVE, Decision.OPTIONAL), "wait"),
    **dict.fromkeys((Decision.KEEP, Decision.LATER, Decision.RE_SCORE), "go"),
    **dict.fromkeys((Decision.RE_EMBED, Decision.MIXED, Decision.UNPAIRED), "stop"),
}


def words(*paragraphs: str) -> Html:
    """Show paragraphs of plain text."""
    html = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    return Html(html, "\n\n".join(paragraphs))


def items(entries: Iterable[tuple[str, str]]) -> Html:
    """Show a list of entries, each a few words in bold and what is to be said of them."""
    entries = list(entries)
    rows = "".join(f"<li><b>{escape(lead)}</b> {escape(rest)}</li>" for lead, rest in entries)
    return Html(f"<ul>{rows}</ul>", "\n".join(f"- {lead} {rest}" for lead, rest in entries))


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """Show a table, in a frame of its own that scrolls; cells as `lab.tables.table` takes them."""
    shown = tables.table(columns, rows, caption=caption)
    opening = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return Html(f"{opening}{shown.html}</div>", shown.text)


def picture(fig: Figure, description: str) -> Html:
    """Show a figure as inline SVG, with what a screen reader says in its place.

    Black becomes the colour of the text and white nothing, so that the figure suits light and dark
    pages. Coordinates are rounded to a tenth of a point: the same picture has the same bytes.
    """
    import matplotlib as mpl

    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "procrustes-lab"}):
        fig.savefig(file, format="svg", transparent=True, metadata=nothing)
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
    facts: Sequence[tuple[str, str]],
    cautions: Sequence[str],
) -> Html:
    """Show a verdict with its reason, the lens with the pair's point, and the main numbers.

    The pair is what the new and the old vectors are called; its point is `Certificate.lens_point`,
    with an explanation in words. Facts are values, each with what it is, and cautions what else has
    to be known before acting on the verdict.
    """
    new, old = pair
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
    """Turn an executed notebook, which first shows a `card`, into a page without code.

    What says when and by what it was `made` stands alone in a line. Returned with the page is its
    title, in plain text: the verdict, and on what.
    """
    from nbformat import NotebookNode

    from procrustes_lab.lab.pages import PageExporter

    shown = [cell for cell in notebook.cells if "lab" not in cell.metadata.get("tags", [])]
    without = {"exclude_input": True, "exclude_output_prompt": True, "exclude_anchor_links": True}
    exporter = PageExporter(raw_template=_BODY, **without)
    body, _ = exporter.from_notebook_node(NotebookNode({**notebook, "cells": shown}))
    headings: list[str] = re.findall(r"<h2>(.*?)</h2>", body)
    links = "".join(f'<li><a href="#part-{k}">{text}</a></li>' for k, text in enumerate(headings))
    number = count()
    body = re.sub("<h2>", lambda _: f'<h2 id="part-{next(number)}">', body)
    top, rest = re.split("(?<=</dl>)", body, maxsplit=1)
    old, new = re.findall(r"<b>(.*?)</b>", top, flags=re.DOTALL)[:2]
    title = re.sub(r".*<h1[^>]*>(.*?)</h1>.*", r"\1", top, flags=re.DOTALL)
    title = f"{title}: {old} to {new}"
    # It lets nothing be loaded from anywhere, whatever is in the vectors' names.
    shell = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    page = shell.substitute(title=title, card=top, links=links, rest=rest, made=escape(made))
    return page, unescape(title)


_BODY = """{% extends 'base/display_priority.j2' %}
{% block markdowncell %}{{ cell.source | markdown2html }}{% endblock %}
{% block data_html %}<div class="output">{{ output.data['text/html'] }}</div>{% endblock %}
{% block execute_result %}{{ self.data_priority() }}{% endblock %}
{% block display_data %}{{ self.data_priority() }}{% endblock %}"""
