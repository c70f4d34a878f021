"""Evaluation against a naive loop over images and samples, written from the definitions."""

import math

import numpy as np
import pytest
import torch

from vaebench.evaluation import IMAGE_BLOCK, evaluate
from vaebench.model import build
from vaebench.streams import generator

N_SAMPLES = 6


def trained_state(run):
    """Weights that make a visible difference between images, without training."""
    model = build(run.network, run.likelihood, 64, run.latent_size, run.seed)
    return {name: 3 * parameter for name, parameter in model.state_dict().items()}


def naive_scores(run, state, x, image):
    """Rate, distortion and NLL_K of one image, a sample at a time, in float64."""
    model = build(run.network, run.likelihood, 64, run.latent_size, run.seed)
    model.load_state_dict(state)
    model.double()
    block, place = divmod(image, IMAGE_BLOCK)
    shape = (N_SAMPLES, IMAGE_BLOCK, run.latent_size)
    noise = torch.randn(shape, generator=generator(run.seed, "evaluation noise", block))[:, place].double()
    mean, log_variance = model.encoder(x[image].double()).chunk(2)
    rate = sum(0.5 * (m * m + math.exp(v) - v - 1) for m, v in zip(mean.tolist(), log_variance.tolist(), strict=True))
    log_likelihoods, weights = [], []
    for sample in noise:
        z = mean + torch.exp(0.5 * log_variance) * sample
        log_p_x = model.likelihood.log_prob(model.decoder(z), x[image].double()).item()
        log_p_z = sum(-0.5 * (math.log(2 * math.pi) + c * c) for c in z.tolist())
        log_q_z = sum(
            -0.5 * (math.log(2 * math.pi) + v + (c - m) ** 2 / math.exp(v))
            for c, m, v in zip(z.tolist(), mean.tolist(), log_variance.tolist(), strict=True)
        )
        log_likelihoods.append(log_p_x)
        weights.append(log_p_x + log_p_z - log_q_z)
    return rate, -np.mean(log_likelihoods), math.log(N_SAMPLES) - np.logaddexp.reduce(weights), mean.numpy()


@pytest.mark.parametrize("variant", ["bce", "mse"])
def test_scores_are_those_of_a_naive_loop(make_experiment, digits, variant):
    runs = [run for run in make_experiment().runs if run.variant == variant]
    states = [trained_state(run) for run in runs]
    x = digits.as_pixels(digits["test"])
    for run, state, evaluated in zip(runs, states, evaluate(runs, states, digits, N_SAMPLES), strict=True):
        scores = evaluated.scores
        assert scores.rate.shape == (360,)
        assert scores.kl.shape == scores.mean.shape == (360, run.latent_size)
        # The first, one in the middle, and the last: that one lies in a block which was padded.
        for image in (0, 100, 359):
            rate, distortion, nll, mean = naive_scores(run, state, x, image)
            assert scores.rate[image] == pytest.approx(rate, rel=1e-5)
            assert scores.kl[image].sum() == pytest.approx(rate, rel=1e-5)
            assert scores.distortion[image] == pytest.approx(distortion, rel=1e-5)
            assert scores.nll[image] == pytest.approx(nll, rel=1e-5)
            assert scores.mean[image] == pytest.approx(mean, rel=1e-4, abs=1e-6)


def test_one_sample_gives_the_negative_elbo_in_expectation_and_more_give_no_less(make_experiment, digits):
    run = make_experiment().runs[0]
    state = trained_state(run)
    nll = {k: evaluate([run], [state], digits, k)[0].scores.nll.mean() for k in (1, 10, 100)}
    assert nll[1] > nll[10] > nll[100]


def test_pictures_show_the_same_originals_to_all_and_lie_in_range(make_experiment, digits):
    runs = [run for run in make_experiment().runs if run.variant == "bce"]
    pictures = [evaluated.pictures for evaluated in evaluate(runs, [trained_state(run) for run in runs], digits, 1)]
    assert (pictures[0].originals == pictures[1].originals).all()
    for picture in pictures:
        for values in vars(picture).values():
            assert values.shape == (10, 64)
            assert values.min() >= 0
            assert values.max() <= 1
    assert not (pictures[0].samples == pictures[1].samples).all(), "other seeds, other draws from the prior"
