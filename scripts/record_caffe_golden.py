"""Writes `tests/weights/golden/caffe-<name>.npz`: outputs of OpenCV 4 for random `.caffemodel` files.

    python scripts/record_caffe_golden.py

OpenCV 5 does not read Caffe's files. The weights are too large to store: `draw` makes them again from the shapes, the
gains and the seed. A gain is the factor that gives the output of a layer unit scale.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from caffe_networks import COCO_512, SEED, VOC_300, Network, draw, faster_rcnn, ssd, write
from paretodet.detectors.detector import Detector, build, regions
from paretodet.detectors.families import Override, spec
from paretodet.types import Images
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata

FOLDER = Path(__file__).resolve().parents[1] / "tests/weights/golden"
WIDTH = 0.125
NETWORKS = {
    "ssd300-voc": ssd(300, classes=21, sizes=VOC_300, width=WIDTH),
    "ssd512-coco": ssd(512, classes=81, sizes=COCO_512, width=WIDTH),
    "faster_rcnn-coco": faster_rcnn((112, 176), classes=81, regions=40, width=WIDTH),
}
CLASSES = {"ssd300-voc": 20, "ssd512-coco": 80, "faster_rcnn-coco": 80}


class Outputs(NamedTuple):
    """Raw outputs by the names of Caffe's layers, and boxes [N, 6]: label, score, x1, y1, x2, y2, px."""

    raw: dict[str, np.ndarray]
    boxes: np.ndarray


def detector(network: Network, *, classes: int, width: float = WIDTH) -> Detector:
    """The detector of this project for a network, with the sizes, default boxes and regions that the network states."""
    shape = dict(zip(("height", "width", "proposals"), (*network.size, network.regions or None), strict=True))
    made = spec(network.name, Override(labels=tuple(map(str, range(classes))), **shape))
    bounds = [dict(prior) for prior in (network.priors or {}).values()]
    sizes = [bound[1] for bound in bounds] + [bound[2] for bound in bounds[-1:]]
    percents = tuple(round(100 * size / made.height) for size in sizes) or None
    return build(WeightsMetadata(name=network.name, width=width, prior_percents=percents).apply_to(made))


