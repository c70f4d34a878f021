"""A data set's images as the model sees them: one uint8 tensor a split, binarised as the specification says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaebench import splits
from vaebench.datasets import Dataset, Split
from vaebench.errors import UserError
from vaebench.stack import ALIGNMENT
from vaebench.streams import generator

# Binarisation and corruption belong to the data: they are drawn from this seed, never from a run's.
DATA_SEED = 0


# Told apart by what they are, not by what they hold: so that what is made of them once can be kept.
@dataclass(frozen=True, eq=False)
class Images:
    """Grey levels 0 … n_levels - 1 of the splits, uint8 [N, D], and their labels, uint8 [N], where the data have any."""

    levels: dict[str, Tensor]
    n_levels: int
    binarisation: str
    labels: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, split: str) -> Tensor:
        """A split's grey levels, binarised once: uint8 [N, D]. "dynamic" data are evaluated on one fixed draw."""
        return self.at_epoch(split, 0)

    def at_epoch(self, split: str, epoch: int) -> Tensor:
        """A split's levels in an epoch of training; another draw in each where binarisation is "dynamic"."""
        levels = self.levels[split]
        match self.binarisation:
            case "none":
                return levels
            case "threshold":
                return (2 * levels.int() > self.n_levels - 1).to(torch.uint8)
            case "static" | "dynamic":
                index = epoch if self.binarisation == "dynamic" else 0
                threshold = torch.randint(
                    self.n_levels - 1,
                    levels.shape,
                    dtype=torch.uint8,
                    generator=generator(DATA_SEED, f"binarise {split}", index),
                )
                return (levels > threshold).to(torch.uint8)
        raise AssertionError(self.binarisation)

    def as_pixels(self, levels: Tensor) -> Tensor:
        """Levels -> pixel values in [0, 1], float32."""
        return levels.float().div_(self.n_levels - 1 if self.binarisation == "none" else 1)


def load_images(dataset: Dataset, binarisation: str, path: Path, left_out: str | None = None) -> Images:
    """The splits kept in a file, binarised so, without the class that is left out.

    Raises UserError where they are missing or damaged, and where a split has images of that class only.
    """
    loaded = splits.load(dataset, path)
    if left_out is not None:
        loaded = {name: _without(split, dataset.class_names.index(left_out)) for name, split in loaded.items()}
    if empty := [name for name, split in loaded.items() if not len(split.images)]:
        raise UserError(f"{dataset.kind}: left_out: without the class {left_out!r} there are no {empty[0]} images")
    levels = {name: torch.from_numpy(split.images) for name, split in loaded.items()}
    labels = {name: split.labels for name, split in loaded.items() if split.labels is not None}
    return Images(levels, dataset.n_levels, binarisation, labels)


def _without(split: Split, label: int) -> Split:
    kept = split.labels != label
    return Split(split.images[kept], split.labels[kept])


def blocks(n_images: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of consecutive pieces of at most `size` images."""
    for start in range(0, n_images, size):
        yield start, min(start + size, n_images)


def padded(x: Tensor, size: int | None = None) -> Tensor:
    """x: [B, ...] with rows of zeros added, up to `size` or to a multiple of ALIGNMENT, so that stacked lanes align."""
    n_missing = -len(x) % ALIGNMENT if size is None else size - len(x)
    return torch.nn.functional.pad(x, (0, 0) * (x.dim() - 1) + (0, n_missing))
