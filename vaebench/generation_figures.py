"""What the task "generation" shows: samples beside the real images that are nearest to them.

It is part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vaebench.files import read_arrays
from vaebench.picture_panels import Row, add_heading, first_trained, frame_images, rows_side_by_side, scored_images
from vaebench.plotting import Figures, Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

GENERATION_FIGURES = Figures()
TASK = "generation"


@GENERATION_FIGURES.register(
    title="Samples beside test images",
    caption=(
        "Left, samples of each variant's first trained seed, the first ten that were drawn, none chosen; right, the scored "
        "image that is nearest to each in the features of the data set's classifier. A red frame marks what lies outside "
        "the manifold of the scored images, so that precision does not count it. At the top the same of real images that "
        "no model was trained on."
    ),
    applies=lambda source: "frechet_distance" in source.trained and source.trained.frechet_distance.notna().any(),
    shows=("sample_precision",),
    raster=True,
)
def generated_samples(source: Source) -> Drawing:
    [point] = source.chosen_points(1)
    runs = source.runs[source.runs.point == point]
    shown = first_trained(source, runs[(runs.status == "diverged") | runs.frechet_distance.notna()])
    found = {label: _pictures(source, run_id) if run_id else {} for label, run_id in shown.items()}
    real = next(filter(None, found.values()), {})
    rows = [_sides("real images", real, "held_out"), *(_sides(label, each, "samples") for label, each in found.items())]
    left, right, outside = zip(*rows, strict=True)
    image_shape = source.experiment.dataset.image_shape
    drawing = rows_side_by_side({"": list(left), f"nearest {scored_images(source)}": list(right)}, image_shape)
    for row, columns in enumerate(outside):
        frame_images(drawing.axes[0], row, columns, image_shape)
    add_heading(drawing, source, point)
    return drawing


def _sides(label: str, pictures: dict[str, np.ndarray], kind: str) -> tuple[Row, Row, np.ndarray]:
    """Images and what is nearest to them, as rows, and the columns of those that lie outside; without pictures none."""
    outside = np.flatnonzero(~pictures[f"{kind}_is_inside"]) if pictures else np.array([], int)
    return Row(label, pictures.get(f"{kind}_images")), Row("", pictures.get(f"{kind}_nearest")), outside


def _pictures(source: Source, run_id: str) -> dict[str, np.ndarray]:
    run = source.folder.run(run_id)
    return read_arrays(run.task_pictures(TASK), run.task(TASK))
