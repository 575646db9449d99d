"""What the input and the outputs of a detector file mean, as data.

A file of a detector states shapes, not meanings. A `FileLayout` states the meaning: how pixels are scaled, how an
image is fitted to the canvas, which columns of which outputs are boxes, scores and labels, and what is left to do.
"""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal, get_args

from paretodet.errors import InputError
from paretodet.transforms.resize import SAMPLINGS, Sampling
from paretodet.transforms.resize_policy import FITS, CornerLetterbox, Letterbox, ResizePolicy, with_sampling

BoxForm = Literal["xyxy", "yxyx", "cxcywh", "xywh"]
Unit = Literal["pixels", "fractions"]  # of the canvas
Coding = Literal["boxes", "grid", "distances", "pixel-distances", "priors", "linear", "anchors", "darknet", "tanh"]
OBLONG: tuple[Coding, ...] = ("anchors", "darknet")  # whose references have a width and a height
Cells = Literal["up", "down"]
MapAxes = Literal["nchw", "nhwc"]
Activation = Literal["none", "sigmoid", "softmax"]
Background = Literal["none", "first", "last"]
Objectness = Literal["product", "geometric-mean", "powers"]
Merge = Literal["none", "weighted"]
Anchors = tuple[tuple[tuple[float, float], ...], ...]  # widths and heights of each stride, px
Channels = Literal["rgb", "bgr"]
PerChannel = tuple[float, float, float]

WIDTHS = {"box": 4, "center": 2, "size": 2, "anchor": 4, "objectness": 1, "score": 1, "label": 1, "image": 1}
WORDS = (*WIDTHS, "classes", "bins", "count", "other")  # the last ones have the rest of the columns
POLICIES = FITS | {"letterbox-corner": CornerLetterbox}
COUNT = "*"  # "classes*80": 80 columns
ADDED_FIELDS = ("map_axes",)  # of OutputLayout: rows and hashes have them only if they are not their defaults


def _one_of(name: str, value: object, allowed: tuple[Any, ...]) -> None:
    _check(value in allowed, f"{name}: got {value!r}, it must be one of {', '.join(map(str, allowed))}")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message, "layout-malformed")


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """Pixels as a file expects them: (pixel - mean) / std for each channel in the order of `channels`, pixel 0..255."""

    channels: Channels = "rgb"
    mean: PerChannel = (0.0, 0.0, 0.0)
    std: PerChannel = (255.0, 255.0, 255.0)

    def __post_init__(self) -> None:
        _one_of("pixels.channels", self.channels, get_args(Channels))
        if len(self.mean) != 3 or len(self.std) != 3 or not all(self.std):
            message = f"pixels: got mean {self.mean} and std {self.std}, they must be three numbers, std not 0"
            raise InputError(message, "layout-malformed")

    def __str__(self) -> str:
        name = self.channels.upper()
        if not any(self.mean) and len(set(self.std)) == 1:
            return f"{name} 0..{255 / self.std[0]:g}"
        return f"{name} (pixel - {_numbers(self.mean)}) / {_numbers(self.std)}"


