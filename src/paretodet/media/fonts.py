"""Fonts for the names of classes: Pillow's own has ASCII and little more, so others are looked for on this machine."""

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from unicodedata import bidirectional, category, normalize

from PIL import Image, ImageDraw, features
from PIL.ImageFont import FreeTypeFont, Layout, load_default

FOLDERS = (  # of Linux, macOS and Windows
    "~/.local/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "~/Library/Fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
ENDINGS = (".ttf", ".otf", ".ttc")
MAX_FONTS = 500  # files that are opened, in less than a second
LATE = re.compile("bold|italic|oblique|light|thin|black|condensed|mono|serif|math|symbol", re.IGNORECASE)
NEVER = re.compile("lastresort|blank", re.IGNORECASE)  # they have a mark, or nothing, for every character
SCORE = "0123456789."  # is written behind a name, in the same font
NAMED = 6  # classes in a sentence
SIZE = 16  # px, of characters that are compared
MISSING = "\U0010ffff"  # is no character, so every font draws its mark of missing ones


def is_drawable(name: str) -> bool:
    """Whether some font of this machine can draw the name."""
    return _font(_composed(name)) is not None


def undrawable(names: Iterable[tuple[int, str]]) -> dict[int, str]:
    """The names, by number, that no font of this machine can draw: their numbers are drawn."""
    return {number: name for number, name in names if not is_drawable(name)}


def explained(numbered: Mapping[int, str]) -> tuple[str, ...]:
    """The sentences about classes whose numbers are drawn; none without such classes."""
    if not numbered:
        return ()
    names = [f"{number} = {name}" for number, name in sorted(numbered.items())]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    shown = f"images show their numbers: {', '.join(names[:NAMED])}{more}"
    return (
        f"The fonts of this machine lack characters of class names, so {shown}.",
        "After a font with these characters is installed, such as Noto Sans, images show the names.",
    )


def lettering(name: str, number: int, size: int) -> tuple[str, FreeTypeFont]:
    """What is drawn for the class of this name, and its font: the number if no font of this machine has the name."""
    composed = _composed(name)
    font = _font(composed)
    return (composed, _sized(font, size)) if font else (str(number), _sized(_own(), size))


def _composed(name: str) -> str:
    """An accent and its letter as one character, as fonts have them."""
    return normalize("NFC", name)


@cache
def _font(name: str) -> FreeTypeFont | None:
    """The first font, of `SIZE`, that has every character of the name and of scores."""
    is_shaped = any(map(_is_shaped, name))
    if is_shaped and not features.check("raqm"):  # its letters would be drawn apart, or in the wrong order
        return None
    fonts = _others() if is_shaped else (_own(), *_others())
    return next((font for font in fonts if all(_has(font, character) for character in name + SCORE)), None)


def _is_shaped(character: str) -> bool:
    """Whether its place or form depends on the characters beside it, or its script runs from right to left."""
    return bidirectional(character) in ("R", "AL", "AN") or category(character) in ("Mn", "Mc", "Cf")


def _has(font: FreeTypeFont, character: str) -> bool:
    if character.isspace() or category(character) == "Cf":
        return True
    try:
        ink = _ink(font, character)
        return any(ink) and ink != _mark(font)
    except OSError:  # the shape of the character is damaged
        return False


@cache
def _mark(font: FreeTypeFont) -> bytes:
    """What the font draws for characters that it does not have."""
    return _ink(font, MISSING)


def _ink(font: FreeTypeFont, character: str) -> bytes:
    image = Image.new("L", (3 * SIZE, 2 * SIZE))  # an accent may be drawn left of its place
    ImageDraw.Draw(image).text((SIZE, SIZE // 2), character, font=font, fill=255)
    return image.tobytes()


@cache
def _own() -> FreeTypeFont:
    font = load_default(SIZE)
    assert isinstance(font, FreeTypeFont)  # it is whenever a size is given
    return font


@cache
def _others() -> tuple[FreeTypeFont, ...]:
    """The fonts of this machine, plain ones without serifs first."""
    paths = (
        Path(folder, name)
        for top in FOLDERS
        for folder, _, names in os.walk(os.path.expanduser(top))
        for name in names
        if name.lower().endswith(ENDINGS) and not NEVER.search(name)
    )
    opened = map(_opened, sorted(paths, key=_rank)[:MAX_FONTS])
    return tuple(font for font in opened if font)


def _rank(path: Path) -> tuple[bool, bool, str]:
    return bool(LATE.search(path.stem)), "sans" not in path.stem.lower(), path.name


def _opened(path: Path) -> FreeTypeFont | None:
    """The font of a file; None if it is damaged, or has bitmaps of other sizes. One character is drawn as one shape."""
    try:
        return FreeTypeFont(str(path), SIZE, layout_engine=Layout.BASIC)
    except OSError:
        return None


@lru_cache(maxsize=32)
def _sized(font: FreeTypeFont, size: int) -> FreeTypeFont:
    """The font in another size, with the layout of scripts such as Arabic if this machine can do it."""
    engine = Layout.RAQM if font is not _own() and features.check("raqm") else Layout.BASIC
    return font.font_variant(size=size, layout_engine=engine)
