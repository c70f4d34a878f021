"""What MLflow is to hold of a run, and what of an experiment."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from test_tracking import CURVES, fill

from vaebench import tables
from vaebench.mlflow_entries import MAX_POINTS, Entry, draw_pictures, entries
from vaebench.mlflow_pages import Pages
from vaebench.specification import Experiment
from vaebench.store import Results


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results")


def entries_of(experiment: Experiment, results: Results) -> list[Entry]:
    fill(experiment, results)
    return list(entries(Pages(experiment, results, "7"), tables.load(results.experiment(experiment.name))))


def test_what_differs_is_a_runs_and_what_all_share_is_the_summarys(make_experiment, results):
    grid = {"latent_size": [2, 4], "learning_rate": [0.01, 0.001]}
    defaults = {"network": {"kind": "mlp", "hidden": [16]}, "epochs": 2}
    *runs, summary = entries_of(make_experiment(grid=grid, defaults=defaults, seeds=1), results)
    assert [run.name for run in runs[:3]] == [
        "bce-z2-learning_rate-0.01-s0",
        "bce-z2-learning_rate-0.001-s0",
        "bce-z4-learning_rate-0.01-s0",
    ]
    assert len({run.name for run in runs}) == len(runs) == 8
    own = {"group", "variant", "latent_size", "likelihood", "learning_rate", "seed"}
    assert [set(run.params) for run in runs] == [own] * 4 + [own | {"likelihood.sigma"}] * 4
    assert not own & set(summary.params)
    assert summary.params["epochs"] == "2"


def test_a_single_variant_with_a_single_seed_has_its_name_and_seed(make_experiment, results):
    run, _ = entries_of(make_experiment(seeds=1, variants={"bce": {"likelihood": "bernoulli"}}), results)
    assert run.params == {"group": "bce-z3", "variant": "bce", "seed": "0"}


def test_descriptions_lead_to_the_report_and_back_to_the_model(make_experiment, results):
    experiment = make_experiment()
    *runs, summary = entries_of(experiment, results)
    fill(experiment, results, diverged={"bce-s0": 1})
    diverged = next(entries(Pages(experiment, results, "7"), tables.load(results.experiment("tiny"))))
    note = runs[0].tags["mlflow.note.content"]
    assert f"vaebench.load('{results.root}/tiny').model('{experiment.runs[0].run_id}').reconstruct(images)" in note
    for text in (note, diverged.tags["mlflow.note.content"]):
        assert "[report](#/experiments/7/runs?viewStateShareKey=report" in text
        assert f"{results.root}/tiny/report.html" in text
    assert "vaebench.load" not in diverged.tags["mlflow.note.content"]
    assert experiment.title in summary.tags["mlflow.note.content"]


def test_views_name_metrics_and_groups_that_are_there(make_experiment, results):
    experiment = make_experiment(headline="nll")
    runs = entries_of(experiment, results)[:-1]
    tags = Pages(experiment, results, "7").experiment_tags()
    linked = re.findall("viewStateShareKey=([a-z]+)", tags["mlflow.note.content"])
    views = {name: json.loads(json.loads(tags[f"mlflow.sharedViewState.{name}"])["state"]) for name in linked}
    assert set(views) == {"means", "curves", "report"}
    means = views["means"]
    assert means["selectedColumns"][0] == "metrics.`test/evidence/nll`"
    assert {name[len("metrics.`") : -1] for name in means["selectedColumns"]} < {point.name for point in runs[0].points}
    assert set(means["groupsExpanded"]) == {f"param.group.{run.params['group']}" for run in runs}
    curves = {point.name for point in runs[0].points if re.search(views["curves"]["chartsSearchFilter"], point.name)}
    assert curves == CURVES


def test_views_of_hundreds_of_groups_are_short_enough_for_mlflow(make_experiment, results):
    from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

    variants = {f"a-rather-long-name-of-a-variant-{i}": {"latent_size": i + 1} for i in range(300)}
    tags = Pages(make_experiment(variants=variants, baseline=next(iter(variants))), results, "7").experiment_tags()
    assert max(map(len, tags.values())) < MAX_EXPERIMENT_TAG_VAL_LENGTH / 2


def test_a_data_set_is_told_from_one_with_other_settings(make_experiment, results):
    dataset = {"kind": "synthetic-gaussian", "spectrum": [0.04, 0.01]}
    experiment = make_experiment(dataset=dataset, variants={"bce": {"likelihood": "gaussian"}})
    assert entries_of(experiment, results)[0].source.name == experiment.dataset.name != "synthetic-gaussian"


def test_scores_of_another_split_are_not_taken_for_curves(make_experiment, results):
    run, *_ = entries_of(make_experiment(evaluation={"n_samples": 4, "split": "train"}), results)
    names = {point.name for point in run.points}
    assert {name for name in names if name.count("/") == 1} == CURVES
    assert "train/evidence/elbo" in names


def test_the_linear_table_is_attached_where_there_is_one(make_experiment, results):
    experiment = make_experiment()
    assert "tables/linear.csv" not in entries_of(experiment, results)[-1].files
    results.experiment("tiny").linear.write_bytes(b"numbers")
    *_, summary = entries(Pages(experiment, results, "7"), tables.load(results.experiment("tiny")))
    assert summary.files["tables/linear.csv"] == b"numbers"


@pytest.mark.parametrize("n_epochs", [1, MAX_POINTS, MAX_POINTS + 1, 250])
def test_long_curves_are_thinned_evenly_from_first_to_last(make_experiment, results, n_epochs):
    defaults = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 3, "epochs": n_epochs}
    experiment = make_experiment(defaults=defaults, seeds=1, variants={"bce": {"likelihood": "bernoulli"}})
    run, _ = entries_of(experiment, results)
    for name in CURVES:
        steps = [point.step for point in run.points if point.name == name]
        assert steps[0] == 0
        assert steps[-1] == n_epochs - 1
        assert len(steps) == min(n_epochs, MAX_POINTS) <= 100
        assert len(set(np.diff(steps))) <= 2


def test_pictures_are_rows_of_originals_reconstructions_and_samples(tmp_path):
    path = tmp_path / "pictures.npz"
    originals, reconstructions, samples = (np.full((10, 64), level, np.uint8) for level in (0, 51, 255))
    originals[1, 8] = 255
    np.savez(path, originals=originals, reconstructions=reconstructions, samples=samples)
    image = np.array(Image.open(io.BytesIO(draw_pictures(path, (8, 8)))))
    size = 8 * 7 + 4  # seven screen pixels a pixel, and the frame
    assert image.shape == (3 * size, 10 * size)
    assert image[2 + 7, size + 2] == 255
    assert image[2 + 7 - 1, size + 2] == image[2 + 7, size + 2 + 7] == 0
    assert image[size + size // 2, 5] == 51
    assert image[2 * size + size // 2, 5] == 255
    assert image[0, 0] == 128
