"""The report: one HTML file with the answer, tables, figures, variants, methods and provenance of an experiment.

It needs no network and holds no date: the same tables and figures give the same bytes, but for two places that
`vaebench.stages` fills at the end of a call: what the stages cost, and where the runs are in MLflow. All that is said in
words about numbers comes from `vaebench.findings` and `vaebench.caveats`.
"""

from __future__ import annotations

import base64
import gzip
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from vaebench import bibliography, caveats, findings, methods, page_tables, task_findings
from vaebench.environment import entries, mixed
from vaebench.errors import DamagedFileError, UserError
from vaebench.figures import FIGURES
from vaebench.files import write_text
from vaebench.metrics import FAMILIES
from vaebench.plotting import Figure, Source
from vaebench.presentation import metrics_by_family
from vaebench.specification import Experiment
from vaebench.statistics import CONFIDENCE, FEWEST_SEEDS, SIGNIFICANCE
from vaebench.store import ExperimentFolder, Results
from vaebench.tables import Tables, environments, group_keys, linear_table, load_current, of_experiment
from vaebench.tasks import ALL_METRICS
from vaebench.trade_offs import LEFT_OUT
from vaebench.wording import counted, listed

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
# A larger drawing is slow to open and makes the page large; its pixels, two for each of the screen's, look the same.
MOST_SVG_BYTES = 300_000
# The answer is what fits above the picture; all else is found below.
MOST_ANSWERS = 2


def write(experiment: Experiment, results: Results) -> None:
    """Write report.html from the tables, the figures and the runs' records. Raises UserError where a figure is missing."""
    folder = results.experiment(experiment.name)
    write_text(folder.report, _render(experiment, folder, load_current(experiment, folder)))


def _render(experiment: Experiment, folder: ExperimentFolder, tables: Tables) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"listed": listed, "counted": counted, "cited": bibliography.cited}
    return environment.get_template("report.html").render(_content(experiment, folder, tables))


def _content(experiment: Experiment, folder: ExperimentFolder, tables: Tables) -> dict[str, Any]:
    """What the template shows, by name."""
    made_with = environments(experiment, folder)
    training, scoring = entries(made_with["trained"]), entries(made_with["scored"])
    linear = linear_table(experiment, tables.runs, tables.spectrum)
    source = Source(experiment, folder, tables)
    picture = FIGURES.answering(source)
    runs = page_tables.runs(experiment, tables.runs)
    return {
        "experiment": experiment,
        **_sentences(experiment, tables, linear, made_with),
        "tasks": _tasks(source) if experiment.tasks else None,
        "picture": _figure(folder, FIGURES[picture]),
        "ranking": page_tables.ranking(experiment, tables),
        "comparisons": page_tables.comparisons(experiment, tables),
        "linear": page_tables.linear_against_optimum(experiment, linear),
        "figures": [_figure(folder, FIGURES[name]) for name in FIGURES.applicable(source) if name != picture],
        "variants": [_variant(source, variant) for variant in source.shown_variants],
        "metrics": {FAMILIES[family]: metrics for family, metrics in metrics_by_family(tables.runs).items()},
        "leaves_out": experiment.whole is not experiment,
        "headline": ALL_METRICS[experiment.headline],
        "settings": methods.settings(experiment),
        "methods": methods.methods(experiment),
        "definitions": methods.definitions(experiment),
        "specification": methods.specification_text(experiment),
        "runs": runs,
        # As text: thousands of rows are drawn by the page as they are looked at.
        "run_rows": [[str(cell) for cell in row] for row in runs.rows],
        "environments": training | {f"{key}, scoring": n for key, n in scoring.items() if n != training.get(key)},
        "training_seconds": float(tables.history.seconds.sum()),
        "confidence": f"{100 * CONFIDENCE:g} %",
        "fewest_seeds": FEWEST_SEEDS,
        "significance": SIGNIFICANCE,
        "library": _table_library(),
    }


def _table_library() -> dict[str, str]:
    """DataTables as itables bundles it: its style, and its module compressed, as its text would end the page's scripts."""
    bundle = files("itables") / "html"
    module = gzip.compress((bundle / "dt_bundle.js").read_bytes(), mtime=0)
    return {"style": (bundle / "dt_bundle.css").read_text("utf-8"), "module": base64.b64encode(module).decode("ascii")}


