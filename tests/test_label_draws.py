"""Which images come with their labels."""

import numpy as np
import pytest

from vaebench.errors import UserError
from vaebench.label_draws import label_draw

LABELS = np.array([3, 1, 1, 0, 3, 0, 1, 3, 0, 1, 3, 0] * 5, np.uint8)


def test_classes_are_balanced_and_no_image_is_drawn_twice():
    for n_labels in (3, 9, 60):
        drawn = label_draw(LABELS, n_labels)
        assert len(set(drawn.tolist())) == len(drawn) == n_labels
        assert np.bincount(LABELS[drawn])[[0, 1, 3]].tolist() == [n_labels // 3] * 3


def test_what_cannot_be_shared_evenly_goes_to_classes_drawn_too():
    counts = {tuple(np.bincount(LABELS[label_draw(LABELS, 4, draw)])[[0, 1, 3]]) for draw in range(40)}
    assert counts == {(2, 1, 1), (1, 2, 1), (1, 1, 2)}


def test_a_draw_is_a_function_of_its_number():
    first = label_draw(LABELS, 6, 1)
    np.testing.assert_array_equal(label_draw(LABELS, 6, 1), first)
    assert len({tuple(label_draw(LABELS, 6, draw)) for draw in range(10)}) == 10


def test_every_image_of_a_class_can_be_drawn():
    drawn = np.concatenate([label_draw(LABELS, 3, draw) for draw in range(400)])
    assert set(drawn.tolist()) == set(range(60))


def test_a_class_with_too_few_images_is_one_line():
    with pytest.raises(UserError, match=r"^63 labels of 3 classes need 21 training images of class \d, and there are 20; "):
        label_draw(LABELS, 63)
