"""Evaluation against naive formulas in numpy and scipy, written from the definitions: nothing of the package's own is used
but its weights and its random numbers."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vaebench.evaluation import IMAGE_BLOCK, _derangement, evaluate
from vaebench.images import Images
from vaebench.latent_dimensions import collapse_verdict
from vaebench.likelihoods import LIKELIHOODS
from vaebench.metrics import compute_all
from vaebench.model import build
from vaebench.streams import generator
from vaebench.training import train

N_SAMPLES = 6
N_LEVELS = 17
HALF = 0.5 / 16


def gaussian(mean, sigma):
    """What a Gaussian likelihood says: mean and σ of its pixels, as [..., D]."""
    mean, sigma = np.broadcast_arrays(mean, sigma)
    return {
        "log_prob": lambda x: stats.norm.logpdf(x, mean, sigma).sum(-1),
        "mean": mean,
        "log_mass": lambda x: log_cells(special.log_ndtr, mean, sigma, x).sum(-1),
        "variance": (sigma**2).mean(-1),
    }


def log_cells(log_cdf, mean, spread, x):
    """log P(the level's cell) of a distribution symmetric about its mean, pixel by pixel."""
    start = np.where(x <= 0, -np.inf, (x - HALF - mean) / spread)
    end = np.where(x >= 1, np.inf, (x + HALF - mean) / spread)
    start, end = np.where(start > 0, -end, start), np.where(start > 0, -start, end)
    return log_cdf(end) + np.log1p(-np.exp(log_cdf(start) - log_cdf(end)))


def spread(outputs, minimum):
    return minimum * np.exp(np.logaddexp(0, outputs + math.log(0.25 / minimum - 1)))


def logistics(weight, mean, scale):
    """What a mixture of discretised logistics says: [..., M, D] each."""

    def log_mass(x):
        by_component = log_cells(lambda t: -np.logaddexp(0, -t), mean, scale, x[..., None, :])
        return special.logsumexp(by_component, axis=-2, b=weight).sum(-1)

    # The mean of the mixture, with what lies beyond the first and the last level moved to it.
    between = scale * (np.logaddexp(0, mean / scale) - np.logaddexp(0, (mean - 1) / scale))
    return {"log_prob": log_mass, "mean": (weight * between).sum(-2), "log_mass": log_mass, "at_bound": (scale <= 0.00101)}


def naive_bernoulli(outputs):
    # On grey pixels: the cross-entropy.
    one = special.expit(outputs)
    return {"log_prob": lambda x: (x * np.log(one) + (1 - x) * np.log1p(-one)).sum(-1), "mean": one}


def naive_continuous_bernoulli(outputs):
    def log_mass(x):
        start, end = (x - HALF).clip(min=0), (x + HALF).clip(max=1)
        return np.log((np.expm1(outputs * end) - np.expm1(outputs * start)) / np.expm1(outputs)).sum(-1)

    return {
        "log_prob": lambda x: (outputs * x - np.log(np.expm1(outputs) / outputs)).sum(-1),
        "mean": 1 / (1 - np.exp(-outputs)) - 1 / outputs,
        "log_mass": log_mass,
    }


def naive_gaussian_per_pixel(outputs):
    mean, output = np.split(outputs, 2, axis=-1)
    sigma = spread(output, 0.01)
    return gaussian(mean, sigma) | {"at_bound": sigma <= 0.0101}


def naive_gaussian_learned(outputs):
    sigma = spread(outputs[..., -1:], 0.01)
    return gaussian(outputs[..., :-1], sigma) | {"at_bound": sigma <= 0.0101}


def naive_gaussian_optimal(outputs):
    sigma = np.exp(outputs[..., -1:])
    return gaussian(outputs[..., :-1], sigma) | {"at_bound": sigma <= 0.0101}


def naive_discretised_logistic(outputs):
    mean, output = (values[..., None, :] for values in np.split(outputs, 2, axis=-1))
    return logistics(np.ones_like(mean), mean, spread(output, 0.001))


def naive_logistic_mixture(outputs):
    parts = np.split(outputs, 9, axis=-1)
    logit, mean, output = (np.stack(parts[index : index + 3], axis=-2) for index in (0, 3, 6))
    places = np.array([[1 / 6], [1 / 2], [5 / 6]])
    return logistics(special.softmax(logit, axis=-2), mean + places, spread(output, 0.001))


NAIVE = {
    "bernoulli": naive_bernoulli,
    "gaussian": lambda outputs: gaussian(outputs, 0.5),
    "gaussian-learned": naive_gaussian_learned,
    "gaussian-per-pixel": naive_gaussian_per_pixel,
    "gaussian-optimal": naive_gaussian_optimal,
    "continuous-bernoulli": naive_continuous_bernoulli,
    "discretised-logistic": naive_discretised_logistic,
    "logistic-mixture": naive_logistic_mixture,
}


class Naive:
    """A trained run in numpy, in float64: a sample at a time, an image at a time."""

    def __init__(self, run, state):
        self.run = run
        self.state = {name: parameter.numpy().astype(float) for name, parameter in state.items()}
        self.likelihood = NAIVE[run.likelihood.kind]

    def outputs(self, part: str, values: np.ndarray) -> np.ndarray:
        names = [name for name in self.state if name.startswith(part) and name.endswith("weight")]
        for index, name in enumerate(names):
            values = values if index == 0 else values.clip(min=0)
            values = values @ self.state[name].T + self.state[name.replace("weight", "bias")]
        constant = self.state.get(f"{part}.constant", np.zeros(0))
        return np.concatenate([values, np.broadcast_to(constant, (*values.shape[:-1], len(constant)))], axis=-1)

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance."""
        mean, log_variance = np.split(self.outputs("encoder", x), 2, axis=-1)
        return mean, np.exp(log_variance)

    def decode(self, z: np.ndarray):
        return self.likelihood(self.outputs("decoder", z))

    def rate(self, x: np.ndarray) -> np.ndarray:
        mean, variance = self.posterior(x)
        return 0.5 * (mean**2 + variance - np.log(variance) - 1)

    def z(self, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        mean, variance = self.posterior(x)
        return mean + np.sqrt(variance) * noise

    def terms(self, x: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p(x|z), and the log-weight log p(x|z) p(z) / q(z|x), of each sample."""
        mean, variance = self.posterior(x)
        log_likelihoods, log_weights = [], []
        for sample in noise:
            z = mean + np.sqrt(variance) * sample
            log_p_x = self.decode(z)["log_prob"](x)
            log_p_z = stats.norm.logpdf(z).sum(-1)
            log_q_z = stats.norm.logpdf(z, mean, np.sqrt(variance)).sum(-1)
            log_likelihoods.append(log_p_x)
            log_weights.append(log_p_x + log_p_z - log_q_z)
        return np.array(log_likelihoods), np.array(log_weights)


def noise_of(run, image: int, n_samples: int = N_SAMPLES) -> np.ndarray:
    """What evaluation draws for an image: [K, Z]."""
    block, place = divmod(image, IMAGE_BLOCK)
    shape = (n_samples, IMAGE_BLOCK, run.latent_size)
    return torch.randn(shape, generator=generator(run.seed, "evaluation noise", block))[:, place].numpy().astype(float)


def untrained_state(run):
    """Weights that make a visible difference between images, without training."""
    model = build(run.network, run.likelihood, run.n_levels, 64, run.latent_size, run.seed)
    state = {name: 3 * parameter for name, parameter in model.state_dict().items()}
    if "decoder.constant" in state:
        state["decoder.constant"].fill_(-1.3)
    elif run.likelihood.outputs_per_pixel > 1:
        # Spreads stand last: those of five pixels lie at their bound.
        bias = [name for name in state if name.startswith("decoder") and name.endswith("bias")][-1]
        state[bias][-5:] = -30
    return state


def pixels(images: Images, split: str = "test") -> np.ndarray:
    return images.as_pixels(images[split]).numpy().astype(float)


@pytest.fixture
def run_with(make_experiment):
    def run_with(likelihood="bernoulli", network="mlp", latent_size=3, **changes):
        network = {"kind": "mlp", "hidden": [16]} if network == "mlp" else network
        defaults = {"network": network, "latent_size": latent_size, "epochs": 3, "batch_size": 128} | changes
        experiment = make_experiment(variants={"one": {"likelihood": likelihood}}, baseline="one", defaults=defaults)
        return experiment.runs[1]

    return run_with


@pytest.mark.parametrize("network", ["mlp", "linear"])
@pytest.mark.parametrize("kind", NAIVE)
def test_scores_are_those_of_naive_formulas(run_with, digits, kind, network):
    run = run_with(kind, network)
    state = untrained_state(run)
    (evaluated,) = evaluate([run], [state], digits, N_SAMPLES)
    scores, naive, x = evaluated.scores, Naive(run, state), pixels(digits)
    assert scores.kl.shape == scores.mean.shape == (360, 3)
    assert scores.n_pixels == 64
    kl = naive.rate(x)
    mean, variance = naive.posterior(x)
    np.testing.assert_allclose(scores.kl, kl, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.rate, kl.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores.variance, variance, rtol=1e-4)
    reconstruction = naive.decode(mean)["mean"]
    np.testing.assert_allclose(scores.squared_error, ((x - reconstruction) ** 2).mean(1), rtol=1e-4)
    others = _derangement(run.seed, 360).numpy()
    variances, at_bounds = [], []
    # The first, one in the middle, and the last: that one lies in a block which was padded.
    for image in (0, 100, 359):
        one, noise = x[image], noise_of(run, image)
        log_likelihood, log_weight = naive.terms(one, noise)
        weight = np.exp(log_weight - log_weight.max())
        assert scores.distortion[image] == pytest.approx(-log_likelihood.mean(), rel=1e-5)
        assert scores.nll[image] == pytest.approx(-log_weight.max() - math.log(weight.mean()), rel=1e-5)
        assert scores.effective_samples[image] == pytest.approx(weight.sum() ** 2 / (weight**2).sum(), rel=2e-3)
        other = others[image]
        elsewhere = naive.decode(naive.z(x[other], noise_of(run, other)[0]))["log_prob"](one)
        expected = log_likelihood[0] - elsewhere
        assert scores.permuted_distortion[image] == pytest.approx(expected, rel=1e-4, abs=1e-5 * abs(elsewhere))
        decoded = naive.decode(naive.z(one, noise))
        if "log_mass" in decoded:
            masses = decoded["log_mass"](np.broadcast_to(one, (N_SAMPLES, 64)))
            assert scores.level_distortion[image] == pytest.approx(-masses.mean(), rel=1e-4)
        common = log_cells(special.log_ndtr, decoded["mean"], scores.common_sigma, one).sum(-1).mean()
        assert scores.common_level_distortion[image] == pytest.approx(-common, rel=1e-4)
        pair = one.reshape(8, 8), reconstruction[image].reshape(8, 8)
        assert scores.psnr[image] == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1), rel=1e-4)
        assert scores.ssim[image] == pytest.approx(structural_similarity(*pair, data_range=1), rel=1e-3, abs=1e-4)
    assert (scores.level_distortion is None) == (kind == "bernoulli")
    for image in range(360):
        decoded = naive.decode(naive.z(x[image], noise_of(run, image)))
        variances.append(decoded.get("variance", np.nan))
        at_bounds.append(decoded.get("at_bound", np.nan))
    for found, by_image in ((scores.decoder_variance, variances), (scores.share_at_bound, at_bounds)):
        expected = np.mean(by_image)
        assert (found is None) if math.isnan(expected) else found == pytest.approx(expected, rel=1e-4)
    if run.likelihood.outputs_per_pixel > 1:
        assert 0 < scores.share_at_bound < 1


