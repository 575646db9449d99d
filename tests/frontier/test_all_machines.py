"""The choice for all machines, compared with an exhaustive calculation."""

import json
import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.frontier.all_machines import LACKING, NOT_MEASURED, AllMachinesAnswer, recommend_on_all
from paretodet.frontier.budget import Budget
from paretodet.frontier.recommend import recommend
from paretodet.records.measurement import Measurement

WITHIN_30 = Budget(maximum={"latency_ms_p50": 30.0})


def row(name: str, machine: str, latency: float | None, ap: float | None = 30.0, **fields: Any) -> Measurement:
    values = {"at": "2026-01-01", "ap_split": "val2017", "artefact": name, "weights": "file", "ap_measured": True}
    values |= {"id": f"{name}-{machine}", "run": "r", "machine": machine, "latency_ms_p50": latency, "ap": ap}
    return Measurement(name=name, **{**values, **fields})


def answered(*rows: Measurement, budget: Budget = WITHIN_30, **options: Any) -> AllMachinesAnswer:
    return recommend_on_all(rows, budget, **options)


SMALL = (row("small", "a", 5, 20.0), row("small", "b", 9, 20.0))
LARGE = (row("large", "a", 20, 40.0), row("large", "b", 35, 40.0))
MIDDLE = (row("middle", "a", 12, 30.0), row("middle", "b", 25, 30.0))


def test_the_choice_keeps_the_limits_on_every_machine() -> None:
    answer = answered(*SMALL, *LARGE, *MIDDLE)
    assert answer.machines == ("a", "b") and answer.absent == () and answer.commands == {}
    assert [(each.label, each.keeps, each.probability) for each in answer.candidates] == [
        ("middle", True, 1.0), ("small", True, 1.0), ("large", False, 0.0)
    ]  # fmt: skip
    assert answer.choice is answer.safe is answer.candidates[0]
    assert answer.choice.goal == 30.0 and answer.choice.worst is None
    assert recommend([*SMALL, *LARGE, *MIDDLE], WITHIN_30).choice == LARGE[0], "which only machine a can run in time"
    json.dumps(answer.to_json(), allow_nan=False)


def test_a_cost_as_the_goal_is_that_of_the_worst_machine() -> None:
    even = (row("even", "a", 10), row("even", "b", 10))
    budget = Budget(goal="latency_ms_p50", minimum={"ap": 25})
    answer = answered(*MIDDLE, *even, *SMALL, budget=budget)
    assert [(each.label, each.goal, each.worst) for each in answer.candidates if each.keeps] == [
        ("even", 10.0, None), ("middle", 25.0, "b")
    ]  # fmt: skip


def interval(name: str, machine: str, half: float, **fields: Any) -> Measurement:
    return row(name, machine, 29.0, latency_ms_p50_low=29 / half, latency_ms_p50_high=29 * half, **fields)


def test_the_probability_is_the_product_over_machines() -> None:
    rows = [interval("x", "a", 1.1), interval("x", "b", 1.3)]
    (only,) = answered(*rows).candidates
    alone = [recommend([each], WITHIN_30).probability_fits for each in rows]
    assert only.probability == pytest.approx(math.prod(filter(None, alone)))
    expected = [NormalDist().cdf(1.959964 * math.log(30 / 29) / math.log(half)) for half in (1.1, 1.3)]
    assert only.probability == pytest.approx(math.prod(expected), rel=1e-4)
    assert only.keeps and not only.safe


def test_the_uncertainty_of_the_accuracy_counts_once() -> None:
    rows = [row("x", machine, 5, 30.0, ap_rounding=1.0) for machine in "abc"]
    (only,) = answered(*rows, budget=Budget(minimum={"ap": 29.5})).candidates
    assert only.probability == pytest.approx(0.75)


def test_the_safe_choice_may_be_another_one() -> None:
    answer = answered(interval("wide", "a", 1.2, ap=50.0), interval("wide", "b", 1.2, ap=50.0), *SMALL)
    assert answer.choice and answer.choice.label == "wide" and answer.safe and answer.safe.label == "small"
    confident = answered(*interval_pair(), *SMALL, budget=replace(WITHIN_30, confident=True))
    assert confident.choice and confident.choice.label == "small"


def interval_pair() -> list[Measurement]:
    return [interval("wide", machine, 1.2, ap=50.0) for machine in "ab"]


def test_what_is_not_on_every_machine_is_named_with_the_command() -> None:
    fast, slow = row("fast", "b", 3, 50.0), row("slow", "a", 300, 60.0)
    early = {"artefact": "", "load": "data", "error": "no memory"}  # what an error row has if nothing was loaded
    broken = row("broken", "a", 4, 70.0, load="capacity"), row("broken", "b", None, None, validity="error", **early)
    busy = row("busy", "a", 4, 45.0), row("busy", "b", 4, 45.0, validity="contended")
    blind = row("blind", "a", 4, 41.0), row("blind", "b", 4, None)
    answer = answered(*SMALL, fast, slow, *broken, *busy, *blind)
    assert {each.label: (each.keeps, dict(each.missing)) for each in answer.absent} == {
        "blind": (True, {"b": LACKING}),
        "broken": (True, {"b": "no memory"}),
        "busy": (True, {"b": "contended"}),
        "fast": (True, {"a": NOT_MEASURED}),
        "slow": (False, {"b": NOT_MEASURED}),
    }
    again = {"a": "fast", "b": "busy"}
    assert answer.commands == {
        machine: ("paretodet", "measure", name, "--patience", "10m") for machine, name in again.items()
    }
    assert answered(*SMALL, *busy, include_invalid=True).choice.label == "busy"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("field", "second"),
    [("artefact", "other"), ("runtime", "openvino"), ("precision", "int8"), ("batch", 8), ("device", "cuda"),
     ("job", {"threads": 1}), ("job", {"score": 0.5})],
)  # fmt: skip
def test_rows_of_different_candidates_are_not_joined(field: str, second: object) -> None:
    answer = answered(row("x", "a", 5), replace(row("x", "b", 5), **{field: second}))
    assert answer.candidates == () and len(answer.absent) == 2 and answer.choice is None


def test_machines_with_other_numbers_of_cores_and_untrained_weights_are_joined() -> None:
    rows = [row("x", "a", 5, threads=2), row("x", "b", 5, threads=8)]
    assert len(answered(*rows).candidates) == 1
    random = [replace(each, weights="random", artefact=each.machine) for each in rows]
    assert len(answered(*random).candidates) == 1


def test_the_newest_row_of_a_machine_counts() -> None:
    old = row("x", "a", 50, id="old")
    answer = answered(replace(row("x", "a", 5), at="2026-02-01"), old, row("x", "b", 5))
    assert answer.choice and answer.choice.rows["a"].latency_ms_p50 == 5


def test_without_rows_there_is_no_choice() -> None:
    assert answered().choice is None
    assert answered(row("x", "a", 5, None)).candidates == ()


TIMES = st.floats(1, 60)


@given(st.lists(st.tuples(TIMES, TIMES, TIMES, st.integers(10, 50)), min_size=1, max_size=6))
def test_the_choice_is_that_of_an_exhaustive_search(table: list[tuple[float, float, float, int]]) -> None:
    rows = [
        row(f"d{place}", machine, latency, float(ap))
        for place, (*latencies, ap) in enumerate(table)
        for machine, latency in zip("abc", latencies, strict=True)
    ]
    best = max((ap for *latencies, ap in table if max(latencies) <= 30), default=None)
    choice = answered(*rows).choice
    assert (choice and choice.goal) == best
