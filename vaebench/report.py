"""The report: one HTML file with the findings, tables, figures, methods and provenance of an experiment.

It stands alone (no script, no network) and holds no date: the same tables and figures give the same bytes, but for the
place of what the stages cost, which `vaebench.costs` fills when all have ended. All that is said in words about numbers
comes from `vaebench.findings`.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from vaebench import caveats, findings
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.latent_dimensions import ACTIVE_VARIANCE, COLLAPSE_DELTA, COLLAPSE_EPSILON
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import FAMILIES, METRICS, Metric
from vaebench.plotting import Source
from vaebench.presentation import format_column, format_counts, format_number, heading, metrics_by_family, presented
from vaebench.scores import CORRELATION_SAMPLES, LEVEL_SAMPLES, SIGMA_IMAGES
from vaebench.specification import REGISTRIES, Experiment, Run
from vaebench.statistics import CONFIDENCE, FEWEST_SEEDS, SIGNIFICANCE
from vaebench.store import ExperimentFolder, Results, read_json, write_text
from vaebench.tables import (
    GAP_TOLERANCE,
    KL_SHARE_TOLERANCE,
    KL_TOLERANCE,
    Tables,
    group_keys,
    linear_table,
    load,
    supported,
)
from vaebench.wording import counted, listed

MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
SYMBOLS = {"sigma": "σ"}
DECAYS = {"none": "none", "linear": "linear, to 0 at the end of training"}
BINARISATIONS = {
    "none": "none (the data's own levels)",
    "threshold": "threshold (pixels above half of the scale are 1)",
    "static": "static (each pixel drawn once, with its grey level as the probability)",
    "dynamic": "dynamic (drawn anew in each epoch of training; validation and test images are drawn once)",
}


def write(experiment: Experiment, results: Results) -> None:
    """Write report.html from the tables, the figures and the runs' records. Raises UserError where a figure is missing."""
    folder = results.experiment(experiment.name)
    write_text(folder.report, _render(experiment, folder, load(folder)))


def _render(experiment: Experiment, folder: ExperimentFolder, tables: Tables) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"listed": listed, "counted": counted}
    return environment.get_template("report.html").render(_content(experiment, folder, tables))


def _content(experiment: Experiment, folder: ExperimentFolder, tables: Tables) -> dict[str, Any]:
    """What the template shows, by name."""
    environments = [read_json(folder.run(run.run_id).record)["environment"] for run in experiment.runs]
    linear = linear_table(experiment, tables.runs, tables.spectrum)
    return {
        "experiment": experiment,
        **_sentences(experiment, tables, linear, environments),
        "summary": summary(experiment, tables),
        "comparisons": comparisons(experiment, tables),
        "linear": linear_against_optimum(experiment, tables, linear),
        "figures": [_figure(folder, name) for name in FIGURES.applicable(Source(experiment, folder, tables))],
        "metrics": {FAMILIES[family]: metrics for family, metrics in metrics_by_family(tables.runs).items()},
        "settings": settings(experiment),
        "methods": methods(experiment),
        "definitions": definitions(experiment),
        "specification": specification_text(experiment),
        "runs": runs_table(experiment, tables.runs),
        "environments": {key: Counter(each[key] or "unknown" for each in environments) for key in environments[0]},
        "training_seconds": float(tables.history.seconds.sum()),
        "confidence": f"{100 * CONFIDENCE:g} %",
        "fewest_seeds": FEWEST_SEEDS,
        "significance": SIGNIFICANCE,
    }


