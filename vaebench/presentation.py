"""Numbers and tables as people read them: decimals that carry something, units, Markdown, LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from vaebench.metrics import FAMILIES, Metric
from vaebench.ranking import ranks
from vaebench.specification import Experiment
from vaebench.statistics import CONFIDENCE
from vaebench.tasks import ALL_METRICS
from vaebench.trade_offs import TradeOffs

# What is smaller is what is left of numbers that are equal.
ROUNDING = 1e-9
# What is said of every table of the summary.
MEANING = (
    f"Mean over seeds and its {100 * CONFIDENCE:g} % interval; bold is what is better than all that it can be compared "
    "with, its interval apart from theirs; ↑ higher is better, ↓ lower is better."
)
# And of the table of variants and tasks.
RANKS = "In parentheses the places that the interval leaves open, 1 being the best."
BASELINES = "Below the variants, baselines and floors."
GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "λ": "lambda", "μ": "mu", "σ": "sigma"}
LATEX_TABLE = r"""\begin{{table}}[tbp]
\centering\small\setlength{{\tabcolsep}}{{4pt}}
\caption{{{caption}}}
\label{{tab:{label}}}
\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
{tabular}}}
\end{{table}}
"""
# What LaTeX takes for a command, and signs that pdflatex does not know; letters with accents it does know.
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        **{sign: rf"\{sign}" for sign in "&%$#_{}"},
        "−": "$-$",
        "–": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "²": "$^2$",
        **{letter: rf"$\{name}$" for letter, name in GREEK.items()},
        # A line of its own would end the caption.
        "\n": " ",
    }
)
# What may be a sign of Markdown or of HTML in it; a lone "&" is none.
MARKDOWN = re.compile(r"[\\`*<>\[\]|~\n]|\b_|_\b|&(?=#?\w+;)")


def metrics_by_family(table: pd.DataFrame) -> dict[str, list[Metric]]:
    """The metrics that any row of a table of runs or of a summary has, by family, in the order of FAMILIES."""
    present = [metric for name, metric in ALL_METRICS.items() if name in table and table[name].notna().any()]
    families = {family: [metric for metric in present if metric.family == family] for family in FAMILIES}
    return {family: metrics for family, metrics in families.items() if metrics}


class Number(NamedTuple):
    """A mean and its 95 % interval over seeds as texts with the same decimals, and whether it is set in bold.

    text: a dash where there is no mean. interval: "[−24.30, −24.12]", and half_width, half of its width; rank: "1–2"; empty
    where there is none.
    """

    value: float
    text: str
    interval: str = ""
    half_width: str = ""
    bold: bool = False
    rank: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.text, self.interval, f"({self.rank})" if self.rank else ""]))


def presented(experiment: Experiment, summary: pd.DataFrame, keys: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The summary as people read it, a table for each family: settings as text, metrics as `Number`, under their headings.

    keys: the columns that tell its rows apart. In bold stands what is better than all that it can be compared with, as
    `ranking.ranks` tells.
    """
    settings = row_settings(summary, keys)
    tables = {}
    for family, metrics in metrics_by_family(summary).items():
        columns = {"collapse": summary.collapse.fillna("–")} if family == "collapse" else {}
        columns |= {heading(metric, experiment): summary_column(summary, metric) for metric in metrics}
        tables[family] = settings.assign(**columns)
    return tables


def variants_by_tasks(experiment: Experiment, trade_offs: TradeOffs) -> pd.DataFrame:
    """Variants by tasks as people read them: a rank at each number, the baselines below; seeds and likelihood come last."""
    rows, keys = trade_offs.rows, trade_offs.keys
    settings = row_settings(rows, keys)
    shown = [metric for metric in trade_offs.metrics if rows[metric.name].notna().any()]
    below = trade_offs.baselines.reindex(columns=["method", *(metric.name for metric in shown)])
    names = pd.DataFrame({settings.columns[0]: below["method"]}, columns=settings.columns).fillna("")
    settings = pd.concat([settings, names], ignore_index=True)
    last = [name for name in ("seeds", "likelihood") if name not in keys]
    numeric = {heading(metric, experiment): _ranked_column(rows, metric, below[metric.name]) for metric in shown}
    return settings.drop(columns=last).assign(**numeric, **settings[last])


