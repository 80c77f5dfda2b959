"""The compatibility report: the notebook on two embedding files, as one page."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from datetime import datetime
from html import unescape
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from procrustes_lab.core.archive import blaming, replacing
from procrustes_lab.files.pairs import FileError
from procrustes_lab.lab import runner
from procrustes_lab.lab.pages import PageExporter

from .page import TEMPLATES
from .sections import REPORT_MIME

Name = str | os.PathLike[str]

_HERE = Path(__file__).resolve().parent
TEMPLATE = "02_decide_on_your_files.ipynb"
_PLACES = (_HERE.parents[1] / "notebooks" / TEMPLATE, _HERE / TEMPLATE)
"""Where the notebook is: in a checkout, and in an installed package."""


class Report(NamedTuple):
    """What was written: the page's title, which is the verdict and on what, and all numbers."""

    title: str
    facts: dict[str, Any]


def write_report(
    old: Name | None,
    new: Name | None,
    output: Name,
    *,
    queries: tuple[Name, Name] | None = None,
    qrels: Name | None = None,
    seed: int = 0,
    speed: float = 0.0,
    price: float = 0.0,
    keep_notebook: bool = False,
    columns: Mapping[str, Any] | None = None,
) -> Report:
    """Write the page that says whether the index of `old` can be kept for queries of `new`.

    The notebook is executed in a temporary folder, with progress on stderr. The page is written
    beside its place and moved there when it is complete, so that one that is there is replaced by
    a whole one or not at all.

    Parameters
    ----------
    old, new : path-like or None
        Embedding files, see `procrustes_lab.files`; both None for the example, which upgrades a
        model of the descriptions in the installed libraries.
    output : path-like
        The page.
    queries : (path-like, path-like), optional
        Embedding files of the same queries, by the old model and by the new.
    qrels : path-like, optional
        Which documents answer which queries; see `procrustes_lab.data.judgements.read_judgements`.
    speed, price : float
        New vectors a second and the price of a million, for the cost; 0 where not known.
    keep_notebook : bool
        Whether the executed notebook is to stand beside the page, under the same name.
    columns : mapping, optional
        ``id_names``, ``vector_names`` and ``by``, see `procrustes_lab.files.columns.wanted_of`.

    Raises
    ------
    OSError
        If the page cannot be written.
    FileError
        If what was given makes no report: one sentence names file, place and remedy.
    """
    if (old is None) != (new is None):
        raise FileError("one file of vectors was given; expected two, by the old model and the new")
    if qrels is not None and queries is None:
        raise FileError(f"{qrels} judges queries; expected their vectors too, by both models")
    files = {"old": old, "new": new, "qrels": qrels}
    files |= dict(zip(("old_queries", "new_queries"), queries or (), strict=False))
    given = {name: os.path.abspath(path) for name, path in files.items() if path is not None}
    parameters = {**given, "seed": seed, "speed": speed, "price": price}
    for name, value in (columns or {}).items():
        parameters[name] = value if isinstance(value, str) else list(value)
    target, kept = Path(output), Path(output).with_suffix(".ipynb")
    for path in filter(os.path.exists, given.values()):
        for made in (target, kept) if keep_notebook else (target,):
            if made.exists() and made.samefile(path):
                raise FileError(f"{made} would replace the input {path}; choose another output")
    template = next(path for path in _PLACES if path.is_file())
    # Opened first, so that a place that cannot be written fails before any work is done.
    with replacing(target) as made_page, TemporaryDirectory(prefix="procrustes-lab-") as folder:
        with blaming(folder):
            runner.run([template], Path(folder), parameters=parameters)
        executed = Path(folder, "notebooks", template.name)
        notebook = nbformat.read(executed, as_version=4)
        _raise_failure(notebook)
        data = (output.get("data", {}) for output in _outputs(notebook))
        facts = next(dict(one[REPORT_MIME]) for one in data if REPORT_MIME in one)
        now = datetime.now().astimezone().isoformat(" ", "minutes")
        by = f"Procrustes Lab {version('procrustes-lab')} with Python {platform.python_version()}"
        html, title = _page(notebook, f"Made on {now} by {by}.")
        made_page.write(html.encode())
        if keep_notebook:
            with replacing(kept) as copy:
                copy.write(executed.read_bytes())
    return Report(title, facts)


def _page(notebook: NotebookNode, made: str) -> tuple[str, str]:
    """Turn an executed notebook, which first shows the verdict's card, into a page and its title.

    Cells tagged `lab` and all code stay in the notebook. The title is plain text.
    """
    raw = _HERE.joinpath("body.html.j2").read_text(encoding="utf-8")
    exporter = PageExporter(raw_template=raw, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(notebook)
    card, rest = re.split("(?<=</dl>)", body, maxsplit=1)
    rest, *parts = rest.split("<h2>")
    old, new, decision = re.findall("<(?:b|h1.*?)>(.*?)</", card, flags=re.DOTALL)[:3]
    title = f"{decision}: {old} to {new}"
    # It lets nothing be loaded from anywhere, whatever is in the vectors' names.
    page = TEMPLATES.get_template("page.html.j2")
    return page.render(title=title, card=card, rest=rest, parts=parts, made=made), unescape(title)


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _raise_failure(notebook: NotebookNode) -> None:
    """Say in the notebook's own words why it came to no end."""
    for output in _outputs(notebook):
        if output.output_type == "error":
            known = output.ename in ("FileError", "ValueError", "OSError")
            raise FileError(output.evalue if known else f"{output.ename}: {output.evalue}")
    if notebook.cells[-1].get("execution_count", 0) is None:
        raise FileError("the notebook ended early: is there enough memory?")
