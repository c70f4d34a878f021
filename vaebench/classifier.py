"""The classifier of a data set, through whose eyes tasks look at images: small, trained here, with nothing downloaded.

Two convolutions of 3×3, each followed by the largest of 2×2 pixels, then a layer of features and one of logits, as LeNet
(LeCun et al. 1998). It is a function of the data set alone: trained on the grey levels of the training split by a fixed
number of steps, on the CPU whatever device runs are trained on.
"""

from __future__ import annotations

import math
from shlex import quote
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from vaebench.datasets import Dataset, Split
from vaebench.errors import DamagedFileError, UserError
from vaebench.files import damaged, read_bytes
from vaebench.progress import Report
from vaebench.store import Results
from vaebench.streams import seeded

SEED = 0
N_FEATURES = 64
CHANNELS = 16, 32
DROPOUT = 0.3
# As many epochs, or as many as make so many steps where those are more.
EPOCHS = 6
FEWEST_STEPS = 600
BATCH = 128
LEARNING_RATE = 3e-3  # of Adam; it falls to 0 along a straight line
BLOCK = 1000


class Seen(NamedTuple):
    """What the classifier makes of N images: features [N, F] and the probabilities of the classes [N, C], float64."""

    features: np.ndarray
    probabilities: np.ndarray


class Classifier(nn.Module):
    """Pixel values [B, D] in [0, 1] -> logits [B, C]; a side of an image has 4 pixels or more."""

    def __init__(self, dataset: Dataset):
        super().__init__()
        self.image_shape, self.n_levels = dataset.image_shape, dataset.n_levels
        height, width = self.image_shape
        first, second = CHANNELS
        self.body = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(DROPOUT),
            nn.Linear(second * (height // 4) * (width // 4), N_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(N_FEATURES, len(dataset.class_names))
        # With the channels side by side in memory a step takes two thirds of the time.
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        """[B, D] -> the activations before the last layer, [B, F]."""
        return self.body(x.unflatten(-1, (1, *self.image_shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    @torch.no_grad()
    def see(self, x: np.ndarray) -> Seen:
        """x: pixel values, float32 [N, D]."""
        features = torch.cat([self.features(block) for block in torch.from_numpy(x).split(BLOCK)])
        return Seen(features.double().numpy(), self.head(features).double().softmax(-1).numpy())

    def accuracy(self, images: Split) -> float:
        """Share of the images whose class it names rightly."""
        predicted = self.see(pixels(images, self.n_levels)).probabilities.argmax(-1)
        return float((predicted == images.labels).mean())


def pixels(images: Split, n_levels: int) -> np.ndarray:
    """Grey levels -> pixel values in [0, 1], float32 [N, D]."""
    return images.images.astype(np.float32) / (n_levels - 1)


def train(dataset: Dataset, images: Split, report: Report) -> Classifier:
    """Of a data set's training split; in evaluation mode."""
    x, labels = torch.from_numpy(pixels(images, dataset.n_levels)), torch.from_numpy(images.labels).long()
    steps_an_epoch = math.ceil(len(x) / BATCH)
    n_epochs = max(EPOCHS, math.ceil(FEWEST_STEPS / steps_an_epoch))
    n_steps, n_done = n_epochs * steps_an_epoch, 0
    # Starting weights, order and dropout.
    with seeded(SEED, "classifier"):
        classifier = Classifier(dataset)
        optimiser = torch.optim.Adam(classifier.parameters(), lr=LEARNING_RATE, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, n_steps)
        for _ in range(n_epochs):
            for batch in torch.randperm(len(x)).split(BATCH):
                report(n_done, n_steps)
                optimiser.zero_grad()
                functional.cross_entropy(classifier(x[batch]), labels[batch]).backward()
                optimiser.step()
                schedule.step()
                n_done += 1
    return classifier.eval()


def load(dataset: Dataset, results: Results) -> Classifier:
    """The one that `vaebench classify` keeps, in evaluation mode. Raises UserError where it is missing or damaged."""
    files, classifier = results.classifier(dataset.name), Classifier(dataset)
    try:
        content = read_bytes(files.weights, files.record)
        try:
            classifier.load_state_dict(safetensors.torch.load(content))
        except (SafetensorError, RuntimeError) as error:
            raise damaged(files.weights, f"cannot be read ({error})") from error
    except DamagedFileError as error:
        raise to_be_made(dataset, results, error.fault) from error
    return classifier.eval()


def to_be_made(dataset: Dataset, results: Results, fault: str) -> UserError:
    """Of a classifier that is not there as it should be: the command that makes it."""
    path = results.classifier(dataset.name).weights
    return UserError(f"{path}: {fault}; make it with: vaebench classify {quote(dataset.argument)}")
