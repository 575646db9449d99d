"""Load a weights file of any supported format into a detector, and read the metadata of a file.

A format (`formats/`) reads the named tensors of a file, a naming (`namings/`) finds their places in a detector.
Darknet's `.weights` files have no names: their order is that of the network.
"""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from paretodet import schema
from paretodet.detectors.detector import Detector
from paretodet.detectors.released import as_released
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.trainable_norms import trainable_norms
from paretodet.errors import InputError
from paretodet.layers.norms import BatchNorm, FrozenNorm
from paretodet.reading import sha256
from paretodet.schema import Finite, Limits
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import with_sampling
from paretodet.weights import darknet, published, safe
from paretodet.weights.file_format import FileFormat, ItemTensors
from paretodet.weights.formats import FORMATS
from paretodet.weights.naming import COUNTER, Naming, Tensors
from paretodet.weights.namings import NAMINGS
from paretodet.weights.prior_boxes import with_percents
from paretodet.weights.safe import WeightsError

DARKNET, DARKNET_NAME = ".weights", "darknet"
TRAINED = "weights.safetensors"  # in the folder of a training, and in those of its checkpoints
KEY = "paretodet"  # in the metadata of a safetensors file
FORM = ("scratch", "width", "norm_eps", "prior_percents", "released", "sampling")  # what `apply_to` reads
USE = ("fit", "score", "nms")  # options of whoever imported them, or of the original; None: as in the catalogue
MODULES = 3  # around a network, whose names come before those of its tensors
Percent = Annotated[int, Limits(ge=1, le=1000)]


