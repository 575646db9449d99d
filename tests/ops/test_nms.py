"""Suppression equals its definition: box by box, by falling score."""

import math
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from paretodet.ops import nms as nms_module
from paretodet.ops.nms import nms


def overlap_of(a: np.ndarray, b: np.ndarray) -> np.float32:
    """IoU of two boxes, every step in float32."""
    zero = np.float32(0)
    with np.errstate(all="ignore"):
        common = max(min(a[2], b[2]) - max(a[0], b[0]), zero) * max(min(a[3], b[3]) - max(a[1], b[1]), zero)
        union = (
            max(a[2] - a[0], zero) * max(a[3] - a[1], zero) + max(b[2] - b[0], zero) * max(b[3] - b[1], zero) - common
        )
        return common / union if union > 0 else zero


def naive(
    boxes,
    scores,
    labels,
    *,
    overlap,
    keep,
    size=None,
    threshold=-math.inf,
    candidates_per_class=None,
    keep_per_class=None,
    class_aware=True,
) -> list[int]:
    """The definition. boxes [M, 4], scores [M], labels [M], size (height, width)."""
    boxes, scores, labels = boxes.numpy(), scores.numpy(), labels.tolist()
    entered: dict[int, int] = {}
    kept: list[int] = []
    answers: list[int] = []
    for i in sorted((i for i in range(len(scores)) if scores[i] > threshold), key=lambda i: (-scores[i], i)):
        if len(answers) == keep:
            break
        entered[labels[i]] = entered.get(labels[i], 0) + 1
        if candidates_per_class is not None and entered[labels[i]] > candidates_per_class:
            continue
        mates = [j for j in kept if not class_aware or labels[j] == labels[i]]
        full = keep_per_class is not None and sum(labels[j] == labels[i] for j in kept) >= keep_per_class
        if not full and not any(overlap_of(boxes[j], boxes[i]) > np.float32(overlap) for j in mates):
            kept.append(i)
            answers += [i] if size is None or meets(boxes[i], size) else []
    return answers


def meets(box: np.ndarray, size) -> bool:
    """Whether a box shares some area with an image of (height, width)."""
    return min(box[2], size[1]) > max(box[0], 0) and min(box[3], size[0]) > max(box[1], 0)


def listed(found: torch.Tensor) -> list[list[int]]:
    """Rows without their empty slots, which must all be at the end."""
    rows = [[i for i in row if i >= 0] for row in found.tolist()]
    assert found.tolist() == [row + [-1] * (found.shape[1] - len(row)) for row in rows]
    return rows


def scattered(count: int, *, spread: float = 300.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 2, generator=random) * spread
    size = torch.rand(count, 2, generator=random) * 60 + 4
    return torch.cat([center - size / 2, center + size / 2], 1), torch.rand(count, generator=random)


side = st.integers(0, 6)
score = st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.75, 1.0, -1.0, -0.0, 0.0, math.nan, math.inf, -math.inf])
candidates = st.lists(st.tuples(side, side, side, side, score, st.integers(0, 2)), max_size=40)
limit = st.none() | st.integers(1, 6)


@settings(max_examples=300)
@given(
    rows=candidates,
    overlap=st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.7, 1.0]),
    keep=st.integers(1, 20),
    threshold=st.sampled_from([-math.inf, 0.0, 0.3]),
    limits=st.tuples(limit, limit),
    size=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)),
    corner=st.sampled_from([0, 2]),
    class_aware=st.booleans(),
    block=st.integers(1, 9),
    strip=st.integers(1, 9),
    groups=st.integers(1, 3),
)
def test_equals_the_definition_for_any_boxes_and_any_blocking(
    rows, overlap, keep, threshold, limits, size, corner, class_aware, block, strip, groups
):
    table = torch.tensor(rows).reshape(-1, 6)
    boxes, scores, labels = table[:, :4] - corner, table[:, 4], table[:, 5].long()
    options = {
        "overlap": overlap,
        "keep": keep,
        "threshold": threshold,
        "candidates_per_class": limits[0],
        "keep_per_class": limits[1] if class_aware else None,
        "class_aware": class_aware,
    }
    with mock.patch.multiple(nms_module, BLOCKS=(block, 2 * block), STRIP=strip, GROUPS=groups):
        found = nms(
            boxes[None], scores[None], labels[None], sizes=None if size is None else torch.tensor([size]), **options
        )
    assert listed(found) == [naive(boxes, scores, labels, size=size, **options)]


