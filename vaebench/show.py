"""One run in words: what it was, how it ended, its scores, where its files lie."""

from __future__ import annotations

from collections.abc import Iterator

from vaebench.metrics import FAMILIES, Metric
from vaebench.presentation import decimals_for, format_number
from vaebench.saved_run import SavedRun, match
from vaebench.store import Results
from vaebench.tables import flat_settings
from vaebench.tasks import ALL_METRICS


def find(wanted: str, results: Results) -> SavedRun:
    """The run of that id, or of the beginning of it that no other shares; "NAME/ID" looks in one experiment only.

    Raises UserError where there is none, or more than one.
    """
    folders = {f"{folder.experiment}/{folder.run_id}": folder for folder in results.runs()}
    return SavedRun(folders[match(wanted, folders, str(results.root))])


def lines(run: SavedRun) -> Iterator[str]:
    """What `vaebench show` prints."""
    yield f"{run.folder.run_id}, of {run.folder.experiment}: {run.state}"
    if run.collapse is not None:
        yield f"posterior collapse: {run.collapse}"
    yield "\nsettings"
    settings = {"variant": run.specification.variant} | flat_settings(run.specification)
    yield from (f"  {name:<22} {value}" for name, value in settings.items())
    for family, title in FAMILIES.items():
        metrics = [ALL_METRICS[name] for name in run.metrics if name in ALL_METRICS and ALL_METRICS[name].family == family]
        if metrics:
            yield f"\n{title}"
            yield from (f"  {metric.label:<22} {_score(metric, **run.metrics[metric.name])}" for metric in metrics)
    if run.metrics:
        yield f"\nscored with {run.evaluation['n_samples']} samples of z an image; ± is the standard error over images"
    yield f"\nfiles in {run.folder.path}"
    yield from (f"  {path.name}" for path in sorted(run.folder.path.glob("[!.]*")))


def _score(metric: Metric, value: float, standard_error: float | None) -> str:
    """ "−24.59 ± 0.14 nats ↑"."""
    decimals = 0 if isinstance(value, int) else decimals_for(abs(value) / 100, standard_error or 0)
    number = format_number(value, decimals)
    error = "" if standard_error is None else f" ± {format_number(standard_error, decimals)}"
    return " ".join(part for part in (number + error, metric.unit, metric.arrow) if part)
