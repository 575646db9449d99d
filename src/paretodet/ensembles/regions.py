"""Two-stage detectors as one network: every member scores the proposals of all members.

Huang et al. 2017, section 4.2, after He et al. 2015 (arXiv 1512.03385), appendix A: the union of all proposals goes
through the ensemble of region classifiers. Neither paper says how boxes are combined. Here both the class scores and
the decoded boxes of a proposal are averaged. If every member's box were kept, all boxes of a proposal would have the
same score, and suppression would keep that of the first member.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.bench.candidate import Image, ModelInfo
from paretodet.bench.flops import Operations, count
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector, Maps, stage_scores, without_empty
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.worst_case import is_at_capacity
from paretodet.ensembles.ensemble import Labels, combined_info
from paretodet.runtimes.eager import EagerSession
from paretodet.types import Detections, Images, PostProcessor, References


class ScoredRegions(NamedTuple):
    """The proposals' boxes and scores, averaged over the members."""

    boxes: Tensor  # [B, N, 4], or [B, N, K, 4] with one box per class
    scores: Tensor  # [B, N, K]


class RegionState(NamedTuple):
    """What one timed stage hands to the next; a field is empty or None until its stage has run."""

    images: Images
    maps: tuple[Maps, ...] = ()
    references: References | None = None
    scored: ScoredRegions | None = None


class RegionUnion(nn.Module):
    """Detectors with region stages on one canvas; `select` is the last selection. One alone is itself."""

    def __init__(self, detectors: Sequence[Detector], select: PostProcessor):
        super().__init__()
        self.detectors = nn.ModuleList(detectors)
        self.post_process = select

    def forward(self, images: Images) -> Detections:
        maps = self.features(images)
        references = self.propose(maps, images)
        return self.select(self.score(maps, references, images), references, images)

    def features(self, images: Images) -> tuple[Maps, ...]:
        return tuple(detector.features(images) for detector in self._members())

    def propose(self, maps: tuple[Maps, ...], images: Images) -> References:
        """The proposals of all members; those that several members make occur several times."""
        boxes = torch.cat([d.propose(part, images).boxes for d, part in zip(self._members(), maps, strict=True)], 1)
        return References(boxes, torch.ones_like(boxes[0, :, :1]), (boxes.shape[1],))

    def score(self, maps: tuple[Maps, ...], references: References, images: Images) -> ScoredRegions:
        """The mean over the members of the boxes and scores that each computes from its maps."""
        boxes, scores = [], []
        for detector, member_maps in zip(self._members(), maps, strict=True):
            predictions, last = detector.refine(member_maps, references, images), detector.spec.stages[-1]
            boxes.append(last.coder.decode(predictions.codes, references))
            scores.append(stage_scores(last, predictions).float())
        return ScoredRegions(_mean(_per_class(boxes)), without_empty(_mean(scores), references))

    def select(self, scored: ScoredRegions, references: References, images: Images) -> Detections:
        return self.post_process(scored.boxes, scored.scores, references.counts, images.sizes)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The steps of `forward`, to be timed one by one: Images -> RegionState -> ... -> Detections."""
        return (
            ("features", lambda images: RegionState(images, self.features(images))),
            ("propose", lambda s: s._replace(references=self.propose(s.maps, s.images))),
            ("refine", lambda s: s._replace(scored=self.score(s.maps, s.references, s.images))),
            ("select", lambda s: self.select(s.scored, s.references, s.images)),
        )

    def _members(self) -> list[Detector]:
        return list(self.detectors)  # type: ignore[arg-type]


class RegionEnsemble:
    """Detectors with region stages as one Candidate: the union of their proposals, averaged region scores and boxes.

    The members have the same resize policy, canvas, labels and device, so that an image is prepared once and a
    proposal is valid for all of them. Normalization, maps and precision may differ. `select` is the last selection;
    None: that of the members, with the largest `keep`, if they are otherwise equal. Raises ValueError if the members
    cannot be combined.
    """

    def __init__(
        self, members: Sequence[NetworkCandidate], *, select: PostProcessor | None = None, name: str | None = None
    ):
        detectors = [_detector(member) for member in members]
        specs = [detector.spec for detector in detectors]
        _check(specs)
        if len(devices := sorted({member.runtime.device for member in members})) > 1:
            raise ValueError(f"device: got {', '.join(devices)}; all members must use the same device")
        self.members, self.select = tuple(members), select or common_select([spec.stages[-1].select for spec in specs])
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
        """Work is counted for the union of the proposals, which the second stage of every member processes."""
        facts = combined_info(self.members, self.labels, union=self.select)
        specs = [with_select(spec, self.select) for spec in self.specs]
        return replace(
            facts,
            **self._work()._asdict(),
            proposals=sum(spec.proposals or 0 for spec in specs),
            load="capacity" if all(map(is_at_capacity, specs)) else "data",
        )

    def _work(self) -> Operations:
        with torch.device("meta"):
            pairs = zip(self.members, self.specs, strict=True)
            detectors = {id(member): Detector(spec).eval() for member, spec in pairs}
            union = RegionUnion([detectors[id(member)] for member in self.members], self.select)
            spec = self.specs[0]
            pixels = torch.zeros(1, 3, spec.height, spec.width, dtype=torch.uint8)
            return count(union, Images(pixels, torch.tensor([[float(spec.height), float(spec.width)]])))


def common_select(selects: Sequence[PostProcessor]) -> PostProcessor:
    """The selection with the largest `keep`. Raises ValueError if the selections differ in anything else."""
    keep = max(select.keep or 0 for select in selects)
    distinct = {replace(select, keep=keep) for select in selects}  # type: ignore[type-var]
    if len(distinct) > 1:
        raise ValueError(f"select: differs between the members ({'; '.join(sorted(map(repr, distinct)))}); pass one")
    return distinct.pop()


def with_select(spec: DetectorSpec, select: PostProcessor) -> DetectorSpec:
    """The spec with this selection in its last stage."""
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
            raise ValueError(f"stages: {spec.name} has one stage; a union of proposals needs two")
        if spec.masks is not None:
            raise ValueError(f"masks: {spec.name} predicts masks; a union of proposals cannot combine them")
    for field in ("fit", "height", "width", "labels"):
        if len({getattr(spec, field) for spec in specs}) > 1:
            raise ValueError(f"{field}: differs between {', '.join(spec.name for spec in specs)}; it must be the same")


def _per_class(boxes: list[Tensor]) -> list[Tensor]:
    """All members' boxes with one box per class, if any member has that."""
    classes = next((part.shape[2] for part in boxes if part.dim() == 4), None)
    if classes is None:
        return boxes
    return [part if part.dim() == 4 else part[:, :, None].expand(-1, -1, classes, -1) for part in boxes]


def _mean(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).mean(0)
