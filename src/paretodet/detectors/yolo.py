"""YOLO v3 (Redmon and Farhadi 2018, arXiv 1804.02767)."""

from paretodet.backbones.darknet53 import Darknet53
from paretodet.data.fit import Letterbox
from paretodet.detectors.names import Name
from paretodet.detectors.spec import DetectorSpec, Pixels, StageSpec
from paretodet.heads.dense import JointHead
from paretodet.necks.top_down import TopDown
from paretodet.rules.anchors import CellPriors
from paretodet.rules.coders import CellCoder
from paretodet.rules.losses import YoloV3Loss
from paretodet.rules.matchers import YoloMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.scores import ObjectnessSigmoid
from paretodet.rules.select import Select

UNIT = Pixels(std=(255.0, 255.0, 255.0))
PRIORS = (  # width, height in px; strides 32, 16, 8
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)


def yolo_v3(name: Name, labels: tuple[str | None, ...]) -> DetectorSpec:
    """YOLO v3. Raises ValueError for another backbone or a side that is no multiple of 32."""
    if name.backbone != "darknet53":
        raise ValueError(f"backbone: {name.backbone!r} is not darknet53")
    if name.height % 32 or name.width % 32 or min(name.height, name.width) < 32:
        raise ValueError(f"size: {name.height}x{name.width} must be multiples of 32")
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=Letterbox(height=name.height, width=name.width),
        pixels=UNIT,
        backbone=Darknet53(),
        neck=TopDown(),
        anchors=CellPriors(priors=PRIORS),
        stages=(
            StageSpec(
                head=JointHead(),
                coder=CellCoder(),
                scores=ObjectnessSigmoid(),
                matcher=YoloMatcher(ignore=0.7),
                sampler=AllSampler(),
                losses=YoloV3Loss(),
                select=Select(threshold=0.005, overlap=0.45, keep=100),
            ),
        ),
        labels=labels,
        assumption="darknet keeps every box above the threshold; here the best 100, all that COCO's evaluation reads",
    )
