"""Initialize a detector from the weights of another one of its architecture with other classes, or of its backbone."""

from pathlib import Path

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.weights import backbones, files, safe
from paretodet.weights.backbones import BACKBONES
from paretodet.weights.safe import WeightsError


def initialize_from(detector: Detector, path: Path, name: str) -> tuple[str, ...]:
    """Load the weights file `path` into `detector`: those of its backbone, as the file's metadata say, or those of the
    catalogue name `name`, except tensors of another shape.

    Returns the names of the tensors that keep their random values: those that the backbone does not have, or whose
    shape depends on the number of classes. Raises WeightsError if the file fits neither, has to be imported first, or
    has tensors of the backbone of another shape.
    """
    metadata = files.read_metadata(path)
    if metadata is not None and metadata.name in BACKBONES:
        found = _of_backbone(detector, path, metadata.name)
    else:
        found = _of_detector(detector, path, name, metadata)
    detector.load_state_dict(found, strict=False)
    return tuple(key for key, value in detector.state_dict().items() if key not in found and value.is_floating_point())


def check_imported(path: Path, name: str) -> None:
    """Raises WeightsError, with the command that imports it, if `path` has names of another code base."""
    if files.read_metadata(path) is None:
        files.read_own(path, name)


def _of_backbone(detector: Detector, path: Path, name: str) -> dict[str, Tensor]:
    tensors = safe.read(path)
    try:
        return backbones.fitting(tensors, name, detector)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", error.id) from None


def _of_detector(
    detector: Detector, path: Path, name: str, metadata: files.WeightsMetadata | None
) -> dict[str, Tensor]:
    try:
        file, source = files.read_own(path, name), _source(metadata, name)
        file.load(source)
    except ValueError as error:
        if metadata is None or metadata.name == name:
            raise
        raise WeightsError(
            f"{path}: these are weights of {metadata.name}, which do not fit {name}", "weights-other"
        ) from error
    given, wanted = source.state_dict(), detector.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    if backbone := [key for key in wanted if key not in fitting and key.startswith("backbone.")]:
        raise WeightsError(
            f"{path}: {backbone[0]} has another shape in {detector.spec.name}; use weights of this detector",
            "weights-shape",
        )
    return fitting


def _source(metadata: files.WeightsMetadata | None, name: str) -> Detector:
    """The detector that the file was saved from, with random weights."""
    made = spec(name, Override(labels=metadata.labels if metadata else None))
    with torch.random.fork_rng(devices=[]):
        return Detector(metadata.apply_to(made) if metadata else made)
