"""The variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014) with prior N(0, I) and diagonal Gaussian q(z|x).

ELBO = -(distortion + rate), in nats per image: sums over pixels and latent dimensions, never means.

A model may also hold the stacked parameters of L lanes (`vaebench.layers`). Then every tensor that goes in or comes out
has a leading axis [L], except x where all lanes share it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from vaebench.layers import ConstantHead
from vaebench.likelihoods import Likelihood
from vaebench.networks import Network
from vaebench.streams import generator, seeded


class Posterior(NamedTuple):
    """q(z|x) = N(mean, exp(log_variance)), independent over dimensions; both [..., Z]."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised z = mean + σ · noise, with noise [..., Z] from N(0, I)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl_per_dimension(self) -> Tensor:
        """KL(q(z_i|x) ‖ N(0, 1)) in closed form, in nats: [..., Z]; never negative, exactly 0 at mean 0, log-variance 0."""
        return 0.5 * (self.mean.square() + (self.log_variance.expm1() - self.log_variance))

    def log_prior_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) - log q(z|x) at z = self.sample(noise), in nats: [...]; the factors 2π cancel."""
        return 0.5 * (noise.square() + self.log_variance - self.sample(noise).square()).sum(-1)

    def double(self) -> Posterior:
        """The same in float64."""
        return Posterior(self.mean.double(), self.log_variance.double())


class ElboTerms(NamedTuple):
    """Rate KL(q(z_i|x)‖p(z_i)) by dimension [B, Z] and distortion -log p(x|z) at one sample z [B], in nats per image."""

    posterior: Posterior
    rate: Tensor
    distortion: Tensor


class Samples(NamedTuple):
    """K samples of z an image: the likelihood's parameters [K, B, P]; log p(x|z), and log p(x|z) p(z) / q(z|x), [K, B]."""

    parameters: Tensor
    log_likelihood: Tensor
    log_weight: Tensor


class VAE(nn.Module):
    """Encoder, decoder and likelihood, for images of `n_levels` grey levels."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, n_levels: int, latent_size: int):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.n_levels = n_levels
        self.latent_size = latent_size

    @property
    def code_size(self) -> int:
        """Numbers that the decoder takes."""
        return self.latent_size

    @property
    def of_images(self) -> tuple[nn.Module, ...]:
        """Its modules that take images."""
        return (self.encoder,)

    def encode(self, x: Tensor) -> Posterior:
        """x: [B, D] in [0, 1] -> q(z|x), [B, Z]."""
        return Posterior(*self.encoder(x).chunk(2, dim=-1))

    def decode(self, z: Tensor) -> Tensor:
        """z: [B, Z] -> the likelihood's parameters [B, P]."""
        return self.decoder(z)

    def mean_images(self, z: Tensor) -> Tensor:
        """z: [B, Z] -> the likelihood's mean E[x|z], [B, D]."""
        return self.likelihood.mean(self.decode(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """x: [B, D] in [0, 1] -> the mean images at the posterior means of z, [B, D]."""
        return self.mean_images(self.encode(x).mean)

    def codes(self, z: Tensor, random: Generator) -> Tensor:
        """What the decoder needs beside draws z of the prior is drawn too: [n, Z] -> what `decode` takes, [n, …]."""
        return z

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """The mean images at n draws of z from the prior, a function of the seed: [n, D]."""
        random = generator(seed, "prior samples")
        return self.mean_images(self.codes(torch.randn(n, self.latent_size, generator=random), random))

    def log_likelihood(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats per image: [..., P], [..., D] -> [...]."""
        return self.likelihood.log_prob(parameters, x, self.n_levels)

    def elbo_terms(self, x: Tensor, noise: Tensor) -> ElboTerms:
        """x: [B, D] in [0, 1], noise: [B, Z] from N(0, I) -> rate in closed form and distortion at one sample."""
        posterior = self.encode(x)
        parameters = self.decode(posterior.sample(noise))
        return ElboTerms(posterior, posterior.kl_per_dimension(), -self.log_likelihood(parameters, x))

    def rates(self, x: Tensor) -> Tensor:
        """The same rate alone, in float64: [B, D] -> [B, Z]."""
        return self.encode(x).double().kl_per_dimension()

    def importance_samples(self, x: Tensor, noise: Tensor) -> Samples:
        """x [B, D], noise [K, B, Z] from N(0, I) -> K samples of z an image and their weights, in nats."""
        posterior = Posterior(*(values.unsqueeze(-3) for values in self.encode(x)))
        # Samples and images share one axis, so that the decoder is one matrix product a lane.
        parameters = self.decode(posterior.sample(noise).flatten(-3, -2)).unflatten(-2, noise.shape[-3:-1])
        log_likelihood = self.log_likelihood(parameters, x)
        return Samples(parameters, log_likelihood, log_likelihood + posterior.log_prior_ratio(noise))

    def training_terms(self, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same as means over a batch: rate by dimension [Z], and the likelihood's distortion for training [].

        seen: what the encoder is given in place of x, [B, D]: in training to denoise (Im et al. 2017) a corrupted x.
        """
        posterior = self.encode(x if seen is None else seen)
        parameters = self.decode(posterior.sample(noise))
        distortion = -self.likelihood.batch_log_prob(parameters, x, self.n_levels)
        return posterior.kl_per_dimension().mean(-2), distortion.mean(-1)

    def fit_statistic(self, x: Tensor, noise: Tensor, seen: Tensor | None = None) -> Tensor:
        """What a likelihood's shared outputs are fitted to, at one sample of z: x [B, D], noise [B, Z] -> [B].

        seen: as in `training_terms`.
        """
        posterior = self.encode(x if seen is None else seen)
        return self.likelihood.fit_statistic(self.decode(posterior.sample(noise)), x)


def build(network: Network, likelihood: Likelihood, n_levels: int, n_pixels: int, latent_size: int, seed: int) -> VAE:
    """A fresh model whose starting weights are a function of the seed and the shapes alone."""
    with seeded(seed, "init"):
        encoder = network.encoder(n_pixels, latent_size)
        decoder = network.decoder(latent_size, n_pixels * likelihood.outputs_per_pixel)
    if likelihood.shared_outputs:
        decoder = ConstantHead(decoder, likelihood.shared_outputs)
    return VAE(encoder, decoder, likelihood, n_levels, latent_size).requires_grad_(False)
