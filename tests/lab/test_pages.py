"""Pages of executed notebooks, as their reader meets them with no network."""

import io
from base64 import b64encode

import nbformat
import numpy as np
import pytest
from matplotlib import pyplot as plt
from nbformat import v4

from procrustes_lab.core.tables import table
from procrustes_lab.lab import pages
from procrustes_lab.lab.runner import METADATA

FORMULAS = r"""# Derive a bound

**What you will see.** That $p^2 \le \sqrt{2d}\,\varepsilon$ is *tight*. More is not said.

$$\begin{aligned} p^2 &= t - 2\lVert X^\top Y\rVert_* \\ &< t \end{aligned}$$

The best is $Q = \operatorname*{arg\,max}_Q \operatorname{tr}(Q^\top M)$, or $\arg\min_Q p$.

\begin{equation}\delta = \frac{\varepsilon}{n}\end{equation}

| a | b |
| --- | ---: |
| $x$ | 2 |
"""


@pytest.fixture
def page(tmp_path):
    shown = table(["map", "error"], [["turn", 0.25]])
    data = {"text/html": shown._repr_html_(), "text/plain": str(shown)}
    latex = {"text/latex": r"$\displaystyle \frac{1}{2}$", "text/plain": "1/2"}
    broad = io.BytesIO()
    plt.imsave(broad, np.ones((300, 1100)), format="png")
    drawn = {"image/png": b64encode(broad.getvalue()).decode(), "text/plain": "<Figure>"}
    outputs = [v4.new_output("display_data", shown) for shown in (data, latex, drawn)]
    cells = [
        v4.new_markdown_cell(FORMULAS),
        v4.new_code_cell("table", outputs=outputs, metadata={"tags": ["hide-input"]}),
    ]
    path = tmp_path / "01_derive.ipynb"
    nbformat.write(v4.new_notebook(cells=cells, metadata=METADATA), path)
    pages.write_page(path, tmp_path)
    return path.with_suffix(".html")


def test_a_page_is_told_by_its_title_and_what_one_takes_away(page):
    notebook = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    title, takeaway = pages.heading(notebook)
    assert title == "Derive a bound"
    assert takeaway == r"That $p^2 \le \sqrt{2d}\,\varepsilon$ is *tight*."
    assert "<title>Derive a bound</title>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_fetched_and_formulas_and_tables_are_set(page, chromium, width):
    shown = chromium.open(page, width=width)
    assert shown.foreign == []
    assert shown.console == []
    assert shown.overflow <= 0
    assert not any(sign in shown.text for sign in ("$", "\\", "*a", "| ---", "---:"))
    assert shown.evaluate("document.querySelectorAll('math').length") == 7
    assert (
        shown.evaluate("document.querySelector('math mfrac').getBoundingClientRect().height") > 10
    )
    assert shown.evaluate("document.querySelectorAll('table').length") == 2
    drawn = "document.querySelector('img').getBoundingClientRect().width"
    assert shown.evaluate(drawn) >= 640, "a broad picture scrolls in its own box on a phone"
    assert shown.evaluate("document.querySelectorAll('details:not([open])').length") == 1
