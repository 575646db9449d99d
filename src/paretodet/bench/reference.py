"""A fixed small workload as a candidate: what the self-test times and every block measures to show drift."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from paretodet.bench.candidate import Image
from paretodet.types import Detections


class Reference:
    """A chain of equal convolutions in three stages: `work` of them twice, then twice as many at once.

    The first stage pays for what waking up costs (threads, caches), so that the other two can be held together.
    """

    name = "reference"

    def __init__(self, work: int = 3) -> None:
        self.work = work
        random = torch.Generator().manual_seed(0)
        self.weight = torch.randn(256, 256, 3, 3, generator=random) / 48  # keeps the scale from layer to layer
        self.start = torch.randn(1, 256, 32, 32, generator=random)

    def prepare(self, images: Sequence[Image]) -> Tensor:
        return self.start.expand(len(images), -1, -1, -1).contiguous()

    def infer(self, batch: Any) -> Any:
        for _, stage in self.stages():
            batch = stage(batch)
        return batch

    def finish(self, outputs: Any, sizes: Tensor) -> Detections:
        scores = outputs[:, 0, 0, :1].sigmoid()
        return Detections(torch.zeros(len(scores), 1, 4), scores, torch.zeros(len(scores), 1, dtype=torch.int64))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return (
            ("wake", self._chain),
            ("once", self._chain),
            ("twice", lambda batch: self._chain(self._chain(batch))),
        )

    @torch.inference_mode()
    def _chain(self, batch: Tensor) -> Tensor:
        for _ in range(self.work):
            batch = torch.nn.functional.conv2d(batch, self.weight, padding=1)
        return batch
