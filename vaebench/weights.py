"""Weights of trained runs: read from their files, put into models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from vaebench.lanes import build_model
from vaebench.model import VAE
from vaebench.store import RunFolder, damaged, read_bytes

if TYPE_CHECKING:
    from vaebench.specification import Run


def load_weights(path: Path, record: Path | None = None) -> dict[str, Tensor]:
    """Parameters by name. record: which vouches for the file. Raises as `store.read_bytes` does, and for other content."""
    content = read_bytes(path, record)
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise damaged(path, f"cannot be read ({error})") from error


def trained_model(run: Run, folder: RunFolder) -> VAE:
    """A run's model with the weights in its folder, in evaluation mode. Raises as `load_weights` does."""
    model = build_model(run)
    weights = load_weights(folder.weights, folder.record)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise damaged(folder.weights, f"cannot be read ({error})") from error
    return model.eval()
