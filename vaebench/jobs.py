"""The steps that need torch, as jobs: each reads files of the store and writes files of the store.

A job does only what is missing: a run whose files were made with the same key is not made again, whatever its cohort looks
like by now. So a new seed or variant trains and scores only what is new, and a job that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch

from vaebench import classifier, environment, locks, progress, splits
from vaebench.checkpoints import Checkpoint
from vaebench.datasets import Dataset
from vaebench.device import describe
from vaebench.divergence import not_finite
from vaebench.errors import UserError
from vaebench.evaluation import Evaluated, evaluate
from vaebench.files import checksums, read_json, read_table, sweep, write_arrays, write_bytes, write_json, write_table
from vaebench.images import Images, blocks, load_images
from vaebench.keys import (
    checkpoint_key,
    classifier_key,
    evaluation_key,
    is_classified,
    is_scored,
    is_trained,
    open_tasks,
    task_key,
    training_key,
)
from vaebench.latent_dimensions import DIMENSION_COLUMNS, OPTIMAL_COLUMNS, dimensions
from vaebench.memory import in_halves, lanes_that_fit
from vaebench.metrics import METRICS, compute_all
from vaebench.settings import Run
from vaebench.specification import Cohort, Evaluation, Experiment
from vaebench.store import FORMAT, Results, RunFolder, read_record
from vaebench.subject import Subject
from vaebench.task_scores import Finding, TaskScores
from vaebench.tasks import Task
from vaebench.training import HISTORY_COLUMNS, TrainedRun, train
from vaebench.weights import load_weights, trained_model


def classify(dataset: Dataset, results: Results) -> None:
    """Train the classifier of a data set and say how well it does, unless it is there."""
    files, key = results.classifier(dataset.name), classifier_key(dataset)
    with locks.held(results.dataset_lock(dataset.name, "classifier"), str(files.weights)):
        for path in (files.weights, files.cost):
            sweep(path.parent, path.stem)
        if not is_classified(dataset, results):
            images = splits.load(dataset, results.dataset(dataset.name))
            with progress.shown(f"{dataset.name}, classifier", "step") as report:
                trained = classifier.train(dataset, images["train"], report)
            weights = {name: weight.contiguous() for name, weight in trained.state_dict().items()}
            write_bytes(files.weights, safetensors.torch.save(weights))
            record = {
                "key": key,
                "test_accuracy": trained.accuracy(images["test"]),
                "environment": _made_with("cpu"),
                "files": checksums(files.weights),
            }
            write_json(files.record, record)
        print(
            f"{dataset.name}: classifier, test accuracy {100 * read_json(files.record)['test_accuracy']:.2f} %", flush=True
        )


def train_cohort(
    experiment: Experiment, cohort: Cohort, results: Results, device: str = "cpu", checkpoint_seconds: float = 60
) -> None:
    """Train the cohort's missing runs side by side and gather all histories of the cohort."""
    folder = results.experiment(experiment.name)
    files = folder.cohort(cohort.name)
    _train(experiment, cohort, results, files.checkpoint, device, checkpoint_seconds)
    runs = {run.run_id: folder.run(run.run_id) for run in cohort.runs}
    histories = [read_table(run.history, HISTORY_COLUMNS, run.record).assign(run_id=name) for name, run in runs.items()]
    write_table(files.history, pd.concat(histories))


def evaluate_cohort(experiment: Experiment, cohort: Cohort, results: Results, device: str = "cpu") -> None:
    """Score the cohort's unscored runs, by the experiment's tasks too, and gather all scores of the cohort."""
    _evaluate(experiment, cohort, results, device)
    folder = results.experiment(experiment.name)
    records = [read_record(folder.run(run.run_id).evaluation) for run in cohort.runs]
    scored = [run for run, record in zip(cohort.runs, records, strict=True) if record["metrics"]]
    _score_tasks(experiment, scored, results, device)
    found = [
        read_record(folder.run(run.run_id).task(task.kind))
        for run in scored
        for task in experiment.tasks
        if task.applies(run)
    ]
    files = folder.cohort(cohort.name)
    write_table(files.metrics, _metric_rows([*records, *found]))
    write_table(files.spectrum, _spectrum_rows(records))
    write_table(files.tasks, _task_rows(found))
    write_json(files.checksums, {"files": checksums(files.history, files.metrics, files.spectrum, files.tasks)})


def train_alone(experiment: Experiment, run: Run, results: Results) -> None:
    """Train one run by itself, unless it is there; the job of its cohort will find it done."""
    checkpoint_path = results.experiment(experiment.name).run(run.run_id).checkpoint
    _train(experiment, _alone(run), results, checkpoint_path)


def evaluate_alone(experiment: Experiment, run: Run, results: Results) -> None:
    """Score one trained run, by the experiment's tasks too, unless it is scored."""
    _evaluate(experiment, _alone(run), results)
    if read_record(results.experiment(experiment.name).run(run.run_id).evaluation)["metrics"]:
        _score_tasks(experiment, [run], results)


