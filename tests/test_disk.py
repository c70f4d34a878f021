"""Faults of the disk: full, over a quota, read-only, closed to the user, files that vanish and files that are altered.

Each is a real one. Every step says in one line which file it could not write or read, and why; no file under its final
name is half written; and the same calls, when the fault is gone, end with the same runs.csv as if it had never been.
"""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from vaebench import cli, files, specification, tracking, workflow
from vaebench.errors import DamagedFileError, UserError
from vaebench.figures import FIGURES
from vaebench.files import read_arrays, read_bytes, read_json, read_table
from vaebench.loading import load
from vaebench.weights import load_weights
from vaebench.workflow import Job

REPOSITORY = Path(__file__).parents[1]
ALL = ("prepare", "cohort", "aggregate", "draw", "report")
# One from the tables, one from the pictures: to draw all takes longer than all else here.
DRAWN = ("elbo", "reconstructions")
TINY = {
    "title": "A tiny experiment",
    "dataset": "digits",
    "defaults": {"network": {"kind": "mlp", "hidden": [16]}, "epochs": 2, "latent_size": 2},
    "seeds": 1,
    "variants": {"bce": {}, "beta-4": {"kl": {"schedule": "constant", "weight": 4}}},
    "baseline": "bce",
    "evaluation": {"n_samples": 4},
    "tasks": ["representation"],
}
# All that is left when the workflow has ended, but for logs: a name for each kind of file.
OF_DATASETS = ("datasets/digits.npz", "datasets/digits.json")
OF_RUNS = ("run.json", "weights.safetensors", "history.parquet", "evaluation.json", "pictures.npz", "latent.npz")
OF_RUNS += ("task.representation.json",)
OF_COHORTS = ("history.parquet", "metrics.parquet", "spectrum.parquet", "tasks.parquet", "checksums.json")
TABLES = (
    "runs.csv",
    "tasks.csv",
    "summary.csv",
    "comparisons.csv",
    "history.parquet",
    "spectrum.parquet",
    "checksums.json",
)
KINDS = [
    *OF_DATASETS,
    *(f"tiny/runs/bce-*/{name}" for name in OF_RUNS),
    *(f"tiny/cohorts/*/{name}" for name in OF_COHORTS),
    *(f"tiny/{name}" for name in (*TABLES, "summary.md", "summary.tex", "tasks.md", "tasks.tex", "report.html")),
    "tiny/costs/cohort/*.json",
    "tiny/figures/elbo.svg",
]


def steps(folder: Path, *verbs: str) -> list[list[str]]:
    """The calls of the workflow in its order, of these verbs or of all up to the report."""
    file, results = str(folder / "experiments/tiny.yaml"), ["--results", str(folder / "results")]
    [cohort] = specification.load(Path(file)).cohorts
    calls = [
        ["prepare", "digits"],
        ["cohort", file, "--cohort", cohort.name],
        *([verb, file] for verb in ("aggregate", "draw", "report", "track")),
    ]
    return [[*call, *results] for call in calls if call[0] in (verbs or ALL)]


