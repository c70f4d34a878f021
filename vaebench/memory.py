"""How many lanes there is memory for: an estimate for a model of any shape, and what to do where that was too many."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaebench.device import is_cuda
from vaebench.environment import available_cores
from vaebench.errors import UserError
from vaebench.lanes import SPLIT_BLOCK, build_model
from vaebench.stack import Stack

if TYPE_CHECKING:
    from vaebench.settings import Run

# Of the memory that is free: the rest is the libraries' own, and lost between blocks.
SHARE = 0.8
# Parameters, Adam's two moments, and gradients.
COPIES = 4
# Tensors as large as the decoder's outputs that exist for a moment, beyond those kept for the gradient.
TEMPORARY = 8
BYTES = 4
# How libraries say in a plain RuntimeError that memory has run out: torch on the CPU, the system, C++, and CUDA's.
NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "ALLOC_FAILED", "out of memory")


def in_halves(work: Callable[[Sequence[Run]], None], runs: Sequence[Run], what: str) -> None:
    """`work(runs)`; where that does not fit into memory, the same of either half of them, and so on, saying so.

    what: the runs' name in what is said. Raises UserError where a run does not fit even alone.
    """
    try:
        work(runs)
        return
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        if len(runs) == 1:
            raise UserError(
                f"{what}: run {runs[0].run_id} does not fit into memory, not even alone; free memory, or make it smaller: "
                "a smaller batch_size or latent_size, fewer or narrower hidden layers, fewer n_samples in the evaluation"
            ) from error
    # Not within `except`: there the error's traceback holds all that the first try has made.
    gc.collect()
    torch.cuda.empty_cache()
    half = (len(runs) + 1) // 2
    said = f"{len(runs)} runs do not fit into memory side by side; tried again as {half} and {len(runs) - half}"
    print(f"{what}: {said}", file=sys.stderr, flush=True)
    for part in (runs[:half], runs[half:]):
        in_halves(work, part, what)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether that is what an error says, or one that led to it."""
    match error:
        case None:
            return False
        case MemoryError() | torch.OutOfMemoryError() | OSError(errno=errno.ENOMEM):
            return True
        case RuntimeError() if any(words in str(error) for words in NO_MEMORY):
            return True
    return is_out_of_memory(error.__cause__ or error.__context__)


def lanes_that_fit(run: Run, device: str) -> int | None:
    """How many such runs can train side by side in the memory that a job may take; None where that is not known."""
    free = torch.cuda.mem_get_info(device)[0] if is_cuda(device) else free_on_host()
    if free is None:
        return None
    n_images = run.dataset.sizes["train"]
    return max(1, int((SHARE * free - bytes_shared(run, n_images)) / bytes_a_lane(run, n_images)))


def free_on_host(root: Path = Path("/")) -> int | None:
    """Bytes that a job on the CPU may still take, by the tightest of the limits that Linux has; None on other systems.

    What the machine or a control group leaves is shared with the jobs on the other cores; RLIMIT_AS is a process's own.
    """
    if sys.platform != "linux":
        return None
    shared = min([*_left_by_machine(root), *_left_by_groups(root)], default=None)
    bounds = [*_left_by_rlimit(root), *([] if shared is None else [shared // available_cores()])]
    return max(0, min(bounds)) if bounds else None


def _left_by_rlimit(root: Path) -> Iterator[int]:
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        n_pages = int((root / "proc/self/statm").read_text().split()[0])
        yield most - n_pages * resource.getpagesize()


def _left_by_machine(root: Path) -> Iterator[int]:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _left_by_groups(root: Path) -> Iterator[int]:
    """By each control group of this process, of version 2 or 1; a cache of files is given up when memory is asked for."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        limit, used = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        for group in (PurePosixPath(name), *PurePosixPath(name).parents):
            folder = root / "sys/fs/cgroup" / controllers / group.relative_to("/")
            # The root of all groups has no limit, and a container does not see those above its own.
            for most in _lines(folder / f"memory.{limit}"):
                if most != "max":
                    statistics = dict(line.split() for line in _lines(folder / "memory.stat"))
                    [taken] = _lines(folder / f"memory.{used}")
                    yield int(most) - int(taken) + int(statistics.get("inactive_file", 0))


def _lines(path: Path) -> list[str]:
    """Of a file of the kernel's; none where it is not there or hidden, as in some containers."""
    with suppress(OSError):
        return path.read_text().splitlines()
    return []


def bytes_shared(run: Run, n_images: int) -> int:
    """What all lanes take together in training on n_images images: their corrupted pixels, if there are any.

    Those of one epoch lie there while the next one's are made of clean pixels and random numbers.
    """
    return 0 if run.corruption is None else 3 * BYTES * n_images * run.dataset.n_pixels


def bytes_a_lane(run: Run, n_images: int) -> int:
    """What one more lane takes at most in training on n_images images: its parameters and random numbers, and a batch."""
    stack = Stack([build_model(run)], run.network.stackable)
    n_parameters = sum(buffer.numel() for buffer in stack.buffers.values())
    # Two epochs' random numbers and orders, of 8 bytes an index, at a time.
    streams = 2 * n_images * (run.latent_size + 2)
    # Of semi-supervised models the decoder's outputs are for every class.
    n_classes = 1 if run.supervision is None else len(run.dataset.class_names)
    n_outputs = n_classes * run.dataset.n_pixels * run.likelihood.outputs_per_pixel
    step = run.batch_size * (numbers_kept(stack, run) + TEMPORARY * n_outputs)
    validation = SPLIT_BLOCK * TEMPORARY * n_outputs
    return BYTES * (COPIES * n_parameters + streams + max(step, validation))


def numbers_kept(stack: Stack, run: Run) -> int:
    """Numbers that one lane's training terms keep for the gradient, by image."""
    n_images = 2
    # By where they lie: what is kept twice takes its place once.
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    pixels = (1, n_images, run.dataset.n_pixels)
    x, noise = torch.rand(pixels), torch.zeros(1, n_images, run.latent_size)
    batch = {"x": x, "noise": noise}
    if run.corruption is not None:
        batch["seen"] = torch.rand(pixels)
    if run.supervision is not None:
        y = torch.zeros(1, n_images, len(run.dataset.class_names))
        batch |= {"is_unlabelled": torch.ones(1, n_images), "labelled_x": x, "y": y, "labelled_noise": noise}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stack.map(stack.kind.training_terms, batch)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in stack.parameters.values()}
    return sum(tensor.numel() for place, tensor in kept.items() if place not in parameters) // n_images
