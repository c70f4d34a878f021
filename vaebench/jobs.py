"""The steps that need torch, as jobs: each reads files of the store and writes files of the store.

A job does only what is missing: a run whose files were made with the same key is not made again, whatever its cohort looks
like by now. So a new seed or variant trains and scores only what is new, and a job that was killed goes on.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import safetensors.torch

from vaebench import environment, progress
from vaebench.device import describe
from vaebench.evaluation import Evaluated, evaluate
from vaebench.images import Images, blocks, load_images
from vaebench.keys import evaluation_key, is_scored, is_trained, runs_key, training_key
from vaebench.latent_dimensions import DIMENSION_COLUMNS, OPTIMAL_COLUMNS, dimensions
from vaebench.memory import lanes_that_fit
from vaebench.metrics import compute_all
from vaebench.specification import Cohort, Evaluation, Experiment, Run
from vaebench.store import (
    FORMAT,
    Results,
    RunFolder,
    checksums,
    read_record,
    read_table,
    write_arrays,
    write_bytes,
    write_json,
    write_table,
)
from vaebench.training import HISTORY_COLUMNS, Checkpoint, TrainedRun, train
from vaebench.weights import load_weights


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
    """Score the cohort's unscored runs and gather all scores of the cohort."""
    _evaluate(experiment, cohort, results, device)
    folder = results.experiment(experiment.name)
    records = [read_record(folder.run(run.run_id).evaluation) for run in cohort.runs]
    files = folder.cohort(cohort.name)
    write_table(files.metrics, _metric_rows(records))
    write_table(files.spectrum, _spectrum_rows(records))
    write_json(files.checksums, {"files": checksums(files.history, files.metrics, files.spectrum)})


def train_alone(experiment: Experiment, run: Run, results: Results) -> None:
    """Train one run by itself, unless it is there; the job of its cohort will find it done."""
    checkpoint_path = results.experiment(experiment.name).run(run.run_id).checkpoint
    _train(experiment, _alone(run), results, checkpoint_path)


def evaluate_alone(experiment: Experiment, run: Run, results: Results) -> None:
    """Score one trained run, unless it is scored."""
    _evaluate(experiment, _alone(run), results)


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
        return
    made_with = _made_with(device)
    images = _images(missing[0], results)
    for start, end in blocks(len(missing), lanes_that_fit(missing[0], device) or len(missing)):
        part = missing[start:end]
        checkpoint = Checkpoint(checkpoint_path, runs_key(part), checkpoint_seconds)
        with progress.shown(cohort.name, "epoch") as report:
            trained = train(part, images, checkpoint, device, report)
        for each in trained:
            _save_trained(folder.run(each.run.run_id), each, made_with)
        checkpoint_path.unlink(missing_ok=True)


def _evaluate(experiment: Experiment, cohort: Cohort, results: Results, device: str = "cpu") -> None:
    folder, evaluation = results.experiment(experiment.name), experiment.evaluation
    missing = [run for run in cohort.runs if not is_scored(folder.run(run.run_id), run, evaluation)]
    trained = [run for run in missing if read_record(folder.run(run.run_id).record)["diverged_epoch"] is None]
    print(f"{cohort.name}: {len(trained)} of {len(cohort.runs)} runs to score", flush=True)
    scored = {}
    if trained:
        folders = [folder.run(run.run_id) for run in trained]
        states = [load_weights(each.weights, each.record) for each in folders]
        images = _images(trained[0], results)
        with progress.shown(f"{cohort.name}, scoring", "image") as report:
            evaluated = evaluate(trained, states, images, evaluation.n_samples, evaluation.split, device, report)
        scored = dict(zip((run.run_id for run in trained), evaluated, strict=True))
    made_with = _made_with(device) if missing else {}
    for run in missing:
        _save_evaluated(folder.run(run.run_id), run, evaluation, scored.get(run.run_id), made_with)


def _made_with(device: str) -> dict[str, str | None]:
    return environment.describe() | {"device": describe(device)}


def _images(run: Run, results: Results) -> Images:
    return load_images(run.dataset, run.binarisation, results.dataset(run.dataset.name))


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
        "diverged_epoch": trained.diverged_epoch,
        "environment": made_with,
        "files": checksums(*written),
    }
    write_json(folder.record, record)


def _save_evaluated(
    folder: RunFolder, run: Run, evaluation: Evaluation, evaluated: Evaluated | None, made_with: dict[str, str | None]
) -> None:
    """Scores, pictures and latent means of a run; of one that diverged, the fact that there are none."""
    record = {
        "format": FORMAT,
        "key": evaluation_key(run, evaluation),
        "run_id": run.run_id,
        "environment": made_with,
        "n_samples": evaluation.n_samples,
        "metrics": {},
        "spectrum": {},
    }
    if evaluated is not None:
        record["metrics"] = {name: estimate._asdict() for name, estimate in compute_all(evaluated.scores).items()}
        record["spectrum"] = {name: values.tolist() for name, values in dimensions(evaluated.scores).items()}
        write_arrays(folder.pictures, vars(evaluated.pictures))
        write_arrays(folder.latent, vars(evaluated.latent))
        record["files"] = checksums(folder.weights, folder.pictures, folder.latent)
    write_json(folder.evaluation, record)


def _metric_rows(records: list[dict]) -> pd.DataFrame:
    rows = [
        (record["run_id"], name, estimate["value"], estimate["standard_error"])
        for record in records
        for name, estimate in record["metrics"].items()
    ]
    columns = ["run_id", "metric", "value", "standard_error"]
    return pd.DataFrame(rows, columns=columns).astype({"value": float, "standard_error": float})


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
