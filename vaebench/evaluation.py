"""Scoring a cohort of trained runs on the test split.

All numbers come from the same K samples of z an image; a run's samples are a function of its seed and of the image's place,
so they do not depend on what is scored beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaebench.images import Images, blocks, padded
from vaebench.metrics import Scores
from vaebench.model import VAE, build, importance_log_weights
from vaebench.specification import Run
from vaebench.stack import Stack
from vaebench.streams import generator

IMAGE_BLOCK = 64
# Sampled pixels a lane held at a time; bounds memory, and is the same for every cohort size.
SAMPLED_PIXELS = 2**20
N_PICTURES = 10


@dataclass(frozen=True)
class Pictures:
    """What people look at, pixel values in [0, 1], float32 [N_PICTURES, D]."""

    originals: np.ndarray
    reconstructions: np.ndarray  # the likelihood's mean at the posterior mean of z
    samples: np.ndarray  # the likelihood's mean at z drawn from the prior


@dataclass(frozen=True)
class Evaluated:
    run: Run
    scores: Scores
    pictures: Pictures


@torch.no_grad()
def evaluate(
    runs: Sequence[Run], states: Sequence[dict[str, Tensor]], images: Images, n_samples: int, device: str = "cpu"
) -> list[Evaluated]:
    """Score trained runs of one cohort on the test split with K = n_samples."""
    stack = _stack(runs, states, device)
    x = images.as_pixels(images["test"]).to(device)
    parts = []
    for index, (start, end) in enumerate(blocks(len(x), IMAGE_BLOCK)):
        noise = _noise(runs, "evaluation noise", index, (n_samples, IMAGE_BLOCK, runs[0].latent_size)).to(device)
        part = _score(stack, padded(x[start:end], IMAGE_BLOCK), noise)
        parts.append([values[:, : end - start] for values in part])
    merged = [torch.cat(values, dim=1).cpu().numpy() for values in zip(*parts, strict=True)]
    pictures = _pictures(runs, stack, x)
    return [Evaluated(run, Scores(*(values[lane] for values in merged)), pictures[lane]) for lane, run in enumerate(runs)]


def _stack(runs: Sequence[Run], states: Sequence[dict[str, Tensor]], device: str) -> Stack:
    models = []
    for run, state in zip(runs, states, strict=True):
        model = build(run.network, run.likelihood, run.dataset.n_pixels, run.latent_size, run.seed)
        model.load_state_dict(state)
        models.append(model.to(device))
    return Stack(models, runs[0].network.stackable)


def _noise(runs: Sequence[Run], stream: str, index: int, shape: tuple[int, ...]) -> Tensor:
    """[L, *shape] from N(0, I), a function of each run's seed."""
    by_seed = {run.seed: torch.randn(shape, generator=generator(run.seed, stream, index)) for run in runs}
    return torch.stack([by_seed[run.seed] for run in runs])


def _score(stack: Stack, x: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
    """The fields of Scores for one block of images: x [B, D], noise [L, K, B, Z] -> float64 [L, B] and [L, B, Z]."""
    n_samples = noise.shape[1]
    step = max(1, SAMPLED_PIXELS // x.numel())
    log_likelihood, log_weight = [], []
    for start, end in blocks(n_samples, step):
        terms = stack.map(importance_log_weights, {"noise": noise[:, start:end]}, shared={"x": x})
        log_likelihood.append(terms[0].double())
        log_weight.append(terms[1].double())
    posterior = stack.map(VAE.encode, {}, shared={"x": x}).double()
    kl = posterior.kl_per_dimension()
    nll = math.log(n_samples) - torch.cat(log_weight, dim=1).logsumexp(1)
    return kl.sum(-1), -torch.cat(log_likelihood, dim=1).mean(1), nll, kl, posterior.mean


def _pictures(runs: Sequence[Run], stack: Stack, x: Tensor) -> list[Pictures]:
    """Of test images at equal distances, as some data sets are sorted by class; one seed, one set of prior draws."""
    chosen = torch.linspace(0, len(x) - 1, N_PICTURES).long()
    originals = x[chosen]
    z = _noise(runs, "prior samples", 0, (N_PICTURES, runs[0].latent_size)).to(x.device)
    reconstructions = stack.map(_reconstruct, {}, shared={"x": padded(originals)})
    samples = stack.map(_decode_mean, {"z": torch.stack([padded(lane) for lane in z])})
    return [
        Pictures(*(values[:N_PICTURES].cpu().numpy() for values in lane))
        for lane in zip([originals] * len(runs), reconstructions, samples, strict=True)
    ]


def _reconstruct(model: VAE, x: Tensor) -> Tensor:
    return _decode_mean(model, model.encode(x).mean)


def _decode_mean(model: VAE, z: Tensor) -> Tensor:
    return model.likelihood.mean(model.decode(z))
