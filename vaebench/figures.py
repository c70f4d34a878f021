"""Figures: pictures of an experiment's tables, for the report and for papers.

A figure is registered once, with its title and its caption; the workflow, the report and the tests read them from here.
Not every figure applies to every experiment: files are drawn for each of `FIGURES.applicable(source)`, and for no other.
Figures compute no science: they show the numbers of the tables, and reduce over seeds at most. A variant has the same
colour, marker and dash everywhere, so that it also reads without colour. Runs whose log-likelihoods are in different units
share no axis for them. Diverged runs have no numbers to show; legends and row labels count them.

matplotlib, seaborn and the tables are imported where they are used, so that captions can be read without.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaebench.latent_figures import LATENT_FIGURES
from vaebench.latent_pictures import LATENT_PICTURES
from vaebench.metrics import METRICS, Metric
from vaebench.plotting import (
    GREY,
    HEADLINE,
    Figures,
    Source,
    add_legend,
    bands,
    dot_plot,
    legend_entry,
    row_panels,
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
# More epochs than this cannot be told apart in a panel.
MOST_EPOCHS = 250


FIGURES = Figures()


def draw_all(experiment: Experiment, results: Results) -> None:
    """Draw every figure that applies from the experiment's tables, in every format. The same tables give the same bytes."""
    from vaebench import tables

    folder = results.experiment(experiment.name)
    source = Source(experiment, folder, tables.load(folder))
    drawn = set()
    with styled():
        for name in FIGURES.applicable(source):
            drawn |= _save(FIGURES[name].draw(source), [folder.figure(name, suffix) for suffix in METADATA])
        for variant, name in itertools.product(source.shown_variants, FIGURES.applicable(source, per_variant=True)):
            figure = FIGURES[name]
            drawn |= _save(figure.draw(source, variant), [folder.variant_figure(variant, name, figure.suffix)])
    for path in folder.figures.rglob("*.*"):
        if path.suffix[1:] in METADATA and path not in drawn:
            path.unlink()


def _save(drawing: Drawing, paths: list[Path]) -> set[Path]:
    # Laid out once; otherwise every format would do it again.
    drawing.get_layout_engine().execute(drawing)
    drawing.set_layout_engine(None)
    for path in paths:
        suffix = path.suffix[1:]
        with replacing(path) as temporary:
            drawing.savefig(temporary, format=suffix, metadata=METADATA[suffix])
    return set(paths)


@FIGURES.register(
    title="Headline metric by variant",
    caption=(
        "The metric that the experiment asks for, on the scored images. Small points are training seeds, large markers "
        "their means, bars 95 % intervals over seeds (for three seeds or more). Panels, if there are several, differ in "
        "unit or data and cannot be compared with each other."
    ),
    applies=lambda source: FIGURES.answering(source) == HEADLINE,
)
def headline(source: Source) -> Drawing:
    return _by_variant(source, METRICS[source.experiment.headline])


@FIGURES.register(
    title="ELBO by variant",
    caption=(
        "ELBO of the scored images in nats per image, at KL weight 1, whatever weight was trained with; further right is "
        "better. Small points are training seeds, large markers their means, bars 95 % intervals over seeds (for three "
        "seeds or more). Panels differ in unit or data and cannot be compared with each other."
    ),
    shows=("elbo",),
)
def elbo(source: Source) -> Drawing:
    return _by_variant(source, METRICS["elbo"])


def _by_variant(source: Source, metric: Metric) -> Drawing:
    """A dot plot of a metric, with a panel for each unit of log-likelihoods where it is in that unit."""
    runs = source.row_runs
    panels = dict(list(runs.groupby("scale", sort=False))) if metric.per_likelihood else {"": runs}
    drawing, axes = row_panels(source, list(panels.values()))
    unit = f" [{metric.unit}]" if metric.unit else ""
    better = f", {metric.better} is better" if metric.better else ""
    for ax, (scale, shown) in zip(axes, panels.items(), strict=True):
        dot_plot(ax, source, shown, metric.name)
        ax.set(title=scale, xlabel=f"{source.experiment.evaluation.split} {metric.label}{unit}{better}")
    return drawing


@FIGURES.register(
    title="Bits per dimension",
    caption=(
        "Rate plus the exact code length of the scored images' grey levels, in bits per pixel, at KL weight 1; further "
        "left is better. Common: one likelihood for all, a discretised Gaussian around the decoder's mean, its σ fitted to "
        "validation images; own: the likelihood trained with, for variants whose likelihood gives grey levels a "
        "probability. Small points are training seeds, large markers their means, bars 95 % intervals over seeds (for "
        "three seeds or more)."
    ),
    applies=lambda source: source.tables.runs.common_bits_per_dim.notna().any(),
    shows=("common_bits_per_dim", "bits_per_dim"),
)
def bits_per_dimension(source: Source) -> Drawing:
    panels = [("Common likelihood", "common_bits_per_dim", _having(source.row_runs, "common_bits_per_dim"))]
    # Grey levels and what was made binary are different data.
    for binarisation, runs in _having(source.row_runs, "bits_per_dim").groupby("binarisation", sort=False):
        data = "" if binarisation == "none" else f", {binarisation} binarisation"
        panels.append((f"Own likelihood{data}", "bits_per_dim", runs))
    drawing, axes = row_panels(source, [runs for *_, runs in panels])
    for ax, (title, metric, runs) in zip(axes, panels, strict=True):
        dot_plot(ax, source, runs, metric)
        ax.set(title=title, xlabel="bits per dimension, lower is better")
    return drawing


@FIGURES.register(
    title="Rate–distortion plane",
    caption=(
        "Distortion D of the scored images against their rate R, both in nats per image; every training seed is a point, "
        "larger for a larger latent size. Along a grey line the ELBO −(D + R), written on it, is the same: it is better "
        "towards the lower left, and moving down along a line buys reconstruction with rate. Panels differ in unit or data "
        "and cannot be compared."
    ),
    shows=("rate", "distortion"),
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


def _having(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The runs without those variants and grid points that trained and have no such number."""
    lacking = (runs.status == "trained") & runs[metric].isna()
    return runs[~lacking.groupby([runs.variant, runs.point]).transform("any")]


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


for later in (LATENT_FIGURES, LATENT_PICTURES):
    for figure in later.values():
        FIGURES.add(figure)
