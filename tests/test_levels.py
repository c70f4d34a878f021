"""Probabilities of grey levels against mpmath, with 60 digits, and scipy."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from scipy import integrate, special, stats

from vaebench.levels import (
    bernoulli_log_mass,
    censored_logistic_mean,
    continuous_bernoulli_log_mass,
    continuous_bernoulli_mean,
    continuous_bernoulli_quantile,
    gaussian_log_mass,
    log_mean_exp,
    log_mean_exp_power,
    logistic_log_mass,
)

FEW = settings(derandomize=True, deadline=None, max_examples=50, database=None)
N_LEVELS = pytest.mark.parametrize("n_levels", [2, 17, 256])
ANY_N_LEVELS = st.sampled_from([2, 17, 256])
MEANS = (-3.0, -0.01, 0.0, 0.3, 0.5, 1.0, 1.2, 5.0)
SPREADS = (1e-3, 0.02, 0.3, 1.0, 30.0, 1e3)
ETAS = (0.0, 1e-9, 1e-3, 0.0099, 0.0101, 0.3, 0.49, 0.51, 5.0, 40.0, 700.0, 1e4)


@pytest.fixture(autouse=True)
def precise():
    with mpmath.workdps(60):
        yield


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def levels(n_levels: int) -> torch.Tensor:
    return torch.arange(n_levels, dtype=torch.float64) / (n_levels - 1)


def some_levels(n_levels: int) -> list[int]:
    return sorted({0, 1, n_levels // 3, n_levels // 2, n_levels - 2, n_levels - 1})


def cell(level: int, n_levels: int) -> tuple[mpf, mpf]:
    """The values that a level owns."""
    start = -mpmath.inf if level == 0 else (level - mpf(1) / 2) / (n_levels - 1)
    end = mpmath.inf if level == n_levels - 1 else (level + mpf(1) / 2) / (n_levels - 1)
    return start, end


def exact_log_mass(log_upper_tail, mean: float, spread: float, level: int, n_levels: int) -> float:
    """From log P(standardised y > t), symmetric about 0: the smaller tail is the one that is looked at."""
    start, end = ((value - mpf(mean)) / mpf(spread) for value in cell(level, n_levels))
    if start + end < 0:
        start, end = -end, -start
    beyond = mpf(0) if end == mpmath.inf else mpmath.exp(log_upper_tail(end))
    return float(mpmath.log(mpmath.exp(log_upper_tail(start)) - beyond))


def gaussian_tail(t: mpf) -> mpf:
    return mpmath.log(mpmath.erfc(t / mpmath.sqrt(2)) / 2)


def logistic_tail(t: mpf) -> mpf:
    return -mpmath.log1p(mpmath.exp(t)) if t < 0 else -t - mpmath.log1p(mpmath.exp(-t))


@N_LEVELS
@pytest.mark.parametrize("sigma", SPREADS)
def test_gaussian_log_mass_is_exact(n_levels, sigma):
    for mean in MEANS:
        for level in some_levels(n_levels):
            found = gaussian_log_mass(tensor(mean), tensor(sigma), levels(n_levels)[level], n_levels).item()
            expected = exact_log_mass(gaussian_tail, mean, sigma, level, n_levels)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-15), (mean, level)


@N_LEVELS
@pytest.mark.parametrize("log_scale", [-6.9, -4.0, -1.0, 0.0, 3.0, 7.0])
def test_logistic_log_mass_is_exact(n_levels, log_scale):
    for mean in MEANS:
        for level in some_levels(n_levels):
            found = logistic_log_mass(tensor(mean), tensor(log_scale), levels(n_levels)[level], n_levels).item()
            expected = exact_log_mass(logistic_tail, mean, mpmath.exp(log_scale), level, n_levels)
            assert found == pytest.approx(expected, rel=1e-11, abs=1e-15), (mean, level)


@pytest.mark.parametrize("distance", [5, 30, 100, 1000])
@pytest.mark.parametrize("side", [-1, 1])
def test_gaussian_log_mass_holds_far_out(distance, side):
    sigma = 0.01
    for level in (0, 100, 255):
        # So far outside the level's own cell, on the side where it is improbable.
        start, end = (float(value) for value in cell(level, 256))
        mean = start - distance * sigma if side < 0 else end + distance * sigma
        if math.isinf(mean):
            continue
        found = gaussian_log_mass(tensor(mean), tensor(sigma), levels(256)[level], 256).item()
        assert found == pytest.approx(exact_log_mass(gaussian_tail, mean, sigma, level, 256), rel=1e-9)
        # And of that order: the leading term of the tail.
        assert found == pytest.approx(-(distance**2) / 2, abs=2 * math.log(distance) + 3)


def test_gaussian_log_mass_is_exact_on_both_sides_of_where_another_formula_takes_over():
    sigma = 1e-3
    for distance in (28.2, 28.28, 28.29, 28.4, 35.0):
        mean = float(cell(100, 256)[1]) + distance * sigma
        found = gaussian_log_mass(tensor(mean), tensor(sigma), levels(256)[100], 256).item()
        assert found == pytest.approx(exact_log_mass(gaussian_tail, mean, sigma, 100, 256), rel=0, abs=1e-7)


@N_LEVELS
def test_gaussian_log_mass_is_scipys_difference_of_log_cdfs(n_levels):
    for mean, sigma in ((-0.4, 0.05), (0.2, 0.1), (0.7, 0.01), (1.5, 0.3)):
        x = levels(n_levels).numpy()
        half = 0.5 / (n_levels - 1)
        start, end = (x - half - mean) / sigma, (x + half - mean) / sigma
        start[0], end[-1] = -np.inf, np.inf
        # Mirrored where the cell lies above the mean, so that both logarithms are of small numbers.
        start, end = np.where(start > 0, -end, start), np.where(start > 0, -start, end)
        log_end, log_start = special.log_ndtr(end), special.log_ndtr(start)
        expected = log_end + np.log1p(-np.exp(log_start - log_end))
        found = gaussian_log_mass(tensor(mean), tensor(sigma), levels(n_levels), n_levels)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-13)


@N_LEVELS
def test_logistic_log_mass_is_scipys_difference_of_cdfs(n_levels):
    for mean, scale in ((-0.1, 0.05), (0.2, 0.1), (0.7, 0.03), (1.1, 0.3)):
        ends = np.append(-np.inf, np.append((np.arange(n_levels - 1) + 0.5) / (n_levels - 1), np.inf))
        expected = np.diff(stats.logistic.cdf(ends, mean, scale))
        found = logistic_log_mass(tensor(mean), tensor(math.log(scale)), levels(n_levels), n_levels).exp()
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-14)


@FEW
@given(mean=st.floats(-1e4, 1e4), log_sigma=st.floats(math.log(1e-4), math.log(1e4)), n_levels=ANY_N_LEVELS)
def test_gaussian_levels_sum_to_1(mean, log_sigma, n_levels):
    log_mass = gaussian_log_mass(tensor(mean), tensor(log_sigma).exp(), levels(n_levels), n_levels)
    assert log_mass.isfinite().all()
    assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-10)


@FEW
@given(mean=st.floats(-1e4, 1e4), log_scale=st.floats(-7, 1e4), n_levels=ANY_N_LEVELS)
def test_logistic_levels_sum_to_1(mean, log_scale, n_levels):
    log_mass = logistic_log_mass(tensor(mean), tensor(log_scale), levels(n_levels), n_levels)
    assert log_mass.isfinite().all()
    assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-10)


@FEW
@given(eta=st.floats(-1e4, 1e4), n_levels=ANY_N_LEVELS)
def test_continuous_bernoulli_levels_sum_to_1(eta, n_levels):
    log_mass = continuous_bernoulli_log_mass(tensor(eta), levels(n_levels), n_levels)
    assert log_mass.isfinite().all()
    assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_gaussian_log_mass_stays_finite_at_any_sigma():
    assert gaussian_log_mass(tensor(0.3), tensor(1e-10), levels(256), 256).isfinite().all()
    for sigma in (1e7, 1e20, math.inf):
        log_mass = gaussian_log_mass(tensor(0.3), tensor(sigma), levels(256), 256)
        assert log_mass.isfinite().all()
        # Far wider than all pixel values: half the mass at either end, next to none between.
        assert log_mass[[0, -1]].tolist() == pytest.approx([math.log(0.5)] * 2, abs=1e-6)


def test_a_narrow_distribution_has_all_its_mass_on_the_nearest_level():
    for mean, level in ((-2.0, 0), (0.03, 0), (0.0626, 1), (0.5, 8), (0.96, 15), (0.97, 16), (7.0, 16)):
        x = levels(17)
        assert gaussian_log_mass(tensor(mean), tensor(1e-5), x, 17).argmax() == level
        assert gaussian_log_mass(tensor(mean), tensor(1e-5), x, 17)[level] == pytest.approx(0, abs=1e-12)
        assert logistic_log_mass(tensor(mean), tensor(-12.0), x, 17)[level] == pytest.approx(0, abs=1e-12)


def test_in_single_precision_levels_are_told_apart_too():
    x = levels(256).float()
    for mean, sigma in ((0.3, 0.01), (0.5, 0.002), (1.0, 0.1)):
        single = gaussian_log_mass(torch.tensor(mean), torch.tensor(sigma), x, 256)
        assert single.dtype == torch.float64
        assert single.exp().sum().item() == pytest.approx(1, abs=1e-5)
        logistic = logistic_log_mass(torch.tensor(mean), torch.tensor(sigma).log(), x, 256)
        assert logistic.double().exp().sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("a", [0.0, 1e-12, 1e-3, 0.0099, 0.0101, 0.5, 3.0, 50.0, 1e4])
def test_log_mean_exp_is_the_log_of_the_integral(a):
    expected = mpmath.log(mpmath.quad(lambda t: mpmath.exp(-a * t), [0, min(1, 30 / max(a, 1)), 1]))
    assert log_mean_exp(tensor(a)).item() == pytest.approx(float(expected), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("eta", [sign * eta for eta in ETAS for sign in (-1, 1)])
def test_the_continuous_bernoulli_is_exact(eta):
    exact = mpf(eta)

    def log_normaliser(width):
        """log ∫₀^width exp(η t) dt, over width."""
        return mpmath.log(mpmath.expm1(exact * width) / (exact * width)) if eta else mpf(0)

    assert log_mean_exp_power(tensor(eta)).item() == pytest.approx(float(log_normaliser(1)), rel=1e-11, abs=1e-11)
    mean = 1 / (1 - mpmath.exp(-exact)) - 1 / exact if eta else mpf(1) / 2
    assert continuous_bernoulli_mean(tensor(eta)).item() == pytest.approx(float(mean), rel=1e-10)
    for n_levels in (2, 17):
        found = continuous_bernoulli_log_mass(tensor(eta), levels(n_levels), n_levels)
        for level in range(n_levels):
            start, end = cell(level, n_levels)
            start, end = max(start, mpf(0)), min(end, mpf(1))
            width = end - start
            expected = exact * start + mpmath.log(width) + log_normaliser(width) - log_normaliser(1)
            assert found[level].item() == pytest.approx(float(expected), rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("eta", [0.0, 1e-4, 0.01, 0.7, -0.7, 12.0, -12.0, 1e3, -1e3])
def test_the_continuous_bernoullis_quantile_inverts_its_distribution_function(eta):
    share = tensor(0.0, 1e-3, 0.2, 0.5, 0.9, 0.999)
    quantile = continuous_bernoulli_quantile(tensor(eta), share)
    assert quantile.min() >= 0
    assert quantile.max() <= 1
    found = [float(mpmath.expm1(mpf(eta) * mpf(q)) / mpmath.expm1(eta)) if eta else q for q in quantile.tolist()]
    # A positive logit is the mirror image of a negative one, its shares too.
    expected = 1 - share.numpy() if eta > 0 else share.numpy()
    assert found == pytest.approx(expected.tolist(), abs=2e-5)


@pytest.mark.parametrize("scale", [0.001, 0.05, 0.4, 10.0, 1e4])
@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.3, 1.0, 1.7])
def test_the_censored_logistics_mean_is_the_integral_of_its_upper_tail(mean, scale):
    # E[min(max(y, 0), 1)] is the integral of P(y > t) over t in [0, 1].
    expected, _ = integrate.quad(lambda t: special.expit((mean - t) / scale), 0, 1, points=[min(max(mean, 0), 1)])
    found = censored_logistic_mean(tensor(mean), tensor(math.log(scale)))
    assert found.item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("n_levels", [17, 256])
def test_rounding_to_levels_hardly_moves_the_censored_logistics_mean(n_levels):
    step = 1 / (n_levels - 1)
    for scale, allowed in ((0.02 * step, 0.5), (0.25 * step, 0.06), (step, 0.02), (3.0, 0.001)):
        for mean in np.linspace(-0.3, 1.3, 61):
            log_scale = tensor(math.log(scale))
            mass = logistic_log_mass(tensor(mean), log_scale, levels(n_levels), n_levels).exp()
            of_levels = (mass * levels(n_levels)).sum().item()
            assert abs(of_levels - censored_logistic_mean(tensor(mean), log_scale).item()) <= allowed * step, (scale, mean)


@pytest.mark.parametrize("n_pixels", [1, 7, 64, 101, 784])
def test_bernoulli_pixels_are_those_of_single_terms(n_pixels):
    """Groups of pixels share a logarithm; 101 is prime, so that every pixel is a group of its own."""
    generator = torch.Generator().manual_seed(0)
    logits = 8 * torch.randn(3, 5, n_pixels, generator=generator)
    x = torch.rand(5, n_pixels, generator=generator)
    expected = np.zeros((3, 5))
    for lane, image, pixel in np.ndindex(logits.shape):
        logit, level = float(logits[lane, image, pixel]), float(x[image, pixel])
        expected[lane, image] += level * logit - max(logit, 0) - math.log1p(math.exp(-abs(logit)))
    found = bernoulli_log_mass(logits, x)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=3e-6)


def test_bernoulli_pixels_of_extreme_logits():
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4], [-60.0, 60.0], [0.0, 0.0]], requires_grad=True)
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.25, 1.0]])
    found = bernoulli_log_mass(logits, x)
    assert found.tolist() == pytest.approx([0, -2e4, 0, -2 * math.log(2)])
    [gradient] = torch.autograd.grad(found.sum(), logits)
    # x - σ(η), which far from 0 is not lost in rounding.
    assert gradient[:2].tolist() == [[0, 0], [-1, 1]]
    assert gradient[2, 0].item() == pytest.approx(-math.exp(-60), rel=1e-5)
    assert gradient[3].tolist() == [-0.25, 0.5]
