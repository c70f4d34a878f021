"""Fixtures: a small experiment on the real digits, results in a temporary folder, and a browser."""

import os
import shutil
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
import torch
import yaml
from made_up_tasks import MADE_UP_METRICS

from vaebench import jobs, specification, splits
from vaebench.datasets import Digits
from vaebench.images import Images, load_images
from vaebench.specification import Experiment
from vaebench.store import Results
from vaebench.tasks import ALL_METRICS

torch.set_num_threads(1)
# A shell that starts tests in the background has interruptions ignored, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Images:
    path = tmp_path_factory.mktemp("datasets") / "digits.npz"
    splits.save(Digits(), Path("data"), path)
    return load_images(Digits(), "none", path)


@pytest.fixture(scope="session")
def classified(tmp_path_factory) -> Results:
    """Results with the digits and their classifier, for tests to copy or to read."""
    results = Results(tmp_path_factory.mktemp("classified") / "results")
    splits.prepare(Digits(), results)
    jobs.classify(Digits(), results)
    return results


@pytest.fixture
def write_experiment(tmp_path):
    """Write an experiment file, by default a tiny one on digits, with some keys replaced; gives its path."""

    def write(name: str = "tiny", **changes) -> Path:
        content = {
            "title": "A tiny experiment",
            "dataset": "digits",
            "defaults": {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 3, "epochs": 3, "batch_size": 128},
            "seeds": 2,
            "variants": {"bce": {"likelihood": "bernoulli"}, "mse": {"likelihood": {"kind": "gaussian", "sigma": 0.5}}},
            "baseline": "bce",
            "evaluation": {"n_samples": 4},
        }
        content = {key: value for key, value in (content | changes).items() if value is not None}
        path = tmp_path / "experiments" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def make_experiment(write_experiment):
    """The same, loaded."""

    def make(name: str = "tiny", **changes) -> Experiment:
        return specification.load(write_experiment(name, **changes))

    return make


@pytest.fixture(scope="module")
def made_up_metrics():
    """Those of the tasks of tests have labels and units while a module's tests run."""
    ALL_METRICS.update(MADE_UP_METRICS)
    yield
    for name in MADE_UP_METRICS:
        del ALL_METRICS[name]


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, to see pages as people do. Tests that ask for it are skipped where it is not installed."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed; apt-get install chromium")
    # Its sandbox refuses to run as root, as in a container.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()