def chain(count: int) -> torch.Tensor:
    """Each box overlaps only its neighbors: every second one is kept."""
    left = torch.arange(count) * 4.0
    return torch.stack([left, torch.zeros(count), left + 10, torch.full((count,), 10.0)], 1)


def nested(count: int) -> torch.Tensor:
    side = torch.arange(1, count + 1).float()
    return torch.stack([-side, -side, side, side], 1)


@pytest.mark.parametrize(
    "boxes",
    [
        scattered(1100)[0],
        scattered(1100, spread=40)[0],
        chain(1100),
        nested(1100),
        torch.tensor([[0.0, 0, 5, 5]]).expand(1100, 4),
    ],
    ids=["random", "crowded", "chained", "nested", "identical"],
)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("keep", [1, 100, 1100])
def test_equals_the_definition_across_blocks(boxes, tied, keep):
    scores = torch.arange(1100, 0, -1).float()
    scores = (scores / 100).ceil() if tied else scores
    labels = torch.zeros(1100, dtype=torch.int64)
    options = {"overlap": 0.4, "keep": keep}
    assert listed(nms(boxes[None], scores[None], **options)) == [naive(boxes, scores, labels, **options)]


def test_a_chain_keeps_every_second_box():
    found = listed(nms(chain(999)[None], torch.arange(999, 0, -1)[None].float(), overlap=0.4, keep=999))
    assert found == [list(range(0, 999, 2))]


@pytest.mark.parametrize("own_boxes", [False, True])
def test_the_dense_form_is_the_list_form_of_all_pairs(own_boxes):
    random = torch.Generator().manual_seed(1)
    count, classes = 300, 7
    boxes = torch.stack([scattered(count * (classes if own_boxes else 1), seed=s)[0] for s in (2, 3)])
    boxes = boxes.view(2, count, classes, 4) if own_boxes else boxes
    scores = torch.rand(2, count, classes, generator=random)
    pairs = (boxes if own_boxes else boxes[:, :, None].expand(-1, -1, classes, -1)).reshape(2, -1, 4)
    labels = torch.arange(classes).repeat(count).expand(2, -1)
    options = {"overlap": 0.5, "keep": 150, "threshold": 0.2, "candidates_per_class": 100, "keep_per_class": 30}
    sizes = torch.tensor([[200.0, 300.0], [150.0, 40.0]])
    for window in (None, sizes):
        dense = nms(boxes, scores, sizes=window, **options)
        assert torch.equal(dense, nms(pairs, scores.flatten(1), labels, sizes=window, **options))
        windows = [None, None] if window is None else window.tolist()
        assert listed(dense) == [
            naive(pairs[b], scores[b].flatten(), labels[b], size=windows[b], **options) for b in range(2)
        ]


def test_a_box_outside_suppresses_and_counts_but_is_not_returned():
    boxes = torch.tensor([[[90.0, 0, 110, 10], [88, 0, 102, 10], [0, 0, 10, 10], [30, 0, 40, 10]]])
    scores, sizes = torch.tensor([[0.9, 0.8, 0.7, 0.6]]), torch.tensor([[50.0, 90.0]])
    options = {"overlap": 0.3, "keep": 2, "sizes": sizes}
    assert listed(nms(boxes, scores, **options)) == [[2, 3]]
    assert listed(nms(boxes, scores, **options, keep_per_class=2)) == [[2]]
    assert listed(nms(boxes, scores, torch.tensor([[0, 0, 0, 1]]), **options, keep_per_class=2)) == [[2, 3]]


