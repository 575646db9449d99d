"""Crops equal naive float64 loops, values and gradients; and the test values of other implementations."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from paretodet.ops.roi import (
    _add_in_order,
    _add_sorted,
    crop_and_resize,
    position_sensitive_crop,
    roi_align,
    roi_pool,
)


def sample(feature: Tensor, y: float, x: float, reach: int) -> Tensor:
    """One bilinear sample of [C, H, W]; beyond `reach` cells outside, 0."""
    height, width = feature.shape[1:]
    if not (-reach <= y <= height - 1 + reach and -reach <= x <= width - 1 + reach):
        return feature.new_zeros(len(feature))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right, v, u = min(top + 1, height - 1), min(left + 1, width - 1), y - top, x - left
    upper = (1 - u) * feature[:, top, left] + u * feature[:, top, right]
    lower = (1 - u) * feature[:, bottom, left] + u * feature[:, bottom, right]
    return (1 - v) * upper + v * lower


def points(low: float, high: float, count: int) -> list[float]:
    return [(low * (count - 1 - i) + high * i) / (count - 1) for i in range(count)] if count > 1 else [(low + high) / 2]


def naive_crop(feature: Tensor, box: list[float], bins: tuple[int, int], canvas: tuple[int, int]) -> Tensor:
    x1, y1, x2, y2 = box
    tall, wide = (feature.shape[1] - 1) / canvas[0], (feature.shape[2] - 1) / canvas[1]
    grid = product(points(y1 * tall, y2 * tall, bins[0]), points(x1 * wide, x2 * wide, bins[1]))
    return torch.stack([sample(feature, y, x, 0) for y, x in grid], 1).view(-1, *bins)


def naive_position_sensitive(feature: Tensor, box, bins: int, canvas, samples: int) -> Tensor:
    x1, y1, x2, y2 = box
    rows, cols, depth = points(y1, y2, bins + 1), points(x1, x2, bins + 1), len(feature) // bins**2
    out = []
    for i, j in product(range(bins), repeat=2):
        group = feature[(i * bins + j) * depth :][:depth]
        part = [cols[j], rows[i], cols[j + 1], rows[i + 1]]
        out.append(naive_crop(group, part, (samples, samples), canvas).mean((1, 2)))
    return torch.stack(out, 1).view(depth, bins, bins)


def naive_align(feature: Tensor, box, stride: int, bins: int, samples: int, aligned: bool) -> Tensor:
    x1, y1, x2, y2 = (side / stride - (0.5 if aligned else 0) for side in box)
    height, width = (side if aligned else max(side, 1) for side in (y2 - y1, x2 - x1))
    down, across = (samples or math.ceil(side / bins) for side in (height, width))
    out = []
    for i, j in product(range(bins), repeat=2):
        total = feature.new_zeros(len(feature))
        for v, u in product(range(down), range(across)):
            y, x = y1 + (i + (v + 0.5) / down) * height / bins, x1 + (j + (u + 0.5) / across) * width / bins
            total = total + sample(feature, y, x, 1)
        out.append(total / max(down * across, 1))
    return torch.stack(out, 1).view(-1, bins, bins)


def half_away(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def naive_pool(feature: Tensor, box, stride: int, bins: int) -> Tensor:
    x1, y1, x2, y2 = (half_away(side / stride) for side in box)
    height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
    out = []
    for i, j in product(range(bins), repeat=2):
        rows = range(max(y1 + i * height // bins, 0), min(y1 - (-(i + 1) * height // bins), feature.shape[1]))
        cols = range(max(x1 + j * width // bins, 0), min(x1 - (-(j + 1) * width // bins), feature.shape[2]))
        cells = [feature[:, y, x] for y in rows for x in cols]
        out.append(torch.stack(cells).amax(0) if cells else feature.new_zeros(len(feature)))
    return torch.stack(out, 1).view(-1, bins, bins)


CANVAS = 72, 104  # px, of the maps made here
STRIDE = 8


def made_map(channels: int = 3, stride: int = STRIDE, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, CANVAS[0] // stride, CANVAS[1] // stride, generator=random)


def made_boxes(seed: int = 0) -> Tensor:
    """Two images of boxes: inside, on the borders, across them, beyond them, thin, without area, inverted."""
    random = torch.Generator().manual_seed(seed)
    height, width = CANVAS
    center, size = torch.rand(2, 6, 2, generator=random) * 90, torch.rand(2, 6, 2, generator=random) * 70 + 1
    special = [
        [0, 0, width, height],
        [0, 20, 30.3, height],
        [-30, -20, 40, 30],
        [80, 50, 140, 110],
        [-90, -90, -60, -50],
        [40, 10, 40.5, 60],
        [33, 33, 33, 33],
        [50, 40, 30, 20],
        [12, 12, 36, 20],
    ]
    boxes = torch.cat([center - size / 2, center + size / 2], -1)
    return torch.cat([boxes, torch.tensor(special).float().expand(2, -1, -1)], 1)


def same_as(found, maps: list[Tensor], naive) -> None:
    """found(float32 maps) equals naive(one image's maps in float64, image, box number), and so do the gradients."""
    ours = [m.clone().requires_grad_() for m in maps]
    theirs = [m.double().requires_grad_() for m in maps]
    out = found(ours)
    expected = torch.stack(
        [torch.stack([naive([m[b] for m in theirs], b, r) for r in range(out.shape[1])]) for b in range(len(out))]
    )
    torch.testing.assert_close(out.double(), expected, atol=2e-5, rtol=1e-5)
    share = torch.randn(out.shape, generator=torch.Generator().manual_seed(9))
    (out * share).sum().backward()
    (expected * share).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bins", [(1, 1), (2, 2), (5, 3), (14, 14)])
def test_crop_and_resize_equals_its_loop(bins):
    boxes = made_boxes()
    same_as(
        lambda maps: crop_and_resize(maps[0], boxes, bins, CANVAS),
        [made_map()],
        lambda maps, b, r: naive_crop(maps[0], boxes[b, r].tolist(), bins, CANVAS),
    )


@pytest.mark.parametrize(("bins", "samples"), [(3, 4), (7, 3), (2, 1), (1, 2)])
def test_position_sensitive_crop_equals_its_loop(bins, samples):
    boxes = made_boxes()
    same_as(
        lambda maps: position_sensitive_crop(maps[0], boxes, bins, CANVAS, samples=samples),
        [made_map(bins * bins * 2)],
        lambda maps, b, r: naive_position_sensitive(maps[0], boxes[b, r].tolist(), bins, CANVAS, samples),
    )


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(("bins", "samples"), [(7, 2), (2, 3), (1, 1), (3, 0), (1, 0)])
def test_roi_align_equals_its_loop(bins, samples, aligned):
    boxes = made_boxes()
    same_as(
        lambda maps: roi_align(maps, boxes, strides=[STRIDE], bins=bins, samples=samples, aligned=aligned),
        [made_map()],
        lambda maps, b, r: naive_align(maps[0], boxes[b, r].tolist(), STRIDE, bins, samples, aligned),
    )


@pytest.mark.parametrize("samples", [2, 0])
def test_each_box_is_cropped_from_its_level(samples):
    boxes, strides = made_boxes(), (4, 8, 24)
    levels = torch.arange(boxes.shape[1]).expand(2, -1) % 3
    same_as(
        lambda maps: roi_align(maps, boxes, strides=strides, bins=3, samples=samples, aligned=True, levels=levels),
        [made_map(stride=stride, seed=stride) for stride in strides],
        lambda maps, b, r: naive_align(maps[r % 3], boxes[b, r].tolist(), strides[r % 3], 3, samples, True),
    )


def test_adaptive_sampling_is_bounded_by_the_map():
    """A box 1000 times the map would need 1000 times the samples; what stays inside is still read."""
    huge = torch.tensor([[[-5e4, -5e4, 5e4, 5e4]]]).expand(2, -1, -1)
    found = roi_align([torch.ones(2, 1, 9, 13)], huge, strides=[8], bins=3, samples=0, aligned=True)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("bins", [1, 3, 7])
def test_roi_pool_equals_its_loop(bins):
    boxes = made_boxes()
    same_as(
        lambda maps: roi_pool(maps[0], boxes, stride=STRIDE, bins=bins),
        [made_map(stride=4)],  # larger than the canvas: windows of many sizes
        lambda maps, b, r: naive_pool(maps[0], boxes[b, r].tolist(), STRIDE, bins),
    )


def test_roi_pool_rounds_halves_away_from_zero():
    cells = torch.arange(36.0).view(1, 1, 6, 6)
    box = torch.tensor([[[4.0, 4, 20, 20]]])  # .5 to 2.5 cells: 1 to 3, both included
    assert roi_pool(cells, box, stride=8, bins=1).item() == cells[0, 0, 3, 3]
    assert roi_pool(-cells, box, stride=8, bins=1).item() == -cells[0, 0, 1, 1]


@pytest.mark.parametrize(
    ("cells", "box", "bins", "expected"),
    [
        # tensorflow/core/kernels/image/crop_and_resize_op_test.cc, there as y1, x1, y2, x2
        ([[1, 2], [3, 4]], [0, 0, 1, 1], 1, [[2.5]]),
        ([[1, 2], [3, 4]], [0, 0, 1, 1], 3, [[1, 1.5, 2], [2, 2.5, 3], [3, 3.5, 4]]),
        ([[1, 2], [3, 4]], [1, 1, 0, 0], 3, [[4, 3.5, 3], [3, 2.5, 2], [2, 1.5, 1]]),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [0, 0, 1, 1], 2, [[1, 3], [7, 9]]),
        ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], [0, 0, 0.5, 0.5], 2, [[1, 2], [4, 5]]),
        ([[1, 2], [3, 4]], [-1, -1, 1, 1], 3, [[0, 0, 0], [0, 1, 2], [0, 3, 4]]),
    ],
)
def test_crop_and_resize_gives_tensorflows_numbers(cells, box, bins, expected):
    found = crop_and_resize(torch.tensor([[cells]]).float(), torch.tensor([[box]]).float(), bins, (1, 1))
    assert found[0, 0, 0].tolist() == expected


