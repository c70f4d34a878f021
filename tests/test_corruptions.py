"""Corruptions: what each of them keeps, and what it does by hand."""

import math

import pytest
import torch
from scipy import stats

from vaebench.corruptions import CORRUPTIONS, Corruption, GaussianNoise, MaskedBlock, SaltAndPepper

SHAPE = (8, 12)
N = 500
MISTAKES = [
    (GaussianNoise, {"sigma": 0.0}),
    (GaussianNoise, {"sigma": -0.3}),
    (SaltAndPepper, {"share": 0.0}),
    (SaltAndPepper, {"share": 1.1}),
    (MaskedBlock, {"side": 0.0}),
    (MaskedBlock, {"side": 1.1}),
]


@pytest.fixture
def x() -> torch.Tensor:
    """Grey images, with pixels at both ends: [N, 96]."""
    x = torch.rand(N, SHAPE[0] * SHAPE[1], generator=torch.Generator().manual_seed(1))
    x[:, :10], x[:, -10:] = 0, 1
    return x


def corrupted(corruption: Corruption, x: torch.Tensor, seed: int = 0, shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    return corruption(x, shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("corruption", CORRUPTIONS.with_defaults(), ids=list(CORRUPTIONS))
def test_every_corruption_gives_other_pixels_between_0_and_1(corruption, x):
    before = x.clone()
    found = corrupted(corruption, x)
    assert torch.equal(x, before), "the images that it is given must stay as they are"
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found != x).any(1).all(), "no image may come out as it was"


@pytest.mark.parametrize("corruption", CORRUPTIONS.with_defaults(), ids=list(CORRUPTIONS))
def test_every_corruption_is_a_function_of_its_generator(corruption, x):
    assert torch.equal(corrupted(corruption, x), corrupted(corruption, x))
    assert not torch.equal(corrupted(corruption, x), corrupted(corruption, x, seed=1))
    same = x[:1].expand(20, -1)
    assert len(corrupted(corruption, same).unique(dim=0)) > 10, "each image must be corrupted in its own way"


@pytest.mark.parametrize("definition", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_every_label_names_one_line_and_nothing_else(definition):
    assert definition().label == definition().label.strip() != ""
    assert "\n" not in definition().label


def test_labels_tell_settings_apart():
    each = [GaussianNoise(sigma=0.1), GaussianNoise(sigma=0.5), SaltAndPepper(share=0.2), MaskedBlock(side=0.25)]
    assert [corruption.label for corruption in each] == [
        "Gaussian noise, σ 0.1",
        "Gaussian noise, σ 0.5",
        "salt and pepper, share 0.2",
        "masked block, side 0.25",
    ]


@pytest.mark.parametrize(("definition", "settings"), MISTAKES)
def test_settings_out_of_bounds_are_refused(definition, settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be above 0"):
        definition(**settings)


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_gaussian_noise_has_its_sigma_and_is_clipped(sigma):
    x = torch.full((2000, 96), 0.5)
    noise = (corrupted(GaussianNoise(sigma=sigma), x) - 0.5).double().flatten().numpy()
    # Clipped at ±0.5, it is a Gaussian that is censored there: what lies beyond stands at the edge.
    edge = 0.5 / sigma
    inside = 1 - 2 * edge * stats.norm.pdf(edge) - 2 * stats.norm.sf(edge)
    assert noise.std() == pytest.approx(sigma * math.sqrt(inside + 2 * edge**2 * stats.norm.sf(edge)), rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=5 * sigma / math.sqrt(noise.size))
    assert (noise == 0.5).mean() == pytest.approx(stats.norm.sf(edge), abs=0.003)
    # Pixels are independent, and so are images.
    by_image = noise.reshape(x.shape)
    for one, other in ((by_image[:, 0], by_image[:, 1]), (by_image[0::2].ravel(), by_image[1::2].ravel())):
        assert abs(stats.pearsonr(one, other)[0]) < 5 / math.sqrt(one.size)


@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
def test_of_salt_and_pepper_there_is_as_much_of_either(share):
    x = torch.full((2000, 96), 0.25)
    found = corrupted(SaltAndPepper(share=share), x)
    error = 5 * math.sqrt(0.25 / found.numel())
    assert (found == 1).double().mean().item() == pytest.approx(share / 2, abs=error)
    assert (found == 0).double().mean().item() == pytest.approx(share / 2, abs=error)
    assert ((found == 0) | (found == 1) | (found == 0.25)).all()


@pytest.mark.parametrize(
    ("side", "shape", "block"),
    [
        (0.5, (8, 8), (4, 4)),
        (0.5, (28, 28), (14, 14)),
        (0.25, (8, 12), (2, 3)),
        (0.01, (8, 8), (1, 1)),
        (1, (5, 7), (5, 7)),
    ],
)
def test_a_block_is_masked_at_any_place(side, shape, block):
    x = torch.full((3000, shape[0] * shape[1]), 0.5)
    found = corrupted(MaskedBlock(side=side), x, shape=shape).unflatten(1, shape)
    is_masked = found == 0
    assert (found[~is_masked] == 0.5).all()
    assert (is_masked.any(2).sum(1) == block[0]).all()
    assert (is_masked.any(1).sum(1) == block[1]).all()
    assert (is_masked.sum((1, 2)) == block[0] * block[1]).all(), "it has no holes"
    for axis in (0, 1):
        starts = is_masked.any(2 - axis).int().argmax(1)
        counts = torch.bincount(starts, minlength=shape[axis] - block[axis] + 1)
        assert len(counts) == shape[axis] - block[axis] + 1
        # Within five standard errors of equal shares.
        assert (counts - 3000 / len(counts)).abs().max() <= 5 * math.sqrt(3000 / len(counts))