def test_a_full_class_ends_the_search():
    boxes = chain(40_000)[None] + 100
    scores = torch.arange(40_000, 0, -1)[None].float()
    with mock.patch.object(nms_module, "_suppress", wraps=nms_module._suppress) as settle:
        found = nms(boxes, scores, sizes=torch.ones(1, 2), overlap=0.4, keep=100, keep_per_class=100)
    assert listed(found) == [[]]
    assert settle.call_count <= 2


def test_many_scores_in_strips_are_exact():
    boxes, scores = scattered(20_000, spread=60)  # so crowded that the first strips do not fill the slots
    found = listed(nms(boxes[None], scores[None], overlap=0.2, keep=100))[0]
    order = scores.argsort(descending=True)
    ahead = order[: (order == found[-1]).nonzero().item() + 1]
    assert len(ahead) > 2048
    expected = naive(boxes[ahead], scores[ahead], torch.zeros(len(ahead)), overlap=0.2, keep=100)
    assert found == ahead[expected].tolist()


@pytest.mark.parametrize("levels", [1, 3])
def test_scores_that_nearly_all_tie_are_still_exact(levels):
    boxes, _ = scattered(20_000, spread=900)
    scores = torch.randint(1, levels + 1, (20_000,)) / levels
    found = nms(boxes[None], scores[None], overlap=0.3, keep=150)
    assert listed(found) == [naive(boxes, scores, torch.zeros(20_000), overlap=0.3, keep=150)]


def test_classes_far_from_the_origin_are_separate():
    """Shifting coordinates by label, the common trick, loses the fraction of a pixel here."""
    boxes = torch.tensor([[5e5, 0, 5e5 + 0.5, 1], [5e5 + 0.25, 0, 5e5 + 0.75, 1]])
    scores = torch.tensor([0.9, 0.8])
    for labels, kept in (([0, 0], [0]), ([3, 80], [0, 1])):
        assert listed(nms(boxes[None], scores[None], torch.tensor([labels]), overlap=0.3, keep=2)) == [kept]


def test_equal_to_the_overlap_survives_and_the_next_lower_float_suppresses():
    boxes, scores = torch.tensor([[[0.0, 0, 2, 1], [0, 0, 1, 1]]]), torch.tensor([[0.9, 0.8]])
    below = np.nextafter(np.float32(0.5), np.float32(0)).item()
    assert listed(nms(boxes, scores, overlap=0.5, keep=2)) == [[0, 1]]
    assert listed(nms(boxes, scores, overlap=below, keep=2)) == [[0]]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_boxes_neither_suppress_nor_are_suppressed(bad):
    boxes = torch.tensor([[[bad, 0, bad, 4], [0, 0, 4, 4], [-bad, -bad, bad, bad], [0, 0, 4, 4]]])
    assert listed(nms(boxes, torch.tensor([[0.9, 0.8, 0.7, 0.6]]), overlap=0.0, keep=4)) == [[0, 1, 2]]


@pytest.mark.parametrize(
    "shapes", [((2, 0, 4), (2, 0)), ((2, 0, 4), (2, 0, 3)), ((0, 5, 4), (0, 5)), ((1, 3, 0, 4), (1, 3, 0))]
)
def test_nothing_in_nothing_out(shapes):
    found = nms(torch.zeros(shapes[0]), torch.zeros(shapes[1]), overlap=0.5, keep=4)
    assert found.tolist() == [[-1] * 4] * shapes[0][0]


