"""M2 against its formulas, written out for one image and one class at a time in numpy, and against quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm

from vaebench.evaluation import evaluate
from vaebench.label_draws import label_draw
from vaebench.lanes import build_model, labels_of
from vaebench.likelihoods import Bernoulli
from vaebench.m2 import build_m2
from vaebench.metrics import compute_all
from vaebench.networks import Mlp
from vaebench.training import Training, train

N_PIXELS, N_CLASSES = 5, 3


def tiny(latent_size: int = 2, classifier_weight: float = 0.1, labelled_weight: float = 0.25, hidden=(6,)):
    model = build_m2(
        Mlp(hidden=hidden), Bernoulli(), 2, N_PIXELS, latent_size, N_CLASSES, 0, classifier_weight, labelled_weight
    ).double()
    random = np.random.RandomState(0)
    # Far from the small weights that training starts with, else all classes are alike.
    for parameter in model.parameters():
        parameter.copy_(torch.from_numpy(random.normal(scale=1.0, size=parameter.shape)))
    return model


def perceptron(state: dict, part: str, x: np.ndarray) -> np.ndarray:
    layers = sorted({int(name.split(".")[-2]) for name in state if name.startswith(part)})
    for layer in layers:
        x = state[f"{part}.{layer}.weight"] @ x + state[f"{part}.{layer}.bias"]
        x = x if layer == layers[-1] else np.maximum(x, 0)
    return x


class Written:
    """One image at a time."""

    def __init__(self, model):
        self.state = {name: parameter.numpy() for name, parameter in model.named_parameters()}

    def log_q(self, x):
        return log_softmax(perceptron(self.state, "classifier", x))

    def posterior(self, x, y):
        mean, log_variance = np.split(perceptron(self.state, "encoder.perceptron", np.concatenate([x, np.eye(3)[y]])), 2)
        return mean, np.exp(0.5 * log_variance)

    def log_p(self, x, y, z):
        logits = perceptron(self.state, "decoder", np.concatenate([z, np.eye(3)[y]]))
        return np.sum(x * logits - np.logaddexp(0, logits))

    def labelled(self, x, y, noise):
        """L(x, y) at one sample of z, as distortion and rate."""
        mean, deviation = self.posterior(x, y)
        kl = np.sum(0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation))
        return -self.log_p(x, y, mean + deviation * noise), kl + math.log(3)

    def unlabelled(self, x, noise):
        """U(x) as the sum over classes of q(y|x) L(x, y), minus the entropy of q(y|x)."""
        log_q = self.log_q(x)
        bounds = [sum(self.labelled(x, y, noise)) for y in range(3)]
        return np.sum(np.exp(log_q) * bounds) + np.sum(np.exp(log_q) * log_q)


def a_batch(n: int, latent_size: int = 2, seed: int = 1):
    random = np.random.RandomState(seed)
    return random.randint(2, size=(n, N_PIXELS)).astype(float), random.normal(size=(n, latent_size))


HIDDEN = pytest.mark.parametrize("hidden", [(), (6,), (4, 7)], ids=str)


@HIDDEN
def test_the_unlabelled_bound_is_the_sum_over_classes(hidden):
    model = tiny(hidden=hidden)
    x, noise = a_batch(6)
    terms = model.elbo_terms(torch.from_numpy(x), torch.from_numpy(noise))
    expected = [Written(model).unlabelled(*pair) for pair in zip(x, noise, strict=True)]
    np.testing.assert_allclose(terms.rate.sum(1) + terms.distortion, expected, rtol=1e-10)
    np.testing.assert_allclose(model.rates(torch.from_numpy(x)), terms.rate, rtol=1e-10)
    log_q = np.array([Written(model).log_q(row) for row in x])
    np.testing.assert_allclose(terms.rate[:, -1], (np.exp(log_q) * (log_q - np.log(1 / 3))).sum(1), rtol=1e-10)


@HIDDEN
def test_what_is_trained_is_the_papers_objective_over_n(hidden):
    model = tiny(classifier_weight=0.7, labelled_weight=0.25, hidden=hidden)
    x, noise = a_batch(8)
    labelled_x, labelled_noise = a_batch(4, seed=2)
    classes = np.array([2, 0, 1, 1])
    is_unlabelled = np.array([1, 1, 0, 1, 1, 1, 0, 1.0])
    batch = [torch.from_numpy(of) for of in (x, noise, is_unlabelled, labelled_x, np.eye(3)[classes], labelled_noise)]
    rate, distortion, classification = model.training_terms(*batch)
    written = Written(model)
    unlabelled = [written.unlabelled(*pair) for pair in zip(x, noise, strict=True)]
    labelled = [sum(written.labelled(*of)) for of in zip(labelled_x, classes, labelled_noise, strict=True)]
    # 6 of 8 images count as unlabelled: their sum over 8 is the share of the unlabelled times their mean.
    expected = np.dot(is_unlabelled, unlabelled) / 8 + 0.25 * np.mean(labelled)
    assert (rate.sum() + distortion).item() == pytest.approx(expected, rel=1e-10)
    of_classes = [-written.log_q(of)[y] for of, y in zip(labelled_x, classes, strict=True)]
    assert classification.item() == pytest.approx(0.7 * np.mean(of_classes), rel=1e-10)


def test_with_labels_of_all_images_and_no_weight_the_labelled_bound_is_left():
    model = tiny(classifier_weight=0.0, labelled_weight=1.0)
    x, noise = a_batch(4)
    y = np.array([0, 1, 2, 0])
    batch = [torch.from_numpy(of) for of in (x, noise, np.zeros(4), x, np.eye(3)[y], noise)]
    rate, distortion, classification = model.training_terms(*batch)
    expected = np.array([Written(model).labelled(*of) for of in zip(x, y, noise, strict=True)]).mean(0)
    assert [distortion.item(), rate.sum().item()] == pytest.approx(expected.tolist(), rel=1e-10)
    assert classification.item() == 0


def log_p_of(model, x) -> float:
    """log Σ_y p(y) ∫ p(x|y, z) p(z) dz, one latent dimension."""
    z = np.linspace(-9, 9, 2001)
    terms = [[Written(model).log_p(x, y, z[[i]]) + norm.logpdf(z[i]) for i in range(len(z))] for y in range(3)]
    return logsumexp(terms) + math.log((z[1] - z[0]) / 3)


def test_the_bounds_are_below_log_p_and_importance_weights_come_to_it():
    model = tiny(latent_size=1)
    # Posteriors near the prior, so that weights have a small variance.
    for parameter in model.encoder.parameters():
        parameter.mul_(0.3)
    x = a_batch(1)[0]
    noise = torch.randn(40_000, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = model.importance_samples(torch.from_numpy(x), noise)
    exact = log_p_of(model, x[0])
    weight = (samples.log_weight[:, 0] - exact).exp()
    assert abs(weight.mean().item() - 1) < 4 * weight.std().item() / math.sqrt(len(weight))
    rate = model.rates(torch.from_numpy(x)).sum().item()
    elbo = samples.log_likelihood.mean().item() - rate
    assert elbo < exact - 0.01
    # A single sample an image, with classes summed out, lies between the two.
    assert elbo < samples.log_weight.mean().item() < exact


def test_the_distortion_of_samples_is_that_of_the_bound():
    model = tiny()
    x, noise = (torch.from_numpy(of) for of in a_batch(6))
    samples = model.importance_samples(x, noise.unsqueeze(0))
    torch.testing.assert_close(-samples.log_likelihood[0], model.elbo_terms(x, noise).distortion)
    best = Written(model).log_q(x[2].numpy()).argmax()
    mean, deviation = Written(model).posterior(x[2].numpy(), best)
    torch.testing.assert_close(model.encode(x).mean[2], torch.from_numpy(mean))
    logits = perceptron(
        Written(model).state, "decoder", np.concatenate([mean + deviation * noise[2].numpy(), np.eye(3)[best]])
    )
    torch.testing.assert_close(samples.parameters[0, 2], torch.from_numpy(logits))
    at_mean = perceptron(Written(model).state, "decoder", np.concatenate([mean, np.eye(3)[best]]))
    torch.testing.assert_close(model.reconstruct(x)[2], torch.from_numpy(1 / (1 + np.exp(-at_mean))))


def test_samples_are_of_every_class_as_often():
    model = tiny()
    z = torch.randn(3000, 2, dtype=torch.float64)
    codes = model.codes(z, torch.Generator().manual_seed(0))
    assert torch.equal(codes[:, :2], z)
    counts = codes[:, 2:].sum(0)
    # 1,000 each, with a standard deviation of 26.
    assert counts.sum() == 3000
    assert ((counts - 1000).abs() < 110).all()
    assert torch.equal(codes[:, 2:].sum(1), torch.ones(3000, dtype=torch.float64))


def semi_supervised(make_experiment, seeds=1, draw=None, labelled_weight=None, **changes):
    """Runs on digits with 20 labels."""
    defaults = {"latent_size": 2, "batch_size": 128, "network": {"kind": "mlp", "hidden": [64]}, "epochs": 60}
    supervision = {"kind": "m2", "labels": 20, "classifier_weight": 5.0, "draw": draw, "labelled_weight": labelled_weight}
    experiment = make_experiment(
        seeds=seeds,
        defaults=defaults | {"supervision": supervision} | changes,
        variants={"m2": {}, "m2-warm": {"kl": {"schedule": "constant", "weight": 2}}},
        baseline="m2",
    )
    return experiment.runs


def test_images_without_labels_help(make_experiment, digits):
    """Against the same classifier with the same starting weights, trained on the 20 labelled images alone."""
    run = semi_supervised(make_experiment)[0]
    x, y = digits.as_pixels(digits["test"]), torch.from_numpy(digits.labels["test"])
    [trained] = train([run], digits)
    model = build_model(run)
    model.load_state_dict(trained.state)

    def accuracy() -> float:
        return (model.class_log_probabilities(x).argmax(-1) == y).double().mean().item()

    semi_supervised_accuracy = accuracy()
    model = build_model(run)
    labelled = torch.from_numpy(label_draw(digits.labels["train"], 20, 0))
    labelled_x = digits.as_pixels(digits["train"][labelled])
    labels = torch.from_numpy(digits.labels["train"]).long()[labelled]
    optimiser = torch.optim.Adam(model.classifier.requires_grad_(True).parameters())
    for _ in range(300):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model.classifier(labelled_x), labels).backward()
        optimiser.step()
    with torch.no_grad():
        assert (model.classifier(labelled_x).argmax(-1) == labels).all()
        assert semi_supervised_accuracy > accuracy() + 0.03


@pytest.mark.parametrize(("draw", "expected"), [(None, [0, 1]), (5, [5, 5])])
def test_labels_of_other_images_are_never_read(make_experiment, digits, draw, expected):
    """They may be anything but for the labelled images', and no bit changes: without a draw, each seed has its own."""
    runs = semi_supervised(make_experiment, seeds=2, epochs=2, draw=draw)[:2]
    labels = digits.labels["train"]
    known = labels_of(runs[0], [0, 1], labels, "cpu")
    drawn = torch.from_numpy(np.stack([label_draw(labels, 20, of_seed) for of_seed in expected]))
    assert torch.equal(known.places, drawn)
    assert (known.is_unlabelled.sum(1) == len(labels) - 20).all()
    assert (known.is_unlabelled.gather(1, drawn) == 0).all()
    whole = train(runs, digits)
    for run, places in zip(whole, drawn, strict=True):
        training = Training([run.run], digits)
        [lanes] = training.stacks
        y = lanes._labels.y.clone().fill_(math.nan)
        y[places] = lanes._labels.y[places]
        lanes._labels = lanes._labels._replace(y=y)
        training.run_epoch()
        assert training.history[0][0][:-1] == run.history.iloc[0].tolist()[:-1]


