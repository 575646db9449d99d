"""Detectors of torchvision as candidates; the only file that imports it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import FrozenBatchNorm2d

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import Operations, count
from paretodet.detectors.labels import COCO_91
from paretodet.layers.device import known_device
from paretodet.network import Labels, digest
from paretodet.sources.hashes import sha256
from paretodet.sources.torchvision_models import MODELS, PREFIX
from paretodet.types import Detections
from paretodet.weights import safe
from paretodet.weights.files import file_format
from paretodet.weights.safe import WeightsError

COUNTER = "num_batches_tracked"  # of a norm that is trained; frozen ones have none


class TorchvisionOutputs(NamedTuple):
    """What a model returns for a batch: boxes, scores, labels and masks of every image, in pixels of its canvas."""

    rows: list[dict[str, Tensor]]
    sizes: list[tuple[int, int]]  # (height, width) of each image inside its canvas


class TorchvisionCandidate:
    """One of torchvision's models.

    `prepare` is its transform, `infer` its `forward` without that, and `finish` its mapping of boxes to the image,
    padded to the number of detections that it keeps. Classes count from 0, torchvision's background, which is never
    detected. The weights are those of a file, or random ones of `seed`. Raises ValueError if the file does not fill the
    model, or the device cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        weights: Path | None = None,
        labels: Labels | None = None,
        score: float | None = None,
        nms: float | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        known_device(device)
        self.name, self.labels = name, COCO_91 if labels is None else (None, *labels)
        self._model, self._device = name.removeprefix(PREFIX), device
        self._weights = sha256(weights) if weights else "random"
        network = build(self._model, classes=len(self.labels), seed=seed)
        if weights is not None:
            _fill(network, weights)
        self._set(network, score, nms)
        self.transform, network.transform = network.transform, _Transformed()
        self.network = network.to(device)
        self._identity = {"model": self._model, "weights": self._weights, "seed": seed, "score": score, "nms": nms}

    def _set(self, network: Any, score: float | None, nms: float | None) -> None:
        """The thresholds, and how many detections are kept."""
        selects: Any = getattr(network, "roi_heads", network)
        selects.score_thresh = selects.score_thresh if score is None else score
        selects.nms_thresh = selects.nms_thresh if nms is None else nms
        self.keep = int(selects.detections_per_img)

    def prepare(self, images: Sequence[Image]) -> ImageList:
        """Decoded images -> one batch in host memory."""
        pixels = [torch.tensor(image).permute(2, 0, 1).float() / 255 for image in images]
        batch, _ = self.transform(pixels)
        return batch

    @torch.inference_mode()
    def infer(self, batch: ImageList) -> TorchvisionOutputs:
        return TorchvisionOutputs(self.network(_Batch(batch.to(self._device))), batch.image_sizes)

    def finish(self, outputs: TorchvisionOutputs, sizes: Tensor) -> Detections:
        """To host memory and to pixels of the original images."""
        images = zip(outputs.rows, outputs.sizes, sizes.int().tolist(), strict=True)
        padded = [self._padded(row, fitted, original) for row, fitted, original in images]
        masks = [each.masks for each in padded if each.masks is not None]
        boxes, scores, labels = (torch.stack(parts) for parts in list(zip(*padded, strict=True))[:3])
        return Detections(boxes, scores, labels, torch.stack(masks) if masks else None)

    def _padded(self, row: Mapping[str, Tensor], fitted: tuple[int, int], original: list[int]) -> Detections:
        """The detections of one image and empty slots; masks are those of the boxes."""
        row = {name: part.cpu() for name, part in row.items()}
        empty = self.keep - len(row["scores"])
        boxes = resize_boxes(row["boxes"], list(fitted), original)
        masks = row["masks"][:, 0] if "masks" in row else None
        first, scores, labels = (_with_rows(part, empty) for part in (boxes, row["scores"], row["labels"]))
        return Detections(first, scores, labels, None if masks is None else _with_rows(masks, empty))

    def facts(self) -> ModelInfo:
        """Counts are of the largest canvas of a landscape image, with as many regions as the model takes."""
        height, width = self._canvas()
        work = _operations(self._model, len(self.labels), (height, width))
        return ModelInfo(
            **work._asdict() | {"activations_mib": None},
            height=height,
            width=width,
            proposals=self.network.rpn.post_nms_top_n() if hasattr(self.network, "rpn") else None,
            classes=len(self.labels),
            weights=self._weights,
            device=self._device,
            artefact=digest(self._identity | {"labels": len(self.labels)}),
            runtime_settings=(("torchvision", torchvision.__version__),),
        )

    def _canvas(self) -> tuple[int, int]:
        transform, multiple = self.transform, self.transform.size_divisible
        width, height = transform.fixed_size or (transform.max_size, transform.min_size[-1])
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def build(model: str, *, classes: int = len(COCO_91), seed: int = 0) -> Any:
    """torchvision's model in inference mode with random weights, of the modules that it has for published ones."""
    known = MODELS[model]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torchvision.models.get_model(model, weights=None, weights_backbone=None, num_classes=classes)
    if known.frozen:
        _freeze(network.backbone, {} if known.eps is None else {"eps": known.eps})
    return network.eval().requires_grad_(False)


