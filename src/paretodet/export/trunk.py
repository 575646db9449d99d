"""The network of a one-stage detector apart from normalization and selection, for runtimes that lack suppression."""

import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector, clip_anchors, normalized, select_detections
from paretodet.detectors.spec import DetectorSpec
from paretodet.export.program import blank
from paretodet.types import Detections, Images, Predictions

TRUNK_INPUTS = ("values",)
TRUNK_OUTPUTS = Predictions._fields  # codes, logits


class Trunk(nn.Module):
    """Normalized pixels [B, 3, H, W] -> the fields of `Predictions`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.detector.heads[0](self.detector.maps(values)))


def trunk_program(detector: Detector, batch: int) -> torch.export.ExportedProgram:
    """The trunk for a batch of the spec's canvas, exported with `strict=True`."""
    values = torch.zeros(batch, 3, detector.spec.height, detector.spec.width)
    with torch.no_grad():
        return torch.export.export(Trunk(detector), (values,), strict=True)


class TorchParts:
    """What torch computes before and after the trunk, on a canvas (height, width)."""

    def __init__(self, spec: DetectorSpec, canvas: tuple[int, int]) -> None:
        self.mean, self.deviation = (
            torch.tensor(part).view(1, 3, 1, 1) for part in (spec.pixels.mean, spec.pixels.std)
        )
        self.stage, self.anchors = spec.stages[0], spec.anchors(_maps(spec, canvas), canvas)

    def values(self, images: Images) -> Tensor:
        """Normalized pixels, as the detector computes them."""
        return normalized(images, self.mean, self.deviation)

    def select(self, predictions: Predictions, images: Images) -> Detections:
        """Decodes, scores and suppresses."""
        references = clip_anchors(self.stage, self.anchors, images.sizes)
        return select_detections(self.stage, predictions, references, images.sizes, proposed=False)


def _maps(spec: DetectorSpec, canvas: tuple[int, int]) -> tuple[Tensor, ...]:
    """Maps of the shapes that the network has on this canvas, without memory of their own."""
    with torch.device("meta"):
        maps = Detector(spec).eval().features(blank(1, canvas, "meta"))
    return tuple(torch.empty(()).expand(each.shape) for each in maps)
