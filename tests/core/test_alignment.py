"""Maps: optimal, equivariant, saved and loaded."""

import contextlib
import inspect

import numpy as np
import pytest
import scipy.linalg
import scipy.linalg.tests.test_procrustes as scipy_tests
from scipy.stats import ortho_group
from sklearn.cross_decomposition import CCA

import procrustes_lab as pl
from procrustes_lab.core.alignment import FORMAT
from procrustes_lab.core.polar import polar


def some_pairs(n=100, d_x=4, d_y=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d_x))
    return X, X @ rng.standard_normal((d_x, d_y)) + 0.3 * rng.standard_normal((n, d_y)) + 0.5


def squared_distance(A, B):
    return float(np.sum((A - B) ** 2)) / len(A)


# Newer versions have them in a class.
SCIPY_TESTS = getattr(scipy_tests, "TestOrthogonalProcrustes", lambda: scipy_tests)()
SCIPY_CASES = [
    name
    for name, _ in inspect.getmembers(SCIPY_TESTS, callable)
    if name.startswith("test_") and name != "test_unitary"  # complex input
]


@pytest.mark.parametrize("name", SCIPY_CASES)
def test_scipys_own_tests(name, monkeypatch):
    monkeypatch.setattr(scipy_tests, "orthogonal_procrustes", pl.orthogonal_procrustes)
    case = getattr(SCIPY_TESTS, name)
    case(**{"xp": np} if "xp" in inspect.signature(case).parameters else {})


def test_scipys_tests_were_found():
    assert len(SCIPY_CASES) >= 9


@pytest.mark.parametrize("shape", [(50, 7), (7, 7), (3, 7)])
def test_drop_in_for_scipy(shape):
    A, B = np.random.default_rng(0).standard_normal((2, *shape))
    R, scale = pl.orthogonal_procrustes(A, B)
    expected, expected_scale = scipy.linalg.orthogonal_procrustes(A, B)
    assert scale == pytest.approx(expected_scale, rel=1e-13)
    if shape[0] >= shape[1]:  # otherwise the optimum is not unique
        np.testing.assert_allclose(R, expected, atol=1e-12)
    np.testing.assert_allclose(A @ R, A @ expected, atol=1e-12)
    assert list(inspect.signature(pl.orthogonal_procrustes).parameters) == [
        "A",
        "B",
        "check_finite",
    ]


def test_errors_of_the_drop_in_name_its_own_arguments():
    A = np.ones((3, 2))
    B = A.copy()
    B[1, 1] = np.nan
    with pytest.raises(ValueError, match="B has NaN in row 1, column 1"):
        pl.orthogonal_procrustes(A, B, check_finite=False)
    with pytest.raises(ValueError, match=r"A has shape \(3, 2\), B has shape \(3, 1\)"):
        pl.orthogonal_procrustes(A, A[:, :1])


@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (2, 5), (5, 2), (1, 3), (3, 1)])
def test_no_nearby_or_random_map_is_better(d_x, d_y):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    alignment = pl.align(X, Y)
    d, rng = max(d_x, d_y), np.random.default_rng(5)
    padded_x, padded_y = (np.pad(a, ((0, 0), (0, d - a.shape[1]))) for a in (X, Y))
    assert alignment.map.shape == (d_x, d_y)
    gram = alignment.map @ alignment.map.T if d_x <= d_y else alignment.map.T @ alignment.map
    np.testing.assert_allclose(gram, np.eye(min(d_x, d_y)), atol=1e-13)
    for _ in range(300):
        Q = ortho_group.rvs(d, random_state=rng) if d > 1 else np.eye(1)
        assert squared_distance(padded_x @ Q, padded_y) >= alignment.error - 1e-12
    # and the error is attained: by the map itself going up, in padded space going down
    if d_x <= d_y:
        assert squared_distance(alignment.apply(X), Y) == pytest.approx(alignment.error)
    else:
        back = Y @ alignment.map.T
        assert squared_distance(X, back) == pytest.approx(alignment.error)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("whiten", [0.0, 0.2, 0.5])
