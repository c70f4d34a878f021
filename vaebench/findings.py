"""What the tables say, in sentences for people.

Every function takes tables as `vaebench.tables` makes them and returns sentences, none where there is nothing to say. A
difference is claimed only where it is `supported` over seeds, and never between numbers in different units.
`keys` are the columns that tell groups of seeds apart, the variant first (`vaebench.tables.group_keys`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from vaebench.latent_dimensions import COLLAPSE_DELTA, COLLAPSE_EPSILON
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import Metric
from vaebench.presentation import decimals_for, format_counts, format_number
from vaebench.ranking import SAME_MEASURE
from vaebench.statistics import FEWEST_SEEDS
from vaebench.tables import (
    GAP_TOLERANCE,
    KL_SHARE_TOLERANCE,
    KL_TOLERANCE,
    Row,
    supported,
)
from vaebench.tasks import ALL_METRICS
from vaebench.wording import at, counted, listed, named, over_seeds, setting, varying, with_unit

# When a dimension has collapsed, and when a run has reached its optimum.
IS_COLLAPSED = f"a KL below {COLLAPSE_EPSILON:g} nats for {100 * (1 - COLLAPSE_DELTA):g} % of the images"
IS_REACHED = (
    f"every dimension's KL within {100 * KL_SHARE_TOLERANCE:g} % or {KL_TOLERANCE:g} nats, the ELBO within "
    f"{GAP_TOLERANCE:g} nats, active dimensions as predicted"
)
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


def answer(summary: pd.DataFrame, comparisons: pd.DataFrame, keys: Sequence[str], metric: Metric) -> list[str]:
    """What the tables say by the one metric that a question is answered by."""
    if summary[metric.name].notna().any():
        return [*best(summary, keys, metric, comparisons), *differences(comparisons, keys, metric)]
    why = "it applies to none of the runs" if summary.n.any() else "no run was trained to the end"
    return [f"There is no {metric.label} to answer by: {why}."]


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
    points = [group for _, group in rows.groupby(place, sort=False, dropna=False)] if place else [rows]
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
    # The decimals have to show that the interval excludes 0, and how wide it is.
    decimals = decimals_for(low, abs(row["difference"]) / 10, (high - low) / 2)
    most = f", the largest of {len(alike)} supported {ways}" if others else ""
    return f"{_change(row, metric, decimals)} {over_seeds(low, high, row['n'], decimals)}{most}"


def _change(row: Row, metric: Metric, decimals: int) -> str:
    """ "beta-4 loses 2.10 nats of ELBO against bce"; only what has a unit and is better when higher is gained and lost."""
    variant, baseline, rises = row["variant"], row["baseline"], row["difference"] > 0
    number = f"{abs(row['difference']):.{decimals}f}"
    amount = with_unit(number, metric)
    if metric.better is None and _is_count(metric):
        return f"{variant} has {number} {'more' if rises else 'fewer'} {metric.label} than {baseline}"
    if metric.better is None:
        return f"{variant} lies {amount} {'above' if rises else 'below'} {baseline} in {metric.label}"
    if metric.better == "higher" and metric.unit:
        return f"{variant} {'gains' if rises else 'loses'} {amount} of {metric.label} against {baseline}"
    return f"{variant} {'raises' if rises else 'lowers'} {metric.label} by {amount} against {baseline}"


def best(summary: pd.DataFrame, keys: Sequence[str], metric: Metric, comparisons: pd.DataFrame | None = None) -> list[str]:
    """Which row has the best mean, with its interval; of numbers in a likelihood's unit, a sentence for each measure.

    It claims no difference to the next, and with the comparisons it says where not even the lead over the baseline is
    supported. Of a row alone it gives the mean; of a metric without a direction, and where rows tie, the lowest and the
    highest; along a grid of one key, the means at either end of it.
    """
    rows, place = summary.dropna(subset=metric.name), varying(summary, keys)
    if not metric.better and not metric.per_likelihood and len(place) == 1 and rows.variant.nunique() <= MOST_SENTENCES:
        return _at_ends(rows, place, metric)
    apart = [column for column in SAME_MEASURE if rows[column].nunique(dropna=False) > 1] if metric.per_likelihood else []
    groups = [group for _, group in rows.groupby(apart, sort=False, dropna=False)] if apart else [rows]
    return [
        f"{_among(group.iloc[0], apart)}{_best(group, place, metric)}{_doubt(group, comparisons, keys, metric)}."
        for group in groups
        if len(group)
    ]


def _at_ends(rows: pd.DataFrame, place: Sequence[str], metric: Metric) -> list[str]:
    """Every variant's mean, the highest first, at the last grid point, where most is at stake, and at the first."""
    points = [group for _, group in rows.groupby(place, sort=False, dropna=False)]
    return [
        f"At {at(group.iloc[0], place)}, mean {metric.label} {'are' if _is_count(metric) else 'is'} "
        f"{listed(f'{_mean(row, metric)} for {row.variant}' for _, row in group.iterrows())}."
        for group in (ends.sort_values(metric.name, ascending=False, kind="stable") for ends in (points[-1], points[0]))
    ]


