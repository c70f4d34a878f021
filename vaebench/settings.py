"""The settings of a run: what may be asked for, what fits together, and the name that follows from them.

`Settings` are what defaults, variants and the grid of an experiment may set; a `Run` is one fully resolved point of them.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property, reduce
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
    ValidationError,
    model_validator,
)

from vaebench.corruptions import CORRUPTIONS
from vaebench.datasets import DATASETS
from vaebench.experiment_file import NAME_RULE, Mistakes, is_name, nearest
from vaebench.likelihoods import LIKELIHOODS, Bernoulli
from vaebench.networks import NETWORKS, Mlp
from vaebench.registry import Registry, shown
from vaebench.schedules import SCHEDULES, Constant
from vaebench.store import of_another_version
from vaebench.supervision import SUPERVISIONS

# The settings that are definitions, and where those are registered.
REGISTRIES = {
    "dataset": DATASETS,
    "network": NETWORKS,
    "likelihood": LIKELIHOODS,
    "kl": SCHEDULES,
    "corruption": CORRUPTIONS,
    "supervision": SUPERVISIONS,
}
# What no machine could train or hold; refused before anything is planned.
MOST_EPOCHS = 1_000_000
MOST_DIMENSIONS = 65_536

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _checked_name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"{shown(name)} is no name: {NAME_RULE}")
    return name


def choice(registry: Registry) -> Any:
    """The type of a setting that is a definition: its bare name, or a mapping of its tag and its settings."""

    def as_mapping(value: Any) -> Any:
        if isinstance(value, str):
            return {registry.tag: value}
        if isinstance(value, dict):
            return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
        return value

    definitions = tuple(registry.values())
    for definition in definitions:
        definition.__pydantic_config__ = STRICT
    either = reduce(or_, definitions)
    if len(definitions) > 1:
        either = Annotated[either, Field(discriminator=registry.tag)]
    return Annotated[either, BeforeValidator(as_mapping, json_schema_input_type=str | either)]


Name = Annotated[str, AfterValidator(_checked_name)]
# YAML reads the name of a digit as a number.
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


class Settings(BaseModel):
    """What defaults, variants and the grid may set."""

    model_config = STRICT

    network: choice(NETWORKS) = Mlp()
    latent_size: Annotated[PositiveInt, Field(le=MOST_DIMENSIONS)] = 8
    likelihood: choice(LIKELIHOODS) = Bernoulli()
    kl: choice(SCHEDULES) = Constant()
    binarisation: Literal["none", "threshold", "static", "dynamic"] = "none"
    epochs: Annotated[PositiveInt, Field(le=MOST_EPOCHS)] = 100
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    learning_rate_decay: Literal["none", "linear"] = "none"
    corruption: choice(CORRUPTIONS) | None = None  # of the images that the encoder sees in training
    supervision: choice(SUPERVISIONS) | None = None  # labels of some training images, and a model that uses them
    left_out: ClassName | None = None  # of the data set's classes, one that the run never sees

    def given(self) -> dict[str, Any]:
        """The settings that were written down, without this class's defaults."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Run(Settings):
    """One fully resolved training run. No two variants of an experiment have equal settings."""

    variant: Name
    dataset: choice(DATASETS)
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
        return f"{self.variant}-z{self.latent_size}-s{self.seed}-{hash_of(self.settings)}"

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


def parse_run(content: dict[str, Any], path: Path) -> Run:
    """A run's specification as the file at this path keeps it. Raises UserError where this code does not know it."""
    try:
        return parsed(Run, content)
    except ValidationError as error:
        fault = "was made by other code than this, which cannot read its specification"
        raise of_another_version(path, fault) from error


def parsed(model: type[BaseModel], content: dict[str, Any]) -> Any:
    """By way of JSON: strict in its types, yet with mappings for definitions.

    Validators see the whole content as their context.
    """
    return model.model_validate_json(json.dumps(content), context=content)


def hash_of(content: Any) -> str:
    """The first ten digits of the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
