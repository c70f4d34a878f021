"""Sentences on tables small enough to check by eye."""

import math

import pandas as pd
import pytest

from vaebench import findings

KEYS = ["variant", "latent_size"]
NAN = math.nan


def comparisons(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, difference, low, high, n) of the ELBO; a difference of None is not comparable."""
    columns = ["variant", "latent_size", "metric", "baseline", "comparable", "difference", "low", "high", "n"]
    made = [
        (variant, size, "elbo", "bce", difference is not None, difference, *rest)
        for variant, size, difference, *rest in rows
    ]
    numbers = dict.fromkeys(("difference", "low", "high", "n"), float)
    return pd.DataFrame(made, columns=columns).astype(numbers)


def summary(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, active_units, low, high, n)."""
    return pd.DataFrame(rows, columns=[*KEYS, "active_units", "active_units_low", "active_units_high", "n"])


def runs(*rows) -> pd.DataFrame:
    """Rows (variant, measure, binarisation)."""
    made = pd.DataFrame(rows, columns=["variant", "measure", "binarisation"])
    return made.assign(likelihood="bernoulli", status="trained", run_id=made.variant + "-s0", diverged_epoch=None)


def test_elbo_states_the_largest_loss_and_the_largest_gain():
    table = comparisons(
        ("beta-4", 8, -2.95, -2.99, -2.91, 5),
        ("beta-2", 8, -1.0, -1.1, -0.9, 5),
        ("anneal", 8, 0.2, 0.1, 0.3, 4),
        ("cyclical", 8, 0.4, -0.1, 0.9, 5),
    )
    assert findings.elbo_differences(table, KEYS) == [
        "beta-4 loses 2.95 nats of ELBO against bce (95 % interval 2.91 to 2.99, 5 seeds), the largest of 2 supported "
        "losses; anneal gains 0.20 nats of ELBO against bce (95 % interval 0.10 to 0.30, 4 seeds).",
        "No difference in ELBO from bce is supported for cyclical.",
    ]


def test_elbo_says_where_on_the_grid():
    table = comparisons(
        ("beta-4", 2, -2.5, -2.6, -2.4, 5),
        ("beta-4", 8, 0.5, 0.4, 0.6, 5),
        ("beta-4", 32, 0.5, -0.4, 0.6, 5),
        ("anneal", 2, 0.1, -0.4, 0.6, 5),
    )
    assert findings.elbo_differences(table, KEYS) == [
        "At latent size 2, beta-4 loses 2.50 nats of ELBO against bce (95 % interval 2.40 to 2.60, 5 seeds); "
        "no gain is supported.",
        "At latent size 8, beta-4 gains 0.50 nats of ELBO against bce (95 % interval 0.40 to 0.60, 5 seeds); "
        "no loss is supported.",
        "At latent size 32, no difference in ELBO from bce is supported.",
        "No difference in ELBO from bce is supported for anneal at any grid point.",
    ]


def test_elbo_of_a_large_grid_keeps_to_the_extremes():
    table = comparisons(*(("beta-4", size, size - 30.5, size - 31, size - 30, 5) for size in (10, 20, 30, 40, 50)))
    assert findings.elbo_differences(table, KEYS) == [
        "At latent size 10, beta-4 loses 20.50 nats of ELBO against bce (95 % interval 20.00 to 21.00, 5 seeds); "
        "no gain is supported.",
        "At latent size 50, beta-4 gains 19.50 nats of ELBO against bce (95 % interval 19.00 to 20.00, 5 seeds); "
        "no loss is supported.",
    ]


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.3), (0.0, 0.3), (-0.3, 0.0), (0.0, 0.0)])
def test_nothing_is_claimed_when_the_interval_includes_0(low, high):
    table = comparisons(("beta-4", 8, (low + high) / 2, low, high, 5))
    assert findings.elbo_differences(table, KEYS) == ["No difference in ELBO from bce is supported."]


def test_a_small_difference_has_the_decimals_that_set_it_apart_from_0():
    [sentence] = findings.elbo_differences(comparisons(("anneal", 8, -0.0483, -0.1015, -0.0026, 5)), KEYS)
    assert sentence.startswith("anneal loses 0.048 nats of ELBO against bce (95 % interval 0.003 to 0.102, 5 seeds);")


