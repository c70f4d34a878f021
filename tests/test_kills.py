"""Documented commands are killed, wherever they are; called again, they end as if nothing had been.

Places are exact where a file is written: a module that the test puts before all others kills its process at a chosen
rename. Elsewhere the signal comes after a time that is drawn from a seed, counted from the beginning of the work. A process
that had ended before is no kill, and does not count.
"""

import itertools
import json
import os
import platform
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import torch
from repository import TINY, call, copy_repository, environment, write
from safetensors.torch import load_file

from vaebench import locks, specification, stages, workflow
from vaebench.errors import UserError
from vaebench.store import Results

# As sitecustomize: the process dies at a rename, when the file is half written, whole, or renamed.
KILLED_AT_A_RENAME = """
import itertools, os, signal

place, _, number = os.environ["KILLED"].rpartition(" ")
calls, replace = itertools.count(1), os.replace

def replace_or_die(source, target, **options):
    is_now = next(calls) == int(number)
    if is_now and place == "half written":
        os.truncate(source, os.path.getsize(source) // 2)
    if is_now and place != "renamed":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **options)
    if is_now:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace_or_die
"""
PLACES = ("half written", "whole", "renamed")
SNAKEMAKE = ("snakemake", "results/tiny/runs.csv", "--cores", "2", "--config", "experiment=tiny", "checkpoint_seconds=0")
AGGREGATE = ("vaebench", "aggregate", "experiments/tiny.yaml")
TRACK = ("vaebench", "track", "experiments/tiny.yaml")


def cohort(folder: Path, number: int = 0) -> tuple[str, ...]:
    """The command that trains and scores it, with a checkpoint after every epoch."""
    name = specification.load(folder / "experiments/tiny.yaml").cohorts[number].name
    return ("vaebench", "cohort", "experiments/tiny.yaml", "--cohort", name, "--checkpoint-seconds", "0")


def make(folder: Path, n_epochs: int) -> Path:
    """A copy of the repository with the results of two cohorts, which nothing has broken."""
    copy_repository(folder)
    write(folder, defaults=TINY["defaults"] | {"epochs": n_epochs})
    for arguments in (("vaebench", "prepare", "digits"), cohort(folder, 0), cohort(folder, 1), AGGREGATE, TRACK):
        call(folder, *arguments)
    return folder


def index(results: Path) -> dict[str, tuple]:
    """What MLflow holds of each of its runs, by name, but for its own random ids."""
    tables = {"params": "key, value", "tags": "key, value", "metrics": "key, value, timestamp, step, is_nan"}
    held = {}
    with closing(sqlite3.connect(results / "mlflow.db")) as database:
        runs = "SELECT run_uuid, name, status, start_time, end_time FROM runs WHERE lifecycle_stage = 'active'"
        for mlflow_id, name, *rest in database.execute(runs).fetchall():
            assert name not in held
            rows = {
                table: sorted(database.execute(f"SELECT {columns} FROM {table} WHERE run_uuid = ?", [mlflow_id]))
                for table, columns in tables.items()
            }
            artifacts = results / "mlartifacts/tiny" / mlflow_id
            files = {path.relative_to(artifacts): path.read_bytes() for path in artifacts.rglob("*") if path.is_file()}
            held[name] = rest, rows, files
    return held