def test_error_is_the_distance_of_what_apply_gives(center, scale, whiten):
    X, Y = some_pairs(d_x=3, d_y=4)
    alignment = pl.align(X, Y, center=center, scale=scale, whiten=whiten)
    assert alignment.error == pytest.approx(squared_distance(alignment.apply(X), Y), rel=1e-10)
    from_moments = pl.align(pl.Moments.from_arrays(X, Y), center=center, scale=scale, whiten=whiten)
    np.testing.assert_allclose(from_moments.map, alignment.map, atol=1e-10)
    assert from_moments.error == pytest.approx(alignment.error, rel=1e-10)


@pytest.mark.parametrize("whiten", [0.0, 0.3])
def test_centring_and_scaling_never_hurt(whiten):
    X, Y = some_pairs()
    plain, centred = (pl.align(X, Y, center=c, whiten=whiten) for c in (False, True))
    scaled = pl.align(X, Y, center=True, scale=True, whiten=whiten)
    assert scaled.error <= centred.error
    if whiten == 0:
        assert centred.error <= plain.error


def test_a_translated_scaled_rotated_copy_is_recovered():
    X, _ = some_pairs(d_x=5)
    Q = ortho_group.rvs(5, random_state=1)
    Y = 3.0 * X @ Q + np.arange(5.0)
    alignment = pl.align(X, Y, center=True, scale=True)
    np.testing.assert_allclose(alignment.map, Q, atol=1e-12)
    assert alignment.scale == pytest.approx(3.0)
    np.testing.assert_allclose(alignment.apply(X), Y, atol=1e-12)


@pytest.mark.parametrize("whiten", [0.0, 0.25])
def test_equivariance(whiten):
    """Turning either side turns the map; stretching either side leaves it alone."""
    X, Y = some_pairs(d_x=4, d_y=6)
    P, Q = ortho_group.rvs(4, random_state=1), ortho_group.rvs(6, random_state=2)
    W = pl.align(X, Y, whiten=whiten).map
    turned = pl.align(X @ P, Y @ Q, whiten=whiten)
    np.testing.assert_allclose(turned.map, P.T @ W @ Q, atol=1e-10)
    for factor in (1e-150, 1e-3, 7.0, 1e150):
        np.testing.assert_allclose(pl.align(factor * X, Y, whiten=whiten).map, W, atol=1e-10)
        np.testing.assert_allclose(pl.align(X, factor * Y, whiten=whiten).map, W, atol=1e-10)


@pytest.mark.parametrize("factor", [1e-150, 1e150])
def test_error_is_homogeneous_of_degree_two(factor):
    X, Y = some_pairs()
    expected = pl.align(X, Y).error
    assert pl.align(factor * X, factor * Y).error / factor / factor == pytest.approx(expected)


@pytest.mark.parametrize(("d_x", "d_y"), [(3, 3), (2, 4), (4, 2)])
@pytest.mark.parametrize("kind", ["zero source", "zero target", "both zero", "one row", "repeated"])
def test_degenerate_pairs(d_x, d_y, kind):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    if kind == "one row":
        X, Y = X[:1], Y[:1]
    elif kind == "repeated":
        X, Y = np.repeat(X[:1], 9, axis=0), np.repeat(Y[:1], 9, axis=0)
    else:
        X, Y = X * (kind == "zero target"), Y * (kind == "zero source")
    alignment = pl.align(X, Y)
    W = alignment.map
    gram = W @ W.T if d_x <= d_y else W.T @ W
    np.testing.assert_allclose(gram, np.eye(min(d_x, d_y)), atol=1e-12)
    lengths = np.linalg.norm(X, axis=1), np.linalg.norm(Y, axis=1)
    expected = np.mean((lengths[0] - lengths[1]) ** 2)  # one row can always be turned onto another
    assert alignment.error == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("whiten", [0.1, 0.5])
def test_whitening_a_rank_deficient_side_stays_finite(whiten):
    X, Y = some_pairs()
    X[:, 3] = X[:, 0]
    assert np.isfinite(pl.align(X, Y, whiten=whiten).map).all()


