"""Adam (Kingma & Ba 2015) of a stack's buffers, all lanes in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Changes buffers [L, ...] in place; its state is kept by buffer name, in the buffers' shapes."""

    def __init__(self, buffers: dict[str, Tensor]):
        self.buffers = buffers
        self.first = {name: torch.zeros_like(buffer) for name, buffer in buffers.items()}
        self.second = {name: torch.zeros_like(buffer) for name, buffer in buffers.items()}
        self.steps = [torch.zeros((), device=buffer.device) for buffer in buffers.values()]

    def step(self, gradients: Sequence[Tensor], learning_rate: Tensor) -> None:
        """gradients: in the order of the buffers; learning_rate: [], on the buffers' device, so that nothing waits."""
        adam(
            list(self.buffers.values()),
            list(gradients),
            list(self.first.values()),
            list(self.second.values()),
            max_exp_avg_sqs=[],
            state_steps=self.steps,
            fused=True,
            capturable=learning_rate.is_cuda,
            amsgrad=False,
            beta1=BETA_1,
            beta2=BETA_2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def kept(self, buffers: dict[str, Tensor], lanes: Sequence[int]) -> Adam:
        """Adam of these lanes' buffers, with their state."""
        adam = Adam(buffers)
        adam.first = {name: moment[list(lanes)] for name, moment in self.first.items()}
        adam.second = {name: moment[list(lanes)] for name, moment in self.second.items()}
        adam.steps = self.steps
        return adam
