"""The task "denoising" on models whose scores are known, and what training to denoise is good for."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from test_figures import DIVERGED, EXPERIMENTS, assert_fits, make_tables

from vaebench import denoising, jobs, keys, specification, splits, tables
from vaebench.corruptions import CORRUPTIONS
from vaebench.denoising import CLEAN, CORRUPTED_BY, NOISY
from vaebench.denoising_figures import DASHES
from vaebench.figures import FIGURES
from vaebench.files import read_arrays, write_arrays, write_json
from vaebench.fingerprint import fingerprint
from vaebench.images import Images
from vaebench.plotting import Source, styled
from vaebench.principal_components import principal_components
from vaebench.store import Results
from vaebench.task_scores import MODEL, PCA
from vaebench.tasks import Denoising

CONDITIONS = [corruption.label for corruption in CORRUPTED_BY]


def subject_of(images: Images, shape, reconstructions, n_components: int = 2) -> SimpleNamespace:
    """What the task asks of a subject, with a function [N, D] -> [N, D] in place of a model."""
    train = images.as_pixels(images["train"]).numpy()
    return SimpleNamespace(
        images=images,
        evaluation=SimpleNamespace(split="test"),
        run=SimpleNamespace(dataset=SimpleNamespace(image_shape=shape), latent_size=n_components),
        reconstructions=reconstructions,
        principal_components=lambda n: principal_components(train, n),
    )


def score(images: Images, reconstructions, shape=(8, 8), n_components: int = 2):
    return denoising.score(subject_of(images, shape, reconstructions, n_components), Denoising())


def value(scores, condition: str, name: str, method: str) -> float:
    [found] = [finding.value for finding in scores.findings if finding[:3] == (condition, name, method)]
    return found


@pytest.fixture(scope="module")
def few(digits) -> Images:
    return replace(digits, levels={split: levels[:100] for split, levels in digits.levels.items()})


@pytest.fixture(scope="module")
def clean(few) -> np.ndarray:
    return few.as_pixels(few["test"]).numpy()


def test_there_are_five_corruptions_and_the_key_counts_their_code():
    assert len(set(CONDITIONS)) == len(CORRUPTED_BY) == 5
    assert {type(corruption) for corruption in CORRUPTED_BY} == set(Denoising.definitions) <= set(CORRUPTIONS.values())


def test_a_model_that_changes_nothing_gains_nothing(few):
    scores = score(few, lambda x: x)
    assert scores.metrics["denoising_gain"] == (0, 0)
    for condition in CONDITIONS:
        for name in ("PSNR", "SSIM", "distance"):
            assert value(scores, condition, name, MODEL) == value(scores, condition, name, NOISY)
        # Of the clean image nothing is lost.
        assert value(scores, condition, "PSNR", CLEAN) == np.inf
        assert value(scores, condition, "distance", CLEAN) == 0


def test_a_perfect_denoiser_leaves_no_distance(few, clean):
    scores = score(few, lambda x: clean)
    assert scores.metrics["denoising_psnr"].value == scores.metrics["denoising_gain"].value == np.inf
    assert scores.metrics["denoising_ssim"] == pytest.approx((1, 0))
    for condition in CONDITIONS:
        assert value(scores, condition, "distance", MODEL) == 0
        assert value(scores, condition, "distance", NOISY) > 0.05


def test_an_error_of_a_tenth_in_every_pixel_is_20_db(few, clean):
    error = np.where(np.arange(64) % 2, 0.1, -0.1)
    scores = score(few, lambda x: clean + error)
    assert scores.metrics["denoising_psnr"] == pytest.approx((20, 0), abs=1e-5)
    for condition in CONDITIONS:
        assert value(scores, condition, "distance", MODEL) == pytest.approx(0.1)
        noisy = value(scores, condition, "PSNR", NOISY)
        assert value(scores, condition, "PSNR", MODEL) - noisy == pytest.approx(20 - noisy)


def test_every_score_by_scikit_image_and_its_standard_error_by_leaving_images_out(few, clean):
    def blurred(x):
        return 0.7 * x + 0.1

    scores = score(few, blurred)
    noisy = [denoising._noisy(few, "test", (8, 8), corruption) for corruption in CORRUPTED_BY]
    for condition, images in zip(CONDITIONS, noisy, strict=True):
        for method, other in ((MODEL, blurred(images)), (NOISY, images), (CLEAN, blurred(clean))):
            similarity = [
                structural_similarity(*pair, data_range=1) for pair in zip(*_as_images(clean, other), strict=True)
            ]
            distance = np.sqrt(np.mean((clean - other) ** 2, axis=1))
            assert value(scores, condition, "PSNR", method) == pytest.approx(_psnr(clean, other), rel=1e-6)
            assert value(scores, condition, "SSIM", method) == pytest.approx(np.mean(similarity), rel=1e-6)
            assert value(scores, condition, "distance", method) == pytest.approx(distance.mean(), rel=1e-5)

    def metrics(kept):
        psnr = np.mean([_psnr(clean[kept], blurred(images[kept])) for images in noisy])
        return np.array([psnr, psnr - np.mean([_psnr(clean[kept], images[kept]) for images in noisy])])

    found = [scores.metrics[name] for name in ("denoising_psnr", "denoising_gain")]
    assert [estimate.value for estimate in found] == pytest.approx(metrics(slice(None)), rel=1e-6)
    left_out = np.array([metrics(np.arange(100) != image) for image in range(100)])
    jackknife = np.sqrt(99 * left_out.var(axis=0))
    assert [estimate.standard_error for estimate in found] == pytest.approx(jackknife, rel=0.03)


def _as_images(*arrays: np.ndarray) -> list[np.ndarray]:
    return [array.astype(float).reshape(-1, 8, 8) for array in arrays]


def _psnr(x: np.ndarray, other: np.ndarray) -> float:
    return peak_signal_noise_ratio(x.astype(float), other.astype(float), data_range=1)


def test_principal_components_keep_the_noise_within_the_plane_of_the_images():
    random = torch.Generator().manual_seed(0)
    # Levels in a plane through a middle grey: two patterns, each with its own strength.
    patterns = torch.tensor([[1, -1] * 8, [1, 1, -1, -1] * 4])
    strengths = torch.randint(-30, 31, (300, 2), generator=random)
    levels = (128 + strengths @ patterns).to(torch.uint8)
    images = Images({"train": levels[:200], "test": levels[200:]}, 256, "none")
    scores = score(images, lambda x: x, shape=(4, 4))
    assert "denoising_ssim" not in scores.metrics, "images of four pixels a side have none"
    clean = images.as_pixels(images["test"]).double().numpy()
    for corruption in CORRUPTED_BY:
        noise = denoising._noisy(images, "test", (4, 4), corruption) - clean
        # The patterns are orthogonal, each of length 4.
        within = (noise @ patterns.T.numpy() / 4) ** 2
        distance = np.sqrt(within.sum(axis=1) / 16).mean()
        assert value(scores, corruption.label, "distance", PCA) == pytest.approx(distance, rel=1e-2)
        assert distance < value(scores, corruption.label, "distance", NOISY)


def test_the_noise_is_the_same_for_all_models(few):
    one, other = score(few, lambda x: x), score(few, lambda x: 0 * x)
    np.testing.assert_array_equal(one.pictures["noisy"], other.pictures["noisy"])
    for baseline in (NOISY, PCA):
        of_one, of_other = (
            [finding for finding in scores.findings if finding.method == baseline] for scores in (one, other)
        )
        assert of_one == of_other


def test_of_large_splits_some_images_at_equal_distances_are_scored(monkeypatch, digits):
    monkeypatch.setattr(denoising, "MOST_IMAGES", 10)
    images = replace(digits)
    sizes = set()
    score(images, lambda x: sizes.add(len(x)) or x)
    assert sizes == {10}
    expected = digits.as_pixels(digits["test"])[torch.linspace(0, 359, 10).round().long()].numpy()
    np.testing.assert_array_equal(denoising._clean(images, "test"), expected)


def test_pictures_are_grey_levels_of_the_same_images(few, clean):
    pictures = score(few, lambda x: 1 - x).pictures
    some = [0, 50, 99]
    np.testing.assert_array_equal(pictures["clean"], np.round(255 * clean[some]))
    noisy = np.stack([denoising._noisy(few, "test", (8, 8), corruption)[some] for corruption in CORRUPTED_BY])
    np.testing.assert_array_equal(pictures["noisy"], np.round(255 * noisy))
    assert np.abs(pictures["denoised"].astype(int) + pictures["noisy"] - 255).max() <= 1


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Plain runs beside such that were trained to denoise: their experiment and results."""
    folder = tmp_path_factory.mktemp("denoising")
    (folder / "denoise.yaml").write_text(
        "{title: Any, dataset: digits, seeds: 2, baseline: plain, tasks: [denoising], evaluation: {n_samples: 1}, "
        "defaults: {network: {kind: mlp, hidden: [64]}, likelihood: gaussian-optimal, epochs: 40, learning_rate: 5.0e-3}, "
        "variants: {plain: {}, noise: {corruption: gaussian}, blocks: {corruption: {kind: blocks, side: 0.5}}}}"
    )
    experiment = specification.load(folder / "denoise.yaml")
    results = Results(folder / "results")
    splits.prepare(experiment.dataset, results)
    for cohort in experiment.cohorts:
        jobs.train_cohort(experiment, cohort, results)
        jobs.evaluate_cohort(experiment, cohort, results)
    tables.aggregate(experiment, results)
    return experiment, results.experiment(experiment.name)


