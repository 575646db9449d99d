"""Which rows of a large store a page shows: all that an answer needs, and not many more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, recommend
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.report.page import COSTS, page
from paretodet.report.selection import BEST, for_page, shown, undominated


def drawn(count: int, seed: int = 0) -> list[Measurement]:
    random = np.random.default_rng(seed)
    ms = np.exp(random.normal(4, 1, count))
    ap = 20 + 5 * np.log(ms) + random.normal(0, 4, count)
    return [
        Measurement(
            id=f"{place:012x}",
            run="r",
            at="2026-01-01",
            name=f"d{place % 7}",
            latency_ms_p50=float(ms[place]),
            latency_ms_p50_low=float(ms[place]) * 0.97,
            latency_ms_p50_high=float(ms[place]) * 1.03,
            memory_infer_mib=float(random.uniform(100, 2000)),
            ap=None if place % 50 == 0 else float(ap[place].round(1)),
            ap_split="val2017",
            validity="contended" if place % 30 == 0 else "valid",
        )
        for place in range(count)
    ]


ROWS = drawn(2000)
FRONTIERS = [pareto_frontier(ROWS, cost=cost) for cost in ("latency_ms_p50", "memory_infer_mib")]


def ids(rows: Rows) -> set[str]:
    return set(rows.texts("id"))


def test_a_page_has_every_member_and_the_maximum_of_rows() -> None:
    found = shown(ROWS, FRONTIERS)
    members = {member.row.id for each in FRONTIERS for member in each.members}
    assert members <= ids(found) and len(found) == 300
    assert found.texts("id") == sorted(found.texts("id"))


def test_the_frontier_of_what_is_shown_is_the_frontier() -> None:
    found = shown(ROWS, FRONTIERS)
    for whole in FRONTIERS:
        part = pareto_frontier(found, cost=whole.cost)
        assert [(m.row.id, m.probability) for m in part.members] == [(m.row.id, m.probability) for m in whole.members]


@given(st.floats(5, 500), st.floats(100, 2000), st.floats(10, 50))
def test_every_budget_has_the_same_choice(ms: float, mib: float, ap: float) -> None:
    budget = Budget(maximum={"latency_ms_p50": ms, "memory_infer_mib": mib}, minimum={"ap": ap})
    whole, part = (recommend(rows, budget).choice for rows in (ROWS, shown(ROWS, FRONTIERS)))
    assert (whole and whole.ap) == (part and part.ap)


def test_half_of_the_rest_is_near_and_half_is_random() -> None:
    found = ids(shown(ROWS, FRONTIERS[:1]))
    assert any(row.ap is None for row in ROWS if row.id in found)
    assert any(row.validity == "contended" for row in ROWS if row.id in found)
    other = ids(shown(ROWS, FRONTIERS[:1], seed=1))
    assert found != other and len(found & other) > 150
    assert found == ids(shown(ROWS, FRONTIERS[:1]))


def test_few_rows_are_all_shown_and_members_always() -> None:
    assert ids(shown(ROWS[:300], FRONTIERS)) == {row.id for row in ROWS[:300]}
    same = [
        Measurement(id=str(place), run="r", at="t", name="x", latency_ms_p50=10.0 + place, ap=10.0 + place)
        for place in range(400)
    ]
    assert len(shown(same, [pareto_frontier(same)])) == 400
    nobody = [Measurement(id=str(place), run="r", at="t", name="x", latency_ms_p50=10.0) for place in range(400)]
    assert len(shown(nobody, [pareto_frontier(nobody)])) == 300


def test_the_page_says_how_many_rows_there_are_in_all() -> None:
    few = ROWS[:5]
    assert "5 of 97,500 rows: all that an answer needs" in page(few, total=97_500)
    assert not any("all that an answer needs" in page(few, total=total) for total in (5, None))


def test_a_small_store_is_shown_completely() -> None:
    assert len(for_page(ROWS[:300], COSTS, split=None)) == 300
    found = for_page(ROWS, COSTS, split="mixed")
    assert 300 <= len(found) < 400
    with pytest.raises(ValueError, match="no row has ap on split 'nowhere'"):
        for_page(ROWS, COSTS, split="nowhere")


@pytest.mark.parametrize("seed", range(5))
def test_undominated_equals_a_comparison_of_all_pairs(seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 6, (60, 3)).astype(np.float64)
    worse = (table[:, None] <= table).all(2) & (table[:, None] < table).any(2)
    assert undominated(table).tolist() == np.flatnonzero(~worse.any(0)).tolist()
    assert undominated(table[:0]).size == 0
    assert BEST < 300


def test_a_page_of_many_machines_has_rows_of_each() -> None:
    others = [replace(row, id=f"x{row.id}", machine="b") for row in ROWS]
    alone = replace(ROWS[0], id="alone", machine="c", ap_split="another")
    chosen = for_page([*ROWS, *others, alone], COSTS, split="val2017")
    counts = {machine: chosen.texts("machine").count(machine) for machine in ("", "b", "c")}
    assert 100 <= counts[""] < 250 and 100 <= counts["b"] < 250 and counts["c"] == 0
    members = {member.row.id for member in pareto_frontier(others, split="val2017").members}
    assert members <= ids(chosen)
    with pytest.raises(ValueError, match=r"\[split-unknown\]$"):
        for_page([*ROWS, *others], COSTS, split="none")
