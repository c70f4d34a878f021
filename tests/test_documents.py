"""What README and docs say is true of the code."""

import re
from pathlib import Path

import pytest
from test_floors import WITH_TORCH, modules

from vaebench import specification
from vaebench.datasets import DATASETS
from vaebench.likelihoods import LIKELIHOODS
from vaebench.metrics import FAMILIES, METRICS
from vaebench.schedules import SCHEDULES
from vaebench.specification import Experiment, Settings

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
EXPERIMENTS = (TOP / "docs/experiments.md").read_text(encoding="utf-8")
DESIGN = (TOP / "docs/design.md").read_text(encoding="utf-8")


def test_the_readme_has_the_metrics_by_family():
    expected = {title: [m.name for m in METRICS.values() if m.family == family] for family, title in FAMILIES.items()}
    measured = README.split("## What is measured")[1].split("\n## ")[0]
    sections = {
        part.splitlines()[0]: re.findall(r"^\| [^|]+ \| `(\w+)` \|", part, re.M) for part in measured.split("\n### ")[1:]
    }
    assert list(sections.items()) == list(expected.items())


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_readme_defines_every_metric_as_the_code_does(metric):
    cells = [
        metric.label,
        f"`{metric.name}`",
        metric.unit,
        metric.arrow,
        metric.definition.replace("|", r"\|"),
        metric.reference,
    ]
    assert re.sub(" +", " ", "| " + " | ".join(cells) + " |") in README


def test_the_readme_names_every_data_set():
    comment = re.search(r"^dataset: \w+ +# (.*)$", README, re.M)[1]
    assert comment.split(", ") == list(DATASETS)


def test_the_readmes_experiment_is_valid(tmp_path):
    path = tmp_path / "width.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1], encoding="utf-8")
    assert len(specification.load(path).runs) == 3 * 2 * 5


def test_the_readmes_schedule_works():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    source = (TOP / "vaebench/schedules.py").read_text(encoding="utf-8")
    # Under the module's own name, where dataclasses look annotations up; its registry stays as it is.
    names = {"__name__": "vaebench.schedules"}
    exec(compile(source + code, "schedules with the README's", "exec"), names)
    assert set(names["SCHEDULES"]) == {*SCHEDULES, "quadratic"}
    quadratic = names["SCHEDULES"]["quadratic"]
    schedule = quadratic(weight=2.0, over=0.5)
    assert [schedule(progress) for progress in (0, 0.25, 0.5, 1)] == [0, 0.5, 2, 2]
    assert (schedule.free_nats, schedule.capacity(0.5)) == (0, 0)
    assert quadratic(over=0)(0) == 1
    for mistake in ({"weight": -1}, {"over": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            quadratic(**mistake)


@pytest.mark.parametrize("key", [*Experiment.model_fields, *Settings.model_fields, *SCHEDULES])
def test_every_key_of_an_experiment_file_is_described(key):
    assert f"| `{key}` |" in EXPERIMENTS


@pytest.mark.parametrize("name", [*DATASETS, *LIKELIHOODS])
def test_every_data_set_and_likelihood_is_named(name):
    assert name in EXPERIMENTS


def test_the_design_names_every_module_and_which_import_torch():
    for module in modules():
        if module != "__main__":
            assert f"`{module}`" in DESIGN
            assert (f"`{module}`*" in DESIGN) == (module in WITH_TORCH), module


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/experiments.md"])
def test_links_within_the_repository_lead_somewhere(document):
    path = TOP / document
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
