"""Keys: short strings that change exactly when a result is out of date.

Every result is kept with the key of what it was made from: the settings that it depends on and the code's fingerprint. The
workflow compares keys to decide which jobs to run, and jobs compare them to decide which runs are still to be made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vaebench.datasets import Dataset
from vaebench.fingerprint import PACKAGE, fingerprint
from vaebench.metrics import METRICS
from vaebench.settings import Run
from vaebench.specification import Cohort, Evaluation, Experiment
from vaebench.store import Results, RunFolder, made_by
from vaebench.tasks import Task


def training_key(run: Run) -> str:
    return _key(run.settings, fingerprint("training", run.definitions))


def evaluation_key(run: Run, evaluation: Evaluation) -> str:
    scored_by = fingerprint("evaluation", run.definitions | frozenset(METRICS))
    return _key(training_key(run), evaluation.model_dump(mode="json"), scored_by)


def task_key(run: Run, evaluation: Evaluation, task: Task) -> str:
    definitions = run.definitions | {definition.__name__ for definition in task.definitions}
    scored_by = [fingerprint(module, definitions) for module in (task.module, "subject")]
    settings = [asdict(task), evaluation.model_dump(mode="json")]
    read = [dataset_key(dataset) for dataset in task.other_datasets(run)]
    return _key(training_key(run), settings, scored_by, read)


def dataset_key(dataset: Dataset) -> str:
    return _key(dataset.argument, fingerprint("datasets", frozenset([type(dataset).__name__])))


def classifier_key(dataset: Dataset) -> str:
    return _key(dataset_key(dataset), fingerprint("classifier", frozenset([type(dataset).__name__])))


def is_classified(dataset: Dataset, results: Results) -> bool:
    """Whether the data set's classifier is there, as these settings and this code make it."""
    return made_by(results.classifier(dataset.name).record, classifier_key(dataset))


def is_trained(folder: RunFolder, run: Run, with_files: bool = True) -> bool:
    """Whether the run's folder holds what these settings and this code make; with_files: as `made_by` takes it."""
    return made_by(folder.record, training_key(run), with_files)


def is_scored(folder: RunFolder, run: Run, evaluation: Evaluation, with_files: bool = True) -> bool:
    """The same of its scores, or of the fact that it diverged and has none."""
    return made_by(folder.evaluation, evaluation_key(run, evaluation), with_files)


def open_tasks(folder: RunFolder, run: Run, experiment: Experiment, with_files: bool = True) -> list[Task]:
    """The experiment's tasks that apply to the run and are still to be scored; with_files: as `made_by` takes it."""
    return [
        task
        for task in experiment.tasks
        if task.applies(run) and not made_by(folder.task(task.kind), task_key(run, experiment.evaluation, task), with_files)
    ]


def checkpoint_key(run: Run, made_with: Mapping[str, str | None]) -> str:
    """Of a training that has not ended: what it is to go on with must be what it was begun with, or its bits are mixed."""
    return _key(training_key(run), [made_with[part] for part in ("torch", "device", "processor")])


def cohort_evaluation_key(experiment: Experiment, cohort: Cohort) -> str:
    def scored(run: Run) -> list[str]:
        tasks = [task_key(run, experiment.evaluation, task) for task in experiment.tasks if task.applies(run)]
        return [run.run_id, evaluation_key(run, experiment.evaluation), *tasks]

    return _key([scored(run) for run in cohort.runs])


def tables_key(experiment: Experiment) -> str:
    return _key([run.run_id for run in experiment.runs], experiment.baseline, fingerprint("tables", _shown(experiment)))


def figures_key(experiment: Experiment, functions: frozenset[str]) -> str:
    """functions: the names of those that draw figures."""
    return _key(experiment.headline, fingerprint("figures", functions | _shown(experiment)))


def report_key(experiment: Experiment) -> str:
    return _key(experiment.model_dump(mode="json"), fingerprint("report", _shown(experiment)), _page_parts())


def tracking_key(experiment: Experiment) -> str:
    return _key(experiment.title, [run.run_id for run in experiment.runs], fingerprint("tracking", _shown(experiment)))


def _shown(experiment: Experiment) -> frozenset[str]:
    """The names of the registered definitions whose labels and units are shown."""
    return frozenset(METRICS) | experiment.task_definitions


def _page_parts() -> dict[str, str]:
    """The hashes of the package's files that are no code: templates, style, script, references."""
    parts = (path for path in PACKAGE.glob("*.*") if path.suffix in (".html", ".css", ".js", ".bib"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
