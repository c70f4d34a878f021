"""Tasks: what a trained VAE may be good for, each measured in its own numbers.

A task is declared here, with its metrics and what it needs, and scored by `score` of the module that it names:
`score(subject: Subject, task: Task) -> TaskScores`. That module is looked up by name as the task is scored, so that to edit
it makes the task's scores out of date and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from vaebench.metrics import METRICS, Metric
from vaebench.registry import Registry

if TYPE_CHECKING:
    from vaebench.datasets import Dataset
    from vaebench.specification import Run

TASKS = Registry("task")


class Task:
    """What is known without scoring."""

    kind: str
    title: ClassVar[str]
    # The module of this package that scores it.
    module: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    # The one of them that the table of variants and tasks shows and ranks by.
    headline: ClassVar[str]
    # Whether it looks through the eyes of the data set's classifier (`vaebench.classifier`).
    needs_classifier: ClassVar[bool] = False
    # What a run must be for it to apply, to end a message.
    needs_of_runs: ClassVar[str] = ""

    def fault_of(self, dataset: Dataset) -> str | None:
        """Why it cannot be scored on a data set, to end a message that begins with the data set's kind; None if it can."""
        return None

    def applies(self, run: Run) -> bool:
        """Whether such a run is scored by it; others have none of its metrics."""
        return True

    def other_datasets(self, dataset: Dataset) -> tuple[Dataset, ...]:
        """Those that it reads beside the run's own."""
        return ()


class OfClasses(Task):
    """One that tells classes apart."""

    needs_of_runs = "two classes or more must not be left out"

    def fault_of(self, dataset: Dataset) -> str | None:
        return None if dataset.class_names else "has no classes"

    def applies(self, run: Run) -> bool:
        return len(run.dataset.class_names) - (run.left_out is not None) > 1


# How many training images have a label, and what is measured then.
LABEL_COUNTS = (10, 100, 1000)
ACCURACY = "accuracy"


def labels_condition(n_labels: int) -> str:
    """As findings call it."""
    return f"{n_labels:,} labels"


def _few_labels_metric(name: str, n_labels: int, classifier: str, label: str) -> Metric:
    return Metric(
        name=name,
        family="labels",
        label=f"{label}, {labels_condition(n_labels)}",
        unit="",
        better="higher",
        definition=f"Accuracy of {classifier} posterior means with {n_labels:,} labels, mean over 10 draws of them.",
        reference="Kingma et al. 2014b",
    )


@TASKS.register
@dataclass(frozen=True)
class FewLabels(OfClasses):
    """How well classes are learned from few labels on posterior means (M1 of Kingma et al. 2014b)."""

    kind: Literal["few-labels"] = "few-labels"
    title = "Learning from few labels"
    module = "few_labels"
    headline = "accuracy_100"
    metrics = (
        _few_labels_metric("accuracy_10", 10, "a logistic regression on", "accuracy"),
        _few_labels_metric("accuracy_100", 100, "a logistic regression on", "accuracy"),
        _few_labels_metric("accuracy_1000", 1000, "a logistic regression on", "accuracy"),
        _few_labels_metric("knn_accuracy_100", 100, "the nearest neighbours among", "nearest neighbours"),
    )


@TASKS.register
@dataclass(frozen=True)
class Representation(OfClasses):
    """How much of the classes posterior means tell: a linear probe and nearest neighbours with all labels, clusters."""

    kind: Literal["representation"] = "representation"
    title = "Representation"
    module = "representation"
    headline = "linear_probe"
    metrics = (
        Metric(
            name="linear_probe",
            family="representation",
            label="linear probe",
            unit="",
            better="higher",
            definition="Accuracy of a logistic regression on posterior means, fitted with all labels.",
            reference="Alain & Bengio 2017",
        ),
        Metric(
            name="nearest_neighbours",
            family="representation",
            label="nearest neighbours",
            unit="",
            better="higher",
            definition="Accuracy of the five nearest posterior means with all labels, weighted by inverse distance.",
            reference="Cover & Hart 1967",
        ),
        Metric(
            name="cluster_nmi",
            family="representation",
            label="cluster NMI",
            unit="",
            better="higher",
            definition="Mutual information of classes and k-means clusters over the mean of their entropies.",
            reference="after Strehl & Ghosh 2002",
        ),
        Metric(
            name="cluster_ari",
            family="representation",
            label="cluster ARI",
            unit="",
            better="higher",
            definition="Adjusted Rand index of classes and k-means clusters: 1 where they are the same, 0 at chance.",
            reference="Hubert & Arabie 1985",
        ),
    )


# Every metric by name: what is computed of each run's scores, then what tasks give.
ALL_METRICS: dict[str, Metric] = METRICS | {metric.name: metric for task in TASKS.values() for metric in task.metrics}
