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
        body = [
            [f"**{cell}**" if (i, j) in self.bold else cell for j, cell in enumerate(row)]
            for i, row in enumerate(self.rows)
        ]
        lines = ["| " + " | ".join(_piped(row)) + " |" for row in (self.columns, rule, *body)]
        return "\n".join([*([self.caption, ""] if self.caption else []), *lines])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        side = [f"text-align:{'right' if right else 'left'}" for right in self.numeric]
        head = "".join(
            f'<th style="{s}">{escape(c)}</th>' for c, s in zip(self.columns, side, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="{s};white-space:{"nowrap" if right else "normal"}">'
                + (f"<b>{escape(cell)}</b>" if (i, j) in self.bold else escape(cell))
                + "</td>"
                for j, (cell, s, right) in enumerate(zip(row, side, self.numeric, strict=True))
            )
            + "</tr>"
            for i, row in enumerate(self.rows)
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
    shown = tuple(
        tuple(_shown(cell, d) for cell, d in zip(row, places, strict=True)) for row in cells
    )
    numeric = tuple(
        bool(cells) and all(not isinstance(row[j], str) for row in cells)
        for j in range(len(columns))
    )
    bold = set()
    for column, choose in (best or {}).items():
        j = columns.index(column)
        values = {i: _value(row[j]) for i, row in enumerate(cells) if row[j] is not None}
        wanted = _shown(choose(values.values()), places[j])
        bold |= {(i, j) for i, value in values.items() if _shown(value, places[j]) == wanted}
    return Table(tuple(columns), shown, numeric, frozenset(bold), caption)


def _value(cell: Any) -> float:
    return float(cell[0] if isinstance(cell, tuple) else cell)


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


def _piped(cells: Iterable[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]
