"""Figures, drawn from made-up tables that went through the store's real paths."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from vaebench import plotting, tables
from vaebench.curves import collapse_epoch
from vaebench.figures import FIGURES, FIGURES_OF_TASKS, draw_all
from vaebench.files import write_arrays, write_json, write_text
from vaebench.latent_dimensions import ACTIVE_VARIANCE, COLLAPSE_EPSILON, DIMENSION_COLUMNS, OPTIMAL_COLUMNS
from vaebench.metrics import METRICS
from vaebench.plotting import Figures, Source, styled
from vaebench.specification import load
from vaebench.store import Results

OF_TASKS = {name for figures in FIGURES_OF_TASKS for name in figures}
HEAD = "{title: made up, dataset: digits, baseline: a, defaults: {epochs: 6}, "
MEASURES = "a: {likelihood: bernoulli}, b: {likelihood: gaussian}, c: {likelihood: bernoulli, binarisation: dynamic}"
LONG = [f"a-variant-with-a-rather-long-name-{i}: {{kl: {{schedule: constant, weight: {i}}}}}" for i in range(2, 15)]
LINEAR = (
    "{title: made up, dataset: digits, baseline: a, defaults: {epochs: 6}, seeds: 2, grid: {latent_size: [2, 8]}, "
    "evaluation: {split: train}, variants: {a: {network: linear, likelihood: gaussian}, b: {likelihood: gaussian}, "
    "c: {network: linear, likelihood: gaussian-learned}}}"
)
# Drawn where an experiment asks for a task.
EXPERIMENTS = {
    "one run": HEAD + "seeds: 1, variants: {a: {}}}",
    "variants with latent sizes": HEAD + "seeds: 2, variants: {a: {latent_size: 3}, b: {latent_size: 9}}}",
    "two grid keys": f"{HEAD} seeds: 2, grid: {{learning_rate: [0.1, 0.01], latent_size: [2, 32]}}, "
    f"variants: {{{MEASURES}}}}}",
    "long names": f"{HEAD} seeds: 2, variants: {{a: {{}}, {', '.join(LONG)}}}}}",
    "binary data": HEAD.replace("digits", "binarized-mnist") + "seeds: 1, variants: {a: {}, b: {latent_size: 2}}}",
    "linear": LINEAR,
}
# Runs that diverge, as VARIANT-sSEED.
DIVERGED = {"two grid keys": ("a-s0", "b-s0", "b-s1"), "one run": ("a-s0",), "linear": ("a-s1",)}


def make_tables(folder: Path, text: str, diverged: tuple[str, ...] = ()) -> Source:
    """Random tables and pictures, saved as the workflow does; runs called VARIANT-sSEED in `diverged` have no scores."""
    (folder / "made-up.yaml").write_text(text, encoding="utf-8")
    experiment = load(folder / "made-up.yaml")
    results = Results(folder / "results")
    rng = np.random.default_rng(0)
    for cohort in experiment.cohorts:
        history, metrics, spectrum = [], [], []
        for run in cohort.runs:
            is_diverged = f"{run.variant}-s{run.seed}" in diverged
            _save_run(results.experiment(experiment.name).run(run.run_id), run, is_diverged, rng)
            history.append(_history(run, 2 if is_diverged else run.epochs, rng))
            if not is_diverged:
                spectrum.append(_spectrum(run, rng))
                metrics += [(run.run_id, name, value, 0.1) for name, value in _scores(run, spectrum[-1].kl, rng).items()]
        files = results.experiment(experiment.name).cohort(cohort.name)
        files.path.mkdir(parents=True)
        pd.concat(history).to_parquet(files.history)
        columns = {"run_id": str, "metric": str, "value": float, "standard_error": float}
        pd.DataFrame(metrics, columns=list(columns)).astype(columns).to_parquet(files.metrics)
        pd.concat(spectrum or [_spectrum(run, rng)[:0]]).to_parquet(files.spectrum)
    tables.aggregate(experiment, results)
    return Source(experiment, results.experiment(experiment.name), tables.load(results.experiment(experiment.name)))


def _scores(run, kl, rng) -> dict[str, float]:
    """A value for every metric that applies to the run."""
    scores = dict.fromkeys(METRICS, 0.0) | {"rate": kl.sum(), "active_units": (kl > 0).sum()}
    scores["distortion"] = rng.normal(22, 1)
    scores["elbo"] = -scores["rate"] - scores["distortion"]
    shares = {"mutual_information": 0.7, "total_correlation": 0.32, "dimension_kl": rng.choice([-0.02, 0.1])}
    scores |= {name: share * kl.sum() for name, share in shares.items()}
    scores |= {name: rng.normal(1.5, 0.2) for name in ("bits_per_dim", "common_bits_per_dim")}
    missing = set() if run.network.kind == "linear" else {name for name in METRICS if METRICS[name].family == "optimum"}
    missing |= set() if run.is_normalised else {"bits_per_dim"}
    missing |= {"common_bits_per_dim", "common_sigma"} if run.n_levels == 2 else set()
    return {name: value for name, value in scores.items() if name not in missing}


def _spectrum(run, rng) -> pd.DataFrame:
    """Every other dimension is collapsed; of a linear VAE, the optimum is near, and for some of these at the boundary."""
    kl = np.sort(rng.exponential(1, run.latent_size) * rng.integers(0, 2, run.latent_size))[::-1]
    noise = rng.uniform(0.9, 1.1, (4, run.latent_size))
    columns = {
        "dimension": rng.permutation(run.latent_size),
        "kl": kl,
        "collapse_epsilon": 2 * kl * noise[0],
        "mean_variance": np.where(kl > 0, 1 - np.exp(-2 * kl), 1e-3 * noise[0]),
        "posterior_variance": np.exp(-2 * kl),
        "optimal_kl": kl * noise[1],
        "optimal_mean_variance": 1 - np.exp(-2 * kl * noise[1]),
        "optimal_posterior_variance": np.exp(-2 * kl * noise[1]),
        "eigenvalue_ratio": np.where(kl > 0, np.exp(2 * kl * noise[1]), 1 - rng.uniform(0, 0.04, run.latent_size)),
    }
    assert tuple(columns) == DIMENSION_COLUMNS + OPTIMAL_COLUMNS
    spectrum = pd.DataFrame(columns).assign(run_id=run.run_id, rank=range(1, run.latent_size + 1))
    if run.network.kind != "linear":
        spectrum[list(OPTIMAL_COLUMNS)] = np.nan
    return spectrum


def _save_run(folder, run, is_diverged, rng):
    write_json(folder.record, {"diverged_epoch": 1 if is_diverged else None})
    if not is_diverged:
        write_arrays(folder.pictures, _pictures(run, rng))
        classes = len(run.dataset.class_names)
        latent = {"mean": rng.normal(size=(40, run.latent_size)).astype(np.float32)}
        write_arrays(folder.latent, latent | ({"labels": rng.integers(classes, size=40)} if classes else {}))


def _pictures(run, rng) -> dict[str, np.ndarray]:
    def images(*shape, source=rng):
        return source.integers(256, size=(*shape, run.dataset.n_pixels), dtype=np.uint8)

    pictures = {name: images(10) for name in ("reconstructions", "others", "samples", "interpolation")}
    pictures |= {"originals": images(10, source=np.random.default_rng(1)), "traversals": images(2, 10)}
    pictures |= {"traversed": np.array([0, run.latent_size - 1]), "traversed_kl": np.array([2.345, 0.001])}
    return pictures | ({"grid": images(12, 12)} if run.latent_size == 2 else {})


def _history(run, n_epochs, rng):
    names = ("train_rate", "train_distortion", "validation_rate", "validation_distortion")
    history = pd.DataFrame({name: rng.exponential(10, n_epochs) for name in names})
    active = np.full(n_epochs, run.latent_size)
    return history.assign(run_id=run.run_id, epoch=range(n_epochs), kl_weight=1.0, active_units=active, seconds=0.01)


@pytest.fixture(autouse=True)
def _in_style():
    with styled():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Source:
    """Three measures or data, two latent sizes, three seeds, of which one diverged."""
    text = f"{HEAD} seeds: 3, grid: {{latent_size: [2, 5]}}, variants: {{{MEASURES}}}}}"
    return make_tables(tmp_path_factory.mktemp("source"), text, diverged=("b-s1",))


def draw(source: Source, name: str):
    return FIGURES[name].draw(source)


def where(table: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows with these values in these columns."""
    return table[(table[list(values)] == list(values.values())).all(axis=1)]


