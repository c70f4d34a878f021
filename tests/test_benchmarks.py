"""What the benchmarks measure; never how long it takes."""

import sys

import pandas as pd
import pytest
import torch

from benchmarks import gpu, measure
from benchmarks.training import BATCH_SIZE, MODELS, floor_program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    return tmp_path


def test_all_programs_take_turns():
    order = []
    programs = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    seconds = measure.interleaved(programs, repeats=2)
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [3, 5], "b": [4, 6]}
    assert measure.ratio([2, 9, 8], [1, 3, 2]) == 3


def test_the_floor_is_all_matrix_products_of_a_step(monkeypatch):
    numbers = []
    monkeypatch.setattr(
        torch, "bmm", lambda one, other, out: numbers.append(one.shape[0] * one[0].numel() * other.shape[2])
    )
    floor_program(MODELS["784-128-20"], 784, n_lanes=3, n_steps=2)()
    # Each layer's weights meet each image forward and twice backward, the first layer's once backward.
    by_image = 2 * 784 * 128 + 3 * 128 * 40 + 3 * 20 * 128 + 3 * 128 * 784
    assert sum(numbers) == 3 * 2 * BATCH_SIZE * by_image


def test_the_gpu_benchmark_on_the_cpu(folder, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "WIDTH", 16)
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--lanes", "1", "3", "--steps", "2"])
    gpu.main()
    table = pd.read_csv(folder / "gpu.csv")
    assert table.program.tolist() == ["plain loop", "vaebench", "vaebench"]
    assert table.lanes.tolist() == [1, 1, 3]
    assert table["same bits alone"].tolist()[1:] == [True, True]
    assert (table["lane-steps a second"] > 0).all()
    assert set(table.device) == {"CPU"}
    assert "TFLOP/s" in capsys.readouterr().out
