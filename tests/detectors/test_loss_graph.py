"""The loss compiles into one graph for every kind of detector, and is deterministic."""

from dataclasses import replace

import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.types import Images, Targets

NAMES = [
    "ssd-mobilenet_v1-300",
    "ssd_liu-vgg16-300",
    "yolo_v2-darknet19-416",
    "yolo_v3_tiny-416",
    "retinanet-resnet50-800",
    "fcos-resnet50-800x1344",
    "faster_rcnn-resnet101-300-s16-p10",
    "faster_rcnn_ren-vgg16-600x850-p300",
    "rfcn-mobilenet_v1-300-s16-p10",
    "mask_rcnn-resnet50-800x1024",
    "cascade_rcnn-resnet50-800x1344",
    "mask_rcnn_d2-resnet50-800x1344",
    "mask_rcnn_zoo-inception_v2-800x1365-s16",
]
SIDES = {"ssd_liu": 266}


def narrow(name):
    """An eighth of the width, few candidates, a small canvas."""
    made = spec(name, Override(height=SIDES.get(name.split("-")[0], 96), labels=("a", "b")))
    first, *rest = made.stages
    if rest:
        first = replace(first, train_select=replace(first.train_select or first.select, keep=20))
    torch.manual_seed(0)
    return Detector(replace(made, backbone=replace(made.backbone, width=0.125), stages=(first, *rest))).train()


def batch(detector):
    height, width = detector.spec.height, detector.spec.width
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=noise)
    boxes = torch.tensor([[[8.0, 8.0, 70.0, 60.0], [40.0, 20.0, 90.0, 90.0], [0.0, 0.0, 0.0, 0.0]]]).expand(2, 3, 4)
    marks = torch.tensor([[True, True, False]]).expand(2, 3)
    masks = torch.rand(2, 3, 28, 28, generator=noise) if detector.spec.masks else None
    targets = Targets(boxes, torch.tensor([[0, 1, 0]]).expand(2, 3), marks, marks & False, masks)
    images = Images(pixels, torch.tensor([[float(height), float(width)]] * 2))
    return images, targets, torch.rand(2, 20000, generator=noise)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_loss_is_one_graph(name):
    torch.compiler.reset()
    detector = narrow(name)
    images, targets, noise = batch(detector)
    state = {key: value.clone() for key, value in detector.state_dict().items()}
    wanted = detector.loss(images, targets, noise=noise)
    detector.load_state_dict(state)  # batch norm has seen the batch
    compiled = torch.compile(lambda i, t, n: detector.loss(i, t, noise=n), fullgraph=True, backend="aot_eager")
    found = compiled(images, targets, noise)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5)
    sum(found.values()).backward()


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_the_same_batch_gives_the_same_gradients(name):
    gradients = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            detector = narrow(name)
            images, targets, noise = batch(detector)
            sum(detector.loss(images, targets, noise=noise).values()).backward()
            gradients.append([p.grad for p in detector.parameters() if p.grad is not None])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
