"""Training a cohort: the loop, its history, which runs diverge, and where to go on.

Adam on distortion + weight · |Σ_i max(rate_i, free_nats) − capacity|, with means over a batch of the distortion and of each
latent dimension's rate; without free nats and capacity this is distortion + weight · rate. An epoch is a fresh permutation
of the training images in batches of equal size; the images left over wait for the next permutation. Where a run has labels,
each step sees a batch of labelled images too, from permutations of these.

Where a run corrupts images, its encoder sees them so in training, anew in each epoch, and its likelihood is of the clean
ones (Im et al. 2017). Validation images are clean.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from vaebench import checkpoints
from vaebench.checkpoints import Checkpoint, LaneState
from vaebench.divergence import Divergence, not_finite
from vaebench.images import DATA_SEED, Images, blocks
from vaebench.lanes import Epoch, Lanes, lanes_together
from vaebench.latent_dimensions import ACTIVE_VARIANCE
from vaebench.model import VAE
from vaebench.settings import Run
from vaebench.streams import generator

HISTORY_COLUMNS = (
    "epoch",
    "kl_weight",  # at the epoch's last step
    "train_rate",  # mean over the epoch, while the parameters move
    "train_distortion",
    "validation_rate",  # after the epoch
    "validation_distortion",
    "active_units",  # on the validation images, after the epoch
    "seconds",  # the cohort's, shared evenly among its lanes
)
# What is told of an epoch but for its number and seconds, in words.
MEASURED = (
    "KL weight",
    "rate in training",
    "distortion in training",
    "rate in validation",
    "distortion in validation",
    "active units",
)


@dataclass(frozen=True)
class TrainedRun:
    """A run's end: its parameters, a row of history for each epoch, and in which epoch and why it diverged, if it did.

    A diverged run has no parameters, and its history ends with the epoch before.
    """

    run: Run
    state: dict[str, Tensor] | None
    history: pd.DataFrame
    diverged: Divergence | None


def train(
    runs: Sequence[Run],
    images: Images,
    checkpoint: Checkpoint | None = None,
    device: str = "cpu",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[TrainedRun]:
    """Train runs of one cohort side by side, from the checkpoint if there is one that fits.

    report: called with the epochs done and all epochs, at the start and after each.
    """
    training = Training(runs, images, device)
    if checkpoint is not None:
        training.resume(checkpoint)
    saved = time.monotonic()
    report(training.epoch, training.n_epochs)
    while training.epoch < training.n_epochs and len(training):
        training.run_epoch()
        report(training.epoch, training.n_epochs)
        if checkpoint is not None and time.monotonic() - saved >= checkpoint.seconds:
            training.save(checkpoint)
            saved = time.monotonic()
    return training.result()


class Training:
    """The state of a cohort's training between two epochs.

    The runs that are still in training stand in one or more stacks; one that diverges leaves, its neighbours go on.
    """

    def __init__(self, runs: Sequence[Run], images: Images, device: str = "cpu"):
        first = runs[0]
        self.runs = list(runs)
        self.images = images
        self.device = device
        self.n_epochs = first.epochs
        self.n_steps = len(images.levels["train"]) // first.batch_size
        self.epoch = 0
        self.diverged: dict[int, Divergence] = {}
        self.history: list[list[list[float]]] = [[] for _ in runs]
        width = lanes_together(runs, first.batch_size)
        self.stacks = [
            Lanes(self.runs[start:end], range(start, end), images, device) for start, end in blocks(len(runs), width)
        ]

    def __len__(self) -> int:
        """Runs that are still in training."""
        return sum(len(lanes) for lanes in self.stacks)

    def run_epoch(self) -> None:
        """One epoch of all lanes: train, score on the validation images, write history, drop the lanes that diverged."""
        start = time.perf_counter()
        rows = [row for lanes, epoch in self.next_epoch() for row in self._run_epoch(lanes, epoch)]
        seconds = (time.perf_counter() - start) / len(rows)
        for index, broken, row in rows:
            if broken is None:
                self.history[index].append([self.epoch, *row, seconds])
            else:
                self.diverged[index] = Divergence(self.epoch, broken)
        self._drop_diverged()
        self.epoch += 1

    def _drop_diverged(self) -> None:
        self.stacks = [lanes for lanes in self.stacks if not self.diverged.keys() >= set(lanes.indices)]
        for lanes in self.stacks:
            kept = [lane for lane, index in enumerate(lanes.indices) if index not in self.diverged]
            if len(kept) < len(lanes):
                lanes.keep(kept)

    def _run_epoch(self, lanes: Lanes, epoch: Epoch) -> list[tuple[int, str | None, list[float]]]:
        """Of each lane its run, what is not finite if anything is, and the row of history but for epoch and seconds."""
        train_rate, train_distortion = lanes.train_epoch(epoch)
        if self.runs[0].likelihood.is_fitted:
            self._fit_shared_outputs(lanes)
        columns = [epoch.weights[-1], train_rate, train_distortion, *self._validate(lanes)]
        rows = torch.stack([column.double() for column in columns], dim=1)
        finite = rows.isfinite().all(1) & lanes.are_finite()
        broken = [None if finite[lane] else self._broken(lanes, lane, row) for lane, row in enumerate(rows)]
        return list(zip(lanes.indices, broken, rows.tolist(), strict=True))

    def _broken(self, lanes: Lanes, lane: int, row: Tensor) -> str | None:
        """What is not finite of a lane after an epoch, in words."""
        measured = dict(zip(MEASURED, row.tolist(), strict=True))
        return not_finite(measured | {name: tensor.cpu() for name, tensor in lanes.state(lane).items()})

    def next_epoch(self) -> Iterator[tuple[Lanes, Epoch]]:
        """Each stack with what its steps will read. Lanes with the same seed share their streams, wherever they stand."""
        levels = self.images.at_epoch("train", self.epoch).to(self.device)
        corrupted = self._corrupted(levels)
        steps = range(self.epoch * self.n_steps, (self.epoch + 1) * self.n_steps)
        progress = [step / (self.n_epochs * self.n_steps) for step in steps]
        rates = torch.tensor([self._learning_rate(done) for done in progress], device=self.device)
        n_used = self.n_steps * self.runs[0].batch_size

        @cache
        def order(seed: int) -> Tensor:
            return torch.randperm(len(levels), **self._random(seed, "order"))[:n_used]

        @cache
        def noise(seed: int) -> Tensor:
            return torch.randn(n_used, self.runs[0].latent_size, **self._random(seed, "noise"))

        @cache
        def labelled(seed: int) -> tuple[Tensor, Tensor]:
            return self._labelled_streams(seed)

        for lanes in self.stacks:
            with_labels = (torch.stack(streams) for streams in zip(*map(labelled, lanes.seeds), strict=True))
            yield (
                lanes,
                Epoch(
                    levels,
                    torch.stack([order(seed) for seed in lanes.seeds]),
                    torch.stack([noise(seed) for seed in lanes.seeds]),
                    *self._pressures(lanes, progress),
                    rates,
                    corrupted,
                    *with_labels,
                ),
            )

    def _corrupted(self, levels: Tensor) -> Tensor:
        """The pixels that encoders see of these levels in this epoch, the same for all seeds; none where they are clean."""
        first = self.runs[0]
        if first.corruption is None:
            return torch.empty(0, device=self.device)
        random = generator(DATA_SEED, "corrupt train", self.epoch, self.device)
        return first.corruption(self.images.as_pixels(levels), first.dataset.image_shape, random)

    def _labelled_streams(self, seed: int) -> tuple[Tensor, Tensor]:
        """Of an epoch's steps, which of the labelled images each sees, and their noise: [steps · M], [steps · M, Z]."""
        supervision = self.runs[0].supervision
        if supervision is None:
            return torch.empty(0, device=self.device), torch.empty(0, device=self.device)
        n_used = self.n_steps * supervision.labelled_batch
        random = self._random(seed, "labelled order")
        orders = [torch.randperm(supervision.labels, **random) for _ in range(math.ceil(n_used / supervision.labels))]
        noise = torch.randn(n_used, self.runs[0].latent_size, **self._random(seed, "labelled noise"))
        return torch.cat(orders)[:n_used], noise

    def _random(self, seed: int, stream: str) -> dict[str, Any]:
        """Arguments of a function that draws from a stream, on the device."""
        return {"generator": generator(seed, stream, self.epoch, self.device), "device": self.device}

    def _pressures(self, lanes: Lanes, progress: list[float]) -> tuple[Tensor, Tensor]:
        """Each lane's KL weight and capacity at each step: two [steps, L]."""
        schedules = [self.runs[index].kl for index in lanes.indices]
        by_schedule = {
            schedule: [(schedule(done), schedule.capacity(done)) for done in progress] for schedule in set(schedules)
        }
        return torch.tensor([by_schedule[schedule] for schedule in schedules], device=self.device).permute(2, 1, 0)

    def _learning_rate(self, progress: float) -> float:
        """Constant, or falling in a straight line to 0 at the end of training."""
        left = 1 - progress if self.runs[0].learning_rate_decay == "linear" else 1
        return left * self.runs[0].learning_rate

    @torch.no_grad()
    def _validate(self, lanes: Lanes) -> tuple[Tensor, Tensor, Tensor]:
        """Rate and distortion on the validation images, and active units there: three float64 [L]."""
        terms = self._map_split(lanes, "validation", lanes.stack.kind.elbo_terms)
        rate, distortion = terms.rate.double().sum(2).mean(1), terms.distortion.double().mean(1)
        active = terms.posterior.mean.double().var(1, correction=0) > ACTIVE_VARIANCE
        return rate, distortion, active.sum(1)

    @torch.no_grad()
    def _fit_shared_outputs(self, lanes: Lanes) -> None:
        """Set the shared outputs of the likelihood to what is best on the training images, in closed form."""
        corrupted = lanes.epoch.corrupted
        seen = {"seen": corrupted} if len(corrupted) else {}
        statistic = self._map_split(lanes, "train", VAE.fit_statistic, **seen).double().mean(1)
        constant = lanes.stack.parameters["decoder.constant"]
        constant.copy_(self.runs[0].likelihood.fit(statistic).view_as(constant))

    def _map_split(self, lanes: Lanes, split: str, compute: Callable[..., Any], **seen: Tensor) -> Any:
        """`compute(model, x=…, noise=…, **seen)` over a whole split, as this epoch shows it: its tensors gain the axes
        [L, N]."""
        x = self.images.as_pixels(self.images.at_epoch(split, self.epoch if split == "train" else 0).to(self.device))
        shape = (len(x), self.runs[0].latent_size)
        noise = {seed: torch.randn(shape, **self._random(seed, f"{split} noise")) for seed in lanes.seeds}
        return lanes.map_images(compute, {"x": x, **seen}, noise)

    def result(self) -> list[TrainedRun]:
        """Of every run, in the order given."""
        states = {index: lanes.stack.state(lane) for lanes in self.stacks for lane, index in enumerate(lanes.indices)}
        return [
            TrainedRun(
                run,
                state=states.get(index),
                history=pd.DataFrame(self.history[index], columns=HISTORY_COLUMNS, dtype=float).astype({"epoch": int}),
                diverged=self.diverged.get(index),
            )
            for index, run in enumerate(self.runs)
        ]

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all."""
        checkpoints.save(checkpoint, self.epoch, self._lane_states())

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, if there is one of all these runs. Only before the first epoch."""
        saved = checkpoints.load(checkpoint, self._lane_states()[0], self.n_epochs)
        if saved is None:
            return
        self.epoch = saved.epoch
        self.history = [lane.history.tolist() for lane in saved.lanes]
        self.diverged = {index: lane.diverged for index, lane in enumerate(saved.lanes) if lane.diverged is not None}
        self._drop_diverged()
        for lanes in self.stacks:
            lanes.set_steps(self.epoch * self.n_steps)
            for lane, index in enumerate(lanes.indices):
                lanes.load_state(lane, saved.lanes[index].tensors)
        print(f"goes on after epoch {self.epoch} of {self.n_epochs}", flush=True)

    def _lane_states(self) -> list[LaneState]:
        """Of every run, in the order given."""
        tensors = {index: lanes.state(lane) for lanes in self.stacks for lane, index in enumerate(lanes.indices)}
        return [
            LaneState(
                torch.tensor(rows, dtype=torch.float64).reshape(-1, len(HISTORY_COLUMNS)),
                tensors.get(index, {}),
                self.diverged.get(index),
            )
            for index, rows in enumerate(self.history)
        ]
