"""A class that runs never see: in the experiment file, in the images, in tables, in words and in figures."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import vaebench
from vaebench import findings, jobs, methods, page_tables, splits, tables
from vaebench.anomaly_figures import ANOMALY_FIGURES, PUBLISHED
from vaebench.datasets import SPLITS, Digits, Mnist, Npz
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.files import read_arrays
from vaebench.images import load_images
from vaebench.metrics import METRICS
from vaebench.mlflow_pages import Pages
from vaebench.plotting import Source, styled
from vaebench.ranking import ranks
from vaebench.specification import load
from vaebench.store import Results

TEXT = """
title: What is left out
dataset: digits
defaults: {network: {kind: mlp, hidden: [16]}, latent_size: 2, epochs: 2}
seeds: 1
grid: {left_out: [null, 3, "7"]}
variants: {bce: {}, wide: {latent_size: 4}, beta: {kl: {schedule: constant, weight: 4}}}
baseline: bce
evaluation: {n_samples: 4}
tasks: [anomaly]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An experiment with a grid of classes, trained and gathered: the experiment, its results, its tables."""
    folder = tmp_path_factory.mktemp("left-out")
    (folder / "left.yaml").write_text(TEXT)
    experiment, results = load(folder / "left.yaml"), Results(folder / "results")
    splits.prepare(experiment.dataset, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    return experiment, results, tables.load_current(experiment, results.experiment("left"))


@pytest.fixture
def source(made) -> Source:
    experiment, results, found = made
    return Source(experiment, results.experiment("left"), found)


def own_images(folder, monkeypatch, counts: dict[str, tuple[int, ...]]) -> Npz:
    """Images with so many of each class in each split."""
    monkeypatch.setenv("VAEBENCH_DATA", str(folder))
    random = np.random.default_rng(0)
    arrays = {}
    for split, n_of_class in counts.items():
        arrays[f"{split}_images"] = random.integers(256, size=(sum(n_of_class), 4, 4), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.repeat(np.arange(len(n_of_class)), n_of_class)
    np.savez(folder / "own.npz", **arrays, class_names=np.array(["ant", "bee"]))
    return Npz(file="own.npz")


def test_no_split_has_an_image_of_the_class(made):
    _, results, _ = made
    expected = Digits().load(None)
    images = load_images(Digits(), "none", results.dataset("digits"), "3")
    for split in SPLITS:
        kept = expected[split].labels != 3
        np.testing.assert_array_equal(images[split].numpy(), expected[split].images[kept])
        np.testing.assert_array_equal(images.labels[split], expected[split].labels[kept])


def test_a_batch_of_more_images_than_are_left_is_one_line(make_experiment, tmp_path, monkeypatch):
    own_images(tmp_path, monkeypatch, {"train": (40, 30), "validation": (4, 4), "test": (4, 4)})
    changes = {"dataset": {"kind": "npz", "file": "own.npz"}, "variants": {"bce": {}}}
    experiment = make_experiment(defaults={"batch_size": 50, "left_out": "bee", "epochs": 1}, **changes)
    results = Results(tmp_path / "results")
    splits.prepare(experiment.dataset, results)
    with pytest.raises(UserError, match="batch_size 50 is more than the 40 training images of npz without the class 'bee'"):
        jobs.train_cohort(experiment, experiment.cohorts[0], results)


def test_a_split_of_that_class_alone_is_one_line(tmp_path, monkeypatch):
    dataset = own_images(tmp_path, monkeypatch, {"train": (40, 30), "validation": (4, 0), "test": (4, 4)})
    splits.save(dataset, tmp_path, tmp_path / "splits.npz")
    with pytest.raises(UserError, match="without the class 'ant' there are no validation images"):
        load_images(dataset, "none", tmp_path / "splits.npz", "ant")


def test_tables_name_the_class_as_text(made):
    _, _, found = made
    for table in (found.runs, found.summary, found.comparisons):
        assert table.left_out.dropna().unique().tolist() == ["3", "7"]
        assert table.left_out.isna().sum() == len(table) / 3
    assert found.tasks.left_out.unique().tolist() == ["3", "7"], "nothing stands against digits as a whole"


def test_each_row_of_the_summary_is_of_the_runs_of_its_class(made):
    _, _, found = made
    for row in found.summary.to_dict("records"):
        runs = found.runs[(found.runs.variant == row["variant"])]
        runs = runs[runs.left_out.isna() if pd.isna(row["left_out"]) else runs.left_out == row["left_out"]]
        assert len(runs) == row["n"] == 1
        assert row["elbo"] == pytest.approx(runs.elbo.mean())
        assert pd.isna(row["anomaly_auroc"]) == pd.isna(row["left_out"])


def test_numbers_of_other_images_are_not_ranked_together(made):
    _, _, found = made
    for name in ("elbo", "squared_error"):
        assert [rank.n for rank in ranks(found.summary, METRICS[name])] == [3] * 9
    # Three rows a variant: nothing left out, 3, 7.
    summary = found.summary.assign(elbo=[1, 5, 3, 2, 4, 6, 0, 9, 8])
    order = page_tables._best_first(summary, METRICS["elbo"])
    assert order == [3, 0, 6, 7, 1, 4, 8, 5, 2]


def test_variants_that_leave_out_other_classes_are_not_compared(make_experiment, tmp_path):
    experiment = make_experiment(variants={"bce": {}, "less": {"left_out": 3}, "same": {"epochs": 2}})
    results = Results(tmp_path / "results")
    splits.prepare(experiment.dataset, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    found = tables.load(results.experiment("tiny"))
    elbo = found.comparisons[found.comparisons.metric == "elbo"].set_index("variant")
    assert elbo.comparable.to_dict() == {"less": False, "same": True}
    assert found.comparisons[found.comparisons.metric == "rate"].comparable.all(), "neither direction is better"
    [reason] = findings.not_compared(found.runs, found.comparisons, "bce")
    assert reason.endswith("the former are of data with left out 3, the latter with left out nothing.")


def test_words_say_which_class_is_left_out(made, source):
    experiment, results, found = made
    assert [source.describe(point) for point in range(3)] == ["left out nothing", "left out 3", "left out 7"]
    sentences = findings.best(found.summary, tables.group_keys(experiment), METRICS["elbo"])
    ends = [f"with left out {name}, " in sentence for name, sentence in zip(("nothing", "3", "7"), sentences, strict=True)]
    assert all(ends), sentences
    assert methods.settings(experiment)["left_out"] == "none, 3 and 7"
    assert methods.methods(experiment)["leaves_out"]
    pages = Pages(experiment, results, "1")
    assert [pages.group(run) for run in experiment.first_runs[:3]] == ["bce-z2", "bce-z2-left_out-3", "bce-z2-left_out-7"]


def test_loaded_images_are_those_that_the_run_saw(made):
    _, results, _ = made
    loaded = vaebench.load(results.experiment("left").path)
    runs = loaded.runs[loaded.runs.variant == "bce"]
    whole, without = (loaded.images(of.run_id.iloc[0]) for of in (runs[runs.left_out.isna()], runs[runs.left_out == "3"]))
    assert len(whole) - len(without) == (Digits().load(None)["test"].labels == 3).sum()


def test_figures_name_the_class(source):
    with styled():
        [ax] = FIGURES["elbo"].draw(source).axes
        titles = [panel.get_title("left") for panel in FIGURES["kl-spectrum"].draw(source).axes]
        histograms = [panel.get_title("left") for panel in FIGURES["anomaly-scores"].draw(source).axes]
    rows = [label.get_text().split() for label in ax.get_yticklabels()]
    assert rows == [["bce", "nothing"], ["3"], ["7"], ["wide", "nothing"], ["3"], ["7"], ["beta", "nothing"], ["3"], ["7"]]
    assert titles == ["left out nothing", "left out 3", "left out 7"]
    assert histograms == [f"{variant}, left out {name}" for variant in ("bce", "wide", "beta") for name in (3, 7)]


def test_most_figures_are_of_runs_that_left_out_nothing(source):
    whole = source.whole
    assert whole.experiment.runs == tuple(run for run in source.experiment.runs if run.left_out is None)
    assert (whole.experiment.name, whole.experiment.grid, whole.whole) == ("left", None, whole)
    ids = {run.run_id for run in whole.experiment.runs}
    assert set(whole.tables.runs.run_id) == set(whole.tables.history.run_id) == set(whole.tables.spectrum.run_id) == ids
    assert [len(table) for table in (whole.runs, whole.tables.summary)] == [3, 3]
    assert whole.runs.elbo_mean.tolist() == whole.runs.elbo.tolist(), "each row of the summary is of its one seed"
    with styled():
        [ax] = FIGURES["elbo"].draw(FIGURES["elbo"].of(source)).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bce", "wide", "beta"]
    assert FIGURES["anomaly-scores"].of(source) is source
    applicable = FIGURES.applicable(source)
    assert {"elbo", "anomaly-scores"} <= set(applicable)


def test_where_no_run_leaves_out_nothing_figures_are_of_all(make_experiment):
    experiment = make_experiment(grid={"left_out": [3, 7]})
    assert experiment.whole is experiment


def lines_of(ax, marker):
    return [line for line in ax.lines if line.get_marker() == marker]


def test_areas_stand_in_the_rows_of_their_classes(made, source):
    _, _, found = made
    with styled():
        left, right, _ = ANOMALY_FIGURES["anomaly-detection"].draw(source).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["left out 3", "left out 7"]
    assert right.get_ylim() == left.get_ylim()
    for ax, variant in ((left, "bce"), (right, "wide")):
        rows = found.tasks[(found.tasks.variant == variant) & (found.tasks.score == "AUROC")]
        for marker, method in (("o", "model"), ("D", "PCA")):
            [line] = lines_of(ax, marker)
            assert list(line.get_xdata()) == rows["mean"][rows.method == method].tolist()
        [rate] = lines_of(ax, "^")
        expected = found.tasks[(found.tasks.variant == variant) & (found.tasks.score == "AUROC by rate")]
        assert list(rate.get_xdata()) == expected["mean"].tolist()
        [published] = lines_of(ax, "x")
        assert not len(published.get_xdata()), "of MNIST only"


def test_published_areas_stand_in_the_rows_of_mnist_at_their_latent_size(made, source):
    experiment, _, _ = made
    of_mnist = replace(source, experiment=experiment.model_copy(update={"dataset": Mnist()}))
    with styled():
        left, right, _ = ANOMALY_FIGURES["anomaly-detection"].draw(of_mnist).axes
    [published] = lines_of(left, "x")
    assert list(published.get_xdata()) == [PUBLISHED[2]["3"], PUBLISHED[2]["7"]] == [0.94, 0.77]
    rows = np.round(published.get_ydata()).astype(int)
    assert [left.get_yticklabels()[row].get_text() for row in rows] == ["left out 3", "left out 7"]
    assert not len(lines_of(right, "x")[0].get_xdata()), "none is published for 4 dimensions"


def test_the_least_and_the_most_anomalous_images_stand_side_by_side(made, source):
    experiment, results, _ = made
    with styled():
        left, right = ANOMALY_FIGURES["anomalous-images"].draw(source).axes
    run = next(run for run in experiment.runs if run.left_out == "3")
    pictures = read_arrays(results.experiment("left").run(run.run_id).task_pictures("anomaly"))
    for ax, end in ((left, "least"), (right, "most")):
        shown = ax.images[0].get_array()[:8, :8].flatten()
        np.testing.assert_array_equal(shown, pictures[f"{end}_anomalous"][0])
        assert ax.texts[0].get_text().strip() == f"{pictures[f'{end}_is_anomaly'].sum()} of 10"


def test_without_the_task_there_are_no_such_figures(source):
    experiment = source.experiment.model_copy(update={"tasks": []})
    without = replace(source, experiment=experiment, tables=replace(source.tables, tasks=pd.DataFrame()))
    assert not set(ANOMALY_FIGURES) & set(FIGURES.applicable(without))
    assert set(ANOMALY_FIGURES) <= set(FIGURES.applicable(source))
