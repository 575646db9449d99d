"""SVG drawings: made of elements, stacked, titled, and written into a page or a file.

Text never becomes markup: `element` escapes it, and no other function writes text.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from paretodet.report.formats import plain
from paretodet.report.labels import GLYPH, shortened

Attributes = dict[str, str | float | None]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
LEGEND = 12  # px, the font of a legend's entries
LINE = 19  # px between a legend's lines
PADDING = 20  # px around a titled drawing


@dataclass(frozen=True, kw_only=True)
class DrawingStyle:
    """The width of a plot in px, and how the colors of `theme.py` are written: as CSS custom properties or as values.

    A page that enlarges all text on a narrow screen says to how many px, so that the drawing keeps room for it.
    """

    width: int
    paint: Callable[[str], str]
    largest_font: float = 0.0

    def room_font(self, font: float) -> float:
        """The size in px that text of `font` px needs room for."""
        return max(font, self.largest_font)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """SVG elements in a box of `width` x `height` px whose top left is (0, 0)."""

    width: float
    height: float
    body: str

    def inline(self) -> str:
        """An element of a page, as wide as its container. Screen readers skip it: the page's text says the same."""
        box = f'viewBox="0 0 {_number(self.width)} {_number(self.height)}"'
        return f'<svg {box} aria-hidden="true" focusable="false">{self.body}</svg>'

    def file(self) -> str:
        """The content of an SVG file."""
        size: Attributes = {
            "width": self.width,
            "height": self.height,
            "viewBox": f"0 0 {self.width:.0f} {self.height:.0f}",
        }
        return group([self.body], tag="svg", xmlns="http://www.w3.org/2000/svg", font_family=FONT, **size)


def element(tag: str, text: str | None = None, /, **attributes: str | float | None) -> str:
    """One SVG element; `stroke_width` is written `stroke-width`, `class_` is `class`, and None is left out."""
    start = f"<{tag}{_attributes(attributes)}"
    return f"{start}/>" if text is None else f"{start}>{escape(plain(text))}</{tag}>"


def group(elements: Iterable[str], *, tag: str = "g", **attributes: str | float | None) -> str:
    """Elements that share attributes."""
    return f"<{tag}{_attributes(attributes)}>{''.join(elements)}</{tag}>"


def moved(body: str, *, x: float = 0.0, y: float = 0.0) -> str:
    """Elements shifted by (x, y) px."""
    return group([body], transform=at(x, y))


def at(x: float, y: float) -> str:
    """The transform that moves (0, 0) to (x, y)."""
    return f"translate({_number(x)} {_number(y)})"


def stacked(drawings: Sequence[Drawing], *, gap: float = 30) -> Drawing:
    """The drawings one below the other, `gap` px apart."""
    tops = accumulate((drawing.height + gap for drawing in drawings), initial=0.0)
    body = "".join(moved(drawing.body, y=top) for drawing, top in zip(drawings, tops, strict=False))
    height = sum(drawing.height for drawing in drawings) + gap * (len(drawings) - 1)
    return Drawing(width=max(drawing.width for drawing in drawings), height=height, body=body)


def titled(drawing: Drawing, *, title: str, subtitle: Sequence[str], style: DrawingStyle) -> Drawing:
    """The drawing on a background with margins, under a title and subtitle lines."""
    lines = [element("text", title, y=16, font_size=18, font_weight=600, fill=style.paint("ink"))]
    lines += [
        element("text", line, y=38 + 16 * place, font_size=12, fill=style.paint("soft"))
        for place, line in enumerate(subtitle)
    ]
    top = 24 + 16 * len(subtitle) + 20
    longest = max((GLYPH * size * len(line) for size, line in ((18, title), *((12, line) for line in subtitle))))
    width = max(drawing.width, longest) + 2 * PADDING
    height = drawing.height + top + 2 * PADDING
    paper = element("rect", width=width, height=height, fill=style.paint("paper"))
    inside = moved("".join(lines) + moved(drawing.body, y=top), x=PADDING, y=PADDING)
    return Drawing(width=width, height=height, body=paper + inside)


def legend(entries: Sequence[tuple[str, str]], style: DrawingStyle) -> Drawing:
    """Entries of (title, symbol around (0, 0)) side by side, in as many lines as the width requires."""
    x, line, parts = 0.0, 0, []
    for title, symbol in entries:
        wide = 20 + GLYPH * style.room_font(LEGEND) * len(title)
        if x and x + wide > style.width:
            x, line = 0.0, line + 1
        text = element("text", title, x=14, y=4, font_size=LEGEND, fill=style.paint("ink"))
        parts.append(moved(symbol + text, x=x + 6, y=LINE * (line + 0.5)))
        x += wide + 12
    return Drawing(width=style.width, height=LINE * (line + 1) if entries else 0, body="".join(parts))


def cut(text: str, room: float, *, font: float) -> str:
    """The text, shortened with an ellipsis if it would be wider than `room` px."""
    return shortened(text, max(1, int(room / (GLYPH * font))))


def points(corners: Iterable[tuple[float, float]]) -> str:
    """The value of a `points` attribute."""
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in corners)


def _attributes(attributes: Attributes) -> str:
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for name, value in attributes.items()
        if value is not None
    )


def _value(value: str | float) -> str:
    return _number(value) if isinstance(value, float) else plain(str(value))


def _number(value: float) -> str:
    """Rounded to a tenth of a px."""
    return f"{value:.1f}".removesuffix(".0")
