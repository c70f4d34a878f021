"""The model's formulas against torch.distributions and Monte Carlo, and the exact posterior of a linear VAE."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

from vaebench.likelihoods import Bernoulli, Gaussian
from vaebench.model import VAE, Posterior, build, importance_log_weights
from vaebench.networks import NETWORKS, Mlp


def posterior(seed=0, shape=(7, 3)) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    return Posterior(*torch.randn(2, *shape, generator=generator, dtype=torch.float64))


def distribution(q: Posterior) -> Normal:
    return Normal(q.mean, (0.5 * q.log_variance).exp())


def test_kl_is_torch_distributions():
    q = posterior()
    expected = kl_divergence(distribution(q), Normal(torch.zeros(()).double(), torch.ones(()).double()))
    torch.testing.assert_close(q.kl_per_dimension(), expected, rtol=1e-12, atol=1e-14)


def test_kl_is_zero_exactly_at_the_prior():
    assert (Posterior(torch.zeros(2, 3), torch.zeros(2, 3)).kl_per_dimension() == 0).all()


def test_kl_equals_its_monte_carlo_estimate():
    q = posterior(shape=(1, 4))
    noise = torch.randn(200_000, 1, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = -q.log_prior_ratio(noise)
    standard_error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - q.kl_per_dimension().sum().item()) < 4 * standard_error


def test_log_prior_ratio_is_log_p_minus_log_q():
    q = posterior()
    noise = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = q.sample(noise)
    prior = Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = (prior.log_prob(z) - distribution(q).log_prob(z)).sum(-1)
    torch.testing.assert_close(q.log_prior_ratio(noise), expected, rtol=1e-10, atol=1e-10)


def test_samples_have_the_posteriors_moments():
    q = posterior(shape=(1, 2))
    z = q.sample(torch.randn(100_000, 1, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    torch.testing.assert_close(z.mean(0), q.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(z.var(0), q.log_variance.exp(), rtol=0.03, atol=0)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian()])
def test_every_network_builds_an_encoder_and_a_decoder_of_any_size(network, likelihood):
    for n_pixels, latent_size in ((64, 1), (784, 20)):
        model = build(network(), likelihood, n_pixels, latent_size, seed=0)
        x = torch.rand(5, n_pixels)
        q = model.encode(x)
        assert q.mean.shape == q.log_variance.shape == (5, latent_size)
        assert model.decode(q.mean).shape == (5, n_pixels * likelihood.outputs_per_pixel)
        terms = model.elbo_terms(x, torch.randn(5, latent_size))
        assert terms.rate.shape == terms.distortion.shape == (5,)


def test_an_mlp_has_the_layers_that_were_asked_for():
    model = build(Mlp(hidden=(50, 30)), Bernoulli(), 64, 7, seed=0)
    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.dim() == 2]
    assert shapes == [(50, 64), (30, 50), (14, 30), (30, 7), (50, 30), (64, 50)]


def test_starting_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (build(Mlp(), Bernoulli(), 64, 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    for name, parameter in one.state_dict().items():
        assert torch.equal(parameter, same.state_dict()[name])
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)


def linear_vae(sigma: float) -> tuple[VAE, np.ndarray, np.ndarray]:
    """A linear VAE whose encoder is its exact posterior; with the mean and covariance of its p(x)."""
    generator = np.random.default_rng(0)
    weight = np.linalg.qr(generator.normal(size=(6, 3)))[0] * [2.0, 1.0, 0.1]
    offset = generator.normal(size=6)
    posterior_variance = 1 / (1 + (weight**2).sum(0) / sigma**2)
    model = build(Mlp(hidden=()), Gaussian(sigma=sigma), 6, 3, seed=0).double()
    to_mean = posterior_variance[:, None] * weight.T / sigma**2
    model.decoder[0].weight.copy_(torch.tensor(weight))
    model.decoder[0].bias.copy_(torch.tensor(offset))
    model.encoder[0].weight.copy_(torch.tensor(np.vstack([to_mean, np.zeros((3, 6))])))
    model.encoder[0].bias.copy_(torch.tensor(np.concatenate([-to_mean @ offset, np.log(posterior_variance)])))
    return model, offset, weight @ weight.T + sigma**2 * np.eye(6)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_weights_of_an_exact_posterior_are_p_of_x_for_every_sample(sigma):
    model, mean, covariance = linear_vae(sigma)
    x = np.random.default_rng(1).multivariate_normal(mean, covariance, size=10)
    noise = torch.randn(4, 10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, log_weight = importance_log_weights(model, torch.tensor(x), noise)
    expected = stats.multivariate_normal(mean, covariance).logpdf(x)
    np.testing.assert_allclose(log_weight.numpy(), np.tile(expected, (4, 1)), rtol=1e-10)


def test_the_elbo_of_an_exact_posterior_is_log_p_of_x():
    model, mean, covariance = linear_vae(0.5)
    x = np.random.default_rng(2).multivariate_normal(mean, covariance, size=1)
    noise = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = model.elbo_terms(torch.tensor(x).expand(len(noise), -1), noise)
    elbo = -(terms.rate + terms.distortion)
    expected = stats.multivariate_normal(mean, covariance).logpdf(x[0])
    assert abs(elbo.mean().item() - expected) < 4 * elbo.std().item() / math.sqrt(len(elbo))
