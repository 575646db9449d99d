"""Which rows enter an answer, and the command that measures rows again."""

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


def names(result: Participation[Known]) -> list[str]:
    return [each.name for each in result.rows]


BUSY = [row("busy", "contended"), row("hot", "throttled"), row("broken", "error"), row("none", "contended", None)]


def test_two_valid_rows_are_enough() -> None:
    result = select_rows([row("a"), row("wide", "noisy"), *BUSY], scored)
    assert names(result) == ["a", "wide"] and not result.provisional and len(result.outside) == 4


def test_with_fewer_valid_rows_all_rows_with_a_latency_enter() -> None:
    for rows in (BUSY, [row("a"), *BUSY]):
        result = select_rows(rows, scored)
        assert names(result) == [each.name for each in rows[:-2]] and result.provisional
        assert [each.name for each in result.disturbed] == ["busy", "hot"]
        assert [each.name for each in result.outside] == ["broken", "none"]


def test_only_comparable_valid_rows_count() -> None:
    blind = [row("x", ap=None), row("y", ap=None)]
    assert select_rows([*blind, *BUSY], scored).provisional
    useless = select_rows([row("a"), row("busy", "contended", ap=None)], scored)
    assert names(useless) == ["a"] and not useless.provisional, "a disturbed row that adds nothing is left out"
    without = select_rows([row("busy", "contended", ap=None), row("broken", "error")], scored)
    assert names(without) == ["busy"] and not without.provisional, "it is not its validity that keeps it out"


def test_strict_and_include_invalid() -> None:
    assert names(select_rows(BUSY, scored, strict=True)) == []
    assert names(select_rows(BUSY, scored, include_invalid=True)) == ["busy", "hot", "broken", "none"]
    with pytest.raises(ValueError, match="strict and include-invalid"):
        select_rows(BUSY, scored, strict=True, include_invalid=True)


def test_a_split_that_only_disturbed_rows_have_is_provisional() -> None:
    def of_split(rows: Rows, left_out: int) -> Known:
        kinds = rows.categories("ap_split")
        if "mine" not in kinds.values:
            raise ValueError(f"nothing; {left_out} left out")
        return Known(rows.where(kinds.codes == kinds.values.index("mine")))

    valid = [row("a"), row("b")]
    assert select_rows([*valid, row("busy", "contended", ap_split="mine")], of_split).provisional
    with pytest.raises(ValueError, match="nothing; 0 left out"):
        select_rows(valid, of_split)


def test_the_reason_is_that_of_the_most_disturbed_row() -> None:
    message = "60 % of the time was contended: other processes used {} % of a core"
    rows = [row(f"r{pct}", "contended", disturbed_pct=pct, reasons=(message.format(pct),)) for pct in (20, 55, 30)]
    assert "(other processes used 55 % of a core)" in select_rows(rows, scored).why
    hot = [row("hot", "throttled", reasons=("60 % of the time was throttled: a core was throttled for heat",))]
    assert (
        "(a core was throttled because of heat)" in select_rows(hot, scored).why
        and "Let the machine cool down" in select_rows(hot, scored).why
    )


def test_the_command_repeats_the_options_of_the_jobs() -> None:
    options = {"device": "cuda", "batch": 1, "threads": 4, "nms": None}
    rows = [row("a", job={"name": "a"} | options), row("a", job={"name": "a"} | options)]
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
    mixed = [row("a", job={"name": "a"}), row("a", job={"name": "a", "runtime": "ort", "allow_fallback": True})]
    mixed.append(row("a", job={"name": "a", "precision": "bf16"}))
    assert remeasure_command(mixed, patient=False) == (
        "paretodet", "measure", "a", "--allow-fallback", "--runtime", "eager,ort", "--precision", "fp32,bf16",
        "--until", "3",
    )  # fmt: skip
    images = {"images": 44, "sha256": "0" * 64}
    int8 = row("a", job={"name": "a", "precision": "int8", "calibration": images})
    assert remeasure_command([int8], patient=False) == (
        "paretodet",
        "measure",
        "a",
        "--precision",
        "int8",
        "--until",
        "3",
    )
    assert remeasure_command([], patient=True) == ()
    allowed = row("c", job={"name": "c", "allow_fallback": True})
    assert remeasure_command([allowed], patient=True)[3:4] == ("--allow-fallback",)
    assert len(remeasure_command([row(f"{n}") for n in range(99)], patient=False)) == 2 + MAX_NAMES + 2


def test_the_first_rows_are_described_with_their_cause() -> None:
    assert describe_rows(Rows.of(BUSY[:1])) == "busy (contended)"
    many = [row(f"{n}", "contended", reasons=("why",)) for n in range(5)]
    assert describe_rows(Rows.of(many)) == "0 (contended: why), 1 (contended: why), 2 (contended: why) and 2 more"


def test_the_command_names_the_weights_that_are_no_name_themselves() -> None:
    darknet = row("yolo", job={"name": "yolo_v3-darknet53-416", "file": "yolov3.weights"})
    assert remeasure_command([darknet], patient=True)[2:5] == ("yolo_v3-darknet53-416", "--weights", "yolov3.weights")
    cfg = row("net", job={"name": "net.cfg", "file": "net.safetensors"})
    hub = row("hub", job={"name": "hf:d_fine-n", "file": "net.safetensors"})
    assert remeasure_command([cfg], patient=True)[2:5] == ("net.cfg", "--weights", "net.safetensors")
    assert remeasure_command([hub, cfg, row("a"), row("b")], patient=True)[2:4] == ("a", "b")


def test_the_command_measures_the_accuracy_again_and_the_canvas_and_scores_of_the_rows() -> None:
    job = {"name": "net.onnx", "height": 320, "width": 320, "score": 0.1, "scored_on": "instances.json@12345678"}
    rows = [row("net.onnx", job=job), row("net.onnx", job=job | {"height": 480, "width": 640, "score": 0.3})]
    assert remeasure_command(rows, patient=True) == (
        "paretodet", "measure", "net.onnx", "--data", "instances.json", "--score", "0.1,0.3", "--size", "320,480x640",
        "--patience", "10m",
    )  # fmt: skip
    voc = row("net.onnx", job={"name": "net.onnx", "scored_on": "voc/val@12345678"})
    assert remeasure_command([voc], patient=True)[3:7] == ("--data", "voc", "--data-split", "val")


def test_a_command_is_for_rows_that_agree_in_their_options() -> None:
    few = {"name": "a", "threads": 1}
    rows = [row("a", job=few), row("b", job={"name": "b"}), row("c", job={"name": "c", "threads": None})]
    assert remeasure_command(rows, patient=True)[2:] == ("b", "c", "--patience", "10m")
    assert remeasure_command(rows[:1], patient=True)[2:] == ("a", "--threads", "1", "--patience", "10m")


def test_a_row_whose_layout_was_given_can_be_measured_again() -> None:
    layout = {"inputs": [{"name": "images"}]}
    stated = row("net.onnx", job={"name": "net.onnx", "layout": layout, "labels": ["cat"]})
    assert remeasure_command([stated], patient=True) == ("paretodet", "measure", "net.onnx", "--patience", "10m")


def test_waiting_is_no_advice_where_the_quota_ran_out() -> None:
    reason = "the control group's CPU quota ran out; 0 of 9 bursts were clean"
    why = select_rows([row("a", "contended", disturbed_pct=20.0, reasons=(reason,))], scored).why
    assert "--threads" in why and "idle" not in why
