"""Labels of any known format in COCO's form, as data: what finished detections are scored against.

A COCO file is taken as it is: its ids, areas, crowds and outlines; annotations that cannot be scored are left out and
told. What has no ids and areas gets them here: images are numbered by their place in the whole set, categories from 0,
an object's area is its outline's, or its box's where it has none.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from paretodet.evaluation.checks import check_labels
from paretodet.evaluation.files import read_instances
from paretodet.evaluation.scorable import scorable
from paretodet.labels.formats.coco import image_folder
from paretodet.labels.model import Mask, Sample
from paretodet.labels.read import coco_file, read_labels
from paretodet.labels.rle import Polygons
from paretodet.reading import sha256

Row = dict[str, Any]


class Instances(NamedTuple):
    """`truth` has images, annotations and categories as a COCO instances file has."""

    truth: Row
    folder: Path  # that the images' file names start from
    name: str  # of the file or folder, and the split; never where it lies
    sha256: str  # of the file; of a folder, of what was read from it
    skipped: tuple[str, ...] = ()  # what could not be used, one sentence a kind
    left_out: int = 0  # images among it

    @property
    def files(self) -> tuple[Path, ...]:
        """The images, in order."""
        return tuple(self.folder / image["file_name"] for image in self.truth["images"])


def instances(path: Path | str, *, split: str | None = None) -> Instances:
    """The labels at `path`, a file or a folder, of one `split` where there are several.

    Raises ValueError, one sentence, where there are none, they hold no object, or are not as their format says.
    """
    return _read(Path(path), split)


def pictured(path: Path | str, *, split: str | None = None, images: Path | None = None) -> Instances:
    """As `instances`, where the images are wanted too: `images` is the folder that a COCO file's names start from, else
    it is found near the labels.

    An image without a file name, or with one that leaves its folder, is left out. Raises ValueError, too, where a
    category has no name.
    """
    found = _read(Path(path), split, images, pictured=True)
    for number, category in enumerate(found.truth["categories"]):
        if "name" not in category:
            raise ValueError(f"labels: {found.name} categories[{number}]: has no name")
    return found


def _read(path: Path, split: str | None, images: Path | None = None, *, pictured: bool = False) -> Instances:
    if path.suffix.lower() == ".json" and not path.exists():
        raise ValueError(f"labels: {path}: no such file")
    file = coco_file(path, split=split)
    return _outlined(_converted(path, split, images) if file is None else _as_it_is(file, images, pictured=pictured))


def _outlined(found: Instances) -> Instances:
    """Without outlines where some objects have none, as masks scored against half of them would mean nothing, or where
    some images have no size, which masks are scored by.
    """
    rows = found.truth["annotations"]
    if not any(each.get("segmentation") for each in rows) or not (reason := _unfit(found.truth, found.name)):
        return found
    boxes = [{key: value for key, value in each.items() if key != "segmentation"} for each in rows]
    return found._replace(truth=found.truth | {"annotations": boxes}, skipped=(*found.skipped, reason))


def _unfit(truth: Row, name: str) -> str:
    """Why masks cannot be scored; nothing where they can."""
    objects = [each for each in truth["annotations"] if not each.get("iscrowd")]
    if bare := sum(not each.get("segmentation") for each in objects):
        return f"{bare} of {len(objects)} objects of {name} have no outline, so masks are not scored"
    images = truth["images"]
    if unsized := sum("height" not in each or "width" not in each for each in images):
        return f"{unsized} of {len(images)} images of {name} have no height and width, so masks are not scored"
    return ""


def _as_it_is(file: Path, images: Path | None, *, pictured: bool) -> Instances:
    truth = read_instances(file)
    try:
        check_labels(truth | {"images": [], "annotations": []})
    except ValueError as problem:
        raise ValueError(f"labels: {file}: {problem}") from None
    listed, (truth, told) = len(truth["images"]), scorable(truth, file, pictured=pictured, images=images)
    names = [image["file_name"] for image in truth["images"] if "file_name" in image]
    digest = sha256(file)
    folder = images or image_folder(file, names)
    return Instances(truth, folder, file.name, digest, told, listed - len(truth["images"]))


def _converted(path: Path, split: str | None, images: Path | None) -> Instances:
    data = read_labels(path, split=split, images=images)
    if not len(data.boxes):
        raise ValueError(f"labels: {path} has no box, so no accuracy can be told")
    categories = [{"id": key, "name": name} for key, name in zip(data.category_ids, data.labels, strict=True)]
    truth: Row = {"images": [], "annotations": [], "categories": categories}
    for place, key in enumerate(data.keys.tolist()):
        sample = data[place]
        height, width = sample.size
        truth["images"].append({"id": key, "file_name": data.name(place), "height": height, "width": width})
        for row in _objects(sample):
            owner = {"id": len(truth["annotations"]) + 1, "image_id": key}
            truth["annotations"].append(owner | row | {"category_id": data.category_ids[row["category_id"]]})
    name = path.resolve().name + (f"/{split}" if split else "")
    return Instances(truth, data.folder, name, _content(truth), data.left_out(path, images))


def _objects(sample: Sample) -> list[Row]:
    columns = (sample.boxes.tolist(), sample.labels.tolist(), sample.crowd.tolist())
    masks = sample.masks or (None,) * len(sample.boxes)
    return [
        {"category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)}
        | _outline(mask, sample.size)
        for (x1, y1, x2, y2), label, crowd, mask in zip(*columns, masks, strict=True)
    ]


def _outline(mask: Mask | None, size: tuple[int, int]) -> Row:
    if not isinstance(mask, Polygons):
        return {}
    rings = [ring.tolist() for ring in mask.rings]
    return {"segmentation": rings, "area": mask.area(size)}


def _content(truth: Row) -> str:
    """Of what was read, wherever it lies and whatever lies beside it: images count by their places."""
    places = {image["id"]: place for place, image in enumerate(truth["images"])}
    images = [each | {"id": places[each["id"]], "file_name": Path(each["file_name"]).name} for each in truth["images"]]
    rows = [each | {"image_id": places[each["image_id"]]} for each in truth["annotations"]]
    bare = truth | {"images": images, "annotations": rows}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
