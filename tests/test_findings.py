"""Sentences on tables small enough to check by eye."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from vaebench import findings
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import METRICS

BELOW = "a KL below 0.1 nats for 99 % of the images"
KEYS = ["variant", "latent_size"]
NAN = math.nan


def comparisons(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, difference, low, high, n) of the ELBO; a difference of None is not comparable.

    The adjusted p leave it to the intervals what is supported.
    """
    columns = ["variant", "latent_size", "metric", "baseline", "comparable", "difference", "low", "high", "n"]
    made = [
        (variant, size, "elbo", "bce", difference is not None, difference, *rest)
        for variant, size, difference, *rest in rows
    ]
    numbers = dict.fromkeys(("difference", "low", "high", "n"), float)
    table = pd.DataFrame(made, columns=columns).astype(numbers)
    return table.assign(p_adjusted=table.low * 0 + 0.01)


def metric(label: str, unit: str, better: str | None, per_likelihood: bool = False) -> SimpleNamespace:
    """A metric by its words, which has the numbers of the ELBO in the tables."""
    return SimpleNamespace(name="elbo", label=label, unit=unit, better=better, per_likelihood=per_likelihood)


def means(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, measure, mean, low, high, n) of the ELBO."""
    columns = [*KEYS, "measure", "elbo", "elbo_low", "elbo_high", "n"]
    return pd.DataFrame(rows, columns=columns).assign(binarisation="none", left_out=None)


def summary(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, collapsed_units, low, high, n)."""
    return pd.DataFrame(rows, columns=[*KEYS, "collapsed_units", "collapsed_units_low", "collapsed_units_high", "n"])


def runs(*rows) -> pd.DataFrame:
    """Rows (variant, measure, binarisation); they have the metrics that are the same for all likelihoods, and the ELBO."""
    made = pd.DataFrame(rows, columns=["variant", "measure", "binarisation"]).assign(left_out=None)
    scores = {name: 0.0 if name == "elbo" or not metric.per_likelihood else NAN for name, metric in METRICS.items()}
    constant = {"likelihood": "bernoulli", "status": "trained", "diverged_epoch": None, "diverged_because": None} | scores
    return made.assign(run_id=made.variant + "-s0", **constant)


def scored(**columns) -> pd.DataFrame:
    """Trained runs of variants a, b, c … with these columns; of a run without a `status` of its own, "trained"."""
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"variant": list("abcdefgh"[:n]), "status": "trained"} | columns)


def linear(*rows) -> pd.DataFrame:
    """Rows (variant, latent_size, n, n_reached); a row that was not reached has larger errors the later it stands."""
    made = pd.DataFrame(rows, columns=[*KEYS, "n", "n_reached"])
    errors = {"kl_error": 0.05 * (made.index + 1), "gap": -0.2, "near_boundary": 0}
    return made.assign(**errors, predicted_active=2.0, active_low=2.0, active_high=2.0)


def test_elbo_states_the_largest_loss_and_the_largest_gain():
    table = comparisons(
        ("beta-4", 8, -2.95, -2.99, -2.91, 5),
        ("beta-2", 8, -1.0, -1.1, -0.9, 5),
        ("anneal", 8, 0.2, 0.1, 0.3, 4),
        ("cyclical", 8, 0.4, -0.1, 0.9, 5),
    )
    assert findings.differences(table, KEYS, METRICS["elbo"]) == [
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
    assert findings.differences(table, KEYS, METRICS["elbo"]) == [
        "At latent size 2, beta-4 loses 2.50 nats of ELBO against bce (95 % interval 2.40 to 2.60, 5 seeds); "
        "no gain is supported.",
        "At latent size 8, beta-4 gains 0.50 nats of ELBO against bce (95 % interval 0.40 to 0.60, 5 seeds); "
        "no loss is supported.",
        "At latent size 32, no difference in ELBO from bce is supported.",
        "No difference in ELBO from bce is supported for anneal at any grid point.",
    ]


def test_elbo_of_a_large_grid_keeps_to_the_extremes():
    table = comparisons(*(("beta-4", size, size - 30.5, size - 31, size - 30, 5) for size in (10, 20, 30, 40, 50)))
    assert findings.differences(table, KEYS, METRICS["elbo"]) == [
        "At latent size 10, beta-4 loses 20.50 nats of ELBO against bce (95 % interval 20.00 to 21.00, 5 seeds); "
        "no gain is supported.",
        "At latent size 50, beta-4 gains 19.50 nats of ELBO against bce (95 % interval 19.00 to 20.00, 5 seeds); "
        "no loss is supported.",
    ]


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.3), (0.0, 0.3), (-0.3, 0.0), (0.0, 0.0)])
def test_nothing_is_claimed_when_the_interval_includes_0(low, high):
    table = comparisons(("beta-4", 8, (low + high) / 2, low, high, 5))
    assert findings.differences(table, KEYS, METRICS["elbo"]) == ["No difference in ELBO from bce is supported."]


