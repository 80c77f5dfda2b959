"""Run notebooks: execute them, collect their claims, and write the pages that show both.

Everything is made in a staging folder beside its destination and moved there at the end, so that
an interrupted run leaves the destination as it was.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from joblib import cpu_count
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from . import pages
from .claims import CLAIM_MIME, Claim, Result

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # results say what failed

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""The metadata of every notebook of the project."""

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
"""What shows matplotlib's figures in a notebook."""


def default_jobs() -> int:
    """Return how many notebooks to execute at a time: one for every core."""
    return max(1, int(cpu_count()))


def run(
    notebooks: Sequence[Path],
    output: Path,
    *,
    jobs: int = 1,
    parameters: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Execute notebooks, `jobs` at a time, and write what came of it into a folder.

    Parameters
    ----------
    notebooks : sequence of Path
        Notebooks with different names. They are left as they are: raises FileExistsError if a copy
        would replace the notebook it is a copy of.
    output : Path
        The folder to write into: `index.html`, `claims.json`, and the folders `notebooks` (as
        executed; of a failing one, as far as it came), `html` and `figures`.
    parameters : mapping
        Values for the notebooks' parameters; each notebook takes those that it has.

    Returns
    -------
    list of Result
        One for each notebook, in the order given. A notebook that fails stops no other.
    """
    for notebook in notebooks:
        copy = output / "notebooks" / notebook.name
        if copy.exists() and copy.samefile(notebook):
            raise FileExistsError(
                f"the executed copy would replace {notebook}: choose another output"
            )
    with _staging(output) as staging:
        results = _execute(notebooks, staging, jobs, parameters or {})
        claims = [{"notebook": r.name, **c.as_json()} for r in results for c in r.claims]
        (staging / "claims.json").write_text(
            json.dumps(claims, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        index = pages.index(results, staging / "notebooks")
        (staging / "index.html").write_text(index, encoding="utf-8")
        _publish(staging, output)
    return results


def refresh(notebooks: Sequence[Path], figures: Path, *, jobs: int = 1) -> list[Result]:
    """Execute the notebooks of one folder in place, and rewrite the figures in another.

    A notebook that fails stays as it was. Returns what `run` does.
    """
    folder = notebooks[0].parent
    with _staging(folder) as staging:
        results = _execute(notebooks, staging, jobs, {})
        for result in results:
            if result.failure:
                (staging / "notebooks" / f"{result.name}.ipynb").unlink(missing_ok=True)
        _publish(staging / "notebooks", folder)
        _publish(staging / "figures", figures)
    return results


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook with the project's metadata, and of its cells' only the tags."""
    cells = []
    for cell in notebook.cells:
        tags = {key: value for key, value in cell.metadata.items() if key == "tags" and value}
        cells.append(NotebookNode({**cell, "metadata": tags}))
    return NotebookNode({"nbformat": 4, "nbformat_minor": 5, "metadata": METADATA, "cells": cells})


def parameter_names(notebook: Path) -> list[str]:
    """Return the names that a notebook's `parameters` cell defines."""
    return list(papermill.inspect_notebook(normalised(nbformat.read(notebook, as_version=4))))


def _execute(
    notebooks: Sequence[Path], staging: Path, jobs: int, parameters: Mapping[str, Any]
) -> list[Result]:
    """Execute `notebooks` into `staging`, `jobs` at a time, and leave no kernel running."""
    for folder in ("notebooks", "figures", "html"):
        (staging / folder).mkdir()
    env = {
        "PROCRUSTES_LAB_FIGURES": str(staging / "figures"),
        "MPLBACKEND": INLINE_BACKEND,  # one set for scripts would show no figure
    }
    if jobs > 1:
        threads = str(max(1, cpu_count() // jobs))
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            env[name] = os.environ.get(name, threads)
    kernels: list[AsyncKernelManager] = []

    class Kernel(AsyncKernelManager):
        """A kernel of this interpreter, whatever other kernels the user has installed."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            kernels.append(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            spec = get_kernel_dict(extra_arguments=["--log-level=CRITICAL"])
            return KernelSpec(**spec, env=env)

    progress = _Progress(notebooks)
    pool = ThreadPoolExecutor(jobs)
    futures: list[Future[Result]] = []
    try:
        for path in notebooks:
            futures.append(pool.submit(_execute_one, path, staging, parameters, Kernel, progress))
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]
    finally:
        with _uninterrupted():
            progress.close()  # of notebooks that are cut short nothing is said
            pool.shutdown(wait=False, cancel_futures=True)
            _end(kernels, futures)


def _execute_one(
    notebook: Path,
    staging: Path,
    parameters: Mapping[str, Any],
    kernel_class: type[AsyncKernelManager],
    progress: _Progress,
) -> Result:
    own = {name: parameters[name] for name in parameter_names(notebook) if name in parameters}
    target = staging / "notebooks" / notebook.name
    cell_number = 0

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        nonlocal cell_number
        if _is_code(cell):
            cell_number += 1
            progress.cell(notebook.stem, cell_number)

    start = time.perf_counter()
    failure = None
    try:
        papermill.execute_notebook(
            _unformatted(notebook),
            _unformatted(target),
            own,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            resources={"metadata": {"path": str(notebook.resolve().parent)}},
            kernel_manager_class=kernel_class,
            on_cell_start=on_cell_start,
            coalesce_streams=True,
            record_timing=False,
        )
    except PapermillExecutionError as error:
        failure = f"cell {cell_number}: {_one_line(error.ename, error.evalue)}"
    except Exception as error:  # a kernel that dies, for one: the other notebooks still run
        failure = f"cell {cell_number}: {_one_line(type(error).__name__, error)}"
    seconds = time.perf_counter() - start
    progress.end(notebook.stem, seconds, failure)

    claims: tuple[Claim, ...] = ()
    if target.exists():
        executed = normalised(nbformat.read(target, as_version=4))
        nbformat.write(executed, target)
        pages.write_page(target, staging / "html")
        claims = _claims(executed)
        failure = failure or _shortfall(executed, claims)
    return Result(notebook.stem, seconds, claims, failure)


def _unformatted(path: Path) -> str:
    """Return a path that stays itself when papermill formats it."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _one_line(name: str, message: object) -> str:
    first, *_ = [*str(message).strip().splitlines(), ""]
    return f"{name}: {first}" if first else name


def _claims(notebook: NotebookNode) -> tuple[Claim, ...]:
    """Return the claims found in a notebook's outputs, in order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [output.get("data", {}).get(CLAIM_MIME) for output in outputs]
    return tuple(Claim.from_json(data) for data in found if data is not None)


def _shortfall(notebook: NotebookNode, claims: Sequence[Claim]) -> str | None:
    """Return what is wrong with a notebook that raised nothing, in one line."""
    for number, cell in enumerate(filter(_is_code, notebook.cells), start=1):
        if cell.execution_count is None:
            return f"cell {number}: it was not executed, as an earlier one ended the notebook"
    for claim in claims:
        if not claim.holds:
            return f"its claims: {claim.id} does not hold"
    twice = [id for id, uses in Counter(claim.id for claim in claims).items() if uses > 1]
    return f"its claims: the id {twice[0]!r} is used twice" if twice else None


def _end(kernels: list[AsyncKernelManager], futures: list[Future[Result]]) -> None:
    """Wait for the notebooks still under way, killing each kernel: none after a full run."""
    while not all(future.done() for future in futures):
        for kernel in list(kernels):
            process = getattr(kernel.provisioner, "process", None)
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with whatever the kernel has started
        time.sleep(0.05)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C while something short must be done whole."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are delivered to the main thread alone
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """Make a folder inside `output`, on the same file system, and remove it afterwards."""
    output.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".procrustes-lab-", dir=output)).resolve()
    try:
        yield staging
    finally:
        with _uninterrupted():
            shutil.rmtree(staging)


def _publish(source: Path, target: Path) -> None:
    """Move every file below `source` to the same place below `target`."""
    with _uninterrupted():
        for path in filter(Path.is_file, sorted(source.rglob("*"))):
            destination = target / path.relative_to(source)
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, destination)


class _Progress:
    """A line that moves on a terminal; anywhere else a line for each notebook that has ended."""

    def __init__(self, notebooks: Sequence[Path]) -> None:
        self._lock = threading.Lock()
        read = {path.stem: nbformat.read(path, as_version=4) for path in notebooks}
        self._cells = {name: sum(map(_is_code, book.cells)) for name, book in read.items()}
        self._running: dict[str, str] = {}
        self._closed = False
        self._bar = tqdm(
            total=sum(self._cells.values()),
            disable=not sys.stderr.isatty(),
            bar_format="{percentage:3.0f}% |{bar:20}| {elapsed}  {desc}",
            dynamic_ncols=True,
            leave=False,
        )

    def cell(self, name: str, number: int) -> None:
        """Say that a notebook starts its code cell of this number."""
        with self._lock:
            self._running[name] = f"{name} cell {number}/{max(number, self._cells[name])}"
            self._bar.update(1)
            self._bar.set_description_str(", ".join(self._running.values()))

    def end(self, name: str, seconds: float, failure: str | None) -> None:
        """Say that a notebook has ended."""
        with self._lock:
            self._running.pop(name, None)
            if self._bar.disable and not self._closed:
                outcome = "failed" if failure else "done"
                print(f"{name} {outcome} in {seconds:.0f} s", file=sys.stderr, flush=True)
            self._bar.set_description_str(", ".join(self._running.values()))

    def close(self) -> None:
        """Remove the bar, and say no more."""
        with self._lock:
            self._closed = True
            self._bar.close()


def _is_code(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())
