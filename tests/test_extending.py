"""The definitions of docs/extend.md work as they stand there: each is put behind its module in a copy of the package."""

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from vaebench.schedules import SCHEDULES

TOP = Path(__file__).parents[1]
BLOCKS = dict(
    re.findall(
        r"```python\n# vaebench/(\w+)\.py\n(.*?)```", (TOP / "docs/extend.md").read_text(encoding="utf-8"), re.DOTALL
    )
)
EXPERIMENT = {
    "title": "What docs/extend.md adds",
    "dataset": "bars",
    "defaults": {"network": {"kind": "tanh", "width": 16}, "latent_size": 2, "epochs": 3, "learning_rate": 3e-3},
    "seeds": 1,
    "variants": {
        "laplace": {"likelihood": "laplace"},
        "quadratic": {"kl": {"schedule": "quadratic", "over": 1}},
        "dead": {"corruption": {"kind": "dead-pixels", "share": 0.3}},
    },
    "baseline": "laplace",
    "evaluation": {"n_samples": 4},
    "tasks": ["sharpness"],
}
COHORTS = """
from pathlib import Path
from vaebench.specification import load

print(*(cohort.name for cohort in load(Path("experiments/extended.yaml")).cohorts))
"""
DRAW = """
from pathlib import Path
from vaebench import tables
from vaebench.figures import FIGURES
from vaebench.plotting import Source, styled
from vaebench.specification import load
from vaebench.store import Results

experiment, results = load(Path("experiments/extended.yaml")), Results()
folder = results.experiment(experiment.name)
with styled():
    FIGURES["active-share"].draw(Source(experiment, folder, tables.load(folder))).savefig("active-share.png")
"""


