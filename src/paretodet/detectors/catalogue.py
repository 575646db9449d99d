"""The catalogue as data, without torch: the names, the published accuracy, and the sizes.

`counts.json` beside this file has the numbers that need a built detector; `scripts/counts.py` writes it, and a test
checks it.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from paretodet.detectors.names import DetectorName, parse

PROPOSALS = (10, 20, 50, 100, 200, 300)  # Huang et al. section 4.1.6 varies 10 to 300
REGION_STRIDES: dict[str, tuple[int | None, ...]] = {  # Huang et al.'s extractors in Faster R-CNN and R-FCN
    "vgg16": (16,),
    "mobilenet_v1": (16,),
    "inception_v2": (16,),
    "resnet101": (16, 8),
    "inception_v3": (16,),
    "inception_resnet_v2": (16, 8),
}
DENSE_STRIDES: dict[str, tuple[int | None, ...]] = {  # in SSD; None: there is only one
    "vgg16": (None,),
    "mobilenet_v1": (None,),
    "inception_v2": (None,),
    "resnet101": (16, 8),
    "inception_v3": (None,),
    "inception_resnet_v2": (None,),
}
ZOO_STRIDES = {"inception_v2": 16, "resnet50": 8, "resnet101": 8, "inception_resnet_v2": 8}  # of its Mask R-CNN


@dataclass(frozen=True, kw_only=True)
class PublishedAP:
    """COCO accuracy in percent on one split, as printed in its source."""

    split: str
    ap: float | None = None
    ap50: float | None = None
    mask_ap: float | None = None
    mask_ap50: float | None = None
    rounding: float = 0.05  # half a unit of the last digit
    source: str


HUANG = "Huang et al. 2017 (arXiv 1611.10012)"
REN = "Ren et al. 2015 (arXiv 1506.01497)"
YOLO_V2 = "Redmon and Farhadi 2017 (arXiv 1612.08242)"
YOLO_V3 = "Redmon and Farhadi 2018 (arXiv 1804.02767)"
MASK = "He et al. 2017 (arXiv 1703.06870)"
FOCAL = "Lin et al. 2017 (arXiv 1708.02002)"
DETECTRON = "Detectron's model zoo, 2x schedule"
DETECTRON2 = "Detectron2's model zoo, 3x schedule"
CASCADE = "the authors' Detectron-Cascade-RCNN, 1x schedule"
TF_ZOO = "TensorFlow 1 detection model zoo"
TORCHVISION = "torchvision's weights"
ZOO = "TensorFlow 1 detection model zoo"
FCOS = "the authors' FCOS_R_50_FPN_1x"
DARKNET = "darknet's model table"
ARCHIVE = "ultralytics/yolov3 archive branch, the authors' weights under pycocotools"

PUBLISHED: dict[str, tuple[PublishedAP, ...]] = {
    "ssd-mobilenet_v1-300": (
        PublishedAP(split="test-dev", ap=18.8, source=f"{HUANG} Table 3"),
        PublishedAP(split="minival2014", ap=19.3, source=f"{HUANG} Table 3"),
    ),
    "ssd-inception_v2-300": (
        PublishedAP(split="test-dev", ap=21.6, source=f"{HUANG} Table 3"),
        PublishedAP(split="minival2014", ap=22.0, rounding=0.5, source=f"{HUANG} Table 3"),
    ),
    "ssd_liu-vgg16-300": (
        PublishedAP(split="test-dev", ap=23.2, ap50=41.2, source="Liu et al. 2016 (arXiv 1512.02325), test-dev2015"),
    ),
    "ssd_liu-vgg16-512": (
        PublishedAP(split="test-dev", ap=26.8, ap50=46.5, source="Liu et al. 2016 (arXiv 1512.02325), test-dev2015"),
    ),
    "ssdlite-mobilenet_v2-300": (PublishedAP(split="minival2014", ap=22.0, rounding=0.5, source=TF_ZOO),),
    "ssd_tv-vgg16-300": (PublishedAP(split="val2017", ap=25.1, source=TORCHVISION),),
    "yolo_v2-darknet19-608": (PublishedAP(split="test-dev", ap50=48.1, source=DARKNET),),
    "yolo_v2_2016-darknet19-416": (
        PublishedAP(split="test-dev", ap=21.6, ap50=44.0, source=f"{YOLO_V2}, test-dev2015"),
    ),
    "yolo_v3-darknet53-320": (
        PublishedAP(split="test-dev", ap=28.2, ap50=51.5, source=f"{YOLO_V3}; {DARKNET}"),
        PublishedAP(split="val2014-5k", ap=28.7, ap50=51.8, source=ARCHIVE),
    ),
    "yolo_v3-darknet53-416": (
        PublishedAP(split="test-dev", ap50=55.3, source=DARKNET),
        PublishedAP(split="val2014-5k", ap=31.2, ap50=55.4, source=ARCHIVE),
    ),
    "yolo_v3-darknet53-608": (
        PublishedAP(split="test-dev", ap=33.0, ap50=57.9, source=f"{YOLO_V3} Table 3"),
        PublishedAP(split="val2014-5k", ap=33.1, ap50=58.2, source=ARCHIVE),
    ),
    "yolo_v3_tiny-416": (
        PublishedAP(split="test-dev", ap50=33.1, source=DARKNET),
        PublishedAP(split="val2014-5k", ap=16.0, ap50=33.0, source=ARCHIVE),
    ),
    "retinanet-resnet101-800": (
        PublishedAP(split="test-dev", ap=37.8, ap50=57.5, source=f"{FOCAL} Table 1e"),
        PublishedAP(split="val2017", ap=37.8, source=DETECTRON),
    ),
    "retinanet-resnet50-800": (
        PublishedAP(split="test-dev", ap=35.7, ap50=55.0, source=f"{FOCAL} Table 1e"),
        PublishedAP(split="val2017", ap=35.7, source=DETECTRON),
    ),
    "retinanet_d2-resnet50-800x1344": (PublishedAP(split="val2017", ap=38.7, source=DETECTRON2),),
    "retinanet_d2-resnet101-800x1344": (PublishedAP(split="val2017", ap=40.4, source=DETECTRON2),),
    "faster_rcnn_d2-resnet50-800x1344": (PublishedAP(split="val2017", ap=40.2, source=DETECTRON2),),
    "faster_rcnn_d2-resnet101-800x1344": (PublishedAP(split="val2017", ap=42.0, source=DETECTRON2),),
    "mask_rcnn_d2-resnet50-800x1344": (PublishedAP(split="val2017", ap=41.0, mask_ap=37.2, source=DETECTRON2),),
    "mask_rcnn_d2-resnet101-800x1344": (PublishedAP(split="val2017", ap=42.9, mask_ap=38.6, source=DETECTRON2),),
    "fcos-resnet50-800x1344": (
        PublishedAP(split="val2017", ap=37.1, source=FCOS),
        PublishedAP(split="test-dev", ap=37.4, source=FCOS),
    ),
    "retinanet_tv-resnet50-800": (PublishedAP(split="val2017", ap=36.4, source=TORCHVISION),),
    "faster_rcnn_ren-vgg16-600x850-p300": (
        PublishedAP(split="test-dev", ap=21.9, ap50=42.7, source=f"{REN}, trained on trainval"),
        PublishedAP(split="val2014", ap=21.2, ap50=41.5, source=f"{REN}, trained on train"),
    ),
    "mask_rcnn-resnet101-800x1024": (
        PublishedAP(
            split="test-dev", ap=38.2, ap50=60.3, mask_ap=35.7, mask_ap50=58.0, source=f"{MASK} Tables 1 and 3"
        ),
        PublishedAP(split="val2017", ap=40.9, mask_ap=36.4, source=DETECTRON),
    ),
    "faster_rcnn_fpn-resnet101-800x1344": (PublishedAP(split="val2017", ap=39.8, source=DETECTRON),),
    "faster_rcnn_fpn-resnet50-800x1344": (PublishedAP(split="val2017", ap=37.9, source=DETECTRON),),
    "mask_rcnn-resnet50-800x1024": (PublishedAP(split="val2017", ap=38.6, mask_ap=34.5, source=DETECTRON),),
    "cascade_rcnn-resnet101-800x1344": (PublishedAP(split="val2017", ap=42.8, ap50=61.4, source=CASCADE),),
    "cascade_rcnn-resnet50-800x1344": (PublishedAP(split="val2017", ap=40.9, ap50=59.0, source=CASCADE),),
    "faster_rcnn_tv-resnet50-800x1344": (PublishedAP(split="val2017", ap=37.0, source=TORCHVISION),),
    "mask_rcnn_tv-resnet50-800x1344": (PublishedAP(split="val2017", ap=37.9, mask_ap=34.6, source=TORCHVISION),),
    **{
        f"mask_rcnn_zoo-{backbone}-800x1365-s{ZOO_STRIDES[backbone]}": (
            PublishedAP(split="minival2014", mask_ap=float(ap), rounding=0.5, source=f"{ZOO}, its masks"),
        )
        for backbone, ap in (("inception_v2", 25), ("resnet50", 29), ("resnet101", 33), ("inception_resnet_v2", 36))
    },
    "faster_rcnn-resnet50-600-s16-p300": (PublishedAP(split="minival2014", ap=30.0, rounding=0.5, source=ZOO),),
    "faster_rcnn-resnet101-600-s16-p100": (
        PublishedAP(split="test-dev", ap=31.9, source=f"{HUANG} Table 3"),
        PublishedAP(split="minival2014", ap=32.0, rounding=0.5, source=f"{HUANG} Table 3"),
    ),
    "faster_rcnn-resnet101-600-s8-p300": (
        PublishedAP(split="minival2014", ap=33.3, source=f"{HUANG} Table 5, localisation to classification 1:1"),
    ),
    "faster_rcnn-inception_resnet_v2-600-s16-p300": (
        PublishedAP(
            split="minival2014",
            ap=34.75,
            rounding=0.005,
            source=f"{HUANG} Table 5, localisation to classification 1:1",
        ),
    ),
    "faster_rcnn-inception_resnet_v2-600-s8-p300": (
        PublishedAP(split="test-dev", ap=35.6, source=f"{HUANG} Table 3"),
        PublishedAP(split="minival2014", ap=35.7, source=f"{HUANG} Table 3"),
    ),
    "rfcn-resnet101-600-s16-p300": (
        PublishedAP(split="test-dev", ap=30.3, source=f"{HUANG} Table 3"),
        PublishedAP(split="minival2014", ap=30.4, source=f"{HUANG} Table 3"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class DetectorEntry:
    """One line of `paretodet list`. Accuracy is in percent; None means unknown or not applicable.

    `ap` to `ap_source` are one published accuracy, as in rows; `published` has all, by split.
    """

    name: str
    meta_architecture: str
    backbone: str | None
    height: int
    width: int
    output_stride: int | None
    proposals: int | None
    classes: int
    parameters: int
    buffers: int
    macs: int
    layers: int  # that multiply and add, as often as they are called
    moved: int  # values that these layers read and write for one image, without their weights
    flops: int
    ap: float | None
    ap50: float | None
    mask_ap: float | None
    mask_ap50: float | None
    ap_split: str | None
    ap_source: str | None
    published: dict[str, dict[str, Any]] = field(hash=False)
    assumption: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def names() -> tuple[str, ...]:
    """All names of the catalogue, by family."""
    return tuple(_names())


def _names() -> Iterator[str]:
    yield from _huang("ssd", DENSE_STRIDES, (None,))
    yield from ("ssd_liu-vgg16-300", "ssd_liu-vgg16-512", "ssd_tv-vgg16-300")
    yield "ssdlite-mobilenet_v2-300"
    yield from (f"{version}-darknet19-{side}" for version in ("yolo_v2_2016", "yolo_v2") for side in (416, 608))
    yield "yolo_v3_tiny-416"
    yield from (f"yolo_v3-darknet53-{side}" for side in (320, 416, 608))
    yield from ("retinanet-resnet101-800", "retinanet-resnet50-800", "retinanet_tv-resnet50-800")
    yield "fcos-resnet50-800x1344"
    yield "faster_rcnn_ren-vgg16-600x850-p300"
    yield from ("faster_rcnn_fpn-resnet101-800x1344", "faster_rcnn_fpn-resnet50-800x1344")
    yield from ("mask_rcnn-resnet101-800x1024", "mask_rcnn-resnet50-800x1024")
    yield from ("cascade_rcnn-resnet101-800x1344", "cascade_rcnn-resnet50-800x1344")
    for architecture in ("retinanet_d2", "faster_rcnn_d2", "mask_rcnn_d2"):
        yield from (f"{architecture}-resnet{depth}-800x1344" for depth in (101, 50))
    yield from ("faster_rcnn_tv-resnet50-800x1344", "mask_rcnn_tv-resnet50-800x1344")
    yield from (f"mask_rcnn_zoo-{backbone}-800x1365-s{stride}" for backbone, stride in ZOO_STRIDES.items())
    yield from _huang("faster_rcnn", REGION_STRIDES, PROPOSALS)
    yield "faster_rcnn-resnet50-600-s16-p300"
    yield from _huang("rfcn", REGION_STRIDES, PROPOSALS)


def _huang(
    architecture: str, strides: Mapping[str, tuple[int | None, ...]], proposals: tuple[int | None, ...]
) -> Iterator[str]:
    """All combinations of backbone, resolution, output stride and number of proposals."""
    for backbone in strides:
        for side, stride, count in product((300, 600), strides[backbone], proposals):
            yield str(
                DetectorName(
                    architecture=architecture,
                    backbone=backbone,
                    height=side,
                    width=side,
                    output_stride=stride,
                    proposals=count,
                )
            )


@cache
def entries() -> tuple[DetectorEntry, ...]:
    """The whole catalogue. Its accuracy is the first published one with an AP, else the first one."""
    counts = json.loads(files("paretodet.detectors").joinpath("counts.json").read_text())
    return tuple(_entry(name, counts[name]) for name in names())


def published(name: str) -> tuple[PublishedAP, ...]:
    """The published accuracies of `name`; may be empty."""
    return PUBLISHED.get(name, ())


def nearest(name: str) -> list[str]:
    """Up to five catalogue names that are most similar to `name`."""
    return difflib.get_close_matches(name, names(), n=5, cutoff=0.3)


def _entry(name: str, counted: dict[str, Any]) -> DetectorEntry:
    part, accuracies = parse(name), published(name)
    shown = next((p for p in accuracies if p.ap is not None), accuracies[0] if accuracies else None)
    return DetectorEntry(
        name=name,
        meta_architecture=part.architecture,
        backbone=part.backbone,
        height=part.height,
        width=part.width,
        output_stride=part.output_stride,
        proposals=part.proposals,
        flops=2 * counted["macs"],
        ap=shown.ap if shown else None,
        ap50=shown.ap50 if shown else None,
        mask_ap=shown.mask_ap if shown else None,
        mask_ap50=shown.mask_ap50 if shown else None,
        ap_split=shown.split if shown else None,
        ap_source=shown.source if shown else None,
        published=by_split(accuracies),
        **counted,
    )


def by_split(accuracies: Iterable[PublishedAP]) -> dict[str, dict[str, Any]]:
    """Published accuracies as JSON, by their splits."""
    fields = [asdict(each) for each in accuracies]
    return {each.pop("split"): each for each in fields}
