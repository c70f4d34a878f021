"""The task "representation": how much of the classes posterior means tell, with all labels and without any."""

from __future__ import annotations

import numpy as np

from vaebench.features import Features, by_method, chance
from vaebench.metrics import Estimate, mean_over_images
from vaebench.pictures import spread
from vaebench.probes import clusters, nearest_neighbours, tuned_probe
from vaebench.subject import Subject
from vaebench.task_scores import CHANCE, MODEL, Finding, TaskScores
from vaebench.tasks import Representation

# Training images that classifiers are fitted to, at equal distances: of pixels it takes seconds, of all of MNIST minutes.
MOST_IMAGES = 10_000


def score(subject: Subject, task: Representation) -> TaskScores:
    by = by_method(subject, estimates)
    by[CHANCE] = at_chance(subject.labels(subject.evaluation.split))
    labels = {metric.name: metric.label for metric in task.metrics}
    rows = [Finding("", labels[name], method, *value) for method, found in by.items() for name, value in found.items()]
    return TaskScores(by[MODEL], rows)


def estimates(features: Features) -> dict[str, Estimate]:
    """By the names of the task's metrics; agreement of clusters and classes is no mean over images."""
    chosen = spread(len(features.train), min(len(features.train), MOST_IMAGES))
    given = features.train[chosen], features.labels[chosen], features.test
    found = clusters(features.test, len(np.unique(features.test_labels)))
    return {
        "linear_probe": mean_over_images((tuned_probe(*given) == features.test_labels).astype(float)),
        "nearest_neighbours": mean_over_images((nearest_neighbours(*given) == features.test_labels).astype(float)),
        **agreement(features.test_labels, found),
    }


def at_chance(labels: np.ndarray) -> dict[str, Estimate]:
    """The same of one who sees no image: names the most frequent class, and clusters at random."""
    at_random = np.random.RandomState(0).randint(len(np.unique(labels)), size=len(labels))
    return {"linear_probe": chance(labels), "nearest_neighbours": chance(labels), **agreement(labels, at_random)}


def agreement(labels: np.ndarray, found: np.ndarray) -> dict[str, Estimate]:
    """Of classes [N] and clusters [N], however either is numbered: 1 where they are the same."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "cluster_nmi": Estimate(float(normalized_mutual_info_score(labels, found))),
        "cluster_ari": Estimate(float(adjusted_rand_score(labels, found))),
    }
