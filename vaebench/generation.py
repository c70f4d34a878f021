"""The task "generation": how like real images samples from the prior are, seen through the data set's classifier.

Real images are the grey levels of the data set, also where a run saw them binarised: a sample is a mean image, and what
binarised images have for their mean are the grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from vaebench import splits
from vaebench.classifier import Classifier, load, pixels
from vaebench.datasets import Dataset
from vaebench.metrics import Estimate, mean_over_images
from vaebench.pictures import grey
from vaebench.sample_quality import Manifold, class_coverage, frechet_distance
from vaebench.store import Results
from vaebench.subject import Subject
from vaebench.task_scores import MODEL, Finding, TaskScores
from vaebench.tasks import NEIGHBOURS, Generation

# Of each kind; distances between all pairs of them are computed.
MOST_IMAGES = 10_000
N_PICTURES = 10
# The split of real images that neither the models nor the classifier were fitted to and that are not scored.
HELD_OUT = {"test": "validation", "validation": "test", "train": "test"}
# The floor: a generator that gives real images, others than the scored ones; and one that always gives the same.
REAL_IMAGES = "real images"
ONE_IMAGE = "one image"


class Seen(NamedTuple):
    """What a set of images is found to be: scores by name, and of the first N_PICTURES what figures show."""

    scores: dict[str, Estimate]
    pictures: dict[str, np.ndarray]


@dataclass(frozen=True)
class Reality:
    """Real images that others are held against: pixel values [N, D], and their manifold in the classifier's features."""

    classifier: Classifier
    x: np.ndarray
    manifold: Manifold

    def look(self, x: np.ndarray) -> Seen:
        """At other images, pixel values [M, D]."""
        features, probabilities = self.classifier.see(x)
        is_inside, others = self.manifold.has(features), Manifold.around(features, NEIGHBOURS)
        scores = {
            "Fréchet distance": Estimate(frechet_distance(features, self.manifold.points)),
            "precision of samples": mean_over_images(is_inside.astype(float)),
            "recall of samples": mean_over_images(others.has(self.manifold.points).astype(float)),
            "class coverage": Estimate(class_coverage(probabilities.argmax(1), probabilities.shape[1])),
            "confidence": mean_over_images(probabilities.max(1)),
        }
        first = slice(N_PICTURES)
        nearest = self.x[self.manifold.nearest(features[first])]
        pictures = {
            "images": grey(torch.from_numpy(x[first])),
            "nearest": grey(torch.from_numpy(nearest)),
            "is_inside": is_inside[first],
        }
        return Seen(scores, pictures)


def score(subject: Subject, task: Generation) -> TaskScores:
    reality, n_samples, floors = _reality(subject.run.dataset, subject.evaluation.split, subject.results)
    seen = {MODEL: reality.look(subject.samples(n_samples).clip(0, 1))} | floors
    findings = [
        Finding(f"{n_samples:,} samples", name, method, *estimate)
        for method, of_method in seen.items()
        for name, estimate in of_method.scores.items()
    ]
    metrics = {metric.name: seen[MODEL].scores[metric.label] for metric in task.metrics}
    shown = {"samples": seen[MODEL], "held_out": floors[REAL_IMAGES]}
    pictures = {f"{kind}_{name}": what for kind, each in shown.items() for name, what in each.pictures.items()}
    return TaskScores(metrics, findings, pictures)


@cache
def _reality(dataset: Dataset, split: str, results: Results) -> tuple[Reality, int, dict[str, Seen]]:
    """For all runs of a job: the scored images, how many others are held against them, and those of the floors."""
    images = splits.load(dataset, results.dataset(dataset.name))
    x, held_out = (pixels(images[name], dataset.n_levels)[:MOST_IMAGES] for name in (split, HELD_OUT[split]))
    classifier = load(dataset, results)
    reality = Reality(classifier, x, Manifold.around(classifier.see(x).features, NEIGHBOURS))
    # Of samples and floors as many, since the Fréchet distance falls with their number.
    floors = {REAL_IMAGES: held_out, ONE_IMAGE: np.tile(x[0], (len(held_out), 1))}
    return reality, len(held_out), {method: reality.look(others) for method, others in floors.items()}
