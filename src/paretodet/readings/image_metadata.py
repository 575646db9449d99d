"""What ONNX's own metadata state of the image: the order of its channels, and the range of its pixels.

Source: MetadataProps.md of ONNX. Custom Vision and tools for Windows ML write them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paretodet.errors import InputError
from paretodet.layouts.layout import BYTES, UNIT_RANGE, Channels, Normalization, Reading

FORMAT, RANGE = "Image.BitmapPixelFormat", "Image.NominalPixelRange"
ORDERS: dict[str, Channels] = {"Rgb8": "rgb", "Rgba8": "rgb", "Bgr8": "bgr", "Bgra8": "bgr"}
RANGES = {
    "NominalRange_0_255": BYTES,
    "Normalized_0_1": UNIT_RANGE,
    "Normalized_1_1": Normalization(mean=(127.5,) * 3, std=(127.5,) * 3),
}


def with_image_metadata(reading: Reading, metadata: Mapping[str, str]) -> Reading:
    """The reading with the pixels that metadata state. Raises InputError if they state others than are known."""
    order, pixels = _known(metadata, FORMAT, ORDERS), _known(metadata, RANGE, RANGES)
    if order is None and pixels is None:
        return reading
    found = pixels or reading.layout.pixels
    found = replace(found, channels=order or reading.layout.pixels.channels)
    reasons = (*reading.reasons, f"its metadata have {' and '.join(key for key in (FORMAT, RANGE) if key in metadata)}")
    known = reading.pixels_known or pixels is not None
    return replace(reading, layout=replace(reading.layout, pixels=found), reasons=reasons, pixels_known=known)


def states_range(metadata: Mapping[str, str]) -> bool:
    """Whether metadata state the range of pixels."""
    return RANGE in metadata


def _known(metadata: Mapping[str, str], key: str, known: Mapping[str, Any]) -> Any:
    """What the value of a key stands for; None without it."""
    if key not in metadata:
        return None
    if metadata[key] not in known:
        raise InputError(f"metadata {key}: got {metadata[key]:.40}, known are {', '.join(known)}", "onnx-layout")
    return known[metadata[key]]
