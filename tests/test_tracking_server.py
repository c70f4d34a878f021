"""Tracking to a server that fails: MLflow's own, with faults between it and the client, on 127.0.0.1."""

from __future__ import annotations

import math
import socket
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_tracking import environment, fill  # noqa: F401  (a fixture that holds for every test here)

from vaebench import tracking
from vaebench.errors import UserError, without_credentials
from vaebench.specification import Experiment, load
from vaebench.store import Results

# MLflow's server runs in this process; what its libraries warn of is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

EXPERIMENT = """
title: Where are my runs?
dataset: digits
defaults: {network: {kind: mlp, hidden: [16]}, latent_size: 3, epochs: 3}
seeds: 1
variants: {bce: {likelihood: bernoulli}, mse: {likelihood: gaussian}}
baseline: bce
"""
MESSAGE = r"MLflow at http://127\.0\.0\.1:\d+: .*MLFLOW_TRACKING_URI.*track again"
PATIENCE = "60"  # seconds that an answer may take where none is late on purpose
Respond = Callable[[dict, Callable], Iterable[bytes]]


@dataclass
class Faulty:
    """A WSGI application. When a request's path contains `place`, the `after`-th time and `times` times from then on, the
    answer is the fault's in place of its own."""

    application: Respond
    fault: Callable[[Respond, dict, Callable], Iterable[bytes]] | None = None
    place: str = ""
    after: int = 1
    times: float = 1
    met: int = 0
    address: str = ""
    unbroken: dict[str, tuple] = field(default_factory=dict)
    test_is_over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        if self.fault is None or self.place not in environ["PATH_INFO"]:
            return self.application(environ, start_response)
        self.met += 1
        if not self.after <= self.met < self.after + self.times:
            return self.application(environ, start_response)
        return self.fault(self, environ, start_response)


def answer(status: str, body: bytes, *headers: tuple[str, str]) -> Callable:
    def fault(faulty: Faulty, environ: dict, start_response: Callable) -> list[bytes]:
        start_response(status, [("Content-Length", str(len(body))), *headers])
        return [body]

    return fault


def cut(faulty: Faulty, environ: dict, start_response: Callable) -> list[bytes]:
    connection: socket.socket = environ["werkzeug.socket"]
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"run": ')
    connection.shutdown(socket.SHUT_RDWR)
    return []


