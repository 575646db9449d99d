"""Converts labels from any known format to one that can be written, and names what is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretodet import writing
from paretodet.errors import InputError
from paretodet.labels.format import Format
from paretodet.labels.formats import FORMATS
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.read import format_of
from paretodet.labels.target import ConversionTarget, check_new_folder

ROUNDING = 0.01  # px


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written, and a sentence for everything that was not carried over."""

    out: Path
    format: str
    splits: tuple[tuple[str, int, int], ...]  # name, images, boxes
    losses: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        splits = [{"split": name, "images": images, "boxes": boxes} for name, images, boxes in self.splits]
        return {"out": str(self.out), "format": self.format, "splits": splits, "losses": list(self.losses)}


def writable_formats() -> dict[str, Format]:
    """By name."""
    return {form.name: form for form in FORMATS if form.write is not None}


def convert(
    path: Path | str, *, to: str, out: Path | str, images: Path | None = None, copy_images: bool = False
) -> Converted:
    """Write the labels at `path`, all their splits, to the new folder `out` in the format `to`.

    `images` is the folder that images' names start from, if it is not near the labels. Images are symbolic links to
    their files, or copies. The folder is written whole or not at all. Raises ValueError as `read_labels` does, and if
    `out` is not new or the format cannot be written.
    """
    path, out = Path(path), Path(out)
    target = target_format(to)
    check_new_folder(out, "out", outside=path)
    form = format_of(path)
    form.check_images(path, images)
    parts, unread = open_parts(path, form, images)
    if unread:
        raise InputError(f"labels: {unread[0]}", "labels-malformed")
    return write_parts(parts, form, target, path=path, out=out, images=images, copy_images=copy_images)


def target_format(name: str) -> Format:
    """Raises InputError naming the formats that can be written."""
    known = writable_formats()
    if name not in known:
        raise InputError(f"to: got {name!r:.40}, labels are written as {', '.join(known)}", "option-value")
    return known[name]


def write_parts(
    parts: Sequence[LabeledSplit],
    form: Format,
    target: Format,
    *,
    path: Path,
    out: Path,
    images: Path | None = None,
    copy_images: bool = False,
) -> Converted:
    """Write these splits of the labels at `path`, which are in the format `form`."""
    assert target.write is not None
    losses = [sentence for part in parts for sentence in part.data.left_out(part.file, images)]
    if cut := sum(int((part.data.outside > ROUNDING).sum()) for part in parts):
        losses.append(f"{cut} boxes are cut at the border of their image")
    with writing.written_folder(out) as temporary:
        written = ConversionTarget(temporary, copy=copy_images)
        target.write(parts, written)
    other = form.not_carried(path)
    return Converted(
        out=out,
        format=target.name,
        splits=tuple((part.split, len(part.data), len(part.data.boxes)) for part in parts),
        losses=(*dict.fromkeys(losses), *written.losses, *([f"not carried over: {other}"] if other else [])),
    )
