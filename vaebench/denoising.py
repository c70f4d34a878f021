"""The task "denoising": how near reconstructions of corrupted images come to the clean ones (Vincent et al. 2008)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from vaebench import image_quality
from vaebench.corruptions import Corruption, GaussianNoise, MaskedBlock, SaltAndPepper
from vaebench.images import DATA_SEED, Images
from vaebench.metrics import Estimate, mean_over_images
from vaebench.pictures import grey, spread
from vaebench.principal_components import PrincipalComponents
from vaebench.streams import generator
from vaebench.subject import Subject
from vaebench.task_scores import MODEL, PCA, Finding, TaskScores
from vaebench.tasks import Denoising

CORRUPTED_BY = (*(GaussianNoise(sigma=sigma) for sigma in (0.1, 0.3, 0.5)), SaltAndPepper(share=0.2), MaskedBlock(side=0.5))
# Of larger splits, so many images at equal distances.
MOST_IMAGES = 2000
N_PICTURES = 3
# Beside the model: the corrupted image as it is; its projection on as many principal components of the training images as
# the code has dimensions; and what the model makes of the clean image, which mends nothing and loses what the code loses.
NOISY, CLEAN = "noisy image", "clean input"

# Of one method, by score, a number an image: [N].
Scores = dict[str, np.ndarray]


def score(subject: Subject, task: Denoising) -> TaskScores:
    of = subject.images, subject.evaluation.split
    shape = subject.run.dataset.image_shape
    components = subject.principal_components(subject.run.latent_size)
    clean, noisy = _clean(*of), [_noisy(*of, shape, corruption) for corruption in CORRUPTED_BY]
    denoised = [subject.reconstructions(images) for images in noisy]
    of_clean = scores(clean, subject.reconstructions(clean), shape)
    found = {
        corruption.label: {
            MODEL: scores(clean, images, shape),
            NOISY: _scores_of_noisy(*of, shape, corruption),
            PCA: _scores_of_components(*of, shape, corruption, components),
            CLEAN: of_clean,
        }
        for corruption, images in zip(CORRUPTED_BY, denoised, strict=True)
    }
    findings = [
        Finding(condition, name, method, *_estimate(values))
        for condition, methods in found.items()
        for method, measured in methods.items()
        for name, values in measured.items()
    ]
    return TaskScores(metrics(found), findings, _pictures(clean, noisy, denoised))


def scores(clean: np.ndarray, images: np.ndarray, shape: tuple[int, int]) -> Scores:
    """How near images come to clean ones: two [N, D] -> PSNR in dB; SSIM, for images as large as its window; and distance,
    the root of the mean over pixels of the squared difference."""
    errors = image_quality.squared_errors(clean, images)
    similarity = image_quality.ssim(clean, images, shape)
    measured = {"PSNR": image_quality.pooled_psnr(errors), "distance": np.sqrt(errors)}
    return measured if similarity is None else measured | {"SSIM": similarity}


def metrics(found: dict[str, dict[str, Scores]]) -> dict[str, Estimate]:
    """Means over corruptions; found: of each the scores by method."""

    def mean(method: str, name: str) -> np.ndarray:
        """[N], as the images are the same for all corruptions."""
        return np.mean([methods[method][name] for methods in found.values()], axis=0)

    psnr = mean(MODEL, "PSNR")
    estimates = {"denoising_psnr": _estimate(psnr), "denoising_gain": _estimate(psnr - mean(NOISY, "PSNR"))}
    if all("SSIM" in methods[MODEL] for methods in found.values()):
        estimates["denoising_ssim"] = _estimate(mean(MODEL, "SSIM"))
    return estimates


def _estimate(values: np.ndarray) -> Estimate:
    """Where nothing is left of the noise, the PSNR is infinite, and has no standard error."""
    return mean_over_images(values) if np.isfinite(values).all() else Estimate(float(values.mean()))


@cache
def _clean(images: Images, split: str) -> np.ndarray:
    """The images that are scored, all or MOST_IMAGES of them: [N, D]."""
    levels = images[split]
    return images.as_pixels(levels[spread(len(levels), min(len(levels), MOST_IMAGES))]).numpy()


@cache
def _noisy(images: Images, split: str, shape: tuple[int, int], corruption: Corruption) -> np.ndarray:
    """The same corrupted, for all runs alike, so that their differences are not the noise's: [N, D]."""
    random = generator(DATA_SEED, f"denoising {corruption.label}")
    return corruption(torch.from_numpy(_clean(images, split)), shape, random).numpy()


@cache
def _scores_of_noisy(images: Images, split: str, shape: tuple[int, int], corruption: Corruption) -> Scores:
    return scores(_clean(images, split), _noisy(images, split, shape, corruption), shape)


@cache
def _scores_of_components(
    images: Images, split: str, shape: tuple[int, int], corruption: Corruption, components: PrincipalComponents
) -> Scores:
    projected = components.reconstructions(_noisy(images, split, shape, corruption))
    return scores(_clean(images, split), projected, shape)


def _pictures(clean: np.ndarray, noisy: list[np.ndarray], denoised: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Grey levels of the same few images: clean [n, D]; noisy and denoised [corruptions, n, D]."""
    some = spread(len(clean), N_PICTURES)
    pictures = {"clean": clean[some], "noisy": np.stack(noisy)[:, some], "denoised": np.stack(denoised)[:, some]}
    return {name: grey(torch.from_numpy(pixels)) for name, pixels in pictures.items()}
