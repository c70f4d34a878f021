"""Intervals over seeds on hand-made values."""

import math

import numpy as np
import pytest
from scipy import stats

from vaebench.statistics import mean_interval


def test_it_is_scipys_t_interval():
    values = np.array([1.0, 2.0, 4.0, 4.0, 9.0])
    interval = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (interval.mean, interval.n) == (4, 5)
    assert interval.low == pytest.approx(expected.low, rel=1e-12)
    assert interval.high == pytest.approx(expected.high, rel=1e-12)


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_it_covers_the_true_mean_as_often_as_it_says(n_seeds):
    draws = np.random.default_rng(0).normal(7, 3, size=(2000, n_seeds))
    intervals = [mean_interval(values) for values in draws]
    coverage = np.mean([interval.low <= 7 <= interval.high for interval in intervals])
    # Three standard errors of a share of 0.95 among 2,000.
    assert abs(coverage - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 2000)


def test_equal_values_have_no_spread():
    assert mean_interval(np.full(5, 2.5)) == (2.5, 2.5, 2.5, 5)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0]])
def test_fewer_than_three_seeds_give_no_interval(values):
    interval = mean_interval(np.array(values))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.n == len(values)
