"""TensorBoard's event files, which `tensorboard --logdir FOLDER` shows. The only place that knows tensorboardX.

Its SummaryWriter writes in a thread that a full disk ends, whereupon the next numbers would wait for ever: here each
event is written when it is told.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import image, scalar

from paretodet.training.log import Numbers


class TensorBoard:
    """A tracker that writes into `folder`; what was told of later updates is purged when a training goes on."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: EventsWriter | None = None

    def begin(self, step: int) -> None:
        self._writer = EventsWriter(str(self._folder / "events"))
        self._write(step + 1, {"session_log": SessionLog(status=SessionLog.START)})

    def numbers(self, step: int, values: Numbers) -> None:
        self._write(step, *({"summary": scalar(name, value)} for name, value in values.items()))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._write(step, {"summary": image(name, pixels, dataformats="HWC")})

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    def _write(self, step: int, *events: dict[str, Any]) -> None:
        assert self._writer, "begin comes first"
        for event in events:
            self._writer.write_event(Event(step=step, wall_time=time.time(), **event))
        self._writer.flush()
