"""Scoring a cohort of trained runs on one split.

All numbers come from the same K samples of z an image; a run's samples are a function of its seed and of the image's place,
so they do not depend on what is scored beside it. What needs the model runs for all lanes at once, the rest lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaebench import aggregate_posterior, image_quality
from vaebench.device import is_cuda
from vaebench.images import Images, blocks, padded
from vaebench.lanes import build_model, lanes_together
from vaebench.levels import gaussian_log_mass
from vaebench.likelihoods import Gaussian, GaussianLearned, GaussianOptimal
from vaebench.linear_optimum import LinearOptimum, linear_optimum
from vaebench.m2 import M2
from vaebench.model import VAE
from vaebench.networks import Linear
from vaebench.pictures import N_PICTURES, LatentMeans, Pictures, latent_means, make_pictures
from vaebench.scores import CORRELATION_SAMPLES, LEVEL_SAMPLES, SIGMA_IMAGES, Scores
from vaebench.settings import Run
from vaebench.stack import Stack
from vaebench.streams import generator

IMAGE_BLOCK = 64
# Lanes scored at a time. On the CPU five are as fast as twenty, in a quarter of the memory.
LANES = 5
CUDA_LANES = 64
# Sampled pixels a lane held at a time; bounds memory, and is the same for every cohort size.
SAMPLED_PIXELS = 2**20
# Where the common σ is looked for: from far below one grey level in 256 to beyond all pixel values.
SIGMA_BOUNDS = (1e-4, 10.0)


@dataclass(frozen=True)
class Evaluated:
    run: Run
    scores: Scores
    pictures: Pictures
    latent: LatentMeans


@torch.no_grad()
def evaluate(
    runs: Sequence[Run],
    states: Sequence[dict[str, Tensor]],
    images: Images,
    n_samples: int,
    split: str = "test",
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Evaluated]:
    """Score trained runs of one cohort on a split with K = n_samples.

    report: called with the images scored, those of all runs counted, and their number, at the start and after each block.
    """
    optima = _linear_optima(runs, images)
    x = images.as_pixels(images[split].to(device))
    labels = images.labels.get(split)
    evaluated = []
    n_lanes = min(CUDA_LANES if is_cuda(device) else LANES, lanes_together(runs, IMAGE_BLOCK))
    for start, end in blocks(len(runs), n_lanes):
        cohort = _Cohort(runs[start:end], states[start:end], images, device)

        def scored(n_images: int, before: int = start * len(x), n_lanes: int = end - start) -> None:
            report(before + n_lanes * n_images, len(runs) * len(x))

        scored(0)
        sigmas = cohort.common_sigmas()
        by_image = cohort.score(x, n_samples, sigmas, scored)
        scores = []
        for lane, (run, optimum) in enumerate(zip(cohort.runs, optima[start:end], strict=True)):
            fields = {name: values[lane].cpu().numpy() for name, values in by_image.items()}
            sigma = None if sigmas is None else sigmas[lane]
            scores.append(_scores(run, fields, labels, sigma, optimum, device))
        pictures = make_pictures(cohort.stack, x, labels, scores, cohort.prior_codes(N_PICTURES))
        latent = [latent_means(of_lane, labels) for of_lane in scores]
        evaluated += map(Evaluated, cohort.runs, scores, pictures, latent)
    return evaluated


class _Cohort:
    """Models in one stack and what they say of images; lanes stand in the order of the runs."""

    def __init__(self, runs: Sequence[Run], states: Sequence[dict[str, Tensor]], images: Images, device: str):
        first = runs[0]
        self.runs = runs
        self.images = images
        self.device = device
        self.likelihood = first.likelihood
        self.n_levels = first.n_levels
        self.latent_size = first.latent_size
        self.has_classes = first.supervision is not None
        models = []
        for run, state in zip(runs, states, strict=True):
            model = build_model(run)
            model.load_state_dict(state)
            models.append(model.to(device))
        self._model = models[0]
        self.stack = Stack(models, first.network.stackable)

    def noise(self, stream: str, index: int, *shape: int) -> Tensor:
        """[L, *shape, Z] from N(0, I), a function of each run's seed."""
        shape = (*shape, self.latent_size)
        by_seed = {run.seed: self._draw(run.seed, stream, index, shape) for run in self.runs}
        return torch.stack([by_seed[run.seed] for run in self.runs])

    def _draw(self, seed: int, stream: str, index: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator(seed, stream, index, self.device), device=self.device)

    def prior_codes(self, n: int) -> Tensor:
        """[L, n, …], a function of each run's seed; what decoders take beside z is drawn too."""
        drawn = zip(self.runs, self.noise("prior samples", 0, n), strict=True)
        return torch.stack([self._model.codes(z, generator(run.seed, "prior classes", 0, self.device)) for run, z in drawn])

    def common_sigmas(self) -> list[float] | None:
        """For each lane, the σ of the common likelihood that suits validation images best; None on binary data, and where
        grey levels are not scored."""
        if self.n_levels == 2 or self.has_classes:
            return None
        x = self.images.as_pixels(self.images["validation"]).to(self.device)
        x = x[torch.linspace(0, len(x) - 1, min(len(x), SIGMA_IMAGES)).long()]
        means = []
        for index, (start, end) in enumerate(blocks(len(x), IMAGE_BLOCK)):
            noise = self.noise("common sigma noise", index, IMAGE_BLOCK)
            mean = self.stack.map(_sampled_mean, {"noise": noise}, shared={"x": padded(x[start:end], IMAGE_BLOCK)})
            means.append(mean[:, : end - start])
        return [_best_sigma(mean, x, self.n_levels) for mean in torch.cat(means, dim=1)]

    def score(
        self, x: Tensor, n_samples: int, sigmas: list[float] | None, report: Callable[[int], None]
    ) -> dict[str, Tensor]:
        """Everything that is known image by image: x [N, D] -> name -> [L, N, ...]; report: of images scored."""
        parts = []
        for index, (start, end) in enumerate(blocks(len(x), IMAGE_BLOCK)):
            noise = self.noise("evaluation noise", index, n_samples, IMAGE_BLOCK)
            part = self._score_block(padded(x[start:end], IMAGE_BLOCK), noise, sigmas)
            parts.append({name: values[:, : end - start] for name, values in part.items()})
            report(end)
        scores = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
        first_distortion = scores.pop("first_distortion")
        if not self.has_classes:
            scores["permuted_distortion"] = self._permuted_distortion(x, scores["z"]) - first_distortion
        return scores

    def _score_block(self, x: Tensor, noise: Tensor, sigmas: list[float] | None) -> dict[str, Tensor]:
        """x [B, D], noise [L, K, B, Z] -> name -> [L, B, ...]."""
        n_samples = noise.shape[1]
        n_as_levels = min(n_samples, LEVEL_SAMPLES)
        first = self._sample(x, noise[:, :n_as_levels])
        # All that is kept of the other samples; their parameters would fill the memory.
        log_likelihoods, log_weights = [first.log_likelihood], [first.log_weight]
        step = max(1, SAMPLED_PIXELS // x.numel())
        for start, end in blocks(n_samples - n_as_levels, step):
            piece = self._sample(x, noise[:, n_as_levels + start : n_as_levels + end])
            log_likelihoods.append(piece.log_likelihood)
            log_weights.append(piece.log_weight)
        log_likelihood, log_weight = (torch.cat(parts, dim=1).double() for parts in (log_likelihoods, log_weights))
        exact = self.stack.map(self.stack.kind.encode, {}, shared={"x": x})
        posterior = exact.double()
        scores = evidence(log_likelihood, log_weight) | {
            "first_distortion": -log_likelihood[:, 0],
            "kl": posterior.kl_per_dimension(),
            "mean": posterior.mean,
            "log_variance": posterior.log_variance,
            "z": exact.sample(noise[:, 0]),
        }
        if self.has_classes:
            scores |= self._score_classes(x)
        reconstructions = self.stack.map(self.stack.kind.reconstruct, {}, shared={"x": x})
        by_lane = [
            self._score_levels(parameters, x, None if sigmas is None else sigmas[lane])
            | self._score_spread(parameters)
            | self._score_reconstruction(reconstructions[lane], x)
            for lane, parameters in enumerate(first.parameters)
        ]
        return scores | {name: torch.stack([lane[name] for lane in by_lane]) for name in by_lane[0]}

    def _sample(self, x: Tensor, noise: Tensor) -> Any:
        return self.stack.map(self.stack.kind.importance_samples, {"noise": noise}, shared={"x": x})

    def _score_classes(self, x: Tensor) -> dict[str, Tensor]:
        """What M2 says of classes, and the KLs that depend on them."""
        rates = self.stack.map(M2.rates, {}, shared={"x": x})
        log_q = self.stack.map(M2.class_log_probabilities, {}, shared={"x": x})
        return {"kl": rates[..., :-1], "class_kl": rates[..., -1], "class_probabilities": log_q.double().exp()}

    def _score_levels(self, parameters: Tensor, x: Tensor, sigma: float | None) -> dict[str, Tensor]:
        """What one lane's likelihood says of grey levels: parameters [S, B, P] -> name -> [B].

        Nothing where there are classes: parameters are those of one only, so that this would be no bound.
        """
        if self.has_classes:
            return {}
        scores = {}
        log_mass = self.likelihood.log_mass(parameters, x, self.n_levels)
        if log_mass is not None:
            scores["level_distortion"] = -log_mass.double().mean(0)
        if sigma is not None:
            mean = self.likelihood.mean(parameters)
            common = gaussian_log_mass(mean, mean.new_tensor(sigma, dtype=torch.float64), x, self.n_levels)
            scores["common_level_distortion"] = -common.sum(-1).mean(0)
        return scores

    def _score_spread(self, parameters: Tensor) -> dict[str, Tensor]:
        """What one lane's likelihood says of its own spread: parameters [S, B, P] -> name -> [B]."""
        scores = {}
        deviation = self.likelihood.standard_deviation(parameters)
        if deviation is not None:
            scores["decoder_variance"] = deviation.double().square().mean(-1).expand(parameters.shape[:2]).mean(0)
        at_bound = self.likelihood.is_at_bound(parameters)
        if at_bound is not None:
            scores["share_at_bound"] = at_bound.double().mean(-1).expand(parameters.shape[:2]).mean(0)
        return scores

    def _score_reconstruction(self, reconstruction: Tensor, x: Tensor) -> dict[str, Tensor]:
        """How close one lane's mean images at the posterior mean of z come: two [B, D] -> name -> [B]."""
        pair = x.cpu().numpy(), reconstruction.cpu().numpy()
        scores = {
            "squared_error": image_quality.squared_errors(*pair),
            "psnr": image_quality.psnr(*pair),
            "ssim": image_quality.ssim(*pair, self.runs[0].dataset.image_shape),
        }
        return {name: torch.from_numpy(values) for name, values in scores.items() if values is not None}

    def _permuted_distortion(self, x: Tensor, z: Tensor) -> Tensor:
        """-log p(x_n|z) at the z [L, N, Z] of another image each: [L, N]; for a single image, at its own."""
        others = torch.stack([z[lane][_derangement(run.seed, len(x))] for lane, run in enumerate(self.runs)])
        parts = []
        for start, end in blocks(len(x), IMAGE_BLOCK):
            lanes = torch.stack([padded(lane[start:end], IMAGE_BLOCK) for lane in others])
            part = self.stack.map(_log_likelihood, {"z": lanes}, shared={"x": padded(x[start:end], IMAGE_BLOCK)})
            parts.append(-part[:, : end - start].double())
        return torch.cat(parts, dim=1)


def evidence(log_likelihood: Tensor, log_weight: Tensor) -> dict[str, Tensor]:
    """What K samples of z an image say of it, name -> [..., B]: two float64 [..., K, B] as of `model.Samples`, in nats."""
    return {
        "distortion": -log_likelihood.mean(-2),
        "nll": math.log(log_weight.shape[-2]) - log_weight.logsumexp(-2),
        "effective_samples": (2 * log_weight.logsumexp(-2) - (2 * log_weight).logsumexp(-2)).exp(),
    }


def _scores(
    run: Run,
    fields: dict[str, np.ndarray],
    labels: np.ndarray | None,
    sigma: float | None,
    optimum: LinearOptimum | None,
    device: str,
) -> Scores:
    """One run's scores from what is known image by image, and from all its posteriors together."""
    z, log_variance = fields.pop("z").astype(float), fields.pop("log_variance")
    rate = fields["kl"].sum(axis=1)
    if run.supervision is None:
        log_ratio, correlation = _information(z, fields["mean"], log_variance, device)
    else:
        # The code is z and y: the mixture of all q(z|x, y) at one y each is not its aggregate posterior.
        log_ratio = correlation = None
        rate += fields.pop("class_kl")
        fields |= {"permuted_distortion": None, "labels": labels}
    overall = {name: float(fields.pop(name).mean()) for name in ("decoder_variance", "share_at_bound") if name in fields}
    return Scores(
        **fields,
        **overall,
        rate=rate,
        variance=np.exp(log_variance),
        log_ratio=log_ratio,
        correlation=correlation,
        n_pixels=run.dataset.n_pixels,
        kl_weight=run.kl(1.0),
        common_sigma=sigma,
        optimum=optimum,
    )


def _information(
    z: np.ndarray, mean: np.ndarray, log_variance: np.ndarray, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """log q(z|x) / q(z) [N] and log q(z) / Π_i q(z_i) [M], at one z ~ q(z|x) an image; all arrays [N, Z]."""
    z, mean, log_variance = (torch.from_numpy(values).to(device) for values in (z, mean, log_variance))
    log_q = aggregate_posterior.log_density(z, mean, log_variance)
    standardised = (z - mean).square() * (-log_variance).exp()
    log_conditional = -0.5 * (standardised + log_variance + math.log(2 * math.pi)).sum(-1)
    some = torch.linspace(0, len(z) - 1, min(len(z), CORRELATION_SAMPLES)).long()
    log_product = aggregate_posterior.log_marginal_densities(z[some], mean, log_variance).sum(-1)
    return (log_conditional - log_q).cpu().numpy(), (log_q[some] - log_product).cpu().numpy()


def _best_sigma(mean: Tensor, x: Tensor, n_levels: int) -> float:
    """The σ under which levels x [N, D] are most probable around these means [N, D]."""
    from scipy.optimize import minimize_scalar

    def distortion(log_sigma: float) -> float:
        sigma = mean.new_tensor(math.exp(log_sigma), dtype=torch.float64)
        return -gaussian_log_mass(mean, sigma, x, n_levels).mean().item()

    bounds = tuple(math.log(bound) for bound in SIGMA_BOUNDS)
    return math.exp(minimize_scalar(distortion, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)


def _derangement(seed: int, n: int) -> Tensor:
    """A permutation of n that leaves nothing in its place (for n > 1): one random circle."""
    order = torch.randperm(n, generator=generator(seed, "permutation"))
    permutation = torch.empty_like(order)
    permutation[order] = order.roll(1)
    return permutation


def _linear_optima(runs: Sequence[Run], images: Images) -> list[LinearOptimum | None]:
    """Where linear VAEs with Gaussian pixels end on these training images; None for other runs."""
    first = runs[0]
    if not isinstance(first.network, Linear) or images.binarisation == "dynamic" or first.corruption is not None:
        return [None] * len(runs)
    covariance = np.cov(images.as_pixels(images["train"]).double().numpy(), rowvar=False, ddof=0)
    return [_linear_optimum(run, covariance) for run in runs]


def _linear_optimum(run: Run, covariance: np.ndarray) -> LinearOptimum | None:
    weight = run.kl(1.0)
    if not weight or not run.kl.free_nats == run.kl.capacity(1.0) == 0:
        return None
    if isinstance(run.likelihood, Gaussian):
        return linear_optimum(covariance, run.latent_size, weight, run.likelihood.sigma)
    if isinstance(run.likelihood, GaussianLearned | GaussianOptimal) and weight <= 1:
        return linear_optimum(covariance, run.latent_size, weight, None, run.likelihood.min_sigma)
    return None


def _sampled_mean(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    return model.mean_images(model.encode(x).sample(noise))


def _log_likelihood(model: VAE, z: Tensor, x: Tensor) -> Tensor:
    return model.log_likelihood(model.decode(z), x)
