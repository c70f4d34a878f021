"""The page, read back as a browser reads it, against the tables that it was made from."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml

from vaebench import report, specification, tables
from vaebench.errors import UserError
from vaebench.figures import FIGURES
from vaebench.metrics import METRICS
from vaebench.store import Results, replacing, write_json, write_text
from vaebench.timing import stage_times

ENVIRONMENT = {"python": "3.11", "torch": "2.14.1", "processor": "a <fast> one", "git commit": "0123456789ab"}
GRID = {"seeds": 3, "grid": {"latent_size": [2, 8]}}
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")


class Page(HTMLParser):
    """What a test asks of a page: its text, links, tags, and by section its items, tables and preformatted text."""

    def __init__(self, html: str):
        super().__init__()
        self.text, self.tags, self.links = "", set(), []
        self.items, self.pre, self.rows = {}, {}, {}
        self.open, self.section, self.table = [], None, None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.links += [value for name, value in attributes.items() if name in ("src", "href", "srcset", "data", "action")]
        if tag in ("section", "aside"):
            self.section = attributes["id"]
        elif tag == "table":
            self.table = self.rows.setdefault(attributes.get("id", self.section), [])
        elif tag == "tr":
            self.table.append([])
        elif tag in ("td", "th"):
            self.table[-1].append("")
        elif tag == "li":
            self.items.setdefault(self.section, []).append("")
        elif tag == "pre":
            self.pre.setdefault(self.section, []).append("")
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.table[-1][-1] += data
        if "li" in self.open:
            self.items[self.section][-1] += data
        if "pre" in self.open:
            self.pre[self.section][-1] += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def fill(experiment, results, diverged=(), environments=()) -> None:
    """Results as training, evaluation and drawing leave them, with made-up numbers. environments: run index -> changes."""
    folder = results.experiment(experiment.name)
    random = np.random.default_rng(0)
    changes = dict(environments)
    for index, run in enumerate(experiment.runs):
        diverged_epoch = 2 if index in diverged else None
        record = {"diverged_epoch": diverged_epoch, "environment": ENVIRONMENT | changes.get(index, {})}
        write_json(folder.run(run.run_id).record, record)
    lost = {experiment.runs[index].run_id for index in diverged}
    for cohort in experiment.cohorts:
        files = folder.cohort(cohort.name)
        run_ids = [run.run_id for run in cohort.runs]
        values = [(run_id, name, random.normal(-20, 1)) for run_id in run_ids if run_id not in lost for name in METRICS]
        metrics = pd.DataFrame(values, columns=["run_id", "metric", "value"]).assign(standard_error=0.1)
        columns = {f"{split}_{term}": 1.0 for split in ("train", "validation") for term in ("rate", "distortion")}
        history = pd.DataFrame({"run_id": run_ids, "epoch": 0, "seconds": 1.5, **columns})
        spectrum = pd.DataFrame({"run_id": run_ids, "rank": 1, "kl": 0.5})
        for table, path in ((metrics, files.metrics), (history, files.history), (spectrum, files.spectrum)):
            with replacing(path) as temporary:
                table.to_parquet(temporary)
    tables.aggregate(experiment, results)
    for name in FIGURES:
        for suffix in ("svg", "png"):
            write_text(folder.figure(name, suffix), f"{name} as {suffix}")


@pytest.fixture
def written(make_experiment, tmp_path):
    """Make results of an experiment and the report on them; gives the experiment, its folder and the page."""

    def write(diverged=(), environments=(), **changes):
        experiment, results = make_experiment(**changes), Results(tmp_path / "results")
        fill(experiment, results, diverged, environments)
        report.write(experiment, results)
        folder = results.experiment(experiment.name)
        return experiment, folder, Page(folder.report.read_text(encoding="utf-8"))

    return write


def test_the_summary_holds_the_numbers_of_the_table(written):
    _, folder, page = written(**GRID, diverged=[0])
    expected = []
    for row in tables.load(folder).summary.to_dict("records"):
        numbers = [row["latent_size"], row["n"], *([row["n_diverged"]] if row["n_diverged"] else [])]
        bounds = [row[name + end] for name in METRICS for end in ("", "_low", "_high")]
        formatted = [f"{value:.2f}".replace("-", "−") for value in bounds if not np.isnan(value)]
        expected.append([*map(str, numbers), *formatted])
    # The first cell of a group's first row is the variant and its likelihood.
    shown = [row[1:] if row[0].startswith(("bce", "mse")) else row for row in page.rows["summary-table"][1:]]
    assert [NUMBER.findall(" ".join(row)) for row in shown] == expected
    assert [row[0] for row in page.rows["summary-table"][1::2]] == ["bcebernoulli, not a density", "msegaussian, sigma 0.5"]
    assert shown[0][1] == "2 (+1 diverged)"


def test_a_grid_of_likelihoods_keeps_them_in_its_rows(written):
    variants = {"plain": {}, "fast": {"learning_rate": 0.01}}
    _, _, page = written(variants=variants, baseline="plain", grid={"likelihood": ["bernoulli", "gaussian"]})
    header, *rows = page.rows["summary-table"]
    assert header[:4] == ["variant", "latent size", "likelihood", "seeds"]
    assert [row[-len(METRICS) - 2].split(",")[0] for row in rows] == ["bernoulli", "gaussian"] * 2


def test_comparisons_are_those_of_the_table(written):
    variants = {"bce": {"likelihood": "bernoulli"}, "fast": {"learning_rate": 0.01}, "mse": {"likelihood": "gaussian"}}
    _, folder, page = written(**GRID, variants=variants)
    compared = tables.load(folder).comparisons
    rows = page.rows["comparisons-table"][1:]
    assert [row[0] for row in rows[::2]] == ["fastbernoulli, not a density", "msegaussian, sigma 0.5"]
    numbers = [NUMBER.findall(" ".join(row)) for row in rows]
    for shown, (_, group) in zip(numbers, compared.groupby(["variant", "latent_size"], sort=False), strict=True):
        bounds = group[["difference", "low", "high"]].dropna().to_numpy().flatten()
        assert shown[-len(bounds) :] == [f"{value:.2f}".replace("-", "−") for value in bounds]


def test_bold_marks_what_is_supported(written, tmp_path):
    experiment, folder, _ = written(**GRID)
    compared = pd.read_csv(folder.comparisons)
    first, second, *_ = compared.index[compared.comparable]
    compared["p_adjusted"] = 0.2
    compared.loc[[first, second], ["difference", "low", "high"]] = [0.123, 0.1, 0.146]
    compared.loc[first, "p_adjusted"] = 0.01
    compared.to_csv(folder.comparisons, index=False)
    report.write(experiment, Results(tmp_path / "results"))
    html = folder.report.read_text(encoding="utf-8")
    assert html.count('class="mean bold">0.12<') == html.count('class="mean bold"') == 1
    assert html.count(">0.12<") == 2, "an interval that excludes 0 is not enough"


def test_other_measures_are_never_compared(written):
    _, _, page = written(**GRID)
    per_likelihood = [metric.per_likelihood for metric in METRICS.values()]
    for row in page.rows["comparisons-table"][1:]:
        assert row.count("not comparable") == sum(per_likelihood)
    assert not any("nats of ELBO" in sentence for sentence in page.items["findings"])
    assert any("mse are not compared with those of bce" in sentence for sentence in page.items["findings"])


def test_what_the_user_wrote_is_escaped(written):
    title, description = '<script>alert("1")</script> & more', "<img src=http://example.org/x.png> 1 < 2"
    _, _, page = written(title=title, description=description)
    assert "script" not in page.tags
    assert page.text.count(title) == 3  # title, heading, specification
    assert description in page.words
    assert "a <fast> one" in page.text


def test_the_page_stands_alone(written):
    _, folder, page = written()
    html = folder.report.read_text(encoding="utf-8")
    assert not page.tags & {"script", "link", "iframe", "object", "base"}
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert "url(" not in html
    assert "@import" not in html
    assert page.open == []
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    assert all(f'id="{anchor}"' in html for anchor in anchors)


def test_every_figure_is_embedded_with_its_caption(written):
    _, _, page = written()
    assert sum(link.startswith("data:") for link in page.links) == len(FIGURES)
    assert sum(link.startswith("data:image/png") for link in page.links) == 1
    for figure in FIGURES.values():
        assert figure.title in page.text
        assert " ".join(figure.caption.split()) in page.words


def test_every_metric_is_defined(written):
    _, _, page = written()
    for metric in METRICS.values():
        assert f"{metric.definition} In {metric.unit};" in page.words
        assert metric.reference in page.text


def test_diverged_runs_are_listed(written):
    experiment, _, page = written(seeds=3, diverged=[1, 3])
    [warning] = [text for text in page.items["warnings"] if "Diverged" in text]
    lost = [f"{experiment.runs[index].run_id} (after 2 epochs)" for index in (1, 3)]
    assert warning == f"Diverged, without scores: 2 of 6 runs: {', '.join(lost)}."
    [row] = [row for row in page.rows["runs-table"] if row[0] == experiment.runs[1].run_id]
    assert row == [experiment.runs[1].run_id, "1", "diverged", *["–"] * len(METRICS)]


def test_a_variant_of_which_every_run_diverged(written):
    _, _, page = written(seeds=3, diverged=[3, 4, 5], variants={"bce": {}, "wild": {"learning_rate": 1.0}})
    assert page.rows["summary-table"][2][1:] == ["3", "0 (+3 diverged)", *["–"] * len(METRICS)]
    assert "so nothing is compared" in page.words
    assert any("Nothing of wild is compared with bce" in text for text in page.items["findings"])


def test_one_seed_has_no_interval(written):
    _, _, page = written(seeds=1, variants={"bce": {}, "fast": {"learning_rate": 0.01}})
    assert page.items["findings"][0] == "No difference in ELBO is supported: with fewer than 3 seeds there is no interval."
    assert any("There is no interval in 2 of 2 rows of the summary" in text for text in page.items["warnings"])
    assert not any("[" in cell for row in page.rows["summary-table"][1:] for cell in row)


def test_a_clean_experiment_has_no_warnings(written):
    _, _, page = written(
        seeds=3, variants={"bce": {}, "fast": {"learning_rate": 0.01}}, defaults={"binarisation": "static"}
    )
    assert "warnings" not in page.items


def test_environments_are_shown_and_doubts_about_them_said(written):
    _, _, page = written(environments={0: {"torch": "2.15.0"}, 1: {"git commit": "0123-dirty"}, 2: {"git commit": None}})
    assert ["torch", "2.15.0 (1 run), 2.14.1 (3 runs)"] in page.rows["provenance"]
    assert ["python", "3.11"] in page.rows["provenance"]
    assert "Runs were made with different torch: 2.15.0 (1 run) and 2.14.1 (3 runs)." in page.items["warnings"]
    assert any(text.startswith("1 of 4 runs came from a checkout") for text in page.items["warnings"])


def test_seconds_of_training_and_of_stages(written):
    experiment, folder, page = written()
    assert ["training", f"{1.5 * len(experiment.runs):.1f} s in total, each run's share of its cohort's time"] in page.rows[
        "provenance"
    ]
    files = {"train/a.tsv": "1.5", "train/b.tsv": "2.5", "aggregate.tsv": "3", "draw.tsv": "1", "report.tsv": "9"}
    for name, seconds in files.items():
        write_text(folder.benchmarks / name, f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\tNA\n")
    times = {time.stage: (time.n_jobs, time.seconds) for time in stage_times(folder)}
    assert times == {"train": (2, 4.0), "aggregate": (1, 3.0), "draw": (1, 1.0), "report": (1, 9.0)}
    report.write(experiment, Results(folder.path.parent))
    assert "stage train" in folder.report.read_text(encoding="utf-8")


def test_methods_say_what_variants_change(written):
    variants = {
        "bce": {},
        "mse": {"likelihood": {"kind": "gaussian", "sigma": 0.25}, "network": {"kind": "mlp", "hidden": [64, 32]}},
        "warm": {"kl": {"schedule": "linear", "over": 0.5}, "learning_rate": 0.01, "binarisation": "static"},
    }
    _, _, page = written(**GRID, variants=variants)
    for sentence in (
        "1,257 training, 180 validation and 360 test images",
        "Binarisation: none (the data's own levels) for bce and mse; static (each pixel drawn once,",
        "Network: mlp (hidden = 16) for bce and warm; mlp (hidden = 64-32) for mse.",
        "Latent size: 2 and 8.",
        "Likelihood: bernoulli for bce and warm; gaussian (σ = 0.25) for mse.",
        "KL weight: constant (weight = 1) for bce and mse; linear (weight = 1, over = 0.5) for warm.",
        "Learning rate: 0.001 for bce and mse; 0.01 for warm. Epochs: 3. Batch size: 128;",
        "with K = 4 samples",
        "at each grid point with 3 seeds (0 to 2).",
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
    assert experiment.dataset.citation in page.words


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
