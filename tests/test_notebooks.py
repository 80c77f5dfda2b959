"""The notebooks: as committed, and with another seed and other sizes."""

import json
import re
from pathlib import Path

import in_process
import nbformat
import numpy as np
import pytest
from matplotlib.testing.compare import compare_images

from procrustes_lab.lab import pages, runner

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = sorted((ROOT / "figures").glob("*.*"))

# The claims of a notebook hold for these as for its own.
OTHER_PARAMETERS = {
    "01_align_two_models": {"seed": 7, "held_out": 600, "old": "use"},
    "11_see_both_sides": {
        "seed": 7,
        "random_pairs": 1700,
        "largest": 9,
        "dimension": 96,
        "networks": ["MiniLM", "USE", "E5"],
    },
    "03_upgrade_the_query_encoder": {
        "seed": 7,
        "held_out": 500,
        "pairs": 2000,
        "networks": ["minilm", "use", "e5"],
    },
    "05_survive_a_retraining": {
        "seed": 7,
        "versions": 3,
        "runs": 2,
        "factors": 16,
        "iterations": 12,
    },
    "04_choose_the_map": {"seed": 7, "objects": 1700, "held_out": 400},
    "06_search_text_and_images": {
        "seed": 7,
        "held_out": 800,
        "draws": 12,
        "steps": 100,
        "temperatures": [0.01, 0.1],
    },
    "08_count_the_pairs": {
        "seed": 7,
        "dimension": 96,
        "held_out": 700,
        "target": 0.08,
        "small_draws": 800,
    },
    "07_know_when_not_to": {"seed": 7, "objects": 900, "draws": 6, "shuffles": 199},
    "09_align_what_does_not_fit": {
        "seed": 7,
        "objects": 30_500,
        "dimension": 40,
        "block": 3000,
        "small": 35,
    },
    "10_derive_and_attain_the_bound": {
        "seed": 7,
        "dimension": 96,
        "random_pairs": 900,
        "largest": 7,
        "starts": 6,
        "axes": 5,
    },
    "12_from_sample_to_population": {
        "seed": 7,
        "dimension": 96,
        "draws": 4,
        "many_draws": 3000,
    },
    "13_certify_a_ranking": {"seed": 7, "held_out": 700, "dimension": 96, "draws": 1000},
    "14_compare_with_cka": {"seed": 7, "random_pairs": 400, "dimension": 96},
    "02_decide_on_your_files": {
        "seed": 7,
        "example": "bigram",
        "held_out": 600,
        "sample": 2000,
        "judged": 700,
        "index": 3000,
    },
}

# Real data that is not in the project, from the folder that stands beside a checkout. A figure or
# table made of it has the data's name in its own, and is shown by the notebook as committed.
SHARED = ROOT.parent / "shared" / "data"
WITH_DATA = {
    "04_choose_the_map": {"data": "scifact", "data_home": str(SHARED)},
    "03_upgrade_the_query_encoder": {"data": "scifact", "data_home": str(SHARED)},
    "11_see_both_sides": {"data": "scifact", "data_home": str(SHARED)},
    "06_search_text_and_images": {"data": "clip", "data_home": str(SHARED), "draws": 10},
    "05_survive_a_retraining": {"data": "movielens", "data_home": str(SHARED)},
}
DATA = ("movielens", "scifact", "clip")
FROM_DATA = {figure.name for figure in FIGURES if any(f"_{name}" in figure.stem for name in DATA)}

# Root mean square difference of two pictures, in grey levels of 255: text is drawn a little
# differently on other machines, a moved point or line is far more.
PICTURE_TOLERANCE = 2.0

SVG_TOLERANCE = 0.05  # points

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def figures_of(notebook):
    """Return the committed figures whose names a notebook's code has in quotes."""
    code = "".join(cell.source for cell in nbformat.read(notebook, as_version=4).cells)
    return {figure.name for figure in FIGURES if f'"{figure.stem}"' in code}


def test_every_notebook_has_other_parameters():
    assert [path.stem for path in NOTEBOOKS] == sorted(OTHER_PARAMETERS)


