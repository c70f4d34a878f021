"""What training follows: the objective, its penalties on the rate, the learning rate, and what is fitted in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vaebench.images import Images
from vaebench.model import build
from vaebench.optimiser import Adam
from vaebench.streams import generator
from vaebench.training import HISTORY_COLUMNS, Training, train

BATCH_SIZE = 128
KLS = {
    "plain": {"schedule": "constant", "weight": 1.0},
    "beta": {"schedule": "constant", "weight": 4.0},
    "nothing": {"schedule": "constant", "weight": 0.0},
    # Between the starting rates of the dimensions, which are 0.007, 0.024 and 0.038.
    "free": {"schedule": "free-bits", "weight": 50.0, "free_nats": 0.02},
    "capacity-above": {"schedule": "capacity", "weight": 3.0, "nats": 50.0, "over": 0.0},
    "capacity-below": {"schedule": "capacity", "weight": 3.0, "nats": 0.01, "over": 0.0},
}


@pytest.fixture
def batch(digits) -> Images:
    """As many training images as one batch has, so that an epoch is a single step."""
    levels = digits.levels | {"train": digits.levels["train"][:BATCH_SIZE]}
    return Images(levels, digits.n_levels, "none")


@pytest.fixture
def run_with(make_experiment):
    def run_with(**settings):
        defaults = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 3, "epochs": 3, "batch_size": BATCH_SIZE}
        return make_experiment(variants={"one": settings}, baseline="one", defaults=defaults, seeds=1).runs[0]

    return run_with


def model_of(run):
    return build(run.network, run.likelihood, run.n_levels, 64, run.latent_size, run.seed)


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def naive_objective(model, x: torch.Tensor, noise: torch.Tensor, kl: dict, seen: torch.Tensor) -> torch.Tensor:
    """Of a Gaussian model with σ = ½ and its network written out: image by image, dimension by dimension; seen: by its
    encoder."""
    first, second, third, fourth = linear_layers(model)
    mean, log_variance = second(first(seen).relu()).chunk(2, dim=1)
    z = mean + (log_variance / 2).exp() * noise
    decoded = fourth(third(z).relu())
    distortion = sum(
        ((image - output) ** 2).sum() / (2 * 0.25) + 64 * 0.5 * math.log(2 * math.pi * 0.25)
        for image, output in zip(x, decoded, strict=True)
    ) / len(x)
    by_dimension = [
        sum((m**2 + v.exp() - v - 1) / 2 for m, v in zip(means, variances, strict=True)) / len(x)
        for means, variances in zip(mean.T, log_variance.T, strict=True)
    ]
    rate = sum(value if value > kl.get("free_nats", 0.0) else kl["free_nats"] for value in by_dimension)
    return distortion + kl["weight"] * abs(rate - kl.get("nats", 0.0))


@pytest.mark.parametrize(
    ("name", "corruption"), [*((name, None) for name in KLS), ("plain", "gaussian"), ("beta", "blocks")]
)
def test_a_step_follows_the_gradient_of_the_objective(run_with, batch, name, corruption):
    run = run_with(likelihood={"kind": "gaussian", "sigma": 0.5}, kl=KLS[name], corruption=corruption)
    training = Training([run], batch)
    assert training.n_steps == 1
    training.run_epoch()
    order = torch.randperm(BATCH_SIZE, generator=generator(run.seed, "order", 0))
    noise = torch.randn(BATCH_SIZE, 3, generator=generator(run.seed, "noise", 0))
    x = batch.as_pixels(batch["train"])
    seen = x if corruption is None else run.corruption(x, (8, 8), generator(0, "corrupt train", 0))
    model = model_of(run).double().requires_grad_(True)
    loss = naive_objective(model, x[order].double(), noise.double(), KLS[name], seen[order].double())
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    # After one step Adam's first moment is a tenth of the gradient.
    moments = training.stacks[0].adam.first.values()
    for moment, expected in zip(moments, gradients, strict=True):
        found = 10 * moment[0, : expected.numel()].double()
        torch.testing.assert_close(found, expected.flatten(), rtol=1e-3, atol=1e-4)
    # Adam's first step is the learning rate long, against the gradient's sign.
    step = training.stacks[0].stack.state(0)["decoder.2.bias"] - model.decoder[2].bias.detach()
    torch.testing.assert_close(step, -run.learning_rate * gradients[-1].sign(), rtol=1e-3, atol=1e-6)


def test_the_penalties_differ_where_they_should(run_with, batch):
    """Else one objective would have passed for all of them above."""
    x, noise = batch.as_pixels(batch["train"]).double(), torch.randn(BATCH_SIZE, 3).double()
    model = model_of(run_with(likelihood="gaussian")).double()
    losses = [naive_objective(model, x, noise, kl, x).item() for kl in KLS.values()]
    assert len({round(loss, 6) for loss in losses}) == len(KLS)


def test_free_nats_are_not_pulled_below_and_a_capacity_is_held(run_with, digits):
    settings = {"likelihood": {"kind": "gaussian", "sigma": 0.5}, "epochs": 40, "learning_rate": 0.01}
    rates = {
        name: train([run_with(**settings, kl=kl)], digits)[0].history.validation_rate.iloc[-1]
        for name, kl in (
            ("plain", {"schedule": "constant", "weight": 8.0}),
            ("free", {"schedule": "free-bits", "weight": 8.0, "free_nats": 0.5}),
            ("capacity", {"schedule": "capacity", "weight": 100.0, "nats": 2.5, "over": 0.0}),
        )
    }
    assert rates["plain"] < 0.5
    # Three dimensions, of which none is pulled below 0.5; one may have had less from the start.
    assert 2 * 0.5 < rates["free"] < 1.5 + 0.3
    assert rates["capacity"] == pytest.approx(2.5, abs=0.3)


@pytest.mark.parametrize("decay", ["none", "linear"])
def test_the_learning_rate_of_every_step(run_with, digits, decay, monkeypatch):
    run = run_with(likelihood="gaussian", learning_rate=0.01, learning_rate_decay=decay)
    used = []

    def step(adam, gradients, learning_rate):
        used.append(float(learning_rate))

    monkeypatch.setattr(Adam, "step", step)
    train([run], digits)
    n_steps = 3 * (1257 // BATCH_SIZE)
    falling = [0.01 * (1 - step / n_steps) for step in range(n_steps)]
    assert used == pytest.approx(falling if decay == "linear" else [0.01] * n_steps, rel=1e-6)


def test_a_learning_rate_that_falls_ends_elsewhere(run_with, batch):
    constant, falling = (
        train([run_with(likelihood="gaussian", learning_rate_decay=decay)], batch)[0].state for decay in ("none", "linear")
    )
    assert not torch.equal(constant["decoder.2.weight"], falling["decoder.2.weight"])


@pytest.mark.parametrize(
    ("network", "corruption"),
    [({"kind": "mlp", "hidden": [16]}, None), ("linear", None), ("linear", {"kind": "gaussian", "sigma": 0.5})],
)
def test_the_optimal_sigma_is_the_mean_squared_error_over_the_training_images(run_with, digits, network, corruption):
    run = run_with(likelihood="gaussian-optimal", network=network, corruption=corruption)
    training = Training([run], digits)
    for epoch in range(2):
        training.run_epoch()
        state = training.stacks[0].stack.state(0)
        model = model_of(run)
        model.load_state_dict(state)
        x = digits.as_pixels(digits["train"])
        # As training sees them in this epoch.
        seen = x if corruption is None else run.corruption(x, (8, 8), generator(0, "corrupt train", epoch))
        x = x.double()
        noise = torch.randn(1257, 3, generator=generator(run.seed, "train noise", epoch)).double()
        mean, log_variance = model.double().encoder(seen.double()).chunk(2, dim=1)
        decoded = model.decoder(mean + (log_variance / 2).exp() * noise)[:, :-1].numpy()
        error = np.square(x.numpy() - decoded).mean()
        assert state["decoder.constant"].item() == pytest.approx(0.5 * math.log(error), abs=1e-5)
        # The validation images are scored with that σ.
        x = digits.as_pixels(digits["validation"]).double()
        noise = torch.randn(180, 3, generator=generator(run.seed, "validation noise", epoch)).double()
        mean, log_variance = model.encoder(x).chunk(2, dim=1)
        decoded = model.decoder(mean + (log_variance / 2).exp() * noise)[:, :-1]
        by_image = (x - decoded).square().sum(1) / (2 * error) + 32 * math.log(2 * math.pi * error)
        assert training.history[0][-1][HISTORY_COLUMNS.index("validation_distortion")] == pytest.approx(
            by_image.mean().item(), rel=1e-4
        )


def test_a_learned_sigma_moves_towards_the_error(run_with, digits):
    run = run_with(likelihood="gaussian-learned", epochs=30, learning_rate=0.01)
    (trained,) = train([run], digits)
    model = model_of(run)
    model.load_state_dict(trained.state)
    x = digits.as_pixels(digits["train"])
    noise = torch.randn(1257, 3, generator=torch.Generator().manual_seed(0))
    decoded = model.decode(model.encode(x).sample(noise))
    error = (x - decoded[:, :-1]).square().mean().sqrt().item()
    assert error < 0.9 * 0.25, "far enough from where σ starts"
    assert model.likelihood.standard_deviation(decoded)[0].item() == pytest.approx(error, rel=0.03)