def test_every_likelihood_has_its_naive_formula():
    assert set(NAIVE) == set(LIKELIHOODS)


def test_several_runs_are_each_scored_with_their_own_weights_and_random_numbers(make_experiment, digits):
    runs = [run for run in make_experiment().runs if run.variant == "mse"]
    states = [untrained_state(run) for run in runs]
    x = pixels(digits)
    for run, state, evaluated in zip(runs, states, evaluate(runs, states, digits, N_SAMPLES), strict=True):
        assert evaluated.run == run
        for image in (0, 359):
            log_likelihood, log_weight = Naive(run, state).terms(x[image], noise_of(run, image))
            assert evaluated.scores.distortion[image] == pytest.approx(-log_likelihood.mean(), rel=1e-5)
            expected = math.log(N_SAMPLES) - np.logaddexp.reduce(log_weight)
            assert evaluated.scores.nll[image] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sampled_pixels", [1, 3 * 64 * IMAGE_BLOCK, 2**20])
def test_many_samples_are_scored_piece_by_piece(run_with, digits, monkeypatch, sampled_pixels):
    monkeypatch.setattr("vaebench.evaluation.SAMPLED_PIXELS", sampled_pixels)
    run = run_with("continuous-bernoulli")
    state = untrained_state(run)
    scores = evaluate([run], [state], digits, n_samples=21)[0].scores
    naive, x = Naive(run, state), pixels(digits)
    for image in (0, 359):
        one, noise = x[image], noise_of(run, image, 21)
        log_likelihood, log_weight = naive.terms(one, noise)
        assert scores.distortion[image] == pytest.approx(-log_likelihood.mean(), rel=1e-5)
        assert scores.nll[image] == pytest.approx(math.log(21) - np.logaddexp.reduce(log_weight), rel=1e-5)
        # Levels take long: the first 16 samples have to do.
        masses = naive.decode(naive.z(one, noise[:16]))["log_mass"](np.broadcast_to(one, (16, 64)))
        assert scores.level_distortion[image] == pytest.approx(-masses.mean(), rel=1e-5)


