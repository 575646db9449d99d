"""Labels of any known format."""

import hashlib
from pathlib import Path

from paretodet.errors import ErrorId, InputError
from paretodet.labels.format import Format
from paretodet.labels.formats import FORMATS
from paretodet.labels.image_index import folders_below
from paretodet.labels.model import Labels, Purpose
from paretodet.labels.unread import advice

DEPTH, FOLDERS = 2, 100  # below each other, and in all, that are looked into


def read_labels(
    path: Path | str, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    """The labels at `path`, a file or a folder; of one `split`, or of all that the format can read at once. `images` is
    the folder that images' names start from, if it is not near the labels.

    Raises ValueError, naming the file, the field and the fix, if no format matches, a split must be named, `images` is
    given for a format that states it, or the reader cannot read the labels.
    """
    path = Path(path)
    form = format_of(path)
    form.check_images(path, images)
    return form.read(path, split=split, images=images, purpose=purpose)


def format_of(path: Path | str) -> Format:
    """Raises ValueError naming the known formats if none matches."""
    path = Path(path)
    if (form := find_format(path)) is not None:
        return form
    if path.exists() and (sentence := _below(path) or advice(path)):
        raise InputError(f"labels: {sentence}", "labels-format")
    known_id: ErrorId = "labels-format" if path.exists() else "file-missing"
    there = "none of the known formats" if path.exists() else "no such file or folder"
    known = "; ".join(f"{each.title}: {each.layout}" for each in FORMATS)
    raise InputError(f"labels: {path} is {there}; known are {known}", known_id)


def _below(path: Path) -> str:
    """What lies in a folder below, as of an archive that was unpacked into a folder of its own; empty without any."""
    folders = [each for each in folders_below(path, depth=DEPTH, most=FOLDERS) if each != path]
    kinds = ((each, form) for each in folders for form in FORMATS)
    found = (pair for pair in kinds if pair[1].matches(pair[0]) or pair[1].resembles(pair[0]))
    return next((f"{path} holds {form.title} in {each}: name that folder" for each, form in found), "")


def find_format(path: Path) -> Format | None:
    """The first that matches, else the first whose content is there in folders of other names, else, if nothing else is
    known of the path, the first of which it may be a damaged file.
    """
    matching = (each for each in FORMATS if each.matches(path))
    found = next(matching, None) or next((each for each in FORMATS if each.resembles(path)), None)
    return found or (None if advice(path) else next((each for each in FORMATS if each.may_be(path)), None))


def splits(path: Path | str) -> tuple[str, ...]:
    """The names that `read_labels` takes as `split`; empty if the format has none there."""
    form = find_format(Path(path))
    return form.splits(Path(path)) if form else ()


def fingerprint(data: Labels) -> str:
    """SHA-256 over images' names and sizes, boxes, classes and crowds; independent of the folder."""
    digest = hashlib.sha256(repr((data.labels, data.category_ids, data.names)).encode())
    for column in (data.name_ends, data.sizes, data.offsets, data.boxes, data.classes, data.crowd):
        digest.update(column.tobytes())
    return digest.hexdigest()
