"""The augmentations of the papers and their code. Numbers that are not given here are the defaults of the parts."""

from paretodet.transforms.augment import Chain, Expand, Flip, Jitter
from paretodet.transforms.color import Distort, DistortHsv
from paretodet.transforms.crops import CoveringCrop, SampledCrop
from paretodet.transforms.resize_policy import multi_scale

SSD_LIU = Chain(steps=(Distort(), Expand(), SampledCrop(), Flip()))  # the models with "*" in Liu et al. 2016, Table 6
SSD_HUANG = Chain(steps=(Flip(), CoveringCrop()))  # the released configurations of Huang et al. 2017
DARKNET = Chain(steps=(Jitter(), DistortHsv(), Flip()))  # YOLO v2, v3 and v3-tiny
DARKNET_2016 = Chain(steps=(Jitter(amount=0.2), DistortHsv(), Flip()))  # YOLO v2 as first published, yolo.2.0.cfg
REGIONS = Chain(steps=(Flip(),))  # Faster R-CNN, R-FCN, Mask R-CNN, RetinaNet

DARKNET_CANVASES = multi_scale(range(320, 609, 32))  # another every ten batches; Darknet's last 200 use the largest
