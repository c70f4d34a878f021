"""Tasks: their declarations, and how their scores are made, kept and gathered, whatever the task."""

import json
import math
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from vaebench import jobs, plan, splits, tables
from vaebench.fingerprint import PACKAGE
from vaebench.metrics import FAMILIES, METRICS, Estimate
from vaebench.specification import load
from vaebench.statistics import mean_interval
from vaebench.store import Results, read_record
from vaebench.task_scores import MODEL, Finding, TaskScores
from vaebench.tasks import ALL_METRICS, TASKS

TASK = "representation"


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_declares_its_metrics_and_the_module_that_scores_it(task):
    names = [metric.name for metric in task.metrics]
    assert task.headline in names
    assert {metric.family for metric in task.metrics} <= set(FAMILIES)
    assert all(metric.better in ("higher", "lower", None) and metric.compute is None for metric in task.metrics)
    assert ALL_METRICS[task.headline].better is not None, "what is ranked by has a better direction"
    assert (PACKAGE / f"{task.module}.py").exists()
    assert callable(import_module(f"vaebench.{task.module}").score)
    assert task.title
    assert task.__doc__


def test_no_two_metrics_have_one_name():
    names = [*METRICS, *(metric.name for task in TASKS.values() for metric in task.metrics)]
    assert sorted(names) == sorted(ALL_METRICS)


class Counted:
    """In place of a task's `score`: what it was asked for, and made-up scores, which differ between runs."""

    def __init__(self):
        self.asked = []

    def __call__(self, subject, task):
        self.asked.append((subject.run.run_id, task.kind))
        value = 0.5 + 0.1 * subject.run.seed
        return TaskScores(
            {TASKS[TASK].headline: Estimate(value, 0.01)},
            [Finding("10 labels", "accuracy", MODEL, value, 0.01), Finding("10 labels", "accuracy", "chance", 0.1)],
            {"images": np.full((2, 4), subject.run.seed, np.uint8)},
        )


@pytest.fixture
def scored(monkeypatch):
    counted = Counted()
    monkeypatch.setattr("vaebench.representation.score", counted)
    return counted


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results")


def prepare(experiment, results) -> None:
    splits.prepare(experiment.dataset, results)
    if any(task.needs_classifier for task in experiment.tasks):
        jobs.classify(experiment.dataset, results)


def make(experiment, results) -> None:
    prepare(experiment, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)


def test_each_run_is_scored_once_and_its_numbers_reach_every_table(make_experiment, results, scored):
    experiment = make_experiment(tasks=[TASK], seeds=3)
    make(experiment, results)
    make(experiment, results)
    assert sorted(scored.asked) == sorted((run.run_id, TASK) for run in experiment.runs)
    tables.aggregate(experiment, results)
    found = tables.load(results.experiment("tiny"))
    assert found.runs[TASKS[TASK].headline].tolist() == pytest.approx([0.5, 0.6, 0.7] * 2)
    assert found.runs[f"{TASKS[TASK].headline}_standard_error"].tolist() == [0.01] * 6
    expected = mean_interval(np.array([0.5, 0.6, 0.7]))
    for row in found.summary.to_dict("records"):
        low, high = (row[f"{TASKS[TASK].headline}_{end}"] for end in ("low", "high"))
        assert (row[TASKS[TASK].headline], low, high) == pytest.approx(expected[:3])
    of_task = found.comparisons[found.comparisons.metric == TASKS[TASK].headline]
    assert of_task.difference.tolist() == pytest.approx([0])
    rows = found.tasks[found.tasks.variant == "mse"].drop(columns=["variant", "latent_size"]).to_dict("records")
    words = {"task": TASK, "condition": "10 labels", "score": "accuracy", "n": 3}
    own, chance = rows
    assert own == words | {"method": MODEL} | dict(zip(("mean", "low", "high"), expected[:3], strict=True))
    assert chance == words | {"method": "chance"} | dict.fromkeys(("mean", "low", "high"), pytest.approx(0.1))


def test_a_task_that_is_added_later_trains_and_scores_nothing_else_again(make_experiment, results, scored):
    before = make_experiment()
    make(before, results)
    folders = [results.experiment("tiny").run(run.run_id) for run in before.runs]
    times = [path.stat().st_mtime_ns for folder in folders for path in (folder.record, folder.evaluation)]
    after = make_experiment(tasks=[TASK])
    assert [len(each.to_score) for each in plan.still_open(after, results)] == [2, 2]
    make(after, results)
    assert [path.stat().st_mtime_ns for folder in folders for path in (folder.record, folder.evaluation)] == times
    assert len(scored.asked) == 4
    assert not any(each.to_score for each in plan.still_open(after, results))


