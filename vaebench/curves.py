"""Figures over epochs: the training curves of all variants, and the course of one of them.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vaebench.panels import bands, spectrum_panel, whole_numbers, widened
from vaebench.plotting import (
    DASHES,
    DOUBLE,
    GREY,
    MARKERS,
    PAGE_HEIGHT,
    Figures,
    Source,
    add_legend,
    legend_entry,
    say_what_is_left_out,
    subplots,
    wrapped,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

CURVES = Figures()
# Inches that a row of panels needs.
ROW_HEIGHT = 1.5
# KL weights up to this can be told apart beside the usual 1 on a linear axis.
LINEAR_WEIGHTS = 5
# Where the moment of collapse is marked, and how.
COLLAPSING = ("validation_rate", "active_units")
RING = {"marker": "o", "markersize": 7, "markerfacecolor": "none"}
LOST = {"color": GREY, "linestyle": "-", "linewidth": 0.6}


class Panel(NamedTuple):
    """A quantity over epochs, of the rows of a history that can share its axis."""

    title: str
    quantity: str
    rows: pd.DataFrame


def collapse_epoch(active: pd.Series) -> int | None:
    """The last epoch before the number of active units stays below half of its peak; None where it does not end there, or
    where less than one unit was ever active.

    active: the mean number over runs, by epoch in ascending order.
    """
    if active.max() < 1:
        return None
    last = active.index[active >= active.max() / 2][-1]
    return None if last == active.index[-1] else last


@CURVES.register(
    title="Training curves",
    caption=(
        "ELBO, rate and distortion of the validation images, active units, and the KL weight trained with, by epochs done: "
        "lines are means over seeds, bands reach from the smallest to the largest seed. A ring marks the moment of "
        "collapse, the last epoch before a variant's mean number of active units stays below half of its peak. Axes leave "
        "out what is extreme in the first half of training; panels of different unit or data cannot be compared."
    ),
    applies=lambda source: not source.trained.empty,
)
def training_curves(source: Source) -> Drawing:
    points = source.chosen_points(3)
    panels = _panels(source.history[source.history.status == "trained"])
    n_columns = len(points) if len(points) > 1 else 2
    drawing, axes = _page(len(panels) * len(points), n_columns, sharex=True)
    n_rings = 0
    for index, (ax, (panel, point)) in enumerate(zip(axes, itertools.product(panels, points), strict=True)):
        n_rings += _curves(ax, source.looks, panel, panel.rows[panel.rows.point == point])
        if len(points) == 1:
            ax.set_title(wrapped(panel.title, 0.8 * DOUBLE / n_columns))
        else:
            above = [wrapped(source.describe(point, "\n"), 0.8 * DOUBLE / n_columns)] if index < n_columns else []
            ax.set_title("\n".join([*above, panel.title if index % n_columns == 0 else ""]))
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, [*source.handles(), *([legend_entry("moment of collapse", color=GREY, **RING)] if n_rings else [])])
    return drawing


@CURVES.register(
    title="Course of training",
    caption=(
        "One variant over the epochs done, and the KL of its latent dimensions at the end: lines are means over seeds, "
        "bands reach from the smallest to the largest seed; runs that diverged are thin grey lines as far as they came. A "
        "ring marks the last epoch before the mean number of active units stays below half of its peak. Axes leave out "
        "what is extreme in the first half of training."
    ),
    per_variant=True,
)
def course(source: Source, variant: str) -> Drawing:
    points = source.chosen_points(4)
    history, spectrum = (
        table[(table.variant == variant) & table.point.isin(points)] for table in (source.history, source.spectrum)
    )
    lost = history[history.status == "diverged"]
    looks, panels = _looks_of_points(source.looks[variant], points), _panels(history)
    drawing, axes = _page(len(panels) + 1, 3)
    n_rings = 0
    for ax, panel in zip(axes, panels, strict=False):
        n_rings += _curves(ax, looks, panel, panel.rows[panel.rows.status == "trained"], by="point")
        for _, run in panel.rows[panel.rows.status == "diverged"].groupby("run_id"):
            ax.plot(run.epoch, run[panel.quantity], **LOST)
        ax.set_title(wrapped(panel.title, 0.8 * DOUBLE / 3))
    spectrum_panel(axes[-1], looks, spectrum, by="point")
    axes[-1].set_title("KL by latent dimension [nats]")
    say_what_is_left_out(drawing, source, points)
    handles = [legend_entry(source.describe(point), **look) for point, look in looks.items()]
    handles += [legend_entry("moment of collapse", color=GREY, **RING)] if n_rings else []
    add_legend(drawing, handles + ([legend_entry("diverged", **LOST)] if len(lost) else []))
    return drawing


def _panels(history: pd.DataFrame) -> list[Panel]:
    """ELBO, rate, distortion, active units and KL weight; what is in a unit of log-likelihoods once for each of them."""
    scales = list(history.groupby("scale", sort=False))

    def per_scale(name: str) -> list[Panel]:
        title, quantity = f"validation {name} [nats]", f"validation_{name.lower()}"
        titles = [f"{title}, {scale}" if len(scales) > 1 else title for scale, _ in scales]
        return [Panel(title, quantity, rows) for title, (_, rows) in zip(titles, scales, strict=True)]

    return [
        *per_scale("ELBO"),
        Panel("validation rate [nats]", "validation_rate", history),
        *per_scale("distortion"),
        Panel("active units", "active_units", history),
        Panel("KL weight", "kl_weight", history),
    ]


def _page(n_panels: int, n_columns: int, **options: Any) -> tuple[Drawing, list[Axes]]:
    """So many panels over epochs, row by row."""
    n_rows = math.ceil(n_panels / n_columns)
    drawing, axes = subplots(n_rows, n_columns, DOUBLE, n_rows * min(ROW_HEIGHT, PAGE_HEIGHT / n_rows), **options)
    for ax in axes.flat[n_panels:]:
        ax.remove()
    shown = list(axes.flat[:n_panels])
    for ax in shown:
        whole_numbers(ax.xaxis)
    for ax in shown[-n_columns:]:
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    return drawing, shown


def _curves(ax: Axes, looks: Mapping[Any, dict], panel: Panel, rows: pd.DataFrame, by: str = "variant") -> int:
    """The panel's quantity of these of its rows; gives the number of collapses that are marked."""
    bands(ax, looks, rows, "epoch", panel.quantity, by)
    if rows.empty:
        return 0
    if panel.quantity == "active_units":
        top = rows.latent_size.max()
        ax.set_ylim(-0.05 * top, 1.08 * top)
        whole_numbers(ax.yaxis)
    elif panel.quantity == "kl_weight":
        _fit_weights(ax, panel.rows.kl_weight.max())
    else:
        _fit(ax, panel)
    return _mark_collapse(ax, looks, rows, panel.quantity, by) if panel.quantity in COLLAPSING else 0


