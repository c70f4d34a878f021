"""The optimum of a linear VAE with Gaussian pixels, in closed form: the measuring stick for everything else.

With decoder x = Wz + b + N(0, σ²I), data covariance eigenvalues λ_1 >= λ_2 >= … and weight β, the objective is that of
probabilistic PCA with noise s = βσ² (Tipping & Bishop 1999; Lucas et al. 2019): the dimensions with λ_i > s are active, and
each finds one principal axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Relative distance of an eigenvalue from βσ² below which it is left open whether its dimension is active.
BOUNDARY = 0.02


@dataclass(frozen=True)
class LinearOptimum:
    """Latent dimensions in the order of their eigenvalues, inactive ones last; nats per image, float64."""

    sigma: float
    eigenvalues: np.ndarray  # [Z], those that the dimensions can find, 0 beyond D
    kl: np.ndarray  # [Z] ½ ln(λ_i / s), 0 where inactive
    mean_variance: np.ndarray  # [Z] Var(μ_i) = 1 - s / λ_i
    posterior_variance: np.ndarray  # [Z] s / λ_i, 1 where inactive
    distortion: float  # -E log p(x|z)

    @property
    def n_active(self) -> int:
        return int((self.kl > 0).sum())

    @property
    def elbo(self) -> float:
        """At weight 1, whatever weight was trained with; log p(x) where that weight was 1."""
        return -(self.distortion + float(self.kl.sum()))


def linear_optimum(
    covariance: np.ndarray, latent_size: int, weight: float, sigma: float | None, min_sigma: float = 0.0
) -> LinearOptimum:
    """covariance: [D, D] of the pixels, ddof 0; weight: β; sigma: None where σ is learned, β then at most 1, and σ at least
    `min_sigma`; without that bound, there is no optimum where so many dimensions can take up all variance."""
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1].clip(min=0)
    found = np.pad(eigenvalues, (0, latent_size))[:latent_size]
    sigma = max(_best_sigma(eigenvalues, latent_size, weight), min_sigma) if sigma is None else sigma
    noise = weight * sigma**2
    ratio = np.maximum(found / noise, 1)
    is_active = ratio > 1
    # An active axis leaves an error of s, another one all of its variance.
    squared_error = is_active.sum() * noise + eigenvalues[is_active.sum() :].sum()
    log_normaliser = 0.5 * len(eigenvalues) * math.log(2 * math.pi * sigma**2)
    return LinearOptimum(
        sigma=sigma,
        eigenvalues=found,
        kl=0.5 * np.log(ratio),
        mean_variance=1 - 1 / ratio,
        posterior_variance=1 / ratio,
        distortion=float(squared_error / (2 * sigma**2) + log_normaliser),
    )


def _best_sigma(eigenvalues: np.ndarray, latent_size: int, weight: float) -> float:
    """With q active axes, σ² = Σ_{i > q} λ_i / (D - βq): at β = 1 the mean of the discarded eigenvalues.

    The objective falls with σ² down to there and rises below it, so that a bound above it is the optimum itself.
    """
    # At β = 1 a D-th axis changes nothing: with it, the objective is the same for every σ² below λ_D.
    most = min(latent_size, len(eigenvalues) - (weight == 1))
    for n_active in range(most, -1, -1):
        variance = eigenvalues[n_active:].sum() / (len(eigenvalues) - weight * n_active)
        if n_active == 0 or eigenvalues[n_active - 1] > weight * variance:
            return math.sqrt(variance)
    raise AssertionError
