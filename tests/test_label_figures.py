"""The tasks that read labels, from an experiment file to tables and figures."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vaebench import jobs, plotting, specification, splits, tables
from vaebench.datasets import Digits, Mnist
from vaebench.figures import FIGURES
from vaebench.files import read_json
from vaebench.images import load_images
from vaebench.label_draws import label_draw
from vaebench.plotting import Source, styled
from vaebench.store import Results
from vaebench.task_scores import MODEL
from vaebench.tasks import FewLabels, Representation

TINY = """
title: tiny
dataset: digits
seeds: 1
defaults: {network: {kind: mlp, hidden: [16]}, epochs: 2}
grid: {latent_size: [2, 5]}
variants: {a: {}, b: {likelihood: gaussian}}
baseline: a
evaluation: {n_samples: 2}
tasks: [few-labels, representation]
"""


WITH_M2 = """
title: with M2
dataset: digits
seeds: 2
defaults: {network: {kind: mlp, hidden: [16]}, latent_size: 2, epochs: 2}
variants: {vae: {}, few: {supervision: {kind: m2, labels: 20}}, many: {supervision: {kind: m2, labels: 100}}}
baseline: vae
evaluation: {n_samples: 2}
tasks: [few-labels]
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return carry_out(TINY, tmp_path_factory.mktemp("labels"))


