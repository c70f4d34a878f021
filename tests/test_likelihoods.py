"""Likelihoods against scipy and torch.distributions, and what every likelihood must keep."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from torch import distributions

from vaebench.likelihoods import (
    LIKELIHOODS,
    START,
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gaussian,
    GaussianLearned,
    GaussianOptimal,
    GaussianPerPixel,
    LogisticMixture,
)

FEW = settings(derandomize=True, deadline=None, max_examples=50, database=None)
ALL = pytest.mark.parametrize("likelihood", [definition() for definition in LIKELIHOODS.values()], ids=LIKELIHOODS)
N_LEVELS = pytest.mark.parametrize("n_levels", [2, 17, 256])
# How far apart the decoder's outputs are: from all but equal to far outside the range of pixel values.
SIZES = pytest.mark.parametrize("size", [0.01, 1.0, 6.0])
# Where integrals are cut into pieces: at so many times a density's width from its mean and from the ends of [0, 1].
CUTS = np.append(0, np.outer([1, 3], 10.0 ** np.arange(-4, 2)))


def outputs(likelihood, *shape: int, n_pixels: int = 1, size: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Random outputs of a decoder: [*shape, P]."""
    n_outputs = n_pixels * likelihood.outputs_per_pixel + likelihood.shared_outputs
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(*shape, n_outputs, generator=generator, dtype=torch.float64)


def images(*shape: int, n_levels: int = 2, seed: int = 1) -> torch.Tensor:
    draws = torch.randint(n_levels, shape, generator=torch.Generator().manual_seed(seed))
    return draws.double() / (n_levels - 1)


def levels(n_levels: int) -> torch.Tensor:
    """One pixel at each level: [n_levels, 1]."""
    return torch.arange(n_levels, dtype=torch.float64).unsqueeze(1) / (n_levels - 1)


def of_pixel(likelihood, parameters: torch.Tensor, pixel: int) -> torch.Tensor:
    """The outputs that an image of this pixel alone would have."""
    n_shared = likelihood.shared_outputs
    own, shared = parameters.split([parameters.shape[-1] - n_shared, n_shared], dim=-1)
    own = own.unflatten(-1, (likelihood.outputs_per_pixel, -1))[..., pixel]
    return torch.cat([own, shared], dim=-1)


def integral(likelihood, parameters: torch.Tensor, low: float, high: float, weight=lambda x: 1.0) -> float:
    """∫ p(x) weight(x) dx for one pixel, in pieces: narrow ones around the mean and the ends of the support."""
    centres = (likelihood.mean(parameters).item(), 0.0, 1.0)
    width = likelihood.standard_deviation(parameters)
    cuts = CUTS if width is None else np.append(CUTS, CUTS * width.item())
    places = {centre + sign * cut for centre in centres for cut in cuts for sign in (-1, 1)}
    ends = sorted({low, high} | {place for place in places if low < place < high})

    def weighted(x: np.ndarray) -> np.ndarray:
        return likelihood.log_prob(parameters, torch.from_numpy(x).unsqueeze(1), 256).exp().numpy() * weight(x)

    return sum(integrate.fixed_quad(weighted, start, end, n=40)[0] for start, end in pairwise(ends))


def support(likelihood) -> tuple[float, float]:
    return {"reals": (-1e12, 1e12), "[0, 1]": (0.0, 1.0)}[likelihood.support]


def softplus(value: float) -> float:
    return float(np.logaddexp(0, value))


def spread(output: float, minimum: float) -> float:
    """The σ or scale that an output stands for, as written down: above `minimum`, and a quarter at 0."""
    return minimum * math.exp(softplus(output + math.log(0.25 / minimum - 1)))


@ALL
def test_log_prob_sums_over_pixels_and_keeps_leading_axes(likelihood):
    parameters, x = outputs(likelihood, 3, 2, n_pixels=5), images(2, 5)
    log_prob = likelihood.log_prob(parameters, x, 2)
    assert log_prob.shape == (3, 2)
    by_pixel = [
        likelihood.log_prob(of_pixel(likelihood, parameters, pixel), x[:, [pixel]], 2).tolist() for pixel in range(5)
    ]
    np.testing.assert_allclose(log_prob.numpy(), np.sum(by_pixel, axis=0), rtol=1e-12)


