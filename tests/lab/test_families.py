"""The planted pairs are where they claim to be, by n × n arithmetic of this file's own."""

import numpy as np
import pytest
import scipy.linalg

from procrustes_lab.lab import families


def naive(X, Y):
    """Return ε, Δ, t and p² from the full Gram matrices and a matrix square root."""
    G, H = X @ X.T, Y @ Y.T
    eigenvalues = np.linalg.eigvalsh(G - H)
    energy = np.trace(G) + np.trace(H)
    fidelity = np.linalg.svd(X.T @ Y, compute_uv=False).sum()
    return (
        np.sqrt(np.sum(eigenvalues**2)),
        np.abs(eigenvalues).sum(),
        energy,
        energy - 2 * fidelity,
    )


def lens_point(X, Y):
    _, nuclear, energy, squared = naive(X, Y)
    return nuclear / energy, squared / energy


@pytest.mark.parametrize("epsilon", [1e-3, 1.0, 40.0])
@pytest.mark.parametrize("d", [1, 2, 7])
def test_equal_dimensions_attain_the_papers_bound(d, epsilon):
    X, Y = families.extremal(2 * d, d, d, epsilon)
    discrepancy, _, _, squared = naive(X, Y)
    assert discrepancy == pytest.approx(epsilon)
    assert squared == pytest.approx(np.sqrt(2 * d) * epsilon)


@pytest.mark.parametrize(
    "sizes",
    [(5, 2, 3), (9, 2, 3), (4, 2, 3), (3, 5, 1), (1, 1, 1), (6, 4, 4), (2, 8, 8), (7, 1, 6)],
)
def test_every_size_attains_the_rank_aware_bound(sizes):
    n, source_dim, target_dim = sizes
    X, Y = families.extremal(*sizes, epsilon=2.5)
    assert X.shape == (n, source_dim)
    assert Y.shape == (n, target_dim)
    discrepancy, _, _, squared = naive(X, Y)
    assert discrepancy == pytest.approx(2.5)
    assert squared == pytest.approx(np.sqrt(min(n, source_dim + target_dim)) * 2.5)


def test_tilted_planes_have_the_stated_norms():
    rng = np.random.default_rng(3)
    angles, energies = rng.uniform(0, np.pi / 2, 5), rng.uniform(0, 4, 5)
    discrepancy, nuclear, energy, squared = naive(*families.tilted(angles, energies))
    assert energy == pytest.approx(2 * energies.sum())
    assert nuclear == pytest.approx(2 * energies @ np.sin(angles))
    assert discrepancy**2 == pytest.approx(2 * energies**2 @ np.sin(angles) ** 2)
    assert squared == pytest.approx(2 * energies @ (1 - np.cos(angles)))


@pytest.mark.parametrize("x", [0.0, 0.01, 0.3, 0.6, 0.99, 1.0])
@pytest.mark.parametrize("height", [0.0, 0.25, 1.0])
def test_every_point_of_the_lens_is_attained(x, height):
    bottom = 1 - np.sqrt(1 - x**2)
    y = bottom + height * (x - bottom)
    X, Y = families.at(x, y)
    assert naive(X, Y)[2] == pytest.approx(1.0)
    assert lens_point(X, Y) == pytest.approx((x, y), abs=1e-12)


@pytest.mark.parametrize("point", [(0.5, 0.51), (0.5, 0.1), (1.2, 1.0), (0.5, -0.1), (np.nan, 0.5)])
def test_no_pair_is_outside_the_lens(point):
    with pytest.raises(ValueError, match="outside the lens"):
        families.at(*point)


@pytest.mark.parametrize("seed", range(20))
def test_rank_one_sets_lie_on_the_lower_side(seed):
    rng = np.random.default_rng(seed)
    X, Y = families.rank_one(*rng.integers(1, 9, 3), rng)
    assert np.linalg.matrix_rank(X) == np.linalg.matrix_rank(Y) == 1
    x, y = lens_point(X, Y)
    assert (1 - y) ** 2 + x**2 == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(20))
def test_shared_or_disjoint_sets_lie_on_the_upper_side(seed):
    rng = np.random.default_rng(seed)
    x, y = lens_point(*families.shared_or_disjoint(*rng.integers(1, 9, 3), rng))
    assert y == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize("family", families.FAMILIES.values(), ids=families.FAMILIES)
