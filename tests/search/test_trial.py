"""What held-out vectors should find, and the share of it that is found."""

import numpy as np
import pytest

from procrustes_lab.search.choose import Trial, shared
from procrustes_lab.search.maps import MAPS
from procrustes_lab.search.retrieval import ranks, search


def test_neighbours_are_the_nearest_others():
    Z = np.random.default_rng(5).standard_normal((40, 3))
    own = np.array([3, 17, 39])
    scores = Z[own] @ Z.T
    scores[np.arange(3), own] = -np.inf
    expected = np.argsort(-scores, axis=1)[:, :10]
    assert Trial(Z, Z, own).near.tolist() == expected.tolist()
    assert Trial(Z[:4], Z[:4], np.array([0, 1])).near.shape == (2, 3)
    # A row that does not find itself among the first has as many neighbours as any.
    Z[39] *= 1e-9
    assert Trial(Z, Z, own).near.shape == (3, 10)
    assert 39 not in Trial(Z, Z, own).near[2]


def test_what_is_shared_is_a_share_of_the_wanted():
    found, wanted = np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])
    assert shared(found, wanted).tolist() == [1.0, 0.5]


@pytest.mark.parametrize("unit", [1.0, 1e-150, 1e150])
def test_single_precision_ranks_as_double_wherever_the_index_lies(unit):
    rng = np.random.default_rng(0)
    x, rest = rng.standard_normal((2, 400, 12))
    y = unit * (x + 0.7 * rest + 1000 * rng.standard_normal(12))  # far from the origin
    asked = np.arange(60)
    trial, turn = Trial(x, y, asked), MAPS["turn"](x[60:], y[60:])
    queries = turn.query(x[asked])
    expected = 1 / ranks(queries, y - y.mean(axis=0), asked)
    np.testing.assert_array_equal(trial.run(turn).own, expected)
    found, _ = search(queries, y - y.mean(axis=0), 11)
    others = [[row for row in rows if row != j][:10] for j, rows in zip(asked, found, strict=True)]
    np.testing.assert_array_equal(trial.run(turn).neighbours, shared(np.array(others), trial.near))
