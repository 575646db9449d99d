"""What runtimes that execute graphs have in common: ONNX files, and detectors of the catalogue exported to a file."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from paretodet.config import CALIBRATED
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.export.cache import Entry
from paretodet.export.calibration import CalibrationFeeds, detector_feed, pixels_feed
from paretodet.export.graph import GRAPH, exported_graph
from paretodet.export.int8 import quantized, quantized_detector
from paretodet.export.quantizer import Quantizer
from paretodet.export.scan import quantize, stated_scan
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import OUTPUTS
from paretodet.extras import require
from paretodet.layouts.decode import to_detections
from paretodet.layouts.layout import OutputLayout
from paretodet.media.calibration import CalibrationImages, calibration_images
from paretodet.network import ArtifactNetwork, Network, OnnxNetwork, TorchNetwork, digest, sorted_detections
from paretodet.records.profile import LayerTime, by_module
from paretodet.runtimes.fixed import above, batches, executed, fit_refusal, in_batches, of_call, selection_of, staged
from paretodet.runtimes.onnx_reading import Looker, reading_of, without_batch
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.transforms.resize_policy import with_sampling
from paretodet.types import Detections, Images

UNKNOWN = "file"  # the precision of an ONNX file that does not tell
Feed = Mapping[str, np.ndarray]


class Port(NamedTuple):
    """An input or output of a program: `type` is ONNX's, as "tensor(float)"; a size is a string where it is open."""

    name: str
    shape: Sequence[Any]
    type: str


class Program(Protocol):
    """A graph that a runtime has compiled."""

    @property
    def inputs(self) -> Sequence[Port]: ...

    @property
    def outputs(self) -> Sequence[Port]: ...

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        """The outputs in their order. Raises the runtime's own exceptions."""
        ...

    def precisions(self) -> Mapping[str, int]:
        """Number of convolutions and fully connected layers that execute in each precision, read from the compiled
        graph; empty where it cannot be read.
        """
        ...


@runtime_checkable
class ProfiledProgram(Protocol):
    """Optional: a program that times its nodes."""

    def profile(self, feed: Feed, calls: int) -> Sequence[LayerTime]:
        """The median of every node over `calls` runs, by its name in the ONNX file."""
        ...


@runtime_checkable
class FileRuntime(Protocol):
    """A runtime of files whose outputs are recognized."""

    def for_file(self, network: OnnxNetwork) -> "GraphRuntime":
        """What compiles the file, with what it must know of it beside its path."""
        ...


