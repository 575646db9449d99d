"""Models of OpenVINO as artifacts: an .xml file with the graph, and a .bin with its weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export import openvino_model
from paretodet.export.graph import GRAPH, exported_graph
from paretodet.export.int8 import quantized_detector
from paretodet.export.openvino_int8 import OpenVinoInt8
from paretodet.export.quantizer import Quantizer
from paretodet.export.target import Target, Written

MODEL, WEIGHTS = "detector.xml", "detector.bin"


class OpenVinoTarget(Target):
    """The types of the graph are those that execute, if OpenVINO is told to leave float32 as it is."""

    name: ClassVar[str] = "openvino"
    runtime: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript", "openvino")
    extras: ClassVar[str] = "onnx,openvino"
    quantizer: ClassVar[Quantizer | None] = OpenVinoInt8()

    def write(self, detector: Detector, folder: Path, config: CandidateConfig) -> Written:
        entry = exported_graph(detector, batch=config.batch)
        if images := self.calibration(config):
            made = quantized_detector(OpenVinoInt8(), images, exported=entry, fit=detector.spec.fit, batch=config.batch)
            written = made.folder / OpenVinoInt8.artifact
            shutil.copyfile(written, folder / MODEL)
            shutil.copyfile(written.with_suffix(".bin"), folder / WEIGHTS)
        else:
            model = openvino_model.read(entry.folder / GRAPH)
            if config.precision == "bf16":
                openvino_model.in_bf16(model)
            openvino_model.save(model, folder / MODEL)
        return Written(artifact=MODEL, others=(WEIGHTS,))

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        """OpenVINO decides by the ending what a file is, and finds the weights of an .xml by its name."""
        path = Path(artifact)
        if path.suffix != ".xml" or path.with_suffix(".bin").as_posix() not in files:
            message = f"{folder / artifact}: it is no .xml file with a .bin file of the bundle beside it"
            raise InputError(message, "bundle-unsafe")
