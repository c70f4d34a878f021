"""Variants by tasks: what the ELBO says of each variant, and what each task says, with the baselines that belong to it.

A row is a variant and grid point, whichever class its runs left out. Its numbers are of the runs with nothing left out; a
metric that only runs without a class have is, seed by seed, the mean over the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vaebench.metrics import METRICS, Metric
from vaebench.ranking import SAME_MEASURE, ranks
from vaebench.statistics import mean_interval
from vaebench.task_scores import MODEL
from vaebench.tasks import ALL_METRICS, Task

LEFT_OUT = "left_out"
# How likely a model makes the images: in its likelihood's own unit, and in one that all likelihoods share.
EVIDENCE = (METRICS["elbo"], METRICS["common_bits_per_dim"])
# Baselines that differ by less, as a share of themselves, are the same.
SAME = 1e-9


@dataclass(frozen=True)
class TradeOffs:
    """All that is shown of variants by tasks.

    keys: the columns that tell rows apart, the variant first. metrics: what they are compared by. seeds: a row for each row
    and `seed`, with the value of each metric, NaN where there is none. rows: of each, `likelihood`, `measure`,
    `binarisation`, `n` seeds, `n_diverged`, and for each metric the mean over seeds `<metric>` and its interval
    `<metric>_low` to `<metric>_high`. baselines: `method`, and its number by each metric that it has one for.
    """

    keys: list[str]
    metrics: list[Metric]
    seeds: pd.DataFrame
    rows: pd.DataFrame
    baselines: pd.DataFrame

    @property
    def ranked(self) -> list[Metric]:
        """Those by which all rows that have a number stand in one ranking of several; of the evidence, the first such."""
        ranked = [metric for metric in self.metrics if self._ranks_all(metric)]
        evidence = [metric for metric in ranked if metric in EVIDENCE]
        return evidence[:1] + [metric for metric in ranked if metric not in EVIDENCE]

    def _ranks_all(self, metric: Metric) -> bool:
        places = [place for place in ranks(self.rows, metric) if place]
        return len(places) > 1 and all(place.n == len(places) for place in places)


def gather(
    tasks: Sequence[Task], keys: Sequence[str], runs: pd.DataFrame, summary: pd.DataFrame, findings: pd.DataFrame
) -> TradeOffs:
    """Of an experiment's tasks and tables; keys, the variant first: what tells the rows of its summary apart.

    runs, summary, findings: `vaebench.tables.Tables` has them, the last as `tasks`.
    """
    metrics, place = _metrics(tasks), [key for key in keys if key != LEFT_OUT]
    seeds = _by_seed(place, runs, [metric.name for metric in metrics])
    rows = _facts(place, summary).merge(_intervals(place, seeds), on=place) if LEFT_OUT in keys else summary
    return TradeOffs(place, metrics, seeds, rows, _headline_baselines(tasks, place, findings, rows))


def _metrics(tasks: Sequence[Task]) -> list[Metric]:
    """The evidence, then the headline of each task with the task's title in its label."""
    headlines = [(task.title, ALL_METRICS[task.headline]) for task in tasks]
    return [*EVIDENCE, *(replace(metric, label=f"{title} ({metric.label})") for title, metric in headlines)]


