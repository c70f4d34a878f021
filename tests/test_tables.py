"""Tables from hand-made scores."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vaebench import tables
from vaebench.files import replacing, write_csv, write_json
from vaebench.latent_dimensions import COLLAPSE_EPSILON
from vaebench.linear_optimum import BOUNDARY
from vaebench.metrics import FAMILIES, METRICS
from vaebench.presentation import presented
from vaebench.store import ExperimentFolder, Results
from vaebench.tables import (
    comparisons_table,
    group_keys,
    linear_table,
    runs_table,
    summary_table,
)

# ELBO by variant and seed; the pairs differ by -1, -2 and -3.
ELBO = {"bce": [-10.0, -20.0, -30.0], "beta-4": [-11.0, -22.0, -33.0], "mse": [5.0, 6.0, 7.0]}
VARIANTS = {
    "bce": {"likelihood": "bernoulli"},
    "beta-4": {"likelihood": "bernoulli", "kl": {"schedule": "constant", "weight": 4}},
    "mse": {"likelihood": {"kind": "gaussian", "sigma": 0.5}},
}


NO_SPECTRUM = pd.DataFrame({"run_id": [], "dimension": [], "collapse_epsilon": []})
LINEAR = {"network": "linear", "latent_size": 3, "likelihood": "gaussian"}


@pytest.fixture
def make(make_experiment, tmp_path):
    """An experiment and its runs table, in which every metric of a run is its ELBO; some runs may have diverged."""

    def make(diverged=(), spectrum=NO_SPECTRUM, **changes):
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
        return experiment, runs_table(experiment, folder, metrics, spectrum)

    return make


def spectrum_of(run, kl, optimal_kl, ratio=None) -> pd.DataFrame:
    """A run's dimensions, whose variances are those that belong to the optimal KL; ratio: λ / βσ², by default so too."""
    kl, optimal_kl = np.array(kl, float), np.array(optimal_kl, float)
    ratio = np.exp(2 * optimal_kl) if ratio is None else np.array(ratio, float)
    variance = np.exp(-2 * optimal_kl)
    columns = {"dimension": range(len(kl)), "kl": kl, "collapse_epsilon": kl, "posterior_variance": variance + 0.001}
    optimal = {"optimal_kl": optimal_kl, "optimal_posterior_variance": variance, "eigenvalue_ratio": ratio}
    return pd.DataFrame(columns | optimal).assign(run_id=run.run_id)


@pytest.fixture
def make_linear(make_experiment):
    """The linear table of one variant with three dimensions; each seed: gap, active units, those predicted, spectrum."""

    def make_linear(*seeds, **changes):
        changes = {"defaults": LINEAR, "variants": {"a": {}}, "baseline": "a"} | changes
        experiment = make_experiment(**{"seeds": len(seeds), "evaluation": {"n_samples": 4, "split": "train"}} | changes)
        rows, spectra = [], []
        for run, (gap, active, predicted, *spectrum) in zip(experiment.runs, seeds, strict=True):
            columns = {"optimum_gap": gap, "active_units": active, "optimal_active_units": predicted}
            rows.append({"run_id": run.run_id, "variant": run.variant, "latent_size": run.latent_size} | columns)
            spectra.append(spectrum_of(run, *spectrum))
        return linear_table(experiment, pd.DataFrame(rows), pd.concat(spectra))

    return make_linear


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
    for shown in presented(experiment, summary.reset_index(), group_keys(experiment)).values():
        assert shown.seeds[0] == "2 (+1 diverged)"


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


def test_a_baseline_that_diverged_in_the_first_seed_is_compared_in_the_others(make):
    experiment, runs = make(diverged=[("bce", 0)])
    comparisons = comparisons_table(experiment, runs).set_index("metric")
    beta = comparisons[comparisons.variant == "beta-4"]
    assert beta.comparable.all()
    assert beta.loc["elbo", ["difference", "n"]].tolist() == [-2.5, 2]


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


def test_a_grid_with_a_setting_that_some_runs_do_not_have(make):
    experiment, runs = make(
        variants={"bce": {}, "mse": {"likelihood": "gaussian"}}, grid={"corruption": [None, "gaussian"]}
    )
    summary = summary_table(experiment, runs)
    assert summary.n.tolist() == [3] * 4
    assert summary.corruption.fillna("none").tolist() == ["none", "gaussian"] * 2
    assert summary["corruption.sigma"].dropna().tolist() == [0.3] * 2
    comparisons = comparisons_table(experiment, runs)
    assert comparisons.groupby("metric").size().tolist() == [2] * len(METRICS)
    assert (comparisons[comparisons.comparable].n == 3).all()


def test_names_that_look_like_something_else_stay_names(make_experiment, tmp_path):
    table = pd.DataFrame({"variant": ["1", "nan", "null"], "elbo": [1.0, float("nan"), 2.0]})
    write_csv(tmp_path / "table.csv", table)
    again = tables._read_csv(tmp_path / "table.csv")
    assert again.variant.tolist() == ["1", "nan", "null"]
    assert again.elbo.isna().tolist() == [False, True, False]


