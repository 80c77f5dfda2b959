import contextlib
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from procrustes_lab.data import cache, datasets
from procrustes_lab.data.cache import cached, data_folder
from procrustes_lab.data.datasets import (
    MINIMUM_WORDS,
    api_descriptions,
    read_docstrings,
    select,
    split,
)

BODY = " ".join(f"word{i}" for i in range(MINIMUM_WORDS))


@pytest.fixture
def package(tmp_path):
    """Return a function that writes files into a package called zoo, and reads it."""

    def read(**sources):
        root = tmp_path / "zoo"
        for name, source in sources.items():
            path = root / f"{name.replace('__slash__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return list(read_docstrings(root))

    return read


def test_functions_classes_methods_and_nested_classes_are_read_in_source_order(package):
    found = package(
        cats='''
def purr(volume):
    """Make a low,
    steady sound.

    At `volume`.

    Twice.
    """

class Cat:
    """A cat.

    It has whiskers.
    """

    @property
    def tail(self):
        """The tail.

        It is long.
        """

    class Paw:
        """A paw.

        Four of them."""

        async def scratch(self):
            r"""Scratch.

            The \\sofa."""
'''
    )
    assert found == [
        ("zoo.cats.purr", "Make a low, steady sound.", "At `volume`.\n\nTwice."),
        ("zoo.cats.Cat", "A cat.", "It has whiskers."),
        ("zoo.cats.Cat.tail", "The tail.", "It is long."),
        ("zoo.cats.Cat.Paw", "A paw.", "Four of them."),
        ("zoo.cats.Cat.Paw.scratch", "Scratch.", "The \\sofa."),
    ]


def test_private_names_are_left_out_with_all_they_hold_but_private_files_are_read(package):
    found = package(
        _birds='''
def fly():
    """Fly.

    High."""
    def inner():
        """Inside.

        Hidden."""

def _moult():
    """Moult.

    Yearly."""

class _Nest:
    """Nest.

    Of twigs."""

    def build(self):
        """Build.

        Slowly."""

class Bird:
    def __init__(self):
        """Hatch.

        From an egg."""

    def sing(self):
        """Sing.

        At dawn."""
''',
        __init__='''
def feed():
    """Feed.

    All of them."""
''',
    )
    assert [name for name, _, _ in found] == ["zoo.feed", "zoo._birds.fly", "zoo._birds.Bird.sing"]


def test_tests_and_bundled_projects_are_left_out(package):
    source = 'def f():\n    """Do.\n\n    It."""\n'
    found = package(
        keep=source,
        deep__slash__keep=source,
        tests__slash__helpers=source,
        deep__slash__tests__slash__test_keep=source,
        deep__slash__test_keep=source,
        externals__slash__other=source,
        _lib__slash__other=source,
        deep__slash__benchmarks__slash__slow=source,
    )
    assert sorted(name for name, _, _ in found) == ["zoo.deep.keep.f", "zoo.keep.f"]


def test_files_that_do_not_parse_are_passed_over(package, recwarn):
    good = 'def f():\n    """Do.\n\n    It."""\n'
    found = package(
        broken="def f(:\n",
        wrong_bytes=b'\xff\xfe"""\n',
        null=b"x = '\x00'\n",
        empty="",
        latin=b"# -*- coding: latin-1 -*-\n" + good.replace("It", "Ünicode").encode("latin-1"),
        escape="x = '\\d'\n" + good,
    )
    assert found == [("zoo.escape.f", "Do.", "It."), ("zoo.latin.f", "Do.", "Ünicode.")]
    assert not list(recwarn)


def test_a_docstring_needs_a_summary_that_someone_wrote(package):
    found = package(
        odd='''
def bare(): pass

def bytes_are_no_docstring():
    b"""Do.

    It."""

def heading():
    """
    Parameters
    ----------
    x : int

    More."""

def signature():
    """signature(x)

    signature(x, *,
        y=(1, 2)) -> int

    Count the ways.

    One by one."""

def only_signature():
    """only_signature(x)"""

def alone():
    """Stand alone."""
'''
    )
    assert found == [
        ("zoo.odd.signature", "Count the ways.", "One by one."),
        ("zoo.odd.alone", "Stand alone.", ""),
    ]


