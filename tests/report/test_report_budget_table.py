"""The table behind the sliders has the answers of `recommend`, at every position."""

import itertools
import json
import random
from dataclasses import astuple, replace

import pytest

from paretodet.frontier.recommend import Chooser, recommend
from paretodet.frontier.row_labels import row_labels
from paretodet.report.budget_table import MAX_STOPS, OTHER_STOPS, budget, budget_table


def _positions(answers):
    return itertools.product(*(range(len(axis.stops)) for axis in answers.axes))


def _recommended(answers, places, rows, split=None):
    limits = [axis.stops[place] for axis, place in zip(answers.axes, places, strict=True)]
    return recommend(rows, budget(answers.axes, limits), split=split)


@pytest.mark.parametrize("split", [None, "mixed"])
def test_every_position_has_the_choice_of_recommend(rows, split):
    answers = budget_table(rows, row_labels(rows), split=split)
    positions = list(_positions(answers))
    assert len(positions) == len(answers.table) > 500
    for places in random.Random(0).sample(positions, 300):
        choice = _recommended(answers, places, rows, split).choice
        assert answers.at(*places).choice == (choice and choice.id)


def test_between_two_stops_nothing_changes(rows):
    """With a stop at every row's value, a limit between two stops admits what the lower stop admits."""
    rows = rows[:8]
    answers = budget_table(rows, row_labels(rows))
    latency = answers.axes[0]
    free = [axis.free for axis in answers.axes[1:]]
    for place, (low, high) in enumerate(itertools.pairwise(latency.stops[: latency.free])):
        middle = recommend(rows, budget(answers.axes, [(low + 2 * high) / 3, None, None]))
        assert answers.at(place, *free).choice == (middle.choice and middle.choice.id)


def test_stops_admit_the_row_they_come_from(rows):
    latency, memory, accuracy = budget_table(rows, row_labels(rows)).axes
    assert latency.stops[0] >= min(row.latency_ms_p50 for row in rows)
    assert accuracy.stops[-1] <= 48.5 and accuracy.stops[0] is None and accuracy.free == 0
    assert (latency.stops[-1], memory.free) == (None, len(memory.stops) - 1)
    assert (latency.text(None), accuracy.text(None), latency.text(latency.stops[0])) == ("no limit", "any", "33.4 ms")


def test_sliders_stay_small_for_many_rows(rows):
    many = [
        replace(rows[n % 8], id=f"{n:012x}", latency_ms_p50=10.0 + n, memory_infer_mib=50.0 + n, ap=20 + n / 10)
        for n in range(60)
    ]
    answers = budget_table(many, row_labels(many))
    limit = MAX_STOPS["latency_ms_p50"]
    assert [len(axis.stops) for axis in answers.axes] == [limit + 1, OTHER_STOPS + 1, OTHER_STOPS + 1]
    latency = answers.axes[0]
    assert latency.stops[0] == 10.0 and latency.stops[-2] >= 69.0
    for places in random.Random(1).sample(list(_positions(answers)), 50):
        choice = _recommended(answers, places, many).choice
        assert answers.at(*places).choice == (choice and choice.id)


def test_every_position_is_computed_once(rows, monkeypatch):
    budgets, made = [], []
    answer, init = Chooser.answer, Chooser.__init__
    monkeypatch.setattr(Chooser, "answer", lambda self, budget: budgets.append(str(budget)) or answer(self, budget))
    monkeypatch.setattr(Chooser, "__init__", lambda self, *a, **k: made.append(1) or init(self, *a, **k))
    answers = budget_table(rows, row_labels(rows))
    assert len(made) == 1 and len(budgets) == len(answers.table) + 1 <= 20 * 8 * 8 + 1
    assert len(set(budgets)) == len(answers.table)


