"""The classifier of a data set: how well it does, that it is trained once, and what is said where it is not there."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from sklearn.datasets import load_digits
from test_disk import FAULTS, call, path_over_quota

from vaebench import classifier, cli, jobs, keys, splits, stages
from vaebench.classifier import load, pixels, train
from vaebench.datasets import Digits, Split
from vaebench.errors import UserError
from vaebench.files import read_json, write_json
from vaebench.specification import load as load_experiment
from vaebench.store import Results


@pytest.fixture
def results(classified, tmp_path) -> Results:
    """A copy of the digits and their classifier."""
    return Results(shutil.copytree(classified.root, tmp_path / "results"))


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    monkeypatch.setattr(classifier, "FEWEST_STEPS", 10)


def quiet(done, total):
    """Nobody looks on."""


def test_it_names_the_digits_rightly_and_its_record_says_how_often(classified):
    files, digits = classified.classifier("digits"), Digits()
    test = splits.load(digits, classified.dataset("digits"))["test"]
    features, probabilities = load(digits, classified).see(test.images.astype(np.float32) / 16)
    accuracy = np.mean([row.argmax() == label for row, label in zip(probabilities, test.labels, strict=True)])
    assert accuracy >= 0.97
    assert read_json(files.record)["test_accuracy"] == pytest.approx(accuracy)
    assert features.shape == (360, 64)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    # The images are scikit-learn's own, so it also names those as they stand there.
    rows = load_digits()
    assert (load(digits, classified).see((rows.data / 16).astype(np.float32))[1].argmax(1) == rows.target).mean() > 0.97


def test_the_last_layer_reads_the_features(classified):
    trained = load(Digits(), classified)
    features, probabilities = trained.see(np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 64))
    logits = features @ trained.head.weight.detach().double().numpy().T + trained.head.bias.detach().double().numpy()
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-4)


def test_its_bits_are_the_same_whatever_was_drawn_before(classified, few_steps):
    images = splits.load(Digits(), classified.dataset("digits"))["train"]
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(train(Digits(), images, quiet).state_dict())
        torch.manual_seed(seed)
        expected = torch.rand(1)
        torch.manual_seed(seed)
        train(Digits(), images, quiet)
        assert torch.rand(1) == expected, "what others draw stays as it is"
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("image_shape", [(4, 4), (5, 11), (28, 28)])
def test_it_learns_classes_of_any_shape_and_number(image_shape, few_steps, monkeypatch):
    monkeypatch.setattr(classifier, "FEWEST_STEPS", 60)
    random = np.random.default_rng(0)
    labels = random.integers(3, size=300).astype(np.uint8)
    images = random.integers(4, size=(300, image_shape[0] * image_shape[1])).astype(np.uint8)
    third = image_shape[0] * image_shape[1] // 3
    for image, label in zip(images, labels, strict=True):
        image[int(label) * third : (int(label) + 1) * third] += 12
    dataset = SimpleNamespace(image_shape=image_shape, n_levels=16, class_names=("a", "b", "c"))
    trained = train(dataset, Split(images, labels), quiet)
    assert trained.accuracy(Split(images, labels)) > 0.95
    assert not trained.training


def test_pixel_values_are_levels_over_the_highest():
    np.testing.assert_array_equal(pixels(Split(np.array([[0, 8, 16]], np.uint8), None), 17), [[0, 0.5, 1]])


def test_it_is_trained_once(results, monkeypatch, capsys):
    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier, "train", fail)
    before = results.classifier("digits").weights.stat().st_mtime_ns
    jobs.classify(Digits(), results)
    assert results.classifier("digits").weights.stat().st_mtime_ns == before
    assert capsys.readouterr().out.startswith("digits: classifier, test accuracy 9")


def test_other_code_makes_it_again(results, few_steps):
    record = results.classifier("digits").record
    before = results.classifier("digits").weights.read_bytes()
    write_json(record, read_json(record) | {"key": "of other code"})
    jobs.classify(Digits(), results)
    assert read_json(record)["key"] == keys.classifier_key(Digits())
    assert results.classifier("digits").weights.read_bytes() != before, "few steps give another one"
    assert keys.is_classified(Digits(), results)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["weights", "record"])
def test_a_damaged_one_is_named_with_the_command_and_made_again(results, few_steps, name, fault, make_experiment):
    path = getattr(results.classifier("digits"), name)
    fault(path)
    words = r"digits\.classifier\.safetensors: .*; make it with: vaebench classify digits$"
    if (name, fault) != ("record", FAULTS[0]):
        with pytest.raises(UserError, match=words):
            load(Digits(), results)
    experiment = make_experiment(tasks=["generation"], seeds=1)
    [cohort] = experiment.cohorts[:1]
    jobs.train_cohort(experiment, cohort, results)
    with pytest.raises(UserError, match=words):
        jobs.evaluate_cohort(experiment, cohort, results)
    jobs.classify(Digits(), results)
    jobs.evaluate_cohort(experiment, cohort, results)


def test_weights_of_another_shape_are_damaged_ones(results):
    files = results.classifier("digits")
    files.record.unlink()
    files.weights.write_bytes(safetensors.torch.save({"head.bias": torch.zeros(3)}))
    with pytest.raises(UserError, match=r"digits\.classifier\.safetensors: cannot be read .*; make it with"):
        load(Digits(), results)


def test_what_killed_jobs_left_is_removed(results):
    folder = results.classifier("digits").weights.parent
    left = [folder / f".digits.classifier.999999999{suffix}" for suffix in (".safetensors", ".json")]
    left.append(folder / ".digits.classifier-cost.999999999.json")
    other = folder / ".digits.999999999.npz"
    for path in [*left, other]:
        path.touch()
    jobs.classify(Digits(), results)
    assert not any(path.exists() for path in left)
    assert other.exists(), "that is for who makes the data set"


def test_a_quota_stops_it_in_one_line_and_nothing_is_half_written(results, few_steps):
    files = results.classifier("digits")
    files.record.unlink()
    files.weights.unlink()
    arguments = ["classify", "digits", "--results", str(results.root)]
    assert path_over_quota(call(arguments, limit=10_000)) == files.weights
    assert not files.weights.exists()
    assert call(arguments)[0] == 0
    assert keys.is_classified(Digits(), results)
    assert read_json(files.cost)["classifier"]["seconds"] > 0


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        ("binarized-mnist", "binarized-mnist has no classes, so there is no classifier of it"),
        ("synthetic-gaussian", "synthetic-gaussian has images of 1×16 pixels, and 4×4 are the least"),
    ],
)
def test_data_without_one_are_named(dataset, fault, capsys, tmp_path, make_experiment):
    assert cli.main(["classify", dataset, "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"vaebench: {fault}")
    assert said.count("\n") == 1
    with pytest.raises(UserError, match=f"tasks: generation cannot be scored: {fault.partition(',')[0]}"):
        make_experiment(dataset=dataset, tasks=["generation"])


def test_the_workflow_makes_it_where_a_task_needs_it(monkeypatch, tmp_path, write_experiment):
    write_experiment("with", tasks=["representation", "generation"])
    write_experiment("without", tasks=["representation"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "_experiments", {})
    prepared, record = "results/datasets/digits.npz", "results/datasets/digits.classifier.json"
    assert stages.dataset_files("without") == [prepared]
    assert stages.dataset_files("with") == [prepared, record]
    cost = Results().classifier("digits").cost
    assert [cost in stages.notes(stages.experiment(name), Results()) for name in ("with", "without")] == [True, False]


def test_one_run_trained_by_hand_has_it_made(classified, tmp_path, few_steps, write_experiment, capsys):
    path = write_experiment(tasks=["generation"])
    results = Results(tmp_path / "results")
    arguments = ["train", str(path), "--variant", "bce", "--results", str(results.root)]
    assert cli.main(arguments) == 0
    assert keys.is_classified(Digits(), results)
    assert "digits: classifier, test accuracy" in capsys.readouterr().out
    [cost] = (results.experiment("tiny").path / "costs/train").glob("*.json")
    assert [*read_json(cost)] == ["imports", "data", "classifier", "training", "evaluation"]
    assert cli.main(arguments) == 0
    assert "classifier" not in read_json(cost)


def test_the_experiment_file_may_ask_for_it(write_experiment):
    path = write_experiment(tasks=["generation"], headline="frechet_distance")
    assert load_experiment(path).needs_classifier
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"tasks": []}))
    with pytest.raises(UserError, match="headline: 'frechet_distance' is a metric of the task generation"):
        load_experiment(path)
