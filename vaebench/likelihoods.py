"""Likelihoods p(x|z): what the decoder's outputs mean.

A likelihood turns the decoder's outputs `parameters: [..., P]`, P = D · outputs_per_pixel + shared_outputs, into
log-probabilities of images `x: [..., D] in [0, 1]`, whose values are the levels 0 … n_levels - 1 divided by n_levels - 1;
in nats, summed over pixels. Log-probabilities of likelihoods with different base measures (a density, a mass) are in
different units: `measure` says which, and only equal measures on the same data are ever ranked against each other. The one
currency of all models of grey pixels is `log_mass`, the probability of the levels themselves (`vaebench.levels`).

torch is imported where it is used, so that an experiment file can be checked without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from vaebench.registry import Registry, require

if TYPE_CHECKING:
    from torch import Generator, Tensor

LIKELIHOODS = Registry("likelihood")

Measure = Literal["mass", "density"]

# The spread that a decoder's output of 0 stands for, so that training starts near it; evenly spread pixels have 0.29.
START = 0.25


class Likelihood:
    """The conditional distribution of an image given the decoder's outputs, independent over pixels."""

    outputs_per_pixel: int = 1
    # Outputs that are the same for all images and pixels; they stand behind the pixels' own.
    shared_outputs: ClassVar[int] = 0
    # Whether the shared outputs are set in closed form after each epoch, by `fit`, and not learned by gradients.
    is_fitted: ClassVar[bool] = False
    measure: ClassVar[Measure]
    support: ClassVar[str]
    binary_support: ClassVar[bool] = False

    def log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        """log p(x|z) in nats per image: [..., P], [..., D] -> [...]."""
        raise NotImplementedError

    def mean(self, parameters: Tensor) -> Tensor:
        """E[x|z]: [..., P] -> [..., D]."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, n_levels: int, generator: Generator) -> Tensor:
        """One draw of x given z: [..., P] -> [..., D]."""
        raise NotImplementedError

    def log_mass(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor | None:
        """The log-probability of an image's levels in nats: [...]; None where the likelihood gives levels none."""
        is_mass = self.measure == "mass" and self.is_normalised_on(n_levels)
        return self.log_prob(parameters, x, n_levels) if is_mass else None

    def batch_log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        """What training uses for log_prob, where that may look at the whole batch: [..., B, P], [..., B, D] -> [..., B]."""
        return self.log_prob(parameters, x, n_levels)

    def fit_statistic(self, parameters: Tensor, x: Tensor) -> Tensor:
        """By image, what the shared outputs are fitted to: [..., P], [..., D] -> [...]."""
        raise NotImplementedError

    def fit(self, statistic: Tensor) -> Tensor:
        """The best shared outputs for a mean of `fit_statistic` over training images: [...] -> [..., shared_outputs]."""
        raise NotImplementedError

    def standard_deviation(self, parameters: Tensor) -> Tensor | None:
        """σ of Gaussian pixels: [..., D] or [..., 1]; None for others."""
        return None

    def is_at_bound(self, parameters: Tensor) -> Tensor | None:
        """Whether a learned spread is within 1 % of its lower bound: [..., n]; None where nothing has a bound."""
        return None

    def is_normalised_on(self, n_levels: int) -> bool:
        """Whether log_prob is a log-probability of data with so many grey levels (2: binary)."""
        return not self.binary_support or n_levels == 2


