"""Detectors of the transformers library as networks; the only file that imports it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import modeling_utils  # noqa: F401  # the library imports its parts late, these not while one builds
from transformers.loss import loss_utils  # noqa: F401

from paretodet.bench.candidate import ModelInfo
from paretodet.bench.flops import count
from paretodet.detectors.labels import COCO_80
from paretodet.errors import InputError, WithId
from paretodet.network import Labels, TorchNetwork
from paretodet.sources.hashes import sha256
from paretodet.sources.hub_config import QUERIES, HubConfig
from paretodet.sources.hub_models import HubModel, HubRule
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import PaddedSides, ResizePolicy, ShortSide, Stretch, with_sampling
from paretodet.types import Detections, Images
from paretodet.weights import safe

UNUSED = ("N/A", "__background__")  # names of classes that are none


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
    network = build(model, seed, weights, classes=len(labels))
    module = HubDetector(network, mean=model.mean, std=model.std, score=score).eval()
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


def config_network(
    name: str,
    found: HubConfig,
    *,
    weights: Path | None = None,
    fit: ResizePolicy,
    score: float | None = None,
    labels: Labels | None = None,
    seed: int = 0,
) -> TorchNetwork:
    """The detector of a configuration, with the weights of a safetensors file of the library's own or random ones.

    Raises InputError if the library refuses the configuration, the file does not fill the model, or `labels` are not
    as many as its classes.
    """
    with _refusing(found):
        configuration = transformers.AutoConfig.for_model(found.data["model_type"], **_options(found))
        names = [configuration.id2label[index] for index in range(configuration.num_labels)]
    own: Labels = tuple(None if name in UNUSED else str(name) for name in names)
    if labels is not None and len(labels) != len(own):
        raise InputError(f"labels: got {len(labels)} names, {found.path} has {len(own)} classes", "option-value")
    kind = transformers.AutoModelForObjectDetection._model_mapping[type(configuration)]
    sha = sha256(weights) if weights else "random"
    with _refusing(found):
        network = _made(kind, configuration, seed, weights)
    padded = isinstance(fit, PaddedSides)
    module = HubDetector(network, mean=found.mean, std=found.std, score=score, rule=found.rule, padded=padded).eval()
    size = (fit.short, fit.long) if isinstance(fit, ShortSide) else fit.canvas((1, 1))
    identity = {"config": sha256(found.path), "weights": sha, "fit": fit, "score": score, "seed": seed}
    return TorchNetwork(
        name=name,
        labels=own if labels is None else labels,
        fit=fit,
        module=module,
        describe=partial(_describe, module, size, len(own), sha),
        identity=identity | {"rule": found.rule, "mean": found.mean, "std": found.std},
        fold=False,
    )


def _options(found: HubConfig) -> dict[str, Any]:
    """What a file states, without the name of code beside it, which is never run."""
    return {key: value for key, value in found.data.items() if key not in ("model_type", "auto_map")}


@contextmanager
def _refusing(found: HubConfig) -> Iterator[None]:
    """Names the file in the library's own errors, which are of many kinds."""
    try:
        yield
    except WithId:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{found.path}: transformers refuses it ({first:.200})", "cfg-malformed") from None


def _describe(module: "HubDetector", size: tuple[int, int], classes: int, weights: str) -> ModelInfo:
    work = count(module.network, module.values(torch.zeros(1, 3, *size, dtype=torch.uint8, device=module.mean.device)))
    work = work._replace(layers=tuple(layer._replace(name=f"network.{layer.name}") for layer in work.layers))
    height, width = size
    return ModelInfo(**work._asdict(), height=height, width=width, classes=classes, weights=weights, load="capacity")


class HubOutputs(NamedTuple):
    """What the network gives for a batch of canvases."""

    logits: Tensor  # [B, Q, K]
    boxes: Tensor  # [B, Q, 4] center and size in 0..1
    sizes: Tensor  # [B, 2] height and width of which the boxes are shares, px


