"""Models of OpenVINO (IR): an .xml file with the graph, and a .bin file with its weights."""

from pathlib import Path

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.network import OnnxNetwork
from paretodet.sources.onnx_file import OnnxFile, check_content


class OpenVinoFile(OnnxFile):
    """A detector in two files, which OpenVINO alone executes, in the precision of its layers."""

    options = OnnxFile.options - {"precision", "calibration", "allow_fallback"}
    form = "openvino"

    def owns(self, name: str) -> bool:
        return name.endswith(".xml")

    def check(self, name: str) -> None:
        super().check(name)
        if not (weights := Path(name).with_suffix(".bin")).is_file():
            raise InputError(
                f"{name}: needs the file {weights.name!r} beside it, which has its weights", "file-missing"
            )
        check_content(weights)

    def load(self, config: CandidateConfig) -> OnnxNetwork:
        self.check(config.name)
        return super().load(config)
