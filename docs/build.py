"""Build the site: gather its pages from the whole project, and have Sphinx set them.

``python docs/build.py build/docs`` writes the site there. What is computed here, and not written
by hand: which notebooks use each name of the package, the command line's own help, the decisions
of the report, and the ledger of claims, from the notebooks' committed outputs.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml
from play_data import play_data
from sphinx.cmd.build import build_main

import procrustes_lab
from procrustes_lab.cli.main import cli
from procrustes_lab.files import pairs
from procrustes_lab.lab.claims import CLAIM_MIME, Claim
from procrustes_lab.report.verdict import KEPT, Decision

ROOT = Path(__file__).resolve().parents[1]
MATHJAX = Path(str(find_spec("mathjax").origin)).parent / "static" / "mathjax" / "es5"
REPOSITORY = os.environ.get("REPOSITORY_URL", "").rstrip("/")

PARTS = ("practice", "theory", "appendix")

if TYPE_CHECKING:
    from nbformat import NotebookNode

    Notebooks = dict[str, NotebookNode]


def main(output: Path) -> int:
    """Build the site in `output`; return 0, or 1 if anything was missing or doubtful."""
    sys.modules.setdefault("rfc3987_syntax", None)  # as in `procrustes_lab.cli.main`
    import nbformat

    work = output.parent / f".{output.name}"
    source = work / "source"
    shutil.rmtree(source, ignore_errors=True)
    ignored = shutil.ignore_patterns("build.py", "play_data.py", "__pycache__", "*.yaml")
    shutil.copytree(ROOT / "docs", source, ignore=ignored)
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    (source / "notebooks").mkdir()
    (source / "api").mkdir()
    for name, notebook in notebooks.items():
        nbformat.write(prepared(name, notebook), source / "notebooks" / f"{name}.ipynb")
    pages = dict(
        [
            *api_pages(notebooks),
            ("command_line.md", command_line()),
            ("claims.md", ledger(notebooks)),
            *project_pages(),
        ]
    )
    (source / "_static" / "play" / "data.js").write_text(play_data(), encoding="utf-8")
    (source / "_static" / "mathjax").mkdir()
    shutil.copy(MATHJAX / "tex-svg.js", source / "_static" / "mathjax")
    for name, text in pages.items():
        (source / name).write_text(text, encoding="utf-8")
    for page in source.glob("*.md"):
        page.write_text(filled(page.read_text(encoding="utf-8"), notebooks), encoding="utf-8")
    shutil.copytree(ROOT / "figures", source / "figures", ignore=_all_but_the_lens)
    options = ["-b", "html", "-q", "-W", "--keep-going", "-d", str(work / "doctrees")]
    return build_main([*options, str(source), str(output)])


def title(notebook: NotebookNode) -> str:
    """Return the heading that a notebook opens with."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ").strip()


def prepared(name: str, notebook: NotebookNode) -> NotebookNode:
    """Return a notebook whose links lead within the site, with places that the ledger links to."""
    from procrustes_lab.lab.pages import breadth  # reads nbformat, so after `main` begins

    heading = title(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, "notebooks")
            heading = next(iter(re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)), heading)
            continue
        size = "figure"
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                size = breadth(data["image/png"])
            if CLAIM_MIME in data:
                data["text/html"] = f'<span id="{place(data[CLAIM_MIME])}"></span>' + "".join(
                    data["text/html"]
                )
            if "text/html" in data:  # a page has one heading of the first rank already
                html = "".join(data["text/html"])
                data["text/html"] = re.sub(r"<h1 (.*?)</h1>", r'<p class="h1" \1</p>', html)
            if "text/markdown" in data:
                data["text/markdown"] = linked("".join(data["text/markdown"]), "notebooks")
        alt = re.sub(r"[$*`\\]", "", heading)
        folded = "list" if "hide-output" in cell.metadata.get("tags", []) else "code"
        cell.metadata["mystnb"] = {
            "image": {"alt": f"Figure under the heading: {alt}", "classes": size},
            "code_prompt_show": f"Show the {folded}",
            "code_prompt_hide": f"Hide the {folded}",
        }
    return notebook


def place(claim: dict[str, object]) -> str:
    """Return the anchor of a claim in its notebook's page."""
    return "claim-" + re.sub(r"\W+", "-", str(claim["id"])).strip("-")


