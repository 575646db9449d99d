import math

import pytest
import torch
import torch.nn.functional as F

from paretodet.ops.geometry import iou
from paretodet.rules.anchors import CellPriors
from paretodet.rules.coders import CellCoder, DeltaCoder
from paretodet.rules.losses import (
    BoxLoss,
    FocalScore,
    PerBatchSample,
    PerImage,
    PerImagePositive,
    PerPositive,
    PerReference,
    PerSample,
    SigmoidBackgroundScore,
    SigmoidScore,
    SoftmaxScore,
    YoloV2Loss,
    YoloV3Loss,
    local_normalizer,
)
from paretodet.rules.matchers import ArgmaxMatcher, YoloMatcher
from paretodet.rules.samplers import AllSampler
from paretodet.types import Assignment, Predictions, Targets

K = 4
GRID = CellPriors(priors=(((40, 40), (60, 20)), ((10, 10), (8, 20))))(
    (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 4, 4)), (64, 64)
)
N = len(GRID.boxes)
SIZES = torch.tensor([[64.0, 64.0]] * 2)
SSD = BoxLoss(score=SigmoidBackgroundScore(), normalizer=PerPositive())
LIU = BoxLoss(score=SoftmaxScore(), normalizer=PerPositive())
HUANG = BoxLoss(score=SoftmaxScore(), normalizer=PerSample(), box_weight=2.0)
RETINA = BoxLoss(
    score=FocalScore(), normalizer=PerPositive(extra=1), beta=0.11, coder=DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0))
)
DETECTRON_RPN = BoxLoss(score=SigmoidScore(), normalizer=PerSample(), beta=1 / 9)
WIDTHS = {"ssd": 1, "liu": 1, "huang": 1, "retina": 0, "detectron_rpn": 0, "yolo2": 1, "yolo3": 1}
LOSSES = dict(zip(WIDTHS, (SSD, LIU, HUANG, RETINA, DETECTRON_RPN, YoloV2Loss(), YoloV3Loss()), strict=True))
YOLOS = ("yolo2", "yolo3")


def scene(name, *, seed=0, truths=3, own_boxes=False):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, N, K, 4) if own_boxes else (2, N, 4)
    codes = torch.randn(shape, generator=generator, requires_grad=True)
    logits = torch.randn(2, N, K + WIDTHS[name], generator=generator, requires_grad=True)
    low = torch.rand(2, 3, 2, generator=generator) * 40
    boxes = torch.cat([low, low + torch.rand(2, 3, 2, generator=generator) * 20 + 3], -1)
    labels = torch.randint(K, (2, 3), generator=generator)
    valid = (torch.arange(3) < truths).expand(2, 3)
    return Predictions(codes, logits), Targets(boxes, labels, valid, torch.zeros_like(valid))


def run(name, predictions, targets):
    coder = CellCoder() if name in YOLOS else LOSSES[name].coder
    decoded = coder.decode(predictions.codes, GRID)
    flat = decoded[:, :, 0] if decoded.dim() == 4 else decoded
    matcher = YoloMatcher(ignore=0.6) if name in YOLOS else ArgmaxMatcher(positive=0.5, negative=0.4, force_best=True)
    assignment = matcher(GRID, targets, flat.detach(), SIZES)
    weight = AllSampler()(assignment, flat[..., 0], flat, flat[..., 0])
    return LOSSES[name](predictions, GRID, decoded, targets, assignment, weight), assignment


@pytest.mark.parametrize("name", LOSSES)
def test_finite_with_gradients_and_equal_in_one_graph(name):
    predictions, targets = scene(name)
    terms, _ = run(name, predictions, targets)
    assert all(term.dim() == 0 and term > 0 for term in terms.values())
    sum(terms.values()).backward()
    assert predictions.codes.grad.isfinite().all() and predictions.codes.grad.any()
    assert predictions.logits.grad.isfinite().all() and predictions.logits.grad.any()
    compiled = torch.compile(lambda p, t: run(name, p, t)[0], fullgraph=True, backend="eager")
    for key, value in compiled(predictions, targets).items():
        torch.testing.assert_close(value, terms[key])


@pytest.mark.parametrize("name", LOSSES)
def test_without_ground_truth_only_the_background_is_trained(name):
    predictions, targets = scene(name, truths=0)
    terms, assignment = run(name, predictions, targets)
    assert not assignment.positive.any()
    assert terms["box"] == 0
    assert all(term.isfinite() for term in terms.values())
    sum(terms.values()).backward()
    assert not predictions.codes.grad.any()
    assert predictions.logits.grad.isfinite().all() and predictions.logits.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_huge_predictions_that_do_not_count_are_finite(name):
    predictions, targets = scene(name, truths=0)
    codes = (predictions.codes.detach() * 1e4).requires_grad_()
    terms, _ = run(name, Predictions(codes, predictions.logits), targets)
    sum(terms.values()).backward()
    assert codes.grad.isfinite().all()


