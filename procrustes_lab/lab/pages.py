"""HTML pages of executed notebooks and their index: nothing on them is fetched from anywhere."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from .claims import Result, shown

logging.getLogger("procrustes_lab.nbconvert").setLevel(logging.ERROR)  # pictures without a text


def heading(notebook: NotebookNode) -> tuple[str, str]:
    """Return the title of a notebook's first cell, and the first sentence of its paragraph."""
    title, _, rest = notebook.cells[0].source.partition("\n")
    paragraph = rest.strip().partition("\n\n")[0].replace("\n", " ")
    paragraph = re.sub(r"^\*\*[^*]*\*\*\s*", "", paragraph)
    sentence = re.match(r".*?[.!?](?=\s|$)", paragraph)
    return title.removeprefix("# ").strip(), sentence[0] if sentence else paragraph


def breadth(png: str) -> str:
    """Say how broad a picture in base64 is: its text is small where a phone's width has to do."""
    width = int.from_bytes(base64.b64decode(png[:32])[16:20])  # dots, 120 an inch
    return "broad" if width > 1080 else "medium" if width > 816 else "narrow"


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
        """Yield nbconvert's filters, and ours, one of which leaves code as Pygments wrote it."""
        yield from super().default_filters()  # type: ignore[no-untyped-call]
        yield "latex2html", lambda source: _formula(source.strip(" $\n"), "block")
        yield "breadth", breadth
        yield "clean_html", lambda source: source


def write_page(path: Path, folder: Path) -> None:
    """Render a notebook as a page of the same name in a folder."""
    notebook = nbformat.read(path, as_version=4)
    title, _ = heading(notebook)
    page, _ = PageExporter().from_notebook_node(notebook, {"metadata": {"name": title}})
    (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")


def index(results: Sequence[Result], notebooks: Sequence[Path]) -> str:
    """Return the page that links notebooks, as executed, and lists every claim."""
    markdown = MarkdownWithMath(renderer=_MathMl(escape=True))
    rows = []
    for result, path in zip(results, notebooks, strict=True):
        title, takeaway = heading(nbformat.read(path, as_version=4))
        words = markdown.render(takeaway).strip().removeprefix("<p>").removesuffix("</p>")
        rows.append((result, title, words))
    page = Environment(autoescape=True, trim_blocks=True).from_string(_beside("index.html.j2"))
    return page.render(
        notebooks=rows,
        claims=[(result.name, claim) for result in results for claim in result.claims],
        held=sum(result.held for result in results),
        failed=any(result.failure for result in results),
        shown=shown,
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