def linked(text: str, folder: str) -> str:
    """Lead Markdown's relative links to this site where it has the page, else to the repository."""

    def lead(match: re.Match[str]) -> str:
        label, target, anchor = match["label"], match["target"], match["anchor"] or ""
        path = (ROOT / folder / target).resolve()
        if not path.is_relative_to(ROOT) or not path.exists():
            return match[0]  # Sphinx will say that it leads nowhere
        inside = path.relative_to(ROOT)
        pages = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
        if inside.suffix == ".ipynb" and inside.parts[0] == "notebooks":
            page = str(inside)
        elif inside.parts[0] == "docs":
            page = str(inside.relative_to("docs"))
        elif str(inside) in pages:
            page = pages[str(inside)]
        else:
            return f"[{label}]({REPOSITORY}/blob/main/{inside})" if REPOSITORY else label
        return f"[{label}]({os.path.relpath(page, folder)}{anchor})"

    return re.sub(
        r"(?<!!)\[(?P<label>[^\]]+)\]\((?P<target>(?!\w+:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)",
        lead,
        text,
    )


def part(name: str) -> str:
    """Return the part of the book that a notebook belongs to: by the number in its name."""
    return "appendix" if name.startswith("A_") else "theory" if name[0] == "1" else "practice"


def filled(text: str, notebooks: Notebooks) -> str:
    """Replace ``{{ 04 }}`` by a link to that notebook, and ``{{ align }}`` by one to that name.

    ``{{ practice }}``, ``{{ theory }}`` and ``{{ appendix }}`` are the parts of the book.
    """
    facts = {
        "card": card(notebooks),
        "conversions": conversions(),
        "decisions": decisions(),
        "kept": str(KEPT),
        "repository": REPOSITORY or "the address of the repository",
    }
    for kind in PARTS:
        facts[kind] = "\n".join(f"notebooks/{name}" for name in notebooks if part(name) == kind)

    def fill(match: re.Match[str]) -> str:
        key = match[1]
        if key in facts:
            return facts[key]
        if key in procrustes_lab.__all__:
            return f"[`{key}`](api/{key}.md)"
        names = [name for name in notebooks if name.startswith(f"{key}_")]
        if len(names) != 1:
            raise LookupError(f"{key} is no public name, and of the notebooks it is {names}")
        return f"[{title(notebooks[names[0]])}](notebooks/{names[0]}.ipynb)"

    return re.sub(r"\{\{ (\w+) \}\}", fill, text)


def _all_but_the_lens(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name not in ("lens.svg", "lens_dark.svg")]


def api_pages(notebooks: Notebooks) -> Iterator[tuple[str, str]]:
    """Write a page for each public name, and one that lists them."""
    objects = {name: getattr(procrustes_lab, name) for name in procrustes_lab.__all__}
    names = sorted(objects, key=lambda name: (inspect.isclass(objects[name]), name))
    uses = {stem: used(notebook, objects) for stem, notebook in notebooks.items()}
    rows = []
    for name in names:
        directive = "autoclass" if inspect.isclass(objects[name]) else "autofunction"
        members = "\n   :members:" if inspect.isclass(objects[name]) else ""
        users = [
            f"- [{title(notebook)}](../notebooks/{stem}.ipynb)"
            for stem, notebook in notebooks.items()
            if uses[stem][name]
        ]
        listed = "\n".join(users) or "No notebook calls it."
        yield (
            f"api/{name}.md",
            f"# {name}\n\n```{{eval-rst}}\n.. {directive}:: procrustes_lab.{name}{members}\n```\n\n"
            f"## Notebooks that use it\n\n{listed}\n",
        )
        summary = (inspect.getdoc(objects[name]) or "").splitlines()[0]
        rows.append(f"| [`{name}`]({name}.md) | {summary} | {len(users)} |")
    table = "\n".join(["| name | what it does | notebooks |", "| --- | --- | ---: |", *rows])
    listed = "\n".join(names)
    yield (
        "api/index.md",
        "# What the package offers\n\n`import procrustes_lab as pl` brings these names, and "
        f"nothing heavy.\n\n{table}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n",
    )


