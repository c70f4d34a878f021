"""Figures, drawn from made-up tables that went through the store's real paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vaebench import tables
from vaebench.figures import Source
from vaebench.metrics import METRICS
from vaebench.specification import Experiment, load
from vaebench.store import Results, replacing, write_json
from vaebench.training import HISTORY_COLUMNS


def make_experiment(folder: Path, text: str) -> Experiment:
    path = folder / "made-up.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def make_tables(experiment: Experiment, results: Results, diverged: tuple[str, ...] = ()) -> Source:
    """Tables and pictures as the workflow makes them; of the runs called VARIANT-sSEED in `diverged`, none."""
    folder = results.experiment(experiment.name)
    rng = np.random.default_rng(0)
    for cohort in experiment.cohorts:
        history, metrics, spectrum = [], [], []
        for run in cohort.runs:
            is_diverged = f"{run.variant}-s{run.seed}" in diverged
            n_epochs = 3 if is_diverged else run.epochs
            write_json(folder.run(run.run_id).record, {"diverged_epoch": n_epochs if is_diverged else None})
            kl = np.sort(rng.exponential(0.5, run.latent_size) * rng.integers(0, 2, run.latent_size))[::-1]
            decay = 30 * np.exp(-np.arange(n_epochs) / 3)
            values = [np.arange(n_epochs), np.ones(n_epochs), kl.sum() + decay, 20 + decay, kl.sum() + decay, 21 + decay]
            values += [np.full(n_epochs, float((kl > 0).sum())), np.full(n_epochs, 0.01)]
            history.append(pd.DataFrame(dict(zip(HISTORY_COLUMNS, values, strict=True))).assign(run_id=run.run_id))
            if is_diverged:
                continue
            distortion = rng.normal(22, 1)
            scores = {"elbo": -kl.sum() - distortion, "rate": kl.sum(), "distortion": distortion}
            scores["active_units"] = (kl > 0).sum()
            metrics += [(run.run_id, name, float(scores.get(name, rng.normal())), 0.1) for name in METRICS]
            spectrum += [(run.run_id, rank, value) for rank, value in enumerate(kl, start=1)]
            pictures = rng.normal(0.5, 0.3, (2, 10, run.dataset.n_pixels)).astype(np.float32)
            originals = np.random.default_rng(1).random((10, run.dataset.n_pixels), np.float32)
            with replacing(folder.run(run.run_id).pictures) as temporary:
                np.savez(temporary, originals=originals, reconstructions=pictures[0], samples=pictures[1])
        files = folder.cohort(cohort.name)
        files.path.mkdir(parents=True)
        pd.concat(history).to_parquet(files.history)
        columns = ["run_id", "metric", "value", "standard_error"]
        pd.DataFrame(metrics, columns=columns).astype({"value": float, "standard_error": float}).to_parquet(files.metrics)
        pd.DataFrame(spectrum, columns=["run_id", "rank", "kl"]).astype({"kl": float}).to_parquet(files.spectrum)
    tables.aggregate(experiment, results)
    return Source(experiment, folder, tables.load(folder))
