"""What evaluation measures of a run, image by image: all that metrics are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaebench.linear_optimum import LinearOptimum

# Of the K samples an image so many are scored as grey levels too, which takes longer than all else.
LEVEL_SAMPLES = 16
# Validation images at most that the common σ is fitted to, and samples at most that the total correlation is a mean of.
SIGMA_IMAGES = 2000
CORRELATION_SAMPLES = 2000


@dataclass(frozen=True)
class Scores:
    """A run on N images of D pixels, with Z latent dimensions and K samples of z an image; float64, in nats.

    Where a model has classes y too (`vaebench.m2`), log-likelihoods and KLs are expected ones over q(y|x), importance
    weights are sums over y, and posteriors are those of the most probable class.
    """

    rate: np.ndarray  # [N] KL(q(z|x)‖p(z)), closed form; with KL(q(y|x)‖p(y)) where there are classes
    distortion: np.ndarray  # [N] -log p(x|z), mean over the samples of z
    nll: np.ndarray  # [N] -log (1/K Σ_k w_k), w_k = p(x|z_k) p(z_k) / q(z_k|x)
    effective_samples: np.ndarray  # [N] (Σ_k w_k)² / Σ_k w_k², between 1 and K
    kl: np.ndarray  # [N, Z] KL(q(z_i|x)‖p(z_i)), closed form
    mean: np.ndarray  # [N, Z] of q(z|x)
    variance: np.ndarray  # [N, Z] of q(z|x)
    log_ratio: np.ndarray | None  # [N] log q(z|x) / q(z) at one z ~ q(z|x), q(z) the mixture of all N posteriors
    correlation: np.ndarray | None  # [M] log q(z) / Π_i q(z_i) at M of these z
    permuted_distortion: np.ndarray | None  # [N] distortion at another image's z, minus that at its own
    squared_error: np.ndarray  # [N] mean over pixels, of the mean image at the posterior mean of z
    psnr: np.ndarray  # [N] of the same, in dB
    n_pixels: int
    kl_weight: float  # at the end of training
    ssim: np.ndarray | None = None  # [N] of the same; None for images smaller than its window
    level_distortion: np.ndarray | None = None  # [N] -log P(the image's levels|z) under the run's likelihood
    common_level_distortion: np.ndarray | None = None  # [N] the same under the common one
    common_sigma: float | None = None
    decoder_variance: float | None = None  # σ², mean over pixels, images and samples
    share_at_bound: float | None = None  # of the decoder's learned spreads
    optimum: LinearOptimum | None = None
    class_probabilities: np.ndarray | None = None  # [N, C] q(y|x)
    labels: np.ndarray | None = None  # uint8 [N], where there are classes
