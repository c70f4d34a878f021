"""Keys: short strings that change exactly when a result is out of date.

Every result is kept with the key of what it was made from: the settings that it depends on and the code's fingerprint. The
workflow compares keys to decide which jobs to run, and jobs compare them to decide which runs are still to be made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from vaebench.datasets import Dataset
from vaebench.fingerprint import PACKAGE, fingerprint
from vaebench.metrics import METRICS
from vaebench.specification import Cohort, Evaluation, Experiment, Run


def training_key(run: Run) -> str:
    return _key(run.settings, fingerprint("training", run.definitions))


def evaluation_key(run: Run, evaluation: Evaluation) -> str:
    scored_by = fingerprint("evaluation", run.definitions | frozenset(METRICS))
    return _key(training_key(run), evaluation.model_dump(mode="json"), scored_by)


def dataset_key(dataset: Dataset) -> str:
    return _key(dataset.argument, fingerprint("datasets", frozenset([type(dataset).__name__])))


def runs_key(runs: Sequence[Run]) -> str:
    """Of the training of these runs, in this order."""
    return _key([(run.run_id, training_key(run)) for run in runs])


def cohort_evaluation_key(experiment: Experiment, cohort: Cohort) -> str:
    return _key([(run.run_id, evaluation_key(run, experiment.evaluation)) for run in cohort.runs])


def tables_key(experiment: Experiment) -> str:
    return _key([run.run_id for run in experiment.runs], experiment.baseline, fingerprint("tables", frozenset(METRICS)))


def figures_key(functions: frozenset[str]) -> str:
    """functions: the names of those that draw figures."""
    return _key(fingerprint("figures", functions | frozenset(METRICS)))


def report_key(experiment: Experiment) -> str:
    return _key(experiment.model_dump(mode="json"), fingerprint("report", frozenset(METRICS)), _content("report.html"))


def tracking_key(experiment: Experiment) -> str:
    return _key(experiment.title, [run.run_id for run in experiment.runs], fingerprint("tracking", frozenset(METRICS)))


def _content(name: str) -> str:
    """The hash of a file of the package that is no code."""
    return hashlib.sha256((PACKAGE / name).read_bytes()).hexdigest()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
