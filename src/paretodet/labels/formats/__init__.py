"""The known label formats: the first that matches a path reads its labels."""

from paretodet.labels.format import Format
from paretodet.labels.formats import (
    coco,
    cvat,
    datumaro,
    fiftyone,
    labelme,
    labelstudio,
    lvis,
    openimages,
    table,
    voc,
    yolo,
)

FORMATS: tuple[Format, ...] = (
    voc.FORMAT,
    yolo.FORMAT,
    cvat.FORMAT,
    lvis.FORMAT,
    fiftyone.FORMAT,
    datumaro.FORMAT,
    labelstudio.FORMAT,
    labelme.FORMAT,
    coco.FORMAT,
    openimages.FORMAT,
    table.FORMAT,
)
SUFFIXES = frozenset(suffix for form in FORMATS for suffix in form.suffixes)  # of files that hold labels
