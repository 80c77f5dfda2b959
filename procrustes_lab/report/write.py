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

from procrustes_lab.core.archive import StrPath, blaming, replacing
from procrustes_lab.files.formats import FileError
from procrustes_lab.files.outputs import check_output
from procrustes_lab.lab import runner
from procrustes_lab.lab.pages import PageExporter

from .sections import REPORT_MIME
from .words import template

_HERE = Path(__file__).resolve().parent
_NOTEBOOK = "02_decide_on_your_files.ipynb"
_PLACES = (_HERE.parents[1] / "notebooks" / _NOTEBOOK, _HERE / _NOTEBOOK)
"""Where the notebook is: in a checkout, and in an installed package."""


class Report(NamedTuple):
    """What was written: the page's title, which is the verdict and on what, and all numbers."""

    title: str
    facts: dict[str, Any]


def write_report(
    old: StrPath | None,
    new: StrPath | None,
    output: StrPath,
    *,
    queries: tuple[StrPath, StrPath] | None = None,
    qrels: StrPath | None = None,
    seed: int = 0,
    speed: float = 0.0,
    price: float = 0.0,
    keep_notebook: bool = False,
    columns: Mapping[str, Any] | None = None,
) -> Report:
    """Write the page that says whether the index of `old` can be kept for queries of `new`.

    Both are embedding files, see `procrustes_lab.files`, and `queries` two of the same queries, by
    the old model and by the new; `columns` has the names of `files.formats.wanted_of`. Without
    files, the page is on the example, which upgrades a model of the descriptions in the installed
    libraries. `qrels` says which documents answer which queries, see `data.beir`. Of new
    vectors, `speed` is how many a second and `price` that of a million, for the cost; 0 where not
    known.

    The notebook is executed in a temporary folder, with progress on stderr, and kept beside the
    page if asked, under the same name. The page is written beside its place and moved there when
    it is complete, so that one that is there is replaced by a whole one or not at all.

    Raises OSError if the page cannot be written, and FileError if what was given makes no report:
    one sentence names file, place and remedy.
    """
    if (old is None) != (new is None):
        raise FileError("one file of vectors was given; expected two, by the old model and the new")
    if qrels is not None and queries is None:
        raise FileError(f"{qrels} judges queries; expected their vectors too, by both models")
    files = {"old": old, "new": new, "qrels": qrels}
    files |= dict(zip(("old_queries", "new_queries"), queries or (), strict=False))
    given = {name: Path(path) for name, path in files.items() if path is not None}
    parameters: dict[str, Any] = {name: os.path.abspath(path) for name, path in given.items()}
    parameters |= {"seed": seed, "speed": speed, "price": price}
    for name, value in (columns or {}).items():
        parameters[name] = value if isinstance(value, str) else list(value)
    target, kept = Path(output), Path(output).with_suffix(".ipynb")
    for made in (target, kept) if keep_notebook else (target,):
        check_output(made, *given.values())
    source = next(filter(Path.is_file, _PLACES))
    # Opened first, so that a place that cannot be written fails before any work is done.
    with replacing(target) as page, TemporaryDirectory(prefix="procrustes-lab-") as folder:
        with blaming(folder):
            runner.run([source], Path(folder), parameters=parameters)
        executed = Path(folder, "notebooks", source.name).read_bytes()
        notebook = nbformat.reads(executed.decode(), as_version=4)
        data = [output.get("data", {}) for output in _outputs(notebook)]
        facts = next(dict(one[REPORT_MIME]) for one in data if REPORT_MIME in one)
        html, title = _render(notebook)
        page.write(html.encode())
        if keep_notebook:
            with replacing(kept) as copy:
                copy.write(executed)
    return Report(title, facts)


def _outputs(notebook: NotebookNode) -> list[NotebookNode]:
    """Return what all cells put out; if it came to no end, say why, in the notebook's own words."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    for output in outputs:
        if output.output_type == "error":
            known = output.ename in ("FileError", "ValueError", "OSError")
            raise FileError(output.evalue if known else f"{output.ename}: {output.evalue}")
    if notebook.cells[-1].get("execution_count", 0) is None:
        raise FileError("the notebook ended early: is there enough memory?")
    return outputs


def _render(notebook: NotebookNode) -> tuple[str, str]:
    """Turn a notebook, which first shows the verdict's card, into a page and its plain title."""
    raw = _HERE.joinpath("body.html.j2").read_text(encoding="utf-8")
    exporter = PageExporter(raw_template=raw, exclude_anchor_links=True)
    body, _ = exporter.from_notebook_node(notebook)
    card, rest = re.split("(?<=</dl>)", body, maxsplit=1)
    rest, *parts = rest.split("<h2>")
    old, new, decision = re.findall("<(?:b|h1.*?)>(.*?)</", card, flags=re.DOTALL)[:3]
    title = f"{decision}: {old} to {new}"
    now = datetime.now().astimezone().isoformat(" ", "minutes")
    by = f"Procrustes Lab {version('procrustes-lab')} with Python {platform.python_version()}"
    page = template("page.html.j2").render(
        title=title, card=card, rest=rest, parts=parts, made=f"Made on {now} by {by}."
    )
    return page, unescape(title)
