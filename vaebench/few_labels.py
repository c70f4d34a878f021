"""The task "few-labels": how well classes are learned from few labels (Kingma et al. 2014b).

A run without supervision is scored on its posterior means (M1), one with supervision by the classifier that it has (M2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from vaebench.features import Features, by_method, chance, of_baselines
from vaebench.label_draws import label_draw
from vaebench.metrics import Estimate, mean_over_images
from vaebench.probes import linear_probe, nearest_neighbours
from vaebench.subject import Subject
from vaebench.task_scores import CHANCE, MODEL, PIXELS, Finding, TaskScores
from vaebench.tasks import ACCURACY, LABEL_COUNTS, FewLabels, labels_condition

DRAWS = 10
# Few labels leave none to choose the strength by. A finer tolerance takes twice as long and moves accuracies by 0.003.
PROBE = partial(linear_probe, strength=10.0, tolerance=1e-3)
NEIGHBOUR_ACCURACY = "nearest-neighbour accuracy"
CLASSIFIERS = {ACCURACY: PROBE, NEIGHBOUR_ACCURACY: nearest_neighbours}
METRICS = {
    "accuracy_10": (10, ACCURACY),
    "accuracy_100": (100, ACCURACY),
    "accuracy_1000": (1000, ACCURACY),
    "knn_accuracy_100": (100, NEIGHBOUR_ACCURACY),
}


class Accuracy(NamedTuple):
    """Over draws of labels: the mean, with its standard error over test images, and the standard deviation; None of one."""

    mean: Estimate
    spread: float | None = None


def score(subject: Subject, task: FewLabels) -> TaskScores:
    if subject.run.supervision is None:
        by = by_method(subject, accuracies)
    else:
        by = {MODEL: own_accuracy(subject), **of_baselines(subject, accuracies)}
    floor = chance(subject.labels(subject.evaluation.split))
    floors = [Finding(labels_condition(n), name, CHANCE, *floor) for n, name in by[MODEL] | by[PIXELS]]
    metrics = {name: by[MODEL][which].mean for name, which in METRICS.items() if which in by[MODEL]}
    return TaskScores(metrics, [row for method, found in by.items() for row in _rows(method, found)] + floors)


def own_accuracy(subject: Subject) -> dict[tuple[int, str], Accuracy]:
    """As `accuracies`, of a run's own classifier, which is told one number and one draw of labels."""
    right = subject.classes(subject.scored) == subject.labels(subject.evaluation.split)
    return {(subject.run.supervision.labels, ACCURACY): Accuracy(mean_over_images(right.astype(float)))}


def accuracies(features: Features) -> dict[tuple[int, str], Accuracy]:
    """By number of labels and score, for those numbers that every class has enough images for."""
    counts = np.unique(features.labels, return_counts=True)[1]
    return {
        (n, name): _accuracy(features, n, classify)
        for n in LABEL_COUNTS
        if n <= len(counts) * counts.min()
        for name, classify in CLASSIFIERS.items()
    }


def _accuracy(features: Features, n_labels: int, classify: Callable[..., np.ndarray]) -> Accuracy:
    right = np.empty((DRAWS, len(features.test)))
    for draw in range(DRAWS):
        chosen = label_draw(features.labels, n_labels, draw)
        right[draw] = classify(features.train[chosen], features.labels[chosen], features.test) == features.test_labels
    return Accuracy(mean_over_images(right.mean(axis=0)), float(right.mean(axis=1).std(ddof=1)))


def _rows(method: str, found: dict[tuple[int, str], Accuracy]) -> list[Finding]:
    rows = []
    for (n_labels, name), accuracy in found.items():
        condition = labels_condition(n_labels)
        rows.append(Finding(condition, name, method, *accuracy.mean))
        if accuracy.spread is not None:
            rows.append(Finding(condition, f"{name}, spread over draws", method, accuracy.spread))
    return rows