def title(ax) -> str:
    """On one line."""
    return ax.get_title("left").replace("\n", " ")


def lines(ax) -> list[tuple[list[float], list[float]]]:
    """x and y of every line drawn."""
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines]


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after this code."""
    code += "; import sys; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {name.split(".")[0] for name in printed.split()}


def test_captions_are_read_without_heavy_imports():
    assert not loaded_by("import vaebench.figures") & {"torch", "matplotlib", "seaborn", "pandas", "scipy"}


def test_the_check_for_heavy_imports_can_fail():
    assert "matplotlib" in loaded_by("import matplotlib")


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_a_figure_says_what_it_shows_in_plain_text(figure):
    assert figure.title
    assert figure.caption.endswith(".")
    assert 1 <= figure.caption.count(". ") + 1 <= 3
    assert not set(figure.caption) & set("`*_<>\\"), "captions go through HTML and reStructuredText"


def test_a_name_is_taken_once():
    registry = Figures()
    registry.register(title="t", caption="c.")(draw)
    with pytest.raises(ValueError, match="two figures are called 'draw'"):
        registry.register(title="t", caption="c.")(draw)


def test_the_headline_is_answered_by_the_first_figure_that_shows_it_or_by_one_of_its_own(tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS["one run"])
    source.tables.runs["psnr"] = 31.5
    for metric, figure in (("elbo", "elbo"), ("rate", "rate-distortion"), ("active_units", "active-units")):
        asked = replace(source, experiment=source.experiment.model_copy(update={"headline": metric}))
        assert FIGURES.answering(asked) == figure
        assert "headline" not in FIGURES.applicable(asked)
    asked = replace(source, experiment=source.experiment.model_copy(update={"headline": "psnr"}))
    assert FIGURES.answering(asked) == "headline"
    assert "headline" in FIGURES.applicable(asked)
    [ax] = draw(asked, "headline").axes
    assert ax.get_xlabel() == "test PSNR [dB], higher is better"
    assert list(ax.lines[0].get_xdata()) == [31.5]


def test_draw_all_writes_what_applies_and_nothing_else_and_the_same_bytes_again(tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS["one run"])
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    own = {"analogies", "linear-optimum", "latent-grid", "headline", "course", "portrait"}
    of_all = set(FIGURES) - own - OF_TASKS
    names = {f"{name}.{suffix}" for name in of_all for suffix in starts}
    names |= {"variants/a/course.png", "variants/a/portrait.png"}
    write_text(source.folder.figure("linear-optimum", "png"), "left from when a variant was linear")
    write_text(source.folder.variant_figure("b", "course", "svg"), "left from when there was another variant")
    drawn = []
    for _ in range(2):
        draw_all(source.experiment, Results(source.folder.path.parent))
        paths = [path for path in source.folder.figures.rglob("*") if path.is_file()]
        drawn.append({str(path.relative_to(source.folder.figures)): path.read_bytes() for path in paths})
    assert set(drawn[0]) == set(drawn[1]) == names
    for name, content in drawn[0].items():
        assert content.startswith(starts[name.split(".")[-1]]), name
        assert content == drawn[1][name], f"{name} is not the same when drawn again"
        if name.endswith("pdf"):
            assert b"/FontFile2" in content, f"{name}: its fonts are not embedded as TrueType"
            assert b"/Type3" not in content, f"{name}: journals refuse Type 3"


def test_only_so_many_variants_have_figures_of_their_own(tmp_path):
    weights = ", ".join(f"v{i}: {{kl: {{schedule: constant, weight: {i}}}}}" for i in range(2, 30))
    source = make_tables(tmp_path, f"{HEAD} seeds: 1, variants: {{a: {{}}, {weights}}}}}")
    assert source.shown_variants == ["a", *(f"v{i}" for i in range(2, 25))]


def test_binary_data_have_no_bits_of_grey_levels_and_only_linear_variants_an_optimum(tmp_path):
    without_labels = {"analogies", "headline"}
    names = {"binary data": {"bits-per-dimension", "linear-optimum"} | without_labels, "linear": without_labels}
    for name, missing in names.items():
        (tmp_path / name).mkdir()
        source = make_tables(tmp_path / name, EXPERIMENTS[name])
        of_each = ["course", "portrait"]
        missing |= {*of_each, *OF_TASKS}
        assert FIGURES.applicable(source) == [figure for figure in FIGURES if figure not in missing]
        assert FIGURES.applicable(source, per_variant=True) == of_each


def drawings(source: Source) -> Iterator[tuple[str, Drawing]]:
    """Every figure that there is of an experiment, laid out, with what to call it."""
    for name in FIGURES.applicable(source):
        yield name, draw(source, name)
    for variant, name in itertools.product(source.shown_variants, FIGURES.applicable(source, per_variant=True)):
        yield f"{name} of {variant}", FIGURES[name].draw(source, variant)


def boxes_beside(drawing: Drawing) -> list[Bbox]:
    """Of what stands beside the panels."""
    return [artist.get_window_extent() for artist in (*drawing.legends, *drawing.texts)]


def assert_fits(figure: str, drawing: Drawing) -> None:
    """The columns of a journal, with no text that is cut or covers another."""
    drawing.draw_without_rendering()
    page, drawn = drawing.bbox_inches, drawing.get_tightbbox()
    assert round(page.width * 25.4) in (85, 175), f"{figure}: neither one column wide nor two"
    assert drawn.x0 > -0.01, f"{figure}: cut on the left"
    assert drawn.y0 > -0.01, f"{figure}: cut at the bottom"
    assert drawn.x1 < page.x1 + 0.01, f"{figure}: cut on the right"
    assert drawn.y1 < page.y1 + 0.01, f"{figure}: cut at the top"
    assert all(text.get_fontsize() >= 7 for text in drawing.findobj(Text)), f"{figure}: too small to read"
    for axis in (axis for ax in drawing.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        for one, other in itertools.pairwise(label.get_window_extent() for label in ticks if label.get_visible()):
            assert not one.overlaps(other), f"{figure}: labels of ticks cover each other"
    panels = {ax: ax.get_tightbbox() for ax in drawing.axes}
    for beside, panel in itertools.product(boxes_beside(drawing), panels.values()):
        assert not beside.padded(-2).overlaps(panel), f"{figure}: a legend or title covers a panel"
    for ax, other in itertools.permutations(panels, 2):
        assert not panels[ax].padded(-2).overlaps(other.get_window_extent()), f"{figure}: a text covers another panel"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_figure_fits_the_columns_of_a_journal_for_any_experiment(name, tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS[name], DIVERGED.get(name, ()))
    for figure, drawing in drawings(source):
        assert_fits(figure, drawing)


def test_elbo_shows_each_measure_apart_with_its_seeds_means_and_intervals(source):
    axes = draw(source, "elbo").axes
    titles = ["Bernoulli on grey pixels: not a density", "Gaussian: density", "Bernoulli, dynamic binarisation: mass"]
    assert [title(ax) for ax in axes] == titles
    for ax, variant in zip(axes, "abc", strict=True):
        x = [values for values, _ in lines(ax)]
        for row, latent_size in enumerate((2, 5)):
            runs = where(source.tables.runs, variant=variant, latent_size=latent_size)
            expected = where(source.tables.summary, variant=variant, latent_size=latent_size).iloc[0]
            seeds, interval, mean = x[3 * row : 3 * row + 3]
            np.testing.assert_array_equal(seeds, runs.elbo)
            np.testing.assert_array_equal(interval, [expected.elbo_low, expected.elbo_high])
            assert mean == [expected.elbo]
        assert [label.get_text() for label in ax.get_yticklabels()] == [f"{variant}   2", "   5"]


def test_diverged_runs_are_counted_where_they_are_missing(source):
    texts = [[text.get_text() for text in ax.texts] for ax in draw(source, "elbo").axes]
    assert [[" (1 of 3 diverged)" in text for text in panel].count(True) for panel in texts] == [0, 2, 0]
    [legend] = draw(source, "active-units").legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b (2 of 6 diverged)", "c", "ceiling"]


def test_rate_distortion_shows_seeds_means_and_intervals_in_the_panel_of_their_measure(source):
    for ax, variant in zip(draw(source, "rate-distortion").axes, "abc", strict=True):
        for latent_size, (seeds, across, up, mean) in zip((2, 5), (lines(ax)[:4], lines(ax)[4:8]), strict=True):
            runs = where(source.tables.runs, variant=variant, latent_size=latent_size, status="trained")
            expected = where(source.tables.summary, variant=variant, latent_size=latent_size).iloc[0]
            np.testing.assert_array_equal(seeds, [runs.rate, runs.distortion])
            np.testing.assert_array_equal(across[0], [expected.rate_low, expected.rate_high])
            np.testing.assert_array_equal(up[1], [expected.distortion_low, expected.distortion_high])
            assert mean == ([expected.rate], [expected.distortion])


def test_iso_elbo_lines_carry_the_elbo_of_their_points(source):
    for ax in draw(source, "rate-distortion").axes:
        assert len(ax.texts) >= 2
        for text in ax.texts:
            rate, distortion = text.get_position()
            assert -(rate + distortion) == pytest.approx(float(text.get_text().replace("−", "-")))


def test_kl_spectrum_shows_means_over_seeds_no_lower_than_the_edge(source):
    runs = source.tables.runs[["run_id", "variant", "latent_size"]]
    spectrum = source.tables.spectrum.merge(runs, on="run_id")
    assert (spectrum.kl == 0).any()
    for ax, latent_size in zip(draw(source, "kl-spectrum").axes, (2, 5), strict=True):
        for (x, y), variant in zip(lines(ax), "abc", strict=True):
            means = where(spectrum, variant=variant, latent_size=latent_size).groupby("rank").kl.mean()
            assert x == list(means.index)
            np.testing.assert_array_equal(y, means.clip(lower=1e-4))


def test_active_units_shows_seeds_and_means_beside_the_latent_size(source):
    [ax] = draw(source, "active-units").axes
    for (x, y), variant in zip(lines(ax)[1::2], "abc", strict=True):
        np.testing.assert_array_equal(y, where(source.tables.summary, variant=variant).active_units)
        assert [round(place) for place in x] == [0, 1]
    for (_, y), variant in zip(lines(ax)[::2], "abc", strict=True):
        np.testing.assert_array_equal(y, where(source.tables.runs, variant=variant).active_units)


def test_bits_per_dimension_shows_each_likelihood_where_it_has_a_number(source):
    axes = draw(source, "bits-per-dimension").axes
    shown = {"Common likelihood": "ab", "Own likelihood": "b", "Own likelihood, dynamic binarisation": "c"}
    assert [title(ax) for ax in axes] == list(shown)
    metrics = ("common_bits_per_dim", "bits_per_dim", "bits_per_dim")
    for ax, metric, variants in zip(axes, metrics, shown.values(), strict=True):
        assert [label.get_text() for label in ax.get_yticklabels()] == [
            text for variant in variants for text in (f"{variant}   2", "   5")
        ]
        summary = source.tables.summary[source.tables.summary.variant.isin(list(variants))]
        assert [x for x, _ in lines(ax)[2::3]] == [[mean] for mean in summary[metric]]


def test_collapse_curves_pass_through_the_counts_of_the_metrics(source):
    runs = source.tables.runs[["run_id", "variant", "latent_size"]]
    spectrum = source.tables.spectrum.merge(runs, on="run_id")
    is_collapsed, is_active = spectrum.collapse_epsilon < COLLAPSE_EPSILON, spectrum.mean_variance > ACTIVE_VARIANCE
    counts = spectrum.assign(share=is_collapsed, count=is_active).groupby(["latent_size", "variant", "run_id"])
    share, count = (
        counts[name].agg(how).groupby(level=[0, 1]).mean() for name, how in (("share", "mean"), ("count", "sum"))
    )
    axes = np.reshape(draw(source, "collapse-curves").axes, (2, 2))
    for panels, mark, expected in zip(axes, (COLLAPSE_EPSILON, ACTIVE_VARIANCE), (share, count), strict=True):
        for ax, latent_size in zip(panels, (2, 5), strict=True):
            *curves, line = lines(ax)
            assert line[0] == [mark, mark]
            at_mark = [dict(zip(x, y, strict=True))[mark] for x, y in curves]
            assert len(at_mark) == 3
            assert sorted(at_mark) == pytest.approx(sorted(expected[latent_size]))


def test_collapse_curves_step_at_the_values_of_the_dimensions(tmp_path):
    source = make_tables(tmp_path, HEAD + "seeds: 1, variants: {a: {latent_size: 4}}}")
    source.tables.spectrum["collapse_epsilon"] = [20.0, 1.0, 0.01, 0.0]
    source.tables.spectrum["mean_variance"] = [0.9, 0.1, 0.1, 1e-5]
    above, below = (dict(zip(*lines(ax)[0], strict=True)) for ax in draw(source, "collapse-curves").axes)
    assert [above[epsilon] for epsilon in (1e-4, 0.01, 0.1, 1.0, 10.0)] == [0.25, 0.25, 0.5, 0.5, 0.75]
    assert [below[variance] for variance in (1e-4, 0.01, 0.1, 1.0)] == [3, 3, 1, 0]


def test_information_stacks_the_parts_of_the_rate_up_to_a_ceiling(source):
    [ax] = draw(source, "information").axes
    left = np.zeros(6)
    for bars, part in zip(ax.containers, ("mutual_information", "total_correlation", "dimension_kl"), strict=True):
        np.testing.assert_allclose([bar.get_x() for bar in bars], left)
        left += source.tables.summary[part].clip(lower=0)
        np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in bars], left)
    assert (source.tables.summary.dimension_kl < 0).any()
    assert lines(ax) == [([np.log(360)] * 2, [0, 1])]


def test_linear_optimum_shows_every_dimension_hollow_at_the_boundary(tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS["linear"], DIVERGED["linear"])
    spectrum = source.tables.spectrum.dropna()
    is_open = spectrum.eigenvalue_ratio.between(0.98, 1.02)
    assert is_open.any()
    drawing = draw(source, "linear-optimum")
    for ax, name in zip(drawing.axes, ("kl", "posterior_variance"), strict=True):
        filled = [len(points.get_facecolor()) > 0 for points in ax.collections]
        for dimensions, face in ((spectrum[~is_open], True), (spectrum[is_open], False)):
            drawn = [
                points.get_offsets() for points, is_filled in zip(ax.collections, filled, strict=True) if is_filled == face
            ]
            expected = dimensions[[f"optimal_{name}", name]].to_numpy()
            np.testing.assert_array_equal(sorted(map(tuple, np.concatenate(drawn))), sorted(map(tuple, expected)))
        [(x, y)] = lines(ax)
        assert x == y == list(ax.get_xlim()) == list(ax.get_ylim())
    [legend] = drawing.legends
    labels = ["a (2 of 4 diverged)", "c", "within 2 % of βσ²", "equal"]
    assert [text.get_text() for text in legend.get_texts()] == labels


def test_training_curves_show_means_over_seeds_by_epochs_done(source):
    per_scale = [f", {scale}" for scale in source.runs.scale.unique()]
    quantities = ["elbo"] * 3 + ["rate"] + ["distortion"] * 3
    axes = np.reshape(draw(source, "training-curves").axes, (9, 2))
    titles = [title(ax).removeprefix("latent size 2 ") for ax in axes[:, 0]]
    assert titles == [
        *(f"validation ELBO [nats]{scale}" for scale in per_scale),
        "validation rate [nats]",
        *(f"validation distortion [nats]{scale}" for scale in per_scale),
        "active units",
        "KL weight",
    ]
    history = source.tables.history.merge(source.runs[["run_id", "variant", "latent_size", "status"]], on="run_id")
    history["validation_elbo"] = -history.validation_rate - history.validation_distortion
    for row, quantity, variants in zip(axes, quantities, [*"abc", "abc", *"abc"], strict=False):
        for ax, latent_size in zip(row, (2, 5), strict=True):
            for (x, y), variant in zip(lines(ax), variants, strict=True):
                runs = where(history, variant=variant, latent_size=latent_size, status="trained")
                assert x == [1, 2, 3, 4, 5, 6]
                np.testing.assert_allclose(y, runs.groupby("epoch")[f"validation_{quantity}"].mean())


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        ([0, 8, 8, 4, 3, 1], 4),
        ([8, 3, 8, 8, 3.9], 4),
        ([8, 8, 3, 4], None),
        ([1, 2, 8], None),
        ([0, 0.6, 0], None),
        ([0, 0, 0], None),
        ([5], None),
    ],
)
def test_the_moment_of_collapse_is_the_last_epoch_before_half_of_the_peak_is_lost_for_good(active, expected):
    assert collapse_epoch(pd.Series(active, index=range(1, len(active) + 1))) == expected


def test_the_moment_of_collapse_is_ringed_in_rate_and_active_units(tmp_path):
    source = make_tables(tmp_path, HEAD + "seeds: 2, variants: {a: {latent_size: 8}, b: {latent_size: 7}}}")
    history = source.tables.history
    is_a = history.run_id.isin(where(source.tables.runs, variant="a").run_id)
    history["active_units"] = np.where(is_a, history.epoch.map(dict(enumerate([8, 8, 6, 4, 2, 0]))), 7)
    drawing = draw(source, "training-curves")
    _, rate, _, active, _ = drawing.axes
    assert lines(active)[2:] == [([4], [4])]
    means = history[is_a].groupby("epoch").validation_rate.mean()
    assert lines(rate)[2:] == [([4], [pytest.approx(means[3])])]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["a", "b", "moment of collapse"]


def test_a_large_kl_weight_leaves_small_ones_apart(tmp_path):
    weights = "{a: {kl: {schedule: constant, weight: 30}}, b: {}, c: {kl: {schedule: constant, weight: 0.5}}}"
    source = make_tables(tmp_path, f"{HEAD} seeds: 1, variants: {weights}}}")
    source.tables.history["kl_weight"] = source.tables.history.run_id.str.split("-").str[0].map({"a": 30, "b": 1, "c": 0.5})
    ax = draw(source, "training-curves").axes[-1]
    height = np.ptp(ax.get_window_extent().get_points()[:, 1])
    places = [ax.transData.transform((1, weight))[1] for weight in (0.5, 1, 30)]
    assert min(np.diff(places)) > height / 10
    assert ax.get_ylim()[1] > 30


def test_a_course_has_a_line_for_each_grid_point_and_the_runs_that_diverged(source):
    drawing = FIGURES["course"].draw(source, "b")
    axes = {title(ax): ax for ax in drawing.axes}
    runs = where(source.tables.runs, variant="b")
    history = source.tables.history.merge(runs[["run_id", "latent_size", "status"]], on="run_id")
    rates = [where(history, latent_size=size, status="trained").groupby("epoch").validation_rate.mean() for size in (2, 5)]
    lost = where(history, status="diverged").groupby("run_id", sort=False).validation_rate
    expected = [*map(list, rates), *(list(values) for _, values in lost)]
    drawn = [y for _, y in lines(axes["validation rate [nats]"]) if len(y) > 1]
    assert len(drawn) == 4
    np.testing.assert_allclose(np.concatenate(drawn[:2]), np.concatenate(expected[:2]))
    assert sorted(drawn[2:]) == sorted(expected[2:])
    spectrum = source.tables.spectrum
    of_five = spectrum[spectrum.run_id.isin(where(runs, latent_size=5).run_id)].groupby("rank").kl.mean().clip(lower=1e-4)
    np.testing.assert_array_equal(lines(axes["KL by latent dimension [nats]"])[1][1], of_five)
    [legend] = drawing.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert [label for label in labels if label != "moment of collapse"] == ["latent size 2", "latent size 5", "diverged"]


def test_the_course_of_a_variant_that_never_trained_shows_how_far_it_came(tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS["one run"], diverged=("a-s0",))
    axes = FIGURES["course"].draw(source, "a").axes
    assert [[len(x) for x, _ in lines(ax)] for ax in axes] == [[2]] * 5 + [[]]
    assert "training-curves" not in FIGURES.applicable(source)


def lightness(color: tuple[float, float, float]) -> float:
    """CIE L*, from 0 for black to 100 for white."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color]
    luminance = np.dot(linear, (0.2126, 0.7152, 0.0722))
    return 116 * np.cbrt(luminance) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_a_variant_looks_the_same_everywhere_and_like_no_other(tmp_path):
    source = make_tables(tmp_path, EXPERIMENTS["long names"])
    looks = [(look["marker"], look["color"]) for look in source.looks.values()]
    assert len({marker for marker, _ in looks}) == 14
    dashes = {(str(look["linestyle"]), look["color"]) for look in source.looks.values()}
    assert len(dashes) == 14
    drawn = [(line.get_marker(), line.get_color()) for line in draw(source, "kl-spectrum").axes[0].lines]
    assert drawn == looks
    [legend] = draw(source, "rate-distortion").legends
    assert [(line.get_marker(), line.get_color()) for line in legend.get_lines()] == looks
    # In grey, neighbours differ by more than is needed to see it, and all can be seen on white.
    tones = [lightness(color) for _, color in looks]
    assert min(abs(np.diff(tones))) > 8
    assert max(tones) < 72


