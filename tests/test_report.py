"""The page, read back as a browser reads it, against the tables that it was made from."""

import base64
import json
import math
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import made_up_tasks
import numpy as np
import pandas as pd
import pytest
import yaml

from vaebench import costs, report, specification, tables, task_findings
from vaebench.costs import StageCost
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.files import replacing, write_json, write_text
from vaebench.metrics import METRICS
from vaebench.plotting import Source
from vaebench.presentation import heading
from vaebench.store import Results
from vaebench.task_scores import Finding

pytestmark = pytest.mark.usefixtures("made_up_metrics")

ENVIRONMENT = {"python": "3.11", "torch": "2.14.1", "processor": "a <fast> one", "git commit": "0123456789ab"}
GRID = {"seeds": 3, "grid": {"latent_size": [2, 8]}}
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")
# What only linear runs, only runs on grey pixels and only Gaussian pixels have.
LINEAR_ONLY = [metric.name for metric in METRICS.values() if metric.family == "optimum"]
GREY_ONLY = ["common_bits_per_dim", "common_sigma"]
GAUSSIAN_ONLY = ["sigma", "effective_weight"]
# Made-up scores that no warning is due for; all others are random.
SCORES = {"collapsed_units": 1.0, "effective_samples": 50.0, "mutual_information": 2.0, "share_at_bound": 0.0}


class Page(HTMLParser):
    """What a test asks of a page: its text, links, tags, scripts, the answer's paragraphs, and by section its items, tables
    and preformatted text."""

    def __init__(self, html: str):
        super().__init__()
        self.text, self.tags, self.links = "", set(), []
        self.items, self.pre, self.rows, self.answer, self.scripts = {}, {}, {}, [], {}
        self.orders, self.bold = {}, {}
        self.open, self.section, self.table = [], None, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.links += [value for name, value in attributes.items() if name in ("src", "href", "srcset", "data", "action")]
        if tag in ("section", "aside"):
            self.section = attributes["id"]
        elif tag == "table":
            name = attributes.get("id", self.section)
            self.table, self.order = self.rows.setdefault(name, []), self.orders.setdefault(name, [])
            self.bold.setdefault(name, [])
        elif tag == "tr":
            self.table.append([])
            self.order.append([])
        elif tag in ("td", "th"):
            self.table[-1].append("")
            self.order[-1].append(attributes.get("data-order"))
            if "bold" in attributes.get("class", ""):
                self.bold[list(self.rows)[-1]].append(len(self.table) - 2)
        elif tag == "p" and self.section == "answer" and "section" in self.open:
            self.answer.append("")
        elif tag == "li":
            self.items.setdefault(self.section, []).append("")
        elif tag == "pre":
            self.pre.setdefault(self.section, []).append("")
        elif tag == "script":
            self.script = attributes.get("id", "page")
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[self.script] = data
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.table[-1][-1] += data
        if "p" in self.open and self.section == "answer" and "section" in self.open:
            self.answer[-1] += data
        if "li" in self.open:
            self.items[self.section][-1] += data
        if "pre" in self.open:
            self.pre[self.section][-1] += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def records(self, table: str) -> list[dict[str, str]]:
        """Rows as column title -> cell."""
        header, *rows = self.rows[table]
        return [dict(zip([title.replace("\u00a0", " ") for title in header], row, strict=True)) for row in rows]


def scores(run, random) -> dict[str, float]:
    """A metric's name -> a made-up value, of the metrics that such a run has."""
    absent = set() if run.network.kind == "linear" else set(LINEAR_ONLY)
    absent |= set() if run.n_levels > 2 else set(GREY_ONLY)
    absent |= set() if run.likelihood.kind == "gaussian" else set(GAUSSIAN_ONLY)
    return {name: SCORES.get(name, random.normal(-20, 1)) for name in METRICS if name not in absent}


def task_scores(experiment, run) -> dict[str, float]:
    applying = (task for task in experiment.tasks if task.applies(run))
    return {name: value for task in applying for name, value in made_up_tasks.scores(task, run).items()}


def spectrum_of(run) -> pd.DataFrame:
    """Two dimensions, the second collapsed; those of a linear run are exactly as predicted."""
    kl = np.array([1.5, 0.0])
    columns = {"rank": [1, 2], "dimension": [1, 0], "kl": kl, "collapse_epsilon": kl, "posterior_variance": np.exp(-2 * kl)}
    optimal = kl if run.network.kind == "linear" else np.nan
    columns |= {"optimal_kl": optimal, "optimal_posterior_variance": np.exp(-2 * kl), "eigenvalue_ratio": [20.0, 0.1]}
    return pd.DataFrame(columns).assign(run_id=run.run_id)


