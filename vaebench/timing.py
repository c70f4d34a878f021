"""The seconds that each stage of the workflow took, from Snakemake's own benchmark files."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from vaebench.store import ExperimentFolder

STAGES = ("train", "evaluate", "aggregate", "draw", "report", "track")


class StageTime(NamedTuple):
    stage: str
    n_jobs: int
    seconds: float  # of all its jobs together, imports included
    peak_megabytes: float  # of its largest job


def stage_times(folder: ExperimentFolder) -> list[StageTime]:
    """Of the latest jobs of every stage that has run, in the order of the workflow."""
    times = []
    for stage in STAGES:
        rows = [row for path in _files(folder.benchmarks, stage) for row in _rows(path)]
        if rows:
            seconds = sum(float(row["s"]) for row in rows)
            peak = max(_number(row["max_rss"]) for row in rows)
            times.append(StageTime(stage, len(rows), seconds, peak))
    return times


def _files(folder: Path, stage: str) -> list[Path]:
    return sorted((folder / stage).glob("*.tsv")) or [path for path in [folder / f"{stage}.tsv"] if path.exists()]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _number(text: str) -> float:
    """Snakemake writes "-" or "NA" where a job was too short to be measured."""
    try:
        return float(text)
    except ValueError:
        return 0.0
