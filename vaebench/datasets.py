"""Data sets: grey levels in memory, with fixed train / validation / test splits that depend on no seed of a run.

The data root is the folder `VAEBENCH_DATA`, else `data/`. Files that lie there are read, packed or unpacked, and never
changed; missing ones are downloaded into it. Every file is checked against its published checksum before it is used.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tempfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from zipfile import BadZipFile, ZipFile

import numpy as np

from vaebench.errors import UserError
from vaebench.registry import Registry, require

DATASETS = Registry("data set")

SPLITS = ("train", "validation", "test")
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Split:
    """images: uint8 grey levels [N, D], row-major pixels; labels: uint8 [N], or None where the data have none."""

    images: np.ndarray
    labels: np.ndarray | None


class Dataset:
    """What is known without loading, and `load`.

    Grey levels run from 0 to n_levels - 1; pixel values are level / (n_levels - 1), in [0, 1]. Labels are places in
    `class_names`; data without labels have none. What a definition has fields for, beside its kind, are its settings; what
    does not depend on them are class attributes.
    """

    kind: str
    image_shape: tuple[int, int]
    n_levels: ClassVar[int]
    sizes: ClassVar[dict[str, int]]
    class_names: ClassVar[tuple[str, ...]] = ()
    citation: ClassVar[str]

    @property
    def argument(self) -> str:
        """As `vaebench prepare` takes it: the kind, or a mapping of it and the settings where there are any."""
        definition = asdict(self)
        return json.dumps(definition, ensure_ascii=False) if len(definition) > 1 else self.kind

    @property
    def name(self) -> str:
        """Of the prepared file: the kind, and a hash of the settings where there are any."""
        digest = hashlib.sha256(self.argument.encode()).hexdigest()[:8]
        return self.kind if self.argument == self.kind else f"{self.kind}-{digest}"

    @property
    def n_pixels(self) -> int:
        return self.image_shape[0] * self.image_shape[1]

    def load(self, root: Path) -> dict[str, Split]:
        """Split name -> images and labels. Raises UserError for missing, truncated or altered files."""
        raise NotImplementedError


def data_root() -> Path:
    return Path(os.environ.get("VAEBENCH_DATA") or "data")


@DATASETS.register
@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 handwritten digits, 8×8 pixels, 17 grey levels; they come with scikit-learn, nothing is downloaded."""

    kind: Literal["digits"] = "digits"
    image_shape = (8, 8)
    n_levels = 17
    sizes = {"train": 1257, "validation": 180, "test": 360}
    class_names = DIGITS
    citation = "Alpaydin & Kaynak 1998"

    def load(self, root: Path) -> dict[str, Split]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        # Writers come in blocks, so the order is shuffled once; RandomState's streams never change between versions.
        order = np.random.RandomState(0).permutation(len(digits.data))
        return _split(digits.data[order].astype(np.uint8), digits.target[order].astype(np.uint8), self.sizes)


