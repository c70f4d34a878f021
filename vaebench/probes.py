"""What features tell of classes: a linear probe, nearest neighbours, clusters; each a function of what it is given."""

from __future__ import annotations

import numpy as np

# Of the loss: from strong to weak regularisation.
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
# Of the training images, to choose among them.
HELD_OUT = 5
NEIGHBOURS = 5
# Starts of k-means, of which the best by its own objective counts.
STARTS = 10


def linear_probe(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, strength: float, tolerance: float = 1e-4
) -> np.ndarray:
    """Classes [M] of test features [M, F] by a logistic regression fitted to training features [N, F] and labels [N].

    strength: the weight of the summed loss against half the squared length of the coefficients. It means the same for any
    number of features if images are as long in all, as those of `vaebench.features` are. tolerance: of the gradient.
    """
    from sklearn.linear_model import LogisticRegression

    # In float64: float32 can end the search for the optimum early.
    classifier = LogisticRegression(C=strength, tol=tolerance, max_iter=5000)
    return classifier.fit(train.astype(float), labels).predict(test)


def tuned_probe(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The same with the strength that does best on every fifth training image when fitted to the others."""
    held_out = np.arange(len(labels)) % HELD_OUT == 0

    def accuracy(strength: float) -> float:
        named = linear_probe(train[~held_out], labels[~held_out], train[held_out], strength)
        return float((named == labels[held_out]).mean())

    return linear_probe(train, labels, test, max(STRENGTHS, key=accuracy))


def nearest_neighbours(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Classes [M] of test features [M, F] by the five nearest of the training features [N, F] with labels [N].

    They vote with the inverses of their distances, so that where each has another class the nearest wins.
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(train)), weights="distance", algorithm="brute")
    return neighbours.fit(train, labels).predict(test)


def clusters(x: np.ndarray, n: int) -> np.ndarray:
    """Of features x [N, F] by k-means: the number of each one's cluster, 0 … n - 1."""
    from sklearn.cluster import KMeans

    return KMeans(n, n_init=STARTS, random_state=0).fit_predict(x)