@dataclass(frozen=True, kw_only=True)
class WeightsMetadata:
    """Where weights come from, how their detector differs from the catalogue's, and the settings to use them with.

    None means unknown, or the default of the detector.
    """

    name: str  # in the catalogue
    file: str = ""  # name of the original file, without its folder
    sha256: str = ""  # of the original file
    license: str | None = None
    labels: tuple[str | None, ...] | None = None
    scratch: bool = False  # trained from scratch: the detector is that of `trainable_norms`
    width: Annotated[float, Limits(gt=0, le=1)] = 1.0  # factor on the channels, as in `scale_width`
    norm_eps: Annotated[float, Limits(ge=0, le=1)] | None = None  # epsilon of the backbone's norms
    prior_percents: tuple[Percent, ...] | None = None  # sizes of SSD's default boxes, as in `PriorBoxes`
    released: bool | None = None  # the detector is that of `as_released`, where it differs from the paper's
    fit: str | None = None  # "stretch" or "letterbox"
    sampling: Sampling | None = None  # how pixels are resampled; None: as by the system of the name
    score: Finite | None = None  # threshold
    nms: Finite | None = None  # IoU threshold
    stated: tuple[str, ...] | None = None  # those of `USE` that are of the original, which was published with them
    ap: Finite | None = None  # published for these weights, COCO, percent
    ap50: Finite | None = None
    split: str | None = None  # of the published AP
    source: str | None = None  # of the published AP
    rounding: Annotated[float, Limits(gt=0, le=50)] | None = None  # half a unit of the last published digit

    def __post_init__(self) -> None:
        schema.check(self)

    def display_name(self, name: str) -> str:
        """The name of a row with these weights; `name` may have another input size than the trained one."""
        formed = f"{name} as released" if self.released else name
        return f"{formed} at width {self.width:g}" if self.width < 1 else formed

    def of_detector(self) -> "WeightsMetadata":
        """Its name and how its detector differs from the catalogue's, without origin, classes and thresholds."""
        return replace(WeightsMetadata(name=self.name), **{field: getattr(self, field) for field in FORM})

    @property
    def as_published(self) -> bool:
        """Whether no option of `USE` is of whoever imported the weights."""
        return all(getattr(self, option) is None or option in (self.stated or ()) for option in USE)

    @property
    def accuracy(self) -> dict[str, Any]:
        """The accuracy fields of a row with these weights; empty if none was published, or they are used otherwise.

        Where the rounding is not known, it is the most that the numbers allow.
        """
        printed = [number for number in (self.ap, self.ap50) if number is not None]
        if not printed or not self.as_published:
            return {}
        rounding = self.rounding or (0.5 if all(float(number).is_integer() for number in printed) else 0.05)
        stated = {"ap": self.ap, "ap50": self.ap50, "ap_split": self.split, "ap_source": self.source}
        return stated | {"ap_rounding": rounding}

    def apply_to(self, spec: DetectorSpec) -> DetectorSpec:
        """The catalogue's spec, changed as the detector of these weights is."""
        spec = as_released(spec) if self.released else spec
        spec = with_percents(spec, self.prior_percents) if self.prior_percents else spec
        spec = spec if self.norm_eps is None else _with_norm_eps(spec, self.norm_eps)
        spec = replace(spec, fit=with_sampling(spec.fit, self.sampling))
        trainable = trainable_norms(spec) if self.scratch else spec
        return scale_width(trainable, self.width) if self.width < 1 else trainable


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A file that was read. A darknet file has no named tensors: it is read when it is loaded."""

    path: Path
    format: FileFormat | None  # None: darknet's
    naming: Naming | None  # None: our names, or none
    tensors: Tensors

    @property
    def format_name(self) -> str:
        return self.format.name if self.format else DARKNET_NAME

    @property
    def code_base(self) -> str:
        own = "paretodet" if self.format else DARKNET_NAME
        return self.naming.title if self.naming else own

    def metadata(self, spec: DetectorSpec) -> dict[str, Any]:
        """The fields of WeightsMetadata that it fixes of a detector of its kind, and `classes`, the number of them.

        Raises WeightsError if it has weights of another kind of detector.
        """
        with _naming(self.path):
            fixed = self.naming.metadata(self.tensors, spec) if self.naming else {}
        return (self.format.metadata(self.path) if self.format else {}) | fixed | self._published()

    @property
    def width(self) -> float | None:
        """The factor on the channels that the tensors show; None if they show none."""
        return self.naming.width(self.tensors) if self.naming else None

    @property
    def item(self) -> str | None:
        """The item of a checkpoint that the tensors are."""
        return self.tensors.item if isinstance(self.tensors, ItemTensors) else None

    def unproved(self, module: nn.Module) -> tuple[str, ...]:
        """What the file does not show of the network `module` although its results depend on it, as sentences."""
        if self.naming:
            return self.naming.unproved(self.tensors, module)
        if self.format or not isinstance(module, Detector) or published.listed(self.sha256):
            return ()
        taken = f"they are taken to be those of {module.spec.name}"
        return (
            f"The file does not say its anchors: {taken}. If they are others, give the cfg of the network as NAME.",
        )

    def asked(self) -> dict[str, str]:
        """The fields of WeightsMetadata on which the detector depends and that the file does not have, each with a
        question."""
        asked = self.naming.unsaid(self.tensors) if self.naming else {}
        return {name: question for name, question in asked.items() if name not in self._published()}

    def check_said(self, given: Mapping[str, Any]) -> None:
        """Raises WeightsError with a question if the detector depends on a field of WeightsMetadata that neither the
        file nor `given` has."""
        for name, question in self.asked().items():
            if given.get(name) is None:
                raise WeightsError(f"{self.path}: {question}", "weights-norm-eps")

    @cached_property
    def sha256(self) -> str:
        return sha256(self.path)

    def _published(self) -> dict[str, Any]:
        """The epsilon of the norms, if the code base published this file and says so."""
        known = self.naming.published_eps if self.naming else {}
        return next(({"norm_eps": eps} for start, eps in known.items() if self.sha256.startswith(start)), {})

    def state(self, module: nn.Module) -> Tensors:
        """The state of `module`, whose own tensors may be on the meta device; types may be others than the module's.

        Raises ValueError naming the file and missing, unused or wrongly shaped tensors.
        """
        if self.format is None:
            counters = {name: torch.tensor(0) for name in module.state_dict() if name.endswith(COUNTER)}
            state: Tensors = counters | dict(darknet.read(module, self.path))
        else:
            with _naming(self.path):
                state = self.naming.state(self.tensors, module) if self.naming else self._own(module)
        safe.check_complete(module, state, self.path)
        return state

    def _own(self, module: nn.Module) -> Tensors:
        """The tensors by our names. Raises WeightsError, without the path, if none of them is one of `module`."""
        if self.tensors.keys().isdisjoint(module.state_dict()):
            network = module.spec.name if isinstance(module, Detector) else type(module).__name__
            first, titles = min(self.tensors, default=""), ", ".join(naming.title for naming in NAMINGS)
            message = f"none of its tensors, such as {first[:80]!r}, has a name of {network} or of {titles}"
            raise WeightsError(message, "weights-shape")
        return self.tensors

    def load(self, module: nn.Module) -> None:
        """Load it into `module`. Raises as `state`."""
        if self.format is None:
            darknet.load(module, self.path)
        else:
            module.load_state_dict(dict(self.state(module)))


def load(module: nn.Module, path: Path) -> None:
    """Load a weights file of any supported format and naming into `module`.

    Raises ValueError naming the file and the missing, unused or wrongly shaped tensors, or the supported formats, or
    what the file does not say and an import asks.
    """
    file = read(path)
    file.check_said({})
    file.load(module)


def read(path: Path, format: str | None = None) -> WeightsFile:
    """Read a file; its format is recognized unless it is given.

    Raises WeightsError naming the supported formats, or what is wrong with the file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: {_absence(path)}", "file-missing")
    form = file_format(path) if format is None else named_format(format)
    tensors = _without_module(form.read(path)) if form else {}
    return WeightsFile(path=path, format=form, naming=naming_of(tensors), tensors=tensors)


