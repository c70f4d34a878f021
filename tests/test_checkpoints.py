"""Checkpoints: what is torn, altered, foreign or of other runs is recognised, and training ends with the same bits."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_bit_contract import assert_same

from vaebench import checkpoints
from vaebench.checkpoints import Checkpoint
from vaebench.training import Training, train

EPOCHS = 4


@pytest.fixture(scope="module")
def few(digits):
    """So few that an epoch is two steps."""
    return type(digits)({split: values[:256] for split, values in digits.levels.items()}, digits.n_levels, "none")


@pytest.fixture
def runs(make_experiment):
    defaults = {"network": {"kind": "mlp", "hidden": [16]}, "latent_size": 2, "epochs": EPOCHS, "batch_size": 128}
    variants = {"one": {}, "beta": {"kl": {"schedule": "constant", "weight": 4}}}
    return make_experiment(defaults=defaults, variants=variants, baseline="one").cohorts[0].runs


def checkpoint_of(runs, folder) -> Checkpoint:
    return Checkpoint(folder / "checkpoint.safetensors", [run.run_id for run in runs], seconds=0)


def begun(runs, images, folder, n_epochs: int = 2) -> Checkpoint:
    """The checkpoints of a training that was killed after so many epochs: one an epoch, of which two are kept."""
    checkpoint = checkpoint_of(runs, folder)
    training = Training(runs, images)
    for _ in range(n_epochs):
        training.run_epoch()
        training.save(checkpoint)
    return checkpoint


def resumed(runs, images, checkpoint) -> int:
    """The epochs that a training finds done."""
    training = Training(runs, images)
    training.resume(checkpoint)
    return training.epoch


def written(path, change) -> None:
    """The same checkpoint after `change(state, tensors)`, with a checksum that is right, as a stranger could write it."""
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    tensors = load_file(path)
    state = change(state, tensors) or state
    text = state if isinstance(state, str) else json.dumps(state)
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        values = tensors[name]
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode() + values.numpy().tobytes())
    save_file(tensors, path, {"state": text, "sha256": digest.hexdigest()})


def test_the_last_two_are_kept_and_both_go_at_the_end(runs, few, tmp_path):
    checkpoint = begun(runs, few, tmp_path, n_epochs=3)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        "checkpoint.previous.safetensors",
        "checkpoint.safetensors",
    ]
    assert resumed(runs, few, checkpoint) == 3
    checkpoint.path.unlink()  # as between the two renames of a save
    assert resumed(runs, few, checkpoint) == 2
    checkpoint.remove()
    assert not list(tmp_path.glob("*.safetensors"))


def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


def flipped_in_the_header(path):
    content = bytearray(path.read_bytes())
    place = content.index(b"epoch") + len(b'epoch\\": ')
    assert content[place : place + 1] == b"2"
    content[place] ^= 1
    path.write_bytes(content)


def foreign(path):
    save_file({"weights": torch.zeros(3)}, path)


def pickled(path):
    torch.save({"state": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [torn, empty, flipped, flipped_in_the_header, foreign, pickled])
def test_a_damaged_one_is_said_and_the_one_before_is_used(runs, few, tmp_path, capsys, damage):
    checkpoint = begun(runs, few, tmp_path)
    unbroken = train(runs, few)
    damage(checkpoint.path)
    finished = train(runs, few, checkpoint)
    said = capsys.readouterr()
    assert said.out == f"goes on after epoch 1 of {EPOCHS}\n"
    [line] = said.err.splitlines()
    assert line.startswith(f"{checkpoint.path}: a damaged checkpoint (")
    assert line.endswith("; an earlier one is used")
    for one, other in zip(unbroken, finished, strict=True):
        assert_same(one, other)


def test_where_both_are_damaged_training_starts_anew(runs, few, tmp_path, capsys):
    checkpoint = begun(runs, few, tmp_path)
    torn(checkpoint.path)
    flipped(checkpoint.previous)
    finished = train(runs, few, checkpoint)
    said = capsys.readouterr()
    assert said.out == ""
    lines = sorted(said.err.splitlines())
    assert [line.partition(":")[0] for line in lines] == [str(checkpoint.previous), str(checkpoint.path)]
    assert all(line.endswith("; training starts anew") for line in lines)
    for one, other in zip(train(runs, few), finished, strict=True):
        assert_same(one, other)


def test_a_damaged_one_never_becomes_the_one_before(runs, few, tmp_path):
    checkpoint = begun(runs, few, tmp_path)
    torn(checkpoint.path)
    training = Training(runs, few)
    training.resume(checkpoint)
    training.run_epoch()
    training.save(checkpoint)
    torn(checkpoint.path)
    assert resumed(runs, few, checkpoint) == 1


def test_one_that_cannot_be_read_is_said(runs, few, tmp_path, capsys):
    checkpoint = begun(runs, few, tmp_path, n_epochs=1)
    checkpoint.path.unlink()
    checkpoint.path.mkdir()
    assert resumed(runs, few, checkpoint) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{checkpoint.path}: a ")
    assert line.endswith("; training starts anew")


def without(key):
    return lambda state, tensors: state.pop(key) and None


def with_state(**changes):
    return lambda state, tensors: state | changes


def with_lanes(value):
    return lambda state, tensors: state | {"lanes": dict.fromkeys(state["lanes"], value)}


def only_first(change):
    """Of the first run's tensors, each by its name without the run's key."""

    def changed(state, tensors):
        key = next(iter(state["lanes"]))
        for name in [name for name in tensors if name.startswith(f"{key}.")]:
            new = change(name.removeprefix(f"{key}."), tensors[name])
            tensors.pop(name) if new is None else tensors.update({name: new})

    return changed


def after_the_last(state, tensors):
    for name in [name for name in tensors if name.endswith(".history")]:
        tensors[name] = tensors[name][:1].repeat(EPOCHS + 1, 1)
    return state | {"epoch": EPOCHS + 1}


MALFORMED = {
    "no epoch": without("epoch"),
    "no lanes": without("lanes"),
    "an epoch in words": with_state(epoch="two"),
    "an epoch below 0": with_state(epoch=-1),
    "an epoch after the last": after_the_last,
    "more than is known": with_state(generator="state"),
    "lanes in a list": with_state(lanes=[]),
    "no object": lambda state, tensors: "[]",
    "no JSON": lambda state, tensors: "{",
    "nested without end": lambda state, tensors: "[" * 100_000,
    "a divergence in words": with_lanes("soon"),
    "a divergence before the start": with_lanes([-1, ""]),
    "a divergence to come": with_lanes([2**70, ""]),
    "diverged, with tensors": with_lanes([1, "NaN"]),
    "no tensors": lambda state, tensors: tensors.clear(),
    "no history": only_first(lambda name, tensor: None if name == "history" else tensor),
    "a shorter history": only_first(lambda name, tensor: tensor[:1].clone() if name == "history" else tensor),
    "a narrower history": only_first(lambda name, tensor: tensor[:, 1:].clone() if name == "history" else tensor),
    "other shapes": only_first(lambda name, tensor: tensor.reshape(1, -1)),
    "longer tensors": only_first(lambda name, tensor: torch.cat([tensor, tensor])),
    "other types": only_first(lambda name, tensor: tensor.half()),
    "a tensor too many": lambda state, tensors: tensors.update({f"{next(iter(state['lanes']))}.more": torch.zeros(1)}),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_strangers_with_a_checksum_that_is_right_is_no_good_either(runs, few, tmp_path, capsys, change):
    checkpoint = begun(runs, few, tmp_path)
    written(checkpoint.path, lambda state, tensors: None)
    assert resumed(runs, few, checkpoint) == 2, "the checksum is written as it is read"
    written(checkpoint.path, change)
    capsys.readouterr()
    assert resumed(runs, few, checkpoint) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{checkpoint.path}: a damaged checkpoint (")


def test_types_that_numpy_does_not_have_are_no_fault(runs, few, tmp_path, capsys):
    checkpoint = begun(runs, few, tmp_path)
    save_file({"a.value": torch.zeros(4, dtype=torch.bfloat16), "b": torch.zeros(())}, checkpoint.path, {"state": "{}"})
    assert resumed(runs, few, checkpoint) == 1
    assert "damaged checkpoint (its checksum" in capsys.readouterr().err


def test_other_runs_or_other_code_are_left_aside(runs, few, tmp_path, capsys):
    checkpoint = begun(runs, few, tmp_path, n_epochs=1)
    keys = [f"other-{key}" for key in checkpoint.keys]
    assert resumed(runs, few, Checkpoint(checkpoint.path, keys)) == 0
    words = "a checkpoint of other runs or other code; training starts anew"
    assert capsys.readouterr().err == f"{checkpoint.path}: {words}\n"
    # One that has more than what is asked for is used, one that has less is not.
    assert resumed(runs[:2], few, checkpoint_of(runs[:2], tmp_path)) == 1
    begun(runs[:2], few, tmp_path / "less", n_epochs=1)
    assert resumed(runs, few, checkpoint_of(runs, tmp_path / "less")) == 0


def test_a_part_of_the_runs_goes_on_in_another_order_with_the_same_bits(runs, few, tmp_path):
    checkpoint = begun(runs, few, tmp_path)
    part = [runs[3], runs[0]]
    unbroken = train(part, few)
    on_its_own = checkpoint.part([run.run_id for run in part])
    finished = train(part, few, on_its_own)
    for one, other in zip(unbroken, finished, strict=True):
        assert_same(one, other)
    # What the part has written is further than the whole, which the other runs still go on from.
    assert resumed(part, few, checkpoint_of(part, tmp_path)) == EPOCHS
    assert resumed([runs[1], runs[2]], few, checkpoint_of(runs[1:3], tmp_path)) == 2
    checkpoint.remove()
    assert not list(tmp_path.glob("*.safetensors"))


def test_an_altered_bit_anywhere_is_found(runs, few, tmp_path, capsys):
    """Every 97th byte of the file: a flipped bit is found, or has changed nothing that is read."""
    checkpoint = begun(runs[:1], few, tmp_path, n_epochs=1)
    content = checkpoint.path.read_bytes()
    like = Training(runs[:1], few)._lane_states()[0]
    [state] = checkpoints.load(checkpoint, like, EPOCHS).lanes
    found = 0
    for place in range(0, len(content), 97):
        checkpoint.path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        saved = checkpoints.load(checkpoint, like, EPOCHS)
        found += saved is None
        if saved is not None:
            assert saved.epoch == 1
            assert all(torch.equal(saved.lanes[0].tensors[name], tensor) for name, tensor in state.tensors.items())
    assert found > 0.9 * len(content) / 97
