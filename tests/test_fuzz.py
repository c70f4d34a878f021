"""Whatever stands in an experiment file, reading it gives an experiment, or says what is wrong in lines that name the file.

Always the same files; `VAEBENCH_FUZZ=20` looks at twenty times as many, and each time at others.
"""

import os
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaebench import cli, specification
from vaebench.errors import UserError
from vaebench.metrics import METRICS
from vaebench.registry import Registry
from vaebench.settings import REGISTRIES, Settings, parse_run
from vaebench.specification import MOST_RUNS, Evaluation, Experiment
from vaebench.tasks import TASKS

TIMES = int(os.environ.get("VAEBENCH_FUZZ", "0"))
FILES = sorted((Path(__file__).parents[1] / "experiments").glob("*.yaml"))
# What has meaning to YAML, to Python or to the schema.
SIGNS = list(":-?,[]{}#&*!|>'%@`~/\"\t\r\n\0\x1b\x85\u2028\ufeff")
SIGNS += ["\n  ", "{a: ", "- ", "&a ", "*a", "<<", "---", "...", "..", "../x"]
VALUES = ["!!int ", "!!python/name:os.system ", "null", "true", "no", ".inf", ".nan", "-0", "1e999", "0x1f", "010", "1_0"]
VALUES += ["1:30", "2024-13-45", "9" * 30, "9" * 5000, "-1", "0.5", '"\\0"', '"\\ud800"', "a."]
TOKENS = [*SIGNS, *VALUES, *Experiment.model_fields, *Settings.model_fields]


