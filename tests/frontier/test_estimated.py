"""Estimated AP on a frontier and in a recommendation: used with its interval, named, and never among measured AP."""

from typing import Any

import numpy as np
import pytest

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, recommend
from paretodet.frontier.shared_errors import shared_errors
from paretodet.frontier.values import Value, accuracy_groups, estimated_accuracy, value
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows


def row(name: str, ms: float, **values: Any) -> Measurement:
    times = {"latency_ms_p50": ms, "latency_ms_p50_low": 0.99 * ms, "latency_ms_p50_high": 1.01 * ms}
    return Measurement(id=name, run="r", at="2030", name=name, **times, **values)


def guess(ap: float, low: float, high: float, group: str = "g") -> dict[str, Any]:
    return {
        "ap": ap,
        "low": low,
        "high": high,
        "coverage": 0.9,
        "split": "minival2014",
        "group": group,
        "own": 0.2,
        "source": "a model",
    }


PUBLISHED = row("published", 10, ap=20.0, ap_split="minival2014", ap_rounding=0.05)
SURE = row("sure", 20, ap_estimate=guess(30, 29, 31, "s"))
DOUBTFUL = row("doubtful", 30, ap_estimate=guess(30, 20, 40, "d"))
BEATEN = row("beaten", 40, ap_estimate=guess(15, 14, 16, "b"))
ROWS = (PUBLISHED, SURE, DOUBTFUL, BEATEN)


def test_the_interval_of_an_estimate_is_that_of_the_number() -> None:
    assert value(SURE, "ap") == Value(30.0, 29.0, 31.0)
    assert value(SURE, "ap50") is None
    both = row("both", 1, ap=25.0, ap_estimate=guess(30, 29, 31))
    assert value(both, "ap") == Value(25.0, 25.0, 25.0)


def test_membership_uses_the_interval() -> None:
    found = pareto_frontier(ROWS)
    by_name = {member.row.name: member.probability for member in found.members}
    assert by_name["published"] == by_name["sure"] == 1.0
    assert by_name["doubtful"] == pytest.approx(0.5, abs=0.06)
    assert [beaten.row.name for beaten in found.dominated] == ["beaten"]
    assert not found.undecided  # no measurement narrows an estimate


def test_an_answer_says_that_it_uses_estimates_and_what_they_rest_on() -> None:
    (note,) = [note for note in pareto_frontier(ROWS).notes if "estimated" in note]
    assert note.startswith("The AP of 3 of 4 rows is estimated") and "90 %" in note and "a model" in note
    answer = recommend(ROWS, Budget(maximum={"latency_ms_p50": 25.0}))
    assert answer.choice == SURE and "estimated AP 30" in answer.reason and "a model" in answer.reason
    assert estimated_accuracy([PUBLISHED]) == ()


def test_a_lower_limit_of_ap_is_kept_with_a_probability() -> None:
    answer = recommend([PUBLISHED, DOUBTFUL], Budget(minimum={"ap": 25.0}))
    assert answer.choice == DOUBTFUL and answer.probability_fits == pytest.approx(0.75)
    confident = recommend([PUBLISHED, DOUBTFUL], Budget(minimum={"ap": 25.0}, confident=True))
    assert confident.choice is None


def test_estimates_join_published_accuracy_and_never_measured() -> None:
    own = [row(f"own{n}", 5 + n, ap=50.0 + n, ap_measured=True, ap_split="val2017") for n in range(5)]
    elsewhere = row("elsewhere", 7, ap=22.0, ap_split="test-dev")
    groups = accuracy_groups([*ROWS, *own, elsewhere])
    assert {label: len(group) for label, group in groups.items()} == {
        "measured:val2017": 5,
        "minival2014": 4,
        "test-dev": 1,
    }
    names = {member.row.name for member in pareto_frontier([*ROWS, *own], split="measured").members}
    assert names <= {each.name for each in own}
    mixed = pareto_frontier([*ROWS, elsewhere], split="mixed")
    assert {member.row.name for member in mixed.members} >= {"sure", "elsewhere"}
    assert {member.row.name for member in pareto_frontier([*ROWS, elsewhere], split="test-dev").members} == {
        "elsewhere"
    }


def test_estimates_of_a_group_keep_their_order() -> None:
    """A dearer row with a little more AP is a member for sure if both are wrong together, half the time otherwise."""

    def probability(group: str) -> float:
        rows = [
            row("less", 10, ap_estimate=guess(30, 24, 36, "g")),
            row("more", 20, ap_estimate=guess(32, 26, 38, group)),
        ]
        return {member.row.name: member.probability for member in pareto_frontier(rows).members}["more"]

    assert probability("other") == pytest.approx(0.67, abs=0.08)
    assert probability("g") > 0.85


def test_the_best_of_a_group_is_decided_by_its_order() -> None:
    def probability(group: str) -> float | None:
        rows = [
            row("less", 10, ap_estimate=guess(30, 24, 36, "g")),
            row("more", 20, ap_estimate=guess(32, 26, 38, group)),
        ]
        return recommend(rows, Budget(maximum={"latency_ms_p50": 50.0})).probability_best

    together, alone = probability("g"), probability("other")
    assert together and alone and together > 0.85 > 0.75 > alone


def test_a_system_in_two_runtimes_has_one_ap() -> None:
    """The slower of the two is beaten, although their intervals are wide."""
    fast, slow = (
        row("same", ms, runtime=name, ap_estimate=guess(30, 20, 40)) for ms, name in ((10, "fast"), (20, "slow"))
    )
    slow = Measurement(**slow.to_json() | {"id": "slow"})
    found = pareto_frontier([PUBLISHED, fast, slow])
    assert slow not in [member.row for member in found.members]
    assert [(beaten.row, beaten.by) for beaten in found.dominated] == [(slow, fast)]
    touching = Measurement(**slow.to_json() | {"id": "near", "latency_ms_p50_low": 10.0})
    (near,) = [member for member in pareto_frontier([PUBLISHED, fast, touching]).members if member.row == touching]
    assert near.probability < 0.05


def test_each_estimate_alone_is_uniform_in_its_interval() -> None:
    rows = Rows.of([row(f"n{n}", 10, ap_estimate=guess(30, 20, 40, f"g{n % 2}")) for n in range(4)])
    shared = shared_errors(rows)
    assert shared
    drawn = shared.draw(4000, np.random.default_rng(0))
    assert abs(drawn.mean(axis=0) - 0.5).max() < 0.02 and abs(drawn.std(axis=0) - 12**-0.5).max() < 0.01
    assert np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1] > 0.9 > 0.1 > abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1])
    assert shared_errors(Rows.of([PUBLISHED])) is None
