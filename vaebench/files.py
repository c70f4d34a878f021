"""How files are written, whole or not at all, and read, whole or not at all: what was altered is known by its checksum."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from vaebench import disk
from vaebench.errors import DamagedFileError

if TYPE_CHECKING:
    import pandas as pd

# What zipfile and NumPy raise, between them, of an npz file with one byte altered, or of any other file.
MALFORMED_NPZ = (
    BadZipFile,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


class Contents(dict[str, Any]):
    """What a file holds by name; to ask for what it lacks raises DamagedFileError."""

    def __init__(self, path: Path, items: Mapping[str, Any]):
        super().__init__(items)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise damaged(self.path, f"lacks {name!r}")


def vouched(record: Contents) -> dict[str, str]:
    """The SHA-256 of the files beside it, by name, that a record vouches for; those of older versions have none."""
    files = record.get("files", {})
    # A name that leads elsewhere is none of ours.
    if not isinstance(files, dict) or not all(Path(name).name == name for name in files):
        raise damaged(record.path, "holds no checksums under 'files'")
    return files


def checksums(*paths: Path) -> dict[str, str]:
    """What a record says of the files that it vouches for: their SHA-256, by name."""
    return {path.name: hashlib.sha256(read_bytes(path)).hexdigest() for path in paths}


def read_bytes(path: Path, record: Path | None = None) -> bytes:
    """What a file holds. record: which vouches for the file, if it is there.

    Raises DamagedFileError where the file is missing, or not as the record says; UserError where it cannot be read.
    """
    is_vouched = record is not None and record.exists()
    return read_expected(path, vouched(read_json(record)).get(path.name) if is_vouched else None, record)


def read_expected(path: Path, sha256: str | None, record: Path | None) -> bytes:
    """What a file holds, where it has the SHA-256 that its record names, if it names one. Raises as `read_bytes` does."""
    with disk.explained(path, "read"):
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise damaged(path, "is missing") from error
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise damaged(path, f"cannot be read (altered: its SHA-256 is not the one in {record.name})")
    return content


def read_text(path: Path, record: Path | None = None) -> str:
    """UTF-8. Raises as `read_bytes` does, and DamagedFileError for what is no text."""
    try:
        return read_bytes(path, record).decode()
    except UnicodeDecodeError as error:
        raise damaged(path, f"cannot be read ({error})") from error


def read_json(path: Path) -> Contents:
    """A mapping as `write_json` wrote it. Raises as `read_bytes` does, and DamagedFileError for anything else."""
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise damaged(path, "cannot be read (it holds no mapping)")
    if content.pop("sha256", None) not in (None, _digest(content)):
        raise damaged(path, "cannot be read (altered: its SHA-256 is not the one that it was written with)")
    return Contents(path, content)


def read_arrays(path: Path, record: Path | None = None) -> Contents:
    """Arrays by name. Raises as `read_bytes` does, and DamagedFileError for what is no npz file or holds Python objects."""
    content = read_bytes(path, record)
    try:
        with NpzFile(io.BytesIO(content)) as arrays:
            torn = arrays.zip.testzip()
            found = dict(arrays)
    except MALFORMED_NPZ as error:
        raise damaged(path, f"cannot be read ({error})") from error
    # What is no array in such a file is given as its bytes.
    if torn or not all(isinstance(array, np.ndarray) for array in found.values()):
        raise damaged(path, "cannot be read (what it holds was altered)")
    return Contents(path, found)


def read_table(path: Path, columns: Iterable[str], record: Path | None = None) -> pd.DataFrame:
    """A parquet file. Raises as `read_bytes` does, and DamagedFileError for other content and where it lacks a column."""
    import pandas as pd
    from pyarrow import ArrowException

    content = read_bytes(path, record)
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except (ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    return _with_columns(table, columns, path)


def read_csv(path: Path, columns: Iterable[str], record: Path | None = None, texts: Iterable[str] = ()) -> pd.DataFrame:
    """The same of a csv file; texts: columns that stay text, also "1" and "nan"."""
    import pandas as pd

    content = read_text(path, record)
    try:
        table = pd.read_csv(io.StringIO(content), dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise damaged(path, f"cannot be read ({error})") from error
    return _with_columns(table, columns, path)


def _with_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    if lacking := sorted(set(columns) - set(table.columns)):
        raise damaged(path, f"lacks the column {lacking[0]!r}")
    return table


def damaged(path: Path, fault: str) -> DamagedFileError:
    """Of a file of an experiment; names the command that makes it again, and nothing but what is missing or damaged."""
    folder, step = path.parent, {"report.html": "report", "tracked.csv": "track"}.get(path.name, "aggregate")
    if path.parents[1].name in ("runs", "cohorts"):
        folder, step = path.parents[2], "cohort"
    again = f"snakemake --cores 1 --forcerun {step} --config experiment={folder.name}"
    return DamagedFileError(path, _one_line(fault), f"to have it made again: {again} (or vaebench.run)")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """With its own checksum: a digit that was altered is a valid number."""
    write_text(path, json.dumps({**content, "sha256": _digest(content)}, indent=1, allow_nan=False) + "\n")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray | None]) -> None:
    """Those that are not None, as an npz file."""
    content = io.BytesIO()
    np.savez(content, **{name: values for name, values in arrays.items() if values is not None})
    write_bytes(path, content.getvalue())


def write_table(path: Path, table: pd.DataFrame) -> None:
    """As a parquet file, without the index."""
    write_bytes(path, table.to_parquet(index=False))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Libraries make contents in memory, so that faults of the disk are all met here."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def try_to_write(folder: Path) -> None:
    """Raises UserError where a small file cannot be written there: what a step has to say of that is lost with its log."""
    probe = folder / f".probe.{os.getpid()}"
    with disk.explained(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(2**16))
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; when the block ends well it is flushed to disk and takes the place of `path`.

    Raises UserError where the disk is full or does not let it be written; what was there before stays.
    """
    # The ending stays last, as libraries read the format from it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with disk.explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _flush_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # Some file systems cannot flush a folder.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(file)


def sweep(folder: Path, stem: str | None = None) -> None:
    """Remove what killed processes left in this folder of files that they were writing: of all, or of this stem.

    To be called by who holds the lock of these files; those of processes that live on this machine stay all the same.
    """
    name = ".+" if stem is None else re.escape(stem)
    for path in folder.glob(".*"):
        left = re.fullmatch(rf"\.{name}\.(\d{{1,9}})(\.[^.]+)?", path.name)
        if left and not _lives(int(left[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
