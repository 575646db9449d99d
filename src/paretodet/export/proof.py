"""The proof that an artifact detects what the detector in eager PyTorch and float32 detects, and by which rule."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from torch import Tensor

from paretodet.bench.accuracy import CocoResults, category_ids, collect_results, detect_image, label_names
from paretodet.bench.candidate import Candidate, Image
from paretodet.errors import WithId
from paretodet.evaluation.coco import score
from paretodet.evaluation.ground_truth import GroundTruth
from paretodet.evaluation.resampling import Ratio, ap_ratios
from paretodet.export.parity import AGREED_FROM, CLOSE, Boxes, Comparison, Tolerance, add_image, boxes_of, detected
from paretodet.labels.model import ImageEntry
from paretodet.schema import Count, Finite
from paretodet.types import Detections

Verdict = Literal["passed", "failed", "undecided"]
Criterion = Literal["equal", "ap-ratio", "agreement"]

EXACT = "fp32"  # the precision whose detections must be equal
MIN_RATIO = {"all": 0.97, "small": 0.95}  # of the APs: the least lower bound
MIN_BOXES = 500  # objects that the labels need for a verdict on the AP
MIN_AGREEMENT = 0.95
MIN_COMPARED = 50  # boxes that a verdict on the agreement needs
SIDE = 480, 640  # of the images without objects, px
EMPTY = ("a blank image", "an image of noise")


@dataclass(frozen=True, kw_only=True)
class SizeRatio:
    """The AP of the artifact as a share of float32's, with a lower and an upper bound of 95 % each."""

    ratio: Finite
    lower: Finite
    upper: Finite


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared, the differences, and the verdict."""

    verdict: Verdict
    criterion: Criterion  # "equal": no box lost and all differences small; "ap-ratio" and "agreement": other precisions
    reason: str  # one sentence
    precision: str
    runtime: str
    images: Count  # with those without objects; once for each of `sizes`
    source: str  # what the images are called
    images_sha256: str | None  # over their pixels; None of labeled images
    detections: Count  # of float32
    missing: Count  # of float32 alone
    extra: Count  # of the artifact alone
    at_cutoff: Count  # without a counterpart, at the score where a list of detections ends
    by_rounding: Count = 0  # without one, that float32 itself gains or loses if its weights are rounded otherwise
    max_box: Finite  # largest difference of a side of matched boxes, as a share of the longer side of the image
    max_score: Finite
    max_mask: Finite | None = None
    agreement: Finite | None = None  # share of boxes of a score from 0.3 that agree at an IoU of 0.75
    mask_agreement: Finite | None = None  # share of the masks of such boxes that agree at that IoU
    labels: str | None = None  # what the labels are called
    labels_sha256: str | None = None
    boxes: Count | None = None  # labeled objects
    ap: Finite | None = None  # of the artifact, percent
    ap50: Finite | None = None
    fp32_ap: Finite | None = None
    sizes: tuple[str, ...] = ()  # of the canvases, if the artifact takes any; an AP is of the first
    ratios: dict[str, SizeRatio] = field(default_factory=dict)  # by size: all, small, medium, large


class ParityError(WithId, RuntimeError):
    """An artifact that does not detect what it should. `proof` has the numbers."""

    def __init__(self, message: str, proof: Proof) -> None:
        super().__init__(message, "parity-failed")
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.proof)


class ProofImages(NamedTuple):
    """Images, a name for each, what they are called together, and the SHA-256 over their pixels."""

    images: Sequence[Image]
    names: tuple[str, ...]
    source: str
    sha256: str


@dataclass(kw_only=True)
class Pair:
    """A detector in eager PyTorch and float32, and its artifact under the runtime that will run it."""

    reference: Candidate
    artifact: Candidate
    precision: str  # of the artifact, as it is executed
    runtime: str
    batch: int = 1  # images a call of the artifact
    threshold: float | None = None  # detections that score no more are dropped
    threshold_last: float | None = None  # a lower one, of the last level
    is_trained: bool = True
    tolerance: Tolerance = Tolerance()
    rounded: Callable[[Image], Sequence[Boxes]] = lambda image: ()  # see `parity.add_image`
    others: "Sequence[Pair]" = ()  # the same two on canvases of other sizes
    sizes: tuple[str, ...] = ()  # of all their canvases, if there are several


def prove(
    pair: Pair,
    images: ProofImages,
    labels: GroundTruth | None = None,
    *,
    on_image: Callable[[int], None] = lambda done: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> tuple[Proof, Comparison]:
    """Compares both candidates on `images`, or on those of `labels`, and on two images without objects; those of other
    sizes on `images` and these two.

    In float32 every detection must have its equal. In other precisions the AP on labels must keep its size; without
    labels or without trained weights, the boxes must agree with float32's own. `notify` receives a sentence for every
    labeled image that is left out. Raises ValueError as `bench.accuracy` does for labels that the candidates cannot be
    scored on.
    """
    comparison = Comparison()
    scored = _compare_labeled(comparison, pair, labels, on_image, notify) if labels else None
    for each in (pair, *pair.others):
        shown = _with_empty(images, alone=labels is not None and each is pair)
        for names, batch in _batches(shown, each.batch):
            on_image(comparison.images)
            first, second = (detected(candidate, batch) for candidate in (each.reference, each.artifact))
            for index, image in enumerate(batch):
                _add(comparison, each, (boxes_of(first, index), boxes_of(second, index)), image, names[index])
    return _proof(pair, comparison, images, labels, scored), comparison


def _compare_labeled(
    comparison: Comparison,
    pair: Pair,
    labels: GroundTruth,
    on_image: Callable[[int], None],
    notify: Callable[[str], None],
) -> "_Scored":
    """Compares both on the images of the labels, one at a time, and scores both."""
    truth = labels.labels
    ids = category_ids(label_names(pair.reference, None), truth.categories)
    recorders = _Recorder(pair.reference), _Recorder(pair.artifact)
    rows = list[dict[str, Any]]()

    def detect(image: ImageEntry) -> list[dict[str, Any]] | str:
        first, second = (detect_image(each, image, ids) for each in recorders)
        if isinstance(first, str) or isinstance(second, str):
            return str(first)
        rows.extend(second)
        _add(comparison, pair, (recorders[0].boxes, recorders[1].boxes), recorders[0].image, image.name)
        return first

    results = collect_results(truth, detect, on_image=on_image)
    for reason in (*labels.skipped, *results.skipped):
        notify(f"Skipped: {reason}.")
    return _Scored.of(results, rows)


class _Recorder:
    """A candidate that keeps its last image and the boxes in it."""

    image: Image
    boxes: Boxes

    def __init__(self, candidate: Candidate) -> None:
        self.candidate, self.name = candidate, candidate.name

    def prepare(self, images: Sequence[Image]) -> Any:
        (self.image,) = images
        return self.candidate.prepare(images)

    def infer(self, batch: Any) -> Any:
        return self.candidate.infer(batch)

    def finish(self, outputs: Any, sizes: Tensor) -> Detections:
        detections = self.candidate.finish(outputs, sizes)
        self.boxes = boxes_of(detections, 0)
        return detections


class _Scored(NamedTuple):
    """AP and AP50 in percent, and the ratios by size."""

    boxes: int
    ap: float | None
    ap50: float | None
    fp32_ap: float | None
    ratios: dict[str, Ratio]

    @classmethod
    def of(cls, reference: CocoResults, rows: list[dict[str, Any]]) -> "_Scored":
        truth = reference.truth
        whole, before = score(truth, rows), score(truth, reference.rows)
        count = int((~truth.crowd).sum())
        return cls(count, whole.ap, whole.ap50, before.ap, ap_ratios(truth, reference.rows, rows))


def _add(comparison: Comparison, pair: Pair, boxes: tuple[Boxes, Boxes], image: Image, name: str) -> None:
    options: dict[str, Any] = {each: getattr(pair, each) for each in ("tolerance", "threshold", "threshold_last")}
    if pair.precision == EXACT:
        options["rounded"] = partial(pair.rounded, image)
    options["shown"] = pair.precision == EXACT or name not in EMPTY  # a gray image uses a little of an integer's range
    add_image(comparison, *boxes, image=image, name=name, **options)


def _with_empty(images: ProofImages, *, alone: bool) -> Iterator[tuple[str, Image]]:
    """The images, unless labeled ones were compared in their place, then one of one color and one of noise."""
    if not alone:
        yield from zip(images.names, images.images, strict=True)
    height, width = SIDE
    yield EMPTY[0], np.full((height, width, 3), 128, np.uint8)
    yield EMPTY[1], np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _batches(images: Iterable[tuple[str, Image]], size: int) -> Iterator[tuple[tuple[str, ...], tuple[Image, ...]]]:
    """Names and images of every batch, one batch at a time."""
    rows = iter(images)
    while batch := list(islice(rows, size)):
        names, pixels = zip(*batch, strict=True)
        yield names, pixels


def _proof(
    pair: Pair, comparison: Comparison, images: ProofImages, labels: GroundTruth | None, scored: _Scored | None
) -> Proof:
    criterion, verdict, reason = _decide(pair, comparison, scored)
    known = {} if scored is None or labels is None else _labeled(labels, scored)
    return Proof(
        verdict=verdict,
        criterion=criterion,
        reason=reason,
        precision=pair.precision,
        runtime=pair.runtime,
        images=comparison.images,
        sizes=pair.sizes,
        source=labels.name if labels else images.source,
        images_sha256=None if labels else images.sha256,
        detections=comparison.detections,
        missing=len(comparison.missing),
        extra=len(comparison.extra),
        at_cutoff=comparison.at_cutoff,
        by_rounding=comparison.by_rounding,
        max_box=comparison.box,
        max_score=comparison.score,
        max_mask=comparison.mask,
        agreement=comparison.agreement,
        mask_agreement=comparison.mask_agreement,
        **known,
    )


def _labeled(labels: GroundTruth, scored: _Scored) -> dict[str, Any]:
    ratios = {
        size: SizeRatio(ratio=each.ratio, lower=each.lower, upper=each.upper)
        for size, each in scored.ratios.items()
        if each.ratio is not None and each.lower is not None and each.upper is not None
    }
    return {
        "labels": labels.name,
        "labels_sha256": labels.sha256,
        "boxes": scored.boxes,
        "ap": scored.ap,
        "ap50": scored.ap50,
        "fp32_ap": scored.fp32_ap,
        "ratios": ratios,
    }


def _decide(pair: Pair, comparison: Comparison, scored: _Scored | None) -> tuple[Criterion, Verdict, str]:
    if pair.precision == EXACT:
        return "equal", *_equality(comparison, pair.tolerance)
    labeled = scored if scored is not None and pair.is_trained and scored.fp32_ap else None
    criterion: Criterion = "ap-ratio" if labeled else "agreement"
    if pair.is_trained and (why := _masks_lost(comparison)):
        return criterion, "failed", why
    if labeled and pair.others and (agreed := _agreement(comparison))[0] != "passed":
        return "agreement", *agreed  # the AP is of one size
    return criterion, *(_ap_kept(labeled) if labeled else _agreement(comparison))


def _masks_lost(comparison: Comparison) -> str | None:
    """Why the masks are not float32's; None if they are, or too few are compared."""
    count, share = comparison.masks_compared, comparison.mask_agreement
    if share is None or count < MIN_COMPARED or share >= MIN_AGREEMENT:
        return None
    return f"{share:.1%} of {count} masks agree with float32's at an IoU of {CLOSE}, {MIN_AGREEMENT:.0%} are needed"


