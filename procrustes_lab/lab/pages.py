"""HTML pages of executed notebooks and their index: nothing on them is fetched from anywhere."""

from __future__ import annotations

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


class _MathMl(IPythonRenderer):
    """Markdown whose formulas are set when the page is made."""

    def inline_math(self, body: str) -> str:
        return str(convert(unescape(body)))

    def block_math(self, body: str) -> str:
        return f'<div class="formula">{convert(unescape(body), display="block")}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


class PageExporter(HTMLExporter):
    """nbconvert's page without scripts: formulas in MathML, cells tagged `hide-input` folded."""

    def __init__(self, **settings: Any) -> None:
        settings = {"raw_template": _PAGE, **settings}
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
        yield "latex2html", lambda source: convert(source.strip(" $\n"), display="block")


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
    return _INDEX.substitute(
        held=held,
        checked=len(claims),
        state="fails" if failed or held < len(claims) else "holds",
        notebooks="".join(_notebook_row(result, notebooks) for result in results),
        claims="".join(_claim_row(name, claim) for name, claim in claims),
    )


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


_PAGE = """{% extends 'lab/index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block extra_css %}<link rel="icon" href="data:,">
<style>
.home { display: block; padding: .8rem var(--jp-notebook-padding, 1rem) 0; font: 1rem sans-serif; }
details > summary { padding: .2rem 0 .2rem 5rem; cursor: pointer; opacity: .75;
  font: .85rem sans-serif; }
.formula { margin: .8rem 0; overflow-x: auto; }
.jp-RenderedHTMLCommon math { font-size: 1.12em; }
@media (max-width: 44rem) { .jp-InputPrompt, .jp-OutputPrompt { display: none; }
  details > summary { padding-left: 0; } .jp-OutputArea-output { overflow-x: auto; } }
</style>{% endblock %}
{% block body_header %}{{ super() }}<a class="home" href="../index.html">← Procrustes Lab</a>
{% endblock %}
{% block input_group %}{% if 'hide-input' in cell.metadata.get('tags', []) %}
<details><summary>Show the code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}{% endblock %}
{% block output_group %}{% if 'hide-output' in cell.metadata.get('tags', []) %}
<details><summary>Show the list</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}{% endblock %}
{% block data_latex %}<div class="jp-RenderedHTMLCommon jp-OutputArea-output formula">
{{ output.data['text/latex'] | latex2html }}</div>{% endblock %}
"""

_INDEX = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Procrustes Lab</title>
<style>
:root { color-scheme: light dark; --text: #1d2127; --quiet: #626a75; --page: #fff; --line: #dfe3e8;
  --link: #0067a5; --holds: #007a59; --fails: #b84a00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --quiet: #9aa3ae; --page: #15181c;
  --line: #2f353c; --link: #6cc0f5; --holds: #3ccfa2; --fails: #ff9a5c; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; }
h2 { margin: 2.5rem 0 .6rem; font-size: 1.1rem; }
p { margin: .3rem 0; color: var(--quiet); }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem 1rem .45rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--quiet); font-weight: 500; white-space: nowrap; }
.quiet { color: var(--quiet); font-size: .92rem; }
.number { text-align: right; white-space: nowrap; }
.holds { color: var(--holds); }
.fails { color: var(--fails); }
</style>
</head>
<body>
<h1>Procrustes Lab</h1>
<p><span class="$state">$held of $checked claims hold.</span>
The same claims for a program: <a href="claims.json">claims.json</a>.</p>
<h2>Notebooks</h2>
<div class="scroll"><table>
<thead><tr><th>notebook</th><th class="number">seconds</th>
<th class="number">claims held</th></tr></thead>
<tbody>
$notebooks</tbody></table></div>
<h2>Claims</h2>
<div class="scroll"><table>
<thead><tr><th></th><th>id</th><th>claim</th><th>observed and bound</th>
<th class="number">margin</th><th>notebook</th></tr></thead>
<tbody>
$claims</tbody></table></div>
</body>
</html>
""")
