"""The known label formats: the first that matches a path reads its labels."""

from paretodet.labels.format import Format
from paretodet.labels.formats import coco, cvat, lvis, openimages, voc, yolo

FORMATS: tuple[Format, ...] = (
    voc.FORMAT,
    yolo.FORMAT,
    cvat.FORMAT,
    lvis.FORMAT,
    coco.FORMAT,
    openimages.FORMAT,
)
SUFFIXES = frozenset(suffix for form in FORMATS for suffix in form.suffixes)  # of files that hold labels
