"""Any function that detects, as a Candidate."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.transforms.resize_policy import ResizePolicy, to_batch, to_originals
from paretodet.types import Detections, Images

Triple = tuple[
    Any, Any, Any
]  # boxes [B, N, 4] in pixels of the canvas, scores [B, N], labels [B, N]; arrays or tensors


class FunctionAdapter:
    """`function` takes a batch of canvases and returns boxes, scores and labels on them, N the same in every call.

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
        return finished(outputs, self.fit, sizes)

    def facts(self) -> ModelInfo:
        return self._facts


def finished(outputs: Triple, fit: ResizePolicy, sizes: Tensor, *, threshold: float | None = None) -> Detections:
    """Boxes, scores and labels on canvases -> sorted detections in host memory, in pixels of the original images.

    `sizes` [B, 2] are the original heights and widths; slots that score no more than `threshold` become empty.
    Raises ValueError where the three do not belong together.
    """
    boxes, scores, labels = (torch.as_tensor(part).cpu() for part in outputs)
    if scores.ndim != 2 or boxes.shape != (*scores.shape, 4) or labels.shape != scores.shape:
        shapes = ", ".join(str(list(part.shape)) for part in (boxes, scores, labels))
        raise ValueError(f"outputs: boxes, scores, labels have shapes {shapes}, they must be [B, N, 4], [B, N], [B, N]")
    scores, order = scores.float().sort(dim=1, descending=True, stable=True)
    if threshold is not None:
        scores = scores.masked_fill(scores <= threshold, 0)
    boxes = boxes.float().gather(1, order[..., None].expand(-1, -1, 4))
    return to_originals(Detections(boxes, scores, labels.long().gather(1, order)), fit, sizes)


def artefact(**parts: Any) -> str:
    """SHA-256 over everything that decides what is computed."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()