def test_runs_say_what_has_collapsed(make):
    experiment, _ = make()
    epsilons = {0: [1.0, 0.05, COLLAPSE_EPSILON], 1: [0.09, 0.02, 0.0], 2: [1.0, 2.0, 3.0]}
    spectra = [
        # The order of ranks is another than that of dimensions.
        pd.DataFrame({"run_id": run.run_id, "dimension": [2, 1, 0], "collapse_epsilon": epsilons[run.seed]})
        for run in experiment.runs
    ]
    _, runs = make(diverged=[("mse", 2)], spectrum=pd.concat(spectra))
    runs = runs.set_index(["variant", "seed"])
    assert runs.collapsed_dimensions["bce"].tolist()[:2] == ["1", "0 1 2"]
    assert runs.collapsed_dimensions.isna()["bce", 2]
    assert runs.collapse.isna()["mse", 2]


def test_the_verdict_is_that_of_the_collapsed_units(make, monkeypatch):
    for variant, counts in {"bce": [0, 0, 0], "beta-4": [0, 3, 2], "mse": [3, 3, 3]}.items():
        monkeypatch.setitem(ELBO, variant, counts)
    experiment, runs = make(diverged=[("mse", 0)])
    assert runs.collapse.dropna().tolist() == ["none"] * 3 + ["none", "full", "partial"] + ["full"] * 2
    assert summary_table(experiment, runs).collapse.tolist() == [
        "none (3 of 3 seeds)",
        "none 1, partial 1, full 1",
        "full (2 of 2 seeds)",
    ]
    experiment, runs = make(diverged=[("bce", 0), ("bce", 1), *(("mse", seed) for seed in range(3))])
    bce, _, mse = summary_table(experiment, runs).collapse
    assert bce == "none (1 of 1 seed)"
    assert pd.isna(mse)


def test_lists_of_a_single_number_stay_text(tmp_path):
    table = pd.DataFrame({"collapse": ["none", None], "collapsed_dimensions": ["3", None]})
    write_csv(tmp_path / "table.csv", table)
    again = tables._read_csv(tmp_path / "table.csv")
    assert again.collapsed_dimensions.tolist()[:1] == ["3"]
    assert again.collapse.tolist()[:1] == ["none"]
    assert again.iloc[1].isna().all()


def test_there_is_a_table_for_each_family_that_any_run_has(make):
    experiment, runs = make()
    runs["ssim"] = math.nan
    runs["psnr"] = [math.nan] * 8 + [3.0]
    for name in ("optimal_elbo", "optimal_active_units", "optimum_gap", "classifier_accuracy"):
        runs[name] = math.nan
    shown = presented(experiment, summary_table(experiment, runs), group_keys(experiment))
    assert list(shown) == ["evidence", "levels", "collapse", "information", "reconstruction"]
    keys = ["variant", "latent size", "likelihood", "seeds"]
    reconstruction = shown["reconstruction"]
    assert list(reconstruction) == [*keys, "squared error [pixel values²] ↓", "PSNR [dB] ↑"]
    assert reconstruction["PSNR [dB] ↑"].map(str).tolist() == ["–", "–", "3.00"]
    assert list(shown["collapse"])[:6] == [*keys, "collapse", "active units [dimensions]"]
    assert shown["collapse"].collapse.tolist() == ["partial (3 of 3 seeds)"] * 3
    n_metrics = sum(len(each.columns) - len(keys) for each in shown.values()) - 1
    assert n_metrics == len(METRICS) - 5


def test_where_nothing_was_trained_there_is_no_table(make):
    experiment, runs = make(diverged=[(variant, seed) for variant in VARIANTS for seed in range(3)])
    assert presented(experiment, summary_table(experiment, runs), group_keys(experiment)) == {}


def test_a_linear_run_against_its_optimum(make_linear):
    # The boundary is at 1.02: the third dimension is left out, whatever it has become.
    spectrum = [1.01, 0.3, 0.7], [1.0, 0.28, 0.0], [math.exp(2), math.exp(0.56), 1.01]
    [row] = make_linear((-0.01, 2, 2, *spectrum)).to_dict("records")
    assert (row["variant"], row["latent_size"]) == ("a", 3)
    assert (row["n"], row["n_reached"], row["predicted_active"], row["near_boundary"]) == (1, 1, 2, 1)
    assert (row["active_low"], row["active_high"], row["gap"]) == (2, 2, -0.01)
    assert row["kl_error"] == pytest.approx(0.02)
    assert row["kl_share_error"] == pytest.approx(0.02 / 0.28)
    assert row["variance_error"] == pytest.approx(0.001)


