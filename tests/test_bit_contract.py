"""The bit contract: a run's numbers do not depend on its neighbours, nor on an interruption.

Sizes are chosen to fill no whole vector where that is allowed: it is there that stacked kernels would give other bits.
"""

import dataclasses

import numpy as np
import pytest
import torch

from vaebench.checkpoints import Checkpoint
from vaebench.corruptions import CORRUPTIONS
from vaebench.evaluation import evaluate
from vaebench.images import Images
from vaebench.likelihoods import LIKELIHOODS
from vaebench.networks import NETWORKS
from vaebench.training import Training, train

VARIANTS = {
    "one": {},
    "beta": {"kl": {"schedule": "constant", "weight": 4}},
    "free": {"kl": {"schedule": "free-bits", "free_nats": 0.1}},
    "capacity": {"kl": {"schedule": "capacity", "weight": 2, "nats": 1.5}},
}
# latent_size, hidden widths (None: the network "linear"), batch size, likelihood, whether lanes are stacked
SHAPES = [
    (2, [128], 128, "bernoulli", True),
    (3, [112, 16], 96, "gaussian", True),
    (2, [16], 32, "bernoulli", True),
    (5, [48], 64, "gaussian", True),
    (7, [], 32, "bernoulli", True),
    (3, [127, 30], 96, "gaussian", False),
    (1, [16], 32, "bernoulli", False),
    (8, [16], 100, "gaussian", False),
    (3, [16], 96, "gaussian-learned", True),
    (5, [112], 64, "gaussian-optimal", True),
    (2, [48], 96, "gaussian-per-pixel", True),
    (3, [16], 64, "continuous-bernoulli", True),
    (5, [16], 96, "discretised-logistic", True),
    (2, [16], 64, "logistic-mixture", True),
    (3, None, 96, "gaussian", True),
    (5, None, 64, "gaussian-learned", True),
    (2, None, 32, "gaussian-optimal", True),
    (7, None, 96, "logistic-mixture", True),
    (1, None, 96, "bernoulli", False),
]
# Shapes with what is done to the images that encoders see in training.
CORRUPTED = [(SHAPES[0], "gaussian"), (SHAPES[9], "salt-and-pepper"), (SHAPES[5], "blocks")]
CASES = [*((shape, None) for shape in SHAPES), *CORRUPTED]
# Every kind of likelihood, of network and of corruption, and what is added to them, stands in a case.
assert {shape[3] for shape in SHAPES} == set(LIKELIHOODS)
assert set(NETWORKS) == {"mlp", "linear"}
assert {corruption for _, corruption in CORRUPTED} == set(CORRUPTIONS)


@pytest.fixture
def few(digits) -> Images:
    """Some of the digits, more than fill whole blocks: enough steps for bits to part."""
    levels, labels = ({split: values[:400] for split, values in of.items()} for of in (digits.levels, digits.labels))
    return Images(levels, digits.n_levels, "none", labels)


# The same of runs that learn from labels too, with the labelled images of a step before the last.
SEMI_SUPERVISED = [
    (2, [128], 128, "bernoulli", 32, True),
    (3, [112, 16], 96, "gaussian-learned", 64, True),
    (5, [48], 64, "discretised-logistic", 96, True),
    (7, [], 32, "bernoulli", 32, False),
    (3, [16], 96, "bernoulli", 20, False),
    (8, [16], 100, "gaussian-per-pixel", 32, False),
]


def runs_of(make_experiment, latent_size, hidden, batch_size, likelihood, epochs=3, corruption=None, labelled_batch=None):
    experiment = make_experiment(
        seeds=2,
        defaults={
            "network": "linear" if hidden is None else {"kind": "mlp", "hidden": hidden},
            "latent_size": latent_size,
            "batch_size": batch_size,
            "likelihood": likelihood,
            "epochs": epochs,
            "corruption": corruption,
            **({} if labelled_batch is None else {"supervision": {"kind": "m2", "labelled_batch": labelled_batch}}),
        },
        variants=VARIANTS,
        baseline="one",
    )
    (cohort,) = experiment.cohorts
    assert len(cohort.runs) == 8
    return cohort.runs


def assert_same(one, other):
    """Two TrainedRuns agree in every bit but the seconds."""
    assert one.run == other.run
    for name, parameter in one.state.items():
        assert torch.equal(parameter, other.state[name]), name
    columns = one.history.columns.drop("seconds")
    assert one.history[columns].equals(other.history[columns])


