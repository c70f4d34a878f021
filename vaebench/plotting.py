"""What figures have in common: their registry and source, the looks of variants, the style and sizes for print.

matplotlib, seaborn and the tables are imported where they are used, so that captions can be read without.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vaebench.projections import Projections
from vaebench.specification import Experiment
from vaebench.store import ExperimentFolder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from vaebench.tables import Tables
    from vaebench.trade_offs import TradeOffs

MARKERS = "os^DvPX<>p*hd8"
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (2, 2)))
# Of seaborn's "colorblind", in an order in which neighbours differ in grey too; its pink, grey and yellow are too pale for
# thin lines. None is black.
COLOURS = (0, 1, 2, 9, 3, 5, None, 4)
GREY = "0.45"
# Inches: the widths of one and two columns of a journal's page, 85 and 175 mm; what a page has room for; an average letter.
SINGLE = 3.35
DOUBLE = 6.9
PAGE_HEIGHT = 8.2
LETTER = 0.056
# How far off baselines are drawn, as a multiple of what variants span: beyond, they would press these together.
REACH = 2
# A figure of more rows is read by no one and takes minutes to draw: a thousand are five metres high.
MOST_ROWS = 200
# More epochs than this cannot be told apart in a panel.
MOST_EPOCHS = 100
# More variants than this have no figures of their own.
MOST_VARIANTS = 24
# The figure of whatever metric no other figure shows.
HEADLINE = "headline"


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    caption: plain text, what is shown and how to read it. draw: from a source or, if it is drawn for each variant, from a
    source and a variant's name. applies: whether the source has what it shows. shows: the metrics whose values can be read
    from it. raster: it is made of pixels, so that pages show the png. left_out: it shows runs that left out a class too,
    where there are others; most figures are about those that left out nothing.
    """

    name: str
    title: str
    caption: str
    draw: Callable[..., Drawing]
    applies: Callable[[Source], bool] = lambda source: True
    shows: tuple[str, ...] = ()
    per_variant: bool = False
    raster: bool = False
    left_out: bool = False

    def of(self, source: Source) -> Source:
        """What of an experiment it is drawn from."""
        return source if self.left_out else source.whole

    @property
    def suffix(self) -> str:
        """Of the file that pages show."""
        return "png" if self.raster else "svg"


class Figures(dict[str, Figure]):
    """Figures by name, in the order in which people read them."""

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions that draw them."""
        return frozenset(figure.draw.__name__ for figure in self.values())

    def applicable(self, source: Source, per_variant: bool = False) -> list[str]:
        """The names of the figures that there are for an experiment: those of all its variants, or those of each."""
        figures = (figure for figure in self.values() if figure.per_variant == per_variant)
        return [figure.name for figure in figures if figure.applies(figure.of(source))]

    def answering(self, source: Source) -> str:
        """The name of the first figure that shows the experiment's headline metric: "headline" where no other does."""
        headline = source.experiment.headline
        figures = (figure for figure in self.values() if headline in figure.shows and not figure.per_variant)
        return next((figure.name for figure in figures if figure.applies(figure.of(source))), HEADLINE)

    def add(self, figure: Figure) -> None:
        """Raises ValueError for a name taken."""
        if figure.name in self:
            raise ValueError(f"two figures are called {figure.name!r}")
        self[figure.name] = figure

    def register(self, title: str, caption: str, **options: Any) -> Callable[[Callable[..., Drawing]], Figure]:
        """Decorator: the function becomes the figure of its own name, with hyphens; options: the other fields of `Figure`.

        Raises ValueError for a name taken.
        """

        def register(draw: Callable[..., Drawing]) -> Figure:
            figure = Figure(draw.__name__.replace("_", "-"), title, caption, draw, **options)
            self.add(figure)
            return figure

        return register