def test_a_small_difference_has_the_decimals_that_set_it_apart_from_0():
    table = comparisons(("anneal", 8, -0.0483, -0.1015, -0.0026, 5))
    [sentence] = findings.differences(table, KEYS, METRICS["elbo"])
    assert sentence.startswith("anneal loses 0.048 nats of ELBO against bce (95 % interval 0.003 to 0.102, 5 seeds);")


def test_nothing_is_claimed_by_an_interval_whose_p_does_not_stand_the_number_of_comparisons():
    table = comparisons(("beta-4", 8, -2.5, -2.6, -2.4, 5), ("anneal", 8, 2.0, 0.1, 3.9, 5), ("warm", 8, 0.5, 0.4, 0.6, 5))
    adjusted = table.assign(p_adjusted=[0.049, 0.05, 0.3])
    assert findings.differences(adjusted, KEYS, METRICS["elbo"]) == [
        "beta-4 loses 2.50 nats of ELBO against bce (95 % interval 2.40 to 2.60, 5 seeds); no gain is supported.",
        "No difference in ELBO from bce is supported for anneal and warm.",
    ]


def test_the_extremes_of_a_large_grid_are_of_supported_differences():
    sizes = (10, 20, 30, 40, 50, 60)
    table = comparisons(*(("beta-4", size, -size, -size - 1, -size + 1, 5) for size in sizes))
    table.loc[table.latent_size == 60, "p_adjusted"] = 0.2
    sentences = findings.differences(table, KEYS, METRICS["elbo"])
    assert [sentence.split(",")[0] for sentence in sentences] == ["At latent size 10", "At latent size 50"]


