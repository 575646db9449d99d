"""Two runs of the default set on one machine, alone and beside other work, and the committed run of another one.

`cases/quiet.jsonl` has two of its rows at +-11 % and +-15 %; of `cases/busy.jsonl` no row is valid.
"""

import json
from pathlib import Path

import pytest

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.recommend import Budget, Recommendation, recommend
from paretodet.frontier.values import value
from paretodet.records.measurement import Measurement

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results"
MEMBERS = ["ssd-mobilenet_v1-300", "hf:d_fine-n", "hf:d_fine-s"]


def read(path: Path) -> list[Measurement]:
    return [Measurement.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


QUIET, BUSY = (read(HERE / "cases" / f"{name}.jsonl") for name in ("quiet", "busy"))


def under(rows: list[Measurement], ms: float, *, confident: bool = False) -> Recommendation:
    return recommend(rows, Budget(maximum={"latency_ms_p50": ms}, confident=confident), split="mixed")


def test_wide_intervals_hide_no_member() -> None:
    found = pareto_frontier(QUIET, split="mixed")
    assert [member.row.name for member in found.members] == MEMBERS
    assert all(member.probability > 0.95 for member in found.members)
    assert not found.provisional and not found.undecided and found.remeasure == ()
    assert [row.name for row in found.outside] == ["yolo_v3-darknet53-320"]


@pytest.mark.parametrize(
    ("ms", "name"), [(200, "hf:d_fine-n"), (300, "hf:d_fine-s"), (350, "hf:d_fine-s"), (800, "hf:d_fine-s")]
)
def test_the_most_accurate_that_fits_is_chosen(ms: float, name: str) -> None:
    found = under(QUIET, ms)
    assert found.choice and found.choice.name == name and not found.provisional
    assert found.probability_fits is not None and (found.probability_fits > 0.99) == (ms != 300)


def test_a_limit_inside_the_interval_is_met_with_a_probability() -> None:
    found = under(QUIET, 300)
    assert found.probability_fits == pytest.approx(0.87, abs=0.03) == found.probability_best
    assert found.safe and found.safe.name == "hf:d_fine-n"
    assert f"with probability {found.probability_fits:.2f}" in found.reason
    assert "The safe choice is hf:d_fine-n (AP 42.8)" in found.reason
    assert [row.name for row in found.undecided] == ["hf:d_fine-s"]
    assert found.remeasure == ("paretodet", "measure", "hf:d_fine-s", "--until", "3")
    sure = under(QUIET, 300, confident=True)
    assert sure.choice == sure.safe == found.safe


def test_a_busy_machine_gives_a_provisional_answer() -> None:
    found = pareto_frontier(BUSY, split="mixed")
    probability = {member.row.name: member.probability for member in found.members}
    assert found.provisional and probability["hf:d_fine-n"] > 0.85 and probability["hf:d_fine-s"] > 0.95
    assert all(chance < 0.3 for name, chance in probability.items() if name not in MEMBERS)
    assert found.why.startswith("Provisional: 6 of 6 rows were disturbed (other processes used 101 % of a core)")
    assert found.notes[0] == found.why and found.remeasure[-2:] == ("--patience", "10m")
    chosen = under(BUSY, 400)
    assert chosen.provisional and chosen.choice and chosen.choice.name == "hf:d_fine-s"
    assert chosen.reason.startswith("Provisional: ") and chosen.probability_fits and chosen.probability_fits < 0.9


def test_its_intervals_hold_what_the_machine_takes_alone() -> None:
    alone = {row.name: row.latency_ms_p50 for row in QUIET}
    for row in BUSY:
        found, truth = value(row, "latency_ms_p50"), alone[row.name]
        assert found and truth and found.low < truth < found.high, row.name


def test_strict_refuses_it_and_says_why() -> None:
    found = pareto_frontier(BUSY, split="mixed", strict=True)
    assert found.members == () and not found.provisional and found.left_out == len(found.outside) == 6
    assert found.notes[0].startswith("No row can be compared: none of the 6 rows is valid")
    chosen = recommend(BUSY, Budget(), split="mixed", strict=True)
    assert chosen.choice is None and not chosen.provisional


@pytest.mark.parametrize("rows", [QUIET, BUSY], ids=["quiet", "busy"])
def test_nobody_says_that_no_row_has_accuracy_and_cost(rows: list[Measurement]) -> None:
    for strict in (False, True):
        found = pareto_frontier(rows, split="mixed", strict=strict)
        assert not any(note.startswith("No row knows") for note in found.notes)


def test_the_committed_run_has_d_fine_n_on_its_frontier() -> None:
    found = pareto_frontier(read(RESULTS / "2026-11-21-amd-epyc-2-cores.jsonl"), split="mixed")
    assert [member.row.name for member in found.members] == MEMBERS
    assert "yolo_v3-darknet53-320" in {each.row.name for each in found.dominated}
