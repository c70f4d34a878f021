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
    in_reach,
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
# Published accuracies of M2 on MNIST by number of labels, single numbers of means over draws: Kingma et al. (2014b), and a
# later implementation in Pyro.
PUBLISHED = {100: (0.880, 0.932), 1000: (0.964, 0.949)}
M2_LOOK = {"marker": "*", "markersize": 8, "linestyle": "none", "markeredgecolor": "black", "markeredgewidth": 0.4}
# Factor between the places of crosses and stars side by side.
DODGE = 1.15
PUBLISHED_LOOK = {"label": "published, M2", "marker": "x", "markersize": 5, "linestyle": "none", "color": "#CC6677"}
# Of the numbers with all labels and without any, the two that differ most in what they ask.
SHOWN = [metric for metric in Representation.metrics if metric.name in ("linear_probe", "cluster_nmi")]


@LABEL_FIGURES.register(
    title="Accuracy by number of labels",
    caption=(
        "Accuracy of a logistic regression on posterior means on the scored images, learned from a few labelled training "
        "images, as many of each class; mean over 10 draws of them, the same for all. Lines are means over seeds, bands "
        "their 95 % intervals (for three seeds or more); grey lines are the same classifier on pixels and on as many "
        "principal components as there are latent dimensions, and the share of the most frequent class: above them, what "
        "was learned without labels has helped. Stars, if any, are the classifiers q(y|x) of M2, which learn from so many "
        "labels and all other images as they train; crosses are published ones, without intervals."
    ),
    applies=lambda source: not source.findings_of(FewLabels.kind).empty,
    shows=(*(metric.name for metric in FewLabels.metrics if metric.name.startswith("accuracy")), "classifier_accuracy"),
)
def few_labels(source: Source) -> Drawing:
    findings = source.findings_of(FewLabels.kind)
    findings = findings[findings.score == ACCURACY]
    told = _labels_told(source)
    n_labels = findings.condition.map({labels_condition(n): n for n in {*LABEL_COUNTS, *told.values()}})
    published = PUBLISHED if source.experiment.dataset.kind == "mnist" else {}
    published = {n: published[n] for n in told.values() if n in published}
    points = source.chosen_points(3)
    handles = source.handles() + _baseline_handles()
    handles += [legend_entry("M2", **M2_LOOK, color="white")] if told else []
    handles += [legend_entry(**PUBLISHED_LOOK)] if published else []
    single = len(points) == 1 and fitting_width((handle.get_label() for handle in handles), SINGLE - 0.6) == SINGLE
    width = SINGLE if single else DOUBLE
    drawing, axes = subplots(1, len(points), width, 2.6, sharey=True)
    for ax, point in zip(axes.flat, points, strict=True):
        found = findings[findings.point == point].assign(n_labels=n_labels)
        is_told = (found.method == MODEL) & found.variant.map(lambda variant, at=point: (variant, at) in told)
        _lines(ax, source, found[~is_told])
        _stars(ax, source, found[is_told])
        for n, accuracies in published.items():
            ax.plot([n] * len(accuracies), accuracies, **PUBLISHED_LOOK, zorder=5)
        ax.set_title(wrapped(source.describe(point, "\n"), 0.8 * width / len(points)))
        ax.set(xlabel="labels", xscale="log")
        ax.set_xticks(LABEL_COUNTS, [f"{n:,}" for n in LABEL_COUNTS])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("accuracy")
    say_what_is_left_out(drawing, source, points)
    add_legend(drawing, handles)
    return drawing


def _labels_told(source: Source) -> dict[tuple[str, int], int]:
    """How many labels the runs with supervision are told, by variant and grid point."""
    told = {run.run_id: run.supervision.labels for run in source.experiment.runs if run.supervision is not None}
    return {(run.variant, run.point): told[run.run_id] for run in source.runs.itertuples() if run.run_id in told}


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


def _stars(ax: Axes, source: Source, found: pd.DataFrame) -> None:
    """Variants with supervision: means and intervals, side by side as their numbers of labels may be the same, to the
    right of what is published."""
    for index, row in enumerate(found.itertuples()):
        x = row.n_labels * DODGE ** (1 + index)
        color = source.looks[row.variant]["color"]
        ax.vlines(x, row.low, row.high, color=color, linewidth=0.9)
        ax.plot(x, row.mean, **M2_LOOK, color=color, zorder=4)


@LABEL_FIGURES.register(
    title="What posterior means tell of classes",
    caption=(
        "Accuracy of a logistic regression on posterior means with all labels, and agreement of k-means clusters of them, "
        "found without labels, with the classes: 1 is perfect in both. Small points are training seeds, large markers "
        "their means, bars 95 % intervals over seeds (for three seeds or more). Grey bars are the same on pixels, on as "
        "many principal components as there are latent dimensions, and at chance; those far from all variants are in the "
        "tables only."
    ),
    applies=lambda source: not source.findings_of(Representation.kind).empty,
    shows=tuple(metric.name for metric in SHOWN),
)
def representation(source: Source) -> Drawing:
    findings = source.findings_of(Representation.kind)
    panels = [("", f"{metric.label}, higher is better", source.row_runs) for metric in SHOWN]
    drawing, axes = row_panels(source, panels)
    drawn = set()
    for ax, metric in zip(axes, SHOWN, strict=True):
        dot_plot(ax, source, source.row_runs, metric.name)
        drawn |= _baselines(ax, source, findings[findings.score == metric.label])
    add_legend(drawing, [handle for handle in _baseline_handles() if handle.get_label() in drawn])
    return drawing


def _baselines(ax: Axes, source: Source, findings: pd.DataFrame) -> set[str]:
    """In the rows of `dot_plot`, a bar where each of the baselines of a variant and grid point lies; which are drawn."""
    rows = source.row_runs[["variant", "point"]].drop_duplicates(ignore_index=True).rename_axis("y").reset_index()
    bars = findings[findings.method.isin(BASELINES) & findings["mean"].isin(in_reach(ax, findings["mean"]))].merge(rows)
    ax.vlines(bars["mean"], bars.y - 0.4, bars.y + 0.4, color=list(bars.method.map(BASELINES)), zorder=1)
    return set(bars.method)


def _baseline_handles() -> list[Artist]:
    return [legend_entry(name, color=grey, linestyle="-") for name, grey in BASELINES.items()]
