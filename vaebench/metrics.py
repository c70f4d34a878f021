"""Metrics: what is measured of a trained run, each a pure function of its scores on one split.

A metric is registered once, with its unit, its direction and where it comes from; tables, figures, the report and MLflow
read that from here. All numbers are float64, sums over pixels and dimensions, means over images, in nats per image unless
said. A metric that does not apply to a run is None there, and stays empty in all tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from vaebench.latent_dimensions import collapsed_dimensions, count_active
from vaebench.scores import Scores

# The tables that metrics stand in together, in the order in which people read them.
FAMILIES = {
    "evidence": "Evidence",
    "levels": "Bits per dimension",
    "collapse": "Posterior collapse",
    "information": "Information in the latent code",
    "reconstruction": "Reconstruction",
    "optimum": "Against the exact optimum",
    "generation": "Generation",
    "denoising": "Denoising",
    "anomaly": "Anomaly detection",
    "labels": "Learning from few labels",
    "representation": "Representation",
}


class Estimate(NamedTuple):
    """A value and its standard error over test images; None where it is no mean over images."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Metric:
    """A number that describes a run.

    family: one of FAMILIES. better: which direction is better, or None where neither is. per_likelihood: the number is in
    the unit of the likelihood, so that only runs with the same likelihood on the same data can be compared by it. compute:
    None of a number that a task gives (`vaebench.tasks`).
    """

    name: str
    family: str
    label: str
    unit: str
    better: Literal["higher", "lower"] | None
    definition: str
    reference: str
    per_likelihood: bool = False
    compute: Callable[[Scores], Estimate | None] | None = None

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", None: ""}[self.better]


class Metrics(dict[str, Metric]):
    """Metrics by name."""

    def register(
        self, better: Literal["higher", "lower"] | None = None, per_likelihood: bool = False, **facts: str
    ) -> Callable[[Callable[[Scores], Estimate | None]], Metric]:
        """Decorator: the function becomes the metric of its own name. Raises ValueError for a name taken, no family."""

        def register(compute: Callable[[Scores], Estimate | None]) -> Metric:
            name = compute.__name__
            if name in self:
                raise ValueError(f"two metrics are called {name!r}")
            if facts["family"] not in FAMILIES:
                raise ValueError(f"{name!r} is of the family {facts['family']!r}, which is none of {list(FAMILIES)}")
            self[name] = Metric(name=name, better=better, per_likelihood=per_likelihood, compute=compute, **facts)
            return self[name]

        return register


METRICS = Metrics()


def mean_over_images(values: np.ndarray) -> Estimate:
    """Mean and standard error of one value an image; a single image gives no standard error."""
    n = len(values)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else None)


def compute_all(scores: Scores) -> dict[str, Estimate]:
    """Every registered metric that applies to the run, by name."""
    estimates = {name: metric.compute(scores) for name, metric in METRICS.items()}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


@METRICS.register(
    family="evidence",
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
    family="evidence",
    label="rate",
    unit="nats",
    definition="E KL(q(z|x) ‖ p(z)) in closed form, summed over dimensions: what z says about x.",
    reference="Alemi et al. 2018",
)
def rate(scores: Scores) -> Estimate:
    return mean_over_images(scores.rate)


@METRICS.register(
    family="evidence",
    label="distortion",
    unit="nats",
    per_likelihood=True,
    definition="−E log p(x|z), z ~ q(z|x), summed over pixels, averaged over K samples of z an image.",
    reference="Alemi et al. 2018",
)
def distortion(scores: Scores) -> Estimate:
    return mean_over_images(scores.distortion)


@METRICS.register(
    family="evidence",
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
    family="evidence",
    label="inference gap",
    unit="nats",
    definition="−NLL − ELBO: what K importance samples gain over the ELBO; 0 where q(z|x) is the exact posterior.",
    reference="Cremer et al. 2018",
)
def inference_gap(scores: Scores) -> Estimate:
    return mean_over_images(scores.distortion + scores.rate - scores.nll)


@METRICS.register(
    family="evidence",
    label="effective samples",
    unit="samples",
    definition="(Σ_k w_k)² / Σ_k w_k² of the K importance weights; near 1 the NLL rests on a single sample.",
    reference="Kong 1992",
)
def effective_samples(scores: Scores) -> Estimate:
    return mean_over_images(scores.effective_samples)


