"""What a job costs: every step of the workflow notes it in a file of its own, wherever it runs.

Snakemake's benchmark files do not tell: they sample the process twice a second for 15 s and then every 30 s, so that CPU
seconds after the last sample are missing, and sampling takes a third of a second a job itself.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from vaebench.files import damaged, read_json, write_json

# The command line imports this module first of all.
_BEGUN = time.monotonic()


class Cost(NamedTuple):
    """Seconds on the clock; CPU seconds of the process and those it waited for; the most memory that it held until then."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def run(stages: Mapping[str, Callable[[], None]], note: Path) -> None:
    """Do the work of one or more stages in turn, and note in this file what each cost if all ended well.

    What the process has cost before is noted as the stage "imports": to start Python, to import, to read the experiment.
    """
    reached = _so_far()
    costs = {"imports": reached}
    for stage, work in stages.items():
        work()
        before, reached = reached, _so_far()
        seconds, cpu_seconds = reached.seconds - before.seconds, reached.cpu_seconds - before.cpu_seconds
        costs[stage] = Cost(seconds, cpu_seconds, reached.peak_megabytes)
    write_json(note, {stage: cost._asdict() for stage, cost in costs.items()})


def read(note: Path) -> dict[str, Cost]:
    """What `run` noted, by stage. Raises UserError where the file is missing or damaged."""
    try:
        return {stage: Cost(**cost) for stage, cost in read_json(note).items()}
    except TypeError as error:
        raise damaged(note, f"cannot be read ({error})") from error


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _so_far() -> Cost:
    return Cost(time.monotonic() - _BEGUN, sum(os.times()[:4]), peak_megabytes())
