"""What is decided from which numbers, and whether the numbers are what they are called."""

from dataclasses import replace

import numpy as np
import pytest

from procrustes_lab.report import verdict as v
from procrustes_lab.report.verdict import Decision, Evidence, Search, decide

GOOD = Evidence(
    pairs=5000,
    by_id=False,
    p=0.0,
    mispaired=0.0,
    shifted="",
    mixed="",
    needed=0,
    same_vectors=False,
    featureless="",
    found=1.0,
    overlap=1.0,
    native=0.4,
    ahead=(0.58, 0.62),
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
    ("found", "overlap", "ahead", "expected"),
    [
        (1.0, 1.0, 0.6, Decision.KEEP),
        (v.KEPT, v.KEPT, 0.55, Decision.KEEP),
        (0.94, 1.0, 0.6, Decision.LATER),
        (1.0, 0.94, 0.54, Decision.LATER),
        (0.5, 0.9, 0.5, Decision.LATER),
        (0.49, 0.9, 0.5, Decision.RE_EMBED),
        (0.94, 0.36, 0.07, Decision.LATER),  # E5 over an index of USE
        (0.9, 0.37, -0.03, Decision.LATER),  # as good as the old model, within a tenth
        (0.9, 0.30, -0.10, Decision.RE_EMBED),
        (0.0, 0.0, -0.4, Decision.RE_EMBED),
    ],
)
def test_without_queries_two_shares_decide_and_the_evidence_is_called_weaker(
    found, overlap, ahead, expected
):
    ends = (ahead - 0.009, ahead + 0.009)
    verdict = decide(replace(GOOD, found=found, overlap=overlap, ahead=ends))
    assert verdict.decision == expected
    assert "weaker evidence" in verdict.basis
    assert "the old model by itself, 40%" in verdict.reason


# Old alone, aligned and new alone.
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.262, 0.309, 0.578), Decision.LATER),  # it pays
        ((0.323, 0.337, 0.578), Decision.OPTIONAL),  # even
        ((0.333, 0.334, 0.340), Decision.KEEP),  # nothing more to be had
        ((0.323, 0.270, 0.382), Decision.RE_EMBED),  # a loss, for a better model
        ((0.578, 0.252, 0.323), Decision.LEAVE),  # a loss, for a worse one
        ((0.382, 0.311, 0.385), Decision.LEAVE),  # a loss, for one not shown to be better
        ((0.323, 0.295, 0.262), Decision.LEAVE),  # likewise
    ],
)
def test_with_queries_what_was_measured_decides(scores, expected):
    verdict = decide(replace(GOOD, found=0.3, overlap=0.3, search=searched(*scores)))
    assert verdict.decision == expected
    assert "measured search, 1,000 queries" in verdict.basis


def test_a_model_that_judges_itself_is_not_said_to_be_better():
    basis = decide(replace(GOOD, search=replace(searched(0.3, 0.36, 0.6), judged=False))).basis
    assert "as the new model judges it" in basis
    assert "only judgements by people can tell" in basis


def test_an_even_outcome_is_no_call_to_act():
    verdict = decide(replace(GOOD, search=searched(0.323, 0.337, 0.578)))
    assert "no call to act: aligning is optional" in verdict.reason
    assert "0.578" in verdict.reason


@pytest.mark.parametrize(
    ("scores", "without"),
    [((0.652, 0.419, 0.890), Decision.RE_EMBED), ((0.323, 0.337, 0.578), Decision.OPTIONAL)],
)
def test_re_scoring_is_advised_where_aligning_loses_or_is_even_and_it_is_better(scores, without):
    search = searched(*scores)
    assert decision(search=search) == without
    old = search.old
    weak = v.Rescored(50, old + 0.01, (-0.01, 0.03), 900)
    good = v.Rescored(200, old + 0.2, (0.17, 0.23), 1500)
    assert decision(search=replace(search, rescored=(weak,))) == without
    verdict = decide(replace(GOOD, search=replace(search, rescored=(weak, good))))
    assert verdict.decision == Decision.RE_SCORE
    assert (
        f"first 200 answers of the old index by the new model's vectors gives {old + 0.2:.3f}"
        in (verdict.reason)
    )


def test_every_decision_has_a_word_of_its_own():
    from procrustes_lab.cli.commands import VERDICTS

    words = "leave, optional, keep, later, re-score, re-embed, mixed, unpaired"
    assert ", ".join(VERDICTS) == ", ".join(one.code for one in Decision) == words


def test_too_few_queries_to_exclude_a_loss_of_a_tenth_align_nothing():
    assert decision(search=searched(0.4, 0.41, 0.6, spread=0.02)) == Decision.OPTIONAL
    assert decision(search=searched(0.4, 0.41, 0.6, spread=0.1)) == Decision.RE_EMBED


def test_a_handful_of_queries_decides_nothing():
    few = replace(searched(0.1, 0.5, 0.5), queries=v.FEWEST - 1)
    verdict = decide(replace(GOOD, found=0.3, overlap=0.3, search=few))
    assert verdict.decision == Decision.RE_EMBED
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
        ({"by_id": True}, Decision.RE_EMBED),
        ({"featureless": "new"}, Decision.RE_EMBED),
    ],
)
def test_a_pairing_that_says_nothing_comes_before_anything_else(changes, expected):
    # Whatever else was measured: a map learns wrong pairs by heart.
    for search in (None, searched(0.3, 0.5, 0.5)):
        assert decision(p=0.4, mispaired=1.0, search=search, **changes) == expected


def test_shifted_rows_are_not_paired_and_the_reason_is_the_diagnosis():
    verdict = decide(replace(GOOD, shifted="All rows are 3 further down."))
    assert verdict == (Decision.UNPAIRED, "All rows are 3 further down.", "pairing tests")


def test_two_models_in_a_file_come_before_anything_that_is_measured():
    for search in (None, searched(0.3, 0.5, 0.5)):
        verdict = decide(replace(GOOD, mixed="600 rows look like others.", search=search))
        assert verdict.decision == Decision.MIXED
        assert verdict.reason == "600 rows look like others."
    assert decision(mixed="600 rows.", shifted="All rows are off.") == Decision.UNPAIRED


def test_half_shuffled_rows_of_a_strong_pair_are_told_from_a_weak_pair():
    assert decision(mispaired=0.7, found=0.28) == Decision.UNPAIRED
    assert decision(mispaired=0.7, found=0.01, overlap=0.1) == Decision.RE_EMBED
    assert decision(mispaired=0.05, found=0.96) == Decision.KEEP


def test_too_few_pairs_are_named_with_how_many_it_takes():
    verdict = decide(replace(GOOD, pairs=40, needed=900, found=0.2, overlap=0.3))
    assert verdict.decision == Decision.RE_EMBED
    assert "900" in verdict.reason
    assert decision(pairs=40, needed=900) == Decision.KEEP  # a turn that was found all the same


def test_every_decision_says_what_to_do():
    assert all(decision.advice.endswith(".") for decision in Decision)