@METRICS.register(
    family="levels",
    label="bits/dim",
    unit="bits",
    better="lower",
    definition="(rate − E log P(levels|z)) / (D ln 2), exact over levels under the run's own likelihood, if it has a mass.",
    reference="Theis et al. 2016",
)
def bits_per_dim(scores: Scores) -> Estimate:
    return _bits_per_dim(scores, scores.level_distortion)


@METRICS.register(
    family="levels",
    label="common bits/dim",
    unit="bits",
    better="lower",
    definition="The same under one for all: a discretised Gaussian around the decoder's mean, σ fitted on validation data.",
    reference="Theis et al. 2016",
)
def common_bits_per_dim(scores: Scores) -> Estimate:
    return _bits_per_dim(scores, scores.common_level_distortion)


@METRICS.register(
    family="levels",
    label="common σ",
    unit="pixel values",
    definition="The σ of that common likelihood.",
    reference="Rybkin et al. 2021",
)
def common_sigma(scores: Scores) -> Estimate | None:
    return None if scores.common_sigma is None else Estimate(scores.common_sigma)


@METRICS.register(
    family="levels",
    label="σ",
    unit="pixel values",
    definition="Standard deviation of the decoder's Gaussian pixels: root of the mean of σ² over pixels and images.",
    reference="Rybkin et al. 2021",
)
def sigma(scores: Scores) -> Estimate | None:
    return None if scores.decoder_variance is None else Estimate(math.sqrt(scores.decoder_variance))


@METRICS.register(
    family="levels",
    label="βσ²",
    unit="pixel values²",
    definition="KL weight at the end of training times σ²: all that the optimum of a Gaussian VAE depends on.",
    reference="Rybkin et al. 2021",
)
def effective_weight(scores: Scores) -> Estimate | None:
    return None if scores.decoder_variance is None else Estimate(scores.kl_weight * scores.decoder_variance)


@METRICS.register(
    family="levels",
    label="spread at bound",
    unit="",
    definition="Share of the decoder's learned σ or scales that lie within 1 % of their lower bound.",
    reference="Rybkin et al. 2021",
)
def share_at_bound(scores: Scores) -> Estimate | None:
    return None if scores.share_at_bound is None else Estimate(scores.share_at_bound)


@METRICS.register(
    family="collapse",
    label="active units",
    unit="dimensions",
    definition="Dimensions whose posterior mean has a variance above 0.01 over the images (ddof 0).",
    reference="Burda et al. 2016",
)
def active_units(scores: Scores) -> Estimate:
    return Estimate(count_active(scores.mean))


@METRICS.register(
    family="collapse",
    label="collapsed units",
    unit="dimensions",
    definition="(ε, δ)-collapsed dimensions: their KL is below 0.1 nats for 99 % of the images.",
    reference="Lucas et al. 2019",
)
def collapsed_units(scores: Scores) -> Estimate:
    return Estimate(len(collapsed_dimensions(scores.kl)))


@METRICS.register(
    family="collapse",
    label="posterior variance",
    unit="",
    definition="Variance of q(z_i|x), mean over dimensions and images; 1 is the prior's.",
    reference="Lucas et al. 2019",
)
def posterior_variance(scores: Scores) -> Estimate:
    return mean_over_images(scores.variance.mean(axis=1))


@METRICS.register(
    family="collapse",
    label="use of z",
    unit="nats",
    per_likelihood=True,
    definition="Distortion with z permuted among the images, minus distortion: 0 where the decoder does not look at z.",
    reference="after Alemi et al. 2018",
)
def decoder_use(scores: Scores) -> Estimate | None:
    return None if scores.permuted_distortion is None else mean_over_images(scores.permuted_distortion)


@METRICS.register(
    family="information",
    label="mutual information",
    unit="nats",
    definition="I_q(x; z) = E log q(z|x) / q(z), q(z) the mixture of the posteriors of all N images; never above ln N.",
    reference="Hoffman & Johnson 2016",
)
def mutual_information(scores: Scores) -> Estimate | None:
    return None if scores.log_ratio is None else mean_over_images(scores.log_ratio)


