"""Metrics on hand-made scores with exact answers."""

import math

import numpy as np
import pytest

from vaebench.linear_optimum import LinearOptimum
from vaebench.metrics import FAMILIES, METRICS, Metrics, compute_all, mean_over_images
from vaebench.scores import Scores

OPTIMUM = LinearOptimum(
    sigma=0.5,
    eigenvalues=np.array([2.0, 1.0, 0.25]),
    kl=np.array([1.5, 0.5, 0.0]),
    mean_variance=np.array([0.75, 0.5, 0.0]),
    posterior_variance=np.array([0.25, 0.5, 1.0]),
    distortion=9.0,
)


def scores(**changes) -> Scores:
    """Two images of 8 pixels and three dimensions, with everything that a run can have."""
    fields = {
        "rate": np.array([1.0, 3.0]),
        "distortion": np.array([10.0, 14.0]),
        "nll": np.array([10.5, 16.5]),
        "effective_samples": np.array([2.0, 5.0]),
        "kl": np.array([[1.0, 0.0, 0.0], [2.0, 0.05, 0.95]]),
        "mean": np.array([[1.0, 0.0, 0.3], [-1.0, 0.0, 0.3]]),
        "variance": np.array([[0.1, 1.0, 0.7], [0.3, 1.0, 0.5]]),
        "log_ratio": np.array([0.4, 0.6]),
        "correlation": np.array([0.1, 0.3]),
        "permuted_distortion": np.array([5.0, 8.0]),
        "squared_error": np.array([0.25, 0.75]),
        "psnr": np.array([20.0, 26.0]),
        "ssim": np.array([0.5, 0.9]),
        "n_pixels": 8,
        "kl_weight": 4.0,
        "level_distortion": np.array([15.0, 21.0]),
        "common_level_distortion": np.array([7.0, 13.0]),
        "common_sigma": 0.3,
        "decoder_variance": 0.25,
        "share_at_bound": 0.125,
        "optimum": OPTIMUM,
        # Ties go to the first class.
        "class_probabilities": np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]),
        "labels": np.array([1, 2], np.uint8),
    }
    return Scores(**fields | changes)


# By hand, from the scores above: value and standard error. Two images that lie d apart have the standard error d / 2.
BITS = 8 * math.log(2)
EXPECTED = {
    "elbo": (-14, 3),  # -(10 + 1) and -(14 + 3)
    "rate": (2, 1),
    "distortion": (12, 2),
    "nll": (13.5, 3),
    "inference_gap": (0.5, 0),  # 11 - 10.5 and 17 - 16.5
    "effective_samples": (3.5, 1.5),
    "bits_per_dim": (20 / BITS, 4 / BITS),  # 1 + 15 and 3 + 21 nats
    "common_bits_per_dim": (12 / BITS, 4 / BITS),  # 1 + 7 and 3 + 13 nats
    "common_sigma": (0.3, None),
    "sigma": (0.5, None),
    "effective_weight": (1, None),  # 4 · 0.25
    "share_at_bound": (0.125, None),
    "active_units": (1, None),  # variances of the means: 1, 0, 0
    "collapsed_units": (1, None),  # largest KLs: 2, 0.05, 0.95
    "posterior_variance": (0.6, 0),  # 1.8 / 3 and 1.8 / 3
    "decoder_use": (6.5, 1.5),
    "mutual_information": (0.5, 0.1),
    "marginal_kl": (1.5, 0.9),  # 1 - 0.4 and 3 - 0.6
    "total_correlation": (0.2, 0.1),
    "dimension_kl": (1.3, None),  # 2 - 0.5 - 0.2
    "squared_error": (0.5, 0.25),
    "psnr": (23, 3),
    "ssim": (0.7, 0.2),
    "optimal_elbo": (-11, None),  # -(9 + 2)
    "optimal_active_units": (2, None),
    "optimum_gap": (3, 3),  # -11 - (-14)
    "classifier_accuracy": (0.5, 0.5),  # right and wrong
}
# What a run may lack, and the metrics that it then has not.
OPTIONAL = {
    "ssim": ["ssim"],
    "level_distortion": ["bits_per_dim"],
    "common_level_distortion": ["common_bits_per_dim"],
    "common_sigma": ["common_sigma"],
    "decoder_variance": ["sigma", "effective_weight"],
    "share_at_bound": ["share_at_bound"],
    "optimum": ["optimal_elbo", "optimal_active_units", "optimum_gap"],
    "class_probabilities": ["classifier_accuracy"],
}
# And what a model with classes lacks.
WITH_CLASSES = {
    "log_ratio": ["mutual_information", "marginal_kl", "dimension_kl"],
    "permuted_distortion": ["decoder_use"],
}
BARE = dict.fromkeys(OPTIONAL)


