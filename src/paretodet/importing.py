"""Imports weights of other formats into a safetensors file that records their origin and use."""

from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.errors import InputError
from paretodet.reading import sha256
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata
from paretodet.writing import check_target


class ImportedWeights(NamedTuple):
    """What was read and written."""

    name: str
    source: str
    source_sha256: str
    tensors: int
    values: int  # numbers read, including running statistics
    out: str
    sha256: str


def import_weights(source: Path, metadata: WeightsMetadata, out: Path) -> ImportedWeights:
    """Loads `source` into the detector `metadata.name`, checks every tensor, and writes `out` with the metadata.

    The file name and hash in the metadata are set here. Raises ValueError if the file does not fit the detector or
    holds values that are not finite, or if `out` cannot be written as .safetensors.
    """
    check_target(out, "out", endings=[".safetensors"], read=[source])
    metadata = _merged(metadata, files.read_metadata(source))
    detector = build(metadata.apply_to(spec(metadata.name, Override(labels=metadata.labels))))
    files.load(detector, source)
    state = detector.state_dict()
    if bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise InputError(f"{source}: {bad[0]} has values that are not finite", "weights-not-finite")
    labels = metadata.labels or detector.spec.labels
    metadata = replace(metadata, file=source.name, sha256=sha256(source), labels=labels)
    files.save(state, out, metadata)
    read = [tensor for tensor in state.values() if tensor.is_floating_point()]
    values = sum(tensor.numel() for tensor in read)
    return ImportedWeights(metadata.name, source.name, metadata.sha256, len(read), values, str(out), sha256(out))


def _merged(metadata: WeightsMetadata, earlier: WeightsMetadata | None) -> WeightsMetadata:
    """The metadata of a file that paretodet wrote, with the fields given in `metadata` replaced.

    The form of the detector, `scratch` and `width`, is that of the file.
    """
    if earlier is None:
        return metadata
    given = {field.name: getattr(metadata, field.name) for field in fields(metadata)}
    replaced = {name: value for name, value in given.items() if value is not None}
    return replace(earlier, **replaced | {"scratch": earlier.scratch, "width": earlier.width})
