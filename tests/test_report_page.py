"""The report in a browser: what its script makes of the tables, without a network."""

import re

import made_up_tasks
import pytest
from test_report import fill

from vaebench import places, report, specification
from vaebench.store import Results

pytestmark = pytest.mark.usefixtures("made_up_metrics")

VARIANTS = {
    name: {"kl": {"schedule": "constant", "weight": weight}} for name, weight in (("one", 1), ("two", 2), ("half", 0.5))
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of 3 variants × 2 latent sizes × 10 seeds with made-up scores and tasks: a path, and the experiment."""
    folder = tmp_path_factory.mktemp("page")
    path = folder / "experiments/paged.yaml"
    path.parent.mkdir()
    path.write_text(
        "title: Which?\ndataset: digits\nseeds: 10\nbaseline: one\ngrid: {latent_size: [2, 8]}\n"
        f"defaults: {{network: {{kind: mlp, hidden: [16]}}}}\nvariants: {VARIANTS}\n".replace("'", '"')
    )
    experiment, results = made_up_tasks.with_tasks(specification.load(path)), Results(folder / "results")
    fill(experiment, results, diverged=[0])
    report.write(experiment, results)
    return results.experiment(experiment.name).report, experiment


@pytest.fixture(
    params=[{}, {"viewport": {"width": 390, "height": 800}}, {"color_scheme": "dark"}], ids=["wide", "phone", "dark"]
)
def page(browser, written, request):
    """The open page; what it asks of a network or complains of is a fault."""
    path, _ = written
    page = browser.new_page(**request.param)
    asked, faults = [], []
    page.on("request", lambda asking: asked.append(asking.url))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.goto(path.as_uri())
    page.wait_for_selector("html.live")
    yield page
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert faults == []
    page.close()


def column(page, table: str, title: str) -> list[str]:
    """The visible cells of a column."""
    titles = page.locator(f"#{table}-table thead th:visible").all_inner_texts()
    [index] = [i for i, text in enumerate(titles) if " ".join(text.split()).startswith(title)]
    return page.locator(f"#{table}-table tbody tr td:visible:nth-child({index + 1})").all_inner_texts()


def number(cell: str) -> float:
    return float(cell.split()[0].replace("−", "-"))


def test_nothing_is_wider_than_the_page(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0


def test_a_click_sorts_by_value_and_a_word_filters(page):
    page.click("#ranking-table thead th:has-text('rate')")
    rates = [number(cell) for cell in column(page, "ranking", "rate")]
    assert len(rates) == 6
    assert rates == sorted(rates)
    page.fill("#ranking input[type=search]", "half")
    assert column(page, "ranking", "variant") == ["half", "half"]


def test_one_family_of_metrics_is_shown_at_a_time(page):
    assert page.locator("#ranking-table thead th:visible", has_text="distortion").count() == 1
    page.locator("#ranking label", has_text="Reconstruction").click()
    titles = " ".join(page.locator("#ranking-table thead th:visible").all_inner_texts())
    assert "PSNR" in titles
    assert "distortion" not in titles
    assert "variant" in titles


def test_the_runs_are_drawn_by_pages_and_sorted_by_value(page, written):
    _, experiment = written
    assert len(column(page, "runs", "run")) == 50 < len(experiment.runs) == 60
    header = page.locator("#runs-table thead th", has_text="ELBO")
    header.click()
    ascending = [number(cell) for cell in column(page, "runs", "ELBO")]
    assert ascending == sorted(ascending)
    page.fill("#runs input[type=search]", experiment.runs[0].run_id)
    assert column(page, "runs", "ELBO") == ["–"]


def test_a_task_opens_and_its_baselines_look_apart(page):
    shown = page.locator("#task-denoising table")
    assert not shown.is_visible()
    page.locator("#task-denoising > summary").click()
    assert shown.is_visible()
    model, baseline = shown.locator("tbody tr").first, shown.locator("tbody tr.baseline").first
    assert baseline.locator("td").first.inner_text() == "PCA, latent size 2"
    styles = [row.locator("td").first.evaluate("(cell) => getComputedStyle(cell).fontStyle") for row in (model, baseline)]
    assert styles == ["normal", "italic"]


def test_variants_by_tasks_are_sorted_by_value(page):
    for _ in range(2):
        page.click("#tasks-table thead th:has-text('Painting')")
        cells = column(page, "tasks", "Painting")
        # The rank stands before it, and is whole; what has no number stands at the end.
        values = [float(re.search(r"\d+\.\d+", cell)[0]) for cell in cells if cell.strip() != "–"]
        assert len(values) == 7
        assert values in (sorted(values), sorted(values, reverse=True))


def test_a_variant_opens(page):
    shown = page.locator("#variant-half table")
    assert not shown.is_visible()
    page.locator("#variant-half > summary").click()
    assert shown.is_visible()
    assert shown.locator("tbody tr").count() == 2


def test_runs_that_are_tracked_lead_to_mlflow(browser, written, tmp_path):
    path, experiment = written
    tracked = tmp_path / "report.html"
    tracked.write_bytes(path.read_bytes())
    address = "http://127.0.0.1:5000/#/experiments/7"
    links = f'{{"experiment": "{address}", "runs": {{"{experiment.runs[1].run_id}": "abc"}}}}'
    places.fill(tracked, "mlflow", f'<script type="application/json" id="mlflow">{links}</script>')
    page = browser.new_page()
    page.goto(tracked.as_uri())
    found = page.wait_for_selector("#runs-table a")
    assert (found.get_attribute("href"), found.inner_text()) == (f"{address}/runs/abc", experiment.runs[1].run_id)
    assert page.locator("#runs-table a").count() == 1
    page.close()


def test_without_a_script_all_but_the_runs_is_there(browser, written):
    path, _ = written
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#ranking-table tbody tr").count() == 6
    assert page.locator("text=This table needs JavaScript").is_visible()
    context.close()


def test_what_a_user_wrote_runs_no_code(browser, tmp_path, make_experiment):
    hostile = '<img src=x onerror="document.title=1"></script><script>document.title=1</script>'
    experiment, results = make_experiment(title=hostile, description=hostile), Results(tmp_path / "results")
    fill(experiment, results, environments={0: {"processor": hostile}})
    report.write(experiment, results)
    page = browser.new_page()
    page.goto(results.experiment(experiment.name).report.as_uri())
    page.wait_for_selector("html.live")
    assert page.title() == hostile
    assert hostile in page.locator("#provenance").inner_text()
    page.close()
