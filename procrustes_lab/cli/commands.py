"""The commands on a user's own files: `procrustes-lab certify | fit | apply | report`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from procrustes_lab import files
from procrustes_lab.core.archive import check_regular
from procrustes_lab.core.certificate import certify
from procrustes_lab.core.moments import Moments
from procrustes_lab.core.validate import Embeddings
from procrustes_lab.files import Block, FileError, Pairs, outputs, sha256
from procrustes_lab.files.formats import BY_NAME, require, wanted_of
from procrustes_lab.files.outputs import DIRECTION, Adapter
from procrustes_lab.files.pairs import check_file
from procrustes_lab.report.verdict import Decision
from procrustes_lab.search.choose import TRIAL, UNKNOWN, choose
from procrustes_lab.search.maps import DEFAULT, MAPS, Mapper
from procrustes_lab.search.migrate import Recalibration
from procrustes_lab.search.retrieval import search

FAILED = 3  # exit code of a report whose verdict is one that `--fail-on` names
VERDICTS = tuple(decision.code for decision in Decision)
# Bytes, as float64, up to which pairs are measured whole: more exact where they nearly agree.
IN_MEMORY = 2**28
SCORED = 1000  # pairs to recalibrate scores by, and as many by which that is shown, at the most

_File = click.Path(path_type=Path)
_POSITIVE = click.FloatRange(0)
_seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of samples."
)


def _columns_options(command: Any) -> Any:
    """Add the options that say what a file's vectors and ids are."""
    ways = click.Choice(["auto", "id", "position"])
    said = "What pairs rows.  [default: ids if both files have them]"
    command = click.option("--by", type=ways, default="auto", help=said)(command)
    for name in ("vector", "id"):
        said = f"The column of {name}s; given twice, that of OLD and that of NEW."
        names = f"--{name}", f"{name}_names"
        command = click.option(*names, multiple=True, metavar="NAME", help=said)(command)
    return command


@click.command("certify")
@click.argument("old", type=_File)
@click.argument("new", type=_File)
@_columns_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for a program.")
def certify_command(old: Path, new: Path, as_json: bool, **columns: Any) -> None:
    """Print how closely an orthogonal map brings NEW vectors to OLD ones, with bounds.

    Rows are matched by id if both files have ids, known by their names, and by position otherwise.
    """
    pairs = _read_pairs(old, new, **columns)
    certificate = certify(*measure(pairs))
    if as_json:
        said = {"old": str(old), "new": str(new), "pairs": pairs.n, "by": pairs.by}
        said |= {"only_old": pairs.only_old, "only_new": pairs.only_new}
        values = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in vars(certificate).items()
        }
        said |= {"cautions": _cautions(pairs), "certificate": values}
        click.echo(json.dumps(said, indent=1))
    else:
        say(pairs.matching, *_cautions(pairs), "", str(certificate))


@click.command("fit")
@click.argument("old", type=_File)
@click.argument("new", type=_File)
@click.option("-o", "--output", type=_File, required=True, metavar="ADAPTER.npz")
@_columns_options
@click.option(
    *("--map", "map_name"),
    type=click.Choice(["auto", *DEFAULT]),
    default="auto",
    metavar="NAME",
    help="auto: chosen on held-out pairs; or turn, centred, whitened 0.1, …  [default: auto]",
)
@_seed_option
def fit_command(
    old: Path, new: Path, output: Path, map_name: str, seed: int, **columns: Any
) -> None:
    """Fit the map that carries NEW vectors into the space of OLD ones, and write it to a file.

    With it, new queries search the old index, without embedding the old documents anew.
    """
    if output.suffix.lower() != ".npz":
        raise FileError(f"{output} is to be an adapter; expected a name that ends in .npz")
    outputs.check_output(output, old, new)
    pairs = _read_pairs(old, new, **columns)
    adapter, sentences = fit(pairs, map_name, seed)
    adapter.save(output)
    say(pairs.matching, *_cautions(pairs), "", str(adapter.alignment), "", *sentences)
    if pairs.n < (least := min(adapter.alignment.map.shape)):
        say(
            f"Caution: {pairs.n:,} pairs show at most {pairs.n:,} of {least:,} directions; the map "
            "is arbitrary in the others: give more pairs."
        )
    say(f"Wrote {output} ({DIRECTION}).")