@pytest.mark.parametrize("name", ["ssd", "liu", "huang", "retina", "detectron_rpn"])
def test_perfect_predictions_have_no_box_loss(name):
    predictions, targets = scene(name)
    _, assignment = run(name, predictions, targets)
    boxes = targets.boxes.gather(1, assignment.truth[..., None].expand(-1, -1, 4))
    codes = LOSSES[name].coder.encode(boxes, GRID)
    assert run(name, predictions._replace(codes=codes), targets)[0]["box"] == pytest.approx(0, abs=1e-6)


def test_class_specific_codes_are_trained_for_the_true_class_only():
    predictions, targets = scene("huang", own_boxes=True)
    terms, assignment = run("huang", predictions, targets)
    terms["box"].backward()
    touched = predictions.codes.grad.abs().sum(-1) > 0  # [B, N, K]
    labels = targets.labels.gather(1, assignment.truth)
    want = F.one_hot(labels, K).bool() & assignment.positive[..., None]
    assert torch.equal(touched, want)
    shared = predictions.codes.gather(2, labels[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
    torch.testing.assert_close(run("huang", predictions._replace(codes=shared), targets)[0]["box"], terms["box"])


def test_smooth_l1_is_the_papers():
    # paper.md 2.5: half the square up to 1, then |x| - 1/2; systems.md 9.4: sigma 3 turns at 1/9
    x = torch.tensor([-3.0, -0.5, 0.05, 0.2])
    huber = [2.5, 0.125, 0.00125, 0.02]
    assert F.smooth_l1_loss(x, x * 0, reduction="none", beta=1.0).tolist() == pytest.approx(huber)
    sigma = [3 - 0.5 / 9, 0.5 - 0.5 / 9, 4.5 * 0.05**2, 0.2 - 0.5 / 9]
    assert F.smooth_l1_loss(x, x * 0, reduction="none", beta=1 / 9).tolist() == pytest.approx(sigma)


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, (2, 30), generator=generator)
    return torch.randn(2, 30, K, generator=generator) * 3, labels, torch.rand(2, 30, generator=generator) < 0.3


def test_focal_without_focus_is_half_the_cross_entropy():
    torch.testing.assert_close(FocalScore(alpha=0.5, gamma=0.0)(*rows()) * 2, SigmoidScore()(*rows()))


def test_focal_is_the_published_formula():
    logits, labels, positive = rows()
    p = logits.double().sigmoid()
    wanted = F.one_hot(labels, K) * positive[..., None]
    right = torch.where(wanted > 0, p, 1 - p)
    alpha = torch.where(wanted > 0, 0.25, 0.75)
    want = (-alpha * (1 - right) ** 2 * right.log()).sum(-1)
    torch.testing.assert_close(FocalScore()(logits, labels, positive).double(), want, rtol=1e-4, atol=1e-6)


def test_softmax_score_is_minus_the_log_probability():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 30, K + 1, generator=generator)
    _, labels, positive = rows()
    slot = torch.where(positive, labels + 1, 0)
    want = -logits.softmax(-1).gather(-1, slot[..., None])[..., 0].log()
    torch.testing.assert_close(SoftmaxScore()(logits, labels, positive), want)


def test_background_has_its_own_sigmoid():
    logits, labels, positive = rows()
    background = torch.full((2, 30, 1), 1.5)
    whole = SigmoidBackgroundScore()(torch.cat([background, logits], -1), labels, positive)
    background = torch.where(positive, F.softplus(torch.tensor(1.5)), F.softplus(torch.tensor(-1.5)))
    torch.testing.assert_close(whole, SigmoidScore()(logits, labels, positive) + background)


def test_normalizers():
    terms = torch.arange(8.0).view(2, 4)
    weight = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])
    marks = torch.tensor([[True, False, False, False], [True, True, False, False]])
    assignment = Assignment(torch.zeros(2, 4, dtype=torch.int64), marks, ~marks)
    assert PerSample()(terms, assignment, weight) == pytest.approx(((0 + 1) / 2 + (4 + 5 + 6 + 7) / 4) / 2)
    assert PerPositive()(terms, assignment, weight) == pytest.approx(23 / 3)
    assert PerPositive(extra=1)(terms, assignment, weight) == pytest.approx(23 / 4)
    assert PerImage()(terms, assignment, weight) == pytest.approx(23 / 2)
    assert PerImagePositive()(terms, assignment, weight) == pytest.approx((1 / 1 + 22 / 2) / 2)
    none = Assignment(assignment.truth, marks & False, marks)
    assert PerPositive()(terms, none, weight) == pytest.approx(23)
    assert PerImagePositive()(terms, none, weight) == pytest.approx((1 + 22) / 2)
    assert PerSample()(terms, none, weight * 0) == 0


