"""Files are written whole or not at all, and read whole or not at all."""

import os
import resource
import stat
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from vaebench.errors import DamagedFileError, UserError
from vaebench.files import (
    checksums,
    read_arrays,
    read_bytes,
    read_csv,
    read_json,
    read_table,
    replacing,
    sweep,
    write_arrays,
    write_csv,
    write_json,
    write_table,
    write_text,
)
from vaebench.store import made_by

TABLE = pd.DataFrame({"name": ["a", "b"], "value": [0.1, 2.5]})
ARRAYS = {"a": np.arange(20, dtype=np.uint8), "b": np.arange(4.0).reshape(2, 2)}
# Of each kind of file a content, how it is written, and how it is read.
KINDS = {
    "json": ({"key": "k", "values": [0.25, 12]}, write_json, read_json),
    "npz": (ARRAYS, write_arrays, read_arrays),
    "parquet": (TABLE, write_table, lambda path: read_table(path, ["name", "value"])),
    "csv": (TABLE, write_csv, lambda path: read_csv(path, ["name", "value"])),
    "txt": ("a text", write_text, read_bytes),
}


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.json"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.suffix == ".json"
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back_and_holds_no_nan(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"key": "k", "value": 0.1})
    assert read_json(path) == {"key": "k", "value": 0.1}
    assert made_by(path, "k")
    assert not made_by(path, "other")
    assert not made_by(tmp_path / "none.json", "k")
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"value": float("nan")})
    assert read_json(path)["value"] == 0.1


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3", "\xff", "[" * 100_000])
def test_a_missing_or_damaged_record_is_one_clear_error(tmp_path, content):
    path = tmp_path / "runs" / "a-run" / "run.json"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError) as error:
        read_json(path)
    assert str(error.value).startswith(f"{path}: {'is missing' if content is None else 'cannot be read ('}")
    assert f"snakemake --cores 1 --forcerun cohort --config experiment={tmp_path.name}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_on_disk_before_its_name_and_its_name_before_the_block_ends(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    flushed = []

    def fsync(file):
        flushed.append((stat.S_ISDIR(os.fstat(file).st_mode), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "whole")
    assert flushed == [(False, False), (True, True)]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [f".runs.{dead.pid}.csv", f".a.b.{dead.pid}.json", f".mlflow.{dead.pid}.db-journal"]
    kept = [f".runs.{os.getpid()}.csv", "runs.csv", ".snakemake_timestamp", f"runs.{dead.pid}.csv", ".1.2.99999999999999.x"]
    for name in left + kept:
        (tmp_path / name).touch()
    sweep(tmp_path, "a.b")
    assert {path.name for path in tmp_path.iterdir()} == {*left, *kept} - {left[1]}
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
    sweep(tmp_path / "none")


@pytest.mark.parametrize("kind", KINDS)
def test_over_a_quota_the_old_file_stays_and_the_message_names_it(tmp_path, kind):
    content, write, _ = KINDS[kind]
    path = tmp_path / f"file.{kind}"
    path.write_bytes(b"old")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, old[1]))
    try:
        with pytest.raises(UserError) as error:
            write(path, content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert str(error.value).startswith(f"{path}: cannot be written (File too large); raise the limit of a file's size")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    path = tmp_path / "runs/a-run/run.json"
    with pytest.raises(UserError, match=f"^{path}: cannot be written \\(Not a directory\\); see that its folder is there"):
        write_json(path, {})
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
        write_json(tmp_path / ("x" * 300), {})


def test_a_fault_of_the_code_stays_a_traceback(tmp_path):
    def fail():
        with replacing(tmp_path / "file") as temporary:
            temporary.write_bytes(b"content")
            os.close(1_000_000)

    with pytest.raises(OSError, match="Bad file descriptor"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "txt"])
def test_whatever_byte_is_altered_or_missing_there_is_no_traceback(tmp_path, kind):
    content, write, read = KINDS[kind]
    path = tmp_path / f"file.{kind}"
    write(path, content)
    whole, said = path.read_bytes(), []
    for index in range(0, len(whole), max(1, len(whole) // 150)):
        altered = bytearray(whole)
        altered[index] ^= 1 << index % 8
        for bad in (bytes(altered), whole[:index]):
            path.write_bytes(bad)
            try:
                read(path)
            except DamagedFileError as error:
                said.append(str(error))
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)
    assert len(said) > 50 or kind == "csv"


def test_a_record_knows_whatever_is_altered_in_it_and_in_the_files_it_vouches_for(tmp_path, capsys):
    path, record = tmp_path / "table.csv", tmp_path / "run.json"
    write_csv(path, TABLE)
    content = {"key": "k", "score": 0.12345, "files": checksums(path)}
    write_json(record, content)
    assert made_by(record, "k")
    for file in (path, record):
        whole = file.read_bytes()
        for index in range(len(whole)):
            altered = bytearray(whole)
            altered[index] ^= 2
            file.write_bytes(altered)
            # Where only the name of its checksum is altered, the rest is as it was.
            assert not made_by(record, "k") or read_json(record).items() >= content.items()
        file.write_bytes(whole)
    assert f"{path}: cannot be read (altered: its SHA-256 is not the one in run.json), so it counts as not made" in (
        capsys.readouterr().err
    )
    assert made_by(record, "k")
    path.unlink()
    assert not made_by(record, "k")
    assert capsys.readouterr().err == f"{path}: is missing, so it counts as not made\n"


def test_what_a_file_lacks_is_named(tmp_path):
    write_json(tmp_path / "run.json", {"key": "k"})
    write_arrays(tmp_path / "pictures.npz", ARRAYS)
    write_table(tmp_path / "history.parquet", TABLE)
    for read, words in (
        (lambda: read_json(tmp_path / "run.json")["specification"], r"run\.json: lacks 'specification'"),
        (lambda: read_arrays(tmp_path / "pictures.npz")["samples"], r"pictures\.npz: lacks 'samples'"),
        (lambda: read_table(tmp_path / "history.parquet", ["epoch"]), r"history\.parquet: lacks the column 'epoch'"),
    ):
        with pytest.raises(DamagedFileError, match=words):
            read()


def test_python_objects_are_not_loaded(tmp_path):
    np.savez(tmp_path / "objects.npz", a=np.array([{}, []], dtype=object))
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_arrays(tmp_path / "objects.npz")
