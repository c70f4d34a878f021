"""Files that someone else made: to load them runs no code, to show them runs no script, and no name leads elsewhere."""

import ast
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from test_report import fill

import vaebench as vb
from vaebench import figures, places, report, specification, stages, tracking
from vaebench.cli import main
from vaebench.costs import StageCost, keep
from vaebench.errors import UserError
from vaebench.plotting import Figures
from vaebench.store import Results

TOP = Path(__file__).parents[1]
EXPERIMENT = """
title: Whose is it?
dataset: digits
defaults: {network: {kind: mlp, hidden: [4]}, latent_size: 2, epochs: 1}
seeds: 1
variants: {bce: {}}
baseline: bce
evaluation: {n_samples: 2}
"""
RUN = "results/tiny/runs/*"
COHORT = "results/tiny/cohorts/*"
TABLES = [f"results/tiny/{name}" for name in ("runs.csv", "summary.csv", "comparisons.csv", "history.parquet")]


# What would run code


UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "torch.load", "os.system", "os.popen", "yaml.full_load", "yaml.unsafe_load"}


def faults(tree: ast.AST) -> Iterator[str]:
    """What in this code would run code of a file that it reads, or of a text that it puts together."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            yield node.module
        elif isinstance(node, ast.Call):
            name, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in CALLS or name.endswith(("read_pickle", ".to_pickle")):
                yield name
            if options.get("shell", "False") != "False" or options.get("allow_pickle", "False") != "False":
                yield ast.unparse(node)
            if name in ("yaml.load", "yaml.load_all") and options.get("Loader") not in ("_Loader", "yaml.SafeLoader"):
                yield ast.unparse(node)


@pytest.mark.parametrize(
    "path", sorted([*TOP.glob("vaebench/*.py"), *TOP.glob("benchmarks/*.py")]), ids=lambda path: path.stem
)
def test_no_code_loads_what_can_run_code(path):
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
        "pd.read_pickle(path)",
    ],
)
def test_that_check_can_fail(code):
    assert list(faults(ast.parse(code)))


# Files that try to run code


class Bomb:
    """Whatever unpickles it makes a folder."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def as_pickle(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def as_torch_file(path: Path, bomb: Bomb) -> None:
    torch.save({"weights": bomb}, path)


def as_array(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb], object))


def as_arrays(path: Path, bomb: Bomb) -> None:
    """Objects under the names of the arrays that are expected."""
    with np.load(path) as arrays:
        names = list(arrays)
    with path.open("wb") as file:
        np.savez(file, **dict.fromkeys(names, np.array([bomb], object)))


def as_extension(path: Path, bomb: Bomb) -> None:
    """Arrow once unpickled the type of such a column (CVE-2023-47248)."""
    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(bomb),
    }
    old = pa.parquet.read_table(path)
    columns = [field.with_metadata(metadata) for field in old.schema]
    pa.parquet.write_table(old.cast(pa.schema(columns, old.schema.metadata)), path)


def as_deep_json(path: Path, bomb: Bomb) -> None:
    path.write_text("[" * 200_000, encoding="utf-8")


def as_huge_number(path: Path, bomb: Bomb) -> None:
    path.write_text('{"format": ' + "9" * 100_000 + "}", encoding="utf-8")


def as_link(path: Path, bomb: Bomb) -> None:
    outside = bomb.marker.parent / "outside"
    outside.write_bytes(pickle.dumps(bomb))
    path.unlink()
    path.symlink_to(outside)


