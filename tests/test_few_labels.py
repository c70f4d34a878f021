"""The task "few-labels", on features made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from vaebench.features import Features
from vaebench.few_labels import CLASSIFIERS, DRAWS, METRICS, accuracies
from vaebench.label_draws import label_draw
from vaebench.tasks import LABEL_COUNTS, FewLabels, Representation

N_CLASSES = 4


def features(x, labels):
    half = len(labels) // 2
    return Features(x[:half], labels[:half], x[half:], labels[half:])


def test_separable_features_need_one_label_a_class():
    labels = np.arange(4000) % N_CLASSES
    for accuracy in accuracies(features(np.eye(N_CLASSES)[labels], labels)).values():
        assert accuracy.mean.value == 1
        assert accuracy.spread == 0


def test_shuffled_labels_are_at_chance():
    random = np.random.RandomState(0)
    labels = random.permutation(np.arange(4000) % N_CLASSES)
    found = accuracies(features(random.normal(size=(4000, 5)), labels))
    assert set(found) == {(n, name) for n in LABEL_COUNTS for name in CLASSIFIERS}
    for accuracy in found.values():
        error = np.hypot(accuracy.mean.standard_error, accuracy.spread / np.sqrt(DRAWS))
        assert accuracy.mean.value == pytest.approx(1 / N_CLASSES, abs=3 * error)


def test_mean_and_spread_are_those_over_draws():
    """Features that only some images have: accuracy depends on which are drawn."""
    random = np.random.RandomState(0)
    labels = np.arange(400) % N_CLASSES
    x = np.eye(N_CLASSES)[labels] * 2 + random.normal(size=(400, N_CLASSES))
    given = features(x, labels)
    for (n, name), accuracy in accuracies(given).items():
        right = []
        for draw in range(DRAWS):
            chosen = label_draw(given.labels, n, draw)
            named = CLASSIFIERS[name](given.train[chosen], given.labels[chosen], given.test)
            right.append(named == given.test_labels)
        by_draw, by_image = np.mean(right, axis=1), np.mean(right, axis=0)
        assert accuracy.mean.value == pytest.approx(by_draw.mean())
        assert accuracy.spread == pytest.approx(np.sqrt(((by_draw - by_draw.mean()) ** 2).sum() / (DRAWS - 1)))
        assert accuracy.mean.standard_error == pytest.approx(by_image.std(ddof=1) / np.sqrt(200))
        assert accuracy.spread > 0


def test_more_labels_than_a_class_has_images_are_skipped():
    labels = np.repeat(np.arange(N_CLASSES), 50)
    labels[:30] = 1  # leaves class 0 twenty
    x = np.eye(N_CLASSES)[labels]
    assert {n for n, _ in accuracies(Features(x, labels, x, labels))} == {10}


@pytest.mark.parametrize("task", [FewLabels(), Representation()])
def test_data_need_classes_and_runs_all_of_them(task):
    assert task.fault_of(SimpleNamespace(class_names=None)) == "has no classes"
    assert task.fault_of(SimpleNamespace(class_names=("0", "1"))) is None

    assert [task.applies(SimpleNamespace(left_out=name)) for name in (None, "2")] == [True, False]


def test_the_metrics_are_those_of_the_task():
    assert set(METRICS) == {metric.name for metric in FewLabels.metrics}
    assert FewLabels.headline in METRICS
