"""Weights of trained runs: read from their files, put into models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vaebench.errors import UserError
from vaebench.lanes import build_model
from vaebench.model import VAE
from vaebench.store import unreadable

if TYPE_CHECKING:
    from vaebench.specification import Run


def load_weights(path: Path) -> dict[str, Tensor]:
    """Parameters by name. Raises UserError where the file is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(unreadable(path, error)) from error


def trained_model(run: Run, path: Path) -> VAE:
    """A run's model with the weights of this file, in evaluation mode."""
    model = build_model(run)
    model.load_state_dict(load_weights(path))
    return model.eval()
