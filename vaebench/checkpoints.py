"""Checkpoints: how far runs have come in training, in files that say whether they are whole.

A checkpoint is of runs, not of a cohort: each is in it by a key, and any of them can go on from it, beside others or alone.
It is safetensors, so loading it runs no code, and carries a SHA-256 of all that it holds: where it is torn or altered, the
one before is used.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor

from vaebench.divergence import Divergence
from vaebench.files import replacing

HISTORY = "history"


@dataclass(frozen=True)
class Checkpoint:
    """Where training keeps its state, written at the end of an epoch when the last one is `seconds` old.

    path: the file; the one before lies beside it, and so do those of parts. keys: of the runs in their order, each changes
    with all that its run's numbers depend on; they hold no ".". whole: of which it is a part, the path.
    """

    path: Path
    keys: Sequence[str]
    seconds: float = 60
    whole: Path | None = None

    @property
    def previous(self) -> Path:
        """The one before."""
        return self.path.with_stem(f"{self.path.stem}.previous")

    def part(self, keys: Sequence[str]) -> Checkpoint:
        """Of some of the runs, in a file of its own: others may still have to go on from the one of all."""
        if list(keys) == list(self.keys):
            return self
        name = hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()[:16]
        return replace(self, path=self.path.with_stem(f"{self.path.stem}-{name}"), keys=keys, whole=self.path)

    def remove(self) -> None:
        """The files of the whole, of its parts, and those before them."""
        for path in _files(self):
            path.unlink(missing_ok=True)


class LaneState(NamedTuple):
    """A run between two epochs.

    history: a row an epoch, float64 [epochs, columns]. tensors: its parameters and the optimiser's moments by name, none of
    a run that diverged.
    """

    history: Tensor
    tensors: dict[str, Tensor]
    diverged: Divergence | None = None


class Saved(NamedTuple):
    """What a checkpoint says of the runs asked for: the epochs done, and each one's state."""

    epoch: int
    lanes: list[LaneState]


class _Description(BaseModel):
    """All but the tensors. lanes: by key, whether the run has diverged."""

    model_config = ConfigDict(strict=True, extra="forbid")

    epoch: NonNegativeInt
    lanes: dict[str, Divergence | None]


class _DamagedError(Exception):
    """What is wrong with a checkpoint's content."""


def save(checkpoint: Checkpoint, epoch: int, lanes: Sequence[LaneState]) -> None:
    """Write a checkpoint, whole or not at all, and keep the one before. lanes: in the order of the keys."""
    by_key = dict(zip(checkpoint.keys, lanes, strict=True))
    description = json.dumps({"epoch": epoch, "lanes": {key: lane.diverged for key, lane in by_key.items()}})
    tensors = {
        f"{key}.{name}": tensor.detach().cpu().contiguous()
        for key, lane in by_key.items()
        for name, tensor in {HISTORY: lane.history, **lane.tensors}.items()
    }
    content = as_bytes(tensors, {"state": description, "sha256": _checksum(description, tensors)})
    with replacing(checkpoint.path) as temporary:
        temporary.write_bytes(content)
        if checkpoint.path.exists():
            checkpoint.path.replace(checkpoint.previous)


def load(checkpoint: Checkpoint, like: LaneState, n_epochs: int) -> Saved | None:
    """Of the files that hold all these runs the one that has come furthest; None where there is none.

    like: what a run is before its first epoch, with the names, shapes and types that its tensors must have. What is damaged
    is said on stderr and removed, so that it never becomes the one before.
    """
    found: Saved | None = None
    faults: dict[Path, str] = {}
    paths = _files(checkpoint)
    for path in paths:
        try:
            saved = _read(path, checkpoint.keys, like, n_epochs)
        except OSError as error:
            faults[path] = f"a checkpoint that cannot be read ({error.strerror or error})"
        except _DamagedError as error:
            faults[path] = f"a damaged checkpoint ({error})"
            path.unlink()
        else:
            if saved is not None and (found is None or saved.epoch > found.epoch):
                found = saved
    if paths and found is None and not faults:
        faults[paths[0]] = "a checkpoint of other runs or other code"
    for path, fault in faults.items():
        print(f"{path}: {fault}; {'training starts anew' if found is None else 'an earlier one is used'}", file=sys.stderr)
    return found


def _files(checkpoint: Checkpoint) -> list[Path]:
    """Those of the whole, of its parts, and those before them."""
    whole = checkpoint.whole or checkpoint.path
    return sorted(whole.parent.glob(f"{whole.stem}*{whole.suffix}"))


def _read(path: Path, keys: Sequence[str], like: LaneState, n_epochs: int) -> Saved | None:
    """None where not all of these runs are in it. Raises OSError, _DamagedError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _DamagedError(error) from error
    if metadata.get("sha256") != _checksum(metadata.get("state", ""), tensors):
        raise _DamagedError("its checksum is not that of its content")
    try:
        description = _Description.model_validate_json(metadata["state"])
    except (KeyError, ValidationError) as error:
        raise _DamagedError("its description is none of a checkpoint") from error
    if not description.lanes.keys() >= set(keys):
        return None
    by_key: dict[str, dict[str, Tensor]] = {key: {} for key in keys}
    for name, tensor in tensors.items():
        key, _, own_name = name.partition(".")
        by_key.get(key, {})[own_name] = tensor
    lanes = {key: LaneState(own.pop(HISTORY, None), own, description.lanes[key]) for key, own in by_key.items()}
    if description.epoch > n_epochs or not all(_fits(lane, like, description.epoch) for lane in lanes.values()):
        raise _DamagedError("its tensors are none of these runs")
    return Saved(description.epoch, [lanes[key] for key in keys])


def _fits(lane: LaneState, like: LaneState, epoch: int) -> bool:
    """Whether a lane after so many epochs has the rows and tensors that it must have."""
    n_rows, tensors = (epoch, like.tensors) if lane.diverged is None else (lane.diverged.epoch, {})
    if not 0 <= n_rows <= epoch:
        return False
    expected = {HISTORY: like.history.new_empty(n_rows, like.history.shape[1]), **tensors}
    found = {HISTORY: lane.history, **lane.tensors}
    return _shapes(found) == _shapes(expected)


def _shapes(tensors: dict[str, Tensor | None]) -> dict[str, tuple | None]:
    return {name: None if tensor is None else (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _checksum(description: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    digest = hashlib.sha256(description.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
