"""Cascade R-CNN on a feature pyramid (Cai and Vasconcelos 2018, arXiv 1712.00726).

The numbers are those of the authors' own version for Detectron, Detectron-Cascade-RCNN. At test all three heads
score the references of the third stage, and their softmax scores are averaged: so do both of the authors' versions,
this one and the one for Caffe. In detectron2 and mmdetection each head scores the references of its own stage.
Neither version of the authors clips boxes between stages; detectron2 and mmdetection do. No stage but the first
region stage samples; ground truth joins the references of each.
"""

from dataclasses import replace

from paretodet.detectors.mask_rcnn import REFINE, mask_rcnn
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.heads.pyramid import ConnectedHead, PyramidAlign
from paretodet.rules.coders import DETECTRON_CLAMP, DeltaCoder
from paretodet.rules.losses import BoxLoss, PerBatchSample, SoftmaxScore
from paretodet.rules.matchers import ArgmaxMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.rules.select import EveryBox


def _stage(iou: float, weight: float, map_gradient: float) -> StageSpec:
    """A region stage that learns from every box of the stage before it."""
    coder = DeltaCoder(weights=(weight, weight, weight / 2, weight / 2), clamp=DETECTRON_CLAMP)
    return replace(
        REFINE,
        head=ConnectedHead(crop=PyramidAlign(bins=7, trim=1.0), class_agnostic=True),
        coder=coder,
        matcher=ArgmaxMatcher(positive=iou, negative=iou),
        sampler=AllSampler(),
        losses=BoxLoss(score=SoftmaxScore(), normalizer=PerBatchSample(), coder=coder),
        map_gradient=map_gradient,
    )


CASCADE = (
    replace(_stage(0.5, 10.0, 1.0), select=EveryBox(), sampler=REFINE.sampler),
    replace(_stage(0.6, 20.0, 0.5), select=EveryBox()),
    replace(_stage(0.7, 30.0, 0.25), scored_by="cascade"),
)


def cascade_rcnn(name: DetectorName, labels: tuple[str | None, ...]) -> DetectorSpec:
    """Detectron's Faster R-CNN on ResNet-50 or -101 with three region stages. Raises as `mask_rcnn`."""
    made = mask_rcnn(name, labels)
    return replace(made, stages=(made.stages[0], *CASCADE), masks=None)