def _among(row: pd.Series, apart: Sequence[str]) -> str:
    numbers = MEASURES.get(row.measure, f"numbers of measure “{row.measure}”") if "measure" in apart else "numbers"
    data = f" of data with binarisation “{row.binarisation}”" if "binarisation" in apart else ""
    data += f" with {setting('left_out', row.left_out)}" if "left_out" in apart else ""
    return f"Among {numbers}{data}, " if apart else ""


def _best(rows: pd.DataFrame, place: Sequence[str], metric: Metric) -> str:
    lowest, highest = (rows.loc[index] for index in (rows[metric.name].idxmin(), rows[metric.name].idxmax()))
    leader = _leader(rows, metric)
    label = f"mean {metric.label}"
    if len(rows) == 1:
        return f"{named(lowest, place)} has a {label} of {_mean(lowest, metric)}"
    if lowest[metric.name] == highest[metric.name]:
        return f"{len(rows)} rows of the summary have the same {label}, {_mean(lowest, metric)}"
    if leader is None:
        (low, n_low), (high, _) = (_with_ties(rows, end, place, metric) for end in (lowest, highest))
        has = "has" if n_low == 1 else "have"
        return f"{low} {has} the lowest {label}, {_mean(lowest, metric)}, and {high} the highest, {_mean(highest, metric)}"
    return f"{named(leader, place)} has the best {label}, {_mean(leader, metric)}"


def _with_ties(rows: pd.DataFrame, end: pd.Series, place: Sequence[str], metric: Metric) -> tuple[str, int]:
    """Whose mean and interval these are, and how many they are."""
    alike = [row for _, row in rows.iterrows() if _mean(row, metric) == _mean(end, metric)]
    few = listed(named(row, place) for row in alike)
    return few if len(alike) <= MOST_SENTENCES else f"{len(alike)} rows of the summary", len(alike)


def _leader(rows: pd.DataFrame, metric: Metric) -> pd.Series | None:
    """The row with the best mean; None where several share it, or where neither direction is better."""
    values = -rows[metric.name] if metric.better == "lower" else rows[metric.name]
    is_best = values == values.max()
    return rows[is_best].iloc[0] if metric.better and is_best.sum() == 1 else None


def _doubt(rows: pd.DataFrame, comparisons: pd.DataFrame | None, keys: Sequence[str], metric: Metric) -> str:
    """That the leader of several rows is not told apart from the baseline at its grid point."""
    leader = _leader(rows, metric) if len(rows) > 1 else None
    if leader is None or comparisons is None:
        return ""
    against = comparisons[(comparisons.metric == metric.name) & comparisons.comparable.eq(True)]
    for key in keys:
        against = against[against[key].eq(leader[key]) | (against[key].isna() & pd.isna(leader[key]))]
    doubtful = [row for row in against.to_dict("records") if not supported(row)]
    return f", a lead over {doubtful[0]['baseline']} that is not supported" if doubtful else ""


