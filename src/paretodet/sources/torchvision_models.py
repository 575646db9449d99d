"""torchvision's detectors by the names of its `models.detection`, and what it publishes of them, as data."""

from dataclasses import dataclass

PREFIX = "tv:"
ARCHITECTURES = {  # how a name begins -> the architecture, where the word is another
    "fasterrcnn": "faster_rcnn",
    "maskrcnn": "mask_rcnn",
    "ssd300": "ssd",
    "ssdlite320": "ssdlite",
}
BACKBONES = ("resnet50", "mobilenet_v3_large", "vgg16")


@dataclass(frozen=True, kw_only=True)
class TorchvisionModel:
    """One of torchvision's models, as it builds it for the weights `<weights>.COCO_V1`, whose metadata state the AP."""

    weights: str
    ap: float
    mask_ap: float | None = None
    frozen: bool = False  # whether the backbone's norms are FrozenBatchNorm2d
    eps: float | None = None  # of these norms; None: torchvision's default


MODELS: dict[str, TorchvisionModel] = {  # torchvision 0.28, torchvision/models/detection
    "fasterrcnn_resnet50_fpn": TorchvisionModel(
        weights="FasterRCNN_ResNet50_FPN_Weights", ap=37.0, frozen=True, eps=0.0
    ),
    "fasterrcnn_resnet50_fpn_v2": TorchvisionModel(weights="FasterRCNN_ResNet50_FPN_V2_Weights", ap=46.7),
    "fasterrcnn_mobilenet_v3_large_fpn": TorchvisionModel(
        weights="FasterRCNN_MobileNet_V3_Large_FPN_Weights", ap=32.8, frozen=True
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": TorchvisionModel(
        weights="FasterRCNN_MobileNet_V3_Large_320_FPN_Weights", ap=22.8, frozen=True
    ),
    "retinanet_resnet50_fpn": TorchvisionModel(weights="RetinaNet_ResNet50_FPN_Weights", ap=36.4, frozen=True, eps=0.0),
    "retinanet_resnet50_fpn_v2": TorchvisionModel(weights="RetinaNet_ResNet50_FPN_V2_Weights", ap=41.5),
    "fcos_resnet50_fpn": TorchvisionModel(weights="FCOS_ResNet50_FPN_Weights", ap=39.2, frozen=True),
    "ssd300_vgg16": TorchvisionModel(weights="SSD300_VGG16_Weights", ap=25.1),
    "ssdlite320_mobilenet_v3_large": TorchvisionModel(weights="SSDLite320_MobileNet_V3_Large_Weights", ap=21.3),
    "maskrcnn_resnet50_fpn": TorchvisionModel(
        weights="MaskRCNN_ResNet50_FPN_Weights", ap=37.9, mask_ap=34.6, frozen=True, eps=0.0
    ),
    "maskrcnn_resnet50_fpn_v2": TorchvisionModel(weights="MaskRCNN_ResNet50_FPN_V2_Weights", ap=47.4, mask_ap=41.8),
}
