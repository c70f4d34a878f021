"""What a handful of training seeds can say: means with intervals, comparisons paired by seed, many of them at once.

A value a seed; the spread of several evaluations of one trained model is another thing and not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

SIGNIFICANCE = 0.05
CONFIDENCE = 1 - SIGNIFICANCE
# With fewer seeds an interval says more about the method than about the data.
FEWEST_SEEDS = 3


class Interval(NamedTuple):
    """A mean over seeds and its 95 % interval; NaN bounds where there are too few seeds."""

    mean: float
    low: float
    high: float
    n: int


class Comparison(NamedTuple):
    """A variant against its baseline over the `n` seeds of both; `paired_comparison` explains the numbers."""

    difference: float
    low: float
    high: float
    n: int
    effect_size: float
    p: float
    probability_of_improvement: float


def mean_interval(values: np.ndarray) -> Interval:
    """Student's t interval of the mean; values: [n], one a seed.

    The bootstrap is no choice for a handful of seeds: its percentile interval of five Gaussian values covers their mean in
    84 % of cases, not in 95 %, and that of three in 75 %. docs/design.md has the simulation.
    """
    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = float(values.mean()) if n else float("nan")
    if n < FEWEST_SEEDS:
        return Interval(mean, float("nan"), float("nan"), n)
    half_width = special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * values.std(ddof=1) / np.sqrt(n)
    return Interval(mean, float(mean - half_width), float(mean + half_width), n)


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half of the values (Agarwal et al. 2021); [n] -> number, or along an axis.

    Each sorted value holds 1/n of [0, 1] and weighs as much as lies between 1/4 and 3/4, so that the values on the border
    count in part: of five the weights are 0, 3, 4, 3 and 0 tenths. Of one or two values it is the mean, of none NaN.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=axis)
    n = values.shape[axis]
    if n == 0:
        return values.sum(axis=axis) * np.nan
    weights = np.diff(np.clip(4 * np.arange(n + 1), n, 3 * n))
    return np.average(values, axis=axis, weights=weights)


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[..., np.ndarray] = np.mean,
    method: str = "percentile",
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Low and high end of a 95 % bootstrap interval (Efron & Tibshirani 1993); values: [..., n] of n seeds, ends: [...].

    statistic: takes values and an `axis`. method: as in `scipy.stats.bootstrap`. Raises ValueError below two seeds. It is
    too narrow for a handful of seeds, so no table shows it (docs/design.md); from 20 on it serves what has no other.
    """
    from scipy import stats  # Takes a second to import, and no table needs it.

    interval = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        statistic,
        axis=-1,
        vectorized=True,
        method=method,
        confidence_level=CONFIDENCE,
        n_resamples=n_resamples,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return interval.low, interval.high


def paired_comparison(values: np.ndarray, baseline: np.ndarray) -> Comparison:
    """Variant minus baseline; values, baseline: [n], the same seeds in the same order. Pairs with a NaN are left out.

    difference, low, high: the mean difference and its interval, as `mean_interval`. effect_size: the mean difference in
    standard deviations of the differences (Cohen's d_z). p: of the two-sided paired t-test. Both are NaN below three seeds.
    Differences that are equal have no standard deviation to measure by: then effect_size is NaN, and p is 1 where they
    are 0, else 0. probability_of_improvement: as the function of that name.
    """
    values, baseline = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    both = ~np.isnan(values - baseline)
    values, baseline = values[both], baseline[both]
    # Shares such as 7/9 − 6/9 and 3/9 − 2/9 differ in their last bit, which is no spread.
    rounding = 4 * np.finfo(float).eps * np.abs([values, baseline]).max(initial=0)
    differences = values - baseline
    return Comparison(
        *mean_interval(differences), *_paired_t_test(differences, rounding), probability_of_improvement(values, baseline)
    )


def _paired_t_test(differences: np.ndarray, rounding: float) -> tuple[float, float]:
    """Effect size and p; differences no more than `rounding` apart are equal."""
    n = len(differences)
    if n < FEWEST_SEEDS:
        return float("nan"), float("nan")
    if np.ptp(differences) <= rounding:
        return float("nan"), float(np.abs(differences).max() <= rounding)
    effect_size = differences.mean() / differences.std(ddof=1)
    return float(effect_size), float(2 * special.stdtr(n - 1, -abs(effect_size) * np.sqrt(n)))


def probability_of_improvement(values: np.ndarray, baseline: np.ndarray) -> float:
    """P(value > baseline) + ½ P(value = baseline) over all pairs of seeds (Mann & Whitney 1947; Agarwal et al. 2021).

    values: [n], baseline: [m]; NaN where either is empty. It is the probability that the variant's number is the higher:
    whether that is an improvement is the metric's business.
    """
    if not len(values) or not len(baseline):
        return float("nan")
    higher = np.greater.outer(values, baseline) + 0.5 * np.equal.outer(values, baseline)
    return float(higher.mean())


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p of a family of tests: [n] -> [n] (Holm 1979). NaN is no test: it stays and does not count.

    Where adjusted p below 0.05 are claims, the chance of any false claim in the family is at most 0.05.
    """
    p_values = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p_values))
    ascending = known[np.argsort(p_values[known])]
    adjusted = np.full_like(p_values, np.nan)
    # The smallest p counts as often as there are tests, the next as often as remain; none is below the one before.
    adjusted[ascending] = np.maximum.accumulate(p_values[ascending] * np.arange(len(known), 0, -1))
    return np.minimum(adjusted, 1)
