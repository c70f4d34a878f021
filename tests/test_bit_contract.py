"""The bit contract: a run's numbers do not depend on its neighbours, nor on an interruption.

Sizes are chosen to fill no whole vector where that is allowed: it is there that stacked kernels would give other bits.
"""

import pytest
import torch

from vaebench.evaluation import evaluate
from vaebench.networks import NETWORKS
from vaebench.training import Checkpoint, Training, train

VARIANTS = {
    "one": {},
    "beta": {"kl": {"schedule": "constant", "weight": 4}},
    "free": {"kl": {"schedule": "free-bits", "free_nats": 0.1}},
}
# latent_size, hidden widths, batch size, likelihood, whether lanes are stacked
SHAPES = [
    (2, [128], 128, "bernoulli", True),
    (3, [112, 16], 96, "gaussian", True),
    (2, [16], 32, "bernoulli", True),
    (5, [48], 64, "gaussian", True),
    (7, [], 32, "bernoulli", True),
    (3, [127, 30], 96, "gaussian", False),
    (1, [16], 32, "bernoulli", False),
    (8, [16], 100, "gaussian", False),
]


def runs_of(make_experiment, latent_size, hidden, batch_size, likelihood, network="mlp"):
    experiment = make_experiment(
        seeds=3,
        defaults={
            "network": {"kind": network, "hidden": hidden},
            "latent_size": latent_size,
            "batch_size": batch_size,
            "likelihood": likelihood,
            "epochs": 3,
        },
        variants=VARIANTS,
        baseline="one",
    )
    (cohort,) = experiment.cohorts
    assert len(cohort.runs) == 9
    return cohort.runs


def assert_same(one, other):
    """Two TrainedRuns agree in every bit but the seconds."""
    assert one.run == other.run
    for name, parameter in one.state.items():
        assert torch.equal(parameter, other.state[name]), name
    columns = one.history.columns.drop("seconds")
    assert one.history[columns].equals(other.history[columns])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_neighbours_change_nothing(make_experiment, digits, shape, network):
    runs = runs_of(make_experiment, *shape[:-1], network=network)
    assert Training(runs, digits).stack.is_stacked == shape[-1]
    together = {trained.run: trained for trained in train(runs, digits)}
    for members in ([runs[0]], [runs[8], runs[0]], [runs[4], runs[2], runs[0], runs[7], runs[1]]):
        for trained in train(members, digits):
            assert_same(trained, together[trained.run])
    states = [together[run].state for run in runs]
    scored = evaluate(runs, states, digits, n_samples=3)
    for lane in (0, 5):
        (alone,) = evaluate([runs[lane]], [states[lane]], digits, n_samples=3)
        for name, values in vars(alone.scores).items():
            assert (values == vars(scored[lane].scores)[name]).all(), name
        for name, values in vars(alone.pictures).items():
            assert (values == vars(scored[lane].pictures)[name]).all(), name


def test_resuming_changes_nothing(make_experiment, digits, tmp_path):
    runs = runs_of(make_experiment, *SHAPES[0][:-1])
    unbroken = train(runs, digits)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", key="these runs")
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
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", key="these runs")
    training = Training(runs, digits)
    training.run_epoch()
    with torch.no_grad():
        training.stack.rows[1, :100] = float("inf")
    training.run_epoch()
    training.save(checkpoint)
    resumed = Training(runs, digits)
    resumed.resume(checkpoint)
    resumed.run_epoch()
    results = resumed.result()
    assert results[1].diverged_epoch == 1
    assert results[1].state is None
    assert results[1].history.epoch.tolist() == [0]
    for trained in [results[0], *results[2:]]:
        assert trained.diverged_epoch is None
        assert_same(trained, alone[trained.run])


@pytest.mark.parametrize(("fault", "words"), [("other key", "other runs or other code"), ("torn", "unreadable checkpoint")])
def test_a_checkpoint_that_does_not_fit_is_left_aside(make_experiment, digits, tmp_path, capsys, fault, words):
    runs = runs_of(make_experiment, *SHAPES[0][:-1])[:1]
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", key="these runs")
    training = Training(runs, digits)
    training.run_epoch()
    training.save(checkpoint)
    if fault == "torn":
        checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:1000])
    else:
        checkpoint = Checkpoint(checkpoint.path, key="other runs")
    resumed = Training(runs, digits)
    resumed.resume(checkpoint)
    assert resumed.epoch == 0
    assert words in capsys.readouterr().err
