"""The task "anomaly": what it takes for anomalous, and its scores against evaluation's, scikit-learn's and by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.decomposition import PCA

from vaebench import anomaly, splits
from vaebench.datasets import Digits, FashionMnist, Mnist, Npz
from vaebench.errors import UserError
from vaebench.evaluation import evaluate
from vaebench.lanes import build_model
from vaebench.likelihoods import Bernoulli, Gaussian, GaussianLearned
from vaebench.networks import Mlp
from vaebench.settings import Run
from vaebench.specification import Evaluation
from vaebench.store import Results
from vaebench.subject import Subject
from vaebench.tasks import Anomaly

TEST = Digits().load(None)["test"]
FIELDS = {"variant": "a", "seed": 0, "dataset": Digits(), "latent_size": 3, "network": Mlp(hidden=(16,))}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    results = Results(tmp_path_factory.mktemp("results"))
    splits.prepare(Digits(), results)
    return results


def subject_of(results, n_samples=5, **changes) -> Subject:
    """A run whose model has not been trained."""
    run = Run(**FIELDS | changes)
    return Subject(run, build_model(run).requires_grad_(False).eval(), Evaluation(n_samples=n_samples), results)


@pytest.mark.parametrize("likelihood", [Bernoulli(), GaussianLearned()])
@pytest.mark.parametrize("left_out", [None, "3"])
def test_each_image_has_the_numbers_of_the_evaluation(results, likelihood, left_out):
    subject = subject_of(results, likelihood=likelihood, left_out=left_out)
    [evaluated] = evaluate([subject.run], [subject.model.state_dict()], subject.images, n_samples=5)
    found = anomaly.image_scores(subject, subject.scored)
    for name in ("rate", "distortion", "nll"):
        np.testing.assert_allclose(getattr(found, name), getattr(evaluated.scores, name), rtol=1e-5, atol=1e-5)
    assert -found.negative_elbo.mean() == pytest.approx(-(evaluated.scores.rate + evaluated.scores.distortion).mean())


def test_more_samples_than_the_most_are_not_drawn(results):
    most, more = (anomaly.image_scores(subject_of(results, n_samples=n), subject_of(results).scored[:70]) for n in (20, 50))
    np.testing.assert_array_equal(most.nll, more.nll)
    fewer = anomaly.image_scores(subject_of(results, n_samples=19), subject_of(results).scored[:70])
    assert (fewer.nll != more.nll).any()


def test_the_class_left_out_is_anomalous_and_all_others_are_normal(results):
    subject = subject_of(results, left_out="3")
    condition, pixels = anomaly.anomalies(subject, Anomaly())
    assert condition == "class left out"
    np.testing.assert_allclose(pixels, TEST.images[TEST.labels == 3] / 16, rtol=1e-6)
    np.testing.assert_allclose(subject.scored, TEST.images[TEST.labels != 3] / 16, rtol=1e-6)


def by_name(found, score, method):
    [value] = [finding.value for finding in found.findings if (finding.score, finding.method) == (score, method)]
    return value


def test_what_is_found_of_a_class_left_out(results):
    subject = subject_of(results, left_out="3")
    found = anomaly.score(subject, Anomaly())
    assert found.metrics.keys() == {"anomaly_auroc", "anomaly_precision"}
    normal, anomalous = found.pictures["normal"], found.pictures["anomalous"]
    n, m = (TEST.labels != 3).sum(), (TEST.labels == 3).sum()
    assert (len(normal), len(anomalous)) == (n, m)
    in_order = (anomalous[:, None] > normal[None, :]).mean()
    assert found.metrics["anomaly_auroc"].value == pytest.approx(in_order, abs=1e-4)
    assert by_name(found, "AUROC", "model") == found.metrics["anomaly_auroc"].value
    assert by_name(found, "average precision", "model") == found.metrics["anomaly_precision"].value
    assert by_name(found, "AUROC", "chance") == 0.5
    assert by_name(found, "average precision", "chance") == pytest.approx(m / (n + m))
    assert by_name(found, "ELBO of normal images [nats]", "model") == pytest.approx(-normal.mean(), rel=1e-5)
    assert by_name(found, "ELBO of anomalous images [nats]", "model") == pytest.approx(-anomalous.mean(), rel=1e-5)
    scores = anomaly.image_scores(subject, anomaly.anomalies(subject, Anomaly()).pixels, "anomaly noise")
    of_normal = anomaly.image_scores(subject, subject.scored)
    for name, score in (("distortion", "AUROC by distortion"), ("rate", "AUROC by rate"), ("nll", "AUROC by NLL")):
        in_order = (getattr(scores, name)[:, None] > getattr(of_normal, name)[None, :]).mean()
        assert by_name(found, score, "model") == pytest.approx(in_order, abs=1e-9), score


def test_the_baseline_is_the_error_of_as_many_principal_components_of_the_training_images(results):
    subject = subject_of(results, left_out="3")
    train = Digits().load(None)["train"]
    fitted = PCA(3).fit(train.images[train.labels != 3] / 16)
    x = subject.scored
    expected = ((x - fitted.inverse_transform(fitted.transform(x))) ** 2).sum(1)
    np.testing.assert_allclose(anomaly.squared_error(subject, x), expected, rtol=1e-3)


def test_the_least_and_the_most_anomalous_images_come_with_their_kind(results):
    pictures = anomaly.score(subject_of(results, left_out="3"), Anomaly()).pictures
    everything = np.concatenate([pictures["normal"], pictures["anomalous"]])
    of_class = np.concatenate([TEST.images[TEST.labels != 3], TEST.images[TEST.labels == 3]])
    worst, best = everything.argmax(), everything.argmin()
    np.testing.assert_array_equal(pictures["most_anomalous"][0], np.rint(of_class[worst] / 16 * 255))
    np.testing.assert_array_equal(pictures["least_anomalous"][0], np.rint(of_class[best] / 16 * 255))
    assert pictures["most_is_anomaly"][0] == (worst >= len(pictures["normal"]))
    assert pictures["most_anomalous"].shape == (10, 64)


def test_an_image_that_no_decoder_gives_is_the_most_anomalous(results):
    """What a decoder that has learned nothing gives lies near 0, and further from white images than from any digit."""
    subject = subject_of(results, likelihood=Gaussian())
    bright = np.ones((30, 64), np.float32)
    normal, anomalous = (anomaly.image_scores(subject, x).negative_elbo for x in (subject.scored, bright))
    assert anomaly.auroc(normal, anomalous).value == 1


def test_another_data_set_stands_apart_from_a_class_left_out(results, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    noise = np.random.default_rng(0).integers(256, size=(100, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=noise)
    other = Npz(file="noise.npz")
    splits.prepare(other, results)

    @dataclass(frozen=True)
    class AgainstNoise(Anomaly):
        def other_datasets(self, run):
            return (other,)

    subject = subject_of(results)
    found = anomaly.score(subject, AgainstNoise())
    assert found.metrics.keys() == {"outlier_auroc"}
    assert {finding.condition for finding in found.findings} == {"images of npz"}
    assert len(found.pictures["anomalous"]) == 20
    in_order = (found.pictures["anomalous"][:, None] > found.pictures["normal"][None, :]).mean()
    assert found.metrics["outlier_auroc"].value == pytest.approx(in_order, abs=1e-3)


def test_a_class_without_scored_images_has_no_scores(results, tmp_path, monkeypatch):
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))
    images = np.random.default_rng(0).integers(256, size=(60, 4, 4), dtype=np.uint8)
    parts = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}
    arrays = {f"{name}_images": images[part] for name, part in parts.items()}
    arrays |= {f"{name}_labels": np.arange(60)[part] % (1 if name == "test" else 2) for name, part in parts.items()}
    np.savez(tmp_path / "own.npz", **arrays)
    own = Npz(file="own.npz")
    splits.prepare(own, results)
    found = anomaly.score(subject_of(results, dataset=own, batch_size=16, left_out="1"), Anomaly())
    assert (found.metrics, found.findings, found.pictures) == ({}, [], {})


def test_what_stands_against_what(make_experiment):
    task = {"tasks": ["anomaly"]}
    assert make_experiment(dataset="mnist", **task).datasets == (Mnist(), FashionMnist())
    assert make_experiment(dataset="fashion-mnist", **task).datasets == (FashionMnist(), Mnist())
    assert make_experiment(dataset="mnist", defaults={"left_out": 3}, **task).datasets == (Mnist(),)
    assert make_experiment(dataset="mnist", grid={"left_out": [3, None]}, **task).datasets == (Mnist(), FashionMnist())
    digits = make_experiment(grid={"left_out": [None, 3]}, **task)
    assert digits.datasets == (Digits(),)
    assert [Anomaly().applies(run) for run in digits.first_runs] == [False, True, False, True]


@pytest.mark.parametrize("dataset", ["digits", "binarized-mnist"])
def test_where_nothing_can_be_anomalous_it_is_a_mistake(make_experiment, dataset):
    with pytest.raises(UserError, match="anomaly can be scored of none of the runs: it needs a class that is left out"):
        make_experiment(dataset=dataset, tasks=["anomaly"])
