"""The probability of pixels' levels, under the Bernoulli distribution and under continuous ones.

Under a continuous distribution it is a difference of the cumulative distribution function: level k of n_levels stands for
the pixel value x = k / (n_levels - 1) and owns the values nearer to it than to its neighbours; the first and the last level
own all that lies beyond them. So the probabilities of all levels sum to 1. Every function is exact in both tails and at any
spread: none subtracts two numbers close to 1 or takes the logarithm of 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

SQRT_2 = math.sqrt(2)
# From here on the two-term expansion of erfcx is exact to 1e-7 relative; erfc itself underflows at 26.
FAR = 20.0
# A larger σ counts as this one, or the share of a level between the ends would be lost in rounding.
WIDEST = 1e6


def half_step(n_levels: int) -> float:
    """Half the distance between two levels, in pixel values."""
    return 0.5 / (n_levels - 1)


def bernoulli_log_mass(logits: Tensor, x: Tensor) -> Tensor:
    """Σ x log σ(η) + (1 - x) log(1 - σ(η)) over pixels, logits η and x in [0, 1]: both [..., D] -> [...], in nats."""
    return _BernoulliLogMass.apply(*torch.broadcast_tensors(logits, x))


class _BernoulliLogMass(torch.autograd.Function):
    """xη - max(η, 0) + log max(σ(η), σ(-η)), with one sigmoid for value and gradient.

    The last term lies in [-log 2, 0], so its exponentials can be multiplied over groups of pixels, and only the groups'
    products need a logarithm.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, x: Tensor) -> Tensor:
        mean = logits.sigmoid()
        work = torch.rsub(mean, 1)
        torch.maximum(work, mean, out=work)
        products = work.unflatten(-1, (-1, _group_size(logits.shape[-1]))).prod(-1)
        log_prob = products.log_().sum(-1) - torch.clamp(logits, min=0, out=work).sum(-1)
        log_prob += torch.mul(logits, x, out=work).sum(-1)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(torch.sub(x, mean, out=mean))
        return log_prob

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        [difference] = ctx.saved_tensors
        return gradient.unsqueeze(-1) * difference, None


def _group_size(n_pixels: int) -> int:
    """The largest divisor of n_pixels up to 100: a product of so many numbers above ½ is far from float32's smallest."""
    return max(size for size in range(1, 101) if n_pixels % size == 0)


def gaussian_log_mass(mean: Tensor, sigma: Tensor, x: Tensor, n_levels: int) -> Tensor:
    """log P(level x) under N(mean, σ²), pixel by pixel, in nats: float64 of the arguments' common shape; not under vmap."""
    half = half_step(n_levels)
    unit = SQRT_2 * sigma.double().clamp(max=WIDEST)
    distance = x.double() - mean
    is_first, is_last = x <= 0, x >= 1
    outward = torch.where(is_first, -distance, torch.where(is_last, distance, distance.abs()))
    near = (outward - half) / unit
    far = torch.where(is_first | is_last, math.inf, (outward + half) / unit)
    log_mass = (0.5 * (near.erfc() - far.erfc())).log()
    is_far = near > FAR
    if is_far.any():
        log_mass = torch.where(is_far, _far_log_mass(near.clamp(min=FAR), far.clamp(min=FAR)), log_mass)
    return log_mass


def _far_log_mass(near: Tensor, far: Tensor) -> Tensor:
    """log ½(erfc(near) - erfc(far)) for FAR <= near < far, where both underflow."""
    ratio = ((near - far) * (near + far) + _log_erfcx(far) - _log_erfcx(near)).exp()
    return -near.square() + _log_erfcx(near) + torch.log1p(-ratio) - math.log(2)


def _log_erfcx(x: Tensor) -> Tensor:
    """log(exp(x²) erfc(x)) for x >= FAR."""
    inverse = x.square().reciprocal()
    return -(math.sqrt(math.pi) * x).log() + torch.log1p((0.75 * inverse - 0.5) * inverse)


def logistic_log_mass(mean: Tensor, log_scale: Tensor, x: Tensor, n_levels: int) -> Tensor:
    """log P(level x) under a logistic distribution, pixel by pixel, in nats (Salimans et al. 2017).

    With a and b the standardised ends of the level's interval, σ(b) - σ(a) = σ(-a) σ(b) (1 - exp(a - b)).
    """
    half = half_step(n_levels)
    precision = (-log_scale).exp()
    below = logsigmoid(-(x - half - mean) * precision)
    above = logsigmoid((x + half - mean) * precision)
    width = 2 * half * precision
    between = math.log(2 * half) - log_scale + log_mean_exp(width)
    is_first, is_last = x <= 0, x >= 1
    return (
        torch.where(is_first, 0.0, below) + torch.where(is_last, 0.0, above) + torch.where(is_first | is_last, 0.0, between)
    )


def censored_logistic_mean(mean: Tensor, log_scale: Tensor) -> Tensor:
    """E[min(max(y, 0), 1)] for y logistic, pixel by pixel.

    Rounding y to levels adds less than 6 % of a level for scales above a quarter of one, and never more than half a level.
    """
    precision = (-log_scale.double()).exp().clamp(min=1e-6)
    return ((softplus(mean * precision) - softplus((mean - 1) * precision)) / precision).to(mean.dtype)


def log_mean_exp(a: Tensor) -> Tensor:
    """log ∫₀¹ exp(-a t) dt = log((1 - exp(-a)) / a) for a >= 0; 0 at a = 0."""
    is_small = a < 1e-2
    safe = torch.where(is_small, 1.0, a)
    series = a * (a / 24 - 0.5)
    return torch.where(is_small, series, (-torch.expm1(-safe) / safe).log())


def log_mean_exp_power(eta: Tensor) -> Tensor:
    """log ∫₀¹ exp(ηt) dt for any η: the log-normaliser of the continuous Bernoulli with logit η, even about η / 2."""
    size = eta.abs()
    return 0.5 * (eta + size) + log_mean_exp(size)


def continuous_bernoulli_log_mass(eta: Tensor, x: Tensor, n_levels: int) -> Tensor:
    """log P(level x) under the continuous Bernoulli with logit η on [0, 1], pixel by pixel, in nats: float64."""
    half = half_step(n_levels)
    eta, x = eta.double(), x.double()
    start, end = (x - half).clamp(min=0), (x + half).clamp(max=1)
    width = end - start
    return eta * start + width.log() + log_mean_exp_power(eta * width) - log_mean_exp_power(eta)


def continuous_bernoulli_mean(eta: Tensor) -> Tensor:
    """E[x]: the derivative of the log-normaliser, ½ + ½ coth(η/2) - 1/η."""
    is_small = eta.abs() < 0.5
    safe = torch.where(is_small, 1.0, eta)
    square = eta.square()
    series = eta * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
    return 0.5 + torch.where(is_small, series, 0.5 / torch.tanh(safe / 2) - 1 / safe)


def continuous_bernoulli_quantile(eta: Tensor, share: Tensor) -> Tensor:
    """The inverse of its cumulative distribution function at `share` in [0, 1)."""
    size = eta.abs()
    is_small = size < 1e-3
    safe = torch.where(is_small, 1.0, size)
    # For a negative logit; a positive one is its mirror image.
    falling = -torch.log1p(share * torch.expm1(-safe)) / safe
    falling = torch.where(is_small, share, falling)
    return torch.where(eta > 0, 1 - falling, falling)
