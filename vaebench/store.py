"""Every file name under results/, and how files there are written: whole or not at all.

results/datasets/DATASET.npz                    splits as uint8 grey levels, made once for each of its settings
                        .json                   what that cost
results/NAME/runs/RUN_ID/run.json               a trained run: specification, state, environment
                         weights.safetensors    its parameters
                         history.parquet        a row an epoch
                         evaluation.json        its scores
                         pictures.npz           originals, reconstructions, samples, traversals …
                         latent.npz             posterior means and labels
results/NAME/cohorts/COHORT/checkpoint.safetensors   of a training job that has not ended
                            history.parquet     the histories of all its runs
                            metrics.parquet     run_id, metric, value, standard_error
                            spectrum.parquet    run_id, rank, dimension, kl …
results/NAME/{runs,summary,comparisons}.csv …   tables, report.html
             figures/NAME.{png,svg,pdf}         and variants/VARIANT/NAME.{png,svg} below it
             costs/VERB/COHORT.json …           what each job cost; stages.csv sums it up
             logs/VERB/COHORT.log …             what it said
             locks/                             of what one process makes at a time, see vaebench.locks
results/benchmarks/                             what benchmarks/ measured of vaebench itself
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vaebench.errors import UserError

# Folders of results/ that belong to no experiment.
RESERVED_NAMES = ("datasets", "reference", "mlartifacts", "benchmarks")


@dataclass(frozen=True)
class Results:
    """The folder of all results; file names are given here and nowhere else."""

    root: Path = Path("results")

    def dataset(self, name: str) -> Path:
        return self.root / "datasets" / f"{name}.npz"

    def dataset_cost(self, name: str) -> Path:
        return self.root / "datasets" / f"{name}.json"

    def dataset_lock(self, *job: str) -> Path:
        """Held by who makes the data set; with "call", by a call of the workflow that is going to."""
        return self.root / "datasets" / "locks" / f"{'.'.join(job)}.lock"

    def experiment(self, name: str) -> ExperimentFolder:
        return ExperimentFolder(self.root / name)

    def runs(self) -> list[RunFolder]:
        """Of all experiments, those that have begun to be written."""
        return [RunFolder(path) for path in sorted(self.root.glob("*/runs/*")) if path.is_dir()]

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlartifacts"

    @property
    def mlflow_lock(self) -> Path:
        return self.root / "mlflow.db.lock"


@dataclass(frozen=True)
class ExperimentFolder:
    """results/NAME/."""

    path: Path

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.path / "runs" / run_id)

    def cohort(self, name: str) -> CohortFolder:
        return CohortFolder(self.path / "cohorts" / name)

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    def figure(self, name: str, suffix: str) -> Path:
        return self.figures / f"{name}.{suffix}"

    def variant_figure(self, variant: str, name: str, suffix: str) -> Path:
        return self.figures / "variants" / variant / f"{name}.{suffix}"

    @property
    def runs(self) -> Path:
        return self.path / "runs.csv"

    @property
    def history(self) -> Path:
        return self.path / "history.parquet"

    @property
    def spectrum(self) -> Path:
        return self.path / "spectrum.parquet"

    def summary(self, suffix: str) -> Path:
        return self.path / f"summary.{suffix}"

    @property
    def comparisons(self) -> Path:
        return self.path / "comparisons.csv"

    @property
    def linear(self) -> Path:
        return self.path / "linear.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def tracked(self) -> Path:
        return self.path / "tracked.csv"

    @property
    def stages(self) -> Path:
        return self.path / "stages.csv"

    def cost(self, *job: str) -> Path:
        """What a job cost when it last ran; job: its verb and, if it has one, its cohort."""
        return self.path / "costs" / f"{'/'.join(job)}.json"

    def log(self, *job: str) -> Path:
        """What a job said when it last ran."""
        return self.path / "logs" / f"{'/'.join(job)}.log"

    def cohort_lock(self, name: str) -> Path:
        """Held by who trains or scores runs of this cohort."""
        return self.path / "locks" / "cohort" / f"{name}.lock"

    @property
    def tables_lock(self) -> Path:
        """Held by who makes tables, figures or report, or mirrors them."""
        return self.path / "locks" / "tables.lock"

    @property
    def call_lock(self) -> Path:
        """Held by a call of the workflow, from its first job to its end."""
        return self.path / "locks" / "call.lock"


@dataclass(frozen=True)
class CohortFolder:
    """results/NAME/cohorts/COHORT/: what one training job and one evaluation job write."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    @property
    def history(self) -> Path:
        return self.path / "history.parquet"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.parquet"

    @property
    def spectrum(self) -> Path:
        return self.path / "spectrum.parquet"


@dataclass(frozen=True)
class RunFolder:
    """results/NAME/runs/RUN_ID/.

    `run.json` is written after the weights and the history, `evaluation.json` after the pictures and the latent means:
    each vouches for the files before it. Both hold the `key` of what made them, so that a job can tell what is still to
    be done.
    """

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def experiment(self) -> str:
        """Its name."""
        return self.path.parents[1].name

    @property
    def record(self) -> Path:
        return self.path / "run.json"

    @property
    def checkpoint(self) -> Path:
        """Of a run that is trained alone and has not ended."""
        return self.path / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def history(self) -> Path:
        return self.path / "history.parquet"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures.npz"

    @property
    def latent(self) -> Path:
        return self.path / "latent.npz"


def made_by(path: Path, key: str) -> bool:
    """Whether this JSON file exists and was written with this key."""
    return path.exists() and read_json(path)["key"] == key


def read_json(path: Path) -> Any:
    """Raises UserError where the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(unreadable(path, error)) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Raises UserError where the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(unreadable(path, error)) from error


def unreadable(path: Path, error: Exception) -> str:
    """What to say of a file of a run's folder that cannot be read, and how to have the run made again."""
    return (
        f"{path}: cannot be read ({error}); delete {path.parent} and {path.parents[2] / 'cohorts'}, and start the workflow "
        "again: only what is missing is made"
    )


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: dict[str, np.ndarray | None]) -> None:
    """Those that are not None, as an npz file."""
    with replacing(path) as temporary:
        np.savez(temporary, **{name: values for name, values in arrays.items() if values is not None})


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends well it is flushed to disk and takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays last, as libraries read the format from it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some file systems cannot flush a folder.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(file)


def sweep(folder: Path, stem: str | None = None) -> None:
    """Remove what killed processes left in this folder of files that they were writing: of all, or of this stem.

    To be called by who holds the lock of these files; those of processes that live on this machine stay all the same.
    """
    name = ".+" if stem is None else re.escape(stem)
    for path in folder.glob(".*"):
        left = re.fullmatch(rf"\.{name}\.(\d{{1,9}})(\.[^.]+)?", path.name)
        if left and not _lives(int(left[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