@pytest.mark.parametrize(("aligned", "first"), [(False, 7.5), (True, 4.5)])
def test_roi_align_gives_detectrons_numbers(aligned, first):
    """detectron2 tests/layers/test_roi_align.py: a ramp of 25, steps of half a cell."""
    ramp, box = torch.arange(25.0).view(1, 1, 5, 5), torch.tensor([[[1.0, 1, 3, 3]]])
    found = roi_align([ramp], box, strides=[1], bins=4, samples=0, aligned=aligned)
    expected = first + torch.arange(4)[:, None] * 2.5 + torch.arange(4) * 0.5
    torch.testing.assert_close(found[0, 0, 0], expected)


def test_an_edge_on_the_border_is_inside_for_every_size():
    for size in range(100, 1300, 7):
        box = torch.tensor([[[size / 3, size / 7, size, size]]])
        found = crop_and_resize(torch.ones(1, 1, 38, 38), box, 14, (size, size))
        torch.testing.assert_close(found, torch.ones_like(found))


def test_every_bin_reads_its_group():
    groups = torch.arange(9.0).repeat_interleave(2).view(1, 18, 1, 1).expand(-1, -1, 20, 20)
    found = position_sensitive_crop(groups, torch.tensor([[[8.0, 8, 90, 70]]]), 3, (160, 160), samples=4)
    torch.testing.assert_close(found[0, 0], torch.arange(9.0).view(3, 3).expand(2, -1, -1))


