"""Panels that several figures draw: a row for each variant and grid point, bands over seeds; and what their axes need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vaebench.plotting import (
    GREY,
    LETTER,
    SINGLE,
    Source,
    count_diverged,
    fitting_width,
    say_what_is_left_out,
    subplots,
    word,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing

KL_FLOOR = 1e-4


def row_panels(source: Source, panels: list[tuple[str, str, pd.DataFrame]]) -> tuple[Drawing, np.ndarray]:
    """A panel for each title, label of its x axis and table of runs, one below the other, with room for `label_rows`."""
    n_rows = [runs.groupby(["variant", "point"]).ngroups for *_, runs in panels]
    beside = _beside_rows(source)
    width = fitting_width([beside], SINGLE / 2)
    drawing, axes = subplots(len(panels), 1, width, 0.7 * len(panels) + 0.17 * sum(n_rows), height_ratios=n_rows)
    room = width - LETTER * len(beside)
    for ax, (title, xlabel, _) in zip(axes.flat, panels, strict=True):
        ax.set(title=wrapped(title, room), xlabel=wrapped(xlabel, room))
        # A label such as −25.25 needs half an inch.
        ax.locator_params(axis="x", nbins=max(2, int(room / 0.5)))
    say_what_is_left_out(drawing, source, source.row_points)
    return drawing, axes.flat


def _beside_rows(source: Source) -> str:
    """All that stands on the left and the right of rows, at its longest."""
    longest = {"key": len, "default": ""}
    points = (_values(source, point) for point in source.row_points)
    counts = (count_diverged(runs.status) for _, runs in source.row_runs.groupby(["variant", "point"]))
    return f"{max(source.looks, **longest)}   {max(points, **longest)}{max(counts, **longest)}"


def _values(source: Source, point: int) -> str:
    return ", ".join(map(word, source.points[point].values()))


def label_rows(ax: Axes, source: Source, runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Lay out a row for each variant and grid point, from 0 at the top down; gives the variant and the runs of each."""
    rows, labels = [], []
    for index, (variant, of_variant) in enumerate(runs.groupby("variant", sort=False)):
        start = len(rows)
        for y, (point, group) in enumerate(of_variant.groupby("point"), start):
            if diverged := count_diverged(group.status):
                ax.annotate(diverged, (1, y), xycoords=("axes fraction", "data"), va="center", fontsize=7)
            labels.append(f"{variant if y == start else ''}   {_values(source, point)}".rstrip())
            rows.append((variant, group))
        ax.axhspan(start - 0.5, len(rows) - 0.5, color="0.95" if index % 2 else "white", linewidth=0, zorder=0)
    ax.set_yticks(range(len(rows)), labels)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    header = "   ".join(["variant", ", ".join(map(word, source.experiment.grid_keys))]).rstrip()
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "fontsize": 7, "color": GREY}
    ax.annotate(header, (0, 1), (-5, 6), **place)
    return rows


def dot_plot(ax: Axes, source: Source, runs: pd.DataFrame, metric: str) -> None:
    """In the row of each variant and grid point the seeds, and below them their mean and its interval."""
    for y, (variant, group) in enumerate(label_rows(ax, source, runs)):
        color, marker = source.looks[variant]["color"], source.looks[variant]["marker"]
        mean, low, high = group[[f"{metric}_mean", f"{metric}_low", f"{metric}_high"]].iloc[0]
        ax.plot(group[metric], [y - 0.18] * len(group), "o", color=color, markersize=2.5, alpha=0.5, markeredgewidth=0)
        ax.plot([low, high], [y + 0.15] * 2, color=color)
        ax.plot(mean, y + 0.15, marker, color=color)
    if runs[metric].isna().all():
        ax.set_xticks([])


def bands(
    ax: Axes,
    looks: Mapping[Any, dict[str, Any]],
    rows: pd.DataFrame,
    x: str,
    y: str,
    by: str = "variant",
    n_marked: int = 6,
    floor: float | None = None,
) -> None:
    """Against x, the mean over its runs and a band from smallest to largest for each of `by`, in its look; markers on about
    so many points."""
    over_seeds = rows.groupby([by, x])[y].agg(["mean", "min", "max"]).clip(lower=floor)
    alpha = min(0.15, 1 / len(looks))
    for index, (name, look) in enumerate(looks.items()):
        if name in over_seeds.index:
            of_name = over_seeds.loc[name]
            if (of_name["min"] < of_name["max"]).any():
                shade = {"color": look["color"], "alpha": alpha, "linewidth": 0}
                ax.fill_between(of_name.index, of_name["min"], of_name["max"], **shade)
            every = max(1, len(of_name) // n_marked)
            # Staggered, so that markers of equal lines do not hide each other.
            start = index * every // len(looks)
            ax.plot(of_name.index, of_name["mean"], **look, markevery=(start, every))


def spectrum_panel(ax: Axes, looks: Mapping[Any, dict[str, Any]], spectrum: pd.DataFrame, by: str = "variant") -> None:
    """The KL of each latent dimension, the largest first, on a logarithmic scale."""
    bands(ax, looks, spectrum, "rank", "kl", by, n_marked=12, floor=KL_FLOOR)
    ax.set(xlabel="latent dimension", yscale="log")
    ax.set(ylim=(0.8 * KL_FLOOR, None), xlim=(0.4, 1.02 * spectrum["rank"].max() + 0.4) if len(spectrum) else None)
    whole_numbers(ax.xaxis)
    # Plain numbers, and no minor ticks, are drawn several times faster.
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()


def whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def widened(values: pd.Series, below: float, above: float) -> tuple[float, float]:
    """The values' range, widened by shares of itself; equal values have a range of one."""
    low, high = values.min(), values.max()
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    return low - below * (high - low), high + above * (high - low)