def _absence(path: Path) -> str:
    """Why it is no file, with the one that is meant if it is there."""
    if path.is_dir():
        inside = path / TRAINED
        return f"is a folder; give {inside if inside.is_file() else 'the file in it that has the weights'}"
    index = path.with_name(f"{path.name}.index")  # TensorFlow calls a checkpoint by the name without it
    return "no such file" + (f"; a checkpoint of TensorFlow is given as {index}" if index.is_file() else "")


def file_format(path: Path) -> FileFormat | None:
    """The format of an existing file, None for darknet's. Raises WeightsError naming the supported ones."""
    if path.suffix == DARKNET:
        return None
    found = next((form for form in FORMATS if form.matches(path)), None)
    if found is None:
        allowed = ", ".join([*(form.title for form in FORMATS), f"a darknet file ({DARKNET})"])
        raise WeightsError(f"{path}: not a weights file of a known format, allowed {allowed}", "weights-format")
    return found


def named_format(name: str) -> FileFormat | None:
    """The format of this name, None for darknet's. Raises InputError naming the supported ones."""
    formats = {DARKNET_NAME: None} | {form.name: form for form in FORMATS}
    if name not in formats:
        raise InputError(f"format: got {name!r}, allowed {', '.join(formats)}", "option-value")
    return formats[name]


def not_imported(path: Path, what: str, name: str) -> WeightsError:
    """The error with the command that converts a file, whose detector may differ from the catalogue's."""
    command = shlex.join(["paretodet", "import", str(path), "--as", name, "--out", f"{path.stem}.safetensors"])
    return WeightsError(f"{path}: {what}: convert it with `{command}` and use the result", "weights-format")


def read_own(path: Path, name: str) -> WeightsFile:
    """Read a file with our names, or darknet's without names. Raises WeightsError as `read`, and one with the command
    that converts it to weights of `name`, if the names are of another code base."""
    file = read(path)
    if file.naming:
        raise not_imported(path, f"has weights of {file.naming.title}", name)
    return file


def naming_of(names: Collection[str]) -> Naming | None:
    """The code base that tensors with these names are of; None: ours."""
    return next((naming for naming in NAMINGS if naming.matches(names)), None)


def _without_module(tensors: Tensors) -> Tensors:
    """The tensors by names of a known code base, without the names of the modules around the network that all of them
    begin with, as those of Lightning; as they are if that gives no such names.
    """
    inner: Tensors = tensors
    for _ in range(MODULES):
        parts = [name.partition(".") for name in inner]
        if naming_of(inner) or len({first for first, _, _ in parts}) != 1 or not all(rest for _, _, rest in parts):
            break
        inner = {rest: tensor for (_, _, rest), tensor in zip(parts, inner.values(), strict=True)}
    if not naming_of(inner):
        return tensors
    return ItemTensors(inner, tensors.item) if isinstance(tensors, ItemTensors) else inner


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the path in front of errors of a naming, which knows only the tensors."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.message}", error.id) from None


def _with_norm_eps(spec: DetectorSpec, eps: float) -> DetectorSpec:
    """The spec with this epsilon in the norms of its backbone, if it has any."""
    backbone: Any = spec.backbone
    norm = getattr(backbone, "norm", None)
    if not isinstance(norm, BatchNorm | FrozenNorm):
        return spec
    return replace(spec, backbone=replace(backbone, norm=replace(norm, eps=eps)))


def read_metadata(path: Path) -> WeightsMetadata | None:
    """The metadata of a safetensors file that `save` wrote; None for any other file.

    The sampling of a file that a training wrote before files stated it is the one with which it was trained.
    """
    text = safe.metadata(path).get(KEY) if path.suffix == ".safetensors" and path.is_file() else None
    if text is None:
        return None
    try:
        metadata = schema.parse(text, WeightsMetadata, what=f"its metadata {KEY!r}")
    except schema.SchemaError as error:
        raise WeightsError(f"{path}: {error.message}", "weights-metadata") from None
    is_trained = metadata.scratch or "/" in metadata.file  # the file of a checkpoint has its folder before it
    return replace(metadata, sampling="antialiased") if is_trained and metadata.sampling is None else metadata


def header(metadata: WeightsMetadata) -> dict[str, str]:
    """The metadata as a safetensors file holds them; `stated`, which was added later, only if there is any: the hash of
    a file is part of rows.
    """
    values = asdict(metadata)
    return {KEY: json.dumps({name: value for name, value in values.items() if name != "stated" or value})}


def save(
    tensors: Mapping[str, Tensor],
    path: Path,
    metadata: WeightsMetadata,
    *,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> str:
    """Write the weights of a detector as a safetensors file with metadata, as `safe.save`. Raises OSError."""
    return safe.save(tensors, path, header(metadata), dtypes=dtypes)
