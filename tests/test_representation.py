"""The task "representation", on features made by hand."""

import numpy as np
import pytest

from vaebench import representation
from vaebench.features import Features
from vaebench.representation import agreement, at_chance, estimates


def values(found):
    return {name: estimate.value for name, estimate in found.items()}


def test_clusters_that_are_the_classes_agree_whatever_their_numbers():
    labels = np.arange(30) % 3
    assert values(agreement(labels, np.array([2, 0, 1])[labels])) == pytest.approx({"cluster_nmi": 1, "cluster_ari": 1})


def test_agreement_by_hand():
    # One of two classes in two halves: entropies ln 2 and 1.5 ln 2, of which they share ln 2. Of six pairs one is together
    # in both, two are in the classes and one in the clusters: (1 - 2/6) / (3/2 - 2/6).
    found = values(agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])))
    assert found == pytest.approx({"cluster_nmi": 0.8, "cluster_ari": 4 / 7})


def test_clusters_at_random_do_not_agree():
    labels = np.arange(2000) % 10
    found = values(at_chance(labels))
    assert found["linear_probe"] == found["nearest_neighbours"] == 0.1
    assert abs(found["cluster_ari"]) < 0.005
    # Mutual information of independent labels is (R - 1)(C - 1) / 2N nats at the first order (Miller 1955).
    assert found["cluster_nmi"] == pytest.approx(81 / 4000 / np.log(10), rel=0.4)


def test_separable_features_are_perfect_and_noise_is_at_chance():
    labels = np.arange(300) % 3
    apart, noise = np.eye(3)[labels], np.random.RandomState(0).normal(size=(300, 3))
    perfect = estimates(Features(apart, labels, apart, labels))
    assert values(perfect) == pytest.approx(dict.fromkeys(perfect, 1.0))
    nothing = estimates(Features(noise, labels, noise[::-1], labels))
    for name in ("linear_probe", "nearest_neighbours"):
        assert nothing[name].value == pytest.approx(1 / 3, abs=4 * nothing[name].standard_error)
    assert abs(nothing["cluster_ari"].value) < 0.02


def test_classifiers_are_fitted_to_images_at_equal_distances(monkeypatch):
    monkeypatch.setattr(representation, "MOST_IMAGES", 60)
    labels = np.arange(296) % 3
    right = np.where(np.arange(296) % 5 == 0, labels, (labels + 1) % 3)  # only of those that are to be used
    found = estimates(Features(np.eye(3)[labels], right, np.eye(3)[labels], labels))
    assert found["linear_probe"].value == found["nearest_neighbours"].value == 1
