import pytest
import torch

from paretodet.rules.anchors import (
    CellPriors,
    GridAnchors,
    MultiGridAnchors,
    PriorBoxes,
    PyramidAnchors,
    RoundedAnchors,
    UnroundedAnchors,
    ssd_percents,
)

V3 = CellPriors(
    priors=(
        ((116, 90), (156, 198), (373, 326)),
        ((30, 61), (62, 45), (59, 119)),
        ((10, 13), (16, 30), (33, 23)),
    )
)
TINY = CellPriors(priors=(((81, 82), (135, 169), (344, 319)), ((23, 27), (37, 58), (81, 82))))
V2 = CellPriors(priors=(((18, 22), (60, 66), (107, 175), (252, 113), (313, 293)),))


def maps(*shapes):
    return tuple(torch.zeros(1, 1, *((s, s) if isinstance(s, int) else s)) for s in shapes)


def sizes(boxes):
    return boxes[:, 2:] - boxes[:, :2]


# counts: paper.md 1.5 and 2.3, systems.md 17 ("sanity sums a port should reproduce exactly")
@pytest.mark.parametrize(
    ("anchors", "shapes", "canvas", "count"),
    [
        (MultiGridAnchors(), (19, 10, 5, 3, 2, 1), (300, 300), 1917),
        (MultiGridAnchors(), (38, 19, 10, 5, 3, 2), (600, 600), 7326),
        (PriorBoxes.ssd300(), (38, 19, 10, 5, 3, 1), (300, 300), 8732),
        (PriorBoxes.ssd512(), (64, 32, 16, 8, 4, 2, 1), (512, 512), 24564),
        (GridAnchors(), (19,), (300, 300), 4332),
        (GridAnchors(), (38,), (600, 600), 17328),
        (GridAnchors(stride=8), (75,), (600, 600), 67500),
        (V2, (13,), (416, 416), 845),
        (V2, (19,), (608, 608), 1805),
        (TINY, (13, 26), (416, 416), 2535),
        (V3, (10, 20, 40), (320, 320), 6300),
        (V3, (13, 26, 52), (416, 416), 10647),
        (V3, (19, 38, 76), (608, 608), 22743),
        (PyramidAnchors.retinanet(), (100, 50, 25, 13, 7), (800, 800), 120087),
        (RoundedAnchors.retinanet(), (100, 50, 25, 13, 7), (800, 800), 120087),
        (PyramidAnchors.fpn(), ((200, 256), (100, 128), (50, 64), (25, 32), (13, 16)), (800, 1024), 204624),
        (PyramidAnchors.ren(), ((38, 54),), (600, 850), 24624),
        (PyramidAnchors.ren(), ((37, 53),), (600, 850), 23532),
    ],
)
def test_published_counts(anchors, shapes, canvas, count):
    refs = anchors(maps(*shapes), canvas)
    assert refs.boxes.shape == (count, 4)
    assert refs.cell.shape == (count, 1)
    assert sum(refs.counts) == count
    cells = [x.shape[2] * x.shape[3] for x in maps(*shapes)]
    assert refs.counts == tuple(n * a for n, a in zip(cells, anchors.per_cell, strict=True))
    assert refs.boxes.dtype == torch.float32


def test_tensorflow_order_is_ratio_then_scale():
    # grid_anchor_generator_test.py of the TF API, its first case: y1, x1, y2, x2 written here as x1, y1, x2, y2
    anchors = GridAnchors(scales=(0.5, 1.0, 2.0), ratios=(0.25, 1.0, 4.0), offset=(7.0, -3.0))
    want = [
        [-35, -121, 29, 135],
        [-67, -249, 61, 263],
        [-131, -505, 125, 519],
        [-67, -57, 61, 71],
        [-131, -121, 125, 135],
        [-259, -249, 253, 263],
        [-131, -25, 125, 39],
        [-259, -57, 253, 71],
        [-515, -121, 509, 135],
    ]
    assert anchors(maps(1), (16, 16)).boxes.tolist() == want


