"""Imports weights of other formats into a safetensors file that records their origin and use."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet import schema
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.errors import InputError
from paretodet.weights import files, published
from paretodet.weights.backbones import BACKBONES, build_backbone
from paretodet.weights.files import WeightsFile, WeightsMetadata
from paretodet.weights.safe import WeightsError
from paretodet.writing import check_target

ACCURACY = {"ap", "ap50", "split", "source"}  # fields of WeightsMetadata


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
    license: str | None
    ap: float | None  # published for these weights, in rows of theirs, COCO, percent
    ap50: float | None
    ap_split: str | None
    ap_source: str | None
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
    metadata = replace(metadata, file=source.name, sha256=file.sha256)
    metadata, network = _as_backbone(metadata) if metadata.name in BACKBONES else _as_detector(metadata, file)
    state, wanted = file.state(network), network.state_dict()
    dtypes = {name: tensor.dtype for name, tensor in wanted.items()}
    _check_finite(state, dtypes, source)
    written = files.save(state, out, metadata, dtypes=dtypes)
    read = [tensor for tensor in wanted.values() if tensor.is_floating_point()]
    return ImportedWeights(
        name=metadata.name,
        source=source.name,
        source_sha256=metadata.sha256,
        format=file.format_name,
        code_base=file.code_base,
        tensors=len(file.tensors) or len(read),
        values=sum(tensor.numel() for tensor in read),
        width=metadata.width,
        classes=len(metadata.labels or ()),
        fit=metadata.fit or (type(network.spec.fit).__name__.lower() if isinstance(network, Detector) else ""),
        license=metadata.license,
        ap=metadata.ap,
        ap50=metadata.ap50,
        ap_split=metadata.split,
        ap_source=metadata.source,
        out=str(out),
        sha256=written,
    )


def _check_finite(state: Mapping[str, Tensor], dtypes: Mapping[str, torch.dtype], source: Path) -> None:
    """Raises InputError for values that are not finite in `dtypes`: the least and the largest of a tensor show it."""
    for name, tensor in state.items():
        if tensor.numel() and not all(bound.to(dtypes[name]).isfinite() for bound in _stored(tensor).aminmax()):
            raise InputError(f"{source}: {name} has values that are not finite", "weights-not-finite")


def _stored(tensor: Tensor) -> Tensor:
    """Its values in their order in memory: TensorFlow's kernels are transposed views, which are reduced
    several times as slowly in the order of their axes.
    """
    return tensor.permute(sorted(range(tensor.dim()), key=tensor.stride, reverse=True))


def _as_detector(metadata: WeightsMetadata, file: WeightsFile) -> tuple[WeightsMetadata, Detector]:
    """The completed metadata, and the detector without memory for its weights."""
    completed = _completed(metadata, file)
    with torch.device("meta"):
        detector = build(completed.apply_to(spec(completed.name, Override(labels=completed.labels))))
    labels, sampling = completed.labels or detector.spec.labels, completed.sampling or detector.spec.fit.sampling
    return replace(completed, labels=labels, sampling=sampling), detector


def _as_backbone(metadata: WeightsMetadata) -> tuple[WeightsMetadata, nn.Module]:
    """A backbone has no classes, and no way in which images are fitted."""
    with torch.device("meta"):
        return metadata, build_backbone(metadata.name, metadata.width).eval()


def _completed(metadata: WeightsMetadata, file: WeightsFile) -> WeightsMetadata:
    """The metadata with what the file states where they are None, and what is known of a published file by its hash.

    The form of the detector, `scratch` and `width`, is that of the file.
    """
    if (earlier := files.read_metadata(file.path)) is not None:
        return replace(earlier, **_given(metadata) | {"scratch": earlier.scratch, "width": earlier.width})
    made = spec(metadata.name)
    fixed, given = published.stated_of(metadata.sha256, metadata.name) | file.metadata(made), _given(metadata)
    classes, width = fixed.pop("classes", None), fixed.get("width", metadata.width)
    if given.keys() & ACCURACY:  # of one source: never one number of the list beside another one that is given
        fixed = {name: value for name, value in fixed.items() if name not in ACCURACY}
    try:
        completed = replace(metadata, **fixed | given | {"width": width})
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
