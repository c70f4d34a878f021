"""A data set's splits in one file, made once and read by every job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote

import numpy as np

from vaebench import locks
from vaebench.datasets import SPLITS, Dataset, Split, data_root
from vaebench.errors import DamagedFileError, UserError
from vaebench.files import damaged, read_arrays, sweep, write_arrays
from vaebench.store import Results


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
    write_arrays(path, arrays)


def load(dataset: Dataset, path: Path) -> dict[str, Split]:
    """Images and labels by split, as `save` kept them. Raises UserError where they are missing or damaged."""
    try:
        arrays = read_arrays(path)
        return {split: _split(dataset, split, arrays, path) for split in SPLITS}
    except DamagedFileError as error:
        made_with = f"vaebench prepare {quote(dataset.argument)}"
        raise UserError(f"{path}: {error.fault}; make it with: {made_with}") from error


def _split(dataset: Dataset, name: str, arrays: Mapping[str, np.ndarray], path: Path) -> Split:
    """Raises DamagedFileError where it is not what the data set declares."""

    def checked(what: str, shape: tuple[int, ...], n_values: int) -> np.ndarray:
        values = arrays[f"{name}_{what}"]
        if (values.dtype, values.shape) != (np.uint8, shape):
            raise damaged(path, f"{name} {what} are {values.dtype} {list(values.shape)}, not uint8 {list(shape)}")
        if values.max() >= n_values:
            raise damaged(path, f"{name} {what} go up to {values.max()}, not to {n_values - 1} at most")
        return values

    size, n_classes = dataset.sizes[name], len(dataset.class_names)
    images = checked("images", (size, dataset.n_pixels), dataset.n_levels)
    return Split(images, checked("labels", (size,), n_classes) if n_classes else None)
