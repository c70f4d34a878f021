"""Figures of what decoders make of codes and where encoders put images; of each variant its first trained seed is shown.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vaebench.files import read_arrays
from vaebench.picture_panels import (
    INSIDE,
    Row,
    add_class_legend,
    add_heading,
    bare,
    draw_components,
    draw_neighbours,
    draw_rows,
    first_trained,
    reach,
    rows_side_by_side,
    scored_images,
    show_images,
    square_panels,
)
from vaebench.plotting import DOUBLE, Figures, Source

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

LATENT_PICTURES = Figures()


@LATENT_PICTURES.register(
    title="Latent space",
    caption=(
        "Posterior means of at most 1,000 scored images, coloured by class where the data have classes; the number of a "
        "class stands at the median of its points. Above, z itself where it has two dimensions, otherwise its principal "
        "components with their share of the variance (PCA), on one scale for all variants: the grey circle holds "
        f"{100 * INSIDE:.0f} % of the prior, and means that crowd at its centre say little about the image. Below, t-SNE "
        "of the same means, where only who is near to whom has a meaning."
    ),
)
def latent_space(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    shown = first_trained(source, source.runs[source.runs.point == point])
    drawing, panels = square_panels(list(shown), most_columns=6, n_rows=2)
    drawn = [(source.projections[run_id], panel) for run_id, panel in zip(shown.values(), panels, strict=True) if run_id]
    limit = max((reach(projection) for projection, _ in drawn), default=0)
    for projection, (above, below) in drawn:
        draw_components(above, projection, limit)
        draw_neighbours(below, projection)
    add_class_legend(drawing, source.experiment.dataset.class_names)
    add_heading(drawing, source, point)
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
    point = source.trained.point[source.trained.latent_size == 2].min()
    shown = first_trained(source, source.runs[(source.runs.latent_size == 2) & (source.runs.point == point)])
    drawing, panels = square_panels(list(shown), most_columns=4)
    for run_id, [ax] in zip(shown.values(), panels, strict=True):
        if run_id:
            show_images(ax, list(_pictures(source, run_id)["grid"]), source.experiment.dataset.image_shape)
    add_heading(drawing, source, point)
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
    images = scored_images(source)
    left, right, last = [], [], None
    for label, pictures in _pictures_by_label(source).items():
        # They differ where binarisation does; else they stand at the top, for all.
        if pictures and not np.array_equal(pictures["originals"], last):
            last = pictures["originals"]
            left.append(Row(f"{images} of {label}" if left else images, last))
            right.append(Row("", pictures["others"]))
        left.append(Row(label, pictures.get("reconstructions")))
        right.append(Row("", pictures.get("samples")))
    return _side_by_side(source, {"reconstructions": left, "samples": right})


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
    return _side_by_side(source, {"most active dimension": left, "least active dimension": right})


@LATENT_PICTURES.register(
    title="Interpolations",
    caption=(
        "First and last in a row stand two scored images, of different classes where the data have classes; between them "
        "the mean images along the straight line from the posterior mean of the one to that of the other. Where the steps "
        "fade into one another, no image has its code between the two; where all are alike, the code says nothing."
    ),
    raster=True,
)
def interpolations(source: Source) -> Drawing:
    rows = [Row(label, pictures.get("interpolation")) for label, pictures in _pictures_by_label(source).items()]
    return _side_by_side(source, {"": rows})


@LATENT_PICTURES.register(
    title="Analogies",
    caption=(
        "Of runs with supervision: first in a row a scored image, then the mean images at its posterior mean of z with "
        "each class in turn, at most ten. Where z and class have come apart, a row keeps its style and a column its class "
        "(Kingma et al. 2014b)."
    ),
    applies=lambda source: "supervision" in source.trained and source.trained.supervision.notna().any(),
    raster=True,
)
def analogies(source: Source) -> Drawing:
    rows = []
    for label, pictures in _pictures_by_label(source).items():
        shown = pictures.get("analogies", [])
        pairs = zip(pictures.get("originals", []), shown, strict=False)
        rows += [Row("" if index else label, np.vstack([pair[0], pair[1]])) for index, pair in enumerate(pairs)]
    # No run of these may have trained at the chosen point.
    return _side_by_side(source, {"": rows or [Row("no run has trained", None)]})


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
    drawing = Drawing(figsize=(DOUBLE, 3.1), layout="constrained")
    axes = drawing.subplot_mosaic([["rows", "components"], ["rows", "neighbours"]], width_ratios=[2.9, 1])
    for ax in axes.values():
        bare(ax)
    draw_rows(axes["rows"], _portrait_rows(source, run), source.experiment.dataset.image_shape)
    if run is None:
        drawing.suptitle(f"{variant}: no run has trained")
    else:
        projection = source.projections[run.run_id]
        draw_components(axes["components"], projection, reach(projection))
        draw_neighbours(axes["neighbours"], projection)
        add_class_legend(drawing, source.experiment.dataset.class_names)
        drawing.suptitle(", ".join(filter(None, [variant, source.describe(run.point)])))
    return drawing


def _portrait_rows(source: Source, run: pd.Series | None) -> list[Row]:
    pictures = {} if run is None else _pictures(source, run.run_id)
    (most, most_kl), (least, least_kl) = _traversals(pictures)
    return [
        Row(scored_images(source), pictures.get("originals")),
        Row("reconstructions", pictures.get("reconstructions")),
        Row(scored_images(source), pictures.get("others")),
        Row("samples", pictures.get("samples")),
        Row(f"most active\n{most_kl}", most),
        Row(f"least active\n{least_kl}", least),
        Row("interpolation", pictures.get("interpolation")),
    ]


def _side_by_side(source: Source, panels: dict[str, list[Row]]) -> Drawing:
    drawing = rows_side_by_side(panels, source.experiment.dataset.image_shape)
    add_heading(drawing, source, *source.chosen_points(1))
    return drawing


def _pictures_by_label(source: Source) -> dict[str, dict[str, np.ndarray]]:
    """Of each variant its label, and the pictures at the chosen grid point, none where no seed has trained."""
    [point] = source.chosen_points(1)
    shown = first_trained(source, source.runs[source.runs.point == point])
    return {label: _pictures(source, run_id) if run_id else {} for label, run_id in shown.items()}


def _pictures(source: Source, run_id: str) -> dict[str, np.ndarray]:
    run = source.folder.run(run_id)
    return read_arrays(run.pictures, run.evaluation)


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
