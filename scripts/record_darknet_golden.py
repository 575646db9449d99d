"""Writes `tests/weights/golden/<name>.npz`: outputs of OpenCV 4 for random `.weights` of darknet's published cfgs.

    PARETODET_DATA=... python scripts/record_darknet_golden.py

OpenCV 5 does not read darknet files. The weights are too large to store: `draw` makes them again from the layers, the
gains and the seed in the file. A gain is the standard deviation of a convolution's output; norm statistics scaled by
it give every map unit scale.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.darknet_file import Header, write
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.layers.norms import BatchNorm
from paretodet.types import Images
from paretodet.weights import darknet

FOLDER = Path(__file__).resolve().parents[1] / "tests/weights/golden"
SEED = 20161125
CV_EPS = 1e-6  # OpenCV's, in place of darknet's 1e-5 on a GPU
SIZES = {  # height, width of the recorded canvas: no published one
    "yolo_v2-darknet19-416": (64, 96),
    "yolo_v2_2016-darknet19-416": (64, 96),
    "yolo_v3_tiny-416": (64, 96),
    "yolo_v3-darknet53-416": (32, 64),
}
CFGS = {
    "yolo_v2-darknet19-416": "yolov2.cfg",
    "yolo_v2_2016-darknet19-416": "yolov2.cfg",
    "yolo_v3_tiny-416": "yolov3-tiny.cfg",
    "yolo_v3-darknet53-416": "yolov3.cfg",
}
SQUEEZE = "[convolutional]\nbatch_normalize=1\nsize=1\nstride=1\npad=1\nfilters=64\nactivation=leaky\n\n[reorg]"
EDITS: dict[str, tuple[tuple[str, str], ...]] = {
    # yolo.2.0.cfg is no longer published; these are its differences from yolov2.cfg
    "yolo_v2_2016-darknet19-416": (
        (SQUEEZE, "[reorg]"),
        ("layers=-1,-4", "layers=-1,-3"),
        (
            "0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434",
            "0.738768,0.874946, 2.42204,2.65704, 4.30971,7.04493",
        ),
        ("7.88282, 3.52778, 9.77052, 9.16828", "10.246,4.59428, 12.6868,11.8741"),
    ),
    "yolo_v3_tiny-416": (("mask = 0,1,2", "mask = 1,2,3"),),  # as the published weights were trained
}


class Layer(NamedTuple):
    """One convolution of a cfg."""

    filters: int
    channels: int
    kernel: int
    normalized: int


class Outputs(NamedTuple):
    """For one image: the maps of the last convolutions, coarse first, and rows of x, y, w, h (0..1), object, scores.

    OpenCV suppresses inside a [region] layer, which sets scores to 0.
    """

    maps: list[np.ndarray]
    rows: np.ndarray


def cfg(name: str, folder: Path, size: tuple[int, int]) -> str:
    """The published cfg of a catalogue entry at another size and without a score threshold."""
    text = (folder / "darknet/cfg" / CFGS[name]).read_text()
    edits = (*EDITS.get(name, ()), ("thresh = .6\n", "thresh = 0\n"), ("\n[yolo]\n", "\n[yolo]\nthresh=0\n"))
    for old, new in edits:
        text = text.replace(old, new)
    text = re.sub(r"^height=\d+", f"height={size[0]}", text, flags=re.MULTILINE)
    return re.sub(r"^width=\d+", f"width={size[1]}", text, flags=re.MULTILINE)


def layers(text: str) -> list[Layer]:
    """The convolutions of a cfg, in its order."""
    convolutions, channels = [], [3]  # channels[i + 1] leave layer i
    for kind, body in list(_sections(text))[1:]:
        if kind == "convolutional":
            filters, kernel = int(body["filters"]), int(body["size"])
            convolutions.append(Layer(filters, channels[-1], kernel, int(body.get("batch_normalize", "0"))))
            channels.append(filters)
        elif kind == "route":
            ends = [int(number) for number in body["layers"].split(",")]
            channels.append(sum(channels[end] if end < 0 else channels[end + 1] for end in ends))
        else:
            channels.append(channels[-1] * (int(body["stride"]) ** 2 if kind == "reorg" else 1))
    return convolutions


def draw(convolutions: Sequence[Layer], gains: np.ndarray, seed: int = SEED) -> Iterator[Tensor]:
    """The tensors of a `.weights` file, in its order; `gains` has one number for each convolution."""
    noise = np.random.default_rng(seed)

    def uniform(count: int, low: float, high: float) -> Tensor:
        return torch.from_numpy(noise.random(count, np.float32)).mul_(high - low).add_(low)

    for (filters, channels, kernel, normalized), gain in zip(convolutions, gains.tolist(), strict=True):
        yield uniform(filters, -0.5, 0.5)
        if normalized:
            yield from (uniform(filters, 0.5, 1.5), uniform(filters, -0.5, 0.5) * gain)
            yield uniform(filters, 0.5, 1.5) * gain**2
        fan = channels * kernel**2
        yield uniform(filters * fan, -1.0, 1.0) * (3 / fan) ** 0.5


def input_image(size: tuple[int, int], seed: int = SEED) -> Tensor:
    """[1, 3, H, W] uint8"""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, 3, *size), dtype=np.uint8))


def detector(name: str, size: tuple[int, int], weights: Path) -> Detector:
    """The detector of this project with OpenCV's epsilon and the file's weights."""
    made, norm = spec(name, Override(height=size[0], width=size[1])), BatchNorm(eps=CV_EPS)
    parts = {part: replace(getattr(made, part), norm=norm) for part in ("backbone", "neck")}
    network = Detector(replace(made, **parts)).eval()
    darknet.load(network, weights)
    return network


@torch.no_grad()
def ours(network: Detector, pixels: Tensor) -> Outputs:
    """The outputs of this project's detector, in OpenCV's form."""
    height, width = pixels.shape[2:]
    images, (stage,) = Images(pixels, torch.tensor([[float(height), float(width)]])), network.spec.stages
    maps = network.features(images)
    references, predictions = network.propose(maps, images), network.heads[0](maps)
    boxes = stage.coder.decode(predictions.codes, references) / torch.tensor([width, height] * 2)
    centers, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    rows = torch.cat([centers, sides, predictions.logits[..., :1].sigmoid(), stage.scores(predictions.logits)], -1)
    head: Any = network.heads[0]
    return Outputs([layer(x)[0].numpy() for layer, x in zip(head.layers, maps, strict=True)], rows[0].numpy())


def opencv(text: str, weights: Path, pixels: Tensor) -> Outputs:
    """The outputs of OpenCV for the same file."""
    import cv2

    net = cv2.dnn.readNetFromDarknet(np.frombuffer(text.encode(), np.uint8), np.fromfile(weights, np.uint8))
    net.enableWinograd(False)
    net.setInput(pixels.numpy().astype(np.float32) / 255)
    last = net.getUnconnectedOutLayersNames()
    names = [name for name, layer in zip(_convolutions(net), layers(text), strict=True) if not layer.normalized]
    maps = [net.forward(name)[0] for name in names]
    return Outputs(maps, np.concatenate([net.forward(name).reshape(-1, 85) for name in last]))


def calibrated(name: str, size: tuple[int, int], convolutions: Sequence[Layer], path: Path) -> np.ndarray:
    """The gain of every convolution, measured in order; 1 for those without a norm."""
    write(path, Header(), draw(convolutions, np.ones(len(convolutions), np.float32)))
    made, gains = detector(name, size, path), []

    def measure(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        gains.append(inputs[0].std().item())
        norm.running_mean *= gains[-1]
        norm.running_var *= gains[-1] ** 2

    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(measure)
    ours(made, input_image(size))
    left = iter(gains)
    return np.array([next(left) if layer.normalized else 1.0 for layer in convolutions], np.float32)


def _sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for part in re.split(r"^\[", re.sub("#.*", "", text), flags=re.MULTILINE)[1:]:
        kind, _, body = part.partition("]")
        lines = (line.split("=", 1) for line in body.split("\n") if "=" in line)
        yield kind, {key.strip(): value.strip() for key, value in lines}


def _convolutions(net: Any) -> list[str]:
    return [name for name in net.getLayerNames() if net.getLayer(name).type == "Convolution"]


def record(name: str, folder: Path, path: Path) -> None:
    size = SIZES[name]
    text = cfg(name, folder, size)
    convolutions = layers(text)
    gains = calibrated(name, size, convolutions, path)
    write(path, Header(), draw(convolutions, gains))
    outputs = opencv(text, path, input_image(size))
    kept: dict[str, Any] = {f"map{index}": values for index, values in enumerate(outputs.maps)}
    kept |= {"layers": np.array(convolutions), "gains": gains, "size": np.array(size), "rows": outputs.rows}
    np.savez_compressed(FOLDER / f"{name}.npz", **kept)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in SIZES:
            record(name, Path(os.environ["PARETODET_DATA"]), Path(folder) / "random.weights")
