"""The ledger bites: a theorem made ten per cent too good fails some claim of its notebook.

Every formula stands in one function of the package. The notebook's cells are run once as they are,
small and on made-up vectors; then with the function replaced, and claims that held must fail.
"""

from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from procrustes_lab.core import bounds, sampling, similarity
from procrustes_lab.data import datasets, text_models
from procrustes_lab.lab import claims, plotting
from procrustes_lab.search import retrieval

pytestmark = pytest.mark.long  # it runs notebooks

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SAMPLE, RANKING, CKA = "12_from_sample_to_population", "13_certify_a_ranking", "14_compare_with_cka"
BOUND, LENS = "10_derive_and_attain_the_bound", "11_see_both_sides"
SMALL = {
    BOUND: {"dimension": 24, "random_pairs": 300, "largest": 7, "starts": 4, "axes": 4},
    LENS: {"dimension": 24, "random_pairs": 400},
    SAMPLE: {"dimension": 24, "sizes": [30, 60, 300], "draws": 2, "many_draws": 3000},
    RANKING: {"dimension": 24, "held_out": 200, "draws": 200},
    CKA: {"dimension": 24, "random_pairs": 150},
}


def times(factor):
    return lambda formula: lambda *args, **options: factor * formula(*args, **options)


def least(formula):
    return lambda *args: similarity.Range(1.1 * formula(*args).least, formula(*args).most)


def most(formula):
    return lambda *args: similarity.Range(formula(*args).least, 0.9 * formula(*args).most)


def lighter_tail(formula):
    def bound(dimension, pairs, *, risk=None):
        mean, whole = formula(dimension, pairs), formula(dimension, pairs, risk=risk)
        return mean + 0.9 * (whole - mean)

    return bound


def faster(formula):
    return lambda dimension, pairs, **options: formula(dimension, pairs**1.1, **options)


def smaller_root(formula):
    return lambda c: 2 * np.sqrt(1 + c) - 2 * np.sqrt(1.8 * c)


def smaller_exponent(formula):
    return lambda epsilon, source_dim, target_dim: (
        epsilon * (2 * max(source_dim, target_dim)) ** 0.45
    )


def smaller_budget(formula):
    def bound(source, target, epsilon):
        unlike = np.sum((np.sort(source) ** 2 - np.sort(target) ** 2) ** 2)
        return formula(source, target, np.sqrt(unlike + 0.9 * max(epsilon**2 - unlike, 0)))

    return bound


def smaller_angles(formula):
    return lambda *moments: (0.9 * formula(*moments)[0], formula(*moments)[1])


MUTANTS = {
    "T1": (BOUND, bounds, "theorem", times(0.9), "T1-attained"),
    "T1, its exponent of d": (BOUND, bounds, "theorem", smaller_exponent, "T1-attained"),
    "T1, to a search": (BOUND, bounds, "theorem", times(0.9), "T1-search"),
    "T1′": (BOUND, bounds, "rank_aware", times(0.9), "T1p-attained"),
    "T1′, to a search": (BOUND, bounds, "rank_aware", times(0.9), "search-holds"),
    "T8": (BOUND, bounds, "spectrum_aware", times(0.9), "T8-attained"),
    "T8, to random pairs": (BOUND, bounds, "spectrum_aware", times(0.9), "T8"),
    "T8, its budget": (BOUND, bounds, "spectrum_aware", smaller_budget, "T8-attained"),
    "T3": (BOUND, bounds, "lipschitz", times(0.9), "T3-attained"),
    "T2, lower side": (LENS, bounds, "lower", times(1.1), "T2-lower"),
    "T2, upper side": (LENS, bounds, "upper", times(0.9), "T2-upper"),
    "T4": (LENS, bounds, "floor", times(1.1), "T4-attained"),
    "T4, to random pairs": (LENS, bounds, "floor", times(1.1), "T4"),
    "T9": (LENS, bounds, "tilts", smaller_angles, "T9-mean"),
    "T5 step 1, its 4": (SAMPLE, sampling, "excess_from_deviation", times(0.9), "T5-constant"),
    "T5 step 2": (SAMPLE, sampling, "deviation_bound", times(0.9), "T5-mean"),
    "T5 step 2, its exponent": (SAMPLE, sampling, "deviation_bound", faster, "T5-mean"),
    "T5 step 3, the tail": (SAMPLE, sampling, "deviation_bound", lighter_tail, "T5-tail"),
    "T5′ step 1, its 4": (SAMPLE, sampling, "excess_from_squares", times(0.9), "T5′-constant"),
    "T5′ κ": (SAMPLE, sampling, "excess_rate", times(0.9), "T5′-limit"),
    "T11 (d − 1)/2m": (SAMPLE, sampling, "expected_share", times(0.9), "T11-rate"),
    "T6 the margin": (RANKING, retrieval, "margins", times(1.1), "T6-kept"),
    "T6 the band": (RANKING, retrieval, "band", times(0.9), "T6-band"),
    "T7 (a)": (CKA, similarity, "cka_range", most, "T7-most-attained"),
    "T7 (b)": (CKA, similarity, "cka_range", least, "T7-least-attained"),
    "T7 (c) left": (CKA, similarity, "bures_range", least, "T7-c-left"),
    "T7 (c) right": (CKA, similarity, "bures_range", most, "T7-c-right"),
    "T10 the floor": (CKA, similarity, "procrustes_floor", times(1.1), "T10-floor"),
    "T10 its 2c": (CKA, similarity, "procrustes_floor", smaller_root, "T10-floor"),
}