def _fit(ax: Axes, panel: Panel) -> None:
    """The same y axis for all grid points: all of the second half of training, but only what is usual of the first."""
    import pandas as pd

    trained = panel.rows[panel.rows.status == "trained"]
    means = trained.groupby(["epoch", "variant", "point"])[panel.quantity].mean()
    later = means[means.index.get_level_values("epoch") > trained.epoch.max() / 2]
    ax.set_ylim(widened(pd.concat([later, means.quantile([0.1, 0.9])]), 0.1, 0.1))


def _fit_weights(ax: Axes, top: float) -> None:
    """A linear axis for KL weights from 0; where they are large, a logarithmic one from 1 on."""
    ax.set_ylim(-0.05 * top, 1.08 * top)
    if top > LINEAR_WEIGHTS:
        ticks = [0, *(10**power for power in range(math.floor(math.log10(top)) + 1))]
        ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(-0.1, 1.3 * top)
        ax.set_yticks(ticks, ticks)
        ax.minorticks_off()


def _mark_collapse(ax: Axes, looks: Mapping[Any, dict], rows: pd.DataFrame, quantity: str, by: str) -> int:
    """A ring on each mean curve at its moment of collapse, if it has one; gives their number."""
    active, means = (rows.groupby([by, "epoch"])[name].mean() for name in ("active_units", quantity))
    epochs = {name: collapse_epoch(active[name]) for name in active.index.unique(0)}
    marked = {name: epoch for name, epoch in epochs.items() if epoch is not None}
    for name, epoch in marked.items():
        ax.plot(epoch, means[name, epoch], color=looks[name]["color"], **RING)
    return len(marked)


def _looks_of_points(look: dict[str, Any], points: list[int]) -> dict[int, dict[str, Any]]:
    """Of a variant's grid points: from a light shade of its colour to a dark one."""
    if len(points) == 1:
        return {points[0]: look}
    looks = {}
    for point, share, marker, dash in zip(points, np.linspace(-0.5, 0.5, len(points)), MARKERS, DASHES, strict=False):
        white = max(0, -share)
        color = tuple(white + (1 - abs(share)) * part for part in look["color"])
        looks[point] = {"color": color, "marker": marker, "linestyle": dash}
    return looks
