"""What classifiers and clusterings are given in place of images: posterior means or, as baselines, PCA codes and pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vaebench.metrics import Estimate, mean_over_images
from vaebench.subject import Subject, once_a_job
from vaebench.task_scores import MODEL, PCA, PIXELS

Found = TypeVar("Found")


@dataclass(frozen=True)
class Features:
    """train: [N, F] of the training images, labels: [N]; test: [M, F] of the images scored on, test_labels: [M].

    They are moved and divided by one number so that the training images' mean is 0 and their mean squared length 1: then a
    regularisation is as strong for two dimensions as for 784 pixels. Distances keep their proportions: to bring every
    dimension to the same variance would blow up those that have collapsed.
    """

    train: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def by_method(subject: Subject, compute: Callable[[Features], Found]) -> dict[str, Found]:
    """compute(features) by method: MODEL of the run's posterior means, and its baselines."""
    return {MODEL: compute(_features(subject, subject.means)), **of_baselines(subject, compute)}


def of_baselines(subject: Subject, compute: Callable[[Features], Found]) -> dict[str, Found]:
    """compute(features) of as many principal components, PCA, and of PIXELS.

    compute is a function of a module: what it gives is the same for all runs, and is kept by its name.
    """
    return {
        PCA: _of_principal_components(subject, compute, subject.run.latent_size),
        PIXELS: _of_pixels(subject, compute),
    }


@once_a_job
def _of_principal_components(subject: Subject, compute: Callable[[Features], Found], n: int) -> Found:
    return compute(_features(subject, subject.principal_components(n).codes))


@once_a_job
def _of_pixels(subject: Subject, compute: Callable[[Features], Found]) -> Found:
    return compute(_features(subject, lambda x: x))


def _features(subject: Subject, code: Callable[[np.ndarray], np.ndarray]) -> Features:
    split = subject.evaluation.split
    train, test = scaled(code(subject.pixels("train")), code(subject.scored))
    return Features(train, subject.labels("train"), test, subject.labels(split))


def scaled(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both [., F] moved and divided alike: the mean of train becomes 0, its mean squared length 1, unless it is 0."""
    mean = train.mean(axis=0, dtype=float).astype(train.dtype)
    centred = train - mean
    length = np.sqrt(np.square(centred).sum(axis=1).mean(dtype=float)).astype(train.dtype)
    scale = length if length > 0 else train.dtype.type(1)
    return centred / scale, (test - mean) / scale


def chance(labels: np.ndarray) -> Estimate:
    """Accuracy on labels [N] of one who always names the most frequent class."""
    return mean_over_images((labels == np.bincount(labels).argmax()).astype(float))
