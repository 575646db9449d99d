"""Any function that detects, as a Candidate."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.network import Triple, sorted_detections
from paretodet.transforms.resize_policy import ResizePolicy, to_batch, to_originals
from paretodet.types import Detections, Images


class FunctionAdapter:
    """`function` takes a batch of canvases and returns boxes [B, N, 4] in pixels of the canvas, scores [B, N] and
    labels [B, N], N the same in every call.

    Scores may come in any order; a score of 0 marks an empty slot.
    """

    def __init__(
        self, name: str, function: Callable[[Images], Triple], *, fit: ResizePolicy, facts: ModelInfo | None = None
    ):
        self.name = name
        self.function = function
        self.fit = fit
        self._facts = facts or ModelInfo()

    def prepare(self, images: Sequence[Image]) -> Images:
        return to_batch(images, self.fit)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Triple:
        return self.function(batch)

    def finish(self, outputs: Triple, sizes: Tensor) -> Detections:
        return to_originals(sorted_detections(outputs), self.fit, sizes)

    def facts(self) -> ModelInfo:
        return self._facts
