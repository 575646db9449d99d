"""Every kind of name. A new one is its file and its line here."""

from typing import Any

from paretodet.config import CandidateConfig
from paretodet.sources.bundle import BundleFolder
from paretodet.sources.catalogue import Catalogue, TrainedWeights
from paretodet.sources.darknet import DarknetCfg
from paretodet.sources.hub import Hub
from paretodet.sources.hub_file import HubConfigFile
from paretodet.sources.onnx_file import OnnxFile
from paretodet.sources.openvino_file import OpenVinoFile
from paretodet.sources.python_module import PythonModule
from paretodet.sources.source import Source
from paretodet.sources.tflite_file import TfliteFile
from paretodet.sources.torch_file import TorchFile
from paretodet.sources.torchvision_source import Torchvision

SOURCES: tuple[Source, ...] = (
    BundleFolder(),
    OnnxFile(),
    OpenVinoFile(),
    TfliteFile(),
    TorchFile(),
    DarknetCfg(),
    HubConfigFile(),
    TrainedWeights(),
    Hub(),
    Torchvision(),
    PythonModule(),
    Catalogue(),
)


def source_of(name: str) -> Source:
    """The first source that owns the name: the catalogue where no other does."""
    return next(source for source in SOURCES if source.owns(name))


def check(name: str) -> str:
    """`name`, if a candidate can have it; none is built. Raises UnknownName or ValueError."""
    source_of(name).check(name)
    return name


def resolved(config: CandidateConfig) -> CandidateConfig:
    """The same candidate by the name that its rows' `job` has: of a file of trained weights, its detector's."""
    return source_of(config.name).resolve(config)


def published_accuracy(name: str) -> dict[str, Any]:
    """The accuracy fields of a row: published, or measured when the name's bundle was made; empty without."""
    return source_of(name).accuracy(name)