@ALL
def test_everything_has_the_shape_that_it_should(likelihood):
    parameters, x = outputs(likelihood, 3, 2, n_pixels=5).float(), images(2, 5, n_levels=17).float()
    assert likelihood.mean(parameters).shape == (3, 2, 5)
    assert likelihood.sample(parameters, 17, torch.Generator().manual_seed(0)).shape == (3, 2, 5)
    assert likelihood.batch_log_prob(parameters[0], x, 17).shape == (2,)
    log_mass = likelihood.log_mass(parameters, x, 17)
    assert log_mass is None or log_mass.shape == (3, 2)
    deviation = likelihood.standard_deviation(parameters)
    assert deviation is None or torch.broadcast_to(deviation, (3, 2, 5)) is not None
    at_bound = likelihood.is_at_bound(parameters)
    assert at_bound is None or (at_bound.dtype == torch.bool and at_bound.shape[:2] == (3, 2))
    if likelihood.is_fitted:
        assert likelihood.fit_statistic(parameters, x).shape == (3, 2)
        assert likelihood.fit(torch.rand(4)).shape == (4, likelihood.shared_outputs)


@ALL
@SIZES
def test_it_is_normalised(likelihood, size):
    for parameters in outputs(likelihood, 8, size=size):
        if likelihood.measure == "mass":
            for n_levels in filter(likelihood.is_normalised_on, (2, 17, 256)):
                log_prob = likelihood.log_prob(parameters, levels(n_levels), n_levels)
                assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-10)
        else:
            assert integral(likelihood, parameters, *support(likelihood)) == pytest.approx(1, abs=1e-8)


@ALL
@SIZES
@N_LEVELS
def test_the_mass_of_the_levels_sums_to_1(likelihood, size, n_levels):
    for parameters in outputs(likelihood, 8, size=size):
        log_mass = likelihood.log_mass(parameters, levels(n_levels), n_levels)
        if log_mass is None:
            assert not likelihood.is_normalised_on(n_levels)
        else:
            assert log_mass.shape == (n_levels,)
            assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-10)


@ALL
@SIZES
def test_the_mass_of_a_level_is_that_of_the_values_nearest_to_it(likelihood, size):
    for parameters in outputs(likelihood, 3, size=size):
        if likelihood.measure == "mass":
            log_mass = likelihood.log_mass(parameters, levels(2), 2)
            assert log_mass.tolist() == likelihood.log_prob(parameters, levels(2), 2).tolist()
            continue
        low, high = support(likelihood)
        log_mass = likelihood.log_mass(parameters, levels(17), 17)
        for level in (0, 1, 7, 15, 16):
            start = low if level == 0 else (level - 0.5) / 16
            end = high if level == 16 else (level + 0.5) / 16
            expected = integral(likelihood, parameters, start, end)
            assert log_mass[level].exp().item() == pytest.approx(expected, rel=1e-8, abs=1e-10)


@ALL
@SIZES
def test_mean_and_standard_deviation_are_those_of_the_probabilities(likelihood, size):
    for parameters in outputs(likelihood, 4, size=size):
        mean = likelihood.mean(parameters).item()
        if likelihood.measure == "mass":
            n_levels = 2 if likelihood.binary_support else 256
            x = levels(n_levels)
            expected = (likelihood.log_prob(parameters, x, n_levels).exp() * x[:, 0]).sum().item()
            # A mean of grey levels may leave out that values are rounded to them.
            assert mean == pytest.approx(expected, abs=1e-12 if likelihood.binary_support else 0.5 / 255)
            continue
        ends = support(likelihood)
        assert mean == pytest.approx(integral(likelihood, parameters, *ends, lambda x: x), rel=1e-8, abs=1e-8)
        deviation = likelihood.standard_deviation(parameters)
        if deviation is not None:
            variance = integral(likelihood, parameters, *ends, lambda x, centre=mean: (x - centre) ** 2)
            assert deviation.item() ** 2 == pytest.approx(variance, rel=1e-6)


