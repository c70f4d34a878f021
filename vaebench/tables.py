"""Tables: a row per run, a row per variant and grid point with intervals over seeds, comparisons paired by seed.

Runs that diverged are rows of `runs.csv` without metrics; summaries count them and never average over them. A metric that
does not apply to a run is missing there, and numbers over seeds are of the runs that have it. Numbers in the unit of a
likelihood are compared only between runs with the same measure on the same data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from vaebench import trade_offs
from vaebench.environment import mixed
from vaebench.errors import UserError
from vaebench.files import (
    checksums,
    damaged,
    read_csv,
    read_json,
    read_table,
    vouched,
    write_csv,
    write_json,
    write_table,
    write_text,
)
from vaebench.latent_dimensions import COLLAPSE_EPSILON, collapse_verdict
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import METRICS, Metric
from vaebench.presentation import latex, latex_by_tasks, markdown, markdown_by_tasks, presented
from vaebench.ranking import SAME_DATA, SAME_MEASURE
from vaebench.settings import REGISTRIES, Run
from vaebench.specification import Experiment
from vaebench.statistics import SIGNIFICANCE, Comparison, holm, interquartile_mean, mean_interval, paired_comparison
from vaebench.store import ExperimentFolder, Results, read_record
from vaebench.tasks import ALL_METRICS

Row = Mapping[Hashable, Any]

# Columns without which tables cannot be read.
HISTORY_NEEDED = ["run_id", *(f"{split}_{term}" for split in ("train", "validation") for term in ("rate", "distortion"))]
SPECTRUM_NEEDED = ["run_id", "dimension", "kl", "collapse_epsilon"]
TASKS_NEEDED = ["run_id", "task", "condition", "score", "method", "value"]
# What tables of older versions lack, beside the reason why a run diverged.
LATER_METRICS = ("classifier_accuracy",)
LATER = ("left_out", *LATER_METRICS)
NEEDED_METRICS = [name for name in METRICS if name not in LATER_METRICS]
# What tells the rows of a run's tasks apart.
FINDING = ["task", "condition", "score", "method"]

# How near to its closed-form optimum a run has to come to have reached it: each dimension's KL within a share of the
# optimal one or, where that is more, within these nats; the ELBO within these nats and twice its Monte-Carlo error.
KL_SHARE_TOLERANCE = 0.02
KL_TOLERANCE = 0.02
GAP_TOLERANCE = 0.1


@dataclass(frozen=True)
class Tables:
    """All tables of one experiment.

    runs: a row a run; a column per setting, `measure`, `status` ("trained" or "diverged"), `diverged_epoch`, which a run
        that diverged in scoring has not, `diverged_because`, for each metric its value and `<metric>_standard_error` over
        images, `collapse` as `latent_dimensions.collapse_verdict` gives it, and `collapsed_dimensions`, the indices of
        those, such as "3 7 12".
    summary: a row per variant and grid point; `likelihood` in words, `measure`, `binarisation`, `n` seeds trained,
        `n_diverged`, `collapse` in words such as "none 2, partial 3", and for each metric its mean over them `<metric>`,
        the mean's interval `<metric>_low` to `<metric>_high`, and the interquartile mean `<metric>_iqm`.
    comparisons: a row per variant, grid point and metric: `difference` to the baseline, paired by seed, its interval `low`
        to `high`, `n` pairs, `effect_size`, `p` and `probability_of_improvement` as `statistics.paired_comparison` gives
        them, and `p_adjusted`: p by Holm's method over all comparable rows of the metric. Where not `comparable`, NaN.
    history: a row per run and epoch: `vaebench.training.HISTORY_COLUMNS`, `train_elbo`, `validation_elbo`.
    spectrum: a row per run and latent dimension: `run_id`, `rank` (1 has the largest KL), and what
        `latent_dimensions.dimensions` gives of it.
    tasks: a row per variant, grid point, `task`, `condition`, `score` and `method`, as `task_scores.Finding` tells them:
        over `n` seeds the `mean` and its interval `low` to `high`. Empty where the experiment asks for no tasks.
    """

    runs: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    history: pd.DataFrame
    spectrum: pd.DataFrame
    tasks: pd.DataFrame


def aggregate(experiment: Experiment, results: Results) -> None:
    """Gather the cohorts' files into the experiment's tables and write them; say what runs were made with if it differs."""
    folder = results.experiment(experiment.name)
    cohorts = [folder.cohort(cohort.name) for cohort in experiment.cohorts]

    def gathered(table: str, columns: Iterable[str]) -> pd.DataFrame:
        parts = [read_table(getattr(cohort, table), columns, cohort.checksums) for cohort in cohorts]
        return pd.concat(parts, ignore_index=True)

    history, spectrum = gathered("history", ["run_id"]), gathered("spectrum", SPECTRUM_NEEDED)
    metrics = gathered("metrics", ["run_id", "metric", "value", "standard_error"])
    runs = runs_table(experiment, folder, metrics, spectrum)
    summary = summary_table(experiment, runs)
    linear = linear_table(experiment, runs, spectrum)
    comparisons = comparisons_table(experiment, runs)
    write_csv(folder.runs, runs)
    write_csv(folder.summary("csv"), summary)
    write_csv(folder.comparisons, comparisons)
    write_table(folder.history, history)
    write_table(folder.spectrum, spectrum)
    read_again = [folder.runs, folder.summary("csv"), folder.comparisons, folder.history, folder.spectrum]
    tasks = tasks_table(experiment, runs, gathered("tasks", TASKS_NEEDED)) if experiment.tasks else pd.DataFrame()
    folder.tasks.unlink(missing_ok=True)
    if experiment.tasks:
        write_csv(folder.tasks, tasks)
        read_again.append(folder.tasks)
    write_json(folder.checksums, {"files": checksums(*read_again)})
    folder.linear.unlink(missing_ok=True)
    if len(linear):
        write_csv(folder.linear, linear)
    shown = presented(experiment, summary, group_keys(experiment))
    differences = mixed(environments(experiment, folder))
    print(*differences, sep="\n", end="\n" if differences else "", flush=True)
    write_text(folder.summary("md"), markdown(shown, differences))
    write_text(folder.summary("tex"), latex(experiment, shown, differences))
    for suffix, written in (("md", markdown_by_tasks), ("tex", latex_by_tasks)):
        path = folder.variants_by_tasks(suffix)
        path.unlink(missing_ok=True)
        if experiment.tasks:
            found = trade_offs.gather(experiment.tasks, group_keys(experiment), runs, summary, tasks)
            write_text(path, written(experiment, found, differences))


def environments(experiment: Experiment, folder: ExperimentFolder) -> dict[str, list[dict[str, str | None]]]:
    """What the runs were "trained" and "scored" with, a record for each; empty where there is none."""
    folders = [folder.run(run.run_id) for run in experiment.runs]
    scored = [read_record(files.evaluation) if files.evaluation.exists() else {} for files in folders]
    return {
        "trained": [read_record(files.record).get("environment", {}) for files in folders],
        "scored": [record.get("environment", {}) for record in scored],
    }


def load(folder: ExperimentFolder) -> Tables:
    """The tables that `aggregate` wrote. Raises UserError where one is missing, unreadable, or not as it was written."""
    record = folder.checksums
    with_tasks = record.exists() and folder.tasks.name in vouched(read_json(record))
    runs = _read_csv(folder.runs, ["run_id", "variant", "status", *NEEDED_METRICS], record)
    summary = _read_csv(folder.summary("csv"), ["variant", "n", *NEEDED_METRICS], record)
    tasks = _read_csv(folder.tasks, [*FINDING, "mean"], record) if with_tasks else pd.DataFrame()
    return Tables(
        runs=_with(runs, "diverged_because", *LATER),
        summary=_with(summary, *LATER, *(f"{name}{end}" for name in LATER_METRICS for end in ("_low", "_high", "_iqm"))),
        comparisons=_read_csv(folder.comparisons, ["variant", "metric", "baseline"], record),
        history=_with_elbo(read_table(folder.history, HISTORY_NEEDED, record)),
        spectrum=read_table(folder.spectrum, SPECTRUM_NEEDED, record),
        # A task's only condition has no name.
        tasks=tasks.fillna({"condition": ""}),
    )


def _with(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table with these columns, empty where it has none."""
    return table.assign(**{column: None for column in columns if column not in table})


