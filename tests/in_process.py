"""Notebooks executed by papermill and nbval without a kernel's process of their own.

A kernel takes three seconds to start, to import what is imported elsewhere already, and to end.
`procrustes_lab.lab.runner`, which users run, has one for each notebook.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl
import nbformat
import papermill
import pytest
from ipykernel.inprocess import InProcessKernelManager
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from nbformat import NotebookNode, v4
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from traitlets.config import Config

from procrustes_lab.lab import claims, runner

SETTINGS = Config({"HistoryManager": {"enabled": False}})
DRAW = Figure.savefig


def coarsely(figure: Figure, *args: Any, **options: Any) -> None:
    """Draw small, nothing put in its place: nobody looks at pictures of other parameters."""
    figure.set_layout_engine("none")
    DRAW(figure, *args, **options | {"dpi": 10})


class InProcess(Engine):
    """Executes a notebook's cells in a shell of this process, up to the first that raises."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **_: object
    ) -> None:
        claims._ledger.clear()
        main = sys.modules["__main__"]  # a shell puts itself there
        shell = InteractiveShell.instance(config=SETTINGS)
        try:
            with mpl.rc_context(), patch.object(Figure, "savefig", coarsely):
                code = (cell for cell in nb_man.nb.cells if cell.cell_type == "code")
                all(execute(shell, cell) for cell in code)
        finally:
            InteractiveShell.clear_instance()
            sys.modules["__main__"] = main
            claims._ledger.clear()


papermill_engines.register("in-process", InProcess)


def executed(path: Path, parameters: Mapping[str, Any], output: Path | None = None) -> NotebookNode:
    """Return a notebook as executed with some parameters, in its folder."""
    book = runner.normalised(nbformat.read(path, as_version=4))
    settings = {"engine_name": "in-process", "kernel_name": "python3", "progress_bar": False}
    with contextlib.chdir(path.parent):
        return papermill.execute_notebook(book, output, dict(parameters), **settings)


def run(notebooks: Sequence[Path], output: Path, *, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook up to its first error, and write it into the folder `notebooks`."""
    [path] = notebooks
    (output / "notebooks").mkdir()
    with contextlib.suppress(papermill.PapermillExecutionError):
        executed(path, parameters, output / "notebooks" / path.name)


def execute(shell: InteractiveShell, cell: NotebookNode) -> bool:
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
        cell.outputs.append(
            v4.new_output(
                "error",
                ename=type(error).__name__,
                evalue=str(error),
                traceback=traceback.format_exception(error),
            )
        )
    return result.success


# New processes are copies of one that has imported what most notebooks do, where that is safe.
COPIES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
COPIES.set_forkserver_preload(["conftest", "in_process", "sympy", "sklearn.datasets"])


def nbval(path: Path, figures: Path) -> tuple[int | None, str]:
    """Return the exit code and the report of nbval on a notebook, in a new process."""
    report = figures.with_suffix(".txt")
    report.touch()  # a process that dies at once leaves it empty
    process = COPIES.Process(target=_nbval, args=(path, figures, report))
    with patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent)):  # for what is imported
        process.start()
    process.join()
    return process.exitcode, report.read_text(encoding="utf-8")


def _nbval(path: Path, figures: Path, report: Path) -> None:
    from nbval import plugin

    class Kernel(plugin.RunningKernel):
        def __init__(self, *_: object, cwd: str, **__: object) -> None:
            os.chdir(cwd)
            self.km = InProcessKernelManager()
            self.km.start_kernel()
            self.kc = self.km.client()
            self.kc.start_channels()
            sys.stdout, sys.stderr = self.km.kernel.stdout, self.km.kernel.stderr

        def stop(self) -> None:
            del self.km

    plugin.RunningKernel = Kernel
    with report.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    environment = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    os.environ.update(
        environment, MPLBACKEND=runner.INLINE_BACKEND, PROCRUSTES_LAB_FIGURES=str(figures)
    )
    options = "-p nbval.plugin --nbval --nbval-current-env -q -s -rN --color=no"
    options += " -p no:cacheprovider -p no:unraisableexception"  # that one collects garbage, thrice
    code = pytest.main([*options.split(), str(path)])
    sys.__stdout__.flush()
    os._exit(code)  # a kernel's sockets may be gone already, and to close them again is an error
