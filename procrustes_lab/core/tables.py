"""The one renderer of tables: in a notebook, on its HTML page, in a file of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Html:
    """Something to show: as HTML where that can be shown, else as plain text."""

    html: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    digits: int | Mapping[str, int] = 3,
    best: Mapping[str, Any] | None = None,
    caption: str = "",
) -> Html:
    """Lay out rows of names and numbers; as text, in Markdown.

    Columns are headings, and a row has a cell for each (else ValueError): text, a number, None (a
    dash), or ``(value, low, high)``, which is shown as ``value [low, high]``. A column whose cells
    are all numbers stands to the right. `digits` are the decimals of floats, for all columns or by
    heading (3 where it names none). `best` has ``max`` or ``min`` for a heading: the cells with
    that value are set in bold. The caption, a sentence, stands above.
    """
    cells = [tuple(row) for row in rows]
    for number, row in enumerate(cells):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells; expected {len(columns)}")
    places = [digits if isinstance(digits, int) else digits.get(column, 3) for column in columns]
    plain = [list(map(_shown, row, places)) for row in cells]
    marked = [[escape(cell) for cell in row] for row in plain]
    for column, choose in (best or {}).items():
        j = columns.index(column)
        values = [row[j][0] if isinstance(row[j], tuple) else row[j] for row in cells]
        wanted = _shown(float(choose(value for value in values if value is not None)), places[j])
        for i, value in enumerate(values):
            if value is not None and _shown(float(value), places[j]) == wanted:
                plain[i][j], marked[i][j] = f"**{plain[i][j]}**", f"<b>{marked[i][j]}</b>"

    words = {j for row in cells for j, cell in enumerate(row) if isinstance(cell, str)}
    numeric = [bool(cells) and j not in words for j in range(len(columns))]
    lines = [columns, ["---:" if right else "---" for right in numeric], *plain]
    piped = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    text = "\n".join([*([caption, ""] if caption else []), *(f"| {line} |" for line in piped)])

    sides = [f"text-align:{'right' if right else 'left'}" for right in numeric]
    wraps = ["nowrap" if right else "normal" for right in numeric]
    styles = [f"{side};white-space:{wrap}" for side, wrap in zip(sides, wraps, strict=True)]
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = _html_row("th", map(escape, columns), sides)
    body = "".join(_html_row("td", row, styles) for row in marked)
    return Html(f"<table>{above}<thead>{head}</thead><tbody>{body}</tbody></table>", text)


def _html_row(tag: str, cells: Iterable[str], styles: Sequence[str]) -> str:
    styled = zip(styles, cells, strict=True)
    row = "".join(f'<{tag} style="{style}">{cell}</{tag}>' for style, cell in styled)
    return f"<tr>{row}</tr>"


def _shown(cell: Any, digits: int) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        value, low, high = (_shown(part, digits) for part in cell)
        return f"{value} [{low}, {high}]"
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if isinstance(cell, int | np.integer):
        return f"{cell:,}".replace("-", "−")
    text = f"{float(cell):,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", "−")
