"""Schedules at their corners, and what every schedule must keep."""

import pytest

from vaebench.schedules import SCHEDULES, Constant, Cyclical, Linear

N_STEPS = 1000


@pytest.mark.parametrize("definition", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_is_pure_and_stays_between_0_and_its_weight(definition):
    schedule = definition(weight=2.0)
    weights = [schedule(step / N_STEPS) for step in range(N_STEPS + 1)]
    assert weights == [schedule(step / N_STEPS) for step in range(N_STEPS + 1)]
    assert all(0 <= weight <= 2 for weight in weights)
    assert weights[-1] == 2, "at the end of training the full weight must be reached"


@pytest.mark.parametrize("definition", SCHEDULES.values(), ids=SCHEDULES)
def test_a_negative_weight_is_refused(definition):
    with pytest.raises(ValueError, match="weight must be 0 or more, not -1"):
        definition(weight=-1)


def test_constant():
    assert [Constant(weight=4)(progress) for progress in (0, 0.5, 1)] == [4, 4, 4]


def test_linear_rises_to_the_end_of_its_ramp():
    schedule = Linear(weight=2, over=0.5)
    assert [schedule(progress) for progress in (0, 0.125, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 2, 2, 2]


def test_a_ramp_of_no_length_is_up_at_once():
    assert Linear(over=0)(0) == 1
    assert Cyclical(cycles=2, ramp=0)(0) == 1


def test_a_ramp_over_all_of_training():
    assert [Linear(over=1)(progress) for progress in (0, 0.5, 1)] == [0, 0.5, 1]


def test_cyclical_starts_again_at_every_cycle():
    schedule = Cyclical(cycles=4, ramp=0.5)
    assert [schedule(progress) for progress in (0, 0.0625, 0.125, 0.2, 0.25, 0.3125, 0.375, 1)] == [
        0,
        0.5,
        1,
        1,
        0,
        0.5,
        1,
        1,
    ]


def test_one_cycle_is_a_linear_ramp():
    progress = [step / 64 for step in range(65)]
    assert [Cyclical(cycles=1, ramp=0.5)(p) for p in progress] == [Linear(over=0.5)(p) for p in progress]


@pytest.mark.parametrize("definition", [Linear(over=0.3), Cyclical(cycles=3, ramp=0.4)])
def test_warm_ups_start_at_0(definition):
    assert definition(0) == 0


@pytest.mark.parametrize(
    ("definition", "settings"), [(Linear, {"over": 1.5}), (Cyclical, {"cycles": 0}), (Cyclical, {"ramp": -0.1})]
)
def test_bounds(definition, settings):
    with pytest.raises(ValueError, match="must be"):
        definition(**settings)
