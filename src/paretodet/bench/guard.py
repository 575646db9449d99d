"""What a candidate must not do: return the impossible, change its mind, or return before its work is done."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from paretodet.bench.watch import own_cpu
from paretodet.types import Detections

SETTLE = 0.05  # s to look at a candidate after its last call, at least ...
SETTLE_LIMIT = 0.3  # ... and at most
IDLE = 0.010  # s of CPU that an honest process may use while settling: allocators and threads going to sleep


class GuestError(RuntimeError):
    """A candidate broke a law; the message is the sentence for its row."""


class Outputs:
    """Checks every call's detections: their type, shape and numbers, and that the shape never changes."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.shapes: tuple[Any, ...] | None = None

    def check(self, detections: Detections) -> None:
        """Raises GuestError with the first law that is broken."""
        if not isinstance(detections, Detections):
            raise GuestError(f"finish returned {type(detections).__name__}, not Detections")
        shapes = tuple(None if field is None else tuple(field.shape) for field in detections)
        self._check_shapes(shapes, detections.scores.ndim)
        for name, field in zip(Detections._fields, detections, strict=True):
            self._check_field(name, field)

    def _check_shapes(self, shapes: tuple[Any, ...], ndim: int) -> None:
        if ndim != 2 or shapes[0] != (*shapes[1], 4) or shapes[2] != shapes[1] or shapes[1][0] != self.batch:
            raise GuestError(
                f"boxes {shapes[0]}, scores {shapes[1]}, labels {shapes[2]} are not [B, D, 4], [B, D], [B, D] "
                f"with B = {self.batch}"
            )
        if self.shapes is not None and shapes != self.shapes:
            raise GuestError(f"the shape of the outputs changed between calls: {self.shapes} became {shapes}")
        self.shapes = shapes

    def _check_field(self, name: str, field: Tensor | None) -> None:
        if field is None:
            return
        if field.device.type != "cpu":
            raise GuestError(f"{name} is on {field.device}, not in host memory")
        if field.is_floating_point() and bool(torch.isnan(field).any()):
            raise GuestError(f"{name} holds NaN")


class Aftermath:
    """What a process does after its last call has returned. An honest candidate is idle by then: its detections are
    in host memory and nothing else was asked of it. Make one at once when the call returns, then `settle`.
    """

    def __init__(self, detections: Detections) -> None:
        self._began = _background_cpu()
        self._detections = detections
        self._seen = [None if field is None else field.clone() for field in detections]

    def settle(self, call: float) -> float:
        """Waits about as long as one call of `call` seconds.

        Returns the CPU seconds that other threads and children have used since the call returned. Raises GuestError
        when the detections it had returned have changed.
        """
        children = own_cpu() - time.process_time()
        time.sleep(min(max(call, SETTLE), SETTLE_LIMIT))
        children = own_cpu() - time.process_time() - children
        for name, first, now in zip(Detections._fields, self._seen, self._detections, strict=True):
            if first is not None and now is not None and not torch.equal(first, now):
                raise GuestError(f"returned before its work was done: {name} changed after finish had returned")
        return max(0.0, _background_cpu() - self._began + children)


def check_settled(used: Sequence[float], call: float) -> None:
    """Raises GuestError when the process went on working after most bursts: over 10 ms and over 10 % of a call."""
    worst = sorted(used)[len(used) // 2] if used else 0.0
    if worst > max(IDLE, 0.1 * min(call, SETTLE_LIMIT)):
        raise GuestError(
            f"returned before its work was done: its process used {1000 * worst:.0f} ms of CPU after the last call"
        )


def _background_cpu() -> float:
    """CPU seconds of this process's other threads: this one is the bench's own."""
    return time.process_time() - time.thread_time()
