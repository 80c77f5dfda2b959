"""The one renderer of tables: what is shown, and that HTML and Markdown show the same."""

import re

import mistune
import pytest

from procrustes_lab.core.tables import table

COLUMNS = ("map", "nDCG@10", "pairs", "kept")
ROWS = [
    ("turn | centred", -0.33449, 12000, (0.9, 0.85, 0.95)),
    ("whitened", 0.5, 7, None),
]


def cells(html):
    return re.findall(r"<t[hd](?: [^>]*)?>(?:<b>|<strong>)?(.*?)(?:</b>|</strong>)?</t[hd]>", html)


def test_numbers_are_rounded_and_names_are_not():
    shown = table(COLUMNS, ROWS, digits={"kept": 2})
    assert str(shown).splitlines() == [
        "| map | nDCG@10 | pairs | kept |",
        "| --- | ---: | ---: | ---: |",
        "| turn \\| centred | −0.334 | 12,000 | 0.90 [0.85, 0.95] |",
        "| whitened | 0.500 | 7 | – |",
    ]
    sides = re.findall(r"<td style=\"text-align:(\w+)", shown.html)
    assert sides == ["left", "right", "right", "right"] * 2


def test_markdown_and_html_are_the_same_table():
    shown = table(COLUMNS, ROWS, best={"nDCG@10": max})
    rendered = mistune.create_markdown(plugins=["table"])(str(shown))
    assert "<table>" in rendered
    assert cells(rendered) == cells(shown._repr_html_())
    assert rendered.count("<strong>") == shown._repr_html_().count("<b>") == 1


def test_a_rounded_zero_has_no_sign():
    assert str(table(["x"], [[-1e-9]])).splitlines()[-1] == "| 0.000 |"


def test_names_stay_text():
    html = table(["<i>"], [["<b>&"]], caption="<u>")._repr_html_()
    assert re.findall(r"<(i|u|b)>", html) == []


def test_a_short_row_is_named():
    with pytest.raises(ValueError, match="row 1 has 1 cells; expected 2"):
        table(["a", "b"], [[1, 2], [3]])
