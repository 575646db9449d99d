"""One network in several runtimes has one accuracy: its rows differ in cost alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretodet.frontier.dominance import interval_bounds, membership
from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, recommend
from paretodet.frontier.refinement import rows_to_refine
from paretodet.frontier.shared_errors import is_slower_twin, shared_errors
from paretodet.frontier.values import Columns, columns
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.rows import Rows
from paretodet.records.store import Store
from paretodet.sweep.read import read_rows


def row(runtime: str, low: float, ms: float, high: float, **fields: Any) -> Measurement:
    values: dict[str, Any] = {
        "name": "hf:d_fine-n",
        "ap": 42.8,
        "ap_rounding": 0.05,
        "ap_split": "val2017",
        "runtime": runtime,
        "artefact": runtime,
        "job": {"name": "hf:d_fine-n", "runtime": runtime},
    }
    times = {"latency_ms_p50": ms, "latency_ms_p50_low": low, "latency_ms_p50_high": high}
    return with_id(Measurement(id="", run="r", at="2030-01-01", **{**values, **times, **fields}))


FAST, SLOW = row("openvino", 29, 30, 31), row("eager", 58, 60, 62)
OTHER = row("eager", 9, 10, 11, name="other", ap=20.0, ap_split="test-dev")


def probabilities(rows: list[Measurement], **question: Any) -> dict[str, float]:
    return {member.row.runtime: member.probability for member in pareto_frontier(rows, **question).members}


@pytest.mark.parametrize("target", ["objects", "store"])
def test_the_slower_of_two_runtimes_is_not_on_the_frontier(target: str, tmp_path: Path) -> None:
    rows: Any = [SLOW, FAST]
    if target == "store":
        store = Store(tmp_path / "rows.db")
        for each in rows:
            store.append(each)
        rows = read_rows(tmp_path / "rows.db")
    found = pareto_frontier(rows)
    assert [(member.row.id, member.probability) for member in found.members] == [(FAST.id, 1.0)]
    assert [(each.row.id, each.by.id) for each in found.dominated] == [(SLOW.id, FAST.id)]
    answer = recommend(rows, Budget(maximum={"latency_ms_p50": 100.0}))
    assert answer.choice and answer.choice.id == FAST.id
    assert answer.probability_best == pytest.approx(answer.probability_fits) and answer.probability_best > 0.99
    assert not found.undecided and not answer.undecided


@pytest.mark.parametrize("gain", ["ap50", "mask_ap", "mask_ap50"])
def test_every_accuracy_is_one_number(gain: str) -> None:
    rows = [replace(each, ap=None, **{gain: 50.0}) for each in (FAST, SLOW)]
    assert probabilities(rows, gain=gain) == {"openvino": 1.0}
    assert recommend(rows, Budget(goal=gain)).probability_best == 1.0


def test_an_accuracy_of_a_mixed_group_is_one_number() -> None:
    rows = [replace(each, ap_rounding=None) for each in (FAST, SLOW)]
    found = pareto_frontier([*rows, OTHER], split="mixed")
    assert found.split == "mixed" and [member.row.id for member in found.members] == [OTHER.id, FAST.id]


@pytest.mark.parametrize(
    "change", [{"weights": "1" * 64}, {"name": "hf:d_fine-s"}, {"ap": 42.81}, {"ap_rounding": 0.06}]
)
def test_another_network_or_number_is_independent(change: dict[str, Any]) -> None:
    rows = [FAST, replace(SLOW, **change)]
    assert probabilities(rows)["eager"] == pytest.approx(0.5, abs=0.15)
    assert shared_errors(Rows.of(rows)) is None


def test_twins_of_overlapping_cost_are_decided_by_their_cost() -> None:
    """Their costs are 4 % apart, with a deviation of 4.9 % each: the slower one is cheaper with probability 0.28."""
    one, other = row("openvino", 91, 100, 110), row("eager", 94.6, 104, 114.4)
    found = pareto_frontier([one, other])
    assert probabilities([one, other]) == pytest.approx({"openvino": 0.72, "eager": 0.28}, abs=0.05)
    assert {member.row.id for member in found.undecided} == {one.id, other.id} and found.remeasure
    assert rows_to_refine([one, other], 1000.0) == {one.id, other.id}


def test_a_slower_twin_that_was_left_out_might_not_be_on_the_frontier() -> None:
    busy = replace(SLOW, validity="contended")
    known = [FAST, replace(OTHER, ap_split="val2017")]
    found = pareto_frontier([*known, busy])
    assert [each.id for each in found.outside] == [SLOW.id] and found.remeasure == ()
    assert not any("might be on the frontier" in note for note in found.notes)
    faster = row("ncnn", 19, 20, 21, validity="contended")
    assert pareto_frontier([*known, faster]).remeasure


def test_the_draws_of_one_number_are_equal_and_the_others_as_before() -> None:
    rows = Rows.of([FAST, OTHER, SLOW, replace(SLOW, ap=30.0)])
    shared = shared_errors(rows)
    assert shared and shared.first.tolist() == [0, 1, 0, 3]
    drawn, alone = shared.draw(500, np.random.default_rng(0)), np.random.default_rng(0).random((500, 4))
    assert (drawn[:, 0] == drawn[:, 2]).all() and (drawn[:, [0, 1, 3]] == alone[:, [0, 1, 3]]).all()
    assert shared.where(np.array([3, 2, 0])).first.tolist() == [0, 1, 1]
    assert shared.spread(np.array([1, 4, 6, 7]), 9).first.tolist() == [0, 1, 2, 3, 4, 5, 1, 7, 8]
    assert is_slower_twin(columns(rows, "latency_ms_p50"), shared).tolist() == [False, False, True, False]


def test_a_gain_with_a_minus_sign_is_drawn_as_the_cost_that_it_is() -> None:
    """A latency of 100 ms (50 to 200) is below 150 ms with a probability of 0.87; if it were uniform, of 0.67."""
    cost = Columns(*np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]).T)
    gain = Columns(*np.array([[-150.0, -150.0, -150.0], [-100.0, -200.0, -50.0]]).T)
    found = membership(cost.point, gain.point, **interval_bounds(cost, gain), negated=True)
    assert found.tolist() == pytest.approx([1.0, 0.87], abs=0.04)


def resources(name: str, ms: float, mib: float, half: float = 0.1) -> Measurement:
    times = {"latency_ms_p50_low": ms / (1 + half), "latency_ms_p50_high": ms * (1 + half)}
    about = {"memory_infer_mib": mib, "job": {"name": name}}
    return Measurement(id=name, run="r", at="2030-01-01", name=name, latency_ms_p50=ms, **times, **about)


def test_swapping_cost_and_gain_gives_the_same_frontier() -> None:
    rows = [resources("fast", 10, 900), resources("open", 100, 500), resources("rival", 104, 300)]
    rows += [resources("slow", 900, 100), resources("beaten", 950, 400)]
    usual = pareto_frontier(rows, gain="-memory_infer_mib")
    mirror = pareto_frontier(rows, cost="memory_infer_mib", gain="-latency_ms_p50")
    of_usual, of_mirror = ({each.row.id: each.probability for each in found.members} for found in (usual, mirror))
    assert of_mirror == pytest.approx(of_usual, abs=0.06) and set(of_usual) == {"fast", "open", "rival", "slow"}
    assert 0.05 < of_mirror["open"] < 0.95
    assert [each.row.id for each in usual.undecided] == [each.row.id for each in mirror.undecided] == ["open"]
    assert set(mirror.remeasure) == set(usual.remeasure) and {"open", "rival"} < set(mirror.remeasure)
    assert [each.by.id for each in mirror.dominated] == [each.by.id for each in usual.dominated]


def test_two_times_are_both_measured_again() -> None:
    """Latency and total time: what is open in either is measured again, with its rival."""
    values = (("one", 100.0, 200.0), ("two", 103.0, 206.0), ("three", 400.0, 800.0))
    rows = [replace(resources(name, ms, 1.0), total_ms=total, disturbed_pct=10.0) for name, ms, total in values]
    found = pareto_frontier(rows, gain="-total_ms")
    assert {each.row.id for each in found.undecided} == {"one", "two"}
    assert found.remeasure == ("paretodet", "measure", "one", "two", "--until", "3")
