"""The aggregate posterior q(z) = 1/N Σ_n q(z|x_n), the mixture of all images' posteriors (Hoffman & Johnson 2016).

The mixture is always that of all N images: that of a batch cannot tell more than ln (batch size) nats apart. It is
evaluated in chunks of rows, in float64, so that memory grows with N and not with N².
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Numbers held at a time in one [rows, N] block of log-densities.
BLOCK = 2**22


def log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z) in nats: z [M, Z], the N posteriors' means and log-variances [N, Z], all float64 -> [M]."""
    precision = (-log_variance).exp()
    # Σ_i (z_i - μ_i)² / σ_i², multiplied out: two matrix products. Centred, so that what cancels is small.
    centre = mean.mean(0)
    z, mean = z - centre, mean - centre
    constant = (mean.square() * precision + log_variance).sum(-1) + mean.shape[1] * math.log(2 * math.pi)
    parts = []
    for rows in _chunks(z, len(mean)):
        log_q = -0.5 * (rows.square() @ precision.T - 2 * rows @ (mean * precision).T + constant)
        parts.append(log_q.logsumexp(1))
    return torch.cat(parts) - math.log(len(mean))


def log_marginal_densities(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z_i) of each dimension for itself, in nats: z [M, Z], means and log-variances [N, Z], float64 -> [M, Z]."""
    parts = [
        torch.stack([_log_mixture(*columns) for columns in zip(rows.T, mean.T, log_variance.T, strict=True)], dim=1)
        for rows in _chunks(z, len(mean))
    ]
    return torch.cat(parts)


def _log_mixture(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The log-density of a mixture of N normal distributions at M points: [M], [N], [N] -> [M]."""
    log_q = (z.unsqueeze(1) - mean).square_().mul_((-log_variance).exp()).add_(log_variance).mul_(-0.5)
    return log_q.logsumexp(1) - 0.5 * math.log(2 * math.pi) - math.log(len(mean))


def _chunks(z: Tensor, n_images: int) -> tuple[Tensor, ...]:
    return z.split(max(1, BLOCK // n_images))
