"""Huang et al.'s region detectors as their code was released: crops and bins that differ from the paper's.

The weights of the released zoo are of these. Source: faster_rcnn_inception_v2_coco.config and
rfcn_resnet101_coco.config of TensorFlow's Object Detection API.
"""

from dataclasses import replace
from typing import Any

from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.detectors.spec import DetectorSpec
from paretodet.heads.position_sensitive import PositionSensitiveHead
from paretodet.heads.region import BoxHead, CropAndResize

BINS = PositionSensitiveHead(bins=3, crop=18)
POOLED = CropAndResize(bins=14, pool=2)


def as_released(spec: DetectorSpec) -> DetectorSpec:
    """The spec with R-FCN's 3 x 3 bins, and with the pooled crops of Faster R-CNN on Inception V2.

    It has another name, as it computes something else; a spec without a difference is returned as it is.
    """
    *before, last = spec.stages
    head = _released_head(last.head, spec)
    if head == last.head:
        return spec
    return replace(spec, name=f"{spec.name} as released", stages=(*before, replace(last, head=head)))


def _released_head(head: Any, spec: DetectorSpec) -> Any:
    if isinstance(head, PositionSensitiveHead):
        return replace(head, bins=BINS.bins, crop=BINS.crop)
    if isinstance(head, BoxHead) and isinstance(head.crop, CropAndResize) and isinstance(spec.backbone, InceptionV2):
        return replace(head, crop=POOLED)
    return head
