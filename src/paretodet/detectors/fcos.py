"""FCOS (Tian et al. 2019, arXiv 1904.01355): one stage whose references are the cells of a pyramid, without anchors.

The numbers are those of the authors' FCOS_R_50_FPN_1x, the network of the paper without its later improvements.
"""

from paretodet.detectors.extractors import backbone_row, check_one_stage
from paretodet.detectors.names import DetectorName
from paretodet.detectors.pyramids import CAFFE, resnets, short_side
from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.heads.points import PointHead
from paretodet.necks.fpn import FPN, Convolutions
from paretodet.rules.anchors import PyramidAnchors
from paretodet.rules.centerness import CenternessLoss
from paretodet.rules.coders import DistanceCoder
from paretodet.rules.matchers import PointMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.scores import Centerness
from paretodet.rules.select import PostProcess

BACKBONES = resnets((3, 4, 5), 50, 101)
CELLS = PyramidAnchors(strides=(8, 16, 32, 64, 128), shapes=((1.0, 1.0),))
CODER = DistanceCoder(trim=1.0)
STAGE = StageSpec(
    head=PointHead(),
    coder=CODER,
    scores=Centerness(threshold=0.05),
    matcher=PointMatcher(trim=1.0),
    sampler=AllSampler(),
    losses=CenternessLoss(coder=CODER),
    select=PostProcess(threshold=0.0, overlap=0.6, keep=100, candidates_per_level=1000, clip="before"),
)


def fcos(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """The authors' on ResNet-50 or -101. Raises ValueError for another backbone or a side under 33 px."""
    check_one_stage(name, 33)
    return DetectorSpec(
        name=str(name),
        height=name.height,
        width=name.width,
        fit=short_side(name, multiple=32, whole="maskrcnn_benchmark", sampling="antialiased"),
        pixels=CAFFE,
        backbone=backbone_row(BACKBONES, name),
        neck=FPN(extra=Convolutions(smoothed=True)),
        anchors=CELLS,
        stages=(STAGE,),
        labels=labels,
        assumption="the divisor of the box loss is at least 1; the authors' may be less",
    )
