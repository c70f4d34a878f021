"""Results for notebooks: an experiment's tables, and its runs' models, images and pictures by run id."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vaebench import tables
from vaebench.errors import UserError
from vaebench.experiment_file import nearest
from vaebench.saved_run import SavedRun, match
from vaebench.settings import Run
from vaebench.store import RESERVED_NAMES, Results
from vaebench.tables import Tables

if TYPE_CHECKING:
    from torch import Tensor

    from vaebench.model import VAE


class LoadedExperiment:
    """The results of one experiment, read as they are asked for.

    A run is named by its id or by the beginning of one that no other shares, such as "beta-4-z8-s0". Everything raises
    UserError for a run that is not there, and where files are missing or damaged.

    >>> import vaebench as vb
    >>> first = vb.load("results/first")
    >>> first
    LoadedExperiment('results/first'): 6 runs
    >>> first.runs.groupby("variant").elbo.count().to_dict()
    {'bce': 3, 'beta-4': 3}
    >>> first.run("beta-4-z8-s0").specification.kl
    Constant(schedule='constant', weight=4.0)
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._results = Results(folder.parent)
        self._files = self._results.experiment(folder.name)

    def __repr__(self) -> str:
        return f"LoadedExperiment({str(self.folder)!r}): {len(self.runs)} runs"

    @cached_property
    def _tables(self) -> Tables:
        return tables.load(self._files)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run: settings, status, each metric and its standard error, as `tables.Tables` describes all of these."""
        return self._tables.runs

    @property
    def summary(self) -> pd.DataFrame:
        """A row a variant and grid point: means over seeds and their intervals."""
        return self._tables.summary

    @property
    def comparisons(self) -> pd.DataFrame:
        """A row a variant, grid point and metric: the difference to the baseline, paired by seed."""
        return self._tables.comparisons

    @property
    def history(self) -> pd.DataFrame:
        """A row a run and epoch: the course of training."""
        return self._tables.history

    @property
    def spectrum(self) -> pd.DataFrame:
        """A row a run and latent dimension: its KL and variances."""
        return self._tables.spectrum

    @property
    def tasks(self) -> pd.DataFrame:
        """A row a variant, grid point, task, condition, score and method: what tasks found; empty without tasks."""
        return self._tables.tasks

    def run(self, run_id: str) -> SavedRun:
        """One run's record: its specification, state and scores.

        >>> import vaebench as vb
        >>> vb.load("results/first").run("bce-z8-s0").state
        'trained and scored'
        >>> vb.load("results/first").run("bec-z8-s0")
        Traceback (most recent call last):
            ...
        vaebench.errors.UserError: results/first: no run 'bec-z8-s0'; did you mean 'bce-z8-s0'?
        """
        return SavedRun(self._files.run(match(run_id, self.runs.run_id, str(self.folder))))

    def specification(self, run_id: str) -> Run:
        """All settings of a run, seed included."""
        return self.run(run_id).specification

    def model(self, run_id: str) -> VAE:
        """A run's trained model, in evaluation mode: `reconstruct(x)`, `sample(n, seed)`, `encode(x)`, `decode(z)`.

        >>> import vaebench as vb
        >>> model = vb.load("results/first").model("bce-z8-s0")
        >>> model.sample(5, seed=1).shape
        torch.Size([5, 64])
        """
        return self.run(run_id).model()

    def images(self, run_id: str, split: str = "test") -> Tensor:
        """The images of a split as the run's model sees them: pixel values in [0, 1], float32 [N, D].

        >>> import vaebench as vb
        >>> first = vb.load("results/first")
        >>> first.model("bce-z8-s0").encode(first.images("bce-z8-s0")).mean.shape
        torch.Size([360, 8])
        """
        from vaebench.images import load_images

        run = self.specification(run_id)
        if split not in run.dataset.sizes:
            raise UserError(f"{split!r} is no split{nearest(split, run.dataset.sizes)}")
        images = load_images(run.dataset, run.binarisation, self._results.dataset(run.dataset.name), run.left_out)
        return images.as_pixels(images[split])

    def pictures(self, run_id: str) -> dict[str, np.ndarray]:
        """The images that scoring has kept of a run, [n, D] by name.

        >>> import vaebench as vb
        >>> vb.load("results/first").pictures("bce-z8-s0")["samples"].shape
        (10, 64)
        """
        return self.run(run_id).pictures()


def load(folder: str | Path) -> LoadedExperiment:
    """The results that lie in a folder such as "results/digits".

    Raises UserError where there are none, naming the nearest folder.

    >>> import vaebench as vb
    >>> vb.load("results/first").summary.n.tolist()
    [3, 3]
    """
    folder = Path(folder)
    files = Results(folder.parent).experiment(folder.name)
    if not files.path.is_dir():
        others = (each.name for each in folder.parent.glob("*") if each.is_dir() and each.name not in RESERVED_NAMES)
        raise UserError(f"{folder}: no such results{nearest(folder.name, sorted(others))}")
    if not files.runs.exists():
        raise UserError(f"{folder}: has no tables yet; the workflow or vaebench.run makes them")
    return LoadedExperiment(folder)
