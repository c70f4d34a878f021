"""Mirroring an experiment's runs to MLflow: an index of results/ for browsing, which can be made anew at any time.

An MLflow run is found again by two tags: `run_id`, and `content`, a hash of all that was logged with it. Its status leaves
RUNNING last, so that a run whose logging was interrupted is told from a whole one, and replaced. Whatever else bears the
tag `content` is out of date and deleted (in MLflow's sense: hidden until `mlflow gc`); runs without it are other people's.

mlflow takes seconds to import, so that happens where it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from vaebench.errors import UserError
from vaebench.metrics import METRICS
from vaebench.specification import Experiment, Run
from vaebench.store import ExperimentFolder, Results, read_arrays, read_json, replacing
from vaebench.tables import Tables, flat_settings, load

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_POINTS = 25  # a curve: a point takes 0.15 ms to log and 230 bytes to keep, and history.parquet has every epoch
PICTURE = "originals-reconstructions-samples.png"
PICTURE_HEIGHT = 56  # of an image in it; small ones are scaled up to be seen
NOTE = "mlflow.note.content"  # what MLflow shows as the description
SUMMARY = "summary"

# mlflow heeds DO_NOT_TRACK only where it is "true".
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
# Unless the user sets them: a dead server is reported within seconds, not minutes; no lines of progress.
MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Point(NamedTuple):
    """A value of an MLflow metric; the step is the epoch, and 0 for what is measured once."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Entry:
    """All that is logged as one MLflow run.

    key: the run_id, or "summary". files: content by artifact path. seconds: of training. modified: when the results were
    written, in seconds since 1970; no part of the identity, as copying results/ changes it.
    """

    key: str
    name: str
    tags: dict[str, str]
    modified: float
    seconds: float = 0
    params: dict[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    status: str = "FINISHED"

    @cached_property
    def identity(self) -> tuple[str, str, str]:
        """Key, content and status: what a whole MLflow run of this entry has."""
        files = {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}
        content = json.dumps([self.name, self.tags, self.seconds, self.params, self.points, files], sort_keys=True)
        return self.key, hashlib.sha256(content.encode()).hexdigest()[:16], self.status


def track(experiment: Experiment, results: Results) -> None:
    """Make MLflow show the experiment's runs as they are now, and write the table of their MLflow ids.

    The store is results/mlflow.db, or the server that the environment variable MLFLOW_TRACKING_URI names. Tracking twice
    changes nothing. Raises UserError where tables are missing, or the database or the server fails.
    """
    os.environ.update(NO_TELEMETRY)
    os.environ.update({name: os.environ.get(name, value) for name, value in MLFLOW_DEFAULTS.items()})
    folder = results.experiment(experiment.name)
    tables = _tables(experiment, folder)
    server = os.environ.get("MLFLOW_TRACKING_URI")
    with _locked(results), _explained(server, results):
        client = _connect(server, results)
        artifacts = None if server else (results.mlflow_artifacts / experiment.name).resolve().as_uri()
        ids = _mirror(client, _mlflow_experiment(client, experiment, artifacts), entries(experiment, folder, tables))
        ids.pop(SUMMARY)
        with replacing(folder.tracked) as temporary:
            pd.DataFrame(ids.items(), columns=["run_id", "mlflow_run_id"]).to_csv(temporary, index=False)


def entries(experiment: Experiment, folder: ExperimentFolder, tables: Tables) -> Iterator[Entry]:
    """One for each run, in the file's order, and at last the summary: tables and figures, once for the experiment."""
    rows = tables.runs.set_index("run_id")
    histories = dict(list(tables.history.groupby("run_id")))
    nothing = tables.history.iloc[:0]
    for run in experiment.runs:
        yield _run_entry(experiment, run, folder, rows.loc[run.run_id], histories.get(run.run_id, nothing))
    yield _summary_entry(folder)


def _summary_entry(folder: ExperimentFolder) -> Entry:
    tables = [folder.runs, folder.summary("csv"), folder.summary("md"), folder.comparisons, folder.linear]
    figures = folder.figure("*", "png")
    files = {f"tables/{path.name}": path.read_bytes() for path in tables if path.exists()}
    files |= {f"figures/{path.name}": path.read_bytes() for path in sorted(figures.parent.glob(figures.name))}
    return Entry(key=SUMMARY, name=SUMMARY, tags={"kind": SUMMARY}, modified=folder.runs.stat().st_mtime, files=files)


def _run_entry(experiment: Experiment, run: Run, folder: ExperimentFolder, row: pd.Series, history: pd.DataFrame) -> Entry:
    files = folder.run(run.run_id)
    trained = row.status == "trained"
    params = flat_settings(run) | {"n_samples": experiment.evaluation.n_samples}
    return Entry(
        key=run.run_id,
        name=f"{run.variant}-z{run.latent_size}-s{run.seed}",
        tags=_tags(run, row, read_json(files.record)["environment"]),
        modified=files.record.stat().st_mtime,
        seconds=float(history.seconds.sum()),
        params={name: str(value) for name, value in params.items()},
        points=(*_scores(row, experiment.evaluation.split), *_curves(history)),
        files={PICTURE: draw_pictures(files.pictures, run.dataset.image_shape)} if trained else {},
        status="FINISHED" if trained else "FAILED",
    )


def _tags(run: Run, row: pd.Series, made_with: dict[str, str | None]) -> dict[str, str]:
    tags = {
        "kind": "run",
        "run_id": run.run_id,
        "variant": run.variant,
        "dataset": run.dataset.name,
        "likelihood": run.likelihood.kind,
        "latent_size": run.latent_size,
        "seed": run.seed,
        "measure": row.measure,
        "status": row.status,
        "collapse": row.collapse,
        "vaebench": made_with["vaebench"],
        "git_commit": made_with["git commit"],
    }
    return {name: str(value) for name, value in tags.items() if pd.notna(value)}


def _scores(row: pd.Series, split: str) -> Iterator[Point]:
    """Metrics and their standard errors, those that the run has; none of a diverged one. split: the one scored."""
    # Curves are called "train/…" and "validation/…".
    prefix = "test" if split == "test" else f"final_{split}"
    for metric in METRICS:
        for column in (metric, f"{metric}_standard_error"):
            if pd.notna(row.get(column)):
                yield Point(f"{prefix}/{column}", float(row[column]))


def _curves(history: pd.DataFrame) -> Iterator[Point]:
    """The columns of a history, at up to MAX_POINTS epochs evenly from the first to the last."""
    n_points = min(len(history), MAX_POINTS)
    chosen = history.iloc[np.linspace(0, len(history) - 1, n_points).round().astype(int)]
    curves = {column: values for column, values in chosen.items() if column not in ("run_id", "epoch", "seconds")}
    for column, values in curves.items():
        name = re.sub("^(train|validation)_", r"\1/", column)
        yield from (Point(name, value, epoch) for value, epoch in zip(values.tolist(), chosen.epoch.tolist(), strict=True))


def draw_pictures(path: Path, image_shape: tuple[int, int]) -> bytes:
    """PNG of a run's pictures: a row of originals, one of their reconstructions, one of samples."""
    from PIL import Image

    height, width = image_shape
    arrays = read_arrays(path)
    levels = np.stack([arrays[name] for name in ("originals", "reconstructions", "samples")]).reshape(3, -1, height, width)
    scale = max(1, round(PICTURE_HEIGHT / height))
    framed = np.pad(levels.repeat(scale, 2).repeat(scale, 3), ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=128)
    buffer = io.BytesIO()
    Image.fromarray(_grid(framed)).save(buffer, "PNG")
    return buffer.getvalue()


def _grid(images: np.ndarray) -> np.ndarray:
    """[rows, columns, H, W] -> [rows H, columns W]."""
    n_rows, n_columns, height, width = images.shape
    return images.transpose(0, 2, 1, 3).reshape(n_rows * height, n_columns * width)


def _tables(experiment: Experiment, folder: ExperimentFolder) -> Tables:
    try:
        tables = load(folder)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is missing; run `vaebench aggregate` first") from error
    if missing := {run.run_id for run in experiment.runs} - set(tables.runs.run_id):
        raise UserError(f"{folder.runs}: has no run {min(missing)}; run `vaebench aggregate` again")
    return tables


def _mirror(client: MlflowClient, experiment_id: str, wanted: Iterable[Entry]) -> dict[str, str]:
    """Log what is not there, then delete what is out of date; MLflow's run ids by key."""
    found = _found(client, experiment_id)
    ids, n_new = {}, 0
    for entry in wanted:
        whole = found[entry.identity]
        n_new += not whole
        ids[entry.key] = whole.pop() if whole else _log(client, experiment_id, entry)
    left = [mlflow_run_id for copies in found.values() for mlflow_run_id in copies]
    for mlflow_run_id in left:
        client.delete_run(mlflow_run_id)
    print(f"{n_new} of {len(ids)} MLflow runs logged, the others were there; {len(left)} out of date deleted", flush=True)
    return ids


def _found(client: MlflowClient, experiment_id: str) -> defaultdict[tuple[str, str, str], list[str]]:
    """The MLflow run ids of what was logged here before, by identity."""
    found = defaultdict(list)
    token = None
    while token != "":
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            if "content" in tags:
                found[tags.get("run_id", SUMMARY), tags["content"], run.info.status].append(run.info.run_id)
        token = page.token or ""
    return found


def _log(client: MlflowClient, experiment_id: str, entry: Entry) -> str:
    from mlflow.entities import Metric, Param

    end = int(1000 * entry.modified)
    start = end - int(1000 * entry.seconds)
    tags = entry.tags | {"content": entry.identity[1]}
    mlflow_run_id = client.create_run(experiment_id, start, tags, entry.name).info.run_id
    if entry.files:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in entry.files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            client.log_artifacts(mlflow_run_id, folder)
    metrics = [Metric(point.name, point.value, end, point.step) for point in entry.points]
    client.log_batch(mlflow_run_id, metrics, [Param(*item) for item in entry.params.items()], synchronous=True)
    client.set_terminated(mlflow_run_id, entry.status, end)
    return mlflow_run_id


def _mlflow_experiment(client: MlflowClient, experiment: Experiment, artifacts: str | None) -> str:
    """The id of MLflow's experiment of this name, with its artifacts at this URI, or wherever the server puts them."""
    found = client.get_experiment_by_name(experiment.name)
    if found is None:
        return client.create_experiment(experiment.name, artifacts, {NOTE: experiment.title})
    if artifacts not in (None, found.artifact_location):
        raise UserError(
            f"MLflow's artifacts of {experiment.name} are in {found.artifact_location}, not in {artifacts}; "
            "results/ was moved or copied: delete its mlflow.db and mlartifacts/, then track again, which makes them anew"
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    if found.tags.get(NOTE) != experiment.title:
        client.set_experiment_tag(found.experiment_id, NOTE, experiment.title)
    return found.experiment_id


def _connect(server: str | None, results: Results) -> MlflowClient:
    from mlflow import MlflowClient

    # mlflow raises what it reports with a traceback here.
    logging.getLogger("mlflow.store.db.utils").addFilter(_without_traceback)
    if server is None and not results.mlflow_database.exists():
        _create_database(results)
    return MlflowClient(server or _sqlite_uri(results.mlflow_database))


def _without_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def _create_database(results: Results) -> None:
    """Whole or not at all: MLflow cannot mend a database whose creation was interrupted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with replacing(results.mlflow_database) as temporary:
        SqlAlchemyStore(_sqlite_uri(temporary), results.mlflow_artifacts.resolve().as_uri()).engine.dispose()


def _sqlite_uri(path: Path) -> str:
    return f"sqlite:///{path.resolve().as_posix()}"


@contextmanager
def _locked(results: Results) -> Iterator[None]:
    """One process at a time: several that create one SQLite database corrupt it."""
    from filelock import FileLock, Timeout

    path = results.mlflow_database.with_suffix(".db.lock")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another `vaebench track` to end; it holds {path}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained(server: str | None, results: Results) -> Iterator[None]:
    """Faults of MLflow's database or server as a UserError: where, what, and what to do."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    remedy = "see that the server runs and MLFLOW_TRACKING_URI is right"
    if server is None:
        remedy = "close what uses the file (such as `mlflow ui`), or delete it if it is damaged: it is made anew"
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        fault = (str(error).strip() or repr(error)).splitlines()[0]
        message = f"MLflow at {server or _sqlite_uri(results.mlflow_database)}: {fault}; {remedy}, then track again"
        raise UserError(re.sub(r"(?<=://)[^/@\s]*@", "", message)) from error
