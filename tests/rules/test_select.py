import math

import pytest
import torch

from paretodet.rules.select import EveryBox, PostProcess, at_least

# One for each published system; paper.md 2.6 and 2.7, systems.md 6.3, 7.3, 8.4, 9.3, 10.1
SYSTEMS = {
    "huang_rpn": PostProcess(threshold=0.0, overlap=0.7, keep=12, keep_per_class=12),
    "detectron_rpn": PostProcess(
        candidates_per_level=15, overlap=0.7, within="level", keep_per_level=8, keep=14, clip="before"
    ),
    "torchvision_rpn": PostProcess(
        candidates_per_level=15, overlap=0.7, within="level", min_size=16, keep=14, clip="before"
    ),
    "ren_rpn": PostProcess(clip="before", min_size=16, candidates=30, overlap=0.7, keep=10),
    "huang_ssd": PostProcess(threshold=1e-8, overlap=0.6, keep=20, keep_per_class=4),
    "huang_final": PostProcess(threshold=0.0, overlap=0.6, keep=25, keep_per_class=5),
    "liu_ssd": PostProcess(threshold=0.01, candidates_per_class=9, overlap=0.45, keep=18),
    "yolo": PostProcess(threshold=0.005, overlap=0.45, keep=30),
    "retinanet": PostProcess(threshold=0.05, candidates_per_level=20, overlap=at_least(0.5), keep=15, clip="before"),
    "retinanet_last": PostProcess(
        threshold=0.4, threshold_last=0.0, candidates_per_level=20, overlap=at_least(0.5), keep=40, clip="before"
    ),
    "levels_after": PostProcess(overlap=0.4, within="level", keep_per_level=6, keep=10, clip="after"),
    "agnostic": PostProcess(threshold=0.3, overlap=0.5, within="image", keep=10),
    "everything": PostProcess(overlap=0.5, keep=40),
}
COUNTS = (24, 12, 4)
SIZES = torch.tensor([[90.0, 110.0], [64.0, 128.0]])


def scene(classes, *, own_boxes=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, sum(COUNTS), classes) if own_boxes else (2, sum(COUNTS))
    center = torch.rand(*shape, 2, generator=generator) * 140 - 10
    size = torch.rand(*shape, 2, generator=generator) * 40 + 2
    scores = torch.rand(2, sum(COUNTS), classes, generator=generator) ** 3
    return torch.cat([center - size / 2, center + size / 2], -1), scores


def overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    areas = [max(c[2] - c[0], 0) * max(c[3] - c[1], 0) for c in (a, b)]
    return common / max(sum(areas) - common, 1e-30)


def clipped(box, size):
    height, width = size
    return [min(max(v, 0), limit) for v, limit in zip(box, (width, height, width, height), strict=True)]


def naive(select, boxes, scores, size):
    """One image, in Python loops, in the order of the docstring."""
    level_of = [level for level, count in enumerate(COUNTS) for _ in range(count)]
    found = []
    for n, row in enumerate(scores.tolist()):
        for k, score in enumerate(row):
            box = (boxes[n, k] if boxes.dim() == 3 else boxes[n]).tolist()
            box = clipped(box, size) if select.clip == "before" else box
            found.append((score, box, k, level_of[n]))
    found.sort(key=lambda item: -item[0])
    if select.candidates_per_level is not None:
        found = first(found, select.candidates_per_level, lambda item: item[3])
    found = [item for item in found if large(item[1], select.min_size)]
    found = found[: select.candidates]
    limits = [select.threshold] * len(COUNTS)
    if select.threshold_last is not None:
        limits[-1] = select.threshold_last
    found = [item for item in found if item[0] > limits[item[3]]]
    found = first(found, select.candidates_per_class, lambda item: item[2])
    group = {"class": lambda i: i[2], "level": lambda i: i[3], "image": lambda i: 0}[select.within]
    kept = []
    for item in found:
        if all(group(item) != group(k) or overlap(item[1], k[1]) <= select.overlap for k in kept):
            kept.append(item)
    kept = first(kept, select.keep_per_class, lambda item: item[2])
    kept = first(kept, select.keep_per_level, lambda item: item[3])
    if select.clip == "after":
        kept = [(s, clipped(b, size), k, level) for s, b, k, level in kept]
        kept = [item for item in kept if item[1][2] > item[1][0] and item[1][3] > item[1][1]]
    return kept[: select.keep]


def large(box, side):
    return side == 0 or min(box[2] - box[0], box[3] - box[1]) >= side


def first(items, limit, group):
    seen, out = {}, []
    for item in items:
        seen[group(item)] = seen.get(group(item), 0) + 1
        if limit is None or seen[group(item)] <= limit:
            out.append(item)
    return out


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("own_boxes", [False, True])
def test_equals_loops(name, seed, own_boxes):
    select = SYSTEMS[name]
    boxes, scores = scene(1 if "rpn" in name else 5, own_boxes=own_boxes, seed=seed)
    found = select(boxes, scores, COUNTS, SIZES)
    assert found.boxes.shape == (2, select.keep, 4)
    for image in range(2):
        want = naive(select, boxes[image], scores[image], SIZES[image].tolist())
        assert want
        n = len(want)
        torch.testing.assert_close(found.scores[image, :n], torch.tensor([w[0] for w in want]))
        torch.testing.assert_close(found.boxes[image, :n], torch.tensor([w[1] for w in want]))
        assert found.labels[image, :n].tolist() == [w[2] for w in want]
        for field in (found.boxes, found.scores, found.labels):
            assert not field[image, n:].any()


