"""MLflow's pages as people see them: a tracked experiment in a real browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import psutil
import pytest
from test_tracking import fill

from vaebench import specification, tracking
from vaebench.mlflow_entries import PICTURE
from vaebench.store import ExperimentFolder, Results

TOP = Path(__file__).parents[1]
EXPERIMENT = """
title: What does MLflow show? <img src=x onerror="window.pwned=1"> <b>_a_</b> [b](javascript:window.pwned=1) `c`
dataset: digits
defaults: {network: {kind: mlp, hidden: [16]}, latent_size: 3, epochs: 6}
seeds: 2
variants: {bce: {likelihood: bernoulli}, mse: {likelihood: gaussian}}
baseline: bce
"""
PATIENCE = 60  # seconds until the server has started, or a page shows what it loads, on a busy machine


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    """Of an experiment of two variants and two seeds, tracked."""
    folder = tmp_path_factory.mktemp("mlflow")
    path = folder / "tiny.yaml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    experiment, results = specification.load(path), Results(folder / "results")
    fill(experiment, results)
    results.experiment("tiny").report.write_text("<h1>The report of tiny</h1>", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in (tracking.NO_TELEMETRY | tracking.MLFLOW_DEFAULTS).items():
            patch.setenv(name, value)
        tracking.track(experiment, results)
    return results


class Ui(NamedTuple):
    """What `make ui` has started. session: of all its processes. log: what it said."""

    session: int
    port: int
    log: Path


@pytest.fixture(scope="module")
def ui(results) -> Iterator[Ui]:
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "--file", TOP / "Makefile", "--old-file", ".venv/ready", "ui", f"PORT={port}"]
    log = results.root / "ui.log"
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(
            command,
            cwd=results.root.parent,
            env=os.environ | {"PATH": path},
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, log)
            yield Ui(process.pid, port, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture(scope="module")
def address(browser, ui) -> str:
    """Of the experiment's runs, as `make ui` says it."""
    return re.search(r"^results/tiny/tracked\.csv: (.*)$", ui.log.read_text(encoding="utf-8"), re.MULTILINE)[1]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(10 * PATIENCE):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(address, timeout=PATIENCE).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"MLflow has not started in {PATIENCE} s: {log.read_text(encoding='utf-8')}")


def test_it_listens_to_this_machine_only_and_tells_nobody(ui):
    processes = [process for process in psutil.process_iter() if os.getsid(process.pid) == ui.session]
    sockets = {process: process.net_connections("inet") for process in processes}
    listening = {process: [each for each in sockets[process] if each.status == psutil.CONN_LISTEN] for process in processes}
    addresses = {tuple(each.laddr) for found in listening.values() for each in found}
    assert addresses == {("127.0.0.1", ui.port)}
    assert {each.raddr.ip for found in sockets.values() for each in found if each.raddr} <= {"127.0.0.1"}
    settings = tracking.NO_TELEMETRY | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    for process in (process for process, found in listening.items() if found):
        assert settings.items() <= process.environ().items(), process.cmdline()
    assert not [process for process in processes if "huey" in " ".join(process.cmdline())]


@pytest.fixture
def page(browser, address):
    """The experiment's runs."""
    with browser.new_context(viewport={"width": 1500, "height": 1000}) as context:
        context.set_default_timeout(1000 * PATIENCE)
        page = context.new_page()
        page.goto(address)
        yield page


def followed(page, words: str):
    """The page that a link of a description leads to; MLflow opens it beside."""
    with page.expect_popup() as opened:
        page.get_by_role("link", name=words, exact=True).click()
    return opened.value


@pytest.fixture(scope="module")
def folder(results) -> ExperimentFolder:
    return results.experiment("tiny")


def test_the_experiments_page_lists_the_runs(page):
    for name in ("bce-z3-s0", "bce-z3-s1", "mse-z3-s0", "mse-z3-s1", "summary"):
        page.get_by_role("link", name=name, exact=True).wait_for()


def test_a_title_is_shown_as_it_was_typed_and_runs_no_script(page):
    title = '<img src=x onerror="window.pwned=1"> <b>_a_</b> [b](javascript:window.pwned=1) `c`'
    page.get_by_text(title).first.wait_for()
    page.get_by_role("link", name="summary", exact=True).click()
    page.get_by_text(title).first.wait_for()
    assert page.evaluate("window.pwned === undefined")
    assert page.locator("img[onerror], a[href^='javascript:']").count() == 0


def test_runs_are_grouped_with_their_means_over_seeds(page, folder):
    page = followed(page, "Means over seeds")
    expected = pd.read_csv(folder.runs).groupby("variant").elbo.mean()
    for variant in ("bce", "mse"):
        page.get_by_text(f"Group: {variant}-z3", exact=True).wait_for()
    assert page.get_by_role("link", name="summary", exact=True).count() == 0
    column = page.locator("[role=gridcell][col-id*='test/evidence/elbo']")
    column.first.wait_for()
    assert [float(text.split()[0]) for text in column.all_inner_texts()] == list(expected)


def test_the_variants_curves_are_compared(page):
    page = followed(page, "curves")
    for group in ("bce-z3", "mse-z3"):
        page.get_by_text(f"{group} (train/elbo)", exact=True).first.wait_for()
    # Of each group a line and the two edges of its band, with a point an epoch.
    n_points = 2 * 3 * 6
    points = page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace .points path")
    points.nth(n_points - 1).wait_for(state="attached")
    assert points.count() == n_points


def test_a_runs_page_shows_its_model_and_its_pictures(page, folder):
    page.get_by_role("link", name="bce-z3-s0", exact=True).click()
    page.get_by_text(f".model('{pd.read_csv(folder.tracked).run_id[0]}')").wait_for()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(PICTURE).first.click()
    page.wait_for_function("[...document.images].some(image => image.naturalWidth == 600 && image.naturalHeight == 180)")


def test_a_run_leads_to_the_report(page):
    page.get_by_role("link", name="bce-z3-s0", exact=True).click()
    page = followed(page, "report")
    page.get_by_role("link", name="summary", exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("report.html").first.click()
    page.frame_locator("iframe").get_by_role("heading", name="The report of tiny").wait_for()