@click.command("apply")
@click.argument("adapter", type=_File)
@click.argument("source", type=_File, metavar="IN")
@click.argument("output", type=_File, metavar="OUT")
@click.option("--place", is_flag=True, help="Among the old vectors, and not as queries for them.")
@_columns_options
def apply_command(adapter: Path, source: Path, output: Path, place: bool, **columns: Any) -> None:
    """Carry the new vectors of IN into the old space by an ADAPTER, and write them to OUT.

    They come as queries for the old index; where the map is centred, that is without the old mean,
    which every document shares. With --place it is added: for new documents in the old index.

    OUT is .npy, .npz, .parquet or .jsonl: ids are kept, but .npy has no place for them. Numbers
    stay as wide as they are in IN. Vectors are moved block by block, in little memory.
    """
    outputs.check_output(output, adapter, source, endings=outputs.WRITERS)
    fitted = Adapter.load(adapter)
    if files.sha256(source) == fitted.target_sha256:
        known = f"{source} is the file of old vectors that {adapter} was fitted to"
        raise FileError(f"{known}; expected new ones")
    d_x, d_y = fitted.alignment.map.shape
    n, with_ids = 0, False

    def moved() -> Iterator[Block]:
        nonlocal n, with_ids
        for block in files.blocks(source, wanted=wanted_of(**columns)[1]):
            if (d := block.rows.shape[1]) != d_x:
                hint = " (they may be old ones already)" if d == d_y else ""
                found = f"{source} has vectors of {d} dimensions{hint}"
                raise FileError(f"{found}; {adapter} takes {d_x} and gives {d_y}")
            with np.errstate(over="ignore"):
                rows = fitted.carry(block.rows, place=place).astype(block.rows.dtype)
            for bad in np.flatnonzero(~np.isfinite(rows).all(axis=1))[:1]:
                found = f"{source} has so long a vector in row {n + bad} that it leaves the range"
                raise FileError(f"{found} of {rows.dtype} in the old space; save it as float64")
            yield block._replace(rows=rows)
            bar.update(len(rows))
            n += len(rows)
            with_ids = block.ids is not None

    with progress("moving") as bar:
        outputs.write(output, moved())
    dropped = with_ids and output.suffix.lower() == ".npy"
    note = f"; without their ids, which {output.suffix} cannot hold" if dropped else ""
    say(f"Wrote {n:,} vectors of {d_y} dimensions to {output}{note}.")


@click.command("report")
@click.argument("old", type=_File, required=False)
@click.argument("new", type=_File, required=False)
@click.option(
    "--queries", nargs=2, type=_File, metavar="OLDQ NEWQ", help="Queries, by both models."
)
@click.option("--qrels", type=_File, metavar="FILE", help="Which documents answer which query.")
@click.option("--output", type=_File, default=Path("report.html"), show_default=True)
@_columns_options
@_seed_option
@click.option("--speed", type=_POSITIVE, default=0.0, help="New vectors a second, for the cost.")
@click.option("--price", type=_POSITIVE, default=0.0, help="Of a million new vectors, likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON, for a program.")
@click.option(
    "--fail-on",
    default="",
    metavar="VERDICTS",
    help=f"End with {FAILED} on one of these, by commas: {', '.join(VERDICTS)}.",
)
@click.option("--keep-notebook", is_flag=True, help="Keep the executed notebook beside the page.")
def report_command(
    old: Path | None,
    new: Path | None,
    output: Path,
    queries: tuple[Path, Path] | None,
    qrels: Path | None,
    as_json: bool,
    fail_on: str,
    **options: Any,
) -> None:
    """Write a page that says whether the OLD index can be kept for NEW queries.

    The page is one file, with everything that it shows in it. Without OLD and NEW it is an example.
    """
    refused = [word.strip() for word in fail_on.split(",") if word.strip()]
    if unknown := [word for word in refused if word not in VERDICTS]:
        raise FileError(f"--fail-on has {unknown[0]!r}; expected some of {', '.join(VERDICTS)}")
    columns = {name: options.pop(name) for name in ("id_names", "vector_names", "by")}
    vectors = [path for path in (old, new, *(queries or ())) if path is not None]
    for path, side in zip(vectors, (*wanted_of(**columns), BY_NAME, BY_NAME), strict=False):
        check_file(path, side)
    if qrels:
        check_regular(qrels)
    from procrustes_lab.report.write import write_report

    options |= {"queries": queries, "qrels": qrels, "columns": columns}
    report = write_report(old, new, output, **options)
    if as_json:
        click.echo(json.dumps({**report.facts, "page": str(output)}, indent=1))
    else:
        say(report.title, f"Wrote {output}.")
    if report.facts["verdict"] in refused:
        click.get_current_context().exit(FAILED)


