"""A one-stage detector up to its suppression, for artifacts of runtimes that lack it.

The boxes of an untrained detector are spread (`rules.coders.WorstCaseCoder`) by what follows the artifact, so that the
artifact is the program of a trained one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector, clip_anchors, decoded
from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.errors import InputError
from paretodet.export.parts import PartedDetector
from paretodet.ops.geometry import clip
from paretodet.rules.coders import WorstCaseCoder
from paretodet.rules.select import PostProcess
from paretodet.types import Detections, References

PIXELS, OUTPUTS = "pixels", ("boxes", "scores")
MEANINGS = {  # of the outputs
    "boxes": "x1, y1, x2, y2 in pixels of the canvas, of every box, before suppression",
    "scores": "0 to 1, of every box for each of `labels`",
}
Layout = Literal["NHWC", "NCHW"]


class Unselected(nn.Module):
    """RGB uint8 that fills its canvas -> boxes [B, N, 4] and scores [B, N, K], before suppression.

    Its input is [B, H, W, 3] or, in layout NCHW, [B, 3, H, W].
    """

    sizes: Tensor
    reference_boxes: Tensor  # named otherwise than the outputs: a graph has one tensor of a name
    cell: Tensor

    def __init__(self, detector: Detector, layout: Layout = "NHWC") -> None:
        super().__init__()
        self.detector, self.stage, self.layout = detector, _without_spread(detector.spec.stages[0]), layout
        self.precision = next(detector.parameters()).dtype
        canvas = detector.spec.height, detector.spec.width
        sizes = torch.tensor([canvas], dtype=torch.float32)
        references = clip_anchors(self.stage, PartedDetector(detector.spec, {}, canvas).references, sizes)
        self.counts = references.counts
        self.register_buffer("sizes", sizes)
        self.register_buffer("reference_boxes", references.boxes)
        self.register_buffer("cell", references.cell)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        planes = pixels.permute(0, 3, 1, 2) if self.layout == "NHWC" else pixels
        values = (planes.float() - self.detector.mean) / self.detector.deviation
        if self.precision != torch.float32:
            values = values.to(self.precision)
        predictions = self.detector.heads[0](self.detector.maps(values))
        references = References(self.reference_boxes, self.cell, self.counts)
        boxes, scores = decoded(self.stage, predictions, references, proposed=False)
        is_clipped = isinstance(self.stage.select, PostProcess) and self.stage.select.clip == "before"
        return clip(boxes, self.sizes) if is_clipped else boxes, scores


def _without_spread(stage: StageSpec) -> StageSpec:
    return replace(stage, coder=stage.coder.coder) if isinstance(stage.coder, WorstCaseCoder) else stage


def unselected_program(detector: Detector, batch: int, layout: Layout = "NHWC") -> torch.export.ExportedProgram:
    """`Unselected` for a batch of the spec's canvas, exported with `strict=True`."""
    height, width = detector.spec.height, detector.spec.width
    shape = (batch, height, width, 3) if layout == "NHWC" else (batch, 3, height, width)
    with torch.no_grad():
        return torch.export.export(Unselected(detector, layout), (torch.zeros(shape, dtype=torch.uint8),), strict=True)


def check_suppression_out(spec: DetectorSpec) -> None:
    """Raises InputError for a detector that suppresses between its stages, which no artifact leaves to the program."""
    if len(spec.stages) > 1 or spec.masks:
        message = (
            f"suppression: {spec.name} suppresses between its {len(spec.stages)} stages, inside of the artifact; "
            "give --to onnx or openvino without --suppression out"
        )
        raise InputError(message, "option-unsupported")


def check_one_stage(spec: DetectorSpec, runtime: str) -> None:
    """Raises InputError for a detector that suppresses between its stages."""
    if len(spec.stages) > 1 or spec.masks:
        message = (
            f"to: {runtime} cannot run {spec.name} whole: it lacks NonMaxSuppression, which stands between its "
            f"{len(spec.stages)} stages; give --to onnx"
        )
        raise InputError(message, "export-failed")


class Selection:
    """What follows `Unselected` on a canvas (height, width)."""

    def __init__(self, spec: DetectorSpec, canvas: tuple[int, int]) -> None:
        (self.stage,), self.canvas = spec.stages, canvas
        self.counts = PartedDetector(spec, {}, canvas).references.counts
        coder = self.stage.coder
        self.spread = coder.spread(sum(self.counts)) if isinstance(coder, WorstCaseCoder) else None

    def __call__(self, boxes: Tensor, scores: Tensor, sizes: Tensor) -> Detections:
        """boxes [B, N, 4], scores [B, N, K], sizes [B, 2] of the images inside the canvas."""
        boxes = boxes if self.spread is None else self.spread.expand_as(boxes)
        return self.stage.select(boxes, scores, self.counts, sizes)

    def detections(self, outputs: Sequence[np.ndarray]) -> Detections:
        """The same of the outputs of a graph for images that fill the canvas."""
        boxes, scores = map(torch.from_numpy, outputs)
        return self(boxes, scores, torch.tensor([self.canvas] * len(boxes), dtype=torch.float32))