def _equality(comparison: Comparison, tolerance: Tolerance) -> tuple[Verdict, str]:
    if comparison.is_equal(tolerance) and not comparison.detections:
        return "undecided", "nothing is detected in these images; give some with objects (--images or --data)"
    if comparison.is_equal(tolerance) and 2 * comparison.equal < comparison.detections:
        words = f"{comparison.at_cutoff} detections score as much as the last one of a full list"
        return "undecided", f"{words}, and any of them may be in it; give trained weights"
    if comparison.is_equal(tolerance):
        equal = f"all {comparison.detections} detections of eager float32 have their equal"
        rounded = f", but for {comparison.by_rounding} that change with its own rounding"
        return "passed", f"{equal}{rounded if comparison.by_rounding else ''}"
    lost = f"{len(comparison.missing)} detections are missing and {len(comparison.extra)} are extra"
    apart = f"the largest differences are {comparison.score:.2g} of a score and {comparison.box:.2%} of an image's side"
    masks = "" if comparison.mask is None else f" and {comparison.mask:.2g} of a mask"
    return "failed", f"{lost}, {apart}{masks}, most in {comparison.worst}"


def _ap_kept(scored: _Scored) -> tuple[Verdict, str]:
    """By the bounds of the ratios: certainly kept, certainly not kept, or open."""
    open_sizes = list[str]()
    for size, least in MIN_RATIO.items():
        ratio = scored.ratios[size]
        if ratio.ratio is None or ratio.lower is None or ratio.upper is None:
            continue
        bounds = f"the AP of {size} objects is {ratio.ratio:.1%} of float32's ({ratio.lower:.1%} to {ratio.upper:.1%})"
        if ratio.upper < least:
            return "failed", f"{bounds}, at least {least:.0%} are needed"
        if ratio.lower < least:
            open_sizes.append(f"{bounds}, and a lower bound of {least:.0%} is needed")
    if scored.boxes < MIN_BOXES:
        open_sizes.append(f"the labels have {scored.boxes} objects, and {MIN_BOXES} are needed")
    if open_sizes:
        return "undecided", f"{open_sizes[0]}; give more labeled images"
    return (
        "passed",
        f"the AP is {scored.ratios['all'].ratio:.1%} of float32's, at least {scored.ratios['all'].lower:.1%}",
    )


def _agreement(comparison: Comparison) -> tuple[Verdict, str]:
    share = comparison.agreement
    if share is None or comparison.compared < MIN_COMPARED:
        few = f"{comparison.compared} boxes score at least {AGREED_FROM}, and {MIN_COMPARED} are needed"
        return "undecided", f"{few}; give trained weights, and labeled images (--data)"
    words = f"{share:.1%} of {comparison.compared} boxes agree with float32's at an IoU of {CLOSE}"
    if share >= MIN_AGREEMENT:
        return "passed", words
    return "failed", f"{words}, {MIN_AGREEMENT:.0%} are needed"
