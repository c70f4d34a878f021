"""The report's tables: what stands in which cell, of which family of metrics, and in what order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from vaebench.metrics import FAMILIES, Metric
from vaebench.presentation import (
    Number,
    format_counts,
    format_number,
    heading,
    metrics_by_family,
    numbers,
    numbers_and_baselines,
    row_settings,
    summary_column,
    variants_by_tasks,
)
from vaebench.ranking import comparable_rows, ranks
from vaebench.specification import Experiment
from vaebench.tables import Tables, group_keys, supported
from vaebench.task_scores import MODEL
from vaebench.tasks import ALL_METRICS, Task
from vaebench.trade_offs import TradeOffs, baselines, of_whole

# What is said of a variant in short, beside the metric that the experiment asks for.
KEY_METRICS = ("elbo", "rate", "distortion", "active_units", "mutual_information")


@dataclass(frozen=True)
class Column:
    """A column of a table; family: of its metric, or empty where it is always shown. numeric: of numbers without one."""

    title: str
    family: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table as the page draws it. name: within the page. A row has a cell for each column. n_baselines: the last rows."""

    name: str
    title: str
    columns: list[Column]
    rows: list[list[str | Number]]
    n_baselines: int = 0

    @property
    def families(self) -> dict[str, str]:
        """Titles of the families that its columns are of."""
        present = {column.family for column in self.columns}
        return {family: title for family, title in FAMILIES.items() if family in present}


def ranking(experiment: Experiment, tables: Tables) -> Table:
    """The summary with all its metrics: best first by the headline metric, among the rows that can be compared."""
    summary, headline = tables.summary, ALL_METRICS[experiment.headline]
    settings = _settings_columns(experiment, summary)
    # On a narrow screen numbers come first.
    last = {"likelihood", "seeds"} - set(experiment.grid_keys)
    columns = {column: cells for column, cells in settings.items() if column.title not in last}
    places = ranks(summary, headline)
    if any(places):
        columns[Column("rank")] = [f"{place} of {place.n}" if place else "–" for place in places]
    for family, metrics in metrics_by_family(summary).items():
        if family == "collapse":
            columns[Column("collapse", family)] = _verdicts(summary)
        columns |= {Column(heading(metric, experiment), family): summary_column(summary, metric) for metric in metrics}
    return _table("ranking", "Ranking", columns | settings, _best_first(summary, headline))


def of_variant(experiment: Experiment, tables: Tables, variant: str) -> Table:
    """The summary of one variant in short."""
    summary = tables.summary
    settings = {
        column: cells for column, cells in _settings_columns(experiment, summary).items() if column.title != "variant"
    }
    names = [name for name in dict.fromkeys([experiment.headline, *KEY_METRICS]) if summary[name].notna().any()]
    shown = {Column(heading(ALL_METRICS[name], experiment)): summary_column(summary, ALL_METRICS[name]) for name in names}
    columns = settings | {Column("collapse"): _verdicts(summary)} | shown
    return _table(f"variant-{variant}", variant, columns, [i for i, name in enumerate(summary.variant) if name == variant])


def comparisons(experiment: Experiment, tables: Tables) -> Table | None:
    """Differences to the baseline by variant and grid point, bold where they are supported; None where there are none."""
    compared, keys = tables.comparisons, group_keys(experiment)
    groups = list(compared.groupby(keys, sort=False, dropna=False))
    if not groups:
        return None
    places = zip(*(values for values, _ in groups), strict=True)
    columns = {Column(key.replace("_", " ")): _cells(values) for key, values in zip(keys, places, strict=True)}
    columns[Column("seeds")] = [str(int(group.n.fillna(0).max())) for _, group in groups]
    for family, metrics in metrics_by_family(tables.runs).items():
        for metric in metrics:
            columns[Column(heading(metric, experiment), family)] = _differences(compared[compared.metric == metric.name])
    return _table("comparisons", f"Comparisons with {experiment.baseline}", columns)


def by_tasks(experiment: Experiment, found: TradeOffs) -> Table:
    """Variants by tasks, each number with its rank, and the baselines at the end."""
    shown = variants_by_tasks(experiment, found)
    numeric = {heading(metric, experiment) for metric in found.metrics}
    columns = {Column(title, numeric=title in numeric): shown[title] for title in shown}
    return replace(_table("tasks", "Variants by tasks", columns), n_baselines=len(found.baselines))