CROPS = {
    "crop_and_resize": lambda maps, boxes: crop_and_resize(maps[0], boxes, 7, CANVAS),
    "position_sensitive": lambda maps, boxes: position_sensitive_crop(maps[0], boxes, 2, CANVAS, samples=2),
    "roi_align": lambda maps, boxes: roi_align(maps[:1], boxes, strides=[8], bins=7, samples=2, aligned=False),
    "adaptive": lambda maps, boxes: roi_align(maps[:1], boxes, strides=[8], bins=7, samples=0, aligned=True),
    "pyramid": lambda maps, boxes: roi_align(
        maps, boxes, strides=[8, 4], bins=7, samples=2, aligned=True, levels=(boxes[..., 0] > 20).long()
    ),
    "roi_pool": lambda maps, boxes: roi_pool(maps[0], boxes, stride=8),
}
every_crop = pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS.keys())


class Crop(nn.Module):
    def __init__(self, crop):
        super().__init__()
        self.crop = crop

    def forward(self, maps, boxes):
        return self.crop(maps, boxes)


def made_maps() -> tuple[Tensor, Tensor]:
    return made_map(8), made_map(8, stride=4)


@every_crop
def test_exports_and_compiles_without_a_break(crop):
    args = made_maps(), made_boxes()
    exported = torch.export.export(Crop(crop), args, strict=True).module()
    compiled = torch.compile(Crop(crop), fullgraph=True, backend="eager")
    for found in (exported(*args), compiled(*args)):
        torch.testing.assert_close(found, crop(*args))


@every_crop
def test_trains_when_compiled(crop):
    grads = []
    for run in (Crop(crop), torch.compile(Crop(crop), fullgraph=True, backend="aot_eager")):
        maps = tuple(m.requires_grad_() for m in made_maps())
        run(maps, made_boxes()).square().sum().backward()
        grads.append(maps[0].grad)
    torch.testing.assert_close(*grads)


@every_crop
def test_no_gradient_flows_to_the_boxes(crop):
    maps, boxes = made_maps(), made_boxes().requires_grad_()
    maps[0].requires_grad_()
    crop(maps, boxes).sum().backward()
    assert boxes.grad is None
    assert maps[0].grad.any()


