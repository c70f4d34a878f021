"""Numbers and tables as people read them: decimals that carry something, units, Markdown, LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vaebench.metrics import FAMILIES, METRICS, Metric
from vaebench.specification import Experiment

# What is smaller is what is left of numbers that are equal.
ROUNDING = 1e-9
# Signs that stand in tables and that pdflatex does not know.
LATEX = {
    "−": "$-$",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "σ": r"$\sigma$",
    "β": r"$\beta$",
    "²": "$^2$",
}


def metrics_by_family(table: pd.DataFrame) -> dict[str, list[Metric]]:
    """The metrics that any row of a table of runs or of a summary has, by family, in the order of FAMILIES."""
    present = [metric for metric in METRICS.values() if table[metric.name].notna().any()]
    families = {family: [metric for metric in present if metric.family == family] for family in FAMILIES}
    return {family: metrics for family, metrics in families.items() if metrics}


def presented(experiment: Experiment, summary: pd.DataFrame, keys: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The summary as people read it, a table for each family: "mean [low, high]", units and directions in the header.

    keys: the columns that tell its rows apart.
    """
    # The likelihood's label says its settings too.
    rows = summary[[*(key for key in keys if not key.startswith("likelihood")), "likelihood"]]
    shown = rows.astype(object).where(rows.notna(), "–").rename(columns=lambda key: key.replace("_", " "))
    shown["seeds"] = [
        f"{row.n} (+{row.n_diverged} diverged)" if row.n_diverged else str(row.n) for row in summary.itertuples()
    ]
    tables = {}
    for family, metrics in metrics_by_family(summary).items():
        columns = {"collapse": summary.collapse.fillna("–")} if family == "collapse" else {}
        for metric in metrics:
            numbers = (summary[f"{metric.name}{end}"] for end in ("", "_low", "_high"))
            columns[heading(metric, experiment)] = format_column(*numbers)
        tables[family] = shown.assign(**columns)
    return tables


def heading(metric: Metric, experiment: Experiment) -> str:
    """A metric's column title, such as "NLL (K = 100) [nats] ↓"."""
    samples = f"(K = {experiment.evaluation.n_samples})" if metric.name == "nll" else ""
    unit = f"[{metric.unit}]" if metric.unit else ""
    return " ".join(part for part in (metric.label, samples, unit, metric.arrow) if part)


def format_column(means: pd.Series, lows: pd.Series, highs: pd.Series) -> list[str]:
    """Intervals as text, all with the decimals that show three digits of the largest mean and, up to the fourth decimal,
    resolve a sixth of the usual interval's width."""
    widths = highs - lows
    decimals = decimals_for(means.abs().max() / 100, (widths[widths > ROUNDING] / 6).clip(lower=1e-4).median())
    return [format_interval(*numbers, decimals) for numbers in zip(means, lows, highs, strict=True)]


def decimals_for(*sizes: float) -> int:
    """As many as it takes to show the first digit of each size, but two to six; NaN and what is rounding do not count."""
    shown = [size for size in sizes if size > ROUNDING]
    return min(max(2, math.ceil(-math.log10(min(shown)))), 6) if shown else 2


def format_interval(mean: float, low: float, high: float, decimals: int = 2) -> str:
    """ "−24.21 [−24.30, −24.12]"; the mean alone where there is no interval, a dash where there is no mean."""
    if np.isnan(mean):
        return "–"
    number = format_number(mean, decimals)
    return number if np.isnan(low) else f"{number} [{format_number(low, decimals)}, {format_number(high, decimals)}]"


def format_number(number: float, decimals: int = 2) -> str:
    """With a true minus sign, and none before a zero."""
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def format_counts(low: float, high: float) -> str:
    """ "8", or "4 to 8"."""
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def markdown(tables: dict[str, pd.DataFrame]) -> str:
    """A table under a heading for each family."""
    return "\n".join(f"## {FAMILIES[family]}\n\n{_markdown_table(shown)}" for family, shown in tables.items())


def _markdown_table(shown: pd.DataFrame) -> str:
    lines = [shown.columns, ["---"] * len(shown.columns), *shown.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def latex(experiment: Experiment, tables: dict[str, pd.DataFrame]) -> str:
    """A booktabs table for each family; every number beside its interval over seeds."""
    note = f"% {experiment.name}: mean and 95 % interval over seeds. Needs the package booktabs.\n"
    return note + "".join(f"\n% {FAMILIES[family]}\n{_latex_table(shown)}" for family, shown in tables.items())


def _latex_table(shown: pd.DataFrame) -> str:
    body = shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1).to_latex(hrules=True)
    for symbol, latex in LATEX.items():
        body = body.replace(symbol, latex)
    return body
