"""Layers that also compute many models at once: parameters may have a leading axis of lanes, and so do their arguments.

A network built from these alone is `stackable`: its modules, given stacked parameters [L, ...], map [L, B, inputs] to
[L, B, outputs], every lane by its own parameters.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

# Columns from which on matrix products are fast as they stand.
NARROW = 16


class Perceptron(nn.Sequential):
    """Fully connected layers with ReLU between them: [B, widths[0]] -> [B, widths[-1]].

    Parameters are matrices [O, I] and vectors [O], or [L, O, I] and [L, O] for L lanes; then x is [L, B, I], or [B, I] that
    all lanes share, and the result [L, B, O].
    """

    def __init__(self, *widths: int):
        layers: list[nn.Module] = []
        for n_inputs, n_outputs in pairwise(widths):
            layers += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
        super().__init__(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return _Perceptron.apply(x, *self.parameters())


class ByClass(nn.Module):
    """A perceptron that reads which of `n_classes` an image is of beside the image, for every class at once.

    As its input is [x, one-hot y], what x brings to its first layer is the same for all classes, and computed once.
    """

    def __init__(self, perceptron: Perceptron, n_classes: int):
        super().__init__()
        self.perceptron = perceptron
        self.n_classes = n_classes

    def forward(self, x: Tensor) -> Tensor:
        """x [..., B, D] -> the perceptron's outputs for each class y, [..., C, B, O]."""
        weight, bias, *others = self.perceptron.parameters()
        of_pixels, of_classes = weight.split([weight.shape[-1] - self.n_classes, self.n_classes], dim=-1)
        x = x.expand(len(weight), -1, -1) if weight.dim() == 3 else x
        outputs = _affine(x, of_pixels, bias).unsqueeze(-3) + of_classes.mT.unsqueeze(-2)
        if others:
            outputs = _Perceptron.apply(outputs.relu_().flatten(-3, -2), *others)
            outputs = outputs.unflatten(-2, (self.n_classes, -1))
        return outputs

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """The same for one class each: x [..., B, D], y one-hot [..., B, C] -> [..., B, O]."""
        return self.perceptron(torch.cat([x, y], dim=-1))


class _Perceptron(torch.autograd.Function):
    """All layers at once, with gradients laid out as the parameters are, for the optimiser to take as they are.

    As nothing else sees what passes between the layers, it is changed in place.
    """

    @staticmethod
    def forward(ctx, x: Tensor, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[::2], parameters[1::2]
        inputs = [x.expand(len(weights[0]), -1, -1) if weights[0].dim() == 3 else x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(_affine(inputs[-1], weight, bias).relu_())
        ctx.save_for_backward(*inputs, *weights)
        return _affine(inputs[-1], weights[-1], biases[-1])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        n_layers = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:n_layers], ctx.saved_tensors[n_layers:]
        of_parameters: list[Tensor] = []
        for layer in reversed(range(n_layers)):
            of_parameters[:0] = [_product(gradient.mT, inputs[layer]), gradient.sum(-2)]
            if layer > 0:
                gradient = _product(gradient, weights[layer])
                torch.ops.aten.threshold_backward.grad_input(gradient, inputs[layer], 0, grad_input=gradient)
        of_x = _product(gradient, weights[0]) if ctx.needs_input_grad[0] else None
        return of_x, *of_parameters


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x Wᵀ + b."""
    if weight.shape[-2] < NARROW:
        return _product(x, weight.mT).add_(bias.unsqueeze(-2))
    return torch.addmm(bias, x, weight.mT) if weight.dim() == 2 else torch.baddbmm(bias.unsqueeze(1), x, weight.mT)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b; where b has few columns by its transpose, which libraries compute up to four times as fast."""
    return a @ b if b.shape[-1] >= NARROW else (b.mT @ a.mT).mT.contiguous()


class ConstantHead(nn.Module):
    """A module's outputs [..., B, P] with `n` learned numbers behind them, the same for every input: [..., B, P + n]."""

    def __init__(self, module: nn.Module, n: int):
        super().__init__()
        self.module = module
        self.constant = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.module(x)
        return torch.cat([outputs, self.constant.unsqueeze(-2).expand(*outputs.shape[:-1], -1)], dim=-1)
