"""Which layers of a network in int8 have to stay in float, found by comparing its detections with those in float."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from paretodet.export.calibration import Feed, Feeds
from paretodet.export.parity import Boxes, Comparison, add_agreement, boxes_of, closeness
from paretodet.export.quantizer import Quantized, Quantizer, Run
from paretodet.export.steps import BuildSteps
from paretodet.types import Detections

Detect = Callable[[Sequence[np.ndarray]], Detections]

SCAN = "scan.json"  # beside the artifact: what a scan found

ENOUGH = 0.98  # share of boxes that agree on the calibration images: on others it is a little lower
MIN_COMPARED = 50  # boxes that the scan needs
SAMPLE = 200  # boxes on which groups are compared: those of the first images
GROUPS = 16
GAIN = 0.005  # of the closeness, by a group that stays in float; less is chance


class Measured(NamedTuple):
    """How much a network in int8 detects of what it detects in float."""

    agreed: int  # boxes that agree
    close: float  # the sum over the boxes of their overlap times the ratio of their scores
    compared: int  # boxes

    @property
    def agreement(self) -> float:
        return self.agreed / max(self.compared, 1)

    @property
    def closeness(self) -> float:
        return self.close / max(self.compared, 1)

    @property
    def is_enough(self) -> bool:
        return self.agreement >= ENOUGH


class Scan(NamedTuple):
    """The layers that stay in float, and what was measured of the rest on all calibration images."""

    in_float: tuple[str, ...]
    measured: Measured


def detections_of(outputs: Sequence[np.ndarray]) -> Detections:
    """The outputs of a graph of one of our detectors."""
    return Detections(*map(torch.from_numpy, map(np.asarray, outputs)))


def quantize(
    quantizer: Quantizer, graph: Path, folder: Path, feeds: Feeds, *, steps: BuildSteps, detect: Detect = detections_of
) -> None:
    """Writes an ONNX file in int8 into a folder, as `quantizer.artifact`."""
    write_scanned(quantizer.calibrate(graph, feeds, steps), folder / quantizer.artifact, feeds, steps, detect)


def write_scanned(
    quantized: Quantized, path: Path, feeds: Feeds, steps: BuildSteps, detect: Detect = detections_of
) -> None:
    """Writes a network in int8, with what has to stay in float, and beside it what was found of that.

    Untrained weights are not scanned: what they detect means nothing, and in float it is as good as any other.
    """
    found = scan(quantized, feeds, detect, steps) if steps.is_trained else None
    in_float, layers = len(found.in_float) if found else 0, len(quantized.layers)
    stated = f"{in_float} of {layers} layers in float: {_words(found.measured)}" if found else "untrained weights: none"
    steps.report("writes the network in int8")
    quantized.save(path, found.in_float if found else ())
    (path.parent / SCAN).write_text(json.dumps(stated), encoding="utf-8")


def stated_scan(folder: Path) -> str:
    """What `write_scanned` found, for the row."""
    return str(json.loads((folder / SCAN).read_text(encoding="utf-8")))


def scan(quantized: Quantized, feeds: Feeds, detect: Detect, steps: BuildSteps) -> Scan:
    """Finds the layers that have to stay in float so that detections agree on the images of `feeds`.

    None where they agree anyway, and where too few boxes are detected to tell; then no other variant is tried. Else
    each group of neighbors is returned to float alone, and the groups that help stay in float together. Groups are
    compared on the first images that have SAMPLE boxes; that it is enough is measured on all. Most layers of the
    network stay in int8: its precision would be another one otherwise.
    """
    trial, every = _Variants(quantized, feeds, detect, steps), len(feeds)
    by_batch = trial.measured((), every)
    whole = _sum(by_batch)
    if whole.compared < MIN_COMPARED or whole.is_enough:
        return Scan((), whole)
    count = _sample(by_batch)
    groups = _ranked(_groups(quantized.layers), trial, count)
    most = len(quantized.layers) - quantized.total // 2 - 1
    best, kept = _sum(by_batch[:count]), tuple[str, ...]()
    for layers in takewhile(lambda layers: len(layers) <= most, accumulate(groups)):
        sampled = _sum(trial.measured(layers, count))
        if sampled.closeness < best.closeness + GAIN:
            break
        best, kept = sampled, layers
        if sampled.is_enough and _sum(trial.measured(layers, every)).is_enough:
            break
    return Scan(kept, _sum(trial.measured(kept, every)))


def _ranked(groups: Sequence[tuple[str, ...]], trial: "_Variants", count: int) -> list[tuple[str, ...]]:
    """By what they give alone in float, on the first batches."""
    words = (f"group {number} of {len(groups)} in float" for number in range(1, len(groups) + 1))
    found = {group: _sum(trial.measured(group, count, what)) for group, what in zip(groups, words, strict=True)}
    return sorted(groups, key=lambda group: found[group].closeness, reverse=True)


class _Variants:
    """Measures variants of a network, each once."""

    def __init__(self, quantized: Quantized, feeds: Feeds, detect: Detect, steps: BuildSteps) -> None:
        self.quantized, self.feeds, self.detect, self.steps = quantized, feeds, detect, steps
        self.known = dict[str, list[Measured]]()

    @cached_property
    def batches(self) -> list[Feed]:
        return list(self.feeds)

    @cached_property
    def wanted(self) -> list[list[Boxes]]:
        """What the network in float detects."""
        return self._boxes(self.quantized.original(), len(self.feeds), "detects in float32")

    def measured(self, in_float: Sequence[str], count: int, what: str = "compares int8 with float32") -> list[Measured]:
        """By batch, of the first `count`, with these layers in float."""
        name = f"{count} batches, in float: {' '.join(sorted(in_float))}"
        if name not in self.known:
            rows = self.steps.value(name, lambda: self._measure(in_float, count, what))
            self.known[name] = [Measured(*row) for row in rows]
        return self.known[name]

    def _measure(self, in_float: Collection[str], count: int, what: str) -> list[Measured]:
        wanted = self.wanted[:count]
        found = self._boxes(self.quantized.program(in_float), count, what)
        return [_compared(*pair) for pair in zip(wanted, found, strict=True)]

    def _boxes(self, run: Run, count: int, what: str) -> list[list[Boxes]]:
        return [_of(self.detect(run(feed))) for feed in self.steps.counted(what, self.batches[:count], count)]


def _of(detections: Detections) -> list[Boxes]:
    return [boxes_of(detections, image) for image in range(len(detections.scores))]


def _words(measured: Measured) -> str:
    if measured.compared < MIN_COMPARED:
        return f"{measured.compared} boxes are too few to compare"
    return f"{measured.agreement:.1%} of {measured.compared} boxes agree"


def _compared(wanted: Sequence[Boxes], found: Sequence[Boxes]) -> Measured:
    comparison, close = Comparison(), 0.0
    for one, other in zip(wanted, found, strict=True):
        add_agreement(comparison, one, other)
        close += closeness(one, other)
    return Measured(comparison.agreed, close, comparison.compared)


def _sum(measured: Iterable[Measured]) -> Measured:
    agreed, close, compared = (sum(column) for column in zip(*measured, strict=True))
    return Measured(int(agreed), float(close), int(compared))


def _sample(by_image: Sequence[Measured]) -> int:
    """How many of the first batches have SAMPLE boxes; else all."""
    totals = accumulate(each.compared for each in by_image)
    return next((count for count, total in enumerate(totals, 1) if total >= SAMPLE), len(by_image))


def _groups(layers: tuple[str, ...]) -> list[tuple[str, ...]]:
    """At most GROUPS groups of neighbors."""
    size = -(-len(layers) // GROUPS)
    return [layers[start : start + size] for start in range(0, len(layers), size)]
