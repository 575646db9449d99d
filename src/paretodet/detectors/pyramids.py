"""What the detectors on a pyramid of Detectron, Detectron2 and torchvision share: pixels, ResNets, how an image meets
the canvas.

Both Detectrons read BGR pixels: their first convolution's weights are turned to RGB when they are imported.
"""

from dataclasses import replace

from paretodet.backbones.resnet import ResNet
from paretodet.detectors.names import DetectorName
from paretodet.detectors.spec import Pixels
from paretodet.layers.norms import FrozenNorm
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import ShortSide
from paretodet.transforms.short_side import Whole

CAFFE = Pixels(mean=(122.7717, 115.9465, 102.9801))
DETECTRON2 = Pixels(mean=(123.675, 116.28, 103.53))
TORCHVISION = Pixels(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
LONG_SIDE = 1333 / 800  # the longest side, in units of the shortest


def resnets(taps: tuple[int, ...], *depths: int) -> dict[str, ResNet]:
    """Detectron's by name: the stride on a block's first 1x1, norms frozen."""
    made = ResNet(depth=50, layout="caffe", taps=taps, tail=False, output_stride=32)
    return {f"resnet{depth}": replace(made, depth=depth) for depth in depths}


def short_side_d2(name: DetectorName) -> ShortSide:
    """Detectron2's, on canvases of whole 32 px."""
    return short_side(name, multiple=32, whole="detectron2", sampling="antialiased")


def torchvision_resnet(taps: tuple[int, ...]) -> dict[str, ResNet]:
    """torchvision's ResNet-50. The epsilon of its norms is 0, with which the published weights were trained."""
    made = resnets(taps, 50)["resnet50"]
    return {"resnet50": replace(made, layout="torchvision", norm=FrozenNorm(eps=0.0))}


def short_side(
    name: DetectorName, *, multiple: int, whole: Whole = "detectron", sampling: Sampling = "opencv"
) -> ShortSide:
    """The resize policy of a name: its short side, and a long side of at most 1333 px per 800 px of the short side, or
    the canvas's long side if the name has a longer canvas. Rounding and sampling are Detectron's."""
    short, longest = sorted((name.height, name.width))
    max_long = int(short * LONG_SIDE)
    filled = -(-max_long // multiple) * multiple
    long = max_long if longest <= filled else longest
    return ShortSide(short=short, long=long, multiple=multiple, whole=whole, sampling=sampling)
