"""Shows what the outputs of a detector file are taken to mean, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from paretodet.config import CandidateConfig
from paretodet.detection import detect
from paretodet.errors import InputError
from paretodet.images import read_image
from paretodet.layouts.files import to_data, to_toml
from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.media.draw import draw
from paretodet.media.fonts import undrawable
from paretodet.network import OnnxNetwork
from paretodet.opening import open_config
from paretodet.readings.evidence import Evidence
from paretodet.readings.look import FAINT
from paretodet.readings.recognize import Trial, chosen, own_photograph, tried
from paretodet.runtimes.graph import FileRuntime
from paretodet.runtimes.onnx_reading import UNKNOWN, Looker, not_run
from paretodet.runtimes.table import runtime_of
from paretodet.sources.table import source_of

DRAWN = 20  # boxes of the highest scores
RECOGNIZED = ("onnx", "openvino", "tflite", "torch-program")  # forms of networks
ALL_RECOGNIZED = "ONNX, OpenVINO (.xml) or LiteRT without its own suppression, or a program of torch"
KEYS = 12  # of the metadata, that are shown


class DrawnBoxes(NamedTuple):
    """An image with boxes, and the labels, by number, whose numbers are drawn as no font has their names."""

    image: Image.Image
    numbered: dict[int, str]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of a file. `refused` is the reason why it has no `reading`."""

    path: Path
    evidence: Evidence
    trials: tuple[Trial, ...]
    reading: Reading | None = None
    refused: str | None = None

    @property
    def layout(self) -> FileLayout:
        """The layout of the reading; where there is none, the one to correct: a reading that was refused, else a
        sketch.
        """
        if self.reading:
            return self.reading.layout
        left = sorted(self.trials, key=lambda trial: (trial.against is not None, trial.reading.strength))
        return left[0].reading.layout if left else _sketch(self.evidence)

    def to_json(self) -> dict[str, Any]:
        """Everything that `to_toml` writes, as data."""
        return {
            "file": str(self.path),
            "producer": self.evidence.graph.producer,
            "metadata": sorted(self.evidence.metadata),
            "image": self._image(),
            "outputs": {name: list(shape) for name, shape in (self.evidence.shapes or self.evidence.declared).items()},
            "read_as": str(self.reading) if self.reading else None,
            "refused": self.refused,
            "labels": list(self.reading.labels) if self.reading else [],
            "readings": [
                {"reading": str(trial.reading), "reasons": list(trial.reading.reasons), "against": trial.against}
                for trial in self.trials
            ],
            "layout": to_data(self.layout),
        }

    def _image(self) -> dict[str, Any] | None:
        """The image input; None if the inputs are not known."""
        if not self.evidence.image:
            return None
        return {"name": self.evidence.image, "height": self.evidence.height, "width": self.evidence.width}

    def to_toml(self) -> str:
        """A layout file; what was recognized and why is in its comments."""
        return "\n".join((*(f"# {line}" for line in self._lines()), "", to_toml(self.layout)))

    def _lines(self) -> list[str]:
        evidence, keys = self.evidence, ", ".join(sorted(self.evidence.metadata)[:KEYS])
        size = f"{evidence.image} {evidence.height}x{evidence.width}" if evidence.image else "not known"
        lines = [f"{self.path}: image {size}"]
        lines += [f"outputs: {evidence.described}", f"producer: {evidence.graph.producer or 'not stated'}"]
        lines += [f"metadata: {keys or 'none'}"]
        for trial in self.trials:
            lines.append(f"{'not ' if trial.against else ''}{trial.reading}")
            lines += [f"  {reason}" for reason in trial.reading.reasons]
            lines += [f"  but {trial.against}"] if trial.against else []
        lines.append(str(self.reading) if self.reading else f"refused: {self.refused}")
        return [" ".join(line.split("\n")) for line in lines]


def inspect(config: CandidateConfig, *, images: Sequence[np.ndarray] = ()) -> Inspection:
    """What the outputs of a config's file mean, looked at on `images`.

    Raises InputError if the name is no file whose outputs are recognized, or the file cannot be run.
    """
    source = source_of(config.name)
    source.check(config.name)
    form = source.form if source.form in RECOGNIZED else None
    network = source.load(config) if form else None
    runtime = runtime_of(config, form or "onnx")
    if not isinstance(network, OnnxNetwork) or not isinstance(runtime, FileRuntime):
        raise InputError(
            f"{config.name}: the outputs of this name need no recognition; give a file of {ALL_RECOGNIZED}",
            "name-unknown",
        )
    runtime.require(network.form)
    program = runtime.for_file(network).compile(network.path)
    try:
        looker = Looker(network, program)
    except InputError as error:
        if error.id != UNKNOWN:
            raise
        return Inspection(path=network.path, evidence=not_run(network, program), trials=(), refused=error.message)
    evidence = looker.evidence(images[0] if images else own_photograph())
    trials: tuple[Trial, ...] = ()
    try:
        trials = tuple(tried(evidence, looker, images=images))
        return Inspection(path=network.path, evidence=evidence, trials=trials, reading=chosen(trials, evidence))
    except InputError as error:
        return Inspection(path=network.path, evidence=evidence, trials=trials, refused=error.message)


def drawn(config: CandidateConfig, found: Inspection, image: np.ndarray) -> DrawnBoxes | None:
    """An image with the best boxes of a config's file, as it is measured; of a refused one by the layout to correct, or
    None if that cannot read it yet.
    """
    refused = found.refused is not None and config.layout is None
    try:
        candidate = open_config(replace(config, layout=found.layout) if refused else config)
    except InputError:
        if not refused:
            raise
        return None
    with torch.inference_mode():
        (boxes,) = detect(candidate, [image])
    shown = [box for box in boxes if box.score > FAINT][:DRAWN]
    return DrawnBoxes(draw(image, shown), undrawable((box.number, box.label) for box in shown))


def first_image(path: Path | None) -> np.ndarray:
    """The image to draw on: the given one, else the photograph of this package."""
    return read_image(path) if path else own_photograph()


def _sketch(evidence: Evidence) -> FileLayout:
    """A layout to correct: boxes with the scores of as many rows, else the first output as rows of a box and classes.
    The other outputs are not used.
    """
    names = evidence.outputs or evidence.declared
    words = _apart(evidence) or {next(iter(names)): ("box", "classes")}
    columns = tuple((name, words.get(name, ("other",))) for name in names)
    return FileLayout(family="to be corrected", outputs=OutputLayout(columns=columns))


def _apart(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """The words of boxes [B, N, 4], scores [B, N, K] and an objectness [B, N, 1]; empty without boxes or scores."""
    boxes = next((name for name in evidence.rank(3) if evidence.shapes[name][2] == 4), "")
    rows = [name for name in evidence.rank(3) if boxes and evidence.shapes[name][:2] == evidence.shapes[boxes][:2]]
    scores = sorted((name for name in rows if name != boxes), key=lambda name: -evidence.shapes[name][2])
    if not scores:
        return {}
    single = [name for name in scores[1:] if evidence.shapes[name][2] == 1]
    words: dict[str, tuple[str, ...]] = {boxes: ("box",), scores[0]: ("classes",)}
    return words | dict.fromkeys(single[:1], ("objectness",))
