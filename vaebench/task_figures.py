"""Figures of variants by tasks: the headline of each task with what it is held to, and where the ranks disagree.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vaebench.plotting import (
    DASHES,
    DOUBLE,
    GREY,
    LETTER,
    MOST_ROWS,
    Figures,
    Source,
    add_legend,
    fitting_width,
    in_reach,
    legend_entry,
    subplots,
    word,
    wrapped,
)
from vaebench.tasks import TASKS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from vaebench.metrics import Metric

TASK_FIGURES = Figures()
# More lines cannot be followed.
MOST_LINES = 12
MOST_COLUMNS = 3


@TASK_FIGURES.register(
    title="Ranks by task",
    caption=(
        "A line for each variant and grid point through its places by mean, 1 being the best; larger markers are larger "
        "grid points. Bars are the places that 95 % intervals over seeds leave open: where they overlap, nothing is told "
        "apart. Crossing lines whose bars lie apart are variants that are good for different things."
    ),
    applies=lambda source: bool(source.experiment.tasks) and len(source.trade_offs.ranked) > 1,
    left_out=True,
)
def ranks_by_task(source: Source) -> Drawing:
    from vaebench.wording import at, named, varying

    found = source.trade_offs
    rows, place = found.rows, varying(found.rows, found.keys)
    if chosen := place and len(rows) > MOST_LINES:
        points = rows[place].drop_duplicates()
        rows = rows.merge(points.iloc[[(len(points) - 1) // 2]], on=place)
    rows = rows[rows.variant.isin(source.shown_variants)].reset_index(drop=True)
    names = [row.variant if chosen else named(row, place) for _, row in rows.iterrows()]
    n_columns = len(found.ranked)
    width = fitting_width(names, 2.5) if n_columns <= MOST_COLUMNS else DOUBLE
    drawing, [[ax]] = subplots(1, 1, width, 1.6 + 0.16 * len(rows))
    sizes = 3 + 1.5 * rows.groupby("variant", sort=False).cumcount().to_numpy()
    looks = [source.looks[variant] | {"markersize": size} for variant, size in zip(rows.variant, sizes, strict=True)]
    _draw_ranks(ax, rows, found.ranked, looks)
    ax.set_xticks(range(n_columns), [wrapped(metric.label, (width - 0.6) / n_columns) for metric in found.ranked])
    ax.set(ylabel="rank, 1 is the best", ylim=(len(rows) + 0.5, 0.5), xlim=(-0.5, n_columns - 0.5))
    ax.set_yticks(range(1, len(rows) + 1))
    if chosen:
        drawing.suptitle(f"At {at(rows.iloc[0], place)}")
    add_legend(drawing, [legend_entry(name, **look) for name, look in zip(names, looks, strict=True)])
    return drawing


def _draw_ranks(ax: Axes, rows: pd.DataFrame, metrics: list[Metric], looks: list[dict]) -> None:
    """A column for each metric, in which rows stand beside each other, so that bars do not cover each other."""
    from vaebench.ranking import ranks

    beside = np.linspace(-0.3, 0.3, len(rows))
    y = np.full((len(rows), len(metrics)), np.nan)
    for column, metric in enumerate(metrics):
        means = rows[metric.name].to_numpy(float)
        order = np.argsort(-means if metric.better == "higher" else means, kind="stable")
        known = order[~np.isnan(means[order])]
        y[known, column] = 1 + np.arange(len(known))
        for index, rank in enumerate(ranks(rows, metric)):
            if rank:
                x, color = column + beside[index], looks[index]["color"]
                ax.plot([x, x], [rank.first - 0.25, rank.last + 0.25], color=color, linewidth=3, alpha=0.3, linestyle="-")
    for index, look in enumerate(looks):
        ax.plot(np.arange(len(metrics)) + beside[index], y[index], **look)


@TASK_FIGURES.register(
    title="Variants by tasks",
    caption=(
        "The headline metric of each task. Small points are training seeds, large markers their means, bars 95 % intervals "
        "over seeds (for three seeds or more). Vertical lines are baselines and floors, which no variant changes; those "
        "far from all variants are in the table only."
    ),
    applies=lambda source: bool(_task_metrics(source)),
    shows=tuple(task.headline for task in TASKS.values()),
    left_out=True,
)
def variants_by_tasks(source: Source) -> Drawing:
    found, metrics = source.trade_offs, _task_metrics(source)
    rows = found.rows[:MOST_ROWS]
    labels = _row_labels(source, rows)
    n_columns = min(MOST_COLUMNS, len(metrics))
    n_rows = math.ceil(len(metrics) / n_columns)
    width = DOUBLE if n_columns > 1 else fitting_width(labels, 1.2)
    height = n_rows * (0.8 + 0.17 * len(rows))
    drawing, axes = subplots(n_rows, n_columns, width, height, sharey=True)
    for ax in axes.flat[len(metrics) :]:
        ax.remove()
    room = (width - LETTER * max(map(len, labels))) / n_columns
    lines = dict(zip(found.baselines["method"], DASHES * len(found.baselines), strict=False))
    drawn = set()
    for ax, metric in zip(axes.flat, metrics, strict=False):
        _draw_dots(ax, source, rows, metric)
        values = dict(zip(found.baselines["method"], found.baselines.get(metric.name, []), strict=False))
        near = in_reach(ax, values.values())
        for method, value in values.items():
            if value in near:
                ax.axvline(value, color=GREY, linestyle=lines[method], linewidth=0.9, zorder=1)
                drawn.add(method)
        unit = f"{metric.unit}, " if metric.unit else ""
        ax.set(title=wrapped(metric.label, room), xlabel=wrapped(f"{unit}{metric.better} is better", room))
        ax.locator_params(axis="x", nbins=max(2, int(room / 0.5)))
        ax.tick_params(axis="y", length=0)
    axes.flat[0].set_yticks(range(len(rows)), labels)
    axes.flat[0].set_ylim(len(rows) - 0.5, -0.5)
    handles = [legend_entry(method, color=GREY, linestyle=dash) for method, dash in lines.items() if method in drawn]
    if handles:
        add_legend(drawing, handles)
    return drawing


def _task_metrics(source: Source) -> list[Metric]:
    """The headlines that any row has."""
    from vaebench.trade_offs import EVIDENCE

    if not source.experiment.tasks:
        return []
    found = source.trade_offs
    return [metric for metric in found.metrics if metric not in EVIDENCE and found.rows[metric.name].notna().any()]


def _row_labels(source: Source, rows: pd.DataFrame) -> list[str]:
    """The variant at its first row, what else differs at each, and how many seeds diverged."""
    from vaebench.wording import varying

    place = varying(rows, source.trade_offs.keys)
    labels = []
    for row, is_first in zip(rows.itertuples(index=False), ~rows.variant.duplicated(), strict=True):
        point = ", ".join(word(rows[key].iloc[len(labels)]) for key in place)
        diverged = f"({row.n_diverged} diverged)" if row.n_diverged else ""
        labels.append("   ".join(filter(None, [row.variant if is_first else "", point, diverged])))
    return labels


def _draw_dots(ax: Axes, source: Source, rows: pd.DataFrame, metric: Metric) -> None:
    """In each row the seeds, and below them their mean and its interval."""
    found = source.trade_offs
    seeds = rows[found.keys].reset_index(names="row").merge(found.seeds, on=found.keys)
    starts = np.flatnonzero(~rows.variant.duplicated())
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(rows)], strict=True)):
        ax.axhspan(start - 0.5, end - 0.5, color="0.95" if index % 2 else "white", linewidth=0, zorder=0)
    for y, (_, row) in enumerate(rows.iterrows()):
        look = source.looks[row.variant]
        values = seeds[metric.name][seeds.row == y]
        ax.plot(values, [y - 0.18] * len(values), "o", color=look["color"], markersize=2.5, alpha=0.5, markeredgewidth=0)
        ax.plot([row[f"{metric.name}_low"], row[f"{metric.name}_high"]], [y + 0.15] * 2, color=look["color"])
        ax.plot(row[metric.name], y + 0.15, look["marker"], color=look["color"])
