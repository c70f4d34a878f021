"""The whole workflow on a tiny experiment, in a copy of this repository: what runs again, and what does not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from repository import REPOSITORY, TINY, call, copy_repository, environment, planned, snakemake, write
from safetensors.torch import load_file

from vaebench import specification
from vaebench.datasets import SyntheticGaussian
from vaebench.errors import UserError
from vaebench.loading import load


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The repository after the tiny experiment has run; tests copy it before they change it."""
    folder = copy_repository(tmp_path_factory.mktemp("finished"))
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        write_down_what_is_asked(patch, folder)
        (folder / "said.txt").write_text(snakemake(folder).stdout)
    return folder


def write_down_what_is_asked(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Of any network, by all Python processes that are started from now on, in asked.txt."""
    (folder / "asked.txt").write_text("")
    patch.setenv("ASKED", str(folder / "asked.txt"))
    patch.setenv("PYTHONPATH", str(REPOSITORY / "tests/audit"), prepend=os.pathsep)


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_everything_that_was_promised_is_there(finished):
    results = finished / "results/tiny"
    for name in ("runs.csv", "summary.csv", "summary.md", "summary.tex", "comparisons.csv", "report.html", "tracked.csv"):
        assert (results / name).stat().st_size > 0, name
    for suffix in ("png", "svg", "pdf"):
        assert list((results / "figures").glob(f"*.{suffix}"))
    assert (finished / "results/mlflow.db").exists()
    runs = pd.read_csv(results / "runs.csv")
    assert len(runs) == 4
    assert (runs.status == "trained").all()
    assert (runs.elbo + runs.rate + runs.distortion).abs().max() < 1e-9
    assert "report: results/tiny/report.html" in (finished / "said.txt").read_text()


def test_what_every_stage_cost_is_said_at_the_end_and_kept_in_the_report(finished):
    folder = finished / "results/tiny"
    said = (finished / "said.txt").read_text()
    costs = pd.read_csv(folder / "stages.csv").set_index("stage")
    jobs = {"imports": 7, "planning": 1, "data": 1, "training": 2, "evaluation": 2}
    assert costs.jobs.to_dict() == jobs | dict.fromkeys(["tables", "figures", "report", "MLflow"], 1)
    assert (costs.cpu_seconds > 0).all()
    assert (costs.seconds.drop("planning") > 0).all()
    total, purpose = sum(costs.cpu_seconds), sum(costs.cpu_seconds[["training", "evaluation"]])
    words = f"{total:,.1f} CPU seconds in all, {purpose:,.1f} of them training and evaluation: ratio {total / purpose:.2f}"
    assert f"tiny: {words}" in said
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert words in page
    for stage, n_jobs in costs.jobs.items():
        cpu_seconds = f"{costs.cpu_seconds[stage]:.1f}"
        assert re.search(rf"^{stage} +{n_jobs} .* {cpu_seconds} +[\d.]+ %", said, re.MULTILINE)
        assert re.search(rf'<th scope="row">{stage}</th><td>{n_jobs}</td>.*<td>{cpu_seconds}</td>', page)


def test_the_report_leads_to_its_runs_in_mlflow(finished):
    page = (finished / "results/tiny/report.html").read_text(encoding="utf-8")
    links = json.loads(re.search(r'id="mlflow">(.*?)</script>', page)[1])
    tracked = pd.read_csv(finished / "results/tiny/tracked.csv")
    assert links["runs"] == dict(zip(tracked.run_id, tracked.mlflow_run_id, strict=True))
    assert links["experiment"] == f"http://127.0.0.1:5000/#/experiments/{tracked.mlflow_experiment_id[0]}"


def test_a_report_made_again_keeps_what_the_earlier_stages_cost(copied):
    results = copied / "results/tiny"
    before = pd.read_csv(results / "stages.csv").set_index("stage")
    (results / "costs/aggregate.json").unlink()  # as a folder half made by older code has it
    (results / "report.html").unlink()
    said = snakemake(copied, "results/tiny/report.html").stdout
    after = pd.read_csv(results / "stages.csv").set_index("stage")
    assert set(before.index) - set(after.index) == {"tables"}
    others = ["data", "training", "evaluation", "figures", "MLflow"]
    assert after.loc[others].equals(before.loc[others])
    assert "of them training and evaluation: ratio" in said
    assert '<th scope="row">training</th>' in (results / "report.html").read_text(encoding="utf-8")
    assert planned(copied) == {"track"}


def test_a_second_call_does_nothing(copied):
    assert planned(copied) == set()


def test_unused_settings_change_nothing(copied):
    # The weight of the default schedule is overridden by no one, a batch size that is the default's is the same run.
    write(copied, defaults=TINY["defaults"] | {"batch_size": 128, "latent_size": 5})
    assert planned(copied) <= {"report", "track"}
    write(copied, lanes=2, seeds=2)
    assert planned(copied) == set()


def test_a_new_title_only_writes_the_report_and_the_index_again(copied):
    write(copied, title="Another title")
    assert planned(copied) == {"report", "track"}


def test_a_new_headline_redraws(copied):
    write(copied, headline="psnr")
    assert planned(copied) == {"draw", "report", "track"}


def test_editing_a_figures_code_only_redraws(copied):
    path = copied / "vaebench/figures.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n\nEDITED = 1\n", encoding="utf-8")
    assert planned(copied) == {"draw", "report", "track"}


def test_editing_a_comment_or_adding_a_likelihood_changes_nothing(copied):
    path = copied / "vaebench/likelihoods.py"
    added = """

# A comment.
@LIKELIHOODS.register
@dataclass(frozen=True)
class Another(Gaussian):
    kind: Literal["another"] = "another"
"""
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
    assert planned(copied) == set()


@pytest.mark.parametrize("change", [{"n_samples": 5}, {"split": "validation"}])
def test_editing_the_evaluation_does_not_train(copied, change):
    weights = {path: path.stat().st_mtime_ns for path in copied.glob("results/tiny/runs/*/weights.safetensors")}
    write(copied, evaluation=TINY["evaluation"] | change)
    snakemake(copied, "results/tiny/runs.csv")
    said = "".join(path.read_text(encoding="utf-8") for path in copied.glob("results/tiny/logs/cohort/*.log"))
    assert re.findall(r"(\d) of 2 runs to (train|score)", said) == [("0", "train"), ("2", "score")] * 2
    assert {path: path.stat().st_mtime_ns for path in weights} == weights


def test_other_data_take_two_lines_and_other_settings_of_data_another_file(copied):
    path = copied / "experiments/tiny-gaussian.yaml"
    text = "extends: tiny\nseeds: 1\ndataset: {kind: synthetic-gaussian, spectrum: [0.04, 0.01]}\n"
    path.write_text(text, encoding="utf-8")
    call(copied, "snakemake", "--cores", "2", "results/tiny-gaussian/runs.csv")
    runs = pd.read_csv(copied / "results/tiny-gaussian/runs.csv")
    assert runs.status.tolist() == ["trained", "trained"]
    path.write_text(text.replace("0.04", "0.03"), encoding="utf-8")
    files = [f"results/datasets/{SyntheticGaussian(spectrum=(first, 0.01)).name}.npz" for first in (0.04, 0.03)]
    # As a job on another machine does it, which is told the file's name but not the experiment's.
    call(copied, "snakemake", "--cores", "1", files[1])
    assert all((copied / file).exists() for file in files)


def test_a_new_seed_and_a_new_variant_train_only_what_is_new(copied):
    results = copied / "results/tiny"
    before = pd.read_csv(results / "runs.csv").set_index("run_id")
    weights = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/weights.safetensors")}
    write(copied, seeds=3, variants=TINY["variants"] | {"mse": {"likelihood": "gaussian"}})
    snakemake(copied, "results/tiny/runs.csv")
    after = pd.read_csv(results / "runs.csv").set_index("run_id")
    assert len(after) == 9
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    metrics = ["elbo", "rate", "distortion", "nll", "active_units"]
    assert after.loc[before.index, metrics].equals(before[metrics])


def test_numbers_do_not_depend_on_cores_nor_on_cohorts(finished, tmp_path):
    folder = copy_repository(tmp_path)
    write(folder, lanes=3)
    call(folder, "snakemake", "--cores", "1", "results/tiny/runs.csv")
    assert (folder / "results/tiny/runs.csv").read_bytes() == (finished / "results/tiny/runs.csv").read_bytes()


def test_a_killed_training_job_goes_on_and_ends_with_the_same_bits(finished, tmp_path):
    write(finished, "long", defaults=TINY["defaults"] | {"epochs": 150}, seeds=1)
    (cohort,) = (each.name for each in specification.load(finished / "experiments/long.yaml").cohorts)
    arguments = ["vaebench", "cohort", "experiments/long.yaml", "--cohort", cohort, "--checkpoint-seconds", "0"]
    for name in ("unbroken", "killed"):
        (tmp_path / name).mkdir()
        shutil.copytree(finished / "results/datasets", tmp_path / name / "datasets")
    call(finished, *arguments, "--results", str(tmp_path / "unbroken"))
    killed = [sys.executable, "-m", *arguments, "--results", str(tmp_path / "killed")]
    checkpoint = tmp_path / "killed/long/cohorts" / cohort / "checkpoint.safetensors"
    with subprocess.Popen(killed, cwd=finished, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert checkpoint.exists()
    assert not list((tmp_path / "killed").glob("long/runs/*"))
    again = call(finished, *arguments, "--results", str(tmp_path / "killed"))
    assert "goes on after epoch" in again.stdout
    assert not checkpoint.exists()
    pairs = [
        (path, tmp_path / "killed" / path.relative_to(tmp_path / "unbroken"))
        for path in tmp_path.glob("unbroken/long/runs/*/*")
    ]
    assert len(pairs) == 12
    for one, other in pairs:
        if one.suffix == ".safetensors":
            states = load_file(one), load_file(other)
            assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        elif one.name == "evaluation.json":
            assert one.read_bytes() == other.read_bytes()
        elif one.suffix == ".parquet":
            histories = [pd.read_parquet(path).drop(columns="seconds") for path in (one, other)]
            assert len(histories[0]) == 150
            assert histories[0].equals(histories[1])


def test_a_run_that_diverges_is_counted_and_shown_and_the_others_go_on(finished, tmp_path):
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    variants = {"bce": {}, "wild": {"learning_rate": 1.0e20}}
    write(folder, variants=variants, seeds=1)
    snakemake(folder, "results/tiny/report.html")
    runs = pd.read_csv(folder / "results/tiny/runs.csv").set_index("variant")
    assert runs.status.to_dict() == {"bce": "trained", "wild": "diverged"}
    assert runs.loc["wild", ["elbo", "rate"]].isna().all()
    expected = pd.read_csv(finished / "results/tiny/runs.csv").set_index("run_id")
    assert runs.set_index("run_id").elbo.iloc[0] == expected.elbo[runs.run_id["bce"]]
    assert runs.run_id["wild"] in (folder / "results/tiny/report.html").read_text(encoding="utf-8")


def test_a_lost_file_is_made_again_by_the_command_that_its_message_names(copied):
    results = copied / "results/tiny"
    lost = next(results.glob("runs/bce-*/weights.safetensors"))
    before = (results / "runs.csv").read_bytes()
    weights = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UserError, match=re.escape(f"{lost}: is missing; ")) as error:
        load(results).model(lost.parent.name)
    (results / "runs.csv").unlink()
    command = re.search(r"snakemake (.*) \(or vaebench\.run\)", str(error.value))[1]
    call(copied, "snakemake", "results/tiny/runs.csv", *command.split())
    assert (results / "runs.csv").read_bytes() == before
    assert lost.read_bytes() == weights
    said = "".join(path.read_text(encoding="utf-8") for path in results.glob("logs/cohort/*.log"))
    assert f"{lost.relative_to(copied)}: is missing, so it counts as not made" in said
    assert sorted(re.findall(r"(\d) of 2 runs to train", said)) == ["0", "1"]


def test_a_mistake_in_the_file_ends_the_call_in_one_line_and_nothing_has_started(finished, tmp_path):
    folder = copy_repository(tmp_path)
    write(folder, sedes=3)
    done = snakemake(folder, check=False)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if "profile" not in line]
    assert said == [
        "vaebench: experiments/tiny.yaml: sedes: no such key; did you mean 'seeds'? allowed: "
        "extends, title, description, dataset, defaults, seeds, grid, variants, baseline, headline, evaluation, tasks, "
        "lanes"
    ]
    assert not (folder / "results").exists()


def test_the_command_line_says_in_one_line_what_is_wrong(finished):
    tiny = specification.load(finished / "experiments/tiny.yaml")
    for arguments, words in (
        (["check", "experiments/none.yaml"], "experiments/none.yaml: no such file"),
        (["prepare", "digit"], "dataset: 'digit' is not known; did you mean 'digits'?"),
        (["cohort", "experiments/tiny.yaml", "--cohort", "x"], "no cohort 'x'"),
        (["cohort", "experiments/tiny.yaml", "--cohort", "x", "--results", "elsewhere"], "no cohort 'x'"),
        (
            ["cohort", "experiments/tiny.yaml", "--cohort", tiny.cohorts[0].name, "--device", "gpu"],
            "device 'gpu' is none; allowed: cpu, cuda",
        ),
        (["check", "experiments/tiny.yaml", "--lanes", "0"], "lanes: must be greater than 0, not 0"),
    ):
        done = call(finished, "vaebench", *arguments, check=False)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert call(finished, "vaebench", "trane", check=False).returncode == 2


def test_a_profile_sets_device_precision_and_lanes(copied):
    write(copied, seeds=3)
    said = snakemake(copied, "--profile", "profiles/gpu", "--dry-run", "-p").stdout
    commands = re.findall(r"-m vaebench cohort .*", said)
    # Two variants with three seeds each: one cohort in place of three.
    assert len(commands) == 1
    assert "--device cuda --precision float32 --lanes 512" in commands[0]
    assert len(re.findall(r"-m vaebench aggregate .* --lanes 512", said)) == 1


def test_other_lanes_train_nothing_again(copied):
    weights = {path: path.stat().st_mtime_ns for path in copied.glob("results/tiny/runs/*/weights.safetensors")}
    runs = (copied / "results/tiny/runs.csv").read_bytes()
    call(copied, "snakemake", "results/tiny/runs.csv", "--cores", "2", "--config", "experiment=tiny", "lanes=4")
    assert len(weights) == 4
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert (copied / "results/tiny/runs.csv").read_bytes() == runs


def test_a_missing_library_is_named(finished):
    code = """
import sys
from vaebench.cli import main

sys.modules["mlflow"] = None
sys.exit(main(["track", "experiments/tiny.yaml"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=finished, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "vaebench: track needs mlflow, which is not installed: pip install 'vaebench[workflow]'\n"


def test_snakemakes_own_report_can_be_made(copied):
    snakemake(copied, "--report", "snakemake-report.html")
    text = (copied / "snakemake-report.html").read_text(encoding="utf-8")
    assert "training-curves.svg" in text
    assert "Summary over seeds" in text


def test_nothing_is_asked_of_a_network(finished):
    assert asked_elsewhere(finished) == []


def asked_elsewhere(folder: Path) -> list[str]:
    """What was asked but of this machine itself. (urllib3 binds a port of its own, to see whether there is IPv6.)"""
    lines = (folder / "asked.txt").read_text().splitlines()
    return [line for line in lines if not re.search(r"'(127\.0\.0\.1|::1)'", line)]


def test_what_is_asked_of_a_network_is_written_down(tmp_path, monkeypatch):
    write_down_what_is_asked(monkeypatch, tmp_path)
    code = "import socket; server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())"
    subprocess.run([sys.executable, "-c", code], check=True)
    asked = (tmp_path / "asked.txt").read_text()
    assert re.findall(r"^(\S+) .*'127.0.0.1'", asked, re.MULTILINE) == [
        "socket.bind",
        "socket.getaddrinfo",
        "socket.connect",
    ]


def without_network() -> list[str]:
    """How to start a command where there is no network at all, not even this machine's own."""
    command = ["unshare", "--net", "--map-root-user"]
    if shutil.which(command[0]) is None or subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("network namespaces cannot be made here")
    return command


VERBS = """
import vaebench as vb
from vaebench.cli import main

for call in ("new mine", "check experiments/tiny.yaml", "train experiments/tiny.yaml --variant bce", "show bce-z2-s0"):
    assert main(call.split()) == 0, call
tiny = vb.load("results/tiny")
assert tiny.model("bce-z2-s0").reconstruct(tiny.images("bce-z2-s0")).shape == (360, 64)
"""


def test_the_verbs_and_loading_need_no_network_and_ask_nothing_of_one(copied, monkeypatch):
    write_down_what_is_asked(monkeypatch, copied)
    shutil.rmtree(next(copied.glob("results/tiny/runs/bce-z2-s0-*")))  # to be trained
    command = [*without_network(), sys.executable, "-c", VERBS]
    done = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert asked_elsewhere(copied) == []


@pytest.mark.long
def test_the_workflow_needs_no_network(finished, tmp_path):
    folder = copy_repository(tmp_path)
    write(folder)
    command = [*without_network(), sys.executable, "-m", "snakemake", "--cores", "2", "--config", "experiment=tiny"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "results/tiny/runs.csv").read_bytes() == (finished / "results/tiny/runs.csv").read_bytes()
    assert (folder / "results/tiny/tracked.csv").exists()


def test_runs_are_tracked_while_others_are_trained(copied):
    for path in (copied / "results").glob("ml*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (copied / "results/tiny/tracked.csv").unlink()
    write(copied, "long", defaults=TINY["defaults"] | {"epochs": 150}, seeds=1)
    [cohort] = specification.load(copied / "experiments/long.yaml").cohorts
    arguments = ["cohort", "experiments/long.yaml", "--cohort", cohort.name, "--checkpoint-seconds", "0"]
    training = [sys.executable, "-m", "vaebench", *arguments]
    with subprocess.Popen(training, cwd=copied, stdout=subprocess.DEVNULL) as process:
        while not (copied / "results/long/cohorts" / cohort.name / "checkpoint.safetensors").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        try:
            call(copied, "vaebench", "track", "experiments/tiny.yaml")
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGCONT)
    assert process.returncode == 0
    assert len(pd.read_csv(copied / "results/tiny/tracked.csv")) == 4
    assert len(list(copied.glob("results/long/runs/*/evaluation.json"))) == 2


@pytest.mark.parametrize("change", [{"title": "Another title"}, pytest.param({"seeds": 3}, marks=pytest.mark.long)])
def test_a_server_that_is_down_keeps_only_the_index_from_being_made(copied, monkeypatch, change):
    write(copied, **change)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        done = snakemake(copied, check=False)
    assert done.returncode == 1
    assert "vaebench: MLflow at http://127.0.0.1:9: " in done.stdout + done.stderr
    assert len(pd.read_csv(copied / "results/tiny/runs.csv")) == 2 * change.get("seeds", 2)
    page = (copied / "results/tiny/report.html").read_text(encoding="utf-8")
    assert change.get("title", TINY["title"]) in page
    assert planned(copied) == {"track"}


def test_results_in_another_checkout_are_taken_as_they_are(finished, tmp_path):
    """Copied without their times, and without what Snakemake knows of them."""
    folder = copy_repository(tmp_path)
    write(folder)
    shutil.copytree(finished / "results", folder / "results", copy_function=shutil.copyfile)
    newest_first = sorted((path for path in folder.glob("results/**/*") if path.is_file()), reverse=True)
    for i, path in enumerate(newest_first):
        os.utime(path, (1e9 + i, 1e9 + i))
    weights = {path: path.stat().st_mtime_ns for path in folder.glob("results/tiny/runs/*/weights.safetensors")}
    snakemake(folder, "results/tiny/runs.csv")
    assert len(weights) == 4
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert (folder / "results/tiny/runs.csv").read_bytes() == (finished / "results/tiny/runs.csv").read_bytes()


# Root may write everywhere, unless it has given that up: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE.
READ_ONLY = """
import ctypes, os, sys

ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""
LOOKING = """
import pathlib

import vaebench as vb
from vaebench.cli import main

try:
    pathlib.Path("results/written").touch()
except PermissionError:
    pass
else:
    raise AssertionError("the folder is not read-only")
for call in ("show bce-z2-s0", "check experiments/tiny.yaml --no-estimate"):
    assert main(call.split()) == 0, call
tiny = vb.load("results/tiny")
assert tiny.model("bce-z2-s0").reconstruct(tiny.images("bce-z2-s0")).shape == (360, 64)
assert len(tiny.pictures("bce-z2-s0")["samples"]) == 10
assert len(tiny.history) == 8
assert main(["track", "experiments/tiny.yaml"]) == 1
"""


def test_results_that_are_read_only_elsewhere_can_be_looked_at(finished, tmp_path):
    folder = tmp_path / "another place, é"
    folder.mkdir()
    write(copy_repository(folder))
    results = Path(shutil.copytree(finished / "results", folder / "results"))
    parts = [results, *results.rglob("*")]
    before = {path: path.stat() for path in parts}
    for path in parts:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        command = [sys.executable, "-c", READ_ONLY, LOOKING]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    finally:
        for path in parts:
            path.chmod(before[path].st_mode)
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("vaebench: results/tiny/locks/tables.lock: cannot be written (Permission denied); see who")
    assert {path: path.stat().st_mtime_ns for path in [results, *results.rglob("*")]} == {
        path: stat.st_mtime_ns for path, stat in before.items()
    }
