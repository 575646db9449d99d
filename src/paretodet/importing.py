"""Foreign weights into a file of our own that says where they come from and how they want to be used."""

from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.reading import sha256
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.safe import WeightsError
from paretodet.writing import check_target


class ImportedWeights(NamedTuple):
    """What was read and what was written."""

    name: str
    source: str
    source_sha256: str
    tensors: int
    values: int  # numbers read, running statistics among them
    out: str
    sha256: str


def import_weights(source: Path, told: WeightsMetadata, out: Path) -> ImportedWeights:
    """Reads `source` into the detector `told.name`, checks every tensor, writes `out` with its origin.

    The origin's file name and hash are filled in here. Raises ValueError where the file does not fit the detector,
    holds values that are not finite, or `out` cannot be a .safetensors file.
    """
    check_target(out, "out", endings=[".safetensors"], read=[source])
    told = _as_taught(told, files.origin(source))
    detector = build(told.apply_to(spec(told.name, Override(labels=told.labels))))
    files.load(detector, source)
    state = detector.state_dict()
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{source}: {broken[0]} has values that are not finite")
    told = replace(told, file=source.name, sha256=sha256(source), labels=told.labels or detector.spec.labels)
    files.save(state, out, told)
    read = [tensor for tensor in state.values() if tensor.is_floating_point()]
    values = sum(tensor.numel() for tensor in read)
    return ImportedWeights(told.name, source.name, told.sha256, len(read), values, str(out), sha256(out))


def _as_taught(told: WeightsMetadata, earlier: WeightsMetadata | None) -> WeightsMetadata:
    """Of a file that we wrote ourselves: its detector's form, and all that it says unless something else is told."""
    if earlier is None:
        return told
    said = {field.name: getattr(told, field.name) for field in fields(told)}
    kept = {name: value for name, value in said.items() if value is not None}
    return replace(earlier, **kept | {"scratch": earlier.scratch, "width": earlier.width})