IMAGENET = Normalization(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
UNIT_RANGE = Normalization()
BYTES = Normalization(std=(1.0, 1.0, 1.0))
BGR_BYTES = Normalization(channels="bgr", std=(1.0, 1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class OutputLayout:
    """What the outputs mean.

    `columns` gives for each output that is used the meaning of its last dimension, in order, as WORDS: "box" has 4
    columns, "center" and "size", which make a box, two, "anchor", the box that a row's "box" is a code for, 4,
    "objectness", "score", "label" and "image" one, "classes" (a score for each class), "bins" (a distribution for each
    side of a box) and "other" (not used) the rest, or the number behind a "*". Outputs that hold the same word, such as
    one for each stride, are joined in order. Maps [B, C, H, W] of a "box" with other words hold those of every anchor
    one behind the other, where there are `anchors`. "count" is the only word of an output [B] or [B, 1]: how many rows
    of the others are detections.
    """

    columns: tuple[tuple[str, tuple[str, ...]], ...]
    transposed: bool = False  # outputs are [B, columns, N]
    map_axes: MapAxes = "nchw"  # of outputs with four dimensions; "nhwc": [B, H, W, columns], as TensorFlow writes them
    box: BoxForm = "xyxy"
    unit: Unit = "pixels"
    coding: Coding = "boxes"  # "grid": offsets from cells and log sizes; "distances": from points to the four sides, in
    # cells or in pixels; "priors": SSD's; "linear": offsets and sizes in shares of priors (BlazeFace); "anchors":
    # YOLOv5's, of sigmoids; "darknet": YOLOv2's and v3's, a sigmoid of offsets from cells and log sizes of anchors;
    # "tanh": FastestDet's, a tanh of offsets from cells and a sigmoid of sizes as fractions
    scale_xy: tuple[float, ...] = ()  # of coding "darknet", for each stride: YOLOv4's scale_x_y; empty: 1
    strides: tuple[int, ...] = ()  # of the cells, px; in the order of the rows
    offset: float = 0.5  # of a point inside its cell, in cells
    per_cell: int = 1  # rows of a cell, where it has no priors
    cells: Cells = "up"  # how side / stride is rounded
    priors: tuple[tuple[float, ...], ...] = ()  # sides of the square priors of each stride, px
    variances: tuple[float, ...] = (0.1, 0.2)  # of the codes of priors: of centers, and of sizes or of widths, heights
    anchors: Anchors = ()  # of coding "anchors" and "darknet", or of "priors" that are not square
    peaks: bool = False  # whether a score counts only where its neighbors in the map are not higher (CenterNet)
    activation: Activation = "none"  # that is left to apply to classes and objectness
    background: Background = "none"  # a class that is none
    objectness: Objectness = "product"  # how it is joined with the classes; "powers": its 0.6th times their 0.4th
    first_label: int = 0  # the number of the first class in a column of labels
    suppressed: bool = True  # whether no box is left twice
    threshold: float = 0.001  # of the suppression, where it is ours
    overlap: float = 0.7
    merge: Merge = "none"  # "weighted": a kept box is the mean of those it suppresses, weighted by their scores
    keep: int = 300

    def __post_init__(self) -> None:
        choices: tuple[tuple[str, Any], ...] = (
            ("box", BoxForm),
            ("unit", Unit),
            ("coding", Coding),
            ("cells", Cells),
            ("map_axes", MapAxes),
            ("activation", Activation),
            ("background", Background),
            ("objectness", Objectness),
            ("merge", Merge),
        )
        for name, kind in choices:
            _one_of(f"outputs.{name}", getattr(self, name), get_args(kind))
        words = self.words
        for word in words:
            _one_of("columns", word, WORDS)
        joined = {"center", "size"} <= set(words)
        _check(
            joined or bool({"box", "bins"} & set(words)), "columns: no output has a box, a center and a size, or bins"
        )
        _check("classes" in words or "score" in words, "columns: no output has classes or a score")
        _check("count" not in words or "score" in words, "columns: a count is of rows with a score")
        in_output = "anchor" in words
        _check(not in_output or self.coding == "priors", "coding: a box that is a code for an anchor has priors")
        _check(self.coding == "boxes" or bool(self.strides) or in_output, f"strides: coding {self.coding!r} needs them")
        _check(not self.scale_xy or self.coding == "darknet", "scale_xy: is of coding 'darknet'")
        _check(len(self.scale_xy) in (0, len(self.strides)), "scale_xy: one number a stride")
        _check(len(self.variances) in (2, 3), "variances: two or three numbers, of centers, sizes, or widths, heights")
        _check("bins" not in words or self.coding == "distances", "coding: bins are of distances")
        _check(not self.peaks or bool(self.strides), "peaks: are of maps, whose strides are needed")
        oblong = self.coding in OBLONG or (self.coding == "priors" and bool(self.anchors))
        square = self.coding in ("priors", "linear") and not oblong and not in_output
        for name, needed in (("priors", square), ("anchors", oblong)):
            expected = len(self.strides) if needed else 0
            _check(len(getattr(self, name)) == expected, f"{name}: one list a stride")

    def __repr__(self) -> str:
        """Is hashed into `artefact`."""
        return f"OutputLayout({', '.join(f'{name}={getattr(self, name)!r}' for name in self.stored_fields)})"

    @property
    def stored_fields(self) -> tuple[str, ...]:
        """The names of the fields that rows have of it."""
        every = ((field.name, getattr(self, field.name) != field.default) for field in fields(self))
        return tuple(name for name, is_set in every if is_set or name not in ADDED_FIELDS)

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word.partition(COUNT)[0] for _, words in self.columns for word in words)

    @property
    def needs_suppression(self) -> bool:
        return not self.suppressed

    @property
    def has_gaps(self) -> bool:
        """Whether anchors are still to be filled in."""
        return any(min(size) <= 0 for sizes in self.anchors for size in sizes)

    @property
    def one_image(self) -> bool:
        """Whether the rows of all images of a batch are mixed, so that a call takes one image."""
        return "image" in self.words

    def __str__(self) -> str:
        parts = []
        if self.strides:
            parts.append(f"{len(self.strides)} stride{'s' if len(self.strides) > 1 else ''}")
        parts.append({"boxes": f"boxes {self.box} in {self.unit}"}.get(self.coding, f"boxes coded as {self.coding}"))
        if "anchor" in self.words:
            parts.append(f"anchors {self.box} in an output")
        if self.map_axes == "nhwc":
            parts.append("maps channels last")
        if self.scale_xy:
            parts.append(f"centers scaled by {', '.join(f'{scale:g}' for scale in self.scale_xy)}")
        if "objectness" in self.words:
            parts.append("objectness")
        if self.peaks:
            parts.append("peaks")
        if self.activation != "none":
            parts.append(f"{self.activation} to apply")
        if self.background != "none":
            parts.append(f"background {self.background}")
        if self.first_label:
            parts.append(f"labels from {self.first_label}")
        parts.append("suppression inside" if self.suppressed else "suppression ours")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """The meaning of a detector file. `fit` is a key of POLICIES; `fill` is the gray of a letterbox."""

    family: str
    outputs: OutputLayout
    pixels: Normalization = UNIT_RANGE
    fit: str = "stretch"
    fill: int = 114
    sampling: Sampling = "antialiased"

    def __post_init__(self) -> None:
        _one_of("canvas.fit", self.fit, tuple(POLICIES))
        _one_of("canvas.sampling", self.sampling, SAMPLINGS)
        _check(0 <= self.fill <= 255, f"canvas.fill: got {self.fill}, a gray level is 0..255")

    def policy(self, height: int, width: int) -> ResizePolicy:
        """The resize policy for a canvas."""
        make = POLICIES[self.fit]
        kind = make.func if isinstance(make, partial) else make
        filled = {"fill": self.fill} if kind in (Letterbox, CornerLetterbox) else {}
        return with_sampling(make(height=height, width=width, **filled), self.sampling)

    @property
    def geometry(self) -> str:
        """All but the scaling of pixels, as one line."""
        fill = f" {self.fill}" if self.fit.startswith("letterbox") else ""
        return f"{self.family}, {self.outputs}, {self.fit}{fill}"

    def __str__(self) -> str:
        return f"{self.geometry}, {self.pixels}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A layout, and why the file is taken to have it."""

    layout: FileLayout
    reasons: tuple[str, ...] = ()
    labels: tuple[str | None, ...] = ()
    strength: int = 2  # of its evidence: 0 the file's metadata, or the user; 1 names and operators; 2 shapes;
    # 3 shapes that mean something else as a rule
    pixels_known: bool = True  # False: nothing says how pixels are scaled
    pixels_usual: bool = False  # where nothing says it: those of the layout are assumed, and the line says so
    policy: ResizePolicy | None = None  # in place of the layout's fit
    checked: bool = True  # False: the numbers are not looked at, as its exporter guarantees them
    finds_faces: bool = False  # whether boxes count only if one is the face on a photograph, as priors are assumed
    fit_known: bool = True  # False: nothing says how images are fitted, and that of the layout is assumed
    inside: str = ""  # what the graph makes of the pixels; part of the line
    lacks: str = ""  # what only the user can add, so that the file is refused with this layout to fill in
    doubt: str = ""  # what a look at photographs, and the file, leave open; part of the line

    def __str__(self) -> str:
        inside = f"normalized in the graph as {self.inside}" if self.inside else ""
        shown = self.pixels_known or self.pixels_usual
        parts = (str(self.layout if shown else self.layout.geometry), inside, self.doubt)
        return f"read as {', '.join(filter(None, parts))}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "(" + ", ".join(f"{value:g}" for value in values) + ")"
