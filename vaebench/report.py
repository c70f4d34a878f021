"""The report: one HTML file with the findings, tables, figures, methods and provenance of an experiment.

It stands alone (no script, no network) and holds no date: the same tables and figures give the same bytes. All that is
said in words about numbers comes from `vaebench.findings`.
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from vaebench import findings
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.findings import counted, listed
from vaebench.metrics import METRICS
from vaebench.specification import REGISTRIES, Experiment, Run
from vaebench.statistics import CONFIDENCE, FEWEST_SEEDS, SIGNIFICANCE
from vaebench.store import ExperimentFolder, Results, read_json, write_text
from vaebench.tables import Tables, format_interval, group_keys, heading, load, presented
from vaebench.timing import stage_times

# The stages that have run when a report is written.
BEFORE_REPORT = ("train", "evaluate", "aggregate", "draw")
MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
SYMBOLS = {"sigma": "σ"}
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
    keys = group_keys(experiment)
    environments = [read_json(folder.run(run.run_id).record)["environment"] for run in experiment.runs]
    return {
        "experiment": experiment,
        "findings": [
            *findings.differences(tables.comparisons, keys, METRICS["elbo"]),
            *findings.collapses(tables.summary, keys, experiment.baseline),
            *findings.not_compared(tables.runs, tables.comparisons, experiment.baseline),
        ],
        "warnings": [
            *findings.unnormalised(tables.runs),
            *findings.without_interval(tables.summary),
            *findings.diverged(tables.runs),
            *findings.mixed(environments),
            *findings.uncommitted(environments),
        ],
        "summary": summary(experiment, tables),
        "comparisons": comparisons(experiment, tables),
        "figures": [_figure(folder, name) for name in FIGURES],
        "metrics": list(METRICS.values()),
        "settings": settings(experiment),
        "definitions": definitions(experiment),
        "specification": specification_text(experiment),
        "runs": runs_table(experiment, tables.runs),
        "environments": {key: Counter(each[key] or "unknown" for each in environments) for key in environments[0]},
        "training_seconds": float(tables.history.seconds.sum()),
        "stage_times": [time for time in stage_times(folder) if time.stage in BEFORE_REPORT],
        "confidence": f"{100 * CONFIDENCE:g} %",
        "fewest_seeds": FEWEST_SEEDS,
        "significance": SIGNIFICANCE,
    }


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as the template draws it: rows grouped by variant, `keys` columns first, then columns "mean [low, high]".

    groups: (variant, its likelihoods, rows); a row is its cells, each a string and whether it is set in bold.
    """

    keys: list[str]
    headings: list[str]
    groups: list[tuple[str, str, list[list[tuple[str, bool]]]]]


def summary(experiment: Experiment, tables: Tables) -> Table:
    """The summary as `presented` gives it, by variant."""
    shown = presented(experiment, tables.summary).astype(str)
    # Both stand beside the rows of a variant, where the grid does not set them.
    aside = {"variant", "likelihood"} - set(experiment.grid_keys)
    shown = shown.loc[:, ~shown.columns.isin(aside) & ~shown.columns.duplicated()]
    rows = [[(cell, False) for cell in row] for row in shown.to_numpy()]
    n_keys = len(shown.columns) - len(METRICS)
    return Table(
        list(shown.columns[:n_keys]), list(shown.columns[n_keys:]), _by_variant(tables, tables.summary.variant, rows)
    )


def comparisons(experiment: Experiment, tables: Tables) -> Table:
    """Differences to the baseline by variant and grid point, bold where they are supported."""
    keys = group_keys(experiment)
    points = tables.comparisons.groupby(keys, sort=False)
    rows = []
    for values, group in points:
        by_metric = group.set_index("metric").to_dict("index")
        point = [str(value) for value in (*values[1:], int(group.n.fillna(0).max()))]
        rows.append([(cell, False) for cell in point] + [_difference(by_metric[name]) for name in METRICS])
    headings = [heading(metric, experiment) for metric in METRICS.values()]
    groups = _by_variant(tables, [values[0] for values, _ in points], rows)
    return Table([*(key.replace("_", " ") for key in keys[1:]), "seeds"], headings, groups)


def _difference(row: dict[str, Any]) -> tuple[str, bool]:
    if not row["comparable"]:
        return "not comparable", False
    return format_interval(row["difference"], row["low"], row["high"]), findings.supported(row)


def _by_variant(tables: Tables, variants: Iterable[str], rows: list[Any]) -> list[tuple[str, str, list[Any]]]:
    likelihoods = tables.summary.groupby("variant").likelihood.unique()
    groups = itertools.groupby(zip(variants, rows, strict=True), key=lambda pair: pair[0])
    return [(variant, "; ".join(likelihoods[variant]), [row for _, row in group]) for variant, group in groups]


def runs_table(experiment: Experiment, runs: pd.DataFrame) -> list[list[str]]:
    """Every run: the header, then a row each."""
    names = ["run_id", "seed", "status", *METRICS]
    header = ["run", "seed", "status", *(heading(metric, experiment) for metric in METRICS.values())]
    return [header, *([_plain(cell) for cell in row] for row in runs[names].itertuples(index=False))]


def _plain(cell: Any) -> str:
    if pd.isna(cell):
        return "–"
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell.is_integer() else f"{cell:.4f}".replace("-", "−")
    return str(cell)


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
    return words


def _choices(experiment: Experiment, value: Callable[[Run], str]) -> str:
    """ "128" or "2, 8 and 32" for all runs, or "128 for bce and mse; 64 for beta-4"."""
    by_variant: dict[str, dict[str, None]] = {}
    for run in experiment.runs:
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
    used = {(name, type(getattr(run, name))): None for name in REGISTRIES for run in experiment.runs}
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
