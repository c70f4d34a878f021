"""What is to be trained: experiment files, the runs that they expand to, and the cohorts that train together.

An `Experiment` is one YAML file: a data set, default settings, named variants, a grid and seeds. A `Run` is one fully
resolved point of it. Everything is validated before anything starts; mistakes in the file become one `UserError`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property, partial, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vaebench import experiment_file
from vaebench.corruptions import CORRUPTIONS
from vaebench.datasets import DATASETS, Dataset
from vaebench.errors import UserError
from vaebench.experiment_file import NAME_RULE, Location, Mistakes, is_name, nearest
from vaebench.likelihoods import LIKELIHOODS, Bernoulli
from vaebench.metrics import METRICS, Metric
from vaebench.networks import NETWORKS, Mlp
from vaebench.registry import Registry, shown
from vaebench.schedules import SCHEDULES, Constant
from vaebench.store import RESERVED_NAMES, of_another_version
from vaebench.supervision import SUPERVISIONS
from vaebench.tasks import ALL_METRICS, TASKS

# The settings that are definitions, and where those are registered.
REGISTRIES = {
    "dataset": DATASETS,
    "network": NETWORKS,
    "likelihood": LIKELIHOODS,
    "kl": SCHEDULES,
    "corruption": CORRUPTIONS,
    "supervision": SUPERVISIONS,
}
# And those of an experiment, beside its data set.
_ALL_REGISTRIES = REGISTRIES | {"tasks": TASKS}

# What no machine could train or hold; refused before anything is planned.
MOST_RUNS = 100_000
MOST_EPOCHS = 1_000_000
MOST_DIMENSIONS = 65_536
MOST_SAMPLES = 1_000_000

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"{shown(name)} is no name: {NAME_RULE}")
    return name


def _checked_metric(name: str) -> str:
    if name not in ALL_METRICS:
        raise ValueError(f"{shown(name)} is no metric{nearest(name, ALL_METRICS)}")
    return name


def _checked_title(title: str) -> str:
    if "\n" in title.strip():
        raise ValueError("must be a line of text; a description may have more")
    return title


def _choice(registry: Registry) -> Any:
    """The type of a setting that is a definition: its bare name, or a mapping of its tag and its settings."""

    def as_mapping(value: Any) -> Any:
        if isinstance(value, str):
            return {registry.tag: value}
        if isinstance(value, dict):
            return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return value

    definitions = tuple(registry.values())
    for definition in definitions:
        definition.__pydantic_config__ = _STRICT
    choice = reduce(or_, definitions)
    if len(definitions) > 1:
        choice = Annotated[choice, Field(discriminator=registry.tag)]
    return Annotated[choice, BeforeValidator(as_mapping, json_schema_input_type=str | choice)]


Name = Annotated[str, AfterValidator(_checked_name)]
# YAML reads the name of a digit as a number.
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


class Settings(BaseModel):
    """What defaults, variants and the grid may set."""

    model_config = _STRICT

    network: _choice(NETWORKS) = Mlp()
    latent_size: Annotated[PositiveInt, Field(le=MOST_DIMENSIONS)] = 8
    likelihood: _choice(LIKELIHOODS) = Bernoulli()
    kl: _choice(SCHEDULES) = Constant()
    binarisation: Literal["none", "threshold", "static", "dynamic"] = "none"
    epochs: Annotated[PositiveInt, Field(le=MOST_EPOCHS)] = 100
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    learning_rate_decay: Literal["none", "linear"] = "none"
    corruption: _choice(CORRUPTIONS) | None = None  # of the images that the encoder sees in training
    supervision: _choice(SUPERVISIONS) | None = None  # labels of some training images, and a model that uses them
    left_out: ClassName | None = None  # of the data set's classes, one that the run never sees

    def given(self) -> dict[str, Any]:
        """The settings that were written down, without this class's defaults."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Run(Settings):
    """One fully resolved training run. No two variants of an experiment have equal settings."""

    variant: Name
    dataset: _choice(DATASETS)
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _fits_its_data(self) -> Run:
        mistakes = Mistakes()
        n_images = self.dataset.sizes["train"]
        if self.batch_size > n_images:
            kind = self.dataset.kind
            mistakes.add(f"{self.batch_size} is more than the {n_images} training images of {kind}", "batch_size")
        if self.dataset.n_levels == 2 and self.binarisation != "none":
            mistakes.add(f"{self.dataset.kind} is binary as it is; allowed: none", "binarisation")
        classes = self.dataset.class_names
        if self.left_out is not None and self.left_out not in classes:
            known = nearest(self.left_out, classes) if classes else f"; {self.dataset.kind} has no classes"
            mistakes.add(f"{shown(self.left_out)} is no class{known}", "left_out")
        self._check_supervision(mistakes)
        mistakes.raise_any()
        return self

    def _check_supervision(self, mistakes: Mistakes) -> None:
        if self.supervision is None:
            return
        kind, n_images, n_classes = self.dataset.kind, self.dataset.sizes["train"], len(self.dataset.class_names)
        if not n_classes:
            mistakes.add(f"{kind} has no classes, so there are no labels", "supervision")
        elif not n_classes <= self.supervision.labels <= n_images:
            allowed = f"allowed: from {n_classes} (one a class) to {n_images} (all training images)"
            mistakes.add(f"{self.supervision.labels} labels of {kind}; {allowed}", "supervision", "labels")
        if not self.network.class_conditional:
            allowed = " or ".join(name for name, network in NETWORKS.items() if network.class_conditional)
            mistakes.add(f"{self.network.kind} has no classifier, which supervision needs; allowed: {allowed}", "network")
        if self.likelihood.is_fitted:
            mistakes.add(f"{self.likelihood.kind} is fitted without classes, so not with supervision", "likelihood")
        if self.corruption is not None:
            mistakes.add("supervision learns from images as they are; leave one of the two settings out", "corruption")
        if self.left_out is not None:
            mistakes.add("supervision is of all classes; leave one of the two settings out", "left_out")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that determines the run's numbers, as plain data: what is not asked for, and so is None, does not."""
        return self.model_dump(mode="json", exclude={"variant"}, exclude_none=True)

    @cached_property
    def run_id(self) -> str:
        """A readable slug and a hash of the settings. The slug is for people: programs read the specification."""
        return f"{self.variant}-z{self.latent_size}-s{self.seed}-{_hash(self.settings)}"

    @property
    def n_levels(self) -> int:
        """Grey levels that the model sees: 2 on binary data."""
        return self.dataset.n_levels if self.binarisation == "none" else 2

    @property
    def is_normalised(self) -> bool:
        """False for a likelihood that is no probability of its data, such as Bernoulli on grey pixels."""
        return self.likelihood.is_normalised_on(self.n_levels)

    @property
    def definitions(self) -> frozenset[str]:
        """The names of the registered classes that the run uses."""
        return frozenset(type(getattr(self, name)).__name__ for name in REGISTRIES if getattr(self, name) is not None)