def of_task(experiment: Experiment, tables: Tables, task: Task) -> Table:
    """All that a task found: rows of variants and grid points, then baselines; a column for each condition and score."""
    summary, keys = tables.summary, group_keys(experiment)
    findings = of_whole(tables.tasks[tables.tasks.task == task.kind])
    findings = findings.assign(
        column=findings.condition.where(findings.condition == "", findings.condition + ": ") + findings.score
    )
    of_model = findings[findings.method == MODEL]
    rows = summary[keys].merge(of_model[keys].drop_duplicates(), on=keys)
    # A setting that none of them has is not shown.
    settings = row_settings(summary.merge(rows, on=keys), [key for key in keys if rows[key].notna().any()])
    below = baselines(findings, keys, summary)
    columns: dict[Column, list[str | Number]] = {
        Column(title): [*settings[title], *(below["method"] if index == 0 else [""] * len(below))]
        for index, title in enumerate(settings)
        if title != "likelihood" or title in keys
    }
    for name in findings["column"].unique():
        found = rows.merge(of_model[of_model["column"] == name], "left", on=keys)
        beside = below.reindex(columns=[name])[name]
        columns[Column(name, numeric=True)] = numbers_and_baselines(found["mean"], found.low, found.high, beside)
    return replace(_table(f"task-{task.kind}", task.title, columns), n_baselines=len(below))


def linear_against_optimum(experiment: Experiment, linear: pd.DataFrame) -> Table | None:
    """What was predicted of linear runs against what was measured; None where there are none."""
    if linear.empty:
        return None
    columns = {Column(key.replace("_", " ")): _cells(linear[key]) for key in group_keys(experiment)}
    columns |= {
        Column("active, predicted"): linear.predicted_active.map("{:.0f}".format),
        Column("active, measured"): [format_counts(row.active_low, row.active_high) for row in linear.itertuples()],
        Column("near βσ²"): linear.near_boundary.map(str),
        Column("largest error of a KL [nats]"): linear.kl_error.map(_rounded),
        Column("as a share of the optimal KL"): linear.kl_share_error.map(_rounded),
        Column("largest error of a posterior variance"): linear.variance_error.map(_rounded),
        Column("gap to the optimum [nats]"): [
            f"{_rounded(row.gap)} ± {_rounded(row.gap_error)}" for row in linear.itertuples()
        ],
        Column("runs that reached it"): [f"{row.n_reached} of {row.n}" for row in linear.itertuples()],
    }
    return _table("linear", "Predicted against measured", columns)


def runs(experiment: Experiment, runs: pd.DataFrame) -> Table:
    """Every run with the metrics that any of them has."""
    columns = {Column("run"): runs.run_id, Column("seed"): runs.seed, Column("status"): runs.status}
    columns[Column("collapse")] = _verdicts(runs)
    nothing = pd.Series(math.nan, runs.index)
    for family, metrics in metrics_by_family(runs).items():
        for metric in metrics:
            columns[Column(heading(metric, experiment), family)] = numbers(runs[metric.name], nothing, nothing)
    return _table("runs", "Runs", columns)


def _table(
    name: str, title: str, columns: Mapping[Column, Iterable[str | Number]], order: Sequence[int] | None = None
) -> Table:
    """order: of the rows, by their places in the columns."""
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return Table(name, title, list(columns), rows if order is None else [rows[index] for index in order])


def _settings_columns(experiment: Experiment, summary: pd.DataFrame) -> dict[Column, list[str]]:
    """What tells the rows of a summary apart, and of how many seeds they are."""
    settings = row_settings(summary, group_keys(experiment))
    return {Column(title): list(settings[title]) for title in settings}


def _verdicts(summary: pd.DataFrame) -> list[str]:
    return list(summary.collapse.fillna("–"))


def _best_first(summary: pd.DataFrame, metric: Metric) -> list[int]:
    """The places of the rows, those that can be compared together; in their own order if neither direction is better."""
    if metric.better is None:
        return list(range(len(summary)))
    sign = -1 if metric.better == "higher" else 1
    values = (sign * summary[metric.name].fillna(sign * math.inf)).to_numpy()
    return [place for rows in comparable_rows(summary, metric) for place in rows[np.argsort(values[rows], kind="stable")]]


def _differences(compared: pd.DataFrame) -> list[str | Number]:
    """One metric's column, in the table's order of variants and grid points."""
    column = numbers(compared.difference, compared.low, compared.high)
    return [
        number._replace(bold=supported(row)) if row["comparable"] else "not comparable"
        for number, row in zip(column, compared.to_dict("records"), strict=True)
    ]


def _cells(values: Iterable[Any]) -> list[str]:
    """Settings as text; a dash for one that a row does not have."""
    return ["–" if pd.isna(value) else str(value) for value in values]


def _rounded(number: float) -> str:
    return "–" if math.isnan(number) else format_number(number, 4)
