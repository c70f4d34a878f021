"""What the tables say, in sentences for people.

Every function takes tables as `vaebench.tables` makes them and returns sentences, none where there is nothing to say. A
difference is claimed only where it is `supported` over seeds, and never between numbers in different units.
`keys` are the columns that tell groups of seeds apart, the variant first (`vaebench.tables.group_keys`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from vaebench.metrics import METRICS, Metric
from vaebench.statistics import CONFIDENCE, FEWEST_SEEDS, SIGNIFICANCE
from vaebench.tables import SAME_MEASURE, format_number

# Mean active units below which a posterior is said to have collapsed.
COLLAPSED = 0.5
# More sentences of a kind nobody reads: then the extremes have to do.
MOST_SENTENCES = 4
# What differences of metrics are called, one and many, the unwelcome first where a metric has a direction.
LOSS_AND_GAIN = (("loss", "losses"), ("gain", "gains"))
WAYS = {"higher": LOSS_AND_GAIN, "lower": LOSS_AND_GAIN, None: (("decrease", "decreases"), ("increase", "increases"))}
# Units that a plural such as "active units" says already.
COUNTED = ("dimensions", "samples")
MEASURES = {
    "mass": "log-probabilities",
    "density": "log-densities",
    "not a density": "values of a loss, not log-probabilities",
}

Row = Mapping[Hashable, Any]


def differences(comparisons: pd.DataFrame, keys: Sequence[str], metric: Metric) -> list[str]:
    """The largest supported difference to the baseline either way at each grid point, in the metric's unit.

    Either way is a loss and a gain; of a metric without a direction it is a decrease and an increase.
    """
    rows = comparisons[(comparisons.metric == metric.name) & comparisons.comparable.eq(True)].dropna(subset="difference")
    if rows.empty:
        return []
    if rows.low.isna().all():
        return [f"No difference in {metric.label} is supported: with fewer than {FEWEST_SEEDS} seeds there is no interval."]
    claimed = rows[[supported(row) for row in rows.to_dict("records")]]
    place = varying(comparisons, keys)
    points = [group for _, group in rows.groupby(place, sort=False)] if place else [rows]
    if len(points) > MOST_SENTENCES:
        candidates = rows.difference if claimed.empty else claimed.difference
        extremes = {candidates.idxmin(), candidates.idxmax()}
        points = [group for group in points if extremes & set(group.index)]
    sentences = [_at_point(group.to_dict("records"), place, metric) for group in points]
    undecided = [variant for variant in rows.variant.unique() if variant not in set(claimed.variant)]
    if undecided and len(claimed):
        somewhere = " at any grid point" if place else ""
        sentences.append(
            f"No difference in {metric.label} from {rows.baseline.iloc[0]} is supported for {listed(undecided)}{somewhere}."
        )
    return sentences


def _at_point(rows: list[Row], place: Sequence[str], metric: Metric) -> str:
    start = f"At {at(rows[0], place)}, " if place else ""
    claimed = sorted(filter(supported, rows), key=lambda row: -abs(row["difference"]))
    if not claimed:
        return f"{start}{'no' if place else 'No'} difference in {metric.label} from {rows[0]['baseline']} is supported."
    falls, rises = ([row for row in claimed if (row["difference"] > 0) == up] for up in (False, True))
    bad, good = (rises, falls) if metric.better == "lower" else (falls, rises)
    either_way = [_largest(alike, metric, *words) for alike, words in zip((bad, good), WAYS[metric.better], strict=True)]
    # What is supported before what is not.
    return f"{start}{'; '.join(either_way if bad else reversed(either_way))}."


def _largest(alike: list[Row], metric: Metric, way: str, ways: str) -> str:
    """The first of the differences that go the same way."""
    if not alike:
        return f"no {way} is supported"
    row, *others = alike
    low, high = sorted((abs(row["low"]), abs(row["high"])))
    # The decimals have to show that the interval excludes 0.
    decimals = decimals_for(low)
    most = f", the largest of {len(alike)} supported {ways}" if others else ""
    return f"{_change(row, metric, decimals)} {over_seeds(low, high, row['n'], decimals)}{most}"


def _change(row: Row, metric: Metric, decimals: int) -> str:
    """ "beta-4 loses 2.10 nats of ELBO against bce"; only what has a unit and is better when higher is gained and lost."""
    variant, baseline, rises = row["variant"], row["baseline"], row["difference"] > 0
    number = f"{abs(row['difference']):.{decimals}f}"
    amount = with_unit(number, metric)
    if metric.better is None and metric.unit in COUNTED and metric.label.endswith("s"):
        return f"{variant} has {number} {'more' if rises else 'fewer'} {metric.label} than {baseline}"
    if metric.better is None:
        return f"{variant} lies {amount} {'above' if rises else 'below'} {baseline} in {metric.label}"
    if metric.better == "higher" and metric.unit:
        return f"{variant} {'gains' if rises else 'loses'} {amount} of {metric.label} against {baseline}"
    return f"{variant} {'raises' if rises else 'lowers'} {metric.label} by {amount} against {baseline}"


def best(summary: pd.DataFrame, keys: Sequence[str], metric: Metric) -> list[str]:
    """Which row has the best mean, with its interval; of numbers in a likelihood's unit, a sentence for each measure.

    It claims no difference to the next. Nothing is said of a metric without a direction, of a row alone, or where rows tie.
    """
    if metric.better is None:
        return []
    rows = summary.dropna(subset=metric.name)
    apart = [column for column in SAME_MEASURE if rows[column].nunique() > 1] if metric.per_likelihood else []
    groups = [group for _, group in rows.groupby(apart, sort=False)] if apart else [rows]
    place = varying(summary, keys)
    sentences = []
    for group in groups:
        values = group[metric.name]
        leaders = group[values == (values.max() if metric.better == "higher" else values.min())]
        if len(group) > 1 and len(leaders) == 1:
            sentences.append(_among(leaders.iloc[0], apart) + _best(leaders.iloc[0], place, metric))
    return sentences


def _among(row: pd.Series, apart: Sequence[str]) -> str:
    numbers = MEASURES.get(row.measure, f"numbers of measure “{row.measure}”") if "measure" in apart else "numbers"
    data = f" of data with binarisation “{row.binarisation}”" if "binarisation" in apart else ""
    return f"Among {numbers}{data}, " if apart else ""


def _best(row: pd.Series, place: Sequence[str], metric: Metric) -> str:
    low, high = row[f"{metric.name}_low"], row[f"{metric.name}_high"]
    decimals = decimals_for(high - low)
    mean = with_unit(format_number(row[metric.name], decimals), metric)
    where = f" at {at(row, place)}" if place else ""
    return f"{row.variant}{where} has the best mean {metric.label}, {mean} {over_seeds(low, high, row.n, decimals)}."


def collapses(summary: pd.DataFrame, keys: Sequence[str], baseline: str) -> list[str]:
    """Which posteriors have collapsed, beside what the baseline keeps there; or that none has."""
    trained = summary[summary.active_units.notna()]
    collapsed = trained[trained.active_units < COLLAPSED]
    place = varying(summary, keys)
    if trained.empty:
        return []
    if collapsed.empty:
        fewest = trained.loc[trained.active_units.idxmin()]
        where = f" at {at(fewest, place)}" if place else ""
        return [f"No posterior has collapsed: {fewest.variant}{where} has the fewest active units, {_active(fewest)}."]
    variants = collapsed.variant.unique()
    if len(variants) > MOST_SENTENCES:
        return [f"The posteriors of {listed(variants)} have collapsed: fewer than {COLLAPSED} active units on average."]
    return [_collapse(trained, collapsed[collapsed.variant == variant], keys, baseline, place) for variant in variants]


def _collapse(
    trained: pd.DataFrame, collapsed: pd.DataFrame, keys: Sequence[str], baseline: str, place: Sequence[str]
) -> str:
    """One variant's collapse, with the numbers where it had the most dimensions to lose."""
    widest = collapsed.loc[collapsed.latent_size.idxmax()]
    where = f" at {_points(collapsed, place)}" if place else ""
    there = f"at {at(widest, place)} " if len(collapsed) > 1 else ""
    sentence = f"The posterior of {widest.variant} has collapsed{where}: {there}it has {_active(widest)}"
    same_point = (trained[list(keys[1:])] == widest[list(keys[1:])]).all(axis=1)
    for other in trained[same_point & (trained.variant == baseline)].itertuples():
        if other.active_units >= COLLAPSED:
            sentence += f"; {baseline} keeps {_active(other)}"
    return sentence + "."


