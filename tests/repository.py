"""A copy of this repository with a tiny experiment, for tests that start its documented commands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
COPIED = ("Snakefile", "environment.yml", "profiles", "vaebench", "experiments")
TINY = {
    "title": "A tiny experiment",
    "dataset": "digits",
    "defaults": {"network": {"kind": "mlp", "hidden": [16]}, "epochs": 2},
    "seeds": 2,
    "grid": {"latent_size": [2]},
    "variants": {"bce": {"likelihood": "bernoulli"}, "beta-4": {"kl": {"schedule": "constant", "weight": 4}}},
    "baseline": "bce",
    "evaluation": {"n_samples": 4},
    "lanes": 2,
}


def write(folder: Path, name: str = "tiny", **changes) -> None:
    path = folder / "experiments" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(TINY | changes, sort_keys=False), encoding="utf-8")


def environment(*paths: Path) -> dict[str, str]:
    """In which commands find this Python's programs first, and modules in these folders."""
    binaries = str(Path(sys.executable).parent)
    added = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    if paths:
        added["PYTHONPATH"] = os.pathsep.join([*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | added


def call(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run a module of the copied repository with this Python."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def snakemake(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    return call(folder, "snakemake", *arguments, "--cores", "2", "--config", "experiment=tiny", check=check)


def planned(folder: Path) -> set[str]:
    """The rules that a call would run."""
    output = snakemake(folder, "--dry-run").stdout
    return set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE)) - {"all"}


def copy_repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder
