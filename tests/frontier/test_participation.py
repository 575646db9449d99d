"""Which rows take part, and the command that measures again what is open."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from paretodet.frontier.participation import MAX_NAMES, Participation, describe_rows, remeasure_command, select_rows
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows


class Known(NamedTuple):
    known: Rows


def row(name: str, validity: str = "valid", latency: float | None = 10.0, **fields: Any) -> Measurement:
    about = {"ap": 30.0, "job": {"name": name}} | fields
    return Measurement(id=name, run="r", at="2026", name=name, validity=validity, latency_ms_p50=latency, **about)


def scored(rows: Rows, left_out: int) -> Known:
    """The rows that have an AP."""
    return Known(rows.where(np.isfinite(rows.numbers("ap"))))


def names(found: Participation[Known]) -> list[str]:
    return [each.name for each in found.rows]


BUSY = [row("busy", "contended"), row("hot", "throttled"), row("broken", "error"), row("none", "contended", None)]


def test_two_valid_rows_are_enough() -> None:
    found = select_rows([row("a"), row("wide", "noisy"), *BUSY], scored)
    assert names(found) == ["a", "wide"] and not found.provisional and len(found.outside) == 4


def test_with_fewer_all_rows_that_have_a_time_take_part() -> None:
    for rows in (BUSY, [row("a"), *BUSY]):
        found = select_rows(rows, scored)
        assert names(found) == [each.name for each in rows[:-2]] and found.provisional
        assert [each.name for each in found.disturbed] == ["busy", "hot"]
        assert [each.name for each in found.outside] == ["broken", "none"]


def test_valid_rows_that_cannot_be_compared_do_not_count() -> None:
    blind = [row("x", ap=None), row("y", ap=None)]
    assert select_rows([*blind, *BUSY], scored).provisional
    useless = select_rows([row("a"), row("busy", "contended", ap=None)], scored)
    assert names(useless) == ["a"] and not useless.provisional, "a disturbed row that adds nothing is left out"


def test_strict_and_include_invalid_are_taken_at_their_word() -> None:
    assert names(select_rows(BUSY, scored, strict=True)) == []
    assert names(select_rows(BUSY, scored, include_invalid=True)) == ["busy", "hot", "broken", "none"]
    with pytest.raises(ValueError, match="strict and include-invalid"):
        select_rows(BUSY, scored, strict=True, include_invalid=True)


def test_a_kind_that_only_disturbed_rows_have_is_found() -> None:
    def of_split(rows: Rows, left_out: int) -> Known:
        kinds = rows.categories("ap_split")
        if "mine" not in kinds.values:
            raise ValueError(f"nothing; {left_out} left out")
        return Known(rows.where(kinds.codes == kinds.values.index("mine")))

    valid = [row("a"), row("b")]
    assert select_rows([*valid, row("busy", "contended", ap_split="mine")], of_split).provisional
    with pytest.raises(ValueError, match="nothing; 0 left out"):
        select_rows(valid, of_split)


def test_the_most_disturbed_row_says_why() -> None:
    said = "60 % of the time was contended: other processes used {} % of a core"
    rows = [row(f"r{pct}", "contended", disturbed_pct=pct, reasons=(said.format(pct),)) for pct in (20, 55, 30)]
    assert "(other processes used 55 % of a core)" in select_rows(rows, scored).why
    hot = [row("hot", "throttled", reasons=("60 % of the time was throttled: a core was throttled for heat",))]
    assert (
        "(a core was throttled because of heat)" in select_rows(hot, scored).why
        and "Let the machine cool down" in select_rows(hot, scored).why
    )


def test_what_is_open_is_measured_again_as_it_was() -> None:
    asked = {"device": "cuda", "batch": 1, "threads": 4, "nms": None}
    rows = [row("a", job={"name": "a"} | asked), row("a", job={"name": "a"} | asked)]
    assert remeasure_command(rows, patient=False) == (
        "paretodet",
        "measure",
        "a",
        "--device",
        "cuda",
        "--threads",
        "4",
        "--until",
        "3",
    )
    mine = row("ssd at width 0.5", job={"name": "ssd", "file": "run/best.safetensors"})
    assert remeasure_command([mine], patient=True) == (
        "paretodet",
        "measure",
        "run/best.safetensors",
        "--patience",
        "10m",
    )
    assert remeasure_command([], patient=True) == ()
    assert len(remeasure_command([row(f"{n}") for n in range(99)], patient=False)) == 2 + MAX_NAMES + 2


def test_rows_are_named_with_what_is_wrong_and_not_all_of_many() -> None:
    assert describe_rows(Rows.of(BUSY[:1])) == "busy (contended)"
    many = [row(f"{n}", "contended", reasons=("why",)) for n in range(5)]
    assert describe_rows(Rows.of(many)) == "0 (contended: why), 1 (contended: why), 2 (contended: why) and 2 more"