def test_every_figure_belongs_to_a_notebook():
    assert {path.name for path in FIGURES} == set().union(*map(figures_of, NOTEBOOKS))


@every_notebook
def test_it_is_committed_as_executed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]

    assert path.stat().st_size < 1.5e6
    assert notebook == runner.normalised(notebook), "run make refresh"
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "error" not in {output.output_type for output in outputs}
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    assert code[-1].source == "claims_table()"
    assert "claims hold" in code[-1].outputs[0].data["text/plain"]
    assert notebook.cells[0].source.startswith("# ")
    title, takeaway = pages.heading(notebook)
    assert title
    assert 4 < len(takeaway.split()) <= 60
    words = json.dumps([o for o in outputs if "image/png" not in o.get("data", {})])
    assert not re.search(r"/(home|root|tmp|Users)/|site-packages", words)


@every_notebook
def test_it_gives_the_committed_outputs_and_figures(path, tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    code, report = in_process.nbval(path, figures)
    assert code == 0, report[-4000:]
    made = {figure.name for figure in figures.iterdir()}
    assert made == figures_of(path) - FROM_DATA, "run make refresh"
    for name in sorted(made):
        assert_same_picture(ROOT / "figures" / name, figures / name)


@every_notebook
def test_its_claims_hold_with_another_seed_and_other_sizes(path):
    parameters = OTHER_PARAMETERS[path.stem]
    assert set(parameters) <= set(runner.parameter_names(path))
    executed = in_process.executed(path, parameters)  # or a PapermillExecutionError is raised
    claims, wrong = runner.claims_of(executed)
    assert wrong is None
    assert len(claims) > 0


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no {SHARED}")
@pytest.mark.parametrize("name", WITH_DATA)
def test_with_the_real_data_it_gives_the_committed_figures(name, tmp_path):
    parameters = WITH_DATA[name]
    path = ROOT / "notebooks" / f"{name}.ipynb"
    [result] = runner.run([path], tmp_path, parameters=parameters)
    assert result.failure is None
    assert result.held == len(result.claims) > 0
    made = {figure.name for figure in (tmp_path / "figures").iterdir()}
    assert made == figures_of(path) & {f for f in FROM_DATA if f"_{parameters['data']}" in f}
    for figure in sorted(made):
        assert_same_picture(ROOT / "figures" / figure, tmp_path / "figures" / figure)


@every_notebook
def test_it_is_a_talk_of_bounded_length_with_long_cells_folded(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    proofs = path.stem >= "10"
    assert len(cells) <= 35
    assert sum(len(text.split()) for text in prose) <= (2000 if proofs else 1500)
    long = [c for c in cells if c.cell_type == "code" and len(c.source.splitlines()) > 15]
    assert sum("hide-input" not in cell.metadata.get("tags", []) for cell in long) <= 6


@every_notebook
def test_no_table_is_a_line_of_dashes(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            for line in output.get("data", {}).get("text/markdown", "").splitlines():
                assert not re.match(r"\s*:?-{3,}:? \|", line)


@every_notebook
def test_prose_holds_few_numbers(path):
    notebook = nbformat.read(path, as_version=4)
    prose = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " ", prose, flags=re.DOTALL)
    assert len(re.findall(r"(?<![\w./])\d{0,2}\.\d{2,4}(?![\d/])", prose)) <= 3


def assert_same_picture(committed, made):
    if committed.suffix == ".md":
        assert committed.read_text(encoding="utf-8") == made.read_text(encoding="utf-8")
        return
    if committed.suffix == ".png":
        assert compare_images(committed, made, PICTURE_TOLERANCE) is None
        return
    # Matplotlib names shapes after a hash of their coordinates.
    named = re.compile(r"\b[a-z][0-9a-f]{10}\b")
    number = re.compile(r"(?<![\w.#])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
    old, new = (named.sub("id", path.read_text("utf-8")) for path in (committed, made))
    assert number.sub("0", old) == number.sub("0", new)
    coordinates = [np.array(number.findall(svg), float) for svg in (old, new)]
    assert np.abs(np.subtract(*coordinates)).max() < SVG_TOLERANCE
