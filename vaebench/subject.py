"""What tasks are given: a trained run, its data, and what its encoder and decoder make of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaebench.datasets import Dataset
from vaebench.images import Images, blocks, load_images
from vaebench.model import VAE
from vaebench.principal_components import PrincipalComponents, principal_components
from vaebench.settings import Run
from vaebench.specification import Evaluation
from vaebench.store import Results
from vaebench.streams import generator

BLOCK = 1024


@dataclass(frozen=True)
class Subject:
    """A run's model in evaluation mode, on its device, and the images that it was trained on and is scored on.

    Pixels go in and come out as float32 arrays [N, D], also of images that the run never saw. All numbers are a function
    of the run and of the images, not of what else is scored.
    """

    run: Run
    model: VAE
    evaluation: Evaluation
    results: Results
    device: str = "cpu"

    @property
    def images(self) -> Images:
        """Those of the run: without the class that it left out, binarised as it saw them."""
        return _images(self.run.dataset, self.run.binarisation, self.results, self.run.left_out)

    def other_images(self, dataset: Dataset, left_out: str | None = None) -> Images:
        """Of another data set, or of the run's own with all classes; binarised alike."""
        return _images(dataset, self.run.binarisation, self.results, left_out)

    def pixels(self, split: str) -> np.ndarray:
        """A split's pixel values as the model sees them: float32 [N, D] in [0, 1]."""
        return self.images.as_pixels(self.images[split]).numpy()

    def labels(self, split: str) -> np.ndarray:
        """uint8 [N]; data without classes have none."""
        return self.images.labels[split]

    def principal_components(self, n: int) -> PrincipalComponents:
        """Of the training images, at most n: the linear code of as many dimensions."""
        return _principal_components(self.run.dataset, self.run.binarisation, self.results, self.run.left_out, n)

    @cached_property
    def scored(self) -> np.ndarray:
        """Pixel values of the split that the experiment scores on."""
        return self.pixels(self.evaluation.split)

    def generator(self, stream: str, index: int = 0) -> torch.Generator:
        """Of random numbers on the CPU, a function of the run's seed; `stream` names what they are for."""
        return generator(self.run.seed, stream, index)

    def means(self, x: np.ndarray) -> np.ndarray:
        """Means of q(z|x): [N, D] -> [N, Z]."""
        return self._by_block(lambda model, pixels: model.encode(pixels).mean, x)

    def classes(self, x: np.ndarray) -> np.ndarray:
        """The most probable classes of q(y|x), of a run with supervision: [N, D] -> [N]."""
        return self._by_block(lambda model, pixels: model.class_log_probabilities(pixels).argmax(-1), x)

    def reconstructions(self, x: np.ndarray) -> np.ndarray:
        """Mean images at the posterior means: [N, D] -> [N, D]."""
        return self._by_block(lambda model, pixels: model.reconstruct(pixels), x)

    def samples(self, n: int) -> np.ndarray:
        """Mean images at n draws of the code from the prior: [n, D]."""
        random = self.generator("prior samples")
        codes = self.model.codes(torch.randn(n, self.run.latent_size, generator=random), random)
        return self._by_block(lambda model, codes: model.mean_images(codes), codes.numpy())

    @torch.no_grad()
    def _by_block(self, compute: Callable[[VAE, Tensor], Tensor], rows: np.ndarray) -> np.ndarray:
        """compute(model, block) over blocks of rows, as one array."""
        parts = [
            compute(self.model, torch.from_numpy(rows[start:end]).to(self.device)).cpu().numpy()
            for start, end in blocks(len(rows), BLOCK)
        ]
        return np.concatenate(parts)


def once_a_job(compute: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of compute(subject, *arguments) that reads a subject's images, and neither its model nor its seed: what it
    gives is kept for all runs of the process with the same images and arguments."""
    kept = {}

    @wraps(compute)
    def kept_or_computed(subject: Subject, *arguments: Any) -> Any:
        run = subject.run
        images = (run.dataset, run.binarisation, run.left_out, subject.results, subject.evaluation.split)
        if (images, arguments) not in kept:
            kept[images, arguments] = compute(subject, *arguments)
        return kept[images, arguments]

    return kept_or_computed


@cache
def _principal_components(
    dataset: Dataset, binarisation: str, results: Results, left_out: str | None, n: int
) -> PrincipalComponents:
    images = _images(dataset, binarisation, results, left_out)
    return principal_components(images.as_pixels(images["train"]).numpy(), n)


@cache
def _images(dataset: Dataset, binarisation: str, results: Results, left_out: str | None) -> Images:
    """Read once for all runs of a job."""
    return load_images(dataset, binarisation, results.dataset(dataset.name), left_out)
