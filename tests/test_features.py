"""What is given to classifiers in place of images."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from vaebench.features import by_method, chance, scaled
from vaebench.principal_components import principal_components
from vaebench.subject import once_a_job

IMAGES = np.random.RandomState(0).uniform(size=(50, 6)).astype(np.float32)


@dataclass
class Made:
    """In place of a subject: two dimensions of the images are its code."""

    dataset: str = "a"
    seed: int = 0
    latent_size: int = 2
    split: str = "test"
    encoded: list = field(default_factory=list)

    def __post_init__(self):
        self.run = SimpleNamespace(**vars(self), binarisation="none", left_out=None)
        self.evaluation, self.results = SimpleNamespace(split=self.split), "results"
        self.scored = self.pixels(self.split)

    def pixels(self, split):
        return IMAGES[:40] if split == "train" else IMAGES[40:]

    def labels(self, split):
        return np.arange(len(self.pixels(split))) % 5

    def means(self, x):
        return (self.seed + 1) * x[:, :2]

    def principal_components(self, n):
        return principal_components(self.pixels("train"), n)


def test_features_have_a_mean_of_0_and_a_squared_length_of_1():
    train, test = scaled(10 + 7 * IMAGES[:40], 10 + 7 * IMAGES[40:])
    assert train.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-6)
    assert (train**2).sum(axis=1).mean() == pytest.approx(1)
    np.testing.assert_allclose(
        test - train[:10], (IMAGES[40:] - IMAGES[:10]) / (IMAGES[40] - IMAGES[0])[0] * (test - train[:10])[0, 0], rtol=1e-4
    )


def test_features_that_are_all_alike_stay_finite():
    train, test = scaled(np.full((4, 2), 3.0), np.full((2, 2), 3.0))
    assert not train.any()
    assert not test.any()


def test_a_collapsed_dimension_stays_small():
    code = IMAGES[:, :2] * [1, 1e-4]
    train, _ = scaled(code, code)
    assert train[:, 1].std() < 1e-3 * train[:, 0].std()


def test_each_method_has_its_features():
    found = by_method(Made(), lambda features: features)
    assert {name: features.train.shape for name, features in found.items()} == {
        "model": (40, 2),
        "PCA": (40, 2),
        "pixels": (40, 6),
    }
    expected = IMAGES[:40, :2] - IMAGES[:40, :2].mean(axis=0)
    np.testing.assert_allclose(found["model"].train, expected / np.sqrt((expected**2).sum(1).mean()), atol=1e-6)
    for features in found.values():
        assert features.labels.tolist() == [0, 1, 2, 3, 4] * 8
        assert features.test_labels.tolist() == [0, 1, 2, 3, 4] * 2
        assert len(features.test) == 10


def test_baselines_are_computed_once_for_all_runs_with_the_same_images():
    computed = []

    def compute(features):
        computed.append(features.train.shape[1])
        return float(features.train[0, 0])

    first, second = by_method(Made(), compute), by_method(Made(seed=1), compute)
    assert computed == [2, 2, 6, 2]
    assert {name: first[name] for name in ("PCA", "pixels")} == {name: second[name] for name in ("PCA", "pixels")}
    by_method(Made(latent_size=3), compute)
    assert computed[4:] == [2, 3], "other components, the same pixels"
    by_method(Made(dataset="b"), compute)
    by_method(Made(split="validation"), compute)
    assert computed[6:] == [2, 2, 6, 2, 2, 6]


def test_what_is_kept_depends_on_the_arguments():
    calls = []
    compute = once_a_job(lambda subject, n: calls.append(n) or len(calls))
    assert [compute(Made(), 1), compute(Made(seed=3), 1), compute(Made(), 2)] == [1, 1, 2]


def test_chance_is_the_share_of_the_most_frequent_class():
    value, standard_error = chance(np.array([3, 1, 3, 0]))
    assert value == 0.5
    assert standard_error == pytest.approx(np.sqrt(1 / 3) / 2)
