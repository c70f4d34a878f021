"""Posterior means in the plane."""

import numpy as np
import pytest

from vaebench.files import write_arrays
from vaebench.projections import Projections, project
from vaebench.store import ExperimentFolder

CENTRES = np.array([[4.0, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0]])


@pytest.fixture(scope="module")
def means() -> np.ndarray:
    """60 posterior means in three groups, one after the other, in four dimensions."""
    return (CENTRES.repeat(20, axis=0) + 0.3 * np.random.default_rng(0).normal(size=(60, 4))).astype(np.float32)


def test_components_are_those_of_the_covariance_around_the_priors_mean(means):
    eigenvalues, vectors = np.linalg.eigh(np.cov(means.T.astype(float)))
    expected = means @ vectors[:, [3, 2]]
    found = project(means)
    np.testing.assert_allclose(np.abs(found.components), np.abs(expected), rtol=1e-4, atol=1e-4)
    assert found.share == pytest.approx(eigenvalues[2:].sum() / eigenvalues.sum())


def test_two_dimensions_are_shown_as_they_are(means):
    found = project(means[:, :2])
    np.testing.assert_array_equal(found.components, means[:, :2])
    assert found.share is None
    one = project(means[:, :1])
    np.testing.assert_array_equal(one.components, np.column_stack([means[:, 0], np.zeros(60)]))


def test_neighbours_stay_neighbours(means):
    points = project(means).neighbours
    assert points.shape == (60, 2)
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag(np.full(60, np.inf))
    assert (distances.argmin(axis=1) // 20 == np.arange(60) // 20).all()


def test_the_same_means_give_the_same_bits(means):
    one, other = project(means), project(means.copy())
    assert one.components.tobytes() == other.components.tobytes()
    assert one.neighbours.tobytes() == other.neighbours.tobytes()


@pytest.mark.parametrize("spread", [0, 1e-7, 1e-30])
def test_a_collapsed_posterior_has_its_points_where_it_is(spread):
    means = (0.25 + spread * np.random.default_rng(0).normal(size=(40, 3))).astype(np.float32)
    found = project(means)
    assert np.isfinite(found.neighbours).all()
    # An orthogonal projection brings no point nearer to another one, and none farther from the prior's mean.
    assert np.linalg.norm(found.components, axis=1).max() <= 0.25 * np.sqrt(3) + 1e-5
    assert np.ptp(found.components, axis=0).max() <= 10 * spread + 1e-9


def test_a_run_is_projected_once(means, tmp_path):
    folder = ExperimentFolder(tmp_path)
    write_arrays(folder.run("a").latent, {"mean": means, "labels": np.arange(60) % 10})
    projections = Projections(folder)
    found = projections["a"]
    assert (found.labels == np.arange(60) % 10).all()
    folder.run("a").latent.unlink()
    assert projections["a"] is found