def fuzzed(n_examples: int) -> settings:
    return settings(
        max_examples=n_examples * max(TIMES, 1),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def _as_if_called(monkeypatch, path):
    monkeypatch.setenv("VAEBENCH_DATA", str(path.parent))
    # It is the process's, and other tests are in this one.
    for name in ("disable", "freeze", "set_threshold", "enable"):
        monkeypatch.setattr(cli.gc, name, lambda *_: None)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Of the file that is fuzzed; the experiments that it may extend, and images of its own, lie beside it."""
    folder = tmp_path_factory.mktemp("fuzz")
    for file in FILES:
        (folder / file.name).write_bytes(file.read_bytes())
    np.savez(folder / "own.npz", images=np.arange(240, dtype=np.uint8).reshape(60, 2, 2))
    return folder / "tiny.yaml"


def is_valid(path: Path, content: bytes) -> bool:
    """Whether the file is an experiment. Fails where it is neither that nor a clear mistake, and where more is written."""
    path.write_bytes(content)
    before = sorted(path.parent.rglob("*"))
    mistakes = None
    try:
        experiment = specification.load(path)
    except UserError as error:
        mistakes = str(error)
    assert sorted(path.parent.rglob("*")) == before
    if mistakes is not None:
        for line in mistakes.split("\n"):
            assert line.startswith(f"{path}: "), mistakes
            assert line.isprintable(), mistakes
            assert len(line) < 1500, mistakes
        return False
    assert 1 <= len(experiment.runs) <= MOST_RUNS
    assert sum(len(cohort.runs) for cohort in experiment.cohorts) == len(experiment.runs)
    for run in experiment.first_runs:
        assert parse_run(run.model_dump(mode="json"), path) == run
        assert all(run.kl(progress) >= 0 for progress in (0.0, 0.5, 1.0))
    return True


def mutated(text: str, edits: list[tuple[str, float, float, str]]) -> str:
    """A text with pieces of it inserted, deleted, doubled and replaced."""
    for what, start, length, token in edits:
        parts = text.splitlines(keepends=True) if what.endswith("lines") else list(text)
        begin = int(start * len(parts))
        end = begin + int(length * 8)
        piece = parts[begin:end]
        put = {"delete": [], "double": piece * 2, "insert": [token, *piece], "replace": [token]}[what.split()[0]]
        text = "".join([*parts[:begin], *put, *parts[end:]])
    return text


def in_utf8(text: str) -> bytes:
    """Halves of characters too."""
    return text.encode("utf-8", "surrogatepass")


SHARE = st.floats(0, 1, exclude_max=True)
EDITS = st.lists(
    st.tuples(
        st.sampled_from([f"{verb}{unit}" for verb in ("delete", "double", "insert", "replace") for unit in ("", " lines")]),
        SHARE,
        SHARE,
        st.sampled_from(TOKENS) | st.text(max_size=5),
    ),
    min_size=1,
    max_size=6,
)


@fuzzed(150)
@given(text=st.sampled_from([file.read_text(encoding="utf-8") for file in FILES]), edits=EDITS)
def test_good_files_with_slips(path, text, edits):
    is_valid(path, in_utf8(mutated(text, edits)))


@fuzzed(300)
@given(content=st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join).map(str.encode) | st.binary(max_size=200))
def test_any_text_and_any_bytes(path, content):
    is_valid(path, content)


NUMBERS = st.sampled_from([0, 3, 0.5, -1, 1e-9, 1e300, 10**6, 10**12, 10**30, float("inf"), float("nan")])
NUMBERS |= st.integers() | st.floats()
TEXTS = st.text(max_size=5)
TEXTS |= st.sampled_from(["bce", "..", "../x", "a" * 300, "no", "1", "\0", "\ud800", "a\nb", "\u2028", "<b>"])
PLAIN = NUMBERS | TEXTS | st.none() | st.booleans()
KEYS = TEXTS | st.integers() | st.none() | st.booleans()
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def mostly(good: st.SearchStrategy) -> st.SearchStrategy:
    """Once in twenty times anything; a file of bad values only would be refused for the first of them."""
    return st.sampled_from([good] * 19 + [ANY]).flatmap(lambda strategy: strategy)


def one_of(*values: object) -> st.SearchStrategy:
    return mostly(st.sampled_from(values))


def definitions(registry: Registry) -> st.SearchStrategy:
    """A name, or a mapping of it and settings; now and then those of another definition."""
    settings_of = {
        name: {field.name: one_of("own.npz" if field.default is MISSING else field.default, 1, 2.0) for field in inner}
        for name, (_, *inner) in ((name, fields(definition)) for name, definition in registry.items())
    }
    every = {key: value for each in settings_of.values() for key, value in each.items()}
    own = [st.fixed_dictionaries({registry.tag: st.just(name)}, optional=given) for name, given in settings_of.items()]
    of_others = st.fixed_dictionaries({registry.tag: st.sampled_from([*registry])}, optional=every)
    return mostly(st.sampled_from([*registry]) | st.one_of(*own, of_others))


def mapping(**values: st.SearchStrategy) -> st.SearchStrategy:
    """Some of these keys, and now and then another."""
    return mostly(st.fixed_dictionaries({}, optional=values)) | st.fixed_dictionaries({}, optional=values | {"other": ANY})


VALUES_OF = {
    **{name: definitions(registry) for name, registry in REGISTRIES.items() if name != "dataset"},
    "latent_size": one_of(1, 2, 3, 65_536),
    "epochs": one_of(1, 2, 10**6),
    "batch_size": one_of(1, 32, 1257, 1258),
    "learning_rate": one_of(1e-3, 1, 10.0),
    "binarisation": one_of("none", "static", "dynamic"),
    "learning_rate_decay": one_of("none", "linear"),
    "left_out": one_of(None, 3, "0"),
}
SETTINGS = mapping(**VALUES_OF)
EXPERIMENTS = st.fixed_dictionaries(
    {
        "title": one_of("Any", "title: [a"),
        "dataset": one_of("digits", "binarized-mnist") | definitions(REGISTRIES["dataset"]),
        "variants": mostly(st.fixed_dictionaries({"bce": SETTINGS}, optional={"b": SETTINGS, "no": SETTINGS})),
        "baseline": one_of("bce"),
    },
    optional={
        "extends": one_of("beta", "likelihood", "mnist"),
        "description": one_of("", "Some\nlines\n"),
        "defaults": SETTINGS,
        "seeds": one_of(1, 2, 3),
        "grid": mostly(
            st.sampled_from([*VALUES_OF]).flatmap(
                lambda key: st.fixed_dictionaries({key: mostly(st.lists(VALUES_OF[key], max_size=4))})
            )
        ),
        "headline": one_of(*METRICS, "linear_probe"),
        "tasks": mostly(st.lists(one_of("representation") | definitions(TASKS), max_size=2, unique_by=str)),
        "evaluation": mapping(n_samples=one_of(1, 100), split=one_of("test", "train", "tset")),
        "lanes": one_of(1, 25, 10**9),
    },
)


def test_the_schema_is_known_here():
    assert set(VALUES_OF) == set(Settings.model_fields)
    assert set(Evaluation.model_fields) == {"n_samples", "split"}


def test_every_key_with_good_and_bad_values(path):
    met = []

    @fuzzed(250)
    @given(content=EXPERIMENTS)
    def look(content):
        met.append(is_valid(path, in_utf8(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))))

    look()
    # It would be worth little if most of them were right, or wrong.
    assert 0.2 < sum(met) / len(met) < 0.8


@fuzzed(60)
@given(content=EXPERIMENTS)
def test_check_ends_with_0_or_1_and_leaves_nothing(path, content):
    path.write_bytes(in_utf8(yaml.safe_dump(content)))
    results = path.parent / "results"
    assert cli.main(["check", str(path), "--no-estimate", "--results", str(results)]) in (0, 1)
    assert not results.exists()
