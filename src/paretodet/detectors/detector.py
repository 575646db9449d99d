"""The file to read first: every detector, from pixels to boxes.

forward = masks . select . refine . propose . features. A one-stage detector proposes its anchors; a two-stage one
proposes what its first stage selected. The last stage refines whatever was proposed. Masks, where a detector has
them, are made for the finished boxes from the maps that are already there.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.layers.strides import check_strides
from paretodet.ops.geometry import area, clip, contained
from paretodet.rules.losses import local_normalizer
from paretodet.types import (
    Assignment,
    Detections,
    Images,
    Loss,
    Matcher,
    Normalizer,
    Predictions,
    References,
    Sampler,
    Targets,
)

Maps = tuple[Tensor, ...]


class DetectorState(NamedTuple):
    """What travels between the clocked stages; a field is None until its stage has run."""

    images: Images
    maps: Maps = ()
    references: References | None = None
    predictions: Predictions | None = None
    found: Detections | None = None


class Detector(nn.Module):
    """A detector built from its spec: a backbone, a neck and one head a stage.

    Takes `Images` of any canvas the family allows and returns `Detections` of fixed capacity, boxes in pixels of the
    canvas, clipped to each image's true size. Raises ValueError where anchors or crops were told other strides than
    the maps have.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spec: DetectorSpec):
        super().__init__()
        self.spec = spec
        self.backbone = spec.backbone.build()
        self.neck = spec.neck.build(self.backbone.info) if spec.neck else None
        self.info = self.neck.info if self.neck else self.backbone.info
        check_strides("anchors", spec.anchors.strides, self.info.strides)
        self.heads = nn.ModuleList(self._build_heads(spec))
        self.mask_head = spec.masks.head.build(self.info, spec.classes) if spec.masks else None
        self.register_buffer("mean", torch.tensor(spec.pixels.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(spec.pixels.std).view(1, 3, 1, 1), persistent=False)

    def _build_heads(self, spec: DetectorSpec) -> list[nn.Module]:
        first, *later = spec.stages
        classes = 1 if later else spec.classes
        dense = first.head.build(self.info, spec.anchors.per_cell, first.scores.width(classes))
        width = self.backbone.tail_channels
        return [dense] + [s.head.build(self.info, width, spec.classes, s.scores.width(spec.classes)) for s in later]

    def forward(self, images: Images) -> Detections:
        maps = self.features(images)
        references = self.propose(maps, images)
        found = self.select(self.refine(maps, references, images), references, images)
        return self.masks(maps, found, images)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The steps of `forward`, each clockable alone: Images -> State -> ... -> Detections."""
        steps = (
            ("features", lambda images: DetectorState(images, self.features(images))),
            ("propose", lambda s: s._replace(references=self.propose(s.maps, s.images))),
            ("refine", lambda s: s._replace(predictions=self.refine(s.maps, s.references, s.images))),
            ("select", lambda s: s._replace(found=self.select(s.predictions, s.references, s.images))),
            ("masks", lambda s: self.masks(s.maps, s.found, s.images)),
        )
        if self.mask_head is not None:
            return steps
        return (*steps[:3], ("select", lambda s: self.select(s.predictions, s.references, s.images)))

    def features(self, images: Images) -> Maps:
        """RGB uint8 [B, 3, H, W] -> the neck's maps. Outside of its image a canvas is 0 to the network."""
        dtype = next(self.parameters()).dtype
        pixels = (images.pixels.float() - self.mean) / self.deviation * inside(images)
        maps = self.backbone.trunk(pixels.to(dtype))
        return self.neck(maps) if self.neck else maps

    def propose(self, maps: Maps, images: Images) -> References:
        """Anchors; in a two-stage detector, the boxes its earlier stage selected, clipped to the image."""
        references = clip_anchors(self.spec.stages[0], self.spec.anchors(maps, canvas(images)), images.sizes)
        for index in range(len(self.heads) - 1):
            predictions = self._predict(index, maps, references, images)
            references = proposals(self._select(index, predictions, references, images))
        return references

    def refine(self, maps: Maps, references: References, images: Images) -> Predictions:
        """What the last stage says of every reference."""
        return self._predict(len(self.heads) - 1, maps, references, images)

    def select(self, predictions: Predictions, references: References, images: Images) -> Detections:
        """Decode, score and suppress what the last stage said."""
        return self._select(len(self.heads) - 1, predictions, references, images)

    def masks(self, maps: Maps, found: Detections, images: Images) -> Detections:
        """Each finished box with the mask of its class, in 0..1; as it came where the detector has no masks."""
        if self.mask_head is None:
            return found
        logits = self.mask_head(maps, found.boxes, found.labels, canvas(images))
        return found._replace(masks=logits.float().sigmoid())

    def loss(
        self, images: Images, targets: Targets, *, noise: Tensor, divisor: Normalizer = local_normalizer
    ) -> dict[str, Tensor]:
        """One scalar a term. noise [B, N] uniform in 0..1 decides every random sample, N the most references.

        `divisor` is another than the batch's own counts where processes share a batch.
        """
        maps = self.features(images)
        references = self.spec.anchors(maps, canvas(images))
        last = len(self.heads) - 1
        terms: dict[str, Tensor] = {}
        for index, stage in enumerate(self.spec.stages):
            truth = targets if index == last else targets._replace(labels=torch.zeros_like(targets.labels))
            early = sample_regions(stage, references, truth, images.sizes, noise) if 0 < index == last else None
            predictions = self._predict(index, maps, early.references if early else references, images)
            lesson = early or mine_all(stage, predictions, references, truth, images.sizes, noise)
            learned = stage_loss(stage, predictions, lesson, truth, divisor)
            terms |= {f"stage{index + 1}/{name}": value for name, value in learned.items()}
            if index < last:
                references = proposals(select_to_learn(stage, predictions, references, images.sizes))
                if self.spec.stages[index + 1].append_targets:
                    references = append(references, targets)
        return terms | self._mask_loss(maps, lesson, targets, images, divisor)

    def _mask_loss(
        self, maps: Maps, lesson: "SampledTargets", targets: Targets, images: Images, divisor: Normalizer
    ) -> dict[str, Tensor]:
        if self.mask_head is None:
            return {}
        loss = self.spec.masks.loss if self.spec.masks else None
        if loss is None:
            raise ValueError("masks: loss is needed to train, this detector has none")
        sample = loss.sample(lesson.references, targets, lesson.assignment, lesson.weight)
        logits = self.mask_head(maps, sample.boxes, sample.labels, canvas(images))
        return {f"masks/{name}": value for name, value in loss(logits, sample, targets, divisor).items()}

    def _predict(self, index: int, maps: Maps, references: References, images: Images) -> Predictions:
        head = self.heads[index]
        if index == 0:
            return head(maps)
        return head(maps, references, canvas(images), self.backbone.tail)

    def _select(self, index: int, predictions: Predictions, references: References, images: Images) -> Detections:
        stage = self.spec.stages[index]
        boxes, scores = stage.coder.decode(predictions.codes, references), stage.scores(predictions.logits)
        if index or stage.boundary_anchors == "clipped":
            scores = without_empty(scores, references)
        return stage.select(boxes, scores, references.counts, images.sizes)


def build(spec: DetectorSpec, seed: int = 0) -> Detector:
    """A detector with seeded random weights, in inference mode; the caller's random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector(spec).eval()


def canvas(images: Images) -> tuple[int, int]:
    """Height and width of the batch, as static integers."""
    return images.pixels.shape[-2], images.pixels.shape[-1]


def inside(images: Images) -> Tensor:
    """[B, 1, H, W] bool: where a canvas holds its image."""
    rows, columns = (torch.arange(side, device=images.sizes.device) for side in canvas(images))
    height, width = images.sizes[:, :, None].unbind(1)
    return ((rows < height)[:, :, None] & (columns < width)[:, None])[:, None]


def without_empty(scores: Tensor, references: References) -> Tensor:
    """Empty slots, and anchors clipped to nothing, find nothing: no box of theirs would suppress another."""
    return scores.masked_fill((area(references.boxes) <= 0)[..., None], -math.inf)


def clip_anchors(stage: StageSpec, anchors: References, sizes: Tensor) -> References:
    """Anchors as a stage decodes them at test: as they are, or clipped to each image (`StageSpec.boundary_anchors`)."""
    return anchors if stage.boundary_anchors == "kept" else anchors._replace(boxes=clip(anchors.boxes[None], sizes))


def select_to_learn(stage: StageSpec, predictions: Predictions, refs: References, sizes: Tensor) -> Detections:
    """What a stage proposes in training; references that cross the border propose nothing where they are not kept."""
    boxes, scores = stage.coder.decode(predictions.codes, refs), stage.scores(predictions.logits)
    if stage.boundary_anchors == "clipped":
        scores = scores.masked_fill(~contained(refs.boxes, sizes)[..., None], -math.inf)
    return (stage.train_select or stage.select)(boxes, scores, refs.counts, sizes)


def proposals(found: Detections) -> References:
    """Selected boxes as references of the next stage; no gradient flows to them (Huang et al. section 2.1.2)."""
    return regions(found.boxes.detach())


def append(references: References, targets: Targets) -> References:
    """Ground truth joins the proposals, as Detectron trains; what is not to be learned joins without area."""
    usable = targets.valid & ~targets.crowd
    return regions(torch.cat([references.boxes, targets.boxes * usable[..., None]], 1))


def regions(boxes: Tensor) -> References:
    """Boxes [B, N, 4] of no grid."""
    return References(boxes, torch.ones_like(boxes[0, :, :1]), (boxes.shape[1],))


class SampledTargets(NamedTuple):
    """Which references a stage learns from, and what each is to say."""

    references: References
    assignment: Assignment
    weight: Tensor  # [B, N]


def sample_regions(
    stage: StageSpec, refs: References, targets: Targets, sizes: Tensor, noise: Tensor
) -> SampledTargets | None:
    """The few regions that are drawn before anything is predicted, the rest of the slots with weight 0.

    None where the sampler mines by what is predicted or takes any number, or the loss counts what was not drawn.
    """
    matcher, sampler, losses = needed(stage)
    if sampler.mines or sampler.size is None or not losses.of_sample:
        return None
    assignment = matcher(refs, targets, refs.boxes, sizes)
    key = noise[:, : refs.boxes.shape[1]]
    weight = sampler(assignment, torch.zeros_like(key), refs.boxes, key)
    order = weight.argsort(dim=1, descending=True, stable=True)[:, : sampler.size]
    boxes = refs.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return SampledTargets(
        regions(boxes), Assignment(*(t.gather(1, order) for t in assignment)), weight.gather(1, order)
    )


def mine_all(
    stage: StageSpec, predictions: Predictions, refs: References, targets: Targets, sizes: Tensor, noise: Tensor
) -> SampledTargets:
    """All references, matched and sampled, where the sampler mines by the loss each has now."""
    matcher, sampler, losses = needed(stage)
    with torch.no_grad():
        decoded = stage.coder.decode(predictions.codes, refs)
        flat = refs.boxes.expand(len(decoded), -1, 4) if decoded.dim() == 4 else decoded  # no class's own box
        assignment = matcher(refs, targets, flat, sizes)
        key = noise[:, : flat.shape[1]]
        cost = losses.cost(predictions, refs, targets, assignment) if sampler.mines else torch.zeros_like(key)
    return SampledTargets(refs, assignment, sampler(assignment, cost, flat, key))


def stage_loss(
    stage: StageSpec,
    predictions: Predictions,
    lesson: SampledTargets,
    targets: Targets,
    divisor: Normalizer = local_normalizer,
) -> dict[str, Tensor]:
    """The stage's terms."""
    _, _, losses = needed(stage)
    refs, assignment, weight = lesson
    decoded = stage.coder.decode(predictions.codes, refs)
    return losses(predictions, refs, decoded, targets, assignment, weight, divisor)


def needed(stage: StageSpec) -> tuple[Matcher, Sampler, Loss]:
    """What a stage learns with. Raises ValueError where one is missing."""
    if stage.matcher is None or stage.sampler is None or stage.losses is None:
        raise ValueError("stage: matcher, sampler and losses are needed to train, this stage has none")
    return stage.matcher, stage.sampler, stage.losses
