"""Detectors of the transformers library as networks; the only file that imports it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from transformers import modeling_utils  # noqa: F401  # the library imports its parts late, these not while one builds
from transformers.loss import loss_utils  # noqa: F401

from paretodet.bench.candidate import ModelInfo
from paretodet.bench.flops import count
from paretodet.detectors.labels import COCO_80
from paretodet.errors import InputError
from paretodet.network import Labels, TorchNetwork
from paretodet.sources.hashes import sha256
from paretodet.sources.hub_models import HubModel
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import ResizePolicy, Stretch, with_sampling
from paretodet.types import Detections, Images
from paretodet.weights import safe


def hub_network(
    name: str,
    model: HubModel,
    *,
    weights: Path | None = None,
    size: tuple[int, int] | None = None,
    fit: Callable[..., ResizePolicy] | None = None,
    sampling: Sampling | None = None,
    score: float | None = None,
    labels: Labels | None = None,
    seed: int = 0,
) -> TorchNetwork:
    """A DETR-like detector with the weights of a safetensors file of the library's own, or random ones of `seed`.

    `fit` makes the fit from `height` and `width`, stretching unless given; `score` empties the slots that score no
    more. Norms are not folded: the network runs as the library ships it, its re-parameterisable branches not merged.
    """
    labels = COCO_80 if labels is None else labels
    height, width = size or (model.side, model.side)
    if height % 32 or width % 32:
        raise InputError(f"size: got {height}x{width}, both sides must be multiples of 32", "size-unsupported")
    sha = sha256(weights) if weights else "random"
    module = HubDetector(build(model, seed, weights, classes=len(labels)), model, score).eval()
    chosen = with_sampling((fit or Stretch)(height=height, width=width), sampling)
    return TorchNetwork(
        name=name,
        labels=labels,
        fit=chosen,
        module=module,
        describe=partial(_describe, module, (height, width), len(labels), sha),
        identity={"model": model, "weights": sha, "fit": chosen, "score": score, "seed": seed},
        fold=False,
    )


def _describe(module: "HubDetector", size: tuple[int, int], classes: int, weights: str) -> ModelInfo:
    work = count(module.network, module.values(torch.zeros(1, 3, *size, dtype=torch.uint8, device=module.mean.device)))
    work = work._replace(layers=tuple(layer._replace(name=f"network.{layer.name}") for layer in work.layers))
    height, width = size
    return ModelInfo(**work._asdict(), height=height, width=width, classes=classes, weights=weights, load="capacity")


class HubOutputs(NamedTuple):
    """What the network gives for a batch of canvases."""

    logits: Tensor  # [B, Q, K]
    boxes: Tensor  # [B, Q, 4] center and size in 0..1
    canvas: tuple[int, int]  # height and width, px


class HubDetector(nn.Module):
    """The library's network, then the best `queries` of all query-class pairs; no NMS."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, model: HubModel, score: float | None) -> None:
        super().__init__()
        self.network, self.score = network, score
        for name in ("mean", "std"):
            value = torch.tensor(getattr(model, name)).view(3, 1, 1) * 255
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Images) -> Detections:
        return self.select(self.predict(images))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return ("network", self.predict), ("select", self.select)

    def predict(self, images: Images) -> HubOutputs:
        outputs = self.network(pixel_values=self.values(images.pixels))
        return HubOutputs(outputs.logits, outputs.pred_boxes, (images.pixels.shape[-2], images.pixels.shape[-1]))

    def values(self, pixels: Tensor) -> Tensor:
        """Pixels as the network wants them: normalized, channels-last, in its precision."""
        dtype = next(self.network.parameters()).dtype
        return ((pixels.float() - self.mean) / self.std).to(dtype, memory_format=torch.channels_last)

    def select(self, outputs: HubOutputs) -> Detections:
        """The focal-loss post-processing of DETR's descendants: sigmoid, then the best Q of Q x K."""
        queries, classes = outputs.logits.shape[1:]
        scores, best = outputs.logits.float().sigmoid().flatten(1).topk(queries, dim=1)
        center, size = outputs.boxes.float().gather(1, (best // classes)[..., None].expand(-1, -1, 4)).chunk(2, dim=-1)
        corners = torch.cat((center - size / 2, center + size / 2), dim=-1)
        height, width = outputs.canvas
        if self.score is not None:
            scores = scores.masked_fill(scores <= self.score, 0)
        return Detections(corners * corners.new_tensor([width, height, width, height]), scores, best % classes)


def build(model: HubModel, seed: int = 0, weights: Path | None = None, *, classes: int = len(COCO_80)) -> nn.Module:
    """The network in inference mode, with seeded random weights or those of a safetensors file of the library's own.

    Raises ValueError if the file does not fill the model to the last tensor.
    """
    backbone = transformers.AutoConfig.for_model(model.backbone, **model.backbone_options)
    options = {"backbone_config": backbone, "num_labels": classes, **model.options}
    configuration = getattr(transformers, f"{model.architecture}Config")(**options)
    kind = getattr(transformers, f"{model.architecture}ForObjectDetection")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = kind(configuration) if weights is None else _loaded(kind, configuration, weights)
    return network.eval().requires_grad_(False)


def _loaded(kind: Any, configuration: Any, weights: Path) -> nn.Module:
    """The library renames and ties tensors itself and only warns where it could not, so its result is checked here."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    tensors = safe.read(weights)
    network, report = kind.from_pretrained(
        None,
        config=configuration,
        state_dict=dict(tensors),
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    faults = [str(key) for fault in ("missing_keys", "mismatched_keys", "unexpected_keys") for key in report[fault]]
    filled = network.state_dict()
    faults += [key for key in tensors.keys() & filled.keys() if not _same(tensors[key], filled[key])]
    if faults:
        raise InputError(
            f"weights: {weights} does not fill this model: {len(faults)} tensors, as {min(faults)}", "weights-shape"
        )
    return network


def _same(stored: Tensor, loaded: Tensor) -> bool:
    return stored.shape == loaded.shape and torch.equal(stored.to(loaded.dtype), loaded)
