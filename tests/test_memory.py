"""The estimate of a lane's memory against what training really takes, and what happens where memory runs out."""

import errno
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vaebench import jobs, memory, specification, splits
from vaebench.errors import UserError
from vaebench.lanes import Lanes
from vaebench.memory import bytes_a_lane, free_on_host, in_halves, is_out_of_memory, lanes_that_fit
from vaebench.store import Results

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
@pytest.mark.parametrize(
    ("width", "likelihood", "corruption", "many"),
    [(400, "bernoulli", None, 8), (16, "logistic-mixture", None, 8), (400, "bernoulli", "gaussian", 8)],
)
def test_the_estimate_is_near_what_a_lane_takes(write_experiment, make_experiment, width, likelihood, corruption, many):
    network = {"kind": "mlp", "hidden": [width]}
    settings = {
        "dataset": "mnist",
        "defaults": {"network": network, "latent_size": 20, "likelihood": likelihood, "corruption": corruption},
        "variants": {"one": {}},
        "baseline": "one",
        "seeds": 10,
    }
    few = 1
    path = write_experiment(**settings)
    measured = (peak(path, many) - peak(path, few)) / (many - few)
    assert 0.9 < bytes_a_lane(make_experiment(**settings).runs[0], n_images=1024) / measured < 2


def test_corrupted_pixels_are_counted_once_for_all_lanes(make_experiment, monkeypatch):
    plain, corrupted = (make_experiment(defaults={"corruption": kind}).runs[0] for kind in (None, "gaussian"))
    # Three copies of 1,257 images of 64 pixels, of 4 bytes each.
    pixels = 3 * 1257 * 64 * 4
    monkeypatch.setattr(memory, "bytes_a_lane", lambda run, n_images: 100_000)
    monkeypatch.setattr(memory, "free_on_host", lambda: (pixels + 500_000) / memory.SHARE + 1)
    assert lanes_that_fit(corrupted, "cpu") == 5
    assert lanes_that_fit(plain, "cpu") == (pixels + 500_000) // 100_000


def test_lanes_are_bounded_by_the_memory_that_is_free(make_experiment, monkeypatch):
    run = make_experiment().runs[0]
    monkeypatch.setattr(memory, "bytes_a_lane", lambda run, n_images: n_images * 1000)
    free = 1257 * 1000 * 10
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    assert lanes_that_fit(run, "cuda") == 8
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 2 * free))
    assert lanes_that_fit(run, "cuda") == 1
    monkeypatch.setattr(memory, "free_on_host", lambda: free)
    assert lanes_that_fit(run, "cpu") == 8
    monkeypatch.setattr(memory, "free_on_host", lambda: None)
    assert lanes_that_fit(run, "cpu") is None


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A machine of four cores, as far as its kernel's files tell of memory: its root, and a function that writes one."""
    monkeypatch.setattr(memory, "available_cores", lambda: 4)

    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 8000 kB\n")
    return tmp_path, write