def test_a_limit_inside_an_interval_has_its_probability_and_a_safe_choice(rows):
    wide = [
        replace(row, latency_ms_p50_low=200.0, latency_ms_p50_high=290.0) if row.id == rows[9].id else row
        for row in rows
    ]
    answers = budget_table(wide, row_labels(wide))
    latency, memory, accuracy = answers.axes
    found = answers.at(latency.stops.index(268.0), memory.free, accuracy.free)
    assert found.title == "hf:d_fine-s"
    assert 0.6 < float(dict(found.numbers)["Fits the budget"].rpartition(" ")[2]) < 0.99
    assert dict(found.notes)["The safe choice"][0].startswith("hf:d_fine-n: AP 42.8")
    sure = answers.at(latency.stops.index(290.0), memory.free, accuracy.free)
    assert "Fits the budget" in dict(sure.numbers) or "The safe choice" not in dict(sure.notes)
    free = answers.at(latency.free, memory.free, accuracy.free)
    assert "Fits the budget" not in dict(free.numbers) and "The safe choice" not in dict(free.notes)


def test_rows_that_were_all_disturbed_still_give_an_answer(rows):
    disturbed = [replace(row, validity="contended", disturbed_pct=60.0) for row in rows]
    answers = budget_table(disturbed, row_labels(disturbed))
    assert answers.provisional and not budget_table(rows, row_labels(rows)).provisional
    free = answers.unlimited
    assert free.title == "hf:d_fine-s" and dict(free.numbers)["Latency"] == "242 ms (149–393)"


def test_texts_of_an_answer(rows):
    answers = budget_table(rows, row_labels(rows))
    tight = answers.at(0, answers.axes[1].free, 0)  # 33.4 ms: the MobileNet alone
    assert tight.title == "ssd-mobilenet_v1-300" and ("AP", "21") in tight.numbers
    notes = dict(tight.notes)
    assert notes["With a slightly larger budget"][0].startswith("hf:d_fine-n (")
    assert "latency up to 118 ms" in notes["With a slightly larger budget"][0]
    assert notes["Runners-up"] == ("Nothing else fits.",)
    impossible = answers.at(0, answers.axes[1].free, len(answers.axes[2].stops) - 1)
    step = "ssd-mobilenet_v1-300 would fit with AP down to 21.0."  # a smaller share than 242 ms would be of 33.4 ms
    assert impossible.choice is None and dict(impossible.notes)["Smallest change that helps"] == (step,)


def test_the_script_has_every_answer_and_each_of_its_texts_once(rows):
    answers = budget_table(rows, row_labels(rows))
    made = json.loads(json.dumps(answers.to_json()))
    parts = made["parts"]

    def whole(number):
        part = parts[number]
        return tuple(map(whole, part)) if isinstance(part, list) else part

    assert [whole(number) for number in made["answers"]] == [astuple(answer) for answer in answers.distinct]
    assert len(parts) == len({json.dumps(part) for part in parts}) and made["table"] == list(answers.table)
    separate = [astuple(answer) for answer in answers.distinct]
    assert 3 * len(json.dumps([parts, made["answers"]])) < len(json.dumps(separate))


def test_without_any_accuracy_there_is_no_answer(rows):
    assert budget_table([rows[-1]], row_labels(rows)) is None


def test_an_axis_without_values_is_missing(rows):
    bare = [replace(row, memory_infer_mib=None) for row in rows]
    assert [axis.field for axis in budget_table(bare, row_labels(bare)).axes] == ["latency_ms_p50", "ap"]


def test_device_memory_replaces_process_memory_if_all_rows_have_it(rows):
    cuda = [replace(row, device="cuda", memory_device_mib=900.0) for row in rows]
    assert budget_table(cuda, row_labels(cuda)).axes[1].field == "memory_device_mib"


def test_a_larger_budget_in_a_text_is_enough_in_all_that_it_names(rows):
    cheap, better = rows[0], replace(rows[8], latency_ms_p50=118.4, memory_infer_mib=240.4)
    answers = budget_table([cheap, better], row_labels([cheap, better]))
    (larger,) = dict(answers.at(0, 0, 0).notes)["With a slightly larger budget"]
    assert larger.endswith("latency up to 119 ms and memory up to 241 MiB.")
    dear = [replace(row, ap=ap) for row, ap in ((cheap, 21.46), (better, 30.0))]
    answers = budget_table(dear, row_labels(dear))
    (change,) = dict(answers.at(0, answers.axes[1].free, len(answers.axes[2].stops) - 1).notes).popitem()[1]
    assert "AP down to 21.4" in change
