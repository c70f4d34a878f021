"""The command line: from a new experiment file to its report, and one run at a time."""

from __future__ import annotations

import argparse
import gc
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path

from vaebench import disk, locks, timing
from vaebench.datasets import DATASETS, Dataset
from vaebench.environment import PRECISIONS, available_cores, require_device, use_one_thread
from vaebench.errors import UserError
from vaebench.files import sweep
from vaebench.specification import load, parse_dataset
from vaebench.store import Results
from vaebench.tasks import classifier_fault

# What a verb does, with its imports done.
Work = Callable[[], None]
Stages = dict[str, Work]


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 the user can mend it (one line says what), 2 wrong usage, 130 interrupted, 143 terminated."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _ready(options)()
        sys.stdout.flush()
    except UserError as error:
        return _say(str(error))
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library == "vaebench":
            raise
        return _say(f"{options.verb} needs {library}, which is not installed: pip install 'vaebench[workflow]'")
    except KeyboardInterrupt as error:
        how, exit_code = ("terminated", 143) if error.args else ("interrupted", 130)
        words = f"{options.verb} was {how}; what is finished is kept, and the same call goes on from there"
        return _say(words, exit_code)
    except BrokenPipeError:
        # Who reads has seen enough, such as `head`.
        _close_output()
    except OSError as error:
        if error.errno not in disk.STRAY:
            raise
        _close_output()
        return _say(str(disk.told(error, error.filename2 or error.filename or "what this step says", "written or read")))
    return 0


def _close_output() -> None:
    """Python would try to flush once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ready(options: argparse.Namespace) -> Work:
    """What is asked for, with its imports done.

    Imports leave a million objects that stay: to look for garbage among them takes a seventh of the time. Later on it is
    looked for less often than usual, which saves a quarter of the time of drawing.
    """
    gc.disable()
    try:
        return options.ready(options)
    finally:
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        gc.enable()


def _terminated(number: int, frame: object) -> None:
    """What a cluster sends at the end of a job's time ends it as Ctrl-C does."""
    raise KeyboardInterrupt(number)


def _job(stages: Stages, note: Path, lock: Path, what: str, folders: Iterable[Path]) -> Work:
    """Stages that make something under its lock, in these folders; what killed jobs left there is removed first."""

    def work() -> None:
        with locks.held(lock, what):
            sweep(note.parent, note.stem)
            for folder in folders:
                sweep(folder)
            timing.run(stages, note)

    return work


def _say(message: str, exit_code: int = 1) -> int:
    # The log may lie on the very disk that is full; what started this step then says why it failed.
    with suppress(OSError):
        print(f"vaebench: {message}", file=sys.stderr, flush=True)
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vaebench",
        description="A reproducible benchmark suite for variational autoencoders.",
        epilog="The workflow calls those from prepare to track. Exit codes: 0 done, 1 something to mend, 2 wrong usage.",
    )
    verbs = parser.add_subparsers(
        title="verbs, in the order of their use", required=True, metavar="VERB OPTIONS", dest="verb"
    )

    def verb(name: str, ready: Callable[[argparse.Namespace], Work], help_text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
        added.set_defaults(ready=ready)
        return added

    of_datasets = f"as in an experiment file: {', '.join(DATASETS)}, or a mapping with its settings"
    new = verb("new", _new, "write a small experiment file to start from")
    new.add_argument("name", metavar="NAME", help="of the experiment: small letters, digits, '-' and '.'")
    new.add_argument("--dataset", default="digits", metavar="DATASET", help=f"{of_datasets}; default: digits")

    check = verb("check", _check, "name a file's mistakes, or say what it would train")
    _add_experiment(check)
    _add_lanes(check)
    _add_results(check)
    check.add_argument("--cores", type=_positive, metavar="N", help="to estimate for; default: those of this machine")
    check.add_argument("--no-estimate", action="store_true", help="measure nothing")

    train = verb("train", _train, "train and score one run, and print its scores")
    _add_experiment(train)
    train.add_argument("--variant", required=True, metavar="NAME", help="one of the file's variants")
    train.add_argument("--seed", type=int, default=0, metavar="S", help="one of the file's seeds; default: 0")
    train.add_argument(
        "--at", action="append", default=[], metavar="KEY=VALUE", help="grid point, such as latent_size=8; may be repeated"
    )
    _add_results(train)

    prepare = verb("prepare", _prepare, "load or download a data set, and keep its splits")
    prepare.add_argument(
        "dataset",
        metavar="DATASET",
        help=of_datasets,
    )
    _add_results(prepare)

    classify = verb("classify", _classify, "train the classifier of a data set, through whose eyes tasks look")
    classify.add_argument("dataset", metavar="DATASET", help=of_datasets)
    _add_results(classify)

    cohort = verb("cohort", _cohort, "train and score what is missing of one cohort")
    _add_experiment(cohort)
    _add_lanes(cohort)
    _add_results(cohort)
    cohort.add_argument("--cohort", required=True, metavar="NAME", help="one of those that `check` lists")
    cohort.add_argument("--device", default="cpu", help="as torch names it, such as cuda; default: cpu")
    cohort.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of matrix products on a GPU; default: float32"
    )
    cohort.add_argument(
        "--checkpoint-seconds", type=_seconds, default=60, metavar="S", help="between checkpoints; default: 60"
    )
    for name, step, help_text in (
        ("aggregate", _step("tables", "tables", "aggregate"), "write the tables: runs, summary, comparisons"),
        ("draw", _step("figures", "figures", "draw_all"), "draw the figures from the tables"),
        ("report", _step("report", "report", "write"), "write report.html from tables and figures"),
        ("track", _step("MLflow", "tracking", "track"), "mirror the runs to MLflow"),
    ):
        added = verb(name, step, help_text)
        _add_experiment(added)
        _add_lanes(added)
        _add_results(added)

    show = verb("show", _show, "print one run: settings, state, scores, files")
    show.add_argument("run", metavar="RUN", help="its id or the beginning of it, or EXPERIMENT/ID")
    _add_results(show)
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", type=Path, metavar="FILE", help="an experiment file, such as experiments/digits.yaml")


