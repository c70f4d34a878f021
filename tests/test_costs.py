"""Costs of stages, from notes written by hand."""

import csv

import pytest

from vaebench import costs
from vaebench.costs import StageCost
from vaebench.files import write_json
from vaebench.store import ExperimentFolder

PLANNING = StageCost("planning", 1, None, 4.0, 80.0)


@pytest.fixture
def notes(tmp_path):
    """Two jobs of training, one of evaluation, none of tables."""

    def note(name, **stages):
        path = tmp_path / f"{name}.json"
        names = ("seconds", "cpu_seconds", "peak_megabytes")
        write_json(path, {stage: dict(zip(names, cost, strict=True)) for stage, cost in stages.items()})
        return path

    return [
        note("a", imports=(3, 2, 300), training=(20, 10, 700)),
        note("b", imports=(5, 2.5, 310), training=(10, 9.5, 900)),
        note("c", imports=(2, 1.5, 290), evaluation=(1, 0.5, 600)),
        tmp_path / "none.json",
    ]


def test_stages_are_the_sums_of_their_jobs(notes):
    assert costs.stage_costs(notes, PLANNING) == [
        ("imports", 3, 10, 6.0, 310),
        PLANNING,
        ("training", 2, 30, 19.5, 900),
        ("evaluation", 1, 1, 0.5, 600),
    ]


def test_where_no_job_left_a_note_there_is_no_table(tmp_path):
    assert costs.stage_costs([tmp_path / "none.json"], PLANNING) == []


def test_the_ratio_is_of_all_to_training_and_evaluation(notes):
    table = costs.stage_costs(notes, PLANNING)
    assert costs.sentence(table) == "30.0 CPU seconds in all, 20.0 of them training and evaluation: ratio 1.50"
    assert costs.sentence(table[:2]) == "10.0 CPU seconds in all, 0.0 of them training and evaluation"


def test_the_table_as_text(notes):
    assert [line.split() for line in costs.lines(costs.stage_costs(notes, PLANNING))] == [
        ["stage", "jobs", "seconds", "CPU", "seconds", "share", "of", "CPU", "peak", "MB"],
        ["imports", "3", "10.0", "6.0", "20.0", "%", "310"],
        ["planning", "1", "–", "4.0", "13.3", "%", "80"],
        ["training", "2", "30.0", "19.5", "65.0", "%", "900"],
        ["evaluation", "1", "1.0", "0.5", "1.7", "%", "600"],
    ]


def test_it_is_kept_as_numbers_with_or_without_a_report(notes, tmp_path):
    folder = ExperimentFolder(tmp_path / "results/tiny")
    costs.keep(folder, costs.stage_costs(notes, PLANNING))
    with folder.stages.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["stage", "jobs", "seconds", "cpu_seconds", "peak_megabytes"]
    assert rows[2] == ["planning", "1", "", "4.0", "80.0"]
    assert not folder.report.exists()
