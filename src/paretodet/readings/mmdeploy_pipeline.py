"""What MMDeploy writes into `pipeline.json` beside a file with --dump-info: pixels, and how images are fitted.

Source: the transforms of its SDK. Images are read blue first, and `to_rgb` exchanges channels before the mean. A file
of one size is made for stretched images unless `keep_ratio` says otherwise; padding is 0 after the normalization.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretodet.errors import InputError
from paretodet.layouts.layout import FileLayout, Normalization, Reading
from paretodet.readings.image_processor import read_object

PIPELINE = "pipeline.json"
FITS: Mapping[Any, str] = {True: "letterbox-corner", False: "stretch"}  # by `keep_ratio`


def with_pipeline(reading: Reading, path: Path) -> Reading:
    """The reading of a file that does not say how pixels are scaled, with what the pipeline beside it states.

    Raises InputError naming the pipeline if it cannot be read.
    """
    if reading.pixels_known:
        return reading
    steps = {str(step.get("type")): step for step in _transforms(read_object(path.with_name(PIPELINE)))}
    if "Normalize" not in steps:
        return reading
    try:
        layout = _stated(reading.layout, steps)
    except (TypeError, ValueError, KeyError):  # InputError too
        got = f"Normalize of {steps['Normalize']}"
        raise InputError(f"{path.with_name(PIPELINE)}: got {got:.200}, which is not known", "onnx-layout") from None
    known = reading.fit_known or "keep_ratio" in steps.get("Resize", {})
    reasons = (*reading.reasons, f"{PIPELINE} beside it states pixels")
    return replace(reading, layout=layout, reasons=reasons, pixels_known=True, fit_known=known)


def _transforms(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The transforms of all tasks; none of another document."""
    pipeline = document.get("pipeline")
    tasks = pipeline.get("tasks", ()) if isinstance(pipeline, dict) else ()
    for task in (task for task in tasks if isinstance(task, dict)):
        yield from (step for step in task.get("transforms", ()) if isinstance(step, dict))


def _stated(layout: FileLayout, steps: Mapping[str, Mapping[str, Any]]) -> FileLayout:
    normalize = steps["Normalize"]
    red, green, blue = (float(value) for value in normalize["mean"])
    first, second, third = (float(value) for value in normalize["std"])
    pixels = Normalization(
        channels="rgb" if normalize["to_rgb"] else "bgr", mean=(red, green, blue), std=(first, second, third)
    )
    fit = FITS.get(steps.get("Resize", {}).get("keep_ratio"), layout.fit)
    fill = round(max(0.0, min(255.0, sum(pixels.mean) / 3))) if fit != "stretch" else layout.fill
    return replace(layout, pixels=pixels, fit=fit, fill=fill, sampling="opencv")
