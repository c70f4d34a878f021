"""All steps of an experiment without Snakemake: the same commands, so many at a time as there are cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vaebench import costs, disk, loading, locks, progress, stages
from vaebench.costs import StageCost
from vaebench.environment import available_cores
from vaebench.errors import UserError
from vaebench.files import try_to_write
from vaebench.fingerprint import PACKAGE
from vaebench.keys import is_classified
from vaebench.loading import LoadedExperiment
from vaebench.specification import load
from vaebench.store import Results
from vaebench.timing import peak_megabytes


class Job(NamedTuple):
    """A command line after `vaebench`, where what it says is kept, and how many runs it trains."""

    arguments: list[str]
    log: Path
    n_runs: int = 0


def run(experiment: str | Path, results: str | Path = "results", cores: int | None = None) -> LoadedExperiment:
    """Train, score and compare all that an experiment file asks for, up to the figures and the report.

    Every cohort is a process of its own with one thread, `cores` of them at a time (by default as many as there are), so
    the numbers are those of the workflow. What is there already is not trained again. Raises UserError for a mistake in
    the file, and where a step fails by what the user can mend; RuntimeError, with the step's last words, where not.

    >>> import vaebench as vb
    >>> vb.run("experiments/frist.yaml")
    Traceback (most recent call last):
        ...
    vaebench.errors.UserError: experiments/frist.yaml: no such file; did you mean 'first'? allowed: first
    """
    begun = time.process_time()
    cores = available_cores() if cores is None else cores
    if cores < 1:
        raise UserError(f"cores must be 1 or more, not {cores}")
    path, results = Path(experiment), Results(Path(results))
    loaded = load(path)
    folder = results.experiment(loaded.name)

    def job(verb: str, what: str, *options: str, n_runs: int = 0) -> Job:
        arguments = [verb, what, *options, "--results", str(results.root)]
        return Job(arguments, folder.log(verb, *options[1:]), n_runs)

    unprepared = [dataset for dataset in loaded.datasets if not results.dataset(dataset.name).exists()]
    needs_classifier = loaded.needs_classifier and not is_classified(loaded.dataset, results)
    steps = [
        [job("prepare", dataset.argument) for dataset in unprepared],
        [job("classify", loaded.dataset.argument)] if needs_classifier else [],
        [job("cohort", str(path), "--cohort", cohort.name, n_runs=len(cohort.runs)) for cohort in loaded.cohorts],
        *([job(verb, str(path))] for verb in ("aggregate", "draw", "report")),
    ]
    n_done, n_runs = 0, len(loaded.runs)
    outputs = [folder.report, *(results.dataset(dataset.name) for dataset in unprepared)]
    outputs += [results.classifier(loaded.dataset.name).record] if needs_classifier else []
    with stages.claimed(outputs, results), progress.shown(loaded.name, "run") as report:
        report(n_done, n_runs)
        for jobs in steps:
            for done in _side_by_side(jobs, cores):
                n_done += done.n_runs
                report(n_done, n_runs)
    planning = StageCost("planning", 1, None, round(time.process_time() - begun, 2), round(peak_megabytes()))
    with locks.held(folder.tables_lock, str(folder.path)):
        costs.keep(folder, costs.stage_costs(stages.notes(loaded, results), planning))
    return loading.load(folder.path)


def _side_by_side(jobs: Sequence[Job], cores: int) -> Iterator[Job]:
    """Do all jobs, yielding each as it ends. When one fails, or the caller is interrupted, those under way are stopped."""
    waiting = list(jobs)
    running: dict[subprocess.Popen, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                job = waiting.pop(0)
                running[_started(job)] = job
            for process in [each for each in running if each.poll() is not None]:
                job = running.pop(process)
                _check(process.returncode, job)
                yield job
            time.sleep(0.02)
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _started(job: Job) -> subprocess.Popen:
    # This very code, also where it is not installed.
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    with disk.explained(job.log, "written"):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        file = job.log.open("w", encoding="utf-8")
    with file:
        return subprocess.Popen(
            [sys.executable, "-m", "vaebench", *job.arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )


def _check(exit_code: int, job: Job) -> None:
    """Raises UserError or RuntimeError where a job has failed."""
    if exit_code == 0:
        return
    *_, last = job.log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    if exit_code == 1 and last.startswith("vaebench: "):
        raise UserError(last.removeprefix("vaebench: "))
    try_to_write(job.log.parent)
    raise RuntimeError(f"vaebench {' '.join(job.arguments)} ended with code {exit_code}: {last} (all of it: {job.log})")