@dataclass(frozen=True, kw_only=True)
class GraphRuntime(Runtime):
    """Compiles ONNX graphs. A detector of the catalogue is exported to one when it is first loaded."""

    forms: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnx-bundle")
    libraries: ClassVar[tuple[str, ...]]  # whose import names are the names of the extras too
    exporters: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript")
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format  # of the images

    def __post_init__(self) -> None:
        if self.precision not in self.precisions:
            allowed = ", ".join(self.precisions)
            raise InputError(f"precision: got {self.precision!r}, {self.name} runs {allowed}", "option-unsupported")

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return cls.libraries

    @classmethod
    def require(cls, form: str) -> None:
        exporters = cls.exporters if form == "torch" else ()
        extras = ",".join((*exporters[:1], *cls.libraries))
        require(f"runtime {cls.name}", dict.fromkeys((*cls.libraries, *exporters), extras))

    @classmethod
    def refusal(cls, form: str, spec: DetectorSpec | None) -> str | None:
        if form == "torch" and spec is None:
            return f"runtime: {cls.name} runs ONNX files and detectors of the catalogue"
        return fit_refusal(spec.fit, cls.name) if spec else None

    def build(self, network: Network) -> "FileSession | ExportedSession":
        self.require(network.form)
        if isinstance(network, ArtifactNetwork):
            session = ArtifactSession if network.is_selected else UnselectedGraphSession
            return session(network, replace(self, batch=network.batch or self.batch))
        self.require_quantizer(",".join(("onnx", *self.libraries)))
        return FileSession(network, self) if isinstance(network, OnnxNetwork) else ExportedSession(network, self)

    def for_file(self, network: OnnxNetwork) -> "GraphRuntime":
        """This runtime with what it must know of a file beside its path to compile it."""
        return self

    @property
    def graph(self) -> str:
        """What a detector of the catalogue is exported to, a form of `export.graph`."""
        return GRAPH

    @abstractmethod
    def compile(self, path: Path) -> Program:
        """Raises ValueError if the file cannot be loaded or the device cannot be used."""

    @abstractmethod
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The version of its library and what was set, for the row."""

    def settings_with(self, program: Program) -> tuple[tuple[str, str], ...]:
        """`settings`, and what a program that it has compiled states of itself."""
        return self.settings()


class _GraphSession:
    """A compiled graph, and what it states of itself."""

    unknown = "fp32"  # the precision of a graph that does not tell
    export_ms: float | None = None
    made_ms = 0.0  # of export_ms, what was spent now
    calibration: CalibrationImages | None = None
    scan: str | None = None  # of int8: which layers stay in float, and why

    def __init__(self, runtime: GraphRuntime, path: Path) -> None:
        start = perf_counter()
        self.runtime, self.path, self.program = runtime, path, runtime.compile(path)
        self.memory_format = runtime.memory_format
        self.compile_ms = round(1000 * (perf_counter() - start), 3)

    @property
    def identity(self) -> Mapping[str, Any]:
        images = {"calibration": self.calibration.sha256} if self.calibration else {}
        return {"runtime": self.runtime.name, "precision": self.runtime.precision, **images}

    def stages(self) -> Stages:
        return ()

    def facts(self) -> dict[str, Any]:
        layers = dict(self.program.precisions())
        return {
            "device": self.runtime.device,
            "runtime": self.runtime.name,
            "runtime_settings": (*self.runtime.settings_with(self.program), *self._quantized_by()),
            "precision": executed(layers) or self.unknown,
            "precision_layers": layers or None,
            "export_ms": self.export_ms,
            "made_ms": self.made_ms,
            "compile_ms": self.compile_ms,
        }

    def _in_int8(self, runtime: GraphRuntime, make: Callable[[Quantizer, CalibrationImages], Entry]) -> Path:
        """The file of a network in int8; making it counts as export."""
        assert runtime.quantizer
        self.calibration = calibration_images(runtime.calibration)
        entry = make(runtime.quantizer, self.calibration)
        self.export_ms = (self.export_ms or 0) + 1000 * entry.seconds
        self.made_ms += 1000 * entry.spent
        self.scan = stated_scan(entry.folder)
        return entry.folder / runtime.quantizer.artifact

    def _quantized_by(self) -> tuple[tuple[str, str], ...]:
        """Empty unless this session quantized its network."""
        scan = (("scan", self.scan),) if self.scan else ()
        return (*self.runtime.quantizer_settings(), *scan) if self.calibration else ()

    def _profile(self, feed: Feed, calls: int) -> Sequence[LayerTime]:
        assert isinstance(self.program, ProfiledProgram)  # as `timed_forms` states
        return self.program.profile(feed, calls)

    def _run(self, feed: Feed) -> list[Tensor]:
        return [torch.from_numpy(np.asarray(part)) for part in self.program(feed)]


class ExportedSession(_GraphSession):
    """A detector of the catalogue as a graph of fixed batch and canvas, with batch norms folded.

    Raises ValueError for other modules, and for a canvas that follows the shape of each image.
    """

    batch: int | None  # images a call; None: any number

    def __init__(self, network: TorchNetwork, runtime: GraphRuntime) -> None:
        runtime.check(network)
        assert isinstance(network.module, Detector)
        self.fit, self.batch = network.fit, runtime.batch
        entry = exported_graph(network.module, batch=runtime.batch, form=runtime.graph)
        path, self.export_ms, self.made_ms = entry.folder / runtime.graph, 1000 * entry.seconds, 1000 * entry.spent
        if runtime.precision == CALIBRATED:
            options: dict[str, Any] = {"fit": self.fit, "batch": runtime.batch, "is_trained": network.is_trained}
            make = partial(quantized_detector, exported=entry, **options)
            path = self._in_int8(runtime, make)
        super().__init__(runtime, path)

    def __call__(self, images: Images) -> Detections:
        return in_batches(images, self.batch or len(images.pixels), self._once)

    def _feed(self, images: Images) -> Feed:
        return detector_feed(images)

    def _once(self, images: Images) -> Detections:
        return Detections(*self._run(self._feed(images)))

    def profile(self, images: Images, calls: int) -> tuple[LayerTime, ...]:
        """By module of the detector, measured in the first of the `batches`."""
        size = self.batch or len(images.pixels)
        nodes = self._profile(self._feed(next(batches(images, size))), calls)
        return of_call(by_module(nodes), images, size)


def _number(side: int | str) -> int | None:
    """None of a side that is open."""
    return side if isinstance(side, int) else None


class ArtifactSession(ExportedSession):
    """An artifact of a bundle. Raises ValueError if it does not take the canvas and batch that the bundle states."""

    def __init__(self, network: ArtifactNetwork, runtime: GraphRuntime) -> None:
        _GraphSession.__init__(self, runtime, network.path)
        self.fit, self.score, self.open, self.batch = network.fit, network.score, runtime.compile, network.batch
        self.unknown = runtime.precision
        canvas = (None, None) if network.any_size else self.fit.canvas((1, 1))
        wanted = (network.batch, 3, *canvas)
        shapes = [tuple(port.shape) for port in self.program.inputs]
        if wanted not in [tuple(map(_number, shape)) for shape in shapes]:
            message = f"{network.path}: takes {shapes}, and its bundle states {list(wanted)}; export it again"
            raise InputError(message, "bundle-altered")
        if (len(self.program.outputs) > len(OUTPUTS)) != network.is_selected:
            message = f"{network.path}: has no suppression where its bundle states it (suppression); export it again"
            raise InputError(message, "bundle-altered")

    def __call__(self, images: Images) -> Detections:
        return above(super().__call__(images), self.score)


class UnselectedGraphSession(ArtifactSession):
    """An artifact that ends before suppression (`export.unselected`): torch selects. Raises as `selection_of` does."""

    def __init__(self, network: ArtifactNetwork, runtime: GraphRuntime) -> None:
        super().__init__(network, runtime)
        self.selection = selection_of(network)

    def stages(self) -> Stages:
        return staged((("network", self._predict), ("select", self._select)), self.batch)

    def _feed(self, images: Images) -> Feed:
        return pixels_feed(images)

    def _once(self, images: Images) -> Detections:
        return self._select(self._predict(images))

    def _predict(self, images: Images) -> tuple[list[Tensor], Tensor]:
        """Boxes and scores, and the sizes of the images."""
        return self._run(self._feed(images)), images.sizes

    def _select(self, state: tuple[list[Tensor], Tensor]) -> Detections:
        (boxes, scores), sizes = state
        return above(self.selection(boxes, scores, sizes), self.score)


class FileSession(_GraphSession):
    """An ONNX file whose outputs, and so its fit and labels, have the meaning that `reading` states."""

    unknown = UNKNOWN

    def __init__(self, network: OnnxNetwork, runtime: GraphRuntime) -> None:
        path = network.path
        if runtime.precision == CALIBRATED:
            path = self._in_int8(runtime, partial(_quantized_file, network, runtime))
        super().__init__(runtime, path)
        self.score = network.score
        start = perf_counter()
        looker = Looker(network, self.program)
        self.reading = reading_of(looker, network.layout)
        self.labels = network.labels or self.reading.labels
        batch = 1 if without_batch(self.reading, looker.declared) else looker.input.batch
        self.input = replace(looker.input, pixels=self.reading.layout.pixels, batch=batch)
        self.outputs = _with_options(self.reading.layout.outputs, network)
        canvas = {"height": self.input.height, "width": self.input.width}
        fit = network.fit(**canvas) if network.fit else self.reading.policy or self.reading.layout.policy(**canvas)
        if why := fit_refusal(fit, runtime.name):
            raise InputError(f"{network.path}: {why}", "option-unsupported")
        self.fit = with_sampling(fit, network.sampling)
        self.made_ms += 1000 * (perf_counter() - start)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Of the first runtime without its name."""
        identity = super().identity
        first = identity == {"runtime": "onnxruntime", "precision": "fp32"}
        meaning = {"fit": self.fit, "pixels": self.input.pixels, "output": self.outputs}
        return {**meaning, **({} if first else identity)}

    def __call__(self, images: Images) -> Detections:
        """One run, or several where the file holds the batch at another size; see `batches`."""
        return in_batches(images, self.input.batch or len(images.pixels), self._once)

    def detections(self, outputs: Sequence[np.ndarray]) -> Detections:
        """What the outputs of one run mean."""
        tensors = (torch.from_numpy(np.asarray(part)) for part in outputs)
        named = dict(zip((port.name for port in self.program.outputs), tensors, strict=True))
        found = to_detections(named, self.outputs, (self.input.height, self.input.width))
        return sorted_detections((found.boxes, found.scores, found.labels), self.score)

    def profile(self, images: Images, calls: int) -> tuple[LayerTime, ...]:
        """By node of the file, measured in the first of the `batches`."""
        size = self.input.batch or len(images.pixels)
        nodes = self._profile(self.input.feed(next(batches(images, size))), calls)
        return of_call(nodes, images, size)

    def facts(self) -> dict[str, Any]:
        facts = super().facts()
        settings = (*facts["runtime_settings"], ("layout", str(self.reading)))
        if self.input.batch not in {None, 1}:
            settings = (*settings, ("images_a_call", str(self.input.batch)))
        size = {"height": self.input.height, "width": self.input.width, "classes": len(self.labels) or None}
        return {**size, **facts, "runtime_settings": settings}

    def _once(self, images: Images) -> Detections:
        return self.detections(self.program(self.input.feed(images)))