def test_without_an_interval_nothing_is_claimed():
    assert findings.elbo_differences(comparisons(("beta-4", 8, -2.95, NAN, NAN, 2)), KEYS) == [
        "No difference in ELBO is supported: with fewer than 3 seeds there is no interval."
    ]


def test_a_variant_whose_seeds_diverged_takes_no_claim_from_the_others():
    table = comparisons(("lost", 8, NAN, NAN, NAN, 0), ("rest", 8, -9.0, NAN, NAN, 2), ("beta-4", 8, 1.0, 0.5, 1.5, 5))
    sentence, undecided = findings.elbo_differences(table, KEYS)
    assert sentence.startswith("beta-4 gains 1.00 nats")
    assert undecided == "No difference in ELBO from bce is supported for rest."


def test_other_units_are_never_compared():
    table = comparisons(("mse", 8, None, NAN, NAN, NAN), ("mae", 8, None, NAN, NAN, NAN))
    made = runs(("bce", "not a density", "none"), ("mse", "density", "none"), ("mae", "density", "none"))
    assert findings.elbo_differences(table, KEYS) == []
    numbers_all_the_same = comparisons(("mse", 8, 2.0, 1.9, 2.1, 5)).assign(comparable=False)
    assert findings.elbo_differences(numbers_all_the_same, KEYS) == []
    assert findings.not_compared(made, table, "bce") == [
        "ELBO of mse and mae are not compared with those of bce: the former are log-densities, the latter values of a "
        "loss, not log-probabilities."
    ]


def test_other_data_are_never_compared():
    table = comparisons(("dynamic", 8, None, NAN, NAN, NAN))
    made = runs(("bce", "mass", "static"), ("dynamic", "mass", "dynamic"))
    assert findings.not_compared(made, table, "bce") == [
        "ELBO of dynamic are not compared with those of bce: the former are of data with binarisation “dynamic”, the "
        "latter “static”."
    ]


def test_a_variant_without_a_common_grid_point_is_named():
    made = runs(("bce", "mass", "none"), ("wide", "mass", "none"))
    assert findings.not_compared(made, comparisons(), "bce") == [
        "Nothing of wide is compared with bce: they share no grid point with trained runs."
    ]


def test_collapse_stands_beside_the_baseline():
    table = summary(
        ("bce", 8, 5.8, 5.2, 6.4, 5),
        ("bce", 32, 9.6, 7.6, 11.6, 5),
        ("beta-4", 8, 0.4, 0.0, 0.8, 5),
        ("beta-4", 32, 0.0, 0.0, 0.0, 5),
        ("beta-2", 8, 3.0, 2.0, 4.0, 5),
        ("beta-2", 32, 0.2, NAN, NAN, 1),
    )
    assert findings.collapses(table, KEYS, "bce") == [
        "The posterior of beta-4 has collapsed at latent size 8 and 32: at latent size 32 it has 0.0 active units of 32 "
        "(the same for all 5 seeds); bce keeps 9.6 active units of 32 (95 % interval 7.6 to 11.6, 5 seeds).",
        "The posterior of beta-2 has collapsed at latent size 32: it has 0.2 active units of 32 (1 seed, no interval); "
        "bce keeps 9.6 active units of 32 (95 % interval 7.6 to 11.6, 5 seeds).",
    ]


def test_a_collapsed_baseline_keeps_nothing():
    table = summary(("bce", 8, 0.0, 0.0, 0.0, 5), ("beta-4", 8, 0.2, 0.0, 0.4, 5))
    assert findings.collapses(table, KEYS, "bce") == [
        "The posterior of bce has collapsed: it has 0.0 active units of 8 (the same for all 5 seeds).",
        "The posterior of beta-4 has collapsed: it has 0.2 active units of 8 (95 % interval 0.0 to 0.4, 5 seeds).",
    ]


def test_many_collapses_take_one_sentence():
    table = summary(*((f"v{index}", 8, 0.0, 0.0, 0.0, 5) for index in range(5)))
    assert findings.collapses(table, KEYS, "v0") == [
        "The posteriors of v0, v1, v2, v3 and v4 have collapsed: fewer than 0.5 active units on average."
    ]