def _alone(run: Run) -> Cohort:
    return Cohort(run.run_id, (run,))


def _train(
    experiment: Experiment,
    cohort: Cohort,
    results: Results,
    checkpoint_path: Path,
    device: str = "cpu",
    checkpoint_seconds: float = 60,
) -> None:
    folder = results.experiment(experiment.name)
    missing = [run for run in cohort.runs if not is_trained(folder.run(run.run_id), run)]
    print(f"{cohort.name}: {len(missing)} of {len(cohort.runs)} runs to train", flush=True)
    if not missing:
        # Of a job that was killed after it had kept its last run.
        Checkpoint(checkpoint_path, []).remove()
        return
    made_with = _made_with(device)
    images = _images(missing[0], results)
    _require_a_batch(missing[0], len(images["train"]))

    def keys(runs: Sequence[Run]) -> list[str]:
        return [checkpoint_key(run, made_with) for run in runs]

    checkpoint = Checkpoint(checkpoint_path, keys(missing), checkpoint_seconds)

    def train_part(part: Sequence[Run]) -> None:
        with progress.shown(cohort.name, "epoch") as report:
            trained = train(part, images, checkpoint.part(keys(part)), device, report)
        for each in trained:
            _save_trained(folder.run(each.run.run_id), each, made_with)

    for start, end in blocks(len(missing), lanes_that_fit(missing[0], device) or len(missing)):
        in_halves(train_part, missing[start:end], cohort.name)
    checkpoint.remove()


def _evaluate(experiment: Experiment, cohort: Cohort, results: Results, device: str = "cpu") -> None:
    folder, evaluation = results.experiment(experiment.name), experiment.evaluation
    missing = [run for run in cohort.runs if not is_scored(folder.run(run.run_id), run, evaluation)]
    trained, diverged = [], []
    for run in missing:
        is_trained_to_the_end = read_record(folder.run(run.run_id).record)["diverged_epoch"] is None
        (trained if is_trained_to_the_end else diverged).append(run)
    print(f"{cohort.name}: {len(trained)} of {len(cohort.runs)} runs to score", flush=True)
    made_with = _made_with(device) if missing else {}
    for run in diverged:
        _save_unscored(folder.run(run.run_id), run, evaluation, made_with)
    if not trained:
        return
    images = _images(trained[0], results)

    def score_part(part: Sequence[Run]) -> None:
        folders = [folder.run(run.run_id) for run in part]
        states = [load_weights(each.weights, each.record) for each in folders]
        with progress.shown(f"{cohort.name}, scoring", "image") as report:
            evaluated = evaluate(part, states, images, evaluation.n_samples, evaluation.split, device, report)
        for into, each in zip(folders, evaluated, strict=True):
            _save_evaluated(into, each, evaluation, made_with)

    in_halves(score_part, trained, cohort.name)


def _score_tasks(experiment: Experiment, runs: Sequence[Run], results: Results, device: str = "cpu") -> None:
    """Of runs that have scores, by those of the experiment's tasks that they have not been scored by yet."""
    folders = {run: results.experiment(experiment.name).run(run.run_id) for run in runs}
    missing = {run: tasks for run, files in folders.items() if (tasks := open_tasks(files, run, experiment))}
    if not missing:
        return
    for dataset in {run.dataset for run, tasks in missing.items() if any(task.needs_classifier for task in tasks)}:
        if not is_classified(dataset, results):
            raise classifier.to_be_made(dataset, results, "is missing or out of date")
    made_with = _made_with(device)

    def score_run(alone: Sequence[Run]) -> None:
        [run] = alone
        subject = Subject(run, trained_model(run, folders[run]).to(device), experiment.evaluation, results, device)
        for task in missing[run]:
            # By name, so that a task's code is no part of what the keys of others are made of.
            found = import_module(f"vaebench.{task.module}").score(subject, task)
            _save_task_scores(folders[run], run, experiment.evaluation, task, found, made_with)

    with progress.shown("tasks", "run") as report:
        for n_done, run in enumerate(missing):
            report(n_done, len(missing))
            in_halves(score_run, [run], "tasks")


def _made_with(device: str) -> dict[str, str | None]:
    return environment.describe() | {"device": describe(device)}


def _images(run: Run, results: Results) -> Images:
    return load_images(run.dataset, run.binarisation, results.dataset(run.dataset.name), run.left_out)


def _require_a_batch(run: Run, n_images: int) -> None:
    """How many images a class has is known only here. Raises UserError where the others fill no batch."""
    if run.batch_size > n_images:
        without = f"the {n_images} training images of {run.dataset.kind} without the class {run.left_out!r}"
        raise UserError(f"{run.run_id}: batch_size {run.batch_size} is more than {without}")


