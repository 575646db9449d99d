"""How large the boxes of a data set are on each detector's canvas: `paretodet doctor DATA --json` beside rows."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from paretodet.errors import InputError, words
from paretodet.records.measurement import Measurement
from paretodet.report.formats import UNKNOWN, canvas, plain, plural
from paretodet.schema import Count, Limits, Open, Pixels, Positive, SchemaError, convert, parse, read

SIDES = (8, 16, 32)  # px; COCO calls a box below 32 px small
MAX_BYTES = 2**28


class _Sides(Open, frozen=True):
    height: Pixels
    width: Pixels


class _Short(Open, frozen=True):
    short: Pixels
    long: Pixels


_FITS: dict[str, tuple[str, type[Open]]] = {  # class of a resize policy -> its name in the table, the fields it needs
    "Stretch": ("stretched", _Sides),
    "Letterbox": ("letterboxed", _Sides),
    "ShortSide": ("scaled by the short side", _Short),
    "ShortSideCrop": ("cropped", _Sides),
}


class _Spec(Open, frozen=True):
    fit: dict[str, Any]


class BoxShares(Open, frozen=True, kw_only=True):
    """A histogram of the boxes of images of about one aspect (width / height)."""

    aspect: Positive
    counts: tuple[Count, ...]


class BoxSizes(Open, frozen=True, kw_only=True):
    """Histograms of one data set's box sizes, by image aspect.

    A box in bin n has a side of at least 2 ** (n / octave - octaves) of the image's side; sides are roots of areas.
    """

    octave: Annotated[int, Limits(ge=1, lt=1000)]  # bins for each factor of two
    octaves: Annotated[int, Limits(ge=1, lt=1000)]
    shapes: tuple[BoxShares, ...]
    data: str = ""  # the data set's name

    def __post_init__(self) -> None:
        for number, shape in enumerate(self.shapes):
            if len(shape.counts) != self.octave * self.octaves:
                allowed = f"octave x octaves, which is {self.octave * self.octaves}"
                raise InputError(
                    f"box_sizes.shapes[{number}].counts: expected {allowed}, got {len(shape.counts)}", "json-schema"
                )

    @property
    def boxes(self) -> int:
        return sum(sum(shape.counts) for shape in self.shapes)

    def below(self, px: float, fit: Mapping[str, Any]) -> float:
        """The share of boxes whose side is less than `px` on the canvas of `fit`."""
        return sum(self._below(shape, px / image_side(fit, shape.aspect)) for shape in self.shapes) / max(1, self.boxes)

    def _below(self, shape: BoxShares, share: float) -> float:
        """The number of boxes below `share` of the image's side; boxes are taken as evenly spread within a bin."""
        place = (math.log2(share) + self.octaves) * self.octave
        whole = min(len(shape.counts), max(0, math.floor(place)))
        part = shape.counts[whole] * (place - whole) if 0 <= place < len(shape.counts) else 0
        return sum(shape.counts[:whole]) + part


class _Document(Open, frozen=True):
    data: str
    box_sizes: BoxSizes


def image_side(fit: Mapping[str, Any], aspect: float) -> float:
    """The root of the area, in px, that an image of this aspect covers on the canvas; `fit` is a spec's JSON."""
    kind, wide, tall = fit["type"].rpartition(".")[2], math.sqrt(aspect), 1 / math.sqrt(aspect)
    if kind == "ShortSide":
        return min(fit["short"] / min(wide, tall), fit["long"] / max(wide, tall))
    sides = fit["width"] / wide, fit["height"] / tall
    if kind == "Letterbox":
        return min(sides)
    return max(sides) if kind == "ShortSideCrop" else math.sqrt(fit["width"] * fit["height"])


def fit_of(row: Measurement) -> dict[str, Any] | None:
    """A row's resize policy as JSON: the spec's, else the job's, else a stretch; None if the canvas is unknown."""
    kind = "Letterbox" if str(row.job.get("fit")).startswith("letterbox") else "Stretch"
    default = {"type": kind, "height": row.height, "width": row.width}
    return next((fit for fit in (_spec_fit(row.spec), default) if _is_complete(fit)), None)


def _spec_fit(spec: str | None) -> dict[str, Any]:
    """The spec's resize policy; empty if there is none, because a third-party model writes what it likes there."""
    try:
        return parse(spec or "{}", _Spec, what="spec").fit
    except SchemaError:
        return {}


def _is_complete(fit: Mapping[str, Any]) -> bool:
    try:
        return bool(convert(fit, _FITS[str(fit.get("type")).rpartition(".")[2]][1], what="fit"))
    except (KeyError, SchemaError):
        return False


def read_box_sizes(path: Path) -> BoxSizes:
    """Read the output of `paretodet doctor DATA --json`. Raises ValueError with the path if it is something else."""
    try:
        return _with_name(read(path, _Document, limit=MAX_BYTES))
    except (OSError, SchemaError) as error:
        reason = words(error).removeprefix(f"{path}: ")
        raise InputError(
            f"data-doctor: {path} is not what `paretodet doctor DATA --json` prints ({reason})", "json-schema"
        ) from None


def box_sizes(document: Mapping[str, Any]) -> BoxSizes:
    """The sizes in the JSON of an examination. Raises SchemaError if it is something else."""
    return _with_name(convert(document, _Document, what="document"))


def boxes_section(sizes: BoxSizes, rows: Sequence[Measurement], labels: Mapping[str, str]) -> dict[str, Any]:
    """The page's table: for each row whose canvas is known, the share of boxes below each of SIDES."""
    known = [(row, fit) for row in rows if (fit := fit_of(row))]
    return {
        "lead": f"The sizes of {plural(sizes.boxes, 'box', 'boxes')} of {plain(sizes.data)} on the canvas of each "
        "detector of the frontier. The side of a box is the square root of its area. Every detector has difficulty "
        "with boxes under 8 px; a larger canvas or crops help.",
        "columns": ["Canvas", "Images are", *(f"under {side} px" for side in SIDES)],
        "rows": [(labels[row.id], *_cells(sizes, row, fit)) for row, fit in known],
    }


def sentence(sizes: BoxSizes, side: int) -> str:
    """The shares of small boxes if the longer side of the images is scaled to `side` px."""
    fit = {"type": "Letterbox", "height": side, "width": side}
    shares = (f"{percent(sizes.below(px, fit))} under {px} px" for px in SIDES)
    return f"Boxes on a canvas of {side} px: {', '.join(shares)}."


def percent(share: float) -> str:
    """A whole number; a share that is not zero is never shown as 0 %."""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _cells(sizes: BoxSizes, row: Measurement, fit: Mapping[str, Any]) -> tuple[str, ...]:
    shares = (percent(sizes.below(side, fit)) if sizes.boxes else UNKNOWN for side in SIDES)
    return (canvas(row), _FITS[fit["type"].rpartition(".")[2]][0], *shares)


def _with_name(document: _Document) -> BoxSizes:
    sizes = document.box_sizes
    return BoxSizes(data=document.data, octave=sizes.octave, octaves=sizes.octaves, shapes=sizes.shapes)
