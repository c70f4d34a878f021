"""The training step of runs that train side by side as one stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vaebench.device import Replay
from vaebench.images import Images, blocks, padded
from vaebench.model import VAE, build
from vaebench.optimiser import Adam
from vaebench.stack import Stack, can_stand_together

if TYPE_CHECKING:
    from vaebench.specification import Run

SPLIT_BLOCK = 1024


class Epoch(NamedTuple):
    """What the steps of an epoch read, B images each; S streams of random numbers, one a seed.

    levels: uint8 [N, D]. order: indices of images [S, steps · B]. noise: [S, steps · B, Z] from N(0, I). weights,
    capacities: [steps, L]. learning_rates: [steps]. corrupted: the pixels that encoders see, [N, D]; none where these are
    the levels' own.
    """

    levels: Tensor
    order: Tensor
    noise: Tensor
    weights: Tensor
    capacities: Tensor
    learning_rates: Tensor
    corrupted: Tensor = torch.empty(0)


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
        batch = position * len(self._within) + self._within
        chosen = epoch.order.index_select(1, batch).index_select(0, self._stream)
        x = self.images.as_pixels(epoch.levels.index_select(0, chosen.flatten())).unflatten(0, chosen.shape)
        noise = epoch.noise.index_select(1, batch).index_select(0, self._stream)
        batch_of_lanes = {"x": x, "noise": noise}
        if len(epoch.corrupted):
            batch_of_lanes["seen"] = epoch.corrupted.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
        rates, distortion = self.stack.map(VAE.training_terms, batch_of_lanes)
        weight, capacity = (values.index_select(0, position)[0] for values in (epoch.weights, epoch.capacities))
        cost = (rates.maximum(self._free_nats).sum(1) - capacity).abs()
        gradients = self.stack.gradients((distortion + weight * cost).sum())
        self.adam.step(gradients, epoch.learning_rates.index_select(0, position)[0])
        self._totals += torch.stack([rates.sum(1), distortion]).detach()
        self._position += 1

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
    together = can_stand_together(build_model(runs[0]), runs[0].network.stackable, batch_size)
    return len(runs) if together else 1


def build_model(run: Run) -> VAE:
    """A run's model before training."""
    return build(run.network, run.likelihood, run.n_levels, run.dataset.n_pixels, run.latent_size, run.seed)
