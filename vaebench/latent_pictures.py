"""Figures of what decoders make of codes and where encoders put images; of each variant its first trained seed is shown.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vaebench.plotting import DOUBLE, GREY, LETTER, Figures, Source, count_diverged, subplots, wrapped
from vaebench.store import read_arrays

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

LATENT_PICTURES = Figures()
# Paul Tol's "muted" and a grey: told apart with any sight of colours, and none of them a variant's.
CLASS_COLOURS = (
    "#332288",
    "#88CCEE",
    "#117733",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#888888",
)
# In standard deviations of the prior, and what of it lies within.
CIRCLE = 2.0
INSIDE = 1 - math.exp(-0.5 * CIRCLE**2)
# Inches at most for the label of a row of images, and for the note beside it.
LABEL = 1.3
NOTE = 0.5
N_IMAGES = 10
MOST_SIDE = 2.3


class Row(NamedTuple):
    """Images [n, D] side by side, or None where there are none, with a label on the left and a note on the right."""

    label: str
    images: np.ndarray | None
    note: str = ""


@LATENT_PICTURES.register(
    title="Latent space",
    caption=(
        "Posterior means of at most 1,000 scored images, coloured by class where the data have classes; the name of a "
        "class stands at the median of its points. Above, z itself where it has two dimensions, otherwise its principal "
        "components with their share of the variance (PCA), on one scale for all variants: the grey circle holds "
        f"{100 * INSIDE:.0f} % of the prior, and means that crowd at its centre say little about the image. Below, t-SNE "
        "of the same means, where only who is near to whom has a meaning."
    ),
)
def latent_space(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    shown = _first_trained(source, source.runs[source.runs.point == point])
    drawing, panels = _panels(list(shown), most_columns=6, n_rows=2)
    reach = max((_reach(source, run_id) for run_id in shown.values() if run_id), default=CIRCLE)
    for run_id, (above, below) in zip(shown.values(), panels, strict=True):
        if run_id:
            _draw_components(above, source, run_id, reach)
            _draw_neighbours(below, source, run_id)
    drawing.suptitle(source.describe(point))
    return drawing


@LATENT_PICTURES.register(
    title="The plane of two latent dimensions",
    caption=(
        "Mean images at the codes of a latent space of two dimensions, the first growing to the right, the second upwards, "
        "in steps of equal probability under the prior. Regions of one kind of image are as large as their share of the "
        "samples."
    ),
    applies=lambda source: (source.trained.latent_size == 2).any(),
    raster=True,
)
def latent_grid(source: Source) -> Drawing:
    runs = source.runs[source.runs.latent_size == 2]
    point = runs.point.min()
    shown = _first_trained(source, runs[runs.point == point])
    drawing, panels = _panels(list(shown), most_columns=4)
    for run_id, [ax] in zip(shown.values(), panels, strict=True):
        if run_id:
            _show(ax, list(_pictures(source, run_id)["grid"]), source.experiment.dataset.image_shape)
    drawing.suptitle(source.describe(point))
    return drawing


@LATENT_PICTURES.register(
    title="Reconstructions and samples",
    caption=(
        "Left, scored images and each variant's reconstructions of them: the mean image at the posterior mean of z. Right, "
        "other scored images, and samples: the mean image at z drawn from the prior, with the same draws for variants of "
        "one latent size and seed. Pixels are black at 0 and white at 1, values outside are clipped."
    ),
    raster=True,
)
def reconstructions(source: Source) -> Drawing:
    images = f"{source.experiment.evaluation.split} images"
    left, right, last = [], [], None
    for label, pictures in _pictures_by_label(source).items():
        # They differ where binarisation does; else they stand at the top, for all.
        if pictures and not np.array_equal(pictures["originals"], last):
            last = pictures["originals"]
            left.append(Row(f"{images} of {label}" if left else images, last))
            right.append(Row("", pictures["others"]))
        left.append(Row(label, pictures.get("reconstructions")))
        right.append(Row("", pictures.get("samples")))
    return _rows_side_by_side(source, {"reconstructions": left, "samples": right})


@LATENT_PICTURES.register(
    title="Traversals",
    caption=(
        "Mean images at the code of one scored image, but with one of its dimensions going from −3 to 3 standard "
        "deviations of the prior: left the dimension with the largest KL, right the one with the smallest, the KL in nats "
        "beside it. What changes along a row is what the dimension says; along a collapsed one nothing changes."
    ),
    raster=True,
)
def traversals(source: Source) -> Drawing:
    left, right = [], []
    for label, pictures in _pictures_by_label(source).items():
        most, least = _traversals(pictures)
        left.append(Row(label, *most))
        right.append(Row("", *least))
    return _rows_side_by_side(source, {"most active dimension": left, "least active dimension": right})


@LATENT_PICTURES.register(
    title="Interpolations",
    caption=(
        "First and last in a row stand two scored images, of different classes where the data have classes; between them "
        "the mean images along the straight line from the posterior mean of the one to that of the other. Steps that are "
        "all alike, or that fade into one another without becoming an image of either kind, say that the line is empty."
    ),
    raster=True,
)
def interpolations(source: Source) -> Drawing:
    rows = [Row(label, pictures.get("interpolation")) for label, pictures in _pictures_by_label(source).items()]
    return _rows_side_by_side(source, {"": rows})


@LATENT_PICTURES.register(
    title="Portrait",
    caption=(
        "Scored images and their reconstructions; others and samples from the prior; one image's code with its most and "
        "its least active dimension going from −3 to 3 standard deviations of the prior; and the way between two images, "
        "which stand at its ends. On the right, posterior means of the scored images in their principal components, where "
        f"the circle holds {100 * INSIDE:.0f} % of the prior, and by t-SNE."
    ),
    per_variant=True,
    raster=True,
)
def portrait(source: Source, variant: str) -> Drawing:
    from matplotlib.figure import Figure as Drawing

    run = _first_at(source, variant)
    pictures = {} if run is None else _pictures(source, run.run_id)
    (most, most_kl), (least, least_kl) = _traversals(pictures)
    drawing = Drawing(figsize=(DOUBLE, 3.1), layout="constrained")
    axes = drawing.subplot_mosaic([["rows", "components"], ["rows", "neighbours"]], width_ratios=[2.9, 1])
    for name in ("components", "neighbours"):
        _bare(axes[name])
        axes[name].set_box_aspect(1)
    images = f"{source.experiment.evaluation.split} images"
    rows = [
        Row(images, pictures.get("originals")),
        Row("reconstructions", pictures.get("reconstructions")),
        Row(images, pictures.get("others")),
        Row("samples", pictures.get("samples")),
        Row(f"most active\n{most_kl}", most),
        Row(f"least active\n{least_kl}", least),
        Row("interpolation", pictures.get("interpolation")),
    ]
    _draw_rows(axes["rows"], rows, source.experiment.dataset.image_shape)
    if run is not None:
        _draw_components(axes["components"], source, run.run_id)
        _draw_neighbours(axes["neighbours"], source, run.run_id)
    drawing.suptitle(variant if run is None else f"{variant}, {source.describe(run.point)}")
    return drawing


def _first_trained(source: Source, runs: pd.DataFrame) -> dict[str, str | None]:
    """Of each variant that has any of these runs its label, and the run_id of the first that trained, None without one."""
    groups = {variant: group for variant, group in runs.groupby("variant", sort=False) if variant in source.shown_variants}
    return {
        variant + count_diverged(group.status): next(iter(group.run_id[group.status == "trained"]), None)
        for variant, group in groups.items()
    }


def _pictures_by_label(source: Source) -> dict[str, dict[str, np.ndarray]]:
    """Of each variant its label, and the pictures at the chosen grid point, none where no seed has trained."""
    [point] = source.chosen_points(1)
    shown = _first_trained(source, source.runs[source.runs.point == point])
    return {label: _pictures(source, run_id) if run_id else {} for label, run_id in shown.items()}


def _pictures(source: Source, run_id: str) -> dict[str, np.ndarray]:
    return read_arrays(source.folder.run(run_id).pictures)


def _traversals(pictures: dict[str, np.ndarray]) -> list[tuple[np.ndarray | None, str]]:
    """Of the most and of the least active dimension the images and the KL."""
    if not pictures:
        return [(None, "")] * 2
    return [(images, f"{kl:.2f} nats") for images, kl in zip(pictures["traversals"], pictures["traversed_kl"], strict=True)]


def _first_at(source: Source, variant: str) -> pd.Series | None:
    """A variant's first trained run at the chosen grid point, or else at another one."""
    [point] = source.chosen_points(1)
    runs = source.trained[source.trained.variant == variant]
    return None if runs.empty else runs.iloc[np.argmax(runs.point == point)]


