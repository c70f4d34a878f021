"""Metrics: what is measured of a trained run, each a pure function of its scores on the test split.

A metric is registered once, with its unit, its direction and where it comes from; tables, figures, the report and MLflow
read that from here. All numbers are float64, sums over pixels and dimensions, means over images, in nats per image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

# A dimension is active where its posterior mean varies by more than this over the images (Burda et al. 2016).
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class Scores:
    """A run on N test images, Z latent dimensions; float64, in nats."""

    rate: np.ndarray  # [N] KL(q(z|x)‖p(z)), closed form
    distortion: np.ndarray  # [N] -log p(x|z), mean over the samples of z
    nll: np.ndarray  # [N] -log (1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x))
    kl: np.ndarray  # [N, Z] KL(q(z_i|x)‖p(z_i)), closed form
    mean: np.ndarray  # [N, Z] posterior means


class Estimate(NamedTuple):
    """A value and its standard error over test images; None where it is no mean over images."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Metric:
    """A number that describes a run.

    better: which direction is better, or None where neither is. per_likelihood: the number is in the unit of the
    likelihood, so that only runs with the same likelihood on the same data can be compared by it.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower"] | None
    per_likelihood: bool
    definition: str
    reference: str
    compute: Callable[[Scores], Estimate]

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", None: ""}[self.better]


class Metrics(dict[str, Metric]):
    """Metrics by name."""

    def register(self, **facts: Any) -> Callable[[Callable[[Scores], Estimate]], Metric]:
        """Decorator: the function becomes the metric of its own name. Raises ValueError for a name taken."""

        def register(compute: Callable[[Scores], Estimate]) -> Metric:
            name = compute.__name__
            if name in self:
                raise ValueError(f"two metrics are called {name!r}")
            self[name] = Metric(name=name, compute=compute, **facts)
            return self[name]

        return register


METRICS = Metrics()


def mean_over_images(values: np.ndarray) -> Estimate:
    """Mean and standard error of one value an image; a single image gives no standard error."""
    n = len(values)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None)


def count_active(mean: np.ndarray, threshold: float = ACTIVE_VARIANCE) -> int:
    """Dimensions whose posterior mean has a variance above the threshold over the images: [N, Z] -> count.

    Population variance (ddof 0) over all images given.
    """
    return int((mean.var(axis=0) > threshold).sum())


@METRICS.register(
    label="ELBO",
    unit="nats",
    better="higher",
    per_likelihood=True,
    definition="−(distortion + rate): the evidence lower bound at weight 1, whatever weight was trained with.",
    reference="Kingma & Welling 2014",
)
def elbo(scores: Scores) -> Estimate:
    return mean_over_images(-(scores.distortion + scores.rate))


@METRICS.register(
    label="rate",
    unit="nats",
    better=None,
    per_likelihood=False,
    definition="E KL(q(z|x) ‖ p(z)) in closed form, summed over dimensions: what z says about x.",
    reference="Alemi et al. 2018",
)
def rate(scores: Scores) -> Estimate:
    return mean_over_images(scores.rate)


@METRICS.register(
    label="distortion",
    unit="nats",
    better=None,
    per_likelihood=True,
    definition="−E log p(x|z), z ~ q(z|x), summed over pixels, averaged over K samples of z an image.",
    reference="Alemi et al. 2018",
)
def distortion(scores: Scores) -> Estimate:
    return mean_over_images(scores.distortion)


@METRICS.register(
    label="NLL",
    unit="nats",
    better="lower",
    per_likelihood=True,
    definition="−E log (1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x)), an importance-sampled bound on −log p(x); K stands beside it.",
    reference="Burda et al. 2016",
)
def nll(scores: Scores) -> Estimate:
    return mean_over_images(scores.nll)


@METRICS.register(
    label="active units",
    unit="dimensions",
    better=None,
    per_likelihood=False,
    definition="Dimensions whose posterior mean has a variance above 0.01 over the test images (ddof 0).",
    reference="Burda et al. 2016",
)
def active_units(scores: Scores) -> Estimate:
    return Estimate(count_active(scores.mean))


def compute_all(scores: Scores) -> dict[str, Estimate]:
    """Every registered metric by name."""
    return {name: metric.compute(scores) for name, metric in METRICS.items()}


def kl_spectrum(scores: Scores) -> np.ndarray:
    """E KL(q(z_i|x)‖p(z_i)) by dimension, largest first, in nats: [Z]. Its sum is the rate."""
    return np.sort(scores.kl.mean(axis=0))[::-1]