def _sentences(
    experiment: Experiment, tables: Tables, linear: pd.DataFrame, environments: list[dict[str, str | None]]
) -> dict[str, list[str]]:
    """The answer to the title's question, what else is found, and what to know before trusting either."""
    keys = group_keys(experiment)
    headline, split = METRICS[experiment.headline], experiment.evaluation.split
    reached = findings.reached(linear, keys, split)
    answered_by_elbo = headline.name == "elbo" and not reached
    return {
        "answer": reached or findings.answer(tables.summary, tables.comparisons, keys, headline),
        "findings": [
            *([] if answered_by_elbo else findings.differences(tables.comparisons, keys, METRICS["elbo"])),
            *findings.collapses(tables.summary, keys, experiment.baseline),
            *findings.effective_weights(tables.runs),
            *findings.not_compared(tables.runs, tables.comparisons, experiment.baseline),
        ],
        "warnings": [
            *caveats.unnormalised(tables.runs),
            *caveats.without_interval(tables.summary),
            *caveats.diverged(tables.runs),
            *caveats.few_samples(tables.runs, experiment.evaluation.n_samples),
            *caveats.at_ceiling(tables.runs, experiment.dataset.sizes[split]),
            *caveats.at_bound(tables.runs),
            *caveats.mixed(environments),
            *caveats.uncommitted(environments),
        ],
    }


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as the template draws it: rows grouped by variant, `keys` columns first, then columns "mean [low, high]".

    name: within the page. groups: (variant, its likelihoods, rows); a row is its cells, each a string and whether it is set
    in bold.
    """

    name: str
    title: str
    keys: list[str]
    headings: list[str]
    groups: list[tuple[str, str, list[list[tuple[str, bool]]]]]


def summary(experiment: Experiment, tables: Tables) -> list[Table]:
    """The summary as `presented` gives it, by family and variant."""
    # Both stand beside the rows of a variant, where the grid does not set them.
    aside = {"variant", "likelihood"} - set(experiment.grid_keys)
    made = []
    for family, shown in presented(experiment, tables.summary, group_keys(experiment)).items():
        shown = shown.loc[:, ~shown.columns.isin(aside) & ~shown.columns.duplicated()].astype(str)
        rows = [[(cell, False) for cell in row] for row in shown.to_numpy()]
        columns, n_keys = list(shown.columns), shown.columns.get_loc("seeds") + 1
        groups = _by_variant(tables, tables.summary.variant, rows)
        made.append(Table(f"summary-{family}", FAMILIES[family], columns[:n_keys], columns[n_keys:], groups))
    return made


def comparisons(experiment: Experiment, tables: Tables) -> list[Table]:
    """Differences to the baseline by family, variant and grid point, bold where they are supported."""
    keys = group_keys(experiment)
    points = tables.comparisons.groupby(keys, sort=False, dropna=False)
    if not len(points):
        return []
    variants = [values[0] for values, _ in points]
    starts = [[*_cells(values[1:]), str(int(group.n.fillna(0).max()))] for values, group in points]
    names = [*(key.replace("_", " ") for key in keys[1:]), "seeds"]
    made = []
    for family, metrics in metrics_by_family(tables.runs).items():
        columns = [_differences(tables.comparisons, metric) for metric in metrics]
        rows = [[*((cell, False) for cell in start), *cells] for start, *cells in zip(starts, *columns, strict=True)]
        headings = [heading(metric, experiment) for metric in metrics]
        groups = _by_variant(tables, variants, rows)
        made.append(Table(f"comparisons-{family}", FAMILIES[family], names, headings, groups))
    return made


def _differences(comparisons: pd.DataFrame, metric: Metric) -> list[tuple[str, bool]]:
    """One metric's column, in the table's order of variants and grid points."""
    rows = comparisons[comparisons.metric == metric.name]
    texts = format_column(rows.difference, rows.low, rows.high)
    return [
        (text, supported(row)) if row["comparable"] else ("not comparable", False)
        for text, row in zip(texts, rows.to_dict("records"), strict=True)
    ]


def linear_against_optimum(experiment: Experiment, tables: Tables, linear: pd.DataFrame) -> Table | None:
    """What was predicted of linear runs against what was measured; None where there are none."""
    if linear.empty:
        return None
    keys = group_keys(experiment)[1:]
    columns = {
        "active, predicted": linear.predicted_active.map("{:.0f}".format),
        "active, measured": [format_counts(row.active_low, row.active_high) for row in linear.itertuples()],
        "near βσ²": linear.near_boundary.map(str),
        "largest error of a KL [nats]": linear.kl_error.map(_rounded),
        "as a share of the optimal KL": linear.kl_share_error.map(_rounded),
        "largest error of a posterior variance": linear.variance_error.map(_rounded),
        "gap to the optimum [nats]": [f"{_rounded(row.gap)} ± {_rounded(row.gap_error)}" for row in linear.itertuples()],
        "runs that reached it": [f"{row.n_reached} of {row.n}" for row in linear.itertuples()],
    }
    cells = zip(*(_cells(linear[key]) for key in keys), *columns.values(), strict=True)
    rows = [[(cell, False) for cell in row] for row in cells]
    names = [key.replace("_", " ") for key in keys]
    return Table("linear", "Predicted against measured", names, list(columns), _by_variant(tables, linear.variant, rows))


def _cells(values: Iterable[Any]) -> list[str]:
    """Settings as text; a dash for one that a row does not have."""
    return ["–" if pd.isna(value) else str(value) for value in values]


def _rounded(number: float) -> str:
    return "–" if math.isnan(number) else format_number(number, 4)


def _by_variant(tables: Tables, variants: Iterable[str], rows: list[Any]) -> list[tuple[str, str, list[Any]]]:
    likelihoods = tables.summary.groupby("variant").likelihood.unique()
    groups = itertools.groupby(zip(variants, rows, strict=True), key=lambda pair: pair[0])
    return [(variant, "; ".join(likelihoods[variant]), [row for _, row in group]) for variant, group in groups]


def runs_table(experiment: Experiment, runs: pd.DataFrame) -> list[list[str]]:
    """Every run with the metrics that any of them has: the header, then a row each."""
    shown = runs[["run_id", "seed", "status"]].astype(str).assign(collapse=runs.collapse.fillna("–"))
    for metric in itertools.chain(*metrics_by_family(runs).values()):
        nothing = pd.Series(math.nan, runs.index)
        shown[heading(metric, experiment)] = format_column(runs[metric.name], nothing, nothing)
    return [["run", *shown.columns[1:]], *shown.to_numpy().tolist()]


def _figure(folder: ExperimentFolder, name: str) -> dict[str, str]:
    """Title, caption and the picture as a data URI; pictures of pixels as pixels."""
    suffix = "png" if name == "reconstructions" else "svg"
    path = folder.figure(name, suffix)
    if not path.exists():
        raise UserError(f"{path}: is missing; draw the figures first (vaebench draw)")
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    figure = FIGURES[name]
    return {"title": figure.title, "caption": figure.caption, "uri": f"data:{MEDIA_TYPES[suffix]};base64,{content}"}


def settings(experiment: Experiment) -> dict[str, str]:
    """In words, for the methods: what the runs have for each setting, by variant where those differ."""
    names = [name for name in Run.model_fields if name not in ("variant", "dataset", "seed", "binarisation")]
    words = {name: _choices(experiment, lambda run, name=name: _value(getattr(run, name))) for name in names}
    words["binarisation"] = _choices(experiment, lambda run: BINARISATIONS[run.binarisation])
    words["learning_rate_decay"] = _choices(experiment, lambda run: DECAYS[run.learning_rate_decay])
    return words


def methods(experiment: Experiment) -> dict[str, Any]:
    """The numbers and choices that the methods name beside the settings."""
    evaluation = experiment.evaluation
    n_images = experiment.dataset.sizes[evaluation.split]
    return {
        "split": evaluation.split,
        "n_images": n_images,
        "ceiling": f"{math.log(n_images):.2f}",
        "has_levels": any(run.n_levels > 2 for run in experiment.first_runs),
        "n_level_samples": min(evaluation.n_samples, LEVEL_SAMPLES),
        "n_sigma_images": min(experiment.dataset.sizes["validation"], SIGMA_IMAGES),
        "n_correlation_samples": min(n_images, CORRELATION_SAMPLES),
        "free_nats": any(run.kl.free_nats for run in experiment.first_runs),
        "capacity": any(run.kl.capacity(1.0) for run in experiment.first_runs),
        "epsilon": f"{COLLAPSE_EPSILON:g}",
        "delta": f"{COLLAPSE_DELTA:g}",
        "active_variance": f"{ACTIVE_VARIANCE:g}",
        "boundary": f"{100 * BOUNDARY:g} %",
        "kl_tolerance": f"{100 * KL_SHARE_TOLERANCE:g} % or {KL_TOLERANCE:g} nats",
        "gap_tolerance": f"{GAP_TOLERANCE:g} nats",
    }


def _choices(experiment: Experiment, value: Callable[[Run], str]) -> str:
    """ "128" or "2, 8 and 32" for all runs, or "128 for bce and mse; 64 for beta-4"."""
    by_variant: dict[str, dict[str, None]] = {}
    for run in experiment.first_runs:
        by_variant.setdefault(run.variant, {})[value(run)] = None
    variants: dict[str, list[str]] = {}
    for variant, values in by_variant.items():
        variants.setdefault(listed(values), []).append(variant)
    if len(variants) == 1:
        return next(iter(variants))
    return "; ".join(f"{values} for {listed(names)}" for values, names in variants.items())


def _value(value: Any) -> str:
    """A setting in words: "0.003", or a definition by its name and settings: "gaussian (σ = 0.5)"."""
    if dataclasses.is_dataclass(value):
        name, *inner = dataclasses.asdict(value).items()
        described = ", ".join(f"{SYMBOLS.get(key, key)} = {_value(item)}" for key, item in inner)
        return f"{name[1]} ({described})" if inner else name[1]
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def definitions(experiment: Experiment) -> dict[str, str]:
    """Each registered name that the runs use, and the first paragraph of what its author says of it."""
    used = {(name, type(getattr(run, name))): None for name in REGISTRIES for run in experiment.first_runs}
    return {
        f"{name}: {getattr(definition, REGISTRIES[name].tag)}": " ".join(
            inspect.getdoc(definition).split("\n\n")[0].split()
        )
        for name, definition in used
    }


def specification_text(experiment: Experiment) -> str:
    """The experiment as YAML with all defaults spelt out; saved as an experiment file it gives the same runs."""
    content = experiment.model_dump(mode="json", exclude_none=True)
    content["variants"] = {
        name: variant.model_dump(mode="json", exclude_unset=True) for name, variant in experiment.variants.items()
    }
    content["description"] = experiment.description.strip()
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