@dataclass(frozen=True)
class Cohort:
    """Runs whose tensors have the same shapes, trained and scored by one job; they differ in seed and KL schedule."""

    name: str
    runs: tuple[Run, ...]


class Evaluation(BaseModel):
    """How runs are scored: on which split, and with `n_samples` samples of z an image.

    These are the K of NLL_K; distortion is averaged over them too.
    """

    model_config = _STRICT

    n_samples: Annotated[PositiveInt, Field(le=MOST_SAMPLES)] = 100
    split: Literal["train", "validation", "test"] = "test"


class Experiment(BaseModel):
    """One experiment file, with what it takes over from the file that it extends."""

    model_config = _STRICT

    extends: Name | None = None
    title: Annotated[str, AfterValidator(_checked_title)]
    description: str = ""
    dataset: _choice(DATASETS)
    defaults: Settings = Settings()
    seeds: PositiveInt = 5
    grid: dict[str, list[Any]] | None = None
    variants: Annotated[dict[Name, Settings], Field(min_length=1)]
    baseline: str
    headline: Annotated[str, AfterValidator(_checked_metric)] = "elbo"
    evaluation: Evaluation = Evaluation()
    tasks: list[_choice(TASKS)] = []
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
            parsed: list[Any] = []
            for value in values:
                with mistakes.collected():
                    meant = getattr(_parse(Settings, {key: value}), key)
                    if meant in parsed:
                        mistakes.add(f"{shown(value)} stands twice", key)
                    parsed.append(meant)
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
            other = variants.setdefault(_hash(run.settings), run.variant)
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
        points = [_parse(Settings, point).given() for point in self.grid_points]
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
        experiment = _parse(Experiment, content if lanes is None else content | {"lanes": lanes})
    except ValidationError as error:
        raise UserError(experiment_file.describe(error, _allowed_at, partial(experiment_file.place, files))) from error
    experiment._name = path.stem
    return experiment


def parse_run(content: dict[str, Any], path: Path) -> Run:
    """A run's specification as the file at this path keeps it. Raises UserError where this code does not know it."""
    try:
        return _parse(Run, content)
    except ValidationError as error:
        fault = "was made by other code than this, which cannot read its specification"
        raise of_another_version(path, fault) from error


def require_name(name: str, path: Path) -> None:
    """Raises UserError where this name, of an experiment in that file, cannot be its results' folder's."""
    if not is_name(name) or name in RESERVED_NAMES:
        rule = f"{NAME_RULE}, and none of {', '.join(RESERVED_NAMES)}"
        raise UserError(f"{path}: {shown(name)} cannot name an experiment: {rule}")
    if path.suffix != ".yaml":
        raise UserError(f"{path}: the name of an experiment file ends in .yaml")


class _Prepared(BaseModel):
    """What `vaebench prepare` is given."""

    model_config = _STRICT

    dataset: _choice(DATASETS)


def parse_dataset(text: str) -> Dataset:
    """A data set as an experiment file names it: its kind, or a YAML or JSON mapping. Raises UserError."""
    content = {"dataset": experiment_file.parse(text, "dataset")}
    try:
        return _parse(_Prepared, content).dataset
    except ValidationError as error:
        raise UserError(experiment_file.describe(error, _allowed_at)) from error


def _parse(model: type[BaseModel], content: dict[str, Any]) -> Any:
    """By way of JSON: strict in its types, yet with mappings for definitions.

    Validators see the whole content as their context.
    """
    return model.model_validate_json(json.dumps(content), context=content)


def json_schema() -> dict[str, Any]:
    """For editors: the JSON schema of experiment files. One that extends another names only what it changes."""
    schema = TypeAdapter(Experiment).json_schema()
    required = schema.pop("required")
    return schema | {"anyOf": [{"required": required}, {"required": ["extends"]}]}


def shape_key(run: Run) -> str:
    """The hash of all that runs of a cohort share."""
    return _hash({key: value for key, value in run.settings.items() if key not in ("seed", "kl")})


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


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
