"""The training step as a device can replay it: always the same memory, and nothing asked of the host."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vaebench.device import Replay
from vaebench.images import Images
from vaebench.lanes import Epoch, Lanes, build_model, lanes_together
from vaebench.likelihoods import Bernoulli
from vaebench.networks import Network
from vaebench.optimiser import Adam
from vaebench.schedules import Constant
from vaebench.training import Training, train

LIKELIHOODS = ["bernoulli", "gaussian-optimal", "logistic-mixture"]
CORRUPTIONS = [None, "gaussian"]
# Operations that make the host wait for a device.
WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")


@pytest.fixture
def runs(make_experiment):
    def runs(likelihood, corruption=None):
        variants = {"one": {}, "other": {"kl": {"schedule": "capacity", "nats": 2.0}}}
        defaults = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 3, "epochs": 3}
        defaults |= {"likelihood": likelihood, "corruption": corruption}
        return make_experiment(variants=variants, baseline="one", defaults=defaults, seeds=2).runs

    return runs


class Plain(Network):
    """Of torch's own modules, which know no lanes."""

    stackable = False

    def encoder(self, n_pixels, latent_size):
        return nn.Sequential(nn.Linear(n_pixels, 8), nn.Tanh(), nn.Linear(8, 2 * latent_size))

    def decoder(self, latent_size, n_outputs):
        return nn.Linear(latent_size, n_outputs)


def test_a_network_of_other_modules_trains_alone():
    common = {"network": Plain(), "likelihood": Bernoulli(), "kl": Constant(), "latent_size": 2, "batch_size": 32}
    run = SimpleNamespace(seed=3, n_levels=2, supervision=None, dataset=SimpleNamespace(n_pixels=6), **common)
    assert lanes_together([run, run], 32) == 1
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 2, (64, 6), dtype=torch.uint8, generator=generator)
    order, noise = torch.randperm(64, generator=generator), torch.randn(64, 2, generator=generator)
    epoch = Epoch(levels, order[None], noise[None], torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([0.1, 0.05]))
    lanes = Lanes([run], [0], Images({"train": levels}, 2, "none"), "cpu")
    rate, distortion = lanes.train_epoch(epoch)

    model = build_model(run).requires_grad_(True)
    adam = torch.optim.Adam(model.parameters())
    means = []
    for step, learning_rate in enumerate((0.1, 0.05)):
        x, drawn = levels[order].float()[32 * step : 32 * step + 32], noise[32 * step : 32 * step + 32]
        mean, log_variance = model.encoder(x).chunk(2, dim=1)
        logits = model.decoder(mean + (log_variance / 2).exp() * drawn)
        rates = (mean**2 + log_variance.exp() - log_variance - 1).sum(1) / 2
        cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        means.append([rates.mean().item(), cross_entropy.mean().item()])
        adam.param_groups[0]["lr"] = learning_rate
        adam.zero_grad()
        (rates + cross_entropy).mean().backward()
        adam.step()
    assert [rate.item(), distortion.item()] == pytest.approx(
        [sum(values) / 2 for values in zip(*means, strict=True)], rel=1e-5
    )
    for name, parameter in lanes.stack.state(0).items():
        torch.testing.assert_close(parameter, dict(model.named_parameters())[name].detach(), rtol=1e-4, atol=1e-5)


class NothingWaits(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        assert function.overloadpacket.__name__ not in WAITING, function
        return function(*arguments, **(settings or {}))


def test_the_mode_sees_what_waits():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NothingWaits():
        torch.ones(1).item()


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_step_asks_nothing_of_the_host(runs, digits, likelihood, corruption, monkeypatch):
    # On the CPU, Adam itself reads the learning rate.
    monkeypatch.setattr(Adam, "step", lambda adam, gradients, learning_rate: None)
    [(lanes, epoch)] = Training(runs(likelihood, corruption), digits).next_epoch()
    with NothingWaits():
        lanes.train_epoch(epoch)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_step_finds_all_that_it_reads_in_the_same_place(runs, digits, likelihood, corruption, monkeypatch):
    # Drawn anew in each epoch, so that the levels change too.
    images = Images(digits.levels, digits.n_levels, "dynamic")
    expected = train(runs(likelihood, corruption), images)

    def in_place(replay, old, new):
        for place, content in zip(old or (), new, strict=bool(old)):
            place.copy_(content)
            content.zero_()
        return old or new

    monkeypatch.setattr(Replay, "in_place", in_place)
    for one, other in zip(train(runs(likelihood, corruption), images), expected, strict=True):
        for name, parameter in one.state.items():
            assert torch.equal(parameter, other.state[name])
