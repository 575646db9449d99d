"""A darknet cfg as a plan: every layer with its inputs and shapes, and what it would cost, before anything is built."""

from dataclasses import dataclass, replace
from pathlib import Path

from paretodet.errors import InputError
from paretodet.sources.darknet_layers import HEADS, LAYERS, SIDE, DarknetHead, Layer, MapShape
from paretodet.sources.darknet_text import CfgError, CfgSection, read_sections

MAX_LAYERS = 1000
MAX_FLOATS = 2**28  # in all weights: 1 GiB, four times the largest published of this world
MAX_VALUES = 2**31  # in all maps of one image
CLASSIFIERS = ("softmax", "soft")  # layers that end a classifier
TWO = ("shortcut", "scale_channels", "sam")  # layers that read the one before and those of `from`
FORK = (
    "iou_loss",
    "iou_normalizer",
    "nms_kind",
    "scale_x_y",
    "new_coords",
)  # options of heads that only the later fork has


@dataclass(frozen=True, kw_only=True)
class DarknetStep:
    """One layer, the steps whose outputs it reads (-1 is the image), and those that no later layer reads."""

    layer: Layer
    sources: tuple[int, ...]
    spent: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DarknetPlan:
    """A network whose shapes all fit.

    `forked` is true for a cfg of darknet's later fork, which resizes with OpenCV and stretches unless `letter_box=1`.
    The original darknet letterboxes. Weights are run as they were trained and evaluated.
    """

    height: int
    width: int
    steps: tuple[DarknetStep, ...]
    forked: bool
    letterboxed: bool

    @property
    def heads(self) -> tuple[DarknetHead, ...]:
        return tuple(step.layer for step in self.steps if isinstance(step.layer, DarknetHead))

    @property
    def classes(self) -> int:
        return self.heads[0].classes

    @property
    def floats(self) -> int:
        """Numbers in a weights file."""
        return sum(step.layer.floats for step in self.steps)


def read_plan(path: Path, size: tuple[int, int] | None = None) -> DarknetPlan:
    """The plan of a cfg file, at its own canvas or at `size` (height, width). Raises CfgError."""
    net, *sections = read_sections(path)
    if len(sections) > MAX_LAYERS:
        raise sections[MAX_LAYERS].error("layers", f"got {len(sections)}, at most {MAX_LAYERS} can be read")
    _check_task(net, sections)
    canvas = _canvas(net, size)
    steps: list[DarknetStep] = []
    floats = values = 0
    for section in sections:
        steps.append(_step(section, steps, canvas))
        floats, values = floats + steps[-1].layer.floats, values + steps[-1].layer.shape.values
        _afford(section, weights=(floats, MAX_FLOATS), maps=(values, MAX_VALUES))
    _check_heads(net, sections, steps, canvas)
    forked = any(option in section.options for section in sections for option in FORK)
    return DarknetPlan(
        height=canvas.height,
        width=canvas.width,
        steps=_spent(steps),
        forked=forked,
        letterboxed=bool(net.integer("letter_box", int(not forked), low=0, high=1)),
    )


def _check_task(net: CfgSection, sections: list[CfgSection]) -> None:
    """Raises CfgError for a classifier, whose other layers may be unknown."""
    names = [section.name for section in sections]
    if not any(name in HEADS for name in names) and any(name in CLASSIFIERS for name in names):
        message = (
            "is of another task, classification ([softmax], and no [region] or [yolo]); name the cfg of a detector"
        )
        raise CfgError(f"{net.path}: {message}", "onnx-task")


def _canvas(net: CfgSection, size: tuple[int, int] | None) -> MapShape:
    """The sides in [net] must be sound even where `size` replaces them."""
    for field in ("height", "width"):
        if field not in net.options:
            raise net.error(field, "missing, a network needs the sides of its canvas")
    channels = net.integer("channels", 3, low=3, high=3)
    own = tuple(net.integer(field, 0, low=1, high=SIDE) for field in ("height", "width"))
    height, width = size or own
    if not (1 <= height <= SIDE and 1 <= width <= SIDE):
        raise InputError(f"size: got {height}x{width}, sides must be in 1..{SIDE}", "size-unsupported")
    return MapShape(channels, height, width)


def _step(section: CfgSection, steps: list[DarknetStep], canvas: MapShape) -> DarknetStep:
    if section.name not in LAYERS:
        raise CfgError(
            f"{section.path}:{section.line}: layer [{section.name}] not known, known are {', '.join(LAYERS)}",
            "cfg-unsupported",
        )
    sources = _sources(section, len(steps))
    for source in sources:
        if source >= 0 and isinstance(steps[source].layer, DarknetHead):
            raise section.error("layers", f"reads layer {source}, which gives boxes, not a map")
    inputs = [steps[source].layer.shape if source >= 0 else canvas for source in sources]
    return DarknetStep(layer=LAYERS[section.name](section, inputs), sources=sources)


def _sources(section: CfgSection, index: int) -> tuple[int, ...]:
    if section.name == "route":
        return _earlier(section, "layers", index)
    return (index - 1, *_earlier(section, "from", index)) if section.name in TWO else (index - 1,)


def _earlier(section: CfgSection, field: str, index: int) -> tuple[int, ...]:
    """Absolute numbers of layers before `index`; negative ones count back from it."""
    given = section.integers(field, low=-MAX_LAYERS, high=MAX_LAYERS)
    found = tuple(number + index if number < 0 else number for number in given)
    if not found:
        raise section.error(field, "missing, it names the layers to read")
    if len(found) > MAX_LAYERS:
        raise section.error(field, f"names {len(found)} layers, at most {MAX_LAYERS} can be read")
    if not all(0 <= number < index for number in found):
        text = section.options[field].text[:40]
        raise section.error(field, f"got {text!r}, this is layer {index}: allowed are 0..{index - 1} and -{index}..-1")
    return found


def _afford(section: CfgSection, **needs: tuple[int, int]) -> None:
    for field, (amount, limit) in needs.items():
        if amount > limit:
            raise section.error(field, f"{amount} numbers up to this layer, at most {limit} can be held")


def _check_heads(net: CfgSection, sections: list[CfgSection], steps: list[DarknetStep], canvas: MapShape) -> None:
    heads = [(at, step.layer) for at, step in zip(sections, steps, strict=True) if isinstance(step.layer, DarknetHead)]
    if not heads:
        raise net.error("layers", "none of them is [region] or [yolo], so nothing is detected")
    for section, head in heads:
        if head.classes != heads[0][1].classes:
            raise section.error("classes", f"got {head.classes}, the first head has {heads[0][1].classes}")
        if canvas.height * head.shape.width != canvas.width * head.shape.height:
            grid = f"{head.shape.height}x{head.shape.width}"
            raise section.error("size", f"cells of {grid} on a canvas of {canvas.height}x{canvas.width} are not square")


def _spent(steps: list[DarknetStep]) -> tuple[DarknetStep, ...]:
    """The steps with what each may forget after it has run. Maps of heads are kept apart."""
    last = {source: index for index, step in enumerate(steps) for source in step.sources}
    spent: list[list[int]] = [[] for _ in steps]
    for source, index in last.items():
        spent[index].append(source)
    return tuple(replace(step, spent=tuple(done)) for step, done in zip(steps, spent, strict=True))