def call(arguments: list[str], limit: int = resource.RLIM_INFINITY) -> tuple[int, str]:
    """Exit code and what is said on stderr; limit: of a file's size, in bytes, as a quota sets it."""
    said = io.StringIO()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            code = cli.main(arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    return code, said.getvalue()


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Two figures only, and the garbage of this process is collected as before."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("disable", "freeze", "set_threshold", "enable"):
            patch.setattr(cli.gc, name, lambda *_: None)
        for name in set(FIGURES) - set(DRAWN):
            patch.delitem(FIGURES, name)
        yield


def ends_well(folder: Path, *verbs: str) -> None:
    for arguments in steps(folder, *verbs):
        code, said = call(arguments)
        assert code == 0, said


def start(folder: Path) -> Path:
    path = folder / "experiments/tiny.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    return folder


def assert_whole(results: Path) -> None:
    """Every file under its final name can be read, is what vouches for it says, and no other file is there."""
    assert not [path for path in results.rglob(".*") if path.is_file()]
    for path in (path for path in results.rglob("*") if path.is_file()):
        if results / "mlartifacts" in path.parents:
            # MLflow copies them in place; its run stays RUNNING until all are there, and is replaced by the next call.
            continue
        match path.suffix:
            case ".json":
                for name in files.vouched(read_json(path)):
                    read_bytes(path.parent / name, path)
            case ".npz":
                read_arrays(path)
            case ".parquet":
                read_table(path, ())
            case ".csv":
                files.read_csv(path, ())
            case ".safetensors":
                load_weights(path)
            case ".db":
                with contextlib.closing(sqlite3.connect(path)) as database:
                    assert database.execute("pragma integrity_check").fetchone() == ("ok",)
            case suffix:
                ends = {".svg": b"</svg>", ".png": b"IEND\xaeB`\x82", ".pdf": b"%%EOF", ".html": b"</html>"}
                assert path.read_bytes().rstrip().endswith(ends.get(suffix, b"")), path


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The tiny experiment after all steps up to the report; tests copy it before they change it."""
    folder = start(tmp_path_factory.mktemp("finished"))
    with quick():
        ends_well(folder)
    return folder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def _quick():
    with quick():
        yield


def runs_csv(folder: Path) -> bytes:
    return (folder / "results/tiny/runs.csv").read_bytes()


def the(folder: Path, kind: str) -> Path:
    """The first file of a kind."""
    return sorted((folder / "results").glob(kind))[0]


def test_no_file_of_finished_results_is_forgotten_here(finished):
    results = finished / "results"
    kinds = [*KINDS, *(kind.replace("bce-", "beta-4-") for kind in KINDS)]
    known = {path for kind in kinds for path in results.glob(kind)} | {
        path for kind in ("**/locks/**/*.lock", "tiny/costs/*.json", "tiny/figures/*.*") for path in results.glob(kind)
    }
    assert {path for path in results.rglob("*") if path.is_file()} == known
    assert_whole(results)


def path_over_quota(ended: tuple[int, str]) -> Path:
    """Which file a call names that has ended so: in one line and by exit code 1."""
    code, said = ended
    [named] = re.findall(r"^vaebench: (.*): cannot be written \(File too large\); raise the limit [^\n]*\n$", said)
    assert code == 1
    return Path(named)


def test_a_quota_stops_each_step_in_one_line_and_what_is_finished_is_kept(finished, tmp_path):
    folder = start(tmp_path)
    results = folder / "results"
    [prepare] = steps(folder, "prepare")
    assert path_over_quota(call(prepare, limit=100_000)) == results / "datasets/digits.npz"
    ends_well(folder, "prepare")
    [cohort] = steps(folder, "cohort")
    checkpointing = [*cohort, "--checkpoint-seconds", "0"]
    assert path_over_quota(call(checkpointing, limit=1000)).name == "checkpoint.safetensors"
    made = [path for path in (finished / "results/tiny").rglob("*") if path.is_file() and path.suffix != ".lock"]
    sizes = sorted(path.stat().st_size for path in made)
    stopped = []
    # The report is the largest of all.
    for limit in (10, *(size - 1 for size in (*sizes[len(sizes) // 5 : -1 : 3], sizes[-1]))):
        for arguments in steps(folder, "cohort", "aggregate", "draw", "report"):
            ended = call(arguments, limit)
            if ended != (0, ""):
                stopped.append(path_over_quota(ended))
                assert_whole(results)
                break
    assert len(set(stopped)) >= 4, stopped
    assert {"weights.safetensors", "report.html"} <= {path.name for path in stopped}
    ends_well(folder, "cohort", "aggregate", "draw", "report")
    assert runs_csv(folder) == runs_csv(finished)


FULL = """
mount -t tmpfs -o size=60k tmpfs "$1/results" || exit 77
exec "$2" "$3" "$1"
"""
# How many kB more than what is there the disk has when a step is tried, and fails.
TOO_SMALL = {"cohort": (4, 16, 40), "draw": (8,), "track": (4, 1100)}


def namespace() -> list[str]:
    """A command in which file systems can be mounted and no one else sees them. Skips the test where there is none."""
    for options in (["-m"], ["-rm"]):
        mounted = ["unshare", *options, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if shutil.which("unshare") and subprocess.run(mounted, capture_output=True, check=False).returncode == 0:
            return ["unshare", *options]
    pytest.skip("no mount namespaces here: neither as root nor by user namespaces")


def environment() -> dict[str, str]:
    """Of a process with this Python and this repository's code."""
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PATH": paths}


def test_a_full_disk_stops_each_step_in_one_line_and_what_is_finished_is_kept(finished, tmp_path):
    inside = namespace()
    folder = start(tmp_path)
    (folder / "results").mkdir()
    command = [*inside, "sh", "-c", FULL, "sh", str(folder), sys.executable, __file__]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stopped = json.loads(done.stdout.splitlines()[-1])
    assert {verb for verb, _ in stopped} == {"prepare", "cohort", "aggregate", "draw", "report", "track"}
    assert len({path for _, path in stopped}) >= 8, stopped
    assert (tmp_path / "runs.csv").read_bytes() == runs_csv(finished)


def forked(arguments: list[str]) -> tuple[int, str]:
    """The call in a process of its own, as it always is: SQLite and MLflow remember what failed before."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        with os.fdopen(writer, "w") as file:
            json.dump(call(arguments), file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        code, said = json.load(file)
    os.wait()
    return code, said


def on_a_full_disk(folder: Path) -> None:
    """Inside the namespace: each step where there is too little room for it, and then where there is enough."""
    results, stopped = folder / "results", []

    def leave(kilobytes: int) -> None:
        size = shutil.disk_usage(results).used // 1024 + kilobytes
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(results)], check=True)

    for arguments in steps(folder, *ALL, "track"):
        for kilobytes in TOO_SMALL.get(arguments[0], (4, 8)):
            leave(kilobytes)
            code, said = forked(arguments)
            assert (code, len(said.splitlines())) == (1, 1), (arguments, kilobytes, said)
            found = re.match(r"vaebench: (?:MLflow at sqlite:///)?(.*?): .*; (free space|see whether .*), then ", said)
            assert found, said
            stopped.append((arguments[0], str(Path(found[1]).relative_to(results))))
            assert_whole(results)
        leave(8000)
        code, said = forked(arguments)
        assert code == 0, said
    assert_whole(results)
    shutil.copy(results / "tiny/runs.csv", folder)
    print(json.dumps(stopped))


def vanish(path: Path) -> None:
    path.unlink()


def alter(path: Path) -> None:
    """One bit in the middle: in a record a digit or a letter, so that most are valid files still."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


FAULTS = [vanish, alter, tear]
VOUCHED_FOR = [f"tiny/runs/bce-*/{name}" for name in OF_RUNS] + [f"tiny/cohorts/*/{name}" for name in OF_COHORTS]


@pytest.mark.parametrize("fault", FAULTS[:2])
@pytest.mark.parametrize("kind", [*VOUCHED_FOR, "tiny/costs/cohort/*.json"])
def test_what_a_cohort_has_lost_its_job_makes_again_saying_so(finished, copied, kind, fault):
    path = the(copied, kind)
    fault(path)
    [(code, said), aggregated] = [call(arguments) for arguments in steps(copied, "cohort", "aggregate")]
    assert code == 0
    # That a record is not there is how a run begins.
    if "/runs/" in kind and (fault, path.suffix) != (vanish, ".json"):
        assert re.match(rf"{re.escape(str(path))}: .*, so it counts as not made\n", said)
    assert aggregated == (0, "")
    assert runs_csv(copied) == runs_csv(finished)
    assert_whole(copied / "results")


@pytest.mark.parametrize("name", OF_COHORTS[:3])
def test_tables_are_not_made_of_damaged_ones(finished, copied, name):
    path = the(copied, f"tiny/cohorts/*/{name}")
    alter(path)
    [(code, said)] = [call(arguments) for arguments in steps(copied, "aggregate")]
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"vaebench: {path}: ")
    assert "snakemake --cores 1 --forcerun cohort --config experiment=tiny" in said
    assert runs_csv(copied) == runs_csv(finished)


