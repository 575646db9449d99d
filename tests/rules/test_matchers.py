import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.ops.geometry import iou, shape_iou
from paretodet.rules.anchors import CellPriors
from paretodet.rules.matchers import ArgmaxMatcher, PointMatcher, TieMatcher, YoloMatcher
from paretodet.types import References, Targets

SIZES = torch.tensor([[64.0, 64.0], [64.0, 64.0]])
RPN = ArgmaxMatcher(positive=0.7, negative=0.3, force_best=True, inside_only=True)
SECOND = ArgmaxMatcher(positive=0.5, negative=0.5)
SSD = ArgmaxMatcher(positive=0.5, negative=0.5, force_best=True)
FAST = ArgmaxMatcher(positive=0.5, negative=0.5, negative_from=0.1)
TIES = TieMatcher(positive=0.5, negative=0.4, floor=0.4)
ALL = [RPN, SECOND, SSD, FAST, TIES, YoloMatcher(ignore=0.5), PointMatcher(trim=1.0)]


def random_boxes(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    center, size = torch.rand(*shape, 2, generator=generator) * 64, torch.rand(*shape, 2, generator=generator) * 30 + 4
    return torch.cat([center - size / 2, center + size / 2], -1)


def references(boxes, cell=8.0):
    count = boxes.shape[-2]
    return References(boxes, torch.full((count, 1), cell), (count,))


def targets(boxes, valid=None, crowd=None):
    shape = boxes.shape[:2]
    labels = torch.arange(shape[1]).expand(shape)
    valid = torch.ones(shape, dtype=torch.bool) if valid is None else torch.as_tensor(valid).expand(shape)
    crowd = torch.zeros(shape, dtype=torch.bool) if crowd is None else torch.as_tensor(crowd).expand(shape)
    return Targets(boxes, labels, valid, crowd)


def run(matcher, boxes, truths, decoded=None):
    decoded = torch.zeros(len(truths.boxes), boxes.shape[-2], 4) if decoded is None else decoded
    return matcher(references(boxes), truths, decoded, SIZES[: len(truths.boxes)])


def naive_argmax(matcher, boxes, truths, size):
    """One image in Python: (ground truth or None) and sign, +1 positive, -1 negative, 0 ignored."""
    height, width = size
    overlaps = iou(boxes, truths).tolist()
    part = [not matcher.inside_only or (x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height)
            for x1, y1, x2, y2 in boxes.tolist()]  # fmt: skip
    out = []
    for n, row in enumerate(overlaps):
        best = max(row)
        sign = 1 if best >= matcher.positive else -1 if matcher.negative_from <= best < matcher.negative else 0
        out.append((row.index(best), sign) if part[n] else (0, 0))
    if matcher.force_best:
        taken = set()
        for g in range(len(truths)):
            column = [row[g] if part[n] else 0 for n, row in enumerate(overlaps)]
            n = column.index(max(column))
            if column[n] > 0 and n not in taken:
                out[n], taken = (g, 1), taken | {n}
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([RPN, SECOND, SSD, FAST]))
def test_argmax_equals_loops(seed, matcher):
    boxes, truth = random_boxes(40, seed=seed), random_boxes(2, 5, seed=seed + 1)
    found = run(matcher, boxes, targets(truth))
    for image in range(2):
        for n, (g, sign) in enumerate(naive_argmax(matcher, boxes, truth[image], (64, 64))):
            assert int(found.positive[image, n]) - int(found.negative[image, n]) == sign
            if sign > 0:
                assert found.truth[image, n] == g


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0]))
def test_points_equal_fcos_rule(seed, trim):
    """Three levels of cells of 1, 2 and 4 px: farthest sides of 0 to 16, 16 to 32, and 32 px on."""
    boxes, truth = random_boxes(60, seed=seed), random_boxes(2, 5, seed=seed + 1)
    cell = torch.tensor([1.0, 2.0, 4.0]).repeat_interleave(20)[:, None]
    found = PointMatcher(trim=trim)(References(boxes, cell, (20, 20, 20)), targets(truth), boxes, SIZES)
    ranges = {1.0: (0, 16), 2.0: (16, 32), 4.0: (32, math.inf)}
    for image in range(2):
        for n, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            x, y, (low, high) = (x1 + x2) / 2, (y1 + y2) / 2, ranges[cell[n].item()]
            fitting = {}
            for g, (left, top, right, bottom) in enumerate(truth[image].tolist()):
                sides = x - left, y - top, right - trim - x, bottom - trim - y
                if min(sides) > 0 and low <= max(sides) <= high:
                    fitting[g] = (right - left) * (bottom - top)
            assert found.positive[image, n].item() == bool(fitting) != found.negative[image, n].item()
            if fitting:
                assert found.truth[image, n].item() == min(fitting, key=fitting.get)


