"""The metrics of a training by update: in a file of JSON lines, and in any other tracker."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol
from uuid import uuid4

import numpy as np

from paretodet import schema
from paretodet.schema import Count, Finite
from paretodet.training.loop import Event, Started, Updated
from paretodet.writing import write_text

RUN_ID = ".tracking-id"  # file of the run folder
Scalars = Mapping[str, float]
EarlyEnd = Literal["failed", "interrupted"]


class Tracker(Protocol):
    """Records scalars and images, each with a name such as "loss/stage1/box" and the number of updates made."""

    def begin(self, step: int) -> None:
        """Start recording after `step` updates; what was recorded of later updates is no longer valid."""

    def scalars(self, step: int, values: Scalars) -> None: ...

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        """RGB uint8 [H, W, 3]."""

    def stop(self, how: EarlyEnd) -> None:
        """The training fails or is interrupted; called before `close`."""

    def close(self) -> None: ...


@dataclass
class JsonLines:
    """A tracker that writes one JSON object a line: {"step": ..., name: number, ...}.

    A number that is not finite becomes null: fp16 skipped the update. Images are not recorded.
    """

    path: Path
    _file: IO[str] | None = None

    def begin(self, step: int) -> None:
        """Remove lines of later updates, and a last line that a crash left incomplete."""
        kept = [line for line in read_lines(self.path) if line["step"] <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")

    def scalars(self, step: int, values: Scalars) -> None:
        assert self._file, "begin was not called"
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step} | finite) + "\n")
        self._file.flush()

    def image(self, step: int, name: str, pixels: np.ndarray) -> None:
        return None

    def stop(self, how: EarlyEnd) -> None:
        return None

    def close(self) -> None:
        if self._file:
            self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines that `JsonLines` wrote, without damaged ones; empty if there is no such file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for text in lines if (line := _line(text)) is not None]


def _line(text: str) -> dict[str, Any] | None:
    try:
        line = schema.parse(text, dict[str, int | Finite | None], what="line")
        return line | {"step": schema.convert(line.get("step"), Count, what="step")}
    except schema.SchemaError:
        return None


@dataclass
class Recorder:
    """A listener of the training loop: sends the mean metrics of every `every` updates, and of the last ones, to all
    `trackers`.
    """

    trackers: Sequence[Tracker]
    every: int = 10
    _steps: int = 0
    _pending: list[Updated] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._steps = event.steps
            for tracker in self.trackers:
                tracker.begin(event.step)
        if isinstance(event, Updated):
            self._pending.append(event)
            if event.step % self.every == 0 or event.step == self._steps:
                self._send(event.step)

    def _send(self, step: int) -> None:
        values, self._pending = mean_metrics(self._pending), []
        for tracker in self.trackers:
            tracker.scalars(step, values)


def run_key(folder: Path) -> str:
    """A random id for the run in `folder`, in which it is kept: the same after a resume, also of a copy of the folder,
    and no other folder's, as containers on several machines have the same paths.
    """
    path = folder.resolve() / RUN_ID
    known = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    if re.fullmatch(r"[0-9a-f]{16}", known):
        return known
    path.parent.mkdir(parents=True, exist_ok=True)
    key = uuid4().hex[:16]
    write_text(path, f"{key}\n")
    return key


def mean_metrics(updates: Sequence[Updated]) -> dict[str, float]:
    """The metrics of several updates: means of the loss, its terms and the gradient norm, the last learning rate,
    images per second, and the share of the time spent waiting for data.
    """
    count, seconds = len(updates), sum(each.seconds for each in updates)
    names = dict.fromkeys(name for each in updates for name in each.update.terms)  # early updates may have one more
    terms = {f"loss/{name}": sum(each.update.terms.get(name, 0.0) for each in updates) / count for name in names}
    return {
        "loss": sum(each.update.loss for each in updates) / count,
        **terms,
        "gradient_norm": sum(each.update.gradient_norm for each in updates) / count,
        "lr": updates[-1].update.lr,
        "images_per_s": sum(each.images for each in updates) / seconds,
        "data_wait_share": sum(each.waited for each in updates) / seconds,
    }
