"""A detector as an ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import to_json
from paretodet.types import Images
from paretodet.writing import written

try:
    from paretodet.export.lowerings import TABLE
except ModuleNotFoundError as error:
    raise ImportError("ONNX files need onnx and onnxscript: pip install 'paretodet[onnx]'") from error

INPUTS = ("pixels", "sizes")
OUTPUTS = ("boxes", "scores", "labels", "masks")


class _Flat(nn.Module):
    """Tensors in, tensors out."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        return tuple(part for part in self.detector(Images(pixels, sizes)) if part is not None)


def exported(detector: Detector, batch: int = 1) -> torch.export.ExportedProgram:
    """The detector as a strictly exported program of `pixels` uint8 and `sizes`, at its spec's canvas."""
    spec, device = detector.spec, detector.mean.device
    pixels = torch.zeros(batch, 3, spec.height, spec.width, dtype=torch.uint8, device=device)
    sizes = torch.tensor([[float(spec.height), float(spec.width)]] * batch, device=device)
    with torch.no_grad():
        return torch.export.export(_Flat(detector), (pixels, sizes), strict=True)


def to_onnx(
    detector: Detector,
    path: Path | None = None,
    *,
    batch: int = 1,
    program: torch.export.ExportedProgram | None = None,
) -> torch.onnx.ONNXProgram:
    """The detector as an ONNX program, and as one file at `path`. `program` is its `exported`, if that is at hand.

    Inputs: `pixels` [batch, 3, height, width] uint8 RGB and `sizes` [batch, 2] float32, true (height, width) inside
    the canvas. Outputs: `boxes`, `scores`, `labels` (and `masks`) as `Detections` has them. The file's metadata holds
    the spec. Raises torch.onnx.errors.OnnxExporterError where an operator cannot be written.
    """
    with _quiet():
        program = exported(detector, batch) if program is None else program
        outputs = OUTPUTS[: len(program.graph_signature.user_outputs)]
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=INPUTS,
            output_names=outputs,
            custom_translation_table=TABLE,
            verbose=False,
        )
    assert made is not None
    made.model.metadata_props["paretodet.spec"] = to_json(detector.spec)
    if path is not None:
        with written(path) as temporary:
            made.save(temporary, external_data=False)
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words on itself: operators of torchvision that it lacks, deprecated calls in torch."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(level)
