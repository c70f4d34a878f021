"""A training step against the floor and against the peers.

python -m benchmarks.training

The floor of a step is the time of its bare matrix products: each layer's forward, and both backward but for the first
layer's towards the images, stacked like the models themselves, in the same process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.measure import REPEATS, Program, interleaved, publish, ratio, timed
from benchmarks.peers import BATCH_SIZE, PYTHAE, Pythae, in_memory_loop, usual_loop
from vaebench.datasets import DATASETS, data_root
from vaebench.errors import UserError
from vaebench.images import Images
from vaebench.networks import Mlp
from vaebench.settings import Run
from vaebench.training import Training

# A program and its lanes.
Contender = tuple[str, int]

LANES = (1, 5, 20, 100)
PEER_STEPS = 32


class Model(NamedTuple):
    dataset: str
    width: int
    latent_size: int


MODELS = {"64-128-8": Model("digits", 128, 8), "784-128-20": Model("mnist", 128, 20), "784-400-20": Model("mnist", 400, 20)}


def load_images(name: str) -> tuple[np.ndarray, str]:
    """Training images, uint8 [N, height, width], and what they are: drawn ones of the same shape where there are none."""
    dataset = DATASETS[name]()
    try:
        levels, source = dataset.load(data_root())["train"].images, name
    except UserError:
        shape = dataset.sizes["train"], dataset.n_pixels
        levels, source = np.random.default_rng(0).integers(0, dataset.n_levels, shape, dtype=np.uint8), f"like {name}"
    return np.array(levels).reshape(len(levels), *dataset.image_shape), source


def runs(model: Model, n_lanes: int) -> list[Run]:
    """One variant, and a seed a lane."""
    settings = {
        "variant": "one",
        "dataset": DATASETS[model.dataset](),
        "network": Mlp(hidden=(model.width,)),
        "latent_size": model.latent_size,
        "batch_size": BATCH_SIZE,
        "epochs": 1000,
    }
    return [Run(seed=seed, **settings) for seed in range(n_lanes)]


def training_program(model: Model, levels: np.ndarray, n_lanes: int, n_steps: int) -> Program:
    """An epoch of n_steps steps of all lanes, with its random numbers; without a validation, which peers do not have."""
    splits = {"train": torch.from_numpy(levels).flatten(1)[: n_steps * BATCH_SIZE]}
    training = Training(runs(model, n_lanes), Images(splits, DATASETS[model.dataset]().n_levels, "none"))

    def epoch() -> None:
        for lanes, read in training.next_epoch():
            lanes.train_epoch(read)

    return timed(epoch)


def floor_program(model: Model, n_pixels: int, n_lanes: int, n_steps: int) -> Program:
    """The products of n_steps steps of all lanes, into memory that is there already."""
    encoder = (n_pixels, model.width, 2 * model.latent_size)
    decoder = (model.latent_size, model.width, n_pixels)
    products = []
    for n_inputs, n_outputs in [*pairwise(encoder), *pairwise(decoder)]:
        x, output = torch.randn(n_lanes, BATCH_SIZE, n_inputs), torch.randn(n_lanes, BATCH_SIZE, n_outputs)
        weight = torch.randn(n_lanes, n_outputs, n_inputs)
        products += [(x, weight.mT, output), (output.mT, x, weight.clone())]
        if n_inputs != n_pixels:
            products.append((output, weight, x.clone()))

    def steps() -> None:
        for _ in range(n_steps):
            for one, other, out in products:
                torch.bmm(one, other, out=out)

    return timed(steps)


def steps_of(n_lanes: int) -> int:
    """As many steps as take about the same time, whatever the lanes."""
    return max(8, 64 // n_lanes)


def programs_of(model: Model, images: np.ndarray) -> dict[Contender, tuple[Program, int]]:
    """vaebench and the floor with every number of lanes, and the peers of this process; each with its lane-steps."""
    n_pixels, n_steps_an_epoch = images[0].size, len(images) // BATCH_SIZE
    programs = {}
    for n_lanes in LANES:
        n_steps = min(steps_of(n_lanes), n_steps_an_epoch)
        programs["vaebench", n_lanes] = training_program(model, images, n_lanes, n_steps), n_lanes * n_steps
        programs["floor", n_lanes] = floor_program(model, n_pixels, n_lanes, n_steps), n_lanes * n_steps
    few = images_of_peers(images)
    n_steps = len(few) // BATCH_SIZE
    programs["usual loop", 1] = usual_loop(few, model.width, model.latent_size), n_steps
    programs["in-memory loop", 1] = in_memory_loop(few, model.width, model.latent_size), n_steps
    return programs


def images_of_peers(images: np.ndarray) -> np.ndarray:
    return images[: min(PEER_STEPS, len(images) // BATCH_SIZE) * BATCH_SIZE]


def measure(name: str, model: Model, folder: Path, repeats: int) -> pd.DataFrame:
    """A row for every program of one model."""
    images, source = load_images(model.dataset)
    programs = programs_of(model, images)
    with ExitStack() as opened:
        if (PYTHAE / "ready").exists():
            few = images_of_peers(images)
            pythae = opened.enter_context(closing(Pythae(few, model.width, model.latent_size, folder)))
            programs["pythae", 1] = pythae, len(few) // BATCH_SIZE
        rounds = interleaved({contender: program for contender, (program, _) in programs.items()}, repeats)
    taken = {contender: [each / programs[contender][1] for each in seconds] for contender, seconds in rounds.items()}
    return pd.DataFrame(
        {"model": name, "data": source} | row_of(contender, taken, len(images) // BATCH_SIZE) for contender in taken
    )


def row_of(contender: Contender, taken: dict[Contender, list[float]], n_steps_an_epoch: int) -> dict[str, Any]:
    """taken: seconds a lane-step in every round."""
    (program, n_lanes), seconds = contender, taken[contender]
    row = {
        "program": program,
        "lanes": n_lanes,
        "ms a lane-step": 1000 * statistics.median(seconds),
        "s a lane-epoch": statistics.median(seconds) * n_steps_an_epoch,
        "of the floor": ratio(seconds, taken["floor", n_lanes]),
    }
    for peer in ("usual loop", "in-memory loop", "pythae"):
        row[f"{peer} takes"] = ratio(taken[peer, 1], seconds) if (peer, 1) in taken else None
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not (PYTHAE / "ready").exists():
        print(f"pythae is left out: there is no {PYTHAE}; make benchmark makes it where it can be installed")
    with tempfile.TemporaryDirectory() as folder:
        tables = [measure(name, MODELS[name], Path(folder), options.repeats) for name in options.models]
    title = "A training step, batches of 128; the last columns: how many times as long a peer takes"
    publish(pd.concat(tables), "training", title, threads=1, rounds=options.repeats)


if __name__ == "__main__":
    main()