def _mean(row: pd.Series, metric: Metric) -> str:
    mean, low, high = (row[f"{metric.name}{end}"] for end in ("", "_low", "_high"))
    decimals = decimals_for(abs(mean) / 100, (high - low) / 2)
    number = format_number(mean, decimals)
    amount = number if _is_count(metric) else with_unit(number, metric)
    return f"{amount} {over_seeds(low, high, row.n, decimals)}"


def reached(linear: pd.DataFrame, keys: Sequence[str], split: str) -> list[str]:
    """How many runs came to the optimum that is known of them, and which fell short; split: what was scored."""
    if linear.empty:
        return []
    n, n_reached = int(linear.n.sum()), int(linear.n_reached.sum())
    which = f"all {n} runs" if n_reached == n > 1 else f"{n_reached or 'none'} of {counted(n, 'run')}"
    sentences = [f"Training reached the closed-form optimum in {which}: {IS_REACHED}."]
    place = varying(linear, keys)
    short = linear[linear.n_reached < linear.n].fillna({"kl_error": 0})
    worst = short.sort_values("kl_error", ascending=False).head(MOST_SENTENCES)
    if len(short):
        others = f"; and runs of {counted(len(short) - len(worst), 'more row')}" if len(short) > len(worst) else ""
        sentences.append(f"It fell short in {'; '.join(_short_of(row, place) for _, row in worst.iterrows())}{others}.")
    if n_open := int((linear.near_boundary > 0).sum()):
        sentences.append(
            f"In {n_open} of {counted(len(linear), 'row')} of that table an eigenvalue lies within {100 * BOUNDARY:g} % of "
            "βσ²: whether its dimension is active is left open."
        )
    if split != "train":
        sentences.append(f"That optimum is one of the training images, the scores are of the {split} split.")
    return sentences


def _short_of(row: pd.Series, place: Sequence[str]) -> str:
    active = format_counts(row.active_low, row.active_high)
    return (
        f"{counted(row.n - row.n_reached, 'run')} of {named(row, place)} (KL off by {row.kl_error:.3f} nats at most, mean "
        f"gap {format_number(row.gap, 3)} nats, {active} dimensions active, {row.predicted_active:.0f} predicted)"
    )


def collapses(summary: pd.DataFrame, keys: Sequence[str], baseline: str) -> list[str]:
    """Which posteriors have collapsed, all dimensions in all seeds, beside what the baseline keeps there; which in part."""
    trained = summary[summary.collapsed_units.notna()]
    if trained.empty:
        return []
    if not trained.collapsed_units.any():
        return [f"No latent dimension of any run has collapsed: none has {IS_COLLAPSED}."]
    is_full = trained.collapsed_units == trained.latent_size
    place = varying(summary, keys)
    whole = _whole_collapses(trained, trained[is_full], keys, baseline, place)
    return [*whole, *_partial_collapse(trained[~is_full & (trained.collapsed_units > 0)], len(trained), place)]


def _whole_collapses(
    trained: pd.DataFrame, collapsed: pd.DataFrame, keys: Sequence[str], baseline: str, place: Sequence[str]
) -> list[str]:
    variants = collapsed.variant.unique()
    if not len(variants):
        return ["No posterior has collapsed in all its dimensions."]
    if len(variants) > MOST_SENTENCES:
        return [f"The posteriors of {listed(variants)} have collapsed: in every seed all dimensions have {IS_COLLAPSED}."]
    return [_collapse(trained, collapsed[collapsed.variant == variant], keys, baseline, place) for variant in variants]


