"""What the Snakefile asks: experiments by name, the files between stages, and what to say at the end.

The Snakefile itself holds rules only. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

from snakemake.exceptions import WorkflowError

from vaebench import specification
from vaebench.errors import UserError
from vaebench.specification import Experiment
from vaebench.store import Results
from vaebench.timing import stage_times

_experiments: dict[str, Experiment] = {}


def experiment(name: str) -> Experiment:
    """experiments/NAME.yaml, read once; a mistake in it ends the planning with one line a mistake."""
    if name not in _experiments:
        try:
            _experiments[name] = specification.load(Path("experiments") / f"{name}.yaml")
        except UserError as error:
            raise WorkflowError(str(error)) from None
    return _experiments[name]


def dataset_file(name: str) -> str:
    return str(Results().dataset(experiment(name).dataset.kind))


def cohort_files(name: str) -> list[str]:
    """What training and evaluation give to the tables."""
    folder = Results().experiment(name)
    files = [folder.cohort(cohort.name) for cohort in experiment(name).cohorts]
    return [str(path) for file in files for path in (file.history, file.metrics, file.spectrum)]


def closing_words() -> str:
    """Of every experiment of this call: the seconds of each stage, and where the results lie."""
    lines = []
    for name in _experiments:
        folder = Results().experiment(name)
        lines.append(f"{name}: seconds of all jobs of a stage, imports included; memory of its largest job")
        for time in stage_times(folder):
            lines.append(f"  {time.stage:<10}{time.n_jobs:>4} jobs {time.seconds:>9.1f} s {time.peak_megabytes:>7.0f} MB")
        lines += [f"  {path}" for path in (folder.report, Results().mlflow_database) if path.exists()]
    return "\n".join(lines)
