"""Variants of a model in int8: layers that stay in float compute what they do in the model that was quantized."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretodet.export.calibration import Feed

openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")

from openvino import opset13 as ops  # noqa: E402

from paretodet.export import openvino_model  # noqa: E402
from paretodet.export.openvino_int8 import QuantizedModel  # noqa: E402

LAYERS = ("first", "second")


def model(*, in_int8: bool) -> Any:
    """Two layers with biases; in int8 their inputs and weights are rounded coarsely, and their biases corrected."""
    random, shift = np.random.default_rng(0), 0.25 if in_int8 else 0.0
    values = x = ops.parameter([1, 4, 8, 8], np.float32, name="x")
    x.output(0).set_names({"x"})
    for name in LAYERS:
        weights = ops.constant(random.random((4, 4, 3, 3), np.float32) - 0.5)
        bias = ops.constant(random.random((1, 4, 1, 1), np.float32) + shift)
        read = _rounded(values) if in_int8 else values
        convolved = ops.convolution(read, _rounded(weights) if in_int8 else weights, [1, 1], [1, 1], [1, 1], [1, 1])
        added = ops.add(convolved, bias)
        convolved.set_friendly_name(name)
        added.set_friendly_name(f"{name} bias")
        values = ops.relu(added)
    return openvino.Model([values], [x])


def _rounded(values: Any) -> Any:
    low, high = ops.constant(np.float32(-1)), ops.constant(np.float32(1))
    return ops.fake_quantize(values, low, high, low, high, 9)


@pytest.fixture
def quantized() -> QuantizedModel:
    return QuantizedModel(model(in_int8=False), model(in_int8=True))


@pytest.fixture
def feed() -> Feed:
    return {"x": np.random.default_rng(1).random((1, 4, 8, 8), np.float32)}


def test_all_layers_in_float_are_the_model_in_float(quantized: QuantizedModel, feed: Feed) -> None:
    assert quantized.layers == LAYERS and quantized.total == 2
    wanted, rounded = quantized.original()(feed)[0].copy(), quantized.program(())(feed)[0].copy()
    assert np.abs(wanted - rounded).max() > 0.1
    np.testing.assert_allclose(quantized.program(LAYERS)(feed)[0], wanted, atol=1e-5)
    one = quantized.program(LAYERS[:1])(feed)[0].copy()
    assert np.abs(one - wanted).max() > 0.1 and np.abs(one - rounded).max() > 0.1
    np.testing.assert_array_equal(quantized.program(())(feed)[0], rounded)  # other variants leave it as it is


@pytest.mark.parametrize("in_float", [(), LAYERS[1:]])
def test_what_is_written_is_what_was_measured(
    quantized: QuantizedModel, feed: Feed, tmp_path: Path, in_float: tuple[str, ...]
) -> None:
    wanted = quantized.program(in_float)(feed)[0].copy()
    quantized.save(tmp_path / "int8.xml", in_float)
    written = openvino_model.read(tmp_path / "int8.xml")
    found = QuantizedModel(quantized.model, written)
    assert found.layers == tuple(name for name in LAYERS if name not in in_float)
    np.testing.assert_allclose(found.program(())(feed)[0], wanted, atol=1e-5)
