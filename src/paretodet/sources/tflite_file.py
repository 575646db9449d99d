"""LiteRT files of detectors.

Those that take uint8 and end in POSTPROCESS select their detections themselves, as TensorFlow's converter writes SSDs;
what the outputs of others mean, and how their pixels are scaled, is recognized as of ONNX files, or given as a layout.
"""

from functools import partial
from pathlib import Path

import torch

from paretodet.bench.candidate import ModelInfo
from paretodet.config import CandidateConfig
from paretodet.detectors.labels import COCO_90
from paretodet.errors import InputError
from paretodet.export.tflite_references import references
from paretodet.network import ArtifactNetwork, Labels, OnnxNetwork
from paretodet.readings.evidence import MODULE
from paretodet.sources.hashes import model_sha256
from paretodet.sources.onnx_file import check_content, file_network
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import Stretch
from paretodet.weights.formats import tflite
from paretodet.weights.formats.tflite import POSTPROCESS


class TfliteFile(Source):
    """A file with one image as input. Its precision is that of its layers."""

    options = frozenset(("runtime", "device", "labels", "score", "sampling", "nms", "fit", "layout"))
    form = "tflite"
    is_stored = True

    def owns(self, name: str) -> bool:
        return name.endswith(".tflite")

    def check(self, name: str) -> None:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file", "file-missing")
        check_content(Path(name))

    def display_name(self, config: CandidateConfig) -> str:
        return Path(config.name).stem

    def load(self, config: CandidateConfig) -> ArtifactNetwork | OnnxNetwork:
        self.check(config.name)
        path = Path(config.name)
        stated = tflite.metadata(path)
        operators = _operators(path)
        classes = tflite.postprocessed_classes(path) if operators else None
        labels = _labels(config, stated.get("labels", ()), classes)
        if not operators or tflite.input_types(path) == [torch.float32]:
            return file_network(config, form=self.form, labels=labels, weights=model_sha256(path))
        height, width = _canvas(path)
        if unused := [name for name in ("nms", "fit", "layout") if getattr(config, name) is not None]:
            message = f"{unused[0]}: {config.name} ends in {POSTPROCESS}, so there is none to set"
            raise InputError(message, "option-unsupported")
        weights, fit = model_sha256(path), Stretch(height=height, width=width, sampling=config.sampling or "tf1")
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


def _labels(config: CandidateConfig, stated: Labels, classes: int | None) -> Labels:
    """The names that the user or the file states; else COCO's, if the file tells as many classes apart as COCO has ids.

    Raises InputError if the user names another number of classes.
    """
    if config.labels and classes not in (None, len(config.labels)):
        message = f"labels: got {len(config.labels)} names, {config.name} tells {classes} classes apart"
        raise InputError(f"{message}; --classes FILE has a line per class, an empty one for no name", "option-value")
    return config.labels or stated or (COCO_90 if classes == len(COCO_90) else ())


def _operators(path: Path) -> frozenset[str]:
    """POSTPROCESS or none. Raises InputError if the file needs another file or another custom operator."""
    files, operators = references(path)
    if files or operators - {POSTPROCESS}:
        found = ", ".join(sorted(files | operators))
        message = f"{path}: needs {found:.200}; other files, and custom operators but {POSTPROCESS}, are not allowed"
        raise InputError(message, "graph-failed")
    return operators


def _canvas(path: Path) -> tuple[int, int]:
    """Height and width of the only input. Raises InputError for other inputs."""
    shapes = tflite.input_shapes(path)
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][::3] != (1, 3) or min(shapes[0]) < 1:
        message = f"{path}: takes {shapes}, allowed is one image [1, height, width, 3]; {MODULE}"
        raise InputError(message, "graph-failed")
    return shapes[0][1], shapes[0][2]