def test_float32_keeps_seven_digits():
    rng = np.random.default_rng(2)
    n, d = 50_000, 24
    latent = rng.standard_normal((n, d)) / (1 + np.arange(d)) + 0.2
    for noise in (1e-3, 0.03, 0.3, 1.0):
        X = latent.astype(np.float32)
        Y = (
            latent @ ortho_group.rvs(d, random_state=3) + noise * rng.standard_normal((n, d))
        ).astype(np.float32)
        narrow, wide = pl.align(X, Y), pl.align(X.astype(float), Y.astype(float))
        assert narrow.error == pytest.approx(wide.error, rel=1e-7)
        # the map itself moves by the rounding of XᵀY over its smallest gap, here below 1e-5
        np.testing.assert_allclose(narrow.map, wide.map, atol=1e-5)


def test_apply_takes_any_float_in_blocks():
    rng = np.random.default_rng(0)
    alignment = pl.align(*some_pairs(d_x=4, d_y=3), center=True, scale=True)
    Z = rng.standard_normal((70_000, 4))
    expected = (Z - alignment.source_mean) @ alignment.map * alignment.scale + alignment.target_mean
    np.testing.assert_allclose(alignment.apply(Z), expected, atol=1e-12)
    assert alignment.apply(Z.astype(np.float32)).dtype == np.float64
    assert alignment.apply(Z[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("Z", "message"),
    [
        (np.ones((2, 5)), "Z has 5 columns; this map takes 4"),
        (np.ones(5), "Z has 5 columns; this map takes 4"),
        (np.ones((2, 2, 4)), "Z has 3 dimension"),
        ([[1.0, 2.0, np.nan, 4.0]], "Z has NaN in row 0, column 2"),
    ],
)
def test_apply_refuses(Z, message):
    with pytest.raises(ValueError, match=message):
        pl.align(*some_pairs()).apply(Z)


def test_save_and_load(tmp_path):
    options = {"center": True, "scale": True, "whiten": 0.1, "toward": (np.eye(3, 4), 0.2)}
    alignment = pl.align(*some_pairs(d_x=3), **options)
    path = tmp_path / "map.npz"
    path.write_text("to be replaced")
    alignment.save(path)
    loaded = pl.Alignment.load(path)
    for name, value in vars(alignment).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    assert [p.name for p in tmp_path.iterdir()] == ["map.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "map.npz"
    path.write_text("old")
    monkeypatch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        pl.align(*some_pairs()).save(path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    "damage", ["truncated", "text", "empty", "another npz", "pickled", "sizes"]
)
def test_damaged_files_are_refused(tmp_path, damage):
    path = tmp_path / "map.npz"
    alignment = pl.align(*some_pairs())
    alignment.save(path)
    fields = {"format": FORMAT, **vars(alignment)}
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage in ("text", "empty"):
        path.write_text("hello" if damage == "text" else "")
    elif damage == "another npz":
        np.savez(path, a=np.ones(3))
    elif damage == "pickled":
        np.savez(path, **(fields | {"map": np.array([{}])}), allow_pickle=True)
    else:
        np.savez(path, **(fields | {"source_mean": np.zeros(9)}))
    with pytest.raises(ValueError, match="is not an alignment that this version can read"):
        pl.Alignment.load(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        pl.Alignment.load(tmp_path / "none.npz")


def test_results_print_themselves():
    alignment = pl.align(*some_pairs(d_x=3), scale=True, whiten=0.1)
    for text in (repr(alignment), alignment._repr_html_()):
        for part in (
            "3 → 4",
            f"{alignment.error:.4g}",
            f"{alignment.scale:.4g}",
            "not an isometry",
        ):
            assert part in text


def canonical_scores(X, Y):
    """Dot products of canonical variates, from bases of the column spaces (Björck & Golub)."""
    bases = [scipy.linalg.orth(side) for side in (X, Y)]
    U, _, Vt = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
    return bases[0] @ U @ Vt @ bases[1].T


def unit_norm(scores):
    return scores / np.linalg.norm(scores)


@pytest.mark.parametrize("dead", [0, 1, 2])
@pytest.mark.parametrize(("d_x", "d_y"), [(5, 5), (4, 7), (7, 4)])
def test_half_whitened_scores_are_those_of_canonical_variates(d_x, d_y, dead):
    """Also where columns are dead or repeated, so that a second moment is singular."""
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    X[:, :dead] = X[:, -dead - 1 : -1] if dead == 2 else 0.0
    scores = X @ pl.align(X, Y, whiten=0.5).map @ Y.T
    np.testing.assert_allclose(unit_norm(scores), unit_norm(canonical_scores(X, Y)), atol=1e-11)
    # CCA is centred; `center` subtracts the means itself
    shifted = pl.align(X + 3.0, Y - 1.0, whiten=0.5, center=True)
    np.testing.assert_allclose(X @ shifted.map @ Y.T, scores, atol=1e-9)


def test_half_whitened_maps_agree_with_scikit_learn():
    X, Y = some_pairs(n=300, d_x=4, d_y=4)
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    model = CCA(n_components=4, scale=False, tol=1e-14, max_iter=100_000).fit(X, Y)
    variates = [side / np.linalg.norm(side, axis=0) for side in model.transform(X, Y)]
    scores = X @ pl.align(X, Y, whiten=0.5).map @ Y.T
    expected = variates[0] @ variates[1].T
    np.testing.assert_allclose(unit_norm(scores), unit_norm(expected), atol=1e-5)


def test_half_whitened_scores_see_no_linear_map_of_either_side():
    X, Y = some_pairs(d_x=4, d_y=5)
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((4, 4)), rng.standard_normal((5, 5))
    for whiten, blind in ((0.5, True), (0.3, False), (0.0, False)):
        before = X @ pl.align(X, Y, whiten=whiten).map @ Y.T
        after = X @ A @ pl.align(X @ A, Y @ B, whiten=whiten).map @ B.T @ Y.T
        assert np.allclose(unit_norm(before), unit_norm(after), atol=1e-9) == blind


@pytest.mark.parametrize("whiten", [0.1, 0.3, 0.5])
def test_a_whitened_map_of_a_turned_copy_lands_on_the_reweighted_target(whiten):
    Y, _ = some_pairs(d_x=5)
    Y = Y * [1, 2, 4, 8, 16]
    X = Y @ ortho_group.rvs(5, random_state=3)
    C = Y.T @ Y
    aim = Y @ scipy.linalg.fractional_matrix_power(C / (np.trace(C) / 5), -2 * whiten)
    np.testing.assert_allclose(pl.align(X, Y, whiten=whiten).apply(X), aim, atol=1e-9)


@pytest.mark.parametrize("kappa", [1e2, 1e4, 1e6])
def test_whitening_a_nearly_singular_side_keeps_the_digits_there_are(kappa):
    """Moments square the condition number κ, so an error of order 2⁻⁵² κ² is to be expected."""
    rng = np.random.default_rng(4)
    Z, noise = rng.standard_normal((2, 1000, 8))
    shared, scale = np.linspace(0.99, 0.2, 8), np.geomspace(1, 1 / kappa, 8)
    X = Z * scale @ ortho_group.rvs(8, random_state=5)
    Y = (Z * shared + noise * np.sqrt(1 - shared**2)) * scale @ ortho_group.rvs(8, random_state=6)
    scores = X @ pl.align(X, Y, whiten=0.5).map @ Y.T
    error = np.linalg.norm(unit_norm(scores) - unit_norm(canonical_scores(X, Y)))
    assert error < 10 * np.finfo(float).eps * kappa**2


def test_whitening_nothing_gives_a_map_of_zeros():
    X, Y = some_pairs()
    assert not pl.align(0 * X, Y, whiten=0.3).map.any()


@pytest.mark.parametrize("whiten", [0.0, 0.2, 0.5])
def test_zero_columns_change_nothing(whiten):
    X, Y = some_pairs(d_x=4, d_y=6)
    W = pl.align(X, Y, whiten=whiten).map
    padded = pl.align(np.pad(X, ((0, 0), (0, 2))), np.pad(Y, ((0, 0), (0, 3))), whiten=whiten).map
    np.testing.assert_allclose(padded[:4, :6], W, atol=1e-12)


@pytest.mark.parametrize(("d_x", "d_y"), [(6, 4), (5, 1), (4, 4)])
def test_going_down_loses_what_the_spectrum_says_at_least(d_x, d_y):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    alignment = pl.align(X, Y)
    lost = (np.sum(X**2) - np.sum((X @ alignment.map) ** 2)) / len(X)
    least = np.sum(np.linalg.svd(X, compute_uv=False)[d_y:] ** 2) / len(X)
    assert lost >= least - 1e-12
    seen = squared_distance(alignment.apply(X), Y)
    assert alignment.error == pytest.approx(seen + lost, rel=1e-12)
    sigma = [np.linalg.svd(side, compute_uv=False) for side in (X, Y)]
    gaps = sigma[0] - np.pad(sigma[1], (0, d_x - d_y))
    assert alignment.error >= np.sum(gaps**2) / len(X)


def test_going_up_keeps_every_dot_product():
    X, Y = some_pairs(d_x=3, d_y=8)
    raised = pl.align(X, Y).apply(X)
    np.testing.assert_allclose(raised @ raised.T, X @ X.T, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-90, 1e80, 1e120])
def test_scaling_is_homogeneous_too(factor):
    X, Y = some_pairs()
    expected = pl.align(X, Y, scale=True).error
    assert pl.align(factor * X, factor * Y, scale=True).error / factor**2 == pytest.approx(expected)


def test_saved_files_are_as_readable_as_others(tmp_path):
    pl.align(*some_pairs()).save(tmp_path / "map.npz")
    (tmp_path / "other").write_text("")
    assert (tmp_path / "map.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_no_flipped_byte_is_a_raw_error(tmp_path):
    path = tmp_path / "map.npz"
    pl.align(*some_pairs()).save(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):  # a flip in the padding harms nothing
            pl.Alignment.load(path)


# Queries, and the way back


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("whiten", [0.0, 0.2])
def test_queries_have_no_target_mean(scale, whiten):
    X, Y = some_pairs(d_x=3, d_y=4)
    centred = pl.align(X, Y, center=True, scale=scale, whiten=whiten)
    expected = (X - X.mean(axis=0)) @ centred.map * centred.scale
    np.testing.assert_allclose(centred.query(X), expected, atol=1e-12)
    np.testing.assert_allclose(centred.apply(X), expected + Y.mean(axis=0), atol=1e-12)
    plain = pl.align(X, Y, scale=scale, whiten=whiten)
    np.testing.assert_array_equal(plain.query(X), plain.apply(X))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_mean_added_back_drowns_queries_from_a_cone(seed):
    """Unit vectors; the source's have a mean of length 0.98, so little is left when it is gone."""
    rng = np.random.default_rng(seed)
    latent, noise = rng.standard_normal((2, 600, 32))
    sides = latent + noise + 6.0 * np.sqrt(32) / 3, latent + 0.7 * np.sqrt(32) * np.eye(32)[0]
    X, Y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    plain, centred = (pl.align(X[:300], Y[:300], center=c) for c in (False, True))
    found = [
        np.mean(np.argmax(carry(X[300:]) @ Y[300:].T, axis=1) == np.arange(300))
        for carry in (plain.query, centred.apply, centred.query)
    ]
    assert found[2] > 0.8
    assert max(found[:2]) < 0.2
    # but a vector that is to lie where its target lies needs the mean
    distances = [squared_distance(carry(X), Y) for carry in (centred.query, centred.apply)]
    assert distances[1] < 0.8 * distances[0]


def test_a_single_vector_is_carried_to_a_single_vector():
    X, Y = some_pairs(d_x=3)
    alignment = pl.align(X, Y, center=True)
    for carry in (alignment.apply, alignment.query):
        assert carry(X[5]).shape == (4,)
        np.testing.assert_allclose(carry(X[5]), carry(X)[5], atol=1e-14)
        np.testing.assert_array_equal(carry(X[5].tolist()), carry(X[5]))


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5), (5, 3)])
def test_the_inverse_undoes_the_map(d_x, d_y, center, scale):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    there = pl.align(X, Y, center=center, scale=scale)
    back = there.inverse()
    narrow, first, second = (X, there, back) if d_x <= d_y else (Y, back, there)
    np.testing.assert_allclose(second.apply(first.apply(narrow)), narrow, atol=1e-12)
    for name, value in vars(back.inverse()).items():
        np.testing.assert_allclose(value, getattr(there, name), atol=1e-14)
    if d_x >= d_y:  # going up, nothing is dropped
        distance = squared_distance(back.apply(Y), X)
        assert back.error == pytest.approx(distance, rel=1e-10)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("whiten", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5), (5, 3)])
