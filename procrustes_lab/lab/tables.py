"""The one renderer of tables: in a notebook, on its HTML page, in a file of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; displays as a table, and is Markdown as a string."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    bold: frozenset[tuple[int, int]]
    caption: str = ""

    def __str__(self) -> str:
        rule = ["---:" if right else "---" for right in self.numeric]
        lines = [self.columns, rule, *self._marked(self.rows, "**", "**")]
        piped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        caption = [self.caption, ""] if self.caption else []
        return "\n".join([*caption, *(f"| {' | '.join(line)} |" for line in piped)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sides = [f"text-align:{'right' if right else 'left'}" for right in self.numeric]
        wraps = [f"white-space:{'nowrap' if right else 'normal'}" for right in self.numeric]
        styles = [";".join(style) for style in zip(sides, wraps, strict=True)]
        escaped = [[escape(cell) for cell in row] for row in self.rows]
        head = _html_row("th", sides, map(escape, self.columns))
        body = "".join(_html_row("td", styles, row) for row in self._marked(escaped, "<b>", "</b>"))
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"

    def _marked(self, rows: Sequence[Sequence[str]], before: str, after: str) -> list[list[str]]:
        marked = [list(row) for row in rows]
        for i, j in self.bold:
            marked[i][j] = before + marked[i][j] + after
        return marked


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    digits: int | Mapping[str, int] = 3,
    best: Mapping[str, Any] | None = None,
    caption: str = "",
) -> Table:
    """Lay out rows of names and numbers, with a cell for every column: else ValueError.

    Parameters
    ----------
    columns : sequence of str
        Headings, plain text.
    rows : iterable of sequences
        One cell a column: text, a number, None (a dash), or ``(value, low, high)``, which is
        shown as ``value [low, high]``. A column whose cells are all numbers stands to the right.
    digits : int or mapping of str to int
        Decimals of floats, for all columns or by heading (3 where it names none).
    best : mapping of str to callable, optional
        For a heading ``max`` or ``min``: the cells that have it are set in bold.
    caption : str
        A sentence above the table.
    """
    cells = [tuple(row) for row in rows]
    for number, row in enumerate(cells):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells; expected {len(columns)}")
    places = [digits if isinstance(digits, int) else digits.get(column, 3) for column in columns]
    shown = tuple(tuple(map(_shown, row, places)) for row in cells)
    text = {j for row in cells for j, cell in enumerate(row) if isinstance(cell, str)}
    numeric = tuple(bool(cells) and j not in text for j in range(len(columns)))
    bold = set()
    for column, choose in (best or {}).items():
        j = columns.index(column)
        given = {i: row[j] for i, row in enumerate(cells) if row[j] is not None}
        values = {i: float(v[0] if isinstance(v, tuple) else v) for i, v in given.items()}
        wanted = _shown(choose(values.values()), places[j])
        bold |= {(i, j) for i, value in values.items() if _shown(value, places[j]) == wanted}
    return Table(tuple(columns), shown, numeric, frozenset(bold), caption)


def _html_row(tag: str, styles: Iterable[str], cells: Iterable[str]) -> str:
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
