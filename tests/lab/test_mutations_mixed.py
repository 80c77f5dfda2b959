"""N6 bites: a shrinkage that is ten per cent off fails its claims."""

from pathlib import Path

import nbformat
import numpy as np
import pytest

from procrustes_lab.core import alignment, polar
from procrustes_lab.lab import claims

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_search_text_and_images.ipynb"


def scaled(factor):
    return lambda formula: lambda cross, prior, share: formula(cross, prior, factor * share)


def another_prior(formula):
    """A tenth of the prior's weight goes to a map of its own."""

    def shrunk(cross, prior, share):
        other = None if prior is None else 0.9 * prior + 0.1 * np.roll(prior, 1, axis=0)
        return formula(cross, other, share)

    return shrunk


MUTANTS = {
    "λ too large": (scaled(1.1), {"N6-pairs", "N6-MAP"}),
    "λ too small": (scaled(0.9), {"N6-pairs", "N6-MAP"}),
    "W₀ off": (another_prior, {"N6-MAP", "N6-zero", "N6-infinity"}),
}


@pytest.fixture
def theorem():
    """Return the imports and the cells of N6 as one function, which gives the ids that failed."""
    cells = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
    imports, [cell] = cells[0].source, [c.source for c in cells if '"N6-pairs"' in c.source]
    failed = set()

    def claim(id, *args, **options):
        try:
            claims.claim(id, *args, **options)
        except claims.ClaimError:
            failed.add(id)
        claims._ledger.clear()

    def run():
        failed.clear()
        space = {"seed": 3}
        exec(imports, space)
        exec(cell, space | {"claim": claim})
        return set(failed)

    return run


def test_the_theorem_holds(theorem):
    assert theorem() == set()


@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_ten_per_cent_off_is_noticed(name, theorem, monkeypatch):
    mutate, expected = MUTANTS[name]
    monkeypatch.setattr(alignment, "shrunk", mutate(polar.shrunk))
    assert expected <= theorem()