def test_the_total_correlation_is_a_mean_over_images_at_equal_distances(run_with, digits, monkeypatch):
    run = run_with()
    every = evaluate([run], [untrained_state(run)], digits, 1)[0].scores.correlation
    monkeypatch.setattr("vaebench.evaluation.CORRELATION_SAMPLES", 3)
    some = evaluate([run], [untrained_state(run)], digits, 1)[0].scores.correlation
    assert every.shape == (360,)
    assert some.tolist() == every[[0, 179, 359]].tolist()


def test_information_is_that_of_the_mixture_of_all_posteriors(run_with, digits):
    run = run_with()
    state = untrained_state(run)
    scores = evaluate([run], [state], digits, N_SAMPLES)[0].scores
    naive, x = Naive(run, state), pixels(digits)
    mean, variance = naive.posterior(x)
    z = np.array([naive.z(x[image], noise_of(run, image)[0]) for image in range(360)])
    by_dimension = stats.norm.logpdf(z[:, None], mean, np.sqrt(variance))
    log_q = special.logsumexp(by_dimension.sum(2), axis=1) - math.log(360)
    log_marginals = special.logsumexp(by_dimension, axis=1) - math.log(360)
    own = stats.norm.logpdf(z, mean, np.sqrt(variance)).sum(1)
    np.testing.assert_allclose(scores.log_ratio, own - log_q, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores.correlation, log_q - log_marginals.sum(1), rtol=1e-3, atol=1e-3)
    assert scores.log_ratio.max() <= math.log(360) + 1e-9


