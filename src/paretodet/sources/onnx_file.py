"""ONNX files."""

from functools import partial
from pathlib import Path

from paretodet.bench.candidate import ModelInfo
from paretodet.config import EXECUTION, CandidateConfig
from paretodet.errors import InputError
from paretodet.network import Labels, OnnxNetwork
from paretodet.reading import in_place_of
from paretodet.sources.bundle import check_no_artifact
from paretodet.sources.hashes import model_sha256
from paretodet.sources.source import Source
from paretodet.transforms.resize_policy import FITS


class OnnxFile(Source):
    """A detector in a file. What its outputs mean is recognized (`readings`), or given as a layout."""

    options = EXECUTION | {"height", "width", "labels", "score", "nms", "fit", "sampling", "layout"}
    form = "onnx"
    is_stored = True

    def owns(self, name: str) -> bool:
        return name.endswith(".onnx")

    def check(self, name: str) -> None:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file", "file-missing")
        check_content(Path(name))

    def display_name(self, config: CandidateConfig) -> str:
        return Path(config.name).stem

    def load(self, config: CandidateConfig) -> OnnxNetwork:
        weights = model_sha256(Path(config.name))
        return file_network(config, form=self.form, labels=config.labels or (), weights=weights)


def check_content(path: Path) -> None:
    """Raises InputError if a file is not what its name promises, but stands in its place."""
    if path.is_file() and (what := in_place_of(path)):
        raise InputError(f"{path}: is {what}", "graph-failed")


def file_network(config: CandidateConfig, *, form: str, labels: Labels, weights: str) -> OnnxNetwork:
    """The network of a config's file, whose SHA-256 is `weights`. Raises InputError if it is part of a bundle."""
    path = Path(config.name)
    check_content(path)
    if form != "onnx" and config.layout is None:  # an ONNX file states these things itself
        check_no_artifact(path)
    return OnnxNetwork(
        form=form,
        name=path.stem,
        labels=labels,
        path=path,
        describe=partial(ModelInfo, weights=weights),
        identity={"file": weights, "score": config.score},
        size=config.size,
        fit=FITS[config.fit] if config.fit else None,
        sampling=config.sampling,
        layout=config.layout,
        score=config.score,
        overlap=config.nms,
    )
