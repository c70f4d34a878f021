"""Corruptions: what is done to images before a model sees them, to train it on clean ones or to score what it mends.

torch is imported where it is used, so that an experiment file can be checked without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vaebench.registry import Registry, require

if TYPE_CHECKING:
    from torch import Generator, Tensor

CORRUPTIONS = Registry("corruption")


class Corruption:
    """Callable images x [N, D] in [0, 1] -> as many that are worse, in [0, 1] too.

    What is random comes from the generator, which lies on the images' device.
    """

    def __call__(self, x: Tensor, image_shape: tuple[int, int], generator: Generator) -> Tensor:
        raise NotImplementedError

    @property
    def label(self) -> str:
        """In words, with its settings."""
        raise NotImplementedError


@CORRUPTIONS.register
@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """Gaussian noise of standard deviation `sigma` is added to every pixel, and the sum clipped to [0, 1]."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: float = 0.3

    def __post_init__(self):
        require(self.sigma > 0, "sigma", self.sigma, "above 0")

    @property
    def label(self) -> str:
        return f"Gaussian noise, σ {self.sigma:g}"

    def __call__(self, x: Tensor, image_shape: tuple[int, int], generator: Generator) -> Tensor:
        # In place: in training there is a number for every pixel of the data set.
        return x.new_empty(x.shape).normal_(generator=generator).mul_(self.sigma).add_(x).clamp_(0, 1)


@CORRUPTIONS.register
@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Each pixel becomes 0 or 1, either with half of the probability `share`, and else stays as it is."""

    kind: Literal["salt-and-pepper"] = "salt-and-pepper"
    share: float = 0.2

    def __post_init__(self):
        require(0 < self.share <= 1, "share", self.share, "above 0 and at most 1")

    @property
    def label(self) -> str:
        return f"salt and pepper, share {self.share:g}"

    def __call__(self, x: Tensor, image_shape: tuple[int, int], generator: Generator) -> Tensor:
        drawn = x.new_empty(x.shape).uniform_(generator=generator)
        return x.where(drawn >= self.share, (drawn < self.share / 2).to(x.dtype))


@CORRUPTIONS.register
@dataclass(frozen=True)
class MaskedBlock(Corruption):
    """One block of each image becomes 0. It is `side` times as high and wide as the image, in whole pixels and at least
    one, and lies at any place within it with the same probability."""

    kind: Literal["blocks"] = "blocks"
    side: float = 0.5

    def __post_init__(self):
        require(0 < self.side <= 1, "side", self.side, "above 0 and at most 1")

    @property
    def label(self) -> str:
        return f"masked block, side {self.side:g}"

    def __call__(self, x: Tensor, image_shape: tuple[int, int], generator: Generator) -> Tensor:
        lines, columns = (self._hidden(x, n_pixels, generator) for n_pixels in image_shape)
        return x.masked_fill((lines.unsqueeze(2) & columns.unsqueeze(1)).flatten(1), 0)

    def _hidden(self, x: Tensor, n_pixels: int, generator: Generator) -> Tensor:
        """Of each image, which of the n_pixels along one of its sides the block covers: bool [N, n_pixels]."""
        import torch

        size = max(1, round(self.side * n_pixels))
        start = torch.randint(n_pixels - size + 1, (len(x), 1), generator=generator, device=x.device)
        place = torch.arange(n_pixels, device=x.device)
        return (place >= start) & (place < start + size)