def defined(module: str) -> dict:
    """A module's names with the block behind it; under its own name, where dataclasses look annotations up."""
    source = (TOP / f"vaebench/{module}.py").read_text(encoding="utf-8")
    names = {"__name__": f"vaebench.{module}"}
    exec(compile(source + BLOCKS[module], f"{module} with its block of docs/extend.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A folder with the extended package and the results of an experiment that uses every definition."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(TOP / "vaebench", folder / "vaebench", ignore=shutil.ignore_patterns("__pycache__"))
    for module, block in BLOCKS.items():
        with (folder / f"vaebench/{module}.py").open("a", encoding="utf-8") as file:
            file.write(f"\n\n{block}")
    (folder / "experiments").mkdir()
    (folder / "experiments/extended.yaml").write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    file = "experiments/extended.yaml"
    call(folder, "-m", "vaebench", "prepare", "bars")
    for cohort in call(folder, "-c", COHORTS).split():
        call(folder, "-m", "vaebench", "cohort", file, "--cohort", cohort)
    call(folder, "-m", "vaebench", "aggregate", file)
    return folder


def call(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_a_block_for_everything_that_can_be_added():
    assert list(BLOCKS) == [
        "likelihoods",
        "schedules",
        "networks",
        "corruptions",
        "datasets",
        "metrics",
        "tasks",
        "sharpness",
        "latent_figures",
    ]


def test_runs_of_all_of_them_are_trained_and_scored(extended):
    runs = pd.read_csv(extended / "results/extended/runs.csv")
    assert runs.status.tolist() == ["trained"] * 3
    assert runs.corruption.fillna("").tolist() == ["", "", "dead-pixels"]
    assert (runs.elbo + runs.rate + runs.distortion).abs().max() < 1e-9
    assert runs.active_share.tolist() == (runs.active_units / 2).tolist()
    history = pd.read_parquet(extended / "results/extended/history.parquet").merge(runs[["run_id", "variant"]], on="run_id")
    weights = history.kl_weight[history.variant == "quadratic"].tolist()
    # On a parabola from 0 at the first of the steps to 1 behind the last.
    assert weights == sorted(weights)
    assert weights[0] < 1 / 9 < weights[1] < 4 / 9 < weights[2] < 1


def test_the_task_is_scored_beside_its_baseline_and_shown(extended):
    folder = extended / "results/extended"
    runs, tasks = (
        pd.read_csv(folder / "runs.csv"),
        pd.read_csv(folder / "tasks.csv").pivot(index="variant", columns="method"),
    )
    kept = tasks["mean"]
    assert kept.model.to_dict() == dict(zip(runs.variant, runs.contrast_kept, strict=True))
    assert (kept.images == 1).all()
    # Two dimensions keep little of sixteen bars; the baseline is the same for all runs.
    assert 0 < kept.PCA.iloc[0] == kept.PCA.iloc[1] < 0.9
    table = (folder / "tasks.md").read_text(encoding="utf-8")
    assert "| Sharpness (contrast kept) ↑ |" in table
    assert "| PCA |" in table


def test_the_contrast_is_that_of_neighbours_in_a_row(tmp_path):
    # 1 apart, 0 apart; 0 apart, 3 apart.
    names: dict = {}
    source = BLOCKS["sharpness"].replace("from vaebench.tasks import Sharpness", "Sharpness = object")
    exec(compile(source, "the block of docs/extend.md", "exec"), names)
    assert names["contrast"](np.array([[0, 1, 1, 2, 2, 5]]), (2, 3)) == 1


def test_the_figure_is_drawn(extended):
    call(extended, "-c", DRAW)
    assert (extended / "active-share.png").stat().st_size > 0


def test_the_likelihood_is_scipys_laplace_distribution():
    likelihood = defined("likelihoods")["LIKELIHOODS"]["laplace"](scale=0.3)
    random = torch.Generator().manual_seed(0)
    parameters, x = torch.rand(2, 7, 5, generator=random, dtype=torch.float64)
    expected = stats.laplace.logpdf(x.numpy(), parameters.numpy(), 0.3).sum(-1)
    np.testing.assert_allclose(likelihood.log_prob(parameters, x, 17).numpy(), expected, rtol=1e-12)
    draws = likelihood.sample(torch.full((100_000,), 0.5), 17, random)
    # The mean and the standard deviation √2 · scale, within five standard errors.
    assert abs(draws.mean() - 0.5) < 5 * math.sqrt(2) * 0.3 / math.sqrt(len(draws))
    assert abs(draws.std() / (math.sqrt(2) * 0.3) - 1) < 0.02


def test_the_schedule_is_a_parabola():
    names = defined("schedules")
    assert set(names["SCHEDULES"]) == {*SCHEDULES, "quadratic"}
    quadratic = names["SCHEDULES"]["quadratic"]
    schedule = quadratic(weight=2.0, over=0.5)
    assert [schedule(progress) for progress in (0, 0.25, 0.5, 1)] == [0, 0.5, 2, 2]
    assert (schedule.free_nats, schedule.capacity(0.5)) == (0, 0)
    assert quadratic(over=0)(0) == 1
    for mistake in ({"weight": -1}, {"over": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            quadratic(**mistake)


def test_the_corruption_blackens_its_share_of_the_pixels():
    corruption = defined("corruptions")["CORRUPTIONS"]["dead-pixels"](share=0.3)
    x = torch.full((1000, 64), 0.5)
    found = corruption(x, (8, 8), torch.Generator().manual_seed(0))
    assert set(found.unique().tolist()) == {0, 0.5}
    assert (found == 0).double().mean().item() == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / 64_000))


def test_every_image_of_the_data_set_has_one_bar():
    splits = defined("datasets")["DATASETS"]["bars"]().load(Path("data"))
    for name, n_images in {"train": 1024, "validation": 128, "test": 128}.items():
        images = splits[name].images.reshape(-1, 8, 8)
        assert len(images) == n_images
        for image, is_standing in zip(images, splits[name].labels, strict=True):
            lines = image.T if is_standing else image
            assert sorted(lines.sum(axis=1)) == [0] * 7 + [8]
