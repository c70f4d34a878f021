"""Tracking: what MLflow shows is what the tables hold, however often and however rudely `track` was called before."""

from __future__ import annotations

import ast
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vaebench import locks, tables, tracking
from vaebench.errors import UserError
from vaebench.files import replacing, write_json
from vaebench.latent_dimensions import DIMENSION_COLUMNS, OPTIMAL_COLUMNS
from vaebench.metrics import METRICS
from vaebench.mlflow_entries import PICTURE
from vaebench.settings import Run
from vaebench.specification import Experiment, load
from vaebench.store import Results
from vaebench.training import HISTORY_COLUMNS

CURVES = {"train/kl_weight", "validation/active_units"} | {
    f"{split}/{term}" for split in ("train", "validation") for term in ("rate", "distortion", "elbo")
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """As a user has it who has set nothing, but for retries; what `track` sets is undone."""
    for name, value in (tracking.NO_TELEMETRY | tracking.MLFLOW_DEFAULTS).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    """MLflow takes seconds to create one."""
    results = Results(tmp_path_factory.mktemp("empty"))
    tracking._create_database(results)
    return results.mlflow_database


@pytest.fixture
def results(tmp_path, empty_database) -> Results:
    made = Results(tmp_path / "results of é")
    made.root.mkdir()
    shutil.copy(empty_database, made.mlflow_database)
    return made


def fill(experiment: Experiment, results: Results, diverged: dict[str, int] | None = None) -> None:
    """Run folders and tables like the workflow's; `diverged`: epochs until then, by the run's name."""
    folder = results.experiment(experiment.name)
    for cohort in experiment.cohorts:
        histories, metrics = [], []
        for run in cohort.runs:
            diverged_epoch = (diverged or {}).get(f"{run.variant}-s{run.seed}")
            histories.append(make_history(run, diverged_epoch))
            metrics += [] if diverged_epoch is not None else make_metrics(run)
            made_with = {"vaebench": "0.1.0", "git commit": "abc123"}
            write_json(folder.run(run.run_id).record, {"diverged_epoch": diverged_epoch, "environment": made_with})
            levels = np.arange(10 * run.dataset.n_pixels).astype(np.uint8).reshape(10, -1)
            with replacing(folder.run(run.run_id).pictures) as temporary:
                np.savez(temporary, originals=levels, reconstructions=levels, samples=levels)
        files = folder.cohort(cohort.name)
        files.path.mkdir(parents=True, exist_ok=True)
        pd.concat(histories).to_parquet(files.history)
        columns = {"run_id": str, "metric": str, "value": float, "standard_error": float}
        pd.DataFrame(metrics, columns=list(columns)).astype(columns).to_parquet(files.metrics)
        pd.DataFrame(columns=["run_id", *DIMENSION_COLUMNS, *OPTIMAL_COLUMNS]).to_parquet(files.spectrum)
    tables.aggregate(experiment, results)


def make_history(run: Run, diverged_epoch: int | None) -> pd.DataFrame:
    """Column number i is run.seed + 10 i + epoch / 8."""
    epochs = np.arange(run.epochs if diverged_epoch is None else diverged_epoch)
    columns = {name: run.seed + 10 * i + epochs / 8 for i, name in enumerate(HISTORY_COLUMNS)}
    return pd.DataFrame(columns | {"epoch": epochs}).assign(run_id=run.run_id)


# As if the images were too small for it.
ABSENT = "ssim"


def make_metrics(run: Run) -> list[tuple]:
    error = {"active_units": None}
    values = [(run.run_id, name, i + run.seed / 4, error.get(name, 0.125)) for i, name in enumerate(METRICS)]
    return [value for value in values if value[1] != ABSENT]


def client(results: Results):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results.mlflow_database.resolve()}")