@pytest.mark.skipif(sys.platform != "linux", reason="the files are Linux's")
def test_what_the_machine_and_the_control_groups_leave_is_shared_by_the_cores(host):
    root, write = host
    assert free_on_host(root) == 8000 * 1024 // 4
    # Version 2: a group above this process's has the limit; of what is used, a cache of files can be given up.
    write("proc/self/cgroup", "0::/jobs/one\n")
    write("sys/fs/cgroup/jobs/one/memory.max", "max\n")
    write("sys/fs/cgroup/jobs/memory.max", "5000000\n")
    write("sys/fs/cgroup/jobs/memory.current", "3000000\n")
    write("sys/fs/cgroup/jobs/memory.stat", "anon 2000000\ninactive_file 1000000\n")
    assert free_on_host(root) == 3_000_000 // 4
    # Version 1, in a container, which does not see the folder that its own name leads to.
    write("proc/self/cgroup", "5:cpu:/elsewhere\n4:memory:/docker/abc\n0::/\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "3999000\n")
    write("sys/fs/cgroup/memory/memory.stat", "total_inactive_file 7\ninactive_file 0\n")
    assert free_on_host(root) == 250
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000001\n")
    assert free_on_host(root) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_a_processes_own_limit_bounds_its_lanes(write_experiment):
    code = """
import resource, sys
from pathlib import Path
from vaebench import memory, specification
run = specification.load(Path(sys.argv[1])).runs[0]
before = memory.free_on_host()
n_pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (n_pages * resource.getpagesize() + 10 * memory.bytes_a_lane(run, 1257), -1))
print(before, memory.free_on_host(), memory.lanes_that_fit(run, "cpu"))
"""
    path = write_experiment(defaults={"network": {"kind": "mlp", "hidden": [512]}, "latent_size": 4})
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    before, free, n_lanes = map(int, said.split())
    assert 0 < free < before
    # Ten would fit, of which a fifth is left to libraries; what the estimate itself has taken is not free any more.
    assert 4 <= n_lanes <= 8


def test_this_machines_own_files_are_understood():
    free = free_on_host()
    assert free is None if sys.platform != "linux" else 2**20 < free < 2**50


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("unable to mmap 4000 bytes from file <checkpoint.safetensors>: Cannot allocate memory (12)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_say_that_memory_has_run_out(error, is_one):
    assert is_out_of_memory(error) == is_one
    assert is_out_of_memory(RuntimeError("operation failed during capture")) is False
    later = RuntimeError("operation failed due to a previous error during capture")
    later.__context__ = error
    assert is_out_of_memory(later) == is_one


@pytest.mark.parametrize("allocate", [lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: bytearray(2**50)])
def test_what_libraries_really_raise_is_recognised(allocate):
    with pytest.raises((RuntimeError, MemoryError)) as raised:
        allocate()
    assert is_out_of_memory(raised.value)


def test_halves_are_tried_until_they_fit_and_the_first_try_is_given_back(make_experiment, capsys):
    runs = make_experiment(seeds=7, variants={"bce": {}}, baseline="bce").runs
    failed, done = [], []

    class Made:
        pass

    def work(part):
        assert all(reference() is None for reference in failed), "what the last try has made is still there"
        if len(part) > 2:
            # It holds on to itself, as a stack and its recorded step do.
            made = Made()
            made.itself = made
            failed.append(weakref.ref(made))
            raise MemoryError
        done.append([run.seed for run in part])

    in_halves(work, runs, "a cohort")
    assert done == [[0, 1], [2, 3], [4, 5], [6]]
    assert capsys.readouterr().err.splitlines() == [
        "a cohort: 7 runs do not fit into memory side by side; tried again as 4 and 3",
        "a cohort: 4 runs do not fit into memory side by side; tried again as 2 and 2",
        "a cohort: 3 runs do not fit into memory side by side; tried again as 2 and 1",
    ]


def test_a_run_that_does_not_fit_alone_is_a_mistake_that_can_be_mended(make_experiment):
    runs = make_experiment(seeds=2, variants={"bce": {}}, baseline="bce").runs

    def work(part):
        if runs[1] in part:
            torch.empty(2**50)

    with pytest.raises(UserError, match=f"a cohort: run {runs[1].run_id} does not fit into memory, not even alone"):
        in_halves(work, runs, "a cohort")


def test_other_errors_are_faults(make_experiment):
    def work(part):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        in_halves(work, make_experiment().runs, "a cohort")


@pytest.fixture
def cohort(write_experiment, tmp_path):
    """An experiment of one cohort of four runs that was made without a limit, its results, and its file."""
    path = write_experiment(
        defaults={"network": {"kind": "mlp", "hidden": [1024, 1024]}, "latent_size": 4, "epochs": 1, "batch_size": 512},
        variants={"one": {}},
        baseline="one",
        seeds=4,
        evaluation={"n_samples": 1},
    )
    experiment = specification.load(path)
    results = Results(tmp_path / "results")
    splits.prepare(experiment.dataset, results)
    [cohort] = experiment.cohorts
    jobs.train_cohort(experiment, cohort, results)
    jobs.evaluate_cohort(experiment, cohort, results)
    return experiment, results, path


def assert_made_alike(experiment, results, others: Results) -> None:
    """Parameters and scores of all runs in both, to the bit."""
    for run in experiment.runs:
        one, other = (each.experiment(experiment.name).run(run.run_id) for each in (results, others))
        states = load_file(one.weights), load_file(other.weights)
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert one.evaluation.read_bytes() == other.evaluation.read_bytes()


LIMITED = """
import gc, re, resource, sys
from pathlib import Path

from vaebench.environment import use_one_thread

use_one_thread()
from vaebench import jobs, specification
from vaebench.store import Results


def limited(work):
    # To what the process has had for half of the runs and 4 MB: where those fit, all do not.
    limits = []

    def call(runs, *arguments):
        if not limits:
            half = len(runs) // 2
            work(runs[:half], *(each[:half] if isinstance(each, list) else each for each in arguments))
            gc.collect()
            peak = re.search(r"VmPeak:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
            limits.append(1024 * int(peak) + 2**22)
        resource.setrlimit(resource.RLIMIT_AS, (limits[0], -1))
        try:
            return work(runs, *arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

    return call


experiment = specification.load(Path(sys.argv[1]))
[cohort] = experiment.cohorts
results = Results(Path(sys.argv[2]))
# The estimate would see the limit, and never run into it.
jobs.lanes_that_fit = lambda run, device: None
jobs.train, jobs.evaluate = limited(jobs.train), limited(jobs.evaluate)
files = [results.experiment(experiment.name).run(run.run_id) for run in experiment.runs]
# First what takes less.
for folder in files:
    folder.evaluation.unlink()
jobs.evaluate_cohort(experiment, cohort, results)
for folder in files:
    folder.record.unlink()
    folder.weights.unlink()
jobs.train_cohort(experiment, cohort, results)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_a_cohort_that_does_not_fit_is_split_with_the_same_bits(cohort, tmp_path):
    experiment, results, path = cohort
    others = Results(tmp_path / "limited")
    shutil.copytree(results.root, others.root)
    arguments = [sys.executable, "-c", LIMITED, str(path), str(others.root)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    # Freed memory lies in pieces, so a half may be split once more.
    assert done.stderr.count("4 runs do not fit into memory side by side; tried again as 2 and 2") == 2, done.stderr
    assert_made_alike(experiment, results, others)


def test_on_a_gpu_either_half_goes_on_from_the_checkpoint(make_experiment, tmp_path, monkeypatch, capsys):
    """The error is CUDA's, in the second epoch and only where more than two runs stand together; the rest is real."""
    experiment = make_experiment(seeds=4, variants={"one": {}}, baseline="one")
    [cohort] = experiment.cohorts
    free, full = Results(tmp_path / "free"), Results(tmp_path / "full")
    for results in (free, full):
        splits.prepare(experiment.dataset, results)
    jobs.train_cohort(experiment, cohort, free)
    train_epoch, n_steps = Lanes.train_epoch, []

    def out_of_memory(lanes, epoch):
        n_steps.append((len(lanes), float(lanes.adam.steps[0])))
        if len(lanes) > 2 and lanes.adam.steps[0] > 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return train_epoch(lanes, epoch)

    monkeypatch.setattr(Lanes, "train_epoch", out_of_memory)
    jobs.train_cohort(experiment, cohort, full, checkpoint_seconds=0)
    # Nine steps an epoch, three epochs: of all the second is lost, of either half none is done twice.
    assert n_steps == [(4, 0), (4, 9), (2, 9), (2, 18), (2, 9), (2, 18)]
    said = capsys.readouterr()
    assert said.err == f"{cohort.name}: 4 runs do not fit into memory side by side; tried again as 2 and 2\n"
    assert said.out.count("goes on after epoch 1 of 3\n") == 2
    for results in (free, full):
        jobs.evaluate_cohort(experiment, cohort, results)
    assert_made_alike(experiment, free, full)
    files = full.experiment(experiment.name).cohort(cohort.name)
    assert not list(files.path.glob("checkpoint*"))
    files.checkpoint.touch()  # as where a job was killed after its last run
    jobs.train_cohort(experiment, cohort, full)
    assert not files.checkpoint.exists()
