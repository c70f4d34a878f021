"""Variants by tasks from hand-made tables."""

import math

import numpy as np
import pandas as pd
import pytest
from made_up_tasks import Cleaning, Guarding, Painting
from scipy import stats

from vaebench.trade_offs import EVIDENCE, baselines, gather

pytestmark = pytest.mark.usefixtures("made_up_metrics")

KEYS = ["variant", "latent_size"]
NAN = math.nan


def runs(*rows, metrics=("elbo", "distance")) -> pd.DataFrame:
    """Rows (variant, seed, left_out, *metrics); other metrics have no values."""
    table = pd.DataFrame(rows, columns=["variant", "seed", "left_out", *metrics]).assign(latent_size=2)
    missing = {"elbo", "common_bits_per_dim", "distance", "auroc", "cleaned"} - {*metrics}
    return table.assign(**dict.fromkeys(missing, NAN))


def summary_of(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A row for each group of seeds, without numbers: those of the whole table of variants come from the runs."""
    rows = table[keys].drop_duplicates().reset_index(drop=True)
    return rows.assign(likelihood="bernoulli", measure="mass", binarisation="none", left_out=None, n=3, n_diverged=0)


def findings(*rows, keys=KEYS) -> pd.DataFrame:
    """Rows (*keys, task, condition, score, method, mean)."""
    return pd.DataFrame(rows, columns=[*keys, "task", "condition", "score", "method", "mean"])


NO_FINDINGS = findings()


def test_without_a_left_out_class_the_rows_are_those_of_the_summary():
    table = runs(("a", 0, None, -9.0, 1.0), ("b", 0, None, -8.0, 2.0)).drop(columns="left_out")
    summary = summary_of(table, KEYS)
    found = gather([Painting()], KEYS, table, summary, NO_FINDINGS)
    assert found.rows is summary
    assert [metric.label for metric in found.metrics] == ["ELBO", "common bits/dim", "Painting (Fréchet distance)"]
    assert found.metrics[:2] == list(EVIDENCE)
    assert found.seeds.distance.tolist() == [1, 2]


def test_numbers_are_of_runs_with_all_classes_and_others_are_means_over_the_classes_seed_by_seed():
    auroc = {0: (0.6, 0.8), 1: (0.5, 0.9), 2: (0.8, 1.0)}
    rows = [("a", seed, None, -10.0 - seed, NAN) for seed in auroc]
    rows += [
        ("a", seed, name, -50.0, value) for seed, pair in auroc.items() for name, value in zip("37", pair, strict=True)
    ]
    table = runs(*rows, metrics=("elbo", "auroc"))
    keys = [*KEYS, "left_out"]
    found = gather([Guarding()], keys, table, summary_of(table, keys), findings(keys=keys))
    assert found.keys == KEYS
    [row] = found.rows.to_dict("records")
    assert (row["variant"], row["latent_size"], row["n"], row["elbo"]) == ("a", 2, 3, -11)
    means = [np.mean(pair) for pair in auroc.values()]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert [row["auroc"], row["auroc_low"], row["auroc_high"]] == pytest.approx([np.mean(means), *expected])
    assert found.seeds.auroc.tolist() == pytest.approx(means)


def test_a_seed_of_which_a_class_is_missing_has_no_mean_over_classes():
    rows = [("a", seed, name, 0.5 + seed / 10) for seed in (0, 1) for name in "37"]
    table = runs(*rows[:-1], ("a", 1, "7", NAN), metrics=("auroc",))
    keys = [*KEYS, "left_out"]
    found = gather([Guarding()], keys, table, summary_of(table, keys), findings(keys=keys))
    assert found.seeds.auroc.tolist() == pytest.approx([0.5, NAN], nan_ok=True)
    assert found.rows.auroc.tolist() == [0.5]


def test_a_column_is_ranked_where_all_rows_compare_and_of_the_evidence_the_first():
    table = runs(("a", 0, None, -9.0, 1.0), ("b", 0, None, -8.0, 2.0)).drop(columns="left_out")
    bounds = {"elbo_low": -9.0, "elbo_high": -8.0, "distance_low": 1.0, "distance_high": 2.0, "cleaned_low": 0}
    bounds |= {"common_bits_per_dim": 2.0, "common_bits_per_dim_low": 1.9, "common_bits_per_dim_high": 2.1}
    summary = summary_of(table, KEYS).assign(elbo=[-9.0, -8.0], distance=[1.0, 2.0], cleaned=[1.0, NAN], **bounds)
    summary = summary.assign(cleaned_high=2.0)
    tasks = [Painting(), Cleaning()]
    ranked = gather(tasks, KEYS, table, summary, NO_FINDINGS).ranked
    assert [metric.name for metric in ranked] == ["elbo", "distance"], "one row alone has no rank among others"
    apart = summary.assign(measure=["mass", "density"])
    ranked = gather(tasks, KEYS, table, apart, NO_FINDINGS).ranked
    assert [metric.name for metric in ranked] == ["common_bits_per_dim", "distance"]
    other_data = summary.assign(binarisation=["none", "dynamic"])
    assert gather(tasks, KEYS, table, other_data, NO_FINDINGS).ranked == []


def test_baselines_are_told_apart_by_what_their_numbers_depend_on():
    rows = [(variant, size) for variant in "ab" for size in (2, 8)]
    numbers = {"chance": lambda variant, size: 0.1, "PCA": lambda variant, size: size / 10}
    numbers |= {"its own": lambda variant, size: ord(variant), "model": lambda variant, size: 7.0}
    found = findings(
        *(
            (*row, "generation", "", "Fréchet distance", method, number(*row))
            for row in rows
            for method, number in numbers.items()
        )
    )
    table = pd.DataFrame(rows, columns=KEYS).assign(binarisation="none")
    shown = baselines(found.assign(column="distance"), KEYS, table)
    assert dict(zip(shown["method"], shown.distance, strict=True)) == {
        "chance": 0.1,
        "PCA, latent size 2": 0.2,
        "PCA, latent size 8": 0.8,
        "its own, variant a": 97,
        "its own, variant b": 98,
    }
    common = baselines(found.assign(column="distance"), KEYS, table, of_variants=False)
    assert common["method"].tolist() == ["chance", "PCA, latent size 2", "PCA, latent size 8"]
    of_data = found.assign(column="distance", mean=[1.0] * 8 + [2.0] * 8)
    binarised = table.assign(binarisation=["none", "none", "dynamic", "dynamic"])
    shown = baselines(of_data[of_data.method == "chance"], KEYS, binarised, of_variants=False)
    assert shown["method"].tolist() == ["chance, binarisation none", "chance, binarisation dynamic"]
    assert shown.distance.tolist() == [1, 2]


def test_only_findings_of_the_headline_are_baselines_and_classes_are_averaged():
    keys = [*KEYS, "left_out"]
    found = findings(
        ("a", 2, "3", "anomaly", "left out", "AUROC", "PCA", 0.6),
        ("a", 2, "7", "anomaly", "left out", "AUROC", "PCA", 0.8),
        ("a", 2, "3", "anomaly", "left out", "precision", "PCA", 0.1),
        ("a", 2, "3", "anomaly", "elsewhere", "AUROC", "PCA", 0.1),
        ("a", 2, None, "generation", "", "Fréchet distance", "PCA", 3.0),
        ("a", 2, "3", "generation", "", "Fréchet distance", "PCA", 9.0),
        ("a", 2, None, "generation", "", "Fréchet distance", "real images", 0.5),
        keys=keys,
    )
    table = runs(*(("a", seed, name, -9.0, 1.0) for name in (None, "3", "7") for seed in (0, 1)))
    shown = gather([Painting(), Guarding()], keys, table, summary_of(table, keys), found).baselines
    assert shown["method"].tolist() == ["PCA", "real images"]
    assert shown.auroc.tolist() == pytest.approx([0.7, NAN], nan_ok=True)
    assert shown.distance.tolist() == [3, 0.5]