def texts(count=500):
    """Stand-ins for the API descriptions."""
    documents, queries = ([f"{kind} {i}" for i in range(count)] for kind in ("body", "summary"))
    return SimpleNamespace(documents=documents, queries=queries, texts=documents + queries)


def vectors(model, texts, fitted_on=(), dimension=24, seed=0):
    """Unit rows that share a factor with every other model's of the same object, and noise."""
    rng = np.random.default_rng([len(model), len(fitted_on), seed, dimension])
    shared = np.random.default_rng(0).standard_normal((500, 24))
    rows = shared[[int(text.split()[1]) for text in texts]] @ rng.standard_normal((24, dimension))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows += 0.5 * rng.standard_normal(rows.shape) / np.sqrt(dimension)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def failures(cells, space):
    """Ids of the claims that fail in these cells."""
    failed = set()

    def claim(id, *args, **options):
        claims._ledger.clear()
        try:
            claims.claim(id, *args, **options)
        except claims.ClaimError:
            failed.add(id)

    for cell in cells:
        space["claim"] = claim
        try:
            exec(
                compile(
                    cell.replace("import claim, claims_table", "import claims_table"),
                    "cell",
                    "exec",
                ),
                space,
            )
        except ValueError:  # a wrong formula asks for what cannot be
            failed.add("stopped")
    plt.close("all")
    return failed


@pytest.fixture(scope="module")
def ran():
    """Each notebook's cells, the names they leave behind, and the claims that made-up data fail."""
    with pytest.MonkeyPatch.context() as patch:
        data = texts()
        rows = np.arange(len(data.documents))
        patch.chdir(NOTEBOOKS)
        patch.setattr(datasets, "api_descriptions", lambda: data)
        patch.setattr(
            text_models,
            "network",
            lambda name, data: (vectors(name, data.queries), vectors(name, data.documents), rows),
        )
        patch.setattr(text_models, "embed", vectors)
        patch.setattr(plotting, "save", lambda fig, *_, **__: plt.close(fig))
        result = {}
        for name, parameters in SMALL.items():
            notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
            cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            tags = [c.metadata.get("tags", []) for c in notebook.cells if c.cell_type == "code"]
            place = tags.index(["parameters"])
            space = {}
            assert not failures(cells[: place + 1], space)
            space |= parameters
            failed = failures(cells[place + 1 :], space)
            result[name] = cells[place + 1 :], space, failed
        yield result


@pytest.mark.parametrize("name", MUTANTS)
def test_ten_per_cent_too_good_is_noticed(name, ran, monkeypatch):
    notebook, module, function, mutate, expected = MUTANTS[name]
    cells, space, before = ran[notebook]
    assert expected not in before
    wrong = mutate(getattr(module, function))
    monkeypatch.setattr(module, function, wrong)
    if function in space:
        monkeypatch.setitem(space, function, wrong)
    failed = failures([cell for cell in cells if expected in cell or function in cell], space)
    print(f"{name}: {', '.join(sorted(failed - before))}")
    assert any(id.startswith(expected) for id in failed - before)