def _ranked_column(rows: pd.DataFrame, metric: Metric, below: pd.Series) -> list[Number]:
    """A metric of every row with its rank, and below them baselines."""
    means, lows, highs = (rows[f"{metric.name}{end}"] for end in ("", "_low", "_high"))
    column = numbers_and_baselines(means, lows, highs, below)
    ranked = [
        number._replace(bold=bool(rank and rank.is_best), rank=str(rank) if rank and rank.n > 1 else "")
        for number, rank in zip(column, ranks(rows, metric), strict=False)
    ]
    return [*ranked, *column[len(ranked) :]]


def row_settings(summary: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """What tells the rows of a summary apart and of how many seeds they are, as text under their titles."""
    # The likelihood's label says its settings too.
    rows = summary[[*(key for key in keys if not key.startswith("likelihood")), "likelihood"]]
    shown = rows.astype(object).where(rows.notna(), "–").astype(str).rename(columns=lambda key: key.replace("_", " "))
    return shown.assign(
        seeds=[f"{row.n} (+{row.n_diverged} diverged)" if row.n_diverged else str(row.n) for row in summary.itertuples()]
    )


def summary_column(summary: pd.DataFrame, metric: Metric) -> list[Number]:
    """A metric of every row of a summary."""
    column = numbers(*(summary[f"{metric.name}{end}"] for end in ("", "_low", "_high")))
    places = ranks(summary, metric)
    return [number._replace(bold=bool(rank and rank.is_best)) for number, rank in zip(column, places, strict=True)]


def heading(metric: Metric, experiment: Experiment) -> str:
    """A metric's column title, such as "NLL (K = 100) [nats] ↓"."""
    return " ".join(heading_parts(metric, experiment)).strip()


def heading_parts(metric: Metric, experiment: Experiment) -> tuple[str, str]:
    """What it is, and its unit and direction: "NLL (K = 100)" and "[nats] ↓"."""
    label = f"{metric.label} (K = {experiment.evaluation.n_samples})" if metric.name == "nll" else metric.label
    unit = f"[{metric.unit}]" if metric.unit else ""
    return label, f"{unit} {metric.arrow}".strip()


def numbers(means: pd.Series, lows: pd.Series, highs: pd.Series) -> list[Number]:
    """A column of a table, all with the decimals that show three digits of the largest mean and, up to the fourth decimal,
    resolve a sixth of the usual interval's width."""
    widths = highs - lows
    decimals = decimals_for(means.abs().max() / 100, (widths[widths > ROUNDING] / 6).clip(lower=1e-4).median())
    return [_number(*bounds, decimals) for bounds in zip(means, lows, highs, strict=True)]


def numbers_and_baselines(means: pd.Series, lows: pd.Series, highs: pd.Series, below: pd.Series) -> list[Number]:
    """The same with the means of baselines below, which have no intervals."""
    nothing = [math.nan] * len(below)
    return numbers(*map(pd.Series, ([*means, *below], [*lows, *nothing], [*highs, *nothing])))


def _number(mean: float, low: float, high: float, decimals: int) -> Number:
    if math.isnan(mean):
        return Number(mean, "–")
    text = format_number(mean, decimals)
    if math.isnan(low):
        return Number(mean, text)
    interval = f"[{format_number(low, decimals)}, {format_number(high, decimals)}]"
    return Number(mean, text, interval, format_number((high - low) / 2, decimals))


def decimals_for(*sizes: float) -> int:
    """As many as it takes to show the first digit of each size, but two to six; NaN and what is rounding do not count."""
    shown = [size for size in sizes if size > ROUNDING]
    return min(max(2, math.ceil(-math.log10(min(shown)))), 6) if shown else 2


def format_number(number: float, decimals: int = 2) -> str:
    """With a true minus sign, and none before a zero."""
    return f"{round(number, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def format_counts(low: float, high: float) -> str:
    """ "8", or "4 to 8"."""
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def in_markdown(text: str) -> str:
    """What a Markdown page shows as this text, on one line: neither Markdown nor HTML in it means anything."""
    return MARKDOWN.sub(lambda sign: f"&#{ord(sign[0])};" if sign[0] != "\n" else " ", text)


def in_latex(text: str) -> str:
    """What LaTeX prints as this text."""
    return text.translate(LATEX)


def markdown(tables: dict[str, pd.DataFrame], notes: Sequence[str] = ()) -> str:
    """A table under a heading for each family. notes: what has to be known of all of them, in sentences."""
    return f"{_joined(MEANING, *map(in_markdown, notes))}\n" + "".join(
        f"\n## {FAMILIES[family]}\n\n{_markdown_table(shown)}" for family, shown in tables.items()
    )


def markdown_by_tasks(experiment: Experiment, trade_offs: TradeOffs, notes: Sequence[str] = ()) -> str:
    """The table of variants and tasks."""
    shown = variants_by_tasks(experiment, trade_offs)
    return f"{_joined(MEANING, *_reading(trade_offs), *map(in_markdown, notes))}\n\n{_markdown_table(shown)}"


def _reading(trade_offs: TradeOffs) -> list[str]:
    """How to read what only that table has."""
    return [RANKS, BASELINES] if len(trade_offs.baselines) else [RANKS]


def _joined(*sentences: str) -> str:
    return " ".join(sentences)


def _markdown_table(shown: pd.DataFrame) -> str:
    lines = [shown.columns, ["---"] * len(shown.columns), *shown.map(_markdown_cell).to_numpy()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _markdown_cell(cell: str | Number) -> str:
    if not isinstance(cell, Number):
        return in_markdown(cell)
    return f"**{cell}**" if cell.bold else str(cell)


def latex(experiment: Experiment, tables: dict[str, pd.DataFrame], notes: Sequence[str] = ()) -> str:
    """A booktabs table for each family, "mean ± half of the interval"; below each heading its unit and direction.

    Settings that are the same in all rows stand in the caption, and so do notes, sentences on all tables; a table that is
    wider than a line is made smaller.
    """
    metrics = list(experiment.metrics.values())
    parts = [_latex_table(experiment, FAMILIES[name], name, shown, metrics, notes) for name, shown in tables.items()]
    return _latex_note(experiment) + "".join(f"\n{table}" for table in parts)


def latex_by_tasks(experiment: Experiment, trade_offs: TradeOffs, notes: Sequence[str] = ()) -> str:
    """The table of variants and tasks, with a rule above its baselines."""
    shown, n_below = variants_by_tasks(experiment, trade_offs), len(trade_offs.baselines)
    notes = [*_reading(trade_offs), *notes]
    table = _latex_table(experiment, "Variants and tasks", "tasks", shown, trade_offs.metrics, notes, n_below)
    return f"{_latex_note(experiment)}\n{table}"


def _latex_note(experiment: Experiment) -> str:
    return f"% {experiment.name}. Needs the packages booktabs and graphicx.\n"


def _latex_table(
    experiment: Experiment,
    title: str,
    label: str,
    shown: pd.DataFrame,
    metrics: Sequence[Metric],
    notes: Sequence[str],
    n_below: int = 0,
) -> str:
    """n_below: how many of the last rows stand below a rule, and have no settings."""
    parts = {heading(metric, experiment): heading_parts(metric, experiment) for metric in metrics}
    shown, words = _said_once(shown, len(shown) - n_below)
    columns = pd.MultiIndex.from_tuples(parts.get(title, (title, "")) for title in shown.columns)
    is_metric = shown.columns.isin(list(parts))
    styler = shown.set_axis(columns, axis=1).style.hide(axis="index").format_index(in_latex, axis=1)
    styler = styler.format(_latex_number, subset=columns[is_metric]).format(_latex_text, subset=columns[~is_metric])
    column_format = "".join("r" if numeric else "l" for numeric in is_metric)
    tabular = styler.to_latex(column_format=column_format, hrules=True, sparse_columns=False)
    if n_below:
        *above, end, last = tabular.splitlines(keepends=True)
        tabular = "".join([*above[:-n_below], "\\midrule\n", *above[-n_below:], end, last])
    caption = in_latex(_joined(f"{title} on {experiment.dataset.kind}{words}.", MEANING, *notes))
    return LATEX_TABLE.format(caption=caption, label=f"{experiment.name}-{label}", tabular=tabular)


def _said_once(shown: pd.DataFrame, n_rows: int) -> tuple[pd.DataFrame, str]:
    """A table without the settings that are the same in all of its first rows, and these in words."""
    first = shown[:n_rows]
    same = [name for name in shown.columns[1:] if isinstance(first[name].iloc[0], str) and first[name].nunique() == 1]
    return shown.drop(columns=same), "".join(f", {name} {shown[name].iloc[0]}" for name in same)


def _latex_text(cell: str) -> str:
    """A row that begins with a bracket or a star would be taken for an option of the end of the one before."""
    return "{}" * cell.startswith(("[", "*")) + in_latex(cell)


def _latex_number(number: Number) -> str:
    if math.isnan(number.value):
        return in_latex(number.text)
    amount = f"{number.text} \\pm {number.half_width}" if number.half_width else number.text
    amount = amount.replace("−", "-")
    shown = rf"$\mathbf{{{amount}}}$" if number.bold else f"${amount}$"
    return f"{shown} ({in_latex(number.rank)})" if number.rank else shown