@ALL
@SIZES
def test_samples_follow_the_probabilities_and_lie_in_the_support(likelihood, size):
    n_samples = 20_000
    for seed in range(3):
        parameters = outputs(likelihood, size=size, seed=seed)
        samples = likelihood.sample(parameters.expand(n_samples, -1), 17, torch.Generator().manual_seed(seed)).flatten()
        if likelihood.measure == "mass":
            n_levels = 2 if likelihood.binary_support else 17
            places = samples * (n_levels - 1)
            assert torch.equal(places, places.round())
            found = torch.bincount(places.long(), minlength=n_levels).numpy()
            expected = likelihood.log_prob(parameters, levels(n_levels), n_levels).exp().numpy()
        else:
            low, high = support(likelihood)
            centre = likelihood.mean(parameters).item()
            inner = [centre + 0.4 * step for step in range(-4, 5)] + [centre + 0.05 * step for step in range(-4, 5)]
            ends = [low, *sorted({end for end in inner if low < end < high}), high]
            found, _ = np.histogram(samples.numpy(), ends)
            expected = np.array([integral(likelihood, parameters, *pair) for pair in pairwise(ends)])
        assert found.sum() == n_samples
        standard_error = np.sqrt(n_samples * expected * (1 - expected).clip(min=0)) + 1e-3
        assert (np.abs(found - n_samples * expected) < 4.5 * standard_error + 1).all()


@ALL
def test_the_gradient_is_that_of_finite_differences(likelihood):
    for n_levels in (2, 17):
        parameters = outputs(likelihood, 3, n_pixels=4, seed=n_levels).requires_grad_()
        x = images(3, 4, n_levels=n_levels)
        assert torch.autograd.gradcheck(lambda values, x=x, n=n_levels: likelihood.log_prob(values, x, n), parameters)


@ALL
@FEW
@given(data=st.data())
def test_extreme_outputs_stay_finite(likelihood, data):
    n_pixels, n_levels = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([2, 17, 256]))
    n_outputs = n_pixels * likelihood.outputs_per_pixel + likelihood.shared_outputs
    extreme = st.sampled_from([-1e4, 0.0, 1e4]) | st.floats(-1e4, 1e4)
    values = data.draw(st.lists(extreme, min_size=n_outputs, max_size=n_outputs))
    pixels = data.draw(st.lists(st.sampled_from([0, 1, n_levels - 1]), min_size=n_pixels, max_size=n_pixels))
    parameters, x = torch.tensor([values]), torch.tensor([pixels]) / (n_levels - 1)
    if likelihood.is_fitted:
        # No network gives these: they are what was fitted to some error, from none at all to the largest possible.
        fitted = likelihood.fit(torch.tensor([data.draw(st.sampled_from([0.0, 1e-12, 0.3, 1e8]))]))
        parameters[:, -likelihood.shared_outputs :] = fitted
    parameters.requires_grad_()
    for log_prob in (likelihood.log_prob, likelihood.batch_log_prob):
        value = log_prob(parameters, x, n_levels)
        (gradient,) = torch.autograd.grad(value.sum(), parameters)
        assert value.isfinite().all()
        assert gradient.isfinite().all()
    assert likelihood.mean(parameters).isfinite().all()
    log_mass = likelihood.log_mass(parameters.detach(), x, n_levels)
    assert log_mass is None or log_mass.isfinite().all()


@ALL
def test_lanes_know_nothing_of_each_other(likelihood):
    parameters, x = outputs(likelihood, 3, 4, n_pixels=5).float(), images(4, 5).float()
    stacked = likelihood.batch_log_prob(parameters, x, 2)
    alone = torch.stack([likelihood.batch_log_prob(lane, x, 2) for lane in parameters])
    torch.testing.assert_close(stacked, alone)


def test_bernoulli_is_scipys():
    logits = np.array([-3.0, -0.4, 0.0, 0.2, 1.7])
    x = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum()
    assert Bernoulli().log_prob(torch.tensor(logits), torch.tensor(x), 2).item() == pytest.approx(expected, rel=1e-12)


def test_bernoulli_on_grey_pixels_is_the_cross_entropy_and_no_probability():
    logits, x = outputs(Bernoulli(), n_pixels=9), images(9, n_levels=17)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    assert Bernoulli().log_prob(logits, x, 17).item() == pytest.approx(-loss.item(), rel=1e-12)
    assert Bernoulli().log_mass(logits, x, 17) is None
    assert Bernoulli().log_mass(logits, x.round(), 2) is not None


@ALL
def test_only_bernoulli_is_no_probability_of_grey_pixels(likelihood):
    assert likelihood.is_normalised_on(2)
    assert likelihood.is_normalised_on(256) == (not likelihood.binary_support)
    assert likelihood.binary_support == (likelihood.support == "{0, 1}")


