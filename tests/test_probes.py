"""What features tell of classes, on features made by hand and against minimisation and search without scikit-learn."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from vaebench import probes
from vaebench.probes import clusters, linear_probe, nearest_neighbours, tuned_probe

CLASSIFIERS = {
    "linear": lambda *given: linear_probe(*given, strength=10.0),
    "tuned": tuned_probe,
    "neighbours": nearest_neighbours,
}


def blobs(n=300, n_classes=3, distance=6.0, seed=0):
    """Features [n, 2] in unit Gaussian clouds on a circle, and labels [n]."""
    random = np.random.RandomState(seed)
    labels = np.arange(n) % n_classes
    angle = 2 * np.pi * labels / n_classes
    return distance * np.stack([np.cos(angle), np.sin(angle)], 1) + random.normal(size=(n, 2)), labels


@pytest.mark.parametrize("classify", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classes_that_lie_apart_are_told_apart(classify):
    x, labels = blobs(distance=20)
    np.testing.assert_array_equal(classify(x[:150], labels[:150], x[150:]), labels[150:])


@pytest.mark.parametrize("classify", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_with_shuffled_labels_accuracy_is_at_chance(classify):
    x, labels = blobs(3000)
    shuffled = np.random.RandomState(1).permutation(labels)
    accuracy = (classify(x[:1000], shuffled[:1000], x[1000:]) == shuffled[1000:]).mean()
    assert accuracy == pytest.approx(1 / 3, abs=3.3 * np.sqrt(2 / 9 / 2000))


@pytest.mark.parametrize("strength", [0.01, 10.0])
def test_the_linear_probe_minimises_its_objective(strength):
    x, labels = blobs(40, distance=0.7)
    labels = np.where(labels == 2, 7, labels)  # classes need not be 0 … C - 1
    y = np.searchsorted([0, 1, 7], labels)

    def objective(parameters):
        coefficients, intercepts = parameters[:6].reshape(2, 3), parameters[6:]
        logits = x @ coefficients + intercepts
        loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(40), y]
        return (coefficients**2).sum() / 2 + strength * loss.sum()

    fitted = minimize(objective, np.zeros(9), tol=1e-8).x
    test = np.random.RandomState(2).normal(0, 3, (500, 2))
    expected = np.array([0, 1, 7])[(test @ fitted[:6].reshape(2, 3) + fitted[6:]).argmax(1)]
    assert (linear_probe(x, labels, test, strength) == expected).mean() > 0.99


def test_the_strength_is_chosen_on_images_held_out(monkeypatch):
    """One direction tells the classes in all images, and in those that are not held out a louder one does, of itself."""
    labels = np.arange(400) % 2
    x = np.random.RandomState(0).normal(size=(400, 60))
    x[:, 0] += 2 * labels
    asked = []

    def watched(train, of_train, test, strength):
        asked.append((len(train), len(test), strength))
        return linear_probe(train, of_train, test, strength)

    monkeypatch.setattr(probes, "linear_probe", watched)
    named = tuned_probe(x[:200], labels[:200], x[200:])
    assert asked[:-1] == [(160, 40, strength) for strength in probes.STRENGTHS]
    held_out = np.arange(200) % 5 == 0
    accuracies = [
        (linear_probe(x[:200][~held_out], labels[:200][~held_out], x[:200][held_out], s) == labels[:200][held_out]).mean()
        for s in probes.STRENGTHS
    ]
    assert len(set(accuracies)) > 1
    best = probes.STRENGTHS[int(np.argmax(accuracies))]
    assert asked[-1] == (200, 200, best)
    np.testing.assert_array_equal(named, linear_probe(x[:200], labels[:200], x[200:], best))


def test_neighbours_vote_with_the_inverse_of_their_distance():
    train, test = np.random.RandomState(0).normal(size=(2, 200, 3))
    labels = np.random.RandomState(1).randint(4, size=200)
    distances = cdist(test, train)
    expected = []
    for of_image in distances:
        near = np.argsort(of_image)[:5]
        votes = np.bincount(labels[near], 1 / of_image[near], minlength=4)
        expected.append(votes.argmax())
    np.testing.assert_array_equal(nearest_neighbours(train, labels, test), expected)


def test_of_one_image_a_class_the_nearest_wins():
    train, test = np.random.RandomState(0).normal(size=(2, 10, 3))
    np.testing.assert_array_equal(nearest_neighbours(train, np.arange(10), test), cdist(test, train).argmin(1))
    assert nearest_neighbours(train[:2], np.array([4, 9]), train[:2]).tolist() == [4, 9], "fewer than five images"


def test_clusters_are_those_that_lie_apart_and_the_same_at_each_call():
    x, labels = blobs(distance=20)
    found = clusters(x, 3)
    assert len(set(zip(labels, found, strict=True))) == len(set(found)) == 3
    noise = np.random.RandomState(0).normal(size=(200, 5))
    np.testing.assert_array_equal(clusters(noise, 8), clusters(noise, 8))