def test_the_inverse_is_the_fit_the_other_way_round(d_x, d_y, whiten, center):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    back = pl.align(X, Y, center=center, whiten=whiten).inverse()
    expected = pl.align(Y, X, center=center, whiten=whiten)
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(back, name), value, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("whiten", [0.0, 0.1])
def test_carried_documents_have_the_scores_of_carried_queries(whiten):
    X, Y = some_pairs(d_x=3, d_y=5)
    there = pl.align(X, Y, whiten=whiten)
    scores = there.query(X) @ Y.T
    np.testing.assert_allclose(X @ there.inverse().query(Y).T, scores, atol=1e-12)


# Shrinking towards a map that one has


def a_turn(d_x, d_y, seed=1):
    d = max(d_x, d_y)
    return ortho_group.rvs(d, random_state=seed)[:d_x, :d_y] if d > 1 else np.eye(1)


SHARES = (0.0, 1e-3, 0.03, 0.1, 0.3, 1.0, 10.0)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5), (5, 3)])
def test_shrinking_adds_pseudo_pairs(d_x, d_y, center):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    W0, share = a_turn(d_x, d_y), 0.3
    found = pl.align(X, Y, center=center, toward=(W0, share))
    if center:
        X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    strength = np.sqrt(share * np.linalg.norm(X.T @ Y, 2))
    pseudo = np.vstack([X, strength * np.eye(d_x)]), np.vstack([Y, strength * W0])
    np.testing.assert_allclose(found.map, pl.align(*pseudo).map, atol=1e-12)
    again = pl.align(pl.Moments.from_arrays(X, Y), toward=(W0, share))
    np.testing.assert_allclose(again.map, found.map, atol=1e-12)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5)])
