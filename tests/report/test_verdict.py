"""What is decided from which numbers, and whether the numbers are what they are called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from procrustes_lab import Moments, align
from procrustes_lab.files import join, read
from procrustes_lab.report import verdict as v
from procrustes_lab.report.verdict import Decision, Evidence, Search, decide

GOOD = Evidence(
    pairs=5000,
    by_id=False,
    p=0.0,
    mispaired=0.0,
    shifted="",
    needed=0,
    same_vectors=False,
    featureless="",
    found=1.0,
    overlap=1.0,
    interval=(0.99, 1.0),
)


def decision(**changes):
    return decide(replace(GOOD, **changes)).decision


def searched(old, aligned, new, spread=0.02):
    gain, promise = aligned - old, new - old
    return Search(
        *(old, aligned, new),
        gain=(gain - spread, gain + spread),
        promise=(promise - spread, promise + spread),
        judged=True,
        queries=1000,
    )


@pytest.mark.parametrize(
    ("found", "overlap", "expected"),
    [
        (1.0, 1.0, Decision.KEEP),
        (v.KEPT, v.KEPT, Decision.KEEP),
        (0.94, 1.0, Decision.LATER),
        (1.0, 0.94, Decision.LATER),
        (0.5, 0.9, Decision.LATER),
        (0.49, 0.9, Decision.EMBED),
        (0.9, 0.49, Decision.EMBED),
        (0.0, 0.0, Decision.EMBED),
    ],
)
def test_without_queries_the_lesser_share_decides_and_the_evidence_is_called_weaker(
    found, overlap, expected
):
    verdict = decide(replace(GOOD, found=found, overlap=overlap))
    assert verdict.decision == expected
    assert "weaker evidence" in verdict.basis


# Old alone, aligned and new alone, from the upgrades of notebook 06.
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.262, 0.309, 0.578), Decision.LATER),  # MiniLM → bigram pays
        ((0.323, 0.343, 0.578), Decision.LATER),  # MiniLM → word is even
        ((0.333, 0.334, 0.340), Decision.KEEP),  # nothing more to be had
        ((0.323, 0.270, 0.382), Decision.EMBED),  # a loss, for a better model
        ((0.578, 0.252, 0.323), Decision.LEAVE),  # a loss, for a worse one
        ((0.382, 0.311, 0.385), Decision.LEAVE),  # a loss, for one not shown to be better
        ((0.323, 0.295, 0.262), Decision.LEAVE),  # likewise
    ],
)
def test_with_queries_what_was_measured_decides(scores, expected):
    verdict = decide(replace(GOOD, found=0.3, overlap=0.3, search=searched(*scores)))
    assert verdict.decision == expected
    assert "measured search, 1,000 queries" in verdict.basis


def test_too_few_queries_to_exclude_a_loss_of_a_tenth_align_nothing():
    assert decision(search=searched(0.4, 0.41, 0.6, spread=0.02)) == Decision.LATER
    assert decision(search=searched(0.4, 0.41, 0.6, spread=0.1)) == Decision.EMBED


def test_a_handful_of_queries_decides_nothing():
    few = replace(searched(0.1, 0.5, 0.5), queries=v.FEWEST - 1)
    verdict = decide(replace(GOOD, found=0.3, overlap=0.3, search=few))
    assert verdict.decision == Decision.EMBED
    assert "fewer than 20 queries: weaker evidence" in verdict.basis


def test_break_even_is_one_over_the_share_that_is_kept():
    search = searched(0.3, 0.36, 0.6)
    assert search.kept == pytest.approx(0.6)
    assert search.needed == pytest.approx(1 / 0.6)
    # It pays, aligned > old, if and only if new/old > 1/k.
    assert search.better > search.needed
    assert searched(0.37, 0.36, 0.6).better < searched(0.37, 0.36, 0.6).needed
    assert searched(0.3, 0.0, 0.0).needed == np.inf


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Decision.UNPAIRED),
        ({"same_vectors": True, "featureless": "new"}, Decision.UNPAIRED),
        ({"same_vectors": True, "by_id": True}, Decision.UNPAIRED),
        ({"by_id": True}, Decision.EMBED),
        ({"featureless": "new"}, Decision.EMBED),
    ],
)
def test_a_pairing_that_says_nothing_comes_before_anything_else(changes, expected):
    # Whatever else was measured: a map learns wrong pairs by heart.
    for search in (None, searched(0.3, 0.5, 0.5)):
        assert decision(p=0.4, mispaired=1.0, search=search, **changes) == expected


def test_shifted_rows_are_not_paired_and_the_reason_is_the_diagnosis():
    verdict = decide(replace(GOOD, shifted="All rows are 3 further down."))
    assert verdict == (Decision.UNPAIRED, "All rows are 3 further down.", "pairing tests")


def test_half_shuffled_rows_of_a_strong_pair_are_told_from_a_weak_pair():
    assert decision(mispaired=0.7, found=0.28) == Decision.UNPAIRED
    assert decision(mispaired=0.7, found=0.01, overlap=0.1) == Decision.EMBED
    assert decision(mispaired=0.05, found=0.96) == Decision.KEEP


def test_too_few_pairs_are_named_with_how_many_it_takes():
    verdict = decide(replace(GOOD, pairs=40, needed=900, found=0.2, overlap=0.3))
    assert verdict.decision == Decision.EMBED
    assert "900" in verdict.reason
    assert decision(pairs=40, needed=900) == Decision.KEEP  # a turn that was found all the same


def test_every_decision_says_what_to_do():
    assert all(decision.advice.endswith(".") for decision in Decision)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def paired(folder: Path, new, old):
    np.save(folder / "new.npy", new)
    np.save(folder / "old.npy", old)
    return join(read(folder / "new.npy"), read(folder / "old.npy"))


def test_one_pass_gives_the_moments_of_all_rows_and_of_those_held_out(tmp_path, rng):
    X, Y = rng.standard_normal((9000, 5)), 2 * rng.standard_normal((9000, 3))
    held = np.sort(rng.permutation(9000)[:700])
    gathered = v.gather(paired(tmp_path, X, Y), held)
    rest = np.delete(np.arange(9000), held)
    for moments, rows in (
        (gathered.everything, slice(None)),
        (gathered.fitted, rest),
        (gathered.held_out, held),
    ):
        expected = Moments.from_arrays(X[rows], Y[rows])
        assert moments.n == expected.n
        np.testing.assert_allclose(moments.xy, expected.xy, atol=1e-9)
        np.testing.assert_allclose(moments.xx, expected.xx, atol=1e-9)
    lengths = [np.linalg.norm(side, axis=1).max() for side in (X, Y)]
    assert gathered.longest == pytest.approx(lengths)


def test_the_maps_are_those_of_the_definitions(rng):
    X, Y = rng.standard_normal((300, 6)) + 1, rng.standard_normal((300, 4))
    maps = v.linear_maps(Moments.from_arrays(X, Y))
    np.testing.assert_array_equal(maps["raw"].apply(X), X[:, :4])
    np.testing.assert_allclose(maps["orthogonal"].apply(X), align(X, Y).apply(X), atol=1e-9)
    centred = align(X, Y, center=True)
    np.testing.assert_allclose(
        maps["centred"].apply(X) + Y.mean(axis=0), centred.apply(X), atol=1e-9
    )
    least = np.linalg.lstsq(X, Y)[0]
    np.testing.assert_allclose(maps["linear"].apply(X), X @ least, atol=1e-9)


def test_neighbours_are_the_nearest_others(rng):
    Z = rng.standard_normal((40, 3))
    own = np.array([3, 17, 39])
    scores = Z[own] @ Z.T
    scores[np.arange(3), own] = -np.inf
    expected = np.argsort(-scores, axis=1)[:, :10]
    assert v.neighbours(Z[own], Z, own).tolist() == expected.tolist()
    assert v.neighbours(Z[:2], Z[:4], np.array([0, 1])).shape == (2, 3)
    # A row that does not find itself among the first has as many neighbours as any.
    assert v.neighbours(-Z[own], Z, own).shape == (3, 10)


def test_overlap_is_the_share_of_the_wanted():
    found, wanted = np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 5]])
    assert v.overlaps(found, wanted).tolist() == [1.0, 0.5]


def unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_same_vectors_are_recognised_in_another_order_and_others_are_not(tmp_path, rng, noise):
    X = unit(rng.standard_normal((2000, 24)))
    turn = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    again = (X @ turn)[rng.permutation(2000)] + noise * rng.standard_normal(X.shape) / 5
    held = np.arange(300)
    assert v.same_vectors(v.gather(paired(tmp_path, again.astype(np.float32), X), held))
    others = unit(rng.standard_normal(X.shape))
    assert not v.same_vectors(v.gather(paired(tmp_path, others, X), held))


def test_noise_is_featureless_and_clusters_are_not(rng):
    spread = 1 / np.arange(1, 33)
    assert v.is_featureless(rng.standard_normal((900, 32)) * spread, rng)
    assert v.is_featureless(rng.random((900, 32)), rng)
    centres = rng.standard_normal((60, 32))[rng.integers(60, size=900)]
    assert not v.is_featureless(centres + 0.5 * rng.standard_normal((900, 32)), rng)


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


QUERIES, DOCUMENTS = {"q1": 0, "q2": 1}, {"d1": 0, "d2": 1, "d 3": 2}


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td 3\t0\nq2\td2\t0\nq9\td2\t1\n",
        "q1\tQ0\td2\t2\r\nq1\t0\td 3\t0\r\n\r\nq2\tQ0\td2\t0\r\nq9\tQ0\td2\t1\r\n",
    ],
)
def test_judgements_are_read_in_either_format(tmp_path, text):
    read = v.read_qrels(write(tmp_path / "qrels", text), QUERIES, DOCUMENTS)
    assert read.grades == {0: {1: 2, 2: 0}}  # q2 has no relevant document
    assert read.unknown == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("q1\td1\n", "qrels, line 1, has 2 columns"),
        ("q1\td1\t1\nq1\td2\thigh\n", "qrels, line 2, has the score 'high'"),
        (b"q1\t\xff\t1\n", "qrels, line 1, is not UTF-8"),
        ("q9\td1\t1\n", "qrels calls no document relevant"),
        ("", "qrels calls no document relevant"),
    ],
)
def test_bad_judgements_are_named_with_their_line(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        v.read_qrels(write(tmp_path / "qrels", text), QUERIES, DOCUMENTS)