def test_docstrings_added_to_c_code_are_read(package):
    found = package(
        newdocs='''
from numpy import add_newdoc

add_newdoc("zoo.core", "owl",
    """
    owl(x, /)
    --

    Hoot.

    At night.
    """)
add_newdoc("zoo.core", "Owl", ("eyes", """Look.

    Around."""))
add_newdoc("zoo.core", "Owl", [("wing", "Flap.\\n\\nSoftly."), ("_bone", "Ache.\\n\\nDully.")])
add_newdoc("zoo.core", "_Owlet", ("beak", "Open.\\n\\nWide."))
add_newdoc("zoo.core", "computed", make_docstring())
add_newdoc("elsewhere", "bat", "Squeak.\\n\\nLoudly.")
add_newdoc("two", "arguments")
'''
    )
    assert found == [
        ("zoo.core.owl", "Hoot.", "At night."),
        ("zoo.core.Owl.eyes", "Look.", "Around."),
        ("zoo.core.Owl.wing", "Flap.", "Softly."),
    ]


def test_selection_keeps_the_first_of_duplicates_and_no_short_body():
    pairs = [
        ("a", "One.", BODY),
        ("b", "One.", BODY + " more"),
        ("c", "Two.", BODY),
        ("a", "Three.", BODY + " again"),
        ("d", "Four.", BODY.rpartition(" ")[0]),
        ("e", "Four.", BODY + " enough"),
    ]
    assert select(pairs) == [pairs[0], pairs[5]]


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Make a one-module package the only library, and a folder for its cache."""
    root = tmp_path / "source" / "zoo"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text(
        "raise RuntimeError('imported')\n"
        + "".join(f'def f{i}():\n    """Do {i}.\n\n    {BODY} {i}"""\n' for i in range(3))
    )
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.setattr(datasets, "LIBRARIES", {"zoo": "zoo-of-docstrings", "unicorn": "unicorn"})
    monkeypatch.setattr(datasets.importlib.metadata, "version", {"zoo-of-docstrings": "3"}.get)
    return tmp_path / "cache"


def test_a_missing_library_is_left_out_and_nothing_is_imported(libraries):
    data = api_descriptions(libraries)
    assert data.versions == {"zoo": "3"}
    assert len(data) == 3
    assert data.names == ("zoo.f0", "zoo.f1", "zoo.f2")
    assert data.queries[1] == "Do 1."
    assert data.documents[1] == f"{BODY} 1"
    assert data.libraries == ("zoo",) * 3
    assert "zoo" not in sys.modules
    assert repr(data) == "ApiDescriptions(3 pairs from zoo 3)"


def test_no_library_at_all_is_an_error_that_names_them(libraries, monkeypatch):
    monkeypatch.setattr(datasets, "LIBRARIES", {"unicorn": "unicorn", "yeti": "the-yeti"})
    with pytest.raises(ModuleNotFoundError, match="none of unicorn, the-yeti is installed"):
        api_descriptions(libraries)


def test_the_second_call_reads_the_cache_and_a_new_version_does_not(libraries, monkeypatch):
    first = api_descriptions(libraries)
    monkeypatch.setattr(datasets, "read_docstrings", lambda root: [("zoo.g", "New.", BODY)])
    assert api_descriptions(libraries) == first
    monkeypatch.setattr(datasets.importlib.metadata, "version", {"zoo-of-docstrings": "4"}.get)
    assert api_descriptions(libraries).names == ("zoo.g",)


DAMAGE = {
    "emptied": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "one bit flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "text": lambda content: b"not a cache",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    assert cached("numbers", (1, 2), lambda: b"three", tmp_path) == b"three"
    (path,) = tmp_path.iterdir()
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    assert cached("numbers", (1, 2), lambda: b"three", tmp_path) == b"three"
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == intact


def test_the_cache_answers_for_its_own_recipe_only(tmp_path):
    for recipe in ("a", "b"):
        assert cached("x", recipe, recipe.encode, tmp_path) == recipe.encode()
    assert cached("x", "a", pytest.fail, tmp_path) == b"a"


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    assert cached("x", "y", lambda: b"made", file) == b"made"
    assert cached("x", "y", lambda: b"made", file / "below") == b"made"
    assert file.read_text() == "in the way"


def test_what_fails_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(cache.os, "replace", refuse)
    assert cached("x", "y", lambda: b"made", tmp_path) == b"made"
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_leave_one_whole_file(tmp_path):
    content = os.urandom(2**20)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cached("x", "y", lambda: content, tmp_path), range(16)))
    assert set(results) == {content}
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_the_argument_then_the_environment_then_the_users_cache(monkeypatch):
    monkeypatch.setenv("PROCRUSTES_LAB_DATA", "~/there")
    assert data_folder("here") == Path("here")
    assert data_folder() == Path.home() / "there"
    monkeypatch.delenv("PROCRUSTES_LAB_DATA")
    assert data_folder().name == "procrustes-lab"


@pytest.mark.long
def test_installed_libraries_give_thousands_of_clean_pairs(tmp_path):
    command = (
        "import json, sys; from procrustes_lab.data.datasets import api_descriptions\n"
        "data = api_descriptions(sys.argv[1])\n"
        "json.dump([data.names, data.queries, data.documents, data.libraries, data.versions,"
        " [name for name in ('matplotlib', 'sympy', 'sklearn') if name in sys.modules]],"
        " sys.stdout)"
    )
    run = subprocess.run(
        [sys.executable, "-c", command, tmp_path], capture_output=True, text=True, check=True
    )
    *fields, versions, imported = json.loads(run.stdout)
    names, queries, documents, libraries = fields
    assert run.stderr == ""
    assert imported == []
    assert set(libraries) == set(versions) == set(datasets.LIBRARIES)
    assert 5_000 <= len(names) <= 7_500
    for field in (names, queries, documents):
        assert len(set(field)) == len(names)
    assert min(len(body.split()) for body in documents) == MINIMUM_WORDS
    assert not any("\n" in query for query in queries)
    assert not any(".tests." in name or name.rpartition(".")[2].startswith("_") for name in names)

    for name in ("numpy.linalg._linalg.svd", "sympy.sets.fancysets.Range", "sklearn.metrics.auc"):
        module, _, attribute = name.rpartition(".")
        shown = inspect.getdoc(getattr(importlib.import_module(module), attribute))
        where = names.index(name.replace("metrics.auc", "metrics._ranking.auc"))
        assert f"{queries[where]} {documents[where]}".split() == shown.split()
        assert libraries[where] == name.partition(".")[0]

    [kept] = tmp_path.iterdir()
    with contextlib.suppress(OSError):  # what was read anew serves whatever reads it next
        data_folder().mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, data_folder())


def test_a_split_is_a_seeded_partition():
    fitted, evaluated = split(50, 7, seed=3)
    assert len(evaluated) == 7
    assert sorted([*fitted, *evaluated]) == list(range(50))
    assert (np.diff(fitted) > 0).all()
    assert (np.diff(evaluated) > 0).all()
    assert (split(50, 7, seed=3)[1] == evaluated).all()
    assert (split(50, 7, seed=4)[1] != evaluated).any()


@pytest.mark.parametrize("held_out", [-1, 0, 50, 51])
def test_a_split_with_an_empty_part_is_refused(held_out):
    with pytest.raises(ValueError, match=rf"held_out is {held_out}; expected 1 to 49"):
        split(50, held_out, seed=0)
