"""Figures: pictures of an experiment's tables, for the report and for papers.

A figure is registered once, with its title and its caption; the workflow, the report and the tests read them from here.
Figures compute no science: they show the numbers of the tables, and reduce over seeds at most. A variant has the same
colour, marker and dash everywhere, so that it also reads without colour. Runs whose log-likelihoods are in different units
share no axis for them. Diverged runs have no numbers to show; legends and row labels count them.

matplotlib, seaborn and the tables are imported where they are used, so that captions can be read without.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.metrics import METRICS
from vaebench.specification import Experiment
from vaebench.store import ExperimentFolder, Results, replacing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing

    from vaebench.tables import Tables

# Formats, and what keeps dates and versions out of them: the same tables give the same bytes.
METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
MARKERS = "os^DvPX<>p*hd8"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (2, 2)))
# Of seaborn's "colorblind"; its pink, grey and yellow are too pale for thin lines.
COLOURS = (0, 1, 2, 3, 4, 9, 5)
GREY = "0.45"
KL_FLOOR = 1e-4
# More epochs than this cannot be told apart in a panel.
MOST_EPOCHS = 250


@dataclass(frozen=True)
class Source:
    """What figures are drawn from: an experiment, its tables, and its folder for the pictures."""

    experiment: Experiment
    folder: ExperimentFolder
    tables: Tables

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The table of runs and, of each run, `point`, its index in `points`; `scale`, the unit and data of its likelihood
        in words; and `<metric>_mean`, `<metric>_low`, `<metric>_high`, the summary over seeds of its variant and point."""
        from vaebench.tables import group_keys

        # An experiment's runs stand in the order variant, grid, seed.
        points = {run.run_id: i // self.experiment.seeds % len(self.points) for i, run in enumerate(self.experiment.runs)}
        runs = self.tables.runs
        runs = runs.assign(point=runs.run_id.map(points), scale=_scale(runs))
        keys = group_keys(self.experiment)
        summary = self.tables.summary[[*keys, *(f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high"))]]
        return runs.merge(summary, "left", on=keys, suffixes=("", "_mean"), validate="many_to_one")

    @cached_property
    def trained(self) -> pd.DataFrame:
        return self.runs[self.runs.status == "trained"]

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """The grid's points as setting -> value; a single empty one without a grid."""
        grid = self.experiment.grid or {}
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def chosen_points(self, most: int) -> list[int]:
        """At most so many points, evenly spread over the latent sizes (or else the first setting)."""
        grid = self.experiment.grid or {}
        leading = "latent_size" if "latent_size" in grid else next(iter(grid), None)
        chosen = itertools.product(*(_spread(values, most if key == leading else 1) for key, values in grid.items()))
        return [self.points.index(dict(zip(grid, values, strict=True))) for values in chosen]

    def describe(self, point: int) -> str:
        """ "latent size 8, learning rate 0.001"; the latent size even without a grid, if all runs have the same."""
        sizes = self.runs.latent_size.unique()
        settings = ({"latent_size": sizes[0]} if len(sizes) == 1 else {}) | self.points[point]
        return ", ".join(f"{_word(key)} {_word(value)}" for key, value in settings.items())

    @cached_property
    def looks(self) -> dict[str, dict[str, Any]]:
        """Variant -> colour, marker and dash, by its place in the experiment file."""
        import seaborn

        colours = [*(seaborn.color_palette("colorblind")[index] for index in COLOURS), (0.0, 0.0, 0.0)]
        looks = zip(*map(itertools.cycle, (colours, MARKERS, DASHES)), strict=True)
        names = ("color", "marker", "linestyle")
        return {
            variant: dict(zip(names, look, strict=True))
            for variant, look in zip(self.experiment.variants, looks, strict=False)
        }

    def handles(self, **changes: Any) -> list[Artist]:
        """A legend entry for each variant, which counts its diverged runs."""
        status = {variant: self.runs.status[self.runs.variant == variant] for variant in self.looks}
        return [_handle(variant + _diverged(status[variant]), **(look | changes)) for variant, look in self.looks.items()]


@dataclass(frozen=True)
class Figure:
    """A figure of the report. caption: plain text, what is shown and how to read it."""

    name: str
    title: str
    caption: str
    draw: Callable[[Source], Drawing]


class Figures(dict[str, Figure]):
    """Figures by name."""

    def register(self, title: str, caption: str) -> Callable[[Callable[[Source], Drawing]], Figure]:
        """Decorator: the function becomes the figure of its own name, with hyphens. Raises ValueError for a name taken."""

        def register(draw: Callable[[Source], Drawing]) -> Figure:
            name = draw.__name__.replace("_", "-")
            if name in self:
                raise ValueError(f"two figures are called {name!r}")
            self[name] = Figure(name, title, caption, draw)
            return self[name]

        return register


FIGURES = Figures()


def draw_all(experiment: Experiment, results: Results) -> None:
    """Draw every figure from the experiment's tables, in every format. The same tables give the same bytes."""
    from vaebench import tables

    folder = results.experiment(experiment.name)
    source = Source(experiment, folder, tables.load(folder))
    with styled():
        for name, figure in FIGURES.items():
            drawing = figure.draw(source)
            # Laid out once; otherwise every format would do it again.
            drawing.draw_without_rendering()
            drawing.set_layout_engine(None)
            for suffix, metadata in METADATA.items():
                with replacing(folder.figure(name, suffix)) as temporary:
                    drawing.savefig(temporary, format=suffix, metadata=metadata)


def styled() -> AbstractContextManager[None]:
    """Within it, matplotlib draws for print, in the font that comes with it, and writes files that open everywhere."""
    import seaborn
    from matplotlib import style

    settings = seaborn.axes_style("ticks") | {
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "figure.titlesize": "medium",
        "legend.frameon": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.5,
        "figure.dpi": 180,
        "text.hinting": "none",  # or texts have other widths at other resolutions, and formats other layouts
        "svg.hashsalt": "vaebench",
        "svg.fonttype": "path",  # shows the same where the font is missing
        "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    }
    return style.context(["default", settings])


@FIGURES.register(
    title="ELBO by variant",
    caption=(
        "Test ELBO in nats per image at KL weight 1, whatever weight was trained with; further right is better. Small "
        "points are training seeds, large markers their means, bars 95 % bootstrap intervals over seeds (for three seeds "
        "or more). Panels differ in unit or data and cannot be compared with each other."
    ),
)
def elbo(source: Source) -> Drawing:
    panels = dict(list(source.runs.groupby("scale", sort=False)))
    drawing, axes = _dot_plots(source, "elbo", list(panels.values()))
    for ax, scale in zip(axes, panels, strict=True):
        ax.set(title=scale, xlabel="test ELBO [nats per image], higher is better")
    return drawing


@FIGURES.register(
    title="Rate–distortion plane",
    caption=(
        "Test distortion D against rate R, both in nats per image; every training seed is a point, larger for a larger "
        "latent size. Along a grey line the ELBO −(D + R), written on it, is the same: it is better towards the lower "
        "left, and moving down along a line buys reconstruction with rate. Panels differ in unit or data and cannot be "
        "compared."
    ),
)
def rate_distortion(source: Source) -> Drawing:
    scales, latent_sizes = source.runs.scale.unique(), sorted(source.runs.latent_size.unique())
    areas = dict(zip(latent_sizes, np.linspace(12, 45, len(latent_sizes)), strict=True))
    drawing, axes = _panels(1, len(scales), max(5.5, 3.3 * len(scales) + 0.8), 3.5)
    for ax, scale in zip(axes.flat, scales, strict=True):
        runs = source.trained[source.trained.scale == scale]
        for variant, group in runs.groupby("variant", sort=False):
            look = {"facecolor": source.looks[variant]["color"], "marker": source.looks[variant]["marker"]}
            sizes = group.latent_size.map(areas)
            ax.scatter(group.rate, group.distortion, sizes, **look, edgecolor="white", linewidth=0.4, alpha=0.85, zorder=3)
        _iso_elbo_lines(ax, runs)
        ax.set(title=scale, xlabel="rate R [nats per image]", ylabel="distortion D [nats per image]")
    _legend(drawing, source.handles(linestyle="none"))
    if len(latent_sizes) > 1:
        sizes = [_handle(str(size), marker="o", color=GREY, markersize=math.sqrt(areas[size])) for size in latent_sizes]
        drawing.legend(handles=sizes, loc="outside right upper", title="latent size")
    return drawing


@FIGURES.register(
    title="KL by latent dimension",
    caption=(
        "KL(q(z|x) ‖ p(z)) of each latent dimension on the test images, in nats, largest first, on a logarithmic scale: "
        "lines are means over seeds, bands reach from the smallest to the largest seed. Where a line drops to hundredths "
        "or below, the dimensions are collapsed and say nothing about the image; what is below 0.0001 lies on the lower "
        "edge."
    ),
)
def kl_spectrum(source: Source) -> Drawing:
    points = source.chosen_points(4)
    spectrum = source.tables.spectrum.merge(source.trained[["run_id", "variant", "point"]], on="run_id")
    drawing, axes = _panels(1, len(points), max(5, 2.7 * len(points)), 3.2, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        shown = spectrum[spectrum.point == point]
        _bands(ax, source, shown, "rank", "kl", n_marked=12, floor=KL_FLOOR)
        ax.set(title=textwrap.fill(source.describe(point), 40), xlabel="latent dimension, largest KL first", yscale="log")
        ax.set(ylim=(0.8 * KL_FLOOR, None), xlim=(0.4, 1.02 * shown["rank"].max() + 0.4) if len(shown) else None)
        _whole_numbers(ax.xaxis)
        # Plain numbers, and no minor ticks, are drawn several times faster.
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    axes[0, 0].set_ylabel("KL [nats]")
    _say_what_is_left_out(drawing, source, points)
    _legend(drawing, source.handles())
    return drawing


@FIGURES.register(
    title="Active units",
    caption=(
        "Active units: latent dimensions whose posterior mean has a variance above 0.01 over the test images. Small points"
        " are training seeds, large markers their means; a grey bar is the ceiling, where every latent dimension is "
        "active."
    ),
)
def active_units(source: Source) -> Drawing:
    if source.experiment.grid_keys == ("latent_size",) and len(source.points) > 1:
        return _active_units_by_latent_size(source)
    drawing, [ax] = _dot_plots(source, "active_units", [source.runs])
    ceilings = source.runs.groupby(["variant", "point"], sort=False).latent_size.first()
    rows = np.arange(len(ceilings))
    ax.vlines(ceilings, rows - 0.4, rows + 0.4, color=GREY)
    ax.set(xlabel="active units", xlim=(-0.03 * ceilings.max(), 1.05 * ceilings.max()))
    _whole_numbers(ax.xaxis)
    return drawing


@FIGURES.register(
    title="Training curves",
    caption=(
        "Validation ELBO and rate in nats per image, active units, and the KL weight trained with, by epochs done: lines "
        "are means over seeds, bands reach from the smallest to the largest seed. A higher ELBO is better. Axes are fitted"
        " to what follows the first tenth of training; ELBO panels side by side differ in unit or data and cannot be "
        "compared."
    ),
)
def training_curves(source: Source) -> Drawing:
    points, history = source.chosen_points(3), _history(source)
    columns = [(history[history.scale == scale], "elbo", scale) for scale in source.runs.scale.unique()]
    columns += [(history, name, "") for name in ("validation_rate", "active_units", "kl_weight")]
    titles = {"elbo": "validation ELBO [nats]", "validation_rate": "validation rate [nats]", "kl_weight": "KL weight"}
    drawing, axes = _panels(len(points), len(columns), 2.1 * len(columns), 1.7 * len(points) + 0.7, sharex=True)
    for (row, point), (column, (rows, quantity, scale)) in itertools.product(enumerate(points), enumerate(columns)):
        ax, shown = axes[row, column], rows[rows.point == point]
        _bands(ax, source, shown, "epoch", quantity, n_marked=6)
        if len(shown):
            ax.set_ylim(_limits_of_curves(rows, shown, quantity))
        if row == 0:
            ax.set_title("\n".join([*textwrap.wrap(scale, 28), titles.get(quantity, _word(quantity))]))
        if column == 0:
            ax.set_ylabel(source.describe(point).replace(", ", "\n"))
        if row == len(points) - 1:
            ax.set_xlabel("epoch")
    _whole_numbers(axes[0, 0].xaxis)
    _say_what_is_left_out(drawing, source, points)
    _legend(drawing, source.handles())
    return drawing


@FIGURES.register(
    title="Reconstructions and samples",
    caption=(
        "Left, test images and each variant's reconstructions of them: the mean image at the posterior mean of z. Right, "
        "samples: the mean image at z drawn from the prior, with the same draws for variants of one latent size and seed. "
        "The first trained seed of each variant is shown; pixels are black at 0 and white at 1, values outside are "
        "clipped."
    ),
)
def reconstructions(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    rows, shape = _picture_rows(source, point), source.experiment.dataset.image_shape
    # Inches, so that pictures fill the panels: they are as high as wide.
    width, names = 10, 0.2 + 0.065 * max(map(len, rows))
    drawing, axes = _panels(1, 2, width, len(rows) * (width - names) / 20.5 + 0.3)
    titles = (f"reconstructions, {source.describe(point)}".rstrip(", "), "samples from the prior")
    for ax, title, strips in zip(axes.flat, titles, zip(*rows.values(), strict=True), strict=True):
        image = np.vstack([_strip(pictures, shape) for pictures in strips])
        ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    height = len(image) / len(rows)
    axes[0, 0].set_yticks((np.arange(len(rows)) + 0.5) * height - 1, list(rows))
    axes[0, 0].tick_params(length=0)
    return drawing


def _panels(n_rows: int, n_columns: int, width: float, height: float, **options: Any) -> tuple[Drawing, np.ndarray]:
    """A drawing of so many inches and its axes [n_rows, n_columns]."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(n_rows, n_columns, squeeze=False, **options)


def _dot_plots(source: Source, metric: str, panels: list[pd.DataFrame]) -> tuple[Drawing, np.ndarray]:
    """A panel for each of these tables of runs, one below the other, with rows of equal height."""
    n_rows = [runs.groupby(["variant", "point"]).ngroups for runs in panels]
    width = 5.5 + 0.06 * max(map(len, source.looks))
    drawing, axes = _panels(len(panels), 1, width, 0.8 * len(panels) + 0.2 * sum(n_rows), height_ratios=n_rows)
    for ax, runs in zip(axes.flat, panels, strict=True):
        _dot_plot(ax, source, runs, metric)
    return drawing, axes.flat


def _dot_plot(ax: Axes, source: Source, runs: pd.DataFrame, metric: str) -> None:
    """A row for each variant and grid point: the seeds, and below them their mean and its interval."""
    ticks = []
    for index, (variant, of_variant) in enumerate(runs.groupby("variant", sort=False)):
        color, marker = source.looks[variant]["color"], source.looks[variant]["marker"]
        start = len(ticks)
        for y, (point, group) in enumerate(of_variant.groupby("point"), start):
            mean, low, high = group[[f"{metric}_mean", f"{metric}_low", f"{metric}_high"]].iloc[0]
            ax.plot(group[metric], [y - 0.18] * len(group), "o", color=color, markersize=3, alpha=0.5, markeredgewidth=0)
            ax.plot([low, high], [y + 0.15] * 2, color=color)
            ax.plot(mean, y + 0.15, marker, color=color)
            ax.annotate(_diverged(group.status), (1, y), xycoords=("axes fraction", "data"), va="center")
            values = ", ".join(map(_word, source.points[point].values()))
            ticks.append(f"{variant if y == start else ''}   {values}".rstrip())
        ax.axhspan(start - 0.5, len(ticks) - 0.5, color="0.95" if index % 2 else "white", linewidth=0, zorder=0)
    if runs[metric].isna().all():
        ax.set_xticks([])
    ax.set_yticks(range(len(ticks)), ticks)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(ticks) - 0.5, -0.5)
    header = "   ".join(["variant", ", ".join(map(_word, source.experiment.grid_keys))]).rstrip()
    ax.annotate(header, (0, 1), (-12, 6), xycoords="axes fraction", textcoords="offset points", ha="right", color=GREY)


def _active_units_by_latent_size(source: Source, width: float = 0.7) -> Drawing:
    """Latent sizes at equal distances, with the variants side by side, as equal counts would hide each other."""
    drawing, [[ax]] = _panels(1, 1, 6.5, 3.4)
    latent_sizes = sorted(source.runs.latent_size.unique())
    places = np.arange(len(latent_sizes))
    ax.hlines(latent_sizes, places - width / 2, places + width / 2, color=GREY, zorder=1)
    offsets = np.linspace(-width / 2, width / 2, len(source.looks) + 2)[1:-1]
    for offset, (variant, look) in zip(offsets, source.looks.items(), strict=True):
        group = source.runs[source.runs.variant == variant]
        x = np.searchsorted(latent_sizes, group.latent_size) + offset
        ax.plot(x, group.active_units, "o", color=look["color"], markersize=3, alpha=0.4, markeredgewidth=0)
        means = group.assign(x=x).drop_duplicates("x").sort_values("x")
        ax.plot(means.x, means.active_units_mean, **look)
    ticks = [0, *(2**power for power in range(math.ceil(math.log2(latent_sizes[-1])) + 1))]
    ax.set(xlabel="latent size", ylabel="active units")
    ax.set_xticks(places, latent_sizes)
    ax.set_yscale("symlog", base=2, linthresh=1, linscale=0.5)
    ax.set_yticks(ticks, ticks)
    ax.set_ylim(-0.4, 1.3 * latent_sizes[-1])
    _legend(drawing, [*source.handles(), _handle("ceiling", color=GREY, linestyle="-")])
    return drawing


def _iso_elbo_lines(ax: Axes, runs: pd.DataFrame) -> None:
    """Lines of equal D + R around the runs, with the ELBO written on them at the left and the top, where no run is."""
    from matplotlib.ticker import MaxNLocator

    if runs.empty:
        ax.set(xticks=[], yticks=[])
        return
    (left, right), (bottom, top) = _widened(runs.rate, 0.22, 0.05), _widened(runs.distortion, 0.05, 0.12)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_xticks([tick for tick in ax.get_xticks() if max(0, left) <= tick <= right])
    # As many lines as have room for their labels, side by side along the top and one above the other on the left.
    width, height = right - left, top - bottom
    n_levels = int((width + height) / max(0.13 * width, 0.1 * height))
    levels = MaxNLocator(n_levels).tick_values(-right - top, -left - bottom)
    step, runs_elbo = levels[1] - levels[0], -(runs.rate + runs.distortion)
    for level in levels[(levels > runs_elbo.min() - 2 * step) & (levels < runs_elbo.max() + 2 * step)]:
        ax.axline((left, -level - left), slope=-1, color="0.8", linewidth=0.7, zorder=1)
        x = max(left + 0.01 * width, -level - top + 0.035 * height)
        if x < right - 0.1 * width and -level - x > bottom + 0.03 * height:
            text = f"{level:g}".replace("-", "−")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(x, -level - x, text, fontsize=7, color=GREY, va="center", bbox=box, zorder=2)


def _bands(ax: Axes, source: Source, rows: pd.DataFrame, x: str, y: str, n_marked: int, floor: float | None = None) -> None:
    """Against x, each variant's mean over its runs and a band from smallest to largest; markers on about so many points."""
    for index, (variant, group) in enumerate(rows.groupby("variant", sort=False)):
        look = source.looks[variant]
        over_seeds = group.groupby(x)[y].agg(["mean", "min", "max"]).clip(lower=floor)
        shade = {"color": look["color"], "alpha": min(0.15, 1 / len(source.looks)), "linewidth": 0}
        ax.fill_between(over_seeds.index, over_seeds["min"], over_seeds["max"], **shade)
        every = max(1, len(over_seeds) // n_marked)
        ax.plot(over_seeds.index, over_seeds["mean"], **look, markevery=(index % every, every))


def _history(source: Source) -> pd.DataFrame:
    """Of the trained runs, by the number of epochs done, with the validation ELBO; long trainings at equal distances."""
    history = source.tables.history.merge(
        source.trained[["run_id", "variant", "point", "scale", "latent_size"]], on="run_id"
    )
    history = history.assign(epoch=history.epoch + 1, elbo=-(history.validation_rate + history.validation_distortion))
    return history[history.epoch % math.ceil(source.trained.epochs.max() / MOST_EPOCHS) == 0] if len(history) else history


def _limits_of_curves(rows: pd.DataFrame, shown: pd.DataFrame, quantity: str) -> tuple[float, float]:
    """Of an axis, from the runs of all latent sizes and of the one shown; only active units are bound by a latent size."""
    if quantity in ("active_units", "kl_weight"):
        top = shown.latent_size.max() if quantity == "active_units" else rows.kl_weight.max()
        return -0.05 * top, 1.05 * top
    later = rows[rows.epoch > 0.1 * rows.epoch.max()]
    return _widened(later.groupby(["variant", "point", "epoch"])[quantity].mean(), 0.05, 0.05)


def _picture_rows(source: Source, point: int) -> dict[str, tuple[np.ndarray | None, np.ndarray | None]]:
    """Row label -> pictures [n, D] on the left and on the right; originals stand above the variants that share them."""
    runs = source.runs[source.runs.point == point]
    rows, last = {}, None
    for variant, group in runs.groupby("variant", sort=False):
        trained = group[group.status == "trained"]
        if trained.empty:
            rows[f"{variant}{_diverged(group.status)}"] = (None, None)
            continue
        with np.load(source.folder.run(trained.run_id.iloc[0]).pictures) as pictures:
            originals, *others = (pictures[name] for name in ("originals", "reconstructions", "samples"))
        if last is None or not np.array_equal(originals, last):
            rows["originals" if last is None else f"originals of {variant}"] = (originals, None)
        rows[variant], last = tuple(others), originals
    return rows


def _strip(pictures: np.ndarray | None, shape: tuple[int, int], n: int = 10) -> np.ndarray:
    """n pictures side by side; the gaps, and all of it where there are none, are NaN, which is not drawn."""
    gap = max(1, shape[1] // 12)
    cells = np.full((n, shape[0] + gap, shape[1] + gap), np.nan)
    if pictures is not None:
        cells[: len(pictures), : shape[0], : shape[1]] = pictures[:n].reshape(-1, *shape).clip(0, 1)
    return np.hstack(list(cells))


def _legend(drawing: Drawing, handles: list[Artist]) -> None:
    """Below the panels, in as many columns as fit; the drawing grows by the legend's height."""
    width, height = drawing.get_size_inches()
    fitting = max(1, int(width / (0.65 + 0.065 * max(len(handle.get_label()) for handle in handles))))
    n_rows = math.ceil(len(handles) / fitting)
    drawing.set_size_inches(width, height + 0.17 * n_rows)
    drawing.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / n_rows), handlelength=3.2)


def _handle(label: str, **look: Any) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **({"linestyle": "none"} | look))


def _say_what_is_left_out(drawing: Drawing, source: Source, shown: list[int]) -> None:
    if len(shown) < len(source.points):
        drawing.suptitle(f"{len(shown)} of {len(source.points)} grid points are shown")


def _scale(runs: pd.DataFrame) -> pd.Series:
    """In words, the unit of a run's log-likelihood and its data: runs with different ones share no axis."""
    likelihoods = runs.groupby(["measure", "binarisation"]).likelihood.transform(lambda names: ", ".join(names.unique()))
    data = runs.binarisation.map(lambda name: "" if name == "none" else f", {name} binarisation")
    data = data.mask(runs.measure == "not a density", " on grey pixels")
    return likelihoods.str.capitalize() + data + ": " + runs.measure


def _diverged(status: pd.Series) -> str:
    """ " (1 of 5 diverged)", or nothing if all trained."""
    n_diverged = (status == "diverged").sum()
    return f" ({n_diverged} of {len(status)} diverged)" if n_diverged else ""


def _word(value: Any) -> str:
    """A setting's name or value as text: numbers short, definitions and lists by what they hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _spread(values: Sequence[Any], n: int) -> list[Any]:
    """n of the values, evenly spread from first to last; the middle one for n = 1."""
    last = len(values) - 1
    chosen = np.linspace(0, last, min(n, len(values))).round().astype(int) if n > 1 else [last // 2]
    return [values[index] for index in chosen]


def _widened(values: pd.Series, below: float, above: float) -> tuple[float, float]:
    """The values' range, widened by shares of itself; equal values have a range of one."""
    low, high = values.min(), values.max()
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return low - below * (high - low), high + above * (high - low)


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
