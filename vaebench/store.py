"""Every file name under results/, and the formats of records.

results/datasets/DATASET.npz                    splits as uint8 grey levels, made once for each of its settings
                        .json                   what that cost
                        .classifier.safetensors through whose eyes tasks look, where an experiment asks for such a task
                        .classifier.json        how well it does; vouches for it
                        .classifier-cost.json   what that cost
results/NAME/runs/RUN_ID/run.json               a trained run: specification, state, environment
                         weights.safetensors    its parameters
                         history.parquet        a row an epoch
                         evaluation.json        its scores
                         pictures.npz           originals, reconstructions, samples, traversals …
                         latent.npz             posterior means and labels
                         task.TASK.json         what a task found of it, and task.TASK.npz, its pictures
results/NAME/cohorts/COHORT/checkpoint.safetensors   of a training job that has not ended; also of parts of its runs
                            checkpoint.previous.safetensors   the one before
                            history.parquet     the histories of all its runs
                            metrics.parquet     run_id, metric, value, standard_error
                            spectrum.parquet    run_id, rank, dimension, kl …
                            tasks.parquet       run_id, task, condition, score, method, value, standard_error
                            checksums.json      of these tables
results/NAME/{runs,summary,comparisons}.csv …   tables, report.html; checksums.json vouches for the tables
             figures/NAME.{png,svg,pdf}         and variants/VARIANT/NAME.{png,svg} below it
             costs/VERB/COHORT.json …           what each job cost; stages.csv sums it up
             logs/VERB/COHORT.log …             what it said
             locks/                             of what one process makes at a time, see vaebench.locks
results/benchmarks/                             what benchmarks/ measured of vaebench itself
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from vaebench.errors import DamagedFileError, UserError
from vaebench.files import Contents, read_bytes, read_expected, read_json, vouched

# Of run.json and evaluation.json; older ones are read too. 1: neither says its format, and evaluation.json not what the run
# was scored with. 2: both say their `format`, the latter its `environment` as run.json does, and both have checksums.
FORMAT = 2
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

    def classifier(self, name: str) -> ClassifierFiles:
        """Of the data set of this name."""
        return ClassifierFiles(self.root / "datasets" / name)

    def dataset_lock(self, *job: str) -> Path:
        """Held by who makes the data set or its "classifier"; with "call", by a call of the workflow that is going to."""
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
class ClassifierFiles:
    """What `vaebench classify` writes; the record comes after the weights and vouches for them."""

    stem: Path

    @property
    def weights(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.classifier.safetensors")

    @property
    def record(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.classifier.json")

    @property
    def cost(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.classifier-cost.json")


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
    def tasks(self) -> Path:
        return self.path / "tasks.csv"

    def variants_by_tasks(self, suffix: str) -> Path:
        return self.path / f"tasks.{suffix}"

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

    @property
    def tasks(self) -> Path:
        return self.path / "tasks.parquet"


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

    @property
    def tasks(self) -> list[Path]:
        """What each task found that the run was scored by."""
        return sorted(self.path.glob("task.*.json"))

    def task(self, kind: str) -> Path:
        """What a task found; it vouches for its pictures, and for the weights that were scored."""
        return self.path / f"task.{kind}.json"

    def task_pictures(self, kind: str) -> Path:
        return self.path / f"task.{kind}.npz"


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


def made_by(record: Path, key: str, with_files: bool = True) -> bool:
    """Whether this record is there, was written with this key, and it and all files that it vouches for are whole.

    Where they are not, says so on stderr: it is as if the record were not there. with_files: without, the files are not
    read, which takes long for thousands of runs. Raises UserError where the system does not let them be read.
    """
    if not record.exists():
        return False
    try:
        content = read_record(record)
        if content["key"] != key:
            return False
        for name, sha256 in vouched(content).items() if with_files else ():
            read_expected(record.parent / name, sha256, record)
    except DamagedFileError as error:
        print(f"{error.path}: {error.fault}, so it counts as not made", file=sys.stderr, flush=True)
        return False
    return True
