"""All backbones by name: the network up to its last map, in the form in which its parameter count is published."""

from paretodet.backbones.darknet19 import Darknet19
from paretodet.backbones.darknet53 import Darknet53
from paretodet.backbones.darknet_tiny import DarknetTiny
from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.mobilenet_v2 import MobileNetV2
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16
from paretodet.layers.norms import BatchNorm

BLOCKS = (2, 3, 4, 5)
NETWORKS = {
    "vgg16": VGG16(taps=(4, 5), tail=False),
    "vgg16_bn": VGG16(taps=(4, 5), tail=False, norm=BatchNorm()),
    "mobilenet_v1": MobileNetV1(),
    "mobilenet_v2": MobileNetV2(),
    "inception_v2": InceptionV2(),
    "inception_v3": InceptionV3(),
    "resnet50": ResNet(depth=50, taps=BLOCKS, tail=False, output_stride=32),
    "resnet101": ResNet(depth=101, taps=BLOCKS, tail=False, output_stride=32),
    "resnet152": ResNet(depth=152, taps=BLOCKS, tail=False, output_stride=32),
    "inception_resnet_v2": InceptionResNetV2(padding="valid"),
    "darknet19": Darknet19(),
    "darknet53": Darknet53(),
    "darknet_tiny": DarknetTiny(),
}
