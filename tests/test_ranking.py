"""Ranks against what intervals drawn by hand leave open."""

import math

import pandas as pd
import pytest

from vaebench.metrics import METRICS
from vaebench.ranking import Rank, ranks


def summary(metric: str, *rows: tuple) -> pd.DataFrame:
    """rows: measure, binarisation, mean, low, high."""
    columns = ["measure", "binarisation", metric, f"{metric}_low", f"{metric}_high"]
    return pd.DataFrame(rows, columns=columns).assign(left_out=None)


def test_overlapping_intervals_share_places():
    table = summary(
        "elbo",
        ("mass", "none", -10, -10.5, -9.5),
        ("mass", "none", -9, -9.2, -8.8),
        ("mass", "none", -9.9, -10.4, -9.4),
        ("mass", "none", -12, -12.5, -11.5),
    )
    assert list(map(str, ranks(table, METRICS["elbo"]))) == ["2–3", "1", "2–3", "4"]
    assert [rank.is_best for rank in ranks(table, METRICS["elbo"])] == [False, True, False, False]


def test_a_chain_of_overlaps_is_no_tie():
    # The first overlaps the second and the second the third, but the first lies apart from the third.
    table = summary("elbo", *(("mass", "none", m, m - 0.8, m + 0.8) for m in (3.0, 2.0, 1.0)))
    assert ranks(table, METRICS["elbo"]) == [Rank(1, 2, 3), Rank(1, 3, 3), Rank(2, 3, 3)]


def test_lower_is_better_where_the_metric_says_so():
    table = summary("nll", ("mass", "none", 90, 89, 91), ("mass", "none", 80, 79, 81))
    assert list(map(str, ranks(table, METRICS["nll"]))) == ["2", "1"]


def test_likelihoods_of_another_measure_and_other_data_are_ranked_apart():
    rows = [("mass", "none", 1, 0.9, 1.1), ("density", "none", 2, 1.9, 2.1), ("mass", "static", 3, 2.9, 3.1)]
    assert [rank.n for rank in ranks(summary("elbo", *rows), METRICS["elbo"])] == [1, 1, 1]
    assert not any(rank.is_best for rank in ranks(summary("elbo", *rows), METRICS["elbo"]))
    # Squared errors are in pixel values whatever the likelihood, but only of the same images.
    assert [str(rank) for rank in ranks(summary("squared_error", *rows), METRICS["squared_error"])] == ["1", "2", "1"]


def test_numbers_of_runs_without_different_classes_are_ranked_apart():
    table = summary("squared_error", *(("mass", "none", value, value, value) for value in (1, 2, 3, 4)))
    table = table.assign(left_out=[None, "3", None, "3"])
    assert [str(rank) for rank in ranks(table, METRICS["squared_error"])] == ["1", "1", "2", "2"]


def test_without_intervals_every_place_is_open():
    table = summary("elbo", ("mass", "none", 1, math.nan, math.nan), ("mass", "none", 9, math.nan, math.nan))
    assert ranks(table, METRICS["elbo"]) == [Rank(1, 2, 2)] * 2


@pytest.mark.parametrize(("name", "value"), [("rate", 1.0), ("elbo", math.nan)])
def test_no_rank_without_a_direction_or_a_number(name, value):
    assert ranks(summary(name, ("mass", "none", value, value, value)), METRICS[name]) == [None]
