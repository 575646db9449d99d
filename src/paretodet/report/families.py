"""The detector families that charts show in different colors and shapes, by the architecture in a row's name."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DetectorFamily:
    """A family and how it is drawn; `tone` is a color name of `theme.py`."""

    title: str
    prefixes: tuple[str, ...]
    shape: str
    tone: str


OTHER = DetectorFamily(title="Other", prefixes=(), shape="cross", tone="other")
FAMILIES = (
    DetectorFamily(title="SSD", prefixes=("ssd",), shape="circle", tone="ssd"),
    DetectorFamily(title="YOLO", prefixes=("yolo",), shape="square", tone="yolo"),
    DetectorFamily(title="RetinaNet", prefixes=("retinanet",), shape="triangle-down", tone="retinanet"),
    DetectorFamily(title="FCOS", prefixes=("fcos",), shape="pentagon", tone="fcos"),
    DetectorFamily(title="Faster R-CNN", prefixes=("faster_rcnn", "fasterrcnn"), shape="triangle-up", tone="faster"),
    DetectorFamily(title="Cascade R-CNN", prefixes=("cascade_rcnn", "cascadercnn"), shape="star", tone="cascade"),
    DetectorFamily(title="R-FCN", prefixes=("rfcn",), shape="triangle-right", tone="rfcn"),
    DetectorFamily(title="Mask R-CNN", prefixes=("mask_rcnn", "maskrcnn"), shape="triangle-left", tone="mask"),
    DetectorFamily(
        title="DETR", prefixes=("detr", "d_fine", "dfine", "rt_detr", "deim", "rf_detr"), shape="diamond", tone="detr"
    ),
    OTHER,
)


def family_of(name: str) -> DetectorFamily:
    """`hf:d_fine-s` belongs to DETR, `ssd_liu-vgg16-300` to SSD; a name without a known prefix to `OTHER`."""
    architecture = name.rpartition(":")[2].lower()
    return next((family for family in FAMILIES if architecture.startswith(family.prefixes)), OTHER)
