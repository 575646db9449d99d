"""TensorBoard's event files, which `tensorboard --logdir FOLDER` displays. Only this file imports tensorboardX.

tensorboardX's SummaryWriter writes in a thread. A full disk ends that thread, and the next metric then waits forever:
here each event is written immediately.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image as image_summary
from tensorboardX.summary import scalar

from paretodet.training.log import EarlyEnd, Scalars


class TensorBoard:
    """A tracker that writes into `folder`. On a resume TensorBoard discards what was recorded of later updates."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: EventsWriter | None = None

    def begin(self, step: int) -> None:
        self._writer = EventsWriter(str(self._folder / "events"))
        self._write(step + 1, {"session_log": SessionLog(status=SessionLog.START)})

    def scalars(self, step: int, values: Scalars) -> None:
        self._write(step, *({"summary": scalar(name, value)} for name, value in values.items()))

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._write(step, {"summary": image_summary(name, pixels, dataformats="HWC")})

    def stop(self, how: EarlyEnd) -> None:
        return None  # event files have no place for it

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _write(self, step: int, *events: dict[str, Any]) -> None:
        assert self._writer, "begin was not called"
        for event in events:
            self._writer.write_event(Event(step=step, wall_time=time.time(), **event))
        self._writer.flush()
