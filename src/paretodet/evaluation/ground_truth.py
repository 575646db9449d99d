"""Labels of any supported format as ground truth, with the area of every object."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.areas import with_areas
from paretodet.evaluation.dictionary import Row, coco_dictionary
from paretodet.labels.format import Format
from paretodet.labels.formats.coco_checks import repeated_ids
from paretodet.labels.model import Labels, Purpose, SkipKind, doctor, left_out
from paretodet.labels.read import format_of
from paretodet.reading import sha256

NO_AREA = "annotations of {} have no area, their outline's or box's is taken"
NO_ID = "annotations of {} have a missing or repeated id, all are numbered anew"
FLAT = "annotations of {} have an area of 0 or less, and count as small: AP by size takes what is written"
IGNORED = "annotations of {} are marked `ignore`, and count as any other: COCO's evaluators read iscrowd alone"


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """Labels to score against, and what they are called."""

    labels: Labels
    name: str  # of the file or folder, and the split; never the folder that it lies in
    sha256: str  # of the file; of a folder, of what was read from it
    skipped: tuple[str, ...] = ()  # what could not be used, one sentence a kind
    left_out: int = 0  # images among it

    @property
    def files(self) -> tuple[Path, ...]:
        """The images, in order."""
        return tuple(self.labels.image(index).file for index in range(len(self.labels)))


def check_inputs(images: object, data: object, split: str | None, image_root: object) -> None:
    """Raises InputError for images beside labels, which have their own, and for options of labels without any."""
    if images and data:
        message = "images: with --data its images are used; leave it out, or give their folder as --image-root"
        raise InputError(message, "option-conflict")
    for option, value in (("data-split", split), ("image-root", image_root)):
        if value and not data:
            raise InputError(f"{option}: needs --data", "option-conflict")


def read_ground_truth(
    path: Path | str,
    *,
    split: str | None = None,
    images: Path | str | None = None,
    purpose: Purpose = Purpose.PREDICT,
) -> GroundTruth:
    """The labels at `path`, a file or a folder, of one `split` if there are several; `images` is the images' folder, if
    it is not near the labels. `purpose` SCORE: the images are not opened, so that their names may be missing.

    Boxes of COCO's files are as written. Raises ValueError, one sentence, if there are no labels, they hold no object,
    or are not as their format says.
    """
    path, images = Path(path), Path(images) if images else None
    if path.suffix.lower() == ".json" and not path.exists():
        raise InputError(f"labels: {path}: no such file", "file-missing")
    form = format_of(path)
    form.check_images(path, images)
    data = form.read(path, split=split, images=images, purpose=purpose)
    single = form.is_file_of(path, split)
    file = form.file(path, split) if single else path
    unused = data.left_out(file, images)
    if not len(data.boxes):
        first = unused[0] if unused else f"`{doctor(path, images)}` says what was read"
        raise InputError(f"labels: {file} has no usable box, so no accuracy can be computed; {first}", "labels-none")
    notes = (*unused, *_notes(data, file, form, images))
    data = with_areas(data)
    digest = sha256(file) if single else _content(data)
    name = file.name if single else path.resolve().name + (f"/{split}" if split else "")
    if data.outlines is not None and (reason := _unfit(data, name)):
        data, notes = data.without_outlines(), (*notes, reason)
    unusable = data.skip_counts.get(SkipKind.IMAGE, 0)
    return GroundTruth(labels=data, name=name, sha256=digest, skipped=notes, left_out=unusable)


def _notes(data: Labels, file: Path, form: Format, images: Path | None) -> Iterator[str]:
    """What is completed, in one sentence a kind."""

    def first(row: int) -> str:
        return form.where(file)(data.name(int(data.owners[row])), int(data.numbers[row]))[1]

    if caution := form.caution(file):
        yield caution
    if data.areas is not None and len(rows := np.flatnonzero(np.isnan(data.areas))):
        row = int(rows[data.numbers[rows].argmin()])
        yield left_out(len(rows), NO_AREA.format(file), first(row), file, images)
    if data.areas is not None and len(rows := np.flatnonzero(data.areas <= 0)):
        row = int(rows[data.numbers[rows].argmin()])
        yield left_out(len(rows), FLAT.format(file), first(row), file, images)
    if data.ids is not None and (repeated := list(repeated_ids(data))):
        yield left_out(len(repeated), NO_ID.format(file), first(repeated[0][0]), file, images)
    if data.ignored is not None and len(rows := np.flatnonzero(data.ignored)):
        row = int(rows[data.numbers[rows].argmin()])
        yield left_out(len(rows), IGNORED.format(file), first(row), file, images)


def _unfit(data: Labels, name: str) -> str:
    """Why masks cannot be scored, empty if they can: against half of the objects their AP would mean nothing, and
    they are drawn in images of known sizes.
    """
    objects = ~data.crowd
    if bare := int((objects & ~data.outlined).sum()):
        return f"{bare} of {int(objects.sum())} objects of {name} have no outline, so masks are not scored"
    if unsized := int((data.sizes == 0).any(1).sum()):
        return f"{unsized} of {len(data)} images of {name} have no height and width, so masks are not scored"
    return ""


def _content(data: Labels) -> str:
    """SHA-256 of what was read, independent of the folder and of the other splits: images count by their places."""
    bare = coco_dictionary(replace(data, keys=np.arange(len(data))), outlines=True)
    for annotation in bare["annotations"]:
        if "segmentation" in annotation:  # whole pixels
            annotation["area"] = int(annotation["area"])
    images: list[Row] = [each | {"file_name": Path(data.name(place)).name} for place, each in enumerate(bare["images"])]
    return hashlib.sha256(json.dumps(bare | {"images": images}, sort_keys=True).encode()).hexdigest()
