"""KL schedules: the weight of the rate in the training objective, a pure function of progress.

Progress is the share of all training steps that are done: step t of T has progress t / T, so it is 0 at the first step and
stays below 1. A schedule holds no state; evaluation cannot advance it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vaebench.registry import Registry, require

SCHEDULES = Registry("schedule", tag="schedule")


class Schedule:
    """Callable progress in [0, 1] -> KL weight, finite and never negative."""

    weight: float

    def __call__(self, progress: float) -> float:
        raise NotImplementedError


@SCHEDULES.register
@dataclass(frozen=True)
class Constant(Schedule):
    """The same weight throughout: 1 is the plain ELBO, any other the β-VAE (Higgins et al. 2017)."""

    schedule: Literal["constant"] = "constant"
    weight: float = 1.0

    def __post_init__(self):
        require(self.weight >= 0, "weight", self.weight, "0 or more")

    def __call__(self, progress: float) -> float:
        return self.weight


@SCHEDULES.register
@dataclass(frozen=True)
class Linear(Schedule):
    """From 0 to `weight` over the first share `over` of training, then constant (Sønderby et al. 2016)."""

    schedule: Literal["linear"] = "linear"
    weight: float = 1.0
    over: float = 0.3

    def __post_init__(self):
        require(self.weight >= 0, "weight", self.weight, "0 or more")
        require(0 <= self.over <= 1, "over", self.over, "between 0 and 1")

    def __call__(self, progress: float) -> float:
        return self.weight * _ramp(progress, self.over)


@SCHEDULES.register
@dataclass(frozen=True)
class Cyclical(Schedule):
    """`cycles` equal cycles, each a linear rise from 0 over its first share `ramp`, then constant (Fu et al. 2019)."""

    schedule: Literal["cyclical"] = "cyclical"
    weight: float = 1.0
    cycles: int = 4
    ramp: float = 0.5

    def __post_init__(self):
        require(self.weight >= 0, "weight", self.weight, "0 or more")
        require(self.cycles >= 1, "cycles", self.cycles, "1 or more")
        require(0 <= self.ramp <= 1, "ramp", self.ramp, "between 0 and 1")

    def __call__(self, progress: float) -> float:
        # At progress 1 the last cycle is over; it has not begun again.
        within = 1.0 if progress >= 1 else progress * self.cycles % 1
        return self.weight * _ramp(within, self.ramp)


def _ramp(progress: float, over: float) -> float:
    """0 at progress 0, rising to 1 at progress `over`; a ramp of length 0 is a step that is already up."""
    return 1.0 if progress >= over else progress / over