def fill(experiment, results, diverged=(), environments=(), changes=None, figures=FIGURES) -> None:
    """Results as training, evaluation and drawing leave them, with made-up numbers.

    environments: run index -> changes. changes: a metric's name -> its value in all runs. figures: names of those drawn.
    """
    folder = results.experiment(experiment.name)
    random = np.random.default_rng(0)
    made_with = dict(environments)
    for index, run in enumerate(experiment.runs):
        diverged_epoch = 2 if index in diverged else None
        record = {"diverged_epoch": diverged_epoch, "environment": ENVIRONMENT | made_with.get(index, {})}
        write_json(folder.run(run.run_id).record, record)
    lost = {experiment.runs[index].run_id for index in diverged}
    for cohort in experiment.cohorts:
        files = folder.cohort(cohort.name)
        run_ids = [run.run_id for run in cohort.runs]
        values = [
            (run.run_id, name, value)
            for run in cohort.runs
            for name, value in (scores(run, random) | task_scores(experiment, run) | (changes or {})).items()
            if run.run_id not in lost
        ]
        metrics = pd.DataFrame(values, columns=["run_id", "metric", "value"]).assign(standard_error=0.1)
        columns = {f"{split}_{term}": 1.0 for split in ("train", "validation") for term in ("rate", "distortion")}
        history = pd.DataFrame({"run_id": run_ids, "epoch": 0, "seconds": 1.5, **columns})
        spectrum = pd.concat([spectrum_of(run).iloc[: 0 if run.run_id in lost else 2] for run in cohort.runs])
        found = [
            {"run_id": run.run_id, "task": task.kind, **finding._asdict()}
            for run in cohort.runs
            for task in experiment.tasks
            if task.applies(run) and run.run_id not in lost
            for finding in made_up_tasks.findings(task, run)
        ]
        found = pd.DataFrame(found, columns=["run_id", "task", *Finding._fields]).astype({"standard_error": float})
        written = ((metrics, files.metrics), (history, files.history), (spectrum, files.spectrum), (found, files.tasks))
        for table, path in written:
            with replacing(path) as temporary:
                table.to_parquet(temporary)
    tables.aggregate(experiment, results)
    for name in figures:
        for suffix in ("svg", "png"):
            write_text(folder.figure(name, suffix), f"{name} as {suffix}")
            for variant in experiment.variants:
                write_text(folder.variant_figure(variant, name, suffix), f"{name} of {variant}")


def numbers(cells: list[str]) -> list[float]:
    return [float(number.replace("−", "-")) for number in NUMBER.findall(" ".join(cells))]


@pytest.fixture
def written(make_experiment, tmp_path):
    """Make results of an experiment and the report on them; gives the experiment, its folder and the page."""

    def write(diverged=(), environments=(), scores=None, tasks=(), **changes):
        experiment, results = make_experiment(**changes), Results(tmp_path / "results")
        experiment = made_up_tasks.with_tasks(experiment, tasks) if tasks else experiment
        fill(experiment, results, diverged, environments, scores)
        report.write(experiment, results)
        folder = results.experiment(experiment.name)
        return experiment, folder, Page(folder.report.read_text(encoding="utf-8"))

    return write


