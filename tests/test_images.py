"""Binarisation and padding."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vaebench import splits
from vaebench.datasets import SPLITS, Digits, SyntheticGaussian
from vaebench.errors import UserError
from vaebench.images import Images, blocks, load_images, padded


def images(binarisation: str, levels=None, n_levels: int = 17) -> Images:
    levels = torch.tensor([[0, 4, 8, 9, 16]], dtype=torch.uint8) if levels is None else levels
    return Images({"train": levels, "test": levels}, n_levels, binarisation)


def test_grey_levels_become_pixels_between_0_and_1():
    made = images("none")
    assert made.as_pixels(made["test"]).tolist() == [[0, 0.25, 0.5, 0.5625, 1]]


def test_threshold_is_at_one_half():
    assert images("threshold")["test"].tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize("binarisation", ["static", "dynamic"])
def test_random_binarisation_is_one_with_the_probability_of_the_grey_level(binarisation):
    levels = torch.tensor([0, 4, 8, 16], dtype=torch.uint8).repeat(20_000, 1)
    share = images(binarisation, levels)["test"].double().mean(0)
    assert share[0] == 0
    assert share[3] == 1
    assert share[1].item() == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 20_000) ** 0.5)
    assert share[2].item() == pytest.approx(0.5, abs=4 * (0.25 / 20_000) ** 0.5)


def test_static_is_drawn_once_and_dynamic_in_every_epoch():
    levels = torch.full((50, 20), 8, dtype=torch.uint8)
    for binarisation, same in (("static", True), ("dynamic", False)):
        made = images(binarisation, levels)
        assert torch.equal(made.at_epoch("train", 3), made.at_epoch("train", 3))
        assert torch.equal(made.at_epoch("train", 3), made.at_epoch("train", 4)) == same
        assert torch.equal(made["test"], made["test"])


def test_binary_pixels_are_zeros_and_ones():
    made = images("static")
    assert set(made.as_pixels(made["test"]).flatten().tolist()) <= {0.0, 1.0}


def test_blocks_cover_every_image_once():
    assert list(blocks(10, 4)) == [(0, 4), (4, 8), (8, 10)]


def test_padding_adds_zeros_only_at_the_end():
    x = torch.ones(33, 2, 3)
    assert padded(x).shape == (64, 2, 3)
    assert torch.equal(padded(x)[:33], x)
    assert padded(x)[33:].sum() == 0
    assert padded(torch.ones(32)).shape == (32,)
    assert padded(torch.ones(3, 1), size=8).shape == (8, 1)


def test_a_data_set_with_settings_says_how_its_file_is_made(tmp_path):
    dataset = SyntheticGaussian(spectrum=(0.04, 0.01))
    with pytest.raises(
        UserError, match=re.escape('vaebench prepare \'{"kind": "synthetic-gaussian", "spectrum": [0.04, 0.01]}\'')
    ):
        load_images(dataset, "none", tmp_path / "none.npz")


def test_data_without_labels_come_back(tmp_path):
    dataset = SyntheticGaussian(spectrum=(0.04, 0.01))
    splits.save(dataset, tmp_path, tmp_path / "file.npz")
    images = load_images(dataset, "none", tmp_path / "file.npz")
    assert images["validation"].numpy() == pytest.approx(dataset.load(tmp_path)["validation"].images)
    assert not images.labels


def test_labels_come_back_with_their_images(digits):
    expected = Digits().load(Path("unused"))
    for split in SPLITS:
        assert (digits.levels[split].numpy() == expected[split].images).all()
        assert (digits.labels[split] == expected[split].labels).all()


def digits_levels() -> dict[str, np.ndarray]:
    return {split: np.zeros((size, 64), dtype=np.uint8) for split, size in Digits.sizes.items()}


def test_missing_and_damaged_data_are_one_clear_error(tmp_path):
    path = tmp_path / "digits.npz"
    with pytest.raises(UserError, match="make it with: vaebench prepare digits"):
        load_images(Digits(), "none", path)
    np.savez(path, train_images=np.zeros(3, dtype=np.uint8))
    with pytest.raises(UserError, match=r"digits\.npz: train images are uint8 \[3\], not uint8 \[1257, 64\]"):
        load_images(Digits(), "none", path)
    np.savez(path, **{f"{split}_images": np.zeros(3, dtype=np.uint8) for split in SPLITS})
    with pytest.raises(UserError, match=r"train images are uint8 \[3\].*make it with: vaebench prepare digits"):
        load_images(Digits(), "none", path)
    arrays = {f"{split}_images": images for split, images in digits_levels().items()}
    for changes, words in (
        ({}, r"lacks 'train_labels'"),
        (
            {"train_images": np.zeros((1257, 63), dtype=np.uint8)},
            r"train images are uint8 \[1257, 63\], not uint8 \[1257, 64\]",
        ),
        ({"train_images": np.zeros((1257, 64))}, r"train images are float64 \[1257, 64\], not uint8"),
        ({"train_images": np.full((1257, 64), 17, dtype=np.uint8)}, r"train images go up to 17, not to 16 at most"),
        ({"train_labels": np.full(1257, 10, dtype=np.uint8)}, r"train labels go up to 10, not to 9 at most"),
    ):
        np.savez(path, **arrays | changes)
        with pytest.raises(UserError, match=f"{words}.*; make it with: vaebench prepare digits"):
            load_images(Digits(), "none", path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="cannot be read"):
        load_images(Digits(), "none", path)
