"""Progress: what is said of long work, in a log and in a terminal, and that jobs tell it truly."""

import io
import sys

import pytest

from vaebench import progress
from vaebench.checkpoints import Checkpoint
from vaebench.evaluation import evaluate
from vaebench.lanes import build_model
from vaebench.training import Training, train


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_every_ten_seconds_with_the_time_that_is_left(clock, capsys):
    with progress.shown("digits", "epoch") as report:
        for epoch in range(101):
            clock[0] = 0.3 * epoch
            report(epoch, 100)
    # Every 34 epochs 10 s have gone by, at 0.3 s an epoch.
    assert capsys.readouterr().err.splitlines() == [
        "digits: epoch 34 of 100, 20 s left",
        "digits: epoch 68 of 100, 10 s left",
    ]


def test_nothing_is_said_before_anything_is_done(clock, capsys):
    with progress.shown("digits", "run") as report:
        report(0, 6)
        clock[0] = 30
        report(0, 6)
    assert capsys.readouterr().err == ""


def test_what_was_done_before_a_checkpoint_does_not_count_as_speed(clock, capsys):
    with progress.shown("digits", "epoch") as report:
        report(50, 100)
        clock[0] = 20
        report(60, 100)
    assert capsys.readouterr().err == "digits: epoch 60 of 100, 80 s left\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress.shown("digits", "epoch") as report:
        for epoch in range(5, 9):
            report(epoch, 8)
    last = sys.stderr.getvalue().splitlines()[-1].rpartition("\r")[2]
    assert last.startswith("digits: 100%")
    assert "8/8" in last
    assert "epoch/s" in last


def test_without_tqdm_a_terminal_gets_lines_too(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with progress.shown("digits", "epoch") as report:
        report(0, 2)
        clock[0] = 100
        report(1, 2)
    assert sys.stderr.getvalue() == "digits: epoch 1 of 2, 2 min left\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (1140, "19 min"), (7260, "2 h 1 min")]
)
def test_durations_in_words(seconds, words):
    assert progress.in_words(seconds) == words


def test_training_tells_its_epochs_also_after_a_checkpoint(make_experiment, digits, tmp_path):
    runs = make_experiment().cohorts[0].runs
    told = []
    train(runs, digits, report=lambda *counts: told.append(counts))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", [run.run_id for run in runs])
    training = Training(runs, digits)
    training.run_epoch()
    training.run_epoch()
    training.save(checkpoint)
    told.clear()
    train(runs, digits, checkpoint, report=lambda *counts: told.append(counts))
    assert told == [(2, 3), (3, 3)]


def test_scoring_tells_its_images_of_all_runs(make_experiment, digits):
    runs = make_experiment(seeds=6).cohorts[0].runs
    told = []
    states = [build_model(run).state_dict() for run in runs]
    evaluate(runs, states, digits, 1, report=lambda *counts: told.append(counts))
    # Six runs, five of them at a time, on 360 test images in blocks of 64.
    ends = [0, 64, 128, 192, 256, 320, 360]
    assert told == [(n, 2160) for n in [5 * end for end in ends] + [1800 + end for end in ends]]
