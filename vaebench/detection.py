"""How well a score, higher for what looks more anomalous, tells anomalous images from normal ones; names of scores."""

from __future__ import annotations

import math

import numpy as np

from vaebench.metrics import Estimate

# What findings of the task "anomaly" are called.
UNSEEN_CLASS = "class left out"
AUROC, PRECISION = "AUROC", "average precision"


def unseen_data(kind: str) -> str:
    """The condition where the images of another data set are the anomalous ones."""
    return f"images of {kind}"


def by_score(name: str, score: str) -> str:
    """An area by −ELBO, or by another score of the model's, such as "AUROC by rate"."""
    return f"{name} by {score}" if score else name


def auroc(normal: np.ndarray, anomalous: np.ndarray) -> Estimate:
    """P(an anomalous image's score is above a normal one's), ties counted half: scores [N] and [M] -> in [0, 1].

    The area under the ROC curve; 0.5 is chance, below it the anomalous images look the more normal. Its standard error is
    that of DeLong et al. (1988), over images of both kinds, where there are two of each. NaN where a score is not finite.
    """
    from scipy.stats import rankdata

    if not _is_finite(normal, anomalous):
        return Estimate(math.nan)
    n, m = len(normal), len(anomalous)
    ranks = rankdata(np.concatenate([normal, anomalous]))
    # Of each image the share of the other kind that it is rightly ordered with.
    of_normal = 1 - (ranks[:n] - rankdata(normal)) / m
    of_anomalous = (ranks[n:] - rankdata(anomalous)) / n
    if min(n, m) < 2:
        return Estimate(float(of_anomalous.mean()))
    variance = of_normal.var(ddof=1) / n + of_anomalous.var(ddof=1) / m
    return Estimate(float(of_anomalous.mean()), math.sqrt(variance))


def average_precision(normal: np.ndarray, anomalous: np.ndarray) -> Estimate:
    """Mean over the anomalous images of the share of anomalous ones among all that score as high: [N], [M] -> in [0, 1].

    The area under the precision–recall curve; chance is the share of anomalous images. Its standard error is the binomial
    one of Boyd et al. (2013). NaN where a score is not finite.
    """
    from sklearn.metrics import average_precision_score

    if not _is_finite(normal, anomalous):
        return Estimate(math.nan)
    is_anomalous = np.repeat([0, 1], [len(normal), len(anomalous)])
    # Rounding may take a sum of shares above 1.
    value = min(1.0, float(average_precision_score(is_anomalous, np.concatenate([normal, anomalous]))))
    return Estimate(value, math.sqrt(value * (1 - value) / len(anomalous)))


def _is_finite(*scores: np.ndarray) -> bool:
    return all(np.isfinite(each).all() for each in scores)