def carry_out(text, folder):
    (folder / "tiny.yaml").write_text(text)
    experiment, results = specification.load(folder / "tiny.yaml"), Results(folder)
    splits.prepare(experiment.dataset, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    files = results.experiment(experiment.name)
    return SimpleNamespace(experiment=experiment, results=results, source=Source(experiment, files, tables.load(files)))


def test_baselines_are_the_same_for_all_runs_and_have_no_interval(done):
    found = done.source.tables.tasks
    assert set(found.method) == {"model", "PCA", "pixels", "chance"}
    keys = ["task", "condition", "score"]
    others = found[found.method.isin(["pixels", "chance"])]
    assert (others.groupby([*keys, "method"])["mean"].agg(np.ptp) < 1e-12).all()
    assert (found[found.method == "PCA"].groupby([*keys, "latent_size"])["mean"].agg(np.ptp) < 1e-12).all()
    assert found[found.method == "model"].groupby(keys)["mean"].nunique().max() == 4
    assert (found.n == 1).all()


def test_neighbours_of_ten_labelled_images_are_the_nearest(done):
    images = load_images(Digits(), "none", done.results.dataset("digits"))
    train, test = (images.as_pixels(images[split]).numpy() for split in ("train", "test"))
    accuracies = []
    for draw in range(10):
        chosen = label_draw(images.labels["train"], 10, draw)
        named = images.labels["train"][chosen][cdist(test, train[chosen]).argmin(axis=1)]
        accuracies.append((named == images.labels["test"]).mean())
    found = done.source.tables.tasks
    rows = found[(found.condition == "10 labels") & (found.method == "pixels")].set_index("score")["mean"]
    # Digits have few grey levels: now and then two images are as near.
    assert rows["nearest-neighbour accuracy"].unique() == pytest.approx([np.mean(accuracies)], abs=0.001)
    spread = rows["nearest-neighbour accuracy, spread over draws"].unique()
    assert spread == pytest.approx([np.std(accuracies, ddof=1)], abs=0.001)


def test_metrics_are_the_findings_of_the_run_itself(done):
    for run in done.experiment.runs:
        record = read_json(done.source.folder.run(run.run_id).task("few-labels"))
        found = {(row["condition"], row["score"]): row["value"] for row in record["findings"] if row["method"] == MODEL}
        metrics = {name: estimate["value"] for name, estimate in record["metrics"].items()}
        assert metrics == {
            "accuracy_10": found["10 labels", "accuracy"],
            "accuracy_100": found["100 labels", "accuracy"],
            "accuracy_1000": found["1,000 labels", "accuracy"],
            "knn_accuracy_100": found["100 labels", "nearest-neighbour accuracy"],
        }


def test_a_run_scored_alone_has_the_same_numbers(done):
    run = done.experiment.runs[-1]
    files = done.source.folder.run(run.run_id)
    before = [files.task(task.kind).read_bytes() for task in done.experiment.tasks]
    for task in done.experiment.tasks:
        files.task(task.kind).unlink()
    jobs.evaluate_alone(done.experiment, run, done.results)
    assert [files.task(task.kind).read_bytes() for task in done.experiment.tasks] == before


def test_lines_are_the_means_by_number_of_labels(done):
    with styled():
        drawing = FIGURES["few-labels"].draw(done.source)
    assert [ax.get_title("left") for ax in drawing.axes] == ["latent size 2", "latent size 5"]
    runs = done.source.tables.runs
    for ax, latent_size in zip(drawing.axes, (2, 5), strict=True):
        drawn = {line.get_color(): line for line in ax.lines}
        assert len(ax.lines) == 5, "two variants, and a line for each baseline"
        for variant in ("a", "b"):
            line = drawn[done.source.looks[variant]["color"]]
            assert line.get_xdata().tolist() == [10, 100, 1000]
            of_runs = runs[(runs.variant == variant) & (runs.latent_size == latent_size)]
            assert line.get_ydata() == pytest.approx(of_runs[["accuracy_10", "accuracy_100", "accuracy_1000"]].mean())


def test_stars_are_what_m2_says_of_classes_and_crosses_what_is_published_of_mnist(tmp_path):
    source = carry_out(WITH_M2, tmp_path).source
    of_mnist = replace(source, experiment=source.experiment.model_copy(update={"dataset": Mnist()}))
    with styled():
        drawing, with_published = (FIGURES["few-labels"].draw(of).axes[0] for of in (source, of_mnist))
    runs = source.tables.runs
    told = runs[runs.variant == "many"]
    assert told.accuracy_100.tolist() == pytest.approx(told.classifier_accuracy.tolist(), abs=1e-12)
    assert told.accuracy_10.isna().all(), "of the labels that it is told, and of no others"
    stars = [line for line in drawing.lines if line.get_marker() == "*"]
    for star, variant, n_labels in zip(stars, ("few", "many"), (20, 100), strict=True):
        assert star.get_color() == source.looks[variant]["color"]
        assert n_labels < star.get_xdata()[0] < 1.5 * n_labels, "beside the cross, where there is one"
        assert star.get_ydata() == pytest.approx([runs[runs.variant == variant].classifier_accuracy.mean()])
    assert all(line.get_marker() != "x" for line in drawing.lines)
    [crosses] = [line for line in with_published.lines if line.get_marker() == "x"]
    assert list(zip(crosses.get_xdata(), crosses.get_ydata(), strict=True)) == [(100, 0.88), (100, 0.932)]


def test_baselines_stand_in_the_rows_of_their_variant(done):
    with styled():
        above, below = FIGURES["representation"].draw(done.source).axes
    assert above.get_xlabel() == "linear probe, higher is better"
    found = done.source.findings_of(Representation.kind)
    n_drawn = 0
    for ax, score in ((above, "linear probe"), (below, "cluster NMI")):
        bars = np.concatenate([lines.get_segments() for lines in ax.collections])
        values = done.source.runs[score.replace(" ", "_").lower()]
        reach = 2 * np.ptp(values)
        others = found[(found.score == score) & (found.method != MODEL)]["mean"]
        near = others[others.between(values.min() - reach, values.max() + reach)]
        assert sorted(bars[:, 0, 0]) == sorted(near), "what lies further off would press the variants together"
        n_drawn += len(bars)
        [expected] = set(found[(found.score == score) & (found.method == "PCA") & (found.latent_size == 5)]["mean"])
        rows = {(bar[:, 1].mean()) for bar in bars if bar[0, 0] == expected}
        assert rows == ({1, 3} if expected in set(near) else set()), "a and b at latent size 5"
    assert 0 < n_drawn < 2 * 4 * 3


def test_without_the_tasks_there_are_no_such_figures(done, tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(TINY.replace("tasks:", "# "))
    empty = done.source.tables.tasks.iloc[:0, :0]
    plain = Source(specification.load(path), done.source.folder, SimpleNamespace(tasks=empty))
    for kind in (FewLabels.kind, Representation.kind):
        assert plain.findings_of(kind).empty
        assert not FIGURES[kind].applies(plain)
        assert FIGURES[kind].applies(done.source)


def test_the_figures_answer_the_headline_metrics(done):
    for task in (FewLabels, Representation):
        assert task.headline in FIGURES[task.kind].shows
    assert plotting.HEADLINE in FIGURES
