"""One run as it lies in its folder: what it was, how it ended, its scores, its trained model."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING

import numpy as np

from vaebench.errors import UserError
from vaebench.files import Contents, read_arrays
from vaebench.latent_dimensions import collapse_verdict
from vaebench.settings import Run, parse_run
from vaebench.store import RunFolder, read_record

if TYPE_CHECKING:
    from vaebench.model import VAE


@dataclass(frozen=True)
class SavedRun:
    """A run's folder. Everything raises UserError where a file that it needs is missing or damaged."""

    folder: RunFolder

    @cached_property
    def record(self) -> Contents:
        """What training left: `run_id`, `specification`, `diverged_epoch` (None where it did not), `diverged_because`,
        which older runs lack, `environment`."""
        return read_record(self.folder.record)

    @cached_property
    def specification(self) -> Run:
        return parse_run(self.record["specification"], self.folder.record)

    @cached_property
    def evaluation(self) -> Contents | None:
        """What scoring left: `n_samples`, `metrics`, `spectrum`, `environment` (from format 2 on), `diverged_because` where
        there are no scores; None before."""
        return read_record(self.folder.evaluation) if self.folder.evaluation.exists() else None

    @property
    def state(self) -> str:
        """ "trained and scored", "trained, not scored", or when it diverged and what was not finite."""
        if self.record["diverged_epoch"] is not None:
            when = f"epoch {self.record['diverged_epoch'] + 1} of {self.specification.epochs}"
            return _diverged(when, self.record.get("diverged_because"))
        if self.evaluation is None:
            return "trained, not scored"
        return "trained and scored" if self.metrics else _diverged("scoring", self.evaluation.get("diverged_because"))

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Each metric's `value` and `standard_error`, those that tasks gave last; none where the run has no scores."""
        if self.evaluation is None or not self.evaluation["metrics"]:
            return {}
        return reduce(or_, (task["metrics"] for task in self.tasks.values()), self.evaluation["metrics"])

    @cached_property
    def tasks(self) -> dict[str, Contents]:
        """What each task left that the run was scored by: `metrics`, `findings`, `environment`."""
        return {path.stem.removeprefix("task."): read_record(path) for path in self.folder.tasks}

    @property
    def collapse(self) -> str | None:
        """The verdict, as `latent_dimensions.collapse_verdict` gives it; None where the run has no such score."""
        collapsed = self.metrics.get("collapsed_units")
        return collapsed and collapse_verdict(collapsed["value"], self.specification.latent_size)

    def model(self) -> VAE:
        """The trained model, in evaluation mode."""
        if self.record["diverged_epoch"] is not None:
            raise UserError(f"{self.folder.run_id} has no weights: it {self.state}")
        from vaebench.weights import trained_model

        return trained_model(self.specification, self.folder)

    def pictures(self) -> Mapping[str, np.ndarray]:
        """Images [n, D] by name: `originals`, `reconstructions`, `samples` and whatever else scoring has drawn."""
        if not self.metrics:
            raise UserError(f"{self.folder.run_id} has no pictures: it is {self.state}")
        return read_arrays(self.folder.pictures, self.folder.evaluation)


def _diverged(when: str, because: str | None) -> str:
    return f"diverged in {when}" + (f" ({because})" if because else "")


def match(wanted: str, runs: Iterable[str], place: str) -> str:
    """The run of that id, or the only one whose id begins so. Raises UserError, with what comes nearest.

    runs: by id, or as "EXPERIMENT/ID"; then what is wanted may name the experiment too. place: where they lie.
    """
    names = {run: run if "/" in wanted else run.rpartition("/")[2] for run in sorted(runs)}
    equal = [run for run, name in names.items() if name == wanted]
    found = equal or [run for run, name in names.items() if name.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        more = ", …" if len(found) > 6 else ""
        raise UserError(f"{place}: {wanted!r} could be each of {len(found)} runs: {', '.join(found[:6])}{more}")
    close = difflib.get_close_matches(wanted, {name[: len(wanted)] for name in names.values()}, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    raise UserError(f"{place}: no run {wanted!r}{guess}")
