"""Sets of points against each other: the Fréchet distance, manifolds of nearest neighbours, coverage of classes."""

import numpy as np
import pytest
from scipy import linalg, spatial, stats

from vaebench import sample_quality
from vaebench.sample_quality import Manifold, class_coverage, frechet_distance


def points(mean, covariance, n=50, seed=0):
    """n points with exactly this mean and covariance (ddof 1)."""
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    drawn = np.random.default_rng(seed).normal(size=(n, len(mean)))
    drawn -= drawn.mean(0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return mean + white @ np.linalg.cholesky(covariance).T


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_frechet_distance_of_gaussians_along_the_axes_is_known():
    # ‖μ_a − μ_b‖² + Σ (σ_a − σ_b)²
    a, b = points([0, 1, 2], np.diag([1, 4, 9])), points([3, 1, -2], np.diag([4, 4, 1]), n=80, seed=1)
    assert frechet_distance(a, b) == pytest.approx((9 + 0 + 16) + (1 + 0 + 4))


def test_the_frechet_distance_is_that_of_the_root_of_the_product(random):
    roots = random.normal(size=(2, 5, 5))
    covariances = [root @ root.T + 0.1 * np.eye(5) for root in roots]
    means = random.normal(size=(2, 5))
    expected = np.square(means[0] - means[1]).sum()
    expected += np.trace(sum(covariances) - 2 * linalg.sqrtm(covariances[0] @ covariances[1]).real)
    a, b = (
        points(mean, covariance, seed=seed) for seed, (mean, covariance) in enumerate(zip(means, covariances, strict=True))
    )
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


@pytest.mark.parametrize("n", [5, 200])  # fewer than features, so that no covariance has an inverse; and more
def test_a_set_is_at_distance_0_of_itself_and_moves_by_what_it_is_moved(random, n):
    a = random.normal(size=(n, 8))
    assert 0 <= frechet_distance(a, a) < 1e-6
    assert frechet_distance(a, a + np.array([3, 4, 0, 0, 0, 0, 0, 0])) == pytest.approx(25)


def test_a_single_point_repeated_is_as_far_as_the_others_spread():
    a = points([1, 0], [[4, 1], [1, 3]])
    assert frechet_distance(a, np.zeros((50, 2))) == pytest.approx(1 + 4 + 3)


def test_balls_reach_to_the_nth_nearest_of_the_others():
    manifold = Manifold.around(np.array([[0.0], [1], [3], [7]]), n_neighbours=2)
    np.testing.assert_allclose(manifold.radii, [3, 2, 3, 6])
    inside = manifold.has(np.array([[-3.1], [-2.99], [0.5], [12.99], [13.1]]))
    assert inside.tolist() == [False, True, True, True, False]


def test_membership_is_that_of_all_pairs_whatever_the_blocks(random, monkeypatch):
    real, others = random.normal(size=(40, 3)), 1.5 * random.normal(size=(31, 3))
    monkeypatch.setattr(sample_quality, "BLOCK", 7)
    manifold = Manifold.around(real, 3)
    radii = np.sort(spatial.distance.cdist(real, real), axis=1)[:, 3]
    distances = spatial.distance.cdist(others, real)
    expected = [any(distances[i, j] <= radii[j] for j in range(40)) for i in range(31)]
    assert 0 < sum(expected) < 31
    assert manifold.has(others).tolist() == expected
    assert manifold.nearest(others).tolist() == distances.argmin(1).tolist()


def test_precision_and_recall_of_identical_sets_are_1_and_of_distant_ones_0(random):
    real = random.normal(size=(60, 4))
    assert Manifold.around(real, 3).has(real).all()
    assert not Manifold.around(real, 3).has(real + 100).any()


@pytest.mark.parametrize(
    ("predicted", "expected"), [([2, 2, 2], 1 / 4), ([0, 3, 0, 3], 2 / 4), ([0, 1, 2, 3], 1), ([1, 1, 1, 2], None)]
)
def test_class_coverage_is_the_effective_share_of_classes(predicted, expected):
    if expected is None:
        expected = np.exp(stats.entropy([3, 1])) / 4
    assert class_coverage(np.array(predicted), 4) == pytest.approx(expected)
