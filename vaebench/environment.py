"""What a result was made with: recorded beside every run, printed in every report."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vaebench.errors import UserError

PRECISIONS = ("float32", "tf32")
PACKAGES = ("vaebench", "torch", "numpy", "pandas", "scipy", "scikit-learn", "snakemake", "mlflow")

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def describe() -> dict[str, str | None]:
    """Versions, processor and the commit of the code, as plain strings."""
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "git commit": git_commit(),
    }


def mixed(environments: Mapping[str, Sequence[Mapping[str, str | None]]]) -> list[str]:
    """In sentences, what runs were made with where that differs between them.

    environments: by what was done with the runs, such as "trained", a record for each of them, as `describe` and the job
    noted it; empty where an older version noted nothing.
    """
    return [sentence for done, records in environments.items() for sentence in _differences(records, done)]


def _differences(records: Sequence[Mapping[str, str | None]], done: str) -> Iterator[str]:
    noted = [record for record in records if record]
    n_unknown = len(records) - len(noted)
    if noted and n_unknown:
        yield f"An older version did not record what {n_unknown} of {len(records)} runs were {done} with."
    for key, counts in entries(noted).items():
        if len(counts) > 1:
            values = ", ".join(f"{value} ({n} of {len(records)} runs)" for value, n in counts.items())
            yield f"Runs were {done} with different {key}: {values}."


def entries(environments: Sequence[Mapping[str, str | None]]) -> dict[str, Counter[str]]:
    """Of each entry its values, and in how many of these records they are."""
    keys = dict.fromkeys(key for environment in environments for key in environment)
    return {key: Counter(str(environment.get(key) or "unknown") for environment in environments) for key in keys}


def require_device(device: str) -> None:
    """Raises UserError for what torch could not mean a device by; whether there is one, `device.prepare` says."""
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", device):
        raise UserError(f"device {device!r} is none; allowed: cpu, cuda, cuda:0, cuda:1, …")


def use_one_thread() -> None:
    """Before torch is imported: one thread a process, so that results do not depend on the number of cores.

    Runs scale over cores as processes. Freed memory is kept for the next step in place of being given back to the system
    and taken again, which cost a tenth of a training step.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            libc.mallopt(parameter, 2**30)


def available_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@cache
def git_commit() -> str | None:
    """The commit of this checkout, marked where files differ from it; None outside one."""
    try:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
