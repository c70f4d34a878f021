"""Likelihoods against scipy, and what every likelihood must keep."""

import itertools

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vaebench.likelihoods import LIKELIHOODS, Bernoulli, Gaussian

ALL = pytest.mark.parametrize("likelihood", [definition() for definition in LIKELIHOODS.values()], ids=LIKELIHOODS)
# Decoder outputs for one pixel.
OUTPUTS = [-3.0, -0.4, 0.0, 0.2, 1.7]


@ALL
def test_log_prob_sums_over_pixels_and_keeps_leading_axes(likelihood):
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(3, 2, 5 * likelihood.outputs_per_pixel, generator=generator)
    x = torch.randint(0, 2, (2, 5), generator=generator).float()
    log_prob = likelihood.log_prob(parameters, x)
    assert log_prob.shape == (3, 2)
    by_hand = sum(likelihood.log_prob(parameters[1, 1, pixel : pixel + 1], x[1, pixel : pixel + 1]) for pixel in range(5))
    assert log_prob[1, 1].item() == pytest.approx(by_hand.item(), rel=1e-5)


@ALL
@pytest.mark.parametrize("output", OUTPUTS)
def test_it_is_normalised(likelihood, output):
    parameters = torch.tensor([output], dtype=torch.float64)

    def prob(x: float) -> float:
        return likelihood.log_prob(parameters, torch.tensor([x], dtype=torch.float64)).exp().item()

    if likelihood.measure == "mass":
        assert sum(prob(x) for x in (0.0, 1.0)) == pytest.approx(1, abs=1e-12)
    else:
        total, _ = integrate.quad(prob, -20, 20, points=[output])
        assert total == pytest.approx(1, abs=1e-8)


@ALL
@pytest.mark.parametrize("output", OUTPUTS)
def test_samples_have_the_mean(likelihood, output):
    parameters = torch.full((20_000, 1), output)
    samples = likelihood.sample(parameters, torch.Generator().manual_seed(0)).double()
    expected = likelihood.mean(parameters)[0].item()
    standard_error = samples.std().item() / len(samples) ** 0.5
    assert abs(samples.mean().item() - expected) < 4 * standard_error + 1e-9


@ALL
def test_extreme_outputs_stay_finite(likelihood):
    for output, x in itertools.product((-1e4, 1e4), (0.0, 1.0)):
        parameters = torch.tensor([output], requires_grad=True)
        log_prob = likelihood.log_prob(parameters, torch.tensor([x]))
        log_prob.backward()
        assert log_prob.isfinite()
        assert parameters.grad.isfinite().all()


def test_bernoulli_is_scipys():
    logits = np.array([-3.0, -0.4, 0.0, 0.2, 1.7])
    x = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum()
    assert Bernoulli().log_prob(torch.tensor(logits), torch.tensor(x)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0])
def test_gaussian_is_scipys_with_half_and_normaliser(sigma):
    mean = np.array([-0.3, 0.2, 0.9])
    x = np.array([0.0, 0.5, 1.0])
    expected = stats.norm.logpdf(x, mean, sigma).sum()
    assert Gaussian(sigma=sigma).log_prob(torch.tensor(mean), torch.tensor(x)).item() == pytest.approx(expected, rel=1e-12)


def test_sigma_squared_one_half_is_the_sum_of_squared_errors():
    x, mean = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.25])
    constant = 2 * 0.5 * np.log(2 * np.pi * 0.5)
    assert -Gaussian(sigma=0.5**0.5).log_prob(mean, x).item() - constant == pytest.approx(0.25 + 0.5625, rel=1e-6)


def test_bernoulli_is_no_density_of_grey_pixels():
    assert not Bernoulli().is_normalised_on(256)
    assert Bernoulli().is_normalised_on(2)
    assert Gaussian().is_normalised_on(256)


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="sigma must be above 0, not 0"):
        Gaussian(sigma=0)
