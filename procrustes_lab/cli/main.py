"""The command line: `procrustes-lab run | refresh | certify | fit | apply | report`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import click

    from .commands import COMMANDS, printable
except ModuleNotFoundError:
    sys.exit("procrustes-lab needs packages beyond numpy: pip install 'procrustes-lab[lab]'")

if TYPE_CHECKING:
    from procrustes_lab.lab.claims import Result

_FOLDER = Path("notebooks")

Pairs = tuple[tuple[str, str], ...]


@click.group(
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(package_name="procrustes-lab", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run the laboratory of aligning embedding models."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_notebooks_argument = click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
_jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Execute N notebooks at a time.  [default: one for every core]",
)


@cli.command()
@_notebooks_argument
@_jobs_option
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build"),
    show_default=True,
    metavar="DIR",
    help="The folder to write into.",
)
@click.option(
    *("-p", "--parameter", "parameters"),
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="Set a parameter of the notebooks that have it; may be given again.",
)
def run(notebooks: tuple[str, ...], jobs: int | None, output: Path, parameters: Pairs) -> int:
    """Execute notebooks, check their claims, and write an index of both.

    A NOTEBOOK is a file, or the name of one in the folder `notebooks`, such as 11_see_both_sides;
    without any, all in that folder are executed. They are left as they are: the executed copies,
    figures, claims.json and index.html go to the output folder.
    """
    from procrustes_lab.lab import runner

    chosen = _find(notebooks)
    results = runner.run(chosen, output, jobs=jobs, parameters=_parse(parameters, chosen))
    code = _report(results, f"partial copy in {output / 'notebooks'}")
    click.echo(f"\nLook at {output / 'index.html'}: the notebooks, and every claim.")
    return code


@cli.command()
@_notebooks_argument
@_jobs_option
def refresh(notebooks: tuple[str, ...], jobs: int | None) -> int:
    """Execute notebooks in place, and rewrite their figures in the folder figures.

    A notebook that fails is left as it was.
    """
    from procrustes_lab.lab import runner

    chosen = _find(notebooks)
    if len({path.parent.resolve() for path in chosen}) > 1:
        raise click.UsageError("the notebooks are in several folders: refresh one at a time")
    return _report(runner.refresh(chosen, Path("figures"), jobs=jobs), "left as it was")


def main() -> None:
    """Run the command line; every way it can fail ends in one sentence and an exit code.

    0: done. 1: a notebook failed. 2: wrong use or bad input. 130: interrupted. 143: terminated.
    129: hung up.
    """
    # Reading a notebook would compile, for two seconds, a grammar that checks nothing of notebooks.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has an arrow
    for name in ("SIGTERM", "SIGHUP"):  # end as Ctrl-C does: what is half written is removed
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))
    code = 2
    try:
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        sentence = error.format_message()
    except (click.Abort, KeyboardInterrupt):
        code, sentence = 130, "interrupted: nothing is left running, and no file was changed"
    except ModuleNotFoundError as error:
        sentence = f"{error.name} is missing: pip install 'procrustes-lab[lab]'"
    except FileNotFoundError as error:
        sentence = f"{error.filename} does not exist: check its name"
    except OSError as error:
        if error.errno and not error.filename:
            # What could not be written must not be tried again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = error.filename or "standard output"
        sentence = f"{place}: {error.strerror}" if error.errno else str(error)
    except ValueError as error:
        sentence = str(error)
    except MemoryError:
        sentence = "this does not fit in memory: .npy files need the least, as they are mapped"
    click.echo(f"procrustes-lab: {printable(sentence)}", err=True)
    sys.exit(code)


def _find(names: tuple[str, ...]) -> list[Path]:
    """Return the notebooks that `names` mean: files, or names in the folder of notebooks."""
    import nbformat

    by_name = {path.stem: path for path in sorted(_FOLDER.glob("*.ipynb"))}
    if not names and not by_name:
        remedy = "change to a checkout of Procrustes Lab, or name the notebooks to run"
        raise click.UsageError(f"there are no notebooks in {_FOLDER.absolute()}: {remedy}")
    found: dict[str, Path] = {}
    for name in names or by_name:
        path = Path(name) if Path(name).is_file() else by_name.get(name.removesuffix(".ipynb"))
        if path is None:
            known = f"those in {_FOLDER} are {', '.join(by_name)}" if by_name else "nor a folder"
            raise click.UsageError(f"there is no notebook {name!r}: {known}")
        other = found.setdefault(path.stem, path)
        if not path.samefile(other):
            raise click.UsageError(f"{other} and {path} have the same name: run one at a time")
        try:
            nbformat.validate(nbformat.read(path, as_version=4))
        except (ValueError, nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
            raise click.UsageError(f"{path} is not a notebook: it cannot be read as one") from error
    return list(found.values())


def _parse(parameters: Pairs, notebooks: list[Path]) -> dict[str, Any]:
    """Return the parameters with typed values, after looking up which notebooks have them."""
    from procrustes_lab.lab.runner import parameter_names

    names = {path.stem: parameter_names(path) for path in notebooks} if parameters else {}
    for name, _ in parameters:
        without = [stem for stem, known in names.items() if name not in known]
        if len(without) == len(names):
            known = ", ".join(sorted({*chain(*names.values())})) or "none"
            message = f"no chosen notebook has a parameter {name!r}: they have {known}"
            raise click.UsageError(message)
        if without:
            click.echo(f"{', '.join(without)}: no parameter {name!r}, so not set there", err=True)
    return {name: _typed(value) for name, value in parameters}


def _typed(value: str) -> bool | int | float | str | None:
    """Return what papermill's own -p makes of a value."""
    for parse in ({"True": True, "False": False, "None": None}.__getitem__, int, float):
        with suppress(KeyError, ValueError):
            return parse(value)
    return value


def _report(results: list[Result], kept: str) -> int:
    """Print what came of each notebook as a table, and failures below it; return the exit code."""
    width = max(len("notebook"), *(len(result.name) for result in results))
    click.echo(f"\n{'notebook':<{width}}  seconds  claims held / checked")
    for result in results:
        held = f"{result.held} / {len(result.claims)}"
        click.echo(f"{result.name:<{width}}  {result.seconds:7.1f}  {held:>21}")
    failures = [f"{r.name} failed in {r.failure} ({kept})" for r in results if r.failure]
    if failures:
        click.echo("\n" + "\n".join(failures))
    return int(bool(failures))
