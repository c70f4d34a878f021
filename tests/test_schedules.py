"""Schedules at their corners, and what every schedule must keep."""

import dataclasses
import math
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaebench.plotting import styled
from vaebench.schedules import SCHEDULES, Capacity, Constant, Cooling, Cosine, Cyclical, FreeBits, Linear, Logistic, Steps

N_STEPS = 1000
EVERY_STEP = [step / N_STEPS for step in range(N_STEPS + 1)]
WARM_UPS = [Linear, Cosine, Logistic, Steps]

SHARE = st.floats(0, 1)
SETTINGS = {
    "weight": st.floats(0, 1e6),
    "over": SHARE,
    "ramp": SHARE,
    "steepness": st.floats(0.01, 1e4),
    "steps": st.integers(1, 1000),
    "cycles": st.integers(1, 1000),
    "factor": st.floats(1, 1e3),
    "free_nats": st.floats(0, 100),
    "nats": st.floats(0, 1000),
}


def random_settings(definition):
    names = [field.name for field in dataclasses.fields(definition) if field.name in SETTINGS]
    return st.builds(definition, **{name: SETTINGS[name] for name in names})


RANDOM_SCHEDULE = st.one_of(*map(random_settings, SCHEDULES.values()))
# Progress as training has it. Neighbouring floats would ask more of the library's cosine than it promises.
RANDOM_PROGRESS = st.integers(0, 10**6).map(lambda step: step / 10**6)


