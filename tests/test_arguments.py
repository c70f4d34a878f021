"""What a call can get wrong beside its experiment file: one clear line each, and nothing begun."""

import subprocess
import sys

import pytest
from repository import REPOSITORY, environment

from vaebench import cli, stages


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "_experiments", {})
    monkeypatch.setattr(stages, "_settings", {})
    # It is the process's, and other tests are in this one.
    for name in ("disable", "freeze", "set_threshold", "enable"):
        monkeypatch.setattr(cli.gc, name, lambda *_: None)


def ended_with(arguments: list[str]) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as ended:  # of argparse
        return ended.code


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["check", "FILE", "--cores", "0"], 2, "must be a whole number above 0, not '0'"),
        (["check", "FILE", "--cores", "9" * 5000], 2, "argument --cores: "),
        (["check", "FILE", "--lanes", "x"], 2, "argument --lanes: invalid int value: 'x'"),
        (["check", "FILE", "--lanes", "0"], 1, "experiments/tiny.yaml: lanes: must be greater than 0, not 0"),
        (["check", "FILE", "--results", "FILE"], 2, "must be a folder, not a file such as 'experiments/tiny.yaml'"),
        (["check", "experiments"], 1, "experiments: the name of an experiment file ends in .yaml"),
        (["check", "../tiny.yml"], 1, "../tiny.yml: the name of an experiment file ends in .yaml"),
        (["check", ""], 1, "cannot name an experiment"),
        (["check", "experiments/none.yaml"], 1, "experiments/none.yaml: no such file; allowed: tiny"),
        (["train", "FILE", "--variant", "../x"], 1, "tiny: '../x' is no variant"),
        (["train", "FILE", "--variant", "bce", "--seed", "-1"], 1, "tiny: -1 is no seed of it; allowed: 0 to 1"),
        (["train", "FILE", "--variant", "bce", "--seed", "1.5"], 2, "argument --seed: invalid int value: '1.5'"),
        (["train", "FILE", "--variant", "bce", "--at", "x"], 1, "--at x: must be KEY=VALUE, such as latent_size=8"),
        (["train", "FILE", "--variant", "bce", "--at", "x=[*a"], 1, "--at x=[*a: no valid YAML"),
        (["train", "FILE", "--variant", "bce", "--at", "x=&a [*a]"], 1, "the alias 'a' lies within what it stands for"),
        (["train", "FILE", "--variant", "bce", "--at", "../x=1"], 1, "'../x' is not in its grid"),
        (["cohort", "FILE", "--cohort", "../../x"], 1, "tiny: no cohort '../../x'"),
        (["cohort", "FILE", "--cohort", "x", "--device", "gpu"], 1, "device 'gpu' is none; allowed: cpu, cuda"),
        (["cohort", "FILE", "--cohort", "x", "--checkpoint-seconds", "nan"], 2, "must be a number of seconds, not 'nan'"),
        (["cohort", "FILE", "--cohort", "x", "--checkpoint-seconds", "inf"], 2, "must be a number of seconds, not 'inf'"),
        (["cohort", "FILE", "--cohort", "x", "--checkpoint-seconds", "-1"], 2, "must be a number of seconds, not '-1'"),
        (["cohort", "FILE", "--cohort", "x", "--checkpoint-seconds", "x"], 2, "argument --checkpoint-seconds: invalid"),
        (["prepare", "../x"], 1, "dataset: '../x' is not known"),
        (["prepare", "{kind: digits, kind: digits}"], 1, "dataset: no valid YAML: the key 'kind' stands twice"),
        (["show", "../x"], 1, "results: no run '../x'"),
        (["new", "a" * 300], 1, "cannot name an experiment"),
        (["new", "a/b"], 1, "'a/b' cannot name an experiment"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(write_experiment, tmp_path, capsys, arguments, exit_code, says):
    path = write_experiment()
    before = sorted(tmp_path.rglob("*"))
    arguments = [str(path.relative_to(tmp_path)) if argument == "FILE" else argument for argument in arguments]
    assert ended_with(arguments) == exit_code
    said = capsys.readouterr()
    assert says in said.err.splitlines()[-1]
    assert said.err.startswith("usage: ") or said.err.count("\n") == 1
    assert not said.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("config", "targets", "says"),
    [
        ({"experiment": "../x"}, [], "experiments/../x.yaml: '../x' cannot name an experiment"),
        ({"experiment": "/etc/passwd"}, [], "/etc/passwd.yaml: '/etc/passwd' cannot name an experiment"),
        ({"experiment": 3}, [], "experiments/3.yaml: 3 cannot name an experiment"),
        ({"experiment": "tinny"}, [], "experiments/tinny.yaml: no such file; did you mean 'tiny'?"),
        ({"lanes": "x"}, ["results/tiny/runs.csv"], "experiments/tiny.yaml: lanes: must be a valid integer, not 'x'"),
        ({"lanes": 0}, ["results/tiny/runs.csv"], "experiments/tiny.yaml: lanes: must be greater than 0, not 0"),
        ({"device": "cpu; true"}, [], "device 'cpu; true' is none; allowed: cpu, cuda"),
        ({"device": 3}, [], "device '3' is none"),
        ({"precision": "tf16"}, [], "--config precision=tf16: is not known; allowed: float32, tf32"),
        ({"checkpoint_seconds": -1}, [], "--config checkpoint_seconds=-1: must be a whole number, 0 or more"),
        ({"checkpoint_seconds": "soon"}, [], "--config checkpoint_seconds=soon: must be a whole number, 0 or more"),
        ({"checkpoint_seconds": 0.5}, [], "--config checkpoint_seconds=0.5: must be a whole number, 0 or more"),
        ({"experimnet": "tiny"}, [], "--config experimnet: no such setting; did you mean 'experiment'?"),
        ({}, ["results/../../x/report.html"], "experiments/...yaml: '..' cannot name an experiment"),
        ({}, ["results/X/report.html"], "experiments/X.yaml: 'X' cannot name an experiment"),
    ],
)
def test_a_wrong_choice_for_the_workflow_is_one_clear_line(write_experiment, config, targets, says):
    write_experiment()
    with pytest.raises(SystemExit) as ended:
        stages.choices(config, ["snakemake", *targets])
    assert ended.value.code.startswith(f"vaebench: {says}")
    assert "\n" not in ended.value.code


def test_the_choices_of_a_call(write_experiment):
    write_experiment()
    config = {"experiment": "tiny", "device": "cuda", "lanes": 7}
    assert stages.choices(config, []) == ("tiny", 7, "cuda", "float32", 60)
    assert stages.experiment("tiny").lanes == 7


def test_snakemake_ends_in_that_line_and_begins_nothing(write_experiment, tmp_path):
    write_experiment()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(REPOSITORY / "Snakefile"),
            "--cores",
            "1",
            "--config",
            "experiment=../tiny",
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("vaebench: ")]
    assert "cannot name an experiment" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
