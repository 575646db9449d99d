"""The floor of networks whose work is known."""

import pytest

from paretodet.records.profile import LayerTime, Profile, by_module, profiled_layers
from paretodet.records.roofline import LayerWork, floor_ms

CEILINGS = {"fp32_gflops": 100.0, "bf16_gflops": 400.0, "int8_gflops": None, "copy_gb_s": 10.0}
BUSY = LayerWork("conv", "convolution", macs=10**9, weights=10**3, inputs=10**6, outputs=10**6)  # bound by arithmetic
WIDE = LayerWork("fc", "addmm", macs=10**7, weights=10**7, inputs=10**3, outputs=10**3)  # bound by memory
TWO = (BUSY, WIDE)


def test_bytes_are_of_weights_inputs_and_outputs_in_a_precision() -> None:
    assert WIDE.bytes("fp32") == 4 * (10**7 + 2 * 10**3)
    assert WIDE.bytes("int8", batch=3) == 10**7 + 6 * 10**3  # weights are read once for a batch


def test_a_layer_takes_the_longer_of_its_two_times() -> None:
    assert floor_ms([BUSY], CEILINGS, "fp32") == pytest.approx(2e9 / 100e9 * 1000)
    assert floor_ms([WIDE], CEILINGS, "fp32") == pytest.approx(4 * 10_002_000 / 10e9 * 1000)
    assert floor_ms(TWO, CEILINGS, "fp32") == pytest.approx(20 + 4.0008)


def test_a_lower_precision_lowers_both_times() -> None:
    assert floor_ms(TWO, CEILINGS, "bf16") == pytest.approx(5 + 2.0004)


def test_a_batch_multiplies_all_but_the_weights() -> None:
    assert floor_ms(TWO, CEILINGS, "fp32", batch=2) == pytest.approx(40 + 4 * 10_004_000 / 10e6)


@pytest.mark.parametrize("precision", ["int8", "fp16", "file"])
def test_it_is_unknown_where_the_rate_is(precision: str) -> None:
    assert floor_ms(TWO, CEILINGS, precision) is None


def test_it_is_unknown_without_layers_or_bandwidth() -> None:
    assert floor_ms((), CEILINGS, "fp32") is None
    assert floor_ms(TWO, {"fp32_gflops": 1.0}, "fp32") is None


def test_the_work_of_a_name_is_the_sum_of_its_calls() -> None:
    times = [LayerTime("fc", "Linear", 2.0), LayerTime("conv", "Conv2d", 50.0), LayerTime("relu", "ReLU", 1.0)]
    layers = profiled_layers(times, (BUSY, WIDE, BUSY), CEILINGS, "fp32")
    assert [(layer.name, layer.macs) for layer in layers] == [("conv", 2 * 10**9), ("fc", 10**7), ("relu", None)]
    assert layers[0].floor_ms == pytest.approx(40) and layers[0].floor_pct == pytest.approx(80)
    assert layers[2].floor_ms is layers[2].floor_pct is None


def test_nodes_of_a_module_are_one_layer() -> None:
    times = [
        LayerTime("a.conv/node_1", "Conv", 2.0),
        LayerTime("nms", "TopK", 1.0),
        LayerTime("a.conv/node_2", "Pad", 3.0),
    ]
    assert by_module(times) == (LayerTime("a.conv", "Pad", 5.0), LayerTime("nms", "TopK", 1.0))


def test_a_profile_compares_its_layers_with_the_whole_call() -> None:
    layers = profiled_layers([LayerTime("conv", "Conv2d", 33.0), LayerTime("", "idle", 0.0)], (), CEILINGS, "fp32")
    made = Profile(
        name="x", device="cpu", runtime="eager", precision="fp32", batch=1, threads=1, calls=3, latency_ms=30.0,
        layers=layers,
    )  # fmt: skip
    assert len(layers) == 1 and made.difference_pct == pytest.approx(10)
    assert made.to_json()["layers"][0]["floor_pct"] is None and made.to_json()["layers_ms"] == 33.0