def _freeze(module: nn.Module, options: Mapping[str, float]) -> None:
    """Norms become frozen ones, as torchvision makes them for weights that are given."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, **{"eps": child.eps, **options}))
        else:
            _freeze(child, options)


def _fill(network: nn.Module, path: Path) -> None:
    """Loads a file of tensors without code into a model. Raises WeightsError unless it fills it."""
    form = file_format(path)
    if form is None:
        raise WeightsError(f"{path}: a darknet file, whose tensors have no names", "weights-format")
    found, wanted = form.read(path), network.state_dict()
    used = {name: tensor for name, tensor in found.items() if name in wanted or not name.endswith(COUNTER)}
    safe.load_tensors(network, used, path)


def _with_rows(part: Tensor, count: int) -> Tensor:
    return torch.cat((part, part.new_zeros(count, *part.shape[1:])))


class _Batch(list[Tensor]):
    """The images of a batch, whose sizes a model asks for, and the batch."""

    def __init__(self, batch: ImageList) -> None:
        super().__init__(batch.tensors)
        self.batch = batch


class _Transformed(nn.Module):
    """In place of a model's transform, of which `prepare` and `finish` are the two parts."""

    def forward(self, images: _Batch, targets: None = None) -> tuple[ImageList, None]:
        return images.batch, targets

    def postprocess(self, rows: list[dict[str, Tensor]], *sizes: object) -> list[dict[str, Tensor]]:
        return rows


class _Layers(nn.Module):
    """Calls every layer of a model once; regions are zeros, as many as the model takes."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> None:
        features = list(self.network.backbone(pixels).values())
        if not hasattr(self.network, "rpn"):
            self.network.head(features)
            return
        self.network.rpn.head(features)
        heads, channels = self.network.roi_heads, self.network.backbone.out_channels
        crops = pixels.new_zeros(self.network.rpn.post_nms_top_n(), channels, *heads.box_roi_pool.output_size)
        heads.box_predictor(heads.box_head(crops))
        if heads.has_mask():
            crops = pixels.new_zeros(heads.detections_per_img, channels, *heads.mask_roi_pool.output_size)
            heads.mask_predictor(heads.mask_head(crops))


def _operations(model: str, classes: int, size: tuple[int, int]) -> Operations:
    """Of the layers, without the work between them; on the meta device."""
    with torch.device("meta"):
        layers = _Layers(build(model, classes=classes))
        work = count(layers, torch.zeros(1, 3, *size))
    return work._replace(layers=tuple(each._replace(name=each.name.removeprefix("network.")) for each in work.layers))