def _sentences(
    experiment: Experiment, tables: Tables, linear: pd.DataFrame, made_with: dict[str, list[dict[str, str | None]]]
) -> dict[str, list[str]]:
    """The answer to the title's question, what else is found, and what to know before trusting either."""
    headline, split = ALL_METRICS[experiment.headline], experiment.evaluation.split
    # Of the runs that left out no class, where there are some and they have that metric.
    whole = of_experiment(tables, experiment.whole)
    is_whole = bool(whole.summary[headline.name].notna().any())
    keys, told = (group_keys(experiment.whole), whole) if is_whole else (group_keys(experiment), tables)
    is_part = len(told.runs) < len(tables.runs)
    reached = findings.reached(linear, keys, split)
    answered_by_elbo = headline.name == "elbo" and not reached
    answer = reached or findings.answer(told.summary, told.comparisons, keys, headline)
    return {
        "answer": answer[:MOST_ANSWERS],
        "findings": [
            *answer[MOST_ANSWERS:],
            *([] if answered_by_elbo else findings.differences(told.comparisons, keys, ALL_METRICS["elbo"])),
            *findings.collapses(told.summary, keys, experiment.baseline),
            *findings.effective_weights(told.runs),
            *findings.not_compared(told.runs, told.comparisons, experiment.baseline),
            *(["What is said here is of the runs that left out no class."] if is_part else []),
        ],
        "warnings": [
            *caveats.unnormalised(tables.runs),
            *caveats.without_interval(tables.summary),
            *caveats.diverged(tables.runs),
            *caveats.few_samples(tables.runs, experiment.evaluation.n_samples),
            *caveats.at_ceiling(tables.runs, experiment.dataset.sizes[split]),
            *caveats.at_bound(tables.runs),
            *mixed(made_with),
            *caveats.uncommitted(made_with["trained"]),
        ],
    }


def _tasks(source: Source) -> dict[str, Any]:
    """Variants by tasks, and of each task what it is and what it found."""
    experiment, found = source.experiment, source.trade_offs
    return {
        "sentences": task_findings.sentences(found),
        "table": page_tables.by_tasks(experiment, found),
        "over_classes": LEFT_OUT in group_keys(experiment),
        "each": [
            {
                "name": task.kind,
                "definition": methods.definition(type(task)),
                "methods": task.methods,
                "table": page_tables.of_task(experiment, source.tables, task),
            }
            for task in experiment.tasks
        ],
    }


def _variant(source: Source, variant: str) -> dict[str, Any]:
    """A variant's section: what it sets, its summary in short, its figures."""
    experiment, folder = source.experiment, source.folder
    given = experiment.variants[variant].model_dump(mode="json", exclude_unset=True)
    names = FIGURES.applicable(source, per_variant=True)
    return {
        "name": variant,
        "settings": yaml.safe_dump(given, sort_keys=False, default_flow_style=True, width=1000).strip() if given else "",
        "table": page_tables.of_variant(experiment, source.tables, variant),
        "figures": [_figure(folder, FIGURES[name], variant) for name in names],
    }


def _figure(folder: ExperimentFolder, figure: Figure, variant: str | None = None) -> dict[str, str]:
    """Title, caption and the picture as a data URI."""
    path = folder.figure(figure.name, figure.suffix)
    if variant is not None:
        path = folder.variant_figure(variant, figure.name, figure.suffix)
    drawn = _drawn(folder, path)
    if path.suffix == ".svg" and len(drawn) > MOST_SVG_BYTES:
        path = path.with_suffix(".png")
        drawn = _drawn(folder, path)
    content = base64.b64encode(drawn).decode("ascii")
    return {"title": figure.title, "caption": figure.caption, "uri": f"data:{MEDIA_TYPES[path.suffix]};base64,{content}"}


def _drawn(folder: ExperimentFolder, path: Path) -> bytes:
    try:
        return folder.published(path)
    except DamagedFileError as error:
        raise UserError(f"{path}: {error.fault}; draw the figures first (vaebench draw)") from error
