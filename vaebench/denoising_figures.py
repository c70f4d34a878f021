"""Figures of the task "denoising": what variants make of corrupted images, and how near that comes to the clean ones.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vaebench.files import read_arrays
from vaebench.picture_panels import Row, add_heading, first_trained, rows_side_by_side
from vaebench.plotting import DOUBLE, Figures, Source, add_legend, legend_entry, subplots
from vaebench.task_scores import MODEL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

DENOISING_FIGURES = Figures()

# Of what is no variant's, by the method's name.
DASHES = {"noisy image": ":", "PCA": "--", "clean input": "-"}


def _is_scored(source: Source) -> bool:
    return any(task.kind == "denoising" for task in source.experiment.tasks) and not source.trained.empty


@DENOISING_FIGURES.register(
    title="Denoising by corruption",
    caption=(
        "PSNR of what each variant makes of corrupted images, against the clean ones; higher is better. Markers are means "
        "over seeds, bars their 95 % intervals (for three seeds or more). Through all markers of a corruption go the lines "
        "of the corrupted images themselves and of their projections on as many principal components of the training "
        "images as the code has dimensions; above its markers each variant has a line at what it makes of the clean images."
    ),
    applies=_is_scored,
    shows=("denoising_psnr",),
)
def denoising_by_corruption(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    found = _found(source, point)
    drawing, [[ax]] = subplots(1, 1, DOUBLE, 2.8)
    places = _places(source, list(found.condition.unique()))
    for (method, condition), rows in found.groupby(["method", "condition"], sort=False):
        own = places.loc[condition]
        if method in ("noisy image", "PCA"):
            ends = [own.min() - 0.05, own.max() + 0.05]
            for mean in rows["mean"].unique():
                ax.plot(ends, [mean] * 2, color="black", linestyle=DASHES[method], linewidth=0.9, zorder=2)
        else:
            _mark_variants(ax, source, own, rows, method)
    ax.set(ylabel="PSNR [dB], higher is better")
    middles = places.groupby(level=0, sort=False).mean()
    ax.set_xticks(middles, [_broken(condition) for condition in middles.index])
    ax.tick_params(axis="x", length=0)
    add_heading(drawing, source, point)
    add_legend(drawing, [*source.handles(linestyle="none"), *_baseline_entries()])
    return drawing


def _places(source: Source, conditions: list[str]) -> pd.Series:
    """Where a variant's marker stands along x, by condition and variant: conditions are 1 apart."""
    import pandas as pd

    offsets = np.linspace(-0.35, 0.35, len(source.looks)) if len(source.looks) > 1 else [0.0]
    index = pd.MultiIndex.from_product([conditions, source.looks])
    return pd.Series(np.add.outer(np.arange(len(conditions)), offsets).ravel(), index)


def _mark_variants(ax: Axes, source: Source, places: pd.Series, rows: pd.DataFrame, method: str) -> None:
    for row in rows.itertuples():
        x, look = places[row.variant], source.looks[row.variant]
        if method == MODEL:
            ax.plot([x, x], [row.low, row.high], color=look["color"], zorder=3)
            ax.plot(x, row.mean, look["marker"], color=look["color"], zorder=3)
        else:
            ax.plot([x - 0.05, x + 0.05], [row.mean] * 2, color=look["color"], linestyle=DASHES[method], zorder=3)


def _baseline_entries() -> list[Artist]:
    return [legend_entry(method, color="black", linestyle=dash) for method, dash in DASHES.items()]


@DENOISING_FIGURES.register(
    title="Denoising",
    caption=(
        "Scored images, what corruption leaves of them, and what each variant's first trained seed makes of that: the mean "
        "image at the posterior mean of the corrupted image. Pixels are black at 0 and white at 1, values outside are "
        "clipped."
    ),
    applies=_is_scored,
    raster=True,
)
def denoising(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    conditions = list(_found(source, point).condition.unique())
    shown: list[tuple[str, list[np.ndarray | None]]] = []
    last = None
    for label, run_id in first_trained(source, source.runs[source.runs.point == point]).items():
        pictures = _pictures(source, run_id) if run_id else {}
        # They differ where binarisation does; else they stand at the top, for all.
        if pictures and not np.array_equal(pictures["clean"], last):
            last = pictures["clean"]
            of = f" of {label}" if shown else ""
            shown += [(f"clean images{of}", [last] * len(conditions)), (f"corrupted{of}", pictures["noisy"])]
        shown.append((label, pictures.get("denoised", [None] * len(conditions))))
    panels = {
        _broken(condition): [Row("" if index else label, images[index]) for label, images in shown]
        for index, condition in enumerate(conditions)
    }
    drawing = rows_side_by_side(panels, source.experiment.dataset.image_shape)
    add_heading(drawing, source, point)
    return drawing


def _broken(condition: str) -> str:
    """In two lines: what, and how much of it."""
    return condition.replace(", ", ",\n")


def _pictures(source: Source, run_id: str) -> dict[str, np.ndarray]:
    run = source.folder.run(run_id)
    return read_arrays(run.task_pictures("denoising"), run.task("denoising"))


def _found(source: Source, point: int, score: str = "PSNR") -> pd.DataFrame:
    """What the task found over seeds by a score at a grid point: a row for each variant, condition and method."""
    from vaebench.tables import group_keys

    keys = group_keys(source.experiment)
    of_point = source.runs.loc[source.runs.point == point, keys].drop_duplicates()
    found = source.tables.tasks.merge(of_point, on=keys)
    return found[(found.task == "denoising") & (found.score == score)]
