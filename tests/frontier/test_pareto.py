"""Frontiers of rows: members, dominated rows, notes and what to measure again."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.frontier.pareto import pareto_frontier
from paretodet.records.measurement import Measurement


def row(name: str, latency: float | None = 10.0, ap: float | None = 30.0, **fields: Any) -> Measurement:
    values = {"ap_split": "val2017", **fields}
    return Measurement(id=f"id-{name}", run="r", at="2026", name=name, latency_ms_p50=latency, ap=ap, **values)


def test_members_dominated_and_ties() -> None:
    fast, slow = row("fast", 10, 30), row("slow", 30, 40)
    tied = row("tied", 10.2, 30, latency_ms_p50_low=9.8, latency_ms_p50_high=10.6)
    lost, blind = row("lost", 20, 29), row("blind", 5, None)
    result = pareto_frontier([lost, slow, tied, blind, fast])
    assert [(member.row, member.tied) for member in result.members] == [(fast, False), (tied, True), (slow, False)]
    assert result.members[2].probability == 1 > result.members[0].probability > result.members[1].probability > 0
    assert [(each.row, each.by) for each in result.dominated] == [(lost, fast)]
    assert tuple(result.cost_only) == (blind,)
    assert (result.split, result.left_out, result.notes) == ("val2017", 0, ())


def test_rounding_of_published_accuracy_ties() -> None:
    rows = [row("a", 10, 30.0, ap_rounding=0.5), row("b", 20, 30.4, ap_rounding=0.05), row("c", 30, 29.4)]
    result = pareto_frontier(rows)
    assert [(each.row.name, each.tied) for each in result.members] == [("a", False), ("b", False)]
    # c ends at 29.4, below a's 29.5: certainly dominated.
    assert [each.row.name for each in result.dominated] == ["c"]


def test_invalid_rows_enter_only_if_included() -> None:
    rows = [row("good", 10), row("busy", 5, validity="contended"), row("odd", 6, validity="unwatched")]
    rows.append(row("broken", None, validity="error"))
    result = pareto_frontier(rows)
    assert [each.row.name for each in result.members] == ["odd"] and result.left_out == 2
    assert [each.name for each in result.outside] == ["busy", "broken"] and not result.provisional
    assert "Left out because they are not valid: 2 of 4 rows." in result.notes
    result = pareto_frontier(rows, include_invalid=True)
    assert [each.row.name for each in result.members] == ["busy"] and result.left_out == 0
    assert "Left out because they have no latency_ms_p50: 1 of 4 rows." in result.notes


def wide(name: str, latency: float, ap: float, half: float, **fields: Any) -> Measurement:
    bounds = {"latency_ms_p50_low": latency / (1 + half), "latency_ms_p50_high": latency * (1 + half)}
    return row(name, latency, ap, **bounds, job={"name": name}, **fields)


def test_an_undecided_member_is_remeasured_with_its_rival() -> None:
    rows = [row("fast", 10, 20), wide("open", 100, 30, 0.1), wide("rival", 104, 35, 0.1), row("slow", 900, 40)]
    result = pareto_frontier(rows)
    assert [each.row.name for each in result.undecided] == ["open"]
    assert result.remeasure == ("paretodet", "measure", "open", "rival", "--until", "3")
    rounded = [row("a", 10, 30.0, ap_rounding=0.5), row("b", 20, 30.4, ap_rounding=0.5)]
    assert pareto_frontier(rounded).undecided == pareto_frontier(rounded).remeasure == (), "no timing decides it"
    assert pareto_frontier(rounded).members[1].probability < 0.95


def test_disturbed_pct_widens_intervals_of_members() -> None:
    rows = [row("a", 100, 40), row("b", 80, 30), row("c", 104, 35, disturbed_pct=10.0)]
    assert [each.row.name for each in pareto_frontier(rows).members] == ["b", "a", "c"]
    assert [each.row.name for each in pareto_frontier([*rows[:2], row("c", 104, 35)]).members] == ["b", "a"]


def test_a_row_left_out_that_might_be_on_the_frontier_is_named() -> None:
    busy = row("busy", 12, 60, validity="contended", job={"name": "busy"})
    result = pareto_frontier([row("a"), row("b", 20, 40), busy, row("far", 99, 1, validity="contended")])
    assert [each.row.name for each in result.members] == ["a", "b"]
    assert "Rows left out that might be on the frontier: busy (contended)." in result.notes
    assert result.remeasure == ("paretodet", "measure", "busy", "--patience", "10m")
    other = row("busy", 12, 60, validity="contended", ap_split="test-dev")
    assert pareto_frontier([row("a"), row("b", 20, 40), other]).remeasure == ()


def test_the_cost_of_a_short_lived_job() -> None:
    quick = row("quick to call", 10, 40, load_ms=5000.0, first_ms=100.0)
    light = row("quick to load", 100, 40, load_ms=200.0, first_ms=100.0)
    assert [each.row.name for each in pareto_frontier([quick, light], cost="job_ms").members] == ["quick to load"]
    assert [each.row.name for each in pareto_frontier([quick, light], cost="job_ms:99").members] == ["quick to call"]
    with pytest.raises(ValueError, match="'job_ms:x' is not a field"):
        pareto_frontier([quick], cost="job_ms:x")


def test_only_one_split_is_compared() -> None:
    val = [row("v1", 10, 30), row("v2", 20, 35)]
    dev = [row("d1", 15, 35.2, ap_split="test-dev")]
    own = [row("m1", 5, 50, ap_measured=True)]
    result = pareto_frontier(val + dev + own)
    assert result.split == "val2017" and [each.row.name for each in result.members] == ["v1", "v2"]
    assert not result.cost_only and not result.dominated
    note = "Only rows with accuracy on val2017 are compared (2 rows); excluded: 1 on measured:val2017, 1 on test-dev."
    assert result.notes == (note,)
    for split, name, label in (("test-dev", "d1", "test-dev"), ("measured", "m1", "measured:val2017")):
        result = pareto_frontier(val + dev + own, split=split)
        assert [each.row.name for each in result.members] == [name] and result.split == label


def test_mixed_splits_are_half_a_point_apart() -> None:
    rows = [row("v", 20, 35), row("d", 15, 35.2, ap_split="test-dev"), row("far", 40, 33, ap_split="test-dev")]
    result = pareto_frontier(rows, split="mixed")
    assert result.split == "mixed" and [each.row.name for each in result.members] == ["d", "v"]
    assert result.notes[0].startswith("Accuracies on different splits are mixed (test-dev, val2017): ")
    assert result.members[1].tied
    alone = pareto_frontier(rows[1:], split="mixed")
    assert alone.split == "test-dev" and alone.notes == ()


def test_published_splits_are_mixed_with_each_other_but_not_with_measured_accuracy() -> None:
    published = [row("v", 20, 35), row("d", 15, 35.2, ap_split="test-dev")]
    own = row("own", 10, 90, ap_split="cells@0", ap_measured=True)
    result = pareto_frontier([*published, own], split="mixed")
    assert result.split == "mixed" and "own" not in [each.row.name for each in result.members]
    assert any("1 on measured:cells@0" in note for note in result.notes)
    more = [replace(own, id=name, name=name) for name in ("own2", "own3")]
    assert pareto_frontier([*published, own, *more], split="mixed").split == "measured:cells@0"


def test_a_missing_split_is_named_with_the_existing_ones() -> None:
    with pytest.raises(ValueError, match="no row has ap on split 'voc'; the splits are: val2017"):
        pareto_frontier([row("a")], split="voc")
    with pytest.raises(ValueError, match=r"the splits are: none \(1 rows were left out"):
        pareto_frontier([row("a", validity="contended")], split="voc", strict=True)


def test_any_cost_and_any_gain() -> None:
    rows = [row("a", 10, 30, memory_infer_mib=50.0, macs=5), row("b", 20, 30, memory_infer_mib=20.0, macs=4)]
    memory = pareto_frontier(rows, gain="-memory_infer_mib")
    assert [each.row.name for each in memory.members] == ["a", "b"] and memory.split is None
    work = pareto_frontier(rows, cost="macs")
    assert [each.row.name for each in work.members] == ["b"]
    with pytest.raises(ValueError, match="'latency' is not a field .* latency_ms_"):
        pareto_frontier(rows, cost="latency")
    with pytest.raises(ValueError, match="did you mean: -macs"):
        pareto_frontier(rows, gain="-mac")


def test_a_note_says_that_costs_are_of_several_machines() -> None:
    result = pareto_frontier([row("a", machine="m1"), row("b", machine="m2")])
    (note,) = result.notes
    assert note.startswith("Costs were measured under different conditions (machine: m1, m2)") and "--machine" in note


def test_a_frontier_without_comparable_rows() -> None:
    result = pareto_frontier([])
    assert result.members == result.notes == () and not result.dominated
    only = pareto_frontier([row("a", ap=None), row("b", ap=float("nan"))])
    assert len(only.cost_only) == 2 and only.members == ()
    assert [note.partition(";")[0] for note in only.notes] == ["The rows have no AP"]
    disturbed = [row("a", validity="contended", ap=None)] * 2
    assert [note.partition(";")[0] for note in pareto_frontier(disturbed).notes] == ["The rows have no AP"]
    for rows in (disturbed, [row("a"), row("b", validity="contended")]):
        (unpriced,) = pareto_frontier(rows, cost="energy_j").notes[:1]
        assert unpriced.startswith("Left out because they have no energy_j: ")
    failed = pareto_frontier([row("a", validity="error", error="boom")])
    assert failed.notes[-1] == "Left out because they are not valid: 1 of 1 rows: a (error: boom)."
    refused = pareto_frontier([row("a", validity="contended")] * 2, strict=True)
    assert refused.members == () and refused.notes[0].startswith("No row can be compared: none of the 2 rows is valid")


COARSE = st.integers(0, 5).map(float)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(COARSE, st.none() | COARSE, st.sampled_from([0.0, 0.5, 1.0])), max_size=12))
def test_every_row_is_in_exactly_one_part_of_the_frontier(drawn: list[tuple[float, float | None, float]]) -> None:
    rows = [row(f"{n}", 1 + a, b, ap_rounding=r) for n, (a, b, r) in enumerate(drawn)]
    result = pareto_frontier(rows)
    everyone = [each.row for each in result.members] + [each.row for each in result.dominated] + list(result.cost_only)
    assert sorted(each.name for each in everyone) == sorted(each.name for each in rows)
    members = {each.row.name for each in result.members}
    for lost, by in result.dominated:
        assert by.name in members and by.ap is not None and lost.ap is not None
        assert by.ap >= lost.ap and by.latency_ms_p50 <= lost.latency_ms_p50
    assert all(a.row.latency_ms_p50 <= b.row.latency_ms_p50 for a, b in pairwise(result.members))


@pytest.mark.parametrize("rounding", [0.0, 0.5])
def test_each_dominated_row_names_the_member_of_most_gain(rounding: float) -> None:
    random = np.random.default_rng(3)
    rows = [
        row(f"{n}", ms, ap, latency_ms_p50_low=0.9 * ms, latency_ms_p50_high=1.1 * ms, ap_rounding=rounding * (n % 2))
        for n, (ms, ap) in enumerate(
            zip(random.lognormal(3, 1, 400), map(float, random.integers(1, 60, 400)), strict=True)
        )
    ]
    result = pareto_frontier(rows)
    assert len(result.dominated) > 300
    for lost, by in result.dominated:
        better = [
            each.row
            for each in result.members
            if each.row.latency_ms_p50_high <= lost.latency_ms_p50_low
            and each.row.ap - each.row.ap_rounding >= lost.ap + lost.ap_rounding
        ]
        assert by == max(better, key=lambda each: (each.ap, -each.latency_ms_p50))


def test_the_frontier_needs_no_torch() -> None:
    code = "import sys, paretodet.frontier.pareto, paretodet.frontier.recommend, paretodet.frontier.predict\n"
    code += "import paretodet.records.store, paretodet.records.compare\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_among_mixed_splits_a_row_left_out_with_an_ap_of_its_own_labels_is_no_rival() -> None:
    published = [row("v", 20, 35), row("d", 15, 35.2, ap_split="test-dev")]
    own = row("own", 10, 90, ap_split="cells@0", ap_measured=True, validity="contended")
    result = pareto_frontier([*published, own], split="mixed")
    assert result.split == "mixed" and "own" not in result.remeasure
    assert not any("might be on the frontier" in note for note in result.notes)
    busy = row("busy", 10, 90, ap_split="minival", validity="contended")
    assert "busy" in pareto_frontier([*published, busy, own], split="mixed").remeasure