@pytest.mark.parametrize("fault", FAULTS[:2])
@pytest.mark.parametrize("name", TABLES[:5])
def test_a_damaged_table_is_named_and_made_again(finished, copied, name, fault):
    path = copied / "results/tiny" / name
    fault(path)
    words = f"{path}: .*--forcerun aggregate --config experiment=tiny"
    if (name, fault) == ("runs.csv", vanish):
        words = f"{path.parent}: has no tables yet; the workflow or vaebench.run makes them"
    with pytest.raises(UserError, match=f"^{words}"):
        _ = load(copied / "results/tiny").summary
    ends_well(copied, "aggregate", "report")
    assert runs_csv(copied) == runs_csv(finished)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_data_set_is_named_and_made_again(finished, copied, fault):
    path = the(copied, "datasets/digits.npz")
    fault(path)
    shutil.rmtree(the(copied, "tiny/runs/bce-*/run.json").parent)
    [cohort] = steps(copied, "cohort")
    code, said = call(cohort)
    assert (code, said.count("\n")) == (1, 1)
    assert re.match(rf"vaebench: {re.escape(str(path))}: .*; make it with: vaebench prepare digits\n", said)
    ends_well(copied, "prepare", "cohort", "aggregate")
    assert runs_csv(copied) == runs_csv(finished)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_and_pictures_that_are_damaged_are_named_with_the_command(finished, copied, fault):
    bce = load(copied / "results/tiny").run("bce")
    for path, read in ((bce.folder.weights, bce.model), (bce.folder.pictures, bce.pictures)):
        read()
        fault(path)
        with pytest.raises(DamagedFileError, match=re.escape(f"{path}: ")) as error:
            read()
        assert "snakemake --cores 1 --forcerun cohort --config experiment=tiny" in str(error.value)