def test_the_error_of_a_shrunk_map_is_its_distance_and_never_falls(d_x, d_y, center, scale):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    W0 = a_turn(d_x, d_y)
    fits = [pl.align(X, Y, center=center, scale=scale, toward=(W0, share)) for share in SHARES]
    errors = [fit.error for fit in fits]
    for fit in fits:
        assert fit.error == pytest.approx(squared_distance(fit.apply(X), Y), rel=1e-10)
    if not scale:
        away = [np.linalg.norm(fit.map - W0) for fit in fits]
        assert np.all(np.diff(errors) > 0)
        assert np.all(np.diff(away) < 0)


@pytest.mark.parametrize("whiten", [0.0, 0.2])
@pytest.mark.parametrize(("d_x", "d_y"), [(4, 4), (3, 5), (5, 3)])
def test_the_limits_of_shrinking(d_x, d_y, whiten):
    X, Y = some_pairs(d_x=d_x, d_y=d_y)
    W0 = a_turn(d_x, d_y)
    plain = pl.align(X, Y, whiten=whiten)
    none = pl.align(X, Y, whiten=whiten, toward=(W0, 0.0))
    np.testing.assert_array_equal(none.map, plain.map)
    little, much = (pl.align(X, Y, whiten=whiten, toward=(W0, share)) for share in (1e-9, 1e9))
    np.testing.assert_allclose(little.map, plain.map, atol=1e-7)
    aim = W0
    if whiten:
        left, right = (
            scipy.linalg.fractional_matrix_power(C / (np.trace(C) / len(C)), -whiten)
            for C in (X.T @ X, Y.T @ Y)
        )
        aim = left @ W0 @ right
    np.testing.assert_allclose(much.map, aim, atol=1e-7)


