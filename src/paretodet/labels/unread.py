"""Labels that are known and not read: what they are, and the command that converts them."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from paretodet.images import is_image_name
from paretodet.labels.formats.voc_layout import ROOT
from paretodet.labels.formats.yolo_settings import ONE, SPLITS, quoted, settings_file, settings_files
from paretodet.labels.image_index import folders_below, with_slashes
from paretodet.labels.splits import is_usual, usual
from paretodet.labels.xml_stream import root_of
from paretodet.reading import is_file, visible_files

HEAD = 2**16
LISTED = 2000  # files of a folder that are looked at
VIA = (b'"regions"', b'"shape_attributes"')  # texts that files of a tool begin with
VIA_3 = (b'"vid"', b'"xy"', b'"av"')
SLOTH = (b'"class"', b'"filename"', b'"annotations"', b'"x"')
VOTT = (b'"asset"', b'"regions"', b'"boundingBox"')
CREATE_ML = (b'"coordinates"', b'"annotations"', b'"image')
BDD = (b'"box2d"', b'"category"')
SUPERVISELY = (b'"classTitle"', b'"points"')
DARWIN = (
    (b'"annotations"', b'"slot_names"'),
    (b'"annotations"', b'"slots"'),
    (b'"annotations"', b'"original_filename"'),
)
SUPERVISELY_META = (b'"classes"', b'"tags"', b'"title"', b'"shape"')
LOOKED = 20  # files of a kind that are opened
MASKS = ("mask", "label", "annot", "segment", "gt")  # in names of folders with masks
LOSSY = (".jpg", ".jpeg")  # which would change the numbers of a mask
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
JSON_LINES = (".jsonl", ".ndjson", ".odgt", ".manifest")
SUFFIXES = frozenset((".zip", *JSON_LINES))  # of files that can only be labels
VIA_COLUMNS = b"region_shape_attributes"  # of its .csv
DOTA = re.compile(
    rb"\s*(-?[\d.]+\s+){8}[A-Za-z][\w-]*(\s+\d)?\s*"
)  # four corners, a class, and whether it is difficult
CSV_LINE, CSV_SIDES = "image,xmin,ymin,xmax,ymax,class", "image,x,y,w,h,class,ignore"
KITTI = re.compile(rb"[A-Za-z_]\w*(\s+-?[\d.]+(e[+-]?\d+)?){14,15}\s*")  # boxes in 2D and 3D
COMMAS = re.compile(rb"(-?[\d.]+,){7,9}(-?[\d.]+)?\s*")  # VisDrone has 8 numbers, MOT 9 or 10
PICTURE = re.compile(rb".+\.(jpe?g|png)\s*", re.IGNORECASE)
LINE = re.compile(rb"\s*\d+(\.0*)?(\s+[\d.e+-]+){4,}\s*")
NAMES = ("classes.txt", "*.names", "_darknet.labels")  # files of class names beside YOLO's texts, one a line
SUBSET = re.compile(r"obj_(.+)_data")  # CVAT's folder of a split


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


def _as_csv(path: Path) -> str:
    marked = "where `ignore` is 1 for what is neither required nor a mistake"
    return f"write a .csv with the header {CSV_SIDES} and a line for every box, {marked}"


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


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD)
    except OSError:
        return b""


def _first_lines(path: Path) -> Iterator[list[bytes]]:
    """Of the text itself, or of the first of a folder and two below each other that are not empty."""
    below = (each for pattern in ("*.txt", "*/*.txt", "*/*/*.txt") for each in visible_files(path, pattern))
    texts = iter([path]) if path.suffix.lower() == ".txt" and is_file(path) else below
    return (head.splitlines() for head in islice(filter(None, map(_head, texts)), LOOKED))


def _is_yolo(path: Path) -> bool:
    """Whether texts of its lines lie there, and no yaml that has names or splits."""
    lined = path.is_dir() and any(LINE.fullmatch(lines[0]) for lines in _first_lines(path))
    return lined and settings_file(path, least=ONE) is None


def _is_kitti(path: Path) -> bool:
    return (path / "label_2").is_dir() or any(KITTI.fullmatch(lines[0]) for lines in _first_lines(path))


def _is_wider(path: Path) -> bool:
    """Whether a text has a picture, how many faces it shows, and a line for each of them."""
    found = (lines for lines in _first_lines(path) if len(lines) > 2)
    return any(PICTURE.fullmatch(a) and b.strip().isdigit() and LINE.fullmatch(c) for a, b, c, *_ in found)


def _several_yamls(path: Path) -> list[Path]:
    """Those that each name a whole set of YOLO; empty if one of them is taken."""
    known = settings_files(path) if path.is_dir() else []
    return known if len(known) > 1 and settings_file(path) is None else []


def _yaml_above(path: Path) -> Path | None:
    """That of the set to which a folder of texts alone belongs."""
    pictures = (each for folder in folders_below(path) for each in folder.glob("*") if is_image_name(each.name))
    above = path.absolute().parents[:2] if _is_yolo(path) and not any(pictures) else ()
    return next((file for folder in above if (file := settings_file(folder)) is not None), None)


def _are_json_lines(path: Path) -> bool:
    """Whether most files are, besides images."""
    files = [each for each in _files(path) if not is_image_name(each.name)]
    return 2 * sum(each.suffix.lower() in JSON_LINES for each in files) > len(files)


def _yaml_for(path: Path) -> str:
    known = visible_files(path, *(pattern for name in NAMES for pattern in (name, f"*/{name}")))[:1]
    names = [name.strip() for file in known for name in _head(file).decode("utf-8", "replace").split("\n")]
    listed = json.dumps([name for name in names if name] or ["first class", "second class"], ensure_ascii=False)
    lines = ", ".join(f"`{split}: {where}`" for split, where in _split_places(path).items())
    return f"write {path / 'data.yaml'} with the lines {lines} and `names: {listed:.300}`"


def _split_places(path: Path) -> dict[str, str]:
    """Split -> where a yaml says that its images are: folders, or texts that list files, which are named as splits are;
    if there are none, all images are one split.
    """
    folders, lists = _split_folders(path), _split_lists(path)
    found = folders if len(folders) >= len(lists) else lists
    order = dict.fromkeys((*SPLITS, *found)) if found else {}
    whole = {"train": "images" if (path / "images").is_dir() else "."}
    return {split: _as_yaml(sorted(found[split])) for split in order if split in found} or whole


def _split_folders(path: Path) -> dict[str, set[str]]:
    """Those with images in them or below, from the set's."""
    found = dict[str, set[str]]()
    for folder in folders_below(path):
        parts = folder.relative_to(path).parts
        names = [match[1] if (match := SUBSET.fullmatch(part)) else part for part in parts]
        at = next((place for place, name in enumerate(names) if is_usual(name)), None)
        if at is not None and any(is_image_name(each.name) for each in folder.glob("*")):
            found.setdefault(_key(names[at]), set()).add("/".join(parts[: at + 1]))
    return found