@LIKELIHOODS.register
@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent Bernoulli pixels, parameters are logits: the negative log-probability is the binary cross-entropy.

    A probability mass on {0, 1}. On grey pixels the same formula is often used as a loss; there it is not normalised.
    """

    kind: Literal["bernoulli"] = "bernoulli"
    measure = "mass"
    support = "{0, 1}"
    binary_support = True

    def log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        from vaebench.levels import bernoulli_log_mass

        return bernoulli_log_mass(parameters, x)

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters.sigmoid()

    def sample(self, parameters: Tensor, n_levels: int, generator: Generator) -> Tensor:
        return self.mean(parameters).bernoulli(generator=generator)


class _GaussianPixels(Likelihood):
    """What the Gaussian likelihoods share; they differ in where mean and log σ come from."""

    measure = "density"
    support = "reals"

    def mean_and_log_sigma(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """[..., P] -> the means [..., D], and log σ [..., D] or [..., 1]."""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        mean, log_sigma = self.mean_and_log_sigma(parameters)
        return gaussian_log_density((x - mean).square(), log_sigma)

    def log_mass(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        from vaebench.levels import gaussian_log_mass

        mean, log_sigma = self.mean_and_log_sigma(parameters)
        return gaussian_log_mass(mean, log_sigma.double().exp(), x, n_levels).sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        return self.mean_and_log_sigma(parameters)[0]

    def standard_deviation(self, parameters: Tensor) -> Tensor:
        return self.mean_and_log_sigma(parameters)[1].exp()

    def sample(self, parameters: Tensor, n_levels: int, generator: Generator) -> Tensor:
        mean = self.mean(parameters)
        return mean + self.standard_deviation(parameters) * mean.new_empty(mean.shape).normal_(generator=generator)


class _BoundedGaussianPixels(_GaussianPixels):
    """σ has a lower bound: without one, the density of a pixel that never changes would grow without end."""

    min_sigma: float

    def __post_init__(self):
        _require_spread("min_sigma", self.min_sigma)

    def is_at_bound(self, parameters: Tensor) -> Tensor:
        return self.standard_deviation(parameters) <= 1.01 * self.min_sigma


@LIKELIHOODS.register
@dataclass(frozen=True)
class Gaussian(_GaussianPixels):
    """Independent Gaussian pixels with one fixed standard deviation, parameters are means.

    log p = -‖x - mean‖² / 2σ² - D log(σ √2π): the squared error with its ½ and its normaliser, a density on the reals.
    σ² = ½ is the plain "sum of squared errors". With weight β the optimum depends on βσ² alone.
    """

    kind: Literal["gaussian"] = "gaussian"
    sigma: float = 0.5

    def __post_init__(self):
        require(self.sigma > 0, "sigma", self.sigma, "above 0")

    def mean_and_log_sigma(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return parameters, parameters.new_full((1,), math.log(self.sigma))


@LIKELIHOODS.register
@dataclass(frozen=True)
class GaussianLearned(_BoundedGaussianPixels):
    """Independent Gaussian pixels with one standard deviation, learned together with the network (Lucas et al. 2019).

    log σ has the smooth lower bound log `min_sigma`. A density on the reals.
    """

    kind: Literal["gaussian-learned"] = "gaussian-learned"
    min_sigma: float = 0.01
    shared_outputs = 1

    def mean_and_log_sigma(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return parameters[..., :-1], bounded_log_spread(parameters[..., -1:], self.min_sigma)


@LIKELIHOODS.register
@dataclass(frozen=True)
class GaussianPerPixel(_BoundedGaussianPixels):
    """Independent Gaussian pixels; the decoder gives each its mean and its standard deviation.

    log σ has the smooth lower bound log `min_sigma`. A density on the reals.
    """

    kind: Literal["gaussian-per-pixel"] = "gaussian-per-pixel"
    min_sigma: float = 0.01
    outputs_per_pixel = 2

    def mean_and_log_sigma(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = parameters.chunk(2, dim=-1)
        return mean, bounded_log_spread(spread, self.min_sigma)


@LIKELIHOODS.register
@dataclass(frozen=True)
class GaussianOptimal(_BoundedGaussianPixels):
    """Independent Gaussian pixels with the one standard deviation that is best in closed form: σ² is the mean squared error
    (Rybkin et al. 2021), of the batch while training, and of the training images, after each epoch, for all scores.

    σ is not set below `min_sigma`. A density on the reals.
    """

    kind: Literal["gaussian-optimal"] = "gaussian-optimal"
    min_sigma: float = 0.01
    shared_outputs = 1
    is_fitted = True

    def mean_and_log_sigma(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return parameters[..., :-1], parameters[..., -1:]

    def batch_log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        squared_error = (x - self.mean(parameters)).square()
        # At the optimum the derivative with respect to σ is 0, so no gradient has to pass through it.
        mean = squared_error.detach().mean(-1).mean(-1, keepdim=True)
        return gaussian_log_density(squared_error, self.fit(mean))

    def fit_statistic(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - self.mean(parameters)).square().mean(-1)

    def fit(self, statistic: Tensor) -> Tensor:
        return (0.5 * statistic.log()).clamp(min=math.log(self.min_sigma)).unsqueeze(-1)


@LIKELIHOODS.register
@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """Independent continuous Bernoulli pixels, parameters are logits (Loaiza-Ganem & Cunningham 2019): the binary
    cross-entropy with the normaliser that makes it a density on [0, 1].

    log p = ηx - log((e^η - 1) / η), exact for every logit η.
    """

    kind: Literal["continuous-bernoulli"] = "continuous-bernoulli"
    measure = "density"
    support = "[0, 1]"

    def log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        from vaebench.levels import log_mean_exp_power

        return (parameters * x - log_mean_exp_power(parameters)).sum(-1)

    def log_mass(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        from vaebench.levels import continuous_bernoulli_log_mass

        return continuous_bernoulli_log_mass(parameters, x, n_levels).sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        from vaebench.levels import continuous_bernoulli_mean

        return continuous_bernoulli_mean(parameters)

    def sample(self, parameters: Tensor, n_levels: int, generator: Generator) -> Tensor:
        from vaebench.levels import continuous_bernoulli_quantile

        return continuous_bernoulli_quantile(parameters, _uniform(parameters, generator))


class _Logistics(Likelihood):
    """Mixtures of discretised logistic distributions; outputs are weights (for two or more), means and log-scales."""

    measure = "mass"
    support = "grey levels"
    n_components: int
    min_scale: float

    def components(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., P] -> log-weights, means and log-scales, each [..., M, D]."""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, x: Tensor, n_levels: int) -> Tensor:
        from vaebench.levels import logistic_log_mass

        log_weight, mean, log_scale = self.components(parameters)
        log_mass = logistic_log_mass(mean, log_scale, x.unsqueeze(-2), n_levels)
        return (log_weight + log_mass).logsumexp(-2).sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        from vaebench.levels import censored_logistic_mean

        log_weight, mean, log_scale = self.components(parameters)
        return (log_weight.exp() * censored_logistic_mean(mean, log_scale)).sum(-2)

    def sample(self, parameters: Tensor, n_levels: int, generator: Generator) -> Tensor:
        log_weight, mean, log_scale = self.components(parameters)
        # The component whose share of [0, 1] holds a uniform number.
        share = _uniform(mean[..., 0, :], generator).unsqueeze(-2)
        chosen = (log_weight.exp().cumsum(-2) < share).sum(-2, keepdim=True).clamp(max=mean.shape[-2] - 1)
        mean, log_scale = (values.gather(-2, chosen).squeeze(-2) for values in (mean, log_scale))
        drawn = mean + log_scale.exp() * _uniform(mean, generator).logit(eps=1e-7)
        return (drawn.clamp(0, 1) * (n_levels - 1)).round() / (n_levels - 1)

    def is_at_bound(self, parameters: Tensor) -> Tensor:
        return self.components(parameters)[2].flatten(-2).exp() <= 1.01 * self.min_scale


