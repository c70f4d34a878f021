"""What `vaebench check` says: what is missing, and how long that will take."""

import pytest

from vaebench import jobs, plan, speed, splits
from vaebench.plan import makespan
from vaebench.speed import Speed, n_parameters
from vaebench.store import Results


def test_parameters_are_counted(make_experiment):
    run = make_experiment().runs[0]
    encoder = 64 * 16 + 16 + 16 * 6 + 6
    decoder = 3 * 16 + 16 + 16 * 64 + 64
    assert n_parameters(run) == encoder + decoder


def test_what_is_there_is_not_missing(make_experiment, tmp_path):
    experiment = make_experiment()
    results = Results(tmp_path / "results")
    said = "\n".join(plan.lines(experiment, results, cores=2, estimate=False))
    assert "2 variants × 1 grid point × 2 seeds: 4 runs in 2 cohorts" in said
    first, second = experiment.cohorts
    splits.prepare(experiment.dataset, results)
    jobs.train_cohort(experiment, first, results)
    jobs.evaluate_alone(experiment, first.runs[1], results)
    jobs.train_alone(experiment, second.runs[0], results)
    assert plan.still_open(experiment, results) == [
        (first, [], [first.runs[0]]),
        (second, [second.runs[1]], list(second.runs)),
    ]
    table = [line.split() for line in plan.lines(experiment, results, cores=2, estimate=False)]
    assert [first.name, "mlp", "16", "2,294", "3", "2", "0", "1"] in table
    assert [second.name, "mlp", "16", "2,294", "3", "2", "1", "2"] in table
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    # Nothing is left to be measured.
    assert list(plan.lines(experiment, results, cores=2, estimate=True))[-1] == "\nall of them are trained and scored"


def test_the_estimate_adds_up_starts_training_and_scoring(make_experiment, tmp_path, monkeypatch):
    experiment = make_experiment(seeds=3)
    results = Results(tmp_path / "results")
    splits.prepare(experiment.dataset, results)
    jobs.train_alone(experiment, experiment.cohorts[0].runs[0], results)
    shapes = {}

    def speeds(asked, evaluation):
        shapes.update(asked)
        return dict(zip(asked, [Speed(100, 10), Speed(200, 20)], strict=True))

    monkeypatch.setattr(speed, "speeds", speeds)
    monkeypatch.setattr(plan.time, "process_time", lambda: 2.0)
    missing = plan.still_open(experiment, results)
    assert plan.estimated_seconds(missing, experiment.evaluation, cores=1) == 2 + 2 * 100 + 3 * 10 + 2 + 3 * 200 + 3 * 20
    assert plan.estimated_seconds(missing, experiment.evaluation, cores=2) == 2 + 3 * 200 + 3 * 20
    assert [len(runs) for runs in shapes.values()] == [2, 3]


def test_the_longest_jobs_begin_first():
    assert makespan([2, 2, 2, 3, 3], cores=2) == 7
    assert makespan([2, 2, 2, 3, 3], cores=1) == 12
    assert makespan([5, 1], cores=4) == 5


@pytest.fixture
def shapes(make_experiment):
    """Runs by the name of a shape: a wide and a narrow network, and one whose lanes stand alone."""
    widths = {"wide": [64], "narrow": [16], "alone": [15]}
    variants = {name: {"network": {"kind": "mlp", "hidden": hidden}} for name, hidden in widths.items()}
    experiment = make_experiment(variants=variants, baseline="wide")
    return experiment.evaluation, {name: [run for run in experiment.runs if run.variant == name] for name in widths}


def test_speeds_are_measured_of_every_shape_while_there_is_time(shapes):
    evaluation, runs = shapes
    found = speed.speeds(runs, evaluation)
    assert found.keys() == runs.keys()
    assert all(seconds > 0 for each in found.values() for seconds in each)


def test_runs_that_diverge_at_once_cost_nothing_more(make_experiment):
    experiment = make_experiment(variants={"wild": {"learning_rate": 1e20}}, baseline="wild")
    (found,) = speed.speeds({"wild": experiment.runs}, experiment.evaluation).values()
    assert found.training == 0
    assert found.scoring > 0


def test_when_the_time_is_up_speeds_are_scaled_by_multiply_adds_among_those_stacked_alike(shapes, monkeypatch):
    evaluation, runs = shapes
    measured = []

    def measure(some, evaluation):
        measured.append((some[0].variant, len(some)))
        return Speed(3.0, 5.0)

    monkeypatch.setattr(speed, "_measured", measure)
    monkeypatch.setattr(speed, "PROBE_SECONDS", 0)
    found = speed.speeds(runs, evaluation)
    # Of runs that stand alone one tells of all.
    assert measured == [("wide", 2), ("alone", 1)]
    share = n_parameters(runs["narrow"][0]) / n_parameters(runs["wide"][0])
    assert found["narrow"] == pytest.approx((3 * share, 5 * share))
    assert found["wide"] == found["alone"] == (3, 5)