def test_a_run_that_was_trained_to_denoise_does_so_better(scored):
    _, folder = scored
    found = tables.load(folder)
    assert found.runs.corruption.isna().tolist() == [True] * 2 + [False] * 4
    rows = found.tasks[found.tasks.score == "PSNR"].set_index(["variant", "condition", "method"])["mean"]

    def gain(variant: str, condition: str, method: str = MODEL) -> float:
        """Over the plain runs, in dB."""
        return rows[variant, condition, method] - rows["plain", condition, method]

    # Measured: 1.5, 2.2 and -1.5, as what is gained on corrupted images is paid for on clean ones.
    assert gain("noise", "Gaussian noise, σ 0.5") > 0.7
    assert gain("blocks", "masked block, side 0.5") > 1.1
    assert gain("noise", "Gaussian noise, σ 0.5", CLEAN) < -0.7


def test_scores_are_out_of_date_where_the_code_of_a_corruption_changes(scored, monkeypatch):
    experiment, _ = scored
    plain = experiment.runs[0]
    used = []
    monkeypatch.setattr(keys, "fingerprint", lambda module, definitions: used.append((module, definitions)) or "")
    keys.task_key(plain, experiment.evaluation, Denoising())
    of_task = dict(used)["denoising"]
    assert of_task == plain.definitions | {"GaussianNoise", "SaltAndPepper", "MaskedBlock"}
    assert fingerprint("denoising", of_task) != fingerprint("denoising", of_task - {"GaussianNoise"})


