"""What survives of a ranking: margins and certified tops."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import ksone

from procrustes_lab.search import retrieval
from procrustes_lab.search.retrieval import (
    band,
    certified_top,
    distances_from_rays,
    forecast,
    margins,
    search,
)


def some_sides(q=20, n=40, d=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((q, d)), rng.standard_normal((n, d))


def unit_rows(rng, shape):
    rows = rng.standard_normal(shape)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_definition(query, documents, k):
    """Least distance from a wall, one pair of documents at a time; also the way to that wall."""
    order = sorted(range(len(documents)), key=lambda b: (-float(documents[b] @ query), b))
    walls = [documents[a] - documents[b] for a in order[:k] for b in order[k:]]
    distances = [float(query @ wall) / float(np.linalg.norm(wall)) for wall in walls]
    nearest = int(np.argmin(distances))
    return distances[nearest], -walls[nearest] / np.linalg.norm(walls[nearest])


def tops(queries, documents, k):
    return np.sort(search(queries, documents, k)[0], axis=1)


@pytest.mark.parametrize("k", [1, 3, 39])
def test_margins_are_the_least_distance_from_a_wall(k):
    queries, documents = some_sides()
    expected = [by_definition(query, documents, k)[0] for query in queries]
    np.testing.assert_allclose(margins(queries, documents, k), expected, rtol=1e-9, atol=1e-12)


def test_the_margin_is_what_an_optimiser_finds():
    """The nearest point where another document takes the lead, by constrained minimisation."""
    queries, documents = some_sides(q=4, n=6, d=3, seed=1)
    for query, margin in zip(queries, margins(queries, documents), strict=True):
        a = int(np.argmax(documents @ query))
        lengths = []
        for b in set(range(6)) - {a}:
            wall = documents[b] - documents[a]
            found = minimize(
                lambda z, query=query: np.sum((z - query) ** 2),
                query,
                jac=lambda z, query=query: 2 * (z - query),
                constraints={"type": "ineq", "fun": lambda z, wall=wall: wall @ z},
                method="SLSQP",
                options={"ftol": 1e-8},
            )
            assert found.success
            lengths.append(np.linalg.norm(found.x - query))
        assert margin == pytest.approx(min(lengths), rel=1e-4)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 4), d=st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_no_shorter_move_changes_the_set_and_a_longer_one_does(seed, k, d):
    queries, documents = some_sides(q=6, n=7, d=d, seed=seed)
    found = margins(queries, documents, k)
    native = tops(queries, documents, k)
    moves = unit_rows(np.random.default_rng(seed), (6, d))
    shorter = queries + 0.999 * found[:, None] * moves
    assert (tops(shorter, documents, k) == native).all()
    ways = np.array([by_definition(query, documents, k)[1] for query in queries])
    nearly, beyond = (queries + factor * found[:, None] * ways for factor in (0.999, 1.001))
    assert (tops(nearly, documents, k) == native).all()
    assert (tops(beyond, documents, k) != native).any(axis=1).all()


@pytest.mark.parametrize("k", [1, 3])
def test_margins_copy_no_documents(k, monkeypatch):
    """Not even of queries that lie on their documents, for which no other is too far to matter."""
    documents = unit_rows(np.random.default_rng(0), (4000, 200))
    monkeypatch.setattr(retrieval, "BLOCK", 1)
    tracemalloc.start()
    try:
        margins(documents[:20], documents, k)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < documents.nbytes / 2


@pytest.mark.parametrize("k", [1, 2])
def test_blocks_change_nothing(k, monkeypatch):
    queries, documents = some_sides()
    whole = margins(queries, documents, k)
    for block in (1, 41, 100):
        monkeypatch.setattr(retrieval, "BLOCK", block)
        np.testing.assert_allclose(margins(queries, documents, k), whole, rtol=1e-12)


def test_margins_turn_and_stretch_with_the_space():
    queries, documents = some_sides()
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 5)))[0]
    expected = margins(queries, documents, 2)
    turned = margins(queries @ turn, documents @ turn, 2)
    np.testing.assert_allclose(turned, expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(margins(3 * queries, documents, 2), 3 * expected, rtol=1e-9)
    np.testing.assert_allclose(margins(queries, 3 * documents, 2), expected, rtol=1e-9)
    shifted = margins(queries, documents + 1.0, 2)  # adds the same score to every document
    np.testing.assert_allclose(shifted, expected, rtol=1e-6)


def test_margins_of_the_smallest_documents_are_rounded_down_and_not_to_nothing():
    queries, documents = some_sides()
    found = margins(queries, 1e-155 * documents, 2)
    assert (found > 0).all()
    assert (found <= margins(queries, documents, 2)).all()


def test_by_hand():
    documents = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    queries = np.array([[1.0, 0.0], [2.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    # the wall between the first two documents is the diagonal
    expected = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]
    np.testing.assert_allclose(margins(queries, documents), expected, atol=1e-12)
    # of the last two documents, one is to be kept out of the top two
    np.testing.assert_allclose(margins(queries[:2], documents, 2), [np.sqrt(0.5), 2.0])
    assert np.isinf(margins(queries, documents, 3)).all()


def test_duplicates_certify_nothing():
    rng = np.random.default_rng(3)
    documents = unit_rows(rng, (30, 64))
    twins = np.concatenate([documents, documents, documents * (1 + 1e-16)])
    queries = documents + 0.01 * rng.standard_normal((30, 64))
    assert (margins(queries, twins) == 0).all()
    assert not certified_top(queries, queries, twins).any()
    # 1e-9 apart, the winner's lead is mostly rounding: what is certified is that small too
    near = np.concatenate([documents, documents + 1e-9 * rng.standard_normal((30, 64))])
    assert margins(queries, near).max() < 1e-2
    assert (margins(np.zeros((2, 3)), np.zeros((4, 3))) == 0).all()


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_certified_means_kept(seed, k):
    queries, documents = some_sides(q=30, n=8, d=3, seed=seed)
    rng = np.random.default_rng(seed)
    moved = queries + rng.standard_normal(queries.shape) * 10 ** rng.uniform(-3, 0, (30, 1))
    moved *= 10 ** rng.uniform(-2, 2, (30, 1))  # which ranks nothing
    certified = certified_top(moved, queries, documents, k)
    kept = (tops(moved, documents, k) == tops(queries, documents, k)).all(axis=1)
    assert kept[certified].all()


def test_the_ray_certifies_more_than_the_residual():
    queries, documents = some_sides(q=500)
    moved = queries + 0.2 * np.random.default_rng(4).standard_normal(queries.shape)
    by_residual = margins(queries, documents) > np.linalg.norm(moved - queries, axis=1)
    by_ray = certified_top(moved, queries, documents)
    assert by_ray[by_residual].all()
    assert by_ray.sum() > by_residual.sum() > 0
    np.testing.assert_array_equal(certified_top(100 * moved, queries, documents), by_ray)


def test_distance_from_a_ray_is_the_sine_of_the_angle():
    queries = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    moved = np.array([[5.0, 5.0], [0.0, 1.0], [-1.0, 0.1], [0.0, 0.0]])
    np.testing.assert_allclose(distances_from_rays(queries, moved), [np.sqrt(2), 2, 2, 3])
    some, other = some_sides(q=50, n=50)
    least = np.min(
        [np.linalg.norm(some - c * other, axis=1) for c in np.linspace(0, 20, 20_001)], axis=0
    )
    np.testing.assert_allclose(distances_from_rays(some, other), least, rtol=1e-5)


def test_the_opposite_query_and_none_at_all_are_not_certified():
    queries, documents = some_sides()
    assert certified_top(queries, queries, documents).all()
    assert not certified_top(-queries, queries, documents).any()
    assert not certified_top(0 * queries, queries, documents).any()


def test_the_forecast_by_hand_and_over_every_radius():
    paid = 2 * np.sqrt(np.log(40) / 2000)
    m, r = np.repeat([0.1, 0.9], [200, 800]), np.repeat([0.5, 1.0], [900, 100])
    assert forecast(m, r) == pytest.approx(0.8 - 0.1 - paid)
    assert forecast(r, m) == pytest.approx(0.2 - paid)
    assert forecast(r, 10 * r) == 0
    rng = np.random.default_rng(0)
    m, r = rng.uniform(size=300), 0.8 * rng.uniform(size=400)
    radii = np.linspace(0, 1, 20_001)
    best = max(np.mean(m > radius) - np.mean(r >= radius) for radius in radii)
    bands = band(300, 0.05) + band(400, 0.05)
    assert forecast(m, r, confidence=0.9) == pytest.approx(best - bands, abs=1e-9)


@pytest.mark.parametrize("n", [10, 1000])
def test_the_band_holds_everywhere_but_for_its_risk_and_hardly_less(n):
    for risk in (0.5, 0.1, 0.01):
        exact = ksone.sf(band(n, risk), n)
        assert 0.5 * risk < exact <= risk
    with pytest.raises(ValueError, match="risk is 0"):
        band(n, 0)
    with pytest.raises(ValueError, match="risk is 0"):
        forecast([1.0], [0.5], confidence=1.0)


SIDE = np.eye(3)


@pytest.mark.parametrize(
    ("moved", "queries", "documents", "k", "message"),
    [
        (SIDE[:2], SIDE, SIDE, 1, r"moved has shape \(2, 3\), queries have shape \(3, 3\)"),
        (np.eye(3, 4), SIDE, SIDE, 1, r"moved has shape \(3, 4\)"),
        (SIDE[0], SIDE, SIDE, 1, "moved has 1 dimension"),
        (SIDE * np.nan, SIDE, SIDE, 1, "moved has NaN in row 0, column 0"),
        (SIDE, SIDE, np.eye(4), 1, "queries have 3 columns, documents have 4"),
        (SIDE, SIDE, SIDE, 4, "k is 4; expected 1 to 3"),
        (SIDE, SIDE, SIDE, 0, "k is 0; expected 1 to 3"),
    ],
)
def test_bad_input_is_refused(moved, queries, documents, k, message):
    with pytest.raises(ValueError, match=message):
        certified_top(moved, queries, documents, k)


def test_margins_are_of_the_queries_as_given_whatever_the_documents_are_kept_in():
    rng = np.random.default_rng(5)
    queries, documents = unit_rows(rng, (30, 8)), unit_rows(rng, (90, 8)).astype(np.float32)
    expected = margins(queries, documents.astype(float), 3)
    np.testing.assert_array_equal(margins(queries, documents, 3), expected)
