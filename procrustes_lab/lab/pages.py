"""HTML pages of executed notebooks and their index: nothing on them is fetched from anywhere."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

if TYPE_CHECKING:
    from .claims import Claim, Result

logging.getLogger("procrustes_lab.nbconvert").setLevel(logging.ERROR)  # pictures without a text


def heading(notebook: NotebookNode) -> tuple[str, str]:
    """Return a notebook's title, and the sentence that says what one takes away from it.

    The first cell is ``# Title`` and a paragraph, whose first sentence it is.
    """
    title, _, rest = notebook.cells[0].source.partition("\n")
    paragraph = rest.strip().partition("\n\n")[0].replace("\n", " ")
    paragraph = re.sub(r"^\*\*[^*]*\*\*\s*", "", paragraph)
    sentence = re.match(r".*?[.!?](?=\s|$)", paragraph)
    return title.removeprefix("# ").strip(), sentence[0] if sentence else paragraph


def breadth(png: str) -> str:
    """Say how broad a picture in base64 is: its text is small where a phone's width has to do."""
    width = int.from_bytes(base64.b64decode(png[:32])[16:20])
    return "broad" if width > 900 else "medium" if width > 680 else "narrow"


def _formula(tex: str, display: str = "inline") -> str:
    """Return a formula as MathML; the names of operators, which the converter slants, upright."""
    tex = re.sub(r"\\arg\\(max|min)", r"\\operatorname{arg\\,\1}", tex)
    tex = re.sub(r"(\\operatorname\*?\{[^{}]*\})(?!\s*[(_^])", r"\1\\,", tex)
    tex = re.sub(r"\\operatorname\*?", r"\\mathrm", tex)
    return str(convert(tex, display=display))


class _MathMl(IPythonRenderer):
    """Markdown whose formulas are set when the page is made."""

    def inline_math(self, body: str) -> str:
        return _formula(unescape(body))

    def block_math(self, body: str) -> str:
        return f'<div class="formula">{_formula(unescape(body), "block")}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class PageExporter(HTMLExporter):
    """nbconvert's page without scripts: formulas in MathML, cells tagged `hide-input` folded."""

    def __init__(self, **settings: Any) -> None:
        settings = {"raw_template": _beside("page.html.j2"), **settings}
        super().__init__(log=logging.getLogger("procrustes_lab.nbconvert"), **settings)  # type: ignore[no-untyped-call]

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Return Markdown as HTML; the name is nbconvert's."""
        renderer = _MathMl(escape=False, exclude_anchor_links=self.exclude_anchor_links)
        return str(MarkdownWithMath(renderer=renderer).render(source))

    def default_filters(self) -> Any:
        """Yield nbconvert's filters, and ours for formulas that a cell has put out."""
        yield from super().default_filters()  # type: ignore[no-untyped-call]
        yield "markdown2html", self.markdown2html
        yield "latex2html", lambda source: _formula(source.strip(" $\n"), "block")
        yield "breadth", breadth


def write_page(path: Path, folder: Path) -> None:
    """Render a notebook as a page of the same name in a folder."""
    notebook = nbformat.read(path, as_version=4)
    title, _ = heading(notebook)
    page, _ = PageExporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")


def index(results: Sequence[Result], notebooks: Path) -> str:
    """Return the page that links the notebooks of a folder, and lists every claim."""
    claims = [(result.name, claim) for result in results for claim in result.claims]
    held = sum(result.held for result in results)
    failed = sum(result.failure is not None for result in results)
    return Template(_beside("index.html")).substitute(
        held=held,
        checked=len(claims),
        state="fails" if failed or held < len(claims) else "holds",
        notebooks="".join(_notebook_row(result, notebooks) for result in results),
        claims="".join(_claim_row(name, claim) for name, claim in claims),
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _notebook_row(result: Result, notebooks: Path) -> str:
    path = notebooks / f"{result.name}.ipynb"
    title, takeaway = result.name, ""
    if path.exists():
        title, takeaway = heading(nbformat.read(path, as_version=4))
    failure = f'<br><span class="fails">{escape(result.failure)}</span>' if result.failure else ""
    renderer = MarkdownWithMath(renderer=_MathMl(escape=True))
    words = renderer.render(takeaway).strip().removeprefix("<p>").removesuffix("</p>")
    return (
        f'<tr><td><a href="html/{quote(result.name)}.html">{escape(title)}</a>'
        f'<br><span class="quiet">{words}</span>{failure}</td>'
        f'<td class="number">{result.seconds:.1f}</td>'
        f'<td class="number">{result.held} of {len(result.claims)}</td></tr>\n'
    )


def _claim_row(name: str, claim: Claim) -> str:
    mark, state = ("✓", "holds") if claim.holds else ("✗", "fails")
    margin = "" if claim.margin is None else f"{claim.margin:.4g}"
    return (
        f'<tr><td class="{state}">{mark}</td><td>{escape(claim.id)}</td>'
        f"<td>{escape(claim.sentence)}</td><td>{escape(claim.comparison)}</td>"
        f'<td class="number">{margin}</td>'
        f'<td><a href="html/{quote(name)}.html">{escape(name)}</a></td></tr>\n'
    )
