"""Figures of the task "anomaly": how well images that a run never saw are detected, how scores lie, which stand out.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vaebench.detection import AUROC, UNSEEN_CLASS, by_score
from vaebench.files import read_arrays
from vaebench.picture_panels import Row, rows_side_by_side
from vaebench.plotting import DOUBLE, GREY, LETTER, Figures, Source, add_legend, legend_entry, subplots, word, wrapped
from vaebench.task_scores import CHANCE, MODEL, PCA

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ANOMALY_FIGURES = Figures()
TASK = "anomaly"
# Panels side by side, and rows of them.
MOST_COLUMNS, MOST_PANELS = 3, 12
# Runs whose histograms and images are shown, where there are more variants and classes.
MOST_RUNS = 12
# How each score and method is drawn; none of the colours is a variant's.
LOOKS = {
    ("", MODEL): {"label": "−ELBO", "marker": "o", "color": "black"},
    ("distortion", MODEL): {"label": "distortion", "marker": "v", "color": "#117733"},
    ("rate", MODEL): {"label": "rate", "marker": "^", "color": "#882255"},
    ("NLL", MODEL): {"label": "NLL", "marker": "s", "color": "#44AA99"},
    ("", PCA): {"label": "error of PCA", "marker": "D", "color": GREY, "markerfacecolor": "none"},
}
# Published for MNIST with a digit left out, by latent size: single numbers without intervals.
PUBLISHED = {
    2: dict(zip("0123456789", (0.96, 0.73, 0.97, 0.94, 0.73, 0.92, 0.95, 0.77, 0.92, 0.66), strict=True)),
    32: {"1": 0.09},
}
PUBLISHED_LOOK = {"label": "published", "marker": "x", "color": "#CC6677"}


def _is_asked_for(source: Source) -> bool:
    tasks = source.tables.tasks
    return "task" in tasks and bool(((tasks.task == TASK) & (tasks.score == AUROC)).any())


@ANOMALY_FIGURES.register(
    title="Anomaly detection",
    caption=(
        "AUROC of images that the runs never saw, of the class or the data set beside the row, against the images that "
        "they are scored on: by −ELBO, by its parts and by NLL, and by the squared error of as many principal components. "
        "Markers are means over seeds, bars 95 % intervals (for three seeds or more); right of the dashed line of chance "
        "the unseen images look the less likely, left of it they look the more likely. Crosses, if any, are published, "
        "single numbers without intervals."
    ),
    applies=_is_asked_for,
    shows=("anomaly_auroc", "outlier_auroc"),
    left_out=True,
)
def anomaly_detection(source: Source) -> Drawing:
    panels = _panels(source)
    shown = dict(list(panels.items())[:MOST_PANELS])
    n_columns = min(MOST_COLUMNS, len(shown))
    n_rows = math.ceil(len(shown) / n_columns)
    rows = list(dict.fromkeys(row for table in shown.values() for row in table.row))
    drawing, axes = subplots(n_rows, n_columns, DOUBLE, n_rows * (0.75 + 0.3 * len(rows)), sharex=True, sharey=True)
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    room = (DOUBLE - LETTER * max(map(len, rows))) / n_columns
    for ax, (title, table) in zip(axes.flat, shown.items(), strict=False):
        ax.set_title(wrapped(title, room))
        _detection_panel(ax, rows, table, _published(source, table))
    is_published = any(_published(source, table) for table in shown.values())
    looks = [*LOOKS.values(), *([PUBLISHED_LOOK] if is_published else [])]
    add_legend(drawing, [legend_entry(**look) for look in (*looks, {"label": CHANCE, "color": GREY, "linestyle": "--"})])
    if len(shown) < len(panels):
        drawing.suptitle(f"{len(shown)} of {len(panels)} variants and grid points are shown")
    return drawing


def _panels(source: Source) -> dict[str, pd.DataFrame]:
    """Of each variant, at each point of the grid but for the class left out, its findings; `row`: of what, in words."""
    from vaebench.tables import group_keys
    from vaebench.wording import setting

    keys = group_keys(source.experiment)
    place = [key for key in keys if key != "left_out"]
    # Also where variants, or all runs, leave out a class, which is no part of the grid.
    classes = source.runs[list(dict.fromkeys([*keys, "left_out"]))].drop_duplicates()
    found = classes.merge(source.tables.tasks[source.tables.tasks.task == TASK], on=keys)
    is_class = found.condition == UNSEEN_CLASS
    found = found.assign(row=found.condition.where(~is_class, "left out " + found.left_out.astype(object).fillna("")))
    panels = {}
    for (variant, *others), table in found.groupby(place, sort=False, dropna=False):
        panels[", ".join([variant, *map(setting, place[1:], others)])] = table
    return panels


def _published(source: Source, table: pd.DataFrame) -> dict[str, float]:
    """AUROCs of runs as these, by row."""
    known = PUBLISHED.get(table.latent_size.iloc[0], {}) if source.experiment.dataset.kind == "mnist" else {}
    rows = table.drop_duplicates("row").dropna(subset="left_out")
    return {row.row: known[row.left_out] for row in rows.itertuples() if row.left_out in known}


def _detection_panel(ax: Axes, rows: list[str], table: pd.DataFrame, published: dict[str, float]) -> None:
    """A row for each class or data set, and in it a line for each score."""
    at = {row: place for place, row in enumerate(rows)}
    offsets = np.linspace(-0.32, 0.32, len(LOOKS))
    for offset, ((score, method), look) in zip(offsets, LOOKS.items(), strict=True):
        found = table[(table.score == by_score(AUROC, score)) & (table.method == method)]
        places = found.row.map(at) + offset
        ax.hlines(places, found.low, found.high, color=look["color"], linewidth=0.9)
        ax.plot(found["mean"], places, **({"linestyle": "none", "markersize": 3} | look))
    places = [at[row] + offsets[0] for row in published]
    ax.plot(list(published.values()), places, **({"linestyle": "none", "markersize": 4, "zorder": 5} | PUBLISHED_LOOK))
    for place in range(0, len(rows), 2):
        ax.axhspan(place - 0.5, place + 0.5, color="0.95", linewidth=0, zorder=0)
    ax.axvline(0.5, color=GREY, linestyle="--", linewidth=0.8, zorder=1)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=AUROC, xlim=(-0.03, 1.03), ylim=(len(rows) - 0.5, -0.5))


@ANOMALY_FIGURES.register(
    title="Scores of images that a run never saw",
    caption=(
        "How many images have which −ELBO, in nats, each kind with the same area: filled, those that the run is scored on; "
        "as a line, those of the class or the data set that it never saw. It is the first trained seed. What the two have "
        "in common cannot be told apart by likelihood; where the line lies further left, unseen images are the more likely."
    ),
    applies=_is_asked_for,
    left_out=True,
)
def anomaly_scores(source: Source) -> Drawing:
    shown = _shown_runs(source)
    n_columns = min(MOST_COLUMNS, len(shown))
    n_rows = math.ceil(len(shown) / n_columns)
    drawing, axes = subplots(n_rows, n_columns, DOUBLE, 1.5 * n_rows)
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    for ax, (label, run) in zip(axes.flat, shown, strict=False):
        pictures = _pictures(source, run)
        kinds = pictures["normal"], pictures["anomalous"]
        bins = np.linspace(*np.quantile(np.concatenate(kinds), (0, 0.99)), 25)
        ax.hist(kinds[0], bins, density=True, color="0.75")
        ax.hist(kinds[1], bins, density=True, histtype="step", color=source.looks[run.variant]["color"], linewidth=1.2)
        ax.set_title(wrapped(label, 0.8 * DOUBLE / n_columns))
        ax.set(xlabel="−ELBO [nats]", yticks=[])
    kinds = {"scored images": {"marker": "s", "color": "0.75"}, "images never seen": {"color": GREY, "linestyle": "-"}}
    add_legend(drawing, [legend_entry(label, **look) for label, look in kinds.items()])
    return drawing


@ANOMALY_FIGURES.register(
    title="Least and most anomalous images",
    caption=(
        "Of the images that a run is scored on and those that it never saw, together, the ten with the highest ELBO on the "
        "left and the ten with the lowest on the right; beside them, how many of the ten are of the class or the data set "
        "that it never saw. It is the first trained seed."
    ),
    applies=_is_asked_for,
    raster=True,
    left_out=True,
)
def anomalous_images(source: Source) -> Drawing:
    panels: dict[str, list[Row]] = {"least": [], "most": []}
    for label, run in _shown_runs(source):
        pictures = _pictures(source, run)
        for end, rows in panels.items():
            images, is_unseen = pictures[f"{end}_anomalous"], pictures[f"{end}_is_anomaly"]
            rows.append(Row(label, images, f"{is_unseen.sum()} of {len(images)}"))
    sides = {
        "least anomalous": panels["least"],
        "most anomalous": [row._replace(label="") for row in panels["most"]],
    }
    return rows_side_by_side(sides, source.experiment.dataset.image_shape)


def _shown_runs(source: Source) -> list[tuple[str, pd.Series]]:
    """The first trained run of each variant at as many grid points as there is room for, evenly spread, under its label."""
    runs = source.trained
    known = {metric for metric in ("anomaly_auroc", "outlier_auroc") if metric in runs}
    runs = runs[runs[sorted(known)].notna().any(axis=1)]
    points, variants = sorted(runs.point.unique()), source.shown_variants[:MOST_RUNS]
    n_points = min(len(points), max(1, MOST_RUNS // len(variants)))
    chosen = np.unique(np.linspace(0, len(points) - 1, n_points).round().astype(int))
    runs = runs[runs.variant.isin(variants) & runs.point.isin([points[place] for place in chosen])]
    first = runs.drop_duplicates(["variant", "point"])
    return [(_label(source, run), run) for _, run in first.iterrows()]


def _label(source: Source, run: pd.Series) -> str:
    return ", ".join([run.variant, *(f"{word(key)} {word(value)}" for key, value in source.points[run.point].items())])


def _pictures(source: Source, run: pd.Series) -> Mapping[str, np.ndarray]:
    files = source.folder.run(run.run_id)
    return read_arrays(files.task_pictures(TASK), files.task(TASK))