@pytest.mark.parametrize("name", SYSTEMS)
def test_invariants(name):
    boxes, scores = scene(1 if "rpn" in name else 5)
    found = SYSTEMS[name](boxes, scores, COUNTS, SIZES)
    assert (found.scores.diff(dim=1) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= SIZES.flip(-1).repeat(1, 2)[:, None]).all()
    for image in range(2):
        alone = SYSTEMS[name](boxes[image : image + 1], scores[image : image + 1], COUNTS, SIZES[image : image + 1])
        for one, both in zip(alone[:3], found[:3], strict=True):
            assert torch.equal(one[0], both[image])


@pytest.mark.parametrize("name", SYSTEMS)
def test_export(name):
    class Net(torch.nn.Module):
        def forward(self, boxes, scores, sizes):
            return SYSTEMS[name](boxes, scores, COUNTS, sizes)[:3]

    boxes, scores = scene(1 if "rpn" in name else 5)
    program = torch.export.export(Net(), (boxes, scores, SIZES), strict=True)
    other = scene(1 if "rpn" in name else 5, seed=9)
    for got, want in zip(program.module()(*other, SIZES), Net()(*other, SIZES), strict=True):
        assert torch.equal(got, want)


def test_a_limit_of_minus_infinity_admits_scores_of_zero():
    boxes = torch.tensor([[[0.0, 0, 9, 9], [50, 50, 60, 60]]])
    found = PostProcess(overlap=0.5, keep=3)(boxes, torch.zeros(1, 2, 1), (2,), SIZES[:1])
    assert found.boxes.tolist() == [[[0, 0, 9, 9], [50, 50, 60, 60], [0, 0, 0, 0]]]


def test_nothing_above_the_threshold_gives_empty_slots():
    boxes, scores = scene(3)
    found = PostProcess(threshold=2.0, overlap=0.5, keep=4)(boxes, scores, COUNTS, SIZES)
    assert not any(field.any() for field in found[:3])


def test_a_box_outside_the_image_is_dropped_and_the_next_moves_up():
    boxes = torch.tensor([[[200.0, 0, 220, 20], [0, 0, 10, 10]]])
    scores = torch.tensor([[[0.9], [0.4]]])
    found = PostProcess(overlap=0.5, keep=2)(boxes, scores, (2,), SIZES[:1])
    assert found.scores.tolist() == [[pytest.approx(0.4), 0]]


def test_at_least_suppresses_equality():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 5]]])  # IoU is exactly one half
    scores = torch.tensor([[[0.9], [0.4]]])
    for limit, count in ((0.5, 2), (at_least(0.5), 1)):
        found = PostProcess(overlap=limit, keep=2)(boxes, scores, (2,), SIZES[:1])
        assert (found.scores > 0).sum() == count


def test_half_precision_scores_are_selected_in_float32():
    boxes, scores = scene(3)
    found = SYSTEMS["yolo"](boxes.bfloat16(), scores.bfloat16(), COUNTS, SIZES)
    assert found.boxes.dtype == found.scores.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"within": "box"}, "within: got 'box'"),
        ({"clip": "never"}, "clip: got 'never'"),
        ({"threshold_last": 0.0}, "threshold_last: needs candidates_per_level"),
        (
            {"threshold": 0.1, "threshold_last": 0.2, "candidates_per_level": 9},
            "threshold_last: got 0.2, allowed at most",
        ),
        ({"keep_per_level": 3}, "keep_per_level: needs within='level'"),
        ({"within": "image", "keep_per_class": 3}, "keep_per_class: needs within='class'"),
        ({"overlap": 1.01}, "overlap: got 1.01, allowed 0..1"),
        ({"overlap": float("nan")}, "overlap: got nan"),
        ({"keep": 0}, "keep: got 0, allowed 1 or more"),
        ({"candidates": 0}, "candidates: got 0"),
        ({"keep_per_class": -1}, "keep_per_class: got -1"),
        ({"candidates": 10, "candidates_per_level": 5}, "candidates: got 10, allowed None"),
    ],
)
def test_bad_choices(change, message):
    with pytest.raises(ValueError, match=message):
        PostProcess(**({"overlap": 0.5, "keep": 3} | change))


@pytest.mark.parametrize("own_boxes", [False, True], ids=["shared", "one a class"])
def test_every_box_stays_in_its_place(own_boxes):
    """Not clipped, with its best class; one box a class gives that of the best class."""
    boxes, scores = scene(3, own_boxes=own_boxes)
    scores[:, 5] = -math.inf
    found = EveryBox()(boxes, scores, COUNTS, SIZES)
    for image in range(2):
        for n in range(sum(COUNTS)):
            label = scores[image, n].argmax().item()
            box = boxes[image, n, label] if own_boxes else boxes[image, n]
            row = [part[image, n].tolist() for part in found[:3]]
            assert row == ([[0.0] * 4, 0.0, 0] if n == 5 else [box.tolist(), scores[image, n, label].item(), label])
    assert (boxes < 0).any() and EveryBox().keep is None


def test_selects_are_data():
    assert PostProcess(overlap=0.5, keep=3) == PostProcess(overlap=0.5, keep=3, threshold=-math.inf)
    assert len({SYSTEMS["yolo"], PostProcess(threshold=0.005, overlap=0.45, keep=30)}) == 1