@pytest.mark.parametrize("matcher", ALL, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("how", ["padding", "crowd", "empty"])
def test_ignored_ground_truths_change_nothing(matcher, how):
    boxes, truth = random_boxes(40, seed=1), random_boxes(1, 4, seed=2)
    decoded = random_boxes(1, 40, seed=3)
    alone = run(matcher, boxes, targets(truth[:, :2]), decoded)
    mark = torch.tensor([False, False, True, True])
    if how == "empty":
        truth[:, 2:, 2:] = truth[:, 2:, :2]
    more = targets(truth, valid=~mark if how == "padding" else None, crowd=mark if how == "crowd" else None)
    both = run(matcher, boxes, more, decoded)
    assert torch.equal(both.positive, alone.positive)
    assert torch.equal(both.negative, alone.negative)
    assert torch.equal(both.truth[both.positive], alone.truth[alone.positive])


@pytest.mark.parametrize("matcher", ALL, ids=lambda m: type(m).__name__)
def test_without_ground_truth_all_references_are_negative(matcher):
    boxes = random_boxes(40, seed=1).clamp(0, 64)
    found = run(matcher, boxes, targets(torch.zeros(1, 1, 4), valid=False))
    assert not found.positive.any()
    # the preset with a lower bound on negatives has none, the others only negatives
    assert found.negative.all() == (matcher is not FAST)


def test_of_two_ground_truths_the_first_is_assigned():
    boxes = torch.tensor([[0.0, 0, 10, 10], [40, 40, 50, 50]])
    truth = torch.tensor([[[0.0, 0, 4, 4], [1, 1, 9, 9]]])  # both overlap reference 0 most, the second much more
    found = run(SSD, boxes, targets(truth))
    assert found.truth[0, 0] == 0
    assert found.positive.tolist() == [[True, False]]


def test_a_claim_overrides_thresholds_and_the_argmax():
    boxes = torch.tensor([[0.0, 0, 10, 10], [30, 30, 60, 60]])
    truth = torch.tensor([[[0.0, 0, 10, 10], [29, 29, 33, 33]]])
    assert run(SECOND, boxes, targets(truth)).positive.tolist() == [[True, False]]
    forced = run(SSD, boxes, targets(truth))
    assert forced.positive.tolist() == [[True, True]]
    assert forced.truth.tolist() == [[0, 1]]


def test_references_across_the_border_are_ignored():
    boxes = torch.tensor([[-1.0, 0, 10, 10], [0, 0, 20, 20], [50, 50, 64, 64.5]])
    truth = torch.tensor([[[0.0, 0, 10, 10]]])
    found = run(RPN, boxes, targets(truth))
    assert found.positive.tolist() == [[False, True, False]]  # the claim goes to the best one inside
    assert found.negative.tolist() == [[False, False, False]]


def test_all_ties_are_positive_with_their_best_ground_truth():
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [30, 30, 40, 40]])
    truth = torch.tensor([[[4.0, 0, 12, 8]]])  # a third of each of the first two
    found = run(TieMatcher(positive=0.7, negative=0.3), boxes, targets(truth))
    assert found.positive.tolist() == [[True, True, False]]
    # RetinaNet: the negatives overwrite ties under 0.4
    overwritten = run(TieMatcher(positive=0.5, negative=0.4, floor=0.4), boxes, targets(truth))
    assert overwritten.negative.tolist() == [[True, True, True]]


