import re
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

from procrustes_lab.cli import main as cli
from procrustes_lab.lab import runner

TAGGED = {"tags": ["parameters"]}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Make a folder with two notebooks the current one."""
    (tmp_path / "notebooks").mkdir()
    for name, source in {"00_first": "seed = 0\nsize = 3", "01_second": "seed = 0"}.items():
        notebook = v4.new_notebook(cells=[v4.new_code_cell(source, metadata=TAGGED)])
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """Note what is asked of the runner instead of running it."""
    calls = []

    def run(notebooks, output, *, jobs, parameters):
        calls.append(([path.stem for path in notebooks], str(output), jobs, parameters))
        return [runner.Result(path.stem, 1.25, (), None) for path in notebooks]

    monkeypatch.setattr(runner, "run", run)
    return calls


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["procrustes-lab", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    return exit_.value.code or 0


def test_run_takes_every_notebook_of_the_folder(lab, calls, monkeypatch, capsys):
    assert command(monkeypatch, "run") == 0
    assert calls == [(["00_first", "01_second"], "build", None, {})]
    assert capsys.readouterr().out == (
        "\n"
        "notebook   seconds  claims held / checked\n"
        "00_first       1.2                  0 / 0\n"
        "01_second      1.2                  0 / 0\n"
        "\n"
        "Look at build/index.html: the notebooks, and every claim.\n"
    )


@pytest.mark.parametrize("name", ["01_second", "01_second.ipynb", "notebooks/01_second.ipynb"])
def test_a_notebook_is_a_name_or_a_file(lab, calls, monkeypatch, name):
    assert command(monkeypatch, "run", name, name, "--jobs", "3", "--output", "a/b") == 0
    assert calls == [(["01_second"], "a/b", 3, {})]


def test_values_are_typed_as_papermill_types_them(lab, calls, monkeypatch, capsys):
    arguments = ["-p", "seed", "7", "-p", "size", "1e3"]
    assert command(monkeypatch, "run", *arguments) == 0
    assert calls[0][3] == {"seed": 7, "size": 1000.0}
    assert isinstance(calls[0][3]["seed"], int)
    assert capsys.readouterr().err == "01_second: no parameter 'size', so not set there\n"


@pytest.mark.parametrize(
    ("value", "typed"),
    [("True", True), ("None", None), ("-2", -2), ("0.5", 0.5), ("digits", "digits")],
)
def test_a_value_is_a_word_a_number_or_text(value, typed):
    assert cli._typed(value) == typed
    assert type(cli._typed(value)) is type(typed)


def test_a_failing_notebook_is_named_and_the_exit_code_is_1(lab, monkeypatch, capsys):
    results = [
        runner.Result("00_first", 1.0, (), "cell 4: ValueError: no"),
        runner.Result("01_second", 2.0, (), None),
    ]
    monkeypatch.setattr(runner, "run", lambda *_, **__: results)
    assert command(monkeypatch, "run") == 1
    assert (
        "\n00_first failed in cell 4: ValueError: no (partial copy in build/notebooks)\n"
        in capsys.readouterr().out
    )


def test_refresh_rewrites_notebooks_and_figures(lab, monkeypatch, capsys):
    asked = []

    def refresh(notebooks, figures, *, jobs):
        asked.append(([path.stem for path in notebooks], str(figures), jobs))
        return [runner.Result("00_first", 1.0, (), "cell 1: ValueError: no")]

    monkeypatch.setattr(runner, "refresh", refresh)
    assert command(monkeypatch, "refresh", "00_first", "--jobs", "2") == 1
    assert asked == [(["00_first"], "figures", 2)]
    assert "(left as it was)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "02_third"], "no notebook '02_third': those in notebooks are 00_first, 01_second"),
        (["run", "notebooks"], "no notebook 'notebooks'"),
        (["run", "text.ipynb"], "text.ipynb is not a notebook"),
        (["run", "empty.ipynb"], "empty.ipynb is not a notebook"),
        (["run", "00_first", "00_first.ipynb"], "have the same name"),
        (["run", "--jobs", "0"], "'--jobs': 0"),
        (["run", "--jobs", "many"], "'--jobs': 'many'"),
        (["run", "--output", "text.ipynb"], "'--output': Directory 'text.ipynb' is a file"),
        (["run", "--output", "text.ipynb/a"], "text.ipynb/a"),
        (
            ["run", "-p", "sead", "1"],
            "no chosen notebook has a parameter 'sead': they have seed, size",
        ),
        (["run", "-p", "seed"], "requires 2 arguments"),
        (["walk"], "No such command 'walk'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(lab, monkeypatch, capsys, arguments, said):
    (lab / "text.ipynb").write_text("no JSON")
    (lab / "empty.ipynb").write_text("{}")
    if "same name" in said:
        (lab / "00_first.ipynb").write_bytes((lab / "notebooks" / "00_first.ipynb").read_bytes())
        arguments = ["run", "notebooks/00_first.ipynb", "00_first.ipynb"]
    assert command(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"procrustes-lab: [^\n]+\n", captured.err)
    assert said in captured.err


def test_a_folder_without_notebooks_is_said_to_be_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "run") == 2
    assert "there are no notebooks in" in capsys.readouterr().err


def test_without_a_command_the_commands_are_listed(monkeypatch, capsys):
    assert command(monkeypatch) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^  (\w+) ", out.split("Commands:")[1], flags=re.MULTILINE) == [
        "apply",
        "certify",
        "fit",
        "refresh",
        "report",
        "run",
    ]


@pytest.mark.parametrize("missing", ["click", "papermill"])
def test_a_missing_extra_is_named(lab, missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['run']\n"
        "from procrustes_lab.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}
    assert re.fullmatch(r"[^\n]*pip install 'procrustes-lab\[lab\]'\n", done.stderr)


@pytest.mark.parametrize(
    "text", ["[]", "null", '{"nbformat": "a"}', '{"nbformat": 9, "cells": []}']
)
def test_other_json_is_no_notebook(lab, monkeypatch, capsys, text):
    (lab / "odd.ipynb").write_text(text)
    assert command(monkeypatch, "run", "odd.ipynb") == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    assert "odd.ipynb is not a notebook" in sentence
