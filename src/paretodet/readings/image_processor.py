"""What transformers states in files beside an ONNX file that its exporters wrote: pixels, size and classes.

Source: `preprocessor_config.json` of the image processors of transformers 5, and `config.json`, which optimum writes
into the folder of `model.onnx`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretodet.errors import InputError, words
from paretodet.layouts.layout import IMAGENET, UNIT_RANGE, Normalization, PerChannel, Reading
from paretodet.reading import read_bytes
from paretodet.readings.class_names import Names, parsed

PROCESSOR, CONFIG = "preprocessor_config.json", "config.json"
KINDS = ("image_processor_type", "feature_extractor_type")  # of its keys, one that tells it from other files
SIDES = ("height", "width")
MAX_BYTES = 2**24


def with_processor(reading: Reading, path: Path) -> Reading:
    """The reading of a file that does not say how pixels are scaled, with what the image processor beside it states.

    Raises InputError naming the file beside it if that cannot be read.
    """
    processor = {} if reading.pixels_known else read_object(path.with_name(PROCESSOR))
    if not any(kind in processor for kind in KINDS):
        return reading
    size, padded = processor.get("size"), processor.get("do_pad") and processor.get("pad_size")
    stretched = isinstance(size, dict) and set(size) == set(SIDES) and not padded
    fit = "stretch" if stretched else reading.layout.fit
    layout = replace(reading.layout, pixels=_pixels(processor, path), fit=fit)
    reasons = (*reading.reasons, f"{PROCESSOR} beside it states pixels{' and size' if stretched else ''}")
    known = reading.fit_known or stretched
    return replace(reading, layout=layout, reasons=reasons, pixels_known=True, fit_known=known)


def names_beside(path: Path) -> Names:
    """The names of the classes in the configuration beside a file; none without an image processor."""
    if not path.with_name(PROCESSOR).is_file():
        return ()
    return parsed(json.dumps(read_object(path.with_name(CONFIG)).get("id2label")))


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty without one. Raises InputError naming the file if it is no JSON."""
    try:
        found = json.loads(read_bytes(path, MAX_BYTES)) if path.is_file() else {}
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({words(error)})", "json-invalid") from None
    return found if isinstance(found, dict) else {}


def _pixels(processor: Mapping[str, Any], path: Path) -> Normalization:
    """Means and deviations are of pixels of 0..1."""
    if processor.get("do_normalize") is False and processor.get("do_rescale") is not False:
        return UNIT_RANGE
    try:
        mean = _scaled(processor["image_mean"]) if processor.get("image_mean") else IMAGENET.mean
        std = _scaled(processor["image_std"]) if processor.get("image_std") else IMAGENET.std
        if processor.get("do_rescale") is not False and all(std):
            return Normalization(mean=mean, std=std)
    except (TypeError, ValueError):
        pass
    stated = {key: processor.get(key) for key in ("do_rescale", "do_normalize", "image_mean", "image_std")}
    raise InputError(f"{path.with_name(PROCESSOR)}: got {stated}, which is not known", "onnx-layout")


def _scaled(values: Any) -> PerChannel:
    first, second, third = (255 * float(value) for value in values)
    return first, second, third
