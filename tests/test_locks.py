"""Locks: between real processes, which are killed, and on file systems that know no locks."""

import errno
import fcntl
import os
import platform
import subprocess
import sys

import pytest

from vaebench import locks
from vaebench.errors import UserError

HOLDER = """
import subprocess, sys
from pathlib import Path
from vaebench import locks

with locks.held(Path(sys.argv[1]), "the tables"):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)
    print("held", flush=True)
    child.wait()
"""


def start(path) -> subprocess.Popen:
    """Another process that wants to hold the lock, and says "held" when it does; it ends when it is told a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], text=True, **pipes)


def test_a_second_process_waits_and_says_for_whom_and_where(tmp_path):
    path = tmp_path / "locks/tables.lock"
    with locks.held(path, "the tables"):
        other = start(path)
        said = other.stderr.readline()
    me = f"process {os.getpid()} on {platform.node()}"
    assert said == f"waiting until {me} has made the tables; it holds {path}\n"
    assert other.stdout.readline() == "held\n"
    assert path.read_text() == f"process {other.pid} on {platform.node()}"
    other.communicate("\n")
    assert other.returncode == 0


def test_who_shall_not_wait_is_told_who_holds_it_and_what_to_do(tmp_path):
    path = tmp_path / "call.lock"
    with start(path) as other:
        other.stdout.readline()
        with pytest.raises(UserError) as refused, locks.held(path, "results/tiny", wait=False):
            pass
        other.communicate("\n")
    holder = f"process {other.pid} on {platform.node()}"
    remedy = "wait until it has ended, or end it, then start again"
    assert str(refused.value) == f"results/tiny: {holder} is making it and holds {path}; {remedy}"
    with locks.held(path, "results/tiny", wait=False):
        pass


def test_a_killed_process_leaves_nothing_locked_though_what_it_started_lives(tmp_path):
    path = tmp_path / "tables.lock"
    with start(path) as other:
        other.stdout.readline()
        other.kill()
        other.wait()
        # Its child lives: it waits for a line.
        with locks.held(path, "the tables", wait=False):
            assert path.read_text().startswith(f"process {os.getpid()} ")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_and_the_work_goes_on(tmp_path, monkeypatch, capsys, number):
    def flock(file, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locks.held(tmp_path / "tables.lock", "the tables"):
        said = capsys.readouterr().err
    remedy = "see that no other process makes the tables meanwhile"
    assert said == f"{tmp_path}/tables.lock: its file system has no locks ({os.strerror(number)}); {remedy}\n"


def test_where_no_lock_can_be_made_the_path_is_named(tmp_path):
    (tmp_path / "results").write_text("a file, no folder")
    path = tmp_path / "results/tiny/tables.lock"
    with pytest.raises(UserError, match=rf"^{path}: cannot be written \(Not a directory\)"), locks.held(path, "the tables"):
        pass