def test_between_the_thresholds_is_ignored():
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    truth = torch.tensor([[[0.0, 0, 10, 4.5], [40, 40, 60, 60]]])  # IoU .45
    found = run(TieMatcher(positive=0.5, negative=0.4, floor=1.0), boxes, targets(truth))
    assert not (found.positive | found.negative).any()


PRIORS = CellPriors(priors=(((40, 40), (60, 20)), ((10, 10), (8, 20))))
GRID = PRIORS((torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 4, 4)), (64, 64))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_yolo_equals_darknets_rule(seed):
    truth = random_boxes(1, 3, seed=seed).clamp(0.1, 63.9)
    decoded = random_boxes(1, len(GRID.boxes), seed=seed + 1)
    found = YoloMatcher(ignore=0.3)(GRID, targets(truth), decoded, SIZES[:1])
    owner = {}
    for g, (x1, y1, x2, y2) in enumerate(truth[0].tolist()):
        shapes = torch.tensor([s for level in PRIORS.priors for s in level]).float()
        best = shape_iou(torch.tensor([[x2 - x1, y2 - y1]]), shapes).argmax().item()
        stride, columns, start = (32, 2, 0) if best < 2 else (16, 4, 8)
        cell = int((y1 + y2) / 2 / stride) * columns + int((x1 + x2) / 2 / stride)
        owner[start + cell * 2 + best % 2] = g  # the last truth wins
    assert found.positive[0].nonzero().flatten().tolist() == sorted(owner)
    assert all(found.truth[0, n] == g for n, g in owner.items())
    near = (iou(decoded[0], truth[0]) > 0.3).any(1)
    assert torch.equal(found.negative[0], ~found.positive[0] & ~near)


def test_a_prior_of_two_levels_is_positive_on_both():
    """As (81, 82) in v3-tiny: each of darknet's layers assigns its own priors."""
    anchors = CellPriors(priors=(((10, 14), (81, 82)), ((81, 82), (135, 169))))
    refs = anchors((torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 8, 8)), (256, 256))
    truth = torch.tensor([[[60.0, 60, 140, 140]]])
    found = YoloMatcher(ignore=0.7)(
        refs, targets(truth), torch.zeros(1, len(refs.boxes), 4), torch.tensor([[256.0, 256]])
    )
    assert found.positive.sum() == 2
    sides = refs.boxes[found.positive[0]][:, 2:] - refs.boxes[found.positive[0]][:, :2]
    assert sides.tolist() == [[81, 82], [81, 82]]


def test_an_empty_slot_of_proposals_is_neither_object_nor_background():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 0, 0], [40, 40, 60, 60]]])
    for matcher in (SECOND, SSD, FAST, TieMatcher(positive=0.5, negative=0.4)):
        found = run(matcher, boxes, targets(torch.tensor([[[0.0, 0, 10, 10]]])))
        assert found.positive.tolist() == [[True, False, False]]
        assert not found.negative[0, 1]


def test_bad_thresholds_and_padding():
    with pytest.raises(ValueError, match="negative, positive: got 0.7, 0.3"):
        ArgmaxMatcher(positive=0.3, negative=0.7)
    with pytest.raises(ValueError, match="targets: got 0 slots"):
        run(SSD, random_boxes(3, seed=0), targets(torch.zeros(1, 0, 4)))


@pytest.mark.parametrize("matcher", ALL, ids=lambda m: type(m).__name__)
def test_no_graph_break(matcher):
    boxes, truth, decoded = random_boxes(40, seed=1), random_boxes(2, 4, seed=2), random_boxes(2, 40, seed=3)
    want = run(matcher, boxes, targets(truth), decoded)
    compiled = torch.compile(lambda b, t, d: run(matcher, b, targets(t), d), fullgraph=True, backend="eager")
    for got, expected in zip(compiled(boxes, truth, decoded), want, strict=True):
        assert torch.equal(got, expected)


def test_references_of_each_image_are_matched_alone():
    boxes, truth = random_boxes(2, 30, seed=1), random_boxes(2, 4, seed=2)
    both = run(SSD, boxes, targets(truth))
    for image in range(2):
        alone = run(SSD, boxes[image : image + 1], targets(truth[image : image + 1]))
        assert all(torch.equal(a[0], b[image]) for a, b in zip(alone, both, strict=True))