def test_a_large_grid_is_shown_in_part_and_says_so(tmp_path):
    source = make_tables(
        tmp_path, HEAD + "seeds: 1, grid: {learning_rate: [0.1, 0.01], latent_size: [2, 4, 8, 16, 32]}, variants: {a: {}}}"
    )
    drawing = draw(source, "kl-spectrum")
    titles = [ax.get_title("left") for ax in drawing.axes]
    assert titles == [f"learning rate 0.1\nlatent size {size}" for size in (2, 4, 16, 32)]
    assert drawing.get_suptitle() == "4 of 10 grid points are shown"
    assert source.runs.groupby("point")[["learning_rate", "latent_size"]].nunique().eq(1).all(axis=None)


@pytest.mark.parametrize("name", ["elbo", "bits-per-dimension", "active-units", "information"])
def test_more_rows_than_can_be_read_are_left_out(tmp_path, monkeypatch, name):
    monkeypatch.setattr(plotting, "MOST_ROWS", 7)
    grid = "{learning_rate: [0.1, 0.01], latent_size: [2, 4, 8]}"
    source = make_tables(tmp_path, f"{HEAD} seeds: 1, grid: {grid}, variants: {{a: {{}}, b: {{batch_size: 32}}}}}}")
    drawing = draw(source, name)
    # Three points a variant have room: the first, the last, and of the two in the middle the even one.
    points = ["0.1, 2", "0.1, 8", "0.01, 8"]
    rows = [label.get_text().split("   ")[1] for label in drawing.axes[0].get_yticklabels()]
    assert rows == points * 2
    assert drawing.get_suptitle() == "3 of 6 grid points are shown"
