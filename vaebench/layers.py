"""Modules that torch does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConstantHead(nn.Module):
    """A module's outputs [..., P] with `n` learned numbers behind them that are the same for every input: [..., P + n]."""

    def __init__(self, module: nn.Module, n: int):
        super().__init__()
        self.module = module
        self.constant = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.module(x)
        return torch.cat([outputs, self.constant.expand(*outputs.shape[:-1], -1)], dim=-1)
