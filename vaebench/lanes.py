"""The training step of runs that train side by side as one stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vaebench.device import Replay
from vaebench.images import Images, blocks, padded
from vaebench.label_draws import label_draw
from vaebench.m2 import build_m2
from vaebench.model import VAE, build
from vaebench.optimiser import Adam
from vaebench.stack import Stack, can_stand_together

if TYPE_CHECKING:
    from vaebench.settings import Run

SPLIT_BLOCK = 1024


class Epoch(NamedTuple):
    """What the steps of an epoch read, B images each; S streams of random numbers, one a seed.

    levels: uint8 [N, D]. order: indices of images [S, steps · B]. noise: [S, steps · B, Z] from N(0, I). weights,
    capacities: [steps, L]. learning_rates: [steps]. corrupted: the pixels that encoders see, [N, D]; none where these are
    the levels' own. labelled_order, labelled_noise: the same as order and noise of the M labelled images of each step,
    where there are any.
    """

    levels: Tensor
    order: Tensor
    noise: Tensor
    weights: Tensor
    capacities: Tensor
    learning_rates: Tensor
    corrupted: Tensor = torch.empty(0)
    labelled_order: Tensor = torch.empty(0)
    labelled_noise: Tensor = torch.empty(0)


class Labels(NamedTuple):
    """What S seeds are told of the labels of N training images: `places` [S, n] of the labelled ones; for all images `y`
    one-hot [N, C], to be read at those only; and `is_unlabelled`, 1 or 0, [S, N]."""

    places: Tensor
    y: Tensor
    is_unlabelled: Tensor


class Lanes:
    """Runs in one stack, its optimiser, and their places `indices` in the cohort.

    A step finds its batch, weights and learning rate by a position on the device, and so is a function of no arguments
    that a CUDA device can replay.
    """

    def __init__(self, runs: Sequence[Run], indices: Sequence[int], images: Images, device: str):
        self.images = images
        self.device = device
        self._runs = list(runs)
        models = [build_model(run).to(device) for run in runs]
        self._place(indices, Stack(models, runs[0].network.stackable))

    def _place(self, indices: Sequence[int], stack: Stack, adam: Adam | None = None) -> None:
        self.indices = list(indices)
        self.stack = stack
        self.adam = adam or Adam(stack.buffers)
        first = self._runs[0]
        self.seeds = list(dict.fromkeys(run.seed for run in self._runs))
        self._stream = torch.tensor([self.seeds.index(run.seed) for run in self._runs], device=self.device)
        self._free_nats = torch.tensor([[run.kl.free_nats] for run in self._runs], device=self.device)
        self._within = torch.arange(first.batch_size, device=self.device)
        self._labels: Labels | None = None
        if first.supervision is not None:
            self._labels = labels_of(first, self.seeds, self.images.labels["train"], self.device)
            self._within_labelled = torch.arange(first.supervision.labelled_batch, device=self.device)
        self._position = torch.zeros(1, dtype=torch.long, device=self.device)
        self._totals = torch.zeros(2, len(self._runs), dtype=torch.float64, device=self.device)
        self.epoch: Epoch | None = None  # that its steps have read
        self._replay = Replay(self._step, self.device)

    def __len__(self) -> int:
        return len(self.indices)

    def train_epoch(self, epoch: Epoch) -> Tensor:
        """Mean rate and distortion over the epoch's batches, while the parameters move: float64 [2, L]."""
        self.epoch = self._replay.in_place(self.epoch, epoch)
        self._position.zero_()
        self._totals.zero_()
        n_steps = len(epoch.learning_rates)
        for _ in range(n_steps):
            self._replay()
        return self._totals / n_steps

    def _step(self) -> None:
        epoch, position = self.epoch, self._position
        chosen, noise = self._batch(epoch.order, epoch.noise, self._within)
        batch = {"x": self._pixels(chosen), "noise": noise}
        if len(epoch.corrupted):
            batch["seen"] = epoch.corrupted.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
        if self._labels is not None:
            batch |= self._labelled_batch(chosen)
        rates, distortion, *others = self.stack.map(self.stack.kind.training_terms, batch)
        weight, capacity = (values.index_select(0, position)[0] for values in (epoch.weights, epoch.capacities))
        cost = (rates.maximum(self._free_nats).sum(1) - capacity).abs()
        gradients = self.stack.gradients(sum(others, distortion + weight * cost).sum())
        self.adam.step(gradients, epoch.learning_rates.index_select(0, position)[0])
        self._totals += torch.stack([rates.sum(1), distortion]).detach()
        self._position += 1

    def _batch(self, order: Tensor, noise: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
        """Of each lane, which images the step sees, and their noise: [L, B], [L, B, Z]."""
        batch = self._position * len(within) + within
        chosen, noise = (values.index_select(1, batch).index_select(0, self._stream) for values in (order, noise))
        return chosen, noise

    def _pixels(self, chosen: Tensor) -> Tensor:
        """[L, B] -> [L, B, D]."""
        return self.images.as_pixels(self.epoch.levels.index_select(0, chosen.flatten())).unflatten(0, chosen.shape)

    def _labelled_batch(self, chosen: Tensor) -> dict[str, Tensor]:
        """What a step of semi-supervised training reads beside its batch of all images."""
        epoch, labels = self.epoch, self._labels
        drawn, noise = self._batch(epoch.labelled_order, epoch.labelled_noise, self._within_labelled)
        places, is_unlabelled = (of.index_select(0, self._stream) for of in (labels.places, labels.is_unlabelled))
        labelled = places.gather(1, drawn)
        return {
            "is_unlabelled": is_unlabelled.gather(1, chosen),
            "labelled_x": self._pixels(labelled),
            "y": labels.y[labelled],
            "labelled_noise": noise,
        }

    @torch.no_grad()
    def map_images(self, compute: Callable[..., Any], images: dict[str, Tensor], noise: dict[int, Tensor]) -> Any:
        """`compute(model, noise=…, **images)` of images [N, D] by name, noise [N, Z] by seed: its tensors gain the axes
        [L, N]."""
        parts = []
        for start, end in blocks(len(images["x"]), SPLIT_BLOCK):
            lane_noise = torch.stack([padded(noise[run.seed][start:end]) for run in self._runs])
            block = {name: padded(x[start:end]) for name, x in images.items()}
            part = self.stack.map(compute, {"noise": lane_noise}, shared=block)
            parts.append(pytree.tree_map(lambda values, n=end - start: values[:, :n], part))
        return pytree.tree_map(lambda *values: torch.cat(values, dim=1), *parts)

    def are_finite(self) -> Tensor:
        """Whether all of a lane's parameters and moments are finite: bool [L].

        A moment that is infinite stays so, and leaves its parameters where they are for ever.
        """
        return torch.stack([rows.isfinite().all(1) for rows in self._by_name().values()]).all(0)

    def keep(self, lanes: Sequence[int]) -> None:
        """Keep these lanes, drop the others."""
        self._runs = [self._runs[lane] for lane in lanes]
        self.stack.keep(lanes)
        adam = self.adam.kept(self.stack.buffers, lanes)
        self._place([self.indices[lane] for lane in lanes], self.stack, adam)

    def state(self, lane: int) -> dict[str, Tensor]:
        """One lane's parameters and the optimiser's moments by name: they fit a cohort that is stacked otherwise."""
        return {name: rows[lane] for name, rows in self._by_name().items()}

    def load_state(self, lane: int, state: dict[str, Tensor]) -> None:
        """What `state` gave."""
        for name, rows in self._by_name().items():
            rows[lane].copy_(state[name])

    def set_steps(self, n_steps: int) -> None:
        """How many the optimiser has done."""
        for steps in self.adam.steps:
            steps.fill_(n_steps)

    def _by_name(self) -> dict[str, Tensor]:
        moments = {"first": self.adam.first, "second": self.adam.second}
        named = {f"Adam's {order} moment of {name}": rows for order, of in moments.items() for name, rows in of.items()}
        return self.stack.buffers | named


def lanes_together(runs: Sequence[Run], batch_size: int) -> int:
    """How many of these runs stand in one stack, in batches of that size: all of them, or one."""
    first = runs[0]
    if first.supervision is not None:
        batch_size = math.gcd(batch_size, first.supervision.labelled_batch)
    together = can_stand_together(build_model(first), first.network.stackable, batch_size)
    return len(runs) if together else 1


def labels_of(run: Run, seeds: Sequence[int], labels: np.ndarray, device: str) -> Labels:
    """What such runs with these seeds are told of the labels [N] of the training images; raises as `label_draw` does."""
    supervision = run.supervision
    draws = [label_draw(labels, supervision.labels, supervision.draw_of(seed)) for seed in seeds]
    places = torch.from_numpy(np.stack(draws))
    y = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), len(run.dataset.class_names)).float()
    is_unlabelled = torch.ones(len(seeds), len(labels)).scatter(1, places, 0)
    return Labels(places.to(device), y.to(device), is_unlabelled.to(device))


def build_model(run: Run) -> VAE:
    """A run's model before training."""
    shared = (run.network, run.likelihood, run.n_levels, run.dataset.n_pixels, run.latent_size)
    if run.supervision is None:
        return build(*shared, run.seed)
    supervision = run.supervision
    weights = (supervision.classifier_weight, supervision.labelled_weight_of(run.dataset.sizes["train"]))
    return build_m2(*shared, len(run.dataset.class_names), run.seed, *weights)