@pytest.mark.parametrize("write", [as_pickle, as_torch_file, as_array])
def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path, write):
    path, bomb = tmp_path / "file", Bomb(tmp_path / "marker")
    write(path, bomb)
    if write is as_pickle:
        pickle.loads(path.read_bytes())
    elif write is as_torch_file:
        torch.load(path, weights_only=False)
    else:
        np.load(path, allow_pickle=True)
    assert bomb.marker.exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Real results, whose maker has left out every checksum: no file gives itself away by another one."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "tiny.yaml").write_text(EXPERIMENT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        [cohort] = specification.load(Path("tiny.yaml")).cohorts
        assert main(["prepare", "digits"]) == 0
        assert main(["cohort", "tiny.yaml", "--cohort", cohort.name]) == 0
        assert main(["aggregate", "tiny.yaml"]) == 0
    for path in folder.glob("results/tiny/**/*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({key: content[key] for key in content.keys() - {"files", "sha256"}}), encoding="utf-8")
    for path in folder.glob("results/tiny/**/checksums.json"):
        path.unlink()
    return folder


@pytest.fixture
def folder(finished, tmp_path, monkeypatch) -> Path:
    """A copy of it to go to."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in (tracking.NO_TELEMETRY | tracking.MLFLOW_DEFAULTS).items():
        monkeypatch.setenv(name, value)
    latents = figures.FIGURES["latent-space"]
    monkeypatch.setattr(figures, "FIGURES", Figures({latents.name: latents}))
    return copy


def call(*arguments: str) -> Callable[[], None]:
    """A verb as the command line does it."""

    def verb() -> None:
        assert main(list(arguments)) in (0, 1)

    return verb


def python(ask: Callable[[vb.LoadedExperiment, str], object]) -> Callable[[], None]:
    """What Python gives of a run."""

    def verb() -> None:
        [run_id] = [path.name for path in Path("results/tiny/runs").iterdir()]
        try:
            ask(vb.load("results/tiny"), run_id)
        except UserError as error:
            print(f"vaebench: {error}", file=sys.stderr)

    return verb


def cohort() -> None:
    [name] = [path.name for path in Path("results/tiny/cohorts").iterdir()]
    assert main(["cohort", "tiny.yaml", "--cohort", name]) in (0, 1)


VERBS = {
    "show": call("show", "tiny/bce"),
    "check": call("check", "tiny.yaml", "--no-estimate"),
    "tables": python(lambda loaded, run_id: loaded.runs),
    "model": python(lambda loaded, run_id: loaded.model(run_id)),
    "images": python(lambda loaded, run_id: loaded.images(run_id)),
    "pictures": python(lambda loaded, run_id: loaded.pictures(run_id)),
    "aggregate": call("aggregate", "tiny.yaml"),
    "draw": call("draw", "tiny.yaml"),
    "report": call("report", "tiny.yaml"),
    "cohort": cohort,
}
READERS = {
    f"{RUN}/run.json": ["show", "check", "model", "aggregate", "report", "cohort"],
    f"{RUN}/evaluation.json": ["show", "check", "pictures", "aggregate", "report", "cohort"],
    f"{RUN}/weights.safetensors": ["model", "cohort"],
    f"{RUN}/history.parquet": ["cohort"],
    f"{RUN}/pictures.npz": ["pictures"],
    f"{RUN}/latent.npz": ["draw"],
    f"{COHORT}/history.parquet": ["aggregate"],
    f"{COHORT}/metrics.parquet": ["aggregate"],
    f"{COHORT}/spectrum.parquet": ["aggregate"],
    "results/datasets/digits.npz": ["images", "cohort"],
    **{name: ["tables", "draw", "report"] for name in TABLES},
}
FORMS = {
    ".json": [as_pickle, as_deep_json, as_huge_number, as_link],
    ".npz": [as_pickle, as_array, as_arrays, as_link],
    ".parquet": [as_pickle, as_extension],
    ".safetensors": [as_pickle, as_torch_file, as_link],
    ".csv": [as_pickle],
}
CASES = [(name, form) for name in READERS for form in FORMS[Path(name).suffix]]


@pytest.mark.parametrize(("name", "form"), CASES, ids=[f"{Path(name).name} {form.__name__}" for name, form in CASES])
def test_to_load_a_file_runs_no_code(folder, capsys, name, form):
    [path] = folder.glob(name)
    if name.endswith("weights.safetensors"):
        # Or it is not read, since all is scored.
        (path.parent / "evaluation.json").unlink()
    bomb = Bomb(folder.parent / "marker")
    form(path, bomb)
    hostile, said = path.read_bytes(), 0
    for verb in READERS[name]:
        VERBS[verb]()
        assert not bomb.marker.exists(), verb
        lines = capsys.readouterr().err.splitlines()
        assert not any(line.startswith("Traceback") for line in lines)
        assert len([line for line in lines if line.startswith("vaebench: ")]) <= 1
        said += any(name.rpartition("/")[2] in line for line in lines) or not lines
    assert said
    if form is as_link:
        assert (folder.parent / "outside").read_bytes() == hostile, "written through the link"


def test_a_checkpoint_runs_no_code(folder, capsys):
    for path in folder.glob(f"{RUN}/run.json"):
        path.unlink()
    [path] = folder.glob(COHORT)
    bomb = Bomb(folder.parent / "marker")
    for form in (as_pickle, as_torch_file):
        form(path / "checkpoint.safetensors", bomb)
        cohort()
        assert not bomb.marker.exists()
        assert "checkpoint.safetensors" in capsys.readouterr().err
        for record in folder.glob(f"{RUN}/run.json"):
            record.unlink()


@pytest.fixture(scope="module")
def database(finished) -> Path:
    """MLflow takes seconds to create one."""
    results = Results(finished.with_name("empty"))
    tracking._create_database(results)
    return results.mlflow_database


def test_tracking_runs_no_code(folder, database, capsys):
    shutil.copy(database, folder / "results")
    [path] = folder.glob(f"{RUN}/pictures.npz")
    bomb = Bomb(folder.parent / "marker")
    as_arrays(path, bomb)
    assert main(["track", "tiny.yaml"]) == 1
    assert not bomb.marker.exists()
    assert "pictures.npz" in capsys.readouterr().err


# Names and links that lead elsewhere


@pytest.mark.parametrize("name", ["../../../elsewhere/runs/one", "/etc", "..", "a/b", "x/"])
def test_no_name_of_a_table_leads_out_of_its_folder(folder, name):
    path = folder / "results/tiny/runs.csv"
    runs = pd.read_csv(path)
    pd.concat([runs, runs.assign(run_id=name)]).to_csv(path, index=False)
    loaded = vb.load("results/tiny")
    for ask in (loaded.run, loaded.model, loaded.pictures):
        with pytest.raises(UserError, match="is no run's id, but leads elsewhere"):
            ask(name)


def test_a_record_vouches_for_no_file_elsewhere(folder, capsys):
    [path] = folder.glob(f"{RUN}/run.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    # To read it would take for ever.
    path.write_text(json.dumps(record | {"files": {"../../../../../../../dev/zero": "0"}}), encoding="utf-8")
    cohort()
    assert "run.json: holds no checksums under 'files', so it counts as not made" in capsys.readouterr().err


def test_what_a_link_leads_to_is_not_published(folder, database, capsys):
    shutil.copy(database, folder / "results")
    secret = folder / "secret"
    secret.write_text("of the user", encoding="utf-8")
    drawn = folder / "results/tiny/figures/elbo.png"
    drawn.parent.mkdir()
    drawn.symlink_to(secret)
    drawn.with_suffix(".svg").symlink_to(secret)
    for verb in ("report", "track"):
        assert main([verb, "tiny.yaml"]) == 1
        assert f"elbo.{'svg' if verb == 'report' else 'png'}: is a link to {secret}" in capsys.readouterr().err
    assert not (folder / "results/tiny/report.html").exists()


def test_drawing_deletes_nothing_where_a_link_leads(folder):
    pictures = folder / "pictures of the user"
    pictures.mkdir()
    (pictures / "holiday.png").write_bytes(b"a picture")
    (folder / "results/tiny/figures").symlink_to(pictures)
    assert main(["draw", "tiny.yaml"]) == 0
    assert (pictures / "holiday.png").read_bytes() == b"a picture"


# The page

MARKUP = """"'><img src=x onerror="window.pwned=1"><svg onload=window.pwned=1></script></title><script>"""
MARKUP += "window.pwned=1</script><!--"
MARKUP += "\u2028 ${7*7} {{7*7}} &amp; <a href='javascript:window.pwned=1'>x</a>"
PIXEL = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="top.pwned=1"><script>top.pwned=1</script></svg>'
)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory) -> Path:
    """A report whose every text, beside what an experiment file's validation lets through, is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "tiny.yaml"
    variants = {"one": {}, "two": {"kl": {"schedule": "constant", "weight": 2}}}
    # Which holds no separators of lines.
    typed = MARKUP.replace("\u2028", "")
    content = {"title": typed, "description": typed, "dataset": "digits", "variants": variants, "baseline": "one"}
    path.write_text(json.dumps(content | {"seeds": 3, "defaults": {"latent_size": 2}}), encoding="utf-8")
    experiment, results = specification.load(path), Results(folder / "results")
    names = ("processor", "platform", "git commit", MARKUP)
    fill(experiment, results, environments={0: dict.fromkeys(names, MARKUP)})
    files = results.experiment("tiny")
    files.checksums.unlink()
    for table in (files.runs, files.summary("csv"), files.comparisons):
        rows = pd.read_csv(table, keep_default_na=False, na_values=[""])
        kept = {"metric", "baseline", "comparable", "status"}
        texts = [name for name in rows.select_dtypes(exclude="number") if name not in kept]
        added = rows if "metric" in rows else rows[:1]
        pd.concat([rows, added.assign(**dict.fromkeys(texts, MARKUP))]).to_csv(table, index=False)
    for svg in files.figures.rglob("*.svg"):
        svg.write_text(PIXEL, encoding="utf-8")
    report.write(experiment, results)
    keep(files, [StageCost(MARKUP, 1, 1.0, 1.0, 1.0)])
    ids = {"run_id": [MARKUP, experiment.runs[0].run_id], "mlflow_run_id": MARKUP, "mlflow_experiment_id": MARKUP}
    pd.DataFrame(ids).to_csv(files.tracked, index=False)
    places.fill(files.report, "mlflow", stages._links(files.tracked))
    return files.report


def test_no_script_of_others_runs_in_the_page_and_texts_are_shown_as_typed(browser, hostile_page):
    page = browser.new_page()
    asked, faults, dialogs = [], [], []
    page.on("request", lambda asking: asked.append(asking.url))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(hostile_page.as_uri())
    page.wait_for_selector("html.live")
    as_typed = " ".join(MARKUP.split())

    def texts(selector: str) -> list[str]:
        return [" ".join(text.split()) for text in page.locator(selector).all_text_contents()]

    assert " ".join(page.title().split()) == as_typed
    assert texts("h1") == [as_typed]
    assert as_typed in texts("header p")
    for table in ("runs", "ranking", "comparisons"):
        assert as_typed in texts(f"#{table}-table tbody td"), table
    assert as_typed in texts("#costs-table th")
    assert any(as_typed in text for text in texts("#provenance td"))
    assert as_typed in texts("#provenance th")
    links = page.locator("#runs-table a")
    assert links.count() == 2
    for address in links.evaluate_all("links => links.map(link => link.href)"):
        assert address.startswith("http://127.0.0.1:5000/#/experiments/")
    # Sorting, filtering and turning to another family draw the tables anew.
    page.locator("#runs-table thead th").first.click()
    page.fill("#runs input[type=search]", "pwned")
    assert as_typed in texts("#runs-table tbody td")
    page.locator("#ranking label", has_text="Reconstruction").click()
    for summary in page.locator("details summary").all():
        summary.click()
    assert page.evaluate("window.pwned === undefined")
    assert page.locator("script[src], a[href^='javascript:'], img[onerror], svg").count() == 0
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert (faults, dialogs) == ([], [])
    page.close()


def test_the_page_asks_nothing_of_a_network_whatever_gets_into_it(browser, hostile_page, tmp_path):
    """The second wall: were a text not escaped, it could not tell anyone."""
    path = tmp_path / "report.html"
    tell = '<img src="http://127.0.0.1:9/tell"><script>fetch("http://127.0.0.1:9/tell")</script>'
    path.write_text(hostile_page.read_text(encoding="utf-8").replace("<h1>", tell + "<h1>"), encoding="utf-8")
    page = browser.new_page()
    asked = []
    page.on("requestfinished", lambda asking: asked.append(asking.url))
    page.on(
        "requestfailed", lambda asking: asked.append(asking.url) if "CSP" not in (asking.failure or "").upper() else None
    )
    page.goto(path.as_uri())
    page.wait_for_selector("html.live")
    assert not [url for url in asked if url.startswith("http")]
    page.close()
