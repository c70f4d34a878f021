"""Every file name under results/, and how files there are written, whole or not at all, and read, whole or not at all.

results/datasets/DATASET.npz                    splits as uint8 grey levels, made once for each of its settings
                        .json                   what that cost
results/NAME/runs/RUN_ID/run.json               a trained run: specification, state, environment
                         weights.safetensors    its parameters
                         history.parquet        a row an epoch
                         evaluation.json        its scores
                         pictures.npz           originals, reconstructions, samples, traversals …
                         latent.npz             posterior means and labels
results/NAME/cohorts/COHORT/checkpoint.safetensors   of a training job that has not ended; also of parts of its runs
                            checkpoint.previous.safetensors   the one before
                            history.parquet     the histories of all its runs
                            metrics.parquet     run_id, metric, value, standard_error
                            spectrum.parquet    run_id, rank, dimension, kl …
                            checksums.json      of these tables
results/NAME/{runs,summary,comparisons}.csv …   tables, report.html; checksums.json vouches for the tables
             figures/NAME.{png,svg,pdf}         and variants/VARIANT/NAME.{png,svg} below it
             costs/VERB/COHORT.json …           what each job cost; stages.csv sums it up
             logs/VERB/COHORT.log …             what it said
             locks/                             of what one process makes at a time, see vaebench.locks
results/benchmarks/                             what benchmarks/ measured of vaebench itself
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from vaebench import disk
from vaebench.errors import DamagedFileError, UserError

if TYPE_CHECKING:
    import pandas as pd

# Of run.json and evaluation.json; older ones are read too. 1: neither says its format, and evaluation.json not what the run
# was scored with. 2: both say their `format`, the latter its `environment` as run.json does, and both have checksums.
FORMAT = 2

# What zipfile and NumPy raise, between them, of an npz file with one byte altered, or of any other file.
MALFORMED_NPZ = (
    BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)
# Names in results/ that belong to no experiment.
RESERVED_NAMES = ("datasets", "reference", "mlartifacts", "benchmarks", "mlflow.db", "mlflow.db.lock")


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
        """Raises UserError for what is no name: ids are read from tables, which others may have written."""
        if run_id != Path(run_id).name or run_id in ("", ".."):
            raise UserError(f"{self.path}: {run_id!r} is no run's id, but leads elsewhere")
        return RunFolder(self.path / "runs" / run_id)

    def published(self, path: Path) -> bytes:
        """What a file of this folder holds, to be shown to others. Raises UserError for a link that leads out, too."""
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise UserError(
                f"{path}: is a link to {path.resolve()}, which is none of the results; put the file itself there"
            )
        return read_bytes(path)

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
    def checksums(self) -> Path:
        return self.path / "checksums.json"

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
    def checksums(self) -> Path:
        return self.path / "checksums.json"

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
    each vouches for the files before it, by their checksums under `files`; the latter also for the weights that were
    scored. Both hold the `key` of what made them, so that a job can tell what is still to be done.
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


class Contents(dict[str, Any]):
    """What a file holds by name; to ask for what it lacks raises DamagedFileError."""

    def __init__(self, path: Path, items: Mapping[str, Any]):
        super().__init__(items)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise damaged(self._path, f"lacks {name!r}")


def made_by(record: Path, key: str) -> bool:
    """Whether this record is there, was written with this key, and it and all files that it vouches for are whole.

    Where they are not, says so on stderr: it is as if the record were not there. Raises UserError where the system does
    not let them be read.
    """
    if not record.exists():
        return False
    try:
        content = read_record(record)
        if content["key"] != key:
            return False
        for name in vouched(record):
            read_bytes(record.parent / name, record)
    except DamagedFileError as error:
        print(f"{error.path}: {error.fault}, so it counts as not made", file=sys.stderr, flush=True)
        return False
    return True


def read_record(path: Path) -> Contents:
    """A run.json or evaluation.json. Raises as `read_json` does, and UserError for a format that is not known here."""
    record = read_json(path)
    met = record.get("format", 1)
    if met not in range(1, FORMAT + 1):
        raise of_another_version(path, f"is of format {met!r}, and this vaebench reads the formats 1 to {FORMAT}")
    return record


def of_another_version(path: Path, fault: str) -> UserError:
    """Of a file of a run: what this code cannot make of it, and the two ways on."""
    cohorts = path.parents[2] / "cohorts"
    return UserError(f"{path}: {fault}; update vaebench, or delete {path.parent} and {cohorts} and run it again")


def vouched(record: Path) -> dict[str, str]:
    """The SHA-256 of the files beside it, by name, that this record vouches for; those of older versions have none."""
    files = read_json(record).get("files", {}) if record.exists() else {}
    # A name that leads elsewhere is none of ours.
    if not isinstance(files, dict) or not all(Path(name).name == name for name in files):
        raise damaged(record, "holds no checksums under 'files'")
    return files


def checksums(*paths: Path) -> dict[str, str]:
    """What a record says of the files that it vouches for: their SHA-256, by name."""
    return {path.name: hashlib.sha256(read_bytes(path)).hexdigest() for path in paths}


def read_bytes(path: Path, record: Path | None = None) -> bytes:
    """What a file holds. record: which vouches for the file.

    Raises DamagedFileError where the file is missing, or not as the record says; UserError where it cannot be read.
    """
    with disk.explained(path, "read"):
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise damaged(path, "is missing") from error
    expected = vouched(record).get(path.name) if record is not None else None
    if expected not in (None, hashlib.sha256(content).hexdigest()):
        raise damaged(path, f"cannot be read (altered: its SHA-256 is not the one in {record.name})")
    return content


def read_text(path: Path, record: Path | None = None) -> str:
    """UTF-8. Raises as `read_bytes` does, and DamagedFileError for what is no text."""
    try:
        return read_bytes(path, record).decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"cannot be read ({error})") from error


def read_json(path: Path) -> Contents:
    """A mapping as `write_json` wrote it. Raises as `read_bytes` does, and DamagedFileError for anything else."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise damaged(path, "cannot be read (it holds no mapping)")
    if content.pop("sha256", None) not in (None, _digest(content)):
        raise damaged(path, "cannot be read (altered: its SHA-256 is not the one that it was written with)")
    return Contents(path, content)


