"""Results of other versions: older ones are read, newer ones refused; what runs were made with is recorded and compared."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_report import Page

import vaebench as vb
from vaebench import environment, figures, jobs, report, specification, splits, tracking
from vaebench.cli import main
from vaebench.datasets import Digits
from vaebench.environment import mixed
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.files import read_json, write_json, write_text
from vaebench.plotting import Figures
from vaebench.store import FORMAT, Results, read_record

OLD = Path(__file__).with_name("old_results")
PLAIN = "plain-z2-s0-ccaf6c0564"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Go to a copy of old results: `tiny.yaml`, and what it gave in `results/`."""

    def copy(name: str) -> None:
        shutil.copytree(OLD / name, tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name, value in (tracking.NO_TELEMETRY | tracking.MLFLOW_DEFAULTS).items():
            monkeypatch.setenv(name, value)

    return copy


def refused(capsys, *arguments: str) -> str:
    """The one line that a verb ends with."""
    capsys.readouterr()
    assert main(list(arguments)) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("vaebench: ")
    return line


def change(path: Path, **entries) -> None:
    write_json(path, read_json(path) | entries)


def records() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("results/tiny/runs").rglob("*.json")}


def test_results_of_format_1_are_read_by_every_step(old, capsys, monkeypatch):
    old("format-1")
    # Of tables, of posterior means, of pictures; all of them would take half a minute.
    drawn = Figures({name: FIGURES[name] for name in ("elbo", "latent-space", "portrait")})
    for module in (figures, report):
        monkeypatch.setattr(module, "FIGURES", drawn)
    first, before = records(), pd.read_csv("results/tiny/runs.csv")
    assert {"format" in json.loads(record) for record in first.values()} == {False}
    # A setting that was added since changes the ids of runs, and so needs results of its own here.
    loaded = vb.load("results/tiny")
    assert loaded.model(PLAIN).sample(2, seed=0).shape == (2, 64)
    assert loaded.pictures(PLAIN)["samples"].shape == (10, 64)
    assert main(["show", PLAIN]) == 0
    assert "trained and scored" in capsys.readouterr().out
    for verb in ("aggregate", "draw", "report", "track"):
        assert main([verb, "tiny.yaml"]) == 0, capsys.readouterr().err
    after = pd.read_csv("results/tiny/runs.csv")
    common = [column for column in before if column in after]
    pd.testing.assert_frame_equal(after[common], before[common])
    page = Page(Path("results/tiny/report.html").read_text(encoding="utf-8"))
    assert ["torch", "2.14.1"] in page.rows["provenance"]
    assert records() == first


