"""Likelihoods p(x|z): what the decoder's outputs mean.

A likelihood turns the decoder's outputs `parameters: [..., D * outputs_per_pixel]` into log-probabilities of images
`x: [..., D] in [0, 1]`, in nats. Log-probabilities of likelihoods with different base measures (a density, a mass) are in
different units: `measure` says which, and only equal measures on the same data are ever ranked against each other.

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


class Likelihood:
    """The conditional distribution of an image given the decoder's outputs, independent over pixels."""

    outputs_per_pixel: ClassVar[int] = 1
    measure: ClassVar[Measure]
    support: ClassVar[str]
    binary_support: ClassVar[bool] = False

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats per image: [..., D], [..., D] -> [...]; summed over pixels."""
        raise NotImplementedError

    def mean(self, parameters: Tensor) -> Tensor:
        """E[x|z]: [..., D] -> [..., D]."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        """One draw of x given z: [..., D] -> [..., D]."""
        raise NotImplementedError

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

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        from torch.nn.functional import softplus

        return (parameters * x - softplus(parameters)).sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters.sigmoid()

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        return self.mean(parameters).bernoulli(generator=generator)


@LIKELIHOODS.register
@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Independent Gaussian pixels with one fixed standard deviation, parameters are means.

    log p = -‖x - mean‖² / 2σ² - D log(σ √2π): the squared error with its ½ and its normaliser, a density on the reals.
    σ² = ½ is the plain "sum of squared errors". With weight β the optimum depends on βσ² alone.
    """

    kind: Literal["gaussian"] = "gaussian"
    sigma: float = 0.5
    measure = "density"
    support = "reals"

    def __post_init__(self):
        require(self.sigma > 0, "sigma", self.sigma, "above 0")

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        log_normaliser = x.shape[-1] * math.log(self.sigma * math.sqrt(2 * math.pi))
        return -0.5 / self.sigma**2 * (x - parameters).square().sum(-1) - log_normaliser

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters

    def sample(self, parameters: Tensor, generator: Generator) -> Tensor:
        import torch

        noise = torch.randn(parameters.shape, generator=generator, dtype=parameters.dtype, device=parameters.device)
        return parameters + self.sigma * noise
