"""Writes `tests/backbones/golden/vgg16.npz`: outputs of torchvision's VGG-16 and RoIPool for random weights and boxes.

    python scripts/record_vgg_golden.py        # needs torchvision

At an eighth of the width, with and without batch norm, on an image whose sides are multiples of 32, for which the
rounding of Caffe and torchvision is equal, and on an odd one with torchvision's pooling set to round up. Then RoIPool
and two fully connected layers on a random map. Weights are made again from the seed: both networks have the same layers
in the same order, but torchvision's convolutions have a bias besides a norm, which is removed here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FILE = Path(__file__).resolve().parents[1] / "tests/backbones/golden/vgg16.npz"
SEED = 20140904
WIDTH = 0.125
DEPTHS = (8, 8, "M", 16, 16, "M", 32, 32, 32, "M", 64, 64, 64, "M", 64, 64, 64)
SIZES = ((64, 96), (75, 51))
MAP = (2, 64, 13, 17)
CANVAS = (200, 264)  # a little less than the map: the last cells are padding


@torch.no_grad()
def draw(net: nn.Module, seed: int = SEED) -> Any:
    """Fill convolutions, norms and fully connected layers in the order of the modules; evaluation mode."""
    noise = np.random.default_rng(seed)

    def fill(tensor: Tensor, low: float, high: float) -> None:
        drawn = noise.random(tuple(tensor.shape), np.float32)
        tensor.copy_(torch.from_numpy(drawn).mul_(high - low).add_(low))

    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = (6 / part.weight[0].numel()) ** 0.5
            fill(part.weight, -bound, bound)
            if part.bias is not None:
                fill(part.bias, -0.3, 0.3)
        elif isinstance(part, nn.BatchNorm2d):
            norm: Any = part
            fill(norm.weight, 0.7, 1.3)
            fill(norm.bias, -0.3, 0.3)
            fill(norm.running_mean, -0.5, 0.5)
            fill(norm.running_var, 0.7, 1.3)
    return net.eval()


def input_image(size: tuple[int, int], seed: int = SEED) -> Tensor:
    """[1, 3, H, W] in -1..1"""
    return torch.from_numpy(np.random.default_rng(seed).random((1, 3, *size), np.float32)).mul_(2).sub_(1)


def crops(seed: int = SEED) -> tuple[Tensor, Tensor]:
    """A map in -1..1 and half-open boxes [2, 24, 4] px: random, on cell borders, outside, one pixel, the whole map."""
    noise = np.random.default_rng(seed)
    features = torch.from_numpy(noise.random(MAP, np.float32)).mul_(2).sub_(1)
    corners = noise.random((2, 24, 2, 2), np.float32) * np.array([280, 220], np.float32) - 10
    boxes = torch.from_numpy(np.concatenate([corners.min(2), corners.max(2)], -1))
    boxes[:, 0] = torch.tensor([16.0, 32.0, 128.0, 160.0])
    boxes[:, 1] = torch.tensor([8.0, 24.0, 25.0, 41.0])  # ends on halves of a cell
    boxes[:, 2] = torch.tensor([300.0, 220.0, 320.0, 240.0])
    boxes[:, 3] = torch.tensor([100.0, 100.0, 101.0, 101.0])
    boxes[:, 4] = torch.tensor([0.0, 0.0, float(CANVAS[1]), float(CANVAS[0])])
    return features, boxes


@torch.no_grad()
def torchvisions_maps(norm: bool) -> dict[str, np.ndarray]:
    from torchvision.models.vgg import make_layers

    net = make_layers(DEPTHS, batch_norm=norm)
    for part in net.modules():
        if isinstance(part, nn.MaxPool2d):
            part.ceil_mode = True  # has an effect only on the odd image
        if norm and isinstance(part, nn.Conv2d):
            part.bias = None
    draw(net)
    return {f"{'norm' if norm else 'plain'}_{h}x{w}": net(input_image((h, w))).numpy() for h, w in SIZES}


@torch.no_grad()
def torchvisions_crops() -> np.ndarray:
    from torchvision.ops import roi_pool

    features, boxes = crops()
    legacy = boxes - boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    pooled = roi_pool(features, list(legacy.unbind()), 7, 1 / 16)
    layers = nn.Sequential(nn.Linear(64 * 49, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
    return draw(layers)(pooled.flatten(1)).numpy()


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    arrays: dict[str, Any] = torchvisions_maps(False) | torchvisions_maps(True) | {"vectors": torchvisions_crops()}
    np.savez_compressed(FILE, **arrays)
