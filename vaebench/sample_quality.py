"""How a set of generated images compares with a set of real ones, each image a point in a space of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Rows of distances that are in memory at a time.
BLOCK = 1000


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians with the means and covariances of two sets of points (Heusel et al. 2017).

    a: [N, F], b: [M, F], float64. ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½), in squared units of the features; 0 for
    equal moments. The trace of the root is the sum of the roots of the eigenvalues of Σ_a^½ Σ_b Σ_a^½, which is symmetric.
    """
    covariance_a, covariance_b = (np.cov(points, rowvar=False) for points in (a, b))
    variances, axes = np.linalg.eigh(covariance_a)
    root_a = (axes * np.sqrt(variances.clip(0))) @ axes.T
    shared = np.sqrt(np.linalg.eigvalsh(root_a @ covariance_b @ root_a).clip(0)).sum()
    apart = np.square(a.mean(0) - b.mean(0)).sum()
    # What rounding leaves of equal moments may be negative.
    return max(0.0, float(apart + np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared))


@dataclass(frozen=True)
class Manifold:
    """Balls around points: [N, F], radii [N] (Kynkäänniemi et al. 2019).

    The share of samples in the manifold of real images is their precision, that of real images in the manifold of samples
    their recall.
    """

    points: np.ndarray
    radii: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, n_neighbours: int) -> Manifold:
        """Each ball reaches to the point's nearest but n - 1 of the others; there are more than n points, float64."""
        from sklearn.neighbors import NearestNeighbors

        distances, _ = NearestNeighbors(n_neighbors=n_neighbours, algorithm="brute").fit(points).kneighbors()
        return cls(points, distances[:, -1])

    def has(self, others: np.ndarray) -> np.ndarray:
        """Which of other points [M, F] lie in a ball: bool [M]."""
        from sklearn.metrics import pairwise_distances

        starts = range(0, len(others), BLOCK)
        inside = [
            (pairwise_distances(others[start : start + BLOCK], self.points) <= self.radii).any(axis=1) for start in starts
        ]
        return np.concatenate(inside)

    def nearest(self, others: np.ndarray) -> np.ndarray:
        """Of other points [M, F] the index of the nearest point: [M]."""
        from sklearn.metrics import pairwise_distances_argmin

        return pairwise_distances_argmin(others, self.points)


def class_coverage(predicted: np.ndarray, n_classes: int) -> float:
    """Effective number of classes over the number of classes: 1 where all are equally frequent, 1/C where one is all.

    predicted: classes of images, int [N]. The effective number is exp(H), H the entropy of their frequencies in nats; with
    the classifier's probabilities in place of its decisions it is a part of the Inception score (Salimans et al. 2016).
    """
    shares = np.bincount(predicted, minlength=n_classes) / len(predicted)
    met = shares[shares > 0]
    return float(np.exp(-(met * np.log(met)).sum()) / n_classes)
