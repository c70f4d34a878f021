"""Principal components: what a linear code of the same size can do, which a VAE's has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """mean: [D]. components: [n, D], orthonormal rows."""

    mean: np.ndarray
    components: np.ndarray

    def codes(self, x: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, n]."""
        return (x - self.mean) @ self.components.T

    def reconstructions(self, x: np.ndarray) -> np.ndarray:
        """The points of their plane that are nearest to x: [N, D] -> [N, D]."""
        return self.mean + self.codes(x) @ self.components


def principal_components(x: np.ndarray, n: int) -> PrincipalComponents:
    """Of images x [N, D], at most n: there are no more than pixels or images."""
    from sklearn.decomposition import PCA

    fitted = PCA(min(n, *x.shape), svd_solver="covariance_eigh").fit(x)
    return PrincipalComponents(fitted.mean_.astype(x.dtype), fitted.components_.astype(x.dtype))