def assert_equal_fields(one, other):
    """Two dataclasses agree in every bit, and have no more than numbers, arrays and dataclasses of such."""
    assert vars(one).keys() == vars(other).keys()
    for name, values in vars(one).items():
        if dataclasses.is_dataclass(values):
            assert_equal_fields(values, getattr(other, name))
        elif isinstance(values, np.ndarray):
            np.testing.assert_array_equal(values, getattr(other, name), err_msg=name, strict=True)
        else:
            assert values is None or isinstance(values, int | float)
            assert values == getattr(other, name), name


@pytest.mark.parametrize(("shape", "corruption"), CASES, ids=str)
def test_neighbours_change_nothing(make_experiment, few, shape, corruption):
    runs = runs_of(make_experiment, *shape[:-1], epochs=2, corruption=corruption)
    assert_neighbours_change_nothing(runs, few, shape[-1])


@pytest.mark.parametrize("shape", SEMI_SUPERVISED, ids=str)
def test_neighbours_change_nothing_where_there_are_labels(make_experiment, few, shape):
    runs = runs_of(make_experiment, *shape[:4], epochs=2, labelled_batch=shape[4])
    assert_neighbours_change_nothing(runs, few, shape[-1])


def assert_neighbours_change_nothing(runs, few, is_stacked):
    assert len(Training(runs, few).stacks) == (1 if is_stacked else len(runs))
    together = {trained.run: trained for trained in train(runs, few)}
    assert all(trained.diverged is None for trained in together.values())
    for members in ([runs[0]], [runs[7], runs[0]], [runs[4], runs[2], runs[0], runs[6], runs[1]]):
        for trained in train(members, few):
            assert_same(trained, together[trained.run])
    states = [together[run].state for run in runs]
    scored = evaluate(runs, states, few, n_samples=3)
    for lane in (0, 5):
        (alone,) = evaluate([runs[lane]], [states[lane]], few, n_samples=3)
        assert_equal_fields(alone.scores, scored[lane].scores)
        assert_equal_fields(alone.pictures, scored[lane].pictures)
        assert_equal_fields(alone.latent, scored[lane].latent)


def test_each_rate_penalty_trains_in_its_own_way(make_experiment, digits):
    """Else the lanes above would be as many copies."""
    by_variant = {trained.run.variant: trained for trained in train(runs_of(make_experiment, *SHAPES[8][:-1]), digits)}
    assert set(by_variant) == set(VARIANTS)
    rates = [trained.history.train_rate.iloc[-1] for trained in by_variant.values()]
    assert len(set(rates)) == len(VARIANTS)


@pytest.mark.parametrize(
    ("shape", "corruption", "labelled_batch"),
    [(SHAPES[0], None, None), (SHAPES[0], None, 32), *((*case, None) for case in CORRUPTED)],
    ids=str,
)
def test_resuming_changes_nothing(make_experiment, digits, tmp_path, shape, corruption, labelled_batch):
    runs = runs_of(make_experiment, *shape[:-1], corruption=corruption, labelled_batch=labelled_batch)
    unbroken = train(runs, digits)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", [run.run_id for run in runs])
    training = Training(runs, digits)
    training.run_epoch()
    training.save(checkpoint)
    resumed = Training(runs, digits)
    resumed.resume(checkpoint)
    assert resumed.epoch == 1
    while resumed.epoch < resumed.n_epochs:
        resumed.run_epoch()
    for one, other in zip(unbroken, resumed.result(), strict=True):
        assert_same(one, other)


def test_a_diverging_lane_leaves_its_neighbours_alone(make_experiment, digits, tmp_path):
    runs = runs_of(make_experiment, *SHAPES[0][:-1])
    alone = {trained.run: trained for trained in train(runs, digits)}
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", [run.run_id for run in runs])
    training = Training(runs, digits)
    training.run_epoch()
    with torch.no_grad():
        training.stacks[0].stack.buffers["encoder.0.weight"][1, :100] = float("inf")
    training.run_epoch()
    training.save(checkpoint)
    resumed = Training(runs, digits)
    resumed.resume(checkpoint)
    resumed.run_epoch()
    results = resumed.result()
    assert results[1].diverged.epoch == 1
    assert results[1].state is None
    assert results[1].history.epoch.tolist() == [0]
    for trained in [results[0], *results[2:]]:
        assert trained.diverged is None
        assert_same(trained, alone[trained.run])
