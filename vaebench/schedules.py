"""KL schedules: what the rate costs in the training objective, as pure functions of progress.

The objective is distortion + weight · |Σ_i max(KL_i, free_nats) − capacity|, where KL_i is the KL of latent dimension i in
nats, the mean over the batch. As no KL is negative, free_nats 0 and capacity 0, which most schedules keep, make this the
plain distortion + weight · rate.

Progress is the share of all training steps that are done: step t of T has progress t / T, so it is 0 at the first step and
stays below 1. A schedule holds no state; evaluation cannot advance it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vaebench.registry import Registry, require

SCHEDULES = Registry("schedule", tag="schedule")


class Schedule:
    """By default the objective of a β-VAE: the same `weight` throughout, nothing free, no capacity.

    Callable progress in [0, 1] -> KL weight, 0 or more; at progress 1 it is `weight`.
    """

    weight: float
    free_nats: float = 0.0  # of each latent dimension's KL: so many nats cost nothing

    def __post_init__(self):
        require(self.weight >= 0, "weight", self.weight, "0 or more")

    def __call__(self, progress: float) -> float:
        return self.weight

    def capacity(self, progress: float) -> float:
        """The rate aimed at, summed over dimensions, in nats; finite and never negative."""
        return 0.0


class WarmUp(Schedule):
    """From 0 to `weight` over the first share `over` of training, then constant; `shape` is the way up."""

    over: float

    def __post_init__(self):
        super().__post_init__()
        _require_share("over", self.over)

    def __call__(self, progress: float) -> float:
        return self.weight * self.shape(_ramp(progress, self.over))

    def shape(self, done: float) -> float:
        """The share of the weight when a share `done` of the way is done: a rise from exactly 0 at 0 to exactly 1 at 1."""
        raise NotImplementedError


@SCHEDULES.register
@dataclass(frozen=True)
class Constant(Schedule):
    """The same weight throughout: 1 is the plain ELBO, any other the β-VAE (Higgins et al. 2017)."""

    schedule: Literal["constant"] = "constant"
    weight: float = 1.0


@SCHEDULES.register
@dataclass(frozen=True)
class Linear(WarmUp):
    """From 0 to `weight` over the first share `over` of training, then constant (Sønderby et al. 2016)."""

    schedule: Literal["linear"] = "linear"
    weight: float = 1.0
    over: float = 0.3

    def shape(self, done: float) -> float:
        return done


@SCHEDULES.register
@dataclass(frozen=True)
class Cosine(WarmUp):
    """From 0 to `weight` along half a cosine over the first share `over` of training, then constant: without corners, as
    learning rates fall in Loshchilov and Hutter (2017)."""

    schedule: Literal["cosine"] = "cosine"
    weight: float = 1.0
    over: float = 0.3

    def shape(self, done: float) -> float:
        return (1 - math.cos(math.pi * done)) / 2


@SCHEDULES.register
@dataclass(frozen=True)
class Logistic(WarmUp):
    """From 0 to `weight` along a logistic curve over the first share `over` of training, then constant (Bowman et al.
    2016). The curve is that from −`steepness` / 2 to `steepness` / 2, rescaled to start at 0 and end at `weight`."""

    schedule: Literal["logistic"] = "logistic"
    weight: float = 1.0
    over: float = 0.3
    steepness: float = 10.0

    def __post_init__(self):
        super().__post_init__()
        # Far below, its curve is flat to the last bit, and cannot be rescaled.
        require(self.steepness >= 1e-6, "steepness", self.steepness, "1e-6 or more")

    def shape(self, done: float) -> float:
        # logistic(x) = (1 + tanh(x / 2)) / 2. Unlike exp, tanh cannot overflow, and its symmetry makes both ends exact.
        return (1 + math.tanh(self.steepness * (done - 0.5) / 2) / math.tanh(self.steepness / 4)) / 2


@SCHEDULES.register
@dataclass(frozen=True)
class Steps(WarmUp):
    """From 0 to `weight` in `steps` equal jumps over the first share `over` of training, the last of them at its end."""

    schedule: Literal["steps"] = "steps"
    weight: float = 1.0
    over: float = 0.3
    steps: int = 4

    def __post_init__(self):
        super().__post_init__()
        require(self.steps >= 1, "steps", self.steps, "1 or more")

    def shape(self, done: float) -> float:
        return math.floor(self.steps * done) / self.steps


@SCHEDULES.register
@dataclass(frozen=True)
class Cyclical(Schedule):
    """`cycles` equal cycles, each a linear rise from 0 over its first share `ramp`, then constant (Fu et al. 2019)."""

    schedule: Literal["cyclical"] = "cyclical"
    weight: float = 1.0
    cycles: int = 4
    ramp: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        require(self.cycles >= 1, "cycles", self.cycles, "1 or more")
        _require_share("ramp", self.ramp)

    def __call__(self, progress: float) -> float:
        # At progress 1 the last cycle is over; it has not begun again.
        within = 1.0 if progress >= 1 else progress * self.cycles % 1
        return self.weight * _ramp(within, self.ramp)


@SCHEDULES.register
@dataclass(frozen=True)
class Cooling(Schedule):
    """From `factor` times `weight` down to `weight` over the first share `over` of training, then constant: what is worth
    most a nat is learned first (deterministic annealing, Rose 1998, with the weight as temperature)."""

    schedule: Literal["cooling"] = "cooling"
    weight: float = 1.0
    factor: float = 4.0
    over: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        require(1 <= self.factor < math.inf, "factor", self.factor, "1 or more")
        _require_share("over", self.over)

    def __call__(self, progress: float) -> float:
        return self.weight + (self.factor - 1) * self.weight * (1 - _ramp(progress, self.over))


@SCHEDULES.register
@dataclass(frozen=True)
class FreeBits(Schedule):
    """The first `free_nats` of each latent dimension's KL, as a mean over the batch, cost nothing: below that, a dimension
    is not pulled towards the prior (Kingma et al. 2016, with every dimension a group of its own)."""

    schedule: Literal["free-bits"] = "free-bits"
    weight: float = 1.0
    free_nats: float = 0.25

    def __post_init__(self):
        super().__post_init__()
        require(self.free_nats >= 0, "free_nats", self.free_nats, "0 or more")


@SCHEDULES.register
@dataclass(frozen=True)
class Capacity(Schedule):
    """Holds the rate at a capacity that rises linearly from 0 to `nats` over the first share `over` of training, then stays
    there, by `weight` (γ) times |rate − capacity| (Burgess et al. 2018). The rate is the mean over the batch: single images
    may have more or less."""

    schedule: Literal["capacity"] = "capacity"
    weight: float = 30.0
    nats: float = 25.0
    over: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        require(self.nats >= 0, "nats", self.nats, "0 or more")
        _require_share("over", self.over)

    def capacity(self, progress: float) -> float:
        return self.nats * _ramp(progress, self.over)


def _require_share(name: str, value: float) -> None:
    require(0 <= value <= 1, name, value, "between 0 and 1")


def _ramp(progress: float, over: float) -> float:
    """0 at progress 0, rising to 1 at progress `over`; a ramp of length 0 is a step that is already up."""
    return 1.0 if progress >= over else progress / over
