"""Figures of the latent code: which dimensions are used, how much they say, and how close a linear VAE is to its optimum.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from vaebench.latent_dimensions import ACTIVE_VARIANCE, COLLAPSE_DELTA, COLLAPSE_EPSILON
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import METRICS
from vaebench.panels import bands, dot_plot, label_rows, row_panels, spectrum_panel, whole_numbers
from vaebench.plotting import (
    DOUBLE,
    GREY,
    SINGLE,
    Figures,
    Source,
    add_legend,
    fitting_width,
    legend_entry,
    say_what_is_left_out,
    subplots,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

LATENT_FIGURES = Figures()
# Markers that have room beside each other in a single column.
MOST_IN_A_COLUMN = 20
# Where the two curves of collapse are drawn, so many points a decade; both hold the thresholds of the metrics exactly.
STEPS = 20
EPSILONS = 10.0 ** (np.arange(-4 * STEPS, STEPS + 1) / STEPS)
VARIANCES = 10.0 ** (np.arange(-4 * STEPS, 1) / STEPS)
# What the rate is made of, and how it is shaded: greys, as colours are for variants.
PARTS = {"mutual_information": "0.3", "total_correlation": "0.58", "dimension_kl": "0.82"}


@LATENT_FIGURES.register(
    title="KL by latent dimension",
    caption=(
        "KL(q(z|x) ‖ p(z)) of each latent dimension on the scored images, in nats, largest first, on a logarithmic scale: "
        "lines are means over seeds, bands reach from the smallest to the largest seed. Where a line drops to hundredths "
        "or below, the dimensions are collapsed and say nothing about the image; what is below 0.0001 lies on the lower "
        "edge."
    ),
)
def kl_spectrum(source: Source) -> Drawing:
    points, handles = source.chosen_points(4), source.handles()
    width = _width(points, handles)
    drawing, axes = subplots(1, len(points), width, 2.5, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        spectrum_panel(ax, source.looks, source.spectrum[source.spectrum.point == point])
        ax.set_title(wrapped(source.describe(point, "\n"), 0.8 * width / len(points)))
    axes[0, 0].set_ylabel("KL [nats]")
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, handles)
    return drawing


@LATENT_FIGURES.register(
    title="Active units",
    caption=(
        "Active units: latent dimensions whose posterior mean has a variance above 0.01 over the scored images. Small "
        "points are training seeds, large markers their means; coloured bars, if any, are 95 % intervals over seeds. A "
        "grey bar is the ceiling, where every latent dimension is active."
    ),
    shows=("active_units",),
)
def active_units(source: Source) -> Drawing:
    if source.experiment.grid_keys == ("latent_size",) and len(source.points) > 1:
        return _active_units_by_latent_size(source)
    drawing, [ax] = row_panels(source, [("", "active units", source.row_runs)])
    dot_plot(ax, source, source.row_runs, "active_units")
    ceilings = source.row_runs.groupby(["variant", "point"], sort=False).latent_size.first()
    rows = np.arange(len(ceilings))
    ax.vlines(ceilings, rows - 0.4, rows + 0.4, color=GREY)
    ax.set(xlim=(-0.03 * ceilings.max(), 1.05 * ceilings.max()))
    whole_numbers(ax.xaxis)
    return drawing


@LATENT_FIGURES.register(
    title="Collapse by threshold",
    caption=(
        "Above, the share of the latent dimensions that are (ε, δ)-collapsed, their KL below ε nats for "
        f"{100 - 100 * COLLAPSE_DELTA:g} % of the images; below, the number of those whose posterior mean has a variance "
        "above a threshold over the images, the active units. Lines are means over seeds, bands reach from the smallest to "
        "the largest seed, grey lines mark the thresholds of the tables. Where a curve is flat around its grey "
        "line, the count does not depend on the threshold."
    ),
)
def collapse_curves(source: Source) -> Drawing:
    points = source.chosen_points(4)
    handles = [*source.handles(), legend_entry("threshold of the metric", color=GREY, linestyle="-")]
    width = _width(points, handles)
    drawing, axes = subplots(2, len(points), width, 3.8, sharex="row")
    for [above, below], point in zip(axes.T, points, strict=True):
        shown = source.spectrum[source.spectrum.point == point]
        bands(above, source.looks, _by_threshold(shown, "collapse_epsilon", EPSILONS), "threshold", "share_below")
        bands(below, source.looks, _by_threshold(shown, "mean_variance", VARIANCES), "threshold", "n_above")
        above.axvline(COLLAPSE_EPSILON, color=GREY, linewidth=0.8, zorder=1)
        below.axvline(ACTIVE_VARIANCE, color=GREY, linewidth=0.8, zorder=1)
        above.set_title(wrapped(source.describe(point, "\n"), 0.8 * width / len(points)))
        above.set(xlabel="ε [nats]", ylim=(-0.04, 1.04), xscale="log")
        top = max(shown["rank"], default=1)
        below.set(xlabel="variance of the posterior mean", ylim=(-0.04 * top, 1.04 * top), xscale="log")
        whole_numbers(below.yaxis)
    for ax in axes.flat:
        # Every second decade, as plain numbers.
        ax.set_xticks([1e-4, 1e-2, 1], ["0.0001", "0.01", "1"])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("share of dimensions\ncollapsed")
    axes[1, 0].set_ylabel("active units")
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, handles)
    return drawing


@LATENT_FIGURES.register(
    title="What the rate is made of",
    caption=(
        "The rate, split into what the code says about the image (mutual information), what its dimensions say about each "
        "other (total correlation) and how far each of them lies from the prior (dimension-wise KL): means over seeds. The "
        "mutual information is estimated from the N scored images and cannot exceed ln N; a dark bar that comes near this "
        "line shows only that there is as much, or more. Noise can take a small part below 0; it is drawn as 0."
    ),
    shows=("mutual_information", "total_correlation", "dimension_kl"),
)
def information(source: Source) -> Drawing:
    drawing, [ax] = row_panels(source, [("", "rate [nats per image]", source.row_runs)])
    groups = [group for _, group in label_rows(ax, source, source.row_runs)]
    left = np.zeros(len(groups))
    for name, shade in PARTS.items():
        widths = np.nan_to_num([group[f"{name}_mean"].iloc[0] for group in groups]).clip(min=0)
        ax.barh(range(len(groups)), widths, 0.6, left, color=shade)
        left += widths
    n_images = source.experiment.dataset.sizes[source.experiment.evaluation.split]
    ceiling = {"color": "black", "linestyle": "--", "linewidth": 0.8}
    ax.axvline(math.log(n_images), **ceiling)
    ax.set(xlim=(0, 1.05 * max(math.log(n_images), *left)))
    parts = [legend_entry(METRICS[name].label, marker="s", color=shade) for name, shade in PARTS.items()]
    add_legend(drawing, [*parts, legend_entry(f"ceiling of the mutual information, ln {n_images}", **ceiling)])
    return drawing


@LATENT_FIGURES.register(
    title="Linear VAEs against their optimum",
    caption=(
        "KL and posterior variance of each latent dimension of each run of a linear VAE, as measured on the scored "
        "images, against what they are at the exact optimum for the training images; dimensions are matched in the order "
        "of their KL. On the grey line both are equal; below it on the left, a dimension says less than it should. "
        f"Hollow: its eigenvalue lies within {100 * BOUNDARY:g} % of βσ², where the optimum all but leaves open whether it "
        "is active."
    ),
    applies=lambda source: source.tables.runs.optimal_elbo.notna().any(),
)
def linear_optimum(source: Source) -> Drawing:
    spectrum = source.spectrum[source.spectrum.optimal_kl.notna()]
    drawing, [[left, right]] = subplots(1, 2, DOUBLE, 3.3)
    _against_optimum(left, source, spectrum, "kl")
    left.set(xlabel="KL at the optimum [nats]", ylabel="KL measured [nats]")
    _against_optimum(right, source, spectrum, "posterior_variance")
    right.set(xlabel="posterior variance at the optimum", ylabel="posterior variance measured")
    # Only of the variants that have an optimum.
    handles = zip(source.looks, source.handles(linestyle="none"), strict=True)
    shown = [handle for variant, handle in handles if variant in set(spectrum.variant)]
    hollow = legend_entry(f"within {100 * BOUNDARY:g} % of βσ²", marker="o", color=GREY, markerfacecolor="none")
    add_legend(drawing, [*shown, hollow, legend_entry("equal", color=GREY, linestyle="-", linewidth=0.8)])
    return drawing


def _width(points: list[int], handles: list[Artist]) -> float:
    """Of panels side by side: a single column's for a single one, if the legend fits into it."""
    return fitting_width((handle.get_label() for handle in handles), SINGLE - 0.6) if len(points) == 1 else DOUBLE