@dataclass(frozen=True)
class Source:
    """What figures are drawn from: an experiment, its tables, and its folder for the pictures."""

    experiment: Experiment
    folder: ExperimentFolder
    tables: Tables

    @cached_property
    def whole(self) -> Source:
        """The same of the runs that left out no class, where there are others."""
        from vaebench.tables import of_experiment

        experiment = self.experiment.whole
        if experiment is self.experiment:
            return self
        return Source(experiment, self.folder, of_experiment(self.tables, experiment))

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The table of runs and, of each run, `point`, its index in `points`; `scale`, the unit and data of its likelihood
        in words; and `<metric>_mean`, `<metric>_low`, `<metric>_high`, the summary over seeds of its variant and point."""
        from vaebench.tables import group_keys

        # An experiment's runs stand in the order variant, grid, seed.
        points = {run.run_id: i // self.experiment.seeds % len(self.points) for i, run in enumerate(self.experiment.runs)}
        runs = self.tables.runs
        runs = runs.assign(point=runs.run_id.map(points), scale=_scale(runs))
        keys = group_keys(self.experiment)
        summary = self.tables.summary[
            [*keys, *(f"{metric}{end}" for metric in self.experiment.metrics for end in ("", "_low", "_high"))]
        ]
        return runs.merge(summary, "left", on=keys, suffixes=("", "_mean"), validate="many_to_one")

    @cached_property
    def trained(self) -> pd.DataFrame:
        return self.runs[self.runs.status == "trained"]

    @cached_property
    def history(self) -> pd.DataFrame:
        """The table of epochs, by the number of epochs done, with what figures need to know of each run; long trainings at
        equal distances."""
        about = self.runs[["run_id", "variant", "point", "scale", "latent_size", "status", "epochs"]]
        history = self.tables.history.merge(about, on="run_id")
        history = history.assign(epoch=history.epoch + 1)
        return history[history.epoch % np.ceil(history.epochs / MOST_EPOCHS) == 0]

    @cached_property
    def spectrum(self) -> pd.DataFrame:
        """The table of latent dimensions, with the variant and the point of each run."""
        return self.tables.spectrum.merge(self.trained[["run_id", "variant", "point"]], on="run_id")

    def findings_of(self, task: str) -> pd.DataFrame:
        """The table of tasks as far as it is of one, with the grid point of each row; empty where it was not asked for."""
        from vaebench.tables import group_keys

        findings = self.tables.tasks
        if findings.empty:
            return findings
        keys = group_keys(self.experiment)
        points = self.runs[[*keys, "point"]].drop_duplicates()
        return findings[findings.task == task].merge(points, on=keys)

    @cached_property
    def trade_offs(self) -> TradeOffs:
        """Variants by tasks, of an experiment that has tasks."""
        from vaebench import trade_offs
        from vaebench.tables import group_keys

        tables = self.tables
        return trade_offs.gather(
            self.experiment.tasks, group_keys(self.experiment), tables.runs, tables.summary, tables.tasks
        )

    @cached_property
    def projections(self) -> Projections:
        """The posterior means of runs in the plane, by run_id."""
        return Projections(self.folder)

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """The grid's points as setting -> value; a single empty one without a grid."""
        grid = self.experiment.grid or {}
        return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]

    def chosen_points(self, most: int) -> list[int]:
        """At most so many points, evenly spread over the latent sizes (or else the first setting)."""
        grid = self.experiment.grid or {}
        leading = "latent_size" if "latent_size" in grid else next(iter(grid), None)
        chosen = itertools.product(*(_spread(values, most if key == leading else 1) for key, values in grid.items()))
        return [self.points.index(dict(zip(grid, values, strict=True))) for values in chosen]

    @cached_property
    def shown_variants(self) -> list[str]:
        """The variants that have figures of their own: the first of the file."""
        return list(self.experiment.variants)[:MOST_VARIANTS]

    @cached_property
    def row_points(self) -> list[int]:
        """The points that have rows of their own: all, or as many as there is room for, evenly spread over the grid."""
        return _spread(range(len(self.points)), max(1, MOST_ROWS // len(self.looks)))

    @cached_property
    def row_runs(self) -> pd.DataFrame:
        """The runs at these points, for figures with a row for each variant and point."""
        return self.runs[self.runs.point.isin(self.row_points)]

    def describe(self, point: int, separator: str = ", ") -> str:
        """ "latent size 8, learning rate 0.001"; the latent size even without a grid, if all runs have the same."""
        sizes = self.runs.latent_size.unique()
        settings = ({"latent_size": sizes[0]} if len(sizes) == 1 else {}) | self.points[point]
        return separator.join(f"{word(key)} {word(value)}" for key, value in settings.items())

    @cached_property
    def looks(self) -> dict[str, dict[str, Any]]:
        """Variant -> colour, marker and dash, by its place in the experiment file."""
        import seaborn

        palette = seaborn.color_palette("colorblind")
        colours = [(0.0, 0.0, 0.0) if index is None else palette[index] for index in COLOURS]
        looks = zip(*map(itertools.cycle, (colours, MARKERS, DASHES)), strict=True)
        names = ("color", "marker", "linestyle")
        return {
            variant: dict(zip(names, look, strict=True))
            for variant, look in zip(self.experiment.variants, looks, strict=False)
        }

    def handles(self, **changes: Any) -> list[Artist]:
        """A legend entry for each variant, which counts its diverged runs."""
        status = {variant: self.runs.status[self.runs.variant == variant] for variant in self.looks}
        return [
            legend_entry(variant + count_diverged(status[variant]), **(look | changes))
            for variant, look in self.looks.items()
        ]


def styled() -> AbstractContextManager[None]:
    """Within it, matplotlib draws for print, in the font that comes with it, and writes files that open everywhere.

    No text is smaller than 7 pt at the widths of this module.
    """
    import seaborn
    from matplotlib import style

    settings = seaborn.axes_style("ticks") | {
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.titley": 1.0,  # or it is sought anew at each drawing
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "figure.titlesize": "medium",
        "legend.frameon": False,
        "axes.formatter.useoffset": False,
        "axes.linewidth": 0.8,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "lines.linewidth": 1.1,
        "lines.markersize": 4,
        "figure.dpi": 180,
        "text.hinting": "none",  # or texts have other widths at other resolutions, and formats other layouts
        "svg.hashsalt": "vaebench",
        "svg.fonttype": "path",  # shows the same where the font is missing
        "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    }
    return style.context(["default", settings])


def subplots(n_rows: int, n_columns: int, width: float, height: float, **options: Any) -> tuple[Drawing, np.ndarray]:
    """A drawing of so many inches and its axes [n_rows, n_columns]."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(n_rows, n_columns, squeeze=False, **options)


def in_reach(ax: Axes, values: Iterable[float]) -> list[float]:
    """Those of the values that leave what is drawn along x already room enough to be told apart."""
    low, high = ax.dataLim.intervalx
    reach = REACH * (high - low) or math.inf
    return [value for value in values if low - reach <= value <= high + reach]


def fitting_width(labels: Iterable[str], room: float) -> float:
    """Of a single column, if the longest label fits into so many inches of it; else of two."""
    return SINGLE if LETTER * max(map(len, labels), default=0) <= room else DOUBLE


def wrapped(text: str, width: float) -> str:
    """Each of its lines in lines of about so many inches."""
    return "\n".join(textwrap.fill(line, max(8, int(width / LETTER))) for line in text.split("\n"))


def add_legend(drawing: Drawing, handles: list[Artist]) -> None:
    """Below the panels, in as many columns as fit; the drawing grows by the legend's height."""
    width, height = drawing.get_size_inches()
    longest = max(len(handle.get_label()) for handle in handles)
    n_rows = math.ceil(len(handles) / max(1, int(width / (0.6 + LETTER * longest))))
    drawing.set_size_inches(width, height + 0.15 * n_rows)
    drawing.legend(handles=handles, loc="outside lower center", ncols=math.ceil(len(handles) / n_rows), handlelength=3.2)


def legend_entry(label: str, **look: Any) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **({"linestyle": "none"} | look))


def say_what_is_left_out(drawing: Drawing, source: Source, shown: list[int]) -> None:
    if len(shown) < len(source.points):
        drawing.suptitle(f"{len(shown)} of {len(source.points)} grid points are shown")


def _scale(runs: pd.DataFrame) -> pd.Series:
    """In words, the unit of a run's log-likelihood and its data: runs with different ones share no axis."""
    likelihoods = runs.groupby(["measure", "binarisation"]).likelihood.transform(lambda names: ", ".join(names.unique()))
    data = runs.binarisation.map(lambda name: "" if name == "none" else f", {name} binarisation")
    data = data.mask(runs.measure == "not a density", " on grey pixels")
    return likelihoods.str.capitalize() + data + ": " + runs.measure


def count_diverged(status: pd.Series) -> str:
    """ " (1 of 5 diverged)", or nothing if all trained."""
    n_diverged = (status == "diverged").sum()
    return f" ({n_diverged} of {len(status)} diverged)" if n_diverged else ""


def word(value: Any) -> str:
    """A setting's name or value as text: numbers short, definitions and lists by what they hold."""
    if isinstance(value, dict):
        value = list(value.values())
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return " ".join(map(word, value))
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _spread(values: Sequence[Any], n: int) -> list[Any]:
    """n of the values, evenly spread from first to last; the middle one for n = 1."""
    last = len(values) - 1
    chosen = np.linspace(0, last, min(n, len(values))).round().astype(int) if n > 1 else [last // 2]
    return [values[index] for index in chosen]
