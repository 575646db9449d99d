"""Two-stage detectors as one network: everybody proposes, and everybody judges every proposal.

Huang et al. section 4.2 after He et al. 2015 (arXiv 1512.03385), appendix A: the union of all proposals goes through
the ensemble of region classifiers. Neither says how boxes are joined. Here a proposal's class scores and its decoded
boxes are both averaged: with a box a member, as many boxes of one proposal would share one score, and suppression
would keep whichever member stands first.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import Operations, count
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector, Maps, without_empty
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.worst_case import is_at_capacity
from paretodet.ensembles.ensemble import Labels, joined
from paretodet.runtimes.eager import EagerSession
from paretodet.types import Detections, Images, PostProcessor, References


class ScoredRegions(NamedTuple):
    """What the members say of every proposal together."""

    boxes: Tensor  # [B, N, 4] or, one box a class, [B, N, K, 4]
    scores: Tensor  # [B, N, K]


class RegionState(NamedTuple):
    """What travels between the clocked stages; a field is None until its stage has run."""

    images: Images
    maps: tuple[Maps, ...] = ()
    references: References | None = None
    judged: ScoredRegions | None = None


class RegionUnion(nn.Module):
    """Detectors of two stages on one canvas; `select` is the last suppression. One detector is itself."""

    def __init__(self, detectors: Sequence[Detector], select: PostProcessor):
        super().__init__()
        self.detectors = nn.ModuleList(detectors)
        self.last = select

    def forward(self, images: Images) -> Detections:
        maps = self.features(images)
        references = self.propose(maps, images)
        return self.select(self.judge(maps, references, images), references, images)

    def features(self, images: Images) -> tuple[Maps, ...]:
        return tuple(detector.features(images) for detector in self._members())

    def propose(self, maps: tuple[Maps, ...], images: Images) -> References:
        """Every member's proposals, those of several kept several times."""
        found = [detector.propose(own, images).boxes for detector, own in zip(self._members(), maps, strict=True)]
        boxes = torch.cat(found, 1)
        return References(boxes, torch.ones_like(boxes[0, :, :1]), (boxes.shape[1],))

    def judge(self, maps: tuple[Maps, ...], references: References, images: Images) -> ScoredRegions:
        """Each member on its own maps, averaged."""
        boxes, scores = [], []
        for detector, own in zip(self._members(), maps, strict=True):
            predictions, last = detector.refine(own, references, images), detector.spec.stages[-1]
            boxes.append(last.coder.decode(predictions.codes, references))
            scores.append(last.scores(predictions.logits).float())
        return ScoredRegions(_mean(_alike(boxes)), without_empty(_mean(scores), references))

    def select(self, judged: ScoredRegions, references: References, images: Images) -> Detections:
        return self.last(judged.boxes, judged.scores, references.counts, images.sizes)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The steps of `forward`, each clockable alone: Images -> State -> ... -> Detections."""
        return (
            ("features", lambda images: RegionState(images, self.features(images))),
            ("propose", lambda s: s._replace(references=self.propose(s.maps, s.images))),
            ("refine", lambda s: s._replace(judged=self.judge(s.maps, s.references, s.images))),
            ("select", lambda s: self.select(s.judged, s.references, s.images)),
        )

    def _members(self) -> list[Detector]:
        return list(self.detectors)  # type: ignore[arg-type]


class RegionEnsemble:
    """Detectors of two stages as one Candidate: the union of their proposals, averaged region scores and boxes.

    The members share fit, canvas, labels and device, so an image is prepared once and a proposal means the same to
    all; each keeps its own normalization, maps and precision. `select` is the last suppression; None: the members'
    own, with the largest `keep`, where they agree in all else. Raises ValueError where members do not go together.
    """

    def __init__(
        self, members: Sequence[NetworkCandidate], *, select: PostProcessor | None = None, name: str | None = None
    ):
        detectors = [_detector(member) for member in members]
        specs = [detector.spec for detector in detectors]
        _check(specs)
        if len(devices := sorted({member.runtime.device for member in members})) > 1:
            raise ValueError(f"device: got {', '.join(devices)}; members share one")
        self.members, self.select = tuple(members), select or agreed([spec.stages[-1].select for spec in specs])
        self.name = name or " * ".join(spec.name for spec in specs)
        self.device = devices[0]
        self.specs, self.union = specs, RegionUnion(detectors, self.select)

    @property
    def labels(self) -> Labels:
        return self.members[0].labels

    def prepare(self, images: Sequence[Image]) -> Images:
        return self.members[0].prepare(images)

    @torch.inference_mode()
    def infer(self, batch: Images) -> Detections:
        return self.union(batch.to(self.device))

    def finish(self, outputs: Detections, sizes: Tensor) -> Detections:
        return self.members[0].finish(outputs, sizes)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        (first, features), *rest = self.union.stages()
        steps = ((first, lambda batch: features(batch.to(self.device))), *rest)
        return tuple((name, torch.inference_mode()(step)) for name, step in steps)

    def facts(self) -> ModelInfo:
        """Work is counted over the union of proposals, which every member's second stage runs on."""
        facts = joined(self.members, self.labels, union=self.select)
        specs = [with_last(spec, self.select) for spec in self.specs]
        return replace(
            facts,
            **self._work()._asdict(),
            proposals=sum(spec.proposals or 0 for spec in specs),
            load="capacity" if all(map(is_at_capacity, specs)) else "data",
        )

    def _work(self) -> Operations:
        with torch.device("meta"):
            own = {id(member): Detector(spec).eval() for member, spec in zip(self.members, self.specs, strict=True)}
            union = RegionUnion([own[id(member)] for member in self.members], self.select)
            spec = self.specs[0]
            pixels = torch.zeros(1, 3, spec.height, spec.width, dtype=torch.uint8)
            return count(union, Images(pixels, torch.tensor([[float(spec.height), float(spec.width)]])))