def load_current(experiment: Experiment, folder: ExperimentFolder) -> Tables:
    """The same, of all runs that the experiment has now, by all its tasks. Raises UserError where some are not in them."""
    tables = load(folder)
    if missing := {run.run_id for run in experiment.runs} - set(tables.runs.run_id):
        raise UserError(f"{folder.runs}: has no run {min(missing)}; run `vaebench aggregate` again")
    if experiment.tasks and not folder.tasks.exists():
        raise UserError(f"{folder.tasks}: is not there; run `vaebench aggregate` again")
    if missing := experiment.metrics.keys() - set(tables.summary):
        raise UserError(f"{folder.summary('csv')}: has no {min(missing)}; run `vaebench aggregate` again")
    return tables


def of_experiment(tables: Tables, experiment: Experiment) -> Tables:
    """What tables say of the runs of this experiment, which is the one that they are of or its `whole`."""
    by_run = {name: getattr(tables, name) for name in ("runs", "history", "spectrum")}
    by_group = {name: getattr(tables, name) for name in ("summary", "comparisons", "tasks")}
    run_ids = [run.run_id for run in experiment.runs]
    return Tables(
        **{name: table[table.run_id.isin(run_ids)] for name, table in by_run.items()},
        **{name: trade_offs.of_whole(table) for name, table in by_group.items()},
    )