@METRICS.register(
    family="information",
    label="marginal KL",
    unit="nats",
    definition="KL(q(z) ‖ p(z)) = rate − mutual information: how far the code as a whole lies from the prior.",
    reference="Hoffman & Johnson 2016",
)
def marginal_kl(scores: Scores) -> Estimate | None:
    return None if scores.log_ratio is None else mean_over_images(scores.rate - scores.log_ratio)


@METRICS.register(
    family="information",
    label="total correlation",
    unit="nats",
    definition="KL(q(z) ‖ Π_i q(z_i)) from the same mixture: how much the dimensions say of each other.",
    reference="Chen et al. 2018",
)
def total_correlation(scores: Scores) -> Estimate | None:
    return None if scores.correlation is None else mean_over_images(scores.correlation)


@METRICS.register(
    family="information",
    label="dimension-wise KL",
    unit="nats",
    definition="Σ_i KL(q(z_i) ‖ p(z_i)) = marginal KL − total correlation.",
    reference="Chen et al. 2018",
)
def dimension_kl(scores: Scores) -> Estimate | None:
    if scores.log_ratio is None:
        return None
    return Estimate(float(scores.rate.mean() - scores.log_ratio.mean() - scores.correlation.mean()))


@METRICS.register(
    family="reconstruction",
    label="squared error",
    unit="pixel values²",
    better="lower",
    definition="Mean over pixels of (x − mean image at the posterior mean of z)².",
    reference="Rybkin et al. 2021",
)
def squared_error(scores: Scores) -> Estimate:
    return mean_over_images(scores.squared_error)


@METRICS.register(
    family="reconstruction",
    label="PSNR",
    unit="dB",
    better="higher",
    definition="Peak signal-to-noise ratio of the same reconstruction, mean over images.",
    reference="Hore & Ziou 2010",
)
def psnr(scores: Scores) -> Estimate | None:
    # A perfect reconstruction has no finite one.
    return mean_over_images(scores.psnr) if np.isfinite(scores.psnr).all() else None


@METRICS.register(
    family="reconstruction",
    label="SSIM",
    unit="",
    better="higher",
    definition="Structural similarity of the same reconstruction, 7×7 windows, mean over images.",
    reference="Wang et al. 2004",
)
def ssim(scores: Scores) -> Estimate | None:
    return None if scores.ssim is None else mean_over_images(scores.ssim)


@METRICS.register(
    family="optimum",
    label="optimal ELBO",
    unit="nats",
    per_likelihood=True,
    definition="ELBO of a linear VAE with Gaussian pixels at its optimum on the training images, in closed form.",
    reference="Tipping & Bishop 1999",
)
def optimal_elbo(scores: Scores) -> Estimate | None:
    return None if scores.optimum is None else Estimate(scores.optimum.elbo)


@METRICS.register(
    family="optimum",
    label="optimal active units",
    unit="dimensions",
    definition="Its active dimensions: the eigenvalues of the training images' covariance above βσ², at most Z.",
    reference="Lucas et al. 2019",
)
def optimal_active_units(scores: Scores) -> Estimate | None:
    return None if scores.optimum is None else Estimate(scores.optimum.n_active)


@METRICS.register(
    family="optimum",
    label="gap to the optimum",
    unit="nats",
    better="lower",
    definition="Optimal ELBO − ELBO of such a run; it compares what was trained only on the images that were trained on.",
    reference="Lucas et al. 2019",
)
def optimum_gap(scores: Scores) -> Estimate | None:
    if scores.optimum is None:
        return None
    gap = mean_over_images(scores.distortion + scores.rate)
    return Estimate(scores.optimum.elbo + gap.value, gap.standard_error)


@METRICS.register(
    family="labels",
    label="classifier accuracy",
    unit="",
    better="higher",
    definition="Share of images whose class is the most probable one of q(y|x): of runs that were told some labels.",
    reference="Kingma et al. 2014b",
)
def classifier_accuracy(scores: Scores) -> Estimate | None:
    if scores.class_probabilities is None:
        return None
    return mean_over_images((scores.class_probabilities.argmax(axis=1) == scores.labels).astype(float))


def _bits_per_dim(scores: Scores, level_distortion: np.ndarray | None) -> Estimate | None:
    if level_distortion is None:
        return None
    return mean_over_images((scores.rate + level_distortion) / (scores.n_pixels * math.log(2)))
