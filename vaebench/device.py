"""What a CUDA device does otherwise: a step is recorded once and replayed, and matrix products can be less precise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vaebench.errors import UserError

# Calls before the recording, in which libraries choose kernels and take their memory.
WARM_UP = 3


def is_cuda(device: str) -> bool:
    return torch.device(device).type == "cuda"


def prepare(device: str, precision: str = "float32") -> None:
    """Make a device ready. precision: of a GPU's matrix products; "tf32" rounds their factors to 10 bits, "float32" has 23.

    Raises UserError where there is no such device.
    """
    if not is_cuda(device):
        return
    if not torch.cuda.is_available():
        raise UserError(f"device {device}: torch finds no CUDA device on this machine; leave the device out to use the CPU")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def describe(device: str) -> str:
    """In words, for the record of what a run was made with."""
    if not is_cuda(device):
        return "CPU"
    precision = "float32" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    return f"{torch.cuda.get_device_name(device)}, {precision}"


class Replay:
    """Calls a function; on a CUDA device, from the fourth call on, by replaying what it did, without Python or the host.

    There the function must read and write the same memory at every call; `in_place` brings it new content.
    """

    def __init__(self, function: Callable[[], None], device: str):
        self._function = function
        self._is_cuda = is_cuda(device)
        self._n_calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = torch.cuda.Stream(device) if self._is_cuda else None

    def __call__(self) -> None:
        if not self._is_cuda:
            self._function()
        elif self._graph is not None:
            self._graph.replay()
        elif self._n_calls < WARM_UP:
            self._warm_up()
        else:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._function()
            self._graph.replay()

    def _warm_up(self) -> None:
        """A call like any other, on the stream of the recording."""
        self._n_calls += 1
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._function()
        torch.cuda.current_stream().wait_stream(self._stream)

    def in_place(self, old: Any, new: Any) -> Any:
        """What the function shall read from now on: on a CUDA device `new`, copied to where `old` lies."""
        if old is None or not self._is_cuda:
            return new
        for place, content in zip(old, new, strict=True):
            place.copy_(content)
        return old
