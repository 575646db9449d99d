"""Imports weights of other formats into a safetensors file that records their origin and use."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from paretodet import schema
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.errors import InputError
from paretodet.reading import sha256
from paretodet.weights import files
from paretodet.weights.backbones import BACKBONES, build_backbone
from paretodet.weights.files import WeightsFile, WeightsMetadata
from paretodet.weights.safe import WeightsError
from paretodet.writing import check_target


class ImportedWeights(NamedTuple):
    """What was read and written."""

    name: str
    source: str
    source_sha256: str
    format: str
    code_base: str
    tensors: int
    values: int  # numbers read, including running statistics
    width: float
    classes: int  # 0: of a backbone
    fit: str  # how images are brought to the canvas
    out: str
    sha256: str


def import_weights(source: Path, metadata: WeightsMetadata, out: Path, *, format: str | None = None) -> ImportedWeights:
    """Loads `source` into the detector or backbone `metadata.name`, checks every tensor, and writes `out` with the
    metadata.

    The file name and hash in the metadata are set here, and what the file fixes of its detector where it is not given.
    Raises ValueError if the file is not of `format` or does not fit the network, if it holds values that are not
    finite, or if `out` cannot be written as .safetensors.
    """
    check_target(out, "out", endings=[".safetensors"], read=[source])
    file = files.read(source, format)
    metadata, network = _as_backbone(metadata) if metadata.name in BACKBONES else _as_detector(metadata, file)
    file.load(network)
    format_name, code_base, tensors = file.format_name, file.code_base, len(file.tensors)
    del file  # its tensors
    state = network.state_dict()
    if bad := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise InputError(f"{source}: {bad[0]} has values that are not finite", "weights-not-finite")
    metadata = replace(metadata, file=source.name, sha256=sha256(source))
    files.save(state, out, metadata)
    read = [tensor for tensor in state.values() if tensor.is_floating_point()]
    return ImportedWeights(
        name=metadata.name,
        source=source.name,
        source_sha256=metadata.sha256,
        format=format_name,
        code_base=code_base,
        tensors=tensors or len(read),
        values=sum(tensor.numel() for tensor in read),
        width=metadata.width,
        classes=len(metadata.labels or ()),
        fit=metadata.fit or (type(network.spec.fit).__name__.lower() if isinstance(network, Detector) else ""),
        out=str(out),
        sha256=sha256(out),
    )


def _as_detector(metadata: WeightsMetadata, file: WeightsFile) -> tuple[WeightsMetadata, Detector]:
    """The completed metadata, and the detector with random weights."""
    completed = _completed(metadata, file)
    detector = build(completed.apply_to(spec(completed.name, Override(labels=completed.labels))))
    labels, sampling = completed.labels or detector.spec.labels, completed.sampling or detector.spec.fit.sampling
    return replace(completed, labels=labels, sampling=sampling), detector


def _as_backbone(metadata: WeightsMetadata) -> tuple[WeightsMetadata, nn.Module]:
    """A backbone has no classes, and no way in which images are fitted."""
    return metadata, build_backbone(metadata.name, metadata.width).eval()


def _completed(metadata: WeightsMetadata, file: WeightsFile) -> WeightsMetadata:
    """The metadata with what the file states where they are None.

    The form of the detector, `scratch` and `width`, is that of the file.
    """
    if (earlier := files.read_metadata(file.path)) is not None:
        return replace(earlier, **_given(metadata) | {"scratch": earlier.scratch, "width": earlier.width})
    made = spec(metadata.name)
    fixed = file.metadata(made)
    classes, width = fixed.pop("classes", None), fixed.get("width", metadata.width)
    try:
        completed = replace(metadata, **fixed | _given(metadata) | {"width": width})
    except schema.SchemaError as error:
        raise WeightsError(f"{file.path}: {error.message}", "weights-metadata") from None
    file.check_said(asdict(completed))
    _check_classes(completed.labels or made.labels, classes, file.path)
    return completed


def _given(metadata: WeightsMetadata) -> dict[str, Any]:
    values = {field.name: getattr(metadata, field.name) for field in fields(metadata)}
    return {name: value for name, value in values.items() if value is not None}


def _check_classes(labels: tuple[str | None, ...], classes: int | None, path: Path) -> None:
    """Raises WeightsError if the tensors do not have as many classes as there are names."""
    if classes is not None and classes != len(labels):
        message = f"{path}: has {classes} classes, and {len(labels)} are named; give their names with --classes"
        raise WeightsError(message, "weights-other")