class _TorchvisionDataset(Dataset):
    """Four idx files in the layout, and with the checksums, of a torchvision data set of the MNIST family."""

    image_shape = (28, 28)
    n_levels = 256
    sizes = {"train": 50_000, "validation": 10_000, "test": 10_000}
    torchvision_name: ClassVar[str]
    # Of the unpacked files, so that packed and unpacked ones are held to the same content.
    sha256: ClassVar[dict[str, str]]

    def load(self, root: Path) -> dict[str, Split]:
        import torchvision.datasets

        source = getattr(torchvision.datasets, self.torchvision_name)
        folder = root / self.torchvision_name / "raw"
        if missing := [name for name in self.sha256 if _found(folder / name) is None]:
            self._download(source.mirrors, folder, missing)
        contents = {name: _verified(_found(folder / name), sha256) for name, sha256 in self.sha256.items()}
        parts = {
            part: Split(
                np.frombuffer(contents[f"{part}-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, self.n_pixels),
                np.frombuffer(contents[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8),
            )
            for part in ("train", "t10k")
        }
        fitting = {"train": self.sizes["train"], "validation": self.sizes["validation"]}
        return _split(parts["train"].images, parts["train"].labels, fitting) | {"test": parts["t10k"]}

    def _download(self, mirrors: Sequence[str], folder: Path, missing: list[str]) -> None:
        try:
            for name in missing:
                packed = folder / f"{name}.gz"
                _fetch([mirror + packed.name for mirror in mirrors], packed, self.sha256[name])
        except OSError as error:
            raise UserError(
                f"{self.kind}: could not download {', '.join(missing)} into {folder} ({error}); put them there, as "
                f"they are or as .gz, from {' or '.join(mirrors)}, or set VAEBENCH_DATA to a folder that has them"
            ) from error


@DATASETS.register
@dataclass(frozen=True)
class Mnist(_TorchvisionDataset):
    """MNIST, 28×28 grey; the last 10,000 training images are the validation split (Larochelle & Murray 2011)."""

    kind: Literal["mnist"] = "mnist"
    class_names = DIGITS
    torchvision_name = "MNIST"
    sha256 = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    citation = "LeCun et al. 1998"


@DATASETS.register
@dataclass(frozen=True)
class FashionMnist(_TorchvisionDataset):
    """Fashion-MNIST, 28×28 grey; the last 10,000 training images are the validation split."""

    kind: Literal["fashion-mnist"] = "fashion-mnist"
    class_names = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
    torchvision_name = "FashionMNIST"
    sha256 = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
    citation = "Xiao et al. 2017"


@DATASETS.register
@dataclass(frozen=True)
class BinarizedMnist(Dataset):
    """MNIST, statically binarised (Larochelle & Murray 2011), from the original text files or a bit-packed npz."""

    kind: Literal["binarized-mnist"] = "binarized-mnist"
    image_shape = (28, 28)
    n_levels = 2
    sizes = {"train": 50_000, "validation": 10_000, "test": 10_000}
    citation = "LeCun et al. 1998; binarised by Larochelle & Murray 2011"
    url = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
    packed_sha256 = "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5"
    text_sha256 = {
        "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    }

    def load(self, root: Path) -> dict[str, Split]:
        folder = root / "binarized_mnist"
        packed = folder / "binarized_mnist_packed.npz"
        read = self._read_packed(packed) if packed.exists() else self._read_texts(folder)
        return {split: Split(read[part], None) for split, part in zip(SPLITS, self.text_sha256, strict=True)}

    def _read_packed(self, path: Path) -> dict[str, np.ndarray]:
        with np.load(io.BytesIO(_verified(path, self.packed_sha256))) as arrays:
            return {part: np.unpackbits(arrays[part], axis=1) for part in self.text_sha256}

    def _read_texts(self, folder: Path) -> dict[str, np.ndarray]:
        images = {}
        for part, sha256 in self.text_sha256.items():
            path = folder / f"binarized_mnist_{part}.amat"
            if not path.exists():
                self._download(path, sha256)
            # The digits 0 and 1 with one separator after each.
            images[part] = np.frombuffer(_verified(path, sha256), np.uint8)[::2].reshape(-1, 784) - ord("0")
        return images

    def _download(self, path: Path, sha256: str) -> None:
        try:
            _fetch([self.url + path.name], path, sha256)
        except OSError as error:
            raise UserError(
                f"{self.kind}: could not download {path.name} into {path.parent} ({error}); put it there from "
                f"{self.url}, or set VAEBENCH_DATA to a folder that has binarized_mnist/"
            ) from error


@DATASETS.register
@dataclass(frozen=True)
class SyntheticGaussian(Dataset):
    """Gaussian pixels with a chosen covariance, 256 grey levels: data whose best linear VAE is known in closed form.

    x = 0.5 + Σ_i √λ_i ε_i v_i with ε ~ N(0, I): the `spectrum` holds the λ_i, one a pixel, which are the eigenvalues of the
    covariance of pixel values in [0, 1]; the v_i are the orthonormal cosines of the DCT-II. A linear VAE with a Gaussian
    likelihood is probabilistic PCA, and the spectrum says which dimensions of z it keeps (Lucas et al. 2019). Rounding to
    levels adds 1 / (12 · 255²), about 1.3e-6, to each eigenvalue.
    """

    kind: Literal["synthetic-gaussian"] = "synthetic-gaussian"
    spectrum: tuple[float, ...] = (0.08, 0.04, 0.02, 0.01, 0.005, 0.0025, *(0.001,) * 10)
    n_levels = 256
    sizes = {"train": 8192, "validation": 1024, "test": 4096}
    citation = "Tipping & Bishop 1999"

    def __post_init__(self):
        spectrum = list(self.spectrum)
        require(len(spectrum) <= 1024, "spectrum", spectrum, "a list of 1024 variances at most")  # the basis is a matrix
        holds = len(spectrum) >= 2 and all(variance > 0 for variance in spectrum)
        require(holds, "spectrum", spectrum, "a list of 2 or more variances above 0")
        # 3 standard deviations have to fit into [0, 1] around 0.5: clipping more than the far tails would change them.
        widest = float(np.sqrt(spectrum @ self.basis**2).max())
        allowed = f"small enough for the widest pixel's standard deviation, {widest:.3f}, to be 1/6 at most"
        require(widest <= 1 / 6, "spectrum", spectrum, allowed)

    @property
    def image_shape(self) -> tuple[int, int]:
        return 1, len(self.spectrum)

    @property
    def basis(self) -> np.ndarray:
        """[D, D]: the v_i as rows."""
        n_pixels = len(self.spectrum)
        frequency, pixel = np.indices((n_pixels, n_pixels))
        scale = np.where(frequency == 0, 1, 2) / n_pixels
        return np.sqrt(scale) * np.cos(np.pi * frequency * (pixel + 0.5) / n_pixels)

    def load(self, root: Path) -> dict[str, Split]:
        # RandomState's streams never change between versions.
        noise = np.random.RandomState(0).standard_normal((sum(self.sizes.values()), self.n_pixels))
        pixels = 0.5 + (noise * np.sqrt(self.spectrum)) @ self.basis
        levels = np.rint(pixels.clip(0, 1) * (self.n_levels - 1)).astype(np.uint8)
        return _split(levels, None, self.sizes)


@DATASETS.register
@dataclass(frozen=True)
class Npz(Dataset):
    """A user's own grey images, from an npz file below the data root.

    It holds `images` [N, H, W] or [N, 1, H, W] and, where they are of classes, `labels` [N] and, if the classes have names,
    `class_names` [C]. Or it is split already: `train_images`, `train_labels`, `validation_images` and so on. Whole numbers
    are grey levels; floats are pixel values in [0, 1], and become the nearest level.

    The settings from `split_sizes` on are the file's unless they are given. A run's specification holds them all: it can be
    read without the file, and is another one where the file's content is.
    """

    kind: Literal["npz"] = "npz"
    file: str = field(kw_only=True)
    n_levels: int = 256
    split_sizes: tuple[int, ...] = ()
    image_shape: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    sha256: str = ""

    def __post_init__(self):
        path = PurePosixPath(self.file)
        is_below = path.suffix == ".npz" and not path.is_absolute() and ".." not in path.parts
        require(is_below, "file", self.file, "the path of an .npz file below the data root")
        require(2 <= self.n_levels <= 256, "n_levels", self.n_levels, "between 2 and 256")
        if not (self.image_shape and self.split_sizes and self.sha256):
            try:
                with self._explained(data_root()) as content:
                    described = self._described(content)
            except UserError as error:
                raise ValueError(str(error)) from error
            for name, value in described.items():
                object.__setattr__(self, name, value)  # as dataclasses do it themselves while they are made
        sizes, shape, names = list(self.split_sizes), list(self.image_shape), list(self.class_names)
        holds = len(sizes) == 3 and min(sizes) >= 2
        require(holds, "split_sizes", sizes, "the numbers of training, validation and test images, each 2 or more")
        holds = len(shape) == 2 and min(shape) >= 1 and shape[0] * shape[1] <= 65_536
        require(holds, "image_shape", shape, "a height and a width, with 65,536 pixels at most")
        holds = len(names) <= 256 and all(name.isprintable() and 1 <= len(name) <= 60 for name in names)
        require(holds, "class_names", names, "256 names at most, each of 1 to 60 printable characters")

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(SPLITS, self.split_sizes, strict=True))

    @property
    def citation(self) -> str:
        return f"{self.file}, SHA-256 {self.sha256[:16]}…"

    def load(self, root: Path) -> dict[str, Split]:
        with self._explained(root) as content:
            self._described(content)
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                parts = {part: self._part(arrays, part) for part in self._parts(arrays)}
        if "" not in parts:
            return {split: parts[f"{split}_"] for split in SPLITS}
        images, labels = parts[""].images, parts[""].labels
        # Neighbours are often alike, so the order is shuffled once; RandomState's streams never change between versions.
        order = np.random.RandomState(0).permutation(len(images))
        return _split(images[order], None if labels is None else labels[order], self.sizes)

    @contextmanager
    def _explained(self, root: Path) -> Iterator[bytes]:
        """The file's content. What is wrong with it is raised as UserError, with its path."""
        path = root / self.file
        try:
            yield path.read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file; put it there, or set VAEBENCH_DATA to a folder that has it") from error
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
            raise UserError(f"{path}: is damaged, or no npz file ({error})") from error
        except MemoryError as error:
            raise UserError(f"{path}: does not fit into memory") from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error

    def _described(self, content: bytes) -> dict[str, Any]:
        """What the file says of the settings that may be left out, without reading images. Raises ValueError."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.sha256 not in ("", sha256):
            met = f"(SHA-256 {sha256[:16]}… in place of {self.sha256[:16]}…)"
            raise ValueError(f"is another file than the experiment asks for {met}; if it has changed since, start again")
        with ZipFile(io.BytesIO(content)) as archive:
            headers = {name.removesuffix(".npy"): self._header(archive, name) for name in archive.namelist()}
        parts = self._parts(headers)
        image_shapes = {self._image_shape(f"{part}images", *headers[f"{part}images"]) for part in parts}
        if len(image_shapes) > 1:
            raise ValueError(f"its splits have images of different shapes: {sorted(image_shapes)}")
        counts = tuple(headers[f"{part}images"][0][0] for part in parts)
        found = {
            "split_sizes": self._split_sizes(counts),
            "image_shape": image_shapes.pop(),
            "class_names": self._class_names(content, dict(zip(parts, counts, strict=True))),
            "sha256": sha256,
        }
        for name, value in found.items():
            if getattr(self, name) not in ((), "", value):
                raise ValueError(f"its {name} is {value}, not {getattr(self, name)}")
        return found

    @staticmethod
    def _header(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """An array's shape and type."""
        if not name.endswith(".npy"):
            raise ValueError(f"holds {name!r}, which is no array")
        with archive.open(name) as file:
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            version = np.lib.format.read_magic(file)
            if version not in readers:
                raise ValueError(f"{name} is an array of named columns")
            shape, _, dtype = readers[version](file)
        if dtype.hasobject:
            raise ValueError(f"{name} is pickled Python objects, which could run code and are not read")
        return shape, dtype

    @staticmethod
    def _parts(names: Collection[str]) -> tuple[str, ...]:
        """How the names of the arrays begin: with nothing, or each split. Raises ValueError for names without meaning."""
        for parts in (("",), tuple(f"{split}_" for split in SPLITS)):
            images, labels = ({f"{part}{what}" for part in parts} for what in ("images", "labels"))
            if images <= set(names) <= images | labels | {"class_names"}:
                if 0 < len(labels & set(names)) < len(parts):
                    raise ValueError("has labels of some splits only")
                return parts
        raise ValueError(
            f"holds the arrays {', '.join(sorted(names)) or 'none'}; allowed: images, labels, class_names; or, for splits, "
            "train_images, validation_images, test_images, train_labels, validation_labels, test_labels, class_names"
        )

    @staticmethod
    def _image_shape(name: str, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
        if dtype.kind not in "buif":
            raise ValueError(f"{name} must be whole numbers or floats, not {dtype}")
        if len(shape) == 4 and shape[1] == 1:
            shape = (shape[0], *shape[2:])
        if len(shape) != 3:
            raise ValueError(f"{name} must have the shape [N, height, width] or [N, 1, height, width], not {list(shape)}")
        return shape[1:]

    def _split_sizes(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Of images that are not split, 70 % are for training, 10 % for validation and 20 % for tests."""
        if len(counts) == 3:
            return counts
        [n_images] = counts
        if n_images < 20 and not self.split_sizes:
            raise ValueError(f"has {n_images} images; 20 are the fewest that can be split by shares of 70, 10 and 20 %")
        n_validation, n_test = n_images // 10, n_images // 5
        sizes = self.split_sizes or (n_images - n_validation - n_test, n_validation, n_test)
        if sum(sizes) != n_images:
            raise ValueError(f"has {n_images} images, which split_sizes {list(sizes)} do not add up to")
        return sizes

    def _class_names(self, content: bytes, counts: dict[str, int]) -> tuple[str, ...]:
        """Those in the file, else those that are given, else the labels as text; none without labels."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            labels = [self._labels(arrays, part, n_images) for part, n_images in counts.items()]
            names = arrays.get("class_names")
        if labels[0] is None:
            if self.class_names or names is not None:
                raise ValueError("has class_names without labels")
            return ()
        highest = max(int(each.max(initial=0)) for each in labels)
        if names is None:
            names = np.array(self.class_names or range(highest + 1), str)
        if names.dtype.kind != "U" or names.ndim != 1:
            raise ValueError(f"class_names must be text, a name a class, not {names.dtype} of shape {list(names.shape)}")
        if highest >= len(names):
            raise ValueError(f"has a label {highest}, and names of {len(names)} classes, which labels count from 0")
        return tuple(names.tolist())

    @staticmethod
    def _labels(arrays: Mapping[str, np.ndarray], part: str, n_images: int) -> np.ndarray | None:
        """uint8 [N], or None where there are none."""
        name = f"{part}labels"
        if name not in arrays:
            return None
        labels = arrays[name]
        if labels.dtype.kind not in "ui" or labels.shape != (n_images,):
            met = f"{labels.dtype} of shape {list(labels.shape)}"
            raise ValueError(f"{name} must be {n_images} whole numbers, one an image, not {met}")
        if n_images and not 0 <= labels.min() <= labels.max() <= 255:
            raise ValueError(f"{name} must be between 0 and 255, not from {labels.min()} to {labels.max()}")
        return labels.astype(np.uint8)

    def _part(self, arrays: Mapping[str, np.ndarray], part: str) -> Split:
        images = arrays[f"{part}images"]
        images = images.reshape(len(images), -1)
        return Split(self._levels(images, f"{part}images"), self._labels(arrays, part, len(images)))

    def _levels(self, images: np.ndarray, name: str) -> np.ndarray:
        """Grey levels, uint8, of what the file holds. Raises ValueError where it cannot be that."""
        highest, is_float = self.n_levels - 1, images.dtype.kind == "f"
        if is_float and not np.isfinite(images).all():
            raise ValueError(f"{name} has pixels that are NaN or infinite")
        low, high = images.min(), images.max()
        if low < 0 or high > (1 if is_float else highest):
            allowed = "0 to 1, being floats" if is_float else f"0 to {highest}, as n_levels is {self.n_levels}"
            raise ValueError(f"{name} has pixels from {low} to {high}; allowed: {allowed}")
        if is_float:
            images = np.rint(images.astype(np.result_type(images, np.float32)) * highest)
        levels = images.astype(np.uint8)
        lightest = int(levels.max())
        if levels.min() == lightest:
            raise ValueError(f"all pixels of {name} are the same: level {lightest} of 0 to {highest}")
        if 8 * lightest < highest:
            raise ValueError(
                f"{name} is nearly black: no level above {lightest} of {highest}; is n_levels {lightest + 1} meant?"
            )
        return levels


def _split(images: np.ndarray, labels: np.ndarray | None, sizes: dict[str, int]) -> dict[str, Split]:
    """Consecutive pieces of the given sizes."""
    pieces = [slice(*ends) for ends in pairwise(np.cumsum([0, *sizes.values()]))]
    return {
        name: Split(images[piece], None if labels is None else labels[piece])
        for name, piece in zip(sizes, pieces, strict=True)
    }


def _found(path: Path) -> Path | None:
    """The file itself, or packed beside it."""
    return next((candidate for candidate in (path, path.with_name(path.name + ".gz")) if candidate.exists()), None)


def _fetch(addresses: Sequence[str], path: Path, sha256: str) -> None:
    """Download a file from the first address that gives the right content. Raises OSError, with the fault of each address.

    Only then is it put in its place: what is wrong, or was interrupted, is not there at the next try.
    """
    from torchvision.datasets.utils import download_url

    path.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for address in addresses:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            fetched = Path(folder, path.name)
            try:
                download_url(address, folder, path.name)
                _checked(fetched, sha256)
            except (OSError, RuntimeError, HTTPException, ValueError) as error:
                faults.append(f"{address}: {' '.join(str(error).split())}")
            else:
                fetched.replace(path)
                return
    raise OSError("; ".join(faults))


def _verified(path: Path, sha256: str) -> bytes:
    """The file's content, unpacked. Raises UserError where its checksum is another."""
    try:
        return _checked(path, sha256)
    except ValueError as error:
        raise UserError(f"{path}: {error}; delete it to have it downloaded again") from error


def _checked(path: Path, sha256: str) -> bytes:
    """The same, raising ValueError."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"cannot be unpacked ({error})") from error
    met = hashlib.sha256(content).hexdigest()
    if met != sha256:
        raise ValueError(f"truncated or altered (SHA-256 {met[:16]}… in place of {sha256[:16]}…)")
    return content
