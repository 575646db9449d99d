"""AOTInductor as a runtime: detectors of the catalogue compiled into the cache, and what its code must not read."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runtime_subject import IMAGES, assert_same_boxes, narrow_weights, opened, run

from made_packages import SIDE, write_package
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.opening import open_candidate
from paretodet.runtimes import aotinductor
from paretodet.runtimes.aotinductor import AotInductor, AotInductorProgram
from paretodet.runtimes.table import RUNTIMES


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AotInductorProgram:
    """A package whose code is the mean of each color channel, and how its pixels lie in memory."""

    def call(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        pixels, sizes = inputs
        is_last = pixels.is_contiguous(memory_format=torch.channels_last)
        return [pixels.float().mean((2, 3)), torch.tensor([is_last]), sizes.bfloat16()]

    monkeypatch.setattr(aotinductor, "AOTIModelPackageLoader", lambda *_: SimpleNamespace(boxed_run=call))
    return AotInductorProgram(write_package(tmp_path / "net.pt2"))


def feed(side: int = SIDE, kind: type = np.uint8, **more: np.ndarray) -> dict[str, np.ndarray]:
    pixels = np.zeros((1, 3, side, side), kind)
    pixels[:, 1] = 8
    return {"pixels": pixels, "sizes": np.array([[16, 8]], np.float32)} | more


def test_it_gives_its_code_images_channels_last(program: AotInductorProgram) -> None:
    means, is_last, sizes = program(feed())
    assert means.tolist() == [[0, 8, 0]] and is_last.all()
    assert sizes.dtype == np.float32 and sizes.tolist() == [[16, 8]]
    assert program.precisions() == {"fp32": 7}
    assert [port.name for port in program.inputs] == ["pixels", "sizes"]


@pytest.mark.parametrize(
    "wrong", [feed(side=16), feed(kind=np.float32), feed(sizes=np.zeros((2, 2), np.float32))], ids=["size", "type", "n"]
)
def test_it_gives_its_code_nothing_else_than_it_was_compiled_for(
    program: AotInductorProgram, wrong: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match="(pixels|sizes): got .* it takes "):
        program(wrong)


@pytest.mark.parametrize(("option", "value"), [("precision", "int8"), ("device", "cuda"), ("threads", 99)])
def test_an_option_that_it_lacks_is_named(option: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=f"^{option}: got '?{value}"):
        AotInductor(**{option: value})


def test_an_older_torch_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    for form in AotInductor.forms:
        with pytest.raises(MissingExtra, match=r"runtime aotinductor needs torch 2\.13 or newer, and this is 2\.9\.1"):
            AotInductor.require(form)


def test_other_networks_are_refused() -> None:
    assert AotInductor in RUNTIMES
    with pytest.raises(InputError, match="aotinductor runs detectors of the catalogue"):
        AotInductor().check(SimpleNamespace(form="torch", spec=None, name="other"))  # type: ignore[arg-type]


@pytest.mark.full
@pytest.mark.parametrize("name", ["yolo_v3_tiny-96", "retinanet-resnet50-128", "cascade_rcnn-resnet50-128"])
def test_detectors_find_what_they_find_in_eager(name: str, own_cache: Path, tmp_path: Path) -> None:
    path = narrow_weights(name, tmp_path)
    candidate, eager = (opened(path, runtime, fit="stretch") for runtime in ("aotinductor", "eager"))
    facts = candidate.facts()
    assert facts.precision_layers and facts.precision_layers.keys() == {"fp32"} and facts.export_ms
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))


@pytest.mark.full
def test_a_detector_at_capacity_has_no_threshold(own_cache: Path) -> None:
    """Minus infinity, which torch would write as text into the package."""
    found = run(open_candidate("yolo_v3_tiny-96", runtime="aotinductor"), IMAGES[:1])
    wanted = run(open_candidate("yolo_v3_tiny-96"), IMAGES[:1])
    assert torch.allclose(found.scores, wanted.scores, atol=1e-5) and (found.scores > 0).all()
