"""Matcher, sampler and loss of every family together: bad ground truths, determinism, and optional terms."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.ops.geometry import giou, iou
from paretodet.rules.anchors import CellPriors
from paretodet.rules.coders import CellCoder, DeltaCoder
from paretodet.rules.losses import (
    BoxLoss,
    FocalScore,
    Overlap,
    PerPositive,
    PerSample,
    SigmoidBackgroundScore,
    SoftmaxScore,
    YoloV2Loss,
    YoloV3Loss,
)
from paretodet.rules.matchers import ArgmaxMatcher, TieMatcher, YoloMatcher
from paretodet.rules.samplers import AllSampler, BalancedSampler, HardNegativeMiner, OnlineHardSampler
from paretodet.types import Assignment, Predictions, Targets

K = 3
GRID = CellPriors(priors=(((40, 40), (60, 20)), ((10, 10), (8, 20))))(
    (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 4, 4)), (64, 64)
)
N = len(GRID.boxes)
SIZES = torch.tensor([[64.0, 64.0]] * 2)
BARE = DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0))
ARGMAX = ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True)
FAMILIES = {  # matcher, sampler, loss, logits beside K
    "ssd": (
        ARGMAX,
        HardNegativeMiner(overlap=0.99),
        BoxLoss(score=SigmoidBackgroundScore(), normalizer=PerPositive()),
        1,
    ),
    "liu": (ARGMAX, HardNegativeMiner(), BoxLoss(score=SoftmaxScore(), normalizer=PerPositive()), 1),
    "retinanet": (
        TieMatcher(positive=0.5, negative=0.4, floor=0.4),
        AllSampler(),
        BoxLoss(score=FocalScore(), normalizer=PerPositive(extra=1), beta=0.11, coder=BARE),
        0,
    ),
    "ren": (
        TieMatcher(positive=0.7, negative=0.3, inside_only=True),
        BalancedSampler(size=16, positive_fraction=0.5),
        BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), beta=1 / 9, coder=BARE),
        1,
    ),
    "ohem": (
        ArgmaxMatcher(positive=0.5, negative=0.5),
        OnlineHardSampler(size=12),
        BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), mined="both", overlap=Overlap()),
        1,
    ),
    "giou": (
        ARGMAX,
        AllSampler(),
        BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), overlap=Overlap(kind="giou")),
        1,
    ),
    "yolo_v2": (YoloMatcher(ignore=0.6), AllSampler(), YoloV2Loss(), 1),
    "yolo_v2_early": (YoloMatcher(ignore=0.6), AllSampler(), YoloV2Loss().early(), 1),
    "yolo_v3": (YoloMatcher(ignore=0.7), AllSampler(), YoloV3Loss(), 1),
}
EACH = pytest.mark.parametrize("family", FAMILIES)


def predict(family, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(2, N, 4, generator=generator) * scale
    logits = torch.randn(2, N, K + FAMILIES[family][3], generator=generator)
    return Predictions(codes.requires_grad_(), logits.requires_grad_())


def shown(boxes, *, valid=None, crowd=None):
    """The same boxes [G, 4] for both images, labels 0, 1, 2, 0, ..."""
    boxes = torch.as_tensor(boxes, dtype=torch.float32).expand(2, -1, 4)
    labels = (torch.arange(boxes.shape[1]) % K).expand(2, -1)
    marks = [
        torch.as_tensor(m if m is not None else d).expand(labels.shape) for m, d in ((valid, True), (crowd, False))
    ]
    return Targets(boxes, labels, *marks)


def loss_and_gradients(family, predictions, targets, loss=None):
    """Terms and the gradients of their sum."""
    matcher, sampler, own, _ = FAMILIES[family]
    loss = loss or own
    noise = torch.rand(2, N, generator=torch.Generator().manual_seed(9))
    decoded = loss.coder.decode(predictions.codes, GRID)
    assignment = matcher(GRID, targets, decoded.detach(), SIZES)
    cost = loss.cost(predictions, GRID, targets, assignment).detach()
    weight = sampler(assignment, cost, decoded.detach(), noise)
    terms = loss(predictions, GRID, decoded, targets, assignment, weight)
    return (
        terms,
        torch.autograd.grad(sum(terms.values()), predictions, allow_unused=True, retain_graph=True),
        assignment,
    )


TRUTHS = [[4.0, 4.0, 40.0, 44.0], [30.0, 30.0, 62.0, 50.0], [8.0, 40.0, 16.0, 60.0]]
side = st.floats(-300, 300, width=32)


@EACH
@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(side, side, side, side), min_size=1, max_size=4), st.integers(0, 9), st.sampled_from([1, 30]))
def test_any_boxes_give_finite_terms_and_gradients(family, boxes, seed, scale):
    """Inside out, without area, outside the canvas, larger than it; predictions that overflow."""
    predictions = predict(family, seed, 1.0)
    if scale > 1:
        predictions = Predictions((predictions.codes.detach() * scale).requires_grad_(), predictions.logits)
    terms, gradients, _ = loss_and_gradients(family, predictions, shown(boxes))
    assert all(t.isfinite() and t >= 0 for t in terms.values())
    assert all(g is None or g.isfinite().all() for g in gradients)


@EACH
@pytest.mark.parametrize(
    "extra",
    [
        {"valid": [True, True, True, False], "crowd": [False] * 4},
        {"valid": [True] * 4, "crowd": [False, False, False, True]},
    ],
    ids=["padding", "crowd"],
)
@pytest.mark.parametrize("box", [[0.0, 0.0, 0.0, 0.0], [6.0, 6.0, 44.0, 40.0], [50.0, 9.0, 20.0, 3.0]])
def test_padding_and_crowds_change_nothing(family, extra, box):
    plain = loss_and_gradients(family, predictions := predict(family), shown(TRUTHS))
    padded = loss_and_gradients(family, predictions, shown([*TRUTHS, box], **extra))
    assert all(torch.equal(padded[0][name], value) for name, value in plain[0].items())
    assert all(torch.equal(a, b) for a, b in zip(plain[1], padded[1], strict=True) if a is not None)


@EACH
def test_a_ground_truth_without_area_is_never_assigned(family):
    _, _, assignment = loss_and_gradients(family, predict(family), shown([[5.0, 5.0, 5.0, 30.0], [9.0, 9.0, 4.0, 4.0]]))
    assert not assignment.positive.any()


@EACH
def test_every_operation_has_a_deterministic_form(family):
    torch.use_deterministic_algorithms(True)
    try:
        first = loss_and_gradients(family, predict(family), shown(TRUTHS))
        again = loss_and_gradients(family, predict(family), shown(TRUTHS))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first[0].values(), again[0].values(), strict=True))
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(first[1], again[1], strict=True))


@EACH
def test_no_graph_break(family):
    predictions, targets = predict(family), shown(TRUTHS)

    def terms(codes, logits):
        return {name: t.detach() for name, t in forward(family, Predictions(codes, logits), targets).items()}

    torch.compiler.reset()
    compiled = torch.compile(terms, fullgraph=True, backend="eager")
    for name, value in compiled(*predictions).items():
        torch.testing.assert_close(value, terms(*predictions)[name])


def forward(family, predictions, targets):
    matcher, sampler, loss, _ = FAMILIES[family]
    decoded = loss.coder.decode(predictions.codes, GRID)
    assignment = matcher(GRID, targets, decoded, SIZES)
    cost = loss.cost(predictions, GRID, targets, assignment)
    weight = sampler(assignment, cost, decoded, torch.linspace(0, 1, 2 * N).view(2, N))
    return loss(predictions, GRID, decoded, targets, assignment, weight)


@pytest.mark.parametrize(("kind", "apart"), [("iou", 1.0), ("giou", 1 + (900 - 200) / 900)])
def test_overlap_term_by_hand(kind, apart):
    wanted = torch.tensor([[[0.0, 0.0, 10.0, 10.0]] * 3])
    found = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0]]])
    half = 1 - 50 / 150
    assert Overlap(kind=kind)(found, wanted)[0].tolist() == pytest.approx([0.0, half, apart])
    assert Overlap(kind=kind, weight=2.5)(found, wanted)[0, 1] == pytest.approx(2.5 * half)


@pytest.mark.parametrize("kind", ["iou", "giou"])
def test_overlap_counts_decoded_boxes_of_positives_only(kind):
    loss = replace(FAMILIES["liu"][2], overlap=Overlap(kind=kind))
    predictions, targets = predict("liu"), shown(TRUTHS)
    terms, _, assignment = loss_and_gradients("liu", predictions, targets, loss)
    decoded, positive = loss.coder.decode(predictions.codes, GRID), assignment.positive
    wanted = targets.boxes.gather(1, assignment.truth[..., None].expand(-1, -1, 4))
    pairs = zip(decoded[positive], wanted[positive], strict=True)
    alike = [giou(a, b) if kind == "giou" else iou(a[None], b[None])[0, 0] for a, b in pairs]
    torch.testing.assert_close(terms["overlap"], sum(1 - x for x in alike) / positive.sum())
    plain = loss_and_gradients("liu", predictions, targets)[0]
    assert set(terms) == {*plain, "overlap"} and all(torch.equal(terms[n], t) for n, t in plain.items())


def test_following_the_overlap_gradient_raises_overlap():
    loss = replace(FAMILIES["liu"][2], overlap=Overlap())
    predictions, targets = predict("liu", scale=0.3), shown(TRUTHS)
    terms, _, _ = loss_and_gradients("liu", predictions, targets, loss)
    (slope,) = torch.autograd.grad(terms["overlap"], predictions.codes)
    moved = predictions._replace(codes=(predictions.codes - 0.05 * slope / slope.norm()).detach().requires_grad_())
    assert loss_and_gradients("liu", moved, targets, loss)[0]["overlap"] < terms["overlap"]


def test_boxes_are_mined_with_their_overlap():
    plain, more = (replace(FAMILIES["ohem"][2], overlap=o) for o in (None, Overlap()))
    predictions, targets = predict("ohem"), shown(TRUTHS)
    _, _, assignment = loss_and_gradients("ohem", predictions, targets)
    extra = more.cost(predictions, GRID, targets, assignment) - plain.cost(predictions, GRID, targets, assignment)
    assert (extra[assignment.positive] > 0).all() and not extra[~assignment.positive].any()


@pytest.mark.parametrize("seed", range(3))
def test_early_pull_is_darknets_delta(seed):
    """For the first 12,800 images delta_region_box runs with scale 0.01 for every box against its prior; boxes of
    ground truths are then overwritten. Its deltas: scale (0.5 - s) s (1 - s) on places, -scale t on log sizes.
    """
    predictions, targets = predict("yolo_v2", seed), shown(TRUTHS)
    late, early = (loss_and_gradients(f, predictions, targets) for f in ("yolo_v2", "yolo_v2_early"))
    place = predictions.codes[..., :2].sigmoid()
    delta = torch.cat([(0.5 - place) * place * (1 - place), -predictions.codes[..., 2:]], -1) * 0.01
    want = delta.masked_fill(late[2].positive[..., None], 0)
    torch.testing.assert_close((late[1][0] - early[1][0]) * 2, want, atol=1e-6, rtol=1e-4)  # times the two images
    assert set(early[0]) == {*late[0], "pull"}


def test_ignored_boxes_are_pulled_too():
    loss = YoloV2Loss().early()
    predictions, targets = predict("yolo_v2"), shown(TRUTHS)
    nobody = torch.zeros(2, N, dtype=torch.bool)
    ignored = Assignment(torch.zeros(2, N, dtype=torch.int64), nobody, nobody)
    decoded = CellCoder().decode(predictions.codes, GRID)
    terms = loss(predictions, GRID, decoded, targets, ignored, torch.zeros(2, N))
    assert terms["pull"] > 0 and terms["object"] == 0


def test_an_unknown_overlap_is_named():
    with pytest.raises(ValueError, match="kind: got 'ciou'"):
        Overlap(kind="ciou")
