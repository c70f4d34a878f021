"""Figures of the latent space, drawn from made-up runs whose files the jobs themselves wrote."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import synthetic
from vaebench import plotting, tables
from vaebench.figures import FIGURES
from vaebench.files import read_arrays, write_arrays
from vaebench.latent_pictures import LATENT_PICTURES
from vaebench.picture_panels import add_class_legend
from vaebench.plotting import Source, styled
from vaebench.specification import load
from vaebench.store import Results

THREE = "grid: {latent_size: [2, 5]}, variants: {a: {}, b: {likelihood: gaussian}, c: {binarisation: threshold}}"
ONE = "variants: {a: {latent_size: 3}}"


@pytest.fixture(autouse=True)
def _in_style():
    with styled():
        yield


def source_of(folder, variants, diverged=()) -> Source:
    """diverged: runs, as VARIANT-zSIZE-sSEED, that the tables call so, and no others."""
    path = folder / "made-up.yaml"
    path.write_text(f"{{title: made up, dataset: digits, baseline: a, seeds: 2, defaults: {{epochs: 2}}, {variants}}}")
    experiment, results = load(path), Results(folder)
    synthetic.write_results(experiment, results)
    tables.aggregate(experiment, results)
    folder = results.experiment(experiment.name)
    loaded = tables.load(folder)
    names = loaded.runs.variant + "-z" + loaded.runs.latent_size.astype(str) + "-s" + loaded.runs.seed.astype(str)
    status = np.where(names.isin(diverged), "diverged", "trained")
    return Source(experiment, folder, replace(loaded, runs=loaded.runs.assign(status=status)))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    """At the point that is shown, a has lost its first seed and b both."""
    return source_of(tmp_path_factory.mktemp("source"), THREE, diverged=("a-z2-s0", "b-z2-s0", "b-z2-s1"))


def run_of(source, variant, latent_size, seed):
    runs = source.tables.runs
    [run_id] = runs.run_id[(runs.variant == variant) & (runs.latent_size == latent_size) & (runs.seed == seed)]
    return source.folder.run(run_id)


def cell(ax, row, column):
    """An 8×8 image in rows of such, with a gap of one pixel between them."""
    return ax.images[0].get_array()[9 * row : 9 * row + 8, 9 * column : 9 * column + 8].flatten()


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_reconstructions_and_samples_stand_below_images_of_their_own_data(source):
    left, right = FIGURES["reconstructions"].draw(source).axes
    assert labels(left) == ["test images", "a (1 of 2 diverged)", "b (2 of 2 diverged)", "test images of c", "c"]
    runs = [run_of(source, "a", 2, 1), run_of(source, "c", 2, 0)]
    for pictures, rows in zip([read_arrays(run.pictures) for run in runs], ((0, 1), (3, 4)), strict=True):
        for ax, names in ((left, ("originals", "reconstructions")), (right, ("others", "samples"))):
            for row, name in zip(rows, names, strict=True):
                np.testing.assert_array_equal(cell(ax, row, 7), pictures[name][7])
    assert (cell(left, 2, 7) == 255).all(), "no run of b has trained"


def test_traversals_show_the_most_and_the_least_active_dimension_with_their_kl(source):
    axes = FIGURES["traversals"].draw(source).axes
    pictures = read_arrays(run_of(source, "c", 2, 0).pictures)
    for side, ax in enumerate(axes):
        made_up = ("4.00 nats", "0.00 nats")[side]
        assert [text.get_text().strip() for text in ax.texts] == [made_up, "", made_up]
        np.testing.assert_array_equal(cell(ax, 2, 9), pictures["traversals"][side, 9])


def test_interpolations_stand_in_the_row_of_their_variant(source):
    [ax] = FIGURES["interpolations"].draw(source).axes
    pictures = read_arrays(run_of(source, "a", 2, 1).pictures)
    np.testing.assert_array_equal(cell(ax, 0, 3), pictures["interpolation"][3])


def test_the_plane_is_shown_where_there_is_one(source, tmp_path):
    panels = FIGURES["latent-grid"].draw(source).axes
    assert [ax.get_title("left") for ax in panels] == ["a (1 of 2 diverged)", "b (2 of 2 diverged)", "c"]
    np.testing.assert_array_equal(cell(panels[0], 2, 11), read_arrays(run_of(source, "a", 2, 1).pictures)["grid"][2, 11])
    assert not panels[1].images
    assert "latent-grid" in FIGURES.applicable(source)
    assert "latent-grid" not in FIGURES.applicable(source_of(tmp_path, ONE))


def test_the_latent_space_has_every_mean_in_the_colour_of_its_class(source):
    axes = FIGURES["latent-space"].draw(source).axes
    latent = read_arrays(run_of(source, "c", 2, 0).latent)
    [points] = axes[2].collections
    np.testing.assert_array_equal(points.get_offsets(), latent["mean"])
    by_class = {tuple(color) for color in points.get_facecolors()[latent["labels"] == 3]}
    assert len(by_class) == 1
    assert not by_class & {tuple(color) for color in points.get_facecolors()[latent["labels"] == 4]}
    assert [text.get_text() for text in axes[2].texts] == list("0123456789")
    three = axes[2].texts[3]
    assert three.get_position() == pytest.approx(np.median(latent["mean"][latent["labels"] == 3], axis=0))
    assert axes[0].get_xlim() == axes[2].get_xlim(), "one scale for all variants"
    assert [ax.get_xlabel() for ax in axes] == ["z₁ and z₂", "", "z₁ and z₂", "t-SNE", "", "t-SNE"]


@pytest.mark.parametrize("name", [r"$\frac$", "$5", "a_b^c", "50 %"])
def test_names_of_classes_are_no_formulas(tmp_path, name):
    with styled():
        drawing, _ = plotting.subplots(1, 1, 2, 2)
        add_class_legend(drawing, ["0", name])
        drawing.savefig(tmp_path / "legend.svg")
    # Text in an svg is drawn as outlines, with what it says in a comment.
    assert f"<!-- 1 {name} -->" in (tmp_path / "legend.svg").read_text(encoding="utf-8").replace("\\$", "$")


def test_data_without_classes_have_points_of_one_colour(tmp_path):
    source = source_of(tmp_path, ONE)
    run = run_of(source, "a", 3, 0)
    write_arrays(run.latent, {"mean": np.random.default_rng(0).normal(size=(30, 3))})
    run.evaluation.unlink(missing_ok=True)  # vouches for others
    above, _ = FIGURES["latent-space"].draw(source).axes
    [points] = above.collections
    assert len(points.get_offsets()) == 30
    assert len(np.unique(points.get_facecolors(), axis=0)) == 1
    assert not above.texts


def test_what_is_shown_of_many_variants_is_said(source, monkeypatch):
    monkeypatch.setattr(plotting, "MOST_VARIANTS", 2)
    drawing = FIGURES["interpolations"].draw(replace(source))
    assert drawing.get_suptitle() == "latent size 2, the first 2 of 3 variants"
    assert labels(drawing.axes[0]) == ["a (1 of 2 diverged)", "b (2 of 2 diverged)"]


def test_a_portrait_is_of_another_point_where_none_has_trained_at_this_one(source):
    drawing = FIGURES["portrait"].draw(source, "b")
    assert drawing.get_suptitle() == "b, latent size 5"
    rows, components, neighbours = drawing.axes
    pictures = read_arrays(run_of(source, "b", 5, 0).pictures)
    names = ["originals", "reconstructions", "others", "samples", None, None, "interpolation"]
    for row, name in enumerate(names):
        expected = pictures[name] if name else pictures["traversals"][row - 4]
        np.testing.assert_array_equal(cell(rows, row, 4), expected[4])
    assert labels(rows)[4].startswith("most active\n")
    assert components.get_xlabel().startswith("PCA, ")
    assert len(components.collections[0].get_offsets()) == len(neighbours.collections[0].get_offsets()) == 360


def test_a_portrait_without_a_trained_run_says_so(tmp_path):
    source = source_of(tmp_path, ONE, diverged=("a-z3-s0", "a-z3-s1"))
    assert FIGURES["portrait"].draw(source, "a").get_suptitle() == "a: no run has trained"
    for name in LATENT_PICTURES.applicable(source):
        LATENT_PICTURES[name].draw(source)