def _save_trained(folder: RunFolder, trained: TrainedRun, made_with: dict[str, str | None]) -> None:
    run = trained.run
    write_table(folder.history, trained.history)
    written = [folder.history]
    if trained.state is not None:
        write_bytes(folder.weights, safetensors.torch.save(trained.state))
        written.append(folder.weights)
    record = {
        "format": FORMAT,
        "key": training_key(run),
        "run_id": run.run_id,
        "specification": run.model_dump(mode="json"),
        "diverged_epoch": None if trained.diverged is None else trained.diverged.epoch,
        "diverged_because": None if trained.diverged is None else trained.diverged.because,
        "environment": made_with,
        "files": checksums(*written),
    }
    write_json(folder.record, record)


def _save_evaluated(
    folder: RunFolder, evaluated: Evaluated, evaluation: Evaluation, made_with: dict[str, str | None]
) -> None:
    """Scores, pictures and latent means of a run. One whose scores are not finite has none: it diverged too."""
    # What overflows is not finite, and is said as such.
    with np.errstate(over="ignore", invalid="ignore"):
        metrics, spectrum = compute_all(evaluated.scores), dimensions(evaluated.scores)
    found = {METRICS[name].label: [value or 0 for value in estimate] for name, estimate in metrics.items()}
    because = not_finite(found | {f"{name} by dimension": values for name, values in spectrum.items()})
    if because is not None:
        _save_unscored(folder, evaluated.run, evaluation, made_with, because)
        return
    write_arrays(folder.pictures, vars(evaluated.pictures))
    write_arrays(folder.latent, vars(evaluated.latent))
    record = _evaluation_record(evaluated.run, evaluation, made_with) | {
        "metrics": {name: estimate._asdict() for name, estimate in metrics.items()},
        "spectrum": {name: values.tolist() for name, values in spectrum.items()},
        "files": checksums(folder.weights, folder.pictures, folder.latent),
    }
    write_json(folder.evaluation, record)


def _save_unscored(
    folder: RunFolder, run: Run, evaluation: Evaluation, made_with: dict[str, str | None], because: str | None = None
) -> None:
    """Of a run that diverged, the fact that it has no scores. because: which were not finite, if it was trained well."""
    write_json(folder.evaluation, _evaluation_record(run, evaluation, made_with) | {"diverged_because": because})


def _save_task_scores(
    folder: RunFolder,
    run: Run,
    evaluation: Evaluation,
    task: Task,
    found: TaskScores,
    made_with: dict[str, str | None],
) -> None:
    """What is not finite is left out, and said."""
    metrics = {name: estimate for name, estimate in found.metrics.items() if np.isfinite(estimate.value)}
    if lost := sorted(found.metrics.keys() - metrics.keys()):
        print(f"{run.run_id}: {task.kind}: {', '.join(lost)}: not finite, so there is none", flush=True)
    scored, pictures = [folder.weights], folder.task_pictures(task.kind)
    if found.pictures:
        write_arrays(pictures, found.pictures)
        scored.append(pictures)
    record = {
        "format": FORMAT,
        "key": task_key(run, evaluation, task),
        "run_id": run.run_id,
        "task": task.kind,
        "environment": made_with,
        "metrics": {name: estimate._asdict() for name, estimate in metrics.items()},
        "findings": [finding._asdict() for finding in found.findings if np.isfinite(finding.value)],
        "files": checksums(*scored),
    }
    write_json(folder.task(task.kind), record)


def _evaluation_record(run: Run, evaluation: Evaluation, made_with: dict[str, str | None]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "key": evaluation_key(run, evaluation),
        "run_id": run.run_id,
        "environment": made_with,
        "n_samples": evaluation.n_samples,
        "metrics": {},
        "spectrum": {},
    }


def _metric_rows(records: list[dict]) -> pd.DataFrame:
    rows = [
        (record["run_id"], name, estimate["value"], estimate["standard_error"])
        for record in records
        for name, estimate in record["metrics"].items()
    ]
    columns = ["run_id", "metric", "value", "standard_error"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "standard_error": float})


def _task_rows(records: list[dict]) -> pd.DataFrame:
    rows = [{"run_id": record["run_id"], "task": record["task"]} | row for record in records for row in record["findings"]]
    table = pd.DataFrame(rows, columns=["run_id", "task", *Finding._fields])
    return table.astype({"value": float, "standard_error": float})


def _spectrum_rows(records: list[dict]) -> pd.DataFrame:
    """A row a run and latent dimension, as `latent_dimensions.dimensions` gives them; rank 1 has the run's largest KL."""
    columns = ["run_id", "rank", *DIMENSION_COLUMNS, *OPTIMAL_COLUMNS]
    rows = [
        dict(zip(record["spectrum"], values, strict=True)) | {"run_id": record["run_id"], "rank": rank}
        for record in records
        for rank, values in enumerate(zip(*record["spectrum"].values(), strict=True), start=1)
    ]
    types = dict.fromkeys(columns[3:], float) | {"run_id": str, "rank": int, "dimension": int}
    return pd.DataFrame(rows, columns=columns).astype(types)
