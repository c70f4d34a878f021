"""What pictures of the latent space are made of: rows of images, and posterior means in the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vaebench.plotting import (
    DOUBLE,
    GREY,
    LETTER,
    PAGE_HEIGHT,
    Source,
    add_legend,
    count_diverged,
    legend_entry,
    subplots,
    wrapped,
)
from vaebench.projections import Projection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

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
# The radius of the circle that stands for the prior, in standard deviations, and the share of the prior within.
CIRCLE = 2.0
INSIDE = 1 - math.exp(-0.5 * CIRCLE**2)
N_IMAGES = 10  # in a row
FRAME = "#CC3311"  # around images that are to be told from others
# Inches at most: for the label of a row, for the note beside it, for a square panel.
LABEL = 1.3
NOTE = 0.5
SIDE = 2.3


class Row(NamedTuple):
    """Images [n, D] side by side, or None for none, with a label on the left and a note on the right."""

    label: str
    images: np.ndarray | None
    note: str = ""


def rows_side_by_side(panels: dict[str, list[Row]], image_shape: tuple[int, int]) -> Drawing:
    """A panel of rows for each title, as wide together as two columns; labels stand at the first one."""
    first, *_ = panels.values()
    n_images = next((len(row.images) for row in first if row.images is not None), N_IMAGES)
    # Rows of several panels are too low for labels of two lines.
    most = LABEL if len(panels) == 1 else 2 * LABEL
    label = min(most, LETTER * max(len(row.label) for row in first))
    note = NOTE if any(row.note for row in first) else 0
    # An image is as high as wide.
    width = (DOUBLE - 0.5 - label - len(panels) * note) / (len(panels) * n_images)
    drawing, [axes] = subplots(1, len(panels), DOUBLE, min(len(first) * width + 0.5, PAGE_HEIGHT))
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        draw_rows(ax, rows, image_shape, most)
        ax.set_title(title)
    return drawing


def draw_rows(ax: Axes, rows: Sequence[Row], image_shape: tuple[int, int], label: float = LABEL) -> None:
    """label: inches for the labels on the left."""
    height = show_images(ax, [row.images for row in rows], image_shape) / len(rows)
    places = (np.arange(len(rows)) + 0.5) * height
    ax.set_yticks(places, [wrapped(row.label, label) for row in rows])
    for y, row in zip(places, rows, strict=True):
        ax.text(1, y, f" {row.note}", va="center", transform=ax.get_yaxis_transform())


def show_images(ax: Axes, rows: Sequence[np.ndarray | None], image_shape: tuple[int, int]) -> int:
    """Rows of images, grey levels [n, D], one below the other with gaps between them; gives their height in pixels."""
    height, width = image_shape
    repeats, gap = _spacing(image_shape)
    n_columns = max((len(images) for images in rows if images is not None), default=N_IMAGES)
    cells = np.full((len(rows), n_columns, repeats * height + gap, width + gap), 255, np.uint8)
    for cell, images in zip(cells, rows, strict=True):
        if images is not None:
            cell[:, :-gap, :-gap] = images.reshape(-1, height, width).repeat(repeats, axis=1)
    mosaic = cells.swapaxes(1, 2).reshape(len(rows) * cells.shape[2], -1)[:-gap, :-gap]
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=255)
    bare(ax)
    return len(mosaic)


def frame_images(ax: Axes, row: int, columns: Sequence[int], image_shape: tuple[int, int]) -> None:
    """Mark images of a row that `draw_rows` has drawn."""
    from matplotlib.patches import Rectangle

    repeats, gap = _spacing(image_shape)
    height, width = repeats * image_shape[0], image_shape[1]
    for column in columns:
        corner = column * (width + gap) - 0.5, row * (height + gap) - 0.5
        ax.add_patch(Rectangle(corner, width, height, fill=False, color=FRAME, linewidth=1.2, clip_on=False))


def _spacing(image_shape: tuple[int, int]) -> tuple[int, int]:
    """How often each row of pixels is repeated, so that images of a single one are as high as wide; the gap in pixels."""
    height, width = image_shape
    return max(1, width // height), max(1, width // 12)


def square_panels(titles: list[str], most_columns: int, n_rows: int = 1) -> tuple[Drawing, list[np.ndarray]]:
    """For each title n_rows panels, one above the other; at most so many titles side by side, on a page at most."""
    n_blocks = math.ceil(len(titles) / most_columns)
    n_columns = math.ceil(len(titles) / n_blocks)
    width = DOUBLE / n_columns
    titles = [wrapped(title, 0.9 * width) for title in titles]
    head = 0.13 * (2 + max(title.count("\n") for title in titles))
    side = min(width, SIDE, (PAGE_HEIGHT / n_blocks - head) / n_rows)
    drawing, axes = subplots(n_blocks * n_rows, n_columns, DOUBLE, n_blocks * (n_rows * side + head) + 0.2)
    for ax in axes.flat:
        bare(ax)
    panels = list(axes.reshape(n_blocks, n_rows, n_columns).swapaxes(1, 2).reshape(-1, n_rows))[: len(titles)]
    for title, panel in zip(titles, panels, strict=True):
        panel[0].set_title(title)
    return drawing, panels


def add_heading(drawing: Drawing, source: Source, point: int) -> None:
    """The grid point, and how many of the variants are shown where that is not all."""
    shown, n_variants = len(source.shown_variants), len(source.experiment.variants)
    left_out = f"the first {shown} of {n_variants} variants" if shown < n_variants else ""
    if heading := ", ".join(filter(None, [source.describe(point), left_out])):
        drawing.suptitle(heading)


def first_trained(source: Source, runs: pd.DataFrame) -> dict[str, str | None]:
    """Of each variant that has any of these runs its label, and the run_id of the first that trained, None without one."""
    groups = {variant: group for variant, group in runs.groupby("variant", sort=False) if variant in source.shown_variants}
    return {
        variant + count_diverged(group.status): next(iter(group.run_id[group.status == "trained"]), None)
        for variant, group in groups.items()
    }


def scored_images(source: Source) -> str:
    return f"{source.experiment.evaluation.split} images"


def bare(ax: Axes) -> None:
    """Without axes."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def reach(projection: Projection) -> float:
    """How far the means, or the circle, go from the prior's mean along an axis."""
    return max(CIRCLE, float(np.abs(projection.components).max()))