def test_a_trained_models_scores_are_those_of_the_definitions_with_other_random_numbers(run_with, digits):
    run = run_with("gaussian-optimal", epochs=10, learning_rate=0.01)
    (trained,) = train([run], digits)
    scores = evaluate([run], [trained.state], digits, n_samples=20)[0].scores
    naive, x = Naive(run, trained.state), pixels(digits)
    log_likelihood, log_weight = naive.terms(x, np.random.default_rng(0).normal(size=(20, 360, 3)))
    nll = math.log(20) - special.logsumexp(log_weight, axis=0)
    assert nll.mean() + 0.3 < -log_weight.mean(), "importance sampling makes a difference here"
    for found, expected in ((scores.nll, nll), (scores.distortion, -log_likelihood.mean(0))):
        difference = found - expected
        assert abs(difference.mean()) < 2 * difference.std(ddof=1) / math.sqrt(360)
    # The trained model knows more of an image than its pixels' means over all images.
    assert nll.mean() < -gaussian(x.mean(0), x.std(0).mean())["log_prob"](x).mean() - 1


def test_one_sample_gives_the_negative_elbo_in_expectation_and_more_give_no_less(run_with, digits):
    run = run_with()
    state = untrained_state(run)
    scores = {k: evaluate([run], [state], digits, k)[0].scores for k in (1, 10, 100)}
    assert scores[1].nll.mean() > scores[10].nll.mean() > scores[100].nll.mean()
    difference = scores[1].nll - scores[1].distortion - scores[1].rate
    assert abs(difference.mean()) < 3 * difference.std() / math.sqrt(360)
    assert scores[1].effective_samples.tolist() == pytest.approx([1] * 360)
    assert scores[100].effective_samples.min() >= 1 - 1e-9
    assert scores[100].effective_samples.max() <= 100


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian-optimal"])
def test_the_common_sigma_is_the_best_for_the_validation_images(run_with, digits, kind):
    run = run_with(kind)
    state = untrained_state(run)
    found = evaluate([run], [state], digits, 1)[0].scores.common_sigma
    naive, x = Naive(run, state), pixels(digits, "validation")
    n_blocks = -(-180 // IMAGE_BLOCK)
    noise = [
        torch.randn(IMAGE_BLOCK, run.latent_size, generator=generator(run.seed, "common sigma noise", block))
        for block in range(n_blocks)
    ]
    mean = naive.decode(naive.z(x, torch.cat(noise)[:180].numpy().astype(float)))["mean"]

    def distortion(sigma: float) -> float:
        return -log_cells(special.log_ndtr, mean, sigma, x).mean()

    best = min(np.geomspace(1e-3, 10, 401), key=distortion)
    assert found == pytest.approx(best, rel=0.03)
    assert distortion(found) <= distortion(best) + 1e-7


def test_binary_data_have_no_common_likelihood(run_with, digits):
    run = run_with(binarisation="threshold")
    binary = Images(digits.levels, digits.n_levels, "threshold")
    state = untrained_state(run)
    scores = evaluate([run], [state], binary, N_SAMPLES)[0].scores
    assert scores.common_sigma is None
    assert scores.common_level_distortion is None
    # The Bernoulli likelihood is a mass there: its distortion is that of the levels.
    np.testing.assert_allclose(scores.level_distortion, scores.distortion, rtol=1e-5)
    x = (pixels(digits) > 0.5).astype(float)
    log_likelihood, _ = Naive(run, state).terms(x[7], noise_of(run, 7))
    assert scores.distortion[7] == pytest.approx(-log_likelihood.mean(), rel=1e-5)


@pytest.mark.parametrize(("split", "n"), [("train", 1257), ("validation", 180)])
def test_other_splits_can_be_scored(run_with, digits, split, n):
    run = run_with("gaussian")
    state = untrained_state(run)
    scores = evaluate([run], [state], digits, N_SAMPLES, split=split)[0].scores
    assert len(scores.rate) == n
    x = pixels(digits, split)
    for image in (0, n - 1):
        log_likelihood, _ = Naive(run, state).terms(x[image], noise_of(run, image))
        assert scores.distortion[image] == pytest.approx(-log_likelihood.mean(), rel=1e-5)
    # The common σ comes from the validation images whatever is scored.
    assert scores.common_sigma == evaluate([run], [state], digits, 1)[0].scores.common_sigma


@pytest.mark.parametrize("network", ["mlp", "linear"])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_a_decoder_that_ignores_z_has_no_use_of_it(run_with, digits, kind, network):
    run = run_with(kind, network)
    state = untrained_state(run)
    state[next(name for name in state if name.startswith("decoder") and name.endswith("0.weight"))].zero_()
    estimates = compute_all(evaluate([run], [state], digits, 2)[0].scores)
    assert estimates["decoder_use"] == (0, 0)
    assert estimates["rate"].value > 0


@pytest.mark.parametrize("network", ["mlp", "linear"])
def test_an_encoder_that_says_nothing_has_collapsed(run_with, digits, network):
    run = run_with("gaussian", network)
    state = untrained_state(run)
    for name in state:
        if name.startswith("encoder"):
            state[name].zero_()
    scores = evaluate([run], [state], digits, N_SAMPLES)[0].scores
    estimates = compute_all(scores)
    assert estimates["rate"] == (0, 0)
    assert estimates["mutual_information"].value == pytest.approx(0, abs=1e-12)
    assert estimates["marginal_kl"].value == pytest.approx(0, abs=1e-12)
    assert estimates["total_correlation"].value == pytest.approx(0, abs=1e-12)
    assert estimates["active_units"].value == 0
    assert estimates["posterior_variance"] == (1, 0)
    assert collapse_verdict(estimates["collapsed_units"].value, run.latent_size) == "full"
    # z knows nothing of its image: another image's serves as well.
    assert abs(estimates["decoder_use"].value) < 4 * estimates["decoder_use"].standard_error


def test_a_single_image_and_a_single_dimension(run_with, digits):
    run = run_with("gaussian-learned", latent_size=1)
    levels = {split: values[:1] for split, values in digits.levels.items()}
    scores = evaluate([run], [untrained_state(run)], Images(levels, 17, "none"), N_SAMPLES)[0].scores
    estimates = compute_all(scores)
    assert all(math.isfinite(estimate.value) for estimate in estimates.values())
    assert estimates["mutual_information"].value == pytest.approx(0, abs=1e-9)
    assert estimates["decoder_use"].value == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 10, 361])
