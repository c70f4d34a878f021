"""What people look at of a run: where its encoder puts images, and what its decoder makes of chosen codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaebench.images import padded
from vaebench.latent_dimensions import dimensions
from vaebench.scores import Scores
from vaebench.stack import Stack

N_PICTURES = 10
# How far a traversal goes to either side, in standard deviations of the prior.
REACH = 3.0
# Rows and columns of the decoded plane.
GRID = 12
MOST_MEANS = 1000
# Originals whose z is shown with every class.
ANALOGIES = 4


@dataclass(frozen=True)
class Pictures:
    """Images of D pixels as uint8 grey levels, 255 times the pixel value, clipped; n = N_PICTURES, G = GRID.

    What a decoder makes of a code is the likelihood's mean. Where it takes a class beside z (`vaebench.m2`), that is an
    image's most probable one: of the first original, in traversals and the plane.
    """

    originals: np.ndarray  # [n, D] at equal distances in the scored split
    reconstructions: np.ndarray  # [n, D] at their posterior means
    others: np.ndarray  # [n, D] images of the split that lie between the originals
    samples: np.ndarray  # [n, D] at z drawn from the prior
    traversals: np.ndarray  # [2, n, D] at the first original's posterior mean, but z_i from -REACH to REACH
    traversed: np.ndarray  # int [2]: these i, the dimension with the largest and that with the smallest KL
    traversed_kl: np.ndarray  # float [2]: their KL, in nats
    interpolation: np.ndarray  # [n, D] between two originals, which come first and last: along the line of their codes
    grid: np.ndarray | None = None  # [G, G, D] of a two-dimensional z: z_1 grows to the right, z_2 upwards
    analogies: np.ndarray | None = None  # [ANALOGIES, ≤ n, D] at the z of some originals, with every class


@dataclass(frozen=True)
class LatentMeans:
    """Posterior means, float32 [M, Z], of at most MOST_MEANS images at equal distances in the scored split."""

    mean: np.ndarray
    labels: np.ndarray | None  # uint8 [M], where the data have any


def latent_means(scores: Scores, labels: np.ndarray | None) -> LatentMeans:
    """labels: of the scored split, [N]."""
    some = spread(len(scores.mean), min(len(scores.mean), MOST_MEANS))
    return LatentMeans(scores.mean[some].astype(np.float32), None if labels is None else labels[some])


def make_pictures(
    stack: Stack, x: Tensor, labels: np.ndarray | None, scores: Sequence[Scores], prior: Tensor
) -> list[Pictures]:
    """Of each lane of a stack: x [N, D] and labels [N] are the split; prior [L, N_PICTURES, …] are codes of samples."""
    # At equal distances, as some data sets are sorted by class.
    some = spread(len(x), 2 * N_PICTURES)
    originals, others = some[::2], some[1::2]
    ends = _two_classes(originals, labels)
    first, last = (grey(x[[end]]) for end in ends)
    by_kl = [dimensions(of_lane) for of_lane in scores]
    traversed = [found["dimension"][[0, -1]] for found in by_kl]
    means = [_codes(of_lane) for of_lane in scores]
    codes = {
        "reconstructions": [mean[originals] for mean in means],
        "samples": list(prior.cpu().numpy()),
        "traversals": [_traversals(mean[ends[0]], pair) for mean, pair in zip(means, traversed, strict=True)],
        "interpolation": [np.linspace(*mean[ends], N_PICTURES - 2) for mean in means],
    }
    if scores[0].mean.shape[1] == 2:
        codes["grid"] = [_plane(mean[ends[0], 2:]) for mean in means]
    if scores[0].class_probabilities is not None:
        shown = originals[:ANALOGIES]
        codes["analogies"] = [_analogies(mean[shown], of_lane) for mean, of_lane in zip(means, scores, strict=True)]
    decoded = {name: _decoded(stack, np.stack(of_lanes), x.device) for name, of_lanes in codes.items()}
    decoded["interpolation"] = [np.concatenate([first, between, last]) for between in decoded["interpolation"]]
    return [
        Pictures(
            originals=grey(x[originals]),
            others=grey(x[others]),
            traversed=traversed[lane],
            traversed_kl=by_kl[lane]["kl"][[0, -1]],
            **{name: images[lane] for name, images in decoded.items()},
        )
        for lane in range(len(scores))
    ]


def spread(n: int, n_chosen: int) -> np.ndarray:
    """Indices at equal distances from the first of n to the last."""
    return np.linspace(0, n - 1, n_chosen).round().astype(int)


def _two_classes(images: np.ndarray, labels: np.ndarray | None) -> list[int]:
    """The first of these images, and the first of another class; the last one where there is no other."""
    first, *rest = images.tolist()
    return [first, next((image for image in rest if labels is not None and labels[image] != labels[first]), rest[-1])]


def _traversals(code: np.ndarray, traversed: np.ndarray) -> np.ndarray:
    """A code [Z] with one of its dimensions moved across the prior: [2, N_PICTURES, Z]."""
    codes = np.tile(code, (2, N_PICTURES, 1))
    for moved, dimension in zip(codes, traversed, strict=True):
        moved[:, dimension] = np.linspace(-REACH, REACH, N_PICTURES)
    return codes


def _plane(others: np.ndarray) -> np.ndarray:
    """[GRID, GRID, 2 + …] at the middles of cells of equal prior probability (Kingma & Welling 2014, figure 4); others:
    what of the code is no z, the same everywhere."""
    quantiles = torch.special.ndtri((torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID).numpy()
    z = np.stack(np.meshgrid(quantiles, quantiles[::-1]), axis=-1)
    return np.concatenate([z, np.broadcast_to(others, (GRID, GRID, len(others)))], axis=-1)


def _codes(scores: Scores) -> np.ndarray:
    """What the decoder takes of each image: its posterior mean of z, and where there are classes the most probable."""
    if scores.class_probabilities is None:
        return scores.mean
    n_classes = scores.class_probabilities.shape[1]
    return np.concatenate([scores.mean, np.eye(n_classes)[scores.class_probabilities.argmax(axis=1)]], axis=1)


def _analogies(codes: np.ndarray, scores: Scores) -> np.ndarray:
    """Codes [n, Z + C] with every class in place of their own, the first N_PICTURES at most: [n, ≤ N_PICTURES, Z + C]."""
    latent_size, n_classes = scores.mean.shape[1], scores.class_probabilities.shape[1]
    codes = np.repeat(codes[:, None], min(n_classes, N_PICTURES), axis=1)
    codes[..., latent_size:] = np.eye(n_classes)[:N_PICTURES]
    return codes


def _decoded(stack: Stack, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """Each lane's mean images at its own codes: [L, ..., Z] -> grey levels [L, ..., D]."""
    shape = codes.shape[1:-1]
    z = torch.from_numpy(codes).float().flatten(1, -2).to(device)
    images = stack.map(stack.kind.mean_images, {"z": torch.stack([padded(lane) for lane in z])})
    return grey(images[:, : z.shape[1]]).reshape(len(codes), *shape, -1)


def grey(pixels: Tensor) -> np.ndarray:
    """Pixel values -> uint8 grey levels."""
    return (255 * pixels.clip(0, 1)).round().to(torch.uint8).cpu().numpy()
