"""Random numbers as a pure function of (seed, stream, index).

Nothing is drawn from a global generator and no generator's state is ever saved: a resumed run draws what the unbroken one
drew, and runs with the same seed see the same starting weights, data order and noise, whatever they are trained beside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, stream: str, index: int = 0) -> int:
    """A 63-bit seed for one use of random numbers, for example (0, "order", 12) for the 13th epoch's data order."""
    digest = hashlib.sha256(f"{seed}/{stream}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, stream: str, index: int = 0, device: str = "cpu") -> torch.Generator:
    """A fresh generator at the start of its stream; each kind of device has streams of its own."""
    return torch.Generator(device).manual_seed(derive(seed, stream, index))


@contextmanager
def seeded(seed: int, stream: str) -> Iterator[None]:
    """Within the block, torch's global generator (which `nn.Module`s draw their starting weights from) is this stream."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, stream))
        yield