def test_a_task_without_which_an_experiment_goes_on_leaves_nothing_in_its_tables(make_experiment, results, scored):
    make(make_experiment(tasks=[TASK]), results)
    tables.aggregate(make_experiment(tasks=[TASK]), results)
    assert results.experiment("tiny").tasks.exists()
    without = make_experiment()
    make(without, results)
    tables.aggregate(without, results)
    assert not results.experiment("tiny").tasks.exists()
    found = tables.load(results.experiment("tiny"))
    assert found.tasks.empty
    assert TASKS[TASK].headline not in found.runs


def test_what_a_record_says_was_scored_is_scored_again_where_it_is_damaged(make_experiment, results, scored, capfd):
    experiment = make_experiment(tasks=[TASK])
    make(experiment, results)
    folder = results.experiment("tiny").run(experiment.runs[0].run_id)
    folder.task_pictures(TASK).write_bytes(b"")
    make(experiment, results)
    assert scored.asked[4:] == [(experiment.runs[0].run_id, TASK)]
    assert "so it counts as not made" in capfd.readouterr().err


def test_numbers_that_are_not_finite_are_left_out_and_said(make_experiment, results, monkeypatch, capsys):
    def score(subject, task):
        findings = [Finding("", "accuracy", MODEL, math.inf), Finding("", "accuracy", "chance", 0.1)]
        return TaskScores({TASKS[TASK].headline: Estimate(math.nan)}, findings)

    monkeypatch.setattr("vaebench.representation.score", score)
    experiment = make_experiment(tasks=[TASK], seeds=1)
    make(experiment, results)
    record = read_record(results.experiment("tiny").run(experiment.runs[0].run_id).task(TASK))
    assert record["metrics"] == {}
    assert [finding["method"] for finding in record["findings"]] == ["chance"]
    assert capsys.readouterr().out.count("linear_probe: not finite, so there is none") == 2


def test_runs_that_diverged_are_scored_by_no_task(make_experiment, results, scored):
    experiment = make_experiment(
        tasks=[TASK], seeds=1, variants={"bce": {}, "mad": {"learning_rate": 1e30, "likelihood": "gaussian"}}
    )
    make(experiment, results)
    assert [run_id.partition("-")[0] for run_id, _ in scored.asked] == ["bce"]
    tables.aggregate(experiment, results)
    runs = tables.load(results.experiment("tiny")).runs.set_index("variant")
    assert runs.status.to_dict() == {"bce": "trained", "mad": "diverged"}
    assert pd.isna(runs.linear_probe["mad"])


def test_a_run_that_is_trained_alone_is_scored_by_its_tasks_too(make_experiment, results, scored):
    experiment = make_experiment(tasks=[TASK])
    splits.prepare(experiment.dataset, results)
    jobs.train_alone(experiment, experiment.runs[1], results)
    jobs.evaluate_alone(experiment, experiment.runs[1], results)
    jobs.evaluate_alone(experiment, experiment.runs[1], results)
    assert scored.asked == [(experiment.runs[1].run_id, TASK)]


def test_scores_do_not_depend_on_what_is_scored_beside_a_run(write_experiment, results, tmp_path):
    """By every task that digits can have, with the real scoring code."""
    kinds = [kind for kind, task in TASKS.items() if task().fault_of(load(write_experiment()).dataset) is None]
    experiment = load(write_experiment(tasks=kinds, grid={"left_out": [None, 3]}))
    make(experiment, results)
    alone = Results(tmp_path / "alone")
    prepare(experiment, alone)
    for run in experiment.runs[-3::2]:
        jobs.train_alone(experiment, run, alone)
        jobs.evaluate_alone(experiment, run, alone)
        folders = [each.experiment("tiny").run(run.run_id) for each in (results, alone)]
        for task in (task for task in experiment.tasks if task.applies(run)):
            one, other = (json.loads(folder.task(task.kind).read_text()) for folder in folders)
            assert one["findings"], task.kind
            condition, score = task.headline_finding
            own = [
                finding["value"]
                for finding in one["findings"]
                if (finding["score"], finding["method"]) == (score, MODEL) and condition in (None, finding["condition"])
            ]
            assert np.mean(own) == pytest.approx(one["metrics"][task.headline]["value"]), "it stands among its findings"
            assert {finding["method"] for finding in one["findings"]} - {MODEL} == set(task.methods), (
                "and all are explained"
            )
            for part in ("key", "metrics", "findings", "files"):
                assert one[part] == other[part], (task.kind, part)