def test_results_of_the_first_layout_are_shown_and_what_cannot_be_read_says_what_to_do(old, capsys):
    old("first-layout")
    assert main(["show", "plain-z2-s0-647b36f970"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"ELBO +−\d", shown)
    assert "posterior collapse" not in shown, "it was not measured then"
    line = refused(capsys, "draw", "tiny.yaml")
    assert line.startswith("vaebench: results/tiny/runs.csv: lacks the column ")
    assert "to have it made again: snakemake" in line
    with pytest.raises(UserError, match=re.escape(line.removeprefix("vaebench: "))):
        _ = vb.load("results/tiny").runs


def test_tables_of_other_runs_are_to_be_made_again(old, capsys):
    old("format-1")
    path = Path("tiny.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("weight: 4", "weight: 3"), encoding="utf-8")
    for verb in ("draw", "report", "track"):
        line = refused(capsys, verb, "tiny.yaml")
        assert re.fullmatch(r"vaebench: .*runs\.csv: has no run beta-4-z2-s0-\w+; run `vaebench aggregate` again", line)


@pytest.mark.parametrize("unknown", [FORMAT + 1, 0, "2", None, [2]])
@pytest.mark.parametrize("name", ["run.json", "evaluation.json"])
def test_an_unknown_format_is_refused_by_name(old, capsys, name, unknown):
    old("format-1")
    path = Path(f"results/tiny/runs/{PLAIN}/{name}")
    change(path, format=unknown)
    expected = (
        f"{path}: is of format {unknown!r}, and this vaebench reads the formats 1 to {FORMAT}; update vaebench, "
        f"or delete {path.parent} and results/tiny/cohorts and run it again"
    )
    # Nor is it taken for out of date, and written over.
    calls = [["show", PLAIN], ["check", "tiny.yaml", "--no-estimate"], ["aggregate", "tiny.yaml"]]
    for arguments in (*calls, ["train", "tiny.yaml", "--variant", "plain"]):
        assert refused(capsys, *arguments) == f"vaebench: {expected}"
    with pytest.raises(UserError, match=re.escape(expected)):
        _ = vb.load("results/tiny").run(PLAIN).state


def test_a_specification_of_other_code_is_refused_by_name(old, capsys):
    old("format-1")
    path = Path(f"results/tiny/runs/{PLAIN}/run.json")
    specified = read_json(path)["specification"]
    for changed in ({"likelihood": {"kind": "of-tomorrow"}}, {"setting_of_tomorrow": 1}, {"latent_size": None}):
        change(path, specification=specified | changed)
        line = refused(capsys, "show", PLAIN)
        assert line == (
            f"vaebench: {path}: was made by other code than this, which cannot read its specification; update vaebench, or "
            f"delete {path.parent} and results/tiny/cohorts and run it again"
        )


def test_records_say_their_format_and_what_training_and_scoring_were_made_with(make_experiment, tmp_path):
    experiment, results = make_experiment(seeds=1), Results(tmp_path)
    run = experiment.runs[0]
    splits.save(Digits(), Path("unused"), results.dataset("digits"))
    jobs.train_alone(experiment, run, results)
    jobs.evaluate_alone(experiment, run, results)
    folder = results.experiment(experiment.name).run(run.run_id)
    for path in (folder.record, folder.evaluation):
        record = read_record(path)
        assert record["format"] == FORMAT == 2
        assert record["environment"] == environment.describe() | {"device": "CPU"}


def test_what_runs_were_made_with_is_compared():
    environments = [{"torch": version, "git commit": None} for version in ("2.14.1", "2.15.0", "2.14.1")]
    assert mixed({"trained": environments[:1], "scored": []}) == []
    expected = "different torch: 2.14.1 (2 of 3 runs), 2.15.0 (1 of 3 runs)."
    assert mixed({"trained": environments}) == [f"Runs were trained with {expected}"]
    assert mixed({"trained": environments, "scored": environments})[1] == f"Runs were scored with {expected}"
    environments[0]["git commit"] = "abc"
    commits = "Runs were trained with different git commit: abc (1 of 3 runs), unknown (2 of 3 runs)."
    assert mixed({"trained": environments})[1] == commits
    # Older versions noted nothing, or had fewer entries.
    assert mixed({"scored": [{}, {}]}) == []
    assert mixed({"scored": [{}, {"torch": "2.14.1"}]}) == [
        "An older version did not record what 1 of 2 runs were scored with."
    ]
    assert mixed({"scored": [{}, {"device": "CPU"}, {"torch": "2.14.1"}]})[1:] == [
        "Runs were scored with different device: CPU (1 of 3 runs), unknown (1 of 3 runs).",
        "Runs were scored with different torch: unknown (1 of 3 runs), 2.14.1 (1 of 3 runs).",
    ]


def test_mixing_is_said_by_the_step_the_tables_for_papers_and_the_report(old, capsys):
    old("format-1")
    for index, run in enumerate(specification.load(Path("tiny.yaml")).runs):
        folder = Results().experiment("tiny").run(run.run_id)
        made_with = read_json(folder.record)["environment"]
        change(folder.record, environment=made_with | {"processor": ["an A & B_1", "a <C>"][index]})
        change(folder.evaluation, format=2, environment=made_with | {"device": ["CPU", "NVIDIA"][index]})
    trained = "Runs were trained with different processor: an A & B_1 (1 of 2 runs), a <C> (1 of 2 runs)."
    scored = "Runs were scored with different device: CPU (1 of 2 runs), NVIDIA (1 of 2 runs)."
    assert main(["aggregate", "tiny.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == [trained, scored]
    folder = Path("results/tiny")
    assert f"{trained.replace('<C>', '&#60;C&#62;')} {scored}\n" in (folder / "summary.md").read_text(encoding="utf-8")
    latex = (folder / "summary.tex").read_text(encoding="utf-8")
    assert rf"an A \& B\_1 (1 of 2 runs), a \textless{{}}C\textgreater{{}} (1 of 2 runs). {scored}}}" in latex
    for name in FIGURES:
        for variant in (None, "plain", "beta-4"):
            path = Results().experiment("tiny").figures / (f"variants/{variant}" if variant else "") / f"{name}.png"
            write_text(path, "a picture")
            write_text(path.with_suffix(".svg"), "a picture")
    assert main(["report", "tiny.yaml"]) == 0
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert {trained, scored} <= set(page.items["warnings"])
    assert ["processor", "an A & B_1 (1 run), a <C> (1 run)"] in page.rows["provenance"]
    assert ["device, scoring", "CPU (1 run), NVIDIA (1 run)"] in page.rows["provenance"]
