"""Real data with no download: what the installed packages already carry.

The API descriptions are parsed from the installed sources: nothing is imported or executed,
and nothing is copied into this project.
"""

import ast
import gc
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from procrustes_lab.core.validate import require

from .cache import Folder, cached

# The import name of each library that is read, with the name it is installed by.
LIBRARIES = {name: name for name in ("numpy", "scipy", "matplotlib", "sympy")}
LIBRARIES["sklearn"] = "scikit-learn"

MINIMUM_WORDS = 60  # a shorter body is a remark or an example, hardly to recognise its object by

Pair = tuple[str, str, str]

# Tests and benchmarks describe themselves; externals and _lib hold other projects' code;
# NumPy ships distutils with some versions of Python only.
_SKIPPED = frozenset({"tests", "benchmarks", "externals", "_lib", "distutils"})
_SIGNATURE = re.compile(r"[\w.]+\(.*\)(\s*->.*)?(\n--)?", re.DOTALL)
_UNDERLINE = re.compile(r"^\s*(-{3,}|={3,})\s*$", re.MULTILINE)


@dataclass(frozen=True)
class ApiDescriptions:
    """Pairs of texts, each about one object of a library; row i of every field is object i.

    Names are qualified: ``scipy.linalg._procrustes.orthogonal_procrustes``; queries are summaries,
    the first paragraph of a docstring on one line; documents are bodies, the rest of it. None
    occurs twice. `versions` has that of each library that was read: others have other docstrings.
    """

    names: tuple[str, ...]
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    libraries: tuple[str, ...]
    versions: dict[str, str]

    @property
    def texts(self) -> tuple[str, ...]:
        """All documents, then all queries."""
        return self.documents + self.queries

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        read = ", ".join(f"{library} {version}" for library, version in self.versions.items())
        return f"ApiDescriptions({len(self)} pairs from {read})"


def api_descriptions(data_home: Folder | None = None) -> ApiDescriptions:
    """Read the docstrings of numpy, scipy, matplotlib, sympy and scikit-learn as text pairs.

    Public functions, classes, methods and properties give about 6,000 pairs, in the order of
    libraries, files and lines, kept between calls by `cached`. Left out are names with a leading
    underscore, tests, bodies under 60 words, any object whose summary or body an earlier object
    has, and libraries that are not installed. Raises ModuleNotFoundError if none is.
    """
    specs = {name: importlib.util.find_spec(name) for name in LIBRARIES}
    roots = {name: Path(spec.origin).parent for name, spec in specs.items() if spec and spec.origin}
    if not roots:
        found = f"none of {', '.join(LIBRARIES.values())} is installed"
        raise ModuleNotFoundError(f"{found}; their docstrings are the data: install at least one")
    versions = {name: importlib.metadata.version(LIBRARIES[name]) for name in roots}

    def read() -> bytes:
        found = itertools.chain.from_iterable(map(read_docstrings, roots.values()))
        running = gc.isenabled()
        gc.disable()  # syntax trees have no cycles, and millions of nodes to visit
        try:
            return json.dumps(select(found)).encode()
        finally:
            if running:
                gc.enable()

    recipe = versions, tuple(sys.version_info), Path(__file__).read_bytes()
    pairs = json.loads(cached("api-descriptions", recipe, read, data_home))
    names, queries, documents = zip(*pairs, strict=True)
    libraries = tuple(name.partition(".")[0] for name in names)
    return ApiDescriptions(names, queries, documents, libraries, versions)


def read_docstrings(package: Path) -> Iterator[Pair]:
    """Yield name, summary and body of the public objects in every source file of a package.

    The name of the package's folder is the first part of every qualified name. Files that do not
    parse are passed over, and so are docstrings that open with a section heading.
    """
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package.parent)
        if _SKIPPED.intersection(relative.parts) or path.name.startswith("test_"):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes are the library's affair
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        for name, docstring in (*_defined(tree, module), *_added(tree)):
            summary, body = _split(docstring)
            if summary and name.startswith(f"{package.name}."):
                yield name, summary, body


def _defined(node: ast.AST, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of public functions and classes, and what public classes define."""
    for child in ast.iter_child_nodes(node):
        objects = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if not isinstance(child, objects) or child.name.startswith("_"):
            continue
        name = f"{prefix}.{child.name}"
        if docstring := ast.get_docstring(child):
            yield name, docstring
        if isinstance(child, ast.ClassDef):
            yield from _defined(child, name)


def _added(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and docstring from NumPy's ``add_newdoc(place, name, docstring)`` for C code.

    Attributes come as ``(attribute, docstring)`` in the docstring's place, alone or in a list.
    """
    for statement in tree.body:
        match statement:
            case ast.Expr(ast.Call(ast.Name("add_newdoc"), [_, _, _] as arguments)):
                try:
                    place, name, value = map(ast.literal_eval, arguments)
                except ValueError:  # computed, not written out
                    continue
            case _:
                continue
        for entry in value if isinstance(value, list) else [value]:
            attribute, docstring = entry if isinstance(entry, tuple) else ("", entry)
            if not name.startswith("_") and not attribute.startswith("_"):
                yield f"{place}.{name}.{attribute}".rstrip("."), inspect.cleandoc(docstring)


def _split(docstring: str) -> tuple[str, str]:
    """Return summary and body; both are empty where a heading takes the summary's place."""
    summary, _, body = docstring.strip().partition("\n\n")
    while _SIGNATURE.fullmatch(summary):
        summary, _, body = body.strip().partition("\n\n")
    if _UNDERLINE.search(summary):
        return "", ""
    return " ".join(summary.split()), body.strip()


def select(pairs: Iterable[Pair]) -> list[Pair]:
    """Keep pairs with a body of at least `MINIMUM_WORDS` words, and the first of any duplicates."""
    seen: set[tuple[int, str]] = set()
    kept = []
    for pair in pairs:
        if len(pair[2].split()) >= MINIMUM_WORDS and seen.isdisjoint(enumerate(pair)):
            kept.append(pair)
            seen.update(enumerate(pair))
    return kept


def split(n: int, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide the rows 0 … n − 1 at random into those to fit on and `held_out` to evaluate, sorted.

    Raises ValueError if either part would be empty.
    """
    message = f"held_out is {held_out}; expected 1 to {n - 1}, as there are {n} objects"
    require(0 < held_out < n, message)
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