@pytest.mark.parametrize("sigma", [1e-3, 0.05, 0.5, 2.0, 1e3])
def test_gaussian_is_scipys_with_half_and_normaliser(sigma):
    mean = np.array([-0.3, 0.2, 0.9])
    x = np.array([0.0, 0.5, 1.0])
    likelihood = Gaussian(sigma=sigma)
    expected = stats.norm.logpdf(x, mean, sigma).sum()
    assert likelihood.log_prob(torch.tensor(mean), torch.tensor(x), 256).item() == pytest.approx(expected, rel=1e-12)
    expected = distributions.Normal(torch.tensor(mean), sigma).log_prob(torch.tensor(x)).sum().item()
    assert likelihood.log_prob(torch.tensor(mean), torch.tensor(x), 256).item() == pytest.approx(expected, rel=1e-12)
    assert likelihood.standard_deviation(torch.tensor(mean)).item() == pytest.approx(sigma)


def test_sigma_squared_one_half_is_the_sum_of_squared_errors():
    x, mean = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.25])
    constant = 2 * 0.5 * np.log(2 * np.pi * 0.5)
    assert -Gaussian(sigma=0.5**0.5).log_prob(mean, x, 17).item() - constant == pytest.approx(0.25 + 0.5625, rel=1e-6)


@pytest.mark.parametrize("output", [-1e3, -3.0, 0.0, 0.5, 4.0])
def test_learned_gaussians_are_scipys_with_the_sigma_that_their_outputs_stand_for(output):
    mean, x = np.array([-0.3, 0.2, 0.9]), np.array([0.0, 0.5, 1.0])
    sigma = spread(output, 0.02)
    shared = torch.tensor([*mean, output])
    learned = GaussianLearned(min_sigma=0.02).log_prob(shared.double(), torch.tensor(x), 17)
    assert learned.item() == pytest.approx(stats.norm.logpdf(x, mean, sigma).sum(), rel=1e-6)
    sigmas = np.array([sigma, spread(1.0, 0.02), spread(-1.0, 0.02)])
    own = torch.tensor([*mean, output, 1.0, -1.0], dtype=torch.float64)
    per_pixel = GaussianPerPixel(min_sigma=0.02)
    expected = stats.norm.logpdf(x, mean, sigmas).sum()
    assert per_pixel.log_prob(own, torch.tensor(x), 17).item() == pytest.approx(expected, rel=1e-10)
    assert per_pixel.standard_deviation(own).tolist() == pytest.approx(sigmas.tolist(), rel=1e-12)


def test_an_optimal_gaussian_is_scipys_with_the_sigma_that_was_fitted():
    mean, x = np.array([-0.3, 0.2, 0.9]), np.array([0.0, 0.5, 1.0])
    parameters = torch.tensor([*mean, math.log(0.3)], dtype=torch.float64)
    expected = stats.norm.logpdf(x, mean, 0.3).sum()
    assert GaussianOptimal().log_prob(parameters, torch.tensor(x), 17).item() == pytest.approx(expected, rel=1e-12)


def test_the_optimal_sigma_is_the_best_of_all():
    likelihood = GaussianOptimal()
    parameters, x = outputs(likelihood, 6, n_pixels=5), images(6, 5, n_levels=17)

    def distortion(log_sigma: float) -> float:
        return -stats.norm.logpdf(x.numpy(), parameters[:, :-1].numpy(), math.exp(log_sigma)).sum(1).mean()

    best = optimize.minimize_scalar(distortion, bracket=(-1.0, 0.0), tol=1e-12)
    batch = likelihood.batch_log_prob(parameters, x, 17)
    assert batch.mean().item() == pytest.approx(-best.fun, rel=1e-12)
    fitted = likelihood.fit(likelihood.fit_statistic(parameters, x).mean(0))
    assert fitted.item() == pytest.approx(best.x, abs=1e-6)
    assert fitted.item() == pytest.approx(0.5 * math.log((x - parameters[:, :-1]).square().mean().item()), rel=1e-12)
    # What was fitted scores every image as the batch did.
    parameters[:, -1:] = fitted
    torch.testing.assert_close(likelihood.log_prob(parameters, x, 17), batch)