def _split_lists(path: Path) -> dict[str, set[str]]:
    found = dict[str, set[str]]()
    for file in visible_files(path, "*.txt"):
        first = with_slashes(_head(file).decode("utf-8", "replace").split("\n")[0].strip())
        if is_usual(file.stem) and is_image_name(first.rpartition("/")[2]):
            found.setdefault(_key(file.stem), set()).add(file.name)
    return found


def _key(name: str) -> str:
    """The key of a yaml for what is named as a split is."""
    short = usual(name)
    return next((split for split, names in SPLITS.items() if short in names), short)


def _as_yaml(places: list[str]) -> str:
    return quoted(places[0]) if len(places) == 1 else json.dumps(places, ensure_ascii=False)


def _is_classification(path: Path) -> bool:
    """Whether there are folders of images and no other files."""
    files = list(_files(path)) if path.is_dir() else []
    below = [each for each in files if each.parent != path]
    images = [each for each in below if is_image_name(each.name)]
    folders = {each.parent for each in images}
    return len(folders) > 1 and len(images) == len(files) and not all(is_usual(each.name) for each in folders)


def _is_segmentation(path: Path) -> bool:
    """Whether there are images alone, and those in folders that are named as masks are each for one of the others."""
    files = list(_files(path)) if path.is_dir() else []
    named = [each for each in files if any(part in str(each.parent.relative_to(path)).lower() for part in MASKS)]
    images = {each.stem for each in set(files) - set(named)}
    whole = all(is_image_name(each.name) for each in files) and not any(each.suffix.lower() in LOSSY for each in named)
    return bool(named) and whole and all({each.stem, each.stem.rpartition("_")[0]} & images for each in named)


def _is_archive(path: Path) -> bool:
    return is_file(path) and path.suffix.lower() in ARCHIVES


def _is_pictures(path: Path) -> bool:
    files = list(_files(path)) if path.is_dir() else []
    return bool(files) and all(is_image_name(each.name) for each in files)


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
    UnreadFormat(
        "Darwin's JSON, as V7 exports it",
        lambda path: any(map(_json_with(*DARWIN), folders_below(path) if path.is_dir() else [path])),
        lambda path: (
            f"`darwin convert coco {shlex.quote(str(path))} {shlex.quote(f'{path.stem}-coco')}` "
            "(pip install darwin-py) converts them"
        ),
    ),
    UnreadFormat("WIDER FACE's text", _named("wider_face_*_bbx_gt.txt"), _datumaro("wider_face")),
    UnreadFormat("text as WIDER FACE has it", _is_wider, _as_csv),
    UnreadFormat("KITTI's text", _is_kitti, _datumaro("kitti")),
    UnreadFormat(
        "text with numbers between commas, as of VisDrone and MOT",
        lambda path: any(COMMAS.fullmatch(lines[0]) for lines in _first_lines(path)),
        _as_csv,
    ),
    UnreadFormat("JSON lines", _are_json_lines, _as_csv),
    UnreadFormat(
        "the tables of nuImages",
        _named("object_ann.json"),
        lambda path: "MMDetection3D's tools/dataset_converters/nuimage_converter.py writes them as COCO",
    ),
    UnreadFormat(
        "the texts of a YOLO set alone",
        lambda path: _yaml_above(path) is not None,
        lambda path: f"name its yaml, {_yaml_above(path)}",
    ),
    UnreadFormat(
        "several .yaml of YOLO sets",
        lambda path: bool(_several_yamls(path)),
        lambda path: f"name one of them: {', '.join(map(str, _several_yamls(path))):.300}",
    ),
    UnreadFormat("YOLO's text files without their .yaml", _is_yolo, _yaml_for),
    UnreadFormat(
        "parquet files",
        _named("*.parquet"),
        lambda path: "write the table as a .csv with image,xmin,ymin,xmax,ymax,class and the images as files",
    ),
    UnreadFormat(
        "images and masks, which are labels of segmentation",
        _is_segmentation,
        lambda path: "detection needs a box around every object: write the one around each object's mask as COCO",
    ),
    UnreadFormat(
        "images in folders of classes, which are labels of classification",
        _is_classification,
        lambda path: "detection needs a box around every object; draw them with a tool that writes COCO, VOC or YOLO",
    ),
    UnreadFormat("images and no labels", _is_pictures, lambda path: "name the folder or the file that has the labels"),
    UnreadFormat("an archive", _is_archive, lambda path: "unpack it, and name the folder that comes of it"),
)
