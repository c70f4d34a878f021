"""Recording and replaying a step, with the device played by a stand-in; nothing here needs a GPU."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from vaebench.device import Replay, describe, prepare
from vaebench.environment import require_device
from vaebench.errors import UserError


class StandIn:
    """A CUDA device: functions called while a graph is recorded do nothing until that is replayed."""

    def __init__(self):
        self.recording = None
        self.graphs = []

    def CUDAGraph(self):  # noqa: N802 (torch's own name)
        graph = SimpleNamespace(calls=[])
        graph.replay = lambda: [call() for call in graph.calls]
        self.graphs.append(graph)
        return graph

    @contextmanager
    def graph(self, graph, stream):
        self.recording = graph
        yield
        self.recording = None

    @contextmanager
    def stream(self, stream):
        yield

    def Stream(self, device):  # noqa: N802 (torch's own name)
        return SimpleNamespace(wait_stream=lambda other: None)

    def current_stream(self):
        return self.Stream(None)


@pytest.fixture
def stand_in(monkeypatch):
    made = StandIn()
    for name in ("CUDAGraph", "graph", "stream", "Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    return made


@pytest.mark.parametrize("n_calls", [1, 3, 4, 10])
def test_every_call_is_one_step_however_it_is_made(stand_in, n_calls):
    done = []

    def step():
        if stand_in.recording is None:
            done.append(1)
        else:
            stand_in.recording.calls.append(step)

    replay = Replay(step, "cuda")
    for _ in range(n_calls):
        replay()
    assert len(done) == n_calls
    assert len(stand_in.graphs) == (1 if n_calls > 3 else 0)


def test_new_content_comes_to_the_old_place_on_a_cuda_device_only(stand_in):
    old, new = (torch.zeros(3), torch.zeros(2)), (torch.ones(3), torch.full((2,), 5.0))
    assert Replay(lambda: None, "cpu").in_place(old, new) is new
    replay = Replay(lambda: None, "cuda")
    assert replay.in_place(None, new) is new
    assert replay.in_place(old, new) is old
    assert [values.tolist() for values in old] == [[1, 1, 1], [5, 5]]


def test_a_machine_without_the_device_says_so(monkeypatch):
    prepare("cpu")
    assert describe("cpu") == "CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"device cuda:0: torch finds no CUDA device on this machine; leave the device out"):
        prepare("cuda:0")


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:x", "cpu; true", ""])
def test_only_cpu_and_cuda_are_devices(device):
    require_device("cuda:1")
    with pytest.raises(UserError, match=r"is none; allowed: cpu, cuda, cuda:0"):
        require_device(device)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_precision_is_a_stated_choice(monkeypatch, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A device")
    before = torch.get_float32_matmul_precision()
    try:
        prepare("cuda", precision)
        assert torch.get_float32_matmul_precision() == ("high" if precision == "tf32" else "highest")
        assert describe("cuda") == f"A device, {precision}"
    finally:
        torch.set_float32_matmul_precision(before)