@pytest.mark.parametrize("definition", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_is_pure_and_stays_between_0_and_its_weight(definition):
    """But for one that falls to its weight: it has no factor of its own here."""
    schedule = definition(weight=2.0, **({"factor": 1.0} if definition is Cooling else {}))
    weights = [schedule(progress) for progress in EVERY_STEP]
    assert weights == [schedule(progress) for progress in EVERY_STEP]
    assert all(0 <= weight <= 2 for weight in weights)
    assert weights[-1] == 2, "at the end of training the full weight must be reached"


@pytest.mark.parametrize("definition", SCHEDULES.values(), ids=SCHEDULES)
def test_every_capacity_is_pure_and_finite_and_nothing_is_negative(definition):
    schedule = definition()
    capacities = [schedule.capacity(progress) for progress in EVERY_STEP]
    assert capacities == [schedule.capacity(progress) for progress in EVERY_STEP]
    assert all(0 <= nats < math.inf for nats in capacities)
    assert 0 <= schedule.free_nats < math.inf


@settings(deadline=None, derandomize=True, max_examples=500)
@given(RANDOM_SCHEDULE, RANDOM_PROGRESS, RANDOM_PROGRESS)
def test_whatever_the_settings_a_weight_stays_in_bounds_and_rises_but_where_it_is_to_fall(schedule, progress, other):
    earlier, later = sorted([progress, other])
    low, high = sorted([schedule(0), schedule.weight])
    assert 0 <= low <= schedule(earlier) <= high
    assert schedule(1) == schedule.weight
    assert 0 <= schedule.capacity(earlier) <= schedule.capacity(later) < math.inf
    if isinstance(schedule, Cooling):
        assert schedule(earlier) >= schedule(later)
    elif not isinstance(schedule, Cyclical):
        assert schedule(earlier) <= schedule(later)


@pytest.mark.parametrize("definition", SCHEDULES.values(), ids=SCHEDULES)
def test_a_negative_weight_is_refused(definition):
    with pytest.raises(ValueError, match="weight must be 0 or more, not -1"):
        definition(weight=-1)


def test_constant():
    assert [Constant(weight=4)(progress) for progress in (0, 0.5, 1)] == [4, 4, 4]


@pytest.mark.parametrize("definition", WARM_UPS)
@pytest.mark.parametrize("over", [0.1, 0.3, 1 / 3, 0.7, 1])
def test_a_warm_up_starts_at_0_and_has_its_full_weight_at_the_end_of_its_ramp(definition, over):
    schedule = definition(weight=0.7, over=over)
    assert schedule(0) == 0
    assert schedule(over * 0.99) < 0.7
    assert schedule(over) == 0.7
    assert schedule((over + 1) / 2) == 0.7


@pytest.mark.parametrize("definition", WARM_UPS)
def test_a_warm_up_of_no_length_is_up_at_once(definition):
    assert definition(over=0)(0) == 1


def test_linear_rises_to_the_end_of_its_ramp():
    schedule = Linear(weight=2, over=0.5)
    assert [schedule(progress) for progress in (0, 0.125, 0.25, 0.5, 0.75, 1)] == [0, 0.5, 1, 2, 2, 2]


def test_a_ramp_over_all_of_training():
    assert [Linear(over=1)(progress) for progress in (0, 0.5, 1)] == [0, 0.5, 1]


def test_cosine_is_a_squared_sine_of_half_the_angle():
    schedule = Cosine(weight=2, over=0.5)
    assert [schedule(0.125), schedule(0.25)] == pytest.approx([1 - math.sqrt(0.5), 1])
    for progress in (0.01, 0.2, 0.49):
        assert schedule(progress) == pytest.approx(2 * math.sin(math.pi * progress) ** 2)


@pytest.mark.parametrize("steepness", [0.1, 1, 10, 100])
def test_logistic_is_the_rescaled_logistic_function(steepness):
    def logistic(x):
        return 1 / (1 + math.exp(-x))

    schedule = Logistic(weight=3, over=0.4, steepness=steepness)
    low, high = logistic(-steepness / 2), logistic(steepness / 2)
    for progress in (0.001, 0.1, 0.2, 0.3, 0.399):
        expected = 3 * (logistic(steepness * (progress / 0.4 - 0.5)) - low) / (high - low)
        assert schedule(progress) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_logistic_of_little_steepness_is_linear_and_of_much_a_jump():
    flat, steep = Logistic(over=1, steepness=1e-3), Logistic(over=1, steepness=1e6)
    assert [flat(progress) for progress in (0.1, 0.5, 0.8)] == pytest.approx([0.1, 0.5, 0.8], abs=1e-7)
    assert [steep(progress) for progress in (0.49, 0.5, 0.51)] == [0, 0.5, 1]


def test_steps_jump_by_equal_amounts():
    schedule = Steps(weight=2, over=0.5, steps=4)
    progress = (0, 0.124, 0.125, 0.249, 0.25, 0.374, 0.375, 0.499, 0.5, 1)
    assert [schedule(p) for p in progress] == [0, 0, 0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2]


def test_one_step_is_a_switch_at_the_end_of_its_ramp():
    assert [Steps(over=0.3, steps=1)(progress) for progress in (0, 0.299, 0.3, 1)] == [0, 0, 1, 1]


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


def test_a_cycle_without_a_ramp_is_up_at_once():
    assert Cyclical(cycles=2, ramp=0)(0) == 1


def test_cooling_falls_from_a_multiple_of_its_weight():
    schedule = Cooling(weight=0.5, factor=9, over=0.5)
    assert [schedule(progress) for progress in (0, 0.125, 0.25, 0.5, 0.75, 1)] == [4.5, 3.5, 2.5, 0.5, 0.5, 0.5]
    assert Cooling(over=0)(0) == 1
    with pytest.raises(ValueError, match=r"factor must be 1 or more, not 0\.5"):
        Cooling(factor=0.5)


def test_free_bits_are_free_at_a_constant_weight():
    schedule = FreeBits(weight=2, free_nats=0.5)
    assert schedule.free_nats == 0.5
    assert [schedule(progress) for progress in (0, 0.5, 1)] == [2, 2, 2]


def test_capacity_rises_to_its_nats_at_a_constant_weight():
    schedule = Capacity(weight=100, nats=8, over=0.5)
    assert [schedule.capacity(progress) for progress in (0, 0.125, 0.25, 0.5, 0.75, 1)] == [0, 2, 4, 8, 8, 8]
    assert [schedule(progress) for progress in (0, 0.5, 1)] == [100, 100, 100]
    assert Capacity(nats=8, over=0).capacity(0) == 8
    assert Capacity(nats=8, over=0.3).capacity(0.3) == 8


@pytest.mark.parametrize("definition", [Constant, *WARM_UPS, Cyclical])
def test_a_schedule_of_the_weight_alone_keeps_the_plain_objective(definition):
    schedule = definition()
    assert schedule.free_nats == 0
    assert [schedule.capacity(progress) for progress in (0, 0.5, 1)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("definition", "setting", "value", "allowed"),
    [
        *((definition, "over", value, "between 0 and 1") for definition in [*WARM_UPS, Capacity] for value in (-0.1, 1.5)),
        (Logistic, "steepness", 0, "1e-6 or more"),
        (Steps, "steps", 0, "1 or more"),
        (Cyclical, "cycles", 0, "1 or more"),
        (Cyclical, "ramp", -0.1, "between 0 and 1"),
        (Cyclical, "ramp", 1.5, "between 0 and 1"),
        (FreeBits, "free_nats", -0.1, "0 or more"),
        (Capacity, "nats", -1, "0 or more"),
    ],
)
def test_bounds(definition, setting, value, allowed):
    with pytest.raises(ValueError, match=f"{setting} must be {allowed}, not {value}"):
        definition(**{setting: value})


def test_the_picture_has_a_panel_for_every_schedule():
    script = Path(__file__).parents[1] / "docs/draw_schedules.py"
    with styled():
        panels = runpy.run_path(str(script))["draw"]().axes
    assert [panel.get_title(loc="left") for panel in panels] == list(SCHEDULES)
    assert all(panel.lines for panel in panels)
