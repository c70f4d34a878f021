"""Weights of trained runs: read from their files, put into models."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vaebench.errors import UserError
from vaebench.files import damaged, read_bytes
from vaebench.lanes import build_model
from vaebench.model import VAE
from vaebench.store import RunFolder

if TYPE_CHECKING:
    from vaebench.settings import Run


def load_weights(path: Path, record: Path | None = None) -> dict[str, Tensor]:
    """Parameters by name. record: which vouches for the file. Raises as `files.read_bytes` does, and for other content."""
    content = read_bytes(path, record)
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise damaged(path, f"cannot be read ({error})") from error


def trained_model(run: Run, folder: RunFolder) -> VAE:
    """A run's model with the weights in its folder, in evaluation mode; of other images it says so by UserError.

    Raises as `load_weights` does.
    """
    model = build_model(run)
    weights = load_weights(folder.weights, folder.record)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise damaged(folder.weights, f"cannot be read ({error})") from error
    # Here only: training and scoring build models whose images are known to be right.
    for module in model.of_images:
        module.register_forward_pre_hook(partial(_require_images, n_pixels=run.dataset.n_pixels))
    model.decoder.register_forward_pre_hook(partial(_require_columns, n_columns=model.code_size, what="z"))
    return model.eval()


def _require_images(encoder: nn.Module, arguments: tuple, n_pixels: int) -> None:
    _require_columns(encoder, arguments, n_pixels, "x")
    (x,) = arguments
    if not ((x >= 0) & (x <= 1)).all():  # nor NaN
        raise UserError(f"x holds pixel values in [0, 1], not from {x.min():g} to {x.max():g}")


def _require_columns(module: nn.Module, arguments: tuple, n_columns: int, what: str) -> None:
    (values,) = arguments
    dtype = next(module.parameters()).dtype
    if not isinstance(values, Tensor) or values.dtype != dtype or values.shape[-1:] != (n_columns,):
        met = f"{values.dtype}, {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise UserError(f"{what} must be a tensor of {dtype}, [..., {n_columns}], not {met}")
