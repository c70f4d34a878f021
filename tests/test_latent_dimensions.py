"""Latent dimensions by their definitions, on hand-made scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_metrics import collapsed, scores

from vaebench.latent_dimensions import (
    COLLAPSE_DELTA,
    COLLAPSE_EPSILON,
    DIMENSION_COLUMNS,
    OPTIMAL_COLUMNS,
    collapse_epsilons,
    collapse_verdict,
    collapsed_dimensions,
    count_active,
    dimensions,
)
from vaebench.metrics import compute_all

FEW = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def test_active_units_counts_variances_above_the_threshold():
    # Variances (ddof 0) of ±a are a².
    mean = np.array([[0.2, 0.1001, 0.0999, 3.0], [-0.2, -0.1001, -0.0999, 3.0]])
    assert count_active(mean) == 2
    assert count_active(mean, threshold=0.009) == 3
    assert count_active(mean, threshold=0.05) == 0


@pytest.mark.parametrize(
    ("n", "n_spared"), [(1, 0), (2, 0), (99, 0), (100, 1), (199, 1), (200, 2), (360, 3), (10_000, 100)]
)
def test_one_image_in_a_hundred_may_have_a_larger_kl(n, n_spared):
    # KLs 1, 2, … n in some order: n - n_spared of them have to lie below ε.
    kl = np.random.default_rng(0).permutation(n)[:, None] + 1.0
    assert collapse_epsilons(kl).tolist() == [n - n_spared]
    # No other number of images would do: with one more above ε, less than 99 % lie below it.
    assert n - n_spared >= 0.99 * n > n - n_spared - 1


def test_another_share_of_images_may_be_named():
    kl = np.arange(1.0, 11.0)[:, None]
    assert [collapse_epsilons(kl, delta).item() for delta in (0, 0.05, 0.1, 0.3, 0.35)] == [10, 10, 9, 7, 7]
    # 0.29 · 100 is a little less than 29 in floating point.
    assert collapse_epsilons(np.arange(1.0, 101.0)[:, None], 0.29).item() == 71


def test_a_kl_of_epsilon_is_not_below_epsilon():
    just_below = np.nextafter(COLLAPSE_EPSILON, 0)
    assert collapsed_dimensions(np.array([[COLLAPSE_EPSILON, just_below]] * 3)) == [1]


@FEW
@given(arrays.arrays(float, st.tuples(st.integers(1, 300), st.integers(1, 3)), elements=st.floats(0, 0.2)))
def test_collapsed_dimensions_are_those_of_the_definition(kl):
    # P(KL_i < ε) >= 1 - δ, counted in whole images.
    expected = [
        index
        for index, column in enumerate(kl.T)
        if 100 * sum(value < COLLAPSE_EPSILON for value in column) >= 99 * len(kl)
    ]
    assert COLLAPSE_DELTA == 0.01
    assert collapsed_dimensions(kl) == expected
    assert compute_all(scores(kl=kl))["collapsed_units"] == (len(expected), None)


def test_a_verdict_in_a_word():
    assert [collapse_verdict(n, 3) for n in (0, 1, 2, 3)] == ["none", "partial", "partial", "full"]
    assert [collapse_verdict(n, 1) for n in (0, 1)] == ["none", "full"]
    # A mean over seeds that is not a whole number.
    assert collapse_verdict(0.4, 3) == collapse_verdict(2.6, 3) == "partial"


def test_dimensions_stand_in_the_order_of_their_kl():
    found = dimensions(scores(optimum=None))
    assert tuple(found) == DIMENSION_COLUMNS
    assert found["dimension"].tolist() == [0, 2, 1]
    assert found["kl"].tolist() == pytest.approx([1.5, 0.475, 0.025])
    assert found["collapse_epsilon"].tolist() == [2, 0.95, 0.05]
    assert found["mean_variance"].tolist() == pytest.approx([1, 0, 0])
    assert found["posterior_variance"].tolist() == pytest.approx([0.2, 0.6, 1])
    assert found["kl"].sum() == pytest.approx(scores().rate.mean())


def test_dimensions_stand_beside_those_of_the_optimum():
    found = dimensions(scores())
    assert tuple(found) == DIMENSION_COLUMNS + OPTIMAL_COLUMNS
    assert found["optimal_kl"].tolist() == [1.5, 0.5, 0]
    assert found["optimal_mean_variance"].tolist() == [0.75, 0.5, 0]
    assert found["optimal_posterior_variance"].tolist() == [0.25, 0.5, 1]
    # λ / βσ² with β = 4 and σ² = ¼.
    assert found["eigenvalue_ratio"].tolist() == [2, 1, 0.25]


def test_dimensions_of_equal_kl_keep_their_order():
    assert dimensions(collapsed())["dimension"].tolist() == [0, 1, 2, 3]