def _with_options(outputs: OutputLayout, network: OnnxNetwork) -> OutputLayout:
    """The layout with the user's threshold and overlap of the suppression."""
    if outputs.needs_suppression:
        wanted: dict[str, Any] = {"threshold": network.score, "overlap": network.overlap}
        return replace(outputs, **{name: value for name, value in wanted.items() if value is not None})
    if network.overlap is not None:
        raise InputError(
            f"nms: {network.name} returns finished detections, so there is no overlap to set", "option-unsupported"
        )
    return outputs


def _quantized_file(
    network: OnnxNetwork, runtime: GraphRuntime, quantizer: Quantizer, images: CalibrationImages
) -> Entry:
    """The folder with an ONNX file in int8."""
    fit = network.fit and network.fit(height=32, width=32)  # of any canvas: `size` tells which
    key = {"network": digest(network.identity), "fit": repr(fit), "size": network.size}
    key |= {"sampling": network.sampling} if network.sampling else {}
    key |= {"layout": repr(network.layout)} if network.layout else {}
    return quantized(quantizer, images, key, partial(_quantize_file, network, runtime, quantizer, images))


def _quantize_file(
    network: OnnxNetwork,
    runtime: GraphRuntime,
    quantizer: Quantizer,
    images: CalibrationImages,
    folder: Path,
    *,
    steps: BuildSteps,
) -> None:
    """Writes an ONNX file in int8 into a folder."""
    session = FileSession(network, replace(runtime, precision="fp32", calibration=None))
    size, feed = session.input.batch or 1, session.input.feed
    feeds = CalibrationFeeds(paths=images.paths, fit=session.fit, batch=size, feed=feed)
    quantize(quantizer, network.path, folder, feeds, steps=steps, detect=session.detections)