def test_directions_that_no_pair_has_shown_go_where_the_given_map_sends_them():
    """Of all maps of least error, a little shrinking finds the one closest to the given map."""
    X, Y = some_pairs(n=3, d_x=6, d_y=6)
    W0 = a_turn(6, 6)
    found = pl.align(X, Y, toward=(W0, 1e-7))
    assert found.error == pytest.approx(pl.align(X, Y).error, rel=1e-6)
    U, _, Vt = np.linalg.svd(X.T @ Y)
    shown, free = U[:, :3] @ Vt[:3], (U[:, 3:], Vt[3:])
    rng = np.random.default_rng(0)
    rivals = (shown + free[0] @ ortho_group.rvs(3, random_state=rng) @ free[1] for _ in range(500))
    closest = min(np.linalg.norm(rival - W0) for rival in rivals)
    assert np.linalg.norm(found.map - W0) <= closest + 1e-6


def test_it_is_the_most_probable_turn_under_a_matrix_langevin_prior():
    """Posterior of turns and mirrorings of the plane, on a fine grid, from the two densities."""
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 200_001)
    cos, sin = np.cos(angles), np.sin(angles)
    circle = np.array([[cos, sin], [-sin, cos]]), np.array([[cos, sin], [sin, -cos]])
    maps = np.concatenate(circle, axis=2).transpose(2, 0, 1)
    tau, kappa, W0 = 0.7, 9.0, a_turn(2, 2)
    X = rng.standard_normal((6, 2))
    Y = X @ a_turn(2, 2, seed=5) + tau * rng.standard_normal((6, 2))
    residuals = np.sum((X @ maps - Y) ** 2, axis=(1, 2))
    log_posterior = -residuals / (2 * tau**2) + kappa * np.einsum("ij,kij->k", W0, maps)
    most = maps[np.argmax(log_posterior)]
    share = kappa * tau**2 / np.linalg.norm(X.T @ Y, 2)
    assert np.linalg.norm(most - pl.align(X, Y).map) > 0.1  # the prior has something to say
    np.testing.assert_allclose(pl.align(X, Y, toward=(W0, share)).map, most, atol=1e-4)


