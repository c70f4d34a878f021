"""Files are written whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

from vaebench.errors import UserError
from vaebench.store import made_by, read_json, replacing, sweep, write_json, write_text


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
