"""Metrics on hand-made scores with exact answers."""

import numpy as np
import pytest

from vaebench.metrics import METRICS, Scores, compute_all, count_active, kl_spectrum


def scores(**changes) -> Scores:
    fields = {
        "rate": np.array([1.0, 3.0]),
        "distortion": np.array([10.0, 14.0]),
        "nll": np.array([10.5, 16.5]),
        "kl": np.array([[1.0, 0.0, 0.0], [2.0, 0.5, 0.5]]),
        "mean": np.array([[1.0, 0.0, 0.3], [-1.0, 0.0, 0.3]]),
    }
    return Scores(**fields | changes)


def collapsed(n: int = 50, latent_size: int = 4) -> Scores:
    """An encoder that says nothing: μ = 0, σ = 1 for every image."""
    nothing = np.zeros((n, latent_size))
    return scores(rate=np.zeros(n), distortion=np.ones(n), nll=np.ones(n), kl=nothing, mean=nothing)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_what_it_is_and_is_a_finite_number(metric):
    assert metric.label
    assert metric.unit
    assert metric.definition.endswith(".")
    assert metric.reference
    for made in (scores(), collapsed(), collapsed(n=1, latent_size=1)):
        estimate = metric.compute(made)
        assert np.isfinite(estimate.value)
        assert estimate.standard_error is None or estimate.standard_error >= 0


def test_values_and_standard_errors():
    values = compute_all(scores())
    assert values["elbo"].value == -14
    assert values["rate"].value == 2
    assert values["distortion"].value == 12
    assert values["nll"].value == 13.5
    # Two values that lie d apart have the standard error d / 2.
    assert values["rate"].standard_error == pytest.approx(1)
    assert values["elbo"].standard_error == pytest.approx(3)
    assert values["active_units"] == (1, None)


def test_elbo_is_minus_distortion_minus_rate():
    values = compute_all(scores())
    assert values["elbo"].value == -(values["distortion"].value + values["rate"].value)


def test_a_collapsed_encoder():
    values = compute_all(collapsed())
    assert values["rate"] == (0, 0)
    assert values["active_units"].value == 0
    assert values["elbo"].value == -values["distortion"].value


def test_active_units_counts_variances_above_the_threshold():
    # Variances (ddof 0) of ±a are a².
    mean = np.array([[0.2, 0.1001, 0.0999, 3.0], [-0.2, -0.1001, -0.0999, 3.0]])
    assert count_active(mean) == 2
    assert count_active(mean, threshold=0.009) == 3
    assert count_active(mean, threshold=0.05) == 0


def test_the_spectrum_is_sorted_and_sums_to_the_rate():
    spectrum = kl_spectrum(scores(kl=np.array([[0.1, 3.0], [0.3, 5.0]])))
    assert spectrum.tolist() == [4.0, 0.2]


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="two metrics are called 'elbo'"):

        @METRICS.register(label="x", unit="x", better=None, per_likelihood=False, definition="x.", reference="x")
        def elbo(scores):
            raise AssertionError
