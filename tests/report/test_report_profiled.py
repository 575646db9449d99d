"""A profile as a table, sentences and a chart."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from paretodet.records.profile import Profile, ProfiledLayer
from paretodet.report.profiled import advice, plot_profile, profile_table, summary

LAYERS = (
    ProfiledLayer(name="backbone.a", operator="Conv2d", ms=12.0, macs=10**9, floor_ms=9.0),
    ProfiledLayer(name="backbone.b", operator="Conv2d", ms=4.0, macs=2 * 10**8, floor_ms=1.0),
    ProfiledLayer(name="(select)", operator="between layers", ms=3.0),
    ProfiledLayer(name="", operator="Detector", ms=1.0),
)
PROFILE = Profile(
    name="ssd", device="cpu", runtime="eager", precision="fp32", batch=1, threads=2, calls=50, latency_ms=19.0,
    layers=LAYERS, floor_ms=10.0, ceilings={"fp32_gflops": 190.0, "copy_gb_s": 17.0},
)  # fmt: skip
OTHERS = [("onnxruntime", "fp32"), ("eager", "bf16"), ("openvino", "int8")]


def text(profile: Profile, top: int) -> list[str]:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(profile_table(profile, top=top))
    return console.export_text().splitlines()


def test_the_table_has_the_slowest_layers_and_the_sum_of_the_others() -> None:
    head, first, second, rest = text(PROFILE, top=2)
    assert head.split()[:3] == ["Layer", "Operator", "Time"]
    assert first.split() == [
        "backbone.a",
        "Conv2d",
        "12.0",
        "ms",
        "60.0",
        "%",
        "2.00",
        "GFLOPs",
        "9.00",
        "ms",
        "75",
        "%",
    ]
    assert second.split()[0] == "backbone.b"
    assert rest.split() == ["2", "others", "4.00", "ms", "20.0", "%", "–", "–", "–"]
    long = replace(PROFILE, layers=(replace(LAYERS[0], name="model." + 90 * "x" + ".conv"),))
    assert text(long, top=9)[1].split()[0] == "…" + 50 * "x" + ".conv"
    assert len(text(PROFILE, top=9)) == 5 and "(network)" in text(PROFILE, top=9)[-1]


def test_the_sum_is_compared_with_the_whole_call_and_the_floor_stated() -> None:
    sums, floor = summary(PROFILE)
    assert "20.0 ms in all, 5.3 % more" in sums and "19.0 ms" in sums
    assert "10.0 ms, 53 % of the call" in floor and "190 GFLOP/s in fp32" in floor and "17.0 GB/s" in floor
    bare = replace(PROFILE, floor_ms=None, ceilings=None, latency_ms=25.0, disturbed="others used 40 % of a core")
    sums, caution = summary(bare)
    assert "20.0 % less" in sums and "others used 40 % of a core" in caution


def test_near_the_floor_another_precision_comes_first() -> None:
    """Convolutions: 10 of 16 ms are their floor, 62 %."""
    sentence = advice(PROFILE, OTHERS)
    assert sentence.startswith(
        "Conv2d takes most, 80 % of the time, 1.6 times its floor; the slowest is backbone.a (60 %)"
    )
    assert sentence.endswith("to try next: --precision bf16 or --runtime openvino --precision int8.")
    assert advice(PROFILE, OTHERS[:1]).endswith("so a smaller input or backbone is next.")


@pytest.mark.parametrize("floor", [None, 2.0])
def test_far_from_the_floor_another_runtime_comes_first(floor: float | None) -> None:
    slow = replace(PROFILE, layers=(replace(LAYERS[0], floor_ms=floor),))
    assert advice(slow, OTHERS).endswith("to try next: --runtime onnxruntime or --precision bf16.")
    assert ("times its floor" in advice(slow, OTHERS)) is (floor is not None)


@pytest.mark.parametrize(("name", "start"), [("p.svg", b"<svg"), ("p.png", b"\x89PNG")])
def test_the_picture_has_a_bar_for_each_of_the_slowest(tmp_path: Path, name: str, start: bytes) -> None:
    plot_profile(PROFILE, tmp_path / name, top=3)
    drawn = (tmp_path / name).read_bytes()
    assert drawn.startswith(start)
    if name.endswith(".svg"):
        assert "backbone.a · Conv2d".encode() in drawn and b"(select)" in drawn and b"(network)" not in drawn


def test_more_images_than_the_batch_are_stated() -> None:
    """They are all in the times, the work and the floors."""
    assert len([*summary(replace(PROFILE, images=1))]) == 2
    _, _, filled = summary(replace(PROFILE, images=4))
    assert "1 image computes 4" in filled