def test_shrinking_towards_the_truth_helps_where_pairs_are_few():
    rng = np.random.default_rng(0)
    truth = a_turn(20, 20)
    X = rng.standard_normal((15, 20))
    Y = X @ truth + 0.5 * rng.standard_normal((15, 20))
    near = polar(truth + 0.05 * rng.standard_normal((20, 20)))[0]
    many = rng.standard_normal((60, 20))
    earlier = pl.align(many, many @ near)
    away = [
        np.linalg.norm(pl.align(X, Y, toward=toward).map - truth)
        for toward in (None, (near, 0.1), (earlier, 0.1))
    ]
    assert away[1] < 0.6 * away[0]
    assert away[2] < 0.6 * away[0]


def test_float32_is_shrunk_alike():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30_000, 6)).astype(np.float32)
    for noise in (0.01, 1.0):  # far below and above where float64 takes over
        Y = (X @ a_turn(6, 6) + noise * rng.standard_normal((30_000, 6))).astype(np.float32)
        narrow, wide = (
            pl.align(x, y, toward=(np.eye(6), 0.1))
            for x, y in ((X, Y), (X.astype(float), Y.astype(float)))
        )
        assert narrow.error == pytest.approx(wide.error, rel=1e-6)
        np.testing.assert_allclose(narrow.map, wide.map, atol=1e-6)
        assert narrow.toward == 0.1


def test_where_divide_and_conquer_gives_up_qr_iteration_goes_on(monkeypatch):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 5, 12))
    expected = pl.align(X, Y, toward=(np.eye(12), 0.1))

    def gives_up(matrix, **options):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    found = pl.align(X, Y, toward=(np.eye(12), 0.1))
    np.testing.assert_allclose(found.map, expected.map, atol=1e-12)


@pytest.mark.parametrize(
    ("toward", "message"),
    [
        (np.eye(4), "toward is no pair"),
        (0.1, "toward is no pair"),
        (
            (np.eye(3), 0.1),
            r"toward's map has shape \(3, 3\); expected \(4, 4\): \(d_x, d_y\)",
        ),
        ((2 * np.eye(4), 0.1), "toward's map is no isometry.*polar"),
        ((np.full((4, 4), np.nan), 0.1), "toward's map has NaN"),
        ((np.eye(4), -0.1), "toward has the share -0.1; expected a number, 0 or more"),
        ((np.eye(4), np.inf), "share inf"),
        ((np.eye(4), np.nan), "share nan"),
        ((np.eye(4), "much"), "share 'much'"),
    ],
)
def test_what_cannot_be_shrunk_to_is_refused(toward, message):
    X, Y = some_pairs()
    for sides in ((X, Y), (pl.Moments.from_arrays(X, Y),)):
        with pytest.raises((TypeError, ValueError), match=message):
            pl.align(*sides, toward=toward)
