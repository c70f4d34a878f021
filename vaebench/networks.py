"""Networks: the shapes that the encoder and the decoder can have.

A network builds two plain `nn.Module`s. The encoder maps images [B, D] to [B, 2 Z], the means and the log-variances of
q(z|x) side by side (two heads in one matrix product); the decoder maps z [B, Z] to the likelihood's parameters [B, P].

torch is imported where it is used, so that an experiment file can be checked without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from vaebench.registry import Registry, require

if TYPE_CHECKING:
    from torch import nn

    from vaebench.layers import ByClass

NETWORKS = Registry("network")


class Network:
    """Builds an encoder and a decoder of matching size; their starting weights come from torch's global generator."""

    # Whether its modules take parameters with a leading axis of lanes, as `vaebench.layers` do, and give each lane the bits
    # that it has alone. Where not, every run is a stack of its own.
    stackable: ClassVar[bool]
    # Whether it has a classifier and encoders by class too, which semi-supervised models need.
    class_conditional: ClassVar[bool] = False

    def encoder(self, n_pixels: int, latent_size: int) -> nn.Module:
        """Module [B, n_pixels] -> [B, 2 latent_size]."""
        raise NotImplementedError

    def decoder(self, latent_size: int, n_outputs: int) -> nn.Module:
        """Module [B, latent_size] -> [B, n_outputs]."""
        raise NotImplementedError

    def classifier(self, n_pixels: int, n_classes: int) -> nn.Module:
        """Module [B, n_pixels] -> logits [B, n_classes]; only of networks that are `class_conditional`."""
        raise NotImplementedError

    def encoder_by_class(self, n_pixels: int, n_classes: int, latent_size: int) -> ByClass:
        """An encoder for each class; only of networks that are `class_conditional`."""
        raise NotImplementedError


@NETWORKS.register
@dataclass(frozen=True)
class Mlp(Network):
    """Fully connected layers with ReLU between them; `hidden` are the encoder's widths, the decoder mirrors them."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = (128,)
    stackable = True
    class_conditional = True

    def __post_init__(self):
        widths = list(self.hidden)
        require(all(width >= 1 for width in widths), "hidden", widths, "a list of widths of 1 or more")
        # No machine could hold more.
        holds = len(widths) <= 100 and all(width <= 65_536 for width in widths)
        require(holds, "hidden", widths, "100 widths of 65,536 at most")
        n_weights = sum(before * after for before, after in pairwise(widths))
        require(n_weights <= 5e9, "hidden", widths, "widths between which there are 5 billion weights at most")

    def encoder(self, n_pixels: int, latent_size: int) -> nn.Module:
        from vaebench.layers import Perceptron

        return Perceptron(n_pixels, *self.hidden, 2 * latent_size)

    def decoder(self, latent_size: int, n_outputs: int) -> nn.Module:
        from vaebench.layers import Perceptron

        return Perceptron(latent_size, *reversed(self.hidden), n_outputs)

    def classifier(self, n_pixels: int, n_classes: int) -> nn.Module:
        from vaebench.layers import Perceptron

        return Perceptron(n_pixels, *self.hidden, n_classes)

    def encoder_by_class(self, n_pixels: int, n_classes: int, latent_size: int) -> ByClass:
        from vaebench.layers import ByClass

        return ByClass(self.encoder(n_pixels + n_classes, latent_size), n_classes)


@NETWORKS.register
@dataclass(frozen=True)
class Linear(Network):
    """One affine map each way, and a posterior variance that is the same for every image: with a Gaussian likelihood this
    is probabilistic PCA, whose optimum is known (Tipping & Bishop 1999; Lucas et al. 2019)."""

    kind: Literal["linear"] = "linear"
    stackable = True

    def encoder(self, n_pixels: int, latent_size: int) -> nn.Module:
        from vaebench.layers import ConstantHead, Perceptron

        return ConstantHead(Perceptron(n_pixels, latent_size), latent_size)

    def decoder(self, latent_size: int, n_outputs: int) -> nn.Module:
        from vaebench.layers import Perceptron

        return Perceptron(latent_size, n_outputs)
