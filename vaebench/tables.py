"""Tables: a row per run, a row per variant and grid point with intervals over seeds, comparisons paired by seed.

Runs that diverged are rows of `runs.csv` without metrics; summaries count them and never average over them. A metric that
does not apply to a run is missing there, and numbers over seeds are of the runs that have it. Numbers in the unit of a
likelihood are compared only between runs with the same measure on the same data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaebench.metrics import METRICS, Metric
from vaebench.specification import REGISTRIES, Experiment, Run
from vaebench.statistics import Comparison, holm, interquartile_mean, mean_interval, paired_comparison
from vaebench.store import ExperimentFolder, Results, read_json, replacing, write_text

# Columns that are equal where numbers in the unit of a likelihood can be compared.
SAME_MEASURE = ["measure", "binarisation"]


@dataclass(frozen=True)
class Tables:
    """All tables of one experiment.

    runs: a row a run; a column per setting, `measure`, `status` ("trained" or "diverged"), `diverged_epoch`, and for each
        metric its value and `<metric>_standard_error` over test images.
    summary: a row per variant and grid point; `likelihood` in words, `measure`, `binarisation`, `n` seeds trained,
        `n_diverged`, and for each metric its mean over them `<metric>`, the mean's interval `<metric>_low` to
        `<metric>_high`, and the interquartile mean `<metric>_iqm`.
    comparisons: a row per variant, grid point and metric: `difference` to the baseline, paired by seed, its interval `low`
        to `high`, `n` pairs, `effect_size`, `p` and `probability_of_improvement` as `statistics.paired_comparison` gives
        them, and `p_adjusted`: p by Holm's method over all comparable rows of the metric. Where not `comparable`, NaN.
    history: a row per run and epoch: `vaebench.training.HISTORY_COLUMNS`, `train_elbo`, `validation_elbo`.
    spectrum: `run_id`, `rank` (1 is the largest), `kl` in nats.
    """

    runs: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    history: pd.DataFrame
    spectrum: pd.DataFrame


def aggregate(experiment: Experiment, results: Results) -> None:
    """Gather the cohorts' files into the experiment's tables and write them."""
    folder = results.experiment(experiment.name)
    files = [folder.cohort(cohort.name) for cohort in experiment.cohorts]
    history, metrics, spectrum = (
        pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
        for paths in zip(*((file.history, file.metrics, file.spectrum) for file in files), strict=True)
    )
    runs = runs_table(experiment, folder, metrics)
    summary = summary_table(experiment, runs)
    _save_csv(runs, folder.runs)
    _save_csv(summary, folder.summary("csv"))
    _save_csv(comparisons_table(experiment, runs), folder.comparisons)
    shown = presented(experiment, summary)
    write_text(folder.summary("md"), _markdown(shown))
    write_text(folder.summary("tex"), _latex(experiment, shown))
    for table, path in ((history, folder.history), (spectrum, folder.spectrum)):
        with replacing(path) as temporary:
            table.to_parquet(temporary, index=False)


def load(folder: ExperimentFolder) -> Tables:
    """The tables that `aggregate` wrote."""
    return Tables(
        runs=_read_csv(folder.runs),
        summary=_read_csv(folder.summary("csv")),
        comparisons=_read_csv(folder.comparisons),
        history=_with_elbo(pd.read_parquet(folder.history)),
        spectrum=pd.read_parquet(folder.spectrum),
    )


def _with_elbo(history: pd.DataFrame) -> pd.DataFrame:
    elbos = {
        f"{split}_elbo": -(history[f"{split}_rate"] + history[f"{split}_distortion"]) for split in ("train", "validation")
    }
    return history.assign(**elbos)


def group_keys(experiment: Experiment) -> list[str]:
    """The columns that tell groups of seeds apart: variant, latent size, and what the grid sets."""
    columns = dict.fromkeys(column for run in experiment.runs for column in flat_settings(run))
    in_grid = [column for column in columns if column.split(".")[0] in experiment.grid_keys]
    return list(dict.fromkeys(["variant", "latent_size", *in_grid]))


def runs_table(experiment: Experiment, folder: ExperimentFolder, metrics: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for run in experiment.runs:
        diverged_epoch = read_json(folder.run(run.run_id).record)["diverged_epoch"]
        rows.append(
            {
                "run_id": run.run_id,
                "variant": run.variant,
                **flat_settings(run),
                "measure": measure(run),
                "n_samples": experiment.evaluation.n_samples,
                "status": "trained" if diverged_epoch is None else "diverged",
                "diverged_epoch": diverged_epoch,
            }
        )
    runs = pd.DataFrame(rows).astype({"diverged_epoch": "Int64"})
    for name in METRICS:
        of_metric = metrics[metrics.metric == name].set_index("run_id")
        runs[name] = runs.run_id.map(of_metric.value)
        if not of_metric.standard_error.isna().all():
            runs[f"{name}_standard_error"] = runs.run_id.map(of_metric.standard_error)
    return runs


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
    for values, group in _groups(runs, keys).items():
        trained = group[group.status == "trained"]
        row = dict(zip(keys, values, strict=True))
        row |= {"likelihood": labels[group.run_id.iloc[0]], **group[SAME_MEASURE].iloc[0]}
        row |= {"n": len(trained), "n_diverged": len(group) - len(trained)}
        for name in METRICS:
            row |= _over_seeds(name, trained[name].dropna().to_numpy())
        rows.append(row)
    return pd.DataFrame(rows)


def _over_seeds(name: str, values: np.ndarray) -> dict[str, float]:
    interval = mean_interval(values)
    bounds = {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return {name: interval.mean, **bounds, f"{name}_iqm": float(interquartile_mean(values))}


def _groups(runs: pd.DataFrame, keys: list[str]) -> dict[tuple, pd.DataFrame]:
    """The runs of each group of seeds; a setting that a group does not have is None."""
    groups = runs.groupby(keys, sort=False, dropna=False)
    return {tuple(None if pd.isna(value) else value for value in values): group for values, group in groups}


def comparisons_table(experiment: Experiment, runs: pd.DataFrame) -> pd.DataFrame:
    """Variant minus baseline at the same grid point, over the seeds that both trained."""
    keys = group_keys(experiment)
    groups = {values: group.set_index("seed") for values, group in _groups(runs[runs.status == "trained"], keys).items()}
    rows = []
    for values, group in groups.items():
        baseline = groups.get((experiment.baseline, *values[1:]))
        if values[0] == experiment.baseline or baseline is None:
            continue
        point = dict(zip(keys, values, strict=True)) | {"baseline": experiment.baseline}
        same_measure = bool((group[SAME_MEASURE].iloc[0] == baseline[SAME_MEASURE].iloc[0]).all())
        pair = group, baseline.reindex(group.index)
        rows += [point | _compare(metric, *pair, same_measure) for metric in METRICS.values()]
    columns = [*keys, "metric", "baseline", "comparable", *Comparison._fields]
    comparisons = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(Comparison._fields, float))
    adjusted = comparisons.groupby("metric").p.transform(holm)
    comparisons.insert(columns.index("p") + 1, "p_adjusted", adjusted)
    return comparisons


def _compare(metric: Metric, group: pd.DataFrame, baseline: pd.DataFrame, same_measure: bool) -> dict[str, Any]:
    """group, baseline: rows of the same seeds, NaN where the baseline has none."""
    comparable = same_measure or not metric.per_likelihood
    row = {"metric": metric.name, "comparable": comparable}
    if comparable:
        row |= paired_comparison(group[metric.name].to_numpy(), baseline[metric.name].to_numpy())._asdict()
    return row


def presented(experiment: Experiment, summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as people read it: "mean [low, high]", with units and directions in the header."""
    # The likelihood's label says its settings too.
    keys = summary[[*(key for key in group_keys(experiment) if not key.startswith("likelihood")), "likelihood"]]
    shown = keys.astype(object).where(keys.notna(), "–").rename(columns=lambda key: key.replace("_", " "))
    shown["seeds"] = [
        f"{row.n} (+{row.n_diverged} diverged)" if row.n_diverged else str(row.n) for row in summary.itertuples()
    ]
    for metric in METRICS.values():
        columns = summary[[metric.name, f"{metric.name}_low", f"{metric.name}_high"]].to_numpy()
        shown[heading(metric, experiment)] = [format_interval(*values) for values in columns]
    return shown


