"""Lane-steps a second on a GPU, against a plain loop with one model, and against what the device can do at most.

python -m benchmarks.gpu [--precision tf32] [--lanes 1 8 64 256 512] [--device cuda]

Needs torch, numpy and pandas alone. Each number of lanes is trained by the code that trains a cohort, on drawn images of
MNIST's shape. Printed with it: whether a lane alone gives the same bits as among the others, and the peak of the device's
memory beside its estimate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch

from benchmarks.measure import publish
from benchmarks.plain_vae import PlainVAE
from vaebench.device import describe, is_cuda, prepare
from vaebench.images import Images
from vaebench.lanes import Epoch, Lanes
from vaebench.likelihoods import Bernoulli
from vaebench.memory import bytes_a_lane
from vaebench.networks import Mlp
from vaebench.schedules import Constant

BATCH_SIZE = 128
N_PIXELS = 784
WIDTH, LATENT_SIZE = 400, 20
MODEL = f"{N_PIXELS}-{WIDTH}-{LATENT_SIZE}"


def run_of(seed: int) -> SimpleNamespace:
    """What the training step reads of a run; a specification itself needs pydantic."""
    return SimpleNamespace(
        seed=seed,
        network=Mlp(hidden=(WIDTH,)),
        likelihood=Bernoulli(),
        kl=Constant(),
        latent_size=LATENT_SIZE,
        batch_size=BATCH_SIZE,
        n_levels=256,
        dataset=SimpleNamespace(n_pixels=N_PIXELS),
        corruption=None,
        supervision=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 8, 64, 256, 512])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--precision", choices=("float32", "tf32"), default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    prepare(options.device, options.precision)
    levels = torch.randint(0, 256, (options.steps * BATCH_SIZE, N_PIXELS), dtype=torch.uint8).to(options.device)
    plain = plain_steps_a_second(levels, options.steps)
    rows = [{"program": "plain loop", "lanes": 1, "lane-steps a second": plain, "of the plain loop": 1.0}]
    rows += [cohort_row(levels, n_lanes, options.steps, plain) for n_lanes in options.lanes]
    title = f"Training {MODEL}, batches of {BATCH_SIZE}, {options.steps} steps an epoch"
    publish(pd.DataFrame(rows), "gpu", title, device=describe(options.device), **ceilings(options.device))


def cohort_row(levels: torch.Tensor, n_lanes: int, n_steps: int, plain: float) -> dict[str, Any]:
    """n_lanes lanes with a seed each; the first epoch records the step, the next is timed."""
    device = str(levels.device)
    runs = [run_of(seed) for seed in range(n_lanes)]
    alone, _ = trained(levels, runs[:1], n_steps)
    if is_cuda(device):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    lanes, epoch = trained(levels, runs, n_steps)
    same_bits = all(torch.equal(parameter, alone.stack.state(0)[name]) for name, parameter in lanes.stack.state(0).items())
    rate = n_lanes * n_steps / seconds_of(lambda: lanes.train_epoch(epoch), device)
    return {
        "program": "vaebench",
        "lanes": n_lanes,
        "lane-steps a second": rate,
        "of the plain loop": rate / plain,
        "same bits alone": same_bits,
        "peak MB": torch.cuda.max_memory_allocated() / 2**20 if is_cuda(device) else None,
        "estimate MB": n_lanes * bytes_a_lane(runs[0], len(levels)) / 2**20,
    }


def trained(levels: torch.Tensor, runs: Sequence[SimpleNamespace], n_steps: int) -> tuple[Lanes, Epoch]:
    """Lanes after an epoch, and what its steps read."""
    device = levels.device
    n_images, n_lanes = len(levels), len(runs)
    generators = [torch.Generator(device).manual_seed(run.seed) for run in runs]
    epoch = Epoch(
        levels,
        torch.stack([torch.randperm(n_images, generator=generator, device=device) for generator in generators]),
        torch.stack([torch.randn(n_images, LATENT_SIZE, generator=generator, device=device) for generator in generators]),
        torch.ones(n_steps, n_lanes, device=device),
        torch.zeros(n_steps, n_lanes, device=device),
        torch.full((n_steps,), 1e-3, device=device),
    )
    lanes = Lanes(runs, range(n_lanes), Images({"train": levels}, 256, "none"), str(device))
    lanes.train_epoch(epoch)
    return lanes, epoch


def plain_steps_a_second(levels: torch.Tensor, n_steps: int) -> float:
    """The loop that people write: one model, Adam, binary cross-entropy, all data on the device."""
    model = PlainVAE(N_PIXELS, WIDTH, LATENT_SIZE).to(levels.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    pixels = levels.float() / 255

    def epoch() -> None:
        for x in pixels[torch.randperm(len(pixels), device=pixels.device)].split(BATCH_SIZE):
            optimiser.zero_grad()
            model.loss(x).backward()
            optimiser.step()

    epoch()
    return n_steps / seconds_of(epoch, str(levels.device))


def ceilings(device: str) -> dict[str, str]:
    """What the device does at most: float32 products of large matrices, and copies of 1 GiB (0.1 GiB on the CPU)."""
    size = 8192 if is_cuda(device) else 1024
    matrix, out = torch.randn(size, size, device=device), torch.empty(size, size, device=device)
    content = torch.empty(2**28 if is_cuda(device) else 2**25, device=device)
    target = torch.empty_like(content)
    product = best_of(lambda: torch.mm(matrix, matrix, out=out), device)
    copy = best_of(lambda: target.copy_(content), device)
    return {
        "products": f"{2 * size**3 / product / 1e12:.3g} TFLOP/s",
        "copies": f"{2 * content.numel() * 4 / copy / 1e9:.3g} GB/s",
    }


def best_of(function: Callable[[], object], device: str, n: int = 5) -> float:
    function()
    return min(seconds_of(function, device) for _ in range(n))


def seconds_of(function: Callable[[], object], device: str) -> float:
    if is_cuda(device):
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    function()
    if is_cuda(device):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
