"""Names of the catalogue, or of its form, and files of trained weights that say which detector they belong to."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from paretodet.config import BUNDLE, EXECUTION, CandidateConfig
from paretodet.detectors import catalogue, families
from paretodet.detectors.catalogue import PublishedAP
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, UnknownName
from paretodet.detectors.names import parse
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.errors import InputError, words
from paretodet.network import TorchNetwork, detector_network
from paretodet.reading import is_file, is_folder, sha256
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import FITS, with_sampling
from paretodet.weights import files
from paretodet.weights.backbones import BACKBONES
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.safe import WeightsError
from paretodet.weights.torch_code import refuse_code

OPTIONS = EXECUTION | {"height", "width", "proposals", "labels", "score", "nms", "fit", "sampling"}
STORED = ("labels", "fit", "sampling", "score", "nms")  # options that a weights file can hold
KNOWN = (".onnx", ".xml", ".tflite", ".torchscript", ".pt2", ".cfg", ".safetensors")  # endings of files that are opened


class Catalogue(Source):
    """A detector of the catalogue. Without weights it is at capacity, every slot filled, unless a `score` is given."""

    options = OPTIONS | {"weights"}
    form = "torch"
    random = True

    def owns(self, name: str) -> bool:
        return True

    def check(self, name: str) -> None:
        if is_file(Path(name)) and _has_weights(Path(name)):
            refuse_code(Path(name))
            raise files.not_imported(Path(name), "a file of weights, and no name of a detector", "NAME")
        try:
            families.spec(name)
        except UnknownName:
            if is_folder(Path(name)):
                raise UnknownName(_of_folder(Path(name))) from None
            if is_file(Path(name)):
                raise UnknownName(_of_file(Path(name))) from None
            raise
        except ValueError as error:
            raise UnknownName(f"{name!r}: {words(error)}; the nearest: {', '.join(catalogue.nearest(name))}") from error

    def published(self, name: str) -> tuple[PublishedAP, ...]:
        return catalogue.published(name)

    def resolve(self, config: CandidateConfig) -> CandidateConfig:
        """Canvas and proposals become part of the name. Raises ValueError if the detector cannot have them."""
        if config.height is None and config.proposals is None:
            return config
        change = Override(height=config.height, width=config.width, proposals=config.proposals)
        return replace(config, name=families.spec(config.name, change).name, height=None, width=None, proposals=None)

    def display_name(self, config: CandidateConfig) -> str:
        metadata = files.read_metadata(config.weights) if config.weights else None
        return metadata.display_name(config.name) if metadata else config.name

    def accuracy_of(self, config: CandidateConfig) -> dict[str, Any]:
        """With weights, the accuracy that their file states, if it is used as it was published."""
        if config.weights is None:
            return super().accuracy_of(config)
        metadata = files.read_metadata(config.weights)
        as_stated = metadata and metadata.name == config.name and replace(config, weights=None).as_published
        return metadata.accuracy if metadata and as_stated else {}

    def spec(self, config: CandidateConfig) -> DetectorSpec:
        metadata = files.read_metadata(config.weights) if config.weights else None
        config = with_metadata(config, metadata)
        change = Override(
            height=config.height,
            width=config.width,
            proposals=config.proposals,
            labels=config.labels,
            score=config.score,
            overlap=config.nms,
        )
        spec = families.spec(config.name, change)
        if config.fit:
            fit = FITS[config.fit](height=spec.height, width=spec.width, sampling=spec.fit.sampling)
            spec = replace(spec, fit=fit)
        spec = metadata.apply_to(spec) if metadata else spec
        spec = replace(spec, fit=with_sampling(spec.fit, config.sampling))
        return spec if config.weights else families.with_selection(fill_every_slot(spec), change)

    def load(self, config: CandidateConfig) -> TorchNetwork:
        """Raises WeightsError with the command that converts them, if the weights are those of another code base."""
        self.check(config.name)
        if config.weights is None:
            return detector_network(build(self.spec(config)))
        file = files.read_own(config.weights, config.name)
        file.load(detector := build(self.spec(config)))
        return detector_network(detector, weights=sha256(config.weights))


class TrainedWeights(Source):
    """A safetensors file whose metadata names a detector of the catalogue."""

    options = OPTIONS
    form = "torch"

    def owns(self, name: str) -> bool:
        return name.endswith(".safetensors")

    def check(self, name: str) -> None:
        read_metadata(Path(name))

    def resolve(self, config: CandidateConfig) -> CandidateConfig:
        """The detector's name, with the file as its weights. Raises WeightsError if the file does not say."""
        self.check_options(config)
        path = Path(config.name)
        return Catalogue().resolve(replace(config, name=read_metadata(path).name, weights=path))

    def display_name(self, config: CandidateConfig) -> str:
        return Catalogue().display_name(self.resolve(config))

    def check_options(self, config: CandidateConfig) -> None:
        if config.weights:
            raise InputError(
                f"weights: {config.name} is a file of weights itself, leave --weights out", "option-conflict"
            )
        super().check_options(config)

    def spec(self, config: CandidateConfig) -> DetectorSpec:
        return Catalogue().spec(self.resolve(config))

    def load(self, config: CandidateConfig) -> TorchNetwork:
        return Catalogue().load(self.resolve(config))


