"""Words that sentences about tables are made of: intervals, counts, lists, grid points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from vaebench.metrics import Metric
from vaebench.presentation import format_number
from vaebench.statistics import CONFIDENCE


def varying(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The keys, beside the variant, by which grid points have to be told apart."""
    return [key for key in keys[1:] if table[key].nunique(dropna=key != "left_out") > 1]


def at(row: Any, place: Sequence[str]) -> str:
    """A grid point in words: "latent size 8 and learning rate 0.01"."""
    return listed(setting(key, row[key]) for key in place)


def setting(key: str, value: Any) -> str:
    """ "latent size 8"; what a run has not is nothing, as in "left out nothing"."""
    return f"{key.replace('_', ' ')} {'nothing' if pd.isna(value) else value}"


def named(row: Any, place: Sequence[str]) -> str:
    """ "bce", or with its grid point "bce at latent size 8"."""
    return f"{row.variant} at {at(row, place)}" if place else row.variant


def over_seeds(low: float, high: float, n: float, decimals: int) -> str:
    """ "(95 % interval 2.94 to 2.95, 5 seeds)", or why there is none."""
    seeds = counted(int(n), "seed")
    if math.isnan(low):
        return f"({seeds}, no interval)"
    if math.isclose(low, high):
        return f"(the same for all {seeds})"
    bounds = f"{format_number(low, decimals)} to {format_number(high, decimals)}"
    return f"({100 * CONFIDENCE:g} % interval {bounds}, {seeds})"


def with_unit(number: str, metric: Metric) -> str:
    return f"{number} {metric.unit}".strip()


def listed(items: Iterable[Any]) -> str:
    """ "a, b and c"."""
    *most, last = [str(item) for item in items] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
