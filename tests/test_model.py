"""The model's formulas against torch.distributions, mpmath and Monte Carlo, and the exact posterior of a linear VAE."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.distributions import Normal, kl_divergence

from vaebench.layers import ConstantHead
from vaebench.likelihoods import LIKELIHOODS, Bernoulli, Gaussian
from vaebench.model import VAE, Posterior, build
from vaebench.networks import NETWORKS, Linear, Mlp

FEW = settings(derandomize=True, deadline=None, max_examples=100, database=None)


def posterior(seed=0, shape=(7, 3)) -> Posterior:
    generator = torch.Generator().manual_seed(seed)
    return Posterior(*torch.randn(2, *shape, generator=generator, dtype=torch.float64))


def distribution(q: Posterior) -> Normal:
    return Normal(q.mean, (0.5 * q.log_variance).exp())


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_kl_is_torch_distributions():
    q = posterior()
    expected = kl_divergence(distribution(q), Normal(torch.zeros(()).double(), torch.ones(()).double()))
    torch.testing.assert_close(q.kl_per_dimension(), expected, rtol=1e-12, atol=1e-14)


def test_kl_is_zero_exactly_at_the_prior():
    assert (Posterior(torch.zeros(2, 3), torch.zeros(2, 3)).kl_per_dimension() == 0).all()


@pytest.mark.parametrize("log_variance", [-30.0, -5.0, -1e-3, -1e-6, -1e-9, 1e-9, 1e-6, 1e-3, 5.0, 30.0])
@pytest.mark.parametrize("mean", [0.0, -1e-4, 2.0, 1e3])
def test_kl_is_exact_for_narrow_wide_and_all_but_equal_posteriors(mean, log_variance):
    with mpmath.workdps(50):
        exact = float((mpmath.mpf(mean) ** 2 + mpmath.exp(log_variance) - log_variance - 1) / 2)
    mean, log_variance = torch.tensor([mean], dtype=torch.float64), torch.tensor([log_variance], dtype=torch.float64)
    # Near the prior the KL is a small difference of variances: an error far below any number that is ever shown.
    assert Posterior(mean, log_variance).kl_per_dimension().item() == pytest.approx(exact, rel=1e-12, abs=1e-19)
    single = Posterior(mean.float(), log_variance.float()).kl_per_dimension().item()
    assert single == pytest.approx(exact, rel=1e-5, abs=1e-10)


@FEW
@given(mean=st.floats(-1e4, 1e4), log_variance=st.floats(-80, 80), double=st.booleans())
def test_kl_is_finite_and_never_negative(mean, log_variance, double):
    dtype = torch.float64 if double else torch.float32
    kl = Posterior(torch.tensor([mean], dtype=dtype), torch.tensor([log_variance], dtype=dtype)).kl_per_dimension()
    assert kl.isfinite()
    assert kl.item() >= 0


def test_kl_is_never_negative_near_the_prior():
    size = torch.logspace(-12, -1, 100_001, dtype=torch.float64)
    log_variance = torch.cat([size, -size])
    for values in (log_variance, log_variance.float()):
        assert (Posterior(torch.zeros_like(values), values).kl_per_dimension() >= 0).all()


def test_kl_equals_its_monte_carlo_estimate():
    q = posterior(shape=(1, 4))
    draws = -q.log_prior_ratio(normal(200_000, 1, 4, seed=1))
    standard_error = draws.std().item() / math.sqrt(len(draws))
    assert abs(draws.mean().item() - q.kl_per_dimension().sum().item()) < 4 * standard_error


def test_log_prior_ratio_is_log_p_minus_log_q():
    q = posterior()
    noise = normal(5, 7, 3, seed=2)
    z = q.sample(noise)
    prior = Normal(torch.zeros(()).double(), torch.ones(()).double())
    expected = (prior.log_prob(z) - distribution(q).log_prob(z)).sum(-1)
    torch.testing.assert_close(q.log_prior_ratio(noise), expected, rtol=1e-10, atol=1e-10)


def test_samples_have_the_posteriors_moments():
    q = posterior(shape=(1, 2))
    z = q.sample(normal(100_000, 1, 2, seed=3))
    torch.testing.assert_close(z.mean(0), q.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(z.var(0), q.log_variance.exp(), rtol=0.03, atol=0)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_every_network_builds_an_encoder_and_a_decoder_of_any_size(network, likelihood):
    for n_pixels, latent_size in ((64, 1), (784, 20)):
        model = build(network(), likelihood(), 17, n_pixels, latent_size, seed=0)
        x = torch.rand(5, n_pixels)
        q = model.encode(x)
        assert q.mean.shape == q.log_variance.shape == (5, latent_size)
        n_outputs = n_pixels * model.likelihood.outputs_per_pixel + model.likelihood.shared_outputs
        assert model.decode(q.mean).shape == (5, n_outputs)
        noise = torch.randn(5, latent_size)
        terms = model.elbo_terms(x, noise)
        assert terms.rate.shape == (5, latent_size)
        assert terms.distortion.shape == (5,)
        rate, distortion = model.training_terms(x, noise)
        assert rate.shape == (latent_size,)
        assert distortion.shape == ()
        samples = model.importance_samples(x, torch.randn(4, 5, latent_size))
        assert samples.parameters.shape == (4, 5, n_outputs)
        assert samples.log_likelihood.shape == samples.log_weight.shape == (4, 5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_training_terms_are_the_batchs_means(likelihood):
    model = build(Mlp(hidden=(8,)), likelihood(), 17, 6, 2, seed=0).double()
    x, noise = torch.rand(5, 6).double(), normal(5, 2)
    rate, distortion = model.training_terms(x, noise)
    terms = model.elbo_terms(x, noise)
    torch.testing.assert_close(rate, terms.rate.mean(0))
    parameters = model.decode(model.encode(x).sample(noise))
    if model.likelihood.is_fitted:
        parameters[:, -1:] = model.likelihood.fit(model.fit_statistic(x, noise).mean(0))
    else:
        torch.testing.assert_close(distortion, terms.distortion.mean())
    torch.testing.assert_close(distortion, -model.likelihood.log_prob(parameters, x, 17).mean())


def test_an_mlp_has_the_layers_that_were_asked_for():
    model = build(Mlp(hidden=(50, 30)), Bernoulli(), 2, 64, 7, seed=0)
    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.dim() == 2]
    assert shapes == [(50, 64), (30, 50), (14, 30), (30, 7), (50, 30), (64, 50)]


def test_an_mlp_is_relu_of_affine_maps():
    model = build(Mlp(hidden=(5, 4)), Bernoulli(), 2, 6, 3, seed=0)
    x = torch.rand(2, 6)
    values = x.numpy()
    for index, layer in enumerate(layer for layer in model.encoder if isinstance(layer, nn.Linear)):
        values = (values if index == 0 else values.clip(min=0)) @ layer.weight.numpy().T + layer.bias.numpy()
    np.testing.assert_allclose(model.encoder(x).numpy(), values, rtol=1e-5, atol=1e-6)
    q = model.encode(x)
    np.testing.assert_allclose(np.hstack([q.mean, q.log_variance]), values, rtol=1e-5, atol=1e-6)


def test_a_linear_network_is_one_affine_map_each_way_with_one_variance_for_all_images():
    model = build(Linear(), Gaussian(), 17, 6, 3, seed=0)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes == {
        "encoder.constant": (3,),
        "encoder.module.0.weight": (3, 6),
        "encoder.module.0.bias": (3,),
        "decoder.0.weight": (6, 3),
        "decoder.0.bias": (6,),
    }
    model.encoder.constant.copy_(torch.tensor([0.1, -2.0, 0.7]))
    x = torch.rand(4, 6)
    q = model.encode(x)
    assert torch.equal(q.log_variance, torch.tensor([[0.1, -2.0, 0.7]]).expand(4, -1))
    layer = model.encoder.module[0]
    torch.testing.assert_close(q.mean, x @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model.decode(q.mean), q.mean @ model.decoder[0].weight.T + model.decoder[0].bias)


def test_a_constant_head_stands_behind_the_outputs_for_every_input():
    head = ConstantHead(nn.Linear(3, 2), 2).requires_grad_(False)
    assert head(torch.rand(4, 3))[:, 2:].tolist() == [[0, 0]] * 4
    head.constant.copy_(torch.tensor([5.0, -7.0]))
    x = torch.rand(6, 4, 3)
    assert torch.equal(head(x)[..., :2], head.module(x))
    assert head(x)[..., 2:].flatten(0, 1).tolist() == [[5, -7]] * 24


def test_starting_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (build(Mlp(), Bernoulli(), 2, 64, 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    for name, parameter in one.state_dict().items():
        assert torch.equal(parameter, same.state_dict()[name])
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)


def linear_vae(network, sigma: float) -> tuple[VAE, np.ndarray, np.ndarray]:
    """A linear VAE whose encoder is its exact posterior; with the mean and covariance of its p(x)."""
    generator = np.random.default_rng(0)
    weight = np.linalg.qr(generator.normal(size=(6, 3)))[0] * [2.0, 1.0, 0.1]
    offset = generator.normal(size=6)
    posterior_variance = 1 / (1 + (weight**2).sum(0) / sigma**2)
    model = build(network, Gaussian(sigma=sigma), 256, 6, 3, seed=0).double()
    to_mean = posterior_variance[:, None] * weight.T / sigma**2
    model.decoder[0].weight.copy_(torch.tensor(weight))
    model.decoder[0].bias.copy_(torch.tensor(offset))
    if isinstance(network, Linear):
        model.encoder.module[0].weight.copy_(torch.tensor(to_mean))
        model.encoder.module[0].bias.copy_(torch.tensor(-to_mean @ offset))
        model.encoder.constant.copy_(torch.tensor(np.log(posterior_variance)))
    else:
        model.encoder[0].weight.copy_(torch.tensor(np.vstack([to_mean, np.zeros((3, 6))])))
        model.encoder[0].bias.copy_(torch.tensor(np.concatenate([-to_mean @ offset, np.log(posterior_variance)])))
    return model, offset, weight @ weight.T + sigma**2 * np.eye(6)


LINEAR = pytest.mark.parametrize("network", [Mlp(hidden=()), Linear()], ids=["mlp", "linear"])


@LINEAR
@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_weights_of_an_exact_posterior_are_p_of_x_for_every_sample(network, sigma):
    model, mean, covariance = linear_vae(network, sigma)
    x = np.random.default_rng(1).multivariate_normal(mean, covariance, size=10)
    log_weight = model.importance_samples(torch.tensor(x), normal(4, 10, 3)).log_weight
    expected = stats.multivariate_normal(mean, covariance).logpdf(x)
    np.testing.assert_allclose(log_weight.numpy(), np.tile(expected, (4, 1)), rtol=1e-10)


@LINEAR
def test_the_elbo_of_an_exact_posterior_is_log_p_of_x(network):
    model, mean, covariance = linear_vae(network, 0.5)
    x = np.random.default_rng(2).multivariate_normal(mean, covariance, size=1)
    noise = normal(100_000, 3)
    terms = model.elbo_terms(torch.tensor(x).expand(len(noise), -1), noise)
    elbo = -(terms.rate.sum(1) + terms.distortion)
    expected = stats.multivariate_normal(mean, covariance).logpdf(x[0])
    assert abs(elbo.mean().item() - expected) < 4 * elbo.std().item() / math.sqrt(len(elbo))


@LINEAR
def test_the_bound_rises_with_the_number_of_samples_and_stays_below_log_p_of_x(network):
    model, mean, covariance = linear_vae(network, 0.5)
    # No longer the exact posterior: there, the bound would be log p(x) for every number of samples.
    model.encoder.get_parameter("module.0.bias" if isinstance(network, Linear) else "0.bias")[:3] += 0.3
    x = np.random.default_rng(3).multivariate_normal(mean, covariance, size=1)
    exact = stats.multivariate_normal(mean, covariance).logpdf(x[0])
    n_repeats = 4000
    noise = normal(64, n_repeats, 3)
    samples = model.importance_samples(torch.tensor(x).expand(n_repeats, -1), noise)
    bounds, previous = {}, None
    for k in (1, 2, 4, 16, 64):
        bound = samples.log_weight[:k].logsumexp(0) - math.log(k)
        bounds[k] = bound.mean().item()
        # In expectation: by more than chance, here.
        if previous is not None:
            rise = bound - previous
            assert rise.mean() > 2 * rise.std() / math.sqrt(n_repeats)
        assert bounds[k] < exact + 4 * bound.std().item() / math.sqrt(n_repeats)
        previous = bound
    assert bounds[1] < exact - 0.1
    assert bounds[64] == pytest.approx(exact, abs=0.05)
    # One sample is the ELBO itself.
    q = model.encode(torch.tensor(x))
    one = samples.log_likelihood[0].mean() - q.kl_per_dimension().sum()
    spread = (samples.log_weight[0] - samples.log_likelihood[0]).std().item() / math.sqrt(n_repeats)
    assert abs(one.item() - bounds[1]) < 4 * spread
