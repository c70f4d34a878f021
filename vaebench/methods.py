"""What was done, for the methods of a paper: settings in words, the numbers of definitions, the whole specification."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from types import NoneType
from typing import Any

import yaml

from vaebench.latent_dimensions import ACTIVE_VARIANCE, COLLAPSE_DELTA, COLLAPSE_EPSILON
from vaebench.linear_optimum import BOUNDARY
from vaebench.scores import CORRELATION_SAMPLES, LEVEL_SAMPLES, SIGMA_IMAGES
from vaebench.settings import REGISTRIES, Run
from vaebench.specification import Experiment
from vaebench.tables import GAP_TOLERANCE, KL_SHARE_TOLERANCE, KL_TOLERANCE
from vaebench.wording import listed

SYMBOLS = {"sigma": "σ"}
DECAYS = {"none": "none", "linear": "linear, to 0 at the end of training"}
BINARISATIONS = {
    "none": "none (the data's own levels)",
    "threshold": "threshold (pixels above half of the scale are 1)",
    "static": "static (each pixel drawn once, with its grey level as the probability)",
    "dynamic": "dynamic (drawn anew in each epoch of training; validation and test images are drawn once)",
}


def settings(experiment: Experiment) -> dict[str, str]:
    """In words, for the methods: what the runs have for each setting, by variant where those differ."""
    names = [name for name in Run.model_fields if name not in ("variant", "dataset", "seed", "binarisation")]
    words = {name: _choices(experiment, lambda run, name=name: _value(getattr(run, name))) for name in names}
    words["binarisation"] = _choices(experiment, lambda run: BINARISATIONS[run.binarisation])
    words["corruption"] = _choices(experiment, lambda run: run.corruption.label if run.corruption else "none")
    words["learning_rate_decay"] = _choices(experiment, lambda run: DECAYS[run.learning_rate_decay])
    return words


def methods(experiment: Experiment) -> dict[str, Any]:
    """The numbers and choices that the methods name beside the settings."""
    evaluation = experiment.evaluation
    n_images = experiment.dataset.sizes[evaluation.split]
    return {
        "split": evaluation.split,
        "n_images": n_images,
        "leaves_out": any(run.left_out is not None for run in experiment.first_runs),
        "ceiling": f"{math.log(n_images):.2f}",
        "has_levels": any(run.n_levels > 2 for run in experiment.first_runs),
        "n_level_samples": min(evaluation.n_samples, LEVEL_SAMPLES),
        "n_sigma_images": min(experiment.dataset.sizes["validation"], SIGMA_IMAGES),
        "n_correlation_samples": min(n_images, CORRELATION_SAMPLES),
        "free_nats": any(run.kl.free_nats for run in experiment.first_runs),
        "capacity": any(run.kl.capacity(1.0) for run in experiment.first_runs),
        "epsilon": f"{COLLAPSE_EPSILON:g}",
        "delta": f"{COLLAPSE_DELTA:g}",
        "active_variance": f"{ACTIVE_VARIANCE:g}",
        "boundary": f"{100 * BOUNDARY:g} %",
        "kl_tolerance": f"{100 * KL_SHARE_TOLERANCE:g} % or {KL_TOLERANCE:g} nats",
        "gap_tolerance": f"{GAP_TOLERANCE:g} nats",
    }


def _choices(experiment: Experiment, value: Callable[[Run], str]) -> str:
    """ "128" or "2, 8 and 32" for all runs, or "128 for bce and mse; 64 for beta-4"."""
    by_variant: dict[str, dict[str, None]] = {}
    for run in experiment.first_runs:
        by_variant.setdefault(run.variant, {})[value(run)] = None
    variants: dict[str, list[str]] = {}
    for variant, values in by_variant.items():
        variants.setdefault(listed(values), []).append(variant)
    if len(variants) == 1:
        return next(iter(variants))
    return "; ".join(f"{values} for {listed(names)}" for values, names in variants.items())


def _value(value: Any) -> str:
    """A setting in words: "0.003", or a definition by its name and settings: "gaussian (σ = 0.5)"."""
    if value is None:
        return "none"
    if dataclasses.is_dataclass(value):
        name, *inner = dataclasses.asdict(value).items()
        described = ", ".join(f"{SYMBOLS.get(key, key)} = {_value(item)}" for key, item in inner)
        return f"{name[1]} ({described})" if inner else name[1]
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def definitions(experiment: Experiment) -> dict[str, str]:
    """Each registered name that the runs use, and the first paragraph of what its author says of it."""
    asked_for = {(name, type(getattr(run, name))): None for name in REGISTRIES for run in experiment.first_runs}
    used = [(name, each) for name, each in asked_for if each is not NoneType]
    return {f"{name}: {getattr(each, REGISTRIES[name].tag)}": definition(each) for name, each in used}


def definition(registered: type) -> str:
    """The first paragraph of what its author says of it."""
    return " ".join(inspect.getdoc(registered).split("\n\n")[0].split())


def specification_text(experiment: Experiment) -> str:
    """The experiment as YAML with all defaults spelt out; saved as an experiment file it gives the same runs."""
    content = experiment.model_dump(mode="json", exclude_none=True)
    content["variants"] = {
        name: variant.model_dump(mode="json", exclude_unset=True) for name, variant in experiment.variants.items()
    }
    content["description"] = experiment.description.strip()
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
