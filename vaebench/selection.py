"""One run of an experiment, chosen by variant, seed and grid point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaebench import experiment_file
from vaebench.errors import UserError
from vaebench.experiment_file import nearest
from vaebench.registry import shown
from vaebench.settings import Run
from vaebench.specification import Experiment


def choose(experiment: Experiment, variant: str, seed: int, at: Mapping[str, Any]) -> Run:
    """The run of this variant and seed at the grid point whose values are `at`, as the file writes them.

    Keys of the grid that have a single value, or that leave a single point, need not be named. Raises UserError where
    there is no such run or more than one.
    """
    place = experiment.name
    if variant not in experiment.variants:
        raise UserError(f"{place}: {variant!r} is no variant{nearest(variant, experiment.variants)}")
    if not 0 <= seed < experiment.seeds:
        raise UserError(f"{place}: {seed} is no seed of it; allowed: 0 to {experiment.seeds - 1}")
    if unknown := [key for key in at if key not in experiment.grid_keys]:
        raise UserError(f"{place}: {unknown[0]!r} is not in its grid{nearest(unknown[0], experiment.grid_keys)}")
    points = experiment.grid_points
    found = [index for index, point in enumerate(points) if point | at == point]
    if len(found) != 1:
        asked = _words(at) if at else "no grid point is named"
        choices = "; ".join(_words(points[index]) for index in found or range(len(points)))
        raise UserError(f"{place}: {asked}: name one of these with --at: {shown(choices, str, 1000)}")
    return [run for run in experiment.runs if (run.variant, run.seed) == (variant, seed)][found[0]]


def parse_point(texts: list[str]) -> dict[str, Any]:
    """["latent_size=8"] -> {"latent_size": 8}, values as YAML. Raises UserError for what is no KEY=VALUE."""
    point = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--at {text}: must be KEY=VALUE, such as latent_size=8")
        point[key] = experiment_file.parse(value, f"--at {text}")
    return point


def _words(point: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in point.items())
