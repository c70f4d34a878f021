"""Data sets: what each declares is what it loads; files are checked before they are used and never changed."""

import gzip
import hashlib
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from vaebench.bibliography import cited
from vaebench.datasets import (
    DATASETS,
    SPLITS,
    BinarizedMnist,
    Digits,
    FashionMnist,
    Mnist,
    SyntheticGaussian,
    data_root,
)
from vaebench.errors import UserError

WITH_FILES = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw", "binarized-mnist": "binarized_mnist"}
# Random images, which need not meet the darkest and the lightest level.
DRAWN = {"synthetic-gaussian"}


def root_of(kind: str) -> Path:
    """The data root; skips where its files are not there (they are downloaded by real runs only)."""
    if kind in WITH_FILES and not (data_root() / WITH_FILES[kind]).exists():
        pytest.skip(f"no {kind} files under {data_root()}; set VAEBENCH_DATA to a folder that has them")
    return data_root()


@pytest.mark.parametrize("kind", DATASETS)
def test_every_data_set_is_what_it_declares(kind):
    dataset = DATASETS[kind]()
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