class Copy:
    """A copy of the repository whose commands are killed, and how often they were.

    made: an unbroken one, from which some of the results are taken over.
    """

    def __init__(self, folder: Path, made: Path, seed: int = 0, taken: str = "results/datasets"):
        self.folder = copy_repository(folder)
        self.made = made
        self.results = folder / "results/tiny"
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        shutil.copy(made / "experiments/tiny.yaml", folder / "experiments")
        shutil.copytree(made / taken, folder / taken)
        (folder / "killer").mkdir()
        (folder / "killer/sitecustomize.py").write_text(KILLED_AT_A_RENAME)

    def start(self, *arguments: str, said: str = "said.txt", killed: str = "") -> subprocess.Popen:
        """A module of the copy in a process group of its own, to be killed at a rename where that is given."""
        variables = environment(self.folder / "killer") | {"KILLED": killed} if killed else environment()
        with (self.folder / said).open("w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self.folder,
                env=variables,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, name: str = "said.txt") -> str:
        return (self.folder / name).read_text()

    def wait_until(self, process: subprocess.Popen, has_begun: Callable[[], bool]) -> None:
        """Until that is so, or the process has ended."""
        while process.poll() is None and not has_begun():
            time.sleep(0.01)

    def kill(
        self, what: str, process: subprocess.Popen, longest: float, kill: Callable[[int, int], None] = os.kill
    ) -> None:
        """After a random time, unless it has ended."""
        time.sleep(self.random.uniform(0, longest))
        if process.poll() is None:
            kill(process.pid, signal.SIGKILL)
        self.count(what, process)

    def count(self, what: str, process: subprocess.Popen) -> None:
        assert process.wait() in (0, -signal.SIGKILL), self.said()
        self.kills[what] += process.returncode == -signal.SIGKILL

    def kill_at_rename(self, place: str, longest: int, *arguments: str) -> None:
        """At one of its first renames."""
        process = self.start(*arguments, killed=f"{place} {self.random.randint(1, longest)}")
        self.count(f"{arguments[1]}: file {place}", process)

    def kill_cohort(self, stage: str, share: float) -> None:
        """In its training or evaluation, within a share of the time that all of that takes."""
        word = {"training": "train", "evaluation": "score"}[stage]
        process = self.start(*cohort(self.folder))
        self.wait_until(process, lambda: re.search(f"[12] of 2 runs to {word}", self.said()) is not None)
        self.kill(f"cohort: {stage}", process, share * self.seconds("costs/cohort/*", stage))

    def kill_snakemake(self, with_jobs: bool) -> None:
        """While a job runs that this call has started, which dies with it or goes on alone."""
        begun = time.time_ns()
        process = self.start(*SNAKEMAKE)
        self.wait_until(process, lambda: any(log.stat().st_mtime_ns > begun for log in self.results.glob("logs/**/*.log")))
        longest = self.seconds("costs/cohort/*", "imports") + self.seconds("costs/cohort/*", "training")
        what, kill = ("snakemake and its jobs", os.killpg) if with_jobs else ("snakemake alone", os.kill)
        self.kill(what, process, longest, kill)

    def kill_tracking(self) -> None:
        lock = Results(self.folder / "results").mlflow_lock
        process = self.start(*TRACK)
        self.wait_until(process, lambda: lock.exists() and f" {process.pid} " in lock.read_text())
        self.kill("tracking", process, self.seconds("costs/track.json", "MLflow"))

    def seconds(self, note: str, stage: str) -> float:
        """What a stage cost that nothing has broken."""
        return json.loads(next((self.made / "results/tiny").glob(note)).read_text())[stage]["seconds"]

    def finish(self, *arguments: str) -> str:
        return call(self.folder, *arguments).stdout

    def assert_unbroken(self) -> None:
        """That the results are those of the unbroken copy, and nothing is left of processes that were killed."""
        made = self.made / "results/tiny"
        assert (self.results / "runs.csv").read_bytes() == (made / "runs.csv").read_bytes()
        for path in made.glob("runs/*/weights.safetensors"):
            states = load_file(path), load_file(self.results / path.relative_to(made))
            assert states[0].keys() == states[1].keys()
            assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        names = [path.name for path in (self.folder / "results").rglob("*")]
        assert [name for name in names if name.startswith(".") or "checkpoint" in name] == []

    def assert_index_unbroken(self) -> None:
        held = index(self.folder / "results")
        assert len(held) == 5
        assert held == index(self.made / "results")
        assert list((self.folder / "results").glob(".*")) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("made"), n_epochs=60)


@pytest.fixture
def copy(made, tmp_path) -> Copy:
    return Copy(tmp_path, made)


def copy_to_track(folder: Path, made: Path, seed: int = 0) -> Copy:
    """With the unbroken results themselves, since MLflow shows when files were made."""
    copy = Copy(folder, made, seed, taken="results")
    shutil.rmtree(folder / "results/mlartifacts")
    (folder / "results/mlflow.db").unlink()
    return copy


def test_whatever_is_killed_the_same_commands_complete_with_the_same_bytes(copy):
    for place in PLACES:
        copy.kill_at_rename(place, 20, *cohort(copy.folder))
    copy.kill_cohort("evaluation", share=1)
    copy.kill_snakemake(with_jobs=True)
    copy.kill_snakemake(with_jobs=False)
    copy.finish(*SNAKEMAKE)
    copy.kill_at_rename("half written", 7, *AGGREGATE)
    # What had ended before its signal came was not killed.
    while copy.kills.total() < 5:
        copy.kill_at_rename("whole", 7, *AGGREGATE)
    copy.finish(*AGGREGATE)
    copy.assert_unbroken()
    assert "Nothing to be done" in copy.finish(*SNAKEMAKE, "--dry-run")


def test_tracking_that_is_killed_completes_with_the_same_index(made, tmp_path):
    copy = copy_to_track(tmp_path, made)
    copy.kill_tracking()
    copy.finish(*TRACK)
    copy.assert_index_unbroken()