def _with_elbo(history: pd.DataFrame) -> pd.DataFrame:
    elbos = {
        f"{split}_elbo": -(history[f"{split}_rate"] + history[f"{split}_distortion"]) for split in ("train", "validation")
    }
    return history.assign(**elbos)


def group_keys(experiment: Experiment) -> list[str]:
    """The columns that tell groups of seeds apart: variant, latent size, and what the grid sets."""
    columns = dict.fromkeys(column for run in experiment.first_runs for column in flat_settings(run))
    in_grid = [column for column in columns if column.split(".")[0] in experiment.grid_keys]
    return list(dict.fromkeys(["variant", "latent_size", *in_grid]))


def runs_table(
    experiment: Experiment, folder: ExperimentFolder, metrics: pd.DataFrame, spectrum: pd.DataFrame
) -> pd.DataFrame:
    rows = []
    scored = set(metrics.run_id)
    for run in experiment.runs:
        files = folder.run(run.run_id)
        record = read_record(files.record)
        # Without scores, but trained to the end: the scores were not finite.
        diverged_in_scoring = record["diverged_epoch"] is None and run.run_id not in scored
        because = (read_record(files.evaluation) if diverged_in_scoring else record).get("diverged_because")
        rows.append(
            {
                "run_id": run.run_id,
                "variant": run.variant,
                **flat_settings(run),
                "left_out": run.left_out,
                "measure": measure(run),
                "n_samples": experiment.evaluation.n_samples,
                "status": "trained" if record["diverged_epoch"] is None and not diverged_in_scoring else "diverged",
                "diverged_epoch": record["diverged_epoch"],
                "diverged_because": because,
            }
        )
    runs = pd.DataFrame(rows).astype({"diverged_epoch": "Int64"})
    for name in experiment.metrics:
        of_metric = metrics[metrics.metric == name].set_index("run_id")
        runs[name] = runs.run_id.map(of_metric.value)
        if not of_metric.standard_error.isna().all():
            runs[f"{name}_standard_error"] = runs.run_id.map(of_metric.standard_error)
    counts = zip(runs.collapsed_units, runs.latent_size, strict=True)
    runs["collapse"] = [None if pd.isna(n) else collapse_verdict(n, latent_size) for n, latent_size in counts]
    runs["collapsed_dimensions"] = runs.run_id.map(_collapsed_dimensions(spectrum))
    return _together(runs)


