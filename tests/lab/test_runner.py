import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

from procrustes_lab.lab import runner

IMPORT = "from procrustes_lab.lab.claims import claim, claims_table\n"


def write(folder, name, *sources):
    """Write a notebook; the source of a cell tagged `parameters` starts with a comment."""
    cells = []
    for number, source in enumerate(sources):
        if source.startswith("# "):
            cell = v4.new_code_cell(source, metadata={"tags": ["parameters"], "scrolled": True})
        else:
            cell = v4.new_code_cell(source)
        cell.id = f"cell-{number}"
        cells.append(cell)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def text(path):
    """Return everything printed in a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Four notebooks, three of them with something wrong, and what a run of them left."""
    root = tmp_path_factory.mktemp("a {lab}")
    folder = root / "notebooks"
    notebooks = [
        write(
            folder,
            "good",
            "# parameters\nseed = 1\nsize = 2",
            IMPORT + "import os, sys\nfrom pathlib import Path",
            "claim('A<1', 'seed is small', seed, at_most=9)\nclaim('B', 'noise', 1e-17, at_most=1)",
            "print(seed, size, os.environ['OMP_NUM_THREADS'], sys.prefix, Path.cwd().name)",
            "Path(os.environ['PROCRUSTES_LAB_FIGURES'], 'good.svg').write_text('<svg/>')",
            "claims_table()",
        ),
        write(
            folder,
            "fails",
            "",
            IMPORT + "claim('C', 'holds', 1, at_most=2)",
            "raise ValueError('first line\\nsecond')",
            "print('never')",
        ),
        write(folder, "false", IMPORT, "claim('D', 'does not hold', 3, at_most=2)"),
        write(folder, "dies", "import os", "os._exit(1)"),
        write(
            folder,
            "twice",
            IMPORT + "claim('E', 'once', 1, equals=1)",
            "claim('E', 'twice', 1, equals=1)",
        ),
    ]
    before = {path: path.read_bytes() for path in notebooks}
    results = runner.run(notebooks, root / "build", jobs=2, parameters={"seed": 5, "other": 1})
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    return root / "build", {result.name: result for result in results}


def test_a_run_reports_every_notebook_in_order(lab):
    _, results = lab
    assert list(results) == ["good", "fails", "false", "dies", "twice"]
    assert {name: (r.held, len(r.claims)) for name, r in results.items()} == {
        "good": (2, 2),
        "fails": (1, 1),
        "false": (0, 1),
        "dies": (0, 0),
        "twice": (2, 2),
    }
    assert all(0 < result.seconds < 60 for result in results.values())


def test_a_failure_is_named_with_its_cell_and_error_in_one_line(lab):
    _, results = lab
    assert results["good"].failure is None
    assert results["fails"].failure == "cell 2: ValueError: first line"
    assert results["false"].failure == ("cell 2: ClaimError: D does not hold: does not hold: 3 ≤ 2")
    assert results["dies"].failure.startswith("cell 2: DeadKernelError")
    assert results["twice"].failure == "its claims: the id 'E' is used twice"


