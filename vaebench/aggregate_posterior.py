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
# Error in nats, by rounding, from which on squared distances are not multiplied out.
ROUNDING = 1e-6


def log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z) in nats: z [M, Z], the N posteriors' means and log-variances [N, Z], all float64 -> [M]."""
    precision = (-log_variance).exp()
    # Centred, so that what cancels is small.
    centre = mean.mean(0)
    z, mean = z - centre, mean - centre
    largest = torch.maximum(z.abs().amax(0), mean.abs().amax(0)).square() * precision.amax(0)
    distances = _multiplied_out if torch.finfo(z.dtype).eps * largest.sum() < ROUNDING else _one_by_one
    constant = log_variance.sum(-1) + mean.shape[1] * math.log(2 * math.pi)
    parts = [(-0.5 * (distances(rows, mean, precision) + constant)).logsumexp(1) for rows in _chunks(z, len(mean))]
    return torch.cat(parts) - math.log(len(mean))


def _multiplied_out(z: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """Σ_i (z_i - μ_i)² / σ_i² by two matrix products: [M, Z], [N, Z], [N, Z] -> [M, N]."""
    return z.square() @ precision.T - 2 * z @ (mean * precision).T + (mean.square() * precision).sum(-1)


def _one_by_one(z: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """The same, slower, and exact for posteriors that are narrow for their distance too."""
    columns = zip(z.T, mean.T, precision.T, strict=True)
    return sum((one.unsqueeze(1) - centre).square_().mul_(scale) for one, centre, scale in columns)


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