def heading(metric: Metric, experiment: Experiment) -> str:
    """A metric's column title, such as "NLL (K = 100) [nats] ↓"."""
    samples = f" (K = {experiment.evaluation.n_samples})" if metric.name == "nll" else ""
    return f"{metric.label}{samples} [{metric.unit}] {metric.arrow}".strip()


def format_interval(mean: float, low: float, high: float) -> str:
    """ "−24.21 [−24.30, −24.12]"; the mean alone where there is no interval, a dash where there is no mean."""
    if np.isnan(mean):
        return "–"
    numbers = [format_number(number) for number in (mean, low, high)]
    return numbers[0] if np.isnan(low) else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def format_number(number: float, decimals: int = 2) -> str:
    """With a true minus sign, and none before a zero."""
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def _markdown(shown: pd.DataFrame) -> str:
    lines = [shown.columns, ["---"] * len(shown.columns), *shown.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _latex(experiment: Experiment, shown: pd.DataFrame) -> str:
    """A booktabs table; every number beside its interval over seeds."""
    note = f"% {experiment.name}: mean and 95 % interval over seeds. Needs the package booktabs.\n"
    symbols = {"−": "$-$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
    body = shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1).to_latex(hrules=True)
    for symbol, latex in symbols.items():
        body = body.replace(symbol, latex)
    return note + body


def _save_csv(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def _read_csv(path: Path) -> pd.DataFrame:
    """Names stay text, also "1" and "nan"."""
    table = pd.read_csv(path, dtype={"variant": str, "baseline": str}, keep_default_na=False, na_values=[""])
    # Read columns lie apart in memory, and of a hundred such pandas warns; those of a copy lie together.
    return table.copy()
