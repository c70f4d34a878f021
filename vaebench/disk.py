"""Faults of the disk that a user can mend, told in one line: which file, why, what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaebench.errors import UserError

_PERMISSION = "see who owns it and its folders, and with which permissions"
_PLACE = "see that its folder is there, and that it is a folder"
# All other errors of the operating system are faults of the code.
REMEDIES = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space, or have your quota raised",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.EROFS: "make the file system writable, or copy the results to one that is",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EIO: "see whether the disk is sound",
    errno.ESTALE: "see whether the network's file system is there",
    errno.ENAMETOOLONG: "choose a shorter name or folder",
    errno.ENOENT: _PLACE,
    errno.ENOTDIR: _PLACE,
    errno.EISDIR: _PLACE,
    errno.EEXIST: _PLACE,
    errno.ELOOP: _PLACE,
}
# Those that a step meets outside of results/ too; a file that is not there is then a fault of the code.
STRAY = REMEDIES.keys() - {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


def told(error: OSError, path: Path | str, action: str) -> UserError:
    """The fault in one line; action: "written" or "read"."""
    remedy = f"{REMEDIES[error.errno]}, then start again: what is finished is kept"
    return UserError(f"{path}: cannot be {action} ({os.strerror(error.errno)}); {remedy}")


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Faults within the block that a user can mend as a UserError; others pass.

    Libraries and `write` itself seldom say which file it was.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise told(error, path, action) from error
