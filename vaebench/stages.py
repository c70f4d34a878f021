"""What the Snakefile asks: experiments by name, the files between stages, and what to say at the end.

The Snakefile itself holds rules only. Imports no torch.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from vaebench import costs, locks, places, specification
from vaebench.costs import StageCost
from vaebench.datasets import DATASETS, Dataset
from vaebench.environment import PRECISIONS, require_device
from vaebench.errors import UserError, without_credentials
from vaebench.experiment_file import nearest
from vaebench.files import Contents, damaged, read_text, try_to_write
from vaebench.specification import Experiment
from vaebench.store import RESERVED_NAMES, Results
from vaebench.timing import peak_megabytes

# Where `make ui` shows the runs.
MLFLOW_ADDRESS = "http://127.0.0.1:5000"

_experiments: dict[str, Experiment] = {}
_settings: dict[str, int] = {}
# Held until this process ends.
_claims = ExitStack()


class Choices(NamedTuple):
    """What `--config` may set for a call."""

    experiment: str = "digits"  # whose report and tracked runs are made where no target is named
    lanes: int | None = None  # of a cohort, in place of what the files say
    device: str = "cpu"
    precision: str = "float32"  # of matrix products on a GPU
    checkpoint_seconds: int = 60  # between checkpoints, at least


def choices(config: Mapping[str, Any], arguments: Iterable[str]) -> Choices:
    """What a call's configuration says. The experiments that its arguments ask for are read at once.

    So a mistake ends it in one line, with nothing planned.
    """
    try:
        chosen = _checked(config)
        if chosen.lanes is not None:
            _settings["lanes"] = chosen.lanes
        requested = {Path(target).parts[1] for target in arguments if re.match(r"results/.", target)}
        for name in sorted(requested - set(RESERVED_NAMES)) or [chosen.experiment]:
            experiment(name)
    except UserError as error:
        sys.exit(f"vaebench: {error}")
    return chosen


def _checked(config: Mapping[str, Any]) -> Choices:
    if unknown := [key for key in config if key not in Choices._fields]:
        raise UserError(f"--config {unknown[0]}: no such setting{nearest(unknown[0], Choices._fields)}")
    chosen = Choices(**config)
    require_device(str(chosen.device))
    if chosen.precision not in PRECISIONS:
        raise UserError(f"--config precision={chosen.precision}: is not known{nearest(str(chosen.precision), PRECISIONS)}")
    if not (isinstance(chosen.checkpoint_seconds, int) and chosen.checkpoint_seconds >= 0):
        raise UserError(f"--config checkpoint_seconds={chosen.checkpoint_seconds}: must be a whole number, 0 or more")
    return chosen


def experiment(name: str) -> Experiment:
    """experiments/NAME.yaml, read once."""
    if name not in _experiments:
        path = Path("experiments") / f"{name}.yaml"
        specification.require_name(name, path)  # it may lead out of that folder
        _experiments[name] = specification.load(path, **_settings)
    return _experiments[name]


def dataset_files(name: str) -> list[str]:
    """The files of data sets that an experiment reads: those that are prepared, and the classifier where it needs one."""
    loaded = experiment(name)
    prepared = [Results().dataset(dataset.name) for dataset in loaded.datasets]
    classifier = [Results().classifier(loaded.dataset.name).record] if loaded.needs_classifier else []
    return [str(path) for path in (*prepared, *classifier)]


def dataset(name: str) -> Dataset:
    """The data set of a prepared file's name. Raises UserError where neither defaults nor any experiment give that name."""
    for known in _datasets():
        if known.name == name:
            return known
    raise UserError(
        f"{Results().dataset(name)}: is of no data set that an experiment names, nor of one with default settings"
    )


def _datasets() -> Iterator[Dataset]:
    yield from DATASETS.with_defaults()
    yield from (dataset for loaded in _experiments.values() for dataset in loaded.datasets)
    # A job on another machine is told the file's name only, not the experiment that asks for it.
    for path in sorted(Path("experiments").glob("[!.]*.yaml")):
        with suppress(UserError):
            yield from specification.load(path).datasets


