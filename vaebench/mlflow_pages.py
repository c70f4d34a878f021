"""What MLflow's pages say of an experiment and its runs, by which names, and the views in which they open.

Links lead to views, not to MLflow's runs: a view keeps its address when what it shows is logged anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vaebench.presentation import in_markdown
from vaebench.settings import Run
from vaebench.specification import Experiment
from vaebench.store import ExperimentFolder, Results
from vaebench.tables import flat_settings, group_keys
from vaebench.tasks import ALL_METRICS

NOTE = "mlflow.note.content"  # what MLflow shows as the description
VIEW = "mlflow.sharedViewState."  # and the name of a view, which MLflow lists in its menu "Views"
NAME = "attributes.`Run Name`"  # as MLflow calls its column
GROUP = "group"  # the parameter that runs have in common which differ in their seed only
COLUMNS = ("elbo", "rate", "active_units", "common_bits_per_dim", "squared_error")  # beside the experiment's headline
MOST_SHOWN = 20  # groups with their curves; MLflow offers 10 and 20


@dataclass(frozen=True)
class Pages:
    """Of one experiment. mlflow_id: the id that MLflow gave it."""

    experiment: Experiment
    results: Results
    mlflow_id: str

    @property
    def folder(self) -> ExperimentFolder:
        return self.results.experiment(self.experiment.name)

    @cached_property
    def shared_settings(self) -> dict[str, Any]:
        """Those that all runs have in common."""
        runs = [flat_settings(run).items() for run in self.experiment.first_runs]
        shared = set(runs[0]).intersection(*runs[1:]) - {("seed", 0)}
        return {name: value for name, value in runs[0] if (name, value) in shared}

    def group(self, run: Run) -> str:
        """The name of all runs that differ from this one in their seed only, such as "bce-z8"."""
        settings = flat_settings(run)
        others = [f"{key}-{settings[key]}" for key in self._other_keys if key in settings]
        return "-".join([run.variant, f"z{run.latent_size}", *others])

    @cached_property
    def _other_keys(self) -> list[str]:
        """What tells groups apart beside variant and latent size."""
        return group_keys(self.experiment)[2:]

    def parameters(self, run: Run) -> dict[str, Any]:
        """What tells a run from the others of its experiment."""
        settings = {name: value for name, value in flat_settings(run).items() if name not in self.shared_settings}
        return {GROUP: self.group(run), "variant": run.variant} | settings

    def score(self, metric: str) -> str:
        """ "test/evidence/elbo": MLflow gathers the charts of a family under its name."""
        return f"{self.experiment.evaluation.split}/{ALL_METRICS[metric].family}/{metric}"

    def experiment_tags(self) -> dict[str, str]:
        """The description, of which MLflow shows the first line unasked, and the views."""
        views = [
            self._link("Means over seeds", "means"),
            self._link("curves", "curves", "CHART"),
            self._link("report", "report"),
        ]
        description = f"""{" · ".join(views)}: {in_markdown(self.experiment.title)}

The report lies in `{self.folder.report}`. A run's parameters are what it differs in from others; what all have in common \
are those of the run `summary`. To have means over seeds, group by `{GROUP}`."""
        return {NOTE: description} | {f"{VIEW}{name}": view for name, view in self._views().items()}

    def run_note(self, run: Run, trained: bool) -> str:
        """Where the run's report lies and, if it has a model, how that is loaded."""
        model = f"vaebench.load({str(self.folder.path)!r}).model({run.run_id!r}).reconstruct(images)"
        return f"""Seed {run.seed} of `{self.group(run)}` in {self.experiment.name}; {self._link("report", "report")}, \
also in `{self.folder.report}`.

{f"Pictures are under Artifacts. The model: `{model}`" if trained else "The run diverged: it has no scores."}"""

    def summary_note(self) -> str:
        return f"""The experiment as a whole: {in_markdown(self.experiment.title)}

Its report, tables and figures are under Artifacts, and in `{self.folder.path}`. Parameters are what all its runs share."""

    def _link(self, words: str, view: str, mode: str = "TABLE") -> str:
        return f"[{words}](#/experiments/{self.mlflow_id}/runs?viewStateShareKey={view}&compareRunsMode={mode})"

    def _views(self) -> dict[str, str]:
        groups = {self.group(run) for run in self.experiment.first_runs}
        metrics = [f"metrics.`{self.score(metric)}`" for metric in dict.fromkeys([self.experiment.headline, *COLUMNS])]
        means = {
            "searchFilter": 'tags.kind = "run"',
            "orderByKey": "tags.`mlflow.runName`",
            "orderByAsc": True,
            "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": GROUP}]},
            "groupsExpanded": {f"param.{GROUP}.{group}": False for group in sorted(groups)[:MOST_SHOWN]},
            "selectedColumns": metrics,
            "columnOrder": [NAME, *metrics],
            "columnWidths": {NAME: 280} | dict.fromkeys(metrics, 200),
            "runsHiddenMode": f"FIRST_{MOST_SHOWN}_RUNS",
        }
        return {
            "means": _view("Means over seeds", means),
            "curves": _view("Curves, means over seeds", means | {"chartsSearchFilter": "^(train|validation)/[^/]*$"}),
            "report": _view("Report, tables and figures", {"searchFilter": 'tags.kind = "summary"'}),
        }


def _view(name: str, state: dict[str, Any]) -> str:
    """As MLflow keeps a view: its name, and in what its page's state differs from the usual one."""
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
