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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vaebench.plotting import (
    GREY,
    Source,
    add_legend,
    bands,
    count_diverged,
    dot_plots,
    legend_entry,
    say_what_is_left_out,
    styled,
    subplots,
    whole_numbers,
    widened,
    word,
)
from vaebench.specification import Experiment
from vaebench.store import Results, replacing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


# Formats, and what keeps dates and versions out of them: the same tables give the same bytes.
METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
KL_FLOOR = 1e-4
# More epochs than this cannot be told apart in a panel.
MOST_EPOCHS = 250


@dataclass(frozen=True)
class Figure:
    """A figure of the report. caption: plain text, what is shown and how to read it."""

    name: str
    title: str
    caption: str
    draw: Callable[[Source], Drawing]


class Figures(dict[str, Figure]):
    """Figures by name."""

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions that draw them."""
        return frozenset(figure.draw.__name__ for figure in self.values())

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


@FIGURES.register(
    title="ELBO by variant",
    caption=(
        "Test ELBO in nats per image at KL weight 1, whatever weight was trained with; further right is better. Small "
        "points are training seeds, large markers their means, bars 95 % intervals over seeds (for three seeds or more). "
        "Panels differ in unit or data and cannot be compared with each other."
    ),
)
def elbo(source: Source) -> Drawing:
    panels = dict(list(source.runs.groupby("scale", sort=False)))
    drawing, axes = dot_plots(source, "elbo", list(panels.values()))
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
    drawing, axes = subplots(1, len(scales), max(5.5, 3.3 * len(scales) + 0.8), 3.5)
    for ax, scale in zip(axes.flat, scales, strict=True):
        runs = source.trained[source.trained.scale == scale]
        for variant, group in runs.groupby("variant", sort=False):
            look = {"facecolor": source.looks[variant]["color"], "marker": source.looks[variant]["marker"]}
            sizes = group.latent_size.map(areas)
            ax.scatter(group.rate, group.distortion, sizes, **look, edgecolor="white", linewidth=0.4, alpha=0.85, zorder=3)
        _iso_elbo_lines(ax, runs)
        ax.set(title=scale, xlabel="rate R [nats per image]", ylabel="distortion D [nats per image]")
    add_legend(drawing, source.handles(linestyle="none"))
    if len(latent_sizes) > 1:
        sizes = [
            legend_entry(str(size), marker="o", color=GREY, markersize=math.sqrt(areas[size])) for size in latent_sizes
        ]
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
    drawing, axes = subplots(1, len(points), max(5, 2.7 * len(points)), 3.2, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        shown = spectrum[spectrum.point == point]
        bands(ax, source, shown, "rank", "kl", n_marked=12, floor=KL_FLOOR)
        ax.set(title=source.describe(point).replace(", ", "\n"), xlabel="latent dimension, largest KL first", yscale="log")
        ax.set(ylim=(0.8 * KL_FLOOR, None), xlim=(0.4, 1.02 * shown["rank"].max() + 0.4) if len(shown) else None)
        whole_numbers(ax.xaxis)
        # Plain numbers, and no minor ticks, are drawn several times faster.
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
    axes[0, 0].set_ylabel("KL [nats]")
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, source.handles())
    return drawing


@FIGURES.register(
    title="Active units",
    caption=(
        "Active units: latent dimensions whose posterior mean has a variance above 0.01 over the test images. Small "
        "points are training seeds, large markers their means; coloured bars, if any, are 95 % intervals over seeds. "
        "A grey bar is the ceiling, where every latent dimension is active."
    ),
)
def active_units(source: Source) -> Drawing:
    if source.experiment.grid_keys == ("latent_size",) and len(source.points) > 1:
        return _active_units_by_latent_size(source)
    drawing, [ax] = dot_plots(source, "active_units", [source.runs])
    ceilings = source.runs.groupby(["variant", "point"], sort=False).latent_size.first()
    rows = np.arange(len(ceilings))
    ax.vlines(ceilings, rows - 0.4, rows + 0.4, color=GREY)
    ax.set(xlabel="active units", xlim=(-0.03 * ceilings.max(), 1.05 * ceilings.max()))
    whole_numbers(ax.xaxis)
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
    columns = [(history[history.scale == scale], "validation_elbo", scale) for scale in source.runs.scale.unique()]
    columns += [(history, name, "") for name in ("validation_rate", "active_units", "kl_weight")]
    titles = {
        "validation_elbo": "validation ELBO [nats]",
        "validation_rate": "validation rate [nats]",
        "kl_weight": "KL weight",
    }
    drawing, axes = subplots(len(points), len(columns), 2.1 * len(columns), 1.7 * len(points) + 0.7, sharex=True)
    for (row, point), (column, (rows, quantity, scale)) in itertools.product(enumerate(points), enumerate(columns)):
        ax, shown = axes[row, column], rows[rows.point == point]
        bands(ax, source, shown, "epoch", quantity, n_marked=6)
        if len(shown):
            ax.set_ylim(_limits_of_curves(rows, shown, quantity))
        if row == 0:
            ax.set_title("\n".join([*textwrap.wrap(scale, 28), titles.get(quantity, word(quantity))]))
        if column == 0:
            ax.set_ylabel(source.describe(point).replace(", ", "\n"))
        if row == len(points) - 1:
            ax.set_xlabel("epoch")
    whole_numbers(axes[0, 0].xaxis)
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, source.handles())
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
    drawing, axes = subplots(1, 2, width, len(rows) * (width - names) / 20.5 + 0.3)
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


def _active_units_by_latent_size(source: Source, width: float = 0.7) -> Drawing:
    """Latent sizes at equal distances, with the variants side by side, as equal counts would hide each other."""
    drawing, [[ax]] = subplots(1, 1, 6.5, 3.4)
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
    add_legend(drawing, [*source.handles(), legend_entry("ceiling", color=GREY, linestyle="-")])
    return drawing


def _iso_elbo_lines(ax: Axes, runs: pd.DataFrame) -> None:
    """Lines of equal D + R around the runs, with the ELBO written on them at the left and the top, where no run is."""
    from matplotlib.ticker import MaxNLocator

    if runs.empty:
        ax.set(xticks=[], yticks=[])
        return
    (left, right), (bottom, top) = widened(runs.rate, 0.22, 0.05), widened(runs.distortion, 0.05, 0.12)
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


def _history(source: Source) -> pd.DataFrame:
    """Of the trained runs, by the number of epochs done; long trainings at equal distances."""
    history = source.tables.history.merge(
        source.trained[["run_id", "variant", "point", "scale", "latent_size"]], on="run_id"
    )
    history = history.assign(epoch=history.epoch + 1)
    return history[history.epoch % math.ceil(source.trained.epochs.max() / MOST_EPOCHS) == 0] if len(history) else history


def _limits_of_curves(rows: pd.DataFrame, shown: pd.DataFrame, quantity: str) -> tuple[float, float]:
    """Of an axis, from the runs of all latent sizes and of the one shown; only active units are bound by a latent size."""
    if quantity in ("active_units", "kl_weight"):
        top = shown.latent_size.max() if quantity == "active_units" else rows.kl_weight.max()
        return -0.05 * top, 1.05 * top
    later = rows[rows.epoch > 0.1 * rows.epoch.max()]
    return widened(later.groupby(["variant", "point", "epoch"])[quantity].mean(), 0.05, 0.05)


def _picture_rows(source: Source, point: int) -> dict[str, tuple[np.ndarray | None, np.ndarray | None]]:
    """Row label -> pictures [n, D] on the left and on the right; originals stand above the variants that share them."""
    runs = source.runs[source.runs.point == point]
    rows, last = {}, None
    for variant, group in runs.groupby("variant", sort=False):
        trained = group[group.status == "trained"]
        if trained.empty:
            rows[f"{variant}{count_diverged(group.status)}"] = (None, None)
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
