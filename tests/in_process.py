"""Notebooks executed in this process, as `procrustes_lab.lab.runner.run` does in a kernel.

A kernel takes two seconds to start and to import what is imported here already.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat import v4
from traitlets.config import Config

from procrustes_lab.lab import claims, runner

SETTINGS = Config({"HistoryManager": {"enabled": False}})


def run(notebooks: Sequence[Path], output: Path, *, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook up to its first error, and write it into the folder `notebooks`."""
    [path] = notebooks
    notebook = runner.normalised(nbformat.read(path, as_version=4))
    claims._ledger.clear()
    main = sys.modules["__main__"]  # a shell puts itself there
    shell = InteractiveShell.instance(config=SETTINGS)
    try:
        with mpl.rc_context():
            for cell in notebook.cells:
                if cell.cell_type == "code" and not execute(shell, cell):
                    break
                if "parameters" in cell.metadata.get("tags", []):
                    shell.push(dict(parameters))
    finally:
        InteractiveShell.clear_instance()
        sys.modules["__main__"] = main
        claims._ledger.clear()
    (output / "notebooks").mkdir()
    nbformat.write(notebook, output / "notebooks" / path.name)


def execute(shell: InteractiveShell, cell: nbformat.NotebookNode) -> bool:
    """Execute a cell, keep what it shows, and return whether it raised nothing."""
    with capture_output() as shown:
        result = shell.run_cell(cell.source, store_history=True)
    cell.execution_count = result.execution_count
    cell.outputs = [
        v4.new_output("display_data", data=one.data, metadata=one.metadata or {})
        for one in shown.outputs
    ]
    if result.result is not None:
        data, metadata = shell.display_formatter.format(result.result)
        cell.outputs.append(v4.new_output("display_data", data=data, metadata=metadata))
    if error := result.error_in_exec:
        cell.outputs.append(v4.new_output("error", ename=type(error).__name__, evalue=str(error)))
    return result.success
