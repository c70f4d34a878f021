"""requirements.lock: one version and the hashes of its files for all that is installed, and pip holds to it."""

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[1]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def locked() -> dict[str, tuple[Requirement, list[str]]]:
    """The requirement and its hashes, by the package's name."""
    text = "\n".join(line for line in (TOP / "requirements.lock").read_text().splitlines() if not line.startswith("#"))
    entries = [entry.split() for entry in re.split(r"\n(?! )", text.replace("\\\n", ""))]
    parts = [
        ([word for word in words if not word.startswith("--")], [word for word in words if word.startswith("--")])
        for words in entries
    ]
    requirements = [(Requirement(" ".join(words)), options) for words, options in parts]
    return {canonicalize_name(requirement.name): (requirement, options) for requirement, options in requirements}


def test_everything_has_one_version_and_hashes():
    for requirement, options in locked().values():
        [specifier] = requirement.specifier
        assert (specifier.operator, requirement.url) == ("==", None), requirement
        assert options, requirement
        assert all(HASH.fullmatch(option) for option in options), requirement


def test_all_that_the_project_asks_for_is_in_it():
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    parts = [project["project"]["dependencies"], project["build-system"]["requires"]]
    parts += project["project"]["optional-dependencies"].values()
    for wanted in map(Requirement, chain.from_iterable(parts)):
        requirement, _ = locked()[canonicalize_name(wanted.name)]
        [specifier] = requirement.specifier
        assert specifier.version in wanted.specifier, wanted


def test_all_that_its_packages_ask_for_is_in_it():
    known = locked()
    for name in known:
        try:
            asked = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            continue  # of another platform
        needed = {canonicalize_name(each.name) for each in asked if not each.marker or each.marker.evaluate({"extra": ""})}
        assert needed <= set(known), name


@pytest.mark.parametrize("target", [".venv/ready", ".venv-pythae/ready"])
def test_make_installs_nothing_without_a_hash_but_the_package_itself(target):
    command = ["make", "--dry-run", "--what-if", "pyproject.toml", target]
    said = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
    installing = [line for line in said.splitlines() if "pip install" in line]
    assert installing
    for line in installing:
        words = shlex.split(line)
        alone = {"--no-deps", "--no-build-isolation"} <= set(words) and words[-2:] == ["--editable", "."]
        assert alone or "--require-hashes" in words, line


def test_a_file_that_was_altered_is_not_installed(tmp_path):
    """A package of the right name and version with other code in it, which the hash of the lock gives away."""
    requirement, options = locked()["six"]
    [specifier] = requirement.specifier
    name = f"six-{specifier.version}"
    with zipfile.ZipFile(tmp_path / f"{name}-py2.py3-none-any.whl", "w") as wheel:
        wheel.writestr("six.py", "print('not what was published')\n")
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: six\nVersion: {specifier.version}\n")
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    lines = tmp_path / "six.lock"
    lines.write_text(f"{requirement} {' '.join(options)}\n")
    offline = ["--isolated", "--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / "installed")]
    command = [sys.executable, "-m", "pip", "install", *offline, "--requirement", str(lines)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "installed").exists()
