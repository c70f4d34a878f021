"""The benchmark of growth: its experiments have so many runs, and its results are those of jobs that have run."""

import argparse

import pandas as pd
import pytest

from benchmarks import growth, synthetic
from vaebench import jobs, tables
from vaebench.metrics import METRICS
from vaebench.store import Results


@pytest.fixture
def made(make_experiment, tmp_path):
    """A tiny experiment and the folder of its results."""
    experiment, results = make_experiment(), Results(tmp_path / "results")
    synthetic.write_results(experiment, results)
    return experiment, results


@pytest.mark.parametrize("n_runs", [100, 1000, 2000])
def test_its_experiments_have_so_many_runs(make_experiment, n_runs):
    experiment = make_experiment(**growth.content(n_runs))
    assert len(experiment.runs) == n_runs
    assert all(len(cohort.runs) == 25 for cohort in experiment.cohorts)


@pytest.mark.parametrize("text", ["0", "150", "10100"])
def test_other_numbers_of_runs_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be a multiple of 100"):
        growth.n_runs(text)


def test_the_jobs_find_nothing_to_do(made, capsys):
    experiment, results = made
    capsys.readouterr()
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 * len(experiment.cohorts)
    assert all(": 0 of 2 runs to " in line for line in said)


def test_its_runs_have_every_metric_that_applies(made):
    experiment, results = made
    tables.aggregate(experiment, results)
    runs = tables.load(results.experiment(experiment.name)).runs
    # Only linear networks have a known optimum and only learned spreads a bound; Bernoulli on grey pixels is no density.
    never = {
        "share_at_bound",
        "classifier_accuracy",
        *(name for name, metric in METRICS.items() if metric.family == "optimum"),
    }
    of_mse = runs[runs.variant == "mse"]
    assert {name for name in METRICS if of_mse[name].isna().all()} == never
    of_bce = runs[runs.variant == "bce"]
    assert {name for name in METRICS if of_bce[name].isna().all()} == never | {"bits_per_dim", "sigma", "effective_weight"}
    assert (runs.elbo + runs.rate + runs.distortion).abs().max() < 1e-9


def test_growth_is_the_ratio_of_the_last_two():
    costs = {n: {"check": growth.Cost(n / 10, n / 20, 50.0)} for n in (100, 1000, 2000)}
    table = growth.as_table(costs)
    assert table.columns.tolist() == [100, 1000, 2000, "growth"]
    assert table.loc["check", "growth"].to_dict() == {"seconds": 2, "cpu_seconds": 2, "peak_megabytes": 1}
    assert isinstance(growth.as_table({100: costs[100]}), pd.DataFrame)
