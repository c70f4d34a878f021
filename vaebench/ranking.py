"""Ranks of variants and grid points by a metric, as far as their intervals over seeds tell them apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from vaebench.metrics import Metric

# Columns that are equal where numbers are of the same images, and where those in the unit of a likelihood can be compared.
SAME_DATA = ["binarisation", "left_out"]
SAME_MEASURE = ["measure", *SAME_DATA]


class Rank(NamedTuple):
    """The places that a row's interval leaves open, 1 being the best, among `n` rows that it can be compared with."""

    first: int
    last: int
    n: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"

    @property
    def is_best(self) -> bool:
        """Whether it leads several rows, its interval apart from all of theirs."""
        return self.last == 1 < self.n


def ranks(summary: pd.DataFrame, metric: Metric) -> list[Rank | None]:
    """Of each row of a summary; None where it has no such number, and everywhere if neither direction is better.

    A row is behind all rows whose intervals lie wholly on the better side of its own, and ahead of those on the other
    side. Without an interval nothing is told apart. This is more cautious than a test of each difference. Rows are
    compared on the same data, in the unit of a likelihood only with the same measure.
    """
    places: list[Rank | None] = [None] * len(summary)
    if metric.better is None:
        return places
    for rows in comparable_rows(summary, metric):
        numbers = summary.iloc[rows][[metric.name, f"{metric.name}_low", f"{metric.name}_high"]].to_numpy(float)
        known = ~np.isnan(numbers[:, 0])
        for row, rank in zip(rows[known], _ranks(numbers[known, 1:], metric.better), strict=True):
            places[row] = rank
    return places


def comparable_rows(summary: pd.DataFrame, metric: Metric) -> list[np.ndarray]:
    """The places of the rows of a summary in groups within which a metric can be compared, in the order of the first."""
    columns = SAME_MEASURE if metric.per_likelihood else SAME_DATA
    group = summary.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    return [np.flatnonzero(group == index) for index in range(group.max(initial=-1) + 1)]


def _ranks(intervals: np.ndarray, better: str) -> list[Rank]:
    """intervals: [n, 2], low and high."""
    n = len(intervals)
    low, high = intervals.T if better == "higher" else -intervals[:, ::-1].T
    n_ahead = (low[None, :] > high[:, None]).sum(1)
    n_behind = (high[None, :] < low[:, None]).sum(1)
    return [Rank(int(ahead) + 1, int(n - behind), n) for ahead, behind in zip(n_ahead, n_behind, strict=True)]