def _collapse(
    trained: pd.DataFrame, collapsed: pd.DataFrame, keys: Sequence[str], baseline: str, place: Sequence[str]
) -> str:
    """One variant's collapse, and what the baseline keeps where there were the most dimensions to lose."""
    widest = collapsed.loc[collapsed.latent_size.idxmax()]
    where = f" at {_points(collapsed, place)}" if place else ""
    there = f"at {at(widest, place)} " if len(collapsed) > 1 else ""
    sentence = f"The posterior of {widest.variant} has collapsed{where}: in every seed all dimensions have {IS_COLLAPSED}"
    point = list(keys[1:])
    same_point = (trained[point].eq(widest[point]) | (trained[point].isna() & widest[point].isna())).all(axis=1)
    for other in trained[same_point & (trained.variant == baseline)].itertuples():
        if other.collapsed_units < other.latent_size:
            sentence += f"; {there}{baseline} keeps {_uncollapsed(other)}"
    return sentence + "."


def _uncollapsed(row: Any) -> str:
    size = row.latent_size
    interval = over_seeds(size - row.collapsed_units_high, size - row.collapsed_units_low, row.n, decimals=1)
    return f"{size - row.collapsed_units:.1f} of {counted(size, 'dimension')} {interval}"


def _partial_collapse(partial: pd.DataFrame, n_rows: int, place: Sequence[str]) -> list[str]:
    """How common it is, and where it goes furthest."""
    if partial.empty:
        return []
    most = partial.loc[(partial.collapsed_units / partial.latent_size).idxmax()]
    row = named(most, place)
    where = f"of {row}" if n_rows == 1 else f"in {len(partial)} of {n_rows} rows of the summary, most for {row}"
    interval = over_seeds(most.collapsed_units_low, most.collapsed_units_high, most.n, decimals=1)
    number = f"{most.collapsed_units:.1f} of {counted(most.latent_size, 'dimension')} {interval}"
    return [f"Collapse is partial {where}: {number} have {IS_COLLAPSED}."]


def not_compared(runs: pd.DataFrame, comparisons: pd.DataFrame, baseline: str) -> list[str]:
    """Which variants are kept out of the comparisons, or out of those in the likelihood's units, and why."""
    apart = comparisons[comparisons.comparable.eq(False)]
    first = {variant: group.iloc[0] for variant, group in runs.groupby("variant", sort=False)}
    variants: dict[str, list[str]] = {}
    for variant in apart.variant.unique():
        variants.setdefault(_reason(first[variant], first[baseline]), []).append(variant)
    labels = listed(ALL_METRICS[name].label for name in apart.metric.unique() if runs[name].notna().any())
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
    if run.binarisation != baseline.binarisation:
        return f"the former are of data with binarisation “{run.binarisation}”, the latter “{baseline.binarisation}”"
    former, latter = (setting("left_out", each.left_out) for each in (run, baseline))
    return f"the former are of data with {former}, the latter with {latter}"


def effective_weights(runs: pd.DataFrame) -> list[str]:
    """What variants with different σ have for βσ²: where that differs, so do their optima."""
    known = runs.dropna(subset="effective_weight")
    by_variant = known.groupby("variant", sort=False)
    variants: dict[str, list[str]] = {}
    for variant, weight in by_variant.effective_weight.agg(_span).items():
        variants.setdefault(weight, []).append(variant)
    if len(variants) < 2 or by_variant.sigma.agg(_span).nunique() < 2:
        return []
    each = "; ".join(f"{weight} for {listed(names)}" for weight, names in variants.items())
    return [
        f"β and σ² of Gaussian pixels act together, as the optimum depends on βσ² alone. It is {each}: these variants "
        "differ by that weight as well as by their likelihood."
    ]


def _span(values: pd.Series) -> str:
    """ "0.25", or "0.0123 to 0.03"."""
    return " to ".join(dict.fromkeys(f"{value:.3g}" for value in (values.min(), values.max())))


def _points(rows: pd.DataFrame, place: Sequence[str]) -> str:
    if len(place) == 1:
        return f"{place[0].replace('_', ' ')} {listed(rows[place[0]].astype(object).fillna('nothing'))}"
    return at(rows.iloc[0], place) if len(rows) == 1 else f"{len(rows)} grid points"


def _is_count(metric: Metric) -> bool:
    return metric.unit in COUNTED and metric.label.endswith("s")