def _by_seed(place: list[str], runs: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """A seed of which a class is missing, because its run diverged, has no mean over the classes."""
    place = [*place, "seed"]
    if LEFT_OUT not in runs:
        return runs[[*place, *names]]
    is_whole = runs[LEFT_OUT].isna()
    of_whole = [name for name in names if runs[name][is_whole].notna().any()]
    of_classes = [name for name in names if name not in of_whole]
    by_class = runs[~is_whole].groupby(place, sort=False, dropna=False)[of_classes]
    means = by_class.agg(lambda values: values.mean(skipna=False)).reset_index()
    seeds = runs[place].drop_duplicates().merge(runs[is_whole][[*place, *of_whole]], "left", on=place)
    return seeds.merge(means, "left", on=place)


def _facts(place: list[str], summary: pd.DataFrame) -> pd.DataFrame:
    """What the rows of a summary say of the runs with nothing left out or, without such, of the others."""
    columns = {name: (name, "first") for name in ("likelihood", *SAME_MEASURE)}
    columns |= {"n": ("n", "min"), "n_diverged": ("n_diverged", "max")}
    return of_whole(summary).groupby(place, sort=False, dropna=False).agg(**columns).reset_index()


def _intervals(place: list[str], seeds: pd.DataFrame) -> pd.DataFrame:
    """Over seeds, of all other columns."""
    ends = {"": "mean", "_low": "low", "_high": "high"}
    rows = []
    for values, group in seeds.groupby(place, sort=False, dropna=False):
        row = dict(zip(place, values, strict=True))
        for name in seeds.columns.drop([*place, "seed"]):
            interval = mean_interval(group[name].dropna().to_numpy())
            row |= {f"{name}{end}": getattr(interval, of) for end, of in ends.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _headline_baselines(
    tasks: Sequence[Task], place: list[str], findings: pd.DataFrame, rows: pd.DataFrame
) -> pd.DataFrame:
    """What each headline is held to. Methods whose numbers depend on the variant are none, as each variant has its own."""
    parts = []
    for task in tasks:
        condition, score = task.headline_finding
        of_headline = (findings.task == task.kind) & (findings.score == score)
        if condition is not None:
            of_headline &= findings.condition == condition
        parts.append(_over_classes(findings[of_headline], place).assign(column=task.headline))
    if not parts:
        return pd.DataFrame(columns=["method"])
    return baselines(pd.concat(parts), place, rows, of_variants=False)


def of_whole(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs with nothing left out or, where there are none, all rows."""
    is_whole = table[LEFT_OUT].isna() if LEFT_OUT in table else pd.Series(True, table.index)
    return table[is_whole] if is_whole.any() else table


def _over_classes(findings: pd.DataFrame, place: list[str]) -> pd.DataFrame:
    """Those of runs with nothing left out or, where there are none, their means over the classes."""
    return of_whole(findings).groupby([*place, "method"], sort=False, dropna=False)["mean"].mean().reset_index()


def baselines(findings: pd.DataFrame, keys: Sequence[str], rows: pd.DataFrame, of_variants: bool = True) -> pd.DataFrame:
    """What methods other than the model found: a row for each and, of the keys, for those that its numbers depend on.

    findings: `keys`, `method`, `column`, `mean`; of them each column's mean is given, beside `method`. rows: `keys` and
    `binarisation`, on which numbers may depend too. of_variants: with methods whose numbers depend on the variant.
    """
    others = findings[findings.method != MODEL].merge(rows[[*keys, "binarisation"]], on=list(keys))
    shown = []
    for method, found in others.groupby("method", sort=False):
        place = _depends_on(found, [*keys, "binarisation"])
        if of_variants or "variant" not in place:
            shown += [
                {"method": ", ".join([method, *_in_words(place, values)])} | _means(group)
                for values, group in (found.groupby(place, sort=False, dropna=False) if place else [((), found)])
            ]
    return pd.DataFrame(shown, columns=["method", *others["column"].unique()])


def _depends_on(findings: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """A choice of the keys, as few as possible, that tells all different numbers of a column apart."""
    place = list(keys)
    for key in keys:
        others = [other for other in place if other != key]
        means = findings.groupby([*others, "column"], dropna=False)["mean"]
        if np.allclose(means.max(), means.min(), rtol=SAME, atol=0):
            place = others
    return place


def _in_words(place: Sequence[str], values: Sequence[object]) -> list[str]:
    """ "latent size 8" …; a setting that a row does not have is not said."""
    return [f"{key.replace('_', ' ')} {value}" for key, value in zip(place, values, strict=True) if not pd.isna(value)]


def _means(findings: pd.DataFrame) -> dict[str, float]:
    return findings.groupby("column")["mean"].mean().to_dict()
