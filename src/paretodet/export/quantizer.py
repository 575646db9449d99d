"""What quantizers to int8 after training have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from paretodet.export.calibration import Feed, Feeds
from paretodet.export.steps import BuildSteps

Run = Callable[[Feed], Sequence[np.ndarray]]


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
    def calibrate(self, graph: Path, feeds: Feeds, steps: BuildSteps) -> Quantized:
        """Measures the ranges of an ONNX file. Raises ValueError for graphs that the library cannot take."""
