"""Mirroring an experiment's runs to MLflow: an index of results/ for browsing, which can be made anew at any time.

An MLflow run is found again by two tags: `run_id`, and `content`, a hash of all that was logged with it. Its status leaves
RUNNING last, so that a run whose logging was interrupted is told from a whole one, and replaced. Whatever else bears the
tag `content` is out of date and deleted (in MLflow's sense: hidden until `mlflow gc`); runs without it are other people's.

mlflow takes seconds to import, so that happens where it is used.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vaebench import locks
from vaebench.disk import REMEDIES, told
from vaebench.errors import UserError, without_credentials
from vaebench.files import replacing, sweep, write_csv
from vaebench.mlflow_entries import SUMMARY, Entry, Source, entries
from vaebench.mlflow_pages import Pages
from vaebench.specification import Experiment
from vaebench.store import Results
from vaebench.tables import load_current

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

# mlflow heeds DO_NOT_TRACK only where it is "true".
NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
# Unless the user sets them: a dead server is reported within seconds, one that never answers, or asks for patience, within
# minutes; no lines of progress.
MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# What SQLite says of the disk.
SQLITE_FAULTS = {
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}


def track(experiment: Experiment, results: Results) -> None:
    """Make MLflow show the experiment's runs as they are now, and write the table of their MLflow ids.

    The store is results/mlflow.db, or the server that the environment variable MLFLOW_TRACKING_URI names. Tracking twice
    changes nothing. Raises UserError where tables are missing, or the database or the server fails.
    """
    os.environ.update(NO_TELEMETRY)
    os.environ.update({name: os.environ.get(name, value) for name, value in MLFLOW_DEFAULTS.items()})
    folder = results.experiment(experiment.name)
    tables = load_current(experiment, folder)
    server = os.environ.get("MLFLOW_TRACKING_URI") or None
    # Several processes that create one SQLite database corrupt it.
    with _explained(server, results), locks.held(results.mlflow_lock, f"what MLflow shows of {results.root}"):
        client = _connect(server, results)
        artifacts = None if server else (results.mlflow_artifacts / experiment.name).resolve().as_uri()
        mlflow_id = _mlflow_experiment(client, experiment.name, artifacts)
        pages = Pages(experiment, results, mlflow_id)
        ids = _mirror(client, mlflow_id, entries(pages, tables))
        _describe(client, mlflow_id, pages.experiment_tags())
        ids.pop(SUMMARY)
        tracked = pd.DataFrame(ids.items(), columns=["run_id", "mlflow_run_id"]).assign(mlflow_experiment_id=mlflow_id)
        write_csv(folder.tracked, tracked)


def _mirror(client: MlflowClient, mlflow_id: str, wanted: Iterable[Entry]) -> dict[str, str]:
    """Log what is not there, then delete what else is there; MLflow's run ids by key."""
    found = _found(client, mlflow_id)
    ids, n_new = {}, 0
    for entry in wanted:
        whole = found[entry.identity]
        n_new += not whole
        ids[entry.key] = whole.pop() if whole else _log(client, mlflow_id, entry)
    if n_new:  # once more: a server that answers late is asked again, and may have made a run twice
        found = _found(client, mlflow_id)
    left = set(chain.from_iterable(found.values())) - set(ids.values())
    for mlflow_run_id in sorted(left):
        client.delete_run(mlflow_run_id)
    print(f"{n_new} of {len(ids)} MLflow runs logged, the others were there; {len(left)} others deleted", flush=True)
    return ids


def _found(client: MlflowClient, mlflow_id: str) -> defaultdict[tuple[str, str, str], list[str]]:
    """The MLflow run ids of what was logged here before, by identity."""
    found = defaultdict(list)
    token = None
    while token != "":
        page = client.search_runs([mlflow_id], max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            if "content" in tags:
                found[tags.get("run_id", SUMMARY), tags["content"], run.info.status].append(run.info.run_id)
        token = page.token or ""
    return found


def _log(client: MlflowClient, mlflow_id: str, entry: Entry) -> str:
    from mlflow.entities import Metric, Param

    end = int(1000 * entry.modified)
    start = end - int(1000 * entry.seconds)
    tags = entry.tags | {"content": entry.identity[1]}
    mlflow_run_id = client.create_run(mlflow_id, start, tags, entry.name).info.run_id
    if entry.files:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in entry.files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
            client.log_artifacts(mlflow_run_id, folder)
    if entry.source:
        client.log_inputs(mlflow_run_id, [_dataset_input(entry.source)])
    metrics = [Metric(point.name, point.value, end, point.step) for point in entry.points]
    client.log_batch(mlflow_run_id, metrics, [Param(*item) for item in entry.params.items()], synchronous=True)
    client.set_terminated(mlflow_run_id, entry.status, end)
    return mlflow_run_id


def _dataset_input(source: Source) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    uri = json.dumps({"uri": source.path})
    dataset = Dataset(source.name, source.digest, "local", uri, profile=source.profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])


def _mlflow_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """The id of MLflow's experiment of this name, with its artifacts at this URI, or wherever the server puts them."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.create_experiment(name, artifacts)
    if artifacts not in (None, found.artifact_location):
        raise UserError(
            f"MLflow's artifacts of {name} are in {found.artifact_location}, not in {artifacts}; "
            "results/ was moved or copied: delete its mlflow.db and mlartifacts/, then track again, which makes them anew"
        )
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def _describe(client: MlflowClient, mlflow_id: str, tags: dict[str, str]) -> None:
    there = client.get_experiment(mlflow_id).tags
    for name, value in tags.items():
        if there.get(name) != value:
            client.set_experiment_tag(mlflow_id, name, value)


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

    sweep(results.root, results.mlflow_database.stem)
    with replacing(results.mlflow_database) as temporary:
        SqlAlchemyStore(_sqlite_uri(temporary), results.mlflow_artifacts.resolve().as_uri()).engine.dispose()


def _sqlite_uri(path: Path) -> str:
    return f"sqlite:///{path.resolve().as_posix()}"


@contextmanager
def _explained(server: str | None, results: Results) -> Iterator[None]:
    """Faults of MLflow's database or server as a UserError: where, what, and what to do."""
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    remedy = "see that the server runs and MLFLOW_TRACKING_URI is right"
    if server is None:
        remedy = "close what uses the file (such as `mlflow ui`), or delete it if it is damaged: it is made anew"
    try:
        yield
    except (MlflowException, ParseError, OSError, SQLAlchemyError) as error:
        if isinstance(error, OSError) and error.errno in REMEDIES:
            # Of artifacts, which MLflow copies to their place.
            raise told(error, error.filename2 or error.filename or results.mlflow_artifacts, "written") from error
        fault = (str(error).strip() or repr(error)).splitlines()[0]
        remedy = next((REMEDIES[cause] for words, cause in SQLITE_FAULTS.items() if words in fault), remedy)
        message = f"MLflow at {server or _sqlite_uri(results.mlflow_database)}: {fault}; {remedy}, then track again"
        raise UserError(without_credentials(message)) from error
