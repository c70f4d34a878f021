"""Training a cohort: the loop, its history, checkpoints and resuming.

Adam on distortion + weight · |Σ_i max(rate_i, free_nats) − capacity|, with means over a batch of the distortion and of each
latent dimension's rate; without free nats and capacity this is distortion + weight · rate. An epoch is a fresh permutation
of the training images in batches of equal size; the images left over wait for the next permutation.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils import _pytree as pytree

from vaebench.images import Images, blocks, padded
from vaebench.latent_dimensions import count_active
from vaebench.model import VAE, build
from vaebench.specification import Run
from vaebench.stack import Stack
from vaebench.store import replacing
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
SPLIT_BLOCK = 1024


@dataclass(frozen=True)
class TrainedRun:
    """A run's end: its parameters, a row of history for each epoch, and the epoch in which it diverged, if it did.

    A diverged run has no parameters, and its history ends with the epoch before.
    """

    run: Run
    state: dict[str, Tensor] | None
    history: pd.DataFrame
    diverged_epoch: int | None


@dataclass(frozen=True)
class Checkpoint:
    """Where a cohort's training keeps its state, written at the end of an epoch when the last one is `seconds` old.

    key: of the runs and the code that made it; a checkpoint with another key is left aside. The caller removes the file.
    """

    path: Path
    key: str
    seconds: float = 60


def train(
    runs: Sequence[Run], images: Images, checkpoint: Checkpoint | None = None, device: str = "cpu"
) -> list[TrainedRun]:
    """Train runs of one cohort side by side, from the checkpoint if there is one that fits."""
    training = Training(runs, images, device)
    if checkpoint is not None:
        training.resume(checkpoint)
    saved = time.monotonic()
    while training.epoch < training.n_epochs and training.lanes:
        training.run_epoch()
        if training.epoch % math.ceil(training.n_epochs / 10) == 0:
            print(f"epoch {training.epoch} of {training.n_epochs}, {len(training.lanes)} lanes", flush=True)
        if checkpoint is not None and time.monotonic() - saved >= checkpoint.seconds:
            training.save(checkpoint)
            saved = time.monotonic()
    return training.result()


class Training:
    """The state of a cohort's training between two epochs.

    `lanes` are the indices of the runs still in the stack, by lane: a run that diverges leaves it, its neighbours go on.
    """

    def __init__(self, runs: Sequence[Run], images: Images, device: str = "cpu"):
        first = runs[0]
        self.runs = list(runs)
        self.images = images
        self.device = device
        self.n_epochs = first.epochs
        self.batch_size = first.batch_size
        self.n_steps = len(images.levels["train"]) // first.batch_size
        self.epoch = 0
        self.lanes = list(range(len(runs)))
        self.diverged: dict[int, int] = {}
        self.history: list[list[float]] = []
        models = [
            build(run.network, run.likelihood, run.n_levels, run.dataset.n_pixels, run.latent_size, run.seed)
            for run in runs
        ]
        self.stack = Stack([model.to(device) for model in models], first.network.stackable, first.batch_size)
        self._optimise(self.stack.rows)

    def _optimise(self, rows: Tensor, state: dict[str, Tensor] | None = None) -> None:
        """Let Adam move these rows, from the given moments on."""
        self.optimiser = torch.optim.Adam([rows], lr=self.runs[0].learning_rate, fused=True)
        rows.grad = torch.zeros_like(rows)
        if state is not None:
            self.optimiser.state[rows] = state

    def run_epoch(self) -> None:
        """One epoch of all lanes: train, score on the validation images, write history, drop the lanes that diverged."""
        start = time.perf_counter()
        weights, capacities = self._pressures()
        train_rate, train_distortion = self._train_epoch(weights, capacities)
        if self.runs[0].likelihood.is_fitted:
            self._fit_shared_outputs()
        validation = self._validate()
        seconds = (time.perf_counter() - start) / len(self.lanes)
        columns = [weights[-1], train_rate, train_distortion, *validation, torch.full((len(self.lanes),), seconds)]
        rows = torch.stack([column.double().cpu() for column in columns], dim=1)
        finite = rows.isfinite().all(1) & self.stack.rows.isfinite().all(1).cpu()
        for index, row, is_finite in zip(self.lanes, rows.tolist(), finite.tolist(), strict=True):
            if is_finite:
                self.history.append([index, self.epoch, *row])
            else:
                self.diverged[index] = self.epoch
        if not finite.all():
            self._drop(finite)
        self.epoch += 1

    def _pressures(self) -> tuple[Tensor, Tensor]:
        """Each lane's KL weight and capacity at each step of this epoch: two [steps, L]."""
        n_total = self.n_epochs * self.n_steps
        steps = [step / n_total for step in range(self.epoch * self.n_steps, (self.epoch + 1) * self.n_steps)]
        schedules = [self.runs[index].kl for index in self.lanes]
        weights = [[schedule(progress) for schedule in schedules] for progress in steps]
        capacities = [[schedule.capacity(progress) for schedule in schedules] for progress in steps]
        return torch.tensor(weights, device=self.device), torch.tensor(capacities, device=self.device)

    def _train_epoch(self, weights: Tensor, capacities: Tensor) -> tuple[Tensor, Tensor]:
        """Mean rate and distortion over the epoch's batches: two float64 [L]."""
        levels = self.images.at_epoch("train", self.epoch).to(self.device)
        # Lanes with the same seed share their streams.
        seeds = list(dict.fromkeys(self.runs[index].seed for index in self.lanes))
        stream = torch.tensor([seeds.index(self.runs[index].seed) for index in self.lanes], device=self.device)
        n_used = self.n_steps * self.batch_size
        noise_shape = (n_used, self.runs[0].latent_size)
        order = torch.stack([self._permutation(seed, len(levels))[:n_used] for seed in seeds]).to(self.device)
        noise = torch.stack([torch.randn(noise_shape, generator=generator(seed, "noise", self.epoch)) for seed in seeds])
        noise = noise.to(self.device)
        free_nats = torch.tensor([[self.runs[index].kl.free_nats] for index in self.lanes], device=self.device)
        totals = torch.zeros(2, len(self.lanes), dtype=torch.float64, device=self.device)
        for step, (start, end) in enumerate(blocks(n_used, self.batch_size)):
            x = self.images.as_pixels(levels[order[stream, start:end]])
            rates, distortion = self.stack.map(VAE.training_terms, {"x": x, "noise": noise[stream, start:end]})
            cost = (rates.maximum(free_nats).sum(1) - capacities[step]).abs()
            self._set_learning_rate(step)
            self.stack.gradient((distortion + weights[step] * cost).sum(), out=self.stack.rows.grad)
            self.optimiser.step()
            totals += torch.stack([rates.sum(1), distortion]).detach()
        return tuple(totals / self.n_steps)

    def _set_learning_rate(self, step: int) -> None:
        """Of this epoch's step: constant, or falling in a straight line to 0 at the end of training."""
        first = self.runs[0]
        progress = (self.epoch * self.n_steps + step) / (self.n_epochs * self.n_steps)
        left = 1 - progress if first.learning_rate_decay == "linear" else 1
        self.optimiser.param_groups[0]["lr"] = left * first.learning_rate

    def _permutation(self, seed: int, n_images: int) -> Tensor:
        return torch.randperm(n_images, generator=generator(seed, "order", self.epoch))

    @torch.no_grad()
    def _validate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rate and distortion on the validation images, and active units there: three float64 [L]."""
        terms = self._map_split("validation", VAE.elbo_terms)
        rate, distortion = terms.rate.double().sum(2).mean(1), terms.distortion.double().mean(1)
        active = torch.tensor([float(count_active(lane.double().cpu().numpy())) for lane in terms.posterior.mean])
        return rate, distortion, active

    @torch.no_grad()
    def _fit_shared_outputs(self) -> None:
        """Set the shared outputs of the likelihood to what is best on the training images, in closed form."""
        statistic = self._map_split("train", VAE.fit_statistic).double().mean(1)
        self.stack.parameters["decoder.constant"].copy_(self.runs[0].likelihood.fit(statistic))

    def _map_split(self, split: str, compute: Callable[..., Any]) -> Any:
        """`compute(model, x=…, noise=…)` over a whole split, as this epoch shows it: its tensors gain the axes [L, N]."""
        x = self.images.as_pixels(self.images.at_epoch(split, self.epoch if split == "train" else 0)).to(self.device)
        shape = (len(x), self.runs[0].latent_size)
        noise = {
            run.seed: torch.randn(shape, generator=generator(run.seed, f"{split} noise", self.epoch)).to(self.device)
            for run in self.runs
        }
        parts = []
        for start, end in blocks(len(x), SPLIT_BLOCK):
            lane_noise = torch.stack([padded(noise[self.runs[index].seed][start:end]) for index in self.lanes])
            part = self.stack.map(compute, {"noise": lane_noise}, shared={"x": padded(x[start:end])})
            parts.append(pytree.tree_map(lambda values, n=end - start: values[:, :n], part))
        return pytree.tree_map(lambda *values: torch.cat(values, dim=1), *parts)

    def _drop(self, finite: Tensor) -> None:
        """Take the lanes that are not finite out of the stack."""
        kept = finite.nonzero().flatten().tolist()
        state = self.optimiser.state[self.stack.rows]
        self.lanes = [self.lanes[lane] for lane in kept]
        self.stack.keep(kept)
        moments = {name: state[name][kept].clone() for name in ("exp_avg", "exp_avg_sq")}
        self._optimise(self.stack.rows, {"step": state["step"], **moments})

    def result(self) -> list[TrainedRun]:
        """Of every run, in the order given."""
        history = pd.DataFrame(self.history, columns=["run", *HISTORY_COLUMNS]).astype({"run": int, "epoch": int})
        return [
            TrainedRun(
                run,
                state=self.stack.state(self.lanes.index(index)) if index in self.lanes else None,
                history=history[history.run == index].drop(columns="run").reset_index(drop=True),
                diverged_epoch=self.diverged.get(index),
            )
            for index, run in enumerate(self.runs)
        ]

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all. Its tensors can be loaded without running code."""
        state = self.optimiser.state[self.stack.rows]
        tensors = {"rows": self.stack.rows, **state}
        tensors["history"] = torch.tensor(self.history, dtype=torch.float64).reshape(-1, 1 + len(HISTORY_COLUMNS))
        described = {
            "key": checkpoint.key,
            "epoch": self.epoch,
            "lanes": self.lanes,
            "diverged": list(self.diverged.items()),
        }
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with replacing(checkpoint.path) as temporary:
            save_file(tensors, temporary, {"state": json.dumps(described)})

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, if there is one; one that does not fit, or cannot be read, is left aside, saying so."""
        if not checkpoint.path.exists():
            return
        try:
            with safe_open(checkpoint.path, framework="pt", device=self.device) as file:
                described = json.loads(file.metadata()["state"])
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            print(f"{checkpoint.path}: unreadable checkpoint ({error}), training starts anew", file=sys.stderr)
            return
        if described["key"] != checkpoint.key:
            print(f"{checkpoint.path}: a checkpoint of other runs or other code, training starts anew", file=sys.stderr)
            return
        self.epoch = described["epoch"]
        self.diverged = dict(described["diverged"])
        self.history = tensors.pop("history").tolist()
        self.lanes = described["lanes"]
        self.stack.keep(self.lanes)
        self.stack.rows.copy_(tensors.pop("rows"))
        self._optimise(self.stack.rows, tensors)
        print(f"goes on after epoch {self.epoch} of {self.n_epochs}", flush=True)
