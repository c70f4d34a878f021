"""What a VAE is usually trained with: the loop of PyTorch's own example, the same in memory, and pythae.

Each trains one model, encoder and decoder with one hidden layer and ReLU, Bernoulli likelihood, Adam, batches of 128.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from benchmarks.measure import Program, timed
from benchmarks.plain_vae import PlainVAE

BATCH_SIZE = 128
# Made by `make benchmark`.
PYTHAE = Path(".venv-pythae")


class Pictures(Dataset):
    """One picture at a time, as torchvision's data sets give them."""

    def __init__(self, levels: np.ndarray):
        self.levels = levels
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.levels[index]))


def usual_loop(images: np.ndarray, width: int, latent_size: int) -> Program:
    """An epoch over pictures, uint8 [N, height, width], by a DataLoader and ToTensor."""
    loader = DataLoader(Pictures(images), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    return _loop(loader, images[0].size, width, latent_size)


def in_memory_loop(images: np.ndarray, width: int, latent_size: int) -> Program:
    """The same over one tensor of all pixels, permuted anew in each epoch."""
    pixels = torch.from_numpy(images).float().flatten(1) / 255

    class Batches:
        def __iter__(self):
            return iter(pixels[torch.randperm(len(pixels))].split(BATCH_SIZE))

    return _loop(Batches(), images[0].size, width, latent_size)


def _loop(batches: Iterable[Tensor], n_pixels: int, width: int, latent_size: int) -> Program:
    model = PlainVAE(n_pixels, width, latent_size)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> None:
        total = 0.0
        for batch in batches:
            optimiser.zero_grad()
            loss = model.loss(batch.view(-1, n_pixels))
            loss.backward()
            total += loss.item()
            optimiser.step()

    return timed(epoch)


class Pythae:
    """pythae's own trainer in its own environment: a process that trains an epoch whenever it is told to."""

    def __init__(self, images: np.ndarray, width: int, latent_size: int, folder: Path):
        np.save(folder / "images.npy", images)
        command = [PYTHAE / "bin/python", Path(__file__).with_name("pythae_peer.py"), folder, str(width), str(latent_size)]
        self._log = folder / "pythae.log"
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def __call__(self) -> float:
        """Seconds of an epoch, as pythae's process took them. Raises RuntimeError with what it said if it has ended."""
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"pythae: {self._log.read_text(encoding='utf-8')}")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()