def test_what_is_told_to_end_does_so_at_once_in_one_line_and_goes_on_at_the_next_call(copy):
    write(copy.folder, defaults=TINY["defaults"] | {"epochs": 10_000})  # minutes: it does not end of itself meanwhile
    checkpoint = copy.results / "cohorts" / cohort(copy.folder)[4] / "checkpoint.safetensors"
    first = signal.SIGTERM, 143, "terminated", "2 of 2 runs to train"
    second = signal.SIGINT, 130, "interrupted", "goes on after epoch"
    for number, exit_code, how, begun in (first, second):
        process = copy.start(*cohort(copy.folder))
        copy.wait_until(process, lambda begun=begun: begun in copy.said() and checkpoint.exists())
        process.send_signal(number)
        assert process.wait() == exit_code
        *_, last = copy.said().splitlines()
        assert last == f"vaebench: cohort was {how}; what is finished is kept, and the same call goes on from there"
        assert "Traceback" not in copy.said()
        assert list(copy.results.rglob(".*")) == []
        assert list(copy.results.glob("runs/*")) == []


def test_of_two_equal_jobs_at_once_one_works_and_the_other_finds_all_done(copy):
    processes = [copy.start(*cohort(copy.folder), said=name) for name in ("0.txt", "1.txt")]
    assert [process.wait() for process in processes] == [0, 0]
    counts = sorted(re.findall(r"(\d) of 2 runs to (train|score)", copy.said(name)) for name in ("0.txt", "1.txt"))
    assert counts == [[("0", "train"), ("0", "score")], [("2", "train"), ("2", "score")]]


def test_a_second_call_for_the_same_results_ends_in_one_line_and_leaves_them_alone(copy):
    path = "results/tiny/locks/call.lock"
    with locks.held(copy.folder / path, "results/tiny"):
        done = call(copy.folder, *SNAKEMAKE, check=False)
    assert done.returncode == 1
    holder, remedy = f"process {os.getpid()} on {platform.node()}", "wait until it has ended, or end it, then start again"
    assert done.stderr.splitlines()[-1] == f"vaebench: results/tiny: {holder} is making it and holds {path}; {remedy}"
    assert "Traceback" not in done.stderr
    assert [path.name for path in copy.results.iterdir()] == ["locks"]


def test_python_and_snakemake_are_not_at_the_same_results_at_once(copy):
    results = Results(copy.folder / "results")
    report = results.experiment("tiny").report
    with stages.claimed([report], results), pytest.raises(UserError, match=r"results/tiny: process .* is making it"):
        workflow.run(copy.folder / "experiments/tiny.yaml", results.root)
    digits = results.dataset("digits")
    with stages.claimed([digits], results):
        with stages.claimed([report, results.dataset("mnist")], results):  # of others, nobody minds
            pass
        with pytest.raises(UserError, match=r"digits\.npz: process .* is making it"), stages.claimed([digits], results):
            pass


@pytest.mark.long
def test_two_calls_at_once_for_different_experiments_do_not_disturb_each_other(copy):
    write(copy.folder, "other", seeds=1)
    other = ("snakemake", "results/other/runs.csv", "--cores", "1")
    processes = [copy.start(*SNAKEMAKE), copy.start(*other, said="other.txt")]
    assert [process.wait() for process in processes] == [0, 0], copy.said() + copy.said("other.txt")
    copy.assert_unbroken()
    assert len(pd.read_csv(copy.folder / "results/other/runs.csv")) == 2


@pytest.mark.long
def test_of_two_calls_at_once_for_the_same_results_one_makes_them_and_the_other_says_so(copy):
    first = copy.start(*SNAKEMAKE)
    copy.wait_until(first, (copy.results / "locks/call.lock").exists)
    second = copy.start(*SNAKEMAKE, said="second.txt")
    assert (second.wait(), first.wait()) == (1, 0), copy.said()
    assert f"results/tiny: process {first.pid} on" in copy.said("second.txt").splitlines()[-1]
    copy.assert_unbroken()


@pytest.mark.long
def test_fifty_random_kills_lose_nothing(tmp_path):
    made, kills, begun = make(tmp_path / "made", n_epochs=150), Counter(), time.monotonic()
    for seed in itertools.count():
        copy = Copy(tmp_path / f"{seed}", made, seed)
        for place in PLACES:
            copy.kill_cohort("training", share=0.2)
            copy.kill_at_rename(place, 20, *cohort(copy.folder))
        copy.kill_snakemake(with_jobs=True)
        copy.kill_cohort("evaluation", share=1)
        copy.kill_snakemake(with_jobs=True)
        copy.kill_snakemake(with_jobs=False)
        copy.kill_snakemake(with_jobs=False)
        copy.finish(*SNAKEMAKE)
        for place in PLACES:
            copy.kill_at_rename(place, 7, *AGGREGATE)
        copy.finish(*AGGREGATE)
        copy.assert_unbroken()
        tracked = copy_to_track(tmp_path / f"{seed}-tracked", made, seed)
        tracked.kill_tracking()
        tracked.kill_tracking()
        tracked.finish(*TRACK)
        tracked.assert_index_unbroken()
        kills += copy.kills + tracked.kills
        if kills.total() >= 50:
            break
    by_target = ", ".join(f"{target} {n}" for target, n in sorted(kills.items()))
    print(f"\n{kills.total()} kills in {time.monotonic() - begun:.0f} s, nothing lost: {by_target}")
