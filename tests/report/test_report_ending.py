"""The last lines of a run."""

from typing import Any

from paretodet.frontier.pareto import pareto_frontier
from paretodet.records.measurement import Measurement
from paretodet.report.ending import changes, choices, proof_line


def row(name: str, latency: float, ap: float, half: float = 0.0, **fields: Any) -> Measurement:
    bounds = {"latency_ms_p50_low": latency / (1 + half), "latency_ms_p50_high": latency * (1 + half)}
    about = {"ap": ap, "ap_split": "val2017"} | fields
    return Measurement(id=name, run="r", at="2026", name=name, latency_ms_p50=latency, **bounds, **about)


def test_one_line_for_every_budget() -> None:
    rows = [row("fast", 46, 42.8, 0.05), row("good", 880, 50, 0.5, disturbed_pct=5.0)]
    assert list(choices(rows, pareto_frontier(rows))) == [
        "under 50 ms: fast, AP 42.8, 46.0 ms, fits with probability over 0.99",
        "under 1,500 ms: good, AP 50.0, 880 ms, fits with probability 0.99",
    ]


def test_a_provisional_choice_says_so() -> None:
    rows = [row("busy", 46, 42.8, validity="contended")]
    (line,) = choices(rows, pareto_frontier(rows))
    assert line == "under 50 ms: busy, AP 42.8, 46.0 ms, fits with probability 1.00 (provisional)"


def test_undecided_rows_are_open_for_time_or_for_rounding() -> None:
    rows = [row("open", 100, 30, 0.1), row("rival", 104, 35, 0.1)]
    (sentence,) = changes(pareto_frontier(rows))
    assert sentence.startswith("The intervals are too wide to decide whether open (probability 0.")
    rounded = [row("a", 10, 30.0, ap_rounding=0.5), row("b", 20, 30.4, ap_rounding=0.5)]
    (sentence,) = changes(pareto_frontier(rounded))
    assert sentence.startswith("More measuring cannot decide 1 ")
    assert list(changes(pareto_frontier(rows[:1]))) == []


def test_a_bundle_whose_proof_is_open_is_named() -> None:
    for proof, count in (("undecided (equal) in onnxruntime 1", 1), ("passed (equal) in onnxruntime 1", 0), (None, 0)):
        lines = proof_line(row("toy", 10, 30.0, settings={"runtime": {"proof": proof} if proof else {}}))
        assert len(lines) == count and all(line.startswith("toy: ") and "undecided" in line for line in lines)
