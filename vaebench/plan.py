"""What an experiment would train, what of it is there, and how long the rest would take: the answer of `vaebench check`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from vaebench.keys import is_scored, is_trained, open_tasks
from vaebench.progress import in_words
from vaebench.settings import Run
from vaebench.specification import Cohort, Evaluation, Experiment, shape_key
from vaebench.store import Results
from vaebench.tables import flat_settings
from vaebench.wording import counted

# What planning, tables, figures, report and MLflow took for the main job on one core of an AMD EPYC.
SECONDS_AFTERWARDS = 40


class Open(NamedTuple):
    """A cohort, and which of its runs are still to be trained and to be scored."""

    cohort: Cohort
    to_train: list[Run]
    to_score: list[Run]


def still_open(experiment: Experiment, results: Results) -> list[Open]:
    """Of each cohort, what results/ does not hold yet, by its records; the job will look into the files too."""
    folder = results.experiment(experiment.name)

    def has_scores(run: Run) -> bool:
        files = folder.run(run.run_id)
        return is_scored(files, run, experiment.evaluation, with_files=False) and not open_tasks(
            files, run, experiment, with_files=False
        )

    return [
        Open(
            cohort,
            [run for run in cohort.runs if not is_trained(folder.run(run.run_id), run, with_files=False)],
            [run for run in cohort.runs if not has_scores(run)],
        )
        for cohort in experiment.cohorts
    ]


def lines(experiment: Experiment, results: Results, cores: int, estimate: bool) -> Iterator[str]:
    """What `vaebench check` prints. estimate: whether to measure how long the runs that are missing would take."""
    cohorts = still_open(experiment, results)
    factors = {"variant": experiment.variants, "grid point": experiment.grid_points, "seed": range(experiment.seeds)}
    product = " × ".join(counted(len(values), noun) for noun, values in factors.items())
    yield f"{experiment.name}: {experiment.title}"
    yield f"{product}: {counted(len(experiment.runs), 'run')} in {counted(len(cohorts), 'cohort')}\n"
    yield from _table(cohorts)
    n_left = sum(len(each.to_score) for each in cohorts)
    if not n_left:
        yield "\nall of them are trained and scored"
    elif estimate:
        seconds = estimated_seconds(cohorts, experiment.evaluation, cores)
        yield f"\nto train and score them: about {in_words(seconds)} on {counted(cores, 'core')}, as measured just now;"
        yield f"then about {in_words(SECONDS_AFTERWARDS)} for tables, figures, report and MLflow"


def _table(cohorts: list[Open]) -> Iterator[str]:
    from vaebench.speed import n_parameters

    width = max(len(each.cohort.name) for each in cohorts)
    yield f"  {'cohort':<{width}}  network           parameters  epochs  runs  to train  to score"
    for cohort, to_train, to_score in cohorts:
        run = cohort.runs[0]
        network = " ".join(str(value) for key, value in flat_settings(run).items() if key.startswith("network"))
        sizes = f"{network:<16}  {n_parameters(run):10,}  {run.epochs:6}  {len(cohort.runs):4}"
        yield f"  {cohort.name:<{width}}  {sizes}  {len(to_train):8}  {len(to_score):8}"


def estimated_seconds(cohorts: Iterable[Open], evaluation: Evaluation, cores: int) -> float:
    """On the clock, until all runs are scored, with so many cohorts at a time."""
    from vaebench import speed

    # A job too begins by starting Python and importing torch, as this process did.
    start = time.process_time()
    unfinished = [each for each in cohorts if each.to_score]
    shapes: dict[str, list[Run]] = {}
    for each in unfinished:
        shape, runs = shape_key(each.cohort.runs[0]), each.to_train or each.to_score
        shapes[shape] = max(shapes.get(shape, []), runs, key=len)
    speeds = speed.speeds(shapes, evaluation)
    jobs = []
    for each in unfinished:
        training, scoring = speeds[shape_key(each.cohort.runs[0])]
        jobs.append(start + len(each.to_train) * training + len(each.to_score) * scoring)
    return makespan(jobs, cores)


def makespan(jobs: Iterable[float], cores: int) -> float:
    """When the last of these jobs ends, where a core that is free takes the longest that is left."""
    longest_first = sorted(jobs, reverse=True)
    busy_until = [0.0] * max(1, min(cores, len(longest_first)))
    for seconds in longest_first:
        heapq.heapreplace(busy_until, busy_until[0] + seconds)
    return max(busy_until)
