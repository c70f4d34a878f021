"""Divergence in real trainings: what is said of it, who is left alone, what tables make of it."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from test_bit_contract import assert_equal_fields, assert_same

from vaebench import caveats, figures, jobs, report, show, splits, tables
from vaebench.checkpoints import Checkpoint
from vaebench.divergence import not_finite
from vaebench.errors import UserError
from vaebench.evaluation import evaluate
from vaebench.files import read_json
from vaebench.saved_run import SavedRun
from vaebench.store import Results
from vaebench.training import Training, train

DEFAULTS = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 2, "epochs": 3, "batch_size": 128}


def test_what_is_not_finite_in_words():
    nan, inf = math.nan, math.inf
    assert not_finite({"rate": 1.0, "weights": np.ones(3)}) is None
    assert not_finite({"rate": -inf, "weights": torch.tensor([1.0, nan, inf]), "bias": 1}) == "NaN: weights; infinite: rate"
    many = dict.fromkeys("abcdef", nan)
    assert not_finite(many) == "NaN: a, b, c, d and 2 more"


SETTINGS = {
    "a learning rate of 10": ({"learning_rate": 10.0}, "NaN: rate in training, distortion in training"),
    "σ of 0 in float32": ({"likelihood": {"kind": "gaussian", "sigma": 1e-50}}, "NaN: rate in training"),
    "σ near 0": ({"likelihood": {"kind": "gaussian", "sigma": 1e-20}}, "NaN: rate in training"),
    # Its loss and parameters stay finite: the squares of its gradients do not, so no step moves anything.
    "σ so small that gradients overflow": (
        {"likelihood": {"kind": "gaussian", "sigma": 1e-15}},
        "infinite: Adam's second moment of encoder.0.weight",
    ),
    "a learned σ with hardly a bound": (
        {"likelihood": {"kind": "gaussian-per-pixel", "min_sigma": 1e-30}, "learning_rate": 1.0},
        "NaN: rate in training",
    ),
}


@pytest.mark.parametrize(("settings", "words"), SETTINGS.values(), ids=SETTINGS)
def test_a_run_that_diverges_says_when_and_what(make_experiment, digits, settings, words):
    [run] = make_experiment(defaults=DEFAULTS, variants={"one": settings}, baseline="one", seeds=1).runs
    [trained] = train([run], digits)
    assert trained.state is None
    assert trained.diverged.epoch == len(trained.history) == 0
    assert trained.diverged.because.startswith(words)


MILD = {
    "a latent size of 512": {"latent_size": 512},
    "a learned σ with hardly a bound": {"likelihood": {"kind": "gaussian-learned", "min_sigma": 1e-30}},
    "σ small": {"likelihood": {"kind": "gaussian", "sigma": 1e-3}},
}


@pytest.mark.parametrize("settings", MILD.values(), ids=MILD)
def test_what_is_extreme_but_finite_is_trained_and_scored(make_experiment, digits, tmp_path, settings):
    experiment = make_experiment(defaults=DEFAULTS, variants={"one": settings}, baseline="one", seeds=1)
    results = made(experiment, tmp_path)
    [run] = experiment.runs
    saved = SavedRun(results.experiment(experiment.name).run(run.run_id))
    assert saved.state == "trained and scored"
    assert all(math.isfinite(score["value"]) for score in saved.metrics.values())


def made(experiment, folder) -> Results:
    """Its runs, trained and scored by the jobs, and its tables."""
    results = Results(folder / "results")
    splits.prepare(experiment.dataset, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    return results


@pytest.fixture
def mixed(make_experiment):
    """A cohort of four, of which the variant with a KL weight of 1e30 diverges."""
    variants = {"one": {}, "wild": {"kl": {"schedule": "constant", "weight": 1e30}}}
    experiment = make_experiment(defaults=DEFAULTS, variants=variants, baseline="one")
    assert len(experiment.cohorts) == 1
    return experiment


def test_the_others_of_a_cohort_have_the_bits_of_one_without_the_bad_lane(mixed, digits):
    runs = mixed.runs
    good = [run for run in runs if run.variant == "one"]
    together = {each.run: each for each in train(runs, digits)}
    assert {each.run.variant for each in together.values() if each.diverged} == {"wild"}
    without = train(good, digits)
    for each in without:
        assert_same(each, together[each.run])
    states = [each.state for each in without]
    scored = evaluate(good, states, digits, 3)
    for one, other in zip(scored, evaluate(good[::-1], states[::-1], digits, 3)[::-1], strict=True):
        assert_equal_fields(one.scores, other.scores)


def test_tables_count_them_and_never_average_over_them(mixed, tmp_path, capsys):
    results = made(mixed, tmp_path)
    folder = results.experiment(mixed.name)
    runs = pd.read_csv(folder.runs).set_index("run_id")
    elbos = []
    for run in mixed.runs:
        files = folder.run(run.run_id)
        record, row = read_json(files.record), runs.loc[run.run_id]
        if run.variant == "wild":
            assert record["diverged_epoch"] == row.diverged_epoch == 0
            assert record["diverged_because"] == row.diverged_because
            assert row.diverged_because.startswith("infinite: Adam's second moment of encoder.")
            assert row.status == "diverged"
            assert math.isnan(row.elbo)
        else:
            assert (row.status, record["diverged_because"]) == ("trained", None)
            metrics = read_json(files.evaluation)["metrics"]
            elbos.append(-(metrics["rate"]["value"] + metrics["distortion"]["value"]))
    summary = pd.read_csv(folder.summary("csv")).set_index("variant")
    assert summary.n.to_dict() == {"one": 2, "wild": 0}
    assert summary.n_diverged.to_dict() == {"one": 0, "wild": 2}
    assert summary.elbo["one"] == pytest.approx(sum(elbos) / 2, rel=1e-12)
    assert math.isnan(summary.elbo["wild"])
    [said] = caveats.diverged(tables.load(folder).runs)
    assert said.startswith("Diverged, without scores: 2 of 4 runs: wild-z2-s0-")
    assert said.count("(after 0 epochs; infinite: Adam's second moment of encoder.") == 2
    first = next(show.lines(SavedRun(folder.run(runs.index[runs.status == "diverged"][0]))))
    assert ": diverged in epoch 1 of 3 (infinite: Adam's second moment of encoder." in first


# A linear encoder without pressure on the rate: posteriors so narrow that their precision overflows, though every number of
# training is finite.
ONLY_IN_SCORING = {"network": "linear", "latent_size": 2, "epochs": 6, "batch_size": 128, "learning_rate": 300.0}


def test_where_only_scores_are_not_finite_a_run_diverged_in_scoring(make_experiment, tmp_path):
    variants = {
        "free": {"kl": {"schedule": "constant", "weight": 0}},
        "held": {"kl": {"schedule": "constant", "weight": 1}},
    }
    defaults = ONLY_IN_SCORING | {"likelihood": "gaussian"}
    experiment = make_experiment(defaults=defaults, variants=variants, baseline="held", seeds=1)
    results = made(experiment, tmp_path)
    folder = results.experiment(experiment.name)
    runs = tables.load(folder).runs.set_index("variant")
    assert runs.status.to_dict() == {"free": "diverged", "held": "trained"}
    assert pd.isna(runs.diverged_epoch["free"])
    because = "NaN: mutual information, marginal KL, total correlation, dimension-wise KL"
    assert runs.diverged_because["free"] == because
    assert runs.loc["free", ["elbo", "rate", "mutual_information"]].isna().all()
    saved = SavedRun(folder.run(runs.run_id["free"]))
    assert saved.record["diverged_epoch"] is None
    assert saved.state == f"diverged in scoring ({because})"
    with pytest.raises(UserError, match="has no pictures: it is diverged in scoring"):
        saved.pictures()
    assert caveats.diverged(runs.reset_index()) == [
        f"Diverged, without scores: 1 of 2 runs: {runs.run_id['free']} (in scoring; {because})."
    ]
    alone = make_experiment("alone", defaults=defaults, variants={"held": variants["held"]}, baseline="held", seeds=1)
    expected = tables.load(made(alone, tmp_path).experiment("alone")).runs
    assert expected.elbo.tolist() == [runs.elbo["held"]]


def test_lanes_that_diverge_in_different_epochs_and_a_resume_between(make_experiment, digits, tmp_path):
    """The KL weight jumps to 1e30 in the second of four epochs, or in the third."""
    kls = {name: {"schedule": "steps", "steps": 1, "weight": 1e30, "over": over} for name, over in (("b", 0.3), ("c", 0.6))}
    variants = {"a": {}} | {name: {"kl": kl} for name, kl in kls.items()}
    experiment = make_experiment(defaults=DEFAULTS | {"epochs": 4}, variants=variants, baseline="a", seeds=1)
    [cohort] = experiment.cohorts
    unbroken = {each.run.variant: each for each in train(cohort.runs, digits)}
    epochs = {name: each.diverged and each.diverged.epoch for name, each in unbroken.items()}
    assert epochs == {"a": None, "b": 1, "c": 2}
    assert {name: len(each.history) for name, each in unbroken.items()} == {"a": 4, "b": 1, "c": 2}
    [alone] = train([run for run in cohort.runs if run.variant == "a"], digits)
    assert_same(alone, unbroken["a"])
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", [run.run_id for run in cohort.runs])
    training = Training(cohort.runs, digits)
    for n_done in (1, 2, 3):
        training.run_epoch()
        training.save(checkpoint)
        resumed = Training(cohort.runs, digits)
        resumed.resume(checkpoint)
        assert (resumed.epoch, len(resumed)) == (n_done, 4 - n_done)
        while resumed.epoch < resumed.n_epochs:
            resumed.run_epoch()
        for each in resumed.result():
            other = unbroken[each.run.variant]
            assert each.diverged == other.diverged
            if each.state is None:
                assert other.state is None
                assert each.history.drop(columns="seconds").equals(other.history.drop(columns="seconds"))
            else:
                assert_same(each, other)


def test_where_all_diverge_there_are_tables_figures_and_a_report(make_experiment, tmp_path):
    variants = {"one": {}, "two": {"likelihood": "continuous-bernoulli"}}
    defaults = DEFAULTS | {"learning_rate": 10.0}
    experiment = make_experiment(defaults=defaults, variants=variants, baseline="one")
    results = made(experiment, tmp_path)
    figures.draw_all(experiment, results)
    report.write(experiment, results)
    folder = results.experiment(experiment.name)
    assert pd.read_csv(folder.runs).status.tolist() == ["diverged"] * 4
    summary = pd.read_csv(folder.summary("csv"))
    assert summary[["n", "n_diverged"]].to_numpy().tolist() == [[0, 2], [0, 2]]
    assert summary[["elbo", "rate"]].isna().all(axis=None)
    page = folder.report.read_text(encoding="utf-8")
    assert "Diverged, without scores: 4 of 4 runs" in page
    assert page.count("NaN: rate in training, distortion in training") >= 4
