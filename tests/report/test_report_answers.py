"""The table behind the sliders says what `recommend` says, everywhere."""

import itertools
import random
from dataclasses import replace

import pytest

from paretodet.frontier.called import row_labels
from paretodet.frontier.recommend import recommend
from paretodet.report.answers import MOST_STOPS, answer_table, budget


def _positions(answers):
    return itertools.product(*(range(len(axis.stops)) for axis in answers.axes))


def _asked(answers, places, rows, split=None):
    limits = [axis.stops[place] for axis, place in zip(answers.axes, places, strict=True)]
    return recommend(rows, budget(answers.axes, limits), split=split)


@pytest.mark.parametrize("split", [None, "mixed"])
def test_every_position_has_python_s_choice(rows, split):
    answers = answer_table(rows, row_labels(rows), split=split)
    positions = list(_positions(answers))
    assert len(positions) == len(answers.table) > 1000
    for places in random.Random(0).sample(positions, 300):
        choice = _asked(answers, places, rows, split).choice
        assert answers.at(*places).choice == (choice and choice.id)


def test_between_two_stops_nothing_changes(rows):
    """With a stop at every row's own value, a limit between two stops admits what the lower stop admits."""
    answers = answer_table(rows, row_labels(rows))
    latency = answers.axes[0]
    free = [axis.free for axis in answers.axes[1:]]
    for place, (low, high) in enumerate(itertools.pairwise(latency.stops[: latency.free])):
        middle = recommend(rows, budget(answers.axes, [(low + 2 * high) / 3, None, None]))
        assert answers.at(place, *free).choice == (middle.choice and middle.choice.id)


def test_stops_admit_the_row_they_come_from(rows):
    latency, memory, accuracy = answer_table(rows, row_labels(rows)).axes
    assert latency.stops[0] >= min(row.latency_ms_p50 for row in rows)
    assert accuracy.stops[-1] <= 48.5 and accuracy.stops[0] is None and accuracy.free == 0
    assert (latency.stops[-1], memory.free) == (None, len(memory.stops) - 1)
    assert (latency.text(None), accuracy.text(None), latency.text(latency.stops[0])) == ("no limit", "any", "33.4 ms")


def test_sliders_stay_small_for_many_rows(rows):
    many = [
        replace(rows[n % 8], id=f"{n:012x}", latency_ms_p50=10.0 + n, memory_infer_mib=50.0 + n, ap=20 + n / 10)
        for n in range(60)
    ]
    answers = answer_table(many, row_labels(many))
    assert [len(axis.stops) for axis in answers.axes] == [MOST_STOPS + 1] * 3
    latency = answers.axes[0]
    assert latency.stops[0] == 10.0 and latency.stops[-2] == 69.0
    for places in random.Random(1).sample(list(_positions(answers)), 50):
        choice = _asked(answers, places, many).choice
        assert answers.at(*places).choice == (choice and choice.id)


def test_words_of_an_answer(rows):
    answers = answer_table(rows, row_labels(rows))
    tight = answers.at(0, answers.axes[1].free, 0)  # 33.4 ms: the MobileNet alone
    assert tight.title == "ssd-mobilenet_v1-300" and ("AP", "21") in tight.numbers
    notes = dict(tight.notes)
    assert notes["What a little more would buy"][0].startswith("hf:d_fine-n (")
    assert "latency up to 118 ms" in notes["What a little more would buy"][0]
    assert notes["Runners-up"] == ("Nothing else fits.",)
    impossible = answers.at(0, answers.axes[1].free, len(answers.axes[2].stops) - 1)
    step = "ssd-mobilenet_v1-300 would fit with AP down to 21.0."  # a smaller share than 242 ms would be of 33.4 ms
    assert impossible.choice is None and dict(impossible.notes)["The smallest step that helps"] == (step,)


def test_without_any_accuracy_there_is_no_answer(rows):
    assert answer_table([rows[-1]], row_labels(rows)) is None


def test_an_axis_that_no_row_knows_is_missing(rows):
    bare = [replace(row, memory_infer_mib=None) for row in rows]
    assert [axis.field for axis in answer_table(bare, row_labels(bare)).axes] == ["latency_ms_p50", "ap"]


def test_device_memory_takes_the_place_of_the_process_s_where_all_have_it(rows):
    cuda = [replace(row, device="cuda", memory_device_mib=900.0) for row in rows]
    assert answer_table(cuda, row_labels(cuda)).axes[1].field == "memory_device_mib"