@pytest.fixture
def source(scored) -> Source:
    experiment, folder = scored
    return Source(experiment, folder, tables.load(folder))


def test_the_figure_by_corruption_marks_every_mean(source):
    with styled():
        [ax] = FIGURES["denoising-by-corruption"].draw(source).axes
    assert [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()] == CONDITIONS
    psnr = source.tables.tasks[source.tables.tasks.score == "PSNR"].set_index(["variant", "method"])
    for variant in source.experiment.variants:
        marker, color = source.looks[variant]["marker"], source.looks[variant]["color"]
        of_variant = [line for line in ax.lines if line.get_color() == color]
        marks = [line for line in of_variant if line.get_marker() == marker]
        assert [line.get_ydata()[0] for line in marks] == psnr.loc[(variant, MODEL), "mean"].tolist()
        assert [round(line.get_xdata()[0]) for line in marks] == [0, 1, 2, 3, 4]
        above = [
            line.get_ydata()[0] for line in of_variant if line.get_linestyle() == "-" and len(set(line.get_ydata())) == 1
        ]
        assert set(psnr.loc[(variant, CLEAN), "mean"]) <= set(above)
    for method in (NOISY, PCA):
        lines = [line for line in ax.lines if line.get_linestyle() == DASHES[method]]
        # One for all variants, which have the same code size.
        assert [line.get_ydata()[0] for line in lines] == psnr.loc[("plain", method), "mean"].tolist()


def test_the_pictures_show_what_every_variant_makes_of_each_corruption(source):
    with styled():
        axes = FIGURES["denoising"].draw(source).axes
    assert [ax.get_title(loc="left").replace("\n", " ") for ax in axes] == CONDITIONS
    rows = [label.get_text() for label in axes[0].get_yticklabels()]
    assert rows == ["clean images", "corrupted", *source.experiment.variants]
    run = source.folder.run(source.experiment.runs[-2].run_id)
    pictures = read_arrays(run.task_pictures("denoising"), run.task("denoising"))
    for index, ax in enumerate(axes):
        mosaic = ax.images[0].get_array()
        last = [mosaic[4 * 9 : 4 * 9 + 8, 9 * i : 9 * i + 8].ravel() for i in range(3)]
        np.testing.assert_array_equal(last, pictures["denoised"][index])


def test_without_the_task_there_are_no_such_figures(scored):
    experiment, folder = scored
    source = Source(experiment.model_copy(update={"tasks": []}), folder, tables.load(folder))
    assert not {"denoising", "denoising-by-corruption"} & set(FIGURES.applicable(source))


@pytest.mark.parametrize("name", ["long names", "two grid keys"])
def test_the_figures_fit_whatever_the_variants_are(name, tmp_path):
    made = make_tables(tmp_path, EXPERIMENTS[name], DIVERGED.get(name, ()))
    keys_of_rows, random = tables.group_keys(made.experiment), np.random.default_rng(0)
    rows = []
    for run in made.trained.itertuples():
        files = made.folder.run(run.run_id)
        # Clean images differ where binarisation does.
        clean = np.random.default_rng(len(run.binarisation)).integers(256, size=(3, 64), dtype=np.uint8)
        noisy, denoised = random.integers(256, size=(2, 5, 3, 64), dtype=np.uint8)
        write_arrays(files.task_pictures("denoising"), {"clean": clean, "noisy": noisy, "denoised": denoised})
        write_json(files.task("denoising"), {})
        found = itertools.product(["denoising"], CONDITIONS, ["PSNR"], [MODEL, NOISY, PCA, CLEAN])
        rows += [[*(getattr(run, key) for key in keys_of_rows), *each, *random.uniform(9, 20, 3)] for each in found]
    columns = [*keys_of_rows, *tables.FINDING, "mean", "low", "high"]
    source = Source(
        made.experiment.model_copy(update={"tasks": [Denoising()]}),
        made.folder,
        replace(made.tables, tasks=pd.DataFrame(rows, columns=columns).drop_duplicates([*keys_of_rows, *tables.FINDING])),
    )
    with styled():
        for figure in ("denoising", "denoising-by-corruption"):
            assert_fits(figure, FIGURES[figure].draw(source))
