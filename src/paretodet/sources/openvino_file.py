"""Models of OpenVINO (IR): an .xml file with the graph, and a .bin file with its weights."""

from pathlib import Path

from paretodet.errors import InputError
from paretodet.sources.onnx_file import OnnxFile


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