def _active(row: Any) -> str:
    interval = over_seeds(row.active_units_low, row.active_units_high, row.n, decimals=1)
    return f"{row.active_units:.1f} active units of {row.latent_size} {interval}"


def not_compared(runs: pd.DataFrame, comparisons: pd.DataFrame, baseline: str) -> list[str]:
    """Which variants are kept out of the comparisons, or out of those in the likelihood's units, and why."""
    apart = comparisons[comparisons.comparable.eq(False)]
    first = {variant: group.iloc[0] for variant, group in runs.groupby("variant", sort=False)}
    variants: dict[str, list[str]] = {}
    for variant in apart.variant.unique():
        variants.setdefault(_reason(first[variant], first[baseline]), []).append(variant)
    labels = listed(METRICS[name].label for name in apart.metric.unique())
    sentences = [
        f"{labels} of {listed(names)} are not compared with those of {baseline}: {reason}."
        for reason, names in variants.items()
    ]
    if alone := [variant for variant in first if variant not in {baseline, *comparisons.variant}]:
        sentences.append(
            f"Nothing of {listed(alone)} is compared with {baseline}: they share no grid point with trained runs."
        )
    return sentences


def _reason(run: pd.Series, baseline: pd.Series) -> str:
    if run.measure != baseline.measure:
        former, latter = (MEASURES.get(measure, f"of measure “{measure}”") for measure in (run.measure, baseline.measure))
        return f"the former are {former}, the latter {latter}"
    return f"the former are of data with binarisation “{run.binarisation}”, the latter “{baseline.binarisation}”"


