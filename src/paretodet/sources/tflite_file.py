"""LiteRT files of detectors that select their detections themselves, as TensorFlow's converter writes SSDs."""

from functools import partial
from pathlib import Path

from paretodet.bench.candidate import ModelInfo
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export.tflite_references import references
from paretodet.network import ArtifactNetwork
from paretodet.sources.hashes import sha256
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import Stretch
from paretodet.weights.formats import tflite

POSTPROCESS = "TFLite_Detection_PostProcess"  # decodes and suppresses; LiteRT has it built in


class TfliteFile(Source):
    """A file with one image as input, whose last operator is POSTPROCESS. Its precision is that of its layers."""

    options = frozenset(("runtime", "device", "labels", "score", "sampling"))
    form = "tflite"

    def owns(self, name: str) -> bool:
        return name.endswith(".tflite")

    def check(self, name: str) -> None:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file", "file-missing")

    def display_name(self, config: CandidateConfig) -> str:
        return Path(config.name).stem

    def load(self, config: CandidateConfig) -> ArtifactNetwork:
        self.check(config.name)
        path = Path(config.name)
        height, width = _canvas(path)
        labels = config.labels or tflite.metadata(path).get("labels", ())
        weights, fit = sha256(path), Stretch(height=height, width=width, sampling=config.sampling or "tf1")
        return ArtifactNetwork(
            form=self.form,
            name=path.stem,
            labels=labels,
            fit=fit,
            path=path,
            batch=1,
            describe=partial(ModelInfo, height=height, width=width, classes=len(labels) or None, weights=weights),
            identity={"file": weights, "fit": fit, "score": config.score},
            score=config.score,
        )


def _canvas(path: Path) -> tuple[int, int]:
    """Height and width of the only input.

    Raises InputError for other inputs, and if the file needs another file or another operator than POSTPROCESS.
    """
    shapes, (files, operators) = tflite.input_shapes(path), references(path)
    if files or operators != {POSTPROCESS}:
        found = ", ".join(sorted(files | operators)) or "none"
        message = f"{path}: needs the operator {POSTPROCESS}, no other custom one and no other file, got {found:.200}"
        raise InputError(message, "graph-failed")
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][::3] != (1, 3) or min(shapes[0]) < 1:
        raise InputError(f"{path}: takes {shapes}, allowed is one image [1, height, width, 3]", "graph-failed")
    return shapes[0][1], shapes[0][2]
