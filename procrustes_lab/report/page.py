"""What the report's page is made of: HTML in which every given text is escaped."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from procrustes_lab.lab import tables
from procrustes_lab.lab.tables import Html


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
