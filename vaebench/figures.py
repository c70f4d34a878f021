"""Figures: pictures of an experiment's tables, for the report and for papers.

A figure is registered once, with its title and its caption; the workflow, the report and the tests read them from here.
Not every figure applies to every experiment: files are drawn for each of `FIGURES.applicable(source)`, and for no other.
Figures compute no science: they show the numbers of the tables, and reduce over seeds at most. A variant has the same
colour, marker and dash everywhere, so that it also reads without colour. Runs whose log-likelihoods are in different units
share no axis for them. Diverged runs have no numbers to show; legends and row labels count them.

matplotlib, seaborn and the tables are imported where they are used, so that captions can be read without.
"""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.anomaly_figures import ANOMALY_FIGURES
from vaebench.curves import CURVES
from vaebench.denoising_figures import DENOISING_FIGURES
from vaebench.files import write_bytes
from vaebench.generation_figures import GENERATION_FIGURES
from vaebench.label_figures import LABEL_FIGURES
from vaebench.latent_figures import LATENT_FIGURES
from vaebench.latent_pictures import LATENT_PICTURES
from vaebench.metrics import Metric
from vaebench.panels import dot_plot, row_panels, widened
from vaebench.plotting import (
    DOUBLE,
    GREY,
    HEADLINE,
    SINGLE,
    Figures,
    Source,
    add_legend,
    fitting_width,
    legend_entry,
    styled,
    subplots,
    wrapped,
)
from vaebench.specification import Experiment
from vaebench.store import Results
from vaebench.task_figures import TASK_FIGURES
from vaebench.tasks import ALL_METRICS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


FORMATS = ("png", "svg", "pdf")
# Keeps dates out of files: the same tables give the same bytes.
METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
# Of a png, chosen for each: all that the eye tells apart, in a third of the bytes.
PNG_COLOURS = 256


FIGURES = Figures()


def draw_all(experiment: Experiment, results: Results) -> None:
    """Draw every figure that applies from the experiment's tables, in every format. The same tables give the same bytes."""
    from vaebench import tables

    folder = results.experiment(experiment.name)
    source = Source(experiment, folder, tables.load_current(experiment, folder))
    drawn = set()
    with styled():
        for name in FIGURES.applicable(source):
            figure = FIGURES[name]
            drawn |= _save(figure.draw(figure.of(source)), [folder.figure(name, suffix) for suffix in FORMATS])
        for variant, name in itertools.product(source.shown_variants, FIGURES.applicable(source, per_variant=True)):
            figure = FIGURES[name]
            drawn |= _save(figure.draw(figure.of(source), variant), [folder.variant_figure(variant, name, figure.suffix)])
    # Where the folder is a link to another, what else lies there is no one's to delete.
    for path in () if folder.figures.is_symlink() else folder.figures.rglob("*.*"):
        if path.suffix[1:] in FORMATS and path not in drawn:
            path.unlink()


def _save(drawing: Drawing, paths: list[Path]) -> set[Path]:
    # Laid out once; otherwise every format would do it again.
    drawing.get_layout_engine().execute(drawing)
    drawing.set_layout_engine(None)
    for path in paths:
        write_bytes(path, _pixels(drawing) if path.suffix == ".png" else _rendered(drawing, path.suffix[1:]))
    return set(paths)


def _rendered(drawing: Drawing, suffix: str) -> bytes:
    content = io.BytesIO()
    drawing.savefig(content, format=suffix, metadata=METADATA.get(suffix))
    return content.getvalue()


def _pixels(drawing: Drawing) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    with Image.open(io.BytesIO(_rendered(drawing, "png"))) as image:
        image.convert("RGB").quantize(PNG_COLOURS).save(content, "PNG", dpi=image.info["dpi"])
    return content.getvalue()


@FIGURES.register(
    title="Headline metric by variant",
    caption=(
        "The metric that the experiment asks for, on the scored images. Small points are training seeds, large markers "
        "their means, bars 95 % intervals over seeds (for three seeds or more). Panels, if there are several, differ in "
        "unit or data and cannot be compared with each other."
    ),
    applies=lambda source: FIGURES.answering(source) == HEADLINE,
    left_out=True,
)
def headline(source: Source) -> Drawing:
    return _by_variant(source, ALL_METRICS[source.experiment.headline])


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
    return _by_variant(source, ALL_METRICS["elbo"])


def _by_variant(source: Source, metric: Metric) -> Drawing:
    """A dot plot of a metric, with a panel for each unit of log-likelihoods where it is in that unit."""
    runs = source.row_runs
    scales = dict(list(runs.groupby("scale", sort=False))) if metric.per_likelihood else {"": runs}
    unit = f" [{metric.unit}]" if metric.unit else ""
    better = f", {metric.better} is better" if metric.better else ""
    xlabel = f"{source.experiment.evaluation.split} {metric.label}{unit}{better}"
    drawing, axes = row_panels(source, [(scale, xlabel, shown) for scale, shown in scales.items()])
    for ax, shown in zip(axes, scales.values(), strict=True):
        dot_plot(ax, source, shown, metric.name)
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
    xlabel = "bits per dimension, lower is better"
    drawing, axes = row_panels(source, [(title, xlabel, runs) for title, _, runs in panels])
    for ax, (_, metric, runs) in zip(axes, panels, strict=True):
        dot_plot(ax, source, runs, metric)
    return drawing


