"""ONNX Runtime: ONNX files as they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from paretodet.data.resize_policy import Letterbox, ResizePolicy, Stretch, to_batch
from paretodet.extras import require
from paretodet.network import Network, OnnxNetwork, Triple, sorted_detections
from paretodet.runtimes.onnx_layout import Raw, recognize_input, recognize_output
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.types import Detections, Images

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FILL = 114  # the gray of the letterbox that the usual exporters of the YOLO layouts train with
SETTINGS = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(Runtime):
    """Sequential execution without spinning."""

    name: ClassVar[str] = "onnxruntime"
    forms: ClassVar[tuple[str, ...]] = ("onnx",)

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return ("onnxruntime",)

    @classmethod
    def require(cls, form: str) -> None:
        require(f"runtime {cls.name}", {"onnxruntime": "onnxruntime"})

    def build(self, network: Network) -> "FileSession":
        self.require(network.form)
        assert isinstance(network, OnnxNetwork)
        return FileSession(network, self)


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
        return {**sides, **stated(self.runtime), "precision": "file"}

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
    """An onnxruntime.InferenceSession. Raises ValueError where the file is no ONNX or the device cannot be used."""
    import onnxruntime

    kind, _, number = device.partition(":")
    provider = PROVIDERS.get(kind)
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"device: {device!r} is not one that this build of ONNX Runtime can use")
    chosen = (provider, {"device_id": number or "0"} if kind == "cuda" else {})
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
    if provider not in session.get_providers():  # else the CPU would be measured under another name
        raise ValueError(f"device: {device!r} could not be started by ONNX Runtime")
    return session


def stated(runtime: Runtime) -> dict[str, Any]:
    """The facts of every session of this runtime."""
    return {"device": runtime.device, "runtime": runtime.name, "runtime_settings": tuple(SETTINGS.items())}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
