"""How long runs take to train and to score on this machine: measured on a few steps and a few images of random pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from vaebench.evaluation import IMAGE_BLOCK, evaluate
from vaebench.images import Images
from vaebench.lanes import build_model, lanes_together
from vaebench.scores import SIGMA_IMAGES
from vaebench.settings import Run
from vaebench.specification import Evaluation
from vaebench.training import Training

# What may be spent on measuring: the largest shapes are measured, the others are scaled by their multiply-adds.
PROBE_SECONDS = 2.0
# Multiply-adds of one measurement, some tenths of a second; at most a whole epoch, a whole split.
TRAINING_SIZE, SCORING_SIZE = 1e9, 2e9
FEWEST_STEPS = 2
# Lanes that are scored to see what each takes.
SCORED_LANES = 2


class Speed(NamedTuple):
    """CPU seconds that one run takes beside those that it was measured with: all its epochs, all images of its split."""

    training: float
    scoring: float


def n_parameters(run: Run) -> int:
    with torch.device("meta"):  # shapes without memory
        return sum(parameter.numel() for parameter in build_model(run).parameters())


def speeds(shapes: Mapping[str, Sequence[Run]], evaluation: Evaluation) -> dict[str, Speed]:
    """shapes: by any name, runs of one cohort that are to be trained side by side."""
    work = {shape: _multiply_adds(runs[0], evaluation) for shape, runs in shapes.items()}
    found: dict[str, Speed] = {}
    # The last shape measured of those whose runs stand in one stack, and of those whose runs do not: they differ most.
    measured: dict[bool, str] = {}
    begun = time.process_time()
    for shape in sorted(shapes, key=lambda shape: sum(work[shape]) * len(shapes[shape]), reverse=True):
        runs = shapes[shape]
        is_stacked = lanes_together(runs, runs[0].batch_size) == len(runs)
        if is_stacked not in measured or time.process_time() - begun < PROBE_SECONDS:
            found[shape] = _measured(runs if is_stacked else runs[:1], evaluation)
            measured[is_stacked] = shape
        else:
            other = measured[is_stacked]
            pairs = zip(found[other], work[shape], work[other], strict=True)
            found[shape] = Speed(*(seconds * own / measured_work for seconds, own, measured_work in pairs))
    return found


def _multiply_adds(run: Run, evaluation: Evaluation) -> tuple[int, int]:
    """Of training and of scoring: for each image about as many as the model has parameters, backward passes left out."""
    sizes = run.dataset.sizes
    trained, scored = sizes["train"] * run.epochs, sizes[evaluation.split] * evaluation.n_samples
    return n_parameters(run) * trained, n_parameters(run) * scored


def _measured(runs: Sequence[Run], evaluation: Evaluation) -> Speed:
    return Speed(_training(runs) / len(runs), _scoring(runs[:SCORED_LANES], evaluation) / len(runs[:SCORED_LANES]))


def _training(runs: Sequence[Run]) -> float:
    """CPU seconds of all epochs, from one on a share of the training and the validation images."""
    run, sizes = runs[0], runs[0].dataset.sizes
    step = run.batch_size * len(runs) * n_parameters(run)
    n_steps = min(max(FEWEST_STEPS, round(TRAINING_SIZE / step)), sizes["train"] // run.batch_size)
    share = max(n_steps * run.batch_size, _fewest_images(run)) / sizes["train"]
    training = Training(runs, _noise(run, train=share * sizes["train"], validation=share * sizes["validation"]))
    # The first makes room and chooses kernels. Runs that diverge in it will cost nothing more.
    training.run_epoch()
    return _seconds(training.run_epoch) * run.epochs / share if len(training) else 0.0


def _fewest_images(run: Run) -> int:
    """As many as its labels need, the classes of random images taking turns."""
    if run.supervision is None:
        return 0
    n_classes = len(run.dataset.class_names)
    return math.ceil(run.supervision.labels / n_classes) * n_classes


def _scoring(runs: Sequence[Run], evaluation: Evaluation) -> float:
    """CPU seconds for the whole split, from a share of it and of the validation images."""
    run, split = runs[0], evaluation.split
    block = IMAGE_BLOCK * evaluation.n_samples * len(runs) * n_parameters(run)
    n_images = min(IMAGE_BLOCK * max(1, round(SCORING_SIZE / block)), run.dataset.sizes[split])
    share = n_images / run.dataset.sizes[split]
    n_fitted = share * min(run.dataset.sizes["validation"], SIGMA_IMAGES)
    images = _noise(run, **({"train": IMAGE_BLOCK, "validation": n_fitted} | {split: n_images}))
    states = [build_model(each).state_dict() for each in runs]
    # Libraries that only scoring needs are imported by its first call.
    evaluate(runs[:1], states[:1], images, 1, split)
    return _seconds(lambda: evaluate(runs, states, images, evaluation.n_samples, split)) / share


def _noise(run: Run, **sizes: float) -> Images:
    """Random grey levels in place of the data set's images, so many in each split."""
    random = torch.Generator().manual_seed(0)
    dataset = run.dataset
    levels = {
        split: torch.randint(dataset.n_levels, (max(1, round(size)), dataset.n_pixels), dtype=torch.uint8, generator=random)
        for split, size in sizes.items()
    }
    labels = {
        split: np.resize(np.arange(len(dataset.class_names), dtype=np.uint8), len(of)) for split, of in levels.items()
    }
    return Images(levels, dataset.n_levels, run.binarisation, labels if dataset.class_names else {})


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds, which do not depend on what else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start
