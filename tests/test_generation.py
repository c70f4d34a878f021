"""The task "generation": generators that are known to be good or bad, and what becomes of the numbers."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from vaebench import generation, jobs, splits, tables
from vaebench.classifier import pixels
from vaebench.datasets import Digits
from vaebench.figures import FIGURES
from vaebench.files import read_arrays, read_json
from vaebench.plotting import Source, styled
from vaebench.store import Results
from vaebench.task_scores import MODEL
from vaebench.tasks import Generation

N = 180  # validation images, and so samples


@pytest.fixture(scope="module")
def digits(classified):
    """Pixel values by split."""
    loaded = splits.load(Digits(), classified.dataset("digits"))
    return {name: pixels(split, 17) for name, split in loaded.items()}


@pytest.fixture
def found(classified):
    """What the task finds of a generator that gives these images: score -> method -> value, and the rest."""

    def find(images, split="test"):
        def samples(n):
            assert n == len(images)
            return images

        subject = SimpleNamespace(
            run=SimpleNamespace(dataset=Digits()),
            evaluation=SimpleNamespace(split=split),
            results=classified,
            samples=samples,
        )
        scores = generation.score(subject, Generation())
        rows = pd.DataFrame(scores.findings).pivot(index="score", columns="method", values="value")
        return rows, scores

    return find


def test_a_generator_of_test_images_is_better_than_the_floor(found, digits):
    rows, scores = found(digits["test"][:N])
    assert rows[MODEL]["precision of samples"] == 1
    assert rows[MODEL]["recall of samples"] > 0.95
    # Half of the very images that it is held against.
    assert rows[MODEL]["Fréchet distance"] < rows["real images"]["Fréchet distance"]
    assert scores.metrics["frechet_distance"].value == rows[MODEL]["Fréchet distance"]
    assert {finding.condition for finding in scores.findings} == {"180 samples"}


def test_a_generator_of_held_out_images_is_at_the_floor(found, digits):
    rows, _ = found(digits["validation"])
    assert rows[MODEL].to_dict() == rows["real images"].to_dict()
    assert (rows.loc[["precision of samples", "recall of samples", "class coverage"], MODEL] > 0.9).all()


def test_a_generator_of_training_images_is_near_the_floor_and_noise_is_not(found, digits):
    rows, _ = found(digits["train"][:N])
    good = rows[MODEL]
    assert good["precision of samples"] > 0.9
    assert good["recall of samples"] > 0.85
    assert good["Fréchet distance"] < 3 * rows["real images"]["Fréchet distance"]
    noise = found(np.random.default_rng(0).random((N, 64), np.float32))[0][MODEL]
    assert noise["Fréchet distance"] > 10 * good["Fréchet distance"]
    assert noise["recall of samples"] < 0.1


def test_a_generator_of_a_single_image_has_no_recall(found, digits):
    rows, _ = found(np.tile(digits["test"][5], (N, 1)))
    for method in (MODEL, "one image"):
        assert rows[method]["precision of samples"] == 1
        assert rows[method]["recall of samples"] <= 1 / 360
        assert rows[method]["class coverage"] == pytest.approx(1 / 10)
        assert rows[method]["Fréchet distance"] > 20 * rows["real images"]["Fréchet distance"]


def test_a_generator_of_one_class_lacks_the_others(found, digits, classified):
    labels = splits.load(Digits(), classified.dataset("digits"))["train"].labels
    threes = digits["train"][labels == 3]
    rows, _ = found(np.resize(threes, (N, 64)))
    assert rows[MODEL]["precision of samples"] > 0.9
    assert rows[MODEL]["recall of samples"] < 0.2
    assert rows[MODEL]["class coverage"] < 0.15


def test_pixel_values_beyond_the_ends_are_clipped(found, digits):
    beyond = np.where(digits["validation"] == 1, 1.7, digits["validation"]).astype(np.float32)
    beyond[beyond == 0] = -0.4
    rows, _ = found(beyond)
    assert rows[MODEL].to_dict() == rows["real images"].to_dict()


def test_what_is_held_against_the_scored_images_is_another_split(found, digits):
    rows, scores = found(digits["test"], split="validation")
    assert rows[MODEL].to_dict() == rows["real images"].to_dict()
    np.testing.assert_array_equal(scores.pictures["held_out_images"], np.rint(255 * digits["test"][:10]))


def test_pictures_are_the_first_samples_with_what_is_nearest(found, digits):
    samples = np.concatenate([digits["test"][40:47], np.ones((N - 7, 64), np.float32)])
    pictures = found(samples)[1].pictures
    np.testing.assert_array_equal(pictures["samples_images"][:7], np.rint(255 * digits["test"][40:47]))
    np.testing.assert_array_equal(pictures["samples_nearest"][:7], pictures["samples_images"][:7])
    assert pictures["samples_is_inside"].tolist() == [True] * 7 + [False] * 3


@pytest.fixture(scope="module")
def made(classified, tmp_path_factory):
    """An experiment with the task, up to its tables."""
    from vaebench import specification

    folder = tmp_path_factory.mktemp("made")
    results = Results(shutil.copytree(classified.root, folder / "results"))
    path = folder / "made.yaml"
    path.write_text(
        "{title: made, dataset: digits, baseline: a, seeds: 2, tasks: [generation], headline: frechet_distance,"
        " evaluation: {n_samples: 2}, defaults: {epochs: 4, latent_size: 2, learning_rate: 0.003},"
        " variants: {a: {}, b: {binarisation: dynamic}, c: {left_out: '3'}}}"
    )
    experiment = specification.load(path)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    return experiment, results.experiment("made")


def test_its_numbers_reach_the_tables_with_their_floors(made):
    experiment, folder = made
    loaded = tables.load(folder)
    by_variant = loaded.runs.groupby("variant").frechet_distance
    assert by_variant.count().to_dict() == {"a": 2, "b": 2, "c": 0}, "c leaves a class out"
    [run] = [run for run in experiment.runs if (run.variant, run.seed) == ("a", 1)]
    record = read_json(folder.run(run.run_id).task("generation"))
    of_run = loaded.runs.set_index("run_id").loc[run.run_id]
    assert of_run.frechet_distance == record["metrics"]["frechet_distance"]["value"]
    mean = loaded.tasks[(loaded.tasks.method == MODEL) & (loaded.tasks.score == "Fréchet distance")]
    assert mean.set_index("variant")["mean"].to_dict() == pytest.approx(by_variant.mean().dropna().to_dict())
    floors = loaded.tasks[loaded.tasks.method == "real images"].pivot(index="score", columns="variant", values="mean")
    assert (floors["a"] == floors["b"]).all(), "grey levels, whatever the runs saw"
    assert (mean["mean"] > floors["a"]["Fréchet distance"]).all()


def test_samples_are_the_models_own(made):
    from vaebench.subject import Subject
    from vaebench.weights import trained_model

    experiment, folder = made
    run = experiment.runs[1]
    files = folder.run(run.run_id)
    subject = Subject(run, trained_model(run, files), experiment.evaluation, Results(folder.path.parent))
    again = generation.score(subject, Generation())
    record = read_json(files.task("generation"))
    assert {name: estimate.value for name, estimate in again.metrics.items()} == {
        name: estimate["value"] for name, estimate in record["metrics"].items()
    }
    expected = subject.samples(N)[:10]
    np.testing.assert_array_equal(read_arrays(files.task_pictures("generation"))["samples_images"], np.rint(255 * expected))


def test_the_figure_frames_what_lies_outside(made):
    experiment, folder = made
    source = Source(experiment, folder, tables.load(folder))
    with styled():
        left, right = FIGURES["generated-samples"].draw(source).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["real images", "a", "b"]
    [run] = [run for run in experiment.runs if (run.variant, run.seed) == ("b", 0)]
    pictures = read_arrays(folder.run(run.run_id).task_pictures("generation"))
    mosaics = [ax.images[0].get_array() for ax in (left, right)]
    for mosaic, name in zip(mosaics, ("samples_images", "samples_nearest"), strict=True):
        np.testing.assert_array_equal(mosaic[18:26, 9:17].flatten(), pictures[name][1])
    framed = {(round((patch.get_y() + 0.5) / 9), round((patch.get_x() + 0.5) / 9)) for patch in left.patches}
    assert all(isinstance(patch, Rectangle) and (patch.get_width(), patch.get_height()) == (8, 8) for patch in left.patches)
    assert {column for row, column in framed if row == 2} == set(np.flatnonzero(~pictures["samples_is_inside"]))
    assert {column for row, column in framed if row == 0} == set(np.flatnonzero(~pictures["held_out_is_inside"]))
    assert not right.patches


def test_the_figure_has_its_place_also_where_a_variant_has_diverged(made):
    from dataclasses import replace

    experiment, folder = made
    loaded = tables.load(folder)
    runs = loaded.runs.copy()
    runs.loc[runs.variant == "a", "status"] = "diverged"
    runs.loc[runs.variant == "a", "frechet_distance"] = np.nan
    source = Source(experiment, folder, replace(loaded, runs=runs))
    assert "generated-samples" in FIGURES.applicable(source)
    with styled():
        left, _ = FIGURES["generated-samples"].draw(source).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["real images", "a (2 of 2 diverged)", "b"]
    assert (left.images[0].get_array()[9:17] == 255).all()
    none = Source(experiment, folder, replace(loaded, runs=loaded.runs.assign(frechet_distance=np.nan)))
    assert "generated-samples" not in FIGURES.applicable(none)
