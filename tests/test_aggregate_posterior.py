"""The aggregate posterior against a naive double loop, and what mutual information and its relatives must keep."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp

from vaebench import aggregate_posterior
from vaebench.evaluation import _information
from vaebench.metrics import compute_all
from vaebench.scores import Scores

FEW = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def posteriors(n: int, latent_size: int, seed: int = 0, distance: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One sample z of each posterior, their means and their log-variances: three [n, latent_size]."""
    generator = np.random.default_rng(seed)
    mean, log_variance, noise = generator.normal(size=(3, n, latent_size))
    mean *= distance
    return mean + np.exp(log_variance / 2) * noise, mean, log_variance


def scores(z: np.ndarray, mean: np.ndarray, log_variance: np.ndarray) -> Scores:
    """Of these posteriors; all else is arbitrary."""
    n = len(z)
    log_ratio, correlation = _information(z, mean, log_variance)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1)
    arbitrary = dict.fromkeys(
        ("distortion", "nll", "effective_samples", "permuted_distortion", "squared_error", "psnr"), np.ones(n)
    )
    return Scores(
        **arbitrary,
        rate=kl.sum(1),
        kl=kl,
        mean=mean,
        variance=np.exp(log_variance),
        log_ratio=log_ratio,
        correlation=correlation,
        n_pixels=64,
        kl_weight=1.0,
    )


def information(*arrays: np.ndarray) -> dict[str, float]:
    return {name: estimate.value for name, estimate in compute_all(scores(*arrays)).items()}


