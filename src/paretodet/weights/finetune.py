"""Initialize a detector from the weights of another one with the same architecture and other classes."""

from pathlib import Path

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.weights import files
from paretodet.weights.safe import WeightsError


def initialize_from(detector: Detector, path: Path, name: str) -> tuple[str, ...]:
    """Load the weights file `path` of the catalogue name `name` into `detector`, except tensors of another shape.

    Returns the names of these tensors, which keep their random values: their shape depends on the number of classes.
    Raises WeightsError if the file does not fit a detector `name`, or if tensors of the backbone have another shape.
    """
    metadata = files.read_metadata(path)
    try:
        source = _source(metadata, name)
        files.load(source, path)
    except ValueError as error:
        if metadata is None or metadata.name == name:
            raise
        raise WeightsError(
            f"{path}: these are weights of {metadata.name}, which do not fit {name}", "weights-other"
        ) from error
    given, wanted = source.state_dict(), detector.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    random = tuple(key for key in wanted if key not in fitting)
    if backbone := [key for key in random if key.startswith("backbone.")]:
        raise WeightsError(
            f"{path}: {backbone[0]} has another shape in {detector.spec.name}; use weights of this detector",
            "weights-shape",
        )
    detector.load_state_dict(fitting, strict=False)
    return random


def _source(metadata: files.WeightsMetadata | None, name: str) -> Detector:
    """The detector that the file was saved from, with random weights."""
    made = spec(name, Override(labels=metadata.labels if metadata else None))
    with torch.random.fork_rng(devices=[]):
        return Detector(metadata.apply_to(made) if metadata else made)
