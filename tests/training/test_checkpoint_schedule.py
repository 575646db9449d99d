"""When checkpoints are written, and which of them are validated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.training.checkpoint_schedule import MAX_INTERVAL, CheckpointSchedule


@pytest.mark.parametrize(
    ("steps", "every", "interval", "validated"),
    [
        (600, None, 60, 60),
        (15_000, None, 750, 1500),
        (500_200, None, 980, 49_980),
        (20_000, 500, 500, 500),
        (3, None, 1, 1),
    ],
)
def test_a_crash_costs_at_most_a_thousand_updates_and_ten_checkpoints_are_validated(steps, every, interval, validated):
    schedule = CheckpointSchedule(steps=steps, every=every)
    assert schedule.interval == interval and validated % interval == 0
    due = [step for step in range(interval, min(steps, 4 * validated) + 1, interval) if schedule.is_validated(step)]
    assert due == list(range(validated, min(steps, 4 * validated) + 1, validated)) and schedule.is_validated(steps)


@given(steps=st.integers(1, 2_000_000))
def test_about_ten_checkpoints_are_validated_for_any_number_of_updates(steps):
    schedule = CheckpointSchedule(steps=steps)
    validated = sum(map(schedule.is_validated, range(schedule.interval, steps, schedule.interval)))
    assert schedule.interval <= MAX_INTERVAL and min(steps, 10) <= validated + 1 <= 20
