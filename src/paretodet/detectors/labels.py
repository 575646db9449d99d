"""The names of COCO's categories, and of PASCAL VOC's."""

from paretodet.labels.coco_names import COCO_IDS

COCO_80: tuple[str | None, ...] = tuple(COCO_IDS.values())
COCO_90: tuple[str | None, ...] = tuple(
    COCO_IDS.get(i) for i in range(1, 91)
)  # Huang's heads have unused slots for the gaps
COCO_91: tuple[str | None, ...] = (None, *COCO_90)  # torchvision's sigmoid heads also have an unused slot 0
VOC_20: tuple[str | None, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
