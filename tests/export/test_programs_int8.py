"""Detectors of several programs in int8: what each one is calibrated on, and how layers and files are shared out."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from narrow_weights import LABELS
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.export import executorch
from paretodet.export.calibration import CalibrationFeeds, Feed
from paretodet.export.executorch_int8 import ExecuTorchInt8
from paretodet.export.graph import exported_graph
from paretodet.export.litert_int8 import LiteRtInt8
from paretodet.export.parts import INPUT, Part, part_inputs, parts
from paretodet.export.programs_int8 import (
    WHOLE,
    PartsAssembly,
    ProgramFeeds,
    QuantizedPrograms,
    WholeAssembly,
    as_part,
    outputs_of,
)
from paretodet.export.quantizer import Quantized, Run
from paretodet.export.unselected import Unselected
from paretodet.transforms.resize_policy import Stretch, to_batch
from unit_scale import with_unit_scale

TWO_STAGES = "faster_rcnn-mobilenet_v1-96-s16-p8"
SIDE = 96


class Rounded(Quantized):
    """A part whose outputs are rounded to `step` where its layer is in int8."""

    layers = ("layer",)
    total = 2

    def __init__(self, part: Part, step: float = 0.0) -> None:
        self.part, self.step = part, step

    def original(self) -> Run:
        return self._run(0.0)

    def program(self, in_float: Collection[str]) -> Run:
        return self._run(0.0 if in_float else self.step)

    def save(self, path: Path, in_float: Collection[str]) -> None:
        path.write_text(",".join(in_float))

    def _run(self, step: float) -> Run:
        def run(feed: Feed) -> Sequence[np.ndarray]:
            (values,) = map(torch.from_numpy, feed.values())
            with torch.no_grad():
                found = [each.numpy() for each in self.part(values)]
            return [np.round(each / step) * step for each in found] if step else found

        return run


def narrow(name: str) -> Detector:
    made = build(scale_width(spec(name, Override(labels=LABELS)), 0.25)).eval()
    with_unit_scale(made, to_batch([_pixels(0)], Stretch(height=SIDE, width=SIDE)))
    return made


@pytest.fixture(scope="module")
def detector() -> Detector:
    return narrow(TWO_STAGES)


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> CalibrationFeeds:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(2):
        Image.fromarray(_pixels(seed)).save(folder / f"{seed}.png")
    return CalibrationFeeds(paths=tuple(sorted(folder.iterdir())), fit=Stretch(height=SIDE, width=SIDE))


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def test_a_program_is_calibrated_on_what_it_gets_while_those_before_it_run_in_float(
    detector: Detector, feeds: CalibrationFeeds
) -> None:
    assembly, modules = PartsAssembly(spec=detector.spec), parts(detector)
    assert assembly.names == ("trunk", "stage2")
    trunk = as_part(Rounded(modules["trunk"]).original(), INPUT)
    wanted = [part_inputs(detector, to_batch([_pixels(seed)], feeds.fit)) for seed in range(2)]
    for name, runs in (("trunk", {}), ("stage2", {"trunk": trunk})):
        given = ProgramFeeds(assembly, name, runs, feeds)
        assert len(given) == 2
        for _ in range(2):  # every pass makes them anew
            for feed, inputs in zip(given, wanted, strict=True):
                torch.testing.assert_close(torch.from_numpy(feed[INPUT]), inputs[name])


def test_layers_stay_in_float_and_files_are_written_by_program(
    detector: Detector, feeds: CalibrationFeeds, tmp_path: Path
) -> None:
    assembly = PartsAssembly(spec=detector.spec)
    whole = QuantizedPrograms(assembly, {name: Rounded(part, 0.5) for name, part in parts(detector).items()})
    assert whole.layers == ("trunk layer", "stage2 layer") and whole.total == 4
    (first, *_) = feeds
    with torch.no_grad():
        wanted = detector(to_batch([_pixels(0)], feeds.fit))
    for in_float, equal in ((whole.layers, True), (("trunk layer",), False), ((), False)):
        _, scores, _ = whole.program(in_float)(first)
        assert np.allclose(scores, wanted.scores, atol=1e-6) == equal
    assert np.allclose(whole.original()(first)[1], wanted.scores, atol=1e-6)
    whole.save(tmp_path / "detector.pte", ("stage2 layer",))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"trunk.pte": "", "stage2.pte": "layer"}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_a_detector_without_its_selection_is_one_program(layout: str, feeds: CalibrationFeeds) -> None:
    one_stage, batch = narrow("ssd-mobilenet_v1-96"), to_batch([_pixels(0)], feeds.fit)
    assembly = WholeAssembly(spec=one_stage.spec, layout=layout)  # type: ignore[arg-type]
    program = Rounded(Unselected(one_stage, layout))  # type: ignore[arg-type]
    (given, *_) = ProgramFeeds(assembly, "detector", {}, feeds)
    shape = (1, SIDE, SIDE, 3) if layout == "NHWC" else (1, 3, SIDE, SIDE)
    assert {name: (each.dtype, each.shape) for name, each in given.items()} == {"pixels": (np.uint8, shape)}
    with torch.no_grad():
        wanted = one_stage(batch)
    found = QuantizedPrograms(assembly, {"detector": program}).original()(next(iter(feeds)))
    np.testing.assert_allclose(found[1], wanted.scores, atol=1e-5)


def test_outputs_have_names() -> None:
    assert outputs_of("detector", 2) == ("boxes", "scores") and outputs_of("stage2", 2) == ("codes", "logits")


@pytest.mark.usefixtures("exports_here", "own_cache")
def test_a_detector_without_selection_is_exported_to_the_file_that_is_quantized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executorch, "unselected_to_pt2", lambda detector, path, *, batch: path.touch())
    detector = build(scale_width(spec("yolo_v3_tiny-32", Override(labels=LABELS)), 0.125))
    folder = exported_graph(detector, batch=1, form=ExecuTorchInt8.whole).folder
    assert (folder / f"{WHOLE}{ExecuTorchInt8.suffix}").is_file()
    assert LiteRtInt8.whole == f"{WHOLE}{LiteRtInt8.suffix}"