def _rows_side_by_side(source: Source, panels: dict[str, list[Row]]) -> Drawing:
    """A panel for each title; the rows of the first have the labels."""
    [point] = source.chosen_points(1)
    first, *_ = panels.values()
    label = min(LABEL, LETTER * max(len(row.label) for row in first))
    note = NOTE if any(row.note for row in first) else 0
    # As high as wide, with the gaps.
    image = (DOUBLE - 0.3 - label - len(panels) * note) / (len(panels) * N_IMAGES)
    drawing, [axes] = subplots(1, len(panels), DOUBLE, len(first) * image + 0.5)
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        wrapped_rows = [row._replace(label=wrapped(row.label, LABEL)) for row in rows]
        _draw_rows(ax, wrapped_rows, source.experiment.dataset.image_shape)
        ax.set_title(title)
    drawing.suptitle(source.describe(point))
    return drawing


def _draw_rows(ax: Axes, rows: Sequence[Row], image_shape: tuple[int, int]) -> None:
    places = (np.arange(len(rows)) + 0.5) * _show(ax, [row.images for row in rows], image_shape) / len(rows)
    ax.set_yticks(places, [row.label for row in rows])
    for y, row in zip(places, rows, strict=True):
        ax.text(1, y, f" {row.note}", va="center", transform=ax.get_yaxis_transform())