def unnormalised(runs: pd.DataFrame) -> list[str]:
    """Runs whose likelihood is no probability of their data."""
    labels = listed(metric.label for metric in METRICS.values() if metric.per_likelihood)
    return [
        f"The {likelihood} likelihood on grey pixels is not a density: {labels} of {listed(group.variant.unique())} "
        "are values of a loss, to be compared among themselves only. On binarised data they would be log-probabilities."
        for likelihood, group in runs[runs.measure == "not a density"].groupby("likelihood", sort=False)
    ]


def without_interval(summary: pd.DataFrame) -> list[str]:
    """Groups of too few seeds."""
    n_few = int((summary.n < FEWEST_SEEDS).sum())
    why = f"fewer than {FEWEST_SEEDS} seeds were trained to the end, so no difference is supported there"
    return [f"There is no interval in {n_few} of {counted(len(summary), 'row')} of the summary: {why}."] if n_few else []


def diverged(runs: pd.DataFrame) -> list[str]:
    lost = runs[runs.status == "diverged"]
    names = ", ".join(f"{row.run_id} (after {counted(int(row.diverged_epoch), 'epoch')})" for row in lost.itertuples())
    return [f"Diverged, without scores: {len(lost)} of {counted(len(runs), 'run')}: {names}."] if names else []


def mixed(environments: Sequence[Mapping[str, str | None]]) -> list[str]:
    """What the runs were made with, where that differs between them. environments: a record for each run."""
    counts = {key: Counter(environment[key] for environment in environments) for key in environments[0]}
    met = {
        key: [f"{value or 'unknown'} ({counted(n, 'run')})" for value, n in each.items()] for key, each in counts.items()
    }
    return [f"Runs were made with different {key}: {listed(values)}." for key, values in met.items() if values[1:]]


def uncommitted(environments: Sequence[Mapping[str, str | None]]) -> list[str]:
    n_dirty = sum((environment["git commit"] or "").endswith("-dirty") for environment in environments)
    why = "a checkout with uncommitted changes, so the commit alone does not make them again"
    return [f"{n_dirty} of {counted(len(environments), 'run')} came from {why}."] if n_dirty else []


def supported(row: Row) -> bool:
    """Whether a difference may be claimed: adjusted p below 0.05, and the interval on one side of 0. False for NaN."""
    return bool(row["p_adjusted"] < SIGNIFICANCE and (row["low"] > 0 or row["high"] < 0))


def varying(table: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The keys, beside the variant, by which grid points have to be told apart."""
    return [key for key in keys[1:] if table[key].nunique() > 1]


def at(row: Any, place: Sequence[str]) -> str:
    """A grid point in words: "latent size 8 and learning rate 0.01"."""
    return listed(f"{key.replace('_', ' ')} {row[key]}" for key in place)


def _points(rows: pd.DataFrame, place: Sequence[str]) -> str:
    if len(place) == 1:
        return f"{place[0].replace('_', ' ')} {listed(rows[place[0]])}"
    return at(rows.iloc[0], place) if len(rows) == 1 else f"{len(rows)} grid points"


def over_seeds(low: float, high: float, n: float, decimals: int) -> str:
    """ "(95 % interval 2.94 to 2.95, 5 seeds)", or why there is none."""
    seeds = counted(int(n), "seed")
    if math.isnan(low):
        return f"({seeds}, no interval)"
    if math.isclose(low, high):
        return f"(the same for all {seeds})"
    bounds = f"{format_number(low, decimals)} to {format_number(high, decimals)}"
    return f"({100 * CONFIDENCE:g} % interval {bounds}, {seeds})"


def decimals_for(size: float) -> int:
    """As many as it takes to show a number of this size, but two to six; two for 0 and NaN."""
    return min(max(2, math.ceil(-math.log10(size))), 6) if size > 0 else 2


def with_unit(number: str, metric: Metric) -> str:
    return f"{number} {metric.unit}".strip()


def listed(items: Iterable[Any]) -> str:
    """ "a, b and c"."""
    *most, last = [str(item) for item in items] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