def test_every_image_is_given_anothers_z(n):
    for seed in range(3):
        permutation = _derangement(seed, n)
        assert sorted(permutation.tolist()) == list(range(n))
        assert (permutation != torch.arange(n)).all()
    assert _derangement(0, 1).tolist() == [0]


PLAIN = {"schedule": "constant", "weight": 1.0}


@pytest.mark.parametrize(
    ("likelihood", "network", "kl", "is_known"),
    [
        ("gaussian", "linear", PLAIN, True),
        ("gaussian", "linear", PLAIN | {"weight": 4.0}, True),
        ("gaussian", "linear", {"schedule": "linear", "weight": 0.5, "over": 0.3}, True),
        ("gaussian-learned", "linear", PLAIN, True),
        ("gaussian-optimal", "linear", PLAIN | {"weight": 0.5}, True),
        ("gaussian-learned", "linear", PLAIN | {"weight": 2.0}, False),
        ("gaussian", "linear", PLAIN | {"weight": 0.0}, False),
        ("gaussian", "linear", {"schedule": "free-bits", "free_nats": 0.1}, False),
        ("gaussian", "linear", {"schedule": "capacity", "nats": 2.0}, False),
        ("gaussian-per-pixel", "linear", PLAIN, False),
        ("bernoulli", "linear", PLAIN, False),
        ("gaussian", "mlp", PLAIN, False),
    ],
)
def test_the_exact_optimum_is_known_of_linear_gaussian_models_alone(run_with, digits, likelihood, network, kl, is_known):
    run = run_with(likelihood, network, kl=kl)
    optimum = evaluate([run], [untrained_state(run)], digits, 1)[0].scores.optimum
    assert (optimum is not None) == is_known
    if is_known:
        eigenvalues = np.linalg.eigvalsh(np.cov(pixels(digits, "train"), rowvar=False, ddof=0))[::-1]
        np.testing.assert_allclose(optimum.eigenvalues, eigenvalues[:3], rtol=1e-6)
        ratio = eigenvalues[:3] / (kl["weight"] * optimum.sigma**2)
        np.testing.assert_allclose(optimum.kl, 0.5 * np.log(ratio).clip(min=0), rtol=1e-6)
        if likelihood == "gaussian":
            assert optimum.sigma == 0.5


@pytest.mark.parametrize("latent_size", [3, 70])
@pytest.mark.parametrize("kind", ["gaussian-learned", "gaussian-optimal"])
def test_an_optimal_sigma_keeps_to_the_likelihoods_bound(run_with, digits, kind, latent_size):
    # With three dimensions the best σ is about 0.2; seventy take up all that the 64 pixels have.
    run = run_with({"kind": kind, "min_sigma": 0.24}, "linear", latent_size)
    scores = evaluate([run], [untrained_state(run)], digits, 1)[0].scores
    assert scores.optimum.sigma == 0.24
    assert math.isfinite(scores.optimum.elbo)
    assert scores.optimum.kl.shape == (latent_size,)