def test_random_families_have_the_sizes_asked_for(family):
    rng = np.random.default_rng(0)
    for n, source_dim, target_dim in [(1, 1, 1), (1, 4, 2), (6, 1, 5), (3, 8, 8), (12, 3, 2)]:
        X, Y = family(n, source_dim, target_dim, rng)
        assert X.shape == (n, source_dim)
        assert Y.shape == (n, target_dim)
        assert X.dtype == Y.dtype == np.float64
        assert np.isfinite(X).all()
        assert np.isfinite(Y).all()


def test_shared_factors_are_rank_deficient():
    rng = np.random.default_rng(1)
    ranks = [np.linalg.matrix_rank(families.shared_factors(9, 6, 6, rng)[0]) for _ in range(30)]
    assert min(ranks) < 6


def test_the_same_seed_gives_the_same_pair():
    first, again = (families.random_pair(np.random.default_rng(5)) for _ in range(2))
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(first[2], again[2])


def test_random_pairs_fill_the_lens():
    """Cut the lens into 8 × 4 cells, by x and by height between the sides: no cell stays empty."""
    rng = np.random.default_rng(0)
    points = np.array(
        [
            lens_point(X, Y)
            for _, X, Y in (families.random_pair(rng) for _ in range(4000))
            if X.any() or Y.any()
        ]
    )
    x, y = np.clip(points, 0, 1).T
    bottom = 1 - np.sqrt(1 - x**2)
    inside = (x > 0.02) & (x < 0.98)
    height = (y - bottom)[inside] / (x - bottom)[inside]
    counts, *_ = np.histogram2d(x[inside], height, bins=(8, 4), range=((0.02, 0.98), (0, 1)))
    assert counts.min() >= 1


def test_procrustes_distance_agrees_with_matrix_square_roots():
    """Guard the arithmetic of these tests: p² = t − 2 tr (G^½ H G^½)^½, the Bures form."""
    X, Y = families.noisy_rotation(5, 3, 2, np.random.default_rng(2))
    root = scipy.linalg.sqrtm(X @ X.T).real
    fidelity = np.trace(scipy.linalg.sqrtm(root @ Y @ Y.T @ root).real)
    _, _, energy, squared = naive(X, Y)
    assert squared == pytest.approx(energy - 2 * fidelity, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_spectral_pairs_have_their_spectra_and_discrepancy(share):
    x, y = np.array([3.0, 1.0, 0.5, 0.0]), np.array([2.0, 2.0, 0.1, 0.4])
    x, y = np.sort(x), np.sort(y)
    least, most = np.sum((x**2 - y**2) ** 2), np.sum(x**4 + y**4)
    epsilon = np.sqrt(least + share * (most - least))
    X, Y = families.spectral(x, y, epsilon)
    assert naive(X, Y)[0] == pytest.approx(epsilon)
    for Z, lengths in ((X, x), (Y, y)):
        assert np.sort(np.linalg.svd(Z, compute_uv=False)) == pytest.approx(lengths, abs=1e-12)


@pytest.mark.parametrize("epsilon", [0.9, 2.7])
def test_spectra_that_allow_no_such_discrepancy_are_refused(epsilon):
    with pytest.raises(ValueError, match=r"expected 1 to 2\.64575"):
        families.spectral([1.0, 1.0], [np.sqrt(2), 1.0], epsilon)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (4, 2), (8, 4), (9, 4), (10, 4), (10, 5), (12, 5)])
def test_unit_rows_attain_the_papers_bound_at_one_discrepancy(n, d):
    X, Y = families.unit_extremal(n, d)
    assert X.shape == Y.shape == (n, d)
    for Z in (X, Y):
        assert np.linalg.norm(Z, axis=1) == pytest.approx(np.ones(n))
    discrepancy, _, energy, squared = naive(X, Y)
    assert discrepancy / n == pytest.approx(np.sqrt(2 / d))
    assert squared == pytest.approx(energy) == pytest.approx(np.sqrt(2 * d) * discrepancy)


@pytest.mark.parametrize(("n", "d"), [(3, 2), (3, 1), (7, 3)])
def test_points_that_cannot_be_split_are_refused(n, d):
    with pytest.raises(ValueError, match="choose n ≥ 2d"):
        families.unit_extremal(n, d)


@pytest.mark.parametrize("x", [0.0, 0.2, 0.7, 1.0])
def test_unit_rows_stand_everywhere_in_the_lens(x):
    for y in np.linspace(1 - np.sqrt(1 - x * x), x, 5):
        X, Y = families.unit_at(x, y)
        assert lens_point(X, Y) == pytest.approx((x, y), abs=1e-7)
        for Z in (X, Y):
            assert np.linalg.norm(Z, axis=1) == pytest.approx(np.ones(8))
    with pytest.raises(ValueError, match="outside the lens"):
        families.unit_at(0.5, 0.6)
