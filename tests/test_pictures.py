"""Pictures and latent means against a Bernoulli VAE with one hidden layer, written in numpy from its weights."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from vaebench.datasets import Digits
from vaebench.evaluation import evaluate
from vaebench.images import Images
from vaebench.networks import Mlp
from vaebench.pictures import MOST_MEANS
from vaebench.settings import Run
from vaebench.streams import generator
from vaebench.training import train


@pytest.fixture(scope="module", params=[2, 5], ids="{} latent dimensions".format)
def trained(request, digits):
    """A trained run and its state."""
    settings = {"network": Mlp(hidden=(32,)), "latent_size": request.param, "epochs": 30, "learning_rate": 3e-3}
    run = Run(variant="a", dataset=Digits(), seed=0, **settings)
    [done] = train([run], digits)
    return run, done.state


def pixels(images, split="test"):
    return images.levels[split].numpy() / 16


def layers(state, part, x):
    for name, activation in (("0", lambda values: values.clip(min=0)), ("2", lambda values: values)):
        x = activation(x @ state[f"{part}.{name}.weight"].numpy().T + state[f"{part}.{name}.bias"].numpy())
    return x


def encoded(state, x):
    """Posterior mean and KL of each dimension, [N, Z]."""
    mean, log_variance = np.split(layers(state, "encoder", x), 2, axis=1)
    return mean, 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1)


def assert_decoded(images, state, codes):
    """Within the one grey level that rounding may differ by."""
    expected = 255 * special.expit(layers(state, "decoder", codes))
    assert images.dtype == np.uint8
    np.testing.assert_allclose(images, expected, atol=0.51)


def places(images, x):
    """Where in x [N, D] these grey levels stand."""
    levels = np.round(255 * x)
    return [int(np.flatnonzero((levels == image).all(axis=1))[0]) for image in images]


def test_each_picture_is_the_mean_image_at_its_code(trained, digits):
    run, state = trained
    x, labels = pixels(digits), digits.labels["test"]
    pictures = evaluate([run], [state], digits, 1)[0].pictures
    mean, kl = encoded(state, x)
    shown = pictures.originals, pictures.others, pictures.interpolation[[0, -1]]
    originals, others, ends = (places(images, x) for images in shown)
    assert (originals[0], others[-1]) == (0, 359)
    assert np.diff(np.sort(originals + others)).tolist() == pytest.approx([359 / 19] * 19, abs=1)
    assert_decoded(pictures.reconstructions, state, mean[originals])
    prior = torch.randn(10, run.latent_size, generator=generator(run.seed, "prior samples", 0))
    assert_decoded(pictures.samples, state, prior.numpy())
    assert pictures.traversed.tolist() == [kl.mean(0).argmax(), kl.mean(0).argmin()]
    assert pictures.traversed_kl == pytest.approx([kl.mean(0).max(), kl.mean(0).min()], rel=1e-4)
    for images, dimension in zip(pictures.traversals, pictures.traversed, strict=True):
        moved = np.where(np.arange(run.latent_size) == dimension, np.linspace(-3, 3, 10)[:, None], mean[0])
        assert_decoded(images, state, moved)
    assert ends[0] == originals[0]
    assert labels[ends[0]] != labels[ends[1]]
    share = np.linspace(0, 1, 8)[:, None]
    assert_decoded(pictures.interpolation[1:-1], state, (1 - share) * mean[ends[0]] + share * mean[ends[1]])


def test_the_plane_of_two_dimensions_has_cells_of_equal_probability(trained, digits):
    run, state = trained
    grid = evaluate([run], [state], digits, 1)[0].pictures.grid
    if run.latent_size != 2:
        assert grid is None
        return
    assert grid.shape == (12, 12, 64)
    quantiles = stats.norm.ppf((np.arange(12) + 0.5) / 12)
    for row, column in np.ndindex(12, 12):
        assert_decoded(grid[row, column], state, np.array([quantiles[column], quantiles[11 - row]]))


def test_without_labels_two_images_are_joined_all_the_same(trained, digits):
    run, state = trained
    [evaluated] = evaluate([run], [state], Images(digits.levels, 17, "none"), 1)
    assert (evaluated.pictures.interpolation[[0, -1]] == evaluated.pictures.originals[[0, -1]]).all()
    assert evaluated.latent.labels is None


@pytest.mark.parametrize(("split", "n"), [("test", 360), ("train", MOST_MEANS)])
def test_latent_means_stand_beside_their_labels(trained, digits, split, n):
    run, state = trained
    latent = evaluate([run], [state], digits, 1, split)[0].latent
    mean, _ = encoded(state, pixels(digits, split))
    kept = [int(np.abs(mean - row).sum(1).argmin()) for row in latent.mean]
    assert latent.mean.dtype == np.float32
    np.testing.assert_allclose(latent.mean, mean[kept], atol=1e-4)
    assert (latent.labels == digits.labels[split][kept]).all()
    assert len(set(kept)) == n
    assert (kept[0], kept[-1]) == (0, len(mean) - 1)