@pytest.mark.parametrize(
    "normalizer",
    [
        PerSample(),
        PerBatchSample(),
        PerReference(),
        PerPositive(),
        PerPositive(extra=1),
        PerImagePositive(),
        PerImage(),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_the_mean_over_shares_of_a_batch_is_the_batch(normalizer, share):
    """The normalizer of each share is its part of that of the whole batch."""
    noise = torch.Generator().manual_seed(0)
    terms, drawn = torch.rand(2, 4, 20, generator=noise)
    assignment = Assignment(torch.zeros(4, 20, dtype=torch.int64), drawn < share, drawn >= share)
    weight = (torch.rand(4, 20, generator=noise) < share).float()
    whole = normalizer(terms, assignment, weight)
    seen = []

    def part(rows, divisor):
        return normalizer(terms[rows], Assignment(*(kept[rows] for kept in assignment)), weight[rows], divisor)

    def note(count, extra=0):
        seen.append(count)
        return local_normalizer(count, extra)

    def shared(count, extra=0):
        return local_normalizer(sum(seen), extra) / 2

    halves = (slice(0, 2), slice(2, 4))
    for rows in halves:
        part(rows, note)
    assert sum(part(rows, shared) for rows in halves) / 2 == pytest.approx(whole)


def test_cost_has_the_terms_that_are_mined():
    predictions, targets = scene("liu")
    _, assignment = run("liu", predictions, targets)
    score = LIU.cost(predictions, GRID, targets, assignment)
    both = BoxLoss(score=SoftmaxScore(), normalizer=PerPositive(), mined="both")
    extra = both.cost(predictions, GRID, targets, assignment) - score
    assert (extra[assignment.positive] > 0).all()
    assert not extra[~assignment.positive].any()


def darknet_deltas(version, predictions, targets, assignment):
    """-gradient of the sum over one image as darknet's C code writes it, in python loops.

    systems.md 6.4; scale = 2 - w h of the truth as shares of the canvas.
    """
    codes, logits = predictions.codes.detach(), predictions.logits.detach()
    box, score = torch.zeros_like(codes), torch.zeros_like(logits)
    decoded = CellCoder().decode(codes, GRID)
    for b in range(2):
        for n in range(N):
            objectness = logits[b, n, 0].sigmoid()
            slope = objectness * (1 - objectness) if version == 2 else 1
            if assignment.negative[b, n]:
                score[b, n, 0] = (0 - objectness) * slope
            if not assignment.positive[b, n]:
                continue
            g = assignment.truth[b, n]
            x1, y1, x2, y2 = targets.boxes[b, g].tolist()
            px1, py1, px2, py2 = GRID.boxes[n].tolist()
            cell = GRID.cell[n].item()
            place = ((x1 + x2) / 2 / cell % 1, (y1 + y2) / 2 / cell % 1)
            size = (math.log((x2 - x1) / (px2 - px1)), math.log((y2 - y1) / (py2 - py1)))
            scale = 2 - (x2 - x1) * (y2 - y1) / 64 / 64
            for i in range(2):
                s = codes[b, n, i].sigmoid()
                box[b, n, i] = scale * (place[i] - s) * (s * (1 - s) if version == 2 else 1)
                box[b, n, 2 + i] = scale * (size[i] - codes[b, n, 2 + i])
            wanted = iou(decoded[b, n : n + 1], targets.boxes[b, g : g + 1])[0, 0] if version == 2 else 1
            score[b, n, 0] = (5 if version == 2 else 1) * (wanted - objectness) * slope
            classes = logits[b, n, 1:].softmax(0) if version == 2 else logits[b, n, 1:].sigmoid()
            score[b, n, 1:] = F.one_hot(targets.labels[b, g], K) - classes
    return box, score


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_darknets_deltas(version, seed):
    predictions, targets = scene(f"yolo{version}", seed=seed)
    terms, assignment = run(f"yolo{version}", predictions, targets)
    assert assignment.positive.any()
    sum(terms.values()).backward()
    box, score = darknet_deltas(version, predictions, targets, assignment)
    torch.testing.assert_close(-predictions.codes.grad * 2, box, atol=1e-4, rtol=1e-4)  # times the two images
    torch.testing.assert_close(-predictions.logits.grad * 2, score, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", YOLOS)
def test_yolo_cost_is_the_objectness_term(name):
    predictions, targets = scene(name)
    terms, assignment = run(name, predictions, targets)
    cost = LOSSES[name].cost(predictions, GRID, targets, assignment)
    taking = assignment.positive | assignment.negative
    torch.testing.assert_close((cost * taking).sum() / 2, terms["object"])


def test_sampled_out_references_do_not_count():
    predictions, targets = scene("liu")
    _, assignment = run("liu", predictions, targets)
    nothing = torch.zeros(2, N)
    terms = LIU(predictions, GRID, GRID.boxes.expand(2, -1, -1), targets, assignment, nothing)
    assert all(term == 0 for term in terms.values())


def test_an_unknown_mined_is_refused():
    with pytest.raises(ValueError, match="^mined: got 'boxes'"):
        BoxLoss(score=SoftmaxScore(), normalizer=PerPositive(), mined="boxes")


def test_a_mined_stage_is_normalized_by_the_number_of_references():
    """Empty slots of proposals, neither object nor background, do not count."""
    terms, weight = torch.ones(2, 10), torch.zeros(2, 10)
    weight[:, :2] = 1
    there = torch.arange(10) < torch.tensor([[4], [10]])
    assignment = Assignment(torch.zeros(2, 10, dtype=torch.int64), torch.zeros(2, 10, dtype=torch.bool), there)
    assert PerReference()(terms, assignment, weight) == pytest.approx((2 / 4 + 2 / 10) / 2)
