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

# Every metric by name: what is computed of each run's scores, then what tasks give.
ALL_METRICS: dict[str, Metric] = dict(METRICS)


class Tasks(Registry):
    """Tasks by kind."""

    def register(self, definition: type) -> type:
        """As `Registry.register`. Raises ValueError for a metric's name that is taken, too."""
        super().register(definition)
        for metric in definition.metrics:
            if metric.name in ALL_METRICS:
                raise ValueError(f"two metrics are called {metric.name!r}")
            ALL_METRICS[metric.name] = metric
        return definition


TASKS = Tasks("task")


class Task:
    """What is known without scoring."""

    kind: str
    title: ClassVar[str]
    # The module of this package that scores it.
    module: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    # The one of them that the table of variants and tasks shows and ranks by.
    headline: ClassVar[str]
    # Condition and score of the findings that the headline stands among: what other methods have there it is held to.
    headline_finding: ClassVar[tuple[str, str]]
    # What these other methods are, baselines and floors, for people: name -> a sentence.
    methods: ClassVar[dict[str, str]] = {}
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


def _require_classes(dataset: Dataset) -> str | None:
    return None if dataset.class_names else "has no classes"


@TASKS.register
@dataclass(frozen=True)
class Representation(Task):
    """How much of the classes posterior means tell: a linear probe with all labels, clusters, nearest neighbours."""

    kind: Literal["representation"] = "representation"
    title = "Representation"
    module = "representation"
    headline = "linear_probe"
    headline_finding = ("", "accuracy")
    metrics = (
        Metric(
            name="linear_probe",
            family="representation",
            label="linear probe",
            unit="",
            better="higher",
            definition="Share of test images whose class a logistic regression on posterior means, fitted to all training "
            "images, names rightly.",
            reference="Alain & Bengio 2017",
        ),
    )

    def fault_of(self, dataset: Dataset) -> str | None:
        return _require_classes(dataset)