def _collapsed_dimensions(spectrum: pd.DataFrame) -> dict[str, str]:
    """Their indices in ascending order, by run_id."""
    collapsed = spectrum[spectrum.collapse_epsilon < COLLAPSE_EPSILON].sort_values("dimension")
    return {run_id: " ".join(map(str, indices)) for run_id, indices in collapsed.groupby("run_id").dimension}


def flat_settings(run: Run) -> dict[str, Any]:
    """A run's settings as columns: `likelihood`, `likelihood.sigma`, `latent_size` …; lists become "400 200"."""
    columns = {}
    for name, value in run.settings.items():
        if name in REGISTRIES:
            columns[name] = value[REGISTRIES[name].tag]
            inner = {f"{name}.{key}": item for key, item in value.items() if key != REGISTRIES[name].tag}
            columns |= {key: " ".join(map(str, item)) if isinstance(item, list) else item for key, item in inner.items()}
        else:
            columns[name] = value
    return columns


def measure(run: Run) -> str:
    """What the run's log-likelihoods are: only runs with the same one share an axis or a ranking."""
    return run.likelihood.measure if run.is_normalised else "not a density"


def likelihood_label(run: Run) -> str:
    """The likelihood with its settings, such as "gaussian, sigma 0.5"; says so where it is no density of its data."""
    settings = {key: value for key, value in run.settings["likelihood"].items() if key != "kind"}
    words = [run.likelihood.kind, *(f"{key} {value:g}" for key, value in settings.items())]
    return ", ".join(words if run.is_normalised else [*words, "not a density"])


