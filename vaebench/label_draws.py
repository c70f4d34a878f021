"""Which of the training images come with their labels, where only a few do."""

from __future__ import annotations

import numpy as np

from vaebench.errors import UserError


def label_draw(labels: np.ndarray, n_labels: int, draw: int = 0) -> np.ndarray:
    """Indices of n_labels images in rising order, the classes balanced (Kingma et al. 2014b): labels [N] -> int [n_labels].

    What cannot be shared evenly goes to as many classes, drawn too. A draw is a seed of its own: runs with other seeds, and
    all that else learns from these labels, get the same images. Raises UserError where a class has too few.
    """
    random = np.random.RandomState(draw)
    classes = random.permutation(np.unique(labels))
    shares = np.full(len(classes), n_labels // len(classes))
    shares[: n_labels % len(classes)] += 1
    drawn = []
    for label, share in zip(classes, shares, strict=True):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < share:
            raise UserError(
                f"{n_labels} labels of {len(classes)} classes need {share} training images of class {label}, "
                f"and there are {len(of_class)}; ask for fewer labels"
            )
        drawn.append(random.permutation(of_class)[:share])
    return np.sort(np.concatenate(drawn))