def test_what_is_scored_is_what_the_model_says(make_experiment, digits):
    run = semi_supervised(make_experiment, epochs=3)[0]
    [trained] = train([run], digits)
    [evaluated] = evaluate([run], [trained.state], digits, n_samples=3)
    model = build_model(run)
    model.load_state_dict(trained.state)
    x = digits.as_pixels(digits["test"])
    scores = evaluated.scores
    np.testing.assert_allclose(scores.rate, model.rates(x).sum(1), rtol=1e-4)
    np.testing.assert_allclose(scores.class_probabilities, model.class_log_probabilities(x).exp(), rtol=1e-4)
    np.testing.assert_array_equal(scores.labels, digits.labels["test"])
    found = compute_all(scores)
    right = scores.class_probabilities.argmax(1) == digits.labels["test"]
    assert found["classifier_accuracy"].value == right.mean()
    # A bound of 3 samples is above that of one, and 3 samples give no more than 3.
    assert -found["nll"].value > found["elbo"].value
    assert (scores.effective_samples <= 3.0001).all()
    assert not found.keys() & {
        "common_bits_per_dim",
        "mutual_information",
        "marginal_kl",
        "total_correlation",
        "decoder_use",
    }
    # With the most probable class in place of each, an analogy is the reconstruction.
    pictures = evaluated.pictures
    originals = np.linspace(0, len(x) - 1, 20).round().astype(int)[::2]
    for analogies, place, reconstruction in zip(pictures.analogies, originals, pictures.reconstructions, strict=False):
        assert analogies.shape == (10, 64)
        own = analogies[scores.class_probabilities[place].argmax()]
        np.testing.assert_allclose(own.astype(int), reconstruction.astype(int), atol=1)


def test_the_labelled_bound_weighs_what_the_paper_gives_it_or_what_is_asked(make_experiment, digits):
    [paper, asked] = [semi_supervised(make_experiment, **of)[0] for of in ({}, {"labelled_weight": 0.5})]
    n_images = len(digits["train"])
    assert [build_model(run).labelled_weight for run in (paper, asked)] == [20 / n_images, 0.5]
