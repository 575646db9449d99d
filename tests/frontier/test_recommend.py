"""Recommendations compared with an exhaustive search, and their sentences."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, Chooser, Recommendation, recommend
from paretodet.records.measurement import Measurement


def row(name: str, latency: float | None, ap: float | None, memory: float | None = 100.0, **fields: Any) -> Measurement:
    return Measurement(
        id=f"id-{name}",
        run="r",
        at="2026",
        name=name,
        latency_ms_p50=latency,
        memory_infer_mib=memory,
        **{"ap": ap, "ap_split": "val2017", "raw": ({"ms": [1.0]},), **fields},
    )


SMALL, MIDDLE, LARGE = row("small", 10, 25), row("middle", 25, 35, 500), row("large", 42, 40, 900)
ROWS = [LARGE, SMALL, MIDDLE]


def test_the_choice_and_the_binding_limit() -> None:
    result = recommend(ROWS, Budget(maximum={"latency_ms_p50": 30, "memory_infer_mib": 800}))
    assert result.choice == MIDDLE and result.runners_up == (SMALL,) and result.relaxation is None
    assert result.binding and (result.binding.field, result.binding.needed, result.binding.by) == (
        "latency_ms_p50",
        42,
        12,
    )
    assert result.next and result.next.row == LARGE
    assert result.next.change == {"ap": 5, "latency_ms_p50": 17, "memory_infer_mib": 400}
    assert result.reason.startswith(
        "middle (AP 35) has the highest AP of the 2 rows (of 3) that fit: latency p50 at most"
    )
    assert "memory infer at most 800 MiB" in result.reason and "Next best: small (AP 25)." in result.reason
    assert "The next better row is large (AP +5, latency p50 +17 ms, memory infer +400 MiB);" in result.reason
    assert "needs latency p50 42 ms, 12 ms above the limit" in result.reason


def test_among_rows_of_one_name_the_choice_names_its_file() -> None:
    rows = [replace(each, name="yolo", job={"file": f"{each.name}/best.safetensors"}) for each in ROWS]
    result = recommend(rows, Budget(maximum={"latency_ms_p50": 30}))
    assert result.reason.startswith("yolo · middle/best.safetensors (AP 35) has the highest AP")
    assert "Next best: yolo · small/best.safetensors (AP 25)." in result.reason
    assert "The next better row is yolo · large/best.safetensors (AP +5" in result.reason


def test_the_largest_share_binds() -> None:
    result = recommend(ROWS, Budget(maximum={"latency_ms_p50": 40, "memory_infer_mib": 600}))
    assert result.binding and result.binding.field == "memory_infer_mib", "300 of 600 is more than 2 of 40"


def test_every_limit_that_the_next_better_row_breaks_is_named() -> None:
    result = recommend(ROWS, Budget(maximum={"latency_ms_p50": 40, "memory_infer_mib": 600}))
    assert result.next and [(breach.field, breach.needed) for breach in result.next.breaches] == [
        ("latency_ms_p50", 42),
        ("memory_infer_mib", 900),
    ]
    assert "latency p50 42 ms, 2 ms above" in result.reason and "memory infer 900 MiB, 300 MiB" in result.reason
    assert [breach["needed"] for breach in result.to_json()["next"]["breaches"]] == [42, 900]
    raised = {breach.field: breach.needed for breach in result.next.breaches}
    assert recommend(ROWS, Budget(maximum=raised)).choice == LARGE


def test_what_a_limit_is_said_to_need_is_enough() -> None:
    rows = [SMALL, row("near", 30.449, 30.04)]
    result = recommend(rows, Budget(maximum={"latency_ms_p50": 30}))
    assert "needs latency p50 30.5 ms, 0.5 ms above the limit" in result.reason
    assert recommend(rows, Budget(maximum={"latency_ms_p50": 30.5})).choice == rows[1]
    result = recommend(rows, Budget(maximum={"latency_ms_p50": 40}, minimum={"ap": 31}))
    assert "needs AP 30, 1 below the limit" in result.reason


def test_a_goal_can_be_a_cost() -> None:
    result = recommend(ROWS, Budget(minimum={"ap": 30}, goal="latency_ms_p50"))
    assert result.choice == MIDDLE and result.runners_up == (LARGE,)
    assert result.binding and (result.binding.kind, result.binding.needed, result.binding.by) == ("minimum", 25, 5)
    assert result.next and result.next.change == {"latency_ms_p50": -15, "ap": -10}
    assert "it needs AP 25, 5 below the limit" in result.reason


def test_a_recommendation_if_no_row_fits() -> None:
    result = recommend(ROWS, Budget(maximum={"latency_ms_p50": 9}, minimum={"ap": 20}))
    assert result.choice is None and result.runners_up == () and result.binding is None and result.next is None
    assert result.relaxation and result.relaxation.row == SMALL
    (breach,) = result.relaxation.breaches
    assert (breach.field, breach.limit, breach.needed) == ("latency_ms_p50", 9, 10)
    assert result.reason.startswith("No row (of 3) fits: latency p50 at most 9 ms and AP at least 20.")
    assert "The nearest is small (AP 25); it needs latency p50 10 ms, 1 ms above the limit." in result.reason


def test_a_limit_of_zero_is_relaxed_last() -> None:
    cheap, free = row("cheap", 10, 20, 1), row("free", 99, 20, 0)
    result = recommend([cheap, free], Budget(maximum={"memory_infer_mib": 0, "latency_ms_p50": 9}))
    assert result.relaxation and result.relaxation.row == free
    json.dumps(result.to_json(), allow_nan=False)


def test_a_recommendation_if_no_row_is_better() -> None:
    result = recommend(ROWS, Budget())
    assert result.choice == LARGE and result.runners_up == (MIDDLE, SMALL)
    assert result.binding is None and result.next is None and "No measured row is better." in result.reason


def test_a_recommendation_without_rows() -> None:
    result = recommend([], Budget(maximum={"latency_ms_p50": 9}))
    assert result.to_json() == {
        "choice": None,
        "runners_up": [],
        "binding": None,
        "next": None,
        "relaxation": None,
        "probability_fits": None,
        "probability_best": None,
        "safe": None,
        "provisional": False,
        "why": "",
        "undecided": [],
        "reason": "There is no row to choose from.",
    }
    blind = recommend([row("blind", 3, None)], Budget())
    assert blind.reason.startswith("There is no row to choose from. The rows have no AP; ")


def test_a_confident_budget_uses_the_unfavorable_end() -> None:
    wide = row("wide", 29, 41, latency_ms_p50_low=25.0, latency_ms_p50_high=33.0, ap_rounding=0.5)
    limit = {"latency_ms_p50": 30.0}
    assert recommend([*ROWS, wide], Budget(maximum=limit)).choice == wide
    sure = recommend([*ROWS, wide], Budget(maximum=limit, confident=True))
    assert sure.choice == MIDDLE and sure.binding and sure.binding.needed == 33 and "at 95 % confidence" in sure.reason
    assert recommend([wide], Budget(minimum={"ap": 40.8}, confident=True)).choice is None


WIDE = row("wide", 29, 41, latency_ms_p50_low=25.0, latency_ms_p50_high=33.0)


def test_the_probability_of_the_choice_and_the_safe_choice() -> None:
    result = recommend([*ROWS, WIDE], Budget(maximum={"latency_ms_p50": 30}))
    assert result.choice == WIDE and result.safe == MIDDLE
    assert result.probability_fits and 0.6 < result.probability_fits < 0.8
    assert result.probability_best == pytest.approx(result.probability_fits)
    assert result.undecided == (WIDE,) and result.remeasure == ("paretodet", "measure", "wide", "--until", "3")
    assert f"It meets the limit with probability {result.probability_fits:.2f}" in result.reason
    assert "The safe choice is middle (AP 35)" in result.reason and "Undecided because intervals" in result.reason
    sure = recommend([*ROWS, WIDE], Budget(maximum={"latency_ms_p50": 34}))
    assert sure.choice == sure.safe == WIDE and sure.undecided == sure.remeasure == ()
    assert "probability" not in sure.reason and "safe" not in sure.reason
    alone = recommend([WIDE, row("b", 99, 9)], Budget(maximum={"latency_ms_p50": 30}))
    assert alone.safe is None and "There is no safe choice" in alone.reason


def test_the_probability_that_the_nearest_row_fits() -> None:
    result = recommend([WIDE, LARGE], Budget(maximum={"latency_ms_p50": 28}))
    assert result.choice is None and result.relaxation and result.relaxation.row == WIDE
    assert 0.2 < result.relaxation.probability < 0.5 and result.undecided == (WIDE,)
    assert f"with probability {result.relaxation.probability:.2f}" in result.reason


def test_disturbed_pct_widens_the_compared_interval() -> None:
    shaken = replace(MIDDLE, disturbed_pct=40.0)
    result = recommend([shaken, SMALL], Budget(maximum={"latency_ms_p50": 30}))
    assert (
        result.choice == shaken and result.safe == SMALL and result.probability_fits and result.probability_fits < 0.9
    )


def test_a_choice_open_by_rounding_alone_is_not_undecided() -> None:
    rows = [row("a", 10, 30.0, ap_rounding=0.5), row("b", 10, 30.2, ap_rounding=0.5)]
    result = recommend(rows, Budget(maximum={"latency_ms_p50": 30}))
    assert result.choice == rows[1] and result.probability_best and 0.5 < result.probability_best < 0.9
    assert result.undecided == result.remeasure == () and "It is the best with probability" in result.reason


def test_a_row_left_out_that_would_be_the_choice_is_named() -> None:
    busy = row("busy", 20, 60, validity="contended", reasons=("9 % of the time was contended: the CPU quota ran out",))
    result = recommend([*ROWS, busy], Budget(maximum={"latency_ms_p50": 30}))
    assert result.choice == MIDDLE and not result.provisional and result.undecided == (busy,)
    assert "would be the choice if valid: busy (contended: the CPU quota ran out)." in result.reason
    assert result.remeasure == ("paretodet", "measure", "busy", "--patience", "10m")
    assert recommend([*ROWS, busy], Budget(maximum={"latency_ms_p50": 15})).undecided == ()
    assert recommend([*ROWS, busy], Budget(maximum={"latency_ms_p50": 30}), strict=True).undecided == ()


def test_among_mixed_splits_a_row_with_an_ap_of_its_own_labels_is_not_missed() -> None:
    mixed = [SMALL, replace(MIDDLE, ap_split="test-dev")]
    own = row("own", 5, 90, ap_split="cells@0", ap_measured=True, validity="contended")
    result = recommend([*mixed, own], Budget(maximum={"latency_ms_p50": 30}), split="mixed")
    assert result.choice == mixed[1] and result.undecided == () and result.remeasure == ()
    busy = row("busy", 5, 90, ap_split="minival", validity="contended")
    result = recommend([*mixed, own, busy], Budget(maximum={"latency_ms_p50": 30}), split="mixed")
    assert result.undecided == (busy,)


def test_a_chooser_answers_as_recommend_does() -> None:
    rows = [*ROWS, WIDE, row("blind", 1, None), row("busy", 20, 60, validity="contended")]
    chooser = Chooser(rows, split="mixed")
    for budget in (Budget(), Budget(maximum={"latency_ms_p50": 30}), Budget(goal="latency_ms_p50", minimum={"ap": 30})):
        assert chooser.answer(budget) == recommend(rows, budget, split="mixed") == chooser.answer(budget)


def test_rows_without_a_limited_field_are_left_out() -> None:
    result = recommend(
        [*ROWS, row("blind", 1, None), row("vague", 1, 99, None)], Budget(maximum={"memory_infer_mib": 200})
    )
    assert result.choice == SMALL and result.reason.startswith("small (AP 25) is the only row (of 3) that fits: ")
    assert "Left out because they lack AP or memory infer: 1 of 4 rows." in result.reason


def test_invalid_rows_and_other_splits_stay_outside() -> None:
    busy, other = row("busy", 1, 99, validity="contended"), row("other", 1, 99, ap_split="test-dev")
    result = recommend([*ROWS, busy, other], Budget())
    assert result.choice == LARGE
    assert "excluded: 1 on test-dev." in result.reason
    assert "not valid: 1 of 5 rows." in result.reason
    assert recommend([*ROWS, busy, other], Budget(), include_invalid=True).choice == busy
    assert recommend([*ROWS, other], Budget(), split="test-dev").choice == other


def test_a_goal_that_is_a_cost_needs_no_accuracy() -> None:
    result = recommend([*ROWS, row("blind", 1, None)], Budget(goal="latency_ms_p50"))
    assert result.choice and result.choice.name == "blind"


def test_of_equal_goals_the_faster_row_is_chosen() -> None:
    assert recommend([row("b", 9, 30), row("a", 9, 30), row("c", 8, 30)], Budget()).choice == row("c", 8, 30)
    assert recommend([row("b", 9, 30), row("a", 9, 30)], Budget()).choice == row("a", 9, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maximum": {"latency": 3}}, "'latency' is not a field .* latency_ms_"),
        ({"goal": "AP"}, "'AP' is not a field .* did you mean: "),
        ({"maximum": {"macs": float("nan")}}, "maximum of macs is nan; it must be a number that is at least 0"),
        ({"minimum": {"ap": -1}}, "minimum of ap is -1"),
        ({"minimum": {"ap": 40}, "maximum": {"ap": 30}}, "minimum of ap is 40, .* its maximum 30"),
    ],
)
def test_an_invalid_budget_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**arguments)


def test_json_has_these_keys_and_no_samples() -> None:
    result = recommend(ROWS, Budget(maximum={"latency_ms_p50": 30})).to_json()
    assert list(result) == [
        "choice", "runners_up", "binding", "next", "relaxation",
        "probability_fits", "probability_best", "safe", "provisional", "why", "undecided", "reason",
    ]  # fmt: skip
    assert json.loads(json.dumps(result, allow_nan=False))["next"]["change"] == {"ap": 5, "latency_ms_p50": 17}
    assert result["binding"] == {"field": "latency_ms_p50", "kind": "maximum", "limit": 30, "needed": 42, "by": 12}
    assert "raw" not in result["choice"] and result["choice"]["name"] == "middle"


GRID = st.integers(1, 6).map(float)
DRAWN = st.lists(st.tuples(GRID, GRID, GRID), max_size=10)


def drawn_rows(numbers: list[tuple[float, float, float]]) -> list[Measurement]:
    return [row(f"{n}", latency, ap, memory) for n, (latency, ap, memory) in enumerate(numbers)]


@settings(deadline=None)
@given(DRAWN, GRID, GRID, GRID)
def test_against_a_search_over_everything(
    numbers: list[tuple[float, float, float]], latency: float, memory: float, ap: float
) -> None:
    rows = drawn_rows(numbers)
    limits = {"latency_ms_p50": latency, "memory_infer_mib": memory}
    result = recommend(rows, Budget(maximum=limits, minimum={"ap": ap}))

    def fits(each: Measurement, by: dict[str, float], min_ap: float) -> bool:
        return all(getattr(each, name) <= limit for name, limit in by.items()) and each.ap >= min_ap

    best = sorted((r for r in rows if fits(r, limits, ap)), key=lambda r: (-r.ap, r.latency_ms_p50, r.name))
    assert ([result.choice] if result.choice else []) + list(result.runners_up) == best[:3]
    if result.choice:
        better = [r for r in rows if r.ap > result.choice.ap]
        assert (result.next is not None) == bool(better) and result.relaxation is None
        if result.next:
            smallest = min(shares(each, limits, ap) for each in better)
            assert result.next.row in better and shares(result.next.row, limits, ap) == pytest.approx(smallest)
    elif rows:
        assert result.relaxation is not None
        smallest = min(shares(each, limits, ap) for each in rows)
        assert shares(result.relaxation.row, limits, ap) == pytest.approx(smallest)
        relaxed = {b.field: b.needed for b in result.relaxation.breaches}
        assert fits(result.relaxation.row, {k: relaxed.get(k, v) for k, v in limits.items()}, relaxed.get("ap", ap))


def shares(each: Measurement, limits: dict[str, float], ap: float) -> float:
    over = [max(0.0, getattr(each, name) - limit) / limit for name, limit in limits.items()]
    assert each.ap is not None
    return sum(over) + max(0.0, ap - each.ap) / ap


@settings(deadline=None)
@given(DRAWN, GRID)
def test_with_one_cost_choice_and_next_are_neighbors_on_the_frontier(
    numbers: list[tuple[float, float, float]], limit: float
) -> None:
    rows = drawn_rows(numbers)
    result: Recommendation = recommend(rows, Budget(maximum={"latency_ms_p50": limit}))
    stairs = sorted({(each.row.latency_ms_p50, each.row.ap) for each in pareto_frontier(rows).members})
    affordable = [step for step in stairs if step[0] is not None and step[0] <= limit]
    assert (result.choice and (result.choice.latency_ms_p50, result.choice.ap)) == (
        affordable[-1] if affordable else None
    )
    if result.choice:
        rest = stairs[len(affordable) :]
        assert (result.next and (result.next.row.latency_ms_p50, result.next.row.ap)) == (rest[0] if rest else None)
