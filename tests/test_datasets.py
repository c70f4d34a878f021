"""Data sets: what each declares is what it loads; files are checked before they are used and never changed."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft

from vaebench import jobs, specification, splits, stages
from vaebench.bibliography import cited
from vaebench.datasets import (
    DATASETS,
    SPLITS,
    BinarizedMnist,
    Digits,
    FashionMnist,
    Mnist,
    Npz,
    SyntheticGaussian,
    data_root,
)
from vaebench.errors import UserError
from vaebench.saved_run import SavedRun
from vaebench.store import Results

WITH_FILES = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw", "binarized-mnist": "binarized_mnist"}
# Random images, which need not meet the darkest and the lightest level.
DRAWN = {"synthetic-gaussian"}


def root_of(kind: str) -> Path:
    """The data root; skips where its files are not there (they are downloaded by real runs only)."""
    if kind in WITH_FILES and not (data_root() / WITH_FILES[kind]).exists():
        pytest.skip(f"no {kind} files under {data_root()}; set VAEBENCH_DATA to a folder that has them")
    return data_root()


@pytest.mark.parametrize("dataset", DATASETS.with_defaults(), ids=lambda dataset: dataset.kind)
def test_every_data_set_is_what_it_declares(dataset):
    kind = dataset.kind
    splits = dataset.load(root_of(kind))
    assert tuple(splits) == SPLITS == tuple(dataset.sizes)
    for name, split in splits.items():
        assert split.images.dtype == np.uint8
        assert split.images.shape == (dataset.sizes[name], dataset.n_pixels)
        assert split.images.max() < dataset.n_levels
        if kind not in DRAWN:
            assert (split.images.min(), split.images.max()) == (0, dataset.n_levels - 1)
        assert (split.labels is not None) == bool(dataset.class_names)
        if split.labels is not None:
            assert split.labels.dtype == np.uint8
            assert split.labels.shape == (dataset.sizes[name],)
            assert set(split.labels.tolist()) == set(range(len(dataset.class_names)))
    assert cited(dataset.citation)


def test_a_data_set_is_named_by_its_kind_and_settings():
    assert Digits().name == "digits"
    # Written down: another name is another prepared file.
    assert SyntheticGaussian().name == "synthetic-gaussian-4ee345f3"
    assert SyntheticGaussian(spectrum=(0.04, 0.01)).name == "synthetic-gaussian-3a720a13"
    assert SyntheticGaussian(spectrum=(0.01, 0.04)).name != SyntheticGaussian(spectrum=(0.04, 0.01)).name


def test_gaussian_pixels_have_the_spectrum_that_was_asked_for():
    for spectrum in (SyntheticGaussian().spectrum, (0.04, 0.01), (0.001, 0.02, 0.01)):
        dataset = SyntheticGaussian(spectrum=spectrum)
        assert dataset.basis @ dataset.basis.T == pytest.approx(np.eye(len(spectrum)), abs=1e-13)
        for split in dataset.load(Path("unused")).values():
            pixels = split.images / 255
            variances = np.diag(dataset.basis @ np.cov(pixels.T) @ dataset.basis.T)
            # The standard errors of a mean and of a variance of Gaussian numbers; 4 of them.
            assert pixels.mean(0) == pytest.approx(0.5, abs=4 * np.sqrt(pixels.var(0).max() / len(pixels)))
            assert variances == pytest.approx(np.array(spectrum), rel=4 * np.sqrt(2 / len(pixels)))


def test_the_basis_is_scipys_cosine_transform():
    basis = SyntheticGaussian().basis
    assert basis @ np.arange(16.0) == pytest.approx(scipy.fft.dct(np.arange(16.0), norm="ortho"), abs=1e-12)


def test_gaussian_pixels_are_always_the_same():
    splits = SyntheticGaussian().load(Path("unused"))
    # No pixel comes nearer than 1e-6 levels to where rounding would turn, so this is the same on every machine.
    assert hashlib.sha256(splits["train"].images.tobytes()).hexdigest().startswith("8f13b03997fcced1")
    again = SyntheticGaussian().load(Path("elsewhere"))
    for name in SPLITS:
        assert (splits[name].images == again[name].images).all()


def test_digits_are_scikit_learns_each_in_one_split():
    splits = Digits().load(Path("unused"))
    images, labels = (np.concatenate([getattr(split, name) for split in splits.values()]) for name in ("images", "labels"))
    from sklearn.datasets import load_digits

    expected = load_digits()
    pairs = zip(expected.data.astype(np.uint8), expected.target, strict=True)
    assert sorted(zip(map(bytes, images), labels, strict=True)) == sorted((bytes(image), label) for image, label in pairs)


def test_mnist_is_the_real_one():
    splits = Mnist().load(root_of("mnist"))
    # Published facts: mean grey level and class counts of the 60,000 and the 10,000 images.
    both = np.concatenate([splits["train"].images, splits["validation"].images])
    assert both.mean() == pytest.approx(33.318, abs=5e-4)
    assert splits["test"].images.mean() == pytest.approx(33.791, abs=5e-4)
    labels = np.concatenate([splits["train"].labels, splits["validation"].labels])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(splits["test"].labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_fashion_mnist_has_as_many_of_each_class_and_names_them():
    test = FashionMnist().load(root_of("fashion-mnist"))["test"]
    assert np.bincount(test.labels).tolist() == [1000] * 10
    from torchvision.datasets import FashionMNIST

    for ours, theirs in zip(FashionMnist.class_names, FashionMNIST.classes, strict=True):
        assert ours.lower().startswith(theirs.lower().split("/")[0])


def test_binarized_mnist_is_the_real_one():
    splits = BinarizedMnist().load(root_of("binarized-mnist"))
    shares = [round(float(split.images.mean()), 5) for split in splits.values()]
    assert shares == [0.13056, 0.13113, 0.13251]


def test_packed_and_unpacked_files_give_the_same_and_are_left_alone(tmp_path):
    source = root_of("mnist") / "MNIST/raw"
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for name in Mnist.sha256:
        packed, unpacked = source / f"{name}.gz", source / name
        content = gzip.decompress(packed.read_bytes()) if packed.exists() else unpacked.read_bytes()
        (folder / name).write_bytes(content)
    folder.chmod(0o500)
    before = sorted(path.name for path in folder.iterdir())
    splits = Mnist().load(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == before
    expected = Mnist().load(root_of("mnist"))
    for name in SPLITS:
        assert (splits[name].images == expected[name].images).all()
        assert (splits[name].labels == expected[name].labels).all()


@pytest.mark.parametrize("fault", ["truncated", "altered", "no gzip"])
def test_a_damaged_file_is_refused(tmp_path, fault):
    source = root_of("mnist") / "MNIST/raw"
    shutil.copytree(source, tmp_path / "MNIST/raw", copy_function=shutil.copyfile)
    path = next((tmp_path / "MNIST/raw").glob("t10k-labels*"))
    content = path.read_bytes()
    if fault == "truncated":
        path.write_bytes(content[:-100])
    elif fault == "altered":
        path.unlink()
        inner = bytearray(gzip.decompress(content) if path.suffix == ".gz" else content)
        inner[-1] ^= 1
        (path.parent / "t10k-labels-idx1-ubyte").write_bytes(bytes(inner))
    else:
        path.unlink()
        (path.parent / "t10k-labels-idx1-ubyte.gz").write_bytes(b"a page that says: not found")
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte.*delete it to have it downloaded again"):
        Mnist().load(tmp_path)


@pytest.mark.parametrize("dataset", [Mnist(), FashionMnist(), BinarizedMnist()])
def test_missing_files_without_a_network_are_named_with_where_they_go_and_come_from(tmp_path, monkeypatch, dataset):
    def no_network(*arguments, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UserError) as error:
        dataset.load(tmp_path)
    message = str(error.value)
    assert str(tmp_path) in message
    assert "http" in message
    assert "VAEBENCH_DATA" in message
    assert ("train-images-idx3-ubyte" in message) or ("binarized_mnist_train.amat" in message)


def test_binarized_mnist_reads_the_original_text_files(tmp_path, monkeypatch):
    rows = np.random.RandomState(0).randint(0, 2, (3, 784))
    text = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    folder = tmp_path / "binarized_mnist"
    folder.mkdir()
    for part in ("train", "valid", "test"):
        (folder / f"binarized_mnist_{part}.amat").write_bytes(text)
    monkeypatch.setattr(
        BinarizedMnist, "text_sha256", dict.fromkeys(("train", "valid", "test"), hashlib.sha256(text).hexdigest())
    )
    splits = BinarizedMnist().load(tmp_path)
    assert (splits["test"].images == rows).all()


# 60 images of 3×4 pixels, no two alike, with every level of 256; four classes.
LEVELS = np.random.RandomState(0).permutation(np.arange(720) % 256).astype(np.uint8).reshape(60, 3, 4)
LABELS = np.arange(60) % 4
PARTS = {"train": slice(0, 40), "validation": slice(40, 45), "test": slice(45, 60)}


@pytest.fixture
def own(tmp_path, monkeypatch) -> Callable[..., Npz]:
    """The data set of an npz file with these arrays; `settings` are its other settings."""
    monkeypatch.setenv("VAEBENCH_DATA", str(tmp_path))

    def make(settings: dict[str, Any] | None = None, **arrays: np.ndarray) -> Npz:
        np.savez(tmp_path / "own.npz", **arrays)
        return Npz(file="own.npz", **(settings or {}))

    return make


def rows(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def test_own_images_are_what_the_file_holds(own, tmp_path):
    dataset = own(images=LEVELS, labels=LABELS, class_names=np.array(["a", "b", "ö", "d e"]))
    assert (dataset.sizes, dataset.image_shape) == ({"train": 42, "validation": 6, "test": 12}, (3, 4))
    assert (dataset.n_levels, dataset.class_names) == (256, ("a", "b", "ö", "d e"))
    assert dataset.sha256 == hashlib.sha256((tmp_path / "own.npz").read_bytes()).hexdigest()
    splits = dataset.load(tmp_path)
    assert {name: len(split.images) for name, split in splits.items()} == dataset.sizes
    images, labels = (np.concatenate([getattr(split, name) for split in splits.values()]) for name in ("images", "labels"))
    assert (images.dtype, labels.dtype) == (np.uint8, np.uint8)
    assert rows(images, labels) == rows(LEVELS, LABELS)
    # They are shuffled, always in the same way.
    assert (images != LEVELS.reshape(60, 12)).any()
    assert (Npz(file="own.npz").load(tmp_path)["train"].images == splits["train"].images).all()


@pytest.mark.parametrize(
    ("images", "n_levels"),
    [
        (LEVELS[:, None], 256),
        (LEVELS.astype(np.int64), 256),
        ((LEVELS / 255).astype(np.float16), 256),
        ((LEVELS / 255).astype(np.float32), 256),
        (LEVELS / 255, 256),
        # No nearer to another level by 0.4 of the distance between them.
        ((LEVELS + np.where(LEVELS < 128, 0.4, -0.4)) / 255, 256),
        (LEVELS % 17, 17),
        ((LEVELS % 17) / 16, 17),
        (LEVELS % 2 == 1, 2),
    ],
)
def test_levels_come_back_from_whatever_type_they_are_kept_in(own, tmp_path, images, n_levels):
    expected = LEVELS % n_levels if n_levels < 256 else LEVELS
    parts = {f"{name}_images": images[piece] for name, piece in PARTS.items()}
    dataset = own({"n_levels": n_levels}, **parts)
    assert dataset.class_names == ()
    for name, split in dataset.load(tmp_path).items():
        assert split.images.dtype == np.uint8
        assert (split.images.reshape(-1, 3, 4) == expected[PARTS[name]]).all()
        assert split.labels is None


def test_own_splits_and_labels_are_kept(own, tmp_path):
    parts = {f"{name}_images": LEVELS[piece] for name, piece in PARTS.items()}
    dataset = own(**parts, **{f"{name}_labels": LABELS[piece].astype(np.int8) for name, piece in PARTS.items()})
    assert (dataset.split_sizes, dataset.class_names) == ((40, 5, 15), ("0", "1", "2", "3"))
    for name, split in dataset.load(tmp_path).items():
        assert (split.labels == LABELS[PARTS[name]]).all()


def test_a_specification_holds_the_file_without_reading_it_again(own, tmp_path):
    dataset = own({"split_sizes": (30, 10, 20), "class_names": ("a", "b", "c", "d")}, images=LEVELS, labels=LABELS)
    (tmp_path / "own.npz").unlink()
    assert specification.parse_dataset(dataset.argument) == dataset
    assert dataset.sizes == {"train": 30, "validation": 10, "test": 20}
    with pytest.raises(UserError, match=r"own\.npz: no such file; put it there, or set VAEBENCH_DATA"):
        dataset.load(tmp_path)


def test_other_content_is_another_data_set(own, tmp_path):
    first, second = own(images=LEVELS), own(images=LEVELS[::-1])
    assert first != second
    assert first.name != second.name
    # The file has changed since the first was planned.
    with pytest.raises(UserError, match=r"own\.npz: is another file than the experiment asks for \(SHA-256 "):
        first.load(tmp_path)
    with pytest.raises(ValueError, match=r"own\.npz: is another file than the experiment asks for"):
        Npz(file="own.npz", sha256=first.sha256)
    assert Npz(file="own.npz", sha256=second.sha256) == second


class RunsCode:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def changed(values: np.ndarray, value: float) -> np.ndarray:
    """With one pixel of another value."""
    values = values.copy()
    values[7, 1, 2] = value
    return values


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "holds the arrays none; allowed: images, labels, class_names"),
        ({"pictures": LEVELS}, "holds the arrays pictures; allowed: images, labels, class_names"),
        ({"images": LEVELS, "lables": LABELS}, "holds the arrays images, lables; allowed: images"),
        ({"train_images": LEVELS, "test_images": LEVELS}, "holds the arrays test_images, train_images; allowed: "),
        (
            {"images": LEVELS.reshape(60, 12)},
            "images must have the shape [N, height, width] or [N, 1, height, width], not [60, 12]",
        ),
        ({"images": np.stack([LEVELS] * 3, axis=1)}, "not [60, 3, 3, 4]"),
        ({"images": np.zeros((60, 0, 4), np.uint8)}, "image_shape must be a height and a width"),
        (
            {"images": np.zeros((20, 300, 300), np.uint8)},
            "image_shape must be a height and a width, with 65,536 pixels at most",
        ),
        ({"images": LEVELS.astype(str)}, "images must be whole numbers or floats, not <U"),
        ({"images": LEVELS.astype(complex)}, "images must be whole numbers or floats, not complex128"),
        ({"images": LEVELS.view([("grey", np.uint8)])}, "images must be whole numbers or floats, not [('grey'"),
        ({"images": LEVELS[:0]}, "has 0 images; 20 are the fewest that can be split"),
        ({"images": LEVELS[:19]}, "has 19 images; 20 are the fewest that can be split by shares of 70, 10 and 20 %"),
        (
            {"settings": {"split_sizes": (30, 10, 10)}, "images": LEVELS},
            "has 60 images, which split_sizes [30, 10, 10] do not",
        ),
        (
            {"settings": {"split_sizes": (58, 1, 1)}, "images": LEVELS},
            "split_sizes must be the numbers of training, validation",
        ),
        (
            {"settings": {"split_sizes": (30, 30)}, "images": LEVELS},
            "split_sizes must be the numbers of training, validation",
        ),
        ({"settings": {"image_shape": (4, 3)}, "images": LEVELS}, "its image_shape is (3, 4), not (4, 3)"),
        (
            {"train_images": LEVELS, "validation_images": LEVELS, "test_images": LEVELS[:, :2]},
            "its splits have images of different shapes: [(2, 4), (3, 4)]",
        ),
        (
            {"train_images": LEVELS, "validation_images": LEVELS[:0], "test_images": LEVELS},
            "split_sizes must be the numbers of training, validation and test images, each 2 or more, not [60, 0, 60]",
        ),
        (
            {"train_images": LEVELS, "validation_images": LEVELS, "test_images": LEVELS, "train_labels": LABELS},
            "has labels of some splits only",
        ),
        (
            {"images": LEVELS, "labels": LABELS[1:]},
            "labels must be 60 whole numbers, one an image, not int64 of shape [59]",
        ),
        (
            {"images": LEVELS, "labels": LABELS / 2},
            "labels must be 60 whole numbers, one an image, not float64 of shape [60]",
        ),
        ({"images": LEVELS, "labels": LABELS - 1}, "labels must be between 0 and 255, not from -1 to 2"),
        ({"images": LEVELS, "labels": LABELS * 100}, "labels must be between 0 and 255, not from 0 to 300"),
        (
            {"images": LEVELS, "labels": LABELS, "class_names": np.array(["a", "b"])},
            "has a label 3, and names of 2 classes",
        ),
        (
            {"images": LEVELS, "labels": LABELS, "class_names": np.arange(4)},
            "class_names must be text, a name a class, not int64",
        ),
        ({"images": LEVELS, "labels": LABELS, "class_names": np.array(list("abc\n"))}, "of 1 to 60 printable characters"),
        ({"images": LEVELS, "class_names": np.array(["a"])}, "has class_names without labels"),
        ({"images": np.zeros_like(LEVELS)}, "all pixels of images are the same: level 0 of 0 to 255"),
        ({"images": np.ones_like(LEVELS) / 2}, "all pixels of images are the same: level 128 of 0 to 255"),
        ({"images": LEVELS % 2}, "images is nearly black: no level above 1 of 255; is n_levels 2 meant?"),
        ({"images": changed(LEVELS.astype(float) / 255, np.nan)}, "images has pixels that are NaN or infinite"),
        ({"images": changed(LEVELS.astype(float) / 255, np.inf)}, "images has pixels that are NaN or infinite"),
        ({"images": LEVELS.astype(float)}, "images has pixels from 0.0 to 255.0; allowed: 0 to 1, being floats"),
        ({"images": changed(LEVELS / 255, -0.01)}, "images has pixels from -0.01 to 1.0; allowed: 0 to 1, being floats"),
        (
            {"images": changed(LEVELS.astype(np.int16), -1)},
            "images has pixels from -1 to 255; allowed: 0 to 255, as n_levels is 256",
        ),
        ({"images": changed(LEVELS.astype(np.int16), 256)}, "images has pixels from 0 to 256; allowed: 0 to 255"),
        (
            {"settings": {"n_levels": 16}, "images": LEVELS},
            "images has pixels from 0 to 255; allowed: 0 to 15, as n_levels is 16",
        ),
        ({"settings": {"n_levels": 257}, "images": LEVELS}, "n_levels must be between 2 and 256, not 257"),
    ],
)
def test_wrong_arrays_are_one_clear_error(own, tmp_path, arrays, says):
    with pytest.raises((UserError, ValueError)) as error:
        own(**arrays).load(tmp_path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    is_of_settings = str(error.value).startswith(("image_shape", "split_sizes", "class_names", "n_levels"))
    assert is_of_settings or str(error.value).startswith(f"{tmp_path / 'own.npz'}: ")


def test_own_images_are_trained_and_scored_like_others(own, tmp_path, write_experiment, monkeypatch):
    own(images=LEVELS, labels=LABELS)
    path = write_experiment(dataset={"kind": "npz", "file": "own.npz"}, defaults={"batch_size": 32, "epochs": 2})
    experiment, results = specification.load(path), Results(tmp_path / "results")
    monkeypatch.setattr(stages, "_experiments", {experiment.name: experiment})
    dataset, run = experiment.dataset, experiment.runs[0]
    assert stages.dataset(dataset.name) == dataset
    splits.prepare(specification.parse_dataset(dataset.argument), results)
    jobs.train_alone(experiment, run, results)
    # The splits are kept; the file is read no more.
    own(images=LEVELS[::-1], labels=LABELS)
    jobs.evaluate_alone(experiment, run, results)
    saved = SavedRun(results.experiment(experiment.name).run(run.run_id))
    assert saved.state == "trained and scored"
    assert saved.specification == run
    assert saved.pictures()["originals"].shape[1] == 12
    # Other content, other runs.
    assert not {run.run_id for run in specification.load(path).runs} & {run.run_id for run in experiment.runs}


def test_preparing_wrong_data_ends_in_one_line_and_leaves_no_file(own, tmp_path, write_experiment):
    own(images=changed(LEVELS / 255, np.nan))
    path = write_experiment(dataset={"kind": "npz", "file": "own.npz"}, defaults={"batch_size": 32})
    # Its pixels are not looked at before they are needed; no run begins without them.
    dataset = specification.load(path).dataset
    for command in (["prepare", dataset.argument], ["train", str(path), "--variant", "bce"]):
        done = subprocess.run(
            [sys.executable, "-m", "vaebench", *command, "--results", str(tmp_path / "results")],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr == f"vaebench: {tmp_path / 'own.npz'}: images has pixels that are NaN or infinite\n"
        assert not [path for path in tmp_path.glob("results/**/*") if path.is_file() and path.suffix != ".lock"]


def test_pickles_are_not_read(own, tmp_path):
    images = np.array([RunsCode(tmp_path / "ran")] * 60, object)
    for arrays in ({"images": images}, {"images": LEVELS, "labels": images}):
        with pytest.raises(ValueError, match="is pickled Python objects, which could run code and are not read"):
            own(**arrays)
    assert not (tmp_path / "ran").exists()


def damaged(path: Path, how: str) -> None:
    """Put in the place of a good file one that is not."""
    content = path.read_bytes()
    path.unlink()
    if how == "a text":
        path.write_text("not found", encoding="utf-8")
    elif how == "empty":
        path.touch()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        path.write_bytes(content.replace(LEVELS.tobytes(), LEVELS[::-1].tobytes()))
    elif how == "an npy":
        with path.open("wb") as file:
            np.save(file, LEVELS)
    elif how == "a zip of a text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.txt", "none")
    elif how == "a zip of a text by an array's name":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", "none")
    elif how == "a folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("a text", "is damaged, or no npz file (File is not a zip file)"),
        ("empty", "is damaged, or no npz file (File is not a zip file)"),
        ("truncated", "is damaged, or no npz file (File is not a zip file)"),
        ("altered", "is damaged, or no npz file (Bad CRC-32 for file 'images.npy')"),
        ("an npy", "is damaged, or no npz file (File is not a zip file)"),
        ("a zip of a text", "holds 'images.txt', which is no array"),
        ("a zip of a text by an array's name", "own.npz: "),
        ("a folder", "cannot be read (Is a directory)"),
    ],
)
def test_a_file_that_is_no_npz_is_one_clear_error(own, tmp_path, how, says):
    own(images=LEVELS)
    damaged(tmp_path / "own.npz", how)
    with pytest.raises((UserError, ValueError)) as error:
        Npz(file="own.npz").load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'own.npz'}: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["../own.npz", "/etc/own.npz", "a/../../own.npz", "own.npy", "", "own.npz/.."])
def test_own_images_lie_below_the_data_root(file):
    with pytest.raises(ValueError, match=r"file must be the path of an \.npz file below the data root"):
        Npz(file=file)


@pytest.mark.parametrize("fault", ["magic", "shape"])
def test_a_file_of_another_kind_is_refused(tmp_path, fault):
    source = root_of("mnist") / "MNIST/raw"
    shutil.copytree(source, tmp_path / "MNIST/raw", copy_function=shutil.copyfile)
    path = next((tmp_path / "MNIST/raw").glob("t10k-images*"))
    content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    path.unlink()
    content[3 if fault == "magic" else 11] += 1
    path = path.parent / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(
        UserError, match=r"t10k-images-idx3-ubyte\.gz: truncated or altered \(SHA-256 .* delete it to have it"
    ):
        Mnist().load(tmp_path)
