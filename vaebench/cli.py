"""The command line: each verb is one step of the workflow."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from vaebench import timing
from vaebench.datasets import DATASETS
from vaebench.environment import use_one_thread
from vaebench.errors import UserError
from vaebench.specification import load, parse_dataset
from vaebench.store import Results

PRECISIONS = ("float32", "tf32")


class Step(NamedTuple):
    """A step of the workflow that is ready to begin: its work by stage, and the file that is to say what it cost."""

    stages: dict[str, Callable[[], None]]
    note: Path


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the user can mend it (one line says what), 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        step = _ready(options)
        if step is not None:
            timing.run(*step)
    except UserError as error:
        return _say(str(error))
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library == "vaebench":
            raise
        return _say(f"{options.verb} needs {library}, which is not installed: pip install 'vaebench[workflow]'")
    return 0


def _ready(options: argparse.Namespace) -> Step | None:
    """The step that is asked for, with its imports done; None where that was all.

    Imports leave a million objects that stay: to look for garbage among them takes a seventh of the time. Later on it is
    looked for less often than usual, which saves a quarter of the time of drawing.
    """
    gc.disable()
    try:
        return options.step(options)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        gc.enable()


def _say(message: str) -> int:
    print(f"vaebench: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vaebench", description="A reproducible benchmark suite for variational autoencoders."
    )
    verbs = parser.add_subparsers(title="verbs, in the order of the workflow", required=True, metavar="VERB", dest="verb")

    def verb(name: str, step, help_text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_text, description=help_text)
        added.set_defaults(step=step)
        added.add_argument(
            "experiment", type=Path, metavar="FILE", help="an experiment file, such as experiments/digits.yaml"
        )
        added.add_argument("--lanes", type=int, metavar="N", help="runs in a cohort at most; default: what the file says")
        _add_results(added)
        return added

    verb("check", _check, "validate an experiment file and say what it would train")
    prepare = verbs.add_parser("prepare", help="load a data set, downloading what is missing, and keep its splits")
    prepare.add_argument(
        "dataset",
        metavar="DATASET",
        help=f"as in an experiment file: {', '.join(DATASETS)}, or a mapping with its settings",
    )
    _add_results(prepare)
    prepare.set_defaults(step=_prepare)
    cohort = verb("cohort", _cohort, "train and score what is missing of one cohort, from its checkpoint if any")
    cohort.add_argument("--cohort", required=True, metavar="NAME", help="one of those that `check` lists")
    cohort.add_argument("--device", default="cpu", help="as torch names it, such as cuda; default: cpu")
    cohort.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of matrix products on a GPU; default: float32"
    )
    cohort.add_argument(
        "--checkpoint-seconds", type=float, default=60, metavar="S", help="between checkpoints; default: 60"
    )
    verb("aggregate", _step("tables", "tables", "aggregate"), "write the tables: runs, summary, comparisons")
    verb("draw", _step("figures", "figures", "draw_all"), "draw the figures from the tables")
    verb("report", _step("report", "report", "write"), "write report.html from tables and figures")
    verb("track", _step("MLflow", "tracking", "track"), "mirror the runs to MLflow")
    return parser


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=lambda path: Results(Path(path)), default=Results(), metavar="FOLDER", help="default: results"
    )


def _step(stage: str, module: str, function: str) -> Callable[[argparse.Namespace], Step]:
    """A step that needs the experiment and the results, its module imported when it is asked for."""

    def ready(options: argparse.Namespace) -> Step:
        experiment = load(options.experiment, options.lanes)
        work = getattr(import_module(f"vaebench.{module}"), function)
        note = options.results.experiment(experiment.name).cost(options.verb)
        return Step({stage: partial(work, experiment, options.results)}, note)

    return ready


def _check(options: argparse.Namespace) -> None:
    experiment = load(options.experiment, options.lanes)
    print(f"{experiment.name}: {len(experiment.runs)} runs in {len(experiment.cohorts)} cohorts")
    for cohort in experiment.cohorts:
        print(f"  {cohort.name}: {len(cohort.runs)} runs, {cohort.runs[0].epochs} epochs")


def _prepare(options: argparse.Namespace) -> Step:
    dataset = parse_dataset(options.dataset)
    from vaebench import splits

    return Step({"data": partial(splits.prepare, dataset, options.results)}, options.results.dataset_cost(dataset.name))


def _cohort(options: argparse.Namespace) -> Step:
    experiment = load(options.experiment, options.lanes)
    cohort = experiment.cohort(options.cohort)
    use_one_thread()
    from vaebench import jobs
    from vaebench.device import prepare

    prepare(options.device, options.precision)
    what = experiment, cohort, options.results, options.device
    stages = {
        "training": partial(jobs.train_cohort, *what, options.checkpoint_seconds),
        "evaluation": partial(jobs.evaluate_cohort, *what),
    }
    return Step(stages, options.results.experiment(experiment.name).cost(options.verb, cohort.name))


if __name__ == "__main__":
    sys.exit(main())
