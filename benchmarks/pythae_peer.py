"""Trains pythae's VAE, an epoch for every line on standard input, and prints its seconds. Runs in pythae's environment."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

BATCH_SIZE = 128


class Encoder(BaseEncoder):
    def __init__(self, n_pixels: int, width: int, latent_size: int):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_pixels, width), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(width, latent_size), nn.Linear(width, latent_size)

    def forward(self, x):
        hidden = self.hidden(x.flatten(1))
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    def __init__(self, shape: tuple[int, ...], width: int, latent_size: int):
        super().__init__()
        self.shape = shape
        n_pixels = int(np.prod(shape))
        self.layers = nn.Sequential(nn.Linear(latent_size, width), nn.ReLU(), nn.Linear(width, n_pixels), nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z).unflatten(1, self.shape))


def main(folder: Path, width: int, latent_size: int) -> None:
    torch.set_num_threads(1)
    pixels = torch.from_numpy(np.load(folder / "images.npy")).float().unsqueeze(1) / 255
    shape = tuple(pixels.shape[1:])
    config = VAEConfig(input_dim=shape, latent_dim=latent_size, reconstruction_loss="bce")
    n_pixels = int(np.prod(shape))
    model = VAE(config, Encoder(n_pixels, width, latent_size), Decoder(shape, width, latent_size))
    training = BaseTrainerConfig(
        output_dir=str(folder / "pythae"), per_device_train_batch_size=BATCH_SIZE, learning_rate=1e-3, no_cuda=True
    )
    trainer = BaseTrainer(model, train_dataset=BaseDataset(pixels, torch.zeros(len(pixels))), training_config=training)
    trainer.prepare_training()
    for epoch, _ in enumerate(sys.stdin, start=1):
        start = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            trainer.train_step(epoch)
        print(json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
