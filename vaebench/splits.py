"""A data set's splits in one file, made once and read by every job."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from zipfile import BadZipFile

import numpy as np

from vaebench import locks
from vaebench.datasets import SPLITS, Dataset, Split, data_root
from vaebench.errors import UserError
from vaebench.store import Results, replacing, sweep


def prepare(dataset: Dataset, results: Results) -> None:
    """Load a data set from the data root, downloading what is missing, and keep its splits."""
    path = results.dataset(dataset.name)
    with locks.held(results.dataset_lock(dataset.name), str(path)):
        sweep(path.parent, path.stem)
        save(dataset, data_root(), path)


def save(dataset: Dataset, root: Path, path: Path) -> None:
    arrays = {}
    for name, split in dataset.load(root).items():
        arrays[f"{name}_images"] = split.images
        if split.labels is not None:
            arrays[f"{name}_labels"] = split.labels
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load(dataset: Dataset, path: Path) -> dict[str, Split]:
    """Images and labels by split, as `save` kept them. Raises UserError where they are missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {
                split: Split(arrays[f"{split}_images"], arrays[f"{split}_labels"] if dataset.class_names else None)
                for split in SPLITS
            }
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        made_with = f"vaebench prepare {quote(dataset.argument)}"
        raise UserError(f"{path}: cannot be read ({error}); make it with: {made_with}") from error
