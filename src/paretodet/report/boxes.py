"""How small the boxes of a user's data become on each detector's canvas: `paretodet doctor DATA --json` beside rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from paretodet.records.measurement import Measurement
from paretodet.report.formats import UNKNOWN, canvas, plain, plural
from paretodet.schema import Count, Limits, Open, Pixels, Positive, SchemaError, convert, parse, read

SIDES = (8, 16, 32)  # px: a box below the last is small by COCO's measure
MAX_BYTES = 2**28


class _Sides(Open, frozen=True):
    height: Pixels
    width: Pixels


class _Short(Open, frozen=True):
    short: Pixels
    long: Pixels


_FITS: dict[str, tuple[str, type[Open]]] = {  # in words, and the sides they need
    "Stretch": ("stretched", _Sides),
    "Letterbox": ("letterboxed", _Sides),
    "ShortSide": ("by their short side", _Short),
    "ShortSideCrop": ("cropped", _Sides),
}


class _Spec(Open, frozen=True):
    fit: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class BoxShares:
    """The images of about one aspect (width / height), and how many of their boxes have which share of their side."""

    aspect: Positive
    counts: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class BoxSizes:
    """Of one data set. Share n is 2 ** (n / octave - octaves) of the image's side, up to the next."""

    data: str
    octave: int
    octaves: int
    shapes: tuple[BoxShares, ...]

    @property
    def boxes(self) -> int:
        return sum(sum(shape.counts) for shape in self.shapes)

    def below(self, px: float, fit: Mapping[str, Any]) -> float:
        """The share of boxes whose side, the root of their area, is less than `px` on the canvas of `fit`."""
        return sum(self._below(shape, px / image_side(fit, shape.aspect)) for shape in self.shapes) / max(1, self.boxes)

    def _below(self, shape: BoxShares, share: float) -> float:
        """How many boxes; within a bin as if they lay even."""
        place = (math.log2(share) + self.octaves) * self.octave
        whole = min(len(shape.counts), max(0, math.floor(place)))
        part = shape.counts[whole] * (place - whole) if 0 <= place < len(shape.counts) else 0
        return sum(shape.counts[:whole]) + part


def image_side(fit: Mapping[str, Any], aspect: float) -> float:
    """The root of the area, in px, that an image of this aspect takes on the canvas; `fit` as a spec's JSON has it."""
    kind, wide, tall = fit["type"].rpartition(".")[2], math.sqrt(aspect), 1 / math.sqrt(aspect)
    if kind == "ShortSide":
        return min(fit["short"] / min(wide, tall), fit["long"] / max(wide, tall))
    sides = fit["width"] / wide, fit["height"] / tall
    if kind == "Letterbox":
        return min(sides)
    return max(sides) if kind == "ShortSideCrop" else math.sqrt(fit["width"] * fit["height"])


def fit_of(row: Measurement) -> dict[str, Any] | None:
    """How a row's images come to its canvas: as its spec says, or its job; else stretched. None: no canvas is known."""
    kind = "Letterbox" if str(row.job.get("fit")).startswith("letterbox") else "Stretch"
    asked = {"type": kind, "height": row.height, "width": row.width}
    return next((fit for fit in (_spec_fit(row.spec), asked) if _possible(fit)), None)


def _spec_fit(spec: str | None) -> dict[str, Any]:
    """A guest may write there what it likes."""
    try:
        return parse(spec or "{}", _Spec, what="spec").fit
    except SchemaError:
        return {}


def _possible(fit: Mapping[str, Any]) -> bool:
    try:
        return bool(convert(fit, _FITS[str(fit.get("type")).rpartition(".")[2]][1], what="fit"))
    except (KeyError, SchemaError):
        return False


class _Sizes(Open, frozen=True):
    octave: Annotated[int, Limits(ge=1, lt=1000)]
    octaves: Annotated[int, Limits(ge=1, lt=1000)]
    shapes: tuple[BoxShares, ...]

    def __post_init__(self) -> None:
        for number, shape in enumerate(self.shapes):
            if len(shape.counts) != self.octave * self.octaves:
                wanted = f"octave x octaves, which is {self.octave * self.octaves}"
                raise ValueError(f"box_sizes.shapes[{number}].counts: expected {wanted}, got {len(shape.counts)}")


class _Document(Open, frozen=True):
    data: str
    box_sizes: _Sizes


def read_box_sizes(path: Path) -> BoxSizes:
    """Of what `paretodet doctor DATA --json` printed. Raises ValueError naming the file where it is something else."""
    try:
        return _box_sizes(read(path, _Document, limit=MAX_BYTES))
    except (OSError, SchemaError) as error:
        said = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"data-doctor: {path} is not what `paretodet doctor DATA --json` prints ({said})") from None


def boxes_section(sizes: BoxSizes, rows: Sequence[Measurement], labels: Mapping[str, str]) -> dict[str, Any]:
    """The page's table: of each row that has a canvas the share of boxes below SIDES."""
    known = [(row, fit) for row in rows if (fit := fit_of(row))]
    return {
        "lead": f"{plural(sizes.boxes, 'box', 'boxes')} of {plain(sizes.data)}, as large as each detector of the "
        "frontier sees them. The side of a box is the root of its area. What is under 8 px is hard to find for any of "
        "them; a larger canvas or crops help.",
        "columns": ["Canvas", "Images are", *(f"under {side} px" for side in SIDES)],
        "rows": [(labels[row.id], *_cells(sizes, row, fit)) for row, fit in known],
    }


def sentence(sizes: BoxSizes, side: int) -> str:
    """What becomes of the boxes where the longer side of their images is `side` px."""
    fit = {"type": "Letterbox", "height": side, "width": side}
    shares = (f"{percent(sizes.below(px, fit))} under {px} px" for px in SIDES)
    return f"Boxes on a canvas of {side} px: {', '.join(shares)}."


def percent(share: float) -> str:
    """Whole; what is there is not called nothing."""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _cells(sizes: BoxSizes, row: Measurement, fit: Mapping[str, Any]) -> tuple[str, ...]:
    shares = (percent(sizes.below(side, fit)) if sizes.boxes else UNKNOWN for side in SIDES)
    return (canvas(row), _FITS[fit["type"].rpartition(".")[2]][0], *shares)


def box_sizes(document: Mapping[str, Any]) -> BoxSizes:
    """Of what an examination says of itself as JSON. Raises SchemaError where it says something else."""
    return _box_sizes(convert(document, _Document, what="document"))


def _box_sizes(found: _Document) -> BoxSizes:
    told = found.box_sizes
    return BoxSizes(data=found.data, octave=told.octave, octaves=told.octaves, shapes=told.shapes)