class HubDetector(nn.Module):
    """The library's network, then its selection by a rule; no NMS. `mean` and `std` are of pixels in 0..1.

    If images are `padded` to the canvas, normalized pixels outside of them are 0, and boxes are shares of the canvas:
    so the library's image processors pad images and move the boxes that a network learns.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        score: float | None,
        rule: HubRule = QUERIES,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.score, self.rule, self.padded = network, score, rule, padded
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1) * 255, persistent=False)

    def forward(self, images: Images) -> Detections:
        return self.select(self.predict(images))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return ("network", self.predict), ("select", self.select)

    def predict(self, images: Images) -> HubOutputs:
        masks = {"pixel_mask": _inside(images)} if self.rule.masked else {}
        values, sizes = self.values(images.pixels), images.sizes
        if self.padded:
            values.mul_(_inside(images)[:, None])
            sizes = sizes.new_tensor(values.shape[-2:]).expand_as(sizes)
        outputs = self.network(pixel_values=values, **masks)
        return HubOutputs(outputs.logits, outputs.pred_boxes, sizes)

    def values(self, pixels: Tensor) -> Tensor:
        """Pixels as the network wants them: normalized, channels-last, in its precision."""
        dtype = next(self.network.parameters()).dtype
        return ((pixels.float() - self.mean) / self.std).to(dtype, memory_format=torch.channels_last)

    def select(self, outputs: HubOutputs) -> Detections:
        """Of a softmax, the best class of every query; else the post-processing of DETR's descendants with a focal
        loss: sigmoid, then the best of Q x K.
        """
        logits = outputs.logits.float()
        queries, classes = logits.shape[1:]
        if self.rule.softmax:
            best, labels = logits.softmax(dim=-1)[..., :-1].max(dim=-1)
            scores, query = best.sort(dim=1, descending=True, stable=True)
            labels = labels.gather(1, query)
        else:
            scores, pair = logits.sigmoid().flatten(1).topk(min(self.rule.top or queries, queries * classes), dim=1)
            query, labels = pair // classes, pair % classes
        center, size = outputs.boxes.float().gather(1, query[..., None].expand(-1, -1, 4)).chunk(2, dim=-1)
        corners = torch.cat((center - size / 2, center + size / 2), dim=-1)
        if self.score is not None:
            scores = scores.masked_fill(scores <= self.score, 0)
        return Detections(corners * outputs.sizes.to(corners).flip(1).repeat(1, 2)[:, None], scores, labels)


def _inside(images: Images) -> Tensor:
    """Which pixels of the canvases are of the images [B, H, W]."""
    height, width = images.pixels.shape[-2:]
    rows, columns = (torch.arange(side, device=images.sizes.device) for side in (height, width))
    inside = (rows[:, None] < images.sizes[:, 0, None, None]) & (columns < images.sizes[:, 1, None, None])
    return inside.long()


def build(model: HubModel, seed: int = 0, weights: Path | None = None, *, classes: int = len(COCO_80)) -> nn.Module:
    """The network in inference mode, with seeded random weights or those of a safetensors file of the library's own.

    Raises ValueError if the file does not fill the model to the last tensor.
    """
    backbone = transformers.AutoConfig.for_model(model.backbone, **model.backbone_options)
    options = {"backbone_config": backbone, "num_labels": classes, **model.options}
    configuration = getattr(transformers, f"{model.architecture}Config")(**options)
    return _made(getattr(transformers, f"{model.architecture}ForObjectDetection"), configuration, seed, weights)


def _made(kind: Any, configuration: Any, seed: int, weights: Path | None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = kind(configuration) if weights is None else _loaded(kind, configuration, weights)
    sample_in_float(network)
    return network.eval().requires_grad_(False)


def sample_in_float(network: nn.Module) -> None:
    """Deformable attention samples its maps in float32, also in a network of fewer bits.

    In bfloat16 on a CPU, torch computes places and offsets in 8 and 16 bits: boxes are wrong, or not numbers at all if
    the rows of a map are far apart in memory (`grid_sample` of torch 2.13). Inductor computes them in more.
    """
    for module in network.modules():
        if type(module).__name__.lower().endswith("deformableattention"):
            module.forward = partial(_in_float, module.forward)


def _in_float(forward: Callable[..., Any], *values: Any, **named: Any) -> Any:
    given = (each for each in (*values, *named.values()) if isinstance(each, Tensor))
    if torch.compiler.is_compiling() or not any(each.dtype == torch.bfloat16 for each in given):
        return forward(*values, **named)
    with _FloatSampling():
        return forward(*values, **named)


class _FloatSampling(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if function is not nn.functional.grid_sample:
            return function(*args, **options)
        values, places, *rest = args
        return function(values.float(), places.float(), *rest, **options).to(values.dtype)


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
