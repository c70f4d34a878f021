"""What a task finds of a run: its metrics, the numbers behind them beside those of baselines and floors, and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vaebench.metrics import Estimate

# The method of the rows that are the run's own.
MODEL = "model"
# Of the others, those that several tasks have: raw images, as many principal components, and not to look.
PIXELS = "pixels"
PCA = "PCA"
CHANCE = "chance"


class Finding(NamedTuple):
    """One number.

    condition: of what, such as "Gaussian noise, σ 0.3" or "100 labels"; empty where a task has only one. score: what is
    measured, such as "PSNR". method: by what it was reached: MODEL, or the name of a baseline or a floor.
    """

    condition: str
    score: str
    method: str
    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class TaskScores:
    """metrics: by the names that the task declares. pictures: arrays by name, kept for figures."""

    metrics: dict[str, Estimate]
    findings: list[Finding]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
