"""What `model_info` states beside the outputs: how pixels are scaled, how an image is fitted, and the classes.

Source: Open Model Zoo's Model API. It reads images as BGR, which `reverse_input_channels` turns into RGB.
"""

from collections.abc import Mapping
from dataclasses import replace

from paretodet.errors import InputError
from paretodet.layouts.layout import BGR_BYTES, FileLayout, Normalization, PerChannel, Reading
from paretodet.readings.onnx_graph import INFO

FITS = {"standard": "stretch", "fit_to_window": "letterbox-corner", "fit_to_window_letterbox": "letterbox"}
YES = ("true", "yes", "1")
SCALED = ("mean_values", "scale_values", "embedded_processing")  # of its keys, those that state how pixels are scaled


def as_stated(reading: Reading, metadata: Mapping[str, str]) -> Reading:
    """The reading with what `model_info` states, of files that have it. Raises InputError if it is malformed."""
    info = {key.removeprefix(f"{INFO}."): value for key, value in metadata.items() if key.startswith(f"{INFO}.")}
    if not info:
        return reading
    pixels = _pixels(reading.layout.pixels, info)
    return replace(
        reading,
        layout=_fitted(replace(reading.layout, pixels=pixels), info),
        labels=reading.labels or labels_of_info(metadata),
        pixels_known=reading.pixels_known or states_pixels(metadata),
        fit_known=reading.fit_known or info.get("resize_type") in FITS,
        reasons=(*reading.reasons, f"its {INFO} has {', '.join(sorted(info))}"),
    )


def states_pixels(metadata: Mapping[str, str]) -> bool:
    """Whether `model_info` states how pixels are scaled."""
    return any(f"{INFO}.{key}" in metadata for key in SCALED)


def labels_of_info(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the classes that `model_info` states."""
    return tuple(metadata.get(f"{INFO}.labels", "").split())


def _pixels(found: Normalization, info: Mapping[str, str]) -> Normalization:
    if info.get("embedded_processing", "").lower() in YES:
        return BGR_BYTES
    if "reverse_input_channels" in info:
        is_rgb = info["reverse_input_channels"].lower() in YES
        found = replace(found, channels="rgb" if is_rgb else "bgr")
    if {"mean_values", "scale_values"} & info.keys():
        mean, std = (_numbers(info, key, default) for key, default in (("mean_values", 0.0), ("scale_values", 1.0)))
        found = replace(found, mean=mean, std=std)
    return found


def _fitted(layout: FileLayout, info: Mapping[str, str]) -> FileLayout:
    stated = info.get("resize_type")
    if stated and stated not in FITS:
        message = f"{INFO}.resize_type: got {stated:.40}, known are {', '.join(FITS)}"
        raise InputError(message, "onnx-layout")
    fit = FITS[stated] if stated else layout.fit
    fill = int(_numbers(info, "pad_value", layout.fill)[0]) if fit.startswith("letterbox") else layout.fill
    return replace(layout, fit=fit, fill=fill)


def _numbers(info: Mapping[str, str], key: str, default: float) -> PerChannel:
    """One number for each channel, of which one may stand for all."""
    try:
        values = [float(number) for number in info.get(key, "").split()] or [default]
        first, second, third = values * 3 if len(values) == 1 else values
    except ValueError:
        raise InputError(f"{INFO}.{key}: got {info[key]:.40}, expected one or three numbers", "onnx-layout") from None
    return first, second, third
