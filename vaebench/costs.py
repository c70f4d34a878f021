"""What each stage of an experiment cost: a table printed at the end of a call, kept, and put into the report."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import NamedTuple

from vaebench import places
from vaebench.errors import DamagedFileError
from vaebench.files import write_text
from vaebench.store import ExperimentFolder
from vaebench.timing import Cost, read

# The stages that the others are overhead of.
PURPOSE = ("training", "evaluation")
HEADINGS = ("stage", "jobs", "seconds", "CPU seconds", "share of CPU", "peak MB")


class StageCost(NamedTuple):
    """Of all jobs of a stage together, as they last ran."""

    stage: str
    jobs: int
    seconds: float | None  # None where it means nothing
    cpu_seconds: float
    peak_megabytes: float  # of its largest job


def stage_costs(notes: Iterable[Path], planning: StageCost) -> list[StageCost]:
    """A row for each stage that these files tell of, as they first do, and planning after their imports.

    notes: of the jobs, in the order of the workflow; those that are not there are left out. Empty where none is.
    """
    stages: dict[str, list[Cost]] = {}
    for path in notes:
        for stage, cost in _noted(path).items():
            stages.setdefault(stage, []).append(cost)
    rows = [_stage(stage, costs) for stage, costs in stages.items()]
    return [*rows[:1], planning, *rows[1:]] if rows else []


def _noted(path: Path) -> dict[str, Cost]:
    """No result depends on it: a damaged note is left out too, saying so."""
    try:
        return read(path) if path.exists() else {}
    except DamagedFileError as error:
        print(f"{path}: {error.fault}, so the table of costs leaves it out", file=sys.stderr)
        return {}


def _stage(stage: str, jobs: list[Cost]) -> StageCost:
    seconds, cpu_seconds, peaks = zip(*jobs, strict=True)
    return StageCost(stage, len(jobs), round(sum(seconds), 2), round(sum(cpu_seconds), 2), round(max(peaks)))


def sentence(costs: list[StageCost]) -> str:
    """How many CPU seconds a second of training and evaluation took in all."""
    total = _cpu_seconds(costs)
    purpose = _cpu_seconds(cost for cost in costs if cost.stage in PURPOSE)
    ratio = f": ratio {total / purpose:.2f}" if purpose else ""
    return f"{total:,.1f} CPU seconds in all, {purpose:,.1f} of them training and evaluation{ratio}"


def lines(costs: list[StageCost]) -> list[str]:
    """The table as text."""
    return [f"{row[0]:<12}" + "".join(f"{cell:>14}" for cell in row[1:]) for row in _rows(costs)]


def keep(folder: ExperimentFolder, costs: list[StageCost]) -> None:
    """Write stages.csv, and the table into the report if there is one."""
    table = io.StringIO()
    csv.writer(table).writerows([StageCost._fields, *costs])
    write_text(folder.stages, table.getvalue())
    places.fill(folder.report, "costs", _html(costs))


def _html(costs: list[StageCost]) -> str:
    header, *rows = _rows(costs)
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(stage)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>\n'
        for stage, *cells in rows
    )
    return f"""
<p>{escape(sentence(costs))}.</p>
<table id="costs-table" class="numbers">
<thead><tr>{head}</tr></thead>
<tbody>
{body}</tbody>
</table>
"""


def _rows(costs: list[StageCost]) -> list[tuple[str, ...]]:
    total = _cpu_seconds(costs)
    return [HEADINGS, *(_cells(cost, total) for cost in costs)]


def _cells(cost: StageCost, total: float) -> tuple[str, ...]:
    share = f"{100 * cost.cpu_seconds / total:.1f} %"
    return (
        cost.stage,
        str(cost.jobs),
        _number(cost.seconds, 1),
        _number(cost.cpu_seconds, 1),
        share,
        _number(cost.peak_megabytes, 0),
    )


def _cpu_seconds(costs: Iterable[StageCost]) -> float:
    return sum(cost.cpu_seconds for cost in costs)


def _number(value: float | None, n_decimals: int) -> str:
    return "–" if value is None else f"{value:,.{n_decimals}f}"
