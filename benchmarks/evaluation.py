"""Scoring against its floor: images a second and peak memory.

python -m benchmarks.evaluation

Scoring is `evaluate` as a whole with K = 500 samples of z an image, all metrics included; its floor is the time of the
decoder's bare matrix products. Mutual information is over 10,000 images, each under the mixture of all; its floor is one
exponential for every pair of images. Each row is measured in a process of its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pandas as pd
import torch

from benchmarks.measure import interleaved, peak_megabytes, publish, ratio, timed
from benchmarks.training import MODELS, Model, load_images, runs
from vaebench import aggregate_posterior
from vaebench.datasets import DATASETS
from vaebench.evaluation import evaluate
from vaebench.images import Images
from vaebench.training import Training

REPEATS = 5
N_SAMPLES = 500
N_IMAGES = 256
N_MIXED = 10_000


def scoring(name: str, n_lanes: int) -> dict[str, Any]:
    """`evaluate` of untrained models of one shape."""
    model = MODELS[name]
    levels, _ = load_images(model.dataset)
    splits = dict.fromkeys(("train", "validation", "test"), torch.from_numpy(levels).flatten(1)[:N_IMAGES])
    images = Images(splits, DATASETS[model.dataset]().n_levels, "none")
    members = runs(model, n_lanes)
    states = [trained.state for trained in Training(members, images).result()]
    floor = decoder_products(model, levels[0].size, n_lanes)
    return _row(
        lambda: evaluate(members, states, images, N_SAMPLES),
        floor,
        what=f"all metrics, K = {N_SAMPLES}",
        model=name,
        lanes=n_lanes,
        images=n_lanes * N_IMAGES,
    )


def decoder_products(model: Model, n_pixels: int, n_lanes: int) -> Callable[[], object]:
    """The decoder's matrix products for all images and samples, 64 samples at a time, into memory that is there already."""
    n_rows = 64 * 20
    z, hidden = torch.randn(n_lanes, n_rows, model.latent_size), torch.empty(n_lanes, n_rows, model.width)
    first, second = torch.randn(n_lanes, model.latent_size, model.width), torch.randn(n_lanes, model.width, n_pixels)
    output = torch.empty(n_lanes, n_rows, n_pixels)

    def products() -> None:
        for _ in range(N_IMAGES * N_SAMPLES // n_rows):
            torch.bmm(z, first, out=hidden)
            torch.bmm(hidden, second, out=output)

    return products


def mutual_information(latent_size: int) -> dict[str, Any]:
    """log q(z) of a sample an image under the mixture of all images' posteriors."""
    mean, log_variance = torch.randn(2, N_MIXED, latent_size, dtype=torch.float64)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    block = torch.randn(aggregate_posterior.BLOCK // N_MIXED, N_MIXED, dtype=torch.float64).neg_()

    def floor() -> None:
        for _ in range(N_MIXED // len(block)):
            torch.exp(block, out=block).neg_()

    return _row(
        lambda: aggregate_posterior.log_density(z, mean, log_variance),
        floor,
        what="mutual information",
        model=f"{latent_size} latent dimensions",
        lanes=1,
        images=N_MIXED,
    )


def _row(compute: Callable[[], object], floor: Callable[[], object], images: int, **columns: Any) -> dict[str, Any]:
    before = peak_megabytes()
    compute()
    peak = peak_megabytes() - before
    seconds = interleaved({"measured": timed(compute), "floor": timed(floor)}, REPEATS)
    return columns | {
        "images": images,
        "images a second": images / statistics.median(seconds["measured"]),
        "floor, images a second": images / statistics.median(seconds["floor"]),
        "of the floor": ratio(seconds["measured"], seconds["floor"]),
        "peak MB": peak,
    }


def main() -> None:
    torch.set_num_threads(1)
    cases = [(scoring, "64-128-8", 1), (scoring, "64-128-8", 20), (scoring, "784-128-20", 5)]
    cases += [(scoring, "784-400-20", 1), (scoring, "784-400-20", 5), (mutual_information, 8), (mutual_information, 20)]
    rows = []
    for function, *arguments in cases:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            rows.append(process.submit(function, *arguments).result())
    title = "Scoring; images of all lanes; peak memory beyond what was there before"
    publish(pd.DataFrame(rows), "evaluation", title, threads=1, rounds=REPEATS)


if __name__ == "__main__":
    main()