def summary_table(experiment: Experiment, runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    keys = group_keys(experiment)
    labels = {run.run_id: likelihood_label(run) for run in experiment.runs}
    needed = ["run_id", "status", "collapse", *SAME_MEASURE, *experiment.metrics]
    for values, group in _groups(runs, keys, needed).items():
        trained = group[group.status == "trained"]
        row = dict(zip(keys, values, strict=True))
        row |= {"likelihood": labels[group.run_id.iloc[0]], **group[SAME_MEASURE].iloc[0]}
        row |= {"n": len(trained), "n_diverged": len(group) - len(trained), "collapse": _verdicts(trained.collapse)}
        for name, numbers in zip(experiment.metrics, _by_metric(trained, experiment.metrics), strict=True):
            row |= _over_seeds(name, numbers[~np.isnan(numbers)])
        rows.append(row)
    return pd.DataFrame(rows)


def _verdicts(collapse: pd.Series) -> str | None:
    """ "partial (5 of 5 seeds)", or "none 2, partial 3"; None of no runs."""
    found = Counter(collapse)
    counts = {verdict: found[verdict] for verdict in ("none", "partial", "full") if verdict in found}
    if len(counts) != 1:
        return ", ".join(f"{verdict} {n}" for verdict, n in counts.items()) or None
    [(verdict, n)] = counts.items()
    return f"{verdict} ({n} of {n} seed{'' if n == 1 else 's'})"


def _by_metric(runs: pd.DataFrame, metrics: Iterable[str]) -> np.ndarray:
    """[metrics, runs]: all columns at once, which is many times faster than one by one."""
    return runs[list(metrics)].to_numpy(float).T


def _over_seeds(name: str, values: np.ndarray) -> dict[str, float]:
    interval = mean_interval(values)
    bounds = {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: interval.mean, **bounds, f"{name}_iqm": float(interquartile_mean(values))}


def _groups(runs: pd.DataFrame, keys: list[str], needed: list[str]) -> dict[tuple, pd.DataFrame]:
    """The runs of each group of seeds, with the columns that are needed; a setting that a group does not have is None."""
    groups = runs[list(dict.fromkeys([*keys, *needed]))].groupby(keys, sort=False, dropna=False)
    return {tuple(None if pd.isna(value) else value for value in values): group for values, group in groups}


def tasks_table(experiment: Experiment, runs: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """What tasks found of runs, over seeds; findings: a row each, as cohorts keep them."""
    keys = group_keys(experiment)
    findings = findings.merge(runs[["run_id", *keys]], on="run_id")
    rows = []
    for values, group in findings.groupby([*keys, *FINDING], sort=False, dropna=False):
        mean, low, high = mean_interval(group.value.to_numpy())[:3]
        rows.append([*values, len(group), mean, low, high])
    return pd.DataFrame(rows, columns=[*keys, *FINDING, "n", "mean", "low", "high"])


def comparisons_table(experiment: Experiment, runs: pd.DataFrame) -> pd.DataFrame:
    """Variant minus baseline at the same grid point, over the seeds that both trained."""
    keys = group_keys(experiment)
    groups = _groups(runs[runs.status == "trained"].set_index("seed"), keys, [*SAME_MEASURE, *experiment.metrics])
    rows = []
    for values, group in groups.items():
        baseline = groups.get((experiment.baseline, *values[1:]))
        if values[0] == experiment.baseline or baseline is None:
            continue
        point = dict(zip(keys, values, strict=True)) | {"baseline": experiment.baseline}
        rows += [point | row for row in _compare(group, baseline, experiment.metrics)]
    columns = [*keys, "metric", "baseline", "comparable", *Comparison._fields]
    comparisons = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(Comparison._fields, float))
    adjusted = comparisons.groupby("metric").p.transform(holm)
    comparisons.insert(columns.index("p") + 1, "p_adjusted", adjusted)
    return comparisons


def _compare(group: pd.DataFrame, baseline: pd.DataFrame, metrics: Mapping[str, Metric]) -> Iterator[dict[str, Any]]:
    """A row a metric; group, baseline: runs by seed."""
    # What has left out nothing has no value there.
    of_group, of_baseline = (rows[SAME_MEASURE].astype(object).fillna("").iloc[0] for rows in (group, baseline))
    equal = of_group == of_baseline
    same_measure, same_data = bool(equal.all()), bool(equal[SAME_DATA].all())
    # The same seeds, NaN where the baseline has none.
    others_by_metric = _by_metric(baseline.reindex(group.index), metrics)
    pairs = zip(metrics.values(), _by_metric(group, metrics), others_by_metric, strict=True)
    for metric, values, others in pairs:
        # Where one direction is better, the numbers must be of the same images.
        comparable = (same_measure or not metric.per_likelihood) and (same_data or metric.better is None)
        row = {"metric": metric.name, "comparable": comparable}
        yield row | paired_comparison(values, others)._asdict() if comparable else row


def supported(row: Row) -> bool:
    """Whether a difference may be claimed: adjusted p below 0.05, and the interval on one side of 0. False for NaN."""
    return bool(row["p_adjusted"] < SIGNIFICANCE and (row["low"] > 0 or row["high"] < 0))


def linear_table(experiment: Experiment, runs: pd.DataFrame, spectrum: pd.DataFrame) -> pd.DataFrame:
    """Runs whose optimum is known in closed form against it: a row per variant and grid point, none where there are none.

    n: runs; n_reached: those that came as near as this module's tolerances ask. predicted_active; active_low, active_high:
    dimensions, over the runs. near_boundary: dimensions whose eigenvalue is so near to βσ² that it is left open whether
    they are active. The largest errors are of all others: kl_error in nats; kl_share_error, a share of the optimal KL where
    that is above 0; variance_error of the posterior variance. gap: mean of optimal ELBO − ELBO; gap_error: its Monte-Carlo
    standard error.
    """
    compared = runs.merge(_against_optimum(experiment, spectrum), on="run_id")
    gap_allowed = GAP_TOLERANCE + 2 * compared.gap_error
    n_other = (compared.active_units - compared.optimal_active_units).abs()
    compared["reached"] = (
        compared.kl_within & (compared.optimum_gap.abs() < gap_allowed) & (n_other <= compared.near_boundary)
    )
    linear = compared.groupby(group_keys(experiment), sort=False, dropna=False).agg(
        n=("run_id", "size"),
        n_reached=("reached", "sum"),
        predicted_active=("optimal_active_units", "max"),
        active_low=("active_units", "min"),
        active_high=("active_units", "max"),
        near_boundary=("near_boundary", "max"),
        kl_error=("kl_error", "max"),
        kl_share_error=("kl_share_error", "max"),
        variance_error=("variance_error", "max"),
        gap=("optimum_gap", "mean"),
        gap_error=("gap_error", "mean"),
    )
    return linear.assign(gap_error=linear.gap_error / np.sqrt(linear.n)).reset_index()


def _against_optimum(experiment: Experiment, spectrum: pd.DataFrame) -> pd.DataFrame:
    """A row a run whose optimum is known: its largest errors, and the Monte-Carlo standard error of its ELBO there."""
    known = spectrum[spectrum.optimal_kl.notna()]
    is_near = (known.eigenvalue_ratio - 1).abs() < BOUNDARY
    error = (known.kl - known.optimal_kl).abs().mask(is_near)
    variance_error = (known.posterior_variance - known.optimal_posterior_variance).abs().mask(is_near)
    by_dimension = pd.DataFrame(
        {
            "run_id": known.run_id,
            "near_boundary": is_near,
            "kl_error": error,
            "kl_share_error": error / known.optimal_kl.where(known.optimal_kl > 0),
            "kl_within": ~(error > np.maximum(KL_TOLERANCE, KL_SHARE_TOLERANCE * known.optimal_kl)),
            "variance_error": variance_error,
            "noise": 1 - known.optimal_posterior_variance**2,
        }
    )
    how = dict.fromkeys(("kl_error", "kl_share_error", "variance_error"), "max")
    how |= {"near_boundary": "sum", "kl_within": "all", "noise": "sum"}
    by_run = by_dimension.groupby("run_id", sort=False).agg(how).reset_index()
    # At the optimum, log p(x|z) of one z ~ q(z|x) has the variance ½β² Σ_i (1 - (s / λ_i)²), mean over images.
    n_draws = experiment.evaluation.n_samples * experiment.dataset.sizes[experiment.evaluation.split]
    weight = by_run.run_id.map({run.run_id: run.kl(1.0) for run in experiment.runs}).astype(float)
    return by_run.assign(gap_error=weight * np.sqrt(by_run.pop("noise") / (2 * n_draws)))


def _read_csv(path: Path, columns: Iterable[str] = (), record: Path | None = None) -> pd.DataFrame:
    """Names stay text, also "1" and "nan", and so do lists of a single number and columns that are empty."""
    texts = ("run_id", "variant", "baseline", "diverged_because", "collapse", "collapsed_dimensions")
    # Settings that some runs may not have, and what tasks name.
    texts += ("corruption", "supervision", "left_out", *FINDING)
    table = read_csv(path, columns, record, texts)
    if wrong := [column for column in table.columns.intersection(ALL_METRICS) if not is_numeric_dtype(table[column])]:
        raise damaged(path, f"{wrong[0]!r} holds other values than numbers")
    return _together(table)


def _together(table: pd.DataFrame) -> pd.DataFrame:
    """The same table. Columns that were read or added lie apart in memory, which is slow to take rows of, and of a hundred
    such pandas warns; those of a copy lie together."""
    return table.copy()
