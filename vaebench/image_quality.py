"""How close a reconstruction comes to its image."""

from __future__ import annotations

import numpy as np

# scikit-image's default; in pixels.
WINDOW = 7


def squared_errors(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Mean over pixels: [N, D], [N, D] -> [N]."""
    return np.square(x.astype(float) - reconstruction).mean(axis=1)


def psnr(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio for pixel values in [0, 1], in dB: [N, D], [N, D] -> [N]; infinite where equal."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(squared_errors(x, reconstruction))


def pooled_psnr(squared_errors: np.ndarray) -> np.ndarray:
    """PSNR of the mean of squared errors [N] over images, in dB, as the mean of its parts by image: [N].

    Finite where single images have no error, unlike the mean of their own PSNRs. The parts are its derivative by the
    images' errors, so that the standard error of their mean is that of the delta method. Infinite where no image has any.
    """
    mean = squared_errors.mean()
    if mean == 0:
        return np.full(len(squared_errors), np.inf)
    return -10 * np.log10(mean) - 10 / np.log(10) * (squared_errors / mean - 1)


def ssim(x: np.ndarray, reconstruction: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Structural similarity (Wang et al. 2004): [N, D], [N, D] -> [N]; None for images smaller than a window.

    The images are laid one below the other in one call, and only windows that lie within an image count, which is what a
    call for each of them would give.
    """
    from skimage.metrics import structural_similarity

    if min(shape) < WINDOW:
        return None
    sheets = (images.astype(float).reshape(-1, shape[1]) for images in (x, reconstruction))
    _, similarity = structural_similarity(*sheets, win_size=WINDOW, data_range=1, full=True)
    edge = WINDOW // 2
    return similarity.reshape(-1, *shape)[:, edge:-edge, edge:-edge].mean(axis=(1, 2))