def test_weights_that_fit_another_model_are_damaged_too(copied):
    bce = load(copied / "results/tiny").run("bce")
    record = read_json(bce.folder.record)
    del record["files"]
    files.write_json(bce.folder.record, record)
    files.write_bytes(bce.folder.weights, b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(DamagedFileError, match=re.escape(f"{bce.folder.weights}: cannot be read")) as error:
        bce.model()
    assert "\n" not in str(error.value)


def test_records_of_older_versions_vouch_for_nothing(finished, copied):
    for path in (copied / "results").rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({name: record[name] for name in record.keys() - {"sha256", "files"}}), encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in (copied / "results/tiny/runs").rglob("*.*")}
    ends_well(copied, "cohort", "aggregate", "report")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert runs_csv(copied) == runs_csv(finished)


READ_ONLY = """
mount --bind "$1/results" "$1/results" && mount -o remount,ro,bind "$1/results" || exit 77
shift
exec "$@"
"""


def test_a_read_only_file_system_is_one_line(copied):
    inside = namespace()
    [aggregate] = steps(copied, "aggregate")
    command = [*inside, "sh", "-c", READ_ONLY, "sh", str(copied), sys.executable, "-m", "vaebench", *aggregate]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    path = copied / "results/tiny/locks/tables.lock"
    assert done.stderr.startswith(f"vaebench: {path}: cannot be written (Read-only file system); make the file system writ")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.fixture
def closed(finished) -> Iterator[Path]:
    """Results that another user may read but not write; of one run not even read."""
    # The folder for tests is open to its owner only.
    folder = Path(shutil.copytree(finished, Path(tempfile.mkdtemp()) / "closed"))
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Else no step would come as far as the file that it may not read or write.
    for path in folder.glob("results/**/locks/**/*.lock"):
        path.chmod(0o666)
    the(folder, "tiny/runs/bce-*/run.json").chmod(0)
    yield folder
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)
    shutil.rmtree(folder.parent)


@contextlib.contextmanager
def someone_else() -> Iterator[None]:
    """As a user without rights, where this is one who may do all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_permissions_are_one_line(finished, closed):
    # What these calls import may be closed too.
    assert call(["show", "tiny/bce", "--results", str(finished / "results")]) == (0, "")
    record, data = the(closed, "tiny/runs/bce-*/run.json"), the(closed, "datasets/digits.npz")
    results = ["--results", str(closed / "results")]
    # A run whose record is there is not trained again, as if it were missing.
    for arguments, path, action in (
        (["show", "bce", *results], record, "read"),
        (*steps(closed, "cohort"), record, "read"),
        (["prepare", "digits", *results], data, "written"),
    ):
        with someone_else():
            code, said = call(arguments)
        assert said.startswith(f"vaebench: {path}: cannot be {action} (Permission denied); see who owns it")
        assert (code, said.count("\n")) == (1, 1)


def test_a_step_whose_log_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder is needed", encoding="utf-8")
    log = tmp_path / "logs/prepare.log"
    with pytest.raises(UserError, match=re.escape(f"{log}: cannot be written (")):
        list(workflow._side_by_side([Job(["prepare", "digits"], log)], cores=1))


def test_snakemake_says_why_where_a_full_disk_takes_no_log(tmp_path):
    inside = namespace()
    shutil.copy(REPOSITORY / "Snakefile", start(tmp_path))
    shutil.copy(REPOSITORY / "environment.yml", tmp_path)
    (tmp_path / "vaebench").symlink_to(REPOSITORY / "vaebench")
    (tmp_path / "results").mkdir()
    full = 'mount -t tmpfs -o size=64k tmpfs results && head -c 64k /dev/zero > results/full; exec "$@"'
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "results/datasets/digits.npz"]
    command = [*inside, "sh", "-c", full, "sh", *command, "--config", "experiment=tiny"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = "vaebench: results: cannot be written (No space left on device); free space, then start again: what is finished"
    assert line in done.stderr, done.stdout + done.stderr


if __name__ == "__main__":
    # Imported here once, not in each process that is forked.
    os.environ.update(tracking.NO_TELEMETRY | tracking.MLFLOW_DEFAULTS)
    import_module("mlflow.store.tracking.sqlalchemy_store")

    with quick():
        on_a_full_disk(Path(sys.argv[1]))