def cohort_files(name: str) -> list[str]:
    """What training and evaluation give to the tables."""
    folder = Results().experiment(name)
    files = [folder.cohort(cohort.name) for cohort in experiment(name).cohorts]
    return [str(path) for file in files for path in (file.history, file.metrics, file.spectrum, file.tasks)]


def begin(outputs: Iterable[str]) -> None:
    """At the start of a call, claim what it is going to make; where another call makes some of that, end in one line."""
    try:
        _claims.enter_context(claimed(map(Path, outputs), Results()))
    except UserError as error:
        sys.exit(f"vaebench: {error}")


@contextmanager
def claimed(outputs: Iterable[Path], results: Results) -> Iterator[None]:
    """Within the block, no other call makes anything of the same experiments, nor the same data sets.

    outputs: files that this call is going to make. Raises UserError where another call is at it.
    """
    with ExitStack() as claims:
        for lock, what in sorted({_claim(path, results) for path in outputs}):
            claims.enter_context(locks.held(lock, what, wait=False))
        yield


def _claim(output: Path, results: Results) -> tuple[Path, str]:
    """The lock that a call holds which makes this file, and what it stands for."""
    place, *_ = output.relative_to(results.root).parts
    if place == "datasets":
        return results.dataset_lock(output.stem, "call"), str(output)
    folder = results.experiment(place)
    return folder.call_lock, str(folder.path)


def close() -> str:
    """At the end of a call, keep what the stages of its experiments cost; that, and where the results lie, in words."""
    planning = StageCost("planning", 1, None, round(time.process_time(), 2), round(peak_megabytes()))
    try:
        return "\n".join(line for name in _experiments for line in _closed(name, planning))
    except UserError as error:
        sys.exit(f"vaebench: {error}")


def _closed(name: str, planning: StageCost) -> Iterator[str]:
    folder = Results().experiment(name)
    stages = costs.stage_costs(notes(experiment(name), Results()), planning)
    with locks.held(folder.tables_lock, str(folder.path)):
        if stages:
            costs.keep(folder, stages)
            yield f"{name}: {costs.sentence(stages)}"
            yield from costs.lines(stages)
        places.fill(folder.report, "mlflow", _links(folder.tracked))
    if folder.report.exists():
        yield f"report: {folder.report}"
    if folder.tracked.exists():
        yield "runs:   make ui"


def explain_failure() -> None:
    """Where nothing can be written below results/, say so: the logs of the steps, which would, lie there too."""
    try:
        try_to_write(Results().root)
    except UserError as error:
        print(f"vaebench: {error}", file=sys.stderr)


def _links(tracked: Path) -> str:
    """Where the report finds its runs in MLflow, as data for its script; empty before they are tracked."""
    rows, links = _rows(tracked) if tracked.exists() else [], {}
    if rows and "mlflow_experiment_id" in rows[0]:  # it is not in files of older versions
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        address = without_credentials(server) if re.match("https?://", server) else MLFLOW_ADDRESS
        links = {
            "experiment": f"{address}/#/experiments/{rows[0]['mlflow_experiment_id']}",
            "runs": {row["run_id"]: row["mlflow_run_id"] for row in rows},
        }
    # "<" could end the script; within strings, the only place for it, it may be written so.
    content = json.dumps(links).replace("<", r"\u003c")
    return f'<script type="application/json" id="mlflow">{content}</script>'


def _rows(table: Path) -> list[Contents]:
    """Of a csv file, by column. Raises DamagedFileError where it is none."""
    try:
        return [Contents(table, row) for row in csv.DictReader(io.StringIO(read_text(table), newline=""))]
    except csv.Error as error:
        raise damaged(table, f"cannot be read ({error})") from error


def notes(experiment: Experiment, results: Results) -> list[Path]:
    """Where the jobs of an experiment note what they cost, in the order of the workflow."""
    folder = results.experiment(experiment.name)
    of_cohorts = [folder.cost("cohort", cohort.name) for cohort in experiment.cohorts]
    of_all = [folder.cost(verb) for verb in ("aggregate", "draw", "report", "track")]
    of_data = [results.dataset_cost(dataset.name) for dataset in experiment.datasets]
    if experiment.needs_classifier:
        of_data.append(results.classifier(experiment.dataset.name).cost)
    return [*of_data, *of_cohorts, *of_all]
