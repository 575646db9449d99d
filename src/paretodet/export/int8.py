"""Networks in int8, kept in the cache."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError, words
from paretodet.export.apart import OF_NETWORK, run_apart
from paretodet.export.cache import Entry, cached
from paretodet.export.calibration import CalibrationFeeds, pixels_feed
from paretodet.export.graph import GRAPH, UNSELECTED_GRAPH, exported_graph
from paretodet.export.programs_int8 import (
    Assembly,
    PartsAssembly,
    ProgramQuantizer,
    WholeAssembly,
    quantize_programs,
)
from paretodet.export.quantizer import Quantizer
from paretodet.export.scan import quantize
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import Selection
from paretodet.extras import version_of
from paretodet.media.calibration import CalibrationImages
from paretodet.transforms.resize_policy import ResizePolicy


class Write(Protocol):
    """Writes a network in int8 into a folder."""

    def __call__(self, folder: Path, *, steps: BuildSteps) -> None: ...


def quantized_detector(
    quantizer: Quantizer,
    images: CalibrationImages,
    *,
    exported: Entry,
    fit: ResizePolicy,
    batch: int,
    is_trained: bool = True,
    unselected: DetectorSpec | None = None,
) -> Entry:
    """The folder with a detector in int8 whose graph is the entry `exported`, for as many images a call.

    `unselected` is its spec if the graph is one without selection (`export.unselected`).
    """
    feeds = CalibrationFeeds(paths=images.paths, fit=fit, batch=batch)
    key = {"graph": exported.folder.name, "fit": repr(fit)}
    write = partial(quantize, quantizer, exported.folder / GRAPH, feeds=feeds)
    if unselected:
        graph, detect = exported.folder / UNSELECTED_GRAPH, Selection(unselected, fit.canvas((1, 1))).detections
        write = partial(quantize, quantizer, graph, feeds=replace(feeds, feed=pixels_feed), detect=detect)
    return quantized(quantizer, images, key, write, is_trained=is_trained)


def quantized_parts(
    quantizer: ProgramQuantizer,
    images: CalibrationImages,
    detector: Detector,
    *,
    fit: ResizePolicy,
    batch: int,
    is_trained: bool = True,
) -> Entry:
    """The folder with the parts of a detector (`export.parts`) in int8."""
    exported = exported_graph(detector, batch=batch, form=quantizer.parts)
    assembly, feeds = PartsAssembly(spec=detector.spec), CalibrationFeeds(paths=images.paths, fit=fit, batch=batch)
    return _quantized_programs(quantizer, images, assembly, exported, feeds, is_trained=is_trained)


def quantized_unselected(
    quantizer: ProgramQuantizer, images: CalibrationImages, detector: Detector, *, batch: int
) -> Entry:
    """The folder with a detector without its selection (`export.unselected`) in int8, as `quantizer.artifact`."""
    exported = exported_graph(detector, batch=batch, form=quantizer.whole)
    whole = WholeAssembly(spec=detector.spec, layout=quantizer.layout)
    feeds = CalibrationFeeds(paths=images.paths, fit=detector.spec.fit, batch=batch)
    return _quantized_programs(quantizer, images, whole, exported, feeds)


def _quantized_programs(
    quantizer: ProgramQuantizer,
    images: CalibrationImages,
    assembly: Assembly,
    exported: Entry,
    feeds: CalibrationFeeds,
    *,
    is_trained: bool = True,
) -> Entry:
    """The time of the export is part of the entry's."""
    key = {"graph": exported.folder.name, "fit": repr(feeds.fit)}
    write = partial(quantize_programs, quantizer, assembly, exported.folder, feeds=feeds)
    made = quantized(quantizer, images, key, write, is_trained=is_trained)
    return Entry(made.folder, exported.seconds + made.seconds, exported.spent + made.spent)


def quantized(
    quantizer: Quantizer, images: CalibrationImages, key: Mapping[str, Any], write: Write, *, is_trained: bool = True
) -> Entry:
    """The folder into which another process called `write`; `key` is the network.

    Neither time nor memory of it are counted as the detector's. If it is interrupted, its finished steps are kept.
    Raises InputError if the network cannot be quantized.
    """
    versions = {library: version_of(library) for library in quantizer.libraries}
    whole = {"kind": "int8", "runtime": quantizer.name, **key, "images": images.sha256, **versions}
    steps = BuildSteps(of=f"int8 for {quantizer.name}", key=whole, is_trained=is_trained)
    written = whole if is_trained else {**whole, "weights": "untrained"}  # not of the steps: the ranges are the same
    try:
        return cached(written, lambda folder: run_apart(partial(write, folder, steps=steps)))
    except InputError as error:
        if error.id not in OF_NETWORK:
            raise
        message = f"runtime: {quantizer.name} cannot quantize this network ({words(error)})"
        raise InputError(message, "graph-failed") from error