def _show(ax: Axes, rows: Sequence[np.ndarray | None], image_shape: tuple[int, int]) -> int:
    """Rows of images [n, D], or None for nothing, one below the other with gaps between them; gives their height."""
    height, width = image_shape
    # Images of a single row of pixels are made as high as wide.
    repeats = max(1, width // height)
    gap = max(1, width // 12)
    n_columns = max((len(images) for images in rows if images is not None), default=N_IMAGES)
    cells = np.full((len(rows), n_columns, repeats * height + gap, width + gap), 255, np.uint8)
    for cell, images in zip(cells, rows, strict=True):
        if images is not None:
            cell[:, :-gap, :-gap] = images.reshape(-1, height, width).repeat(repeats, axis=1)
    mosaic = cells.swapaxes(1, 2).reshape(len(rows) * cells.shape[2], -1)[:-gap, :-gap]
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    _bare(ax)
    return len(mosaic)


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _panels(titles: list[str], most_columns: int, n_rows: int = 1) -> tuple[Drawing, list[np.ndarray]]:
    """For each title n_rows square panels, one above the other, at most so many side by side."""
    n_blocks = math.ceil(len(titles) / most_columns)
    n_columns = math.ceil(len(titles) / n_blocks)
    side = min(DOUBLE / n_columns, MOST_SIDE)
    wrapped_titles = [wrapped(title, side) for title in titles]
    lines = max(title.count("\n") for title in wrapped_titles) + 2
    height = n_blocks * (n_rows * side + 0.13 * lines) + 0.2
    drawing, axes = subplots(n_blocks * n_rows, n_columns, DOUBLE, height, subplot_kw={"box_aspect": 1})
    for ax in axes.flat:
        _bare(ax)
    panels = list(axes.reshape(n_blocks, n_rows, n_columns).swapaxes(1, 2).reshape(-1, n_rows))[: len(titles)]
    for title, panel in zip(wrapped_titles, panels, strict=True):
        panel[0].set_title(title)
    return drawing, panels


def _reach(source: Source, run_id: str) -> float:
    """How far a run's means go from the prior's."""
    return float(np.abs(source.projections[run_id].components).max())


def _draw_components(ax: Axes, source: Source, run_id: str, reach: float = 0) -> None:
    """At least as far as `reach`, and the whole circle."""
    from matplotlib.patches import Circle

    projection = source.projections[run_id]
    _scatter(ax, source, projection.components, projection.labels)
    ax.add_patch(Circle((0, 0), CIRCLE, fill=False, color=GREY, linewidth=0.8))
    limit = 1.05 * max(reach, CIRCLE, _reach(source, run_id))
    plane = "z₁ and z₂" if projection.share is None else f"PCA, {100 * projection.share:.0f} %"
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel=plane)


def _draw_neighbours(ax: Axes, source: Source, run_id: str) -> None:
    projection = source.projections[run_id]
    _scatter(ax, source, projection.neighbours, projection.labels)
    ax.set(xlabel="t-SNE")


def _scatter(ax: Axes, source: Source, points: np.ndarray, labels: np.ndarray | None) -> None:
    """Points [M, 2] in the colours of their classes, each with its name; grey without labels."""
    from matplotlib.patheffects import withStroke

    colours = GREY if labels is None else [CLASS_COLOURS[label % len(CLASS_COLOURS)] for label in labels]
    # As pixels, also in formats of lines: thousands of points would make files of megabytes.
    ax.scatter(*points.T, 2.5, colours, linewidths=0, rasterized=True)
    for label in [] if labels is None else np.unique(labels):
        place = np.median(points[labels == label], axis=0)
        name = source.experiment.dataset.class_names[label]
        halo = [withStroke(linewidth=1.5, foreground="white")]
        ax.text(*place, name, ha="center", va="center", fontsize=7, path_effects=halo)