def shown(results: Results, name: str = "tiny") -> dict:
    """The experiment's active MLflow runs by name; fails where two have the same."""
    found = client(results).search_runs([client(results).get_experiment_by_name(name).experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def ids(results: Results, name: str = "tiny") -> dict[str, str]:
    return {run_name: run.info.run_id for run_name, run in shown(results, name).items()}


def everything(results: Results) -> tuple:
    """All of the database and of the artifacts."""
    with sqlite3.connect(results.mlflow_database) as connection:
        dump = list(connection.iterdump())
    connection.close()
    return dump, {path: path.read_bytes() for path in results.mlflow_artifacts.rglob("*") if path.is_file()}


def test_all_runs_are_there_with_the_right_values(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    runs = shown(results)
    assert set(runs) == {"bce-z3-s0", "bce-z3-s1", "mse-z3-s0", "mse-z3-s1", "summary"}

    run = runs["mse-z3-s1"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "group": "mse-z3",
        "variant": "mse",
        "likelihood": "gaussian",
        "likelihood.sigma": "0.5",
        "seed": "1",
    }
    final = {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
    assert final == {
        f"test/{metric.family}/{name}": i + 0.25 for i, (name, metric) in enumerate(METRICS.items()) if name != ABSENT
    }
    assert {name for name in run.data.metrics if name not in final} == CURVES
    assert runs["summary"].data.params == {
        "network": "mlp",
        "network.hidden": "16",
        "latent_size": "3",
        "kl": "constant",
        "kl.weight": "1.0",
        "binarisation": "none",
        "epochs": "3",
        "batch_size": "128",
        "learning_rate": "0.001",
        "learning_rate_decay": "none",
        "dataset": "digits",
        "seeds": "2",
        "baseline": "bce",
        "n_samples": "4",
    }


def test_the_data_set_is_each_runs_input(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    runs = shown(results)
    [given] = runs["bce-z3-s0"].inputs.dataset_inputs
    assert given.dataset.name == "digits"
    assert json.loads(given.dataset.source) == {"uri": str(results.dataset("digits"))}
    assert json.loads(given.dataset.profile) == {"train": 1257, "validation": 180, "test": 360}
    assert {run.inputs.dataset_inputs[0].dataset.digest for name, run in runs.items() if name != "summary"} == {
        given.dataset.digest
    }
    assert runs["summary"].inputs.dataset_inputs == []


def test_tags_say_what_a_run_is(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    tags = shown(results)["mse-z3-s1"].data.tags
    assert len(tags.pop("content")) == 16
    assert f"model('{experiment.runs[3].run_id}')" in tags.pop("mlflow.note.content")
    assert tags == {
        "mlflow.runName": "mse-z3-s1",
        "kind": "run",
        "run_id": experiment.runs[3].run_id,
        "measure": "density",
        "status": "trained",
        "collapse": "partial",
        "vaebench": "0.1.0",
        "git_commit": "abc123",
    }


def test_curves_have_their_epochs_as_steps(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    run_id = ids(results)["bce-z3-s1"]

    def curve(name: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in client(results).get_metric_history(run_id, name)]

    start = {name: 1 + 10 * i for i, name in enumerate(HISTORY_COLUMNS)}
    for name, column in {"train/kl_weight": "kl_weight", "train/rate": "train_rate"}.items():
        assert curve(name) == [(epoch, start[column] + epoch / 8) for epoch in range(3)]
    both = start["validation_rate"] + start["validation_distortion"]
    assert curve("validation/elbo") == [(epoch, -both - epoch / 4) for epoch in range(3)]


def test_experiment_tables_and_figures_are_attached_once(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    figure = results.experiment("tiny").figure("rate-distortion", "png")
    figure.parent.mkdir()
    figure.write_bytes(b"a figure")
    results.experiment("tiny").report.write_text("A report", encoding="utf-8")
    tracking.track(experiment, results)
    runs = shown(results)
    assert runs["summary"].data.tags["kind"] == "summary"

    def artifacts(name: str) -> set[str]:
        folder = results.mlflow_artifacts / "tiny" / runs[name].info.run_id / "artifacts"
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    named = {"tables/runs.csv", "tables/summary.csv", "tables/summary.md", "tables/comparisons.csv"}
    assert artifacts("summary") == named | {"report.html", "figures/rate-distortion.png"}
    assert artifacts("bce-z3-s0") == {PICTURE}
    listed = client(results).list_artifacts(runs["bce-z3-s0"].info.run_id)
    assert [item.path for item in listed] == [PICTURE]


def test_tracked_csv_has_the_mlflow_ids_in_the_order_of_the_file(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    tracked = pd.read_csv(results.experiment("tiny").tracked)
    assert list(tracked.columns) == ["run_id", "mlflow_run_id", "mlflow_experiment_id"]
    assert set(tracked.mlflow_experiment_id.astype(str)) == {client(results).get_experiment_by_name("tiny").experiment_id}
    assert list(tracked.run_id) == [run.run_id for run in experiment.runs]
    assert set(tracked.mlflow_run_id) == set(ids(results).values()) - {ids(results)["summary"]}


def test_tracking_twice_changes_nothing(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    tracked, before = results.experiment("tiny").tracked.read_bytes(), everything(results)
    tracking.track(experiment, results)
    assert everything(results) == before
    assert results.experiment("tiny").tracked.read_bytes() == tracked


def test_runs_no_longer_in_the_file_are_retired_and_other_peoples_stay(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    before = ids(results)
    found = client(results).get_experiment_by_name("tiny")
    client(results).create_run(found.experiment_id, run_name="by hand")
    fewer = make_experiment(title="Fewer", seeds=1)
    fill(fewer, results)
    tracking.track(fewer, results)
    after = ids(results)
    assert set(after) == {"bce-z3-s0", "mse-z3-s0", "summary", "by hand"}
    assert all(after[name] == before[name] for name in ("bce-z3-s0", "mse-z3-s0"))
    assert client(results).get_run(before["mse-z3-s1"]).info.lifecycle_stage == "deleted"
    first_line = client(results).get_experiment_by_name("tiny").tags["mlflow.note.content"].splitlines()[0]
    assert first_line.endswith(": Fewer")


def test_a_changed_metric_replaces_that_run_only(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    before = ids(results)
    runs = results.experiment("tiny").runs
    table = pd.read_csv(runs)
    table.loc[table.run_id == experiment.runs[1].run_id, "elbo"] = -7.5
    table.to_csv(runs, index=False)
    results.experiment("tiny").checksums.unlink()
    tracking.track(experiment, results)
    after = ids(results)
    # The summary holds the table.
    assert {name for name in after if after[name] != before[name]} == {"bce-z3-s1", "summary"}
    assert shown(results)["bce-z3-s1"].data.metrics["test/evidence/elbo"] == -7.5
    assert client(results).get_run(before["bce-z3-s1"]).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("step", ["log_artifacts", "log_batch", "set_terminated"])
def test_a_run_whose_logging_was_interrupted_is_mended(make_experiment, results, monkeypatch, step):
    from mlflow import MlflowClient

    experiment = make_experiment()
    fill(experiment, results)
    done, original = [], getattr(MlflowClient, step)

    def interrupt(self, *arguments, **options):
        if done:
            raise KeyboardInterrupt
        done.append(original(self, *arguments, **options))

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracking.track(experiment, results)
    assert not results.experiment("tiny").tracked.exists()
    interrupted = shown(results)
    assert interrupted["bce-z3-s1"].info.status == "RUNNING"

    tracking.track(experiment, results)
    mended = shown(results)
    assert len(mended) == 5
    assert {run.info.status for run in mended.values()} == {"FINISHED"}
    assert mended["bce-z3-s0"].info.run_id == interrupted["bce-z3-s0"].info.run_id
    assert mended["bce-z3-s1"].info.run_id != interrupted["bce-z3-s1"].info.run_id
    assert set(mended["bce-z3-s1"].data.metrics) > CURVES


def test_diverged_runs_have_curves_but_no_scores(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results, diverged={"bce-s1": 2, "mse-s0": 0})
    tracking.track(experiment, results)
    runs = shown(results)
    assert {name for name, run in runs.items() if run.info.status == "FAILED"} == {"bce-z3-s1", "mse-z3-s0"}
    assert runs["bce-z3-s1"].data.tags["status"] == "diverged"
    assert "collapse" not in runs["bce-z3-s1"].data.tags
    assert set(runs["bce-z3-s1"].data.metrics) == CURVES
    assert len(client(results).get_metric_history(runs["bce-z3-s1"].info.run_id, "train/rate")) == 2
    assert runs["mse-z3-s0"].data.metrics == {}
    assert client(results).list_artifacts(runs["mse-z3-s0"].info.run_id) == []
    assert len(pd.read_csv(results.experiment("tiny").tracked)) == 4


def test_a_server_that_does_not_answer_is_one_line(make_experiment, results, monkeypatch):
    experiment = make_experiment()
    fill(experiment, results)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"MLflow at http://127\.0\.0\.1:9: .*MLFLOW_TRACKING_URI") as error:
        tracking.track(experiment, results)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not results.experiment("tiny").tracked.exists()


def test_a_damaged_database_is_one_line(make_experiment, results, capsys):
    experiment = make_experiment()
    fill(experiment, results)
    results.mlflow_database.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"mlflow\.db: .*not a database.*delete it"):
        tracking.track(experiment, results)
    assert "Traceback" not in capsys.readouterr().err
    assert not results.experiment("tiny").tracked.exists()


@pytest.mark.parametrize("old_is_there", [True, False])
def test_moved_and_copied_results_are_refused_until_the_index_is_made_anew(make_experiment, results, old_is_there):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    elsewhere = Results(results.root.with_name("another place, ü"))
    if old_is_there:
        shutil.copytree(results.root, elsewhere.root)
        before = everything(results)
    else:
        results.root.rename(elsewhere.root)
    with pytest.raises(UserError, match=r"moved or copied: delete its mlflow\.db and mlartifacts/, then track again"):
        tracking.track(experiment, elsewhere)
    # In a third place, since this process has the database open.
    anew = Results(Path(shutil.copytree(elsewhere.root, results.root.with_name("anew"))))
    anew.mlflow_database.unlink()
    shutil.rmtree(anew.mlflow_artifacts)
    tracking.track(experiment, anew)
    assert len(shown(anew)) == 5
    assert len(list(anew.mlflow_artifacts.rglob("*.png"))) == 4
    if old_is_there:
        assert everything(results) == before
    else:
        assert not results.root.exists()


def test_missing_and_outdated_tables_are_refused(make_experiment, results):
    experiment = make_experiment()
    with pytest.raises(UserError, match=r"runs\.csv: is missing; .*--forcerun aggregate"):
        tracking.track(experiment, results)
    fill(experiment, results)
    with pytest.raises(UserError, match="has no run bce-z3-s2"):
        tracking.track(make_experiment(seeds=3), results)


def test_a_deleted_experiment_comes_back(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    tracking.track(experiment, results)
    before = ids(results)
    client(results).delete_experiment(client(results).get_experiment_by_name("tiny").experiment_id)
    tracking.track(experiment, results)
    assert ids(results) == before


def test_an_interrupted_creation_leaves_no_database(tmp_path, monkeypatch):
    from mlflow.store.tracking import sqlalchemy_store

    class Interrupted:
        def __init__(self, uri: str, artifacts: str):
            Path(uri.removeprefix("sqlite:///")).write_bytes(b"half a database")
            raise KeyboardInterrupt

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracking._create_database(Results(tmp_path))
    assert list(tmp_path.iterdir()) == []


def content(results: Results) -> dict[str, dict]:
    """All that MLflow shows, by experiment and run, but for the ids that it makes up itself and when it made them."""
    found = {}
    for experiment in client(results).search_experiments(filter_string="name != 'Default'"):
        mlflow_id = experiment.experiment_id

        def plain(tags: dict[str, str], mlflow_id: str = mlflow_id) -> dict[str, str]:
            texts = {name: text.replace(f"/experiments/{mlflow_id}/", "/experiments/ID/") for name, text in tags.items()}
            return {name: text for name, text in texts.items() if name != "content"}  # a hash of the others

        found[experiment.name] = {"tags": plain(experiment.tags)}
        for name, run in shown(results, experiment.name).items():
            folder = results.mlflow_artifacts / experiment.name / run.info.run_id / "artifacts"
            files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            points = {
                metric: [tuple(point) for point in client(results).get_metric_history(run.info.run_id, metric)]
                for metric in run.data.metrics
            }
            data = [item.dataset for item in run.inputs.dataset_inputs]
            inputs = [(each.name, each.digest, each.profile, json.loads(each.source)) for each in data]
            times = run.info.start_time, run.info.end_time
            facts = {"status": run.info.status, "times": times, "params": run.data.params, "tags": plain(run.data.tags)}
            found[experiment.name][name] = facts | {"points": points, "inputs": inputs, "files": files}
    return found


def plainly(content: dict, results: Results) -> dict:
    """The same, wherever the results lie."""
    return ast.literal_eval(repr(content).replace(str(results.root), "results"))


def test_an_index_made_anew_is_equal_to_the_one_that_grew(make_experiment, results):
    one, other = make_experiment(), make_experiment("other", title="Another", variants={"bce": {"latent_size": 2}})
    for experiment in (one, other):
        fill(experiment, results, diverged={"bce-s1": 2})
        results.experiment(experiment.name).report.write_text(experiment.title, encoding="utf-8")
        tracking.track(experiment, results)
    # The index has seen an earlier title, a run that is no more, other scores, and tables made again.
    one = make_experiment(title="A new title", seeds=1)
    table = pd.read_csv(results.experiment("other").runs)
    table.loc[0, "elbo"] = -7.5
    table.to_csv(results.experiment("other").runs, index=False)
    results.experiment("other").checksums.unlink()
    tables.aggregate(one, results)
    for experiment in (one, other):
        tracking.track(experiment, results)
    tables.aggregate(one, results)
    tracking.track(one, results)
    grown = content(results)
    assert {name: len(parts) - 1 for name, parts in grown.items()} == {"tiny": 3, "other": 3}

    # In a copy, since this process has the database open.
    before = everything(results)
    anew = Results(Path(shutil.copytree(results.root, results.root.with_name("copy"))))
    anew.mlflow_database.unlink()
    shutil.rmtree(anew.mlflow_artifacts)
    for experiment in (other, one):
        tracking.track(experiment, anew)
    assert plainly(content(anew), anew) == plainly(grown, results)
    assert everything(results) == before
    tracked = pd.read_csv(anew.experiment("tiny").tracked)
    assert set(tracked.mlflow_run_id) == set(ids(anew).values()) - {ids(anew)["summary"]}


def test_a_database_in_use_is_waited_for(make_experiment, results):
    """As `mlflow ui` holds it when it writes: by a lock of SQLite's, which no lock of ours keeps out."""
    experiment = make_experiment()
    fill(experiment, results)
    other = sqlite3.connect(results.mlflow_database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    thread = threading.Thread(target=tracking.track, args=(experiment, results))
    thread.start()
    thread.join(timeout=0.5)
    assert thread.is_alive()
    other.execute("ROLLBACK")
    other.close()
    thread.join()
    assert len(shown(results)) == 5
    assert results.experiment("tiny").tracked.exists()


def test_a_database_in_use_for_too_long_is_one_line(make_experiment, results):
    experiment = make_experiment()
    fill(experiment, results)
    other = sqlite3.connect(results.mlflow_database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"mlflow\.db: .*database is locked.*close what uses the file") as error:
        tracking.track(experiment, results)
    assert "\n" not in str(error.value)
    assert not results.experiment("tiny").tracked.exists()
    other.close()
    tracking.track(experiment, results)
    assert len(shown(results)) == 5


def test_two_at_once_of_one_and_of_two_experiments(write_experiment, tmp_path):
    """Both begin with no database."""
    files = [write_experiment(), write_experiment("other", seeds=1)]
    experiments, results = [load(path) for path in files], Results(tmp_path / "results")
    for experiment in experiments:
        fill(experiment, results)
    code = "import sys; from vaebench.cli import main; [main(['track', file]) for file in sys.argv[1:]]"
    calls = [[sys.executable, "-c", code, *map(str, order)] for order in (files, files[::-1])]
    started = [
        subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for call in calls
    ]
    ends = [process.communicate() for process in started]
    assert "".join(said + faults for said, faults in ends).count("MLflow runs logged") == 4, ends
    for experiment, n_runs in zip(experiments, (5, 3), strict=True):
        tracked = pd.read_csv(results.experiment(experiment.name).tracked)
        found = ids(results, experiment.name)
        assert len(found) == n_runs
        assert set(tracked.mlflow_run_id) == set(found.values()) - {found["summary"]}


def test_only_one_process_at_a_time_mirrors(make_experiment, results, monkeypatch):
    experiment = make_experiment()
    fill(experiment, results)
    mirror = tracking._mirror

    def mirror_under_lock(*what):
        with pytest.raises(UserError, match="holds"), locks.held(results.mlflow_lock, "the same", wait=False):
            pass
        return mirror(*what)

    monkeypatch.setattr(tracking, "_mirror", mirror_under_lock)
    tracking.track(experiment, results)


def test_importing_is_light():
    heavy = "{'mlflow', 'torch', 'matplotlib', 'PIL'}"
    code = f"import sys, vaebench.tracking; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
