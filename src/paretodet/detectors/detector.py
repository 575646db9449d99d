"""The file to read first: every detector, from pixels to boxes.

forward = masks . select . refine . propose . features. The first stage refines anchors, every later stage the boxes
that the stage before it selected. `propose` runs all stages but the last; `refine` and `select` run the last one.
Masks, if the detector has any, are predicted for the final boxes from the maps that are already computed.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from paretodet.detectors.spec import DetectorSpec, StageSpec
from paretodet.layers.strides import check_strides
from paretodet.ops.geometry import area, clip, contained
from paretodet.rules.losses import local_normalizer, truths
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
    """What each timed step hands to the next; a field is None until its step has run."""

    images: Images
    maps: Maps = ()
    references: References | None = None
    predictions: Predictions | None = None
    detections: Detections | None = None


class Detector(nn.Module):
    """A detector built from its spec: a backbone, a neck and one head per stage.

    Takes `Images` on any canvas the family allows and returns `Detections` of fixed capacity, boxes in pixels of the
    canvas, clipped to the true size of their image. Raises ValueError if the strides of anchors or crops are not those
    of the maps.
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
        self.mask_head = self._build_masks(spec)
        self.register_buffer("mean", torch.tensor(spec.pixels.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(spec.pixels.std).view(1, 3, 1, 1), persistent=False)

    def _build_heads(self, spec: DetectorSpec) -> list[nn.Module]:
        """The first of several stages separates objects from background; every later stage predicts all classes."""
        first, *later = spec.stages
        classes = 1 if later else spec.classes
        dense = first.head.build(self.info, spec.anchors.per_cell, first.scores.width(classes))
        width = self.backbone.tail_channels
        return [dense] + [s.head.build(self.info, width, spec.classes, s.scores.width(spec.classes)) for s in later]

    def _build_masks(self, spec: DetectorSpec) -> nn.Module | None:
        return spec.masks.head.build(self.info, self.backbone.tail_channels, spec.classes) if spec.masks else None

    def forward(self, images: Images) -> Detections:
        maps = self.features(images)
        references = self.propose(maps, images)
        detections = self.select(self.refine(maps, references, images), references, images)
        return self.masks(maps, detections, images)

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        """The steps of `forward`, to be timed one by one: Images -> DetectorState -> ... -> Detections."""
        steps = (
            ("features", lambda images: DetectorState(images, self.features(images))),
            ("propose", lambda s: s._replace(references=self.propose(s.maps, s.images))),
            ("refine", lambda s: s._replace(predictions=self.refine(s.maps, s.references, s.images))),
            ("select", lambda s: s._replace(detections=self.select(s.predictions, s.references, s.images))),
            ("masks", lambda s: self.masks(s.maps, s.detections, s.images)),
        )
        if self.mask_head is not None:
            return steps
        return (*steps[:3], ("select", lambda s: self.select(s.predictions, s.references, s.images)))

    def features(self, images: Images) -> Maps:
        """RGB uint8 [B, 3, H, W] -> the neck's maps."""
        return self.maps(self.values(images))

    def values(self, images: Images) -> Tensor:
        """RGB uint8 [B, 3, H, W] -> normalized, in the network's precision. Outside its image a canvas is 0."""
        return normalized(images, self.mean, self.deviation).to(next(self.parameters()).dtype)

    def maps(self, values: Tensor) -> Maps:
        """Normalized pixels -> the neck's maps."""
        maps = self.backbone.trunk(values)
        return self.neck(maps) if self.neck else maps

    def anchors(self, maps: Maps, images: Images) -> References:
        """The references of the first stage, not clipped."""
        return self.spec.anchors(maps, canvas(images))

    def propose(self, maps: Maps, images: Images) -> References:
        """The references of the last stage: anchors, or the boxes that the stages before it selected in turn."""
        references = clip_anchors(self.spec.stages[0], self.anchors(maps, images), images.sizes)
        for index in range(len(self.heads) - 1):
            predictions = self._refine(index, maps, references, images)
            references = proposals(self._select(index, predictions, references, images))
        return references

    def refine(self, maps: Maps, references: References, images: Images) -> Predictions:
        """The last stage's predictions for every reference."""
        return self._refine(len(self.heads) - 1, maps, references, images)

    def select(self, predictions: Predictions, references: References, images: Images) -> Detections:
        """Decode, score and suppress the last stage's predictions."""
        return self._select(len(self.heads) - 1, predictions, references, images)

    def masks(self, maps: Maps, detections: Detections, images: Images) -> Detections:
        """Adds to each final box the mask of its class, in 0..1. Unchanged if the detector has no masks."""
        if self.mask_head is None:
            return detections
        logits = self.mask_head(maps, detections.boxes, detections.labels, canvas(images), self.backbone.tail)
        return detections._replace(masks=logits.float().sigmoid())

    def loss(
        self, images: Images, targets: Targets, *, noise: Tensor, divisor: Normalizer = local_normalizer
    ) -> dict[str, Tensor]:
        """One scalar per term, named `stage1/box` and so on.

        `noise` [B, N], uniform in 0..1, decides every random sample; N is the largest number of references of a stage.
        `divisor` normalizes counts over a batch: not by this batch alone if several processes share it.
        Raises ValueError if a stage has no matcher, sampler or losses.
        """
        maps = self.features(images)
        references = self.anchors(maps, images)
        terms: dict[str, Tensor] = {}
        for index, stage in enumerate(self.spec.stages):
            truth = self._truth(index, targets)
            early = sample_regions(stage, references, truth, images.sizes, noise) if index else None
            seen = scale_gradient(maps, stage.map_gradient)
            predictions = self._predict(index, seen, early.references if early else references, images)
            sample = early or mine_all(stage, predictions, references, truth, images.sizes, noise)
            values = stage_loss(stage, predictions, sample, truth, divisor)
            terms |= {f"stage{index + 1}/{name}": value for name, value in values.items()}
            if index < len(self.heads) - 1:
                references = self._propose_to_learn(index, predictions, sample, targets, images)
        return terms | self._mask_loss(maps, sample, targets, images, divisor)

    def _truth(self, index: int, targets: Targets) -> Targets:
        """What a stage learns: the first of several has one class, objects."""
        if index or len(self.heads) == 1:
            return targets
        return targets._replace(labels=torch.zeros_like(targets.labels))

    def _propose_to_learn(
        self, index: int, predictions: Predictions, sample: "SampledTargets", targets: Targets, images: Images
    ) -> References:
        """What the next stage learns from: the selection from all anchors, or from the regions sampled here."""
        rejoin = self.spec.stages[index + 1].append_targets
        refs = sampled_only(sample, targets, rejoin) if index else sample.references
        selected = proposals(select_to_learn(self.spec.stages[index], predictions, refs, images.sizes))
        return append(selected, targets) if rejoin else selected

    def _mask_loss(
        self, maps: Maps, sample: "SampledTargets", targets: Targets, images: Images, divisor: Normalizer
    ) -> dict[str, Tensor]:
        if self.mask_head is None:
            return {}
        loss = self.spec.masks.loss if self.spec.masks else None
        if loss is None:
            raise ValueError("masks: loss is needed to train, this detector has none")
        crops = loss.sample(sample.references, targets, sample.assignment, sample.weight)
        logits = self.mask_head(maps, crops.boxes, crops.labels, canvas(images), self.backbone.tail)
        return {f"masks/{name}": value for name, value in loss(logits, crops, targets, divisor).items()}

    def _predict(self, index: int, maps: Maps, references: References, images: Images) -> Predictions:
        """What the stage's head predicts."""
        head = self.heads[index]
        if index == 0:
            return head(maps)
        return head(maps, references, canvas(images), self.backbone.tail)

    def _refine(self, index: int, maps: Maps, references: References, images: Images) -> Predictions:
        """As `_predict`, with the logits of every head that scores the stage at test (`StageSpec.scored_by`)."""
        if self.spec.stages[index].scored_by == "head":
            return self._predict(index, maps, references, images)
        heads: list[Any] = [self.heads[i] for i in range(1, index + 1)]
        crops = heads[-1].crop(maps, references.boxes, canvas(images))
        outputs = [head.predict(crops, references, self.backbone.tail) for head in heads]
        return outputs[-1]._replace(logits=torch.stack([output.logits for output in outputs], 2))

    def _select(self, index: int, predictions: Predictions, references: References, images: Images) -> Detections:
        return select_detections(self.spec.stages[index], predictions, references, images.sizes, proposed=index > 0)


def build(spec: DetectorSpec, seed: int = 0) -> Detector:
    """A detector with seeded random weights, in inference mode; the caller's random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Detector(spec).eval()


def canvas(images: Images) -> tuple[int, int]:
    """Height and width of the batch's canvas, px, as static integers."""
    return images.pixels.shape[-2], images.pixels.shape[-1]


def normalized(images: Images, mean: Tensor, deviation: Tensor) -> Tensor:
    """Pixels in float32, 0 outside their image; mean and deviation are [1, 3, 1, 1]."""
    return (images.pixels.float() - mean) / deviation * inside(images)


def inside(images: Images) -> Tensor:
    """[B, 1, H, W] bool: True where a canvas holds its image."""
    rows, columns = (torch.arange(side, device=images.sizes.device) for side in canvas(images))
    height, width = images.sizes[:, :, None].unbind(1)
    return ((rows < height)[:, :, None] & (columns < width)[:, None])[:, None]


def scale_gradient(maps: Maps, factor: float) -> Maps:
    """The same values, through which gradients are multiplied by `factor`."""
    if factor == 1:
        return maps
    return tuple(values.detach() + factor * (values - values.detach()) for values in maps)


def select_detections(
    stage: StageSpec, predictions: Predictions, references: References, sizes: Tensor, *, proposed: bool
) -> Detections:
    """Decodes, scores and suppresses. References that an earlier stage `proposed` may be empty and select nothing."""
    boxes, scores = decoded(stage, predictions, references, proposed=proposed)
    return stage.select(boxes, scores, references.counts, sizes)


def decoded(
    stage: StageSpec, predictions: Predictions, references: References, *, proposed: bool
) -> tuple[Tensor, Tensor]:
    """Boxes and scores of all references, from which `StageSpec.select` takes its detections."""
    boxes, scores = stage.coder.decode(predictions.codes, references), stage_scores(stage, predictions)
    if proposed or stage.boundary_anchors == "clipped":
        scores = without_empty(scores, references)
    return boxes, scores


def stage_scores(stage: StageSpec, predictions: Predictions) -> Tensor:
    """Scores [B, N, K] from the logits of one head, or the mean of the scores of several."""
    scores = stage.scores(predictions.logits)
    return scores.mean(2) if scores.dim() == 4 else scores


def without_empty(scores: Tensor, references: References) -> Tensor:
    """Scores with -inf for references without area (empty slots, anchors clipped away), so that none suppresses."""
    return scores.masked_fill((area(references.boxes) <= 0)[..., None], -math.inf)


def clip_anchors(stage: StageSpec, anchors: References, sizes: Tensor) -> References:
    """Anchors as the stage decodes them at test: unchanged, or clipped to each image (`StageSpec.boundary_anchors`)."""
    return anchors if stage.boundary_anchors == "kept" else anchors._replace(boxes=clip(anchors.boxes[None], sizes))


def select_to_learn(stage: StageSpec, predictions: Predictions, refs: References, sizes: Tensor) -> Detections:
    """The boxes that a stage selects in training.

    References without area select nothing, nor do anchors across the border if the stage clips them at test.
    """
    boxes, scores = stage.coder.decode(predictions.codes, refs), without_empty(stage.scores(predictions.logits), refs)
    if stage.boundary_anchors == "clipped":
        scores = scores.masked_fill(~contained(refs.boxes, sizes)[..., None], -math.inf)
    return (stage.train_select or stage.select)(boxes, scores, refs.counts, sizes)


def proposals(selected: Detections) -> References:
    """Selected boxes as references of the next stage, without gradient (Huang et al. section 2.1.2)."""
    return regions(selected.boxes.detach())


def append(references: References, targets: Targets) -> References:
    """Proposals, then ground truth as Detectron trains; crowds and padding are appended without area."""
    usable = targets.valid & ~targets.crowd
    return regions(torch.cat([references.boxes, targets.boxes * usable[..., None]], 1))


def regions(boxes: Tensor) -> References:
    """Boxes [B, N, 4] that belong to no grid."""
    return References(boxes, torch.ones_like(boxes[0, :, :1]), (boxes.shape[1],))


class SampledTargets(NamedTuple):
    """The references a stage learns from, their truths and their weights in the loss."""

    references: References
    assignment: Assignment
    weight: Tensor  # [B, N]


def sample_regions(
    stage: StageSpec, refs: References, targets: Targets, sizes: Tensor, noise: Tensor
) -> SampledTargets | None:
    """At most `sampler.size` regions, sampled before anything is predicted; unused slots have weight 0.

    None if all regions must be predicted first: if the sampler mines or has no size, or the loss counts regions that
    were not sampled.
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
    """All references, matched, and weighted by the sampler, which may mine by the loss of their predictions."""
    matcher, sampler, losses = needed(stage)
    with torch.no_grad():
        decoded = stage.coder.decode(predictions.codes, refs)
        flat = refs.boxes.expand(len(decoded), -1, 4) if decoded.dim() == 4 else decoded  # not a box of any one class
        assignment = matcher(refs, targets, flat, sizes)
        key = noise[:, : flat.shape[1]]
        cost = losses.cost(predictions, refs, targets, assignment) if sampler.mines else torch.zeros_like(key)
    return SampledTargets(refs, assignment, sampler(assignment, cost, flat, key))


def sampled_only(sample: SampledTargets, targets: Targets, rejoin: bool) -> References:
    """The regions a stage learned from; all others lose their area, and with `rejoin` those that are ground truth too.

    `rejoin` is for a next stage to which ground truth is appended again.
    """
    taken = sample.weight > 0
    if rejoin:
        taken &= (sample.references.boxes != truths(targets, sample.assignment)[0]).any(-1)
    return sample.references._replace(boxes=sample.references.boxes.masked_fill(~taken[..., None], 0))


def stage_loss(
    stage: StageSpec,
    predictions: Predictions,
    sample: SampledTargets,
    targets: Targets,
    divisor: Normalizer = local_normalizer,
) -> dict[str, Tensor]:
    """The terms of a stage's loss."""
    _, _, losses = needed(stage)
    refs, assignment, weight = sample
    decoded = stage.coder.decode(predictions.codes, refs)
    return losses(predictions, refs, decoded, targets, assignment, weight, divisor)


def needed(stage: StageSpec) -> tuple[Matcher, Sampler, Loss]:
    """What a stage is trained with. Raises ValueError if any of it is missing."""
    if stage.matcher is None or stage.sampler is None or stage.losses is None:
        raise ValueError("stage: matcher, sampler and losses are needed to train, this stage has none")
    return stage.matcher, stage.sampler, stage.losses
