"""Figures of the task "denoising": what variants make of corrupted images, and how near that comes to the clean ones.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vaebench.files import read_arrays
from vaebench.picture_panels import Row, rows_side_by_side
from vaebench.plotting import (
    DOUBLE,
    GREY,
    Figures,
    Source,
    add_legend,
    count_diverged,
    legend_entry,
    subplots,
    wrapped,
)
from vaebench.task_scores import MODEL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

DENOISING_FIGURES = Figures()

# How the methods look that are no variant's: by what their rows are called.
BASELINES = {"noisy image": ":", "PCA": "--", "clean input": "-"}


def _is_scored(source: Source) -> bool:
    found = source.tables.tasks
    return len(found) > 0 and (found.task == "denoising").any()


@DENOISING_FIGURES.register(
    title="Denoising",
    caption=(
        "PSNR against the clean image, in dB, of what each variant makes of corrupted images: the mean image at the "
        "posterior mean of the corrupted image; higher is better. Markers are means over seeds, bars their 95 % intervals "
        "(for three seeds or more). Black lines: the corrupted image as it is (dotted), its projection on as many principal "
        "components of the training images as the code has dimensions (dashed). Grey lines: the variant's reconstruction of "
        "the clean image, which noise can hardly leave better."
    ),
    applies=_is_scored,
    shows=("denoising_psnr",),
)
def denoising(source: Source) -> Drawing:
    found = _found(source)
    found = found[found.score == "PSNR"]
    conditions = list(found.condition.unique())
    drawing, [[ax]] = subplots(1, 1, DOUBLE, 2.8)
    width = 0.8 / len(source.looks)
    for index, (variant, look) in enumerate(source.looks.items()):
        of_variant = found[found.variant == variant].set_index(["method", "condition"])
        places = np.arange(len(conditions)) + (index - (len(source.looks) - 1) / 2) * width
