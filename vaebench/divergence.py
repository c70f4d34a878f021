"""Divergence: when a run's numbers were no longer finite, and which ones, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# A run that diverged has dozens of tensors that are not finite; the first say where to look.
MOST_NAMED = 4


class Divergence(NamedTuple):
    """The epoch, counted from 0, after which a run was not finite any more, and what of it was not."""

    epoch: int
    because: str


def not_finite(values: Mapping[str, Any]) -> str | None:
    """Which of these numbers and arrays are not: "NaN: distortion in training; infinite: KL weight"; None if all are.

    An array that holds NaN counts as such, whatever else it holds.
    """
    found: dict[str, list[str]] = {"NaN": [], "infinite": []}
    for name, numbers in values.items():
        numbers = np.asarray(numbers, dtype=float)
        if np.isnan(numbers).any():
            found["NaN"].append(name)
        elif not np.isfinite(numbers).all():
            found["infinite"].append(name)
    return "; ".join(f"{kind}: {_listed(names)}" for kind, names in found.items() if names) or None


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
