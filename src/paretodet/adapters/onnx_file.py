"""Any ONNX detector under ONNX Runtime as a Candidate."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from paretodet.adapters.files import sha256
from paretodet.adapters.function import Triple, artefact, finished
from paretodet.adapters.onnx_layout import Raw, recognize_input, recognize_output
from paretodet.bench.candidate import Image, ModelInfo
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, Stretch, to_batch
from paretodet.types import Detections, Images

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FILL = 114  # the gray of the letterbox that the usual exporters of the YOLO layouts train with
SETTINGS = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


class OnnxCandidate:
    """An ONNX file: its input, its outputs and so its fit are recognized by shape (`onnx_layout`).

    `fit` makes the fit from `height` and `width`; `score` drops detections at or below it; `overlap` belongs to
    layouts whose suppression is ours. Nothing of the runtime spins while it waits.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        device: str = "cpu",
        threads: int | None = None,
        size: tuple[int, int] | None = None,
        fit: Callable[..., ResizePolicy] | None = None,
        score: float | None = None,
        overlap: float | None = None,
        labels: tuple[str | None, ...] = (),  # the file does not tell them
    ):
        self.name = name
        self.weights = sha256(path)
        self.device, self.labels = device, labels
        self.score = score
        self.session = open_session(path, device, threads or torch.get_num_threads())
        self.input = recognize_input(self.session.get_inputs(), size)
        self.output = self._recognize(score, overlap)
        fit = fit or (partial(Letterbox, fill=FILL) if self.output.letterboxed else Stretch)
        self.fit = fit(height=self.input.height, width=self.input.width)

    def prepare(self, images: Sequence[Image]) -> Images:
        return to_batch(images, self.fit)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Triple:
        """One call, or one an image where the file holds the batch at 1 and there are more."""
        if self.input.batch in (None, len(batch.pixels)):
            return self.output(self._run(batch))
        if self.input.batch != 1:
            raise ValueError(f"batch: got {len(batch.pixels)}, this file takes {self.input.batch} images at a time")
        single = [
            self.output(self._run(Images(*(part[i : i + 1] for part in batch)))) for i in range(len(batch.pixels))
        ]
        boxes, scores, labels = (torch.cat(parts) for parts in zip(*single, strict=True))
        return boxes, scores, labels

    def finish(self, outputs: Triple, sizes: Tensor) -> Detections:
        return finished(outputs, self.fit, sizes, threshold=self.score)

    def facts(self) -> ModelInfo:
        return ModelInfo(
            height=self.input.height,
            width=self.input.width,
            weights=self.weights,
            device=self.device,
            runtime="onnxruntime",
            runtime_settings=tuple(SETTINGS.items()),
            precision="file",
            artefact=artefact(file=self.weights, fit=self.fit, output=self.output, score=self.score),
        )

    def _run(self, batch: Images) -> list[Tensor]:
        return [torch.from_numpy(part) for part in self.session.run(None, self.input.feed(batch))]

    def _recognize(self, score: float | None, overlap: float | None) -> Any:
        blank = np.zeros((self.input.height, self.input.width, 3), np.uint8)
        batch = to_batch([blank] * (self.input.batch or 1), Stretch(height=self.input.height, width=self.input.width))
        try:
            found = self._run(batch)
        except Exception as error:  # as in `open_session`; a size may be fixed inside of the file
            size = f"{self.input.height}x{self.input.width}"
            raise ValueError(f"{self.name}: cannot run at {size} ({str(error).splitlines()[0]})") from error
        output = recognize_output(self.session.get_outputs(), found)
        if isinstance(output, Raw):
            score = output.threshold if score is None else score
            return replace(output, threshold=score, overlap=output.overlap if overlap is None else overlap)
        if overlap is not None:
            raise ValueError(f"nms: {self.name} returns finished detections, so there is no overlap to set")
        return output


def open_session(path: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """Sequential execution on `threads` threads without spinning. Raises ValueError where the file is no ONNX."""
    kind, _, number = device.partition(":")
    provider = PROVIDERS.get(kind)
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(f"device: {device!r} is not one that this build of ONNX Runtime can use")
    chosen = (provider, {"device_id": number or "0"} if kind == "cuda" else {})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in SETTINGS.items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[chosen], enable_fallback=0)
    except Exception as error:  # the runtime's own exceptions share no base
        raise ValueError(f"{path}: ONNX Runtime cannot load it ({str(error).splitlines()[0]})") from error
    if provider not in session.get_providers():  # else the CPU would be measured under another name
        raise ValueError(f"device: {device!r} could not be started by ONNX Runtime")
    return session