def test_grid_anchors_are_row_major_and_start_at_the_corner():
    boxes = GridAnchors(scales=(1.0,), ratios=(1.0,))(maps((2, 3)), (32, 48)).boxes
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centers.tolist() == [[0, 0], [16, 0], [32, 0], [0, 16], [16, 16], [32, 16]]


def test_multi_grid_scales():
    refs = MultiGridAnchors()(maps(19, 10, 5, 3, 2, 1), (300, 300))
    first = [level[0] for level in refs.boxes.split(list(refs.counts))]
    # paper.md 2.3: scales .2 ... .95 with .1 in the reduced lowest layer
    want = torch.tensor([0.1, 0.35, 0.5, 0.65, 0.8, 0.95]) * 300
    torch.testing.assert_close(torch.stack([b[2] - b[0] for b in first]), want)
    last = [level[a - 1] for level, a in zip(refs.boxes.split(list(refs.counts)), (3, 6, 6, 6, 6, 6), strict=True)]
    between = torch.tensor([0.4183, 0.5701, 0.7211, 0.8718, 0.9747]) * 300
    torch.testing.assert_close(torch.stack([b[2] - b[0] for b in last[1:]]), between, atol=0.02, rtol=0)
    low = sizes(refs.boxes[:3])
    torch.testing.assert_close(low, torch.tensor([[30, 30], [84.853, 42.426], [42.426, 84.853]]), atol=1e-3, rtol=0)
    center = (refs.boxes[0, :2] + refs.boxes[0, 2:]) / 2
    torch.testing.assert_close(center, torch.tensor([150 / 19, 150 / 19]))


def test_multi_grid_ratios_are_those_of_the_released_configurations():
    """The narrow anchor has the ratio 0.3333 of their `aspect_ratios`: with 1/3 it would be 0.0123 px lower."""
    refs = MultiGridAnchors()(maps(19, 10, 5, 3, 2, 1), (300, 300))
    width, height = sizes(refs.boxes[-2:-1])[0].tolist()
    assert (width, height) == pytest.approx((285 * 0.3333**0.5, 285 / 0.3333**0.5), abs=1e-4)
    assert height - 285 * 3**0.5 == pytest.approx(0.0247, abs=5e-4)  # twice that of a side


def test_multi_grid_sides_follow_the_short_side():
    boxes = MultiGridAnchors(levels=2)(maps((2, 4), (1, 2)), (100, 200)).boxes
    assert sizes(boxes)[0].tolist() == pytest.approx([10, 10])
    assert ((boxes[0, :2] + boxes[0, 2:]) / 2).tolist() == [25, 25]


# systems.md 7.2: width x height in pixels, in channel order
SSD300 = [
    "21.00x21.00, 30.74x30.74, 29.70x14.85, 14.85x29.70",
    "45.00x45.00, 66.75x66.75, 63.64x31.82, 31.82x63.64, 77.94x25.98, 25.98x77.94",
    "99.00x99.00, 123.07x123.07, 140.01x70.00, 70.00x140.01, 171.47x57.16, 57.16x171.47",
    "153.00x153.00, 177.96x177.96, 216.37x108.19, 108.19x216.37, 265.00x88.33, 88.33x265.00",
    "207.00x207.00, 232.44x232.44, 292.74x146.37, 146.37x292.74",
    "261.00x261.00, 286.73x286.73, 369.11x184.55, 184.55x369.11",
]
SSD512 = [
    "20.00x20.00, 31.94x31.94, 28.28x14.14, 14.14x28.28",
    "51.00x51.00, 82.36x82.36, 72.12x36.06, 36.06x72.12, 88.33x29.44, 29.44x88.33",
    "133.00x133.00, 169.10x169.10, 188.09x94.05, 94.05x188.09, 230.36x76.79, 76.79x230.36",
    "215.00x215.00, 252.27x252.27, 304.06x152.03, 152.03x304.06, 372.39x124.13, 124.13x372.39",
    "296.00x296.00, 334.50x334.50, 418.61x209.30, 209.30x418.61, 512.69x170.90, 170.90x512.69",
    "378.00x378.00, 416.99x416.99, 534.57x267.29, 267.29x534.57",
    "460.00x460.00, 499.32x499.32, 650.54x325.27, 325.27x650.54",
]


