"""What is to be trained: experiment files, the runs that they expand to, and the cohorts that train together.

An `Experiment` is one YAML file: a data set, default settings, named variants, a grid and seeds. Everything is validated
before anything starts; mistakes in the file become one `UserError`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PositiveInt,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vaebench import experiment_file
from vaebench.datasets import DATASETS, Dataset
from vaebench.errors import UserError
from vaebench.experiment_file import NAME_RULE, Location, Mistakes, is_name, nearest
from vaebench.metrics import METRICS, Metric
from vaebench.registry import shown
from vaebench.settings import REGISTRIES, STRICT, Name, Run, Settings, choice, hash_of, parsed
from vaebench.store import RESERVED_NAMES
from vaebench.tasks import ALL_METRICS, TASKS

# Where the definitions that an experiment file may name are registered, by setting.
_ALL_REGISTRIES = REGISTRIES | {"tasks": TASKS}

# What no machine could train or hold; refused before anything is planned.
MOST_RUNS = 100_000
MOST_SAMPLES = 1_000_000


def _checked_metric(name: str) -> str:
    if name not in ALL_METRICS:
        raise ValueError(f"{shown(name)} is no metric{nearest(name, ALL_METRICS)}")
    return name


def _checked_title(title: str) -> str:
    if "\n" in title.strip():
        raise ValueError("must be a line of text; a description may have more")
    return title


@dataclass(frozen=True)
class Cohort:
    """Runs whose tensors have the same shapes, trained and scored by one job; they differ in seed and KL schedule."""

    name: str
    runs: tuple[Run, ...]


class Evaluation(BaseModel):
    """How runs are scored: on which split, and with `n_samples` samples of z an image.

    These are the K of NLL_K; distortion is averaged over them too.
    """

    model_config = STRICT

    n_samples: Annotated[PositiveInt, Field(le=MOST_SAMPLES)] = 100
    split: Literal["train", "validation", "test"] = "test"


class Experiment(BaseModel):
    """One experiment file, with what it takes over from the file that it extends."""

    model_config = STRICT

    extends: Name | None = None
    title: Annotated[str, AfterValidator(_checked_title)]
    description: str = ""
    dataset: choice(DATASETS)
    defaults: Settings = Settings()
    seeds: PositiveInt = 5
    grid: dict[str, list[Any]] | None = None
    variants: Annotated[dict[Name, Settings], Field(min_length=1)]
    baseline: str
    headline: Annotated[str, AfterValidator(_checked_metric)] = "elbo"
    evaluation: Evaluation = Evaluation()
    tasks: list[choice(TASKS)] = []
    lanes: PositiveInt = 25

    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The file's name without its ending; results lie in the folder of that name."""
        return self._name

    @field_validator("grid")
    @classmethod
    def _has_settings_and_values(cls, grid: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
        mistakes = Mistakes()
        if grid is not None and not grid:
            mistakes.add("is empty; leave it out, or name a setting and its values")
        for key, values in (grid or {}).items():
            if key not in Settings.model_fields:
                mistakes.add(f"no such setting{nearest(key, Settings.model_fields)}", key)
                continue
            if not values:
                mistakes.add("has no values", key)
            # What is written in two ways, such as 3 and "3", may be the same class.
            meant_before: list[Any] = []
            for value in values:
                with mistakes.collected():
                    meant = getattr(parsed(Settings, {key: value}), key)
                    if meant in meant_before:
                        mistakes.add(f"{shown(value)} stands twice", key)
                    meant_before.append(meant)
        mistakes.raise_any()
        return grid

    @field_validator("baseline")
    @classmethod
    def _is_a_variant(cls, baseline: str, info: ValidationInfo) -> str:
        """As the file names them, since the variants may hold mistakes of their own."""
        variants = info.context.get("variants")
        if isinstance(variants, dict) and baseline not in variants:
            raise ValueError(f"{shown(baseline)} is no variant{nearest(baseline, variants)}")
        return baseline

    @model_validator(mode="after")
    def _is_consistent(self) -> Experiment:
        mistakes = Mistakes()
        for name, variant in self.variants.items():
            for key in self.grid_keys:
                if key in variant.given():
                    mistakes.add("is set by the grid too; set it in one place", "variants", name, key)
        n_runs = len(self.variants) * math.prod(map(len, (self.grid or {}).values())) * self.seeds
        if n_runs > MOST_RUNS:
            mistakes.add(f"variants, grid and seeds make {n_runs:,} runs; allowed: {MOST_RUNS:,}")
            mistakes.raise_any()
        with mistakes.collected():
            first_runs = self.first_runs
        mistakes.raise_any()
        variants: dict[str, str] = {}
        for run in first_runs:
            other = variants.setdefault(hash_of(run.settings), run.variant)
            if other != run.variant:
                mistakes.add(f"has the same settings as {other}", "variants", run.variant)
        self._check_tasks(mistakes)
        mistakes.raise_any()
        return self

    def _check_tasks(self, mistakes: Mistakes) -> None:
        kinds = [task.kind for task in self.tasks]
        for index, task in enumerate(self.tasks):
            if task.kind in kinds[:index]:
                mistakes.add(f"{task.kind} stands twice", "tasks")
            elif fault := task.fault_of(self.dataset):
                mistakes.add(f"{task.kind} cannot be scored: {self.dataset.kind} {fault}", "tasks")
            elif not any(task.applies(run) for run in self.first_runs):
                mistakes.add(f"{task.kind} can be scored of none of the runs: {task.needs_of_runs}", "tasks")
        if self.headline not in self.metrics:
            task = next(kind for kind, task in TASKS.items() if self.headline in {metric.name for metric in task.metrics})
            mistakes.add(f"{shown(self.headline)} is a metric of the task {task}, which is not among its tasks", "headline")

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Those that its runs may have, by name: what is computed of every run, then what its tasks give."""
        return METRICS | {metric.name: metric for task in self.tasks for metric in task.metrics}

    @cached_property
    def datasets(self) -> tuple[Dataset, ...]:
        """Its own, and those that its tasks read beside it."""
        scored = ((task, run) for task in self.tasks for run in self.first_runs if task.applies(run))
        others = (other for task, run in scored for other in task.other_datasets(run))
        return tuple(dict.fromkeys([self.dataset, *others]))

    @property
    def needs_classifier(self) -> bool:
        """Whether one of its tasks looks through the eyes of the data set's classifier."""
        return any(task.needs_classifier for task in self.tasks)

    @property
    def task_definitions(self) -> frozenset[str]:
        """The names of the registered classes of its tasks."""
        return frozenset(type(task).__name__ for task in self.tasks)

    @cached_property
    def grid_keys(self) -> tuple[str, ...]:
        return tuple(self.grid or {})

    @cached_property
    def grid_points(self) -> tuple[dict[str, Any], ...]:
        """Every combination of the grid's values, as the file writes them; a single empty one without a grid."""
        values = itertools.product(*(self.grid or {}).values())
        return tuple(dict(zip(self.grid_keys, point, strict=True)) for point in values)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every run, in the order variant, grid, seed. Raises ValidationError where combinations of settings do not fit."""
        points = [parsed(Settings, point).given() for point in self.grid_points]
        runs = []
        mistakes = Mistakes()
        for variant, settings in self.variants.items():
            for point in points:
                merged = self.defaults.given() | settings.given() | point
                with mistakes.collected():
                    first = Run(variant=variant, dataset=self.dataset, seed=0, **merged)
                    # Checked once: another seed changes nothing else.
                    runs += [first, *(first.model_copy(update={"seed": seed}) for seed in range(1, self.seeds))]
        mistakes.raise_any()
        return tuple(runs)

    @cached_property
    def whole(self) -> Experiment:
        """The same with those of its runs only that leave out no class, where the grid has both kinds; else itself."""
        grid = dict(self.grid or {})
        if None not in grid.pop("left_out", []):
            return self
        fields = {name: getattr(self, name) for name in type(self).model_fields} | {"grid": grid or None}
        whole = type(self).model_construct(self.model_fields_set, **fields)
        whole._name = self._name
        return whole

    @property
    def first_runs(self) -> tuple[Run, ...]:
        """The first seed of each variant and grid point, in the order of `runs`; the others differ in their seed only."""
        return self.runs[:: self.seeds]

    @cached_property
    def cohorts(self) -> tuple[Cohort, ...]:
        """The runs by equal shapes, split evenly into cohorts of at most `lanes`, seed by seed."""
        shapes = [shape_key(run) for run in self.first_runs]
        groups: dict[str, list[Run]] = {}
        for seed in range(self.seeds):
            for shape, run in zip(shapes, self.runs[seed :: self.seeds], strict=True):
                groups.setdefault(shape, []).append(run)
        cohorts = []
        for shape, runs in groups.items():
            n_cohorts = math.ceil(len(runs) / self.lanes)
            for index in range(n_cohorts):
                name = f"{runs[0].likelihood.kind}-z{runs[0].latent_size}-{shape}-{index}"
                cohorts.append(
                    Cohort(name, tuple(runs[index * len(runs) // n_cohorts : (index + 1) * len(runs) // n_cohorts]))
                )
        return tuple(cohorts)

    def cohort(self, name: str) -> Cohort:
        """Raises UserError for a name that the file does not expand to (any more)."""
        if name not in self._cohorts_by_name:
            raise UserError(
                f"{self.name}: no cohort {name!r}; if its file has changed since the workflow was started, start it again"
            )
        return self._cohorts_by_name[name]

    def cohort_of(self, run: Run) -> Cohort:
        """The cohort in which the workflow trains this run."""
        return next(cohort for cohort in self.cohorts if run in cohort.runs)

    @cached_property
    def _cohorts_by_name(self) -> dict[str, Cohort]:
        return {cohort.name: cohort for cohort in self.cohorts}


def load(path: Path, lanes: int | None = None) -> Experiment:
    """Read, validate and expand an experiment file. Raises UserError with a line for each mistake.

    lanes: in place of what the file says; on a GPU a cohort may be larger.
    """
    require_name(path.stem, path)
    files = experiment_file.read(path)
    try:
        content = experiment_file.merged(files)
        experiment = parsed(Experiment, content if lanes is None else content | {"lanes": lanes})
    except ValidationError as error:
        raise UserError(experiment_file.describe(error, _allowed_at, partial(experiment_file.place, files))) from error
    experiment._name = path.stem
    return experiment


def require_name(name: str, path: Path) -> None:
    """Raises UserError where this name, of an experiment in that file, cannot be its results' folder's."""
    if not is_name(name) or name in RESERVED_NAMES:
        rule = f"{NAME_RULE}, and none of {', '.join(RESERVED_NAMES)}"
        raise UserError(f"{path}: {shown(name)} cannot name an experiment: {rule}")
    if path.suffix != ".yaml":
        raise UserError(f"{path}: the name of an experiment file ends in .yaml")


class _Prepared(BaseModel):
    """What `vaebench prepare` is given."""

    model_config = STRICT

    dataset: choice(DATASETS)


def parse_dataset(text: str) -> Dataset:
    """A data set as an experiment file names it: its kind, or a YAML or JSON mapping. Raises UserError."""
    content = {"dataset": experiment_file.parse(text, "dataset")}
    try:
        return parsed(_Prepared, content).dataset
    except ValidationError as error:
        raise UserError(experiment_file.describe(error, _allowed_at)) from error


def json_schema() -> dict[str, Any]:
    """For editors: the JSON schema of experiment files. One that extends another names only what it changes."""
    schema = TypeAdapter(Experiment).json_schema()
    required = schema.pop("required")
    return schema | {"anyOf": [{"required": required}, {"required": ["extends"]}]}


def shape_key(run: Run) -> str:
    """The hash of all that runs of a cohort share."""
    return hash_of({key: value for key, value in run.settings.items() if key not in ("seed", "kl")})


def _allowed_at(location: Location) -> tuple[Location, Collection[str]]:
    """Where a mistake is in the file (pydantic's location names the definition too), and the keys or names allowed."""
    shown = tuple(part for index, part in enumerate(location) if not _is_tag(location, index))
    setting = next((part for part in location if part in _ALL_REGISTRIES), None)
    if setting is None:
        section = {"defaults": Settings, "variants": Settings, "evaluation": Evaluation}.get(
            location[0] if location[1:] else "", Experiment
        )
        return shown, list(section.model_fields)
    registry = _ALL_REGISTRIES[setting]
    after = [part for part in location[location.index(setting) + 1 :] if isinstance(part, str)]
    if not after:
        return shown, list(registry)
    definition = registry.get(after[0], next(iter(registry.values())))
    return shown, [field.name for field in fields(definition)]


def _is_tag(location: Location, index: int) -> bool:
    before = next((part for part in reversed(location[:index]) if isinstance(part, str)), None)
    return location[index] in _ALL_REGISTRIES.get(before, {})