@every_crop
def test_the_memory_format_does_not_matter_and_crops_are_channels_last(crop):
    maps, boxes = made_maps(), made_boxes()
    found = crop(maps, boxes)
    rows = tuple(m.to(memory_format=torch.channels_last) for m in maps)
    assert torch.equal(crop(rows, boxes), found)
    flat = found.flatten(0, 1)
    assert flat.data_ptr() == found.data_ptr()
    assert flat.is_contiguous(memory_format=torch.channels_last)


@every_crop
def test_an_image_is_the_same_alone_and_in_a_batch(crop):
    maps, boxes = made_maps(), made_boxes()
    alone = [crop(tuple(m[b : b + 1] for m in maps), boxes[b : b + 1]) for b in range(2)]
    torch.testing.assert_close(torch.cat(alone), crop(maps, boxes))


@every_crop
def test_no_boxes_no_crops(crop):
    maps = tuple(m.requires_grad_() for m in made_maps())
    found = crop(maps, torch.zeros(2, 0, 4))
    assert found.shape[:2] == (2, 0)
    found.sum().backward()
    assert maps[0].grad is None or not maps[0].grad.any()


@every_crop
def test_nan_boxes_do_not_read_out_of_bounds(crop):
    bad = torch.tensor([math.nan, math.inf, -math.inf, 1e30, -1e30, 5.0])
    boxes = torch.cartesian_prod(*[bad] * 4)[None].expand(2, -1, -1)
    found = crop(tuple(torch.ones_like(m) for m in made_maps()), boxes)
    assert ((found >= 0) & (found <= 1 + 1e-5)).all()


@every_crop
def test_low_precision_maps_keep_their_type_and_stay_close(crop):
    maps, boxes = made_maps(), made_boxes()
    found = crop(tuple(m.bfloat16() for m in maps), boxes)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), crop(maps, boxes), atol=0.06, rtol=0.02)


def test_the_pooling_operator_passes_opcheck():
    features = made_map().requires_grad_()
    torch.library.opcheck(torch.ops.paretodet.roi_pool.default, (features, made_boxes(), 8, 3))


def test_the_gradient_of_pooling_is_that_of_its_loop():
    """Maxima of a random map do not tie, so that finite differences give the gradient."""
    features = made_map(2).double().requires_grad_()
    boxes = made_boxes()[:, :6]
    assert torch.autograd.gradcheck(lambda m: roi_pool(m, boxes, stride=8, bins=3), (features,), eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 40])
def test_both_ways_to_add_are_equal(rows):
    """Bit for bit with whole numbers, for any number of values at one place."""
    noise = torch.Generator().manual_seed(0)
    places = torch.randint(0, rows, (3000, 5), generator=noise)
    values = torch.randint(-9, 10, (3000, 5), generator=noise).float()
    wanted = torch.stack([torch.bincount(p, v, rows) for p, v in zip(places.T, values.T.double(), strict=True)], 1)
    for add in (_add_in_order, _add_sorted):
        table = torch.zeros(rows, 5)
        add(table, places, values)
        assert torch.equal(table, wanted.float())


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_pooling_gives_the_same_gradient_every_time(device):
    """Many boxes around one peak with gradients of different magnitude, so that another order gives another sum."""
    noise = torch.Generator().manual_seed(0)
    features = made_map(16).to(device).requires_grad_()
    boxes = made_boxes().repeat(1, 60, 1).to(device)
    weights = torch.randn(2, boxes.shape[1], 16, 7, 7, generator=noise).exp().to(device)
    found = [torch.autograd.grad((roi_pool(features, boxes, stride=8) * weights).sum(), features)[0] for _ in range(4)]
    assert all(torch.equal(each, found[0]) for each in found)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m, b: position_sensitive_crop(m, b, 2, CANVAS, samples=2), "bins"),
        (lambda m, b: roi_align([m], b, strides=[8, 4], bins=7, samples=2, aligned=True), "strides"),
        (lambda m, b: roi_align([m, m], b, strides=[8, 4], bins=7, samples=2, aligned=True), "levels"),
    ],
)
def test_bad_input_is_refused(call, word):
    with pytest.raises(ValueError, match=f"^{word}: got"):
        call(made_map(), made_boxes())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_crop
def test_a_gpu_equals_the_cpu(crop):
    maps, boxes = made_maps(), made_boxes()
    found = crop(tuple(m.cuda() for m in maps), boxes.cuda())
    torch.testing.assert_close(found.cpu(), crop(maps, boxes), atol=1e-4, rtol=1e-4)
