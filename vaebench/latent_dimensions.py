"""Latent dimensions one by one: their share of the rate, which are active, which have collapsed.

Arrays are float64, KLs in nats; N images, Z dimensions.
"""

from __future__ import annotations

import math

import numpy as np

from vaebench.scores import Scores

# A dimension is active where its posterior mean has a variance above this over the images (Burda et al. 2016).
ACTIVE_VARIANCE = 0.01
# A dimension is (ε, δ)-collapsed where its KL is below ε nats for a share 1 - δ of the images (Lucas et al. 2019).
COLLAPSE_EPSILON = 0.1
COLLAPSE_DELTA = 0.01

# What `dimensions` gives for every run, and for those with a known optimum.
DIMENSION_COLUMNS = ("dimension", "kl", "collapse_epsilon", "mean_variance", "posterior_variance")
OPTIMAL_COLUMNS = ("optimal_kl", "optimal_mean_variance", "optimal_posterior_variance", "eigenvalue_ratio")


def count_active(mean: np.ndarray, threshold: float = ACTIVE_VARIANCE) -> int:
    """Dimensions whose posterior mean has a variance above the threshold over the images: [N, Z] -> count.

    Population variance (ddof 0) over all images given.
    """
    return int((mean.var(axis=0) > threshold).sum())


def collapse_epsilons(kl: np.ndarray, delta: float = COLLAPSE_DELTA) -> np.ndarray:
    """For each dimension the KL that a share 1 - δ of the images does not exceed: [N, Z] -> [Z], in nats.

    The dimension is (ε, δ)-collapsed for every ε above it, and for no other.
    """
    n_images = len(kl)
    n_below = n_images - math.floor(delta * n_images + 1e-9)
    return np.sort(kl, axis=0)[n_below - 1]


def collapsed_dimensions(kl: np.ndarray) -> list[int]:
    """The indices of the (ε, δ)-collapsed dimensions: [N, Z] -> at most Z indices."""
    return np.flatnonzero(collapse_epsilons(kl) < COLLAPSE_EPSILON).tolist()


def collapse_verdict(n_collapsed: float, latent_size: int) -> str:
    """In a word: "none", "partial" or "full" of the latent dimensions are collapsed."""
    return "none" if n_collapsed == 0 else "full" if n_collapsed == latent_size else "partial"


def dimensions(scores: Scores) -> dict[str, np.ndarray]:
    """What is known of each latent dimension, the one with the largest KL first: name -> [Z].

    dimension: its index; kl: E KL(q(z_i|x)‖p(z_i)), which sum to the rate; collapse_epsilon: see `collapse_epsilons`;
    mean_variance: of the posterior mean over the images (ddof 0), which makes it active; posterior_variance: mean over the
    images. Of a linear VAE whose optimum is known, optimal_…: the same there; eigenvalue_ratio: λ_i / βσ².
    """
    kl = scores.kl.mean(axis=0)
    order = np.argsort(-kl, kind="stable")
    found = (
        np.arange(len(kl)),
        kl,
        collapse_epsilons(scores.kl),
        scores.mean.var(axis=0),
        scores.variance.mean(axis=0),
    )
    columns = {name: values[order] for name, values in zip(DIMENSION_COLUMNS, found, strict=True)}
    if scores.optimum is not None:
        ratio = scores.optimum.eigenvalues / (scores.kl_weight * scores.optimum.sigma**2)
        optimal = (scores.optimum.kl, scores.optimum.mean_variance, scores.optimum.posterior_variance, ratio)
        columns |= dict(zip(OPTIMAL_COLUMNS, optimal, strict=True))
    return columns
