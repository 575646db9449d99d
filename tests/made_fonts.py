"""A font file that draws one triangle for each of its characters, for tests."""

from pathlib import Path
from struct import pack

EM, ADVANCE = 1000, 600
SHAPE = ((50, 0), (550, 0), (300, 700))


def write_font(path: Path, characters: str) -> Path:
    """Writes a TrueType font with these characters and no others."""
    tables = {
        b"cmap": _cmap(characters),
        b"glyf": _glyph(),
        b"head": _head(),
        b"hhea": pack(">IhhhHhhhhhhhhhhhH", 0x10000, 800, -200, 0, ADVANCE, 0, 0, EM, 1, 0, 0, 0, 0, 0, 0, 0, 2),
        b"hmtx": pack(">HhHh", ADVANCE, 0, ADVANCE, 50),
        b"loca": pack(">III", 0, 0, len(_glyph())),  # glyph 0, of missing characters, is empty
        b"maxp": pack(">IHHHHHHHHHHHHHH", 0x10000, 2, 3, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    }
    place = 12 + 16 * len(tables)
    header, body = pack(">IHHHH", 0x10000, len(tables), 64, 2, 48), b""
    for tag, content in tables.items():
        header += tag + pack(">III", 0, place + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    path.write_bytes(header + body)
    return path


def damaged(font: bytes) -> bytes:
    """The bytes of such a font whose shape has more instructions than bytes."""
    contour = pack(">HH", len(SHAPE) - 1, 0)
    place = font.index(contour, font.index(_glyph()))
    return font[:place] + contour[:2] + b"\xff\xff" + font[place + len(contour) :]


def _cmap(characters: str) -> bytes:
    groups = b"".join(pack(">III", code, code, 1) for code in sorted(set(map(ord, characters))))
    table = pack(">HHIII", 12, 0, 16 + len(groups), 0, len(groups) // 12) + groups
    return pack(">HHHHI", 0, 1, 3, 10, 12) + table


def _head() -> bytes:
    box, long_offsets = (50, 0, 550, 700), 1
    dates = pack(">qq", 0, 0)
    head = pack(">IIIIHH", 0x10000, 0, 0, 0x5F0F3CF5, 0, EM)
    return head + dates + pack(">hhhhHHhhh", *box, 0, 8, 2, long_offsets, 0)


def _glyph() -> bytes:
    xs, ys = zip(*SHAPE, strict=True)
    steps = [b - a for numbers in (xs, ys) for a, b in zip((0, *numbers[:-1]), numbers, strict=True)]
    header = pack(">hhhhh", 1, min(xs), min(ys), max(xs), max(ys))
    content = header + pack(">HH", len(SHAPE) - 1, 0) + bytes([1] * len(SHAPE)) + pack(f">{len(steps)}h", *steps)
    return content + b"\0" * (-len(content) % 4)
