"""The task "anomaly": whether a run finds images unlikely that are of a class, or of a data set, that it never saw.

Normal images are those that the run is scored on. Everything a VAE says of an image may serve as the score of how anomalous
it is: −ELBO, its parts, and the NLL, all in nats. Their baseline is the squared error of as many principal components.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from vaebench.detection import AUROC, PRECISION, UNSEEN_CLASS, auroc, average_precision, by_score, unseen_data
from vaebench.evaluation import IMAGE_BLOCK, evidence
from vaebench.images import blocks, padded
from vaebench.metrics import Estimate
from vaebench.pictures import grey
from vaebench.subject import Subject
from vaebench.task_scores import CHANCE, MODEL, PCA, Finding, TaskScores
from vaebench.tasks import Anomaly

# Samples of z an image, where the evaluation has no fewer. On MNIST 100 changed the AUROC by −ELBO by 0.0004, by NLL 0.003.
MOST_SAMPLES = 20
N_SHOWN = 10


class ImageScores(NamedTuple):
    """Of each image, in nats: float64 [N]."""

    rate: np.ndarray
    distortion: np.ndarray
    nll: np.ndarray

    @property
    def negative_elbo(self) -> np.ndarray:
        return self.rate + self.distortion


class Anomalies(NamedTuple):
    """Images [M, D] that are none of the run's own, and of what they are."""

    condition: str
    pixels: np.ndarray


def score(subject: Subject, task: Anomaly) -> TaskScores:
    condition, unseen = anomalies(subject, task)
    if not len(unseen):
        return TaskScores({}, [])
    normal, anomalous = image_scores(subject, subject.scored), image_scores(subject, unseen, "anomaly noise")
    by_elbo = normal.negative_elbo, anomalous.negative_elbo
    told = {
        ("", MODEL): by_elbo,
        ("distortion", MODEL): (normal.distortion, anomalous.distortion),
        ("rate", MODEL): (normal.rate, anomalous.rate),
        ("NLL", MODEL): (normal.nll, anomalous.nll),
        ("", PCA): (squared_error(subject, subject.scored), squared_error(subject, unseen)),
    }
    areas = {key: auroc(*pair) for key, pair in told.items()}
    precisions = {key: average_precision(*pair) for key, pair in told.items()}
    share = len(unseen) / (len(unseen) + len(subject.scored))
    findings = [
        Finding(condition, by_score(name, score), method, *estimate)
        for name, estimates, chance in ((AUROC, areas, 0.5), (PRECISION, precisions, share))
        for (score, method), estimate in (estimates | {("", CHANCE): Estimate(chance)}).items()
    ]
    findings += [
        Finding(condition, f"ELBO of {kind} images [nats]", MODEL, float(-values.mean()))
        for kind, values in zip(("normal", "anomalous"), by_elbo, strict=True)
    ]
    own = "", MODEL
    is_class = subject.run.left_out is not None
    metrics = (
        {"anomaly_auroc": areas[own], "anomaly_precision": precisions[own]} if is_class else {"outlier_auroc": areas[own]}
    )
    return TaskScores(metrics, findings, _pictures(subject.scored, unseen, *by_elbo))


def anomalies(subject: Subject, task: Anomaly) -> Anomalies:
    """Of the split that the run is scored on: the class that it left out, or all of another data set."""
    run, split = subject.run, subject.evaluation.split
    if run.left_out is not None:
        images = subject.other_images(run.dataset)
        of_class = images.labels[split] == run.dataset.class_names.index(run.left_out)
        return Anomalies(UNSEEN_CLASS, images.as_pixels(images[split]).numpy()[of_class])
    [other] = task.other_datasets(run)
    images = subject.other_images(other)
    return Anomalies(unseen_data(other.kind), images.as_pixels(images[split]).numpy())


@torch.no_grad()
def image_scores(subject: Subject, x: np.ndarray, stream: str = "evaluation noise") -> ImageScores:
    """Of images [N, D], with at most MOST_SAMPLES of the evaluation's K samples of z an image.

    Those that the run is scored on meet the noise of the evaluation: with as many samples these are its own numbers.
    """
    n_samples = min(subject.evaluation.n_samples, MOST_SAMPLES)
    parts = []
    for index, (start, end) in enumerate(blocks(len(x), IMAGE_BLOCK)):
        generator = subject.generator(stream, index)
        noise = torch.randn(n_samples, IMAGE_BLOCK, subject.run.latent_size, generator=generator).to(subject.device)
        block = padded(torch.from_numpy(x[start:end]), IMAGE_BLOCK).to(subject.device)
        samples = subject.model.importance_samples(block, noise)
        by_image = evidence(samples.log_likelihood.double(), samples.log_weight.double())
        rate = subject.model.rates(block).sum(-1)
        parts.append(torch.stack([rate, by_image["distortion"], by_image["nll"]])[:, : end - start])
    return ImageScores(*torch.cat(parts, dim=1).cpu().numpy())


def squared_error(subject: Subject, x: np.ndarray) -> np.ndarray:
    """Of images [N, D], by as many principal components of the training images as the run has latent dimensions: [N]."""
    components = subject.principal_components(subject.run.latent_size)
    return np.square(x - components.reconstructions(x)).sum(axis=1, dtype=float)


def _pictures(
    normal: np.ndarray, anomalous: np.ndarray, of_normal: np.ndarray, of_anomalous: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of both kinds, and the images with the lowest and the highest of all as grey levels [n, D]."""
    order = np.argsort(np.concatenate([of_normal, of_anomalous]), kind="stable")
    pixels = np.concatenate([normal, anomalous])
    pictures = {"normal": of_normal.astype(np.float32), "anomalous": of_anomalous.astype(np.float32)}
    for name, chosen in (("least", order[:N_SHOWN]), ("most", order[::-1][:N_SHOWN])):
        pictures[f"{name}_anomalous"] = grey(torch.from_numpy(pixels[chosen]))
        pictures[f"{name}_is_anomaly"] = chosen >= len(normal)
    return pictures
