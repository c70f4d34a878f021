"""Adam of a stack's buffers against torch's own, and lanes that go."""

import pytest
import torch

from vaebench.optimiser import Adam

SHAPES = {"weight": (3, 64), "bias": (3, 32)}


def steps(n: int) -> list[tuple[list[torch.Tensor], float]]:
    """Gradients in the order of SHAPES, and a learning rate, of n steps."""
    generator = torch.Generator().manual_seed(1)
    return [([torch.randn(shape, generator=generator) for shape in SHAPES.values()], 0.1 / (1 + step)) for step in range(n)]


def start() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def test_it_is_torchs():
    buffers, expected = start(), start()
    adam, torchs = Adam(buffers), torch.optim.Adam(expected.values(), lr=1.0)
    for gradients, learning_rate in steps(5):
        adam.step(gradients, torch.tensor(learning_rate))
        for buffer, gradient in zip(expected.values(), gradients, strict=True):
            buffer.grad = gradient
        torchs.param_groups[0]["lr"] = learning_rate
        torchs.step()
    for name, buffer in buffers.items():
        torch.testing.assert_close(buffer, expected[name])
    assert [steps.item() for steps in adam.steps] == [5, 5]


@pytest.mark.parametrize("kept", [[0, 2], [1]])
def test_lanes_that_stay_go_on_as_they_were(kept):
    whole, fewer = start(), start()
    adam_of_all, adam = Adam(whole), Adam(fewer)
    for step, (gradients, learning_rate) in enumerate(steps(6)):
        adam_of_all.step(gradients, torch.tensor(learning_rate))
        if step == 3:
            fewer = {name: buffer[kept] for name, buffer in fewer.items()}
            adam = adam.kept(fewer, kept)
        gradients = gradients if step < 3 else [gradient[kept] for gradient in gradients]
        adam.step(gradients, torch.tensor(learning_rate))
    for name, buffer in fewer.items():
        assert torch.equal(buffer, whole[name][kept])