def hang_up(faulty: Faulty, environ: dict, start_response: Callable) -> list[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


def silent(faulty: Faulty, environ: dict, start_response: Callable) -> list[bytes]:
    faulty.test_is_over.wait()
    return []


def late(faulty: Faulty, environ: dict, start_response: Callable) -> list[bytes]:
    """What was asked for is done, but the client does not wait for the answer."""
    content = list(faulty.application(environ, start_response))
    faulty.test_is_over.wait()
    return content


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Faulty]:
    """MLflow's server with its database and artifacts in a temporary folder."""
    folder = tmp_path_factory.mktemp("server")
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/server.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # the server sets it, for this process
        for name, value in (settings | tracking.NO_TELEMETRY).items():
            patch.setenv(name, value)
        warnings.simplefilter("ignore")  # of libraries that MLflow's server uses
        from mlflow.server import app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_) -> None:
                pass

        faulty = Faulty(app)
        server = make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=Quiet)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        faulty.address = f"http://user:secret@127.0.0.1:{server.server_port}"
        # With the first request it makes its database.
        urllib.request.urlopen(
            f"http://127.0.0.1:{server.server_port}/api/2.0/mlflow/experiments/search?max_results=1"
        ).close()
        yield faulty
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server(served, monkeypatch) -> Iterator[Faulty]:
    """The server, that `track` goes to; a fault lasts as long as the test."""
    faulty = served
    monkeypatch.setenv("MLFLOW_TRACKING_URI", faulty.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", PATIENCE)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    faulty.fault, faulty.place, faulty.after, faulty.times, faulty.met = None, "", 1, 1, 0
    faulty.test_is_over = threading.Event()
    yield faulty
    faulty.test_is_over.set()


def track(experiment: Experiment, results: Results, address: str) -> dict[str, tuple]:
    """The experiment's runs by name, once tracked: status, parameters, metrics, artifacts. Fails where two have the same
    name."""
    from mlflow import MlflowClient

    tracking.track(experiment, results)
    client = MlflowClient(address)
    found = client.search_runs([client.get_experiment_by_name(experiment.name).experiment_id])
    by_name = {
        run.info.run_name: (
            run.info.status,
            run.data.params,
            run.data.metrics,
            [item.path for item in client.list_artifacts(run.info.run_id)],
        )
        for run in found
    }
    assert len(by_name) == len(found)
    return by_name


BUSY = answer("429 TOO MANY REQUESTS", b"", ("Retry-After", "86400"))
FAULTS = {
    "error 500": (answer("500 INTERNAL SERVER ERROR", b"no\nanswer"), "experiments/create", 1),
    "error 429": (BUSY, "runs/search", 1),
    "error 404": (answer("404 NOT FOUND", b"nothing\nhere"), "runs/create", 2),
    "error 403": (answer("403 FORBIDDEN", b"not\nyou"), "log-inputs", 1),
    "a page in place of data": (answer("200 OK", b"<html>\n<body>Please log in</body>\n</html>"), "log-batch", 2),
    "broken JSON": (answer("200 OK", b'{"run": {"info": '), "runs/create", 1),
    "JSON of another kind": (answer("200 OK", b'{"run": 5}'), "runs/create", 2),
    "nothing, as if all were well": (answer("200 OK", b""), "runs/create", 2),
    "the connection cut in the middle": (cut, "runs/create", 2),
    "the connection closed": (hang_up, "mlflow-artifacts", 2),
    "no answer at all": (silent, "log-batch", 1),
    "an answer that comes too late": (late, "runs/create", 1),
}


@pytest.fixture
def expected(tmp_path, server) -> dict[str, tuple]:
    """What the server is given where nothing fails; made once."""
    if not server.unbroken:
        experiment, results = write(tmp_path, "unbroken"), Results(tmp_path / "results")
        fill(experiment, results)
        server.unbroken = track(experiment, results, server.address)
    return server.unbroken


def write(folder: Path, name: str) -> Experiment:
    """A small experiment of this name, as every test here has it."""
    path = folder / f"{name}.yaml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    return load(path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_server_is_one_line_and_the_next_call_completes(tmp_path, server, expected, monkeypatch, name):
    server.fault, server.place, server.after = FAULTS[name]
    experiment, results = write(tmp_path, f"fault-{list(FAULTS).index(name)}"), Results(tmp_path / "results")
    fill(experiment, results)
    with monkeypatch.context() as patch:
        if server.fault in (silent, late):
            patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        with pytest.raises(UserError, match=MESSAGE) as error:
            tracking.track(experiment, results)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not results.experiment(experiment.name).tracked.exists()
    server.fault = None
    assert track(experiment, results, server.address) == expected


def test_a_server_that_goes_down_halfway_keeps_what_it_has(tmp_path, server, expected, capsys):
    experiment, results = write(tmp_path, "halfway"), Results(tmp_path / "results")
    fill(experiment, results)
    server.fault, server.place, server.after, server.times = hang_up, "runs/create", 2, math.inf
    with pytest.raises(UserError, match=MESSAGE):
        tracking.track(experiment, results)
    server.fault = None
    capsys.readouterr()
    assert track(experiment, results, server.address) == expected
    assert "2 of 3 MLflow runs logged" in capsys.readouterr().out


def test_a_run_that_a_late_server_makes_twice_is_there_once(tmp_path, server, expected, monkeypatch, capsys):
    experiment, results = write(tmp_path, "twice"), Results(tmp_path / "results")
    fill(experiment, results)
    server.fault, server.place = late, "runs/create"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    assert track(experiment, results, server.address) == expected
    assert "3 of 3 MLflow runs logged, the others were there; 1 others deleted" in capsys.readouterr().out


@pytest.mark.parametrize("secret", ["user:secret", "user:se/cret", "user:se@cret", "user:se:cret"])
def test_no_part_of_a_password_is_shown(secret):
    shown = without_credentials(f"MLflow at http://{secret}@127.0.0.1:9: not at http://{secret}@127.0.0.1:9/api; try again")
    assert shown == "MLflow at http://127.0.0.1:9: not at http://127.0.0.1:9/api; try again"


def test_a_busy_server_is_asked_again_and_not_a_day_later(tmp_path, server, expected, monkeypatch):
    experiment, results = write(tmp_path, "busy"), Results(tmp_path / "results")
    fill(experiment, results)
    server.fault, server.place = BUSY, "runs/create"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    assert track(experiment, results, server.address) == expected
