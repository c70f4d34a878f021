"""Locks between processes: what one of them makes, no other makes at the same time.

A lock is a file that stays where it is. Its lock is the system's (flock) and ends with the process that holds it, however
that ends: nothing is left locked. Processes that the holder starts do not inherit it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vaebench import disk
from vaebench.errors import UserError

# What a file system answers that has no locks.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def held(path: Path, what: str, wait: bool = True) -> Iterator[None]:
    """Within the block, no other process is in a block of the same path.

    what: is made there, in words. Where another process holds the lock, this one waits, saying so in one line; without
    `wait` it raises UserError. Where the file system has no locks it says so, and goes on. Raises UserError where the
    file cannot be written.
    """
    with disk.explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(file, path, what, wait)
        yield
    finally:
        os.close(file)


def _lock(file: int, path: Path, what: str, wait: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(file, 1000).decode() or "another process"
        if not wait:
            remedy = "wait until it has ended, or end it, then start again"
            raise UserError(f"{what}: {holder} is making it and holds {path}; {remedy}") from error
        print(f"waiting until {holder} has made {what}; it holds {path}", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        remedy = f"see that no other process makes {what} meanwhile"
        print(f"{path}: its file system has no locks ({error.strerror}); {remedy}", file=sys.stderr, flush=True)
    # Only for the message to others, so a full disk is no reason to stop.
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {platform.node()}".encode(), 0)
