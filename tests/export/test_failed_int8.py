"""What is said where another process cannot quantize a network."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from paretodet.errors import InputError
from paretodet.export import cache, int8
from paretodet.export.calibration import CalibrationFeeds
from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.export.steps import BuildSteps
from paretodet.media.calibration import CalibrationImages
from paretodet.transforms.resize_policy import Stretch

IMAGES = CalibrationImages((), "0" * 64)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))


def measure(folder: Path, *, feeds: CalibrationFeeds, steps: BuildSteps) -> None:
    """As a quantizer, reads every image."""
    assert len(list(feeds)) == len(feeds)


def test_an_image_that_cannot_be_decoded_is_the_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    write = partial(measure, feeds=CalibrationFeeds(paths=(path,), fit=Stretch(height=8, width=8)))
    with pytest.raises(InputError) as refused:
        int8.quantized(OnnxInt8(), IMAGES, {}, write)
    assert refused.value.id == "image-unreadable" and refused.value.message.startswith(f"{path}: ")


@pytest.mark.parametrize("id", ["bundle-unsafe", "export-failed", "graph-failed", "parity-failed"])
def test_what_a_library_says_of_a_network_names_the_runtime(id: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: object) -> None:
        raise InputError("no such operator", id)

    monkeypatch.setattr(int8, "run_apart", fail)
    with pytest.raises(InputError) as refused:
        int8.quantized(OnnxInt8(), IMAGES, {}, measure)
    assert refused.value.id == "graph-failed" and "no such operator" in refused.value.message
    assert refused.value.message.startswith("runtime: onnxruntime ")


def test_a_cache_that_cannot_be_written_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, "/dev/null/cache")
    with pytest.raises(InputError) as refused:
        int8.quantized(OnnxInt8(), IMAGES, {}, measure)
    assert refused.value.id == "output-unwritable"
