"""How many lanes a device has memory for: an estimate for a model of any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaebench.device import is_cuda
from vaebench.lanes import SPLIT_BLOCK, build_model
from vaebench.model import VAE
from vaebench.stack import Stack

if TYPE_CHECKING:
    from vaebench.specification import Run

# Of the memory that is free: the rest is the libraries' own, and lost between blocks.
SHARE = 0.8
# Parameters, Adam's two moments, and gradients.
COPIES = 4
# Tensors as large as the decoder's outputs that exist for a moment, beyond those kept for the gradient.
TEMPORARY = 8
BYTES = 4


def lanes_that_fit(run: Run, device: str) -> int | None:
    """How many such runs can train side by side in the memory that a CUDA device has free; None: any number, elsewhere."""
    if not is_cuda(device):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(SHARE * free / bytes_a_lane(run, run.dataset.sizes["train"])))


def bytes_a_lane(run: Run, n_images: int) -> int:
    """What one more lane takes at most in training on n_images images: its parameters and random numbers, and a batch."""
    stack = Stack([build_model(run)], run.network.stackable)
    n_parameters = sum(buffer.numel() for buffer in stack.buffers.values())
    # Two epochs' random numbers and orders, of 8 bytes an index, at a time.
    streams = 2 * n_images * (run.latent_size + 2)
    n_outputs = run.dataset.n_pixels * run.likelihood.outputs_per_pixel
    step = run.batch_size * (numbers_kept(stack, run) + TEMPORARY * n_outputs)
    validation = SPLIT_BLOCK * TEMPORARY * n_outputs
    return BYTES * (COPIES * n_parameters + streams + max(step, validation))


def numbers_kept(stack: Stack, run: Run) -> int:
    """Numbers that one lane's training terms keep for the gradient, by image."""
    n_images = 2
    # By where they lie: what is kept twice takes its place once.
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x, noise = torch.rand(1, n_images, run.dataset.n_pixels), torch.zeros(1, n_images, run.latent_size)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stack.map(VAE.training_terms, {"x": x, "noise": noise})
    parameters = {parameter.untyped_storage().data_ptr() for parameter in stack.parameters.values()}
    return sum(tensor.numel() for place, tensor in kept.items() if place not in parameters) // n_images
