"""Many models of one shape as one tensor program.

A stack keeps each parameter of its L lanes in one tensor with a leading axis [L, ...] and computes all lanes at once.

The bit contract: a lane's numbers are the same whatever stands beside it. Vectorised kernels and matrix products treat the
first and last elements of an array by other instructions than the rest, depending on its address, so lanes stand side by
side only where each lane's slice of every tensor begins and ends on a boundary: parameters are padded to it, batches and
weight matrices must be multiples of it. Where they are not, or where the network says that it is not `stackable`, every
lane is a stack of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vaebench.model import VAE

# In numbers of 4 bytes. Elementwise kernels step by two vectors at a time, of up to 64 bytes; matrix products look at the
# addresses of single vectors.
ALIGNMENT = 32
VECTOR = 16


def can_stand_together(model: VAE, stackable: bool, batch_size: int = ALIGNMENT) -> bool:
    """Whether such models give the same bits in one stack as alone; batch_size: a divisor of the sizes of all batches."""
    matrices = [parameter.shape for parameter in model.parameters() if parameter.dim() > 1]
    # A product with a single row or column is computed in another way when it stands alone.
    aligned = all(shape.numel() % VECTOR == 0 and min(shape) > 1 for shape in matrices)
    return stackable and aligned and batch_size % ALIGNMENT == 0


class Stack:
    """L models of the same shapes as lanes of one.

    `buffers` holds all parameters, name -> [L, size padded to ALIGNMENT], for an optimiser to change in place; the model
    sees them as [L, *shape], or, where the network is not `stackable`, the only lane's without the axis.
    """

    def __init__(self, models: Sequence[VAE], stackable: bool):
        assert stackable or len(models) == 1
        self._stackable = stackable
        self._model = copy.deepcopy(models[0])
        self._shapes = {name: parameter.shape for name, parameter in self._model.named_parameters()}
        states = [dict(model.named_parameters()) for model in models]
        rows = {name: torch.stack([state[name].detach().flatten() for state in states]) for name in self._shapes}
        self._place({name: _padded(parameter) for name, parameter in rows.items()})

    def _place(self, buffers: dict[str, Tensor]) -> None:
        self.buffers = buffers
        self.parameters = {name: nn.Parameter(self._view(name)) for name in buffers}
        for name, parameter in self.parameters.items():
            module, _, own_name = name.rpartition(".")
            setattr(self._model.get_submodule(module), own_name, parameter)

    def _view(self, name: str) -> Tensor:
        """A parameter as the model sees it."""
        shape = self._shapes[name]
        view = self.buffers[name][:, : shape.numel()].unflatten(1, shape)
        return view if self._stackable else view[0]

    @property
    def kind(self) -> type[VAE]:
        """Of its models: the class whose methods `map` takes."""
        return type(self._model)

    def __len__(self) -> int:
        return len(next(iter(self.buffers.values())))

    def keep(self, lanes: Sequence[int]) -> None:
        """Keep these lanes, drop the others."""
        self._place({name: buffer[list(lanes)] for name, buffer in self.buffers.items()})

    def state(self, lane: int) -> dict[str, Tensor]:
        """One lane's parameters by name, copied: what `VAE.load_state_dict` takes."""
        return {
            name: self.buffers[name][lane, : shape.numel()].unflatten(0, shape).clone()
            for name, shape in self._shapes.items()
        }

    def map(self, compute: Callable[..., Any], lanes: dict[str, Tensor], shared: dict[str, Any] | None = None) -> Any:
        """`compute(model, **arguments)` for every lane; each tensor in the result has a leading axis [L].

        lanes: arguments of which each lane gets its own slice, [L, ...]. shared: arguments that are the same for all.
        """
        shared = shared or {}
        if self._stackable:
            return compute(self._model, **lanes, **shared)
        arguments = {name: argument[0] for name, argument in lanes.items()}
        return pytree.tree_map(lambda value: value.unsqueeze(0), compute(self._model, **arguments, **shared))

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """d loss / d buffers, [L, padded size] each, where loss is a sum over lanes."""
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        return [_padded(gradient.reshape(len(self), -1)) for gradient in gradients]


def _padded(rows: Tensor) -> Tensor:
    """[L, P] -> [L, P padded to ALIGNMENT]: the same tensor where nothing is to be added."""
    padding = -rows.shape[1] % ALIGNMENT
    return nn.functional.pad(rows, (0, padding)) if padding else rows