def test_linear_runs_are_summed_up_over_seeds(make_linear):
    optimal = [1.0, 0.5, 0.0]
    seeds = [(0.1, 2, 2, [1.0, 0.5, 0.0], optimal), (0.04, 3, 2, [1.5, 0.5, 0.2], optimal)]
    [row] = make_linear(*seeds).to_dict("records")
    assert (row["n"], row["n_reached"], row["active_low"], row["active_high"]) == (2, 1, 2, 3)
    assert row["gap"] == pytest.approx(0.07)
    assert (row["kl_error"], row["kl_share_error"]) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("change", "reached"),
    [
        ({}, 1),
        ({"kl": [2.039, 0.5, 0.0]}, 1),  # 2 % of 2 nats are 0.04
        ({"kl": [2.041, 0.5, 0.0]}, 0),
        ({"kl": [2.0, 0.519, 0.019]}, 1),  # and 0.02 nats wherever that is more
        ({"kl": [2.0, 0.521, 0.0]}, 0),
        ({"kl": [2.0, 0.5, 0.021]}, 0),
        ({"gap": 0.11}, 1),  # 0.1 and twice an error of 0.0096
        ({"gap": 0.13}, 0),
        ({"gap": -0.13}, 0),
        ({"active": 1}, 0),
        ({"active": 1, "ratio": [math.exp(4), 1 + 0.99 * BOUNDARY, 0.1]}, 1),
        ({"active": 0, "ratio": [math.exp(4), 1 + 0.99 * BOUNDARY, 0.1]}, 0),
        ({"active": 1, "ratio": [math.exp(4), 1 + 1.01 * BOUNDARY, 0.1]}, 0),
    ],
)
def test_what_it_takes_to_have_reached_the_optimum(make_linear, change, reached):
    run = {"gap": 0.0, "active": 2, "predicted": 2, "kl": [2.0, 0.5, 0.0], "optimal": [2.0, 0.5, 0.0]}
    run |= {"ratio": [math.exp(4), math.e, 0.1]} | change
    assert make_linear(tuple(run.values())).n_reached.tolist() == [reached]


def test_the_monte_carlo_error_of_the_elbo_is_that_of_a_simulation(make_linear):
    """A linear VAE at its optimum for β = 2, σ = 0.5 and eigenvalues 4, 1 and 0.25, drawn from image by image."""
    eigenvalues, weight, sigma = np.array([4.0, 1.0, 0.25]), 2, 0.5
    noise = weight * sigma**2
    ratio = np.maximum(eigenvalues / noise, 1)
    scale = np.sqrt(np.maximum(eigenvalues - noise, 0))
    random = np.random.default_rng(0)
    x = random.standard_normal((20_000, 1, 3)) * np.sqrt(eigenvalues)
    z = x * scale / (scale**2 + noise) + random.standard_normal((20_000, 20, 3)) / np.sqrt(ratio)
    distortion = ((x - z * scale) ** 2).sum(-1) / (2 * sigma**2)
    n_draws = 1257 * 4
    expected = math.sqrt(distortion.var(axis=1, ddof=1).mean() / n_draws)
    kl = 0.5 * np.log(ratio)
    settings = LINEAR | {
        "likelihood": {"kind": "gaussian", "sigma": sigma},
        "kl": {"schedule": "constant", "weight": weight},
    }
    seeds = [(0.0, 2, 2, kl, kl, eigenvalues / noise)] * 4
    assert make_linear(seeds[0], defaults=settings).gap_error[0] == pytest.approx(expected, rel=0.02)
    # The mean of four.
    assert make_linear(*seeds, defaults=settings).gap_error[0] == pytest.approx(expected / 2, rel=0.02)


def test_runs_without_an_optimum_have_no_linear_table(make_linear, make_experiment, tmp_path):
    nothing = math.nan
    unknown = (nothing, 2, nothing, [1.0, 0.5, 0.0], [nothing] * 3)
    assert make_linear(unknown).empty
    known = (0.0, 2, 2, [1.0, 0.5, 0.0], [1.0, 0.5, 0.0])
    assert make_linear(known, unknown).n.tolist() == [1], "runs that have one are compared"


def test_linear_csv_is_written_where_there_is_one(make_experiment, tmp_path):
    experiment, results = make_experiment(variants={"a": {}}, baseline="a", defaults=LINEAR), Results(tmp_path / "results")
    folder = results.experiment(experiment.name)
    [cohort] = experiment.cohorts
    files = folder.cohort(cohort.name)
    for run in experiment.runs:
        write_json(folder.run(run.run_id).record, {"diverged_epoch": None})
    values = [(run.run_id, name, 2.0) for run in experiment.runs for name in METRICS]
    written = {
        files.metrics: pd.DataFrame(values, columns=["run_id", "metric", "value"]).assign(standard_error=0.1),
        files.history: pd.DataFrame({"run_id": [run.run_id for run in experiment.runs]}),
    }
    for optimal, expected in (([1.0, 0.5, 0.0], True), ([math.nan] * 3, False)):
        written[files.spectrum] = pd.concat([spectrum_of(run, [1.0, 0.5, 0.0], optimal) for run in experiment.runs])
        for path, table in written.items():
            with replacing(path) as temporary:
                table.to_parquet(temporary)
        tables.aggregate(experiment, results)
        assert folder.linear.exists() == expected, "and not left over"
        if expected:
            [row] = pd.read_csv(folder.linear).to_dict("records")
            assert (row["n"], row["n_reached"], row["gap"]) == (2, 0, 2)
    headings = [line for line in folder.summary("md").read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert headings == [f"## {FAMILIES[family]}" for family in dict.fromkeys(each.family for each in METRICS.values())]