def test_the_partial_copy_of_a_failing_notebook_is_kept(lab):
    build, _ = lab
    cells = nbformat.read(build / "notebooks" / "fails.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in outputs] == ["display_data", "error"]
    assert outputs[1].ename == "ValueError"
    assert [cell.source for cell in cells][2:] == [
        "raise ValueError('first line\\nsecond')",
        "print('never')",
    ]


def test_notebooks_take_the_parameters_that_they_have_and_share_the_cores(lab):
    build, _ = lab
    cell = nbformat.read(build / "notebooks" / "good.ipynb", as_version=4).cells[4]
    threads = str(max(1, int(runner.cpu_count()) // 2))
    threads = os.environ.get("OMP_NUM_THREADS", threads)
    assert cell.outputs[0].text == f"5 2 {threads} {sys.prefix} notebooks\n"


def test_the_claims_are_written_as_json(lab):
    build, _ = lab
    claims = json.loads((build / "claims.json").read_text(encoding="utf-8"))
    assert [(c["notebook"], c["id"], c["holds"]) for c in claims] == [
        ("good", "A<1", True),
        ("good", "B", True),
        ("fails", "C", True),
        ("false", "D", False),
        ("twice", "E", True),
        ("twice", "E", True),
    ]
    assert claims[0]["observed"] == 5
    assert claims[1]["observed"] == 0


def test_the_index_links_every_page_and_lists_every_claim(lab):
    build, results = lab
    index = (build / "index.html").read_text(encoding="utf-8")
    assert "5 of 6 claims hold" in index
    assert "A&lt;1" in index
    assert "cell 2: ValueError: first line" in index
    for name in results:
        assert f'href="html/{name}.html"' in index
        assert (build / "html" / f"{name}.html").stat().st_size > 10_000
    assert "http" not in index


def test_a_run_leaves_whole_files_and_nothing_else(lab):
    build, results = lab
    assert {str(path.relative_to(build)) for path in build.rglob("*") if path.is_file()} == {
        "index.html",
        "claims.json",
        "figures/good.svg",
        *(f"html/{name}.html" for name in results),
        *(f"notebooks/{name}.ipynb" for name in results),
    }
    assert sorted(os.listdir(build)) == [
        "claims.json",
        "figures",
        "html",
        "index.html",
        "notebooks",
    ]


def test_a_kernel_of_another_python_is_not_taken(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/bin/false"], "display_name": "another", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = write(tmp_path / "notebooks", "here", "import sys\nprint(sys.executable)")
    [result] = runner.run([notebook], tmp_path / "build")
    assert result.failure is None
    assert text(tmp_path / "build" / "notebooks" / "here.ipynb") == f"{sys.executable}\n"


@pytest.mark.parametrize(
    "to_group",
    [
        pytest.param(True, id="terminal"),
        pytest.param(False, id="one process", marks=pytest.mark.long),
    ],
)
def test_ctrl_c_ends_every_kernel_and_leaves_no_file(tmp_path, to_group):
    started = [tmp_path / name for name in ("one", "two", "three")]
    names = [
        str(
            write(
                *(tmp_path / "notebooks", path.name, "import pathlib, time"),
                f"pathlib.Path({str(path)!r}).touch()\ntime.sleep(60)",
            )
        )
        for path in started
    ]
    command = [str(Path(sys.executable).with_name("procrustes-lab")), "run", *names, "--jobs", "2"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while sum(path.exists() for path in started) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kernels = psutil.Process(process.pid).children(recursive=True)
        assert len(kernels) == 2
        assert all("ipykernel_launcher" in kernel.cmdline() for kernel in kernels)
        if to_group:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        said = process.stderr.read().strip()
        assert process.wait(timeout=60) == 130
    assert said == "procrustes-lab: interrupted: nothing is left running, and no file was changed"
    assert not any(kernel.is_running() for kernel in kernels)
    assert list((tmp_path / "build").iterdir()) == []
    assert {path.name for path in (tmp_path / "notebooks").iterdir()} == {
        "one.ipynb",
        "two.ipynb",
        "three.ipynb",
    }


def test_refreshing_twice_changes_nothing_the_second_time(tmp_path):
    folder = tmp_path / "notebooks"
    good = write(
        folder,
        "good",
        "# parameters\nseed = 1",
        "import os\nfrom pathlib import Path\n"
        "Path(os.environ['PROCRUSTES_LAB_FIGURES'], 'good.svg').write_text('<svg/>')",
        "import sys\nfor i in range(3):\n    print(i, flush=True)\n    print(i, file=sys.stderr)",
    )
    fails = write(folder, "fails", "1 / 0")
    untouched = fails.read_bytes()

    results = runner.refresh([good, fails], tmp_path / "figures")
    assert [result.failure for result in results] == [
        None,
        "cell 1: ZeroDivisionError: division by zero",
    ]
    first = good.read_bytes()
    runner.refresh([good], tmp_path / "figures")

    assert good.read_bytes() == first
    assert fails.read_bytes() == untouched
    assert os.listdir(tmp_path / "figures") == ["good.svg"]
    assert sorted(os.listdir(folder)) == ["fails.ipynb", "good.ipynb"]
    notebook = nbformat.read(good, as_version=4)
    assert notebook == runner.normalised(notebook)
    assert notebook.metadata == runner.METADATA
    assert [cell.id for cell in notebook.cells] == ["cell-0", "cell-1", "cell-2"]
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    assert [cell.metadata for cell in notebook.cells] == [{"tags": ["parameters"]}, {}, {}]
    assert [output.text for output in notebook.cells[2].outputs] == ["0\n1\n2\n", "0\n1\n2\n"]


def test_the_parameters_are_those_of_the_tagged_cell(tmp_path):
    with_cell = write(tmp_path, "with", "# parameters\nseed = 1  # the seed\nsizes = [1, 2]")
    without = write(tmp_path, "without", "seed = 1")
    assert runner.parameter_names(with_cell) == ["seed", "sizes"]
    assert runner.parameter_names(without) == []


def test_nothing_that_raises_nothing_passes_for_success(tmp_path):
    notebooks = [
        write(
            tmp_path,
            "swallowed",
            IMPORT
            + "try:\n    claim('n', 's', 5, at_most=3)\nexcept AssertionError: print('hush')",
        ),
        write(tmp_path, "left", "import sys; sys.exit(0)", "1 / 0"),
        write(tmp_path, "infinite", IMPORT + "claim('m', 's', 2, at_most=float('inf'))"),
    ]
    swallowed, left, infinite = runner.run(notebooks, tmp_path / "build", jobs=2)
    assert swallowed.failure == "its claims: n does not hold"
    assert left.failure is not None
    assert infinite.failure is None
    assert infinite.claims[0].bound == "inf"


def test_a_run_never_replaces_its_own_notebooks(tmp_path):
    path = write(tmp_path / "notebooks", "one", "1 + 1")
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="choose another output"):
        runner.run([path], tmp_path)
    assert path.read_bytes() == before
