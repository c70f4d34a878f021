"""Every command of README and docs/ works, in a copy of the repository where experiments are made small."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from vaebench import specification
from vaebench.datasets import data_root

TOP = Path(__file__).parents[1]
# The tutorial first: it begins with a fresh clone.
PAGES = ["docs/tutorial.md", "README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in TOP.glob("docs/*.md"))]
COPIED = ["Makefile", "Snakefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml", "requirements.lock"]
COPIED += ["pyproject.toml", "environment.yml", "results/README.md"]
COPIED += ["benchmarks", "docs", "experiments", "profiles", "vaebench"]

REPORT = "results/beta/report.html"
OF_M2 = "results/semi-supervised-mnist/report.html"
READ_ENVIRONMENT = "python -c \"import yaml; environment = yaml.safe_load(open('environment.yml'))"
# Commands that are not run as they stand: why not, and what is run in their place.
INSTEAD = {
    "make test": ("it holds this test", "make --dry-run test"),
    "make test-long": ("it takes a quarter of an hour", "make --dry-run test-long"),
    "make lint": ("it is no test, and stands beside them", "make --dry-run lint"),
    "make ui": ("it goes on until it is stopped", "make --dry-run ui"),
    "make ui PORT=5001": ("it goes on until it is stopped", "make --dry-run ui PORT=5001"),
    "make benchmark": ("it takes a quarter of an hour", "make --dry-run benchmark"),
    **{
        f"python -m benchmarks.{name}": ("it takes minutes, and its parts have tests", f"ls benchmarks/{name}.py")
        for name in ("training", "evaluation", "cores", "growth", "gpu")
    },
    "conda env create -f environment.yml": (
        "it installs everything anew",
        f"{READ_ENVIRONMENT}; assert '--requirement requirements.lock' in environment['dependencies'][-1]['pip']\"",
    ),
    "python -m pip install --no-deps --no-build-isolation --editable .": (
        "it would change the environment of these tests",
        "python -m pip install --dry-run --no-deps --no-build-isolation --editable .",
    ),
    "uv pip compile versions.txt --no-deps --universal --python-version 3.11 --generate-hashes --no-annotate"
    " --output-file requirements.lock": ("uv is no part of the environment", "grep --quiet hash=sha256 requirements.lock"),
    "pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock": (
        "it is no part of the environment, and asks a network",
        "python -m pip check",
    ),
    "conda activate vaebench": ("conda is not here", f"{READ_ENVIRONMENT}; assert environment['name'] == 'vaebench'\""),
    f"snakemake --cores 4 {REPORT}": ("the tutorial does so with another file", f"snakemake --cores 4 --dry-run {REPORT}"),
    f"snakemake --cores 2 {OF_M2}": ("it takes a quarter of an hour, and MNIST", f"snakemake --cores 2 --dry-run {OF_M2}"),
    f"snakemake --profile profiles/gpu {REPORT}": (
        "it needs a GPU",
        f"snakemake --profile profiles/gpu --dry-run {REPORT}",
    ),
    f"snakemake --profile profiles/slurm {REPORT}": (
        "it needs a cluster, and the plugin for it",
        f"snakemake --profile profiles/slurm --executor local --dry-run {REPORT}",
    ),
}
SMALL = {"defaults": {"epochs": 2}, "grid": {"latent_size": [8]}, "seeds": 2, "evaluation": {"n_samples": 4}}


def steps(page: str) -> Iterator[tuple[str, str]]:
    """What a reader of the page does: "sh" and a command, "python" and a program, or the path of a file and its text."""
    content = (TOP / page).read_text(encoding="utf-8")
    for language, text in re.findall(r"^```(sh|yaml|python)\n(.*?)^```$", content, re.M | re.S):
        path = re.match(r"# (\S+/\S+)\n", text)
        if language == "sh":
            commands = (re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines())
            yield from (("sh", command) for command in commands if command)
        elif path and language == "yaml":
            yield path[1], text
        elif language == "python" and text.startswith("import "):
            yield "python", text


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def clone(tmp_path_factory, monkeypatch_module) -> Path:
    """A copy of the repository with small experiments, and with the environment that `make` would install."""
    folder = tmp_path_factory.mktemp("clone")
    for name in COPIED:
        (folder / name).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (TOP / name).is_dir() else shutil.copy
        copy(TOP / name, folder / name)
    for path in sorted(folder.glob("experiments/*.yaml")):
        make_small(path)
    # What commands put into the data root is to stay here.
    (folder / "data").mkdir()
    for path in data_root().absolute().glob("*"):
        (folder / "data" / path.name).symlink_to(path)
    monkeypatch_module.setenv("VAEBENCH_DATA", str(folder / "data"))
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / ".venv" / path.name).symlink_to(path)
    (folder / ".venv/ready").unlink(missing_ok=True)  # the link, if there is one
    (folder / ".venv/ready").touch()
    return folder


def make_small(path: Path) -> None:
    """Put an experiment of few short runs in a file's place; it extends the file itself, which has to be valid."""
    specification.load(path)
    small, content = {"extends": f"{path.stem}-in-full"}, yaml.safe_load(path.read_text(encoding="utf-8"))
    if variants := content.get("variants"):
        small["variants"] = {name: variants[name] for name in [*list(variants)[:2], content["baseline"]]}
    path.rename(path.with_stem(small["extends"]))
    path.write_text(yaml.safe_dump(SMALL | small), encoding="utf-8")


@pytest.fixture(scope="module")
def done() -> set[str]:
    """Commands that stand on several pages are run once."""
    return set()


def run(clone: Path, *command: str) -> None:
    # `make` calls PYTHON to install, which is not to happen.
    environment = os.environ | {"PYTHONPATH": str(clone), "PYTHON": "false"}
    environment["PATH"] = f"{clone / '.venv/bin'}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{command[-1]}\n{ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("page", dict.fromkeys(PAGES))
def test_what_a_page_says_works(page, clone, done):
    for kind, text in steps(page):
        if kind == "python":
            run(clone, sys.executable, "-c", text)
        elif kind != "sh":
            (clone / kind).write_text(text, encoding="utf-8")
            make_small(clone / kind)
        elif text not in done:
            _, command = INSTEAD.get(text, ("", text))
            run(clone, "bash", "-c", command)
            done.add(text)


def test_every_exception_stands_on_a_page():
    commands = {text for page in PAGES for kind, text in steps(page) if kind == "sh"}
    assert not set(INSTEAD) - commands
