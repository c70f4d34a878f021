"""Posterior means in the plane: their principal components, and t-SNE (van der Maaten & Hinton 2008)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaebench.files import read_arrays
from vaebench.store import ExperimentFolder

# t-SNE weighs about so many neighbours of a point, and moves points so many times; what is seen from it as small as this
# angle counts as one point. More steps and a smaller angle show the same groups.
PERPLEXITY = 30
ITERATIONS = 350
ANGLE = 0.8


@dataclass(frozen=True)
class Projection:
    """The posterior means of M images, [M, Z], each way in two dimensions.

    components: [M, 2], their two principal components, or for Z = 2 they themselves; 0 is the prior's mean, and the prior
    is a standard Gaussian in this plane too. share: of the variance that is in this plane; None where all of it is.
    neighbours: [M, 2], by t-SNE; only who is near to whom has a meaning. labels: [M], or None where the data have none.
    """

    components: np.ndarray
    share: float | None
    neighbours: np.ndarray
    labels: np.ndarray | None


class Projections(dict[str, Projection]):
    """By run_id, each made when it is first asked for. Raises UserError where a run's latent means cannot be read."""

    def __init__(self, folder: ExperimentFolder):
        super().__init__()
        self._folder = folder

    def __missing__(self, run_id: str) -> Projection:
        run = self._folder.run(run_id)
        latent = read_arrays(run.latent, run.evaluation)
        self[run_id] = project(latent["mean"], latent.get("labels"))
        return self[run_id]


def project(mean: np.ndarray, labels: np.ndarray | None = None) -> Projection:
    """mean: [M, Z]. The same means give the same bits."""
    from threadpoolctl import threadpool_limits

    mean = np.pad(mean.astype(float), ((0, 0), (0, max(0, 2 - mean.shape[1]))))
    if (mean == mean[0]).all():
        # Nothing tells the images apart.
        return Projection(mean[:, :2], None, np.zeros((len(mean), 2)), labels)
    # Sums over several threads depend on their number.
    with threadpool_limits(1):
        return Projection(*_principal_components(mean), _neighbours(mean), labels)


def _principal_components(mean: np.ndarray) -> tuple[np.ndarray, float | None]:
    from sklearn.decomposition import PCA

    if mean.shape[1] == 2:
        return mean, None
    found = PCA(2, svd_solver="full").fit(mean)
    return mean @ found.components_.T, float(found.explained_variance_ratio_.sum())


def _neighbours(mean: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(mean) - 1) / 3)
    settings = {"perplexity": perplexity, "max_iter": ITERATIONS, "angle": ANGLE}
    return TSNE(**settings, init="pca", random_state=0, n_jobs=1).fit_transform(mean)