def test_the_gradient_through_the_optimal_sigma_is_that_of_the_batch_alone():
    likelihood = GaussianOptimal()
    parameters, x = outputs(likelihood, 6, n_pixels=5).requires_grad_(), images(6, 5, n_levels=17)
    (found,) = torch.autograd.grad(likelihood.batch_log_prob(parameters, x, 17).mean(), parameters)
    # In closed form: the mean log-density at its best σ is -D/2 log(mean squared error) and a constant.
    closed = -2.5 * (x - parameters[:, :-1]).square().mean().log()
    (expected,) = torch.autograd.grad(closed, parameters)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("definition", [GaussianLearned, GaussianPerPixel, GaussianOptimal])
@FEW
@given(output=st.floats(-1e4, 80))
def test_sigma_is_never_below_its_bound_and_says_when_it_lies_there(definition, output):
    likelihood = definition(min_sigma=0.05)
    shared = torch.tensor([0.5, output], dtype=torch.float64)
    if likelihood.is_fitted:
        shared[1] = likelihood.fit(torch.tensor(math.exp(-abs(output)), dtype=torch.float64)).item()
    sigma = likelihood.standard_deviation(shared).item()
    assert sigma >= 0.05 * (1 - 1e-12)
    assert likelihood.is_at_bound(shared).tolist() == [sigma <= 0.0505]


def test_both_sides_of_the_bound_are_met():
    for output, expected in ((-20.0, True), (0.0, False), (3.0, False)):
        assert GaussianLearned().is_at_bound(torch.tensor([0.5, output])).tolist() == [expected]
        assert GaussianPerPixel().is_at_bound(torch.tensor([0.5, 0.1, output, 0.0])).tolist() == [expected, False]
        assert DiscretisedLogistic().is_at_bound(torch.tensor([0.5, 0.1, output, 0.0])).tolist() == [expected, False]
    assert GaussianOptimal().is_at_bound(torch.tensor([0.5, math.log(0.01)])).tolist() == [True]
    assert GaussianOptimal().is_at_bound(torch.tensor([0.5, math.log(0.02)])).tolist() == [False]
    assert Gaussian().is_at_bound(torch.tensor([0.5])) is None
    assert Bernoulli().is_at_bound(torch.tensor([0.5])) is None


def test_a_perfect_fit_leaves_sigma_at_its_bound():
    assert GaussianOptimal(min_sigma=0.03).fit(torch.zeros(1)).exp().item() == pytest.approx(0.03, rel=1e-6)


def test_an_output_of_0_stands_for_the_spread_that_training_starts_with():
    assert START == 0.25
    assert GaussianLearned().standard_deviation(torch.zeros(3)).item() == pytest.approx(START)
    assert GaussianPerPixel().standard_deviation(torch.zeros(4)).tolist() == pytest.approx([START] * 2)
    assert DiscretisedLogistic().components(torch.zeros(4))[2].exp().flatten().tolist() == pytest.approx([START] * 2)
    assert LogisticMixture().components(torch.zeros(9))[2].exp().flatten().tolist() == pytest.approx([START] * 3)


@pytest.mark.parametrize("logit", [-9.0, -2.0, -0.1, -0.001, 0.0, 0.3, 1.0, 9.0])
def test_continuous_bernoulli_is_torchs(logit):
    theirs = distributions.ContinuousBernoulli(logits=torch.tensor(logit, dtype=torch.float64))
    parameters = torch.tensor([logit], dtype=torch.float64)
    likelihood = ContinuousBernoulli()
    for x in (0.0, 0.2, 0.5, 1.0):
        pixel = torch.tensor([x], dtype=torch.float64)
        # torch's normaliser is a Taylor series for probabilities within 0.001 of one half.
        expected = theirs.log_prob(pixel).item()
        assert likelihood.log_prob(parameters, pixel, 256).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert likelihood.mean(parameters).item() == pytest.approx(theirs.mean.item(), rel=1e-6)
    ends = torch.cat([torch.zeros(1), (torch.arange(16) + 0.5) / 16, torch.ones(1)]).double()
    # Their distribution function is the uniform one's there.
    tolerance = 1e-3 if abs(logit) < 0.004 else 1e-8
    torch.testing.assert_close(
        likelihood.log_mass(parameters, levels(17), 17).exp(), theirs.cdf(ends).diff(), rtol=tolerance, atol=0
    )


