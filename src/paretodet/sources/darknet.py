"""Darknet cfg files of the v2, v3 and v4 world."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from paretodet.bench.candidate import ModelInfo
from paretodet.bench.flops import count
from paretodet.config import EXECUTION, CandidateConfig
from paretodet.errors import InputError
from paretodet.network import Labels, TorchNetwork
from paretodet.rules.select import PostProcess
from paretodet.sources.darknet_cfg import DarknetPlan, read_plan
from paretodet.sources.darknet_net import Darknet, load, untrained
from paretodet.sources.hashes import sha256
from paretodet.sources.source import Source
from paretodet.transforms.resize import Sampling
from paretodet.transforms.resize_policy import FITS, Letterbox, ResizePolicy, Stretch
from paretodet.types import Images

KEEP = 100  # darknet keeps every box above the threshold; these are all that COCO's evaluation reads
SCORE, OVERLAP = 0.005, 0.45  # darknet's own


class DarknetCfg(Source):
    """A cfg with a `.weights` file, or untrained: then at capacity, every slot filled, unless a `score` is given, as
    catalogue entries are.
    """

    options = EXECUTION | {"weights", "height", "width", "labels", "score", "nms", "fit", "sampling"}
    form = "torch"
    random = True

    def owns(self, name: str) -> bool:
        return name.endswith(".cfg")

    def check(self, name: str) -> None:
        read_plan(Path(name))

    def display_name(self, config: CandidateConfig) -> str:
        return Path(config.name).stem

    def load(self, config: CandidateConfig) -> TorchNetwork:
        return darknet_network(
            Path(config.name),
            weights=config.weights,
            size=config.size,
            fit=FITS[config.fit] if config.fit else None,
            sampling=config.sampling,
            score=config.score,
            overlap=OVERLAP if config.nms is None else config.nms,
            labels=config.labels or (),
        )


def darknet_network(
    cfg: Path,
    *,
    weights: Path | None = None,
    size: tuple[int, int] | None = None,
    fit: Callable[..., ResizePolicy] | None = None,
    sampling: Sampling | None = None,
    score: float | None = None,
    overlap: float = OVERLAP,
    labels: Labels = (),  # a cfg has none
    seed: int = 0,
) -> TorchNetwork:
    """The network of a cfg, filled from `weights` or with random ones of `seed`.

    `size` is the canvas (height, width) in place of the cfg's. `fit` makes the fit from `height`, `width` and
    `sampling`; None: darknet's letterbox, or stretching where the cfg has options of the fork that stretches and no
    `letter_box=1` in [net]. `sampling` replaces that of the one or the other. Detections that score no more than
    `score` are dropped; None: darknet's own with weights, none without. Suppression is greedy a class above `overlap`,
    whatever `nms_kind` says. Raises CfgError and DarknetFileError.
    """
    plan = read_plan(cfg, size)
    if labels and len(labels) != plan.classes:
        raise InputError(f"labels: got {len(labels)}, {cfg} has {plan.classes} classes", "label-unknown")
    policy: Callable[..., ResizePolicy] = fit or (Letterbox if plan.letterboxed else Stretch)
    sampling = sampling or ("opencv" if plan.forked else "corners")
    chosen = policy(height=plan.height, width=plan.width, sampling=sampling)
    threshold = score if score is not None else SCORE if weights else -math.inf
    select = PostProcess(threshold=threshold, overlap=overlap, keep=KEEP)
    module = load(plan, select, weights) if weights else untrained(plan, select, seed)
    sha = sha256(weights) if weights else "random"
    identity = {"cfg": sha256(cfg), "weights": sha, "size": (plan.height, plan.width), "fit": chosen, "select": select}
    return TorchNetwork(
        name=cfg.stem,
        labels=labels,
        fit=chosen,
        module=module,
        describe=partial(_describe, plan, select, sha),
        identity=identity | {"seed": seed},
    )


def _describe(plan: DarknetPlan, select: PostProcess, weights: str) -> ModelInfo:
    """Counts are of the network as stored, before norms are folded."""
    with torch.device("meta"):
        pixels = torch.zeros(1, 3, plan.height, plan.width, dtype=torch.uint8)
        work = count(Darknet(plan, select).eval(), Images(pixels, torch.zeros(1, 2)))
    return ModelInfo(
        **work._asdict(),
        height=plan.height,
        width=plan.width,
        classes=plan.classes,
        weights=weights,
        load="capacity" if select.threshold == -math.inf else "data",
    )
