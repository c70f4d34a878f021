"""The house: imports go down the floors only, and some floors stay free of torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from vaebench.fingerprint import PACKAGE, direct_imports

# From the ground up; a module imports only modules of lower floors. docs/design.md says what each is for.
FLOORS = [
    {"errors", "registry", "layers", "levels", "linear_optimum", "optimiser", "progress", "divergence"},
    {"scores", "device", "disk", "experiment_file"},
    {"latent_dimensions", "locks", "files"},
    {
        "corruptions",
        "datasets",
        "likelihoods",
        "networks",
        "schedules",
        "store",
        "streams",
        "environment",
        "fingerprint",
        "metrics",
        "statistics",
        "aggregate_posterior",
        "image_quality",
        "principal_components",
        "sample_quality",
        "label_draws",
        "probes",
        "supervision",
    },
    {
        "model",
        "timing",
        "splits",
        "projections",
        "ranking",
        "bibliography",
        "places",
        "checkpoints",
        "task_scores",
        "tasks",
        "detection",
        "settings",
    },
    {"specification", "stack", "costs", "trade_offs", "classifier", "m2"},
    {"images", "keys", "presentation", "selection", "template"},
    {"lanes", "pictures", "tables", "wording", "stages"},
    {"evaluation", "training", "memory", "weights", "mlflow_pages"},
    {"subject", "plotting", "mlflow_entries", "findings", "task_findings", "caveats", "speed", "saved_run"},
    {
        "denoising",
        "panels",
        "picture_panels",
        "plan",
        "show",
        "loading",
        "tracking",
        "anomaly",
        "generation",
        "features",
    },
    {
        "representation",
        "jobs",
        "curves",
        "latent_figures",
        "task_figures",
        "latent_pictures",
        "denoising_figures",
        "workflow",
        "anomaly_figures",
        "generation_figures",
        "few_labels",
        "label_figures",
    },
    {"figures", "page_tables", "methods"},
    {"report"},
    {"cli"},
    {"__main__"},
]
WITH_TORCH = {
    "layers",
    "levels",
    "aggregate_posterior",
    "streams",
    "model",
    "optimiser",
    "device",
    "stack",
    "images",
    "lanes",
    "memory",
    "weights",
    "checkpoints",
    "pictures",
    "evaluation",
    "training",
    "speed",
    "jobs",
    "subject",
    "representation",
    "denoising",
    "anomaly",
    "generation",
    "classifier",
    "few_labels",
    "features",
    "m2",
}
WITHOUT_TORCH = sorted(set.union(*FLOORS) - WITH_TORCH - {"__main__"})
HEAVY = ("torch", "mlflow", "snakemake", "matplotlib", "seaborn", "sklearn", "tqdm")


def floor_of(module: str) -> int:
    return next(index for index, floor in enumerate(FLOORS) if module in floor)


def modules() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def test_every_module_has_its_floor():
    assert set(modules()) == set.union(*FLOORS)


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module):
    upwards = {name for name in direct_imports(PACKAGE / f"{module}.py") if floor_of(name) >= floor_of(module)}
    # Steps are imported by the command line as they run; both ways between floors would be a circle.
    assert not upwards, f"{module} imports {upwards}, which is not below it"


def loaded_by(modules: list[str], libraries: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the libraries a fresh Python has loaded after importing these modules."""
    code = f"import sys, {', '.join(modules)}; print(*(name for name in {libraries} if name in sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_floors_marked_no_torch_load_none_of_the_heavy_libraries():
    assert loaded_by([f"vaebench.{module}" for module in WITHOUT_TORCH]) == set()


def test_that_check_can_fail():
    assert "torch" in loaded_by(["vaebench.model"])


def test_the_core_needs_neither_mlflow_nor_snakemake():
    # torch brings tqdm.
    assert loaded_by([f"vaebench.{module}" for module in sorted(WITH_TORCH)]) <= {"torch", "sklearn", "tqdm"}


def test_the_model_needs_no_pydantic():
    assert loaded_by(["vaebench.stack", "vaebench.schedules"], ("pydantic", "pandas")) == set()


def test_what_must_be_at_the_top_is_there():
    top = Path(__file__).parents[1]
    for name in ("README.md", "environment.yml", "Snakefile", "vaebench", "experiments", "results", "tests"):
        assert (top / name).exists(), name
