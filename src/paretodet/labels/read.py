"""Labels of any known format, found by what lies there."""

import hashlib
from pathlib import Path

from paretodet.labels.builder import Labels
from paretodet.labels.formats.coco import read_coco
from paretodet.labels.formats.voc import image_sets, read_voc
from paretodet.labels.formats.yolo import read_splits, read_yolo

TRAIN, VAL = ("train", "training"), ("val", "valid", "validation")  # what exports call them, years apart
KNOWN = (
    "COCO: an instances .json, or a folder with some, or with annotations/instances_<split>.json",
    "Pascal VOC: a folder with Annotations/*.xml, JPEGImages and ImageSets/Main/<split>.txt",
    "YOLO: a .yaml that names train, val and names, or a folder with one",
)


def read_labels(path: Path | str, *, split: str | None = None, images: Path | None = None) -> Labels:
    """The labels at `path`, a file or a folder; of one `split`, or of all that Pascal VOC and YOLO have. `images` is
    the folder that a COCO file's names start from, else it is found near the labels.

    Raises ValueError, naming the file, the field and the fix, where no format fits, several COCO files lie there and no
    split says which, `images` is given for another format, or the reader cannot read what it found.
    """
    path = Path(path)
    if file := coco_file(path, split=split):
        return read_coco(file, images=images)
    voc, settings = voc_folder(path), yolo_file(path)
    if images and (voc or settings):
        raise ValueError(f"images: {path} says itself where its images lie, a folder means nothing beside it")
    if voc:
        return read_voc(path, split=split)
    if settings:
        return read_yolo(settings, split=split)
    there = "no such file or folder" if not path.exists() else "none of the known formats"
    raise ValueError(f"labels: {path} is {there}; known are " + "; ".join(KNOWN))


def coco_file(path: Path | str, *, split: str | None = None) -> Path | None:
    """The instances file that `read_labels` reads there; None where it reads another format, or nothing.

    Raises ValueError where several lie there and no split says which.
    """
    path = Path(path)
    if voc_folder(path) or yolo_file(path):
        return None
    files = coco_files(path)
    return _chosen(files, split, path) if files else None


def splits(path: Path | str) -> tuple[str, ...]:
    """The names that `read_labels` takes as `split`; none where the format has none there."""
    path = Path(path)
    if voc_folder(path):
        return image_sets(path)
    if settings := yolo_file(path):
        return read_splits(settings)
    return tuple(coco_files(path)) if path.is_dir() else ()


def fingerprint(data: Labels) -> str:
    """SHA-256 over what is labeled how: names, sizes, boxes, classes, crowds; not where it lies."""
    digest = hashlib.sha256(repr((data.labels, data.category_ids, data.names)).encode())
    for column in (data.name_ends, data.sizes, data.offsets, data.boxes, data.classes, data.crowd):
        digest.update(column.tobytes())
    return digest.hexdigest()


def voc_folder(path: Path) -> bool:
    return next((path / "Annotations").glob("*.xml"), None) is not None


def yolo_file(path: Path) -> Path | None:
    """The yaml itself, or a folder's data.yaml, or its only one."""
    if not path.is_dir():
        return path if path.suffix.lower() in (".yaml", ".yml") and path.is_file() else None
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in (".yaml", ".yml"))
    named = [each for each in found if each.stem == "data"]
    return (named or found)[0] if named or len(found) == 1 else None


def coco_files(path: Path) -> dict[str, Path]:
    """Split -> instances file: the file itself, or those of a folder, of its annotations folder and, as some exports
    write them, of its splits' folders."""
    if path.is_file():
        return {path.stem.removeprefix("instances_"): path} if path.suffix.lower() == ".json" else {}
    found = [*sorted(path.glob("*.json")), *sorted(path.glob("annotations/*.json"))]
    named = [each for each in found if each.stem.startswith("instances")]
    files = {each.stem.removeprefix("instances_"): each for each in named or found}
    return files or {each.parent.name: each for each in sorted(path.glob("*/_annotations.coco.json"))}


def _chosen(files: dict[str, Path], split: str | None, path: Path) -> Path:
    """The file of a split, whose year may be left out; the only one where none is asked for."""
    years = [name for name in files if split and name.rstrip("0123456789") == split]
    names = [split] if split in files else years if split else list(files)
    if len(names) == 1 and names[0] is not None:
        return files[names[0]]
    got = "several and no split asked for" if split is None else f"split: got {split!r:.80}"
    raise ValueError(f"labels: {path}: {got}, it has {', '.join(files)}: name one of them as the split")
