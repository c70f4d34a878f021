"""Measures of reconstructions against scikit-image called image by image, and by hand."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vaebench.image_quality import pooled_psnr, psnr, squared_errors, ssim


def pairs(n: int, shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of all kinds and their reconstructions, single precision, [n, D]."""
    generator = np.random.default_rng(seed)
    x = (generator.random((n, shape[0] * shape[1])) ** 3).astype(np.float32)
    x[0] = 0
    reconstruction = (x + generator.normal(size=x.shape) * generator.random((n, 1)) * 0.3).clip(0, 1).astype(np.float32)
    return x, reconstruction


@pytest.mark.parametrize("shape", [(7, 7), (8, 8), (28, 28), (9, 20)])
def test_psnr_and_ssim_are_those_of_a_call_for_each_image(shape):
    x, reconstruction = pairs(20, shape)
    for index, (found_psnr, found_ssim) in enumerate(
        zip(psnr(x, reconstruction), ssim(x, reconstruction, shape), strict=True)
    ):
        pair = [values[index].astype(float).reshape(shape) for values in (x, reconstruction)]
        assert found_psnr == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1), rel=1e-12)
        assert found_ssim == pytest.approx(structural_similarity(*pair, data_range=1), rel=1e-9, abs=1e-12)


def test_squared_errors_and_psnr_by_hand():
    x = np.array([[0, 1, 0.5, 0.5], [1, 1, 1, 1]], dtype=np.float32)
    reconstruction = np.array([[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9]], dtype=np.float32)
    assert squared_errors(x, reconstruction).tolist() == pytest.approx([0.125, 0.01], rel=1e-6)
    # -10 log10 of the mean squared error, as pixel values reach up to 1.
    assert psnr(x, reconstruction).tolist() == pytest.approx([9.0309, 20], rel=1e-4)


def test_pooled_psnr_is_that_of_all_images_together():
    x, reconstruction = (values.astype(float) for values in pairs(60, (8, 8)))
    x[3] = reconstruction[3]  # of which alone it would be infinite
    parts = pooled_psnr(squared_errors(x, reconstruction))
    assert parts.mean() == pytest.approx(peak_signal_noise_ratio(x, reconstruction, data_range=1), rel=1e-12)
    kept = [np.arange(60) != left_out for left_out in range(60)]
    without = [peak_signal_noise_ratio(x[some], reconstruction[some], data_range=1) for some in kept]
    assert parts.std(ddof=1) / np.sqrt(60) == pytest.approx(np.sqrt(59 * np.var(without)), rel=0.05)
    assert (pooled_psnr(np.zeros(4)) == np.inf).all()


def test_ssim_of_a_single_window_by_hand():
    x, reconstruction = (values.astype(float) for values in pairs(5, (7, 7)))
    for index, found in enumerate(ssim(x, reconstruction, (7, 7))):
        one, other = x[index], reconstruction[index]
        covariance = np.cov(one, other)
        luminance = (2 * one.mean() * other.mean() + 1e-4) / (one.mean() ** 2 + other.mean() ** 2 + 1e-4)
        structure = (2 * covariance[0, 1] + 9e-4) / (covariance.trace() + 9e-4)
        assert found == pytest.approx(luminance * structure, rel=1e-9)


def test_ssim_of_an_image_and_itself_is_1():
    x, _ = pairs(6, (8, 8))
    assert ssim(x, x, (8, 8)).tolist() == pytest.approx([1] * 6, abs=1e-12)


def test_neighbours_change_nothing():
    x, reconstruction = pairs(6, (8, 8))
    alone = [ssim(x[[index]], reconstruction[[index]], (8, 8)).item() for index in range(6)]
    assert ssim(x, reconstruction, (8, 8)).tolist() == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("shape", [(6, 6), (1, 16), (16, 1), (28, 6)])
def test_images_smaller_than_a_window_have_no_ssim(shape):
    x, reconstruction = pairs(3, shape)
    assert ssim(x, reconstruction, shape) is None
    assert np.isfinite(psnr(x, reconstruction)).all()
