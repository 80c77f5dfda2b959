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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
import papermill
from ipykernel.kernelspec import get_kernel_dict
from joblib import cpu_count
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from tqdm import tqdm
from traitlets import Float

from . import pages
from .claims import CLAIM_MIME, Claim, Result

logging.getLogger("papermill").setLevel(logging.CRITICAL)  # results say what failed

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""The metadata of every notebook of the project."""

INLINE_BACKEND = "module://matplotlib_inline.backend_inline"  # one for scripts shows no figure


def run(
    notebooks: Sequence[Path],
    output: Path,
    *,
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> list[Result]:
    """Execute notebooks, of different names, and write what came of them into a folder.

    That is `index.html`, `claims.json`, and the folders `notebooks` (as executed; of a failing one,
    as far as it came), `html` and `figures`. Up to `jobs` notebooks run at a time, one for every
    core unless given, and each takes those of the parameters that it has. Returns a result for
    each, in the order given; one that fails stops no other. The notebooks are left as they are:
    FileExistsError if a copy would replace the notebook it is a copy of.
    """
    for notebook in notebooks:
        copy = output / "notebooks" / notebook.name
        if copy.exists() and copy.samefile(notebook):
            remedy = "choose another output"
            raise FileExistsError(f"the executed copy would replace {notebook}: {remedy}")
    with _executed(notebooks, output, jobs, parameters or {}) as (staging, results):
        claims = [{"notebook": r.name, **asdict(c)} for r in results for c in r.claims]
        text = json.dumps(claims, indent=1, ensure_ascii=False)
        (staging / "claims.json").write_text(f"{text}\n", encoding="utf-8")
        index = pages.index(results, [staging / "notebooks" / path.name for path in notebooks])
        (staging / "index.html").write_text(index, encoding="utf-8")
        _publish(staging, output)
    return results


def refresh(notebooks: Sequence[Path], figures: Path, *, jobs: int | None = None) -> list[Result]:
    """Execute the notebooks of one folder in place, and rewrite the figures in another.

    A notebook that fails stays as it was. Takes and returns what `run` does.
    """
    folder = notebooks[0].parent
    with _executed(notebooks, folder, jobs, {}) as (staging, results):
        for path, result in zip(notebooks, results, strict=True):
            if result.failure:
                (staging / "notebooks" / path.name).unlink()
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


def claims_of(executed: NotebookNode) -> tuple[tuple[Claim, ...], str | None]:
    """Return the claims that an executed notebook shows, and what is wrong with them, or None."""
    outputs = (output for cell in executed.cells for output in cell.get("outputs", []))
    shown = (output.get("data", {}).get(CLAIM_MIME) for output in outputs)
    claims = tuple(Claim(**data) for data in shown if data is not None)
    wrong = [f"{claim.id} does not hold" for claim in claims if not claim.holds]
    uses = Counter(claim.id for claim in claims)
    wrong += [f"the id {id!r} is used twice" for id, count in uses.items() if count > 1]
    return claims, f"its claims: {wrong[0]}" if wrong else None


class _Kernel(AsyncKernelManager):
    """A kernel of this interpreter, whatever other kernels the user has installed."""

    shutdown_wait_time = Float(1.0)  # seconds; now and then one does not hear that it is to end

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(**get_kernel_dict(extra_arguments=["--log-level=CRITICAL"]))


class _Client(NotebookClient):
    """Executes a copy of a notebook, with those of the parameters that it has."""

    def __init__(self, path: Path, parameters: Mapping[str, Any]) -> None:
        book = load_notebook_node(str(path))
        own = {name: parameters[name] for name in parameter_names(path) if name in parameters}
        if own:
            book = parameterize_notebook(book, own, kernel_name="python3", language="python")
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        for cell in code:
            cell.update(execution_count=None, outputs=[])
        super().__init__(
            book,
            kernel_manager_class=_Kernel,
            resources={"metadata": {"path": str(path.resolve().parent)}},
            coalesce_streams=True,
            raise_on_iopub_timeout=True,
            record_timing=False,
        )
        self.path = path
        self.total = sum(bool(cell.source.strip()) for cell in code)

    def __str__(self) -> str:
        return f"{self.path.stem} cell {self.code_cells_executed}/{self.total}"

    def result(self, environment: Mapping[str, str], staging: Path) -> Result:
        """Execute the notebook, and write it and its page as far as it came."""
        start = time.perf_counter()
        failure = None
        try:
            self.execute(env=environment)
        except Exception as error:  # a kernel that dies, for one: the other notebooks still run
            name = getattr(error, "ename", type(error).__name__)
            message = getattr(error, "evalue", str(error)).strip()
            line = ": ".join([name, *message.splitlines()[:1]])
            failure = f"cell {self.code_cells_executed}: {line}"
        seconds = time.perf_counter() - start

        executed = normalised(self.nb)
        target = staging / "notebooks" / self.path.name
        nbformat.write(executed, target)
        pages.write_page(target, staging / "html")
        claims, wrong = claims_of(executed)
        return Result(self.path.stem, seconds, claims, failure or wrong)


@contextmanager
def _executed(
    notebooks: Sequence[Path], folder: Path, jobs: int | None, parameters: Mapping[str, Any]
) -> Iterator[tuple[Path, list[Result]]]:
    """Execute notebooks into a new folder inside `folder`, which the block publishes.

    After that, or whatever cuts it short, the new folder is gone and no kernel is running.
    """
    jobs = min(jobs or cpu_count(), len(notebooks)) or 1
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".procrustes-lab-", dir=folder)).resolve()
    pool = ThreadPoolExecutor(jobs)
    futures: dict[Future[Result], _Client] = {}
    try:
        for name in ("notebooks", "figures", "html"):
            (staging / name).mkdir()
        environment = {
            "OMP_NUM_THREADS": str(max(1, cpu_count() // jobs)),  # OpenBLAS and MKL ask it too
            **os.environ,
            "MPLBACKEND": INLINE_BACKEND,
            "PROCRUSTES_LAB_FIGURES": str(staging / "figures"),
        }
        clients = [_Client(path, parameters) for path in notebooks]
        for client in sorted(clients, key=lambda client: -client.total):  # the longest, likely
            futures[pool.submit(client.result, environment, staging)] = client
        _follow(futures)
        in_order = sorted(futures, key=lambda future: clients.index(futures[future]))
        yield staging, [future.result() for future in in_order]
    finally:
        with _uninterrupted():
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):  # cut short
                for client in futures.values():
                    process = client.km and getattr(client.km.provisioner, "process", None)
                    if process and process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
                time.sleep(0.05)
            shutil.rmtree(staging)


def _follow(futures: Mapping[Future[Result], _Client]) -> None:
    """Wait for notebooks, with a line that moves, or off a terminal a line for each at its end."""
    with tqdm(
        total=sum(client.total for client in futures.values()),
        disable=not sys.stderr.isatty(),
        bar_format="{percentage:3.0f}% |{bar:20}| {elapsed}  {desc}",
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for result in (future.result() for future in done):
                if bar.disable:
                    outcome = f"{result.name} {'failed' if result.failure else 'done'}"
                    print(f"{outcome} in {result.seconds:.0f} s", file=sys.stderr, flush=True)
            bar.n = sum(client.code_cells_executed for client in futures.values())
            under_way = [str(client) for future, client in futures.items() if future.running()]
            bar.set_description_str(", ".join(under_way))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C, which the main thread alone gets, while something short must be done whole."""
    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, previous)


@_uninterrupted()
def _publish(source: Path, target: Path) -> None:
    """Move every file below `source` to the same place below `target`."""
    for path in filter(Path.is_file, sorted(source.rglob("*"))):
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        path.replace(destination)