def test_no_collapse_is_said_too():
    table = summary(("bce", 8, 5.8, 5.2, 6.4, 5), ("lost", 8, NAN, NAN, NAN, 0), ("mse", 16, 4.2, 4.0, 4.6, 5))
    assert findings.collapses(table, KEYS, "bce") == [
        "No posterior has collapsed: mse at latent size 16 has the fewest active units, 4.2 active units of 16 "
        "(95 % interval 4.0 to 4.6, 5 seeds)."
    ]


def test_where_nothing_was_trained_nothing_is_said():
    assert findings.collapses(summary(("bce", 8, NAN, NAN, NAN, 0)), KEYS, "bce") == []


def test_grid_points_of_several_keys():
    keys = [*KEYS, "learning_rate"]
    table = pd.concat([comparisons(("b", 2, -1.0, -1.5, -0.5, 3)), comparisons(("b", 8, -2.0, -2.5, -1.5, 3))])
    sentences = findings.elbo_differences(table.assign(learning_rate=[0.01, 0.1]).reset_index(drop=True), keys)
    assert [sentence.split(",")[0] for sentence in sentences] == [
        "At latent size 2 and learning rate 0.01",
        "At latent size 8 and learning rate 0.1",
    ]
    collapsed = summary(("b", 2, 0.0, 0.0, 0.0, 3), ("b", 8, 0.0, 0.0, 0.0, 3)).assign(learning_rate=[0.01, 0.1])
    assert findings.collapses(collapsed, keys, "bce") == [
        "The posterior of b has collapsed at 2 grid points: at latent size 8 and learning rate 0.1 it has "
        "0.0 active units of 8 (the same for all 3 seeds)."
    ]


def test_a_loss_on_grey_pixels_is_no_likelihood():
    assert findings.unnormalised(runs(("bce", "mass", "static"), ("mse", "density", "none"))) == []
    [sentence] = findings.unnormalised(runs(("bce", "not a density", "none"), ("mse", "density", "none")))
    assert sentence == (
        "The bernoulli likelihood on grey pixels is not a density: ELBO, distortion and NLL of bce are values of a loss, "
        "to be compared among themselves only. On binarised data they would be log-probabilities."
    )


def test_too_few_seeds_are_said():
    assert findings.without_interval(summary(("bce", 8, 1.0, 1.0, 1.0, 3))) == []
    assert findings.without_interval(summary(("bce", 8, 1.0, NAN, NAN, 1), ("mse", 8, 1.0, 1.0, 1.0, 3))) == [
        "There is no interval in 1 of 2 rows of the summary: fewer than 3 seeds were trained to the end, so no difference "
        "is supported there."
    ]


def test_diverged_runs_are_listed():
    made = runs(("bce", "mass", "none"), ("wild", "mass", "none"), ("wilder", "mass", "none"))
    assert findings.diverged(made) == []
    lost = made.assign(status=["trained", "diverged", "diverged"], diverged_epoch=[NAN, 17.0, 1.0])
    assert findings.diverged(lost) == [
        "Diverged, without scores: 2 of 3 runs: wild-s0 (after 17 epochs), wilder-s0 (after 1 epoch)."
    ]


def test_mixed_environments_are_counted():
    environments = [{"torch": version, "git commit": None} for version in ("2.14.1", "2.15.0", "2.14.1")]
    assert findings.mixed(environments[:1]) == []
    assert findings.mixed(environments) == ["Runs were made with different torch: 2.14.1 (2 runs) and 2.15.0 (1 run)."]
    environments[0]["git commit"] = "abc"
    assert findings.mixed(environments)[1] == "Runs were made with different git commit: abc (1 run) and unknown (2 runs)."


def test_uncommitted_changes_are_counted():
    assert findings.uncommitted([{"git commit": None}, {"git commit": "abc"}]) == []
    assert findings.uncommitted([{"git commit": "abc-dirty"}, {"git commit": "abc"}]) == [
        "1 of 2 runs came from a checkout with uncommitted changes, so the commit alone does not make them again."
    ]