def _add_lanes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lanes", type=int, metavar="N", help="runs in a cohort at most; default: what the file says")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=_results, default=Results(), metavar="FOLDER", help="default: results")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text!r}")
    return seconds


def _results(text: str) -> Results:
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder, not a file such as {text!r}")
    return Results(path)


def _new(options: argparse.Namespace) -> Work:
    from vaebench import template

    def work() -> None:
        path = template.write(options.name, options.dataset)
        print(f"{path} is written; next: vaebench check {path}")

    return work


def _check(options: argparse.Namespace) -> Work:
    experiment = load(options.experiment, options.lanes)
    use_one_thread()
    from vaebench import plan

    cores = options.cores or available_cores()
    return partial(_print, plan.lines(experiment, options.results, cores, not options.no_estimate))


def _train(options: argparse.Namespace) -> Work:
    experiment = load(options.experiment)
    from vaebench import selection

    run = selection.choose(experiment, options.variant, options.seed, selection.parse_point(options.at))
    use_one_thread()
    from vaebench import jobs, keys, show
    from vaebench.saved_run import SavedRun

    folder = options.results.experiment(experiment.name)
    cohort = experiment.cohort_of(run)
    what = experiment, run, options.results
    stages = {"training": partial(jobs.train_alone, *what), "evaluation": partial(jobs.evaluate_alone, *what)}
    if experiment.needs_classifier and not keys.is_classified(run.dataset, options.results):
        stages = {"classifier": partial(jobs.classify, run.dataset, options.results)} | stages
    unprepared = [dataset for dataset in experiment.datasets if not options.results.dataset(dataset.name).exists()]
    if unprepared:
        stages = {"data": partial(_prepare_all, unprepared, options.results)} | stages

    note, lock = folder.cost(options.verb, run.run_id), folder.cohort_lock(cohort.name)
    train = _job(stages, note, lock, f"cohort {cohort.name}", [folder.run(run.run_id).path])

    def work() -> None:
        train()
        _print(show.lines(SavedRun(folder.run(run.run_id))))

    return work


def _prepare_all(datasets: Iterable[Dataset], results: Results) -> None:
    from vaebench import splits

    for dataset in datasets:
        splits.prepare(dataset, results)


def _prepare(options: argparse.Namespace) -> Work:
    dataset = parse_dataset(options.dataset)
    from vaebench import splits

    work = {"data": partial(splits.prepare, dataset, options.results)}
    return partial(timing.run, work, options.results.dataset_cost(dataset.name))


def _classify(options: argparse.Namespace) -> Work:
    dataset = parse_dataset(options.dataset)
    if fault := classifier_fault(dataset):
        raise UserError(f"{dataset.kind} {fault}, so there is no classifier of it")
    use_one_thread()
    from vaebench import jobs

    work = {"classifier": partial(jobs.classify, dataset, options.results)}
    return partial(timing.run, work, options.results.classifier(dataset.name).cost)


def _cohort(options: argparse.Namespace) -> Work:
    require_device(options.device)
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
    folder = options.results.experiment(experiment.name)
    note, lock = folder.cost(options.verb, cohort.name), folder.cohort_lock(cohort.name)
    folders = [folder.cohort(cohort.name).path, *(folder.run(run.run_id).path for run in cohort.runs)]
    return _job(stages, note, lock, f"cohort {cohort.name}", folders)


def _step(stage: str, module: str, function: str) -> Callable[[argparse.Namespace], Work]:
    """A step that needs the experiment and the results, its module imported when it is asked for."""

    def ready(options: argparse.Namespace) -> Work:
        experiment = load(options.experiment, options.lanes)
        work = getattr(import_module(f"vaebench.{module}"), function)
        folder = options.results.experiment(experiment.name)
        stages = {stage: partial(work, experiment, options.results)}
        return _job(stages, folder.cost(options.verb), folder.tables_lock, str(folder.path), [folder.path])

    return ready


def _show(options: argparse.Namespace) -> Work:
    from vaebench import show

    return partial(_print, show.lines(show.find(options.run, options.results)))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main())
