"""A detector begins to learn from what another one of its form has learned."""

from pathlib import Path

import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.weights import files
from paretodet.weights.safe import WeightsError


def initialize_from(detector: Detector, path: Path, name: str) -> tuple[str, ...]:
    """Fill `detector` from weights of the catalogue's `name` with classes of their own; the names of the tensors that
    begin anew, because their shape follows the classes.

    The file is read whole and checked as for detecting. Raises WeightsError where it is not one of `name`, or where
    the backbone's tensors are of another shape.
    """
    told = files.origin(path)
    try:
        donor = _donor(told, name)
        files.load(donor, path)
    except ValueError as error:
        if told is None or told.name == name:
            raise
        raise WeightsError(f"{path}: of {told.name}, whose tensors are not those of {name}") from error
    given, wanted = donor.state_dict(), detector.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    anew = tuple(key for key in wanted if key not in fitting)
    if lost := [key for key in anew if key.startswith("backbone.")]:
        raise WeightsError(f"{path}: {lost[0]} is of another shape than {detector.spec.name}'s, so nothing can be kept")
    detector.load_state_dict(fitting, strict=False)
    return anew


def _donor(told: files.WeightsMetadata | None, name: str) -> Detector:
    made = spec(name, Override(labels=told.labels if told else None))
    with torch.random.fork_rng(devices=[]):
        return Detector(told.apply_to(made) if told else made)
