"""Figures of what posterior means tell of classes: from few labels, with all of them, and without any.

They are part of `vaebench.figures.FIGURES`, which says what all figures have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaebench.panels import dot_plot, row_panels
from vaebench.plotting import (
    DOUBLE,
    SINGLE,
    Figures,
    Source,
    add_legend,
    fitting_width,
    legend_entry,
    say_what_is_left_out,
    subplots,
    wrapped,
)
from vaebench.task_scores import CHANCE, MODEL, PCA, PIXELS
from vaebench.tasks import ACCURACY, LABEL_COUNTS, FewLabels, Representation, labels_condition

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

LABEL_FIGURES = Figures()
# What the run's own numbers stand against: greys, as colours are for variants.
BASELINES = {PIXELS: "0.25", PCA: "0.55", CHANCE: "0.8"}
# Of the numbers with all labels and without any, the two that differ most in what they ask.
SHOWN = [metric for metric in Representation.metrics if metric.name in ("linear_probe", "cluster_nmi")]


@LABEL_FIGURES.register(
    title="Accuracy by number of labels",
    caption=(
        "Accuracy of a logistic regression on posterior means on the scored images, learned from a few labelled training "
        "images, as many of each class; mean over 10 draws of them, the same for all. Lines are means over seeds, bands "
        "their 95 % intervals (for three seeds or more). Grey lines are the same classifier on pixels and on as many "
        "principal components as there are latent dimensions, and the share of the most frequent class: above them, what "
        "was learned without labels has helped."
    ),
    applies=lambda source: not source.findings_of(FewLabels.kind).empty,
    shows=tuple(metric.name for metric in FewLabels.metrics if metric.name.startswith("accuracy")),
)
def few_labels(source: Source) -> Drawing:
    findings = source.findings_of(FewLabels.kind)
    findings = findings[findings.score == ACCURACY]
    n_labels = findings.condition.map({labels_condition(n): n for n in LABEL_COUNTS})
    points = source.chosen_points(3)
    handles = source.handles() + _baseline_handles()
    single = len(points) == 1 and fitting_width((handle.get_label() for handle in handles), SINGLE - 0.6) == SINGLE
    width = SINGLE if single else DOUBLE
    drawing, axes = subplots(1, len(points), width, 2.6, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        _lines(ax, source, findings[findings.point == point].assign(n_labels=n_labels))
        ax.set_title(wrapped(source.describe(point, "\n"), 0.8 * width / len(points)))
        ax.set(xlabel="labels", xscale="log")
        ax.set_xticks(LABEL_COUNTS, [f"{n:,}" for n in LABEL_COUNTS])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("accuracy")
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, handles)
    return drawing


def _lines(ax: Axes, source: Source, findings: pd.DataFrame) -> None:
    """Of each variant its mean and interval by `n_labels`; of baselines each line once that variants share."""
    for method, grey in BASELINES.items():
        of_method = findings[findings.method == method]
        for _, line in of_method.pivot(index="variant", columns="n_labels", values="mean").drop_duplicates().iterrows():
            ax.plot(line.index, line, zorder=1, color=grey)
    alpha = min(0.15, 1 / len(source.looks))
    for variant, line in findings[findings.method == MODEL].groupby("variant", sort=False):
        look = source.looks[variant]
        ax.fill_between(line.n_labels, line.low, line.high, color=look["color"], alpha=alpha, linewidth=0)
        ax.plot(line.n_labels, line["mean"], **look)


@LABEL_FIGURES.register(
    title="What posterior means tell of classes",
    caption=(
        "Accuracy of a logistic regression on posterior means with all labels, and agreement of k-means clusters of them, "
        "found without labels, with the classes: 1 is perfect in both. Small points are training seeds, large markers "
        "their means, bars 95 % intervals over seeds (for three seeds or more). Grey bars are the same on pixels, on as "
        "many principal components as there are latent dimensions, and at chance."
    ),
    applies=lambda source: not source.findings_of(Representation.kind).empty,
    shows=tuple(metric.name for metric in SHOWN),
)
def representation(source: Source) -> Drawing:
    findings = source.findings_of(Representation.kind)
    panels = [("", f"{metric.label}, higher is better", source.row_runs) for metric in SHOWN]
    drawing, axes = row_panels(source, panels)
    for ax, metric in zip(axes, SHOWN, strict=True):
        dot_plot(ax, source, source.row_runs, metric.name)
        _baselines(ax, source, findings[findings.score == metric.label])
    add_legend(drawing, _baseline_handles())
    return drawing


def _baselines(ax: Axes, source: Source, findings: pd.DataFrame) -> None:
    """In the rows of `dot_plot`, a bar where each of the baselines of a variant and grid point lies."""
    rows = source.row_runs[["variant", "point"]].drop_duplicates(ignore_index=True).rename_axis("y").reset_index()
    for method, grey in BASELINES.items():
        bars = findings[findings.method == method].merge(rows)
        ax.vlines(bars["mean"], bars.y - 0.4, bars.y + 0.4, color=grey, zorder=1)


def _baseline_handles() -> list[Artist]:
    return [legend_entry(name, color=grey, linestyle="-") for name, grey in BASELINES.items()]