def agreed(selects: Sequence[PostProcessor]) -> PostProcessor:
    """The one selection of several that differ at most in how many they keep: the largest.

    Raises ValueError where they differ in more.
    """
    keep = max(select.keep for select in selects)  # type: ignore[attr-defined]
    found = {replace(select, keep=keep) for select in selects}  # type: ignore[type-var]
    if len(found) > 1:
        raise ValueError(f"select: the members' own differ ({'; '.join(sorted(map(repr, found)))}), so give one")
    return found.pop()


def with_last(spec: DetectorSpec, select: PostProcessor) -> DetectorSpec:
    """The spec with this last suppression."""
    *earlier, last = spec.stages
    return replace(spec, stages=(*earlier, replace(last, select=select)))


def _detector(member: NetworkCandidate) -> Detector:
    module = member.session.module if isinstance(member.session, EagerSession) else None
    if not isinstance(module, Detector):
        raise ValueError(f"members: {member.name} is no detector of the catalogue that runs in eager PyTorch")
    return module


def _check(specs: Sequence[DetectorSpec]) -> None:
    if not specs:
        raise ValueError("members: got none, an ensemble needs at least one")
    for spec in specs:
        if spec.proposals is None:
            raise ValueError(f"stages: {spec.name} has one, and so no proposals to share")
        if spec.masks is not None:
            raise ValueError(f"masks: {spec.name} makes them, and a union of proposals has none")
    for field in ("fit", "height", "width", "labels"):
        if len({getattr(spec, field) for spec in specs}) > 1:
            raise ValueError(f"{field}: differs among {', '.join(spec.name for spec in specs)}; members share one")


def _alike(boxes: list[Tensor]) -> list[Tensor]:
    """One box a class for all, where any member has so."""
    classes = next((each.shape[2] for each in boxes if each.dim() == 4), None)
    if classes is None:
        return boxes
    return [each if each.dim() == 4 else each[:, :, None].expand(-1, -1, classes, -1) for each in boxes]


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)