COMMANDS = (certify_command, fit_command, apply_command, report_command)


def _read_pairs(old: Path, new: Path, **columns: Any) -> Pairs:
    with progress("reading") as bar:
        pairs = files.read_pairs(old, new, **columns, seen=bar.update)
    require(pairs.n > 1, f"{new} and {old} have 1 object in common; expected at least 2")
    return pairs


def printable(text: str) -> str:
    """Return a text in which no character moves the cursor, or changes what stands before it."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def say(*texts: str) -> None:
    """Print lines, whatever names of files and ids are in them."""
    for line in "\n".join(texts).split("\n"):
        click.echo(printable(line))


def _cautions(pairs: Pairs) -> list[str]:
    return [f"Caution: {said}" for side in (pairs.old, pairs.new) if (said := side.suspicion)]


def measure(pairs: Pairs) -> tuple[Any, ...]:
    """Read all pairs, once, and return what certificates and maps are made of: both sides, or sums.

    FileError if one of them is zero.
    """
    width = pairs.new.rows.shape[1] + pairs.old.rows.shape[1]
    given: tuple[Any, ...]
    if 8 * pairs.n * width <= IN_MEMORY:
        given = x, y = pairs.take(np.arange(pairs.n))
        nonzero = bool(x.any()), bool(y.any())
    else:
        blocks = progress("measuring", pairs.batches(), unit=" blocks")
        given = (Moments.from_batches(blocks),)
        cross = given[0].cross()
        nonzero = cross.source_energy > 0, cross.target_energy > 0
    pairs.reject_zeros(*nonzero)
    return given


def fit(pairs: Pairs, name: str, seed: int) -> tuple[Adapter, list[str]]:
    """Return the map of that name, fitted to all pairs, and sentences on what it does.

    "auto" leaves the name to `choose`.
    """
    given = measure(pairs)
    if len(given) == 2:
        x, y = given
    else:
        rng = np.random.default_rng(seed)
        x, y = pairs.take(np.sort(rng.choice(pairs.n, min(pairs.n, TRIAL), replace=False)))
    kept, how = UNKNOWN, f"The map is {name!r}, as asked for."
    if name == "auto":
        choice = choose(x, y, seed=seed)
        name, kept = choice.name, choice.kept
        how = (
            f"The map is {name!r}, {choice.basis}. It keeps {kept} of the new model's search with "
            "documents for queries: real queries may keep less."
        )
    knots, scores = recalibrate(MAPS[name], x, y, seed)
    hashes = sha256(pairs.new.path), sha256(pairs.old.path)
    best: Any = MAPS[name](*given)
    adapter = Adapter(best, certify(*given), *hashes, name=name, kept=kept, knots=knots)
    return adapter, [how, *scores]


def recalibrate(
    mapper: Mapper, x: Embeddings, y: Embeddings, seed: int
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the knots from aligned scores to the old model's, and what they do, in a sentence.

    A fifth of the pairs are held out from a map; the scores of their ten best documents through it,
    and by their own old vectors, give the knots by one half, and by the other half the sentence.
    """
    order = np.random.default_rng(seed).permutation(len(x))[:TRIAL]
    held, rest = np.split(order, [min(len(order) // 5, 2 * SCORED)])
    if len(held) < 4:
        return np.empty((2, 0)), []
    found, aligned = search(mapper(x[rest], y[rest]).query(x[held]), y, min(10, len(y)))
    native = np.einsum("ikd,id->ik", y[found].astype(float), y[held].astype(float))
    half = Recalibration.fit(aligned[::2], native[::2])
    shown = aligned[1::2], half.apply(aligned[1::2])
    before, after = (np.abs(scores - native[1::2]).mean() for scores in shown)
    return half.knots, [
        f"Its ten best scores are {aligned[1::2].mean():.3f} on average where the old model's own "
        f"are {native[1::2].mean():.3f}; they differ by {before:.3f}, and recalibrated, which is "
        f"saved with the map, by {after:.3f} (on {len(held) // 2:,} held-out pairs)."
    ]


def progress(verb: str, of: Iterable[Any] | None = None, unit: str = " rows") -> Any:
    """Return a bar, of rows or of what it goes through, which is shown on a terminal."""
    return tqdm(of, verb, unit=unit, unit_scale=True, leave=False, disable=None)