@pytest.mark.parametrize(
    ("anchors", "side", "grid", "rows", "centers"),
    [
        (PriorBoxes.ssd300(), 300, (38, 19, 10, 5, 3, 1), SSD300, (4, 8, 16, 32, 50, 150)),
        (PriorBoxes.ssd512(), 512, (64, 32, 16, 8, 4, 2, 1), SSD512, (4, 8, 16, 32, 64, 128, 256)),
    ],
)
def test_default_boxes(anchors, side, grid, rows, centers):
    refs = anchors(maps(*grid), (side, side))
    for level, row, center in zip(refs.boxes.split(list(refs.counts)), rows, centers, strict=True):
        want = torch.tensor([[float(n) for n in pair.split("x")] for pair in row.split(", ")])
        torch.testing.assert_close(sizes(level[: len(want)]), want, atol=0.006, rtol=0)
        torch.testing.assert_close((level[0, :2] + level[0, 2:]) / 2, torch.tensor([center, center]).float())


def test_size_rule():
    assert ssd_percents(levels=6, lowest=7, smallest=15) == (7, 15, 33, 51, 69, 87, 105)
    # systems.md 7.2: SSD300 on VOC has 30, 60, 111, 162, 213, 264, 315 px
    assert [300 * p // 100 for p in ssd_percents(levels=6, lowest=10, smallest=20)] == [30, 60, 111, 162, 213, 264, 315]


def test_default_boxes_scale_with_the_canvas():
    small = PriorBoxes.ssd300()(maps(38, 19, 10, 5, 3, 1), (300, 300)).boxes
    large = PriorBoxes.ssd300()(maps(75, 38, 19, 10, 8, 6), (600, 600)).boxes
    torch.testing.assert_close(sizes(large[:4]), sizes(small[:4]) * 2)


def test_cell_priors_sit_on_cell_centers():
    refs = V3(maps(13, 26, 52), (416, 416))
    assert refs.cell.unique().tolist() == [8, 16, 32]
    assert refs.cell[0].item() == 32
    assert refs.boxes[1].tolist() == [16 - 78, 16 - 99, 16 + 78, 16 + 99]
    with pytest.raises(ValueError, match=r"canvas: got \(416, 400\)"):
        V2(maps(13), (416, 400))


def test_rounded_anchors_of_faster_rcnn():
    # systems.md 9.2, inclusive corners at cell (0, 0)
    want = [
        [-38, -16, 53, 31],
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-24, -24, 39, 39],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-14, -36, 29, 51],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]
    boxes = PyramidAnchors.ren()(maps((2, 2)), (32, 32)).boxes
    half_open = torch.tensor(want).float() + torch.tensor([0, 0, 1, 1])
    assert torch.equal(boxes[:12], half_open)
    assert torch.equal(boxes[12:24], half_open + torch.tensor([16, 0, 16, 0]))


def test_rounded_anchors_of_the_pyramid():
    # systems.md 10.2, inclusive corners at cell (0, 0)
    want = {
        4: [[-22, -10, 25, 13], [-14, -14, 17, 17], [-10, -22, 13, 25]],
        8: [[-40, -20, 47, 27], [-28, -28, 35, 35], [-20, -44, 27, 51]],
        16: [[-84, -40, 99, 55], [-56, -56, 71, 71], [-36, -80, 51, 95]],
        32: [[-164, -72, 195, 103], [-112, -112, 143, 143], [-76, -168, 107, 199]],
        64: [[-332, -152, 395, 215], [-224, -224, 287, 287], [-148, -328, 211, 391]],
    }
    boxes = PyramidAnchors.fpn()(maps(1, 1, 1, 1, 1), (64, 64)).boxes
    for level, inclusive in zip(boxes.split(3), want.values(), strict=True):
        assert torch.equal(level, torch.tensor(inclusive).float() + torch.tensor([0, 0, 1, 1]))


