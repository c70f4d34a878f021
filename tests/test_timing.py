"""What a job notes of itself, against the operating system's own account of the same process."""

import subprocess
import sys

import pytest

from vaebench import timing
from vaebench.errors import UserError

# Has another process work that it waits for, holds memory, waits idly, and says by the system's account what it has used.
JOB = """
import resource, subprocess, sys, time
from pathlib import Path
from vaebench import timing

def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)

def work():
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
    time.sleep(0.2)
    block = bytearray(150 * 2**20)
    block[::4096] = block[::4096]
    print(used())

print(used())
timing.run({"training": work, "evaluation": lambda: print(used())}, Path(sys.argv[1]))
"""


def test_a_job_notes_what_its_stages_cost_and_what_came_before(tmp_path):
    path = tmp_path / "costs/job.json"
    # From a shell, as the workflow does it: Linux counts the memory of what starts a process as held by that.
    shell = ["sh", "-c", '"$0" -c "$1" "$2"; exit $?', sys.executable, JOB, str(path)]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    before, trained, evaluated = map(float, done.stdout.split())
    costs = timing.read(path)
    assert list(costs) == ["imports", "training", "evaluation"]
    # The clock of os.times ticks every 10 ms.
    assert costs["imports"].cpu_seconds == pytest.approx(before, abs=0.05)
    assert costs["training"].cpu_seconds == pytest.approx(trained - before, abs=0.05)
    assert costs["evaluation"].cpu_seconds == pytest.approx(evaluated - trained, abs=0.05)
    assert costs["training"].cpu_seconds > 0.39
    assert costs["training"].seconds > 0.59
    assert costs["imports"].peak_megabytes < 150 < costs["training"].peak_megabytes < 400
    assert costs["evaluation"].peak_megabytes >= costs["training"].peak_megabytes


def test_a_job_that_fails_notes_nothing(tmp_path):
    path = tmp_path / "job.json"
    with pytest.raises(ZeroDivisionError):
        timing.run({"training": lambda: None, "evaluation": lambda: 1 / 0}, path)
    assert not path.exists()
    with pytest.raises(UserError, match=r"job\.json: is missing"):
        timing.read(path)


def test_what_is_noted_is_read_again(tmp_path):
    path = tmp_path / "job.json"
    path.write_text('{"imports": {"seconds": 1.5, "cpu_seconds": 1.25, "peak_megabytes": 9}}')
    assert timing.read(path) == {"imports": (1.5, 1.25, 9)}
