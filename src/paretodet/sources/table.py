"""Every kind of name. A new one is its file and its line here."""

from typing import Any

from paretodet.config import CandidateConfig
from paretodet.sources.catalogue import Catalogue, TrainedWeights
from paretodet.sources.darknet import DarknetCfg
from paretodet.sources.hub import Hub
from paretodet.sources.onnx_file import OnnxFile
from paretodet.sources.python_module import PythonModule
from paretodet.sources.source import Source

SOURCES: tuple[Source, ...] = (OnnxFile(), DarknetCfg(), TrainedWeights(), Hub(), PythonModule(), Catalogue())


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
    """A row's accuracy fields: of what was published the first with an AP, else the first; empty where nothing was."""
    entries = source_of(name).published(name)
    if not entries:
        return {}
    shown = next((entry for entry in entries if entry.ap is not None), entries[0])
    numbers = {field: getattr(shown, field) for field in ("ap", "ap50", "mask_ap", "mask_ap50")}
    return {**numbers, "ap_split": shown.split, "ap_source": shown.source, "ap_rounding": shown.rounding}
