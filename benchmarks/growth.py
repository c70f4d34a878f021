"""What planning, tables, figures and the report cost as an experiment grows, with runs that nobody trained.

python -m benchmarks.growth                       of 100, 1,000 and 10,000 runs
python -m benchmarks.growth --runs 100 1000

Every step is a process as a user starts it, on one core, in a temporary folder. Of memory, a process counts what this one
held when it started it: pandas is imported at the end only.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from vaebench import specification

if TYPE_CHECKING:
    import pandas as pd

REPOSITORY = Path(__file__).parents[1]
# Every variant has ten seeds at each point of a grid of up to ten latent sizes and ten learning rates.
LIKELIHOODS = {"bce": "bernoulli", "mse": {"kind": "gaussian", "sigma": 0.5}}
SCHEDULES = {
    "plain": {"schedule": "constant"},
    "beta-0.25": {"schedule": "constant", "weight": 0.25},
    "beta-4": {"schedule": "constant", "weight": 4},
    "linear": {"schedule": "linear", "over": 0.3},
    "cyclical": {"schedule": "cyclical", "cycles": 4, "ramp": 0.5},
}
SEEDS = 10
LATENT_SIZES = (8, 2, 4, 12, 16, 20, 24, 32, 48, 64)
LEARNING_RATES = tuple(step / 1000 for step in range(1, 11))
RUNS_A_POINT = len(LIKELIHOODS) * len(SCHEDULES) * SEEDS
MOST_RUNS = RUNS_A_POINT * len(LATENT_SIZES) * len(LEARNING_RATES)


class Cost(NamedTuple):
    """Of one command: elapsed seconds, the processor's in it and what it starts, and the memory of its largest process."""

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=n_runs, nargs="+", default=[100, 1000, 10_000], metavar="N")
    sizes = parser.parse_args().runs
    costs = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            costs[size] = costs_of(size, Path(folder))
    from benchmarks.measure import publish

    publish(as_table(costs).reset_index(), "growth", "Steps of an experiment of so many runs that nobody trained")


def n_runs(text: str) -> int:
    """What the command line says. Raises ArgumentTypeError for what no grid gives."""
    number = int(text)
    if number % RUNS_A_POINT or not RUNS_A_POINT <= number <= MOST_RUNS:
        raise argparse.ArgumentTypeError(f"must be a multiple of {RUNS_A_POINT}, {MOST_RUNS} at most, not {text}")
    return number


def costs_of(size: int, folder: Path) -> dict[str, Cost]:
    """Every step on an experiment of so many runs, in an empty folder."""
    name = f"growth-{size}"
    file = folder / "experiments" / f"{name}.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(content(size), sort_keys=False), encoding="utf-8")
    workflow = ("snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1", f"results/{name}/report.html")
    cohort = ("--cohort", specification.load(file).cohorts[-1].name)
    costs = {
        "check": measured(folder, "vaebench", "check", str(file), "--no-estimate"),
        "plan, nothing made": measured(folder, *workflow, "--dry-run"),
    }
    measured(folder, "benchmarks.synthetic", str(file))
    costs["cohort, all made"] = measured(folder, "vaebench", "cohort", str(file), *cohort)
    costs |= {verb: measured(folder, "vaebench", verb, str(file)) for verb in ("aggregate", "draw", "report")}
    # Leaves Snakemake's own records of all jobs, with their keys, as it writes them when it has run them.
    measured(folder, *workflow, "--touch", "--forceall")
    costs["call, all made"] = measured(folder, *workflow)
    if "Nothing to be done" not in (said := _log(folder).read_text(encoding="utf-8")):
        raise RuntimeError(f"there was something to be done: {said}")
    return costs


def measured(folder: Path, *arguments: str) -> Cost:
    """Run a module of this Python in a folder. Raises RuntimeError with what it said where it fails."""
    log = _log(folder)
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        # In place of process.wait(), which does not say what the process has used.
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {log.read_text(encoding='utf-8')}")
    megabyte = 1e6 if sys.platform == "darwin" else 1e3
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / megabyte)


def _log(folder: Path) -> Path:
    """What the latest command said."""
    return folder / "log.txt"


def content(size: int) -> dict[str, Any]:
    """The experiment file: two likelihoods × five schedules × ten seeds at as many grid points as it takes."""
    n_points = size // RUNS_A_POINT
    n_sizes = min(n_points, len(LATENT_SIZES))
    return {
        "title": f"What do {size:,} runs cost that nobody trained?",
        "dataset": "digits",
        "defaults": {"network": {"kind": "mlp", "hidden": [128]}, "epochs": 100},
        "seeds": SEEDS,
        "grid": {
            "latent_size": sorted(LATENT_SIZES[:n_sizes]),
            "learning_rate": list(LEARNING_RATES[: n_points // n_sizes]),
        },
        "variants": {
            f"{likelihood}-{schedule}": {"likelihood": LIKELIHOODS[likelihood], "kl": SCHEDULES[schedule]}
            for likelihood, schedule in itertools.product(LIKELIHOODS, SCHEDULES)
        },
        "baseline": "bce-plain",
    }


def as_table(costs: dict[int, dict[str, Cost]]) -> pd.DataFrame:
    """A row a step and kind of cost, a column a number of runs; `growth` is the last column over the one before."""
    import pandas as pd

    columns = {size: pd.DataFrame(steps, index=Cost._fields).T.stack() for size, steps in costs.items()}
    table = pd.DataFrame(columns).rename_axis(["step", "cost"])
    return table.assign(growth=table.iloc[:, -1] / table.iloc[:, -2]) if len(costs) > 1 else table


if __name__ == "__main__":
    main()
