"""What a training says of itself as it goes: numbers by update, in a file of lines and wherever else one looks."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from paretodet import schema
from paretodet.schema import Count, Finite
from paretodet.training.loop import Event, Started, Updated
from paretodet.writing import write_text

Numbers = Mapping[str, float]


class Tracker(Protocol):
    """Keeps numbers and pictures of a training, each under a name such as "loss/stage1/box" and an update."""

    def begin(self, step: int) -> None:
        """Training goes on after `step` updates: what was told of later ones is no longer true."""

    def numbers(self, step: int, values: Numbers) -> None: ...

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """RGB uint8 [H, W, 3]."""

    def close(self) -> None: ...


@dataclass
class Lines:
    """A tracker: a JSON object a line, {"step": ..., name: number, ...}; null is no finite number (fp16 left the update
    out). Pictures are not kept here.
    """

    path: Path
    _file: IO[str] | None = None

    def begin(self, step: int) -> None:
        """Lines of later updates go, and so does a last line that a crash cut short."""
        kept = [line for line in read_lines(self.path) if line["step"] <= step]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")

    def numbers(self, step: int, values: Numbers) -> None:
        assert self._file, "begin comes first"
        known = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step} | known) + "\n")
        self._file.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        return None

    def close(self) -> None:
        if self._file:
            self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What `Lines` wrote, without lines that are not whole; none where there is no such file."""
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
    """A listener: every `every` updates and after the last, their means to all `trackers`. Images a second and the
    share of the time that went by waiting for data are of the same updates.
    """

    trackers: Sequence[Tracker]
    every: int = 10
    _steps: int = 0
    _heard: list[Updated] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._steps = event.steps
            for tracker in self.trackers:
                tracker.begin(event.step)
        if isinstance(event, Updated):
            self._heard.append(event)
            if event.step % self.every == 0 or event.step == self._steps:
                self._tell(event.step)

    def _tell(self, step: int) -> None:
        values, self._heard = means(self._heard), []
        for tracker in self.trackers:
            tracker.numbers(step, values)


def run_key(folder: Path) -> str:
    """A short name that is the same whenever a training in `folder` goes on, and tells nobody where that is."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def means(heard: Sequence[Updated]) -> dict[str, float]:
    """Of some updates: each loss term and their sum, the gradient's norm, the last rate, images a second, waiting."""
    count, seconds = len(heard), sum(each.seconds for each in heard)
    names = dict.fromkeys(name for each in heard for name in each.update.terms)  # the first may have one more
    terms = {f"loss/{name}": sum(each.update.terms.get(name, 0.0) for each in heard) / count for name in names}
    return {
        "loss": sum(each.update.loss for each in heard) / count,
        **terms,
        "gradient": sum(each.update.gradient for each in heard) / count,
        "rate": heard[-1].update.rate,
        "images_per_s": sum(each.images for each in heard) / seconds,
        "waiting_share": sum(each.waited for each in heard) / seconds,
    }
