"""Figures: pictures of an experiment's tables, for the report and for papers.

A figure is registered once, with its title and its caption; the workflow, the report and the tests read them from here.
Figures compute no science: they show the numbers of the tables, and reduce over seeds at most. A variant has the same
colour, marker and dash everywhere, and reads without colour. Only runs whose log-likelihoods are in the same unit share an
axis for them. Diverged runs have no numbers to show; they are counted in every legend.

matplotlib, seaborn and the tables (pandas, scipy) are imported where they are used, so that captions can be read without.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.specification import Experiment
from vaebench.store import ExperimentFolder, Results, replacing

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from vaebench.tables import Tables

SUFFIXES = ("png", "svg", "pdf")
# No dates and no versions, so that the same tables give the same bytes.
METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
MARKERS = "os^DvPX<>p*hd8"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (2, 2)))
# Of seaborn's "colorblind"; its pink, grey and yellow are too pale for thin lines.
COLOURS = (0, 1, 2, 3, 4, 9, 5)
GREY = "0.45"
# KL below this is drawn on the lower edge of a logarithmic axis.
KL_FLOOR = 1e-4
# More epochs than this cannot be told apart in a panel.
MOST_EPOCHS = 250


@dataclass(frozen=True)
class Source:
    """What a figure is drawn from: an experiment, its tables, and the folder with its pictures."""

    experiment: Experiment
    folder: ExperimentFolder
    tables: Tables

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The table of runs with, for each run, its place in the grid, what it shares axes with, and its group's intervals.

        point: index into `points`. setting: the grid without the latent size, in words. scale: the likelihood's unit, in
        words. `<metric>_mean`, `<metric>_low`, `<metric>_high`: the summary over the run's seeds.
        """
        from vaebench.tables import group_keys

        # In an experiment the runs stand in the order variant, grid, seed.
        places = {run.run_id: i // self.experiment.seeds % len(self.points) for i, run in enumerate(self.experiment.runs)}
        runs = self.tables.runs
        point = runs.run_id.map(places)
        runs = runs.assign(point=point, setting=point.map(self._setting), scale=_scale(runs))
        summary = self.tables.summary.drop(columns=["measure", "n", "n_diverged"])
        return runs.merge(summary, "left", on=group_keys(self.experiment), suffixes=("", "_mean"), validate="many_to_one")

    @cached_property
    def trained(self) -> pd.DataFrame:
        return self.runs[self.runs.status == "trained"]

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """The grid's points, a mapping of setting to value each; a single empty one without a grid."""
        grid = self.experiment.grid or {}
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def chosen_points(self, most: int) -> list[int]:
        """At most so many points, evenly spread over the latent sizes (or the first grid key), the rest in the middle."""
        grid = self.experiment.grid or {}
        leading = "latent_size" if "latent_size" in grid else next(iter(grid), None)
        spread = [_spread(values, most if key == leading else 1) for key, values in grid.items()]
        chosen = [dict(zip(grid, values, strict=True)) for values in itertools.product(*spread)]
        return [self.points.index(point) for point in chosen]

    def describe(self, point: int) -> str:
        """ "latent size 8, learning rate 0.001", with the latent size even outside the grid if all runs have the same."""
        sizes = self.runs.latent_size.unique()
        common = {"latent_size": sizes[0]} if len(sizes) == 1 else {}
        return _words(common | self.points[point])

    def _setting(self, point: int) -> str:
        return _words({key: value for key, value in self.points[point].items() if key != "latent_size"})

    @cached_property
    def looks(self) -> dict[str, dict[str, Any]]:
        """Variant -> colour, marker and dash, by its place in the experiment file."""
        import seaborn

        colours = [seaborn.color_palette("colorblind")[index] for index in COLOURS] + [(0.0, 0.0, 0.0)]
        return {
            variant: {
                "color": colours[index % len(colours)],
                "marker": MARKERS[index % len(MARKERS)],
                "linestyle": DASHES[index % len(DASHES)],
            }
            for index, variant in enumerate(self.experiment.variants)
        }

    def label(self, variant: str) -> str:
        """The variant's name, with the number of its diverged runs if there are any."""
        of_variant = self.runs[self.runs.variant == variant]
        n_diverged = int((of_variant.status == "diverged").sum())
        return f"{variant} ({n_diverged} of {len(of_variant)} runs diverged)" if n_diverged else variant


Draw = Callable[[Source], "matplotlib.figure.Figure"]


@dataclass(frozen=True)
class Figure:
    """A figure of the report. caption: plain text, what is shown and how to read it."""

    name: str
    title: str
    caption: str
    draw: Draw


class Figures(dict[str, Figure]):
    """Figures by name."""

    def register(self, title: str, caption: str) -> Callable[[Draw], Figure]:
        """Decorator: the function becomes the figure of its own name, with hyphens. Raises ValueError for a name taken."""

        def register(draw: Draw) -> Figure:
            name = draw.__name__.replace("_", "-")
            if name in self:
                raise ValueError(f"two figures are called {name!r}")
            self[name] = Figure(name, title, caption, draw)
            return self[name]

        return register


FIGURES = Figures()


def draw_all(experiment: Experiment, results: Results) -> None:
    """Draw every figure from the experiment's tables, in every format. The same tables give the same bytes."""
    from matplotlib import style

    from vaebench import tables

    folder = results.experiment(experiment.name)
    source = Source(experiment, folder, tables.load(folder))
    with style.context(["default", look_of_all_figures()]):
        for name, figure in FIGURES.items():
            drawing = figure.draw(source)
            _lay_out(drawing)
            for suffix in SUFFIXES:
                with replacing(folder.figure(name, suffix)) as temporary:
                    drawing.savefig(temporary, format=suffix, metadata=METADATA[suffix])


def look_of_all_figures() -> dict[str, Any]:
    """matplotlib's settings: sizes for a full text width in print, the font that comes with matplotlib, stable files."""
    import seaborn

    return seaborn.axes_style("ticks") | {
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8.5,
        "axes.titlesize": 8.5,
        "axes.labelsize": 8.5,
        "figure.titlesize": 9,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.edgecolor": GREY,
        "axes.titlelocation": "left",
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "savefig.dpi": 180,
        "svg.hashsalt": "vaebench",
        "svg.fonttype": "path",  # shows the same where the font is missing
        "pdf.fonttype": 42,  # TrueType; journals refuse Type 3
    }


@FIGURES.register(
    title="ELBO by variant",
    caption=(
        "Test ELBO in nats per image at KL weight 1, whatever weight was trained with; further right is better. Small points "
        "are single training seeds, large markers their means, bars 95 % bootstrap intervals over seeds (from three seeds "
        "on). Panels have different units or data and cannot be compared with each other."
    ),
)
def elbo(source: Source) -> matplotlib.figure.Figure:
    panels = list(source.runs.groupby("scale", sort=False))
    heights = [runs.groupby(["variant", "point"]).ngroups for _, runs in panels]
    drawing, axes = _panels(len(panels), 1, 6.5, 0.9 * len(panels) + 0.2 * sum(heights), height_ratios=heights)
    for ax, (scale, runs) in zip(axes.flat, panels, strict=True):
        _dot_plot(ax, source, runs, "elbo")
        ax.set(title=scale, xlabel="test ELBO [nats per image], higher is better")
    return drawing


@FIGURES.register(
    title="Rate–distortion plane",
    caption=(
        "Test distortion D against rate R, both in nats per image; a point is one training seed, larger for a larger latent "
        "size. Along a grey line D + R, and so the ELBO = −(D + R) written on it, is the same; nearer to the lower left is a "
        "better ELBO, and moving along a line trades reconstruction for a simpler code. Panels have different units or data "
        "and cannot be compared with each other."
    ),
)
def rate_distortion(source: Source) -> matplotlib.figure.Figure:
    scales, settings = source.runs.scale.unique(), source.runs.setting.unique()
    sizes = _marker_sizes(source.runs.latent_size)
    drawing, axes = _panels(len(settings), len(scales), max(5.5, 3.9 * len(scales)), 3.7 * len(settings) + 0.6)
    for ax, (setting, scale) in zip(axes.flat, itertools.product(settings, scales), strict=True):
        runs = source.trained[(source.trained.setting == setting) & (source.trained.scale == scale)]
        for variant, group in runs.groupby("variant", sort=False):
            look = {"color": source.looks[variant]["color"], "marker": source.looks[variant]["marker"]}
            sizes_of_group = group.latent_size.map(sizes)
            ax.scatter(group.rate, group.distortion, sizes_of_group, **look, edgecolors="white", linewidth=0.4, zorder=3)
        _iso_elbo_lines(ax, runs)
        ax.set(xlabel="rate R [nats per image]", ylabel="distortion D [nats per image]")
        ax.set_title("\n".join(filter(None, (scale, setting))))
    handles = _variant_handles(source, linestyle="none")
    if len(sizes) > 1:
        handles += [
            _handle(f"latent size {size}", marker="o", color=GREY, markersize=math.sqrt(area))
            for size, area in sizes.items()
        ]
    _legend(drawing, [*handles, _handle("equal ELBO [nats per image]", color="0.7", linestyle="-")])
    return drawing


@FIGURES.register(
    title="KL by latent dimension",
    caption=(
        "KL(q(z|x) ‖ p(z)) of each latent dimension on the test images, in nats, largest first, on a logarithmic scale: "
        "lines are means over seeds, bands reach from the smallest to the largest seed. A line that drops to hundredths or "
        "less marks collapsed dimensions, which say nothing about the image; values below 10⁻⁴ lie on the lower edge."
    ),
)
def kl_spectrum(source: Source) -> matplotlib.figure.Figure:
    points = source.chosen_points(4)
    spectrum = source.tables.spectrum.merge(source.trained[["run_id", "variant", "point"]], on="run_id")
    spectrum = spectrum.assign(kl=spectrum.kl.clip(lower=KL_FLOOR))
    drawing, axes = _panels(1, len(points), max(5, 2.9 * len(points)), 3.6, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        _bands(ax, source, spectrum[spectrum.point == point], "rank", "kl", marked=12)
        ax.set(title=source.describe(point), xlabel="dimension, by KL", yscale="log")
        ax.set_ylim(bottom=0.8 * KL_FLOOR)
        _integers(ax.xaxis)
    axes[0, 0].set_ylabel("KL [nats]")
    _note_selection(drawing, source, points)
    _legend(drawing, _variant_handles(source))
    return drawing


@FIGURES.register(
    title="Active units",
    caption=(
        "Number of active units: latent dimensions whose posterior mean has a variance above 0.01 over the test images. "
        "Small points are single training seeds, large markers their means; the grey line is the ceiling, where every latent "
        "dimension is active."
    ),
)
def active_units(source: Source) -> matplotlib.figure.Figure:
    if source.runs.groupby("variant").latent_size.nunique().max() == 1:
        return _active_units_by_variant(source)
    settings = source.runs.setting.unique()
    latent_sizes = sorted(source.runs.latent_size.unique())
    drawing, axes = _panels(1, len(settings), max(6.5, 4.5 * len(settings)), 4.2, sharey=True)
    for ax, setting in zip(axes.flat, settings, strict=True):
        _active_units_by_latent_size(ax, source, source.runs[source.runs.setting == setting], latent_sizes)
        ax.set(title=setting, xlabel="latent size")
    axes[0, 0].set_ylabel("active units")
    _legend(drawing, [*_variant_handles(source), _handle("ceiling: all dimensions", color=GREY, linestyle="-")])
    return drawing


@FIGURES.register(
    title="Training curves",
    caption=(
        "Validation ELBO and rate in nats per image, active units, and the KL weight trained with, after each epoch: lines "
        "are means over seeds, bands reach from the smallest to the largest seed. The axes fit what follows the first tenth "
        "of training, so the first epochs may lie outside. Higher is better for the ELBO; ELBO panels side by side have "
        "different units or data and cannot be compared."
    ),
)
def training_curves(source: Source) -> matplotlib.figure.Figure:
    points, scales = source.chosen_points(3), source.runs.scale.unique()
    history = _history(source)
    columns = [("elbo", history.scale == scale, f"{scale}\nvalidation ELBO [nats per image]") for scale in scales]
    every = history.scale.notna()
    columns += [("validation_rate", every, "validation rate [nats per image]")]
    columns += [("active_units", every, "active units"), ("kl_weight", every, "KL weight")]
    drawing, axes = _panels(len(points), len(columns), 2.5 * len(columns), 2.0 * len(points) + 0.9, sharex=True)
    for row, point in zip(axes, points, strict=True):
        for ax, (quantity, selected, title) in zip(row, columns, strict=True):
            shown = history[selected & (history.point == point)]
            _bands(ax, source, shown, "epoch", quantity, marked=8)
            _fit_after_start(ax, history[selected] if quantity != "active_units" else shown, quantity)
            if row is axes[0]:
                ax.set_title(title)
        row[0].set_ylabel(source.describe(point))
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    _note_selection(drawing, source, points)
    _legend(drawing, _variant_handles(source))
    return drawing


@FIGURES.register(
    title="Reconstructions and samples",
    caption=(
        "Left, test images and below them each variant's reconstructions: the mean image at the posterior mean of z. Right, "
        "samples: the mean image at z drawn from the prior, the same draws for every variant of a latent size. Each variant "
        "is shown by its first trained seed; grey levels from black (0) to white (1), values outside are clipped."
    ),
)
def reconstructions(source: Source) -> matplotlib.figure.Figure:
    rows = _picture_rows(source)
    columns = ["reconstructions", "samples from the prior"]
    drawing, axes = _panels(1, 2, 10, 0.5 * len(rows) + 0.6, sharey=True)
    shape = source.experiment.dataset.image_shape
    for ax, title, strips in zip(axes.flat, columns, zip(*rows.values(), strict=True), strict=True):
        image = np.vstack([_strip(strip, shape) for strip in strips])
        ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks((np.arange(len(rows)) + 0.5) * len(image) / len(rows) - 0.5, list(rows))
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    [point] = source.chosen_points(1)
    drawing.suptitle(source.describe(point))
    return drawing


def _panels(
    n_rows: int, n_columns: int, width: float, height: float, height_ratios: Sequence[float] | None = None, **shared
):
    """A drawing of so many inches, legend aside, and its axes [n_rows, n_columns]."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(n_rows, n_columns, squeeze=False, height_ratios=height_ratios, **shared)


def _lay_out(drawing: matplotlib.figure.Figure) -> None:
    """Place everything once and keep the places, which three formats would each compute again."""
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")


def _dot_plot(ax: Axes, source: Source, runs: pd.DataFrame, metric: str) -> None:
    """A line for each variant and grid point: its seeds as points, and below them their mean and interval."""
    groups = list(runs.groupby(["variant", "point"], sort=False))
    labels = []
    for y, ((variant, point), group) in enumerate(groups):
        look = source.looks[variant]
        ax.plot(group[metric], [y - 0.17] * len(group), ".", color=look["color"], alpha=0.6, markeredgewidth=0)
        mean, low, high = group[[f"{metric}_mean", f"{metric}_low", f"{metric}_high"]].iloc[0]
        ax.plot([low, high], [y + 0.17] * 2, color=look["color"])
        ax.plot(mean, y + 0.17, look["marker"], color=look["color"])
        values = ", ".join(map(_word, source.points[point].values()))
        is_first = y == 0 or groups[y - 1][0][0] != variant
        labels.append(f"{source.label(variant)}   {values}".rstrip() if is_first else values)
        if list(source.looks).index(variant) % 2:
            ax.axhspan(y - 0.5, y + 0.5, color="0.95", linewidth=0, zorder=0)
    ax.set_yticks(range(len(groups)), labels)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.set_ylabel(", ".join(["variant", *(key.replace("_", " ") for key in source.points[0])]))


def _active_units_by_variant(source: Source) -> matplotlib.figure.Figure:
    n_lines = source.runs.groupby(["variant", "point"]).ngroups
    drawing, axes = _panels(1, 1, 6.5, 0.9 + 0.2 * n_lines)
    ax = axes[0, 0]
    _dot_plot(ax, source, source.runs, "active_units")
    ceilings = source.runs.groupby(["variant", "point"], sort=False).latent_size.first()
    ax.vlines(ceilings, np.arange(n_lines) - 0.4, np.arange(n_lines) + 0.4, color=GREY)
    ax.set(xlabel="active units", xlim=(-0.03 * ceilings.max(), 1.05 * ceilings.max()))
    _integers(ax.xaxis)
    return drawing


def _active_units_by_latent_size(ax: Axes, source: Source, runs: pd.DataFrame, latent_sizes: list[int]) -> None:
    """Latent sizes at equal distances, variants side by side at each, so that equal counts do not hide each other."""
    place = {size: index for index, size in enumerate(latent_sizes)}
    width = 0.7
    for size, x in place.items():
        ax.plot([x - width / 2, x + width / 2], [size, size], color=GREY, zorder=1)
    offsets = np.linspace(-1, 1, len(source.looks) + 2)[1:-1] * width / 2
    for offset, (variant, look) in zip(offsets, source.looks.items(), strict=True):
        group = runs[runs.variant == variant]
        x = group.latent_size.map(place) + offset
        ax.plot(x, group.active_units, ".", color=look["color"], alpha=0.4, markeredgewidth=0)
        means = group.assign(x=x).drop_duplicates("x").sort_values("x")
        ax.plot(means.x, means.active_units_mean, **look)
    ax.set_xticks(range(len(latent_sizes)), latent_sizes)
    ax.set_yscale("symlog", base=2, linthresh=1)
    powers = [2**power for power in range(math.ceil(math.log2(max(latent_sizes))) + 1)]
    ax.set_yticks([0, *powers], [0, *powers], minor=False)
    ax.set_ylim(-0.3, 1.25 * max(latent_sizes))


def _iso_elbo_lines(ax: Axes, runs: pd.DataFrame) -> None:
    """Lines of equal D + R with the ELBO on them, in a strip on the left and the top that is kept free of points."""
    from matplotlib.ticker import MaxNLocator

    if runs.empty:
        return
    (left, right), (bottom, top) = _range(runs.rate), _range(runs.distortion)
    width, height = right - left, top - bottom
    ax.set(xlim=(left - 0.16 * width, right + 0.06 * width), ylim=(bottom - 0.06 * height, top + 0.12 * height))
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    for level in MaxNLocator(8).tick_values(-right - top, -left - bottom):
        ax.axline((left, -level - left), slope=-1, color="0.8", linewidth=0.7, zorder=1)
        x = max(left + 0.05 * width, -level - (top - 0.04 * height))
        if x < right - 0.05 * width and -level - x > bottom + 0.04 * height:
            text = f"{level:g}".replace("-", "−")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(x, -level - x, text, fontsize=7, color=GREY, ha="center", va="center", bbox=box, zorder=2)


def _bands(ax: Axes, source: Source, rows: pd.DataFrame, x: str, y: str, marked: int) -> None:
    """Each variant's mean over runs against x, and a band from smallest to largest; about so many points are marked."""
    for index, (variant, group) in enumerate(rows.groupby("variant", sort=False)):
        look = source.looks[variant]
        over_seeds = group.groupby(x)[y].agg(["mean", "min", "max"])
        ax.fill_between(
            over_seeds.index, over_seeds["min"], over_seeds["max"], color=look["color"], alpha=0.15, linewidth=0
        )
        every = max(1, len(over_seeds) // marked)
        ax.plot(over_seeds.index, over_seeds["mean"], **look, markevery=(index % every, every))


def _history(source: Source) -> pd.DataFrame:
    """Of the trained runs, by epochs done, with the validation ELBO; long trainings at equal distances."""
    history = source.tables.history.merge(source.trained[["run_id", "variant", "point", "scale"]], on="run_id")
    history = history.assign(epoch=history.epoch + 1, elbo=-(history.validation_rate + history.validation_distortion))
    last = history.groupby("run_id").epoch.transform("max")
    step = math.ceil(len(history.epoch.unique()) / MOST_EPOCHS)
    return history[(last - history.epoch) % step == 0]


def _fit_after_start(ax: Axes, rows: pd.DataFrame, quantity: str) -> None:
    """Fit the axis to what follows the first tenth of training."""
    later = rows[rows.epoch > 0.1 * rows.epoch.max()]
    if len(later):
        low, high = _range(later.groupby(["variant", "point", "epoch"])[quantity].mean())
        ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _picture_rows(source: Source) -> dict[str, tuple[np.ndarray | None, np.ndarray | None]]:
    """Row label -> left and right pictures [n, D]; originals stand once above the variants that share them."""
    [point] = source.chosen_points(1)
    runs = source.trained[source.trained.point == point].sort_values("seed").drop_duplicates("variant")
    run_ids = runs.set_index("variant").run_id
    rows, last = {}, None
    for variant in source.experiment.variants:
        if variant not in run_ids:
            rows[source.label(variant)] = (None, None)
            continue
        with np.load(source.folder.run(run_ids[variant]).pictures) as pictures:
            originals = pictures["originals"]
            if last is None or not np.array_equal(originals, last):
                rows["originals" if last is None else f"originals of {variant}"] = (originals, None)
            rows[source.label(variant)] = (pictures["reconstructions"], pictures["samples"])
            last = originals
    return rows


def _strip(pictures: np.ndarray | None, shape: tuple[int, int], n: int = 10) -> np.ndarray:
    """Pictures side by side with gaps between, which are NaN; all gap where there are none."""
    height, width = shape
    gap = max(1, width // 12)
    strip = np.full((height + gap, n * (width + gap)), np.nan)
    for index, picture in enumerate([] if pictures is None else pictures[:n]):
        strip[:height, index * (width + gap) :][:, :width] = picture.reshape(shape).clip(0, 1)
    return strip


def _legend(drawing: matplotlib.figure.Figure, handles: list[Artist]) -> None:
    """Below the panels, in as many columns as fit; the drawing grows by the legend's lines."""
    width, height = drawing.get_size_inches()
    longest = max(len(handle.get_label()) for handle in handles)
    n_columns = max(1, min(len(handles), int(width / (0.55 + 0.075 * longest))))
    drawing.set_size_inches(width, height + 0.17 * math.ceil(len(handles) / n_columns))
    drawing.legend(handles=handles, loc="outside lower center", ncols=n_columns, handlelength=3.2)


def _variant_handles(source: Source, **changes: Any) -> list[Artist]:
    return [_handle(source.label(variant), **(look | changes)) for variant, look in source.looks.items()]


def _handle(label: str, **look: Any) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **({"linestyle": "none"} | look))


def _note_selection(drawing: matplotlib.figure.Figure, source: Source, shown: Sequence[int]) -> None:
    if len(shown) < len(source.points):
        drawing.suptitle(f"{len(shown)} of {len(source.points)} grid points shown")


def _marker_sizes(latent_sizes: Iterable[int]) -> dict[int, float]:
    """Latent size -> marker area in points², by rank."""
    ranked = sorted(set(latent_sizes))
    return dict(zip(ranked, np.linspace(20, 75, len(ranked)) if len(ranked) > 1 else [35.0], strict=True))


def _scale(runs: pd.DataFrame) -> pd.Series:
    """In words, what a run's log-likelihood is and of which data; runs with different ones share no axis."""
    likelihoods = runs.groupby(["measure", "binarisation"]).likelihood.transform(lambda names: ", ".join(names.unique()))
    data = [
        " on grey pixels"
        if measure == "not a density"
        else ""
        if binarisation == "none"
        else f", {binarisation} binarisation"
        for measure, binarisation in zip(runs.measure, runs.binarisation, strict=True)
    ]
    return likelihoods.str.capitalize() + data + ": " + runs.measure


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_word(value)}" for key, value in settings.items())


def _word(value: Any) -> str:
    """A setting's value: numbers short, definitions as their values."""
    if isinstance(value, dict):
        return " ".join(map(_word, value.values()))
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(values: Sequence, n: int) -> list:
    """n of the values, evenly spread from first to last; the middle one for n = 1."""
    if n == 1:
        return [values[(len(values) - 1) // 2]]
    chosen = np.linspace(0, len(values) - 1, min(n, len(values))).round().astype(int)
    return [values[index] for index in chosen]


def _range(values: pd.Series) -> tuple[float, float]:
    """Smallest and largest; widened where they are one."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _integers(axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
