"""Choosing: the best known map wins, nothing grades that has chosen, bad input is told."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import procrustes_lab as pl
from procrustes_lab.search import choose as module
from procrustes_lab.search.choose import Trial, choose
from procrustes_lab.search.maps import MAPS, of_pairs
from procrustes_lab.search.retrieval import ndcg

FEW = ("turn", "centred", "whitened 0.1", "least squares")


def views(n=400, d=8, noise=0.2, seed=0, mean=0.0):
    """Two noisy views of the same objects, in turned spaces, whose means may differ."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d))
    X = Z + noise * rng.standard_normal((n, d)) + mean * np.eye(d)[0]
    Y = Z + noise * rng.standard_normal((n, d))
    return X @ ortho_group.rvs(d, random_state=seed), Y + mean * np.eye(d)[1]


def test_an_exact_turn_is_the_turn_and_keeps_all():
    X, _ = views()
    long = choose(X, X @ ortho_group.rvs(8, random_state=1), maps="turn")
    assert long.kept == (1, 1, 1)  # of what the targets themselves find, which is not all
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    choice = choose(X, X @ ortho_group.rvs(8, random_state=1))
    assert choice.name == "turn"
    assert choice.kept == (1, 1, 1)
    assert choice.neighbours == (1, 1, 1)
    assert choice.best.n == len(X)


def test_a_cone_asks_for_more_than_the_turn():
    X, Y = views(mean=12.0, noise=0.1)
    by_name = {row.name: row for row in choose(X, Y).table}
    assert by_name["centred"].score > by_name["turn"].score
    assert choose(X, Y).name != "turn"


@pytest.mark.parametrize("n", [1, 2, 9, 10, 11, 30, 60])
def test_few_pairs_are_enough_to_ask(n):
    X, Y = views(n=n)
    choice = choose(X, Y, maps=FEW)
    assert choice.name in FEW
    assert np.isnan(choice.kept.value) == (n < 10)
    assert choice.best.query(X).shape == Y.shape
    assert choice.name in repr(choice)


def test_the_same_seed_chooses_alike_and_the_number_of_pairs_is_all():
    X, Y = views()
    first, second = choose(X, Y, maps=FEW, seed=3), choose(X, Y, maps=FEW, seed=3)
    assert first.table == second.table
    expected = MAPS[first.name](X, Y).query(X)
    np.testing.assert_allclose(first.best.query(X), expected, atol=1e-12)


def test_no_map_sees_what_judges_or_grades_it(monkeypatch):
    X, Y = views(n=1500)
    asked, fitted = [], []

    class Watched(Trial):
        def __init__(self, x, y, rows):
            asked.append({tuple(v) for v in x[rows]})
            super().__init__(x, y, rows)

    def watched(pairs):
        fitted.append({tuple(v) for v in pairs.x})
        return MAPS["turn"](pairs)

    monkeypatch.setattr(module, "Trial", Watched)
    choose(X, Y, maps={"turn": of_pairs(watched)})
    grading, judging = asked
    assert len(grading) == len(judging) == 300
    assert not grading & judging
    assert len(fitted) == 2  # once to be judged and graded, once for good
    assert not fitted[0] & (grading | judging)
    assert len(fitted[1]) == 1500

    asked.clear(), fitted.clear()
    choose(X[:100], Y[:100], maps={"turn": of_pairs(watched)})
    grading, *judging = asked
    assert sum(map(len, judging)) == 80
    assert all(not part & seen for part, seen in zip(judging, fitted, strict=False))
    assert all(not grading & seen for seen in fitted[:-1])


def test_grades_of_a_useless_map_are_chance_and_of_the_best_are_not():
    X, Y = views(n=1000)
    rng = np.random.default_rng(0)

    def useless(pairs):
        return pairs.alignment(ortho_group.rvs(8, random_state=5))

    choice = choose(X, Y[rng.permutation(1000)], maps={"useless": of_pairs(useless)})
    assert choice.kept.value < 0.05
    better = choose(X, Y, maps={"useless": of_pairs(useless), "turn": MAPS["turn"]})
    assert better.name == "turn"


def test_labels_choose_on_half_of_the_queries_and_the_others_grade():
    X, Y = views(n=300, noise=0.1)
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 300, 81)
    new, old = (side[rows] + 0.1 * rng.standard_normal((81, 8)) for side in (X, Y))
    judgements = [{int(row): 1} for row in rows[:80]] + [{3: 0}]  # nothing answers the last
    choice = choose(X, Y, maps=FEW, queries=(old, new), judgements=judgements)
    row = choice.table[0]
    assert row.graded_on == "40 other queries"
    assert 0.4 < row.low <= row.score <= row.high <= 1
    assert choice.kept.low <= choice.kept.value <= choice.kept.high
    by_turn = choose(X, Y, maps="turn", queries=(old, new), judgements=judgements)
    assert by_turn.best.map.tolist() == pl.align(pl.Moments.from_arrays(X, Y)).map.tolist()


def test_the_whole_score_over_its_own_index_is_kept_whole():
    X, _ = views(n=300)
    turned = X @ ortho_group.rvs(8, random_state=1)
    judgements = [{j: 2, j + 1: 1} for j in range(40)]
    queries = (turned[:40], X[:40])
    choice = choose(X, turned, maps=FEW, queries=queries, judgements=judgements)
    assert choice.name == "turn"
    assert choice.kept == pytest.approx((1, 1, 1))
    assert choice.neighbours == choice.neighbours_by_target == (1, 1, 1)


def test_ndcg_is_trec_evals():
    from pytrec_eval import RelevanceEvaluator

    rng = np.random.default_rng(0)
    found = np.array([rng.permutation(50)[:20] for _ in range(30)])
    judgements = [
        {int(row): int(rng.integers(-1, 4)) for row in rng.permutation(50)[:12]} for _ in range(29)
    ] + [{0: 0}]
    for k in (3, 10):
        judged = {
            str(j): {str(r): g for r, g in grades.items()} for j, grades in enumerate(judgements)
        }
        run = {
            str(j): {str(r): 100.0 - i for i, r in enumerate(rows)} for j, rows in enumerate(found)
        }
        measure = f"ndcg_cut_{k}"
        graded = RelevanceEvaluator(judged, {measure}).evaluate(run)
        expected = [graded[str(j)][measure] for j in range(30)]
        np.testing.assert_allclose(ndcg(found, judgements, k), expected, atol=1e-12)
    assert ndcg([], []).shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maps": ["turn", "turm"]}, "'turm'; expected names out of turn"),
        ({"maps": []}, "maps is empty"),
        ({"queries": (np.ones((2, 8)),) * 2}, "go together"),
        ({"queries": np.ones((3, 8)), "judgements": [{0: 1}] * 3}, "expected \\(old, new\\)"),
        (
            {"queries": (np.ones((2, 7)), np.ones((2, 8))), "judgements": [{0: 1}] * 2},
            "old queries",
        ),
        ({"queries": (np.ones((2, 8)),) * 2, "judgements": [{0: 1}, {400: 1}]}, "document 400"),
        ({"queries": (np.ones((2, 8)),) * 2, "judgements": [{0: 1}, {4: 0}]}, "1 queries have"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        choose(*views(), **options)


def test_nan_is_told():
    X, Y = views()
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3"):
        choose(X, Y)


def test_html_is_one_table_with_a_row_a_map():
    choice = choose(*views(), maps=FEW)
    assert choice._repr_html_().count("<tr>") == len(FEW) + 1
    assert str(choice.kept) in choice._repr_html_()
