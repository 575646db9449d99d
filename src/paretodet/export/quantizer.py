"""Quantization to int8 after training, and a scan for the layers that have to stay in float.

Every layer is quantized first. If the network then detects something else on the images that it was calibrated on, each
group of neighboring layers is returned to float alone, and the groups that help stay in float.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate, chain, takewhile
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from paretodet.export.calibration import Feed, Feeds
from paretodet.export.parity import Boxes, Comparison, add_agreement, boxes_of, closeness
from paretodet.types import Detections

Run = Callable[[Feed], Sequence[np.ndarray]]
Detect = Callable[[Sequence[np.ndarray]], Detections]

ENOUGH = 0.98  # share of boxes that agree on the calibration images: on others it is a little lower
MIN_COMPARED = 50  # boxes that the scan needs
GROUPS = 16
GAIN = 0.005  # of the closeness, by a group that stays in float; less is chance


class Quantized(ABC):
    """A network with measured ranges."""

    layers: tuple[str, ...]  # the names of those that can execute in int8, in the order in which they are computed
    total: int  # of all layers

    @abstractmethod
    def program(self, in_float: Collection[str]) -> Run:
        """The network with all layers in int8 but these."""

    @abstractmethod
    def original(self) -> Run:
        """The network in float."""

    @abstractmethod
    def save(self, path: Path, in_float: Collection[str]) -> None:
        """Writes the network with all layers in int8 but these."""


class Quantizer(ABC):
    """A library that quantizes graphs."""

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]]  # import names, all of which decide the result
    extras: ClassVar[tuple[str, ...]] = ()  # of this package, that install what a runtime of that name does not need
    artifact: ClassVar[str]  # the name of the file that is written

    @abstractmethod
    def calibrate(self, graph: Path, feeds: Feeds) -> Quantized:
        """Measures the ranges of an ONNX file. Raises ValueError for graphs that the library cannot take."""


def detections_of(outputs: Sequence[np.ndarray]) -> Detections:
    """The outputs of a graph of one of our detectors."""
    return Detections(*map(torch.from_numpy, map(np.asarray, outputs)))


def quantize(quantizer: Quantizer, graph: Path, folder: Path, feeds: Feeds, detect: Detect = detections_of) -> None:
    """Writes an ONNX file in int8 into a folder, as `quantizer.artifact`."""
    quantized = quantizer.calibrate(graph, feeds)
    quantized.save(folder / quantizer.artifact, sensitive_layers(quantized, feeds, detect))


class Measured(NamedTuple):
    """How much a network in int8 detects of what it detects in float."""

    agreement: float  # the share of boxes that agree
    closeness: float  # the mean over the boxes of their overlap times the ratio of their scores
    compared: int  # boxes


def sensitive_layers(quantized: Quantized, feeds: Feeds, detect: Detect) -> tuple[str, ...]:
    """The layers that have to stay in float so that detections agree on the images of `feeds`.

    None where they agree anyway, and where too few boxes are detected to tell. Most layers of the network stay in int8:
    its precision would be another one otherwise.
    """
    batches = list(feeds)
    original = quantized.original()
    wanted = [_boxes(detect(original(feed))) for feed in batches]

    def measure(in_float: Collection[str]) -> Measured:
        run = quantized.program(in_float)
        return _measured(wanted, [_boxes(detect(run(feed))) for feed in batches])

    best, kept = measure(()), tuple[str, ...]()
    if best.compared < MIN_COMPARED or best.agreement >= ENOUGH:
        return kept
    groups = _groups(quantized.layers)
    groups.sort(key=lambda group: measure(group).closeness, reverse=True)
    most = len(quantized.layers) - quantized.total // 2 - 1
    for layers in takewhile(lambda layers: len(layers) <= most, accumulate(groups)):
        found = measure(layers)
        if found.closeness < best.closeness + GAIN:
            break
        best, kept = found, layers
        if best.agreement >= ENOUGH:
            break
    return kept


def _groups(layers: tuple[str, ...]) -> list[tuple[str, ...]]:
    """At most GROUPS groups of neighbors."""
    size = -(-len(layers) // GROUPS)
    return [layers[start : start + size] for start in range(0, len(layers), size)]


def _boxes(detections: Detections) -> list[Boxes]:
    return [boxes_of(detections, image) for image in range(len(detections.scores))]


def _measured(wanted: Sequence[list[Boxes]], found: Sequence[list[Boxes]]) -> Measured:
    comparison, close = Comparison(), 0.0
    for one, other in zip(chain.from_iterable(wanted), chain.from_iterable(found), strict=True):
        add_agreement(comparison, one, other)
        close += closeness(one, other)
    return Measured(comparison.agreement or 0.0, close / max(comparison.compared, 1), comparison.compared)
