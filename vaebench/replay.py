"""Calling the same function of no arguments thousands of times: on a CUDA device as one recorded graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# Calls before the recording, in which libraries choose kernels and take their memory.
WARM_UP = 3


class Replay:
    """Calls a function; on a CUDA device, from the fourth call on, by replaying what it did, without Python or the host.

    There the function must read and write the same memory at every call; `in_place` brings it new content.
    """

    def __init__(self, function: Callable[[], None], device: str):
        self._function = function
        self._is_cuda = torch.device(device).type == "cuda"
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
