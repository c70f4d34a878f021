"""Intervals over training seeds. The spread of several evaluations of one trained model is another thing and not here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
N_RESAMPLES = 9999
# With fewer seeds an interval says more about the method than about the data.
FEWEST_SEEDS = 3


class Interval(NamedTuple):
    """A mean over seeds and its 95 % percentile-bootstrap interval; NaN bounds where there are too few seeds."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: np.ndarray) -> Interval:
    """values: [n], one a seed. The resamples are seeded: the same values give the same interval."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < FEWEST_SEEDS:
        return Interval(mean, float("nan"), float("nan"), n)
    bounds = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=N_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(bounds.low), float(bounds.high), n)
