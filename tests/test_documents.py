"""What README and docs say is true of the code."""

import argparse
import re
from pathlib import Path

import pytest
from test_floors import WITH_TORCH, modules

from vaebench import cli, specification
from vaebench.datasets import DATASETS
from vaebench.figures import FIGURES
from vaebench.likelihoods import LIKELIHOODS
from vaebench.metrics import FAMILIES
from vaebench.schedules import SCHEDULES
from vaebench.settings import Settings
from vaebench.specification import Experiment
from vaebench.tasks import ALL_METRICS

TOP = Path(__file__).parents[1]
DOCUMENTS = sorted(
    str(path.relative_to(TOP)) for path in [*TOP.glob("*.md"), *TOP.glob("docs/*.md"), TOP / "results/README.md"]
)


def read(document: str) -> str:
    return (TOP / document).read_text(encoding="utf-8")


def rows(text: str) -> list[str]:
    """The rows of a text's tables, without what only lines columns up."""
    return [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("|")]


def sections(document: str) -> dict[str, str]:
    """Heading -> the text below it."""
    parts = read(document).split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def test_the_metrics_stand_by_family():
    expected = {title: [m.name for m in ALL_METRICS.values() if m.family == family] for family, title in FAMILIES.items()}
    found = {
        title: re.findall(r"^\| [^|]+ \| `(\w+)` \|", text, re.M) for title, text in sections("docs/metrics.md").items()
    }
    assert {title: names for title, names in found.items() if names} == expected
    assert [title for title in found if title in expected] == list(expected)


@pytest.mark.parametrize("metric", ALL_METRICS.values(), ids=ALL_METRICS)
def test_every_metric_is_defined_as_in_the_code(metric):
    definition = metric.definition.replace("|", r"\|")
    cells = [metric.label, f"`{metric.name}`", metric.unit, metric.arrow, definition, metric.reference]
    assert re.sub(" +", " ", f"| {' | '.join(cells)} |") in rows(read("docs/metrics.md"))


@pytest.mark.parametrize("metric", ALL_METRICS.values(), ids=ALL_METRICS)
def test_every_metric_has_a_formula_and_its_reference_in_full(metric):
    formulas = re.findall(r"```text\n(.*?)```", read("docs/metrics.md"), re.DOTALL)
    assert re.search(rf"^{re.escape(metric.label)} {{2,}}\S", "".join(formulas), re.M)
    assert f"- **{metric.reference.removeprefix('after ')}.** " in sections("docs/metrics.md")["References"]


def test_the_experiments_are_all_there_with_their_numbers_of_runs():
    table = re.findall(r"^\| ((?:`[\w.-]+`(?:, )?)+) \| [^|]+ \| ([\d, ]+) \|", read("README.md"), re.M)
    found = {
        name: int(n_runs)
        for names, numbers in table
        for name, n_runs in zip(re.findall(r"`(.+?)`", names), numbers.split(","), strict=True)
    }
    assert found == {path.name: len(specification.load(path).runs) for path in TOP.glob("experiments/*.yaml")}


def test_the_tutorial_names_every_data_set():
    comment = re.search(r"^dataset: \w+ +# (.*)$", read("docs/tutorial.md"), re.M)[1]
    assert comment.split(", ") == list(DATASETS)


@pytest.mark.parametrize("key", [*Experiment.model_fields, *Settings.model_fields, *SCHEDULES])
def test_every_key_of_an_experiment_file_is_described(key):
    assert f"| `{key}` |" in read("docs/experiments.md")


@pytest.mark.parametrize("name", [*DATASETS, *LIKELIHOODS])
def test_every_data_set_and_likelihood_is_named(name):
    assert name in read("docs/experiments.md")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_explained(name):
    assert f"| `{name}` |" in read("docs/report.md")


def test_every_verb_is_described_with_all_that_it_takes():
    [verbs] = (action.choices for action in cli._parser()._actions if isinstance(action.choices, dict))
    invocation = argparse.HelpFormatter("")._format_action_invocation
    expected = {
        f"vaebench {name}": [
            f"| `{invocation(action)}` | {action.help} |" for action in verb._actions if action.dest != "help"
        ]
        for name, verb in verbs.items()
    }
    found = {
        title: rows(text)[2:] for title, text in sections("docs/command-line.md").items() if title.startswith("vaebench ")
    }
    assert list(found.items()) == list(expected.items())


def test_the_design_names_every_module_and_which_import_torch():
    for module in modules():
        if module != "__main__":
            assert f"`{module}`" in read("docs/design.md")
            assert (f"`{module}`*" in read("docs/design.md")) == (module in WITH_TORCH), module


def test_every_fault_of_the_reliability_page_names_its_tests():
    last_cells = [row.rstrip(" |").rpartition(" | ")[2] for row in rows(read("docs/reliability.md"))]
    named = [cell for cell in last_cells if cell not in ("test", "---")]
    assert len(named) > 90
    for cell in named:
        file = None
        for part in re.findall(r"`([^`]+)`", cell):
            name, _, function = part.partition("::")
            file = name or file
            found = re.findall(r"^def (test_\w+)", read(f"tests/{file}"), re.M)
            assert function in found if function else found, part
        assert file, cell


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_within_the_repository_lead_somewhere(document):
    path = TOP / document
    for target in re.findall(r"\]\(([^)#:]+)[)#]", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
