"""A fixed small workload as a candidate: the self-test times it, and every block measures it to detect drift."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from paretodet.bench.candidate import Image
from paretodet.types import Detections

SIDE = 256  # three such matrices fit in a core's cache
STREAMED = 24 * 2**20  # bytes that are copied: two such arrays exceed most caches


class Reference:
    """A chain of equal matrix products in three stages: `work` of them, as many again, then twice as many; then a copy
    of memory, which becomes slow if other processes use the memory while the cores are idle.

    The products write into allocated memory, so that twice the work takes twice the time. The first stage absorbs the
    cost of waking up, so that the next two can be compared.
    """

    name = "reference"

    def __init__(self, work: int = 40) -> None:
        self.work = work
        random = torch.Generator().manual_seed(0)
        self.weight = torch.randn(SIDE, SIDE, generator=random) / SIDE**0.5  # keeps the magnitude constant
        self.start = torch.randn(SIDE, SIDE, generator=random)
        self.even, self.odd = torch.empty_like(self.start), torch.empty_like(self.start)
        self.source, self.target = (torch.zeros(STREAMED, dtype=torch.uint8) for _ in range(2))

    def prepare(self, images: Sequence[Image]) -> int:
        return len(images)

    def infer(self, batch: Any) -> Any:
        for _, stage in self.stages():
            batch = stage(batch)
        return batch

    def finish(self, outputs: Any, sizes: Tensor) -> Detections:
        scores = self.even[0, 0].sigmoid().expand(outputs, 1)
        return Detections(torch.zeros(outputs, 1, 4), scores, torch.zeros(outputs, 1, dtype=torch.int64))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return (
            ("wake", lambda batch: self._chain(batch, self.work)),
            ("once", lambda batch: self._chain(batch, self.work)),
            ("twice", lambda batch: self._chain(batch, 2 * self.work)),
            ("stream", self._stream),
        )

    @torch.inference_mode()
    def _chain(self, batch: int, length: int) -> int:
        self.even.copy_(self.start)
        for _ in range(length // 2):
            torch.mm(self.even, self.weight, out=self.odd)
            torch.mm(self.odd, self.weight, out=self.even)
        return batch

    def _stream(self, batch: int) -> int:
        self.target.copy_(self.source)
        return batch