@LIKELIHOODS.register
@dataclass(frozen=True)
class DiscretisedLogistic(_Logistics):
    """Independent pixels; the decoder gives each the mean and the scale of a logistic distribution, whose differences give
    each grey level its probability (Kingma et al. 2016).

    log s has the smooth lower bound log `min_scale`. A mass on the data's own grey levels.
    """

    kind: Literal["discretised-logistic"] = "discretised-logistic"
    min_scale: float = 0.001
    outputs_per_pixel = 2

    def __post_init__(self):
        _require_spread("min_scale", self.min_scale)

    def components(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, spread = parameters.unflatten(-1, (2, -1)).chunk(2, dim=-2)
        return mean.new_zeros(1, 1), mean, bounded_log_spread(spread, self.min_scale)


@LIKELIHOODS.register
@dataclass(frozen=True)
class LogisticMixture(_Logistics):
    """Independent pixels; the decoder gives each a mixture of `components` discretised logistic distributions (Salimans et
    al. 2017).

    Their log-scales have the smooth lower bound log `min_scale`. A mass on the data's own grey levels.
    """

    kind: Literal["logistic-mixture"] = "logistic-mixture"
    n_components: int = 3
    min_scale: float = 0.001

    def __post_init__(self):
        # Beyond 256 there would be more components than levels that pixels commonly have.
        require(2 <= self.n_components <= 256, "n_components", self.n_components, "between 2 and 256")
        _require_spread("min_scale", self.min_scale)

    @property
    def outputs_per_pixel(self) -> int:
        return 3 * self.n_components

    def components(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        import torch

        logit, mean, spread = parameters.unflatten(-1, (3 * self.n_components, -1)).chunk(3, dim=-2)
        # The components start at places spread over [0, 1], or all would learn the same.
        places = (torch.arange(self.n_components, device=mean.device) + 0.5) / self.n_components
        return logit.log_softmax(-2), mean + places.unsqueeze(-1), bounded_log_spread(spread, self.min_scale)


def gaussian_log_density(squared_error: Tensor, log_sigma: Tensor) -> Tensor:
    """log N(x; mean, σ²) of each image in nats: squared errors [..., D], log σ [..., D] or [..., 1] -> [...]."""
    n_pixels = squared_error.shape[-1]
    n_sharing = n_pixels // log_sigma.shape[-1]
    if n_sharing > 1:
        squared_error = squared_error.sum(-1, keepdim=True)
    log_density = -0.5 * squared_error * (-2 * log_sigma).exp() - n_sharing * log_sigma
    return log_density.sum(-1) - 0.5 * math.log(2 * math.pi) * n_pixels


def bounded_log_spread(output: Tensor, minimum: float) -> Tensor:
    """A decoder's output as the logarithm of a spread: smooth, above log `minimum`, and log START at 0."""
    from torch.nn.functional import softplus

    # softplus(offset) = log(START / minimum).
    offset = math.log(START / minimum - 1)
    return softplus(output + offset) + math.log(minimum)


def _require_spread(setting: str, value: float) -> None:
    require(0 < value < START, setting, value, f"above 0 and below {START}")


def _uniform(like: Tensor, generator: Generator) -> Tensor:
    return like.new_empty(like.shape).uniform_(generator=generator)
