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
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from vaebench import costs, places, specification
from vaebench.costs import StageCost
from vaebench.datasets import DATASETS, Dataset
from vaebench.errors import UserError
from vaebench.specification import Experiment
from vaebench.store import RESERVED_NAMES, Contents, Results, read_text, try_to_write
from vaebench.timing import peak_megabytes

# Where `make ui` shows the runs.
MLFLOW_ADDRESS = "http://127.0.0.1:5000"

_experiments: dict[str, Experiment] = {}
_settings: dict[str, int] = {}


def load_requested(arguments: Iterable[str], main_experiment: str, lanes: int | None = None) -> None:
    """Read the experiments that a call asks for at once, so that a mistake ends it in one line, with nothing planned.

    lanes: of a cohort, in place of what the files say.
    """
    if lanes is not None:
        _settings["lanes"] = lanes
    requested = {Path(target).parts[1] for target in arguments if re.match(r"results/.", target)}
    for name in sorted(requested - set(RESERVED_NAMES)) or [main_experiment]:
        try:
            experiment(name)
        except UserError as error:
            sys.exit(f"vaebench: {error}")


def experiment(name: str) -> Experiment:
    """experiments/NAME.yaml, read once."""
    if name not in _experiments:
        _experiments[name] = specification.load(Path("experiments") / f"{name}.yaml", **_settings)
    return _experiments[name]


def dataset_file(name: str) -> str:
    """The prepared file that an experiment reads."""
    return str(Results().dataset(experiment(name).dataset.name))


def dataset(name: str) -> Dataset:
    """The data set of a prepared file's name. Raises UserError where neither defaults nor any experiment give that name."""
    for known in _datasets():
        if known.name == name:
            return known
    raise UserError(
        f"{Results().dataset(name)}: is of no data set that an experiment names, nor of one with default settings"
    )


def _datasets() -> Iterator[Dataset]:
    yield from (definition() for definition in DATASETS.values())
    yield from (loaded.dataset for loaded in _experiments.values())
    # A job on another machine is told the file's name only, not the experiment that asks for it.
    for path in sorted(Path("experiments").glob("*.yaml")):
        with suppress(UserError):
            yield specification.load(path).dataset


def cohort_files(name: str) -> list[str]:
    """What training and evaluation give to the tables."""
    folder = Results().experiment(name)
    files = [folder.cohort(cohort.name) for cohort in experiment(name).cohorts]
    return [str(path) for file in files for path in (file.history, file.metrics, file.spectrum)]


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
    rows, links = [], {}
    if tracked.exists():
        rows = [Contents(tracked, row) for row in csv.DictReader(io.StringIO(read_text(tracked)))]
    if rows and "mlflow_experiment_id" in rows[0]:  # it is not in files of older versions
        server = os.environ.get("MLFLOW_TRACKING_URI", "")
        address = re.sub("(?<=://)[^/@]*@", "", server) if server.startswith("http") else MLFLOW_ADDRESS
        links = {
            "experiment": f"{address}/#/experiments/{rows[0]['mlflow_experiment_id']}",
            "runs": {row["run_id"]: row["mlflow_run_id"] for row in rows},
        }
    return f'<script type="application/json" id="mlflow">{json.dumps(links)}</script>'


def notes(experiment: Experiment, results: Results) -> list[Path]:
    """Where the jobs of an experiment note what they cost, in the order of the workflow."""
    folder = results.experiment(experiment.name)
    of_cohorts = [folder.cost("cohort", cohort.name) for cohort in experiment.cohorts]
    of_all = [folder.cost(verb) for verb in ("aggregate", "draw", "report", "track")]
    return [results.dataset_cost(experiment.dataset.name), *of_cohorts, *of_all]