def input_image(size: tuple[int, int], seed: int = SEED) -> Tensor:
    """[1, 3, H, W] uint8, RGB: smooth, as a photograph."""
    noise = np.random.default_rng(seed).integers(0, 256, (1, 3, size[0] // 8 + 1, size[1] // 8 + 1)).astype(np.float32)
    large = nn.functional.interpolate(torch.from_numpy(noise), size=size, mode="bilinear")
    return large.round().to(torch.uint8)


@torch.no_grad()
def ours(made: Detector, pixels: Tensor, rois: np.ndarray | None = None) -> Outputs:
    """The outputs of this project's detector, by the names of Caffe's layers and in its order and units.

    A Faster R-CNN predicts for `rois` [R, 4], px; None: for its proposals.
    """
    height, width = pixels.shape[2:]
    images = Images(pixels, torch.tensor([[float(height), float(width)]]))
    maps = made.features(images)
    heads: list[Any] = list(made.heads)
    first = heads[0](maps)
    if len(heads) == 1:
        raw = {"mbox_loc": first.codes[0], "mbox_conf": first.logits[0]}
    else:
        proposed = made.propose(maps, images).boxes if rois is None else torch.from_numpy(rois)[None]
        references = regions(proposed)
        second = made.refine(maps, references, images)
        deviations = torch.tensor(getattr(made.spec.stages[1].coder, "weights", ()))
        probabilities = first.logits[0].softmax(-1)[:, 1]
        raw = {"rpn_bbox_pred": first.codes[0], "rpn_cls_prob": probabilities, "rois": proposed[0]}
        raw |= {"cls_score": second.logits[0], "bbox_pred": second.codes[0] / deviations}
    found = made(images)
    rows = torch.cat([found.labels[0, :, None], found.scores[0, :, None], found.boxes[0]], -1)
    kept = rows[found.scores[0] > 0].numpy()
    return Outputs({name: values.numpy() for name, values in raw.items()}, kept)


def opencv(network: Network, weights: Path, made: Detector, pixels: Tensor, rois: np.ndarray | None = None) -> Outputs:
    """The outputs of OpenCV for the same file, in the same form; boxes for an SSD only, which has no `rois`."""
    import cv2

    text = np.frombuffer(network.prototxt.encode(), np.uint8)
    net = cv2.dnn.readNetFromCaffe(text, np.fromfile(weights, np.uint8))
    net.enableWinograd(False)
    means = np.array(made.spec.pixels.mean, np.float32)[::-1].reshape(1, 3, 1, 1)
    net.setInput(pixels.numpy()[:, ::-1].astype(np.float32) - means, "data")
    if rois is None:
        codes, logits, boxes = net.forward(["mbox_loc", "mbox_conf", "detection_out"])
        classes = made.spec.classes + 1
        raw = {"mbox_loc": codes.reshape(-1, 4), "mbox_conf": logits.reshape(-1, classes)}
        return Outputs(raw, _pixels(boxes.reshape(-1, 7), made))
    net.setInput(np.pad(rois - np.array([0, 0, 1, 1], np.float32), ((0, 0), (1, 0))), "rois")  # with their last pixel
    names = ["rpn_bbox_pred", "rpn_cls_prob", "cls_score", "bbox_pred"]
    codes, scores, logits, deltas = net.forward(names)
    anchors = codes.shape[1] // 4
    raw = {"rpn_bbox_pred": codes[0].transpose(1, 2, 0).reshape(-1, 4), "rois": rois, "cls_score": logits}
    objects = scores.reshape(2, anchors, *codes.shape[2:])[1]
    raw |= {
        "rpn_cls_prob": objects.transpose(1, 2, 0).reshape(-1),
        "bbox_pred": deltas.reshape(len(rois), -1, 4)[:, 1:],
    }
    return Outputs(raw, np.zeros((0, 6), np.float32))


def _pixels(rows: np.ndarray, made: Detector) -> np.ndarray:
    """OpenCV's rows (image, label from 1, score, box as fractions) as label from 0, score, box in px, clipped."""
    sides = np.array([made.spec.width, made.spec.height] * 2, np.float32)
    boxes = np.clip(rows[:, 3:] * sides, 0, sides)
    return np.concatenate([rows[:, 1:2] - 1, rows[:, 2:3], boxes], 1)


@torch.no_grad()
def calibrated(network: Network, made: Detector, pixels: Tensor, path: Path) -> dict[str, float]:
    """The gain of every layer, measured in the order of use: the file `path` is written with gains of 1 and loaded."""
    write(path, network, draw(network, {}))
    files.load(made, path)
    gains: dict[str, float] = {}
    layers = [layer for layer in made.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]

    def measure(name: str) -> Any:
        def hook(layer: Any, inputs: Any, output: Tensor) -> Tensor | None:
            if name in gains:
                return None
            bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias[:, None, None]
            gains[name] = 1 / (output - bias).std().clamp(min=1e-6).item()
            layer.weight *= gains[name]
            return (output - bias) * gains[name] + bias

        return hook

    for name, layer in zip(network.shapes, layers, strict=True):
        layer.register_forward_hook(measure(name))
    ours(made, pixels)
    for layer in layers:
        layer._forward_hooks.clear()
    if "bbox_pred" in gains:
        gains["bbox_pred"] *= 0.1  # as its codes are divided by their deviations
    return gains


def sampled(outputs: Outputs) -> dict[str, Any]:
    """What is stored: about 150 rows of each raw output, from all maps, and all boxes."""
    rows = {name: values[:: len(values) // 150 | 1] for name, values in outputs.raw.items()}
    return rows | {"boxes": outputs.boxes}


def record(name: str, path: Path) -> None:
    network = NETWORKS[name]
    made = detector(network, classes=CLASSES[name])
    pixels = input_image(network.size)
    gains = calibrated(network, made, pixels, path)
    write(path, network, draw(network, gains))
    files.load(made, path)
    theirs = opencv(network, path, made, pixels, ours(made, pixels).raw.get("rois"))
    kept = np.array([gains[layer] for layer in network.shapes])
    np.savez_compressed(FOLDER / f"caffe-{name}.npz", gains=kept, **sampled(theirs))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            record(name, Path(folder) / "random.caffemodel")