def naive_log_densities(z: np.ndarray, mean: np.ndarray, log_variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log q(z) [M] and log q(z_i) [M, Z], one sample and one posterior at a time."""
    log_q, log_marginals = [], []
    for sample in z:
        pairs = list(zip(mean, np.exp(log_variance / 2), strict=True))
        by_image = np.array([stats.norm.logpdf(sample, centre, sigma) for centre, sigma in pairs])
        log_q.append(logsumexp(by_image.sum(1)) - math.log(len(mean)))
        log_marginals.append(logsumexp(by_image, axis=0) - math.log(len(mean)))
    return np.array(log_q), np.array(log_marginals)


@pytest.mark.parametrize("distance", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(("n", "latent_size"), [(1, 1), (1, 3), (50, 1), (60, 4)])
def test_densities_are_those_of_a_double_loop(n, latent_size, distance):
    z, mean, log_variance = posteriors(n, latent_size, distance=distance)
    z = z[: n - n // 3]
    expected, expected_marginals = naive_log_densities(z, mean, log_variance)
    arguments = [torch.from_numpy(values) for values in (z, mean, log_variance)]
    np.testing.assert_allclose(aggregate_posterior.log_density(*arguments).numpy(), expected, rtol=1e-9, atol=1e-9)
    marginals = aggregate_posterior.log_marginal_densities(*arguments).numpy()
    np.testing.assert_allclose(marginals, expected_marginals, rtol=1e-11, atol=1e-11)


def test_information_is_that_of_a_double_loop():
    z, mean, log_variance = posteriors(80, 3)
    log_q, log_marginals = naive_log_densities(z, mean, log_variance)
    log_conditional = stats.norm.logpdf(z, mean, np.exp(log_variance / 2)).sum(1)
    log_prior = stats.norm.logpdf(z).sum(1)
    found = information(z, mean, log_variance)
    mutual_information = (log_conditional - log_q).mean()
    assert found["mutual_information"] == pytest.approx(mutual_information, rel=1e-9)
    assert found["total_correlation"] == pytest.approx((log_q - log_marginals.sum(1)).mean(), rel=1e-9)
    assert found["marginal_kl"] == pytest.approx(found["rate"] - mutual_information, rel=1e-9)
    # The rate is in closed form, so the marginal KL at these samples differs by how far they lie from expectation.
    rate_at_samples = (log_conditional - log_prior).mean()
    assert found["marginal_kl"] - (log_q - log_prior).mean() == pytest.approx(found["rate"] - rate_at_samples, rel=1e-9)
    dimension_kl = (log_marginals.sum(1) - log_prior).mean()
    assert found["dimension_kl"] - dimension_kl == pytest.approx(found["rate"] - rate_at_samples, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 37, 200])
@pytest.mark.parametrize("latent_size", [1, 5])
def test_the_parts_add_up(n, latent_size):
    found = information(*posteriors(n, latent_size, distance=2))
    assert found["mutual_information"] + found["marginal_kl"] == pytest.approx(found["rate"], rel=1e-6)
    assert found["total_correlation"] + found["dimension_kl"] == pytest.approx(found["marginal_kl"], rel=1e-6)
    if latent_size == 1:
        assert found["total_correlation"] == pytest.approx(0, abs=1e-12)
    if n == 1:
        assert found["mutual_information"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("log_variance", [-3.0, 0.0, 1.0])
def test_posteriors_that_are_all_the_same_say_nothing(log_variance):
    z = posteriors(100, 4)[0]
    same = np.full((100, 4), 0.7), np.full((100, 4), log_variance)
    log_ratio, correlation = _information(z, *same)
    np.testing.assert_allclose(log_ratio, 0, atol=1e-12)
    np.testing.assert_allclose(correlation, 0, atol=1e-12)


@pytest.mark.parametrize("n", [2, 50, 500])
def test_posteriors_that_nothing_confuses_say_which_image_it_is(n):
    _, mean, _ = posteriors(n, 3)
    mean[:, 0] = 100 * np.arange(n)
    log_variance = np.zeros((n, 3))
    z = mean + np.random.default_rng(1).normal(size=mean.shape)
    assert information(z, mean, log_variance)["mutual_information"] == pytest.approx(math.log(n), abs=1e-9)
    # In pairs of the same two posteriors one bit less is said.
    mean[1::2] = mean[::2][: n // 2]
    z = mean + np.random.default_rng(1).normal(size=mean.shape)
    assert information(z, mean, log_variance)["mutual_information"] == pytest.approx(math.log(n / 2), abs=1e-9)


@FEW
@given(
    n=st.integers(1, 40),
    latent_size=st.integers(1, 4),
    seed=st.integers(0, 1000),
    distance=st.sampled_from([1e-6, 0.1, 1.0, 1e3, 1e6]),
    log_variance=st.floats(-30, 10),
)
def test_no_image_is_told_from_more_than_all_of_them(n, latent_size, seed, distance, log_variance):
    z, mean, _ = posteriors(n, latent_size, seed, distance)
    z = mean + math.exp(log_variance / 2) * (z - mean)
    log_ratio, correlation = _information(z, mean, np.full_like(mean, log_variance))
    # Numbers of 1e6 have 1e-10 left behind them, in which the narrowest posteriors here are 1e-7 wide.
    assert log_ratio.max() <= math.log(n) + 1e-2 * (distance == 1e6) + 1e-6
    assert np.isfinite(correlation).all()


def test_dimensions_that_know_nothing_of_each_other_have_no_total_correlation():
    # Every combination of two posteriors in one dimension and three in the other: the mixture is a product.
    mean = np.array([(one, other) for one in (-3.0, 2.0) for other in (-5.0, 0.0, 4.0)])
    log_variance = np.array([(one, other) for one in (0.1, -1.0) for other in (0.0, -2.0, 0.5)])
    z = np.tile(mean, (20, 1)) + np.random.default_rng(0).normal(size=(120, 2))
    arguments = [torch.from_numpy(values) for values in (z, mean, log_variance)]
    joint = aggregate_posterior.log_density(*arguments)
    marginals = aggregate_posterior.log_marginal_densities(*arguments)
    torch.testing.assert_close(joint, marginals.sum(1), rtol=0, atol=1e-12)


def test_two_dimensions_that_are_copies_have_the_total_correlation_of_one():
    # Far apart: the joint density tells as much of the image as either marginal, so TC = ln N.
    n = 30
    mean = np.repeat(100.0 * np.arange(n)[:, None], 2, axis=1)
    z = mean + np.random.default_rng(0).normal(size=mean.shape)
    assert information(z, mean, np.zeros((n, 2)))["total_correlation"] == pytest.approx(math.log(n), abs=1e-9)


def test_gaussian_data_under_their_exact_linear_posterior_have_the_prior_as_aggregate():
    # x = W z + noise with orthogonal columns: posteriors of variance s/λ around means of variance 1 - s/λ.
    n, ratio = 4000, np.array([4.0, 2.0])
    generator = np.random.default_rng(0)
    mean = generator.normal(size=(n, 2)) * np.sqrt(1 - 1 / ratio)
    log_variance = np.tile(-np.log(ratio), (n, 1))
    z = mean + np.exp(log_variance / 2) * generator.normal(size=(n, 2))
    estimates = compute_all(scores(z, mean, log_variance))
    found = {name: estimate.value for name, estimate in estimates.items()}
    exact = 0.5 * np.log(ratio).sum()
    # Chance moves the rate by the variance of the means; the mixture of 4,000 is not quite the prior.
    assert found["rate"] == pytest.approx(exact, abs=0.04)
    assert found["mutual_information"] == pytest.approx(exact, abs=4 * estimates["mutual_information"].standard_error)
    assert found["mutual_information"] == pytest.approx(found["rate"], abs=0.04)
    assert found["marginal_kl"] == pytest.approx(0, abs=0.04)
    assert found["total_correlation"] == pytest.approx(0, abs=0.01)
    assert found["dimension_kl"] == pytest.approx(0, abs=0.04)


def test_chunks_change_nothing(monkeypatch):
    arguments = [torch.from_numpy(values) for values in posteriors(300, 3)]
    functions = aggregate_posterior.log_density, aggregate_posterior.log_marginal_densities
    whole = [function(*arguments) for function in functions]
    for block in (1, 700, 90_000):
        monkeypatch.setattr(aggregate_posterior, "BLOCK", block)
        for function, expected in zip(functions, whole, strict=True):
            torch.testing.assert_close(function(*arguments), expected, rtol=1e-13, atol=1e-13)


def test_both_ways_to_distances_agree(monkeypatch):
    arguments = [torch.from_numpy(values) for values in posteriors(200, 3, distance=5)]
    products = aggregate_posterior.log_density(*arguments)
    monkeypatch.setattr(aggregate_posterior, "ROUNDING", 0)
    torch.testing.assert_close(products, aggregate_posterior.log_density(*arguments), rtol=1e-10, atol=1e-10)


# What stands there before is torch itself; a process that asks for more than the limit is refused.
WITHIN_A_QUARTER_OF_A_GIBIBYTE = """
import pathlib, re, resource
import torch
torch.set_num_threads(1)
from vaebench import aggregate_posterior
generator = torch.Generator().manual_seed(0)
mean, log_variance = torch.randn(2, 10_000, 20, generator=generator, dtype=torch.float64)
present = int(re.search(r"VmData:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (present + 2**28, resource.RLIM_INFINITY))
aggregate_posterior.log_density(mean[:4000], mean, log_variance)
aggregate_posterior.log_marginal_densities(mean[:250], mean, log_variance)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts memory so")
@pytest.mark.parametrize(("block", "fits"), [(aggregate_posterior.BLOCK, True), (2**40, False)])
def test_memory_grows_with_the_images_and_not_with_their_square(block, fits):
    # One matrix of all pairs has 0.3 GiB.
    script = WITHIN_A_QUARTER_OF_A_GIBIBYTE.replace("generator =", f"aggregate_posterior.BLOCK = {block}\ngenerator =", 1)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode == 0) == fits, run.stderr
    assert fits or "can't allocate memory" in run.stderr
