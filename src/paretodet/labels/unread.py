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
VIA_3 = (b'"vid"', b'"xy"', b'"av"')
SLOTH = (b'"class"', b'"filename"', b'"annotations"', b'"x"')
VOTT = (b'"asset"', b'"regions"', b'"boundingBox"')
CREATE_ML = (b'"coordinates"', b'"annotations"', b'"image')
BDD = (b'"box2d"', b'"category"')
SUPERVISELY = (b'"classTitle"', b'"points"')
SUPERVISELY_META = (b'"classes"', b'"tags"', b'"title"', b'"shape"')
JSON = (VIA, VIA_3, VOTT, CREATE_ML, BDD, SUPERVISELY, SUPERVISELY_META, SLOTH)
LOOKED = 20  # files of a kind that are opened
VIA_COLUMNS = b"region_shape_attributes"  # of its .csv
DOTA = re.compile(
    rb"\s*(-?[\d.]+\s+){8}[A-Za-z][\w-]*(\s+\d)?\s*"
)  # four corners, a class, and whether it is difficult
CSV_LINE = "image,xmin,ymin,xmax,ymax,class"
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


def _with_suffix(path: Path, suffix: str) -> Iterator[Path]:
    return islice((each for each in _files(path) if each.suffix.lower() == suffix), LOOKED)


def _json_with(*kinds: tuple[bytes, ...]) -> Callable[[Path], bool]:
    """Whether one of the first JSON files begins with all texts of a kind."""

    def seen(path: Path) -> bool:
        heads = map(_head, _with_suffix(path, ".json"))
        return any(all(text in head for text in texts) for head in heads for texts in kinds)

    return seen


def _is_via_table(path: Path) -> bool:
    return any(VIA_COLUMNS in _head(file) for file in _with_suffix(path, ".csv"))


def _is_dota(path: Path) -> bool:
    """Whether one of the first three lines of a text is one of its lines: two may say where the image is from."""
    heads = (_head(file).splitlines() for file in _with_suffix(path, ".txt"))
    return any(DOTA.fullmatch(line) for lines in heads for line in lines[:3])


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
    heads = (_head(each).splitlines() for each in _with_suffix(path, ".txt"))
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
        lambda path: "open it there and save it with Annotation > Export Annotations (COCO format)",
    ),
    UnreadFormat(
        "a .csv of the VGG Image Annotator",
        _is_via_table,
        lambda path: (
            "load it there with Annotation > Import Annotations (from csv), then Export Annotations (COCO format)"
        ),
    ),
    UnreadFormat(
        "a project of the VGG Image Annotator 3",
        _json_with(VIA_3),
        lambda path: f"its version 2 exports COCO; or write every `xy` [2, x, y, width, height] as a line {CSV_LINE}",
    ),
    UnreadFormat(
        "Sloth's JSON",
        _json_with(SLOTH),
        lambda path: f"write a .csv with the header {CSV_LINE} and a line for every rect: x, y, x + width, y + height",
    ),
    UnreadFormat(
        "DOTA's text files, whose boxes are oriented",
        _is_dota,
        lambda path: (
            f"for the upright boxes around them write a .csv with the header {CSV_LINE}: the least and the "
            "greatest x and y of the four corners in every line"
        ),
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
        _json_with(SUPERVISELY, SUPERVISELY_META),
        lambda path: "run its app Export to COCO, or Export to Pascal VOC, on it",
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
