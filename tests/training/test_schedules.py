import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.training.schedules import Constant, Cosine, LinearRamp, Power, Staircase, Steps, WarmUp


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (59_999, 1), (60_000, 0.1), (79_999, 0.1), (80_000, 0.01)])
def test_steps_drop_at_their_step_and_not_before(step, factor):
    assert Steps(at=(60_000, 80_000), factors=(0.1, 0.1))(step) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(799_999, 1), (800_000, 0.95), (1_600_000, 0.9025)])
def test_a_staircase_falls_at_every_step(step, factor):
    assert Staircase(every=800_000, factor=0.95)(step) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(0, 1), (25, 0.8535533905932737), (50, 0.5), (100, 0), (150, 0)])
def test_half_a_cosine(step, factor):
    assert Cosine(steps=100)(step) == pytest.approx(factor)
    assert Cosine(steps=100, floor=0.5)(step) == pytest.approx(0.5 + factor / 2)


def test_detectrons_warm_up_by_hand():
    schedule = WarmUp(first=LinearRamp(steps=500, start=1 / 3), then=Constant())
    assert [schedule(0), schedule(250), schedule(500), schedule(600)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_darknets_burn_in_by_hand():
    burn_in = Power(steps=1000, power=4)
    assert burn_in(0) == pytest.approx(1e-12)  # darknet's first update has the number 1
    assert burn_in(499) == pytest.approx(0.0625) and burn_in(998) == pytest.approx(0.999**4)
    assert burn_in(999) == burn_in(5000) == 1


def test_warm_up_multiplies_a_schedule_that_counts_from_0():
    schedule = WarmUp(first=LinearRamp(steps=10), then=Steps(at=(5, 20), factors=(0.1, 0.1)))
    assert [schedule(s) for s in (4, 5, 10, 20)] == pytest.approx([0.4, 0.05, 0.1, 0.01])


@given(st.integers(0, 10**7), st.integers(1, 10**6))
def test_no_schedule_leaves_its_bounds(step, steps):
    for schedule in (Cosine(steps=steps), LinearRamp(steps=steps, start=0.1), Power(steps=steps)):
        assert 0 <= schedule(step) <= 1 and math.isfinite(schedule(step))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steps(at=(2, 1), factors=(0.1, 0.1)), "at: got"),
        (lambda: Steps(at=(1,), factors=()), "factors: got 0"),
        (lambda: Staircase(every=0, factor=0.9), "every: got 0"),
        (lambda: Cosine(steps=0), "steps: got 0"),
        (lambda: LinearRamp(steps=-1), "steps: got -1"),
        (lambda: Power(steps=0), "steps: got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
