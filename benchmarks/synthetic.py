"""Results of an experiment that nobody trained: python -m benchmarks.synthetic FILE writes them below results/.

The jobs themselves write every file, with the keys of this code; in place of training and scoring, numbers are drawn at
random for every metric that applies. What is left out: weights are a single number, and jobs leave no logs and benchmarks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch

from vaebench import jobs, specification, splits
from vaebench.checkpoints import Checkpoint
from vaebench.divergence import Divergence
from vaebench.evaluation import Evaluated
from vaebench.images import Images
from vaebench.pictures import GRID, N_PICTURES, Pictures, latent_means
from vaebench.progress import Report
from vaebench.scores import CORRELATION_SAMPLES, Scores
from vaebench.settings import Run
from vaebench.specification import Experiment
from vaebench.store import Results
from vaebench.training import HISTORY_COLUMNS, TrainedRun

DIVERGING = 0.002  # share of all runs


def write_results(experiment: Experiment, results: Results) -> None:
    """All files that training and scoring would leave, by the jobs themselves, in the order in which they would run."""
    splits.prepare(experiment.dataset, results)
    with mock.patch.multiple(jobs, train=trained, evaluate=evaluated):
        for cohort in experiment.cohorts:
            jobs.train_cohort(experiment, cohort, results)
            jobs.evaluate_cohort(experiment, cohort, results)


def trained(runs: Sequence[Run], images: Images, checkpoint: Checkpoint, device: str, report: Report) -> list[TrainedRun]:
    """In place of `vaebench.training.train`."""
    return [_trained(run) for run in runs]


def _trained(run: Run) -> TrainedRun:
    random = _random(run)
    epochs = np.arange(run.epochs)
    columns = {name: random.normal(20, 1, run.epochs) for name in HISTORY_COLUMNS}
    columns |= {"epoch": epochs, "kl_weight": [run.kl(progress) for progress in (epochs + 1) / run.epochs]}
    columns |= {"active_units": random.integers(run.latent_size + 1, size=run.epochs)}
    history = pd.DataFrame(columns)
    if random.random() < DIVERGING:
        diverged = Divergence(run.epochs // 2, "NaN: distortion in training")
        return TrainedRun(run, None, history.head(diverged.epoch), diverged)
    return TrainedRun(run, {"weight": torch.zeros(1)}, history, None)


def evaluated(
    runs: Sequence[Run], states: Sequence[dict], images: Images, n_samples: int, split: str, device: str, report: Report
) -> list[Evaluated]:
    """In place of `vaebench.evaluation.evaluate`."""
    scores = [_scores(run, run.dataset.sizes[split]) for run in runs]
    latent = [latent_means(of_run, images.labels.get(split)) for of_run in scores]
    shown = (255 * images.as_pixels(images[split][: 2 * N_PICTURES])).round().to(torch.uint8).numpy()
    pictures = [_pictures(run, shown) for run in runs]
    return list(map(Evaluated, runs, scores, pictures, latent))


def _pictures(run: Run, shown: np.ndarray) -> Pictures:
    """Of real images [2 N_PICTURES, D], and noise for all that a decoder makes."""
    random = _random(run)

    def noise(*shape: int) -> np.ndarray:
        return random.integers(256, size=(*shape, run.dataset.n_pixels), dtype=np.uint8)

    return Pictures(
        originals=shown[:N_PICTURES],
        reconstructions=noise(N_PICTURES),
        others=shown[N_PICTURES:],
        samples=noise(N_PICTURES),
        traversals=noise(2, N_PICTURES),
        traversed=np.array([0, run.latent_size - 1]),
        traversed_kl=np.array([4.0, 1e-3]),
        interpolation=noise(N_PICTURES),
        grid=noise(GRID, GRID) if run.latent_size == 2 else None,
    )


def _scores(run: Run, n: int) -> Scores:
    """Of n images: from 4 nats in the first latent dimension down to a thousandth in the last."""
    random = _random(run)
    kl = np.geomspace(4, 1e-3, run.latent_size) * random.gamma(4, 0.25, (n, run.latent_size))
    distortion = random.normal(20, 1, n)
    return Scores(
        rate=kl.sum(axis=1),
        distortion=distortion,
        nll=distortion + kl.sum(axis=1) - 0.5,
        effective_samples=random.uniform(5, 100, n),
        kl=kl,
        mean=random.normal(size=kl.shape) * kl.mean(axis=0) / 4,
        variance=np.exp(-kl),
        log_ratio=0.5 * kl.sum(axis=1),
        correlation=random.normal(0.5, 0.1, min(n, CORRELATION_SAMPLES)),
        permuted_distortion=random.normal(5, 1, n),
        squared_error=random.uniform(0.01, 0.05, n),
        psnr=random.normal(20, 1, n),
        n_pixels=run.dataset.n_pixels,
        kl_weight=run.kl(1.0),
        ssim=random.uniform(0.8, 1, n),
        common_level_distortion=random.normal(120, 5, n),
        common_sigma=random.uniform(0.1, 0.2),
        level_distortion=random.normal(120, 5, n) if run.is_normalised else None,
        decoder_variance=run.likelihood.sigma**2 if run.likelihood.kind == "gaussian" else None,
    )


def _random(run: Run) -> np.random.Generator:
    """Other numbers for each run, the same ones at each call."""
    return np.random.default_rng(list(run.run_id.encode()))


if __name__ == "__main__":
    write_results(specification.load(Path(sys.argv[1])), Results())
