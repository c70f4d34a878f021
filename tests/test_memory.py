"""The estimate of a lane's memory against what training really takes."""

import subprocess
import sys

import pytest
import torch

from vaebench import memory
from vaebench.memory import bytes_a_lane, lanes_that_fit

PEAK = """
import re, sys
import torch
from vaebench.environment import use_one_thread
use_one_thread()
from vaebench.images import Images
from vaebench.specification import load
from vaebench.training import Training
from pathlib import Path

n_lanes = int(sys.argv[2])
levels = torch.randint(0, 256, (1024, 784), dtype=torch.uint8)
images = Images({"train": levels, "validation": levels}, 256, "none")
runs = load(Path(sys.argv[1])).runs[:n_lanes]
# Not `resource`: its peak begins with that of the process that started this one.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
# What imports held for a while counts no more.
Path("/proc/self/clear_refs").write_text("5")
before = peak()
training = Training(runs, images)
for _ in range(2):
    training.run_epoch()
print(1024 * (peak() - before))
"""


def peak(path, n_lanes: int) -> int:
    """Bytes beyond what was there before the first step, in a process of its own."""
    arguments = [sys.executable, "-c", PEAK, str(path), str(n_lanes)]
    # An allocator takes up to a sixth more than is needed, another share at each call.
    return min(int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout) for _ in range(2))


@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak memory is read as Linux gives it")
@pytest.mark.parametrize(("width", "likelihood", "many"), [(400, "bernoulli", 8), (16, "logistic-mixture", 8)])
def test_the_estimate_is_near_what_a_lane_takes(write_experiment, make_experiment, width, likelihood, many):
    settings = {
        "dataset": "mnist",
        "defaults": {"network": {"kind": "mlp", "hidden": [width]}, "latent_size": 20, "likelihood": likelihood},
        "variants": {"one": {}},
        "baseline": "one",
        "seeds": 10,
    }
    few = 1
    path = write_experiment(**settings)
    measured = (peak(path, many) - peak(path, few)) / (many - few)
    assert 0.9 < bytes_a_lane(make_experiment(**settings).runs[0], n_images=1024) / measured < 2


def test_lanes_are_bounded_by_the_memory_that_is_free(make_experiment, monkeypatch):
    run = make_experiment().runs[0]
    assert lanes_that_fit(run, "cpu") is None
    monkeypatch.setattr(memory, "bytes_a_lane", lambda run, n_images: n_images * 1000)
    free = 1257 * 1000 * 10
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    assert lanes_that_fit(run, "cuda") == 8
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 2 * free))
    assert lanes_that_fit(run, "cuda") == 1
