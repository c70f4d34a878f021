"""What a reader has to know before the numbers are trusted, in sentences; none where there is nothing to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vaebench.metrics import METRICS
from vaebench.statistics import FEWEST_SEEDS
from vaebench.wording import counted, listed

# Mutual information this near to its ceiling, in nats, is said to be at it; fewer effective samples are said to be few.
NEAR_CEILING = 0.5
FEW_SAMPLES = 10


def unnormalised(runs: pd.DataFrame) -> list[str]:
    """Runs whose likelihood is no probability of their data."""
    trained = runs[(runs.measure == "not a density") & (runs.status == "trained")]
    return [
        f"The {likelihood} likelihood on grey pixels is not a density: {_in_its_unit(group)} of "
        f"{listed(group.variant.unique())} are values of a loss, to be compared among themselves only. On binarised data "
        "they would be log-probabilities."
        for likelihood, group in trained.groupby("likelihood", sort=False)
    ]


def _in_its_unit(runs: pd.DataFrame) -> str:
    """The metrics in the likelihood's unit that any of the runs has."""
    metrics = (metric for metric in METRICS.values() if metric.per_likelihood)
    return listed(metric.label for metric in metrics if runs[metric.name].notna().any())


def at_ceiling(runs: pd.DataFrame, n_images: int) -> list[str]:
    """Runs whose mutual information is near the most that so many images can show."""
    ceiling = math.log(n_images)
    near = runs[runs.mutual_information > ceiling - NEAR_CEILING]
    if near.empty:
        return []
    return [
        f"In {_share(near, runs)} the mutual information lies within {NEAR_CEILING:g} nats of its ceiling, ln N = "
        f"{ceiling:.2f} for N = {n_images:,} images: read it as “at least”, and marginal KL as “at most”."
    ]


def at_bound(runs: pd.DataFrame) -> list[str]:
    """Variants some of whose learned spreads have come down to where they may go no further."""
    shares = runs.groupby("variant", sort=False).share_at_bound.mean()
    if not (shares > 0).any():
        return []
    each = listed(f"{100 * share:.2g} % of {variant}" for variant, share in shares[shares > 0].items())
    return [
        f"Of the learned σ or scales, {each} lie at their lower bound, as means over runs: likelihoods there depend on the "
        "bound."
    ]


def few_samples(runs: pd.DataFrame, n_samples: int) -> list[str]:
    """Runs whose importance weights rest on a few samples."""
    few = runs[runs.effective_samples < FEW_SAMPLES]
    if few.empty:
        return []
    return [
        f"In {_share(few, runs)} fewer than {FEW_SAMPLES} of the K = {n_samples} samples an image are effective, "
        f"{few.effective_samples.min():.1f} at the fewest: NLL may lie far above −log p(x) there."
    ]


def _share(some: pd.DataFrame, runs: pd.DataFrame) -> str:
    """ "3 of 9 runs (of bce and mse)"."""
    n_trained = int((runs.status == "trained").sum())
    if len(some) == n_trained:
        return f"all {n_trained} runs" if n_trained > 1 else "the only run"
    return f"{len(some)} of {counted(n_trained, 'run')} (of {listed(some.variant.unique())})"


def without_interval(summary: pd.DataFrame) -> list[str]:
    """Groups of too few seeds."""
    n_few = int((summary.n < FEWEST_SEEDS).sum())
    why = f"fewer than {FEWEST_SEEDS} seeds were trained to the end, so no difference is supported there"
    return [f"There is no interval in {n_few} of {counted(len(summary), 'row')} of the summary: {why}."] if n_few else []


def diverged(runs: pd.DataFrame) -> list[str]:
    """Runs without scores, when they were lost, and what was not finite of them."""
    lost = runs[runs.status == "diverged"]
    names = ", ".join(f"{row.run_id} ({_when_and_why(row)})" for row in lost.itertuples())
    return [f"Diverged, without scores: {len(lost)} of {counted(len(runs), 'run')}: {names}."] if names else []


def _when_and_why(run: Any) -> str:
    """ "after 17 epochs; NaN: distortion in training", or "in scoring; infinite: NLL"."""
    when = "in scoring" if pd.isna(run.diverged_epoch) else f"after {counted(int(run.diverged_epoch), 'epoch')}"
    return when if pd.isna(run.diverged_because) else f"{when}; {run.diverged_because}"


def uncommitted(environments: Sequence[Mapping[str, str | None]]) -> list[str]:
    n_dirty = sum((environment.get("git commit") or "").endswith("-dirty") for environment in environments)
    why = "a checkout with uncommitted changes, so the commit alone does not make them again"
    return [f"{n_dirty} of {counted(len(environments), 'run')} came from {why}."] if n_dirty else []