def used(notebook: NotebookNode, objects: dict[str, object]) -> dict[str, bool]:
    """Say which names a notebook uses: by name, or as what a function that it calls returns."""
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    code = re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE)
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name("pl" | "procrustes_lab"), attr=name):
                found.add(name)
            case ast.ImportFrom(module="procrustes_lab", names=aliases):
                found.update(alias.name for alias in aliases)
    given = {
        str(inspect.signature(objects[name]).return_annotation)
        for name in found & set(objects)
        if inspect.isfunction(objects[name])
    }
    return {name: name in found or name in given for name in objects}


def command_line() -> str:
    """Write the page of the command line, in the command line's own words."""
    parts = [
        "# The command line\n\n`procrustes-lab` comes with `pip install 'procrustes-lab[lab]'`. It "
        "ends with 0 if all went well, 1 if a notebook failed, 2 after wrong use or bad input, "
        "said in one sentence, and 3 if a report comes to a verdict that `--fail-on` names.\n"
    ]
    settings = {"max_content_width": 88, **cli.context_settings}
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"procrustes-lab {name}", **settings)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def card(notebooks: Notebooks) -> str:
    """Return the verdict that the report's own example came to, as it stands in its notebook."""
    outputs = (o for nb in notebooks.values() for cell in nb.cells for o in cell.get("outputs", []))
    pages = ("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    found = (re.search(r'<section class="card.*?</section>', page, re.DOTALL) for page in pages)
    return next(f"```{{raw}} html\n{match[0]}\n```" for match in found if match)


def decisions() -> str:
    """Write the report's decisions as a table."""
    rows = [f"| **{decision}** | {decision.advice} |" for decision in Decision]
    return "\n".join(["| the report says | what that means |", "| --- | --- |", *rows])


def conversions() -> str:
    """Write the ways from files that are not read to files that are, as a table."""
    code = re.compile(r"((?:numpy|pyarrow|frame)[\w.]+(?:\(.*\))?|jq .*)")
    rows = [
        "| " + " ".join(f"`{e}`" for e in endings) + " | " + code.sub(r"`\1`", way) + " |"
        for endings, way in pairs.CONVERSIONS.items()
    ]
    return "\n".join(["| ending | what makes a file that is read |", "| --- | --- |", *rows])


def ledger(notebooks: Notebooks) -> str:
    """Write the page of all claims, each with its number and a link to where it was checked."""
    parts, count = [], 0
    for name, notebook in notebooks.items():
        outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
        found = [o["data"][CLAIM_MIME] for o in outputs if CLAIM_MIME in o.get("data", {})]
        if not found:
            continue
        count += len(found)
        rows = "\n".join(ledger_row(name, data) for data in found)
        parts.append(
            f"## {title(notebook)}\n\n[Open the notebook](notebooks/{name}.ipynb).\n\n"
            '<div class="ledger"><table><thead><tr><th>claim</th><th>observed and bound</th></tr>'
            f"</thead><tbody>\n{rows}\n</tbody></table></div>\n"
        )
    retired = yaml.safe_load((ROOT / "docs" / "retired_claims.yaml").read_text(encoding="utf-8"))
    gone = "\n\n".join(
        f"{entry['claim'].strip()}\n: {entry['reason'].strip()}" for entry in retired
    )
    return (
        "# The ledger of claims\n\n"
        "A claim is a sentence that could be false. Whoever executes a notebook checks its claims, "
        "and one that fails stops the notebook and the tests. This page is made from the outputs "
        f"of the notebooks as they stand in the repository: **{count} claims**, each beside the "
        "number that was found and what it was held against; the number leads to the place where "
        "it was computed.\n\n" + "\n".join(parts) + "\n## Retired\n\n"
        "Statements that the project once made, or that a reader might expect here, and why it "
        f"does not make them.\n\n{gone}\n"
    )


def ledger_row(name: str, data: dict[str, object]) -> str:
    """Write one claim's row, the number linked to its place in the notebook."""
    claim, target = Claim(**data), f"notebooks/{name}.html#{place(data)}"
    return (
        f"<tr><td><b>{escape(claim.id)}</b> {escape(claim.sentence)}</td>"
        f'<td><a href="{target}">{escape(claim.comparison)}</a></td></tr>'
    )


def project_pages() -> Iterator[tuple[str, str]]:
    """Take over the repository's own pages."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        if (ROOT / name).exists():
            yield name.lower(), linked((ROOT / name).read_text(encoding="utf-8"), ".")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
