"""Labels that are known and not read: what they are, and the command that converts them."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from paretodet.images import SUFFIXES
from paretodet.labels.formats.voc_layout import ROOT
from paretodet.labels.xml_stream import root_of
from paretodet.reading import is_file

HEAD = 2**16
LISTED = 2000  # files of a folder that are looked at
VIA = (b'"regions"', b'"shape_attributes"')  # texts that files of a tool begin with
VOTT = (b'"asset"', b'"regions"', b'"boundingBox"')
CREATE_ML = (b'"coordinates"', b'"annotations"', b'"image')
BDD = (b'"box2d"', b'"category"')
SUPERVISELY = (b'"classTitle"', b'"points"')
JSON = (VIA, VOTT, CREATE_ML, BDD, SUPERVISELY)
LINE = re.compile(rb"\s*\d+(\.0*)?(\s+[\d.e+-]+){4,}\s*")


class UnreadFormat(NamedTuple):
    """Labels of one kind."""

    what: str
    seen: Callable[[Path], bool]
    instead: Callable[[Path], str]


def advice(path: Path) -> str:
    """One sentence on what lies at `path` and what to do; empty if nothing is known of it."""
    found = next((each for each in UNREAD if each.seen(path)), None)
    return f"{path} holds {found.what}, not read here: {found.instead(path)}" if found else ""


def _datumaro(name: str) -> Callable[[Path], str]:
    def command(path: Path) -> str:
        source, out = shlex.quote(str(path)), shlex.quote(f"{path.name}-coco")
        return f"`datum convert -i {source} -if {name} -f coco -o {out}` (pip install datumaro) converts them"

    return command


def _files(path: Path) -> Iterator[Path]:
    """The file, or those of the folder and those directly below it, within limits."""
    if not path.is_dir():
        return iter([path])
    return islice((each for pattern in ("*", "*/*") for each in path.glob(pattern) if is_file(each)), LISTED)


def _named(*patterns: str) -> Callable[[Path], bool]:
    return lambda path: any(each.match(pattern) for each in _files(path) for pattern in patterns)


def _json_with(texts: tuple[bytes, ...]) -> Callable[[Path], bool]:
    """Whether the first JSON file begins with all of these."""

    def seen(path: Path) -> bool:
        first = next((each for each in _files(path) if each.suffix.lower() == ".json"), None)
        return first is not None and all(text in _head(first) for text in texts)

    return seen


def is_foreign_json(file: Path) -> bool:
    """Whether a JSON file begins as one of a format that is known and not read does."""
    head = _head(file)
    return any(all(text in head for text in texts) for texts in JSON)


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD)
    except OSError:
        return b""


def _is_yolo(path: Path) -> bool:
    """Whether texts of its lines lie there."""
    texts = (each for each in _files(path) if each.suffix.lower() == ".txt")
    heads = (_head(each).splitlines() for each in islice(texts, 20))
    return path.is_dir() and any(lines and LINE.fullmatch(lines[0]) for lines in heads)


def _yaml_for(path: Path) -> str:
    known = next((each for each in _files(path) if each.name in ("classes.txt", "obj.names", "_darknet.labels")), None)
    names = [name for name in _head(known).decode("utf-8", "replace").split("\n") if name.strip()] if known else []
    listed = json.dumps([name.strip() for name in names] or ["first class", "second class"], ensure_ascii=False)
    images = "images" if (path / "images").is_dir() else "."
    return f"write {path / 'data.yaml'} with the lines `train: {images}` and `names: {listed:.300}`"


def _is_classification(path: Path) -> bool:
    """Whether there are folders of images and no other files."""
    files = list(_files(path)) if path.is_dir() else []
    below = [each for each in files if each.parent != path]
    images = [each for each in below if each.suffix.lower() in SUFFIXES]
    return len({each.parent for each in images}) > 1 and len(images) == len(files)


UNREAD = (
    UnreadFormat(
        "one xml file of Pascal VOC",
        lambda path: path.suffix.lower() == ".xml" and is_file(path) and root_of(path) == ROOT,
        lambda path: f"name the folder, {path.parent}",
    ),
    UnreadFormat("TFRecord files", _named("*.tfrecord", "*.tfrecords", "*.record"), _datumaro("tf_detection_api")),
    UnreadFormat(
        "a project of the VGG Image Annotator",
        _json_with(VIA),
        lambda path: "save it with Annotation > Export Annotations (COCO format)",
    ),
    UnreadFormat("an export of VoTT", _json_with(VOTT), _datumaro("vott_json")),
    UnreadFormat(
        "Create ML's JSON",
        _json_with(CREATE_ML),
        lambda path: "export the labels as COCO or Pascal VOC from the tool that wrote it",
    ),
    UnreadFormat(
        "BDD100K's JSON",
        _json_with(BDD),
        lambda path: f"`python -m bdd100k.label.to_coco -m det -i {shlex.quote(str(path))} -o labels.json` converts it",
    ),
    UnreadFormat(
        "a project of Supervisely",
        _json_with(SUPERVISELY),
        lambda path: "export it there as COCO or Pascal VOC",
    ),
    UnreadFormat("WIDER FACE's text", _named("wider_face_*_bbx_gt.txt"), _datumaro("wider_face")),
    UnreadFormat("KITTI's text", lambda path: (path / "label_2").is_dir(), _datumaro("kitti")),
    UnreadFormat("YOLO's text files without their .yaml", _is_yolo, _yaml_for),
    UnreadFormat(
        "parquet files",
        _named("*.parquet"),
        lambda path: "write the table as a .csv with image,xmin,ymin,xmax,ymax,class and the images as files",
    ),
    UnreadFormat(
        "images in folders of classes, which are labels of classification",
        _is_classification,
        lambda path: "detection needs a box around every object; draw them with a tool that writes COCO, VOC or YOLO",
    ),
)
