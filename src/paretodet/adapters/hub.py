"""Detectors of the transformers library as Candidates, built from their configurations without any download."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import modeling_utils  # noqa: F401  # the library imports its parts late, these not while one builds
from transformers.loss import loss_utils  # noqa: F401

from paretodet.adapters.files import read, sha256
from paretodet.adapters.function import Triple, artefact, finished
from paretodet.adapters.hub_models import HubModel
from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import count
from paretodet.detectors.labels import COCO_80
from paretodet.layers.precision import dtype
from paretodet.transforms.resize_policy import ResizePolicy, Stretch, to_batch
from paretodet.types import Detections, Images


class HubCandidate:
    """A DETR-like detector: the network, then the best `queries` of all query-class pairs; no NMS.

    Nothing in it depends on what the scores are, so random weights cost what trained ones do. The network runs as the
    library ships it (its re-parameterisable branches are not merged), channels-last, in fp32 or wholly in bf16.
    `fit` makes the fit from `height` and `width`; `score` empties the slots that score no more.
    """

    def __init__(
        self,
        name: str,
        model: HubModel,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        size: tuple[int, int] | None = None,
        fit: Callable[..., ResizePolicy] | None = None,
        score: float | None = None,
        labels: tuple[str | None, ...] = COCO_80,
        seed: int = 0,
    ):
        numbers = dtype(precision)
        self.name, self.model, self.labels = name, model, labels
        self.device, self.precision, self.score, self.seed = device, precision, score, seed
        self.height, self.width = size or (model.side, model.side)
        if self.height % 32 or self.width % 32:
            raise ValueError(f"size: got {self.height}x{self.width}, both sides must be multiples of 32")
        self.fit = (fit or Stretch)(height=self.height, width=self.width)
        self.weights = sha256(weights) if weights else "random"
        network = build(model, seed, weights, classes=len(labels))
        network = network.to(device, numbers)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean, self.std = (torch.tensor(v, device=device).view(3, 1, 1) * 255 for v in (model.mean, model.std))

    def prepare(self, images: Sequence[Image]) -> Images:
        return to_batch(images, self.fit)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Triple:
        return self._select(self._forward(batch))

    def finish(self, outputs: Triple, sizes: Tensor) -> Detections:
        return finished(outputs, self.fit, sizes, threshold=self.score)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        wrap = torch.inference_mode()
        return ("network", wrap(self._forward)), ("select", wrap(self._select))

    def facts(self) -> ModelInfo:
        work = count(self.network, self._values(torch.zeros(1, 3, self.height, self.width, dtype=torch.uint8)))
        return ModelInfo(
            **work._asdict(),
            height=self.height,
            width=self.width,
            classes=len(self.labels),
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            load="capacity",
            artefact=artefact(
                model=self.model,
                weights=self.weights,
                precision=self.precision,
                fit=self.fit,
                score=self.score,
                seed=self.seed,
            ),
        )

    def _forward(self, batch: Images) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Logits [B, Q, K], boxes [B, Q, 4] as center and size in 0..1, and the canvas's height and width."""
        outputs = self.network(pixel_values=self._values(batch.pixels))
        return outputs.logits, outputs.pred_boxes, (batch.pixels.shape[-2], batch.pixels.shape[-1])

    def _values(self, pixels: Tensor) -> Tensor:
        """Pixels as the network wants them: on its device, normalized, channels-last."""
        values = (pixels.to(self.device, non_blocking=True).float() - self.mean) / self.std
        return values.to(dtype(self.precision), memory_format=torch.channels_last)

    def _select(self, outputs: tuple[Tensor, Tensor, tuple[int, int]]) -> Triple:
        """The focal-loss post-processing of DETR's descendants: sigmoid, then the best Q of Q x K."""
        logits, boxes, (height, width) = outputs
        queries, classes = logits.shape[1:]
        scores, best = logits.float().sigmoid().flatten(1).topk(queries, dim=1)
        center, size = boxes.float().gather(1, (best // classes)[..., None].expand(-1, -1, 4)).chunk(2, dim=-1)
        corners = torch.cat((center - size / 2, center + size / 2), dim=-1)
        return corners * corners.new_tensor([width, height, width, height]), scores, best % classes


def build(model: HubModel, seed: int = 0, weights: Path | None = None, *, classes: int = len(COCO_80)) -> nn.Module:
    """The network in inference mode, with seeded random weights or those of a safetensors file of the library's own.

    Raises ValueError where the file does not fill the model to the last tensor.
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
    tensors = read(weights)
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
        raise ValueError(f"weights: {weights} does not fill this model: {len(faults)} tensors, as {min(faults)}")
    return network


def _same(stored: Tensor, loaded: Tensor) -> bool:
    return stored.shape == loaded.shape and torch.equal(stored.to(loaded.dtype), loaded)