def test_an_image_is_the_same_alone_and_in_a_batch():
    boxes = torch.stack([scattered(400, seed=s)[0] for s in range(3)])
    scores = torch.stack([scattered(400, seed=s)[1] for s in range(3)])
    batch = nms(boxes, scores, overlap=0.3, keep=50, threshold=0.5)
    alone = [nms(boxes[b : b + 1], scores[b : b + 1], overlap=0.3, keep=50, threshold=0.5) for b in range(3)]
    assert torch.equal(batch, torch.cat(alone))


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"overlap": 1.5}, "overlap"),
        ({"overlap": math.nan}, "overlap"),
        ({"keep": 0}, "keep"),
        ({"candidates_per_class": 0}, "candidates_per_class"),
        ({"keep_per_class": 2, "class_aware": False}, "keep_per_class"),
        ({"boxes": torch.zeros(1, 6, 4)}, "boxes"),
        ({"sizes": torch.zeros(2)}, "sizes"),
        ({"labels": torch.zeros(1, 6)}, "labels"),
        ({"scores": torch.zeros(1, 5, 2), "labels": torch.zeros(1, 5)}, "labels"),
    ],
)
def test_bad_input_is_refused(changed, word):
    good = {"boxes": torch.zeros(1, 5, 4), "scores": torch.zeros(1, 5), "overlap": 0.5, "keep": 3}
    options = good | changed
    with pytest.raises(ValueError, match=f"^{word}: got|^{word}: needs"):
        nms(options.pop("boxes"), options.pop("scores"), options.pop("labels", None), **options)


class Suppress(nn.Module):
    def forward(self, boxes, scores):
        sizes = torch.tensor([[200.0, 250.0]])
        return nms(boxes, scores, overlap=0.5, keep=20, sizes=sizes, candidates_per_class=40)


def test_exports_and_compiles_without_a_break():
    boxes, scores = scattered(100)
    args = boxes[None], torch.stack([scores, 1 - scores], 1)[None]
    expected = Suppress()(*args)
    exported = torch.export.export(Suppress(), args, strict=True)
    compiled = torch.compile(Suppress(), fullgraph=True, backend="eager")
    for found in (exported.module()(*args), compiled(*args)):
        assert torch.equal(found, expected)
    assert [n.target for n in exported.graph.nodes if "nms" in str(n.target)] == [torch.ops.paretodet.nms.default]


def test_the_operators_pass_opcheck():
    boxes, scores = scattered(30)
    listed, dense = (
        (boxes[None], scores[None], None, None),
        (boxes[None], scores[None, :, None], None, torch.ones(1, 2)),
    )
    for args in (listed, dense):
        torch.library.opcheck(torch.ops.paretodet.nms.default, (*args, 0.5, 10, 0.0, None, None, True))


MEMORY = """
import torch
from paretodet.ops.nms import nms

def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

torch.set_num_threads(1)
center, size = torch.rand(1, 67500, 2) * 1000, torch.rand(1, 67500, 2) * 90 + 10
boxes, scores = torch.cat([center - size / 2, center + size / 2], -1), torch.rand(1, 67500)
nms(boxes[:, :100], scores[:, :100], overlap=0.7, keep=300)
before = status("VmRSS")
for overlap in (0.7, 0.0):
    nms(boxes, scores, overlap=overlap, keep=300)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_67500_boxes_need_no_table_of_all_pairs():
    """All of them against all would take 17 GiB; here with few and with most boxes suppressed."""
    found = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(found.stdout) < 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_equals_the_cpu():
    boxes, scores = scattered(5000)
    options = {"overlap": 0.5, "keep": 300, "keep_per_class": 100, "candidates_per_class": 400}
    sizes = torch.tensor([[200.0, 250.0]])
    args = boxes[None], torch.stack([scores, 1 - scores, scores**2], 1)[None]
    assert torch.equal(
        nms(*(a.cuda() for a in args), **options, sizes=sizes.cuda()).cpu(), nms(*args, **options, sizes=sizes)
    )


def test_equal_scores_of_many_boxes_go_by_index():
    """No group has a larger maximum, and none may be skipped."""
    left = torch.arange(40_000.0) * 20
    boxes = torch.stack([left, torch.zeros_like(left), left + 10, torch.full_like(left, 10)], 1)
    found = nms(boxes[None], torch.full((1, 40_000), 0.5), overlap=0.5, keep=50)
    assert found[0].tolist() == list(range(50))