def _active_units_by_latent_size(source: Source, width: float = 0.7) -> Drawing:
    """Latent sizes at equal distances, with the variants side by side, as equal counts would hide each other."""
    latent_sizes = sorted(source.runs.latent_size.unique())
    handles = [*source.handles(), legend_entry("ceiling", color=GREY, linestyle="-")]
    is_narrow = len(latent_sizes) * len(source.looks) <= MOST_IN_A_COLUMN
    drawing, [[ax]] = subplots(1, 1, _width([0], handles) if is_narrow else DOUBLE, 2.8)
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
    add_legend(drawing, handles)
    return drawing


def _by_threshold(spectrum: pd.DataFrame, column: str, thresholds: np.ndarray) -> pd.DataFrame:
    """By run and threshold, the share of its dimensions with a value below the threshold, and the number of those above."""
    import pandas as pd

    rows = []
    for (variant, _), values in spectrum.groupby(["variant", "run_id"], sort=False)[column]:
        values = np.sort(values)
        share_below = np.searchsorted(values, thresholds, "left") / len(values)
        n_above = len(values) - np.searchsorted(values, thresholds, "right")
        rows += zip(itertools.repeat(variant), thresholds, share_below, n_above, strict=False)
    return pd.DataFrame(rows, columns=["variant", "threshold", "share_below", "n_above"])


def _against_optimum(ax: Axes, source: Source, spectrum: pd.DataFrame, column: str) -> None:
    """A point for each dimension of each run, hollow where the optimum leaves open whether it is active."""
    is_open = (spectrum.eigenvalue_ratio - 1).abs() < BOUNDARY
    for (variant, hollow), group in spectrum.groupby(["variant", is_open], sort=False):
        color, marker = source.looks[variant]["color"], source.looks[variant]["marker"]
        look = {"facecolor": "none" if hollow else color, "edgecolor": color, "marker": marker, "alpha": 0.8}
        ax.scatter(group[f"optimal_{column}"], group[column], 14, **look, zorder=3 if hollow else 2)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    limits = min(left, bottom), max(right, top)
    ax.plot(limits, limits, color=GREY, linewidth=0.8, zorder=0)
    ax.set(xlim=limits, ylim=limits)
