"""What choosing promises, on real vectors that are not part of the project."""

from pathlib import Path

import numpy as np
import pytest

from procrustes_lab.data import shared
from procrustes_lab.data.cache import data_folder
from procrustes_lab.search.choose import choose
from procrustes_lab.search.maps import MAPS
from procrustes_lab.search.migrate import half_migrated, rescore
from procrustes_lab.search.retrieval import bootstrap_interval, ndcg, search
from procrustes_lab.search.strength import shrink

HOME = Path(__file__).parents[3] / "shared" / "data"


def home(name):
    """Where the data of that name are: None for the data folder."""
    there = all((data_folder() / name / file).is_file() for file in shared.NEEDED[name])
    return None if there else HOME


needs_scifact, needs_shop = (
    pytest.mark.skipif(home(name) is HOME and not (HOME / name).is_dir(), reason=f"no {name}")
    for name in ("scifact", "shop-clip")
)


@pytest.fixture(scope="module")
def scifact():
    return shared.scifact(home("scifact"))


def graded(queries, documents, judgements):
    return ndcg(search(queries, documents, 10)[0], judgements)


@needs_scifact
@pytest.mark.parametrize(
    "pair",
    [
        "minilm use",
        *(pytest.param(p, marks=pytest.mark.long) for p in ("e5 mpnet", "use e5", "mpnet e5")),
    ],
)
def test_maps_chosen_from_pairs_alone_are_not_worse_than_the_turn(scifact, pair):
    collection, vectors = scifact
    new, old = pair.split()
    (queries, X), (_, Y) = vectors[new], vectors[old]
    choice = choose(X, Y)
    chosen, turn = (
        graded(fitted.query(queries), Y, collection.judgements)
        for fitted in (choice.best, MAPS["turn"](X, Y))
    )
    _, high = bootstrap_interval(chosen - turn, 0)
    assert high > 0
    if new == "e5":  # a cone: the turn fails, and what was chosen does not
        assert turn.mean() < 0.3 < 0.75 < chosen.mean()
        assert choice.kept.low > 0.95


@needs_scifact
def test_rescoring_and_a_half_migrated_index_lie_between_the_old_and_the_new_model(scifact):
    collection, vectors = scifact
    (new_queries, X), (old_queries, Y) = vectors["e5"], vectors["use"]
    judgements = collection.judgements
    old, new = (graded(q, d, judgements).mean() for q, d in ((old_queries, Y), (new_queries, X)))
    found, _ = search(old_queries, Y, 100)
    scores = [
        ndcg(rescore(found[:, :k], new_queries, X).found, judgements).mean() for k in (10, 50, 100)
    ]
    assert old < scores[0] < scores[1] < scores[2] < new
    carried = MAPS["ridge on documents, mean kept"](X, Y).index(Y)
    order = np.random.default_rng(0).permutation(len(X))
    shares = []
    for done in (0, 500, 1000, 1500, 2000):
        index = half_migrated(carried, X, np.isin(np.arange(len(X)), order[:done]))
        shares.append(graded(new_queries, index, judgements).mean())
    assert (np.diff(shares) > -0.01).all()
    assert shares[-1] == pytest.approx(new)


@needs_shop
@pytest.mark.parametrize(("pairs", "least"), [(50, 0.78), (150, 0.84)])
def test_mixed_search_from_few_pairs_with_the_share_that_held_out_pairs_choose(pairs, least):
    images, texts = shared.shop(home("shop-clip"))
    means = []
    for draw in range(2):
        rng = np.random.default_rng(draw)
        fitted, asked = np.split(rng.permutation(len(images))[: pairs + 200], [pairs])
        towers = shrink(images[fitted], texts[fitted], np.eye(512), shares=(0.03, 0.1, 0.3))
        moved = towers.best.query(images[asked])
        stay = texts[asked] - towers.best.target_mean
        moved, stay = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (moved, stay))
        shown = rng.permutation(200) < 100  # as pictures, the others as texts
        index, queries = (np.where((shown == s)[:, None], moved, stay) for s in (True, False))
        means.append(graded(queries, index, [{i: 1} for i in range(200)]).mean())
    assert np.mean(means) > least