@FIGURES.register(
    title="Rate–distortion plane",
    caption=(
        "Distortion D of the scored images against their rate R, both in nats per image: small points are training seeds, "
        "markers their means, larger for a larger latent size, crosses 95 % intervals over seeds (for three or more). "
        "Along a grey line the ELBO −(D + R), written on it, is the same: it is better towards the lower left, and moving "
        "down along a line buys reconstruction with rate. Panels differ in unit or data and cannot be compared."
    ),
    shows=("rate", "distortion"),
)
def rate_distortion(source: Source) -> Drawing:
    scales, latent_sizes = source.runs.scale.unique(), sorted(source.runs.latent_size.unique())
    sizes = dict(zip(latent_sizes, np.linspace(3, 6.5, len(latent_sizes) + 1)[1:], strict=True))
    handles = source.handles(linestyle="none")
    if len(latent_sizes) > 1:
        look = {"marker": "o", "color": GREY}
        handles += [legend_entry(f"latent size {size}", markersize=sizes[size], **look) for size in latent_sizes]
    single = fitting_width((handle.get_label() for handle in handles), SINGLE - 0.6)
    n_columns = min(3, len(scales))
    n_rows, width = math.ceil(len(scales) / n_columns), single if n_columns == 1 else DOUBLE
    drawing, axes = subplots(n_rows, n_columns, width, 2.7 * n_rows)
    for ax in axes.flat[len(scales) :]:
        ax.remove()
    for ax, scale in zip(axes.flat, scales, strict=False):
        runs = source.trained[source.trained.scale == scale]
        for (variant, _), group in runs.groupby(["variant", "point"], sort=False):
            _mean_and_seeds(ax, group, source.looks[variant], sizes[group.latent_size.iloc[0]])
        _iso_elbo_lines(ax, runs)
        ax.set_title(wrapped(scale, 0.75 * width / n_columns))
        ax.set(xlabel="rate R [nats per image]", ylabel="distortion D [nats per image]")
    add_legend(drawing, handles)
    return drawing


def _mean_and_seeds(ax: Axes, runs: pd.DataFrame, look: dict[str, Any], size: float) -> None:
    """Of a variant and grid point, in the rate–distortion plane: seeds, their mean and its intervals."""
    first, color = runs.iloc[0], look["color"]
    ax.plot(runs.rate, runs.distortion, "o", color=color, markersize=2.2, alpha=0.4, markeredgewidth=0, zorder=3)
    ax.plot([first.rate_low, first.rate_high], [first.distortion_mean] * 2, color=color, linewidth=0.8, zorder=4)
    ax.plot([first.rate_mean] * 2, [first.distortion_low, first.distortion_high], color=color, linewidth=0.8, zorder=4)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.4}
    ax.plot(first.rate_mean, first.distortion_mean, look["marker"], color=color, markersize=size, **edge, zorder=5)


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
    rates, distortions = (runs[[name, f"{name}_low", f"{name}_high"]].stack() for name in ("rate", "distortion"))
    (left, right), (bottom, top) = widened(rates, 0.22, 0.05), widened(distortions, 0.05, 0.12)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_xticks([tick for tick in ax.get_xticks() if max(0, left) <= tick <= right])
    # As many lines as have room for their labels, side by side along the top and one above the other on the left.
    width, height = right - left, top - bottom
    n_levels = int((width + height) / max(0.2 * width, 0.14 * height))
    levels = MaxNLocator(n_levels).tick_values(-right - top, -left - bottom)
    step, runs_elbo = levels[1] - levels[0], -(runs.rate + runs.distortion)
    for level in levels[(levels > runs_elbo.min() - 2 * step) & (levels < runs_elbo.max() + 2 * step)]:
        ax.axline((left, -level - left), slope=-1, color="0.8", linewidth=0.7, zorder=1)
        x = max(left + 0.01 * width, -level - top + 0.035 * height)
        if x < right - 0.1 * width and -level - x > bottom + 0.03 * height:
            text = f"{level:g}".replace("-", "−")
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            ax.text(x, -level - x, text, fontsize=7, color=GREY, va="center", bbox=box, zorder=2)


FIGURES_OF_TASKS = (TASK_FIGURES, GENERATION_FIGURES, DENOISING_FIGURES, ANOMALY_FIGURES, LABEL_FIGURES)
for figures in (TASK_FIGURES, CURVES, LATENT_FIGURES, LATENT_PICTURES, *FIGURES_OF_TASKS[1:]):
    for figure in figures.values():
        FIGURES.add(figure)