def collapsed(n: int = 50, latent_size: int = 4) -> Scores:
    """An encoder that says nothing: μ = 0, σ = 1 for every image."""
    nothing, one = np.zeros(n), np.ones(n)
    names = ("distortion", "nll", "effective_samples", "squared_error", "psnr")
    flat = np.zeros((n, latent_size))
    return scores(
        **dict.fromkeys(names, one),
        **dict.fromkeys(("rate", "log_ratio", "correlation", "permuted_distortion"), nothing),
        **BARE,
        kl=flat,
        mean=flat,
        variance=np.ones((n, latent_size)),
    )


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_what_it_is_and_is_a_finite_number_where_it_applies(metric):
    assert metric.label
    assert isinstance(metric.unit, str)
    assert metric.definition.endswith(".")
    assert metric.reference
    assert metric.family in FAMILIES
    assert metric.arrow == {"higher": "↑", "lower": "↓", None: ""}[metric.better]
    assert METRICS[metric.name] is metric
    for made in (scores(), scores(**BARE), collapsed(), collapsed(n=1, latent_size=1), collapsed(n=1)):
        estimate = metric.compute(made)
        if estimate is not None:
            assert math.isfinite(estimate.value)
            assert estimate.standard_error is None or estimate.standard_error >= 0


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_what_was_worked_out_by_hand(name):
    assert name in EXPECTED, "work out by hand what a new metric is of these scores"
    estimate = METRICS[name].compute(scores())
    value, standard_error = EXPECTED[name]
    assert estimate.value == pytest.approx(value, rel=1e-12)
    if standard_error is None:
        assert estimate.standard_error is None
    else:
        assert estimate.standard_error == pytest.approx(standard_error, rel=1e-12, abs=1e-15)


def test_no_metric_is_expected_that_is_gone():
    assert set(EXPECTED) == set(METRICS)


@pytest.mark.parametrize(("field", "metrics"), (OPTIONAL | WITH_CLASSES).items())
def test_a_metric_that_does_not_apply_is_left_out(field, metrics):
    assert set(METRICS) - set(compute_all(scores(**{field: None}))) == set(metrics)


def test_a_standard_error_is_that_of_the_mean():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    # Squares around the mean 4: 9 + 4 + 0 + 25 = 38; over 3, over 4 images.
    assert mean_over_images(values) == pytest.approx((4, math.sqrt(38 / 3 / 4)))
    assert mean_over_images(values[:1]) == (1, None)


def test_one_image_has_no_standard_errors():
    for name, estimate in compute_all(collapsed(n=1, latent_size=1)).items():
        assert estimate.standard_error is None, name


def test_the_parts_of_the_rate_add_up():
    values = {name: estimate.value for name, estimate in compute_all(scores()).items()}
    assert values["rate"] == pytest.approx(values["mutual_information"] + values["marginal_kl"], rel=1e-12)
    assert values["marginal_kl"] == pytest.approx(values["total_correlation"] + values["dimension_kl"], rel=1e-12)
    assert values["elbo"] == -(values["distortion"] + values["rate"])
    assert values["inference_gap"] == -values["nll"] - values["elbo"]


def test_a_collapsed_encoder():
    values = compute_all(collapsed())
    assert values["rate"] == (0, 0)
    assert values["mutual_information"] == (0, 0)
    assert values["decoder_use"] == (0, 0)
    assert values["posterior_variance"] == (1, 0)
    assert values["active_units"].value == 0
    assert values["collapsed_units"].value == 4
    assert values["elbo"].value == -values["distortion"].value


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two metrics are called 'elbo'"):

        @METRICS.register(family="evidence", label="x", unit="x", definition="x.", reference="x")
        def elbo(scores):
            raise AssertionError


def test_a_metric_belongs_to_a_family():
    with pytest.raises(ValueError, match="'lonely' is of the family 'none such', which is none of"):

        @Metrics().register(family="none such", label="x", unit="x", definition="x.", reference="x")
        def lonely(scores):
            raise AssertionError
