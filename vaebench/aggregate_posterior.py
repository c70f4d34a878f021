"""The aggregate posterior q(z) = 1/N Σ_n q(z|x_n), the mixture of all images' posteriors (Hoffman & Johnson 2016).

The mixture is always that of all N images: that of a batch cannot tell more than ln (batch size) nats apart. It is
evaluated in chunks of rows, in float64, so that memory grows with N and not with N².
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Writes the exponents [rows, N] of the points z [rows, ...] under each image's posterior to their place.
_Exponents = Callable[[Tensor, Tensor], object]

# Numbers held at a time in one [rows, N] block of log-densities: 4 MiB, near the processor's cache.
BLOCK = 2**19
# Error in nats, by rounding, from which on squared distances are not multiplied out.
ROUNDING = 1e-8


def log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z) in nats: z [M, Z], the N posteriors' means and log-variances [N, Z], all float64 -> [M]."""
    precision = (-log_variance).exp()
    # Centred, so that what cancels is small.
    centre = mean.mean(0)
    z, mean = z - centre, mean - centre
    largest = torch.maximum(z.abs().amax(0), mean.abs().amax(0)).square() * precision.amax(0)
    exponents = _multiplied_out if torch.finfo(z.dtype).eps * largest.sum() < ROUNDING else _one_by_one
    constant = log_variance.sum(-1) + mean.shape[1] * math.log(2 * math.pi)
    return _log_mean_exp(z, len(mean), exponents(mean, precision, constant))


def _multiplied_out(mean: Tensor, precision: Tensor, constant: Tensor) -> _Exponents:
    """-½ (Σ_i (z_i - μ_i)² / σ_i² + constant) as one matrix product."""
    square = (mean.square() * precision).sum(1) + constant
    factors = torch.cat([-0.5 * precision, mean * precision, -0.5 * square.unsqueeze(1)], dim=1).T
    return lambda z, out: torch.mm(torch.cat([z.square(), z, torch.ones_like(z[:, :1])], dim=1), factors, out=out)


def _one_by_one(mean: Tensor, precision: Tensor, constant: Tensor) -> _Exponents:
    """The same, slower, and exact for posteriors that are narrow for their distance too."""

    def exponents(z: Tensor, out: Tensor) -> None:
        out.copy_(constant.expand_as(out))
        for column, centre, scale in zip(z.T, mean.T, precision.T, strict=True):
            out.add_((column.unsqueeze(1) - centre).square_().mul_(scale))
        out.mul_(-0.5)

    return exponents


def log_marginal_densities(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z_i) of each dimension for itself, in nats: z [M, Z], means and log-variances [N, Z], float64 -> [M, Z]."""
    columns = zip(z.T, mean.T, log_variance.T, strict=True)
    return torch.stack([_log_density_of_one(*column) for column in columns], dim=1)


def _log_density_of_one(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The log-density of a mixture of N normal distributions at M points: [M], [N], [N] -> [M]."""
    precision, constant = (-log_variance).exp(), log_variance + math.log(2 * math.pi)

    def exponents(z: Tensor, out: Tensor) -> None:
        torch.sub(z, mean, out=out).square_().mul_(precision).add_(constant).mul_(-0.5)

    return _log_mean_exp(z.unsqueeze(1), len(mean), exponents)


def _log_mean_exp(z: Tensor, n_images: int, exponents: _Exponents) -> Tensor:
    """log 1/N Σ_n exp(exponent of z under image n): z [M, ...] -> [M].

    All blocks are worked out in one place: an allocation of its own for each leaves holes that the next cannot use.
    """
    rows = max(1, BLOCK // n_images)
    block, result = z.new_empty(min(rows, len(z)), n_images), z.new_empty(len(z))
    for part, log_sum in zip(z.split(rows), result.split(rows), strict=True):
        log_q = block[: len(part)]
        exponents(part, log_q)
        largest = log_q.amax(1, keepdim=True)
        torch.log(log_q.sub_(largest).exp_().sum(1), out=log_sum).add_(largest.squeeze(1))
    return result - math.log(n_images)
