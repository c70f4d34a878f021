"""Specification: expansion, identity, cohorts, and one clear message for every mistake."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from vaebench import specification
from vaebench.corruptions import GaussianNoise
from vaebench.datasets import Digits, Mnist, SyntheticGaussian
from vaebench.errors import UserError
from vaebench.likelihoods import Gaussian
from vaebench.schedules import Constant, Linear
from vaebench.settings import Run
from vaebench.specification import Evaluation, Experiment

MISTAKES = yaml.safe_load((Path(__file__).parent / "bad_experiments.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake["name"])
def test_a_mistake_is_one_clear_message(write_experiment, mistake):
    path = write_experiment(**mistake.get("set", {}))
    if "text" in mistake:
        text = mistake.get("before", "") + mistake["text"] * mistake.get("times", 1) + mistake.get("after", "")
        path.write_text(text, encoding=mistake.get("encoding", "utf-8"))
    for name, content in mistake.get("files", {}).items():
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        path.with_name(f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        specification.load(path)
    for line in str(error.value).splitlines():
        assert line.startswith(f"{path}: ")
        assert len(line) < 1000
    for words in mistake["says"]:
        assert words in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"\N{BYTE ORDER MARK}{text}",
        lambda text: f"---\n{text}...\n",
        lambda text: text.replace("tiny", "\N{GRINNING FACE} Größe 大きさ"),
        # Of YAML 1.1 these would be false, true and seconds.
        lambda text: text.replace("bce", "no").replace("mse", "on").replace("A tiny experiment", "1:30"),
        lambda text: text.replace("epochs: 3", "epochs: &three 3").replace("latent_size: 3", "latent_size: +3"),
    ],
)
def test_what_looks_odd_and_is_right(write_experiment, change):
    path = write_experiment()
    path.write_bytes(change(path.read_text(encoding="utf-8")).encode())
    assert len(specification.load(path).runs) == 4


def test_a_file_that_is_no_experiment_by_far_is_not_read(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(UserError, match=r"large\.yaml: is too long for an experiment; allowed: 200,000 bytes"):
        specification.load(path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("folder.yaml", "cannot be read (Is a directory)"),
        ("file.yaml/x.yaml", "cannot be read (Not a directory)"),
        ("away.yaml", "no such file; allowed: file"),
        ("file.yml", "the name of an experiment file ends in .yaml"),
        ("file", "the name of an experiment file ends in .yaml"),
        (f"{'a' * 101}.yaml", "cannot name an experiment"),
        ("a..yaml", "cannot name an experiment"),
        ("mlflow.db.yaml", "cannot name an experiment"),
    ],
)
def test_a_path_that_is_no_experiment_file(tmp_path, name, says):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "file.yaml").write_text("title: a\n", encoding="utf-8")
    (tmp_path / "away.yaml").symlink_to(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError) as error:
        specification.load(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert says in str(error.value)


def test_every_mistake_of_a_file_is_named(write_experiment):
    with pytest.raises(UserError) as error:
        specification.load(write_experiment(seeds=0, sedes=1, dataset="minst"))
    assert len(str(error.value).splitlines()) == 3


def test_a_missing_file_gives_the_nearest_name(write_experiment):
    path = write_experiment("digits")
    with pytest.raises(UserError, match=r"no such file; did you mean 'digits'\?"):
        specification.load(path.with_name("digit.yaml"))


@pytest.mark.parametrize("name", ["Digits", "datasets", "reference", "benchmarks", "a b"])
def test_a_file_whose_name_cannot_be_a_folders(write_experiment, name):
    with pytest.raises(UserError, match="cannot name an experiment"):
        specification.load(write_experiment(name))


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001", "+1e-3"])
def test_numbers_as_people_write_them(write_experiment, text):
    path = write_experiment()
    content = path.read_text(encoding="utf-8").replace("epochs: 3", f"epochs: 3\n  learning_rate: {text}")
    path.write_text(content, encoding="utf-8")
    assert specification.load(path).runs[0].learning_rate == 0.001


def extending(path: Path, name: str, text: str) -> Experiment:
    """A file beside another, loaded."""
    path = path.with_name(f"{name}.yaml")
    path.write_text(text, encoding="utf-8")
    return specification.load(path)


def test_two_lines_ask_the_same_of_other_data(write_experiment):
    base = write_experiment("likelihood", grid={"latent_size": [2, 4]})
    experiment = extending(base, "likelihood-mnist", "extends: likelihood\ndataset: mnist\n")
    expected = specification.load(base)
    assert (experiment.name, experiment.title, experiment.extends) == ("likelihood-mnist", expected.title, "likelihood")
    assert [run.model_copy(update={"dataset": Digits()}) for run in experiment.runs] == list(expected.runs)
    assert {run.dataset for run in experiment.runs} == {Mnist()}
    assert not {run.run_id for run in experiment.runs} & {run.run_id for run in expected.runs}


def test_defaults_and_evaluation_are_merged_key_by_key_and_other_keys_replaced(write_experiment):
    base = write_experiment(
        defaults={"epochs": 7, "latent_size": 3, "kl": {"schedule": "linear", "over": 0.5}},
        evaluation={"n_samples": 9},
        grid={"learning_rate": [0.1, 0.2]},
    )
    extending(base, "middle", "extends: tiny\ndefaults: {epochs: 8, batch_size: 64}\nvariants: {a: {}}\nbaseline: a\n")
    experiment = extending(
        base, "last", "extends: middle\ndefaults: {kl: {schedule: linear}}\nevaluation: {split: train}\ngrid: null\n"
    )
    assert [run.variant for run in experiment.runs] == ["a", "a"]
    run = experiment.runs[0]
    assert (run.epochs, run.latent_size, run.batch_size, run.kl) == (8, 3, 64, Linear())
    assert experiment.evaluation == Evaluation(n_samples=9, split="train")


def test_what_a_file_overrides_in_its_base_is_not_looked_at(write_experiment):
    base = write_experiment(defaults={"epochs": 0}, headline="none")
    assert extending(base, "other", "extends: tiny\ndefaults: {epochs: 1}\nheadline: nll\n").headline == "nll"


def test_variants_grid_and_seeds_are_multiplied(make_experiment):
    experiment = make_experiment(seeds=3, grid={"latent_size": [2, 4], "learning_rate": [0.1, 0.2]})
    assert len(experiment.runs) == 2 * 4 * 3
    assert len({run.run_id for run in experiment.runs}) == 24
    points = [(run.variant, run.latent_size, run.learning_rate, run.seed) for run in experiment.runs[:4]]
    assert points == [("bce", 2, 0.1, 0), ("bce", 2, 0.1, 1), ("bce", 2, 0.1, 2), ("bce", 2, 0.2, 0)]


def test_a_variant_overrides_the_defaults_and_what_neither_names_keeps_its_default(make_experiment):
    experiment = make_experiment(
        defaults={"kl": {"schedule": "linear", "over": 0.5}, "epochs": 7},
        variants={"a": {}, "b": {"kl": "constant", "likelihood": {"kind": "gaussian", "sigma": 0.1}}},
        baseline="a",
    )
    a, b = experiment.runs[0], experiment.runs[2]
    assert (a.kl, a.epochs, a.batch_size) == (Linear(over=0.5), 7, 128)
    assert (b.kl, b.epochs, b.likelihood) == (Constant(), 7, Gaussian(sigma=0.1))


def test_run_ids_are_stable_and_depend_on_settings_alone(make_experiment):
    run = make_experiment().runs[0]
    assert run.run_id == make_experiment(title="Another title", lanes=1, evaluation={"n_samples": 9}).runs[0].run_id
    assert run.run_id != make_experiment(defaults={"learning_rate": 0.5}).runs[0].run_id
    # Written down once: a change of this is a change of every run's identity.
    assert make_experiment(defaults={}).runs[0].run_id == "bce-z8-s0-b442c32e00"


def test_a_run_comes_back_from_its_plain_data(make_experiment):
    for run in make_experiment().runs:
        again = Run.model_validate_json(run.model_dump_json())
        assert again == run
        assert again.run_id == run.run_id


def test_a_run_without_corruption_is_what_it_was_and_others_are_cohorts_of_their_own(make_experiment):
    variants = {"clean": {"corruption": None}, "noise": {"corruption": "gaussian"}, "more": {}}
    noise = {"kind": "gaussian", "sigma": 0.5}
    experiment = make_experiment(seeds=1, defaults={"corruption": noise}, variants=variants, baseline="clean")
    clean, as_it_comes, more = experiment.runs
    assert (clean.corruption, as_it_comes.corruption, more.corruption) == (None, GaussianNoise(), GaussianNoise(sigma=0.5))
    assert clean.settings == make_experiment(variants={"clean": {}}, baseline="clean", defaults={}).runs[0].settings
    assert clean.definitions == as_it_comes.definitions - {"GaussianNoise"}
    assert len(experiment.cohorts) == 3
    assert Run.model_validate_json(more.model_dump_json()) == more


def test_cohorts_hold_runs_of_one_shape_and_every_run_once(make_experiment):
    experiment = make_experiment(
        seeds=3,
        grid={"latent_size": [2, 4]},
        variants={"a": {}, "b": {"kl": {"schedule": "constant", "weight": 4}}, "c": {"likelihood": "gaussian"}},
        baseline="a",
    )
    assert sorted(len(cohort.runs) for cohort in experiment.cohorts) == [3, 3, 6, 6]
    assert sorted(run.run_id for cohort in experiment.cohorts for run in cohort.runs) == sorted(
        run.run_id for run in experiment.runs
    )
    for cohort in experiment.cohorts:
        assert len({(run.latent_size, run.likelihood) for run in cohort.runs}) == 1


def test_cohorts_are_split_evenly_into_at_most_so_many_lanes(make_experiment):
    experiment = make_experiment(seeds=7, lanes=3, variants={"a": {}}, baseline="a")
    assert [len(cohort.runs) for cohort in experiment.cohorts] == [2, 2, 3]
    assert len({cohort.name for cohort in experiment.cohorts}) == 3


def test_lanes_of_the_call_stand_for_those_of_the_file(write_experiment):
    path = write_experiment(seeds=7, lanes=3, variants={"a": {}}, baseline="a")
    assert [len(cohort.runs) for cohort in specification.load(path, lanes=7).cohorts] == [7]
    assert len(specification.load(path).cohorts) == 3
    with pytest.raises(UserError, match=r"lanes: must be greater than 0, not -1"):
        specification.load(path, lanes=-1)


def test_cohorts_are_filled_seed_by_seed(make_experiment):
    variants = {"a": {}, "b": {"kl": {"schedule": "constant", "weight": 4}}}
    cohorts = make_experiment(seeds=3, lanes=4, variants=variants, baseline="a").cohorts
    names = [[f"{run.variant}{run.seed}" for run in cohort.runs] for cohort in cohorts]
    assert names == [["a0", "b0", "a1"], ["b1", "a2", "b2"]]


def test_the_first_runs_are_those_of_the_first_seed(make_experiment):
    experiment = make_experiment(seeds=3, grid={"latent_size": [2, 4]})
    assert experiment.first_runs == tuple(run for run in experiment.runs if run.seed == 0)
    assert len(experiment.first_runs) == 2 * 2


def test_a_cohort_by_its_name(make_experiment):
    experiment = make_experiment(seeds=7, lanes=3)
    assert [experiment.cohort(cohort.name) for cohort in experiment.cohorts] == list(experiment.cohorts)


def test_a_cohort_that_is_not_planned_any_more(make_experiment):
    with pytest.raises(UserError, match="no cohort 'gone'"):
        make_experiment().cohort("gone")


def test_what_is_no_density_is_known(make_experiment):
    bce, mse = (make_experiment().runs[index] for index in (0, 2))
    assert not bce.is_normalised
    assert mse.is_normalised
    assert make_experiment(defaults={"binarisation": "static"}).runs[0].is_normalised


@pytest.mark.parametrize(
    "text", ["digits", "{kind: digits}", "{kind: synthetic-gaussian, spectrum: [4e-2, 0.01]}", Digits().argument]
)
def test_a_data_set_on_the_command_line(text):
    dataset = specification.parse_dataset(text)
    assert dataset == (SyntheticGaussian(spectrum=(0.04, 0.01)) if "spectrum" in text else Digits())
    assert specification.parse_dataset(dataset.argument) == dataset


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("minst", "dataset: 'minst' is not known; did you mean 'mnist'?"),
        ("3", "dataset: must be a mapping, not 3"),
        ("[digits", "dataset: no valid YAML"),
        ("{kind: digits, kind: mnist}", "the key 'kind' stands twice"),
        ("{kind: digits, spectrum: [0.04]}", "dataset.spectrum: no such key; allowed: kind"),
        ("{kind: synthetic-gaussian, spectrum: [1]}", "dataset: spectrum must be a list of 2 or more"),
        ("../digits", "'../digits' is not known"),
    ],
)
def test_a_mistake_in_a_data_set_on_the_command_line_is_one_clear_message(text, says):
    with pytest.raises(UserError) as error:
        specification.parse_dataset(text)
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_schema_for_editors_names_every_key():
    schema = specification.json_schema()
    assert set(schema["properties"]) == set(specification.Experiment.model_fields)
    assert "latent_size" in schema["$defs"]["Settings"]["properties"]


def test_the_schema_for_editors_asks_a_whole_experiment_of_a_file_that_extends_none(write_experiment):
    valid = Draft202012Validator(specification.json_schema()).is_valid
    content = yaml.safe_load(write_experiment().read_text(encoding="utf-8"))
    assert valid(content)
    assert valid({"extends": "tiny", "dataset": "mnist"})
    assert not valid({"dataset": "mnist"})
    assert not valid(content | {"sedes": 3})


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].glob("experiments/*.yaml")), ids=lambda path: path.stem)
def test_the_experiments_of_this_repository_are_valid(path):
    assert specification.load(path).runs
