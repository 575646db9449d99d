"""The known code bases: the first whose names match converts a file's tensors; the names of all others are ours."""

from paretodet.weights.naming import Naming
from paretodet.weights.namings import (
    caffe,
    detectron,
    detectron2,
    fcos,
    tf_detection,
    tf_detection_lite,
    torchvision,
)

NAMINGS: tuple[Naming, ...] = (
    tf_detection_lite.NAMING,
    tf_detection.NAMING,
    torchvision.NAMING,
    detectron.NAMING,
    detectron2.NAMING,
    fcos.NAMING,
    caffe.NAMING,
)
