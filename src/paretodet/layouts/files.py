"""Layouts as data and as TOML files that a user edits."""

import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from paretodet import schema
from paretodet.errors import InputError, words
from paretodet.layouts.layout import FileLayout, Normalization, OutputLayout
from paretodet.reading import read_bytes
from paretodet.schema import Closed, Count, Finite
from paretodet.transforms.resize import Sampling

MAX_BYTES = 2**20
PLAIN = FileLayout(family="", outputs=OutputLayout(columns=(("", ("box", "score")),)))
OUTPUT_FIELDS = tuple(field for field in fields(OutputLayout) if field.name != "columns")
COMMENTS = {  # of the lines of a file, by key
    "channels": "order in which the file reads them: rgb or bgr",
    "mean": "subtracted from pixels of 0..255",
    "std": "then divided by: 255 gives 0..1, 1 keeps 0..255",
    "fit": "stretch, letterbox (centered), letterbox-corner (image at the top left)",
    "fill": "gray around a letterboxed image",
    "sampling": "antialiased (Pillow), opencv, tf1, torch or corners",
    "columns": "box, anchor (4), center, size (2), objectness, score, label, image (1), classes, bins, count, other",
    "transposed": "outputs are [B, columns, N]",
    "map_axes": "of outputs with four dimensions: nchw, or nhwc (channels last)",
    "box": "xyxy, yxyx, cxcywh or xywh",
    "unit": "pixels or fractions of the canvas",
    "coding": "boxes, grid (YOLOX), distances, pixel-distances (FCOS), priors, linear, anchors, darknet or tanh",
    "strides": "of the cells, in the order of the rows",
    "anchors": "[width, height] in px of every anchor of each stride",
    "offset": "of a point in its cell, in cells",
    "activation": "left to apply to classes: none, sigmoid or softmax",
    "background": "a class that is no object: none, first or last",
    "first_label": "number of the first class in a column of labels",
    "suppressed": "whether no object is left with two boxes",
}


class _Pixels(Closed, frozen=True):
    channels: str = "rgb"
    mean: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)
    std: tuple[Finite, Finite, Finite] = (255.0, 255.0, 255.0)


class _Canvas(Closed, frozen=True):
    fit: str = "stretch"
    fill: Count = 114
    sampling: str = "antialiased"


class _Output(Closed, frozen=True):
    name: str
    columns: tuple[str, ...]


class _Meaning(Closed, frozen=True):
    transposed: bool = False
    map_axes: str = "nchw"
    box: str = "xyxy"
    unit: str = "pixels"
    coding: str = "boxes"
    scale_xy: tuple[Finite, ...] = ()
    strides: tuple[Count, ...] = ()
    offset: Finite = 0.5
    per_cell: Count = 1
    cells: str = "up"
    priors: tuple[tuple[Finite, ...], ...] = ()
    variances: tuple[Finite, ...] = (0.1, 0.2)
    anchors: tuple[tuple[tuple[Finite, Finite], ...], ...] = ()
    peaks: bool = False
    activation: str = "none"
    background: str = "none"
    objectness: str = "product"
    first_label: Count = 0
    suppressed: bool = True
    threshold: Finite = 0.001
    overlap: Finite = 0.7
    merge: str = "none"
    keep: Count = 300


class _Layout(Closed, frozen=True):
    outputs: tuple[_Output, ...]
    family: str = "layout file"
    pixels: _Pixels = _Pixels()
    canvas: _Canvas = _Canvas()
    meaning: _Meaning = _Meaning()


def to_data(layout: FileLayout) -> dict[str, Any]:
    """A layout as data for JSON and TOML."""
    outputs, pixels = layout.outputs, layout.pixels
    return {
        "family": layout.family,
        "pixels": {"channels": pixels.channels, "mean": list(pixels.mean), "std": list(pixels.std)},
        "canvas": {"fit": layout.fit, "fill": layout.fill, "sampling": layout.sampling},
        "outputs": [{"name": name, "columns": list(words)} for name, words in outputs.columns],
        "meaning": {name: _plain(getattr(outputs, name)) for name in outputs.stored_fields if name != "columns"},
    }


def from_data(data: Any, *, what: object = "layout") -> FileLayout:
    """The layout of data. Raises InputError naming the field."""
    try:
        found = schema.convert(data, _Layout, what=what)
    except InputError as error:
        raise InputError(words(error), "layout-malformed") from None
    try:
        return _layout(found)
    except InputError as error:
        raise InputError(f"{what}: {error.message}", error.id) from None


def _layout(found: _Layout) -> FileLayout:
    meaning: dict[str, Any] = {field.name: getattr(found.meaning, field.name) for field in OUTPUT_FIELDS}
    columns = tuple((output.name, output.columns) for output in found.outputs)
    pixels: Any = found.pixels
    sampling: Any = found.canvas.sampling
    chosen: Sampling = sampling
    return FileLayout(
        family=found.family,
        outputs=OutputLayout(columns=columns, **meaning),
        pixels=Normalization(channels=pixels.channels, mean=pixels.mean, std=pixels.std),
        fit=found.canvas.fit,
        fill=found.canvas.fill,
        sampling=chosen,
    )


def read_layout(path: Path) -> FileLayout:
    """The layout in a TOML file. Raises InputError naming the file and the field, OSError if it cannot be read."""
    try:
        data = tomllib.loads(read_bytes(path, MAX_BYTES).decode())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "file-missing") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error})", "layout-malformed") from None
    except InputError as error:
        raise InputError(f"{path}: {words(error)}", error.id) from None
    return from_data(data, what=path)


def to_toml(layout: FileLayout) -> str:
    """A layout as a TOML file with a comment beside each choice. The defaults of rare fields are left out."""
    data, outputs = to_data(layout), layout.outputs
    lines = [f"family = {json.dumps(data['family'])}"]
    for section in ("pixels", "canvas"):
        lines += ["", f"[{section}]", *(_line(key, value) for key, value in data[section].items())]
    for output in data["outputs"]:
        lines += ["", "[[outputs]]", _line("name", output["name"]), _line("columns", output["columns"])]
    meaning = {field.name: getattr(outputs, field.name) for field in OUTPUT_FIELDS}
    shown = (key for key, value in meaning.items() if key in COMMENTS or value != getattr(PLAIN.outputs, key))
    lines += ["", "[meaning]", *(_line(key, _plain(meaning[key])) for key in shown)]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    comment = f"  # {COMMENTS[key]}" if key in COMMENTS else ""
    return f"{key} = {json.dumps(value, ensure_ascii=False)}{comment}"


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