def test_the_ranking_holds_the_numbers_of_the_table(written):
    experiment, folder, page = written(**GRID, diverged=[0])
    summary = tables.load(folder).summary.set_index(["variant", "latent_size"])
    rows = page.records("ranking-table")
    assert len(rows) == len(summary) == 4
    metrics = [metric for metric in METRICS.values() if metric.name not in LINEAR_ONLY]
    orders = [dict(zip(page.rows["ranking-table"][0], row, strict=True)) for row in page.orders["ranking-table"][1:]]
    for row, order in zip(rows, orders, strict=True):
        expected = summary.loc[(row["variant"], int(row["latent size"]))]
        for metric in metrics:
            bounds = [expected[metric.name + end] for end in ("", "_low", "_high")]
            title = heading(metric, experiment)
            assert numbers([row[title]]) == pytest.approx([bound for bound in bounds if not np.isnan(bound)], abs=0.00501)
            if not np.isnan(bounds[0]):
                assert float(order[title.replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")]) == bounds[0]
        assert row["collapse"] == expected.collapse
        assert row["likelihood"] == expected.likelihood
    assert {row["seeds"] for row in rows if (row["variant"], row["latent size"]) == ("bce", "2")} == {"2 (+1 diverged)"}


def test_the_best_stands_first_among_those_it_is_compared_with(written):
    _, _, page = written(**GRID)
    rows = page.records("ranking-table")
    assert [row["variant"] for row in rows] == ["bce", "bce", "mse", "mse"], "a loss is not ranked with a density"
    means = [numbers([row["ELBO [nats] ↑"]])[0] for row in rows]
    assert means == [*sorted(means[:2], reverse=True), *sorted(means[2:], reverse=True)]
    assert all(row["rank"].endswith(" of 2") for row in rows)


def test_there_are_no_ranks_by_what_is_neither_good_nor_bad(written):
    _, _, page = written(**GRID, headline="rate")
    assert "rank" not in page.rows["ranking-table"][0]
    assert [row["variant"] for row in page.records("ranking-table")] == ["bce", "bce", "mse", "mse"]


def test_a_grid_of_likelihoods_keeps_them_in_its_rows(written):
    variants = {"plain": {}, "fast": {"learning_rate": 0.01}}
    _, _, page = written(variants=variants, baseline="plain", grid={"likelihood": ["bernoulli", "gaussian"]})
    assert page.rows["ranking-table"][0][:4] == ["variant", "latent size", "likelihood", "rank"]
    kinds = sorted((row["variant"], row["likelihood"].split(",")[0]) for row in page.records("ranking-table"))
    assert kinds == [(variant, kind) for variant in ("fast", "plain") for kind in ("bernoulli", "gaussian")]


def test_a_grid_of_definitions_keeps_points_without_a_setting(written):
    variants = {"plain": {}, "fast": {"learning_rate": 0.01}}
    schedules = ["constant", {"schedule": "linear", "over": 0.5}]
    _, _, page = written(variants=variants, baseline="plain", grid={"kl": schedules}, seeds=3)
    header, *rows = page.rows["comparisons-table"]
    assert header[:6] == ["variant", "latent size", "kl", "kl.weight", "kl.over", "seeds"]
    assert rows[0][:6] == ["fast", "3", "constant", "1.0", "–", "3"]
    assert rows[1][:6] == ["fast", "3", "linear", "1.0", "0.5", "3"]


def test_comparisons_are_those_of_the_table(written):
    variants = {"bce": {"likelihood": "bernoulli"}, "fast": {"learning_rate": 0.01}, "mse": {"likelihood": "gaussian"}}
    experiment, folder, page = written(**GRID, variants=variants)
    compared = tables.load(folder).comparisons.set_index(["variant", "latent_size", "metric"])
    rows = page.records("comparisons-table")
    assert [(row["variant"], row["latent size"]) for row in rows] == [(v, z) for v in ("fast", "mse") for z in ("2", "8")]
    for row in rows:
        for metric in (metric for metric in METRICS.values() if metric.name not in LINEAR_ONLY):
            expected = compared.loc[(row["variant"], int(row["latent size"]), metric.name), ["difference", "low", "high"]]
            shown = numbers([row[heading(metric, experiment)]])
            assert shown == pytest.approx(expected.dropna().tolist(), abs=0.00501)


def test_a_variant_has_its_own_rows_in_short(written):
    experiment, folder, page = written(**GRID)
    summary = tables.load(folder).summary.set_index(["variant", "latent_size"])
    for variant in experiment.variants:
        rows = page.records(f"variant-{variant}-table")
        assert [row["latent size"] for row in rows] == ["2", "8"]
        for row in rows:
            expected = summary.loc[(variant, int(row["latent size"]))]
            assert numbers([row["rate [nats]"]])[0] == pytest.approx(expected.rate, abs=0.00501)
            assert row["collapse"] == expected.collapse
    assert "{likelihood: {kind: gaussian, sigma: 0.5}}" in page.words


def test_bold_marks_what_is_supported(written, tmp_path):
    experiment, folder, _ = written(**GRID)
    compared = pd.read_csv(folder.comparisons)
    first, second, *_ = compared.index[compared.comparable]
    compared["p_adjusted"] = 0.2
    # So small that no other has its decimals.
    compared.loc[[first, second], ["difference", "low", "high"]] = [77.123, 77.1, 77.146]
    compared.loc[first, "p_adjusted"] = 0.01
    compared.to_csv(folder.comparisons, index=False)
    folder.checksums.unlink()
    report.write(experiment, Results(tmp_path / "results"))
    page = Page(folder.report.read_text(encoding="utf-8"))
    shown = [cell for row in page.rows["comparisons-table"] for cell in row if cell.startswith("77.12")]
    assert len(shown) == 2, "an interval that excludes 0 is not enough"
    assert len(page.bold["comparisons-table"]) == 1


def test_every_run_is_in_the_table_of_runs(written):
    experiment, folder, page = written(seeds=3, diverged=[1])
    header, rows = page.rows["runs-table"][0], json.loads(page.scripts["runs-rows"])
    metrics = [metric for metric in METRICS.values() if metric.name not in LINEAR_ONLY]
    titles = [title.replace("\u00a0", " ") for title in header]
    assert titles == ["run", "seed", "status", "collapse", *(heading(metric, experiment) for metric in metrics)]
    for row, run in zip(rows, tables.load(folder).runs.to_dict("records"), strict=True):
        assert row[:3] == [run["run_id"], str(run["seed"]), run["status"]]
        for cell, metric in zip(row[4:], metrics, strict=True):
            assert (numbers([cell]) or [math.nan]) == pytest.approx([run[metric.name]], abs=0.00501, nan_ok=True)
    assert rows[1][2:] == ["diverged", *["–"] * (1 + len(metrics))]


def test_other_measures_are_never_compared(written):
    _, _, page = written(**GRID)
    n_apart = sum(metric.per_likelihood for metric in METRICS.values() if metric.name not in LINEAR_ONLY)
    for row in page.rows["comparisons-table"][1:]:
        assert row.count("not comparable") == n_apart
    assert "nats of ELBO against" not in page.words
    assert any("mse are not compared with those of bce" in sentence for sentence in page.items["findings"])


def test_what_the_user_wrote_is_escaped(written):
    title, description = '<script>alert("1")</script> & more', "<img src=http://example.org/x.png> 1 < 2"
    _, _, page = written(title=title, description=description)
    assert "alert" not in "".join(page.scripts.values())
    assert page.text.count(title) == 3  # title, heading, specification
    assert description in page.words
    assert "a <fast> one" in page.text


def test_the_page_stands_alone(written):
    _, folder, page = written()
    html = folder.report.read_text(encoding="utf-8")
    assert not page.tags & {"link", "iframe", "object", "base"}
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert set(re.findall(r"url\((.{5})", html)) <= {"data:"}
    assert "@import" not in html
    assert page.open == []
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert all(f'id="{anchor}"' in html for anchor in anchors)


def test_every_figure_is_embedded_with_its_caption(written):
    experiment, folder, page = written()
    source = Source(experiment, folder, tables.load(folder))
    figures = [FIGURES[name] for name in FIGURES.applicable(source)]
    of_variants = [FIGURES[name] for name in FIGURES.applicable(source, per_variant=True)]
    embedded = Counter(base64.b64decode(link.split(",")[1]).decode() for link in page.links if link.startswith("data:"))
    expected = [f"{figure.name} as {figure.suffix}" for figure in figures]
    expected += [f"{figure.name} of {variant}" for figure in of_variants for variant in experiment.variants]
    assert embedded == Counter(expected)
    for figure in figures + of_variants:
        assert figure.title in page.text or figure.name == FIGURES.answering(source)
        assert " ".join(figure.caption.split()) in page.words


def test_pixels_stand_in_for_a_drawing_of_too_many_lines(written, tmp_path):
    experiment, folder, _ = written()
    write_text(folder.figure("kl-spectrum", "svg"), " " * 300_001)
    report.write(experiment, Results(tmp_path / "results"))
    page = Page(folder.report.read_text(encoding="utf-8"))
    pixels = [base64.b64decode(link.split(",")[1]) for link in page.links if link.startswith("data:image/png")]
    assert b"kl-spectrum as png" in pixels
    assert b"elbo as png" not in pixels


def test_every_metric_that_a_run_has_is_defined(written):
    _, _, page = written()
    for metric in METRICS.values():
        unit = f"In {metric.unit};" if metric.unit else "A number without unit;"
        assert (f"{metric.definition} {unit}" in page.words) == (metric.family != "optimum")
    assert "In ;" not in page.words


def test_diverged_runs_are_listed(written):
    experiment, _, page = written(seeds=3, diverged=[1, 3])
    [warning] = [text for text in page.items["warnings"] if "Diverged" in text]
    lost = [f"{experiment.runs[index].run_id} (after 2 epochs)" for index in (1, 3)]
    assert warning == f"Diverged, without scores: 2 of 6 runs: {', '.join(lost)}."


def test_a_variant_of_which_every_run_diverged(written):
    experiment, _, page = written(seeds=3, diverged=[3, 4, 5], variants={"bce": {}, "wild": {"learning_rate": 1.0}})
    wild = page.records("ranking-table")[1]
    assert (wild["variant"], wild["rank"], wild["seeds"], wild["collapse"]) == ("wild", "–", "0 (+3 diverged)", "–")
    assert {wild[heading(metric, experiment)] for metric in METRICS.values() if metric.family == "information"} == {"–"}
    assert "so nothing is compared" in page.words
    assert any("Nothing of wild is compared with bce" in text for text in page.items["findings"])


def test_where_every_run_diverged_the_page_says_so(written):
    _, _, page = written(diverged=range(4))
    assert page.answer == ["There is no ELBO to answer by: no run was trained to the end."]
    assert "No run was trained to the end, so there is nothing to rank." in page.words
    assert "ranking-table" not in page.rows


def test_one_seed_has_no_interval(written):
    _, _, page = written(seeds=1, variants={"bce": {}, "fast": {"learning_rate": 0.01}})
    best, difference = page.answer
    assert re.fullmatch(r"(bce|fast) has the best mean ELBO, −[\d.]+ nats \(1 seed, no interval\)(, a lead .*)?\.", best)
    assert difference == "No difference in ELBO is supported: with fewer than 3 seeds there is no interval."
    assert any("There is no interval in 2 of 2 rows of the summary" in text for text in page.items["warnings"])
    assert not any("[" in cell for row in page.rows["ranking-table"][1:] for cell in row)


def test_the_answer_stands_first_and_by_the_headline(written):
    variants = {"bce": {}, "fast": {"learning_rate": 0.01}}
    _, _, page = written(seeds=3, variants=variants, headline="psnr", description="Described.")
    assert page.words.index("Described.") < page.words.index(page.answer[0]) < page.words.index("Experiment tiny on digits")
    assert re.match(r"(bce|fast) has the best mean PSNR, −\d\d\.\d+ dB \(95 % interval", page.answer[0])
    assert all("PSNR" in sentence for sentence in page.answer)
    # That of the ELBO is among the findings.
    assert sum("ELBO" in sentence for sentence in page.items["findings"]) == 1


@pytest.mark.parametrize(
    ("headline", "answer"),
    [
        ("elbo", r"bce has a mean ELBO of −\d\d\.\d+ nats \(95 % interval .*, 3 seeds\)\."),
        ("active_units", r"bce has a mean active units of −\d\d\.\d+ \(95 % interval .*, 3 seeds\)\."),
        ("share_at_bound", r"bce has a mean spread at bound of 0\.00 \(the same for all 3 seeds\)\."),
        ("optimum_gap", r"There is no gap to the optimum to answer by: it applies to none of the runs\."),
    ],
)
def test_one_variant_has_an_answer_for_every_headline(written, headline, answer):
    _, _, page = written(seeds=3, variants={"bce": {}}, headline=headline)
    [sentence] = page.answer
    assert re.fullmatch(answer, sentence)


def test_linear_runs_are_answered_by_their_optimum(written):
    reached = {"optimum_gap": 0.03, "active_units": 1, "optimal_active_units": 1}
    variants = {"a": {"likelihood": "gaussian"}, "b": {"likelihood": {"kind": "gaussian", "sigma": 0.25}}}
    _, folder, page = written(
        scores=reached,
        seeds=3,
        grid={"latent_size": [2, 8]},
        defaults={"network": "linear"},
        variants=variants,
        baseline="a",
        headline="optimum_gap",
        evaluation={"n_samples": 4, "split": "train"},
    )
    assert page.answer == [
        "Training reached the closed-form optimum in all 12 runs: every dimension's KL within 2 % or 0.02 nats, the ELBO "
        "within 0.1 nats, active dimensions as predicted."
    ]
    header, *rows = page.rows["linear-table"]
    assert [row[-8:-3] for row in rows] == [["1", "1", "0", "0.0000", "0.0000"]] * 4
    assert rows[0][-2] == f"0.0300 ± {(0.5 / (4 * 1257) / 3) ** 0.5:.4f}"
    assert [row[-1] for row in rows] == ["3 of 3"] * 4
    assert header[-1] == "runs that reached it"
    assert "#linear" in page.links
    assert folder.linear.exists()
    assert "Train split, mean over training seeds" in page.words
    assert "Scores are of the whole train split, N = 1,257 images" in page.words


def test_only_linear_runs_have_a_table_against_their_optimum(written):
    _, _, page = written()
    assert "linear-table" not in page.rows
    assert "#linear" not in page.links


def test_binary_data_have_no_common_bits(written):
    _, _, page = written(defaults={"binarisation": "static"}, variants={"bce": {}, "fast": {"learning_rate": 0.01}})
    titles = page.rows["ranking-table"][0]
    assert [METRICS[name].label in "".join(titles) for name in ("bits_per_dim", *GREY_ONLY)] == [True, False, False]
    assert "scored as grey levels" not in page.words
    assert "common likelihood" not in page.words


def test_doubts_about_single_metrics_are_said(written):
    doubtful = {"effective_samples": 2.5, "mutual_information": 5.8, "share_at_bound": 0.25}
    _, _, page = written(scores=doubtful, seeds=3, defaults={"binarisation": "static"}, variants={"bce": {}})
    few, ceiling, bound = page.items["warnings"]
    assert few.startswith("In all 3 runs fewer than 10 of the K = 4 samples an image are effective, 2.5 at the fewest")
    assert "its ceiling, ln N = 5.89 for N = 360 images" in ceiling
    assert "25 % of bce lie at their lower bound" in bound


def test_different_weights_of_gaussian_pixels_are_a_finding(written):
    variants = {"wide": {"likelihood": "gaussian"}, "narrow": {"likelihood": {"kind": "gaussian", "sigma": 0.1}}}
    _, _, page = written(variants=variants, baseline="wide")
    [sentence] = [text for text in page.items["findings"] if "βσ²" in text]
    assert " for wide; " in sentence


def test_a_clean_experiment_has_no_warnings(written):
    _, _, page = written(
        seeds=3, variants={"bce": {}, "fast": {"learning_rate": 0.01}}, defaults={"binarisation": "static"}
    )
    assert "warnings" not in page.items


def test_environments_are_shown_and_doubts_about_them_said(written):
    _, _, page = written(environments={0: {"torch": "2.15.0"}, 1: {"git commit": "0123-dirty"}, 2: {"git commit": None}})
    assert ["torch", "2.15.0 (1 run), 2.14.1 (3 runs)"] in page.rows["provenance"]
    assert ["python", "3.11"] in page.rows["provenance"]
    assert "Runs were trained with different torch: 2.15.0 (1 of 4 runs), 2.14.1 (3 of 4 runs)." in page.items["warnings"]
    assert any(text.startswith("1 of 4 runs came from a checkout") for text in page.items["warnings"])


def test_seconds_of_training(written):
    experiment, _, page = written()
    assert ["training", f"{1.5 * len(experiment.runs):.1f} s in total, each run's share of its cohort's time"] in page.rows[
        "provenance"
    ]


def test_the_costs_take_their_place_whenever_they_are_known_anew(written):
    _, folder, page = written()
    assert "Not known before the workflow has ended." in page.words
    before = folder.report.read_text(encoding="utf-8")
    for seconds in (1.0, 2.0):
        kept = [StageCost("planning", 1, None, 1.0, 100.0), StageCost("training", 2, 2 * seconds, 3 * seconds, 1234.5)]
        costs.keep(folder, kept)
    page = Page(folder.report.read_text(encoding="utf-8"))
    assert page.rows["costs-table"] == [
        ["stage", "jobs", "seconds", "CPU seconds", "share of CPU", "peak MB"],
        ["planning", "1", "–", "1.0", "14.3 %", "100"],
        ["training", "2", "4.0", "6.0", "85.7 %", "1,234"],
    ]
    assert page.open == []
    assert "7.0 CPU seconds in all, 6.0 of them training and evaluation: ratio 1.17." in page.words
    assert "Not known" not in page.words
    # All else is as it was.
    after = folder.report.read_text(encoding="utf-8")
    start, end = "<!-- costs -->", "<!-- end of costs -->"
    assert [after.split(start)[0], after.split(end)[1]] == [before.split(start)[0], before.split(end)[1]]


def test_methods_say_what_variants_change(written):
    variants = {
        "bce": {},
        "mse": {"likelihood": {"kind": "gaussian", "sigma": 0.25}, "network": {"kind": "mlp", "hidden": [64, 32]}},
        "warm": {
            "kl": {"schedule": "linear", "over": 0.5},
            "learning_rate": 0.01,
            "binarisation": "static",
            "corruption": "gaussian",
        },
    }
    _, _, page = written(**GRID, variants=variants)
    for sentence in (
        "1,257 training, 180 validation and 360 test images",
        "Binarisation: none (the data's own levels) for bce and mse; static (each pixel drawn once,",
        "Network: mlp (hidden = 16) for bce and warm; mlp (hidden = 64-32) for mse.",
        "Latent size: 2 and 8.",
        "Likelihood: bernoulli for bce and warm; gaussian (σ = 0.25) for mse.",
        "of the clean ones (Im et al. 2017): none for bce and mse; Gaussian noise, σ 0.3 for warm.",
        "KL weight: constant (weight = 1) for bce and mse; linear (weight = 1, over = 0.5) for warm.",
        "Training minimises distortion + weight · rate in nats,",
        "Learning rate: 0.001 for bce and mse; 0.01 for warm. Its decay: none. Epochs: 3. Batch size: 128;",
        "4 of the K samples are scored as grey levels too",
        "its one σ is the best for 180 validation images",
        "mutual information cannot exceed ln N = 5.89 nats. Total correlation is a mean over 360 of these samples",
        "above 0.01 over the images",
        "below ε = 0.1 nats for a share 1 − δ of the images, δ = 0.01",
        "with K = 4 samples",
        "at each grid point with 3 seeds (0 to 2).",
    ):
        assert sentence in page.words


def test_methods_write_down_the_objective_that_is_used(written):
    defaults = {"latent_size": 3, "epochs": 3, "learning_rate_decay": "linear"}
    variants = {"free": {"kl": "free-bits"}, "held": {"kl": {"schedule": "capacity", "nats": 5}}, "plain": {}}
    _, _, page = written(defaults=defaults, variants=variants, baseline="plain")
    for sentence in (
        "distortion + weight · |Σ_i max(KL_i, free nats) − capacity| in nats",
        "free nats are 0 unless the schedule names them. The capacity is 0 unless the schedule has one",
        "free-bits (weight = 1, free_nats = 0.25) for free; capacity (weight = 30, nats = 5, over = 0.5) for held;",
        "Its decay: linear, to 0 at the end of training.",
    ):
        assert sentence in page.words


def test_the_specification_gives_the_same_runs(written, tmp_path):
    experiment, _, page = written(**GRID, description="one\n\ntwo: <b>\n")
    path = tmp_path / f"{experiment.name}.yaml"
    path.write_text(page.pre["specification"][0], encoding="utf-8")
    again = specification.load(path)
    assert [run.run_id for run in again.runs] == [run.run_id for run in experiment.runs]
    assert again.evaluation == experiment.evaluation
    assert yaml.safe_load(page.pre["specification"][0])["defaults"]["binarisation"] == "none"


def test_the_command_that_makes_it_again(written):
    experiment, _, page = written()
    assert page.pre["provenance"] == [f"snakemake --cores 4 results/{experiment.name}/report.html"]
    assert f"The data are digits ({experiment.dataset.citation}):" in page.words


def test_what_the_page_names_is_in_its_bibtex(written):
    _, _, page = written(variants={"bce": {}, "cb": {"likelihood": "continuous-bernoulli"}})
    keys = re.findall(r"@\w+\{(\w+),", page.pre["references"][0])
    # The data set, the method, a metric, a likelihood, the statistics; nothing of schedules that are not used.
    assert {"alpaydin1998", "kingma2014", "kingma2015", "burda2016", "loaizaganem2019", "holm1979"} <= set(keys)
    assert not {"bowman2016", "fu2019", "lecun1998"} & set(keys)
    assert len(keys) == len(set(keys))


def test_the_same_inputs_give_the_same_bytes(written, tmp_path):
    experiment, folder, _ = written(diverged=[0])
    first = folder.report.read_bytes()
    report.write(experiment, Results(tmp_path / "results"))
    assert folder.report.read_bytes() == first


def test_a_missing_figure_is_named(make_experiment, tmp_path):
    experiment, results = make_experiment(), Results(tmp_path)
    fill(experiment, results)
    results.experiment(experiment.name).figure("elbo", "svg").unlink()
    with pytest.raises(UserError, match=r"elbo\.svg: is missing; draw the figures first"):
        report.write(experiment, results)


def test_torch_stays_out():
    code = "import sys, vaebench.report; assert not {'torch', 'matplotlib', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


WITH_TASKS = {"tasks": made_up_tasks.TASKS, "seeds": 3, "grid": {"latent_size": [2, 8], "left_out": [None, "3", "7"]}}


def test_without_tasks_nothing_is_said_of_them(written):
    _, folder, page = written(**GRID)
    assert "tasks" not in page.rows
    assert "#tasks" not in page.links
    assert not folder.variants_by_tasks("md").exists()


def test_variants_by_tasks_stand_below_the_answer_with_ranks_and_baselines(written):
    experiment, folder, page = written(**WITH_TASKS)
    runs = tables.load(folder).runs.fillna({"left_out": "nothing"})
    rows = page.records("tasks-table")
    assert next(iter(page.rows)) == "tasks-table", "no table stands above it"
    assert [(row["variant"], row["latent size"]) for row in rows[:4]] == [
        (v, z) for v in ("bce", "mse") for z in ("2", "8")
    ]
    for row in rows[:4]:
        own = runs[(runs.variant == row["variant"]) & (runs.latent_size == int(row["latent size"]))]
        whole, without = own[own.left_out == "nothing"], own[own.left_out != "nothing"]
        # After the rank, such as 1 or 1–2.
        distance = numbers([row["Painting (Fréchet distance) ↓"].split(" ", 1)[1]])
        assert distance[0] == pytest.approx(whole.distance.mean(), abs=0.00501)
        auroc = numbers([row["Guarding (AUROC) ↑"].split(" ", 1)[1]])
        assert auroc[0] == pytest.approx(without.auroc.mean(), abs=0.00501)
        assert re.match(r"[1-4](–[1-4])? ", row["Cleaning (PSNR) [dB] ↑"])
        assert row["seeds"] == "3"
    below = {row["variant"]: row for row in rows[4:]}
    assert list(below) == ["real images", "chance", "PCA, latent size 2", "PCA, latent size 8"]
    assert numbers([below["real images"]["Painting (Fréchet distance) ↓"]]) == [0.25]
    assert below["real images"]["Guarding (AUROC) ↑"] == "–"
    assert page.items["tasks"] == task_findings.sentences(Source(experiment, folder, tables.load(folder)).trade_offs)


def test_sentences_are_of_runs_that_left_out_no_class(written):
    _, _, page = written(**WITH_TASKS)
    said = " ".join(page.items["findings"])
    assert "left out 3" not in page.words.split("Ranking")[0]
    assert said.endswith("What is said here is of the runs that left out no class.")
    grid = {"left_out": ["3", "7"]}
    _, _, page = written(**WITH_TASKS | {"grid": grid})
    assert "at left out 3" in page.words
    assert "left out no class" not in page.words, "there are none"


def test_each_task_says_what_it_is_and_all_that_it_found(written):
    experiment, folder, page = written(**WITH_TASKS)
    found = tables.load(folder).tasks
    assert "How far samples lie from real images, as made up." in page.words
    assert "A second paragraph" not in page.words
    assert "The floor: other real images." in page.words
    painting, guarding, cleaning = (page.records(f"task-{task.kind}-table") for task in experiment.tasks)
    assert list(painting[0]) == ["variant", "latent size", "seeds", "Fréchet distance", "coverage"]
    assert [row["variant"] for row in painting] == ["bce", "bce", "mse", "mse", "real images"]
    assert [row["left out"] for row in guarding] == ["3", "7"] * 4 + [""]
    assert list(cleaning[0])[3:] == [f"{noise}: PSNR" for noise in ("all noise", *made_up_tasks.NOISES)]
    assert sum(row["variant"].startswith("clean input, variant") for row in cleaning) == 4
    for row in guarding[:-1]:
        place = {"variant": row["variant"], "latent_size": int(row["latent size"]), "left_out": row["left out"]}
        own = found[(found[list(place)] == list(place.values())).all(axis=1) & (found.method == "model")].query(
            "task == 'anomaly'"
        )
        assert numbers([row["left out: AUROC"]]) == pytest.approx(own[["mean", "low", "high"]].to_numpy()[0], abs=0.00501)


def test_the_same_table_is_there_for_markdown_and_for_papers(written):
    _, folder, page = written(**WITH_TASKS)
    lines = folder.variants_by_tasks("md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[0] == [title.replace("\u00a0", " ") for title in page.rows["tasks-table"][0]]
    assert [row[0] for row in rows[2:]] == [row["variant"] for row in page.records("tasks-table")]
    assert re.fullmatch(r"(\*\*)?3\.\d+ \[3\.\d+, 3\.\d+\] \(\d(–\d)?\)(\*\*)?", rows[2][4])
    tex = folder.variants_by_tasks("tex").read_text(encoding="utf-8")
    assert tex.count(r"\midrule") == 2
    above, below = tex.split(r"\midrule")[1:]
    assert above.count(r" \\") == 4
    assert below.split(r"\bottomrule")[0].count(r" \\") == 4
    assert r"\label{tab:tiny-tasks}" in tex
    assert re.search(r"\$3\.\d+ \\pm 0\.\d+\$ \(\d(--\d)?\)|mathbf", above)


def test_files_of_tasks_go_where_there_are_none(written, make_experiment, tmp_path):
    _, folder, _ = written(tasks=made_up_tasks.TASKS, seeds=3)
    paths = [folder.tasks, folder.variants_by_tasks("md"), folder.variants_by_tasks("tex")]
    assert all(path.exists() for path in paths)
    tables.aggregate(make_experiment(seeds=3), Results(tmp_path / "results"))
    assert not any(path.exists() for path in paths)


def test_tables_without_the_tasks_of_the_experiment_are_refused_in_one_line(written, make_experiment, tmp_path):
    experiment, folder, _ = written(seeds=3)
    asked = made_up_tasks.with_tasks(make_experiment(seeds=3))
    with pytest.raises(UserError, match=r"tasks.csv: is not there; run `vaebench aggregate` again"):
        tables.load_current(asked, folder)
    write_text(folder.tasks, "task,condition,score,method,mean\n")
    with pytest.raises(UserError, match=r"summary.csv: has no auroc; run `vaebench aggregate` again"):
        tables.load_current(asked, folder)
    assert tables.load_current(experiment, folder)