def _of_folder(folder: Path) -> str:
    """A message about a folder that is no candidate, with the file in it that is one."""
    files = (folder / name for name in ("best.safetensors", "weights.safetensors", "config.json"))
    if found := next(filter(is_file, files), None):
        return f"{str(folder)!r} is a folder, not a detector; give the file in it, {found}"
    return f"{str(folder)!r} is a folder without {BUNDLE}, which every bundle holds; copy the whole bundle again"


def _of_file(file: Path) -> str:
    """A message about a file that no source opens."""
    if (ending := file.suffix.lower()) in KNOWN and ending != file.suffix:
        return f"{str(file)!r} ends in capitals, by which no file is known here; rename it to {file.stem}{ending}"
    known = ", ".join(KNOWN)
    way = "export its model to ONNX, or give module:make (docs/how-to/own-model.md)"
    return f"{str(file)!r} is a file of another kind than those that are opened ({known}): {way}"


def _has_weights(path: Path) -> bool:
    """Whether an existing file is of a known format of weights."""
    try:
        files.file_format(path)
    except WeightsError:
        return False
    return True


def read_metadata(path: Path) -> WeightsMetadata:
    """Which detector a file of weights belongs to. Raises WeightsError if there is none or it does not say."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file", "file-missing")
    if (metadata := files.read_metadata(path)) is None:
        raise WeightsError(
            f"{path} does not say which detector it belongs to: give its NAME and --weights", "weights-metadata"
        )
    try:
        Catalogue().check(metadata.name)  # never a module:make, which would run code, nor another file
    except UnknownName as error:
        raise WeightsError(f"{path}: {words(error)}", "weights-metadata") from None
    return metadata


def with_metadata(config: CandidateConfig, metadata: WeightsMetadata | None) -> CandidateConfig:
    """The config with what its weights file holds of options that are not set.

    Raises WeightsError if the file belongs to another network, or holds an option out of range.
    """
    if metadata is None or config.weights is None:
        return config
    if metadata.name in BACKBONES or _network(metadata.name) != _network(config.name):
        raise WeightsError(f"{config.weights}: weights of {metadata.name}, not of {config.name}", "weights-other")
    stored = stored_options(metadata, config.weights)
    return replace(config, **{key: value for key, value in stored.items() if getattr(config, key) is None})


def stored_options(metadata: WeightsMetadata, path: Path) -> dict[str, Any]:
    """The options that the weights file `path` holds. Raises WeightsError if one is out of range."""
    stored = {key: value for key in STORED if (value := getattr(metadata, key)) is not None}
    try:
        CandidateConfig(name=metadata.name, **stored)
    except ValueError as error:
        raise WeightsError(f"{path}: what it says of its use cannot be: {words(error)}", "weights-metadata") from None
    return stored


def _network(name: str) -> tuple[str, str | None]:
    """Detectors that are equal in it take each other's weights, whatever the canvas."""
    part = parse(name)
    return part.architecture, part.backbone