def test_retinanet_sizes():
    # systems.md 8.2, P3 and P7
    boxes = PyramidAnchors.retinanet()(maps(1, 1, 1, 1, 1), (128, 128)).boxes
    p3 = "32.0x32.0, 24.0x48.0, 44.0x24.0, 40.3x40.3, 30.2x60.5, 55.4x30.2, 50.8x50.8, 38.1x76.2, 69.8x38.1"
    p7 = (
        "512.0x512.0, 364.0x728.0, 724.0x360.0, 645.1x645.1, 458.6x917.2, 912.2x453.6, 812.7x812.7, 577.8x1155.6, "
        "1149.3x571.5"
    )
    for level, row in ((boxes[:9], p3), (boxes[-9:], p7)):
        want = torch.tensor([[float(n) for n in pair.split("x")] for pair in row.split(", ")])
        torch.testing.assert_close(sizes(level), want, atol=0.06, rtol=0)


def test_torchvisions_anchors():
    """torchvision 0.28's retinanet_resnet50_fpn at cell (0, 0) of the first and last level."""
    want = {
        0: [[23, 11], [28, 14], [35, 18], [16, 16], [20, 20], [25, 25], [11, 23], [14, 28], [18, 35]],
        4: [[362, 181], [456, 228], [574, 287], [256] * 2, [322] * 2, [406] * 2, [181, 362], [228, 456], [287, 574]],
    }
    levels = RoundedAnchors.retinanet()(maps(1, 1, 1, 1, 1), (128, 128)).boxes.split(9)
    for level, half in want.items():
        corner = torch.tensor(half, dtype=torch.float32)
        assert torch.equal(levels[level], torch.cat([-corner, corner], 1))


def test_torchvisions_steps_are_cut_to_whole_pixels():
    refs = RoundedAnchors(sides=((32,),), ratios=(1.0,))(maps((13, 21)), (800, 1344))
    assert refs.boxes[1].tolist() == [64 - 16, -16, 64 + 16, 16]
    assert refs.boxes[21].tolist() == [-16, 61 - 16, 16, 61 + 16]


def test_detectron2s_anchors_are_not_rounded():
    """32 px of ratio 0.5 and 2 around the corner of the image, by its `generate_cell_anchors`."""
    refs = UnroundedAnchors.fpn()(maps(*[(2, 3)] * 5), (8, 12))
    assert refs.counts == (18,) * 5
    half = 32 * 2**-0.5
    wanted = torch.tensor([[-half, -half / 2, half, half / 2], [-16, -16, 16, 16]])
    torch.testing.assert_close(refs.boxes[:2], wanted)
    assert torch.equal(refs.boxes[3:5], refs.boxes[:2] + torch.tensor([4.0, 0, 4, 0]))
    assert torch.equal(refs.boxes[9:11], refs.boxes[:2] + torch.tensor([0.0, 4, 0, 4]))


def test_detectron2s_octaves_come_before_ratios():
    first = UnroundedAnchors.retinanet()(maps(1, 1, 1, 1, 1), (8, 8)).boxes[:9]
    area = (first[:, 2] - first[:, 0]) * (first[:, 3] - first[:, 1])
    torch.testing.assert_close(area.sqrt(), torch.tensor([32 * 2 ** (i / 3) for i in (0, 0, 0, 1, 1, 1, 2, 2, 2)]))
    ratio = (first[:, 3] - first[:, 1]) / (first[:, 2] - first[:, 0])
    torch.testing.assert_close(ratio, torch.tensor([0.5, 1, 2] * 3))


def test_wrong_number_of_maps():
    with pytest.raises(ValueError, match="maps: got 2, allowed 1"):
        GridAnchors()(maps(3, 3), (48, 48))
    with pytest.raises(ValueError, match="levels: got 1"):
        MultiGridAnchors(levels=1)


@pytest.mark.parametrize("anchors", [GridAnchors(), MultiGridAnchors(levels=2), V2, PyramidAnchors.ren()])
def test_export_folds_shapes(anchors):
    class Net(torch.nn.Module):
        def forward(self, *x):
            return anchors(x, (64, 64)).boxes

    x = maps(*[4] * len(anchors.per_cell))
    got = torch.export.export(Net(), x, strict=True).module()(*x)
    assert torch.equal(got, anchors(x, (64, 64)).boxes)
