"""Detectors in int8 for runtimes of layers alone: their programs are quantized, torch computes what lies between."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from paretodet.detectors.spec import DetectorSpec
from paretodet.export.calibration import Feed, Feeds
from paretodet.export.parts import INPUT, Part, PartedDetector, output_names, part_names
from paretodet.export.quantizer import Quantized, Quantizer, Run
from paretodet.export.scan import write_scanned
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout, Selection
from paretodet.types import Detections, Images

WHOLE = "detector"  # the name of the only program of a detector without its selection


class ProgramQuantizer(Quantizer):
    """A library that quantizes programs: files that end in `suffix`, of the form `parts` or `whole` (`export.graph`).

    It writes files of the same names that end as `artifact` does.
    """

    parts: ClassVar[str]
    whole: ClassVar[str]
    suffix: ClassVar[str]
    layout: ClassVar[Layout]  # of the pixels that the program of a whole detector takes


@dataclass(frozen=True, kw_only=True)
class Assembly(ABC):
    """How programs and torch make up a detector."""

    spec: DetectorSpec

    input: ClassVar[str]  # of every program

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the programs, in the order in which they run."""

    @abstractmethod
    def detector(self, runs: Mapping[str, Part]) -> Callable[[Images], Detections]:
        """The detector whose programs are `runs`, on the canvas of its spec."""

    @property
    def canvas(self) -> tuple[int, int]:
        return self.spec.height, self.spec.width


class PartsAssembly(Assembly):
    """The parts of a detector (`export.parts`)."""

    input: ClassVar[str] = INPUT

    @property
    def names(self) -> tuple[str, ...]:
        return part_names(self.spec)

    def detector(self, runs: Mapping[str, Part]) -> Callable[[Images], Detections]:
        return PartedDetector(self.spec, runs, self.canvas).eval()


@dataclass(frozen=True, kw_only=True)
class WholeAssembly(Assembly):
    """A detector without its selection (`export.unselected`)."""

    input: ClassVar[str] = PIXELS
    layout: Layout

    @property
    def names(self) -> tuple[str, ...]:
        return (WHOLE,)

    def detector(self, runs: Mapping[str, Part]) -> Callable[[Images], Detections]:
        selection, run = Selection(self.spec, self.canvas), runs[WHOLE]

        def detect(images: Images) -> Detections:
            pixels = images.pixels if self.layout == "NCHW" else images.pixels.permute(0, 2, 3, 1)
            boxes, scores = run(pixels.contiguous())
            return selection(boxes, scores, images.sizes)

        return detect


def quantize_programs(
    quantizer: ProgramQuantizer, assembly: Assembly, source: Path, folder: Path, feeds: Feeds, *, steps: BuildSteps
) -> None:
    """Writes the programs of a detector, files of the folder `source`, in int8 into `folder`.

    `feeds` are those of a graph of the detector. The ranges of a program are measured on what it gets while those
    before it run in float.
    """
    programs = dict[str, Quantized]()
    for name in assembly.names:
        runs = {before: as_part(program.original(), assembly.input) for before, program in programs.items()}
        given = ProgramFeeds(assembly, name, runs, feeds)
        programs[name] = quantizer.calibrate(source / f"{name}{quantizer.suffix}", given, steps)
    write_scanned(QuantizedPrograms(assembly, programs), folder / quantizer.artifact, feeds, steps)


@dataclass(frozen=True)
class ProgramFeeds:
    """What a detector gives to one of its programs; `runs` are those before it."""

    assembly: Assembly
    name: str
    runs: Mapping[str, Part]
    feeds: Feeds

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feed]:
        detect = self.assembly.detector({**dict.fromkeys(self.assembly.names, _reached), **self.runs})
        for feed in self.feeds:
            try:
                with torch.inference_mode():
                    detect(_images(feed))
            except _Reached as reached:
                yield {self.assembly.input: reached.values.numpy()}


class _Reached(Exception):
    """Ends a detector at a program, with what it is given."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values


def _reached(values: Tensor) -> Sequence[Tensor]:
    raise _Reached(values)


class QuantizedPrograms(Quantized):
    """A detector whose programs have measured ranges. Its feeds and outputs are those of a graph of the detector."""

    def __init__(self, assembly: Assembly, programs: Mapping[str, Quantized]) -> None:
        self.assembly, self.programs = assembly, programs
        self.layers = tuple(f"{name} {layer}" for name, program in programs.items() for layer in program.layers)
        self.total = sum(program.total for program in programs.values())

    def program(self, in_float: Collection[str]) -> Run:
        return self._run({name: each.program(_of(name, in_float)) for name, each in self.programs.items()})

    def original(self) -> Run:
        return self._run({name: each.original() for name, each in self.programs.items()})

    def save(self, path: Path, in_float: Collection[str]) -> None:
        for name, program in self.programs.items():
            program.save(path.with_name(f"{name}{path.suffix}"), _of(name, in_float))

    def _run(self, programs: Mapping[str, Run]) -> Run:
        detect = self.assembly.detector({name: as_part(run, self.assembly.input) for name, run in programs.items()})

        def run(feed: Feed) -> list[np.ndarray]:
            with torch.inference_mode():
                return [part.numpy() for part in detect(_images(feed))[:3] if part is not None]

        return run


def outputs_of(program: str, count: int) -> tuple[str, ...]:
    """The names of the outputs of a program with so many."""
    return OUTPUTS if program == WHOLE else output_names(program, count)


def as_part(run: Run, name: str) -> Part:
    """A program as a function of the tensor that is its input `name`."""
    return lambda values: [torch.from_numpy(np.asarray(each)) for each in run({name: values.numpy()})]


def _of(program: str, layers: Collection[str]) -> list[str]:
    """The layers of one program."""
    return [layer.removeprefix(f"{program} ") for layer in layers if layer.startswith(f"{program} ")]


def _images(feed: Feed) -> Images:
    return Images(*(torch.from_numpy(feed[name]) for name in ("pixels", "sizes")))
