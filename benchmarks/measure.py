"""Timing programs side by side, and what every table of a benchmark says of where it was made."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from vaebench.environment import describe

REPEATS = 7
FOLDER = Path("results/benchmarks")

# Runs once and gives its seconds.
Program = Callable[[], float]


def timed(function: Callable[[], object]) -> Program:
    """A program that runs a function and takes the time itself."""

    def program() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return program


def interleaved(programs: Mapping[str, Program], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Seconds of every program in every round. All take turns, so that a busy moment of the machine meets all alike."""
    for program in programs.values():
        program()
    rounds = [{name: program() for name, program in programs.items()} for _ in range(repeats)]
    return {name: [seconds[name] for seconds in rounds] for name in programs}


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """The median over rounds of the ratio within a round."""
    return statistics.median(one / other for one, other in zip(numerators, denominators, strict=True))


def peak_megabytes() -> float:
    """Of this process's memory, on Linux (`resource` would begin with the peak of the process that started this one)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def publish(table: pd.DataFrame, name: str, title: str, **conditions: object) -> None:
    """Print a table under a header with processor, versions and conditions, and write it as results/benchmarks/NAME.csv."""
    made_with = describe()
    shown = {key: made_with[key] for key in ("processor", "python", "torch", "git commit")} | conditions
    print(f"\n{title}\n" + ", ".join(f"{key}: {value}" for key, value in shown.items()))
    print(table.to_string(index=False, na_rep="–", float_format="{:.3g}".format))
    FOLDER.mkdir(parents=True, exist_ok=True)
    table.assign(**shown).to_csv(FOLDER / f"{name}.csv", index=False)
