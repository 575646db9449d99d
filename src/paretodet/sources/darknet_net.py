"""A planned darknet network as a torch module, and its weights."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.darknet_file import DarknetFile, DarknetFileError
from paretodet.layers.init import he_
from paretodet.rules.coders import WorstCaseCoder
from paretodet.rules.select import PostProcess
from paretodet.sources.darknet_cfg import DarknetPlan
from paretodet.sources.darknet_heads import cell_coder, read_head
from paretodet.sources.darknet_layers import BatchNormalization, DarknetHead
from paretodet.types import Coder, Detections, Images


class DarknetState(NamedTuple):
    """What travels between the clocked stages."""

    images: Images
    maps: tuple[Tensor, ...]


class Darknet(nn.Module):
    """Any planned network: `Images` -> `Detections` in pixels of the canvas, as `select` keeps them.

    Pixels are RGB / 255. Boxes, scores and suppression are in float32. `capacity` puts boxes spread over the canvas
    in place of the network's own, for measuring untrained weights.
    """

    def __init__(self, plan: DarknetPlan, select: PostProcess, *, capacity: bool = False):
        super().__init__()
        self.plan, self.selector = plan, select
        self.layers = nn.ModuleList(step.layer.build() for step in plan.steps)
        self.coders = tuple(_coder(head, plan, index if capacity else None) for index, head in enumerate(plan.heads))

    def forward(self, images: Images) -> Detections:
        return self.select(DarknetState(images, self.features(images)))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The steps of `forward`, each clockable alone."""
        return ("features", lambda images: DarknetState(images, self.features(images))), ("select", self.select)

    def features(self, images: Images) -> tuple[Tensor, ...]:
        """RGB uint8 [B, 3, H, W] -> the map [B, A * width, h, w] of every head, in the order of the cfg."""
        dtype = next(self.parameters()).dtype
        kept, maps = {-1: images.pixels.to(dtype) / 255}, []
        for index, (module, step) in enumerate(zip(self.layers, self.plan.steps, strict=True)):
            made = module(*[kept[source] for source in step.sources])
            for spent in step.spent:
                del kept[spent]
            if isinstance(step.layer, DarknetHead):
                maps.append(made)
            kept[index] = made
        return tuple(maps)

    def boxes(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Every box [B, N, 4] and its scores [B, N, K], float32, head after head."""
        read = [
            read_head(x, head, coder, canvas) for x, head, coder in zip(maps, self.plan.heads, self.coders, strict=True)
        ]
        return torch.cat([boxes for boxes, _ in read], 1), torch.cat([scores for _, scores in read], 1)

    def select(self, state: DarknetState) -> Detections:
        """Decode, score and suppress."""
        height, width = state.images.pixels.shape[-2:]
        boxes, scores = self.boxes(state.maps, (height, width))
        return self.selector(boxes, scores, (boxes.shape[1],), state.images.sizes)


def load(plan: DarknetPlan, select: PostProcess, path: Path) -> Darknet:
    """The network with every convolution and norm filled from a `.weights` file, in the order of the cfg.

    The first darknet stores no bias of a norm that is a layer of its own: a file that is shorter by these has none.
    Raises DarknetFileError for a file that is truncated or too long, before anything is built, and for numbers that
    no training gives: not finite, or a negative variance.
    """
    with DarknetFile.open(path) as file, torch.no_grad(), torch.random.fork_rng(devices=[]):
        biases = sum(step.layer.shape.channels for step in plan.steps if isinstance(step.layer, BatchNormalization))
        unbiased = biases > 0 and file.remaining == plan.floats - biases
        file.expect(plan.floats - biases * unbiased)
        network = Darknet(plan, select).eval()
        for index, (step, module) in enumerate(zip(plan.steps, network.layers, strict=True)):
            for name, tensor in stored(module) if step.layer.floats else ():
                if not (unbiased and name == "biases" and isinstance(step.layer, BatchNormalization)):
                    tensor.copy_(_sound(file.take(tensor.shape), name, f"{path}: layer {index}"))
    return network


def untrained(plan: DarknetPlan, select: PostProcess, seed: int) -> Darknet:
    """The network at capacity with darknet's own start, seeded; the caller's random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Darknet(plan, select, capacity=True).eval()
        he_(network)
    return network


def stored(layer: Any) -> tuple[tuple[str, Tensor], ...]:
    """The tensors of one convolution, or of one norm, in the order of a weights file."""
    if isinstance(layer, nn.BatchNorm2d):
        return _statistics(layer)
    conv, norm = layer.conv, layer.norm
    first = (("biases", conv.bias),) if isinstance(norm, nn.Identity) else _statistics(norm)
    return *first, ("weights", conv.weight)


def _statistics(norm: Any) -> tuple[tuple[str, Tensor], ...]:
    learned = ("biases", norm.bias), ("scales", norm.weight)
    return *learned, ("mean", norm.running_mean), ("variance", norm.running_var)


def _sound(values: Tensor, name: str, place: str) -> Tensor:
    if not values.isfinite().all() or (name == "variance" and values.min() < 0):
        raise DarknetFileError(
            f"{place} has impossible numbers in its {name}: not these weights, or damaged ones", "weights-not-finite"
        )
    return values


def _coder(head: DarknetHead, plan: DarknetPlan, seed: int | None) -> Coder:
    coder = cell_coder(head)
    return coder if seed is None else WorstCaseCoder(coder=coder, height=plan.height, width=plan.width, seed=seed)
