"""The task "representation": how much of the classes posterior means tell."""

from __future__ import annotations

import numpy as np

from vaebench.metrics import mean_over_images
from vaebench.subject import Subject
from vaebench.task_scores import MODEL, Finding, TaskScores
from vaebench.tasks import Representation


def score(subject: Subject, task: Representation) -> TaskScores:
    train, test = subject.means(subject.pixels("train")), subject.means(subject.scored)
    right = linear_probe(train, subject.labels("train"), test) == subject.labels(subject.evaluation.split)
    estimate = mean_over_images(right.astype(float))
    return TaskScores({"linear_probe": estimate}, [Finding("", "accuracy", MODEL, *estimate)])


def linear_probe(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Classes of test features [M, F] by a logistic regression fitted to training features [N, F] and labels [N]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, labels).predict(test)
