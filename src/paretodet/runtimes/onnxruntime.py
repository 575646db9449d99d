"""ONNX Runtime: ONNX files, and detectors of the catalogue exported to one."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import from_json, to_json
from paretodet.extras import require
from paretodet.layers.fold import fold_norms
from paretodet.network import Network, OnnxNetwork, TorchNetwork, Triple, sorted_detections
from paretodet.runtimes.onnx_layout import Raw, recognize_input, recognize_output
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, ShortSide, Stretch, to_batch
from paretodet.types import Detections, Images
from paretodet.weights import safe

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FILL = 114  # the gray of the letterbox that the usual exporters of the YOLO layouts train with
SPEC, WEIGHTS, GRAPH = "spec.json", "weights.safetensors", "detector.onnx"  # in the folder of an export
EXPORT = "import sys; from paretodet.runtimes.onnxruntime import export; export(*sys.argv[1:])"
SETTINGS = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(Runtime):
    """Sequential execution without spinning, in float32 unless a file says otherwise.

    A detector of the catalogue is exported when it is loaded, so its load time includes the export.
    """

    name: ClassVar[str] = "onnxruntime"
    forms: ClassVar[tuple[str, ...]] = ("torch", "onnx")

    def __post_init__(self) -> None:
        if self.precision != "fp32":
            raise ValueError(f"precision: got {self.precision!r}, {self.name} runs fp32 alone")

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return ("onnxruntime",)

    @classmethod
    def require(cls, form: str) -> None:
        libraries = ("onnxruntime", "onnx", "onnxscript") if form == "torch" else ("onnxruntime",)
        extras = "onnx,onnxruntime" if form == "torch" else "onnxruntime"
        require(f"runtime {cls.name}", dict.fromkeys(libraries, extras))

    def build(self, network: Network) -> "FileSession | ExportedSession":
        self.require(network.form)
        provider(self.device)
        return FileSession(network, self) if isinstance(network, OnnxNetwork) else ExportedSession(network, self)


class ExportedSession:
    """A detector of the catalogue as a graph of fixed batch and canvas, with batch norms folded.

    Raises ValueError for other modules, and for a canvas that follows the shape of each image.
    """

    memory_format = torch.contiguous_format

    def __init__(self, network: TorchNetwork, runtime: OnnxRuntime) -> None:
        self.runtime, self.fit = runtime, network.fit
        if not isinstance(network.module, Detector):
            raise ValueError(
                f"runtime: {runtime.name} runs ONNX files and detectors of the catalogue, not {network.name}"
            )
        if isinstance(network.fit, ShortSide):
            raise ValueError(
                f"fit: the canvas of {network.name} follows each image, and {runtime.name} needs one of a fixed size: "
                "give --fit stretch or letterbox"
            )
        self.session = _exported(network.module, runtime)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime.name, "precision": self.runtime.precision}

    def __call__(self, images: Images) -> Detections:
        """One run a batch of the graph's size; the last is filled up with copies of the first image."""
        count, size = len(images.pixels), self.runtime.batch
        missing = -count % size
        whole = [torch.cat((part, part[:1].expand(missing, *part.shape[1:]))) for part in images] if missing else images
        pixels, sizes = whole
        runs = [self._run(pixels[i : i + size], sizes[i : i + size]) for i in range(0, count, size)]
        return Detections(*(torch.cat(parts)[:count] for parts in zip(*runs, strict=True)))

    def stages(self) -> Stages:
        return ()

    def facts(self) -> dict[str, Any]:
        return {**_stated(self.runtime), "precision": self.runtime.precision}

    def _run(self, pixels: Tensor, sizes: Tensor) -> list[Tensor]:
        feed = {"pixels": pixels.numpy(), "sizes": sizes.float().numpy()}
        return [torch.from_numpy(part) for part in self.session.run(None, feed)]


