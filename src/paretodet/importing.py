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
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.transforms.resize_policy import FITS
from paretodet.weights import files, published
from paretodet.weights.backbones import BACKBONES, build_backbone
from paretodet.weights.files import WeightsFile, WeightsMetadata
from paretodet.weights.safe import WeightsError
from paretodet.writing import check_target

ACCURACY = {"ap", "ap50", "split", "source", "rounding"}  # fields of WeightsMetadata
ALTERING = ("norm_eps", "prior_percents", "released", "sampling")  # its fields on which detections depend
Labels = tuple[str | None, ...]


class ImportedWeights(NamedTuple):
    """What was read and written."""

    name: str
    source: str
    source_sha256: str
    format: str
    code_base: str
    item: str | None  # of a checkpoint that has others
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
    unproved: tuple[str, ...]  # sentences about what the file does not show of the network


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
    metadata, network = _as_backbone(metadata, file) if metadata.name in BACKBONES else _as_detector(metadata, file)
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
        item=file.item,
        tensors=sum(tensor.numel() > 0 for tensor in file.tensors.values()) or len(read),
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
        unproved=file.unproved(network),
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


def _as_backbone(metadata: WeightsMetadata, file: WeightsFile) -> tuple[WeightsMetadata, nn.Module]:
    """A backbone has no classes, and no way in which images are fitted. Its width is that of the file."""
    earlier = files.read_metadata(file.path)
    own = {"width": file.width} if earlier is None else {"width": earlier.width, "license": earlier.license}
    metadata = _with(metadata, file.path, {name: value for name, value in own.items() if value} | _chosen(metadata))
    with torch.device("meta"):
        return metadata, build_backbone(metadata.name, metadata.width).eval()


def _completed(metadata: WeightsMetadata, file: WeightsFile) -> WeightsMetadata:
    """The metadata with what the file states where they are None, and what is known of a published file by its hash.

    The form of the detector, `scratch` and `width`, is that of the file. The published accuracy is that of the file in
    this detector, with what it states itself: none if an option changes what it detects.
    """
    made, chosen = spec(metadata.name), _chosen(metadata)
    fixed = _stated(metadata, file, made)
    classes, unused, originals = fixed.pop("classes", None), fixed.pop("unused", 0), fixed.pop("stated")
    if chosen.keys() & ACCURACY:  # of one source: never one number of the list beside another one that is given
        fixed = {name: value for name, value in fixed.items() if name not in ACCURACY}
    completed = _with(metadata, file.path, fixed | chosen)
    file.check_said(asdict(completed))
    labels = _labels(completed.labels or made.labels, classes, unused if completed.labels else 0, file.path)
    stated = tuple(name for name in originals if name in fixed and getattr(completed, name) == fixed[name])
    completed = replace(completed, labels=labels, fit=_other_fit(completed.fit, made), stated=stated or None)
    answered = {name: getattr(completed, name) for name in file.asked()}
    published_form: dict[str, Any] = {name: fixed.get(name) for name in ALTERING} | answered
    if not completed.as_published or replace(completed, **published_form).apply_to(made) != completed.apply_to(made):
        return _with(completed, file.path, dict.fromkeys(ACCURACY))
    return completed


def _stated(metadata: WeightsMetadata, file: WeightsFile, made: DetectorSpec) -> dict[str, Any]:
    """What the file says in fields of WeightsMetadata, of `classes` and of `unused`, and what is known by its hash.

    A file that was imported before says all of it, and its accuracy if it was imported as the same detector; of its
    options, `stated` has those of the original.
    """
    if (earlier := files.read_metadata(file.path)) is None:
        return published.stated_of(metadata.sha256, metadata.name) | file.metadata(made) | {"stated": files.USE}
    foreign = {"name", "file", "sha256"} | (set() if earlier.name == metadata.name else ACCURACY)
    said = {name: value for name, value in asdict(earlier).items() if value is not None and name not in foreign}
    return {"stated": ()} | said


def _chosen(metadata: WeightsMetadata) -> dict[str, Any]:
    """The fields that whoever imports has set, without the form of the detector, which is that of the file."""
    values = {field.name: getattr(metadata, field.name) for field in fields(metadata)}
    return {name: value for name, value in values.items() if value is not None and name not in ("scratch", "width")}


def _with(metadata: WeightsMetadata, path: Path, values: dict[str, Any]) -> WeightsMetadata:
    """The metadata with these values. Raises WeightsError if one is out of range."""
    try:
        return replace(metadata, **values)
    except schema.SchemaError as error:
        raise WeightsError(f"{path}: {error.message}", "weights-metadata") from None


def _other_fit(fit: str | None, made: DetectorSpec) -> str | None:
    """How images are fitted; None if that is the detector's own way."""
    if fit not in FITS:
        return fit
    given = FITS[fit](height=made.height, width=made.width, sampling=made.fit.sampling)
    return None if given == made.fit else fit


def _labels(labels: Labels, classes: int | None, unused: int, path: Path) -> Labels:
    """The names of all classes of the tensors: None for unused ones in front, if exactly their names are missing.

    Raises WeightsError if the tensors do not have as many classes as there are names.
    """
    if classes is None or classes == len(labels):
        return labels
    if classes == len(labels) + unused:
        return (None,) * unused + labels
    slots = f", of which the first, slot 0, is unused: {classes - unused} or {classes} names fit" if unused else ""
    message = f"{path}: has {classes} classes{slots}, and {len(labels)} are named; give their names with --classes"
    raise WeightsError(message, "weights-other")
