"""A perceptron against torch's own layers, one model or many at once."""

import pytest
import torch
from torch import nn

from vaebench.layers import ConstantHead, Perceptron

# Widths of many and of few columns, which are multiplied in another way.
WIDTHS = [(6, 5), (40, 3, 20), (7, 33, 2, 18, 4), (20, 64, 40)]


def torchs(perceptron: Perceptron) -> nn.Sequential:
    """The same parameters in layers of torch."""
    layers = [nn.Linear(*layer.weight.T.shape) if isinstance(layer, nn.Linear) else nn.ReLU() for layer in perceptron]
    expected = nn.Sequential(*layers).double()
    expected.load_state_dict(perceptron.state_dict())
    return expected


def gradients(module: nn.Module, x: torch.Tensor, direction: torch.Tensor) -> list[torch.Tensor]:
    inputs = [x.requires_grad_(), *module.parameters()]
    return list(torch.autograd.grad((module(x) * direction).sum(), inputs))


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_values_and_gradients_are_those_of_torchs_layers(widths):
    torch.manual_seed(0)
    module = Perceptron(*widths).double()
    expected = torchs(module)
    x, direction = torch.randn(9, widths[0]).double(), torch.randn(9, widths[-1]).double()
    torch.testing.assert_close(module(x), expected(x))
    for found, wanted in zip(gradients(module, x, direction), gradients(expected, x, direction), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_each_lane_has_its_own_parameters(widths):
    torch.manual_seed(0)
    lanes = [Perceptron(*widths).double() for _ in range(3)]
    stacked = Perceptron(*widths).double()
    for index, layer in enumerate(stacked):
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(torch.stack([lane[index].weight for lane in lanes]))
            layer.bias = nn.Parameter(torch.stack([lane[index].bias for lane in lanes]))
    x, direction = torch.randn(3, 9, widths[0]).double(), torch.randn(3, 9, widths[-1]).double()
    torch.testing.assert_close(stacked(x), torch.stack([lane(one) for lane, one in zip(lanes, x, strict=True)]))
    torch.testing.assert_close(stacked(x[0]), torch.stack([lane(x[0]) for lane in lanes]))
    found = gradients(stacked, x, direction)
    for number, lane in enumerate(lanes):
        for stack, alone in zip(found, gradients(lane, x[number].detach(), direction[number]), strict=True):
            torch.testing.assert_close(stack[number], alone)


def test_gradients_lie_as_the_parameters_do():
    module = Perceptron(20, 64, 4)
    x = torch.randn(8, 20)
    for gradient, parameter in zip(
        torch.autograd.grad(module(x).sum(), list(module.parameters())), module.parameters(), strict=True
    ):
        assert gradient.stride() == parameter.stride()


def test_a_constant_head_of_lanes():
    torch.manual_seed(0)
    head = ConstantHead(Perceptron(4, 3), 2)
    with torch.no_grad():
        head.constant.copy_(torch.tensor([5.0, 7.0]))
    x = torch.randn(6, 4)
    assert head(x)[:, 3:].tolist() == [[5, 7]] * 6
    head.constant = nn.Parameter(torch.tensor([[5.0, 7.0], [1.0, 2.0]]))
    layer = head.module[0]
    layer.weight, layer.bias = (nn.Parameter(torch.stack([values, 2 * values])) for values in (layer.weight, layer.bias))
    assert head(x)[..., 3:].tolist() == [[[5, 7]] * 6, [[1, 2]] * 6]