class FileSession:
    """An ONNX file whose input, outputs and so fit are recognized by their shapes (`onnx_layout`)."""

    memory_format = torch.contiguous_format

    def __init__(self, network: OnnxNetwork, runtime: OnnxRuntime) -> None:
        self.runtime, self.score = runtime, network.score
        self.session = open_session(network.path, runtime.device, runtime.threads)
        self.input = recognize_input(self.session.get_inputs(), network.size)
        self.output = self._recognize(network)
        policy: Callable[..., ResizePolicy] = partial(Letterbox, fill=FILL) if self.output.letterboxed else Stretch
        self.fit = (network.fit or policy)(height=self.input.height, width=self.input.width)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"fit": self.fit, "output": self.output}

    def __call__(self, images: Images) -> Detections:
        """One run, or one an image where the file holds the batch at 1 and there are more."""
        return sorted_detections(self._outputs(images), self.score)

    def stages(self) -> Stages:
        return ()

    def facts(self) -> dict[str, Any]:
        sides = {"height": self.input.height, "width": self.input.width}
        return {**sides, **_stated(self.runtime), "precision": "file"}

    def _outputs(self, batch: Images) -> Triple:
        if self.input.batch in (None, len(batch.pixels)):
            return self.output(self._run(batch))
        if self.input.batch != 1:
            raise ValueError(f"batch: got {len(batch.pixels)}, this file takes {self.input.batch} images at a time")
        single = [
            self.output(self._run(Images(*(part[i : i + 1] for part in batch)))) for i in range(len(batch.pixels))
        ]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*single, strict=True))
        return boxes, scores, labels

    def _run(self, batch: Images) -> list[Tensor]:
        return [torch.from_numpy(part) for part in self.session.run(None, self.input.feed(batch))]

    def _recognize(self, network: OnnxNetwork) -> Any:
        """The layout of the outputs of one run on a blank image."""
        height, width = self.input.height, self.input.width
        blank = np.zeros((height, width, 3), np.uint8)
        batch = to_batch([blank] * (self.input.batch or 1), Stretch(height=height, width=width))
        try:
            outputs = self._run(batch)
        except Exception as error:  # as in `open_session`; a size may be fixed inside of the file
            raise ValueError(f"{network.name}: cannot run at {height}x{width} ({_first_line(error)})") from error
        output = recognize_output(self.session.get_outputs(), outputs)
        if isinstance(output, Raw):
            wanted: dict[str, Any] = {"threshold": network.score, "overlap": network.overlap}
            return replace(output, **{name: value for name, value in wanted.items() if value is not None})
        if network.overlap is not None:
            raise ValueError(f"nms: {network.name} returns finished detections, so there is no overlap to set")
        return output


def open_session(path: Path, device: str, threads: int | None) -> Any:
    """An onnxruntime.InferenceSession. Raises ValueError if the file is no ONNX or the device cannot be used."""
    import onnxruntime

    chosen = provider(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in SETTINGS.items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[chosen], enable_fallback=0)
    except Exception as error:  # the runtime's own exceptions share no base
        raise ValueError(f"{path}: ONNX Runtime cannot load it ({_first_line(error)})") from error
    if chosen[0] not in session.get_providers():  # else the CPU would be measured under another name
        raise ValueError(f"device: {device!r} could not be started by ONNX Runtime")
    return session


def provider(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider of a device and its options. Raises ValueError if this build has none."""
    import onnxruntime

    kind, _, number = device.partition(":")
    if (name := PROVIDERS.get(kind)) not in onnxruntime.get_available_providers():
        raise ValueError(f"device: {device!r} is not one that this build of ONNX Runtime can use")
    return str(name), {"device_id": number or "0"} if kind == "cuda" else {}


def _exported(detector: Detector, runtime: OnnxRuntime) -> Any:
    """A session of the detector's graph. A separate process writes it, so that the exporter's memory does not count."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        safe.save(detector.state_dict(), folder / WEIGHTS)
        (folder / SPEC).write_text(to_json(detector.spec), encoding="utf-8")
        command = [sys.executable, "-c", EXPORT, name, str(runtime.batch)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"runtime: {detector.spec.name} cannot be exported ({_last_line(done.stderr)})")
        return open_session(folder / GRAPH, runtime.device, runtime.threads)


def export(name: str, batch: str) -> None:
    """Writes the graph of the detector in the folder `name`: all that the process of `_exported` does."""
    from paretodet.export.onnx import to_onnx

    folder = Path(name)
    detector = Detector(from_json((folder / SPEC).read_text(encoding="utf-8"))).eval()
    safe.load(detector, folder / WEIGHTS)
    to_onnx(cast(Detector, fold_norms(detector)), folder / GRAPH, batch=int(batch))


def _stated(runtime: Runtime) -> dict[str, Any]:
    """The facts of every session of this runtime."""
    import onnxruntime

    settings = (("version", onnxruntime.__version__), *SETTINGS.items())
    return {"device": runtime.device, "runtime": runtime.name, "runtime_settings": settings}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
