"""The training step as a device can replay it: always the same memory, and nothing asked of the host."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vaebench.device import Replay
from vaebench.images import Images
from vaebench.optimiser import Adam
from vaebench.training import Training, train

LIKELIHOODS = ["bernoulli", "gaussian-optimal", "logistic-mixture"]
# Operations that make the host wait for a device.
WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select")


@pytest.fixture
def runs(make_experiment):
    def runs(likelihood):
        variants = {"one": {}, "other": {"kl": {"schedule": "capacity", "nats": 2.0}}}
        defaults = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 3, "epochs": 3, "likelihood": likelihood}
        return make_experiment(variants=variants, baseline="one", defaults=defaults, seeds=2).runs

    return runs


class NothingWaits(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        assert function.overloadpacket.__name__ not in WAITING, function
        return function(*arguments, **(settings or {}))


def test_the_mode_sees_what_waits():
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NothingWaits():
        torch.ones(1).item()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_step_asks_nothing_of_the_host(runs, digits, likelihood, monkeypatch):
    # On the CPU, Adam itself reads the learning rate.
    monkeypatch.setattr(Adam, "step", lambda adam, gradients, learning_rate: None)
    [(lanes, epoch)] = Training(runs(likelihood), digits).next_epoch()
    with NothingWaits():
        lanes.train_epoch(epoch)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_step_finds_all_that_it_reads_in_the_same_place(runs, digits, likelihood, monkeypatch):
    # Drawn anew in each epoch, so that the levels change too.
    images = Images(digits.levels, digits.n_levels, "dynamic")
    expected = train(runs(likelihood), images)

    def in_place(replay, old, new):
        for place, content in zip(old or (), new, strict=bool(old)):
            place.copy_(content)
            content.zero_()
        return old or new

    monkeypatch.setattr(Replay, "in_place", in_place)
    for one, other in zip(train(runs(likelihood), images), expected, strict=True):
        for name, parameter in one.state.items():
            assert torch.equal(parameter, other.state[name])
