"""Tasks in place of real ones, with made-up numbers: of runs with all classes, of runs without one, of many scores.

Tests that show their metrics ask for the fixture `made_up_metrics`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from vaebench.metrics import METRICS, Metric
from vaebench.settings import Run
from vaebench.specification import Experiment
from vaebench.task_scores import MODEL, Finding
from vaebench.tasks import Anomaly, Denoising, Generation, Task


def metric(name: str, label: str, better: str, unit: str = "") -> Metric:
    return Metric(name, "representation", label, unit, better, "Made up.", "Alain & Bengio 2017")


@dataclass(frozen=True)
class Painting(Generation):
    """How far `samples` lie from real images, as made up.

    A second paragraph, which no table shows.
    """

    title = "Painting"
    metrics = (metric("distance", "Fréchet distance", "lower"),)
    headline = "distance"
    headline_finding = ("", "Fréchet distance")
    methods = {"real images": "The floor: other real images."}


@dataclass(frozen=True)
class Guarding(Anomaly):
    """How well a class that was never seen is told from the others."""

    title = "Guarding"
    metrics = (metric("auroc", "AUROC", "higher"),)
    headline = "auroc"
    headline_finding = ("left out", "AUROC")
    methods = {"chance": "The floor, ½."}

    def applies(self, run: Run) -> bool:
        return run.left_out is not None


@dataclass(frozen=True)
class Cleaning(Denoising):
    """How much noise goes."""

    title = "Cleaning"
    metrics = (metric("cleaned", "PSNR", "higher", "dB"),)
    headline = "cleaned"
    headline_finding = ("all noise", "PSNR")
    methods = {"PCA": "The linear code.", "clean input": "What the model makes of the clean image."}


TASKS = [Painting(), Guarding(), Cleaning()]
MADE_UP_METRICS = {metric.name: metric for task in TASKS for metric in task.metrics}
NOISES = ("Gaussian noise, σ 0.3", "masked blocks")


def with_tasks(experiment: Experiment, tasks: list[Task] = TASKS) -> Experiment:
    """The same experiment with tasks that no experiment file can name."""
    metrics = METRICS | {metric.name: metric for task in tasks for metric in task.metrics}
    return experiment.model_copy(update={"tasks": list(tasks), "metrics": metrics})


def findings(task: Task, run: Run) -> Iterator[Finding]:
    """A variant's numbers lie apart from those of others, a seed's beside those of other seeds."""
    random = np.random.default_rng(crc32(f"{task.kind} {run.run_id}".encode()))
    of_variant = crc32(f"{task.kind} {run.variant}".encode()) % 7 / 10
    level = of_variant + random.normal(0, 0.02)
    match task.kind:
        case "generation":
            yield Finding("", "Fréchet distance", MODEL, 3 + level)
            yield Finding("", "Fréchet distance", "real images", 0.25)
            yield Finding("", "coverage", MODEL, 0.5)
        case "anomaly":
            yield Finding("left out", "AUROC", MODEL, 0.5 + level / 2 + int(run.left_out) / 100)
            yield Finding("left out", "AUROC", "chance", 0.5)
        case "denoising":
            for condition in ("all noise", *NOISES):
                yield Finding(condition, "PSNR", MODEL, 18 + level)
                yield Finding(condition, "PSNR", "PCA", 10.0 + run.latent_size)
                yield Finding(condition, "PSNR", "clean input", 25 + level)


def scores(task: Task, run: Run) -> dict[str, float]:
    """The headline by its name."""
    found = {finding[:3]: finding.value for finding in findings(task, run)}
    return {task.headline: found[(*task.headline_finding, MODEL)]}