def test_the_continuous_bernoullis_normaliser_at_one_half_is_ln_2():
    # Their C(λ) normalises λ^x (1 - λ)^(1 - x), which is ½ everywhere at λ = ½: log p = log C(½) - ln 2 = 0.
    found = ContinuousBernoulli().log_prob(torch.zeros(1).double(), torch.tensor([0.3]).double(), 256)
    cross_entropy = Bernoulli().log_prob(torch.zeros(1).double(), torch.tensor([0.3]).double(), 256)
    assert (found - cross_entropy).item() == pytest.approx(math.log(2), rel=1e-14)
    assert found.item() == 0


def level_ends(n_levels: int) -> np.ndarray:
    return np.concatenate([[-np.inf], (np.arange(n_levels - 1) + 0.5) / (n_levels - 1), [np.inf]])


@N_LEVELS
def test_discretised_logistic_is_scipys(n_levels):
    for mean, output in ((0.3, 0.0), (-0.2, -1.0), (1.4, -2.0), (0.99, -30.0)):
        scale = spread(output, 0.001)
        expected = np.diff(stats.logistic.cdf(level_ends(n_levels), mean, scale))
        parameters = torch.tensor([mean, output], dtype=torch.float64)
        found = DiscretisedLogistic().log_prob(parameters, levels(n_levels), n_levels).exp()
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-14)


@N_LEVELS
def test_logistic_mixture_is_the_sum_of_its_components(n_levels):
    likelihood = LogisticMixture(n_components=2)
    logit, mean, output = np.array([0.3, -1.0]), np.array([-0.2, 0.4]), np.array([0.0, -2.0])
    weight = np.exp(logit) / np.exp(logit).sum()
    # Means are counted from places spread over [0, 1]: a quarter and three quarters for two components.
    place = np.array([0.25, 0.75])
    scale = np.array([spread(value, 0.001) for value in output])
    ends = level_ends(n_levels)
    expected = sum(
        share * np.diff(stats.logistic.cdf(ends, m + p, s))
        for share, m, p, s in zip(weight, mean, place, scale, strict=True)
    )
    parameters = torch.tensor(np.concatenate([logit, mean, output]))
    found = likelihood.log_prob(parameters, levels(n_levels), n_levels).exp()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-14)
    logistic = distributions.TransformedDistribution(
        distributions.Uniform(torch.zeros(2).double(), torch.ones(2).double()),
        [
            distributions.SigmoidTransform().inv,
            distributions.AffineTransform(torch.tensor(mean + place), torch.tensor(scale)),
        ],
    )
    mixture = distributions.MixtureSameFamily(distributions.Categorical(logits=torch.tensor(logit)), logistic)
    share = mixture.cdf(torch.tensor(ends[1:-1])).numpy()
    np.testing.assert_allclose(found.numpy(), np.diff(np.concatenate([[0], share, [1]])), rtol=1e-7, atol=1e-12)


def test_a_mixture_of_equal_components_is_one_of_them():
    for n_components in (2, 5):
        likelihood = LogisticMixture(n_components=n_components)
        place = (np.arange(n_components) + 0.5) / n_components
        parameters = torch.tensor([*np.arange(n_components), *(0.4 - place), *[-1.0] * n_components])
        expected = DiscretisedLogistic().log_prob(torch.tensor([0.4, -1.0]).double(), levels(17), 17)
        torch.testing.assert_close(likelihood.log_prob(parameters, levels(17), 17), expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gaussian(sigma=0), "sigma must be above 0, not 0"),
        (lambda: Gaussian(sigma=-1), "sigma must be above 0, not -1"),
        (lambda: GaussianLearned(min_sigma=0), "min_sigma must be above 0 and below 0.25, not 0"),
        (lambda: GaussianPerPixel(min_sigma=0.25), "min_sigma must be above 0 and below 0.25, not 0.25"),
        (lambda: GaussianOptimal(min_sigma=-0.1), "min_sigma must be above 0 and below 0.25, not -0.1"),
        (lambda: DiscretisedLogistic(min_scale=0), "min_scale must be above 0 and below 0.25, not 0"),
        (lambda: LogisticMixture(min_scale=1), "min_scale must be above 0 and below 0.25, not 1"),
        (lambda: LogisticMixture(n_components=1), "n_components must be between 2 and 256, not 1"),
    ],
)
def test_settings_out_of_bounds_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
