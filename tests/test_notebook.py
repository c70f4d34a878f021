"""Python: what `import vaebench` offers, by the examples that its docstrings and its page show."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import vaebench
from vaebench import jobs, loading, specification, splits, template, workflow
from vaebench.errors import UserError
from vaebench.files import read_json
from vaebench.plan import still_open
from vaebench.selection import choose
from vaebench.store import Results
from vaebench.workflow import Job

PAGE = Path(__file__).parents[1] / "docs/notebook.md"


def run_examples(text: str, name: str) -> None:
    parsed = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    assert parsed.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said = []
    runner.run(parsed, out=said.append)
    assert not said, "".join(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all that the page shows has been run, and has come out as it shows."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        template.write("first", "digits")
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        run_examples("\n".join(blocks), "notebook.md")
    return folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_what_the_page_ran_is_kept_with_what_it_cost(folder):
    report = (folder / "results/first/report.html").read_text(encoding="utf-8")
    assert '<th scope="row">training</th><td>1</td>' in report
    logs = sorted(path.relative_to(folder / "results/first/logs") for path in folder.glob("results/first/logs/**/*.log"))
    cohort = specification.load(folder / "experiments/first.yaml").cohorts[0].name
    assert list(map(str, logs)) == ["aggregate.log", f"cohort/{cohort}.log", "draw.log", "prepare.log", "report.log"]


@pytest.mark.parametrize("module", [vaebench, loading, workflow], ids=lambda module: module.__name__)
def test_docstrings_show_what_happens(module):
    examples = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert examples
    for test in examples:
        run_examples(test.docstring, test.name)


def test_importing_is_light_and_lists_what_is_there():
    code = "import sys, vaebench; print(len({'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)), vaebench.__all__)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PAGE.parents[1])
    assert said.stdout == "0 ['load', 'run', 'LoadedExperiment', 'UserError']\n"
    assert {*vaebench.__all__} < {*dir(vaebench)}
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = vaebench.laod


def test_a_run_trained_alone_leaves_what_its_cohort_leaves(folder, tmp_path):
    experiment = specification.load(folder / "experiments/first.yaml")
    run = choose(experiment, "beta-4", 1, {})
    results = Results(tmp_path)
    splits.prepare(run.dataset, results)
    jobs.train_alone(experiment, run, results)
    jobs.evaluate_alone(experiment, run, results)
    alone, beside = (each.experiment("first").run(run.run_id) for each in (results, Results(folder / "results")))
    assert {path.name for path in alone.path.iterdir()} == {path.name for path in beside.path.iterdir()}
    assert alone.evaluation.read_bytes() == beside.evaluation.read_bytes()
    assert alone.pictures.read_bytes() == beside.pictures.read_bytes()
    records = [read_json(each.record) for each in (alone, beside)]
    for record in records:
        del record["files"]["history.parquet"]  # which holds seconds
    assert records[0] == records[1]
    weights, expected = load_file(alone.weights), load_file(beside.weights)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    histories = [pd.read_parquet(path.history).drop(columns="seconds") for path in (alone, beside)]
    assert histories[0].equals(histories[1])
    assert len(histories[0]) == 50
    (cohort,) = still_open(experiment, results)
    assert [each for each in cohort.cohort.runs if each not in cohort.to_score] == [run]
    assert cohort.to_train == cohort.to_score


def test_a_step_that_fails_by_what_can_be_mended_says_so_in_one_line(folder, tmp_path):
    results = Results(tmp_path)
    data = results.dataset("digits")
    data.parent.mkdir()
    data.write_bytes(b"no images")
    with pytest.raises(UserError, match=r"digits.npz: cannot be read \(.*\); make it with: vaebench prepare digits"):
        vaebench.run(folder / "experiments/first.yaml", tmp_path)


def test_a_step_that_fails_otherwise_gives_its_last_words(tmp_path):
    with pytest.raises(RuntimeError, match=r"vaebench trane ended with code 2: .*invalid choice: 'trane'.*trane.log"):
        list(workflow._side_by_side([Job(["trane"], tmp_path / "trane.log")], cores=1))


def test_cores_are_counted_from_one():
    with pytest.raises(UserError, match="cores must be 1 or more, not 0"):
        vaebench.run("experiments/first.yaml", cores=0)


def test_results_without_tables_say_how_to_make_them(tmp_path):
    (tmp_path / "half").mkdir()
    with pytest.raises(UserError, match="half: has no tables yet"):
        vaebench.load(tmp_path / "half")


def test_a_split_that_is_none_gives_the_nearest(folder):
    with pytest.raises(UserError, match="'tst' is no split; did you mean 'test'"):
        vaebench.load("results/first").images("bce-z8-s0", "tst")


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.zeros(2, 784), r"x must be a tensor of torch.float32, \[..., 64\], not torch.float32, \[2, 784\]"),
        (torch.zeros(2, 8, 8), r"not torch.float32, \[2, 8, 8\]"),
        (torch.zeros(2, 64, dtype=torch.uint8), r"not torch.uint8, \[2, 64\]"),
        (torch.tensor(0.5), r"not torch.float32, \[\]"),
        (torch.zeros(2, 64).numpy(), "not ndarray"),
        (torch.linspace(0, 16, 64), r"x holds pixel values in \[0, 1\], not from 0 to 16"),
        (torch.full((2, 64), torch.nan), r"x holds pixel values in \[0, 1\], not from nan to nan"),
    ],
)
def test_images_of_other_data_are_refused_in_one_line(folder, x, says):
    model = vaebench.load("results/first").model("bce-z8-s0")
    for method in (model.encode, model.reconstruct):
        with pytest.raises(UserError, match=says):
            method(x)
    assert model.reconstruct(torch.ones(2, 64)).shape == (2, 64)


def test_codes_of_another_size_are_refused_in_one_line(folder):
    with pytest.raises(UserError, match=r"z must be a tensor of torch.float32, \[..., 8\], not torch.float32, \[2, 9\]"):
        vaebench.load("results/first").model("bce-z8-s0").decode(torch.zeros(2, 9))


def test_samples_are_a_function_of_the_seed(folder):
    model = vaebench.load("results/first").model("bce-z8-s0")
    assert torch.equal(model.sample(4, seed=1), model.sample(4, seed=1))
    assert not torch.equal(model.sample(4, seed=1), model.sample(4, seed=2))
