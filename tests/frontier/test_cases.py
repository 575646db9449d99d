"""Two runs of the default set on one machine, idle and busy, and the committed run of another machine.

In `cases/quiet.jsonl` two rows have intervals of +-11 % and +-15 %; in `cases/busy.jsonl` no row is valid.
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


def test_rows_with_wide_intervals_remain_members() -> None:
    result = pareto_frontier(QUIET, split="mixed")
    assert [member.row.name for member in result.members] == MEMBERS
    assert all(member.probability > 0.95 for member in result.members)
    assert not result.provisional and not result.undecided and result.remeasure == ()
    assert [row.name for row in result.outside] == ["yolo_v3-darknet53-320"]


@pytest.mark.parametrize(
    ("ms", "name"), [(200, "hf:d_fine-n"), (300, "hf:d_fine-s"), (350, "hf:d_fine-s"), (800, "hf:d_fine-s")]
)
def test_the_most_accurate_that_fits_is_chosen(ms: float, name: str) -> None:
    result = under(QUIET, ms)
    assert result.choice and result.choice.name == name and not result.provisional
    assert result.probability_fits is not None and (result.probability_fits > 0.99) == (ms != 300)


def test_a_limit_inside_the_interval_is_met_with_a_probability() -> None:
    result = under(QUIET, 300)
    assert result.probability_fits == pytest.approx(0.87, abs=0.03) == result.probability_best
    assert result.safe and result.safe.name == "hf:d_fine-n"
    assert f"with probability {result.probability_fits:.2f}" in result.reason
    assert "The safe choice is hf:d_fine-n (AP 42.8)" in result.reason
    assert [row.name for row in result.undecided] == ["hf:d_fine-s"]
    assert result.remeasure == ("paretodet", "measure", "hf:d_fine-s", "--until", "3")
    sure = under(QUIET, 300, confident=True)
    assert sure.choice == sure.safe == result.safe


def test_a_busy_machine_gives_a_provisional_answer() -> None:
    result = pareto_frontier(BUSY, split="mixed")
    probability = {member.row.name: member.probability for member in result.members}
    assert result.provisional and probability["hf:d_fine-n"] > 0.85 and probability["hf:d_fine-s"] > 0.95
    assert all(chance < 0.3 for name, chance in probability.items() if name not in MEMBERS)
    assert result.why.startswith("Provisional: 6 of 6 rows were disturbed (other processes used 101 % of a core)")
    assert result.notes[0] == result.why and result.remeasure[-2:] == ("--patience", "10m")
    chosen = under(BUSY, 400)
    assert chosen.provisional and chosen.choice and chosen.choice.name == "hf:d_fine-s"
    assert chosen.reason.startswith("Provisional: ") and chosen.probability_fits and chosen.probability_fits < 0.9


def test_intervals_of_the_busy_run_contain_the_quiet_latency() -> None:
    alone = {row.name: row.latency_ms_p50 for row in QUIET}
    for row in BUSY:
        result, truth = value(row, "latency_ms_p50"), alone[row.name]
        assert result and truth and result.low < truth < result.high, row.name


def test_strict_uses_no_invalid_row_and_says_so() -> None:
    result = pareto_frontier(BUSY, split="mixed", strict=True)
    assert result.members == () and not result.provisional and result.left_out == len(result.outside) == 6
    assert result.notes[0].startswith("No row can be compared: none of the 6 rows is valid")
    chosen = recommend(BUSY, Budget(), split="mixed", strict=True)
    assert chosen.choice is None and not chosen.provisional


@pytest.mark.parametrize("rows", [QUIET, BUSY], ids=["quiet", "busy"])
def test_no_note_says_that_no_row_has_accuracy_and_cost(rows: list[Measurement]) -> None:
    for strict in (False, True):
        result = pareto_frontier(rows, split="mixed", strict=strict)
        assert not any(note.startswith("No row knows") for note in result.notes)


def test_the_committed_run_has_d_fine_n_on_its_frontier() -> None:
    result = pareto_frontier(read(RESULTS / "2026-11-21-amd-epyc-2-cores.jsonl"), split="mixed")
    assert [member.row.name for member in result.members] == MEMBERS
    assert "yolo_v3-darknet53-320" in {each.row.name for each in result.dominated}
