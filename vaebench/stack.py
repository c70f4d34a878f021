"""Many models of one shape as one tensor program.

A cohort keeps the parameters of its L lanes as rows of one matrix [L, P] and computes all lanes at once under `vmap`.

The bit contract: a lane's numbers are the same whatever stands beside it. Vectorised kernels and matrix products treat the
first and last elements of an array by other instructions than the rest, depending on its address, so stacked lanes are safe
only where each lane's slice of every tensor begins and ends on a boundary: rows are padded to it, batches and weight
matrices must be multiples of it. Where they are not, or where the network says that it is not `stackable`, lanes are
computed one after another, each alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils import _pytree as pytree

from vaebench.model import VAE

# In numbers of 4 bytes. Elementwise kernels step by two vectors at a time, of up to 64 bytes; matrix products look at the
# addresses of single vectors.
ALIGNMENT = 32
VECTOR = 16


class Stack:
    """L models of the same shapes as lanes of one stack.

    `rows: [L, P]` holds all parameters and `parameters` names views into it, so an optimiser may change the rows in place.
    Lanes are computed all at once where that is safe, else one by one; `batch_size` is that of all arguments of `map`.
    """

    def __init__(self, models: Sequence[VAE], stackable: bool, batch_size: int = ALIGNMENT):
        self.model = models[0]
        self._shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        matrices = [shape for shape in self._shapes.values() if len(shape) > 1]
        # A product with a single row or column is computed in another way when it stands alone.
        aligned = all(shape.numel() % VECTOR == 0 and min(shape) > 1 for shape in matrices)
        self.is_stacked = stackable and aligned and batch_size % ALIGNMENT == 0
        rows = [torch.cat([parameter.detach().flatten() for parameter in model.parameters()]) for model in models]
        padding = -rows[0].numel() % ALIGNMENT
        self._place(torch.nn.functional.pad(torch.stack(rows), (0, padding)))

    def _place(self, rows: Tensor) -> None:
        self.rows = rows
        self.parameters = self._views(rows)
        for parameter in self.parameters.values():
            parameter.requires_grad_()

    def _views(self, rows: Tensor) -> dict[str, Tensor]:
        """Name -> [L, *shape], views into rows: [L, P]."""
        views, start = {}, 0
        for name, shape in self._shapes.items():
            views[name] = rows[:, start : start + shape.numel()].unflatten(1, shape).detach()
            start += shape.numel()
        return views

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, lanes: Sequence[int]) -> None:
        """Keep these lanes, drop the others."""
        self._place(self.rows[list(lanes)].clone())

    def state(self, lane: int) -> dict[str, Tensor]:
        """One lane's parameters by name, copied: what `VAE.load_state_dict` takes."""
        return {name: parameter[lane].detach().clone() for name, parameter in self.parameters.items()}

    def map(self, compute: Callable[..., Any], lanes: dict[str, Tensor], shared: dict[str, Any] | None = None) -> Any:
        """`compute(model, **arguments)` for every lane; each tensor in the result gains a leading axis [L].

        lanes: arguments of which each lane gets its own slice, [L, ...]. shared: arguments that are the same for all.
        """
        shared = shared or {}
        if not self.is_stacked:
            results = []
            for lane in range(len(self)):
                parameters = {name: parameter[lane] for name, parameter in self.parameters.items()}
                arguments = {name: argument[lane] for name, argument in lanes.items()}
                results.append(functional_call(self.model, parameters, (compute,), arguments | shared))
            return pytree.tree_map(lambda *values: torch.stack(values), *results)

        def one_lane(parameters: dict[str, Tensor], arguments: dict[str, Tensor]) -> Any:
            return functional_call(self.model, parameters, (compute,), arguments | shared)

        return vmap(one_lane)(self.parameters, lanes)

    def gradient(self, loss: Tensor, out: Tensor) -> None:
        """Write d loss / d rows to out: [L, P], where loss is a sum over lanes; padding is left as it is."""
        gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        torch._foreach_copy_(list(self._views(out).values()), gradients)
