"""Diagnoses: what is planted is found, with its numbers, and nothing is found where nothing is."""

import itertools
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from procrustes_lab.data import datasets, text_models
from procrustes_lab.report.diagnosis import KINDS, Diagnosis, diagnose
from procrustes_lab.report.pairing import Pairing
from procrustes_lab.report.words import SEVERITIES, Finding

SHARED = Path(os.environ.get("PROCRUSTES_LAB_DATA", Path(__file__).parents[3] / "shared" / "data"))


def unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


def healthy(seed=0, n=1500, d_x=16, d_y=16, noise=0.3):
    """A noisy rotation of unit vectors, as many directions as dimensions."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, max(d_x, d_y)))
    Q = np.linalg.qr(rng.standard_normal((d_y, d_y)))[0]
    return unit(X[:, :d_x]), unit(X[:, :d_y] @ Q + noise * rng.standard_normal((n, d_y)))


def first(diagnosis, kind):
    return next(finding for finding in diagnosis if finding.kind == kind)


# Healthy pairs


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    ("seed", "most"),
    [
        *((seed, 1500) for seed in range(4)),
        *(pytest.param(seed, 2500, marks=pytest.mark.long) for seed in range(8)),
    ],
)
def test_nothing_is_found_in_healthy_random_pairs(seed, most, noise):
    sizes = np.random.default_rng(seed).integers([600, 12], [most, 32])
    assert diagnose(*healthy(seed, sizes[0], sizes[1], sizes[1], noise), seed=seed).kinds == ()


def test_going_up_or_somewhat_down_is_healthy():
    assert diagnose(*healthy(d_x=14, d_y=16)).kinds == ()
    assert diagnose(*healthy(d_x=16, d_y=14)).kinds == ()


@pytest.fixture(scope="module")
def texts():
    data = datasets.api_descriptions()
    known = data.documents[::2]
    return {
        name: text_models.counted(name, data, fitted_on=known, dimension=dimension)[1][::2]
        for name, dimension in [("word", 96), ("character", 96), ("bigram", 64)]
    }


@pytest.mark.parametrize(
    "pair",
    [
        ("word", "character"),
        pytest.param(("character", "word"), marks=pytest.mark.long),
        ("word", "bigram"),
        pytest.param(("bigram", "word"), marks=pytest.mark.long),
    ],
)
def test_nothing_is_found_in_healthy_text_embeddings(texts, pair):
    source, target = (texts[name] for name in pair)
    order = np.random.default_rng(0).permutation(len(source))
    for rows in (np.arange(len(source)), order, order[:1500]):
        assert diagnose(source[rows], target[rows]).kinds == ()


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_nor_in_rounded_ones(texts, kind):
    assert diagnose(texts["word"].astype(kind), texts["character"].astype(kind)).kinds == ()


# Every kind, planted

PLANTED = {}


def planted(kind):
    def register(make):
        PLANTED[kind] = make
        return make

    return register


@planted("mispaired rows")
def _shuffle(X, Y):
    return X, Y[np.random.default_rng(1).permutation(len(Y))]


@planted("shifted rows")
def _roll(X, Y):
    return X, np.roll(Y, -2, axis=0)


@planted("too few pairs")
def _few(X, Y):
    return X[:30], Y[:30]


@planted("zero rows")
def _zeros(X, Y):
    return np.where(np.arange(len(X))[:, np.newaxis] % 500 == 7, 0, X), Y


@planted("two models")
def _mixed(X, Y):
    rng = np.random.default_rng(1)
    turns = [np.linalg.qr(rng.standard_normal((16, 16)))[0] for _ in range(2)]
    one, other = (
        unit(X @ turn + 1.5 * mean) for turn, mean in zip(turns, np.eye(16), strict=False)
    )
    return np.where(np.arange(len(X))[:, np.newaxis] % 2 == 0, one, other), Y


@planted("quantised numbers")
def _bits(X, Y):
    signs = np.random.default_rng(1).integers(2, size=(len(X), 8 * X.shape[1]))
    return np.packbits(signs, axis=1), Y


@planted("duplicated rows")
def _copies(X, Y):
    return np.vstack([X[:100], X[:100], X[200:]]), np.vstack([Y[:100], Y[:100], Y[200:]])


@planted("unnormalised vectors")
def _lengths(X, Y):
    return X * np.exp(np.random.default_rng(1).standard_normal((len(X), 1))), Y


@planted("different scales")
def _scale(X, Y):
    return X, 5 * Y


@planted("cone")
def _cone(X, Y):
    return unit(X + 2 * np.eye(16)[0]), Y


@planted("collapsed dimensions")
def _flat(X, Y):
    return unit(X[:, :10]) @ np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0][
        :10
    ], Y


@planted("duplicated dimensions")
def _twins(X, Y):
    return unit(np.hstack([X, -3 * X[:, 4:5]])), Y


@planted("information loss")
def _down(X, Y):
    return X, unit(Y[:, :5])


@planted("hubness")
def _hubs(X, Y):
    favourite = 3 * (np.arange(len(Y)) % 10 == 0)
    return X, Y * (1 + favourite)[:, np.newaxis]


@cache
def found_in(kind):
    return diagnose(*PLANTED[kind](*healthy()))


def test_every_kind_is_planted():
    assert set(PLANTED) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_is_found(kind):
    diagnosis = found_in(kind)
    assert kind in diagnosis.kinds
    for finding in diagnosis:
        assert finding.severity in SEVERITIES
        assert finding.sentence.endswith(".")
        assert finding.remedy.endswith(".")
        assert all(np.isfinite(list(finding.evidence.values())))
    order = [SEVERITIES.index(finding.severity) for finding in diagnosis]
    assert order == sorted(order)


def test_the_numbers_of_the_findings():
    X, Y = healthy()
    found = {kind: first(found_in(kind), kind) for kind in PLANTED}
    assert found["mispaired rows"].evidence["share"] == 1
    assert found["shifted rows"].evidence["offset"] == -2
    assert list(found["zero rows"].rows) == [7, 507, 1007]
    assert list(found["duplicated rows"].rows) == list(range(100, 200))
    assert found["different scales"].evidence["ratio"] == pytest.approx(5)
    assert found["collapsed dimensions"].evidence["rank"] == 10
    assert found["duplicated dimensions"].evidence["second"] == 16
    assert found["duplicated dimensions"].evidence["first"] == 4
    cone = unit(X + 2 * np.eye(16)[0])
    length = np.linalg.norm(cone.mean(axis=0))
    assert found["cone"].evidence["length"] == pytest.approx(length)
    lengths = np.linalg.norm(_lengths(X, Y)[0], axis=1)
    assert found["unnormalised vectors"].evidence["spread"] == pytest.approx(
        lengths.std() / lengths.mean()
    )
    U, _, Vt = np.linalg.svd(X.T @ unit(Y[:, :5]), full_matrices=False)
    lost = 1 - np.sum((X @ U @ Vt) ** 2) / np.sum(X**2)
    assert found["information loss"].evidence["lost"] == pytest.approx(lost)


@pytest.mark.parametrize("d", [30, 100])
@pytest.mark.parametrize("n", [0.1, 0.7, 1.5, 2.5])
def test_the_pairs_that_are_needed_do_not_depend_on_those_that_are_there(d, n):
    """The truth: where pairs of noise agree by chance half as well as they could, 2.7 to 2.9 d."""
    rng = np.random.default_rng(d)
    few = diagnose(*rng.standard_normal((2, int(n * d), d)))
    needed = first(few, "too few pairs").evidence["needed"]
    enough = [
        m
        for m in range(d, 5 * d, d // 10)
        if Pairing(*rng.standard_normal((2, m, d))).agreement_by_chance() <= 0.5
    ]
    assert needed == pytest.approx(enough[0], rel=0.15)


def test_nothing_but_zeros_is_an_error():
    X, Y = healthy(n=600)
    (finding,) = [f for f in diagnose(0 * X, Y) if f.kind == "zero rows"]
    assert finding.severity == "error"
    assert len(finding.rows) == 600


def test_diagnoses_can_be_compared():
    X, Y = _zeros(*healthy())
    one, again, other = diagnose(X, Y), diagnose(X, Y), diagnose(X[1:], Y[1:])
    assert one == again
    assert one != other
    assert len({*one, *again}) == len(one)
    finding = next(found for found in one if len(found.rows))
    assert finding != replace(finding, rows=finding.rows[:-1])


# Networks


NETWORKS = ("minilm", "mpnet", "use", "e5")


@pytest.fixture(scope="module")
def networks():
    folder = SHARED / "scifact" / "vectors"
    if not folder.is_dir():
        pytest.skip("SciFact is not at hand")
    return {
        name: np.load(folder / f"{name}.npz")["documents"].astype(np.float32) for name in NETWORKS
    }


@pytest.mark.parametrize(
    "pair",
    [
        ("use", "e5"),
        *(pytest.param(p, marks=pytest.mark.long) for p in itertools.pairwise(NETWORKS[:3])),
        pytest.param(("e5", "minilm"), marks=pytest.mark.long),
    ],
)
def test_networks_are_healthy_but_for_a_cone(networks, pair):
    X, Y = (networks[name] for name in pair)
    found = diagnose(X, Y)
    cones = [f.sentence[0] for f in found if f.kind == "cone"]
    assert cones == [side for side, name in zip("XY", pair, strict=True) if name == "e5"]
    few = diagnose(X[:250], Y[:250])
    assert not {"two models", "quantised numbers"} & {*found.kinds, *few.kinds}


@pytest.mark.parametrize(
    ("one", "other", "target"),
    [("minilm", "e5", "use"), ("minilm", "mpnet", "e5"), ("use", "mpnet", "minilm")],
)
@pytest.mark.parametrize("side", ["X", pytest.param("Y", marks=pytest.mark.long)])
def test_rows_of_two_networks_in_one_file_are_named(networks, one, other, target, side):
    width = max(networks[name].shape[1] for name in (one, other))
    padded = [
        np.pad(z, ((0, 0), (0, width - z.shape[1])))[:1200]
        for z in (networks[one], networks[other])
    ]
    mixed = np.where(np.arange(1200)[:, np.newaxis] % 2 == 0, *padded)
    sides = (mixed, networks[target][:1200])
    finding = first(diagnose(*(sides if side == "X" else sides[::-1])), "two models")
    assert finding.severity == "error"
    assert finding.sentence.startswith(side)
    named = np.isin(np.arange(1200), finding.rows)
    right = np.mean(named == (np.arange(1200) % 2 == 0))
    assert max(right, 1 - right) > 0.95


@pytest.mark.parametrize("n", [600, pytest.param(1200, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("one", "other", "target"),
    [("minilm", "e5", "use"), ("mpnet", "minilm", "e5"), ("use", "mpnet", "minilm")],
)
def test_a_tenth_of_another_network_is_named_and_not_called_mispaired(
    networks, one, other, target, n
):
    width = min(networks[name].shape[1] for name in (one, other))
    sides = [unit(networks[name][:n, :width]) for name in (one, other)]
    rare = np.isin(np.arange(n), np.random.default_rng(0).choice(n, n // 10, replace=False))
    found = diagnose(np.where(rare[:, np.newaxis], *sides[::-1]), networks[target][:n])
    assert "mispaired rows" not in found.kinds
    named = np.isin(np.arange(n), first(found, "two models").rows)
    assert np.mean(named == rare) > 0.95


def test_mispaired_rows_are_reported_if_none_can_be_named(monkeypatch):
    X, Y = healthy()
    rows = np.random.default_rng(0).choice(1500, 300, replace=False)
    Y[rows] = Y[np.roll(rows, 1)]
    monkeypatch.setattr("procrustes_lab.report.pairing.suspects", lambda ranks: np.arange(0))
    assert diagnose(X, Y).kinds == ("mispaired rows",)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_rows_that_are_mispaired_are_no_other_model(networks, share):
    X, Y = networks["minilm"][:1000], networks["use"][:1000].copy()
    rows = np.random.default_rng(0).choice(1000, round(1000 * share), replace=False)
    Y[rows] = Y[np.roll(rows, 1)]
    assert "two models" not in diagnose(X, Y).kinds


def test_rows_that_are_shifted_are_no_other_model(networks):
    X = networks["minilm"][:1000]
    assert "two models" not in diagnose(X, np.roll(X, 3, axis=0)).kinds


def test_clip_has_one_map_for_either_half_of_its_pictures_and_words():
    folder = SHARED / "shop-clip"
    if not folder.is_dir():
        pytest.skip("CLIP's vectors are not at hand")
    found = diagnose(*(np.load(folder / f"{name}.npy") for name in ("images", "texts")))
    assert "two models" not in found.kinds
    assert "cone" in found.kinds


def test_partly_wrong_rows_are_named():
    X, Y = healthy(n=3000)
    rng = np.random.default_rng(3)
    wrong = rng.choice(3000, 300, replace=False)
    mixed = Y.copy()
    mixed[wrong] = Y[rng.permutation(wrong)]
    finding = first(diagnose(X, mixed), "mispaired rows")
    assert finding.severity == "warning"
    assert finding.evidence["share"] == pytest.approx(0.1, abs=0.05)
    assert np.isin(finding.rows, wrong).mean() >= 0.7
    assert np.isin(wrong, finding.rows).mean() >= 0.6


def test_a_lost_row_is_located():
    X, Y = healthy()
    finding = first(diagnose(X[:-1], np.delete(Y, 700, axis=0)), "shifted rows")
    assert finding.evidence["offset"] == -1
    assert finding.evidence["share"] == pytest.approx(0.53, abs=0.05)
    assert abs(finding.evidence["first"] - 700) <= 50


@pytest.mark.parametrize("kind", KINDS)
def test_which_side_is_which(kind):
    """A fault of one side is reported of that side when the sides are exchanged."""
    X, Y = PLANTED[kind](*healthy())
    one_sided = ("zero", "duplicated", "unnormalised", "cone", "collapsed", "quantised", "two")
    here, there = found_in(kind), diagnose(Y, X)
    if kind.startswith(one_sided):
        names = [{f.sentence[:1] for f in d if f.kind == kind} for d in (here, there)]
        assert names in ([{"X"}, {"Y"}], [{"X", "Y"}, {"X", "Y"}])


def test_the_basis_does_not_matter(texts):
    """Turning a side changes no finding but those about columns."""
    X, Y = texts["word"], np.roll(texts["character"], 1, axis=0)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((96, 96)))[0]
    assert diagnose(X @ Q, Y).kinds == diagnose(X, Y).kinds == ("shifted rows",)


def test_the_same_seed_gives_the_same_words(texts):
    X, Y = texts["word"][:800], np.roll(texts["character"][:800], 40, axis=0)
    assert repr(diagnose(X, Y, seed=5)) == repr(diagnose(X, Y, seed=5))


# Edge cases


@pytest.mark.parametrize("n", [2, 3, 5, 20, 60, 120])
@pytest.mark.parametrize("d", [1, 2, 7, 40])
@pytest.mark.filterwarnings("error")
def test_few_rows_and_few_dimensions_are_survived(n, d):
    rng = np.random.default_rng(n * d)
    for X in (rng.standard_normal((n, d)), np.zeros((n, d)), np.ones((n, d))):
        for Y in (rng.standard_normal((n, 3)), np.zeros((n, 3))):
            diagnosis = diagnose(X, Y)
            assert diagnosis.n == n
            assert repr(diagnosis)


def test_bad_input_is_refused():
    X, Y = healthy(n=50)
    with pytest.raises(ValueError, match="at least 2"):
        diagnose(X[:1], Y[:1])
    with pytest.raises(ValueError, match="49 rows"):
        diagnose(X, Y[:-1])
    X[17, 3] = np.nan
    with pytest.raises(ValueError, match="NaN in row 17, column 3"):
        diagnose(X, Y)


# Looks


def test_text_and_html_say_the_same():
    diagnosis = diagnose(*_roll(*healthy()))
    (finding,) = diagnosis
    text = " ".join(repr(diagnosis).split())
    for words in (diagnosis.summary, finding.sentence, finding.remedy, *KINDS):
        assert words in text
        assert words in diagnosis._repr_html_()
    assert max(map(len, repr(diagnosis).splitlines())) <= 100


def test_nothing_found_says_what_was_looked_for():
    diagnosis = diagnose(*healthy())
    assert len(diagnosis) == 0
    assert "nothing found" in repr(diagnosis)
    assert "hubness" in repr(diagnosis)
    assert "<table" not in diagnosis._repr_html_()


def test_html_is_escaped():
    finding = Finding("hubness", "note", "a < b & <script>.", "none.", {})
    page = Diagnosis(2, 1, 1, 2, (finding,))._repr_html_()
    assert "<script>" not in page
    assert "a &lt; b &amp; &lt;script&gt;." in page
