"""The command line as people meet it: verbs, a new file, one run, messages and exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vaebench import cli, jobs, selection, show, specification, splits, template, workflow
from vaebench.datasets import DATASETS, Digits, SyntheticGaussian
from vaebench.errors import UserError
from vaebench.files import read_json, write_json
from vaebench.store import Results
from vaebench.tasks import Representation

REPOSITORY = Path(__file__).parents[1]


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    """A call in a folder, with this repository's code."""
    command = [sys.executable, "-m", "vaebench", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=pipe, stderr=pipe)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # It is the process's, and other tests are in this one.
    for name in ("disable", "freeze", "set_threshold", "enable"):
        monkeypatch.setattr(cli.gc, name, lambda *_: None)


@pytest.fixture
def scored(make_experiment, tmp_path):
    """A tiny experiment with one run of `bce` scored and one trained only, and another of that name elsewhere."""
    experiment = make_experiment()
    results = Results(tmp_path / "results")
    splits.prepare(experiment.dataset, results)
    first, second = experiment.runs[:2]
    jobs.train_alone(experiment, first, results)
    jobs.evaluate_alone(experiment, first, results)
    jobs.train_alone(experiment, second, results)
    jobs.train_alone(make_experiment("other"), first, results)
    return experiment


def test_the_verbs_stand_in_the_order_of_their_use(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    verbs = re.findall(r"^    (\w+) +\w", capsys.readouterr().out, re.MULTILINE)
    steps = ["prepare", "classify", "cohort", "aggregate", "draw", "report", "track"]
    assert verbs == ["new", "check", "train", *steps, "show"]


@pytest.mark.parametrize("dataset", [*(each.kind for each in DATASETS.with_defaults()), "{kind: npz, file: my own.npz}"])
def test_a_new_file_is_valid_small_and_commented(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    np.savez(tmp_path / "my own.npz", images=np.arange(180, dtype=np.uint8).reshape(20, 3, 3).repeat(20, axis=0))
    assert cli.main(["new", "first", "--dataset", dataset]) == 0
    path = Path("experiments/first.yaml")
    assert capsys.readouterr().out == f"{path} is written; next: vaebench check {path}\n"
    experiment = specification.load(path)
    assert experiment.dataset == specification.parse_dataset(dataset)
    assert f"dataset: {dataset}  #" in path.read_text(encoding="utf-8")
    assert (len(experiment.runs), len(experiment.cohorts)) == (6, 1)
    assert path.read_text(encoding="utf-8").count("#") >= 10


def test_what_stands_behind_comment_signs_is_valid_too(tmp_path):
    path = template.write("first", "digits")
    path.write_text(re.sub(r"# (grid|anneal):", r"\1:", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert len(specification.load(path).runs) == 3 * 3 * 3


def test_a_new_file_replaces_none_and_stays_in_its_folder(tmp_path, capsys):
    path = template.write("first", "digits")
    path.write_text("mine", encoding="utf-8")
    for name, words in (
        ("first", "experiments/first.yaml: is there already"),
        ("../x", "'../x' cannot name an experiment"),
        ("A", "'A' cannot name an experiment"),
        ("", "'' cannot name an experiment"),
        ("datasets", "'datasets' cannot name an experiment"),
    ):
        assert cli.main(["new", name]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert cli.main(["new", "other", "--dataset", "minst"]) == 1
    assert "'minst' is not known; did you mean 'mnist'?" in capsys.readouterr().err
    assert [each.name for each in tmp_path.rglob("*.yaml")] == ["first.yaml"]
    assert path.read_text(encoding="utf-8") == "mine"


def test_check_names_every_mistake_in_a_line_of_its_own(write_experiment, capsys):
    path = write_experiment(
        sedes=1,
        dataset="minst",
        defaults={"latent_sise": 3, "epochs": 0},
        grid={"latents": [1], "latent_size": [0, 2, 2], "likelihood": [{"kind": "gaussian", "sgma": 1}]},
        variants={"bce": {"likelihood": "bernouli"}},
        baseline="bec",
        headline="elob",
    )
    assert cli.main(["check", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vaebench: ")
    found = sorted(re.findall(r"tiny\.yaml: ([\w.]+): ", said))
    assert len(said.splitlines()) == len(found)
    of_keys = [
        "sedes",
        "dataset",
        "defaults.latent_sise",
        "defaults.epochs",
        "variants.bce.likelihood",
        "baseline",
        "headline",
    ]
    of_grid = ["grid.latents", "grid.latent_size", "grid.latent_size", "grid.likelihood.sgma"]
    assert found == sorted(of_keys + of_grid)


def test_check_names_all_that_does_not_fit_together(write_experiment, capsys):
    path = write_experiment(
        dataset="binarized-mnist",
        defaults={"batch_size": 60000},
        grid={"latent_size": [2]},
        variants={"bce": {"latent_size": 3}, "b": {"binarisation": "static"}, "c": {"latent_size": 4}},
    )
    assert cli.main(["check", str(path)]) == 1
    assert re.findall(r"tiny\.yaml: ([\w.]+): ", capsys.readouterr().err) == [
        "variants.bce.latent_size",
        "variants.c.latent_size",
        "batch_size",
        "binarisation",
    ]


def test_check_measures_only_when_it_may(write_experiment, capsys, monkeypatch):
    from vaebench import plan

    monkeypatch.setattr(plan, "estimated_seconds", lambda cohorts, evaluation, cores: 1000 / cores)
    path = str(write_experiment())
    assert cli.main(["check", path, "--cores", "4"]) == 0
    assert "about 4 min on 4 cores" in capsys.readouterr().out
    assert cli.main(["check", path, "--no-estimate"]) == 0
    assert "about" not in capsys.readouterr().out


def test_train_trains_one_run_alone_and_prints_its_scores(write_experiment, tmp_path, capsys):
    path = write_experiment(grid={"latent_size": [2, 4]})
    arguments = ["train", str(path), "--variant", "mse", "--seed", "1", "--at", "latent_size=4"]
    assert cli.main(arguments) == 0
    run = next(run for run in specification.load(path).runs if (run.variant, run.latent_size, run.seed) == ("mse", 4, 1))
    said = capsys.readouterr().out
    assert f"{run.run_id}, of tiny: trained and scored" in said
    assert re.search(r"^  ELBO +−\d+\.\d+ ± \d+\.\d+ nats ↑$", said, re.MULTILINE)
    assert [folder.run_id for folder in Results().runs()] == [run.run_id]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/tiny/runs/*/*")}
    assert cli.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_a_task_reads_beside_the_runs_data_is_prepared_too(write_experiment, monkeypatch):
    other = SyntheticGaussian()
    monkeypatch.setattr(Representation, "other_datasets", lambda task, run: (other,))
    path = write_experiment(tasks=["representation"])
    prepared = []

    def stop_at(jobs, cores):
        prepared.extend(job.arguments[:2] for job in jobs)
        raise UserError("enough")

    monkeypatch.setattr(workflow, "_side_by_side", stop_at)
    with pytest.raises(UserError, match="enough"):
        workflow.run(path)
    assert prepared == [["prepare", Digits().argument], ["prepare", other.argument]]
    assert cli.main(["train", str(path), "--variant", "mse"]) == 0
    assert {path.stem for path in Path("results/datasets").glob("*.npz")} == {"digits", other.name}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("bec", 0, {}), "'bec' is no variant; did you mean 'bce'? allowed: bce, mse"),
        (("bce", 2, {}), "2 is no seed of it; allowed: 0 to 1"),
        (("bce", 0, {"latent": 2}), "'latent' is not in its grid; did you mean 'latent_size'?"),
        (("bce", 0, {}), "name one of these with --at: latent_size=2 epochs=1; latent_size=2 epochs=2; latent_size=4 epo"),
        (("bce", 0, {"latent_size": 3}), "latent_size=3: name one of these with --at: latent_size=2 epochs=1; "),
        (("bce", 0, {"epochs": 2}), "these with --at: latent_size=2 epochs=2; latent_size=4 epochs=2"),
    ],
)
def test_a_run_that_is_not_there_or_not_alone(make_experiment, asked, words):
    experiment = make_experiment(grid={"latent_size": [2, 4], "epochs": [1, 2]})
    with pytest.raises(UserError, match=re.escape(words)) as error:
        selection.choose(experiment, *asked)
    assert "\n" not in str(error.value)


def test_a_grid_point_may_be_a_definition(make_experiment):
    experiment = make_experiment(
        grid={"likelihood": ["bernoulli", {"kind": "gaussian", "sigma": 0.1}]},
        variants={"bce": {}, "beta": {"kl": {"schedule": "constant", "weight": 4}}},
    )
    point = selection.parse_point(["likelihood={kind: gaussian, sigma: 0.1}"])
    run = selection.choose(experiment, "beta", 1, point)
    assert (run.variant, run.seed, run.likelihood.kind, run.kl.weight) == ("beta", 1, "gaussian", 4)
    with pytest.raises(UserError, match="--at likelihood: must be KEY=VALUE"):
        selection.parse_point(["likelihood"])


def test_show_prints_a_run_by_the_beginning_of_its_id(scored, capsys):
    assert cli.main(["show", "tiny/bce-z3-s0"]) == 0
    said = capsys.readouterr().out
    first = scored.runs[0].run_id
    assert said.startswith(f"{first}, of tiny: trained and scored\nposterior collapse: ")
    assert re.search(r"^  network\.hidden +16$", said, re.MULTILINE)
    assert re.search(r"^Evidence\n  ELBO .* nats ↑\n  rate ", said, re.MULTILINE)
    assert re.search(r"^  active units +[0-3] dimensions$", said, re.MULTILINE)
    assert f"files in results/tiny/runs/{first}\n  evaluation.json\n  history.parquet\n" in said
    assert cli.main(["show", "bce-z3-s1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{scored.runs[1].run_id}, of tiny: trained, not scored\n\nsettings")
    assert "ELBO" not in said


def test_show_prints_what_tasks_gave(scored, capsys):
    folder = Results(Path("results")).experiment("tiny").run(scored.runs[0].run_id)
    metrics = {"linear_probe": {"value": 0.8125, "standard_error": 0.02}}
    write_json(folder.task("representation"), {"format": 2, "metrics": metrics, "findings": []})
    assert cli.main(["show", "tiny/bce-z3-s0"]) == 0
    assert re.search(r"^Representation\n  linear probe +0\.812 ± 0\.020 ↑$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("bce-z3-s0", "results: 'bce-z3-s0' could be each of 2 runs: other/bce-z3-s0-"),
        ("tiny/bce", "results: 'tiny/bce' could be each of 2 runs: tiny/bce-z3-s0-"),
        ("bec-z3-s1", "results: no run 'bec-z3-s1'; did you mean 'bce-z3-s1'?"),
        ("xxxxxx", "results: no run 'xxxxxx'"),
    ],
)
def test_show_says_which_runs_could_be_meant(scored, wanted, words):
    with pytest.raises(UserError, match=re.escape(words)):
        show.find(wanted, Results(Path("results")))


def test_show_tells_of_a_run_that_diverged(write_experiment, capsys):
    path = write_experiment(variants={"wild": {"learning_rate": 1e20}}, baseline="wild")
    assert cli.main(["train", str(path), "--variant", "wild"]) == 0
    said = capsys.readouterr().out
    assert ", of tiny: diverged in epoch 1 of 3 (NaN: rate in training, distortion in training, " in said
    run = show.find("wild-z3-s0", Results())
    for read in (run.model, run.pictures):
        with pytest.raises(UserError, match="diverged in epoch 1 of 3"):
            read()


def test_a_run_of_other_code_is_a_mistake_that_can_be_mended(scored, tmp_path):
    record = Results(tmp_path / "results").experiment("tiny").run(scored.runs[0].run_id).record
    write_json(record, json.loads(json.dumps(read_json(record)).replace('"bernoulli"', '"former"')))
    with pytest.raises(UserError, match=r"run\.json: was made by other code"):
        _ = show.find("tiny/bce-z3-s0", Results()).specification


@pytest.mark.parametrize(
    "arguments", [[], ["trane"], ["check"], ["check", "x.yaml", "--cores", "0"], ["train", "x.yaml", "--seed", "one"]]
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: vaebench" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_fault(write_experiment, tmp_path):
    with started(tmp_path, "check", str(write_experiment()), "--no-estimate") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_an_interruption_is_one_line_and_130(write_experiment, tmp_path):
    path = write_experiment(defaults={"network": "linear", "epochs": 20_000})  # minutes
    with started(tmp_path, "train", str(path), "--variant", "bce") as process:
        assert "1 of 1 runs to train" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert said == "vaebench: train was interrupted; what is finished is kept, and the same call goes on from there\n"
    assert process.returncode == 130