def draw_components(ax: Axes, projection: Projection, limit: float) -> None:
    """Posterior means in the plane where the prior is a standard Gaussian, up to a limit on all sides."""
    from matplotlib.patches import Circle

    _scatter(ax, projection.components, projection.labels)
    ax.add_patch(Circle((0, 0), CIRCLE, fill=False, color=GREY, linewidth=0.8, zorder=2))
    ax.set(xlim=(-1.05 * limit, 1.05 * limit), ylim=(-1.05 * limit, 1.05 * limit), box_aspect=1)
    ax.set_xlabel("z₁ and z₂" if projection.share is None else f"PCA, {100 * projection.share:.0f} %")


def draw_neighbours(ax: Axes, projection: Projection) -> None:
    _scatter(ax, projection.neighbours, projection.labels)
    ax.set(xlabel="t-SNE", box_aspect=1)


def add_class_legend(drawing: Drawing, names: Sequence[str]) -> None:
    """What the numbers of the classes stand for, where they are not their names. Names are no formulas: a $ is a $."""
    texts = [f"{label} {name}".replace("$", r"\$") for label, name in enumerate(names)]
    entries = [legend_entry(text, marker="o", color=_colour(label)) for label, text in enumerate(texts)]
    if any(str(label) != name for label, name in enumerate(names)):
        add_legend(drawing, entries)


def _scatter(ax: Axes, points: np.ndarray, labels: np.ndarray | None) -> None:
    """Points [M, 2] in the colours of their classes, whose numbers stand at the medians; grey without labels."""
    from matplotlib.patheffects import withStroke

    colours = GREY if labels is None else [_colour(label) for label in labels]
    # As pixels in all formats: as outlines, points by the thousand would make files of megabytes.
    ax.scatter(*points.T, np.clip(1000 / len(points), 1, 2.5), colours, linewidths=0, rasterized=True)
    halo = [withStroke(linewidth=1.5, foreground="white")]
    for label in [] if labels is None else np.unique(labels):
        x, y = np.median(points[labels == label], axis=0)
        ax.text(x, y, str(label), ha="center", va="center", path_effects=halo)


def _colour(label: int) -> str:
    return CLASS_COLOURS[label % len(CLASS_COLOURS)]
