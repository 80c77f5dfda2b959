"""Whether what is measured on two files is what it is called."""

from pathlib import Path

import numpy as np
import pytest

from procrustes_lab import Moments, align
from procrustes_lab.files import join, read
from procrustes_lab.report import study


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def paired(folder: Path, new, old):
    np.save(folder / "new.npy", new)
    np.save(folder / "old.npy", old)
    return join(read(folder / "new.npy"), read(folder / "old.npy"))


def test_one_pass_gives_the_moments_of_all_rows_and_of_parts(tmp_path, rng):
    X, Y = rng.standard_normal((9000, 5)), 2 * rng.standard_normal((9000, 3))
    held, choosing = np.sort(rng.permutation(9000)[:700].reshape(2, 350))
    gathered = study.gather(paired(tmp_path, X, Y), choosing, held)
    rest = np.delete(np.arange(9000), held)
    tried = np.setdiff1d(rest, choosing)
    for moments, rows in (
        (gathered.everything, slice(None)),
        (gathered.fitted, rest),
        (gathered.tried, tried),
    ):
        expected = Moments.from_arrays(X[rows], Y[rows])
        assert moments.n == expected.n
        np.testing.assert_allclose(moments.xy, expected.xy, atol=1e-9)
        np.testing.assert_allclose(moments.xx, expected.xx, atol=1e-9)
    lengths = [np.linalg.norm(side, axis=1).max() for side in (X, Y)]
    assert gathered.longest == pytest.approx(lengths)


def test_the_maps_are_those_of_the_definitions(rng):
    X, Y = rng.standard_normal((300, 6)) + 1, rng.standard_normal((300, 4))
    maps = study.fit_maps(Moments.from_arrays(X, Y))
    assert next(iter(maps)) == "turn"
    for name, options in {
        "turn": {},
        "centred": {"center": True},
        "whitened 0.2": {"whiten": 0.2},
        "centred, whitened 0.1": {"center": True, "whiten": 0.1},
    }.items():
        expected = align(X, Y, **options).query(X)
        factor = np.vdot(maps[name].query(X), expected) / np.vdot(expected, expected)
        np.testing.assert_allclose(maps[name].query(X), factor * expected, atol=1e-9)
    least = np.linalg.lstsq(X, Y)[0]
    np.testing.assert_allclose(maps["least squares"].query(X), X @ least, atol=1e-9)


def unit(Z):
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_same_vectors_are_recognised_in_another_order_and_others_are_not(tmp_path, rng, noise):
    X = unit(rng.standard_normal((2000, 24)))
    turn = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    again = (X @ turn)[rng.permutation(2000)] + noise * rng.standard_normal(X.shape) / 5
    apart = np.arange(100), np.arange(100, 300)
    assert study.same_vectors(study.gather(paired(tmp_path, again.astype(np.float32), X), *apart))
    others = unit(rng.standard_normal(X.shape))
    assert not study.same_vectors(study.gather(paired(tmp_path, others, X), *apart))


def test_noise_is_featureless_and_clusters_are_not(rng):
    spread = 1 / np.arange(1, 33)
    assert study.is_featureless(rng.standard_normal((900, 32)) * spread, rng)
    assert study.is_featureless(rng.random((900, 32)), rng)
    centres = rng.standard_normal((60, 32))[rng.integers(60, size=900)]
    assert not study.is_featureless(centres + 0.5 * rng.standard_normal((900, 32)), rng)
