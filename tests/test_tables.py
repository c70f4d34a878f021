"""Tables from hand-made scores."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench import tables
from vaebench.metrics import METRICS
from vaebench.store import ExperimentFolder, write_json
from vaebench.tables import comparisons_table, format_interval, group_keys, presented, runs_table, summary_table

# ELBO by variant and seed; the pairs differ by -1, -2 and -3.
ELBO = {"bce": [-10.0, -20.0, -30.0], "beta-4": [-11.0, -22.0, -33.0], "mse": [5.0, 6.0, 7.0]}
VARIANTS = {
    "bce": {"likelihood": "bernoulli"},
    "beta-4": {"likelihood": "bernoulli", "kl": {"schedule": "constant", "weight": 4}},
    "mse": {"likelihood": {"kind": "gaussian", "sigma": 0.5}},
}


@pytest.fixture
def make(make_experiment, tmp_path):
    """An experiment and its runs table, in which every metric of a run is its ELBO; some runs may have diverged."""

    def make(diverged=(), **changes):
        experiment = make_experiment(**{"seeds": 3, "variants": VARIANTS} | changes)
        folder = ExperimentFolder(tmp_path / "results")
        rows = []
        for run in experiment.runs:
            epoch = 1 if (run.variant, run.seed) in diverged else None
            write_json(folder.run(run.run_id).record, {"diverged_epoch": epoch})
            if epoch is None:
                values = dict.fromkeys(METRICS, ELBO[run.variant][run.seed])
                rows += [
                    (run.run_id, name, value, None if name == "active_units" else 0.5) for name, value in values.items()
                ]
        metrics = pd.DataFrame(rows, columns=["run_id", "metric", "value", "standard_error"])
        return experiment, runs_table(experiment, folder, metrics)

    return make


def test_a_row_a_run_with_settings_metrics_and_standard_errors(make):
    experiment, runs = make()
    assert runs.run_id.tolist() == [run.run_id for run in experiment.runs]
    row = runs.iloc[-1]
    assert (row.variant, row.seed, row.likelihood, row["likelihood.sigma"], row.measure) == (
        "mse",
        2,
        "gaussian",
        0.5,
        "density",
    )
    assert (row["network.hidden"], row.kl, row["kl.weight"], row.n_samples, row.status) == (
        "16",
        "constant",
        1,
        4,
        "trained",
    )
    assert (row.elbo, row.elbo_standard_error) == (7, 0.5)
    assert "active_units_standard_error" not in runs


def test_what_is_measured_of_bce_on_grey_pixels_is_no_density(make):
    assert make()[1].measure.tolist() == ["not a density"] * 6 + ["density"] * 3
    assert make(defaults={"binarisation": "static"})[1].measure.tolist() == ["mass"] * 6 + ["density"] * 3


def test_the_summary_has_means_and_intervals_over_seeds(make):
    experiment, runs = make()
    summary = summary_table(experiment, runs).set_index("variant")
    assert summary.loc["bce", ["n", "n_diverged", "elbo"]].tolist() == [3, 0, -20]
    expected = stats.ttest_1samp([-10, -20, -30], 0).confidence_interval(0.95)
    assert summary.elbo_low["bce"] == pytest.approx(expected.low)
    assert summary.elbo_high["bce"] == pytest.approx(expected.high)
    # Of three values the middle one weighs four sixths; here that changes nothing.
    assert summary.elbo_iqm["bce"] == pytest.approx(-20)
    assert summary.binarisation.tolist() == ["none"] * 3
    assert summary.likelihood.tolist() == ["bernoulli, not a density"] * 2 + ["gaussian, sigma 0.5"]


def test_diverged_runs_are_counted_and_never_averaged(make):
    experiment, runs = make(diverged=[("bce", 2)])
    assert runs.status.tolist().count("diverged") == 1
    assert runs[runs.status == "diverged"].elbo.isna().all()
    summary = summary_table(experiment, runs).set_index("variant")
    assert summary.loc["bce", ["n", "n_diverged", "elbo"]].tolist() == [2, 1, -15]
    assert math.isnan(summary.elbo_low["bce"]), "two seeds give no interval"
    assert presented(experiment, summary.reset_index()).seeds[0] == "2 (+1 diverged)"


def test_differences_are_paired_by_seed(make):
    experiment, runs = make()
    comparisons = comparisons_table(experiment, runs).set_index(["variant", "metric"])
    row = comparisons.loc[("beta-4", "elbo")]
    assert (row.difference, row.n, row.baseline) == (-2, 3, "bce")
    expected = stats.ttest_1samp([-1, -2, -3], 0).confidence_interval(0.95)
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high))


def test_differences_have_effect_size_p_and_probability(make):
    experiment, runs = make()
    comparisons = comparisons_table(experiment, runs)
    numbers = ["difference", "low", "high", "n", "effect_size", "p", "p_adjusted", "probability_of_improvement"]
    assert comparisons.columns.tolist() == [*group_keys(experiment), "metric", "baseline", "comparable", *numbers]
    row = comparisons.set_index(["variant", "metric"]).loc[("beta-4", "elbo")]
    assert row.effect_size == pytest.approx(-2), "a mean of -2 and a standard deviation of 1"
    assert row.p == pytest.approx(stats.ttest_rel(ELBO["beta-4"], ELBO["bce"]).pvalue)
    # -11 is above -20 and -30, -22 above -30.
    assert row.probability_of_improvement == pytest.approx(3 / 9)


def test_p_is_adjusted_for_the_comparable_rows_of_the_metric(make):
    experiment, runs = make()
    comparisons = comparisons_table(experiment, runs).set_index(["metric", "variant"])
    # The ELBO of mse is of another measure, so that of beta-4 is alone.
    assert comparisons.p_adjusted["elbo", "beta-4"] == comparisons.p["elbo", "beta-4"]
    smaller, larger = sorted(comparisons.p["rate"])
    assert sorted(comparisons.p_adjusted["rate"]) == [min(2 * smaller, 1), max(2 * smaller, larger)]


def test_what_is_not_comparable_has_no_numbers(make):
    experiment, runs = make()
    comparisons = comparisons_table(experiment, runs)
    numbers = comparisons.loc[~comparisons.comparable, "difference":]
    assert len(numbers) == sum(metric.per_likelihood for metric in METRICS.values())
    assert numbers.isna().all(axis=None)


def test_a_pair_of_which_one_diverged_is_left_out(make):
    experiment, runs = make(diverged=[("beta-4", 2)])
    row = comparisons_table(experiment, runs).set_index(["variant", "metric"]).loc[("beta-4", "elbo")]
    assert (row.difference, row.n) == (-1.5, 2)
    assert row[["low", "high", "effect_size", "p", "p_adjusted"]].isna().all()


def test_a_metric_is_of_the_runs_that_have_it(make):
    experiment, runs = make()
    runs.loc[(runs.variant == "beta-4") & (runs.seed == 2), "rate"] = math.nan
    runs.loc[runs.variant == "mse", "rate"] = math.nan
    summary = summary_table(experiment, runs).set_index("variant")
    assert summary.loc["beta-4", ["n", "rate", "rate_iqm"]].tolist() == [3, -16.5, -16.5]
    assert math.isnan(summary.rate_low["beta-4"]), "two values give no interval"
    assert summary.n["mse"] == 3
    assert summary.loc["mse", ["rate", "rate_low", "rate_high", "rate_iqm"]].isna().all()
    comparisons = comparisons_table(experiment, runs).set_index(["variant", "metric"])
    assert comparisons.loc[("beta-4", "rate"), ["difference", "n"]].tolist() == [-1.5, 2]
    nothing = comparisons.loc[("mse", "rate")]
    assert nothing.comparable
    assert nothing.n == 0
    assert (
        nothing[["difference", "low", "high", "effect_size", "p", "p_adjusted", "probability_of_improvement"]].isna().all()
    )


def test_an_experiment_of_its_baseline_alone_compares_nothing(make):
    experiment, runs = make(variants={"bce": {}})
    comparisons = comparisons_table(experiment, runs)
    assert comparisons.empty
    assert comparisons.columns.tolist()[-2:] == ["p_adjusted", "probability_of_improvement"]


def test_other_measures_are_compared_only_by_what_does_not_depend_on_them(make):
    experiment, runs = make()
    comparisons = comparisons_table(experiment, runs)
    of_mse = comparisons[comparisons.variant == "mse"].set_index("metric")
    for name, metric in METRICS.items():
        assert of_mse.comparable[name] != metric.per_likelihood
        assert np.isnan(of_mse.difference[name]) == metric.per_likelihood


def test_a_grid_over_definitions_keeps_its_points_apart(make):
    networks = [{"kind": "mlp", "hidden": [16]}, {"kind": "mlp", "hidden": [32]}]
    schedules = ["constant", {"schedule": "linear", "over": 0.5}]
    variants = {"bce": {}, "mse": {"likelihood": "gaussian"}}
    experiment, runs = make(variants=variants, defaults={}, grid={"network": networks, "kl": schedules})
    assert {"network.hidden", "kl.over"} <= set(group_keys(experiment))
    assert summary_table(experiment, runs).n.tolist() == [3] * 8
    comparisons = comparisons_table(experiment, runs)
    assert len(comparisons) == 4 * len(METRICS)
    assert (comparisons[comparisons.comparable].n == 3).all()


def test_names_that_look_like_something_else_stay_names(make_experiment, tmp_path):
    table = pd.DataFrame({"variant": ["1", "nan", "null"], "elbo": [1.0, float("nan"), 2.0]})
    tables._save_csv(table, tmp_path / "table.csv")
    again = tables._read_csv(tmp_path / "table.csv")
    assert again.variant.tolist() == ["1", "nan", "null"]
    assert again.elbo.isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((-24.214, -24.304, -24.124), "−24.21 [−24.30, −24.12]"),
        ((0.001, -0.001, 0.003), "0.00 [0.00, 0.00]"),
        ((3.0, float("nan"), float("nan")), "3.00"),
        ((float("nan"),) * 3, "–"),
    ],
)
def test_intervals_as_text(values, text):
    assert format_interval(*values) == text


def test_headings_say_unit_direction_and_samples(make_experiment):
    experiment = make_experiment()
    assert tables.heading(METRICS["elbo"], experiment) == "ELBO [nats] ↑"
    assert tables.heading(METRICS["nll"], experiment) == "NLL (K = 4) [nats] ↓"
    assert tables.heading(METRICS["rate"], experiment) == "rate [nats]"


def test_latex_is_a_booktabs_table_with_special_characters_escaped(make_experiment):
    shown = pd.DataFrame({"variant": ["a_b & c"], "ELBO [nats] ↑": ["−1.00 [−2.00, 0.00]"]})
    latex = tables._latex(make_experiment(), shown)
    for command in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"a\_b \& c",
        r"ELBO [nats] $\uparrow$",
        r"$-$1.00 [$-$2.00, 0.00]",
    ):
        assert command in latex
    assert latex.isascii()
