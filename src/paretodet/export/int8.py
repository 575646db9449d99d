"""Networks in int8, kept in the cache."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, words
from paretodet.export.apart import run_apart
from paretodet.export.cache import Entry, cached
from paretodet.export.calibration import CalibrationFeeds
from paretodet.export.graph import GRAPH, exported_graph
from paretodet.export.programs_int8 import (
    Assembly,
    PartsAssembly,
    ProgramQuantizer,
    WholeAssembly,
    quantize_programs,
)
from paretodet.export.quantizer import Quantizer, quantize
from paretodet.media.calibration import CalibrationImages
from paretodet.transforms.resize_policy import ResizePolicy


def quantized_detector(
    quantizer: Quantizer, images: CalibrationImages, *, exported: Entry, fit: ResizePolicy, batch: int
) -> Entry:
    """The folder with a detector in int8 whose graph is the entry `exported`, for as many images a call."""
    feeds = CalibrationFeeds(paths=images.paths, fit=fit, batch=batch)
    key = {"graph": exported.folder.name, "fit": repr(fit)}
    return quantized(quantizer, images, key, partial(quantize, quantizer, exported.folder / GRAPH, feeds=feeds))


def quantized_parts(
    quantizer: ProgramQuantizer, images: CalibrationImages, detector: Detector, *, fit: ResizePolicy, batch: int
) -> Entry:
    """The folder with the parts of a detector (`export.parts`) in int8."""
    exported = exported_graph(detector, batch=batch, form=quantizer.parts)
    return _quantized_programs(quantizer, images, PartsAssembly(spec=detector.spec), exported, fit=fit, batch=batch)


def quantized_unselected(
    quantizer: ProgramQuantizer, images: CalibrationImages, detector: Detector, *, batch: int
) -> Entry:
    """The folder with a detector without its selection (`export.unselected`) in int8, as `quantizer.artifact`."""
    exported = exported_graph(detector, batch=batch, form=quantizer.whole)
    whole = WholeAssembly(spec=detector.spec, layout=quantizer.layout)
    return _quantized_programs(quantizer, images, whole, exported, fit=detector.spec.fit, batch=batch)


def _quantized_programs(
    quantizer: ProgramQuantizer,
    images: CalibrationImages,
    assembly: Assembly,
    exported: Entry,
    *,
    fit: ResizePolicy,
    batch: int,
) -> Entry:
    """The time of the export is part of the entry's."""
    feeds = CalibrationFeeds(paths=images.paths, fit=fit, batch=batch)
    key = {"graph": exported.folder.name, "fit": repr(fit)}
    write = partial(quantize_programs, quantizer, assembly, exported.folder, feeds=feeds)
    made = quantized(quantizer, images, key, write)
    return Entry(made.folder, exported.seconds + made.seconds, exported.spent + made.spent)


def quantized(
    quantizer: Quantizer, images: CalibrationImages, key: Mapping[str, Any], write: Callable[[Path], None]
) -> Entry:
    """The folder into which another process called `write`; `key` is the network.

    Neither time nor memory of it are counted as the detector's. Raises InputError if the network cannot be quantized.
    """
    versions = {library: version(library) for library in quantizer.libraries}
    whole = {"kind": "int8", "runtime": quantizer.name, **key, "images": images.sha256, **versions}
    try:
        return cached(whole, lambda folder: run_apart(partial(write, folder)))
    except ValueError as error:
        message = f"runtime: {quantizer.name} cannot quantize this network ({words(error)})"
        raise InputError(message, "graph-failed") from error