@pytest.mark.parametrize(
    ("metric", "rise", "fall"),
    [
        (
            metric("ELBO", "nats", "higher"),
            "up gains 3.20 nats of ELBO against bce {}; no loss is supported.",
            "down loses 3.20 nats of ELBO against bce {}; no gain is supported.",
        ),
        (
            metric("PSNR", "dB", "higher"),
            "up gains 3.20 dB of PSNR against bce {}; no loss is supported.",
            "down loses 3.20 dB of PSNR against bce {}; no gain is supported.",
        ),
        (
            metric("SSIM", "", "higher"),
            "up raises SSIM by 3.20 against bce {}; no loss is supported.",
            "down lowers SSIM by 3.20 against bce {}; no gain is supported.",
        ),
        (
            metric("common bits/dim", "bits per dimension", "lower"),
            "up raises common bits/dim by 3.20 bits per dimension against bce {}; no gain is supported.",
            "down lowers common bits/dim by 3.20 bits per dimension against bce {}; no loss is supported.",
        ),
        (
            metric("RMSE", "pixel values", "lower"),
            "up raises RMSE by 3.20 pixel values against bce {}; no gain is supported.",
            "down lowers RMSE by 3.20 pixel values against bce {}; no loss is supported.",
        ),
        (
            metric("active units", "dimensions", None),
            "up has 3.20 more active units than bce {}; no decrease is supported.",
            "down has 3.20 fewer active units than bce {}; no increase is supported.",
        ),
        (
            metric("effective samples", "samples", None),
            "up has 3.20 more effective samples than bce {}; no decrease is supported.",
            "down has 3.20 fewer effective samples than bce {}; no increase is supported.",
        ),
        (
            metric("participation ratio", "dimensions", None),
            "up lies 3.20 dimensions above bce in participation ratio {}; no decrease is supported.",
            "down lies 3.20 dimensions below bce in participation ratio {}; no increase is supported.",
        ),
        (
            metric("rate", "nats", None),
            "up lies 3.20 nats above bce in rate {}; no decrease is supported.",
            "down lies 3.20 nats below bce in rate {}; no increase is supported.",
        ),
        (
            metric("perplexity", "", None),
            "up lies 3.20 above bce in perplexity {}; no decrease is supported.",
            "down lies 3.20 below bce in perplexity {}; no increase is supported.",
        ),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_every_direction_and_unit_has_its_words(metric, rise, fall):
    interval = "(95 % interval 3.00 to 3.40, 5 seeds)"
    up, down = comparisons(("up", 8, 3.2, 3.0, 3.4, 5)), comparisons(("down", 8, -3.2, -3.4, -3.0, 5))
    assert findings.differences(up, KEYS, metric) == [rise.format(interval)]
    assert findings.differences(down, KEYS, metric) == [fall.format(interval)]


def test_where_lower_is_better_the_largest_rise_is_the_largest_loss():
    table = comparisons(
        ("best", 8, -3.0, -3.1, -2.9, 5),
        ("good", 8, -1.0, -1.1, -0.9, 5),
        ("bad", 8, 1.0, 0.9, 1.1, 5),
        ("worst", 8, 2.0, 1.9, 2.1, 5),
    )
    assert findings.differences(table, KEYS, metric("NLL", "nats", "lower")) == [
        "worst raises NLL by 2.00 nats against bce (95 % interval 1.90 to 2.10, 5 seeds), the largest of 2 supported "
        "losses; best lowers NLL by 3.00 nats against bce (95 % interval 2.90 to 3.10, 5 seeds), the largest of 2 "
        "supported gains."
    ]
    [sentence] = findings.differences(table, KEYS, metric("rate", "nats", None))
    assert "best lies 3.00 nats below bce" in sentence.split(";")[0]
    assert sentence.split(";")[0].endswith("the largest of 2 supported decreases")
    assert sentence.endswith("the largest of 2 supported increases.")


def test_the_best_stands_with_its_interval():
    table = means(
        ("bce", 2, "mass", -24.21, -24.30, -24.12, 5),
        ("bce", 8, "mass", -20.0, -20.5, -19.5, 5),
        ("beta-4", 8, "mass", -26.0, -26.1, -25.9, 5),
        ("lost", 8, "mass", NAN, NAN, NAN, 0),
    )
    assert findings.best(table, KEYS, metric("ELBO", "nats", "higher")) == [
        "bce at latent size 8 has the best mean ELBO, −20.00 nats (95 % interval −20.50 to −19.50, 5 seeds)."
    ]
    assert findings.best(table, KEYS, metric("NLL", "nats", "lower")) == [
        "beta-4 at latent size 8 has the best mean NLL, −26.00 nats (95 % interval −26.10 to −25.90, 5 seeds)."
    ]


@pytest.mark.parametrize(
    ("low", "ending"), [(-0.1, ", a lead over bce that is not supported."), (0.1, "-19.50, 5 seeds)."), (None, "seeds).")]
)
def test_a_lead_over_the_baseline_that_is_not_supported_is_said_to_be_none(low, ending):
    table = means(("bce", 8, "mass", -20.5, -21.0, -20.0, 5), ("anneal", 8, "mass", -20.0, -20.5, -19.5, 5))
    against = comparisons(("anneal", 8, None if low is None else 0.5, low, 1.1, 5))
    [sentence] = findings.best(table, KEYS, metric("ELBO", "nats", "higher"), against)
    assert sentence.startswith("anneal has the best mean ELBO, −20.00 nats")
    assert sentence.endswith(ending.replace("-19", "−19"))


def test_the_best_is_of_one_measure_on_the_same_data():
    table = means(
        ("bce", 8, "mass", 3.0, 2.9, 3.1, 5),
        ("beta-4", 8, "mass", 2.0, 1.9, 2.1, 5),
        ("mse", 8, "density", 90.0, NAN, NAN, 2),
        ("mae", 8, "density", 80.0, 79.0, 81.0, 5),
        ("loss", 8, "not a density", 99.0, 98.0, 99.5, 5),
    )
    elbo = metric("ELBO", "nats", "higher", per_likelihood=True)
    assert findings.best(table, KEYS, elbo) == [
        "Among log-probabilities, bce has the best mean ELBO, 3.00 nats (95 % interval 2.90 to 3.10, 5 seeds).",
        "Among log-densities, mse has the best mean ELBO, 90.00 nats (2 seeds, no interval).",
        "Among values of a loss, not log-probabilities, loss has a mean ELBO of 99.00 nats (95 % interval 98.00 to 99.50, "
        "5 seeds).",
    ]
    other_data = table[:4].assign(measure="mass", binarisation=["static", "static", "dynamic", "dynamic"])
    assert [sentence.split(" has ")[0] for sentence in findings.best(other_data, KEYS, elbo)] == [
        "Among numbers of data with binarisation “static”, bce",
        "Among numbers of data with binarisation “dynamic”, mse",
    ]
    assert findings.best(table, KEYS, metric("SSIM", "", "higher")) == [
        "loss has the best mean SSIM, 99.00 (95 % interval 98.00 to 99.50, 5 seeds)."
    ]


def test_a_row_alone_has_a_mean_and_a_tie_no_best():
    accuracy = metric("accuracy", "", "higher")
    alone = means(("bce", 8, "mass", 1.0, 0.9, 1.1, 5))
    assert findings.best(alone, KEYS, accuracy) == [
        "bce has a mean accuracy of 1.00 (95 % interval 0.90 to 1.10, 5 seeds)."
    ]
    tied = means(("bce", 8, "mass", 1.0, 1.0, 1.0, 5), ("mse", 8, "mass", 1.0, 1.0, 1.0, 5))
    assert findings.best(tied, KEYS, accuracy) == [
        "2 rows of the summary have the same mean accuracy, 1.00 (the same for all 5 seeds)."
    ]
    two_best = means(*(("a", size, "mass", value, NAN, NAN, 1) for size, value in ((2, 1.0), (4, 3.0), (8, 3.0))))
    assert findings.best(two_best, KEYS, accuracy) == [
        "a at latent size 2 has the lowest mean accuracy, 1.00 (1 seed, no interval), and a at latent size 4 and a "
        "at latent size 8 the highest, 3.00 (1 seed, no interval)."
    ]
    assert findings.best(means(("bce", 8, "mass", NAN, NAN, NAN, 0)), KEYS, accuracy) == []


def test_of_a_metric_without_direction_the_ends_are_given():
    table = means(
        ("bce", 8, "mass", 2.0, 1.9, 2.1, 5), ("a", 8, "mass", 5.8, 5.0, 6.6, 5), ("b", 8, "mass", 3, NAN, NAN, 1)
    )
    assert findings.best(table, KEYS, metric("active units", "dimensions", None)) == [
        "bce has the lowest mean active units, 2.00 (95 % interval 1.90 to 2.10, 5 seeds), and a the highest, 5.80 (95 % "
        "interval 5.00 to 6.60, 5 seeds)."
    ]


def test_those_that_share_an_end_are_all_named():
    same = (0.0, 0.0, 0.0, 5)
    table = means(("bce", 8, "mass", 9, 8.5, 9.5, 5), ("beta-4", 8, "mass", *same), ("beta-8", 8, "mass", *same))
    assert findings.best(table, KEYS, metric("active units", "dimensions", None)) == [
        "beta-4 and beta-8 have the lowest mean active units, 0.00 (the same for all 5 seeds), and bce the highest, "
        "9.00 (95 % interval 8.50 to 9.50, 5 seeds)."
    ]
    many = means(*((f"beta-{weight}", 8, "mass", *same) for weight in range(5)), ("bce", 8, "mass", 9, 8.5, 9.5, 5))
    [sentence] = findings.best(many, KEYS, metric("active units", "dimensions", None))
    assert sentence.startswith("5 rows of the summary have the lowest mean active units, 0.00 (the same")


def test_of_a_metric_without_direction_the_ends_of_a_grid_are_given():
    table = means(
        ("bce", 2, "mass", 2.0, 2.0, 2.0, 5),
        ("mse", 2, "density", 2.0, 2.0, 2.0, 5),
        ("bce", 8, "mass", 5.0, 4.0, 6.0, 5),
        ("mse", 8, "density", 4.0, 3.9, 4.1, 5),
        ("bce", 64, "mass", 14.8, 8.0, 21.6, 5),
        ("mse", 64, "density", 21.4, 12.0, 30.8, 5),
    )
    assert findings.best(table, KEYS, metric("active units", "dimensions", None)) == [
        "At latent size 64, mean active units are 21.40 (95 % interval 12.00 to 30.80, 5 seeds) for mse and 14.80 (95 % "
        "interval 8.00 to 21.60, 5 seeds) for bce.",
        "At latent size 2, mean active units are 2.00 (the same for all 5 seeds) for bce and 2.00 (the same for all 5 "
        "seeds) for mse.",
    ]
    [rate] = findings.best(table[:4], KEYS, metric("rate", "nats", None, per_likelihood=True))[:1]
    assert "lowest mean rate" in rate


def test_the_answer_is_the_best_and_what_differs():
    table = means(("bce", 8, "mass", -20.0, -20.5, -19.5, 5), ("beta-4", 8, "mass", -26.0, -26.1, -25.9, 5))
    compared = comparisons(("beta-4", 8, -6.0, -6.2, -5.8, 5))
    assert findings.answer(table, compared, KEYS, METRICS["elbo"]) == [
        "bce has the best mean ELBO, −20.00 nats (95 % interval −20.50 to −19.50, 5 seeds).",
        "beta-4 loses 6.00 nats of ELBO against bce (95 % interval 5.80 to 6.20, 5 seeds); no gain is supported.",
    ]


def test_the_answer_of_one_variant_is_its_mean():
    table = means(("bce", 8, "mass", -100.5, NAN, NAN, 1))
    assert findings.answer(table, comparisons(), KEYS, METRICS["elbo"]) == [
        "bce has a mean ELBO of −100.50 nats (1 seed, no interval)."
    ]


def test_a_headline_that_no_run_has_gives_no_answer():
    table = means(("bce", 8, "mass", NAN, NAN, NAN, 5))
    gap = metric("gap to the optimum", "nats", "lower")
    assert findings.answer(table, comparisons(), KEYS, gap) == [
        "There is no gap to the optimum to answer by: it applies to none of the runs."
    ]
    assert findings.answer(table.assign(n=0), comparisons(), KEYS, METRICS["elbo"]) == [
        "There is no ELBO to answer by: no run was trained to the end."
    ]


def test_linear_runs_that_reached_the_optimum_are_counted():
    reached = "every dimension's KL within 2 % or 0.02 nats, the ELBO within 0.1 nats, active dimensions as predicted."
    all_of_them = linear(("a", 2, 3, 3), ("a", 8, 3, 3))
    assert findings.reached(all_of_them, KEYS, "train") == [
        f"Training reached the closed-form optimum in all 6 runs: {reached}"
    ]
    assert findings.reached(linear(("a", 2, 1, 1)), KEYS, "train") == [
        f"Training reached the closed-form optimum in 1 of 1 run: {reached}"
    ]
    assert findings.reached(linear(), KEYS, "train") == []
    assert findings.reached(all_of_them, KEYS, "test")[1:] == [
        "That optimum is one of the training images, the scores are of the test split."
    ]
    near = all_of_them.assign(near_boundary=[0, 2])
    assert BOUNDARY == 0.02
    assert findings.reached(near, KEYS, "train")[1:] == [
        "In 1 of 2 rows of that table an eigenvalue lies within 2 % of βσ²: whether its dimension is active is left open."
    ]


def test_linear_runs_that_fell_short_are_named():
    table = linear(("a", 2, 3, 3), ("a", 8, 3, 2), ("b", 8, 3, 0))
    table.loc[2, "active_high"] = 3
    count, short = findings.reached(table, KEYS, "train")
    assert count.startswith("Training reached the closed-form optimum in 5 of 9 runs: every")
    assert short == (
        "It fell short in 3 runs of b at latent size 8 (KL off by 0.150 nats at most, mean gap −0.200 nats, 2 to 3 "
        "dimensions active, 2 predicted); 1 run of a at latent size 8 (KL off by 0.100 nats at most, mean gap −0.200 nats, "
        "2 dimensions active, 2 predicted)."
    )
    none = linear(*(("a", size, 1, 0) for size in range(6)))
    none.loc[0, "kl_error"] = NAN  # all of its dimensions are near the boundary
    count, short = findings.reached(none, KEYS, "train")
    assert count.startswith("Training reached the closed-form optimum in none of 6 runs: ")
    assert short.count("KL off by") == 4
    assert short.endswith("; and runs of 2 more rows.")
    assert "nan" not in short


def test_decimals_show_narrow_intervals_and_no_rounding():
    [sentence] = findings.best(
        means(("a", 8, "mass", 0.01234, 0.0121, 0.0126, 5), ("b", 8, "mass", 0.01, 0.009, 0.011, 5)),
        KEYS,
        metric("MMD", "", "higher"),
    )
    assert sentence == "a has the best mean MMD, 0.0123 (95 % interval 0.0121 to 0.0126, 5 seeds)."
    assert findings.over_seeds(0.9, 0.9000000000000001, 5, 2) == "(the same for all 5 seeds)"


def test_without_an_interval_nothing_is_claimed():
    table = comparisons(("beta-4", 8, -2.95, NAN, NAN, 2))
    assert findings.differences(table, KEYS, METRICS["elbo"]) == [
        "No difference in ELBO is supported: with fewer than 3 seeds there is no interval."
    ]


def test_a_variant_whose_seeds_diverged_takes_no_claim_from_the_others():
    table = comparisons(("lost", 8, NAN, NAN, NAN, 0), ("rest", 8, -9.0, NAN, NAN, 2), ("beta-4", 8, 1.0, 0.5, 1.5, 5))
    sentence, undecided = findings.differences(table, KEYS, METRICS["elbo"])
    assert sentence.startswith("beta-4 gains 1.00 nats")
    assert undecided == "No difference in ELBO from bce is supported for rest."


def test_other_units_are_never_compared():
    table = comparisons(("mse", 8, None, NAN, NAN, NAN), ("mae", 8, None, NAN, NAN, NAN))
    made = runs(("bce", "not a density", "none"), ("mse", "density", "none"), ("mae", "density", "none"))
    assert findings.differences(table, KEYS, METRICS["elbo"]) == []
    numbers_all_the_same = comparisons(("mse", 8, 2.0, 1.9, 2.1, 5)).assign(comparable=False)
    assert findings.differences(numbers_all_the_same, KEYS, METRICS["elbo"]) == []
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
        ("bce", 8, 2.2, 1.6, 2.8, 5),
        ("bce", 32, 22.4, 20.4, 24.4, 5),
        ("beta-4", 8, 8.0, 8.0, 8.0, 5),
        ("beta-4", 32, 32.0, 32.0, 32.0, 5),
        ("beta-2", 8, 0.0, 0.0, 0.0, 5),
        ("beta-2", 32, 32.0, NAN, NAN, 1),
    )
    assert findings.collapses(table, KEYS, "bce") == [
        f"The posterior of beta-4 has collapsed at latent size 8 and 32: in every seed all dimensions have {BELOW}; at "
        "latent size 32 bce keeps 9.6 of 32 dimensions (95 % interval 7.6 to 11.6, 5 seeds).",
        f"The posterior of beta-2 has collapsed at latent size 32: in every seed all dimensions have {BELOW}; bce keeps "
        "9.6 of 32 dimensions (95 % interval 7.6 to 11.6, 5 seeds).",
        "Collapse is partial in 2 of 6 rows of the summary, most for bce at latent size 32: 22.4 of 32 dimensions (95 % "
        f"interval 20.4 to 24.4, 5 seeds) have {BELOW}.",
    ]


def test_a_collapsed_baseline_keeps_nothing():
    table = summary(("bce", 8, 8.0, 8.0, 8.0, 5), ("beta-4", 8, 8.0, 8.0, 8.0, 5))
    assert findings.collapses(table, KEYS, "bce") == [
        f"The posterior of bce has collapsed: in every seed all dimensions have {BELOW}.",
        f"The posterior of beta-4 has collapsed: in every seed all dimensions have {BELOW}.",
    ]


def test_a_posterior_that_collapsed_in_some_seeds_has_collapsed_in_part():
    assert findings.collapses(summary(("bce", 8, 7.8, 7.2, 8.4, 5)), KEYS, "bce") == [
        "No posterior has collapsed in all its dimensions.",
        f"Collapse is partial of bce: 7.8 of 8 dimensions (95 % interval 7.2 to 8.4, 5 seeds) have {BELOW}.",
    ]


def test_many_collapses_take_one_sentence():
    table = summary(*((f"v{index}", 8, 8.0, 8.0, 8.0, 5) for index in range(5)))
    assert findings.collapses(table, KEYS, "v0") == [
        f"The posteriors of v0, v1, v2, v3 and v4 have collapsed: in every seed all dimensions have {BELOW}."
    ]


def test_no_collapse_is_said_too():
    table = summary(("bce", 8, 0.0, 0.0, 0.0, 5), ("lost", 8, NAN, NAN, NAN, 0), ("mse", 16, 0.0, 0.0, 0.0, 5))
    assert findings.collapses(table, KEYS, "bce") == [f"No latent dimension of any run has collapsed: none has {BELOW}."]


def test_where_nothing_was_trained_nothing_is_said():
    assert findings.collapses(summary(("bce", 8, NAN, NAN, NAN, 0)), KEYS, "bce") == []


def test_grid_points_of_several_keys():
    keys = [*KEYS, "learning_rate"]
    table = pd.concat([comparisons(("b", 2, -1.0, -1.5, -0.5, 3)), comparisons(("b", 8, -2.0, -2.5, -1.5, 3))])
    table = table.assign(learning_rate=[0.01, 0.1]).reset_index(drop=True)
    sentences = findings.differences(table, keys, METRICS["elbo"])
    assert [sentence.split(",")[0] for sentence in sentences] == [
        "At latent size 2 and learning rate 0.01",
        "At latent size 8 and learning rate 0.1",
    ]
    collapsed = summary(("b", 2, 2.0, 2.0, 2.0, 3), ("b", 8, 8.0, 8.0, 8.0, 3), ("bce", 8, 1.0, 1.0, 1.0, 3))
    assert findings.collapses(collapsed.assign(learning_rate=[0.01, 0.1, 0.1]), keys, "bce")[0] == (
        f"The posterior of b has collapsed at 2 grid points: in every seed all dimensions have {BELOW}; at latent size 8 "
        "and learning rate 0.1 bce keeps 7.0 of 8 dimensions (the same for all 3 seeds)."
    )


def test_weights_of_gaussian_pixels_are_told_apart():
    made = scored(sigma=[0.5, 0.5, 0.109, 0.111, NAN], effective_weight=[0.25, 0.25, 0.01231, 0.01234, NAN])
    made["variant"] = ["mse", "also", "learned", "learned", "bce"]
    assert findings.effective_weights(made) == [
        "β and σ² of Gaussian pixels act together, as the optimum depends on βσ² alone. It is 0.25 for mse and also; "
        "0.0123 for learned: these variants differ by that weight as well as by their likelihood."
    ]
    made.loc[3, "effective_weight"] = 0.03
    assert "; 0.0123 to 0.03 for learned:" in findings.effective_weights(made)[0]
    assert findings.effective_weights(scored(sigma=[0.5, 0.5], effective_weight=[0.25, 1.0])) == [], "β alone differs"
    assert findings.effective_weights(scored(sigma=[0.5, 0.25], effective_weight=[0.25, 0.25])) == [], "βσ² is the same"
    assert findings.effective_weights(scored(sigma=[NAN], effective_weight=[NAN])) == []