def read_arrays(path: Path, record: Path | None = None) -> Contents:
    """Arrays by name. Raises as `read_bytes` does, and DamagedFileError for what is no npz file or holds Python objects."""
    content = read_bytes(path, record)
    try:
        with NpzFile(io.BytesIO(content)) as arrays:
            torn = arrays.zip.testzip()
            found = dict(arrays)
    except MALFORMED_NPZ as error:
        raise damaged(path, f"cannot be read ({error})") from error
    # What is no array in such a file is given as its bytes.
    if torn or not all(isinstance(array, np.ndarray) for array in found.values()):
        raise damaged(path, "cannot be read (what it holds was altered)")
    return Contents(path, found)


def read_table(path: Path, columns: Iterable[str], record: Path | None = None) -> pd.DataFrame:
    """A parquet file. Raises as `read_bytes` does, and DamagedFileError for other content and where it lacks a column."""
    import pandas as pd
    from pyarrow import ArrowException

    content = read_bytes(path, record)
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except (ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    return _with_columns(table, columns, path)


def read_csv(path: Path, columns: Iterable[str], record: Path | None = None, texts: Iterable[str] = ()) -> pd.DataFrame:
    """The same of a csv file; texts: columns that stay text, also "1" and "nan"."""
    import pandas as pd

    content = read_text(path, record)
    try:
        table = pd.read_csv(io.StringIO(content), dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise damaged(path, f"cannot be read ({error})") from error
    return _with_columns(table, columns, path)


def _with_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    if lacking := sorted(set(columns) - set(table.columns)):
        raise damaged(path, f"lacks the column {lacking[0]!r}")
    return table


def damaged(path: Path, fault: str) -> DamagedFileError:
    """Of a file of an experiment; names the command that makes it again, and nothing but what is missing or damaged."""
    folder, step = path.parent, {"report.html": "report", "tracked.csv": "track"}.get(path.name, "aggregate")
    if path.parents[1].name in ("runs", "cohorts"):
        folder, step = path.parents[2], "cohort"
    again = f"snakemake --cores 1 --forcerun {step} --config experiment={folder.name}"
    return DamagedFileError(path, _one_line(fault), f"to have it made again: {again} (or vaebench.run)")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """With its own checksum: a digit that was altered is a valid number."""
    write_text(path, json.dumps({**content, "sha256": _digest(content)}, indent=1, allow_nan=False) + "\n")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray | None]) -> None:
    """Those that are not None, as an npz file."""
    content = io.BytesIO()
    np.savez(content, **{name: values for name, values in arrays.items() if values is not None})
    write_bytes(path, content.getvalue())


def write_table(path: Path, table: pd.DataFrame) -> None:
    """As a parquet file, without the index."""
    write_bytes(path, table.to_parquet(index=False))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Libraries make contents in memory, so that faults of the disk are all met here."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def try_to_write(folder: Path) -> None:
    """Raises UserError where a small file cannot be written there: what a step has to say of that is lost with its log."""
    probe = folder / f".probe.{os.getpid()}"
    with disk.explained(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(2**16))
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends well it is flushed to disk and takes the place of `path`.

    Raises UserError where the disk is full or does not let it be written; what was there before stays.
    """
    # The ending stays last, as libraries read the format from it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with disk.explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
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
