"""AUROC and average precision, against counts by hand, scikit-learn and their own spread over draws."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vaebench.detection import auroc, average_precision


def pairs_in_order(normal, anomalous):
    """The share of all pairs in which the anomalous one scores higher, ties counted half."""
    return np.mean([(a > b) + 0.5 * (a == b) for a in anomalous for b in normal])


@pytest.mark.parametrize("n_values", [3, 1000])
def test_auroc_is_the_share_of_pairs_in_order(n_values):
    random = np.random.default_rng(0)
    normal, anomalous = random.integers(n_values, size=40).astype(float), random.integers(n_values, size=23) * 1.2
    area = auroc(normal, anomalous)
    assert area.value == pytest.approx(pairs_in_order(normal, anomalous), abs=1e-12)
    labels = np.repeat([0, 1], [40, 23])
    assert area.value == pytest.approx(roc_auc_score(labels, np.concatenate([normal, anomalous])), abs=1e-12)


def test_a_perfect_score_has_1_one_turned_round_0_and_one_that_says_nothing_a_half():
    low, high = np.arange(5.0), np.arange(5.0, 8.0)
    assert auroc(low, high) == (1, 0)
    assert auroc(high, low) == (0, 0)
    assert auroc(np.ones(5), np.ones(3)).value == 0.5
    assert average_precision(low, high) == (1, 0)


def draws(score, shift, n=60, m=25, n_draws=400):
    """Values and standard errors of so many draws of Gaussian scores, the anomalous ones shifted."""
    random = np.random.default_rng(1)
    estimates = [score(random.normal(size=n), random.normal(shift, size=m)) for _ in range(n_draws)]
    return np.array(estimates, float).T


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_standard_error_of_auroc_is_its_spread_over_draws(shift):
    values, errors = draws(auroc, shift)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.12)


def test_noise_has_auroc_a_half_within_its_interval():
    values, errors = draws(auroc, shift=0)
    covered = np.mean(abs(values - 0.5) < 1.96 * errors)
    assert 0.91 < covered < 0.98
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / 20)


def test_average_precision_by_hand():
    # From the top: anomalous, normal, anomalous, normal. Precision is 1 at the first anomalous one, 2/3 at the second.
    estimate = average_precision(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    assert estimate.value == pytest.approx((1 + 2 / 3) / 2)
    assert estimate.standard_error == pytest.approx((5 / 6 * 1 / 6 / 2) ** 0.5)


def test_the_standard_error_of_average_precision_is_near_its_spread_over_draws():
    values, errors = draws(average_precision, shift=1.0, n_draws=150)
    assert 0.6 < errors.mean() / values.std(ddof=1) < 1.6


def test_average_precision_of_noise_is_the_share_of_anomalous_images():
    values, _ = draws(average_precision, shift=0, n=400, m=100, n_draws=50)
    assert values.mean() == pytest.approx(0.2, abs=0.02)


def test_a_single_anomalous_image_has_an_area_without_an_error():
    assert auroc(np.arange(4.0), np.array([2.5])) == (0.75, None)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_scores_that_are_not_finite_have_no_area(fault):
    assert np.isnan(auroc(np.arange(4.0), np.array([fault, 1])).value)
    assert np.isnan(average_precision(np.array([fault, 1]), np.arange(4.0)).value)
