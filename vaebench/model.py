"""The variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014) with prior N(0, I) and diagonal Gaussian q(z|x).

ELBO = -(distortion + rate), in nats per image: sums over pixels and latent dimensions, never means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from vaebench.likelihoods import Likelihood
from vaebench.networks import Network
from vaebench.streams import seeded


class Posterior(NamedTuple):
    """q(z|x) = N(mean, exp(log_variance)), independent over dimensions; both [..., Z]."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised z = mean + σ · noise, with noise [..., Z] from N(0, I)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl_per_dimension(self) -> Tensor:
        """KL(q(z_i|x) ‖ N(0, 1)) in closed form, in nats: [..., Z]; exactly 0 at mean 0, log-variance 0."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - self.log_variance - 1)

    def log_prior_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) - log q(z|x) at z = self.sample(noise), in nats: [...]; the factors 2π cancel."""
        return 0.5 * (noise.square() + self.log_variance - self.sample(noise).square()).sum(-1)

    def double(self) -> Posterior:
        """The same in float64."""
        return Posterior(self.mean.double(), self.log_variance.double())


class ElboTerms(NamedTuple):
    """Rate KL(q(z|x)‖p(z)) and distortion -log p(x|z) at one sample z, both [B], in nats per image."""

    posterior: Posterior
    rate: Tensor
    distortion: Tensor


class VAE(nn.Module):
    """Encoder, decoder and likelihood."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood

    def forward(self, compute: Callable[..., Any], **arguments: Any) -> Any:
        """`compute(self, **arguments)`: `torch.func.functional_call` reaches a module only through its forward."""
        return compute(self, **arguments)

    def encode(self, x: Tensor) -> Posterior:
        """x: [B, D] in [0, 1] -> q(z|x), [B, Z]."""
        return Posterior(*self.encoder(x).chunk(2, dim=-1))

    def decode(self, z: Tensor) -> Tensor:
        """z: [B, Z] -> the likelihood's parameters [B, P]."""
        return self.decoder(z)

    def elbo_terms(self, x: Tensor, noise: Tensor) -> ElboTerms:
        """x: [B, D] in [0, 1], noise: [B, Z] from N(0, I) -> rate in closed form and distortion at one sample."""
        posterior = self.encode(x)
        parameters = self.decode(posterior.sample(noise))
        return ElboTerms(posterior, posterior.kl_per_dimension().sum(-1), -self.likelihood.log_prob(parameters, x))


def build(network: Network, likelihood: Likelihood, n_pixels: int, latent_size: int, seed: int) -> VAE:
    """A fresh model whose starting weights are a function of the seed and the shapes alone."""
    with seeded(seed, "init"):
        encoder = network.encoder(n_pixels, latent_size)
        decoder = network.decoder(latent_size, n_pixels * likelihood.outputs_per_pixel)
    return VAE(encoder, decoder, likelihood).requires_grad_(False)


def importance_log_weights(model: VAE, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x|z) and log p(x|z) p(z) / q(z|x) for K samples: x [B, D], noise [K, B, Z] -> two tensors [K, B], in nats."""
    posterior = model.encode(x)
    # Samples and images share one axis, so that the decoder is one matrix product however many lanes are stacked.
    parameters = model.decode(posterior.sample(noise).flatten(0, 1)).unflatten(0, noise.shape[:2])
    log_likelihood = model.likelihood.log_prob(parameters, x)
    return log_likelihood, log_likelihood + posterior.log_prior_ratio(noise)
