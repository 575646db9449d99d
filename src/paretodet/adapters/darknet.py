"""Any darknet cfg of the v2 and v3 world as a Candidate."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from paretodet.adapters.darknet_cfg import DarknetPlan, read_plan
from paretodet.adapters.darknet_net import Darknet, DarknetState, load, untrained
from paretodet.adapters.files import sha256
from paretodet.adapters.function import artefact
from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import count
from paretodet.layers.fold import fold_norms
from paretodet.layers.precision import dtype
from paretodet.rules.select import PostProcess
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, Stretch, to_batch, to_originals
from paretodet.types import Detections, Images

KEEP = 100  # darknet keeps every box above the threshold; these are all that COCO's evaluation reads


class DarknetCandidate:
    """A cfg and its weights file, or untrained at capacity: every slot filled, as catalogue entries are.

    `size` is the canvas (height, width) instead of the cfg's. `fit` makes the fit from `height`, `width` and
    `sampling`; left out, it is darknet's letterbox, or stretching where the cfg has options of the fork that stretches
    (`letter_box=1` in [net] asks it not to). Pixels are sampled as the one or the other does. Detections that
    score no more than `score` are dropped; suppression is greedy a class above `overlap`, whatever `nms_kind` says.
    The network runs with norms folded, channels-last. Raises CfgError and DarknetFileError.
    """

    def __init__(
        self,
        cfg: Path,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        size: tuple[int, int] | None = None,
        fit: Callable[..., ResizePolicy] | None = None,
        score: float = 0.005,
        overlap: float = 0.45,
        labels: tuple[str | None, ...] = (),  # the cfg does not tell them
        seed: int = 0,
    ):
        numbers = dtype(precision)
        self.plan = read_plan(cfg, size)
        if labels and len(labels) != self.plan.classes:
            raise ValueError(f"labels: got {len(labels)}, {cfg} has {self.plan.classes} classes")
        self.name, self.labels, self.seed = cfg.stem, labels, seed
        self.device, self.precision = device, precision
        self.fit = (fit or _own_fit(self.plan))(
            height=self.plan.height, width=self.plan.width, sampling="opencv" if self.plan.forked else "corners"
        )
        self.select = PostProcess(threshold=score if weights else -math.inf, overlap=overlap, keep=KEEP)
        network = load(self.plan, self.select, weights) if weights else untrained(self.plan, self.select, seed)
        self.network = fast(network, device, numbers)
        self.cfg, self.weights = sha256(cfg), sha256(weights) if weights else "random"

    def prepare(self, images: Sequence[Image]) -> Images:
        """Decoded images -> one channels-last batch in host memory."""
        pixels, sizes = to_batch(images, self.fit)
        return Images(pixels.contiguous(memory_format=torch.channels_last), sizes)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Detections:
        return self.network(batch.to(self.device))

    def finish(self, outputs: Detections, sizes: Tensor) -> Detections:
        """To host memory and back to pixels of the original images."""
        return to_originals(outputs.to("cpu"), self.fit, sizes)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        wrap = torch.inference_mode()
        return ("features", wrap(self._features)), ("select", wrap(self.network.select))

    def facts(self) -> ModelInfo:
        """Counts are of the network as stored, before norms are folded."""
        plan = self.plan
        with torch.device("meta"):
            pixels = torch.zeros(1, 3, plan.height, plan.width, dtype=torch.uint8)
            work = count(Darknet(plan, self.select).eval(), Images(pixels, torch.zeros(1, 2)))
        return ModelInfo(
            **work._asdict(),
            height=plan.height,
            width=plan.width,
            classes=plan.classes,
            weights=self.weights,
            device=self.device,
            precision=self.precision,
            load="data" if self.weights != "random" else "capacity",
            artefact=artefact(
                cfg=self.cfg,
                weights=self.weights,
                size=(plan.height, plan.width),
                fit=self.fit,
                select=self.select,
                precision=self.precision,
                seed=self.seed,
            ),
        )

    def _features(self, batch: Images) -> DarknetState:
        images = batch.to(self.device)
        return DarknetState(images, self.network.features(images))


def fast(network: Darknet, device: str, numbers: torch.dtype) -> Darknet:
    """Norms folded, channels-last, the wanted precision and device."""
    folded = cast(Darknet, fold_norms(network)).to(device, numbers)
    return folded.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]


def _own_fit(plan: DarknetPlan) -> Callable[..., ResizePolicy]:
    return Letterbox if plan.letterboxed else Stretch
