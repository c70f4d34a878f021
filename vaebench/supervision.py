"""Supervision: what else a run is told of its training images than their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vaebench.registry import Registry, require

SUPERVISIONS = Registry("supervision")


@SUPERVISIONS.register
@dataclass(frozen=True)
class M2Supervision:
    """The model M2 (Kingma et al. 2014b), trained with the labels of a few images and on all others without theirs.

    `labels` training images, balanced over the classes, come with their labels; `draw` says which of them. Without it
    every seed has a draw of its own, so that intervals over seeds are over draws too. A step sees
    `labelled_batch` of them beside a batch of all images. Of the objective, a mean over all training images,
    `classifier_weight` is the weight of the labelled images' mean cross-entropy, where the paper's α = 0.1 · N is 0.1, and
    `labelled_weight` that of their mean bound, where the paper's is their share of the images, as it is without a number.
    """

    kind: Literal["m2"] = "m2"
    labels: int = 100
    draw: int | None = None
    classifier_weight: float = 0.1
    labelled_weight: float | None = None
    labelled_batch: int = 32

    def __post_init__(self):
        require(self.labels >= 1, "labels", self.labels, "1 or more")
        draw_is_known = self.draw is None or 0 <= self.draw < 2**32
        require(draw_is_known, "draw", self.draw, "from 0 to 4,294,967,295, or null: one for each seed")
        require(self.classifier_weight >= 0, "classifier_weight", self.classifier_weight, "0 or more")
        labelled_weight_is_known = self.labelled_weight is None or self.labelled_weight >= 0
        allowed = "0 or more, or null: the labelled share of the images"
        require(labelled_weight_is_known, "labelled_weight", self.labelled_weight, allowed)
        require(1 <= self.labelled_batch <= 65_536, "labelled_batch", self.labelled_batch, "from 1 to 65,536")

    def draw_of(self, seed: int) -> int:
        """Which draw of labels a run with that seed is told."""
        return seed if self.draw is None else self.draw

    def labelled_weight_of(self, n_images: int) -> float:
        """That weight with so many training images."""
        return self.labels / n_images if self.labelled_weight is None else self.labelled_weight
